// SPDX-License-Identifier: GPL-2.0

//! A transaction as the journal takes it.

use super::{
    block::{BlockState, Blocks, HeldBlock},
    inode::HeldInode,
};
use crate::libxfs::{items::Item, journal::Journal};

/// What a transaction changed. All of it is still locked.
pub struct Changes<'t, J: Journal + ?Sized> {
    pub(super) blocks: &'t mut Blocks<J::Locked>,
    pub(super) inodes: &'t mut [HeldInode<J::Inode>],
    pub(super) items: &'t mut [Item],
}

impl<J: Journal + ?Sized> Changes<'_, J> {
    /// The blocks that were changed: logged, ordered or invalid.
    pub fn blocks(&mut self) -> impl Iterator<Item = &mut HeldBlock<J::Locked>> {
        self.blocks
            .iter_mut()
            .filter(|block| block.state() != BlockState::Clean)
    }

    /// The inodes that were changed.
    pub fn inodes(&mut self) -> impl Iterator<Item = &mut HeldInode<J::Inode>> {
        self.inodes
            .iter_mut()
            .filter(|held| !held.fields().is_empty())
    }

    /// What is logged beside them, in the order in which it was.
    pub fn items(&self) -> &[Item] {
        self.items
    }
}
