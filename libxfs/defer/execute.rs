// SPDX-License-Identifier: GPL-2.0

//! What each kind of work does.

use super::{
    work::{Part, Progress},
    Deferred,
};
use crate::libxfs::{
    attr::change::AttrChange,
    btree::{Hook, InTrans, Root},
    error::{Error, Result},
    format::{
        btree::{Node, Refcount, Rmap, RmapRecord, RtRefcount, RtRmap, Tree},
        fault::Fault,
        geometry::Geometry,
        units::{AgBlock, AgNumber, FsBlock, InodeNumber, RtBlock, RtGroup, RtGroupBlock},
    },
    items::{
        AttrStage, AttrUpdate, BmapUpdate, Exchange, ExtentFree, RefcountUpdate, RmapUpdate, Work,
    },
    journal::Journal,
    refcount::{Counts, Step},
    rmap::Mappings,
    store::Device,
    trans::{InodeId, Trans},
};

/// The structures that work changes: where their trees have their roots and take their blocks from.
pub trait Structures<J: Journal> {
    /// The tree of a group's reverse mappings.
    type Rmap<'h, 'd>: Hook<J, Rmap>
    where
        Self: 'h,
        J: 'd,
        'd: 'h;
    /// The tree of a group's reference counts.
    type Refcount<'h, 'd>: Hook<J, Refcount>
    where
        Self: 'h,
        J: 'd,
        'd: 'h;
    /// The tree of a realtime group's reverse mappings.
    type RtRmap<'h, 'd>: Hook<J, RtRmap>
    where
        Self: 'h,
        J: 'd,
        'd: 'h;
    /// The tree of a realtime group's reference counts.
    type RtRefcount<'h, 'd>: Hook<J, RtRefcount>
    where
        Self: 'h,
        J: 'd,
        'd: 'h;

    /// Locks a group, and sees that its spare blocks suffice for one change of its trees. What is too
    /// much of them, and blocks that the tree gives up, it asks `deferred` to free.
    ///
    /// # Errors
    ///
    /// `NoSpace`, those of reading and of corruption.
    fn rmap<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        ag: AgNumber,
    ) -> Result<Self::Rmap<'h, 'd>>;

    /// As [`rmap`](Self::rmap).
    ///
    /// # Errors
    ///
    /// As [`rmap`](Self::rmap).
    fn refcount<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        ag: AgNumber,
    ) -> Result<Self::Refcount<'h, 'd>>;

    /// Locks the file with the tree of a realtime group, and says which inode it is.
    ///
    /// # Errors
    ///
    /// `NoSpace`, those of reading and of corruption.
    fn rt_rmap<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        group: RtGroup,
    ) -> Result<(InodeNumber, Self::RtRmap<'h, 'd>)>;

    /// As [`rt_rmap`](Self::rt_rmap).
    ///
    /// # Errors
    ///
    /// As [`rt_rmap`](Self::rt_rmap).
    fn rt_refcount<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        deferred: &'h mut Deferred<'d, J>,
        group: RtGroup,
    ) -> Result<(InodeNumber, Self::RtRefcount<'h, 'd>)>;

    /// Frees an extent, and removes its owner's reverse mapping. Returns
    /// how many blocks it freed. These can be fewer where the transaction has no room for more;
    /// where it has `begun`, and not else, even none.
    ///
    /// # Errors
    ///
    /// Those of changing the free space.
    fn free_extent(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        extent: (Device, ExtentFree),
        begun: bool,
    ) -> Result<u32>;

    /// Maps or unmaps an extent of a file. Returns how many blocks are done, as
    /// [`free_extent`](Self::free_extent) does.
    ///
    /// # Errors
    ///
    /// Those of changing the map.
    fn update_bmap(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        update: &BmapUpdate,
        begun: bool,
    ) -> Result<u32>;

    /// Takes a change of an attribute of an inode that is held one stage further, and returns the
    /// next: what [`attr::change::step`](crate::libxfs::attr::change::step) does, out of the space
    /// of these structures.
    ///
    /// # Errors
    ///
    /// Those of that; `Unsupported` where there is no space for attributes.
    fn change_attr(
        &mut self,
        _trans: &mut Trans<'_, J>,
        _deferred: &mut Deferred<'_, J>,
        _inode: InodeId,
        _change: &AttrChange<'_>,
        _stage: AttrStage,
    ) -> Result<AttrStage> {
        Err(Error::Unsupported)
    }

    /// Exchanges mappings of two files, as many as the transaction has room for. Returns what is
    /// left.
    ///
    /// # Errors
    ///
    /// Those of changing maps; `Unsupported` where they cannot be exchanged.
    fn exchange(
        &mut self,
        _trans: &mut Trans<'_, J>,
        _deferred: &mut Deferred<'_, J>,
        _exchange: &Exchange,
    ) -> Result<Option<Exchange>> {
        Err(Error::Unsupported)
    }
}

