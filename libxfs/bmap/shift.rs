// SPDX-License-Identifier: GPL-2.0

//! Moving what a file has to other places in it: collapsing a range that was punched before, and
//! opening a hole. A mapping at a time, so that a chain can roll after each.

use super::{
    change::{Follow, Unmapped},
    fork::ForkMut,
};
use crate::libxfs::{
    error::{Error, Result},
    extents::{Mapping, State},
    format::{btree::bmap::file_extent_is_valid, units::FileBlock},
    journal::Journal,
};

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    /// Cuts the mapping that has `block` inside, so that one begins there. Returns whether there was
    /// one.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn split(&mut self, block: FileBlock) -> Result<bool> {
        let inside = self
            .extents()?
            .get(block)
            .filter(|found| found.offset < block && found.state != State::Delayed);
        if inside.is_none() {
            return Ok(false);
        }
        self.edit(block, block, 1, |map| map.split(block, &|_| 0).map(|_| ()))?;
        Ok(true)
    }

    /// Moves the first mapping that begins at `from` or behind it `by` blocks towards the beginning
    /// of the file, where there is a hole. Returns where to go on, `None` when that was the last.
    ///
    /// # Errors
    ///
    /// `Invalid` where there is no such hole, and for delayed blocks; those of
    /// [`map`](Self::map).
    pub fn collapse(&mut self, from: FileBlock, by: u64) -> Result<Option<FileBlock>> {
        let Some(old) = self.extents()?.lookup(from) else {
            return Ok(None);
        };
        let to = old.offset.checked_sub(by).ok_or(Error::Invalid)?;
        let hole = self.extents()?.segment(to, by).ok_or(Error::Invalid)?;
        let movable = old.offset >= from && old.state != State::Delayed;
        if !movable || hole.mapping().is_some() || hole.len() != by {
            return Err(Error::Invalid);
        }
        let new = Mapping { offset: to, ..old };
        self.edit(to, old.end(), 0, |map| {
            map.update(old.offset, new)?;
            map.join(to);
            Ok(())
        })?;
        self.update_rmap(Follow::Unmap, &old)?;
        self.update_rmap(Follow::Map, &new)?;
        let next = self.extents()?.lookup(old.end());
        Ok(next.map(|next| next.offset))
    }

    /// Whether all that begins at `from` or behind it can move `by` blocks towards the end of what a
    /// file can have.
    ///
    /// # Errors
    ///
    /// As [`inode`](Self::inode).
    pub fn can_open(&self, from: FileBlock, by: u64) -> Result<bool> {
        let last = self.extents()?.last().filter(|last| last.end() > from);
        Ok(last.is_none_or(|last| {
            last.offset
                .checked_add(by)
                .is_some_and(|at| file_extent_is_valid(at, last.len))
        }))
    }

    /// Moves the last mapping that begins at `from` or behind it, and before `end`, `by` blocks
    /// towards the end of the file. Returns where to go on towards the beginning, `None` when no more
    /// is to be moved. Before the first, `from` is made a [beginning](Self::split).
    ///
    /// # Errors
    ///
    /// `Invalid` where what is behind did not give way, and for delayed blocks; those of
    /// [`map`](Self::map).
    pub fn open(&mut self, from: FileBlock, end: FileBlock, by: u64) -> Result<Option<FileBlock>> {
        let Some(last) = end.checked_sub(1).filter(|last| *last >= from) else {
            return Ok(None);
        };
        let old = self.extents()?.lookup_back(last);
        let Some(old) = old.filter(|old| old.end() > from) else {
            return Ok(None);
        };
        let to = old.offset.checked_add(by).ok_or(Error::Invalid)?;
        if old.offset < from || old.state == State::Delayed || !file_extent_is_valid(to, old.len) {
            return Err(Error::Invalid);
        }
        let new = Mapping { offset: to, ..old };
        self.edit(old.offset, new.end(), 0, |map| map.update(old.offset, new))?;
        self.update_rmap(Follow::Unmap, &old)?;
        self.update_rmap(Follow::Map, &new)?;
        Ok(Some(old.offset).filter(|offset| *offset > from))
    }

    /// Makes a hole of `from..end`, as [`unmap`](Self::unmap) with [`Unmapped::Freed`] does; returns
    /// where that came to.
    ///
    /// # Errors
    ///
    /// As [`unmap`](Self::unmap).
    pub fn punch(&mut self, from: FileBlock, end: FileBlock, most: u32) -> Result<FileBlock> {
        self.unmap(from, end, Unmapped::Freed, most)
    }
}
