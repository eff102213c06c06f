// SPDX-License-Identifier: GPL-2.0

//! Changes of a fork's map.

use crate::libxfs::{
    format::units::{FileBlock, InodeNumber},
    inode::WhichFork,
};

/// What is done to the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BmapUpdateKind {
    /// Add the extent.
    Map,
    /// Remove it.
    Unmap,
}

/// A change of a fork's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BmapUpdate {
    /// What is done.
    pub kind: BmapUpdateKind,
    /// Whose fork.
    pub inode: InodeNumber,
    /// Which fork.
    pub fork: WhichFork,
    /// Where the extent lies in the fork.
    pub offset: FileBlock,
    /// Its first block, as its device counts them.
    pub start: u64,
    /// Blocks; not 0.
    pub count: u32,
    /// Allocated, not yet written.
    pub unwritten: bool,
    /// Whether the blocks are of the realtime device.
    pub realtime: bool,
}
