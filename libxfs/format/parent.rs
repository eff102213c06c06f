// SPDX-License-Identifier: GPL-2.0

//! Parent pointers: an attribute of a file for each directory entry that names it.
//!
//! The attribute's name is the entry's name, and its value tells the directory. It lies in a
//! namespace of its own, and its hash mixes the directory in, so that links of the same name in
//! many directories do not collide.
//!
//! Source: `xfs_parent_rec` in `xfs_da_format.h` and `xfs_parent.c` in `fs/xfs/libxfs` of Linux
//! 7.3.

use super::{
    dahash::NameHash,
    dir,
    fault::{ensure, Fault},
    geometry::Geometry,
    units::InodeNumber,
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const STRUCTURE: &str = "parent pointer";

/// Value of a parent pointer (`xfs_parent_rec`, 12 bytes): a directory.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ParentRecord {
    /// Its inode number.
    pub ino: U64,
    /// Its generation.
    pub gen: U32,
}

impl ParentRecord {
    /// The record in an attribute's value; `None` when that has another size.
    #[inline]
    pub fn view(value: &[u8]) -> Option<&Self> {
        Self::ref_from_bytes(value).ok()
    }

    /// The directory.
    #[inline]
    pub fn inode(&self) -> InodeNumber {
        InodeNumber(self.ino.get())
    }

    /// The directory's generation.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.gen.get()
    }

    /// Hash of the parent pointer for an entry `name` in this directory.
    #[inline]
    pub fn hash(&self, name: &[u8]) -> NameHash {
        let ino = self.ino.get();
        NameHash(NameHash::of(name).0 ^ (ino >> 32) as u32 ^ ino as u32)
    }

    /// The parent pointer that a whole attribute of the parent namespace is. Values elsewhere than
    /// beside the name are `None`, and never parent pointers.
    ///
    /// # Errors
    ///
    /// A fault when the file system has no parent pointers, the name is none of an entry, or the
    /// value none of a parent pointer.
    pub fn from_attr<'a>(
        geo: &Geometry,
        name: &[u8],
        value: Option<&'a [u8]>,
    ) -> Result<&'a Self, Fault> {
        ensure(geo.features.parent(), STRUCTURE, "feature")?;
        ensure(dir::name_is_valid(name), STRUCTURE, "name")?;
        let record = value
            .and_then(Self::view)
            .ok_or(Fault::corrupt(STRUCTURE, "value"))?;
        ensure(dir::inode_is_valid(geo, record.inode()), STRUCTURE, "inode")?;
        Ok(record)
    }
}

const _: () = assert!(size_of::<ParentRecord>() == 12);
