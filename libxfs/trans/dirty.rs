// SPDX-License-Identifier: GPL-2.0

//! Which parts of a block were changed: a bit for each chunk of 128 bytes, as the log has it.

use core::ops::Range;

/// Bytes of a chunk, the unit in which blocks are logged.
pub const CHUNK_SIZE: usize = 128;
/// Bytes of the longest block that can be logged.
pub const MAX_BLOCK_SIZE: usize = 64 << 10;
const WORDS: usize = MAX_BLOCK_SIZE / CHUNK_SIZE / 64;

/// The changed chunks of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirtyChunks {
    words: [u64; WORDS],
}

impl DirtyChunks {
    /// Adds the chunks that hold the bytes of `range`. What lies behind [`MAX_BLOCK_SIZE`] is
    /// ignored; no block reaches there.
    pub fn add(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let end = range.end.div_ceil(CHUNK_SIZE);
        let mut chunk = range.start / CHUNK_SIZE;
        while chunk < end {
            let bit = chunk % 64;
            let Some(word) = self.words.get_mut(chunk / 64) else {
                return;
            };
            // To the end of the range or of the word.
            let count = end.saturating_sub(chunk).min(64usize.saturating_sub(bit));
            let ones = u64::MAX.wrapping_shr(64u32.saturating_sub(count as u32));
            *word |= ones.wrapping_shl(bit as u32);
            chunk = chunk.saturating_add(count);
        }
    }

    /// Whether no chunk was changed.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether that chunk was changed.
    pub fn contains(&self, chunk: usize) -> bool {
        self.words
            .get(chunk / 64)
            .is_some_and(|word| word & 1u64.wrapping_shl((chunk % 64) as u32) != 0)
    }

    /// Runs of changed chunks, in order, as ranges of chunk numbers.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = (at..WORDS * 64).find(|&chunk| self.contains(chunk))?;
            let end = (start..WORDS * 64)
                .find(|&chunk| !self.contains(chunk))
                .unwrap_or(WORDS * 64);
            at = end;
            Some(start..end)
        })
    }

    /// Changed chunks.
    pub fn count(&self) -> u32 {
        self.words
            .iter()
            .fold(0, |sum, word| sum.saturating_add(word.count_ones()))
    }
}
