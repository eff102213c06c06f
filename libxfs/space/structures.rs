// SPDX-License-Identifier: GPL-2.0

//! The structures that deferred work changes, as they are in a file system.

use super::{free, free_rt, prepare::settle_list, refcount::RefcountTree};
use crate::libxfs::{
    ag::{Listed, LockedAgf},
    attr::{
        self,
        change::{AttrChange, Stage},
    },
    bmap::{self, MapSpace, MetaHook},
    defer::{Deferred, Structures},
    error::{Error, Result},
    format::{
        fault::Fault,
        rt,
        units::{div_up, AgNumber, FsBlock, InodeNumber, RtBlock, RtGroup},
    },
    inode::WhichFork,
    items::{BmapUpdate, Exchange, ExtentFree},
    journal::Journal,
    rt::GroupFile,
    store::Device,
    trans::{InodeId, Trans},
};

/// The groups of both devices, and files: trees of owners and of shared extents, free space, and forks.
///
/// Inodes that work needs, those with the trees of realtime groups among them, are locked by their
/// numbers where the transaction does not hold them, and stay so to the end of the chain.
#[derive(Clone, Copy, Debug)]
pub struct Groups;

impl Groups {
    /// Whether the transaction has room to free one more extent. That changes records at one place of
    /// the tree by block and of that by owner, and at three of that by length; at each place, on each
    /// level, a block and one that comes of its split or goes with it.
    fn has_room<J: Journal>(trans: &mut Trans<'_, J>, agf: &LockedAgf) -> Result<bool> {
        let header = agf.get(trans)?;
        let levels = header
            .bno_level
            .get()
            .saturating_add(header.cnt_level.get().saturating_mul(3));
        let levels = if trans.geometry().features.rmapbt() {
            levels.saturating_add(header.rmap_level.get())
        } else {
            levels
        };
        let blocks = levels.saturating_add(5).saturating_mul(2);
        let needed = trans.block_log_bytes(blocks);
        Ok(trans.log_room() >= needed)
    }
}

impl<J: Journal> Structures<J> for Groups {
    type Rmap<'h, 'd>
        = Listed
    where
        J: 'd,
        'd: 'h;
    type Refcount<'h, 'd>
        = RefcountTree<'h, 'd, J>
    where
        J: 'd,
        'd: 'h;
    type RtRmap<'h, 'd>
        = MetaHook<'h, 'd, J>
    where
        J: 'd,
        'd: 'h;
    type RtRefcount<'h, 'd>
        = MetaHook<'h, 'd, J>
    where
        J: 'd,
        'd: 'h;

    fn rmap<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        ag: AgNumber,
    ) -> Result<Listed> {
        lock(trans, deferred, ag).map(Listed)
    }

    fn refcount<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        ag: AgNumber,
    ) -> Result<RefcountTree<'h, 'd, J>> {
        let agf = lock(trans, deferred, ag)?;
        Ok(RefcountTree::new(agf, deferred))
    }

    fn rt_rmap<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        group: RtGroup,
    ) -> Result<(InodeNumber, MetaHook<'h, 'd, J>)> {
        tree_of(trans, deferred, group, GroupFile::Rmap)
    }

    fn rt_refcount<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        group: RtGroup,
    ) -> Result<(InodeNumber, MetaHook<'h, 'd, J>)> {
        tree_of(trans, deferred, group, GroupFile::Refcount)
    }

    fn free_extent(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        (device, extent): (Device, ExtentFree),
        begun: bool,
    ) -> Result<u32> {
        match device {
            Device::Data => {}
            Device::Realtime => return free_realtime(trans, &extent, begun),
            Device::Log => return Err(Error::Invalid),
        }
        let start = FsBlock(extent.start);
        let (ag, _) = trans
            .geometry()
            .split_fs_block(start)
            .ok_or(Error::Invalid)?;
        let agf = LockedAgf::lock(trans, ag)?;
        if begun && !Self::has_room(trans, &agf)? {
            return Ok(0);
        }
        free(
            trans,
            deferred,
            start,
            extent.count,
            extent.owner,
            extent.reserve,
        )?;
        Ok(extent.count)
    }

    fn update_bmap(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        update: &BmapUpdate,
        _: bool,
    ) -> Result<u32> {
        let id = trans.hold_inode(update.inode)?;
        bmap::update(trans, deferred, id, update)
    }

    fn change_attr(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        inode: InodeId,
        change: &AttrChange<'_>,
        stage: Stage,
    ) -> Result<Stage> {
        trans.load_extents(inode, WhichFork::Data)?;
        trans.load_extents(inode, WhichFork::Attr)?;
        attr::change::step(trans, &mut MapSpace { deferred }, inode, change, stage)
    }

    fn exchange(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        exchange: &Exchange,
    ) -> Result<Option<Exchange>> {
        let [one, two] = exchange.files;
        // Two inodes are locked in ascending order.
        let first = trans.hold_inode(one.inode.min(two.inode))?;
        let second = trans.hold_inode(one.inode.max(two.inode))?;
        let ids = if one.inode <= two.inode {
            [first, second]
        } else {
            [second, first]
        };
        for (id, file) in ids.into_iter().zip(exchange.files) {
            // In a log it may be that of an inode that is no more.
            if trans.inode(id)?.core.generation != file.generation {
                return Err(Error::inode(Fault::corrupt("xmi", "xmi_igen"), file.inode));
            }
        }
        bmap::exchange(trans, deferred, ids, exchange)
    }
}

/// Locks a group whose trees are about to be changed.
fn lock<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    ag: AgNumber,
) -> Result<LockedAgf> {
    let agf = LockedAgf::lock(trans, ag)?;
    settle_list(trans, deferred, &agf)?;
    Ok(agf)
}

/// Frees an extent of the realtime device.
fn free_realtime<J: Journal>(
    trans: &mut Trans<'_, J>,
    extent: &ExtentFree,
    begun: bool,
) -> Result<u32> {
    // A block of the bitmap more than the bits take, and as many of the summary as there are counts
    // that change.
    let geo = trans.geometry();
    let per_block = rt::extents_per_block(geo).saturating_mul(geo.rt_extent_size.into());
    let bitmap = div_up(extent.count.into(), per_block).unwrap_or(0);
    let blocks = u32::try_from(bitmap).unwrap_or(u32::MAX).saturating_add(4);
    if begun && trans.log_room() < trans.block_log_bytes(blocks) {
        return Ok(0);
    }
    free_rt(trans, RtBlock(extent.start), extent.count)?;
    Ok(extent.count)
}

/// The tree in a file of a realtime group, whose inode is locked.
fn tree_of<'h, 'd, J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &'h mut Deferred<'d, J>,
    group: RtGroup,
    file: GroupFile,
) -> Result<(InodeNumber, MetaHook<'h, 'd, J>)> {
    let number = trans.journal().rt_file(Some(group), file)?.number;
    let inode = trans.hold_inode(number)?;
    Ok((number, MetaHook { deferred, inode }))
}
