// SPDX-License-Identifier: GPL-2.0

//! A tree that is changed in a transaction.

use super::{cursor::run, Blocks, BlocksMut, Root};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        btree::{Pointer, Tree},
        geometry::Geometry,
        kind::Kind,
        units::{AgNumber, DiskAddr},
    },
    journal::Journal,
    store::Device,
    trans::{BlockId, Trans},
};
use core::ops::Range;

/// What is special about a tree in a transaction: where its root is noted, and where its blocks
/// come from. One for each kind of tree.
pub trait Hook<J: Journal, T: Tree> {
    /// Where the tree begins.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Invalid` where that cannot be told.
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, T::Pointer>>;

    /// Notes where the tree begins from now on, and how many levels it has.
    ///
    /// # Errors
    ///
    /// `Invalid` for a tree with its root in a fork.
    fn set_root(&mut self, trans: &mut Trans<'_, J>, root: T::Pointer, levels: u32) -> Result;

    /// All bytes of the fork that holds the root, to be changed.
    ///
    /// # Errors
    ///
    /// `Invalid` for a tree with its root in a block.
    fn change_fork<'r>(&'r mut self, trans: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]>;

    /// Allocates a block for the tree, near another one of it if that is possible, and counts it.
    ///
    /// # Errors
    ///
    /// `NoSpace`, and those of allocating.
    fn allocate(
        &mut self,
        trans: &mut Trans<'_, J>,
        near: Option<T::Pointer>,
    ) -> Result<T::Pointer>;

    /// Frees a block of the tree. It is invalidated afterwards.
    ///
    /// # Errors
    ///
    /// Those of freeing.
    fn free(&mut self, trans: &mut Trans<'_, J>, pointer: T::Pointer) -> Result;
}

/// The blocks of a tree in a transaction. Made anew for each call into the engine; see
/// [`Path`](super::Path).
pub struct InTrans<'t, 'a, J: Journal, H> {
    /// The transaction.
    pub trans: &'t mut Trans<'a, J>,
    /// What is special about the tree.
    pub hook: H,
    /// The group in which short pointers reach.
    pub home: AgNumber,
}

impl<J: Journal, T: Tree, H: Hook<J, T>> Blocks<T> for InTrans<'_, '_, J, H> {
    type Block = BlockId;

    fn geometry(&self) -> &Geometry {
        self.trans.geometry()
    }

    fn root(&self) -> Result<Root<'_, T::Pointer>> {
        self.hook.root(self.trans)
    }

    fn address(&self, pointer: T::Pointer) -> Option<DiskAddr> {
        pointer.address(self.trans.geometry(), self.home)
    }

    fn read(&mut self, at: DiskAddr) -> Result<BlockId> {
        let run = run(self.trans.geometry(), at);
        self.trans.read(Device::Data, run, Kind::Btree(T::KIND))
    }

    fn bytes<'b>(&'b self, block: &'b BlockId) -> &'b [u8] {
        self.trans.bytes(*block)
    }

    fn release(&mut self, block: BlockId) {
        self.trans.release(block);
    }

    fn read_ahead(&self, at: DiskAddr) {
        let run = run(self.trans.geometry(), at);
        let journal = self.trans.journal();
        journal.read_ahead(Device::Data, run, Kind::Btree(T::KIND));
    }

    fn interrupted(&self) -> bool {
        // A change that has begun is brought to its end.
        false
    }
}

impl<J: Journal, T: Tree, H: Hook<J, T>> BlocksMut<T> for InTrans<'_, '_, J, H> {
    fn content(&self, block: BlockId) -> &[u8] {
        self.trans.bytes(block)
    }

    fn change(&mut self, block: BlockId, range: Range<usize>) -> Result<&mut [u8]> {
        self.trans.change(block, range)
    }

    fn copy(&mut self, from: BlockId, range: Range<usize>, to: BlockId, at: usize) -> Result {
        self.trans.copy(from, range, to, at)
    }

    fn change_fork(&mut self) -> Result<&mut [u8]> {
        self.hook.change_fork(self.trans)
    }

    fn set_root(&mut self, root: T::Pointer, levels: u32) -> Result {
        self.hook.set_root(self.trans, root, levels)
    }

    fn allocate(&mut self, near: Option<T::Pointer>) -> Result<(T::Pointer, BlockId)> {
        let pointer = self.hook.allocate(self.trans, near)?;
        let geo = self.trans.geometry();
        let at = pointer.address(geo, self.home).ok_or(Error::Invalid)?;
        let kind = Kind::Btree(T::KIND);
        let block = self.trans.fresh(Device::Data, run(geo, at), kind)?;
        Ok((pointer, block))
    }

    fn free(&mut self, pointer: T::Pointer, block: BlockId) -> Result {
        self.hook.free(self.trans, pointer)?;
        self.trans.invalidate(block);
        self.trans.release(block);
        Ok(())
    }
}
