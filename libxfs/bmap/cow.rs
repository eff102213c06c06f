// SPDX-License-Identifier: GPL-2.0

//! The CoW fork: blocks that stage what will take the place of shared ones.
//!
//! It is in memory alone. What the disk has of its blocks are records among the reference counts
//! (staging extents), by which a mount after a crash frees them. Delayed blocks become allocated and
//! unwritten; written ones are what a write has begun to fill, and when it ends they are mapped into
//! the data fork in place of what was there.

use super::{
    allocate::{content, target},
    allocate_rt::Content,
    change::{blocks, share},
    delayed::aside,
    hint::{of_staged, FileBlocks},
    update::wanted,
    ForkMut,
};
use crate::libxfs::{
    defer::Deferred,
    error::{Error, Result},
    extents::{ExtentMap, MappedBlock, Mapping, Segment, State},
    format::units::FileBlock,
    inode::{Inode, WhichFork},
    items::{BmapUpdateKind, ExtentFree, RefcountUpdate, RefcountUpdateKind},
    journal::{Claim, Journal},
    space::{self, Place, Wanted},
    store::Device,
    trans::{InodeId, Trans},
};

/// The CoW fork of an inode, in a transaction.
pub struct CowMut<'t, 'a, 'd, J: Journal> {
    trans: &'t mut Trans<'a, J>,
    deferred: &'t mut Deferred<'d, J>,
    id: InodeId,
}

impl<'t, 'a, 'd, J: Journal> CowMut<'t, 'a, 'd, J> {
    /// The CoW fork of an inode that the transaction holds.
    pub fn new(
        trans: &'t mut Trans<'a, J>,
        deferred: &'t mut Deferred<'d, J>,
        id: InodeId,
    ) -> Self {
        Self {
            trans,
            deferred,
            id,
        }
    }

    fn inode(&self) -> Result<&Inode> {
        self.trans.inode(self.id)
    }

    fn extents(&self) -> Result<&ExtentMap> {
        Ok(&self.inode()?.cow)
    }

    fn device(&self) -> Result<Device> {
        Ok(self.inode()?.device(WhichFork::Data))
    }

    /// Allocates blocks for the delayed mapping that holds `at`, from its beginning, as
    /// [`ForkMut::allocate_delayed`] does. They begin to stage a copy.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no delayed mapping; `NoSpace` where less is set aside than is needed;
    /// `Unsupported` where realtime extents have several blocks; those of [`space::allocate`] and of
    /// [`space::allocate_rt`].
    pub fn allocate_delayed(&mut self, at: FileBlock) -> Result<Option<Mapping>> {
        let delayed = self.extents()?.get(at);
        let delayed = delayed.filter(|found| found.state == State::Delayed);
        let delayed = delayed.ok_or(Error::NotFound)?;
        let from = delayed.offset;
        let aside = self.set_aside(delayed.len, delayed.reserved())?;
        // Lent until the part that was allocated pays for itself.
        self.trans.adopt(aside);
        let whole = FileBlocks {
            at: from,
            len: delayed.len,
        };
        let found = self.find(whole, None, 1);
        if let Ok(Some(found)) = found {
            let (id, geo) = (self.id, self.trans.geometry());
            let map = self.trans.cow_mut(id)?;
            map.split(found.end(), &share(geo))?;
            let reserved = map.get(from).map_or(0, |part| part.reserved());
            map.update(from, found)?;
            map.join(from);
            map.join(found.end());
            let own = self.set_aside(found.len, reserved)?;
            self.trans.adopt(own);
        }
        self.trans.disown(aside)?;
        found
    }

    /// What `len` delayed blocks have set aside, with `reserved` for the data fork's tree.
    fn set_aside(&self, len: u64, reserved: u64) -> Result<Claim> {
        Ok(aside(self.trans.geometry(), self.device()?, len, reserved))
    }

    /// Allocates from `min` to `max` blocks of those that the transaction claimed, and maps them at
    /// `at`, which is a hole; unwritten. They begin to stage a copy. There may be more of them: whole
    /// pieces of the file's CoW extent size hint, as far as the hole goes; the mapping holds `at`.
    ///
    /// # Errors
    ///
    /// `Invalid` for what is no hole; as [`allocate_delayed`](Self::allocate_delayed).
    pub fn allocate(&mut self, at: FileBlock, (min, max): (u32, u32)) -> Result<Option<Mapping>> {
        let hole = FileBlocks::hole_around(self.extents()?, at).ok_or(Error::Invalid)?;
        let len = max.into();
        let asked = FileBlocks { at, len }.within(&hole);
        let Some(found) = self.find(asked, Some(hole), min)? else {
            return Ok(None);
        };
        self.trans.cow_mut(self.id)?.add(found)?;
        Ok(Some(found))
    }

