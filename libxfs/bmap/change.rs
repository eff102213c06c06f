// SPDX-License-Identifier: GPL-2.0

//! Mapping, unmapping and changing the state of blocks of a fork.
//!
//! The reverse mappings of what changes, and the blocks that nothing maps any more, are deferred work.

use super::{
    delayed::{aside, worst_tree},
    fork::ForkMut,
};
use crate::libxfs::{
    error::{Error, Result},
    extents::{Mapping, Segment, State},
    format::{
        btree::{Owner, RmapFlags},
        geometry::Geometry,
        units::{FileBlock, RtBlock},
    },
    inode::WhichFork,
    items::{ExtentFree, RefcountUpdate, RefcountUpdateKind, RmapUpdate, RmapUpdateKind},
    journal::{Claim, Journal},
    space,
    store::Device,
};

/// What becomes of blocks that are unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// They are free, or have one owner less where the inode shares blocks.
    Freed,
    /// They stay as they are: someone else maps them.
    Kept,
}

/// How a reverse mapping follows.
#[derive(Clone, Copy)]
pub(super) enum Follow {
    Map,
    Unmap,
    Convert,
}

/// The length of a mapping as deferred work has it.
pub(super) fn blocks(mapping: &Mapping) -> Result<u32> {
    u32::try_from(mapping.len).map_err(|_| Error::Invalid)
}

