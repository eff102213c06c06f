// SPDX-License-Identifier: GPL-2.0

//! Changes of reverse mappings.

use crate::libxfs::format::{
    btree::{Owner, RmapFlags},
    units::FileBlock,
};

/// What is done to a mapping. Source: `XFS_RMAP_EXTENT_*` in `fs/xfs/libxfs/xfs_log_format.h` of
/// Linux 7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RmapUpdateKind {
    /// Add it, where the blocks have no other owner.
    Map,
    /// Add it, where they may.
    MapShared,
    /// Remove it, where the blocks have no other owner.
    Unmap,
    /// Remove it, where they may.
    UnmapShared,
    /// Change it from written to unwritten or back, where the blocks have no other owner.
    Convert,
    /// Change it from written to unwritten or back, where they may.
    ConvertShared,
    /// The blocks are taken by an owner that is no inode.
    Alloc,
    /// The blocks are given back by an owner that is no inode.
    Free,
}

/// A change of a reverse mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmapUpdate {
    /// What is done.
    pub kind: RmapUpdateKind,
    /// Who owns the extent.
    pub owner: Owner,
    /// First block, as its device counts them.
    pub start: u64,
    /// Where it lies in the owner's fork.
    pub offset: FileBlock,
    /// Blocks; not 0.
    pub count: u32,
    /// What for.
    pub flags: RmapFlags,
}