    /// Blocks for `asked`, staging from then on; not in the map yet.
    fn find(
        &mut self,
        asked: FileBlocks,
        hole: Option<FileBlocks>,
        min: u32,
    ) -> Result<Option<Mapping>> {
        let geo = self.trans.geometry();
        let device = self.device()?;
        let hint = of_staged(geo, self.inode()?);
        let found = match device {
            Device::Data => self.find_data(asked, hole, (min, hint))?,
            // A part of a realtime extent is not shared.
            Device::Realtime if geo.rt_extent_size > 1 => return Err(Error::Unsupported),
            Device::Realtime => {
                let content = Content {
                    asked,
                    hole,
                    min,
                    hint,
                };
                content.find(self.trans, self.id, |inode| Ok(&inode.cow))?
            }
            Device::Log => return Err(Error::Invalid),
        };
        if let Some(found) = &found {
            self.deferred
                .alloc_cow(device, found.start.0, blocks(found)?)?;
        }
        Ok(found)
    }

    fn find_data(
        &mut self,
        asked: FileBlocks,
        hole: Option<FileBlocks>,
        (min, hint): (u32, u32),
    ) -> Result<Option<Mapping>> {
        let geo = self.trans.geometry();
        let pieces = match hole {
            Some(hole) => asked.in_pieces(hint, &hole),
            None => asked,
        };
        let home = super::inode_block(geo, self.inode()?.number)?;
        let target = target(geo, self.extents()?, pieces, home);
        let wanted = Wanted::data(target, Place::Near, content(geo, min, pieces, hint)?);
        let found = space::allocate(self.trans, self.deferred, &wanted)?;
        Ok(found.map(|found| Mapping {
            offset: pieces.placed(&asked, found.count.into()),
            start: MappedBlock(found.start.0),
            len: found.count.into(),
            state: State::Unwritten,
        }))
    }

    /// Says that what is staged for `from..end` is about to be written.
    ///
    /// # Errors
    ///
    /// `NoMemory`; then nothing has changed.
    pub fn set_written(&mut self, from: FileBlock, end: FileBlock) -> Result {
        self.trans
            .cow_mut(self.id)?
            .set_state(from, end, State::Normal)
    }

    /// Takes the first written blocks of `from..end` into the data fork, in place of what that has
    /// there. Returns where to go on: `end` when there are no more. A transaction takes one such step.
    ///
    /// # Errors
    ///
    /// `TooLarge` where the data fork could not count its mappings, and then nothing has changed;
    /// `NoMemory`.
    pub fn end(&mut self, from: FileBlock, end: FileBlock) -> Result<FileBlock> {
        let mut staged = self.extents()?.iter_from(from);
        let first = staged.find(|found| found.offset >= end || found.state == State::Normal);
        let Some(staged) = first.and_then(|found| found.trimmed(from, end)) else {
            return Ok(end);
        };
        let (id, device) = (self.id, self.device()?);
        let (trans, deferred) = (&mut *self.trans, &mut *self.deferred);
        let mut data = ForkMut::new(trans, deferred, id, WhichFork::Data)?;
        // One for the hole that the old one leaves, one for the new one.
        data.make_room(2)?;
        let old = data.extents()?.segment(staged.offset, staged.len);
        let old = old.ok_or(Error::Invalid)?;
        let staged = staged
            .trimmed(staged.offset, old.end())
            .ok_or(Error::Invalid)?;
        let geo = data.trans.geometry();
        let cow = data.trans.cow_mut(id)?;
        cow.take_out(staged.offset, staged.end(), &share(geo), &mut |_| ())?;
        match old.mapping() {
            Some(old) if old.state == State::Delayed => data.unmap_delayed(&old)?,
            Some(old) => data.replace_later(&old)?,
            None => {}
        }
        let inode = self.trans.inode(id)?;
        let update = wanted(inode, WhichFork::Data, BmapUpdateKind::Map, &staged)?;
        self.deferred
            .free_cow(device, staged.start.0, blocks(&staged)?)?;
        self.deferred.update_bmap(update)?;
        Ok(staged.end())
    }

