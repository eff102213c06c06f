// SPDX-License-Identifier: GPL-2.0

//! Runs of bits in a bitmap, wherever its words are read from.

use super::FreeRun;
use crate::libxfs::{
    error::Result,
    format::{
        geometry::Geometry,
        rt::{self, WORD_BITS, WORD_BITS_LOG},
        units::RtExtent,
    },
};

/// The words of a bitmap.
pub(super) trait Bitmap {
    /// The file system's shape.
    fn geometry(&self) -> &Geometry;

    /// Word `index` of block `block` of the file.
    fn word(&mut self, block: u64, index: usize) -> Result<u32>;
}

/// The word with the bit of an extent, and the bit's index in it.
fn word_of<B: Bitmap>(bitmap: &mut B, extent: u64) -> Result<(u32, u32)> {
    let (block, bit) = rt::bitmap_position(bitmap.geometry(), RtExtent(extent));
    let word = bitmap.word(block, (bit >> WORD_BITS_LOG) as usize)?;
    Ok((word, bit as u32 & WORD_BITS.saturating_sub(1)))
}

/// A walk over a range of extents.
pub(super) struct Scan {
    at: u64,
    end: u64,
}

impl Scan {
    pub(super) const fn new(from: RtExtent, end: RtExtent) -> Self {
        Self {
            at: from.0,
            end: end.0,
        }
    }

    /// The next free run, trimmed to the range; `None` after the last.
    pub(super) fn next<B: Bitmap>(&mut self, bitmap: &mut B) -> Result<Option<FreeRun>> {
        let start = self.skip(bitmap, false)?;
        let end = self.skip(bitmap, true)?;
        Ok((start < end).then(|| FreeRun {
            start: RtExtent(start),
            len: end.saturating_sub(start),
        }))
    }

    /// Goes on past all extents that are free, or that are not; returns where that ends.
    pub(super) fn skip<B: Bitmap>(&mut self, bitmap: &mut B, free: bool) -> Result<u64> {
        while self.at < self.end {
            let (word, bit) = word_of(bitmap, self.at)?;
            // Bits from here on that differ from those to be skipped.
            let others = if free { !word } else { word } >> bit;
            let left = WORD_BITS.saturating_sub(bit);
            let same = others.trailing_zeros().min(left);
            self.at = self.at.saturating_add(u64::from(same)).min(self.end);
            if same < left {
                break;
            }
        }
        Ok(self.at)
    }
}

/// Where the free run begins that ends in front of `at`; `at` itself if there is none.
pub(super) fn run_start<B: Bitmap>(bitmap: &mut B, at: RtExtent) -> Result<RtExtent> {
    let mut at = at.0;
    while let Some(before) = at.checked_sub(1) {
        let (word, bit) = word_of(bitmap, before)?;
        // Bits up to that one which are not free, the last one on top.
        let others = !word << WORD_BITS.saturating_sub(1).saturating_sub(bit);
        let same = others.leading_zeros().min(bit.saturating_add(1));
        at = at.saturating_sub(u64::from(same));
        if same <= bit {
            break;
        }
    }
    Ok(RtExtent(at))
}
