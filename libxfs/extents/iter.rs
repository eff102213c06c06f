// SPDX-License-Identifier: GPL-2.0

//! Walks over a map in order.

use super::{super::format::units::FileBlock, ExtentMap, Mapping, Packed, Segment};
use core::iter::FusedIterator;

/// Mappings in order; made by [`ExtentMap::iter_from`].
///
/// Within a node it steps along an array; at its end the next node is looked up anew.
#[derive(Clone)]
pub struct Iter<'a> {
    map: &'a ExtentMap,
    run: core::slice::Iter<'a, Packed>,
    /// End of the last mapping returned.
    end: u64,
}

impl<'a> Iter<'a> {
    pub(super) fn new(map: &'a ExtentMap, from: FileBlock) -> Self {
        Self {
            map,
            run: map.run_from(from.0).iter(),
            end: from.0,
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        let record = match self.run.next() {
            Some(record) => record,
            None => {
                self.run = self.map.run_from(self.end).iter();
                self.run.next()?
            }
        };
        self.end = record.end();
        Some(record.mapping())
    }
}

impl FusedIterator for Iter<'_> {}

/// Mapped and unmapped runs of a range; made by [`ExtentMap::segments`].
#[derive(Clone)]
pub struct Segments<'a> {
    mappings: Iter<'a>,
    /// The mapping that ends the hole that was returned last.
    ahead: Option<Mapping>,
    at: FileBlock,
    end: FileBlock,
}

impl<'a> Segments<'a> {
    pub(super) fn new(map: &'a ExtentMap, from: FileBlock, len: u64) -> Self {
        Self {
            mappings: Iter::new(map, from),
            ahead: None,
            at: from,
            end: FileBlock(from.0.saturating_add(len)),
        }
    }
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.at >= self.end {
            return None;
        }
        let mapping = self
            .ahead
            .take()
            .or_else(|| self.mappings.next())
            .and_then(|mapping| mapping.trimmed(self.at, self.end));
        let segment = match mapping {
            Some(mapping) if mapping.offset == self.at => Segment::Mapped(mapping),
            other => {
                self.ahead = other;
                let end = other.map_or(self.end, |next| next.offset);
                Segment::Hole {
                    offset: self.at,
                    len: end.0.saturating_sub(self.at.0),
                }
            }
        };
        self.at = segment.end();
        Some(segment)
    }
}

impl FusedIterator for Segments<'_> {}
