// SPDX-License-Identifier: GPL-2.0

//! The kinds of metadata block, and the one place that verifies them.
//!
//! A block is read as one of these. The store runs [`Kind::verify`] once, when the bytes come from
//! the disk, and remembers the kind; a later reader that asks for another kind has them verified
//! again. One enum and one match, where C has a table of function pointers.

mod seal;

use super::{
    ag::{agf, agfl, agi},
    attr,
    btree::{self, TreeKind},
    dir,
    fault::Fault,
    geometry::Geometry,
    inode, quota, rt, sb, symlink,
    units::DiskAddr,
};

/// What a metadata block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes without a format of their own; nothing is verified.
    Raw,
    /// Block of directory entries, in leaf and node form.
    DirData,
    /// Directory in block form.
    DirBlock,
    /// The only leaf of a directory in leaf form.
    DirLeaf,
    /// Block of the hash tree of a directory in node form: a node or a leaf.
    DirTree,
    /// Free index block of a directory in node form.
    DirFree,
    /// Block of an attribute fork's tree: a node or a leaf, or the only leaf.
    AttrTree,
    /// One or more blocks of a long attribute's value, one behind the other on the disk.
    AttrRemote,
    /// Superblock: a copy in a group other than the first, or the first itself.
    Superblock,
    /// Free-space header of a group.
    Agf,
    /// Inode header of a group.
    Agi,
    /// Blocks kept for a group's free-space trees.
    Agfl,
    /// A block of a B+tree.
    Btree(TreeKind),
    /// Cluster of inodes: see [`inode::cluster`].
    InodeCluster,
    /// Run of blocks with a part of a symbolic link's target.
    Symlink,
    /// Block of quota records.
    Dquots,
    /// The realtime section's superblock.
    RtSuperblock,
    /// Block of a realtime bitmap or summary.
    Rt(rt::RtFile),
}

impl Kind {
    /// Holds `bytes`, read from `at`, to every rule of this kind that needs no other block.
    ///
    /// Owners are not known here; the walker that followed a pointer to the block checks them.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn verify(self, geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Kind::Raw => Ok(()),
            Kind::DirData => dir::data::verify_data(geo, at, bytes),
            Kind::DirBlock => dir::data::verify_block(geo, at, bytes),
            Kind::DirLeaf => dir::leaf::verify(geo, at, bytes, dir::leaf::LeafKind::Single),
            Kind::DirTree => dir::verify_tree(geo, at, bytes),
            Kind::DirFree => dir::free::verify(geo, at, bytes),
            Kind::AttrTree => attr::verify_tree(geo, at, bytes),
            Kind::AttrRemote => attr::remote::verify(geo, at, bytes),
            Kind::Superblock => sb::verify(bytes)
                .map(|_| ())
                .map_err(|refusal| refusal.fault()),
            Kind::Agf => agf::verify(geo, at, bytes).map(|_| ()),
            Kind::Agi => agi::verify(geo, at, bytes).map(|_| ()),
            Kind::Agfl => agfl::verify(geo, at, bytes).map(|_| ()),
            Kind::Btree(tree) => verify_btree(tree, geo, at, bytes),
            Kind::Symlink => symlink::verify(geo, at, bytes),
            Kind::Dquots => quota::verify(geo, bytes),
            Kind::RtSuperblock => rt::verify_superblock(geo, bytes),
            Kind::Rt(file) => rt::verify(geo, at, bytes, file),
            Kind::InodeCluster => inode::cluster::verify(geo, at, bytes),
        }
    }
}

fn verify_btree(tree: TreeKind, geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    match tree {
        TreeKind::Bno => btree::verify::<btree::Bno>(geo, at, bytes).map(|_| ()),
        TreeKind::Cnt => btree::verify::<btree::Cnt>(geo, at, bytes).map(|_| ()),
        TreeKind::Ino => btree::verify::<btree::Ino>(geo, at, bytes).map(|_| ()),
        TreeKind::Fino => btree::verify::<btree::Fino>(geo, at, bytes).map(|_| ()),
        TreeKind::Rmap => btree::verify::<btree::Rmap>(geo, at, bytes).map(|_| ()),
        TreeKind::Refcount => btree::verify::<btree::Refcount>(geo, at, bytes).map(|_| ()),
        TreeKind::Bmap => btree::verify::<btree::Bmap>(geo, at, bytes).map(|_| ()),
        TreeKind::RtRmap => btree::verify::<btree::RtRmap>(geo, at, bytes).map(|_| ()),
        TreeKind::RtRefcount => btree::verify::<btree::RtRefcount>(geo, at, bytes).map(|_| ()),
    }
}