/// What delayed blocks have set aside for the tree is shared out by what each part may need.
pub(super) fn share(geo: &Geometry) -> impl Fn(u64) -> u64 + '_ {
    move |len| worst_tree(geo, len)
}

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    /// Whether blocks of the fork may have other owners.
    pub(super) fn shares(&self) -> Result<bool> {
        Ok(self.which == WhichFork::Data && self.inode()?.core.is_reflink())
    }

    /// Asks that the reverse mapping follow.
    pub(super) fn update_rmap(&mut self, follow: Follow, mapping: &Mapping) -> Result {
        let kind = match (follow, self.shares()?) {
            (Follow::Map, false) => RmapUpdateKind::Map,
            (Follow::Map, true) => RmapUpdateKind::MapShared,
            (Follow::Unmap, false) => RmapUpdateKind::Unmap,
            (Follow::Unmap, true) => RmapUpdateKind::UnmapShared,
            (Follow::Convert, false) => RmapUpdateKind::Convert,
            (Follow::Convert, true) => RmapUpdateKind::ConvertShared,
        };
        let update = RmapUpdate {
            kind,
            owner: Owner::Inode(self.number()?),
            start: mapping.start.0,
            offset: mapping.offset,
            count: blocks(mapping)?,
            flags: RmapFlags {
                attr_fork: self.which == WhichFork::Attr,
                bmbt_block: false,
                unwritten: mapping.state == State::Unwritten,
            },
        };
        let device = self.device()?;
        self.deferred.update_rmap(device, update)
    }

    /// Maps blocks that were allocated, or that another fork shares, at a hole of the fork or in
    /// place of a delayed mapping. What that had set aside, for its blocks and for the tree, becomes
    /// the transaction's claim.
    ///
    /// # Errors
    ///
    /// `Invalid` for a mapping of delayed blocks, or one of which a part is mapped already; `TooLarge`
    /// for one more than can be counted, `NoSpace` where the tree may need a block that is not
    /// claimed, `NoMemory`: then nothing has changed. Those of changing the tree, after which the
    /// transaction must not be committed.
    pub fn map(&mut self, mapping: &Mapping) -> Result {
        let (from, end) = (mapping.offset, mapping.end());
        let mapping = *mapping;
        let delayed = match self.extents()?.segment(from, mapping.len) {
            _ if mapping.state == State::Delayed => return Err(Error::Invalid),
            Some(found) if found.len() != mapping.len => return Err(Error::Invalid),
            Some(Segment::Hole { .. }) => false,
            Some(Segment::Mapped(found)) if found.state == State::Delayed => true,
            _ => return Err(Error::Invalid),
        };
        if delayed {
            self.replace_delayed(&mapping)?;
        } else {
            self.edit(from, end, 1, |map| map.add(mapping))?;
        }
        let count = i64::try_from(mapping.len).map_err(|_| Error::Invalid)?;
        self.count_blocks(count)?;
        self.update_rmap(Follow::Map, &mapping)
    }

    /// Maps blocks in place of delayed ones.
    fn replace_delayed(&mut self, mapping: &Mapping) -> Result {
        let (from, end, mapping) = (mapping.offset, mapping.end(), *mapping);
        let geo = self.trans.geometry();
        let map = self.extents_mut()?;
        map.split(from, &share(geo))?;
        if let Err(error) = map.split(end, &share(geo)) {
            map.join(from);
            return Err(error);
        }
        let reserved = map.get(from).map_or(0, |found| found.reserved());
        let aside = self.set_aside(mapping.len, reserved)?;
        self.trans.adopt(aside);
        let edited = self.edit(from, end, 1, |map| {
            map.update(from, mapping)?;
            map.join(from);
            map.join(end);
            Ok(())
        });
        edited.inspect_err(|_| {
            // All is as it was: no one notices what is not so after a worse error.
            let _ = self.trans.disown(aside);
            if let Ok(map) = self.extents_mut() {
                map.join(from);
                map.join(end);
            }
        })
    }

    /// Gives the blocks of `from..end` that are allocated another state, that of written or of
    /// unwritten ones, those of one mapping after the other.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map). Where there are several mappings, those behind the failing one have
    /// changed.
    pub fn set_state(&mut self, from: FileBlock, end: FileBlock, state: State) -> Result {
        if state == State::Delayed {
            return Err(Error::Invalid);
        }
        let mut end = end;
        while let Some(part) = self.last_in(from, end)? {
            end = part.offset;
            if part.state == State::Delayed || part.state == state {
                continue;
            }
            let (start, stop) = (part.offset, part.end());
            let more = match self.extents()?.get(start) {
                Some(whole) => {
                    u64::from(whole.offset < start).saturating_add(u64::from(stop < whole.end()))
                }
                None => 0,
            };
            self.edit(start, stop, more, |map| map.set_state(start, stop, state))?;
            self.update_rmap(Follow::Convert, &Mapping { state, ..part })?;
        }
        Ok(())
    }

    /// The last part of a mapping that lies in `from..end`.
    fn last_in(&self, from: FileBlock, end: FileBlock) -> Result<Option<Mapping>> {
        let Some(last) = end.checked_sub(1).filter(|last| *last >= from) else {
            return Ok(None);
        };
        let found = self.extents()?.lookup_back(last);
        Ok(found.and_then(|found| found.trimmed(from, end)))
    }

    /// Unmaps `from..end` from its end on, up to `most` mappings of allocated blocks, and returns
    /// where that came to: `from` when all is done. A chain can roll before it goes on.
    ///
    /// Of a realtime extent, which is free as a whole or not at all, a part is made unwritten instead.
    ///
    /// # Errors
    ///
    /// As [`set_state`](Self::set_state): only where a hole is made inside of one mapping can there be
    /// no space for it, and then nothing has changed.
    pub fn unmap(
        &mut self,
        from: FileBlock,
        end: FileBlock,
        what: Unmapped,
        most: u32,
    ) -> Result<FileBlock> {
        let (mut end, mut left) = (end, most);
        while let Some(part) = self.last_in(from, end)? {
            if part.state == State::Delayed {
                self.unmap_delayed(&part)?;
                end = part.offset;
                continue;
            }
            if left == 0 {
                return Ok(end);
            }
            left = left.saturating_sub(1);
            let stop = part.end();
            let part = match what {
                Unmapped::Freed => self.whole_extents(from, &part)?,
                Unmapped::Kept => Some(part),
            };
            match part {
                Some(part) => {
                    self.unmap_part(&part, what)?;
                    end = part.offset;
                }
                None => end = self.before_extent(from, stop)?,
            }
        }
        Ok(from)
    }

    /// Unmaps a part of one mapping, of which no more than that is trimmed.
    pub(super) fn unmap_part(&mut self, part: &Mapping, what: Unmapped) -> Result {
        let (from, end) = (part.offset, part.end());
        let inside = self
            .extents()?
            .get(from)
            .is_some_and(|whole| whole.offset < from && end < whole.end());
        self.edit(from, end, inside.into(), |map| {
            map.take_out(from, end, &|_| 0, &mut |_| ())
        })?;
        let count = i64::try_from(part.len).map_err(|_| Error::Invalid)?;
        self.count_blocks(count.saturating_neg())?;
        self.update_rmap(Follow::Unmap, part)?;
        match what {
            Unmapped::Freed => self.let_go(part),
            Unmapped::Kept => Ok(()),
        }
    }

    /// Asks that blocks be freed, or have one owner less.
    fn let_go(&mut self, part: &Mapping) -> Result {
        let device = self.device()?;
        let (start, count) = (part.start.0, blocks(part)?);
        if self.shares()? {
            let kind = RefcountUpdateKind::Decrease;
            let update = RefcountUpdate { kind, start, count };
            return self.deferred.update_refcount(device, update);
        }
        if device == Device::Realtime && self.trans.geometry().rt_group_count == 0 {
            // The log has no intent for it.
            return space::free_rt(self.trans, RtBlock(start), count);
        }
        self.deferred
            .free_extent(device, ExtentFree::data(start, count))
    }

    /// Takes delayed blocks out, and gives back what they had set aside.
    pub(super) fn unmap_delayed(&mut self, part: &Mapping) -> Result {
        let geo = self.trans.geometry();
        let (mut blocks, mut reserved) = (0u64, 0u64);
        let (from, end) = (part.offset, part.end());
        self.extents_mut()?
            .take_out(from, end, &share(geo), &mut |taken| {
                blocks = blocks.saturating_add(taken.len);
                reserved = reserved.saturating_add(taken.reserved());
            })?;
        let aside = self.set_aside(blocks, reserved)?;
        self.trans.give_blocks(aside.blocks);
        self.trans.give_rt_extents(aside.rt_extents);
        Ok(())
    }

    /// What `len` delayed blocks have set aside, with `reserved` for the fork's tree.
    pub(super) fn set_aside(&self, len: u64, reserved: u64) -> Result<Claim> {
        Ok(aside(self.trans.geometry(), self.device()?, len, reserved))
    }
}
