// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a fork that holds names come from, and where they go.

use crate::libxfs::{
    error::Result,
    format::units::FileBlock,
    inode::WhichFork,
    journal::Journal,
    store::Run,
    trans::{InodeId, Trans},
};

/// Gives blocks to the fork of an inode and takes them away: the changing half of the fork's map.
///
/// The inode is one that the transaction holds, with its mappings loaded. Map, counters and the
/// fields that are logged are for this to change; the content of the blocks is not.
pub trait ForkSpace<J: Journal> {
    /// Allocates `len` file system blocks, out of those that the transaction claimed, and maps them
    /// at block `at` of the fork, which is a hole. They need not be contiguous.
    ///
    /// # Errors
    ///
    /// `NoSpace`, and those of allocating.
    fn map(
        &mut self,
        trans: &mut Trans<'_, J>,
        inode: InodeId,
        which: WhichFork,
        at: FileBlock,
        len: u32,
    ) -> Result;

    /// Unmaps and frees `len` file system blocks from `at`, all of them mapped.
    ///
    /// # Errors
    ///
    /// `NoSpace` where the map itself would need a block that was not claimed; then nothing has
    /// changed. Those of freeing.
    fn unmap(
        &mut self,
        trans: &mut Trans<'_, J>,
        inode: InodeId,
        which: WhichFork,
        at: FileBlock,
        len: u32,
    ) -> Result;

    /// Makes what the inode holds of the data fork take no more than `bytes` bytes: a list of mappings
    /// moves to a tree, the content of a short directory or a link to blocks. The root of a tree is
    /// made such as it lies in a fork of that size.
    ///
    /// # Errors
    ///
    /// `NoSpace`, and those of allocating; `Unsupported` where it cannot be done.
    fn shrink_data_fork(
        &mut self,
        trans: &mut Trans<'_, J>,
        inode: InodeId,
        bytes: usize,
    ) -> Result;

    /// Writes blocks of an attribute's value, `bytes`, to their place on the data device, past the
    /// log, and returns once they are stable: the transaction that makes the value known commits
    /// afterwards. What the cache has of them is forgotten.
    ///
    /// # Errors
    ///
    /// `Io`, `NoMemory`, `Shutdown`.
    fn write_value(&mut self, trans: &mut Trans<'_, J>, run: Run, bytes: &[u8]) -> Result;
}