    /// Gives up what is staged for `from..end`, from the end on, up to `most` mappings of allocated
    /// blocks; those that are written, and may be on their way to the disk, where `written` says so.
    /// Returns where that came to.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn cancel(
        &mut self,
        from: FileBlock,
        end: FileBlock,
        written: bool,
        most: u32,
    ) -> Result<FileBlock> {
        let (mut end, mut left) = (end, most);
        let (id, device, geo) = (self.id, self.device()?, self.trans.geometry());
        while let Some(last) = end.checked_sub(1).filter(|last| *last >= from) {
            let found = self.extents()?.lookup_back(last);
            let Some(part) = found.and_then(|found| found.trimmed(from, end)) else {
                break;
            };
            let kept = part.state == State::Normal && !written;
            if part.state != State::Delayed && !kept {
                if left == 0 {
                    return Ok(end);
                }
                left = left.saturating_sub(1);
            }
            end = part.offset;
            if kept {
                continue;
            }
            let mut reserved = 0u64;
            let cow = self.trans.cow_mut(id)?;
            cow.take_out(part.offset, part.end(), &share(geo), &mut |taken| {
                reserved = reserved.saturating_add(taken.reserved());
            })?;
            if part.state == State::Delayed {
                let aside = self.set_aside(part.len, reserved)?;
                self.trans.give_blocks(aside.blocks);
                self.trans.give_rt_extents(aside.rt_extents);
            } else {
                let (start, count) = (part.start.0, blocks(&part)?);
                self.deferred.free_cow(device, start, count)?;
                self.deferred
                    .free_extent(device, ExtentFree::data(start, count))?;
            }
        }
        Ok(from)
    }
}

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    /// Asks that an allocated part of a mapping leave the fork, and its blocks have one owner less.
    pub(super) fn replace_later(&mut self, old: &Mapping) -> Result {
        let device = self.device()?;
        let update = wanted(self.inode()?, self.which, BmapUpdateKind::Unmap, old)?;
        self.deferred.update_bmap(update)?;
        let kind = RefcountUpdateKind::Decrease;
        let (start, count) = (old.start.0, blocks(old)?);
        let update = RefcountUpdate { kind, start, count };
        self.deferred.update_refcount(device, update)
    }

    /// Has the fork share `source`, a mapping of another file as it is to lie in this one, in place of
    /// what there is: unwritten blocks and holes are not shared, but take away what is there. Both
    /// inodes are marked as sharing before. Returns where to go on, no further than `source` ends. A
    /// transaction takes one such step.
    ///
    /// # Errors
    ///
    /// `Corrupt` where both are the same blocks in different states; `TooLarge` for more mappings than
    /// can be counted; then nothing has changed. `NoMemory`.
    pub fn share(&mut self, source: &Segment) -> Result<FileBlock> {
        let (at, len) = (source.offset(), source.len());
        let old = self.extents()?.segment(at, len).ok_or(Error::Invalid)?;
        let end = old.end();
        let new = source.mapping().and_then(|new| new.trimmed(at, end));
        let new = new.filter(|new| new.state != State::Delayed);
        let held = old.mapping().filter(|old| old.state != State::Delayed);
        if let (Some(new), Some(held)) = (new, held) {
            if new.start == held.start && new.state != held.state {
                return Err(self.corrupt("state"));
            }
            let unwritten = [new.state, held.state] == [State::Unwritten; 2];
            if new.start == held.start || unwritten {
                return Ok(end);
            }
        }
        let new = new.filter(|new| new.state == State::Normal);
        let more = u64::from(held.is_some()).saturating_add(u64::from(new.is_some()));
        self.make_room(more)?;
        match (held, old.mapping()) {
            (Some(held), _) => self.replace_later(&held)?,
            (None, Some(delayed)) => self.unmap_delayed(&delayed)?,
            (None, None) => {}
        }
        if let Some(new) = new {
            let device = self.device()?;
            let kind = RefcountUpdateKind::Increase;
            let (start, count) = (new.start.0, blocks(&new)?);
            let update = RefcountUpdate { kind, start, count };
            self.deferred.update_refcount(device, update)?;
            let update = wanted(self.inode()?, self.which, BmapUpdateKind::Map, &new)?;
            self.deferred.update_bmap(update)?;
        }
        Ok(end)
    }
}
