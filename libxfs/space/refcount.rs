// SPDX-License-Identifier: GPL-2.0

//! A group's reference-count tree: where its root is noted, and where its blocks come from.

use super::{allocate, BlockOwner, Place, Reserve, Wanted};
use crate::libxfs::{
    ag::LockedAgf,
    btree::{Hook, Root},
    defer::Deferred,
    error::{Error, Result},
    format::{
        btree::{Owner, Refcount},
        units::AgBlock,
    },
    items::ExtentFree,
    journal::Journal,
    store::Device,
    trans::Trans,
};

const OWNER: BlockOwner = BlockOwner::new(Owner::RefcountTree);

/// The hook of the tree. Its blocks come out of what the group keeps for them, and are freed later.
pub struct RefcountTree<'h, 'd, J: Journal> {
    agf: LockedAgf,
    deferred: &'h mut Deferred<'d, J>,
}

impl<'h, 'd, J: Journal> RefcountTree<'h, 'd, J> {
    /// Of that group.
    pub fn new(agf: LockedAgf, deferred: &'h mut Deferred<'d, J>) -> Self {
        Self { agf, deferred }
    }

    /// Counts a block that the tree has more, or fewer.
    fn count(&self, trans: &mut Trans<'_, J>, n: i32) -> Result {
        let corrupt = self.agf.corrupt(trans, "refcount_blocks");
        self.agf.update(trans, |agf| {
            let blocks = agf.refcount_blocks.get().checked_add_signed(n);
            agf.refcount_blocks.set(blocks.ok_or(corrupt)?);
            Ok(())
        })
    }
}

impl<J: Journal> Hook<J, Refcount> for RefcountTree<'_, '_, J> {
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, AgBlock>> {
        let (root, levels) = self.agf.get(trans)?.refcount();
        Ok(Root::Block(root, levels))
    }

    fn set_root(&mut self, trans: &mut Trans<'_, J>, root: AgBlock, levels: u32) -> Result {
        self.agf.update(trans, |agf| {
            agf.refcount_root.set(root.0);
            agf.refcount_level.set(levels);
            Ok(())
        })
    }

    fn change_fork<'r>(&'r mut self, _: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        Err(Error::Invalid)
    }

    fn allocate(&mut self, trans: &mut Trans<'_, J>, near: Option<AgBlock>) -> Result<AgBlock> {
        let geo = trans.geometry();
        let near = match near {
            Some(near) => near,
            None => self.agf.get(trans)?.refcount().0,
        };
        let target = geo.fs_block(self.agf.ag, near).ok_or(Error::Invalid)?;
        let wanted = Wanted {
            reserve: Reserve::Metadata,
            ..Wanted::metadata(target, Place::InGroup, OWNER)
        };
        let extent = allocate(trans, self.deferred, &wanted)?.ok_or(Error::NoSpace)?;
        self.count(trans, 1)?;
        let (_, block) = geo.split_fs_block(extent.start).ok_or(Error::Invalid)?;
        Ok(block)
    }

    fn free(&mut self, trans: &mut Trans<'_, J>, block: AgBlock) -> Result {
        let block = trans.geometry().fs_block(self.agf.ag, block);
        let start = block.ok_or_else(|| self.agf.corrupt(trans, "refcount_root"))?;
        self.count(trans, -1)?;
        let extent = ExtentFree::block(start.0, OWNER, Reserve::Metadata);
        self.deferred.free_extent(Device::Data, extent)
    }
}
