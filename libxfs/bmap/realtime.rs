// SPDX-License-Identifier: GPL-2.0

//! Realtime extents, which are allocated and freed as a whole, below mappings, which need not be.
//!
//! A realtime extent lies at a multiple of its length in the file, too. So what a file has of one is
//! all of it, in one mapping or, where a part is unwritten, in several.

use super::fork::ForkMut;
use crate::libxfs::{
    error::Result,
    extents::{Mapping, State},
    format::units::FileBlock,
    journal::Journal,
    store::Device,
};

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    /// Blocks of an extent that is free as a whole or not at all.
    pub(super) fn unit(&self) -> Result<u64> {
        Ok(match self.device()? {
            Device::Realtime => self.trans.geometry().rt_extent_size.max(1).into(),
            _ => 1,
        })
    }

    /// Where the extent starts that holds the block before `end`, or `from` if that is behind.
    pub(super) fn before_extent(&self, from: FileBlock, end: FileBlock) -> Result<FileBlock> {
        let last = end.0.saturating_sub(1);
        let over = last.checked_rem(self.unit()?).unwrap_or(0);
        Ok(FileBlock(last.saturating_sub(over)).max(from))
    }

    /// Of the last mapping that is to be unmapped, `part`, what can be: whole extents. Where it ends
    /// inside of one, all of that extent that is to be unmapped becomes unwritten; `None` where that
    /// does not make it whole.
    pub(super) fn whole_extents(
        &mut self,
        from: FileBlock,
        part: &Mapping,
    ) -> Result<Option<Mapping>> {
        let unit = self.unit()?;
        if unit == 1 {
            return Ok(Some(*part));
        }
        let end = part.end();
        let start = self.before_extent(FileBlock(0), end)?;
        if start.0.saturating_add(unit) != end.0 {
            // What is behind stays.
            self.set_state(start.max(from), end, State::Unwritten)?;
            return Ok(None);
        }
        if start < from {
            self.set_state(from, end, State::Unwritten)?;
            return Ok(None);
        }
        let whole = if start < part.offset {
            // Parts in different states become one.
            self.set_state(start, end, State::Unwritten)?;
            self.extents()?.get(start)
        } else {
            Some(*part)
        };
        let first = whole.map_or(start, |whole| whole.offset.max(from));
        let first = first.0.checked_next_multiple_of(unit).map(FileBlock);
        Ok(whole.and_then(|whole| whole.trimmed(first.unwrap_or(start), end)))
    }
}
