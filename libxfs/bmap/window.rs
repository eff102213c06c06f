// SPDX-License-Identifier: GPL-2.0

//! What an edit of one mapping can change: it and the two beside it, as the disk has them.

use crate::libxfs::{
    error::{Error, Result},
    extents::{ExtentMap, Mapping, State},
    format::{btree::bmap::BmapRecord, units::FileBlock},
};

/// The most mappings that an edit of one leaves of it and its neighbours.
const MOST: usize = 4;

const NONE: BmapRecord = BmapRecord {
    offset: FileBlock(0),
    start: 0,
    count: 0,
    unwritten: false,
};

/// Mappings in order. Delayed ones, of which the disk has nothing, are left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    records: [BmapRecord; MOST],
    count: usize,
}

/// A mapping as a record of the disk; `None` for a delayed one.
pub(super) fn record(mapping: &Mapping) -> Option<BmapRecord> {
    Some(BmapRecord {
        offset: mapping.offset,
        start: mapping.start.0,
        count: u32::try_from(mapping.len).ok()?,
        unwritten: match mapping.state {
            State::Normal => false,
            State::Unwritten => true,
            State::Delayed => return None,
        },
    })
}

impl Window {
    /// The mappings that hold blocks of `from..end`, and those that meet it at an end.
    ///
    /// # Errors
    ///
    /// `Invalid` for more than one edit can touch.
    pub(super) fn of(map: &ExtentMap, from: FileBlock, end: FileBlock) -> Result<Self> {
        let mut window = Self {
            records: [NONE; MOST],
            count: 0,
        };
        let before = from.checked_sub(1).unwrap_or(from);
        for mapping in map.iter_from(before) {
            if mapping.offset > end {
                break;
            }
            let Some(found) = record(&mapping) else {
                continue;
            };
            let place = window.records.get_mut(window.count).ok_or(Error::Invalid)?;
            *place = found;
            window.count = window.count.saturating_add(1);
        }
        Ok(window)
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    fn records(&self) -> &[BmapRecord] {
        self.records.get(..self.count).unwrap_or_default()
    }

    /// What is in this and not in `other`, and the reverse.
    pub(super) fn differing<'w>(&'w self, other: &'w Self) -> (&'w [BmapRecord], &'w [BmapRecord]) {
        let (mut one, mut two) = (self.records(), other.records());
        while let (Some((a, rest)), Some((b, others))) = (one.split_first(), two.split_first()) {
            if a != b {
                break;
            }
            (one, two) = (rest, others);
        }
        while let (Some((a, rest)), Some((b, others))) = (one.split_last(), two.split_last()) {
            if a != b {
                break;
            }
            (one, two) = (rest, others);
        }
        (one, two)
    }
}
