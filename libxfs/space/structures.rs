// SPDX-License-Identifier: GPL-2.0

//! The structures that deferred work changes, as they are in a file system.

use super::{free, prepare::settle_list, refcount::RefcountTree};
use crate::libxfs::{
    ag::{Listed, LockedAgf},
    btree::{Hook, Root},
    defer::{Deferred, Structures},
    error::{Error, Result},
    format::{
        btree::Tree,
        units::{AgNumber, FsBlock, InodeNumber, RtGroup},
    },
    items::{BmapUpdate, ExtentFree},
    journal::Journal,
    store::Device,
    trans::Trans,
};
use core::convert::Infallible;

/// The groups of the data device. Their trees of owners and of shared extents, and their free space,
/// are what deferred work changes; files and realtime groups are not known here.
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
        = Infallible
    where
        J: 'd,
        'd: 'h;
    type RtRefcount<'h, 'd>
        = Infallible
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
        _: &mut Trans<'_, J>,
        _: &'h mut Deferred<'d, J>,
        _: RtGroup,
    ) -> Result<(InodeNumber, Infallible)> {
        Err(Error::Unsupported)
    }

    fn rt_refcount<'h, 'd>(
        &'h mut self,
        _: &mut Trans<'_, J>,
        _: &'h mut Deferred<'d, J>,
        _: RtGroup,
    ) -> Result<(InodeNumber, Infallible)> {
        Err(Error::Unsupported)
    }

    fn free_extent(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        (device, extent): (Device, ExtentFree),
        begun: bool,
    ) -> Result<u32> {
        if device != Device::Data {
            return Err(Error::Unsupported);
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
        _: &mut Trans<'_, J>,
        _: &mut Deferred<'_, J>,
        _: &BmapUpdate,
        _: bool,
    ) -> Result<u32> {
        Err(Error::Unsupported)
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

/// The tree of a realtime group, of which there is none here.
impl<J: Journal, T: Tree> Hook<J, T> for Infallible {
    fn root<'r>(&'r self, _: &'r Trans<'_, J>) -> Result<Root<'r, T::Pointer>> {
        match *self {}
    }

    fn set_root(&mut self, _: &mut Trans<'_, J>, _: T::Pointer, _: u32) -> Result {
        match *self {}
    }

    fn change_fork<'r>(&'r mut self, _: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        match *self {}
    }

    fn allocate(&mut self, _: &mut Trans<'_, J>, _: Option<T::Pointer>) -> Result<T::Pointer> {
        match *self {}
    }

    fn free(&mut self, _: &mut Trans<'_, J>, _: T::Pointer) -> Result {
        match *self {}
    }
}