/// Does work, as far as there is room in the transaction, and returns the rest.
pub(super) fn execute<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    work: &Work,
) -> Result<Option<Work>> {
    let mut progress = Progress::default();
    match work {
        Work::ExtentFree(device, extents) => {
            free_extents(trans, deferred, on, (*device, extents), &mut progress)?;
        }
        Work::RmapUpdate(device, updates) => {
            update_rmaps(trans, deferred, on, (*device, updates), &mut progress)?;
        }
        Work::RefcountUpdate(device, updates) => {
            update_refcounts(trans, deferred, on, (*device, updates), &mut progress)?;
        }
        Work::BmapUpdate(update) => {
            let done = on.update_bmap(trans, deferred, update, false)?;
            if done == 0 {
                return Err(Error::Invalid);
            }
            return Ok(update.behind(done).map(Work::BmapUpdate));
        }
        Work::AttrUpdate(update) => {
            let stage = update_attr(trans, deferred, on, update)?;
            return behind(update, stage);
        }
        Work::Exchange(exchange) => {
            let rest = on.exchange(trans, deferred, exchange)?;
            return Ok(rest.map(Work::Exchange));
        }
    }
    if progress.is_none() {
        // It would be asked for again without end.
        return Err(Error::Invalid);
    }
    work.rest(progress)
}

/// What is left of a change of an attribute, which comes to `stage` next.
#[inline(never)]
fn behind(update: &AttrUpdate, stage: AttrStage) -> Result<Option<Work>> {
    let rest = (stage != AttrStage::Done).then(|| update.at(stage));
    Ok(rest.transpose()?.map(Work::AttrUpdate))
}

// One function a kind of work: what one of them needs of the stack another one has free.

#[inline(never)]
fn free_extents<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    (device, extents): (Device, &[ExtentFree]),
    progress: &mut Progress,
) -> Result {
    for extent in extents {
        let begun = progress.has_begun();
        let done = on.free_extent(trans, deferred, (device, *extent), begun)?;
        if !progress.add(done, extent.count) {
            break;
        }
    }
    Ok(())
}

#[inline(never)]
fn update_rmaps<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    (device, updates): (Device, &[RmapUpdate]),
    progress: &mut Progress,
) -> Result {
    for update in updates {
        let begun = progress.has_begun();
        let done = update_rmap(trans, deferred, on, (device, update), begun)?;
        if !progress.add(done, update.count) {
            break;
        }
    }
    Ok(())
}

#[inline(never)]
fn update_refcounts<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    (device, updates): (Device, &[RefcountUpdate]),
    progress: &mut Progress,
) -> Result {
    for update in updates {
        let begun = progress.has_begun();
        let done = update_refcount(trans, deferred, on, (device, update), begun)?;
        if !progress.add(done, update.count) {
            break;
        }
    }
    Ok(())
}

/// The group and the block in it where an extent of the data device begins.
fn in_group(geo: &Geometry, start: u64, count: u32) -> Result<(AgNumber, AgBlock)> {
    let (ag, block) = geo.split_fs_block(FsBlock(start)).ok_or(Error::Invalid)?;
    if geo.ag_extent_is_valid(ag, block, count) {
        Ok((ag, block))
    } else {
        Err(Error::Invalid)
    }
}

/// The group and the block in it where an extent of the realtime device begins.
fn in_rt_group(geo: &Geometry, start: u64, count: u32) -> Result<(RtGroup, RtGroupBlock)> {
    let (group, block) = geo.split_rt_block(RtBlock(start)).ok_or(Error::Invalid)?;
    if geo.rt_group_extent_is_valid(group, block, count) {
        Ok((group, block))
    } else {
        Err(Error::Invalid)
    }
}

/// Whether the transaction has room for one more change of a tree, and for the intents of what was
/// asked, `parts` of them. A change is at one place of the tree; there it may touch, on each level, a block, its
/// neighbours and a new one, and it may add a level. The group's headers and spare blocks come on
/// top.
fn has_room<J: Journal, T: Tree, H: Hook<J, T>>(
    trans: &mut Trans<'_, J>,
    asked: u32,
    hook: &H,
) -> Result<bool> {
    let levels = match hook.root(trans)? {
        Root::Block(_, levels) => levels,
        Root::Fork(fork) => Node::<T>::of_root(fork)
            .map_or(1, |root| u32::from(root.level()))
            .saturating_add(1),
    };
    let blocks = levels.saturating_add(1).saturating_mul(4);
    let needed = trans.block_log_bytes(blocks).saturating_add(asked);
    Ok(trans.log_room() >= needed)
}

