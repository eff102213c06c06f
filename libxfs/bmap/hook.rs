// SPDX-License-Identifier: GPL-2.0

//! The tree of a fork's mappings (bmbt) in a transaction: its root lies in the fork of an inode that
//! the transaction holds.

use super::fields;
use crate::libxfs::{
    btree::{Hook, Root},
    defer::Deferred,
    error::{Error, Result},
    format::{btree::Bmap, fault::Fault, units::FsBlock},
    inode::{BtreeFork, Fork, WhichFork},
    items::{BlockOwner, ExtentFree, Reserve},
    journal::Journal,
    space::{self, Place, Wanted},
    store::Device,
    trans::{InodeFields, InodeId, Trans},
};

/// The hook of such a tree.
pub struct MapHook<'h, 'd, J: Journal> {
    /// Frees blocks later: that changes the free space, which a transaction does in an order of its
    /// own.
    pub deferred: &'h mut Deferred<'d, J>,
    /// The inode.
    pub inode: InodeId,
    /// The fork.
    pub which: WhichFork,
    /// What the tree's first block is to be near to.
    pub near: FsBlock,
}

impl<J: Journal> MapHook<'_, '_, J> {
    fn tree<'t>(&self, trans: &'t Trans<'_, J>) -> Result<&'t BtreeFork> {
        match trans.inode(self.inode)?.fork(self.which) {
            Some(Fork::Btree(tree)) => Ok(tree),
            _ => Err(Error::Invalid),
        }
    }

    fn owner(&self, trans: &Trans<'_, J>) -> Result<BlockOwner> {
        let number = trans.inode(self.inode)?.number;
        Ok(BlockOwner::fork_tree(number, self.which))
    }
}

impl<J: Journal> Hook<J, Bmap> for MapHook<'_, '_, J> {
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, FsBlock>> {
        Ok(Root::Fork(&self.tree(trans)?.root))
    }

    fn set_root(&mut self, _: &mut Trans<'_, J>, _: FsBlock, _: u32) -> Result {
        Err(Error::Invalid)
    }

    fn change_fork<'r>(&'r mut self, trans: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        let inode = trans.change_inode(self.inode, fields(self.which))?;
        match inode.fork_mut(self.which) {
            Some(Fork::Btree(tree)) => Ok(&mut tree.root),
            _ => Err(Error::Invalid),
        }
    }

    fn allocate(&mut self, trans: &mut Trans<'_, J>, near: Option<FsBlock>) -> Result<FsBlock> {
        let owner = self.owner(trans)?;
        let wanted = Wanted::metadata(near.unwrap_or(self.near), Place::Near, owner);
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

/// Counts blocks that an inode has more, or with a negative number fewer: those that its forks map,
/// and those of their trees.
///
/// # Errors
///
/// `Corrupt` where it would have fewer than none.
pub fn count_blocks<J: Journal>(trans: &mut Trans<'_, J>, id: InodeId, n: i64) -> Result {
    let inode = trans.change_inode(id, InodeFields::NONE)?;
    let wrong = Error::inode(Fault::corrupt("dinode", "di_nblocks"), inode.number);
    inode.core.nblocks = inode.core.nblocks.checked_add_signed(n).ok_or(wrong)?;
    Ok(())
}
