// SPDX-License-Identifier: GPL-2.0

//! The trees of a realtime group (rtrmapbt, rtrefcountbt) in a transaction: each has its root in the
//! data fork of a metadata inode, which the transaction holds.

use super::count_blocks;
use crate::libxfs::{
    btree::{Hook, Root},
    defer::Deferred,
    error::{Error, Result},
    format::{btree::Tree, units::FsBlock},
    inode::{Fork, WhichFork},
    items::{BlockOwner, ExtentFree, Reserve},
    journal::{Claim, Journal},
    space::{self, Place, Wanted},
    store::Device,
    trans::{InodeFields, InodeId, Trans},
};

/// The hook of such a tree.
///
/// Reference counts and owners change where nobody claimed space for that. So a block comes out of
/// the claim only if there is one, and else straight out of what is free.
pub struct MetaHook<'h, 'd, J: Journal> {
    /// Frees blocks later.
    pub deferred: &'h mut Deferred<'d, J>,
    /// The inode.
    pub inode: InodeId,
}

impl<J: Journal> MetaHook<'_, '_, J> {
    fn owner(&self, trans: &Trans<'_, J>) -> Result<BlockOwner> {
        let number = trans.inode(self.inode)?.number;
        Ok(BlockOwner::fork_tree(number, WhichFork::Data))
    }
}

impl<J: Journal, T: Tree<Pointer = FsBlock>> Hook<J, T> for MetaHook<'_, '_, J> {
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, FsBlock>> {
        match &trans.inode(self.inode)?.data {
            Fork::Meta(root) => Ok(Root::Fork(root)),
            _ => Err(Error::Invalid),
        }
    }

    fn set_root(&mut self, _: &mut Trans<'_, J>, _: FsBlock, _: u32) -> Result {
        Err(Error::Invalid)
    }

    fn change_fork<'r>(&'r mut self, trans: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        match &mut trans.change_inode(self.inode, InodeFields::DATA)?.data {
            Fork::Meta(root) => Ok(root),
            _ => Err(Error::Invalid),
        }
    }

    fn allocate(&mut self, trans: &mut Trans<'_, J>, near: Option<FsBlock>) -> Result<FsBlock> {
        let home = super::inode_block(trans.geometry(), trans.inode(self.inode)?.number)?;
        let lent = Claim {
            blocks: 1,
            ..Claim::default()
        };
        if trans.claimed().blocks == 0 {
            trans.journal().claim(lent)?;
            trans.adopt(lent);
        }
        let owner = self.owner(trans)?;
        let wanted = Wanted::metadata(near.unwrap_or(home), Place::Near, owner);
        let block = space::allocate(trans, self.deferred, &wanted)?.ok_or(Error::NoSpace)?;
        count_blocks(trans, self.inode, 1)?;
        Ok(block.start)
    }

    fn free(&mut self, trans: &mut Trans<'_, J>, pointer: FsBlock) -> Result {
        let block = ExtentFree::block(pointer.0, self.owner(trans)?, Reserve::None);
        self.deferred.free_extent(Device::Data, block)?;
        count_blocks(trans, self.inode, -1)
    }
}
