// SPDX-License-Identifier: GPL-2.0

//! Extended attributes on the disk.
//!
//! An inode's attribute fork holds them in one of three forms:
//!
//! - short ([`shortform`]): in the inode;
//! - leaf: one block ([`leaf`]) with an index of hashes, names, and values that are not too long;
//! - node: several such blocks under a B+tree ([`da`]).
//!
//! A value that is too long for a leaf lies in blocks of its own ([`remote`]), in the same fork.
//! Names belong to one of four namespaces, of which one is for parent pointers
//! ([`parent`](super::parent)).
//!
//! Source: `xfs_da_format.h`, `xfs_attr_leaf.c` and `xfs_attr_remote.c` in `fs/xfs/libxfs` of
//! Linux 7.3, and chapter "Extended Attributes" of the XFS format's documentation.

pub mod leaf;
pub mod remote;
pub mod shortform;

use super::{
    da,
    dahash::NameHash,
    dir,
    fault::{ensure, Fault},
    geometry::Geometry,
    parent::ParentRecord,
    units::DiskAddr,
};

/// Longest name, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest value, in bytes.
pub const MAX_VALUE: u32 = 65536;

/// Who may see an attribute, and what its name is a name in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Namespace {
    /// Everybody's: `user.`.
    User = 0,
    /// The superuser's: `trusted.`, and access control lists.
    Root = 1 << 1,
    /// Security modules': `security.`.
    Secure = 1 << 2,
    /// Parent pointers; never shown as attributes.
    Parent = 1 << 3,
}

/// Flags of an attribute's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct AttrFlags(pub u8);

impl AttrFlags {
    /// The value lies beside the name; leaf blocks only.
    pub const LOCAL: u8 = 1;
    /// All namespace bits.
    pub const NAMESPACES: u8 =
        Namespace::Root as u8 | Namespace::Secure as u8 | Namespace::Parent as u8;
    /// Being made or removed when the system went down; as good as not there.
    pub const INCOMPLETE: u8 = 1 << 7;

    /// Whether the value lies beside the name.
    #[inline]
    pub const fn is_local(self) -> bool {
        self.0 & Self::LOCAL != 0
    }

    /// Whether the attribute is half made.
    #[inline]
    pub const fn is_incomplete(self) -> bool {
        self.0 & Self::INCOMPLETE != 0
    }

    /// The namespace; `None` when the flags name more than one.
    #[inline]
    pub const fn namespace(self) -> Option<Namespace> {
        const ROOT: u8 = Namespace::Root as u8;
        const SECURE: u8 = Namespace::Secure as u8;
        const PARENT: u8 = Namespace::Parent as u8;
        match self.0 & Self::NAMESPACES {
            0 => Some(Namespace::User),
            ROOT => Some(Namespace::Root),
            SECURE => Some(Namespace::Secure),
            PARENT => Some(Namespace::Parent),
            _ => None,
        }
    }

    /// Whether this is a whole attribute of `namespace`.
    #[inline]
    pub const fn is_whole_in(self, namespace: Namespace) -> bool {
        self.0 & (Self::NAMESPACES | Self::INCOMPLETE) == namespace as u8
    }
}

/// Whether an attribute with these flags may bear `name`: up to 255 bytes, none of them zero; a
/// parent pointer's name is that of a directory entry, and it is never incomplete.
pub fn name_is_valid(flags: AttrFlags, name: &[u8]) -> bool {
    match flags.namespace() {
        None => false,
        Some(Namespace::Parent) => !flags.is_incomplete() && dir::name_is_valid(name),
        Some(_) => name.len() <= MAX_NAME && !name.contains(&0),
    }
}

/// Hash by which an attribute is ordered; a parent pointer's also depends on its value.
#[inline]
pub fn hash_of(namespace: Option<Namespace>, name: &[u8], value: &[u8]) -> NameHash {
    match namespace {
        Some(Namespace::Parent) => match ParentRecord::view(value) {
            Some(record) => record.hash(name),
            None => NameHash(0),
        },
        _ => NameHash::of(name),
    }
}

/// Holds a block of an attribute fork's tree, node or leaf, to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_tree(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    match da::magic_of(bytes) {
        Some(da::NODE_MAGIC) => {
            check_size(geo, bytes, "da3 node")?;
            da::verify_node(geo, at, bytes)
        }
        Some(leaf::LEAF_MAGIC) => leaf::verify(geo, at, bytes),
        _ => Err(Fault::corrupt("attr3 tree", "magic")),
    }
}

/// Whether `bytes` are one file system block.
fn check_size(geo: &Geometry, bytes: &[u8], structure: &'static str) -> Result<(), Fault> {
    ensure(bytes.len() == geo.block_size as usize, structure, "size")
}
