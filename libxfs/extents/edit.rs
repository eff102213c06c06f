// SPDX-License-Identifier: GPL-2.0

//! Edits of ranges: adding, cutting, joining, taking out, changing state.
//!
//! All of them are made of splits and joins, which change how the map says a thing and not what it
//! says, and of changes to whole mappings. Only a split or an insertion needs memory, and it comes
//! first; so an edit that fails leaves the map as it was, mapping for mapping. What is joined is what
//! one record of the disk can hold.
//!
//! Splits and joins keep the sum of what delayed mappings have reserved: a split shares it out by how
//! much each half would need, a join adds up. Who knows the worst case of the new lengths sets it
//! with [`ExtentMap::set_reserved`] and gives back the rest.

use super::{ExtentMap, MappedBlock, Mapping, Packed, State, MAX_EXTENT_BLOCKS, MAX_RESERVED};
use crate::libxfs::{
    error::{Error, Result},
    format::units::FileBlock,
};

impl Mapping {
    /// Blocks that nobody has allocated yet, for which space was set aside: so many as they are, and
    /// `reserved` more for the fork's tree.
    pub const fn delayed(offset: FileBlock, len: u64, reserved: u64) -> Self {
        Self {
            offset,
            start: MappedBlock(reserved),
            len,
            state: State::Delayed,
        }
    }

    /// Blocks that are reserved for the fork's tree, of delayed blocks; else 0.
    pub const fn reserved(&self) -> u64 {
        match self.state {
            State::Delayed => self.start.0,
            State::Normal | State::Unwritten => 0,
        }
    }

    /// This and `next` as one, if they can be one.
    pub fn joined(&self, next: &Self) -> Option<Self> {
        let len = self.len.checked_add(next.len)?;
        let fits = len <= u64::from(MAX_EXTENT_BLOCKS);
        let start = match self.state {
            State::Delayed => self.start.forward(next.start.0),
            State::Normal | State::Unwritten => self.start,
        };
        let holds = self.state != State::Delayed || start.0 <= MAX_RESERVED;
        (fits && holds && self.is_continued_by(next)).then_some(Self {
            start,
            len,
            ..*self
        })
    }

    /// The two halves before and from `block`, which lies inside. `worst` tells how many blocks of a
    /// tree so many delayed blocks may need.
    fn halves(&self, block: FileBlock, worst: &dyn Fn(u64) -> u64) -> Option<(Self, Self)> {
        let first = block.distance_from(self.offset)?;
        let second = self.len.checked_sub(first)?;
        if first == 0 || second == 0 {
            return None;
        }
        let (start, rest) = match self.state {
            State::Delayed => {
                let (own, other) = (worst(first), worst(second));
                let all = own.saturating_add(other).max(1);
                let share = self
                    .start
                    .0
                    .saturating_mul(own)
                    .checked_div(all)
                    .unwrap_or(0)
                    .min(self.start.0);
                (share, self.start.0.saturating_sub(share))
            }
            State::Normal | State::Unwritten => (self.start.0, self.start.forward(first).0),
        };
        Some((
            Self {
                start: MappedBlock(start),
                len: first,
                ..*self
            },
            Self {
                offset: block,
                start: MappedBlock(rest),
                len: second,
                state: self.state,
            },
        ))
    }
}

impl ExtentMap {
    /// Two mappings as one, if they can be one.
    fn joined(&self, one: &Mapping, next: &Mapping) -> Option<Mapping> {
        let begins = next.start.0.trailing_zeros() >= u32::from(self.region_log);
        let apart = self.region_log != 0 && next.state != State::Delayed && begins;
        one.joined(next).filter(|_| !apart)
    }

