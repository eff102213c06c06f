// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a tree come from: what the engine asks of whoever keeps a tree.
//!
//! A tree that is only read lies in a [`Store`](crate::libxfs::store::Store); one that is changed in
//! a transaction. The engine is the same; it is handed its blocks with each call, so that several
//! cursors can stand in one transaction.

use crate::libxfs::{
    error::Result,
    format::{btree::Tree, geometry::Geometry, units::DiskAddr},
};
use core::ops::Range;

/// Where a tree begins.
#[derive(Clone, Copy, Debug)]
pub enum Root<'a, P> {
    /// A block that a header names, and the tree's levels.
    Block(P, u32),
    /// The fork of an inode: all of its bytes.
    Fork(&'a [u8]),
}

/// The blocks of one tree.
pub trait Blocks<T: Tree> {
    /// A block that is held.
    type Block;

    /// The file system's shape.
    fn geometry(&self) -> &Geometry;

    /// Where the tree begins.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Invalid` where that cannot be told.
    fn root(&self) -> Result<Root<'_, T::Pointer>>;

    /// Where a block lies; `None` where no block of the tree can be.
    fn address(&self, pointer: T::Pointer) -> Option<DiskAddr>;

    /// Reads the block at `at`, and verifies it as one of this kind of tree.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    fn read(&mut self, at: DiskAddr) -> Result<Self::Block>;

    /// The bytes of a block.
    fn bytes<'b>(&'b self, block: &'b Self::Block) -> &'b [u8];

    /// Gives a block back.
    fn release(&mut self, block: Self::Block);

    /// Asks for a block that will be read soon. Failing is silent.
    fn read_ahead(&self, at: DiskAddr);

    /// Whether a long walk should be given up.
    fn interrupted(&self) -> bool;
}

/// The blocks of one tree that can be changed.
pub trait BlocksMut<T: Tree>: Blocks<T, Block: Copy> {
    /// The bytes of a block.
    fn content(&self, block: Self::Block) -> &[u8];

    /// Bytes of a block, to be changed.
    ///
    /// # Errors
    ///
    /// `Invalid` for a range outside the block.
    fn change(&mut self, block: Self::Block, range: Range<usize>) -> Result<&mut [u8]>;

    /// Copies bytes of a block to byte `at` of another, or of the same.
    ///
    /// # Errors
    ///
    /// `Invalid` for ranges outside the blocks.
    fn copy(
        &mut self,
        from: Self::Block,
        range: Range<usize>,
        to: Self::Block,
        at: usize,
    ) -> Result;

    /// All bytes of the fork that holds the root, to be changed.
    ///
    /// # Errors
    ///
    /// `Invalid` for a tree with its root in a block.
    fn change_fork(&mut self) -> Result<&mut [u8]>;

    /// Says where the tree begins from now on, and how many levels it has.
    ///
    /// # Errors
    ///
    /// `Invalid` for a tree with its root in a fork.
    fn set_root(&mut self, root: T::Pointer, levels: u32) -> Result;

    /// Allocates a block, near another one of the tree if that is possible. It holds zeroes.
    ///
    /// # Errors
    ///
    /// `NoSpace`, and those of allocating.
    fn allocate(&mut self, near: Option<T::Pointer>) -> Result<(T::Pointer, Self::Block)>;

    /// Frees a block of the tree.
    ///
    /// # Errors
    ///
    /// Those of freeing.
    fn free(&mut self, pointer: T::Pointer, block: Self::Block) -> Result;
}
