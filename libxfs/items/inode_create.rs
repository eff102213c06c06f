// SPDX-License-Identifier: GPL-2.0

//! Chunks of inodes that were made: recovery makes them again, so their blocks are not logged.

use crate::libxfs::format::units::{AgBlock, AgNumber};

/// A chunk of inodes, or the part of one, that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeCreate {
    /// The group.
    pub ag: AgNumber,
    /// The first block.
    pub block: AgBlock,
    /// Inodes.
    pub inodes: u32,
    /// Bytes of an inode.
    pub inode_size: u32,
    /// Blocks.
    pub blocks: u32,
    /// Generation that all inodes start with.
    pub generation: u32,
}