    /// Puts a mapping into a hole, as one with the neighbours that it continues.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn add(&mut self, mapping: Mapping) -> Result {
        // What could be joined by luck, such as no blocks at all, is as invalid as elsewhere.
        Packed::new(&mapping).ok_or(Error::Invalid)?;
        let before = mapping
            .offset
            .checked_sub(1)
            .and_then(|before| self.get(before));
        let Some((before, joined)) =
            before.and_then(|before| Some((before, self.joined(&before, &mapping)?)))
        else {
            let after = self
                .get(mapping.end())
                .filter(|after| after.offset == mapping.end());
            return match after.and_then(|after| Some((after, self.joined(&mapping, &after)?))) {
                Some((after, joined)) => self.update(after.offset, joined),
                None => self.insert(mapping),
            };
        };
        self.update(before.offset, joined)?;
        self.join(mapping.end());
        Ok(())
    }

    /// Cuts the mapping that has `block` inside into two, and tells whether there was one. `worst`
    /// as in [`take_out`](Self::take_out).
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn split(&mut self, block: FileBlock, worst: &dyn Fn(u64) -> u64) -> Result<bool> {
        let halves = self
            .get(block)
            .and_then(|whole| Some((whole, whole.halves(block, worst)?)));
        let Some((whole, (first, second))) = halves else {
            return Ok(false);
        };
        self.update(whole.offset, first)?;
        if let Err(error) = self.insert(second) {
            // Growing back into the room that nobody took needs no memory.
            self.update(whole.offset, whole)?;
            return Err(error);
        }
        Ok(true)
    }

    /// Makes the mapping that ends at `block` and the one that starts there one, if they can be.
    pub fn join(&mut self, block: FileBlock) {
        let pair = block
            .checked_sub(1)
            .and_then(|before| self.get(before))
            .zip(self.get(block));
        let Some((before, after)) = pair else {
            return;
        };
        if after.offset != block {
            return;
        }
        if let Some(joined) = self.joined(&before, &after) {
            self.remove(after.offset);
            // Into the room that was just made.
            let _ = self.update(before.offset, joined);
        }
    }

    /// Cuts the mappings that reach over an end of `from..end`, of those that `which` asks for. So all
    /// that it asks for lie within or without.
    fn cut_out(
        &mut self,
        from: FileBlock,
        end: FileBlock,
        worst: &dyn Fn(u64) -> u64,
        which: impl Fn(&Mapping) -> bool,
    ) -> Result {
        let cut = |map: &mut Self, block| match map.get(block) {
            Some(found) if which(&found) => map.split(block, worst),
            _ => Ok(false),
        };
        let was_cut = cut(self, from)?;
        cut(self, end).inspect_err(|_| {
            // What met there before stays two.
            if was_cut {
                self.join(from);
            }
        })?;
        Ok(())
    }

    /// Takes the blocks `from..end` out, and hands each mapping of them to `taken`. `worst` tells how
    /// many blocks of a tree so many delayed blocks may need; what they have is shared out by it.
    ///
    /// # Errors
    ///
    /// `NoMemory`; nothing was taken then.
    pub fn take_out(
        &mut self,
        from: FileBlock,
        end: FileBlock,
        worst: &dyn Fn(u64) -> u64,
        taken: &mut dyn FnMut(Mapping),
    ) -> Result {
        if from >= end {
            return Ok(());
        }
        self.cut_out(from, end, worst, |_| true)?;
        while let Some(found) = self.lookup(from).filter(|found| found.offset < end) {
            match self.remove(found.offset) {
                Some(found) => taken(found),
                None => break,
            }
        }
        Ok(())
    }

    /// Gives those of the blocks `from..end` that are allocated another state, that of written or of
    /// unwritten ones, and joins what has become alike.
    ///
    /// # Errors
    ///
    /// `Invalid` for another state; `NoMemory`, and nothing was changed then.
    pub fn set_state(&mut self, from: FileBlock, end: FileBlock, state: State) -> Result {
        if state == State::Delayed {
            return Err(Error::Invalid);
        }
        if from >= end {
            return Ok(());
        }
        let changes = |found: &Mapping| found.state != State::Delayed && found.state != state;
        // What is cut has no blocks of a tree to share out.
        self.cut_out(from, end, &|_| 0, changes)?;
        let mut at = from;
        let mut changed = false;
        while let Some(found) = self.lookup(at).filter(|found| found.offset < end) {
            let joins = changed;
            changed = changes(&found);
            if changed {
                self.update(found.offset, Mapping { state, ..found })?;
            }
            if changed || joins {
                self.join(found.offset);
            }
            at = found.end();
        }
        if changed {
            self.join(at);
        }
        Ok(())
    }

    /// Sets what the delayed mapping that starts at `offset` has reserved for the fork's tree, and
    /// returns what it had.
    ///
    /// # Errors
    ///
    /// `NotFound` if no delayed mapping starts there, `Invalid` for more than can be said.
    pub fn set_reserved(&mut self, offset: FileBlock, reserved: u64) -> Result<u64> {
        let old = self
            .get(offset)
            .filter(|found| found.offset == offset && found.state == State::Delayed)
            .ok_or(Error::NotFound)?;
        self.update(offset, Mapping::delayed(offset, old.len, reserved))?;
        Ok(old.reserved())
    }
}
