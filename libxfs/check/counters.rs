// SPDX-License-Identifier: GPL-2.0

//! The superblock's summary counters.

use super::{Check, Place, Subject};
use crate::libxfs::{error::Result, format::units::AgNumber, store::Store};

impl<S: Store> Check<'_, S> {
    /// Counters are lazy: on disk they are exact once the log is clean, and say nothing before.
    pub(super) fn counters(&mut self) -> Result {
        if !self.whole.log {
            return Ok(());
        }
        let Some(sb) = self.superblock(AgNumber(0))? else {
            return Ok(());
        };
        let found = sb.counters();
        let totals = [
            ("icount", self.totals.inodes, found.inodes),
            ("ifree", self.totals.free_inodes, found.free_inodes),
            ("fdblocks", self.totals.free_blocks, found.free_blocks),
        ];
        for (field, expected, found) in totals {
            self.equal(Subject::Counters, Place::FileSystem, field, expected, found)?;
        }
        // Zones have no bitmap: what is free there follows from reverse mappings.
        if self.store.geometry().features.zoned() {
            return Ok(());
        }
        self.equal(
            Subject::Counters,
            Place::FileSystem,
            "frextents",
            self.totals.free_rt_extents,
            found.free_rt_extents,
        )
    }
}
