// SPDX-License-Identifier: GPL-2.0

//! The space of the realtime device: which group gives extents.
//!
//! It is counted and given in realtime extents of one or more blocks, and holds the content of files
//! and nothing else, so none of it is given while its freeing could still be undone. Without groups
//! nothing is known of that, as in the C driver: there a free is not even an intent in the log.
//!
//! A transaction that has a group locked asks for another one only where that takes no waiting.
//! Groups whose extents are freed are locked in ascending order.

use super::Place;
use crate::libxfs::{
    alloc::Request,
    error::{Error, Result},
    format::{
        geometry::Geometry,
        kind::Kind,
        units::{RtBlock, RtExtent, RtGroup, RtGroupBlock},
    },
    journal::{CommitSequence, Journal},
    rt::{stretch, FreeRun, Section},
    trans::Trans,
};

/// Realtime extents that are wanted.
#[derive(Clone, Copy, Debug)]
pub struct RtWanted {
    /// Lengths and alignment, in realtime extents; what is aligned is the number of an extent in its
    /// group.
    pub request: Request,
    /// Which group to look at first, and what to be near to. Must lie on the device.
    pub target: RtBlock,
    /// How far from it the extents may lie.
    pub place: Place,
}

/// The group of a block, and the realtime extent in it; without groups the one in the section.
fn locate(geo: &Geometry, block: RtBlock) -> Result<(Option<RtGroup>, RtExtent)> {
    let extent = geo.rt_extent_of(block).ok_or(Error::Invalid)?;
    if geo.rt_group_count == 0 {
        if block.0 >= geo.rt_blocks {
            return Err(Error::Invalid);
        }
        return Ok((None, extent));
    }
    let (group, _) = geo.split_rt_block(block).ok_or(Error::Invalid)?;
    Ok((Some(group), extent))
}

/// The first block of a realtime extent.
fn block_of(geo: &Geometry, group: Option<RtGroup>, extent: RtExtent) -> Option<RtBlock> {
    let block = extent.0.checked_mul(geo.rt_extent_size.into())?;
    match group {
        Some(group) => geo.rt_block(group, RtGroupBlock(u32::try_from(block).ok()?)),
        None => Some(RtBlock(block)),
    }
}

/// Allocates extents of the realtime device: the first block, and how many realtime extents. `None`
/// where no group that can be locked has them; then nothing has changed.
///
/// # Errors
///
/// `NoSpace` where the transaction has not claimed enough, before anything is changed; `Invalid` for a
/// request that makes no sense or a target off the device; `NotFound` on a zoned device, which is not
/// allocated like this; those of reading and of corruption, after which the transaction must not be
/// committed.
pub fn allocate_rt<J: Journal>(
    trans: &mut Trans<'_, J>,
    wanted: &RtWanted,
) -> Result<Option<(RtBlock, u32)>> {
    let request = &wanted.request;
    let claimed = u32::try_from(trans.claimed().rt_extents).unwrap_or(u32::MAX);
    if !request.is_valid() {
        return Err(Error::Invalid);
    }
    if claimed < request.min {
        return Err(Error::NoSpace);
    }
    let wanted = &RtWanted {
        request: Request {
            max: request.max.min(claimed),
            ..*request
        },
        ..*wanted
    };
    let mut busy = None;
    if let Some(found) = search(trans, wanted, &mut busy)? {
        return Ok(Some(found));
    }
    let Some(sequence) = busy else {
        return Ok(None);
    };
    // What is free was freed a moment ago.
    trans.journal().force(sequence)?;
    search(trans, wanted, &mut None)
}

/// Looks into all groups that may serve. Notes the last commit that passed-over blocks wait for.
fn search<J: Journal>(
    trans: &mut Trans<'_, J>,
    wanted: &RtWanted,
    busy: &mut Option<CommitSequence>,
) -> Result<Option<(RtBlock, u32)>> {
    let geo = trans.geometry();
    let (home, target) = locate(geo, wanted.target)?;
    let Some(first) = home.filter(|_| matches!(wanted.place, Place::Near | Place::Anywhere)) else {
        return take_from(trans, home, Some(target), wanted, (true, busy));
    };
    let groups = (first.0..geo.rt_group_count).chain(0..first.0);
    for wait in [false, true] {
        for group in groups.clone().map(RtGroup) {
            let target = Some(target).filter(|_| group == first);
            let taken = take_from(trans, Some(group), target, wanted, (wait, &mut *busy))?;
            if taken.is_some() {
                return Ok(taken);
            }
        }
    }
    Ok(None)
}

/// Takes extents from one group, which it locks.
fn take_from<J: Journal>(
    trans: &mut Trans<'_, J>,
    group: Option<RtGroup>,
    target: Option<RtExtent>,
    wanted: &RtWanted,
    (wait, busy): (bool, &mut Option<CommitSequence>),
) -> Result<Option<(RtBlock, u32)>> {
    let (journal, geo) = (trans.journal(), trans.geometry());
    let holds_one = trans
        .held()
        .any(|block| matches!(block.kind(), Kind::Rt(_)));
    let Some(mut section) = Section::lock(trans, group, wait && !holds_one)? else {
        return Ok(None);
    };
    let request = &wanted.request;
    let found = match (wanted.place, target) {
        _ if !journal.may_give(false) => None,
        (Place::Exact, Some(target)) => section.exact(target, request)?,
        (Place::InGroup | Place::Near, Some(target)) => section.near(target, request)?,
        _ => section.by_size(request)?,
    };
    let Some(FreeRun { start, len }) = found else {
        section.unlock();
        if let Some(group) = group {
            let last = journal.with_rt_group(group, |freed| freed.last())?;
            *busy = (*busy).max(last);
        }
        return Ok(None);
    };
    section.take(start, len)?;
    drop(section);
    trans.take_rt_extents(len)?;
    let start = block_of(geo, group, start).ok_or(Error::Invalid)?;
    Ok(Some((start, u32::try_from(len).unwrap_or(u32::MAX))))
}

/// Frees blocks of the realtime device: whole realtime extents of one group.
///
/// # Errors
///
/// `Invalid` for blocks that are not that; `NotFound` on a zoned device; `Corrupt` where a part of them
/// is free already; those of reading. After an error the transaction must not be committed.
pub fn free_rt<J: Journal>(trans: &mut Trans<'_, J>, start: RtBlock, count: u32) -> Result {
    let (journal, geo) = (trans.journal(), trans.geometry());
    let (group, extent) = locate(geo, start)?;
    let size = geo.rt_extent_size;
    let is_whole = count.checked_rem(size) == Some(0)
        && block_of(geo, group, extent) == Some(start)
        && geo.rt_extent_is_valid(start, count.into());
    if !is_whole {
        return Err(Error::Invalid);
    }
    let len = u64::from(count.checked_div(size).unwrap_or(0));
    let section = Section::lock(trans, group, true)?;
    let mut section = section.ok_or(Error::Invalid)?;
    if let Some(group) = group {
        journal.with_rt_group(group, |busy| busy.reserve())??;
        section.trans().note_rt_free(group)?;
    }
    section.give(extent, len)?;
    drop(section);
    if let Some(group) = group {
        let run = FreeRun { start: extent, len };
        let freed = stretch(geo, &run).ok_or(Error::Invalid)?;
        journal.with_rt_group(group, |busy| busy.add(freed))??;
    }
    trans.give_rt_extents(len);
    Ok(())
}
