// SPDX-License-Identifier: GPL-2.0

//! Realtime extents for the content of a file: whole ones, at multiples of their length in the file.

use super::{
    allocate::beside,
    fork::ForkMut,
    hint::{of_data, FileBlocks},
};
use crate::libxfs::{
    alloc::Request,
    error::{Error, Result},
    extents::{ExtentMap, MappedBlock, Mapping, State},
    format::{
        geometry::Geometry,
        units::{FileBlock, InodeNumber, RtBlock, RtGroup, RtGroupBlock},
    },
    inode::{Inode, WhichFork},
    journal::Journal,
    space::{self, Place, RtWanted},
    trans::{InodeId, Trans},
};

/// A block that is valid and in the group of `near`, `distance` from it.
fn reach(geo: &Geometry, near: u64, distance: i64) -> Option<u64> {
    let block = RtBlock(near.checked_add_signed(distance)?);
    let same_group = match geo.rt_group_count {
        0 => true,
        _ => geo.split_rt_block(block)?.0 == geo.split_rt_block(RtBlock(near))?.0,
    };
    (same_group && geo.rt_extent_is_valid(block, 1)).then_some(block.0)
}

/// Where the first extents of a file are wanted, and how near: files are spread over the device. The C
/// driver counts those that it begins, in the bitmap's inode; here it follows from the inode's number,
/// so that nothing has to be locked or logged for it.
fn home(geo: &Geometry, number: InodeNumber) -> Option<(RtBlock, Place)> {
    if geo.rt_group_count != 0 {
        let group = number.0.checked_rem(geo.rt_group_count.into())? as u32;
        let block = geo.rt_block(RtGroup(group), RtGroupBlock(0))?;
        return Some((block, Place::Anywhere));
    }
    // Neighbours in number lie halves, quarters and eighths of the device apart.
    let part = u64::from((number.0 as u32).reverse_bits());
    let extent = geo.rt_extents.checked_mul(part >> 8)? >> 24;
    let block = extent.checked_mul(geo.rt_extent_size.into())?;
    Some((RtBlock(block), Place::Near))
}

/// What is asked for where a file wants blocks on the realtime device.
#[derive(Clone, Copy)]
pub(super) struct Content {
    /// The blocks of the file.
    pub(super) asked: FileBlocks,
    /// The hole in which they lie, if more than they may be mapped.
    pub(super) hole: Option<FileBlocks>,
    /// The fewest that are of use.
    pub(super) min: u32,
    /// The extent size hint, or 0.
    pub(super) hint: u32,
}

impl Content {
    /// The request, and where in the file it begins, with another hint.
    fn wanted(
        &self,
        geo: &Geometry,
        (number, map): (InodeNumber, &ExtentMap),
        hint: u32,
    ) -> Result<(FileBlock, RtWanted)> {
        let pieces = match &self.hole {
            Some(hole) => self.asked.in_pieces(hint, hole),
            None => self.asked,
        };
        let unit = u64::from(geo.rt_extent_size.max(1));
        let is_whole = |n: u64, of: u64| n.checked_rem(of) == Some(0);
        if !is_whole(pieces.at.0, unit) || !is_whole(pieces.len, unit) {
            return Err(Error::Invalid);
        }
        let extents =
            |blocks: u64| u32::try_from(blocks.div_ceil(unit)).map_err(|_| Error::Invalid);
        let before = self.asked.at.0.saturating_sub(pieces.at.0);
        let min = extents(before.saturating_add(self.min.into()))?.max(1);
        let max = extents(pieces.len)?;
        let multiple = match u64::from(hint) {
            hint if is_whole(pieces.at.0, hint) && is_whole(pieces.len, hint) => extents(hint)?,
            _ => 1,
        };
        let more = min.checked_next_multiple_of(multiple);
        let (min, multiple) = match more.filter(|more| *more <= max) {
            Some(more) => (more, multiple),
            None => (min, 1),
        };
        let near = beside(map, pieces, |near, distance| reach(geo, near, distance));
        let (target, place) = match near {
            Some(block) => (RtBlock(block), Place::Near),
            None => home(geo, number).ok_or(Error::Invalid)?,
        };
        let request = Request {
            multiple,
            ..Request::unlogged(min, max)
        };
        let wanted = RtWanted {
            request,
            target,
            place,
        };
        Ok((pieces.at, wanted))
    }

    /// Finds extents, in whole pieces of the hint if that can be: the mapping that they are for, unwritten.
    /// They are for the fork of an inode that has this `map`.
    pub(super) fn find<J: Journal>(
        &self,
        trans: &mut Trans<'_, J>,
        id: InodeId,
        map: fn(&Inode) -> Result<&ExtentMap>,
    ) -> Result<Option<Mapping>> {
        let geo = trans.geometry();
        if geo.features.zoned() {
            return Err(Error::Unsupported);
        }
        let unit = geo.rt_extent_size.max(1);
        let hints = [self.hint.max(unit), unit];
        for (hint, is_last) in hints.into_iter().zip([self.hint <= unit, true]) {
            let inode = trans.inode(id)?;
            let (at, wanted) = self.wanted(geo, (inode.number, map(inode)?), hint)?;
            let claimed = trans.claimed().rt_extents;
            if !is_last && claimed < u64::from(wanted.request.min) {
                continue;
            }
            let found = space::allocate_rt(trans, &wanted)?;
            if let Some((start, count)) = found {
                return Ok(Some(Mapping {
                    offset: at,
                    start: MappedBlock(start.0),
                    len: u64::from(count).saturating_mul(unit.into()),
                    state: State::Unwritten,
                }));
            }
            if is_last {
                break;
            }
        }
        Ok(None)
    }
}

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    /// Realtime extents for the fork, not mapped yet.
    pub(super) fn find_rt(
        &mut self,
        asked: FileBlocks,
        hole: Option<FileBlocks>,
        min: u32,
        state: State,
    ) -> Result<Option<Mapping>> {
        self.claimed_growth(asked.at, 0)?;
        let content = Content {
            asked,
            // Nobody writes what is beside what was asked for.
            hole: hole.filter(|_| state == State::Unwritten),
            min,
            hint: of_data(self.trans.geometry(), self.inode()?),
        };
        let found = content.find(self.trans, self.id, |inode| inode.extents(WhichFork::Data))?;
        Ok(found.map(|found| Mapping { state, ..found }))
    }
}