/// Takes a change of an attribute one stage further.
fn update_attr<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    update: &AttrUpdate,
) -> Result<AttrStage> {
    let again = deferred.is_recovered();
    let inode = trans.hold_inode(update.inode)?;
    let generation = trans.inode(inode)?.core.generation;
    if update.operation.is_parent() && generation != update.generation {
        let fault = Fault::corrupt("attri", "alfi_igen");
        return Err(Error::inode(fault, update.inode));
    }
    let change = AttrChange::of_update(update, again);
    match on.change_attr(trans, deferred, inode, &change, update.stage) {
        // It was removed before the machine stopped.
        Err(Error::NoAttribute) if again && update.stage == AttrStage::Start => Ok(AttrStage::Done),
        stage => stage,
    }
}

fn update_rmap<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    (device, update): (Device, &RmapUpdate),
    begun: bool,
) -> Result<u32> {
    let geo = trans.geometry();
    let asked = deferred.asked_bytes();
    match device {
        Device::Data => {
            let (ag, block) = in_group(geo, update.start, update.count)?;
            let hook = on.rmap(trans, deferred, ag)?;
            if begun && !has_room::<J, Rmap, _>(trans, asked, &hook)? {
                return Ok(0);
            }
            let home = ag;
            let mut blocks = InTrans { trans, hook, home };
            Mappings::<_, Rmap>::new(&mut blocks, ag, ag.0.into())
                .apply(update.kind, &mapping(block, update))?;
        }
        Device::Realtime => {
            let (group, block) = in_rt_group(geo, update.start, update.count)?;
            let (inode, hook) = on.rt_rmap(trans, deferred, group)?;
            if begun && !has_room::<J, RtRmap, _>(trans, asked, &hook)? {
                return Ok(0);
            }
            let home = RtRmap::home(group);
            let mut blocks = InTrans { trans, hook, home };
            Mappings::<_, RtRmap>::new(&mut blocks, group, inode.0)
                .apply(update.kind, &mapping(block, update))?;
        }
        Device::Log => return Err(Error::Invalid),
    }
    Ok(update.count)
}

/// The mapping that an update is about.
fn mapping<N>(start: N, update: &RmapUpdate) -> RmapRecord<N> {
    RmapRecord {
        start,
        count: update.count,
        owner: update.owner,
        offset: update.offset,
        flags: update.flags,
    }
}

/// Changes counts step by step, and asks that what is free then be freed.
fn update_refcount<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    (device, update): (Device, &RefcountUpdate),
    begun: bool,
) -> Result<u32> {
    let mut done = 0u32;
    while done < update.count {
        let start = update
            .start
            .checked_add(done.into())
            .ok_or(Error::Invalid)?;
        let rest = RefcountUpdate {
            start,
            count: update.count.saturating_sub(done),
            ..*update
        };
        let begun = begun || done != 0;
        let Some(step) = step_refcount(trans, deferred, on, (device, &rest), begun)? else {
            break;
        };
        if step.freed {
            deferred.free_extent(device, ExtentFree::data(start, step.done))?;
        }
        done = done.saturating_add(step.done);
    }
    Ok(done)
}

/// One step of it; `None` where there is no room.
fn step_refcount<J: Journal, S: Structures<J>>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    on: &mut S,
    (device, update): (Device, &RefcountUpdate),
    begun: bool,
) -> Result<Option<Step>> {
    let geo = trans.geometry();
    let asked = deferred.asked_bytes();
    match device {
        Device::Data => {
            let (ag, block) = in_group(geo, update.start, update.count)?;
            let hook = on.refcount(trans, deferred, ag)?;
            if begun && !has_room::<J, Refcount, _>(trans, asked, &hook)? {
                return Ok(None);
            }
            let home = ag;
            let mut blocks = InTrans { trans, hook, home };
            let step = Counts::<_, Refcount>::new(&mut blocks, ag, ag.0.into()).step(
                update.kind,
                block,
                update.count,
            )?;
            Ok(Some(step))
        }
        Device::Realtime => {
            let (group, block) = in_rt_group(geo, update.start, update.count)?;
            let (inode, hook) = on.rt_refcount(trans, deferred, group)?;
            if begun && !has_room::<J, RtRefcount, _>(trans, asked, &hook)? {
                return Ok(None);
            }
            let home = RtRefcount::home(group);
            let mut blocks = InTrans { trans, hook, home };
            let step = Counts::<_, RtRefcount>::new(&mut blocks, group, inode.0).step(
                update.kind,
                block,
                update.count,
            )?;
            Ok(Some(step))
        }
        Device::Log => Err(Error::Invalid),
    }
}
