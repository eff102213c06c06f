// SPDX-License-Identifier: GPL-2.0

//! Which parts of a block were changed: a bit for each chunk of 128 bytes, the unit in which blocks
//! are logged. A transaction gathers them, and the block's item in the log has the same bits.

use crate::libxfs::format::units::BASIC_BLOCK_SIZE;
use core::ops::Range;
use zerocopy::byteorder::native_endian::U32;

/// Bytes of a chunk.
pub const CHUNK_SIZE: usize = 128;
/// log2 of [`CHUNK_SIZE`].
pub(super) const CHUNK_LOG: u32 = 7;
/// Chunks in a basic block.
pub(super) const CHUNKS_PER_BASIC_BLOCK: u32 = BASIC_BLOCK_SIZE >> CHUNK_LOG;
/// Bytes of the longest block that can be logged.
pub const MAX_LOGGED_SIZE: usize = 64 << 10;
/// Chunks of the longest block.
const CHUNKS: usize = MAX_LOGGED_SIZE / CHUNK_SIZE;
/// Chunks that a word of the map tells of.
const PER_WORD: usize = u64::BITS as usize;
const WORDS: usize = CHUNKS / PER_WORD;

/// The changed chunks of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkMap {
    words: [u64; WORDS],
}

impl ChunkMap {
    /// None.
    pub const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    /// Adds the chunks that hold the bytes of `range`. What lies behind [`MAX_LOGGED_SIZE`] is
    /// ignored; no block reaches there.
    pub fn add(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let end = range.end.div_ceil(CHUNK_SIZE);
        let mut chunk = range.start / CHUNK_SIZE;
        while chunk < end {
            let bit = chunk % PER_WORD;
            let Some(word) = self.words.get_mut(chunk / PER_WORD) else {
                return;
            };
            // To the end of the range or of the word.
            let count = end.saturating_sub(chunk).min(PER_WORD.saturating_sub(bit));
            let ones = u64::MAX.wrapping_shr(u64::BITS.saturating_sub(count as u32));
            *word |= ones.wrapping_shl(bit as u32);
            chunk = chunk.saturating_add(count);
        }
    }

    /// Adds the chunks of another map.
    pub fn merge(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(other.words) {
            *word |= other;
        }
    }

    /// Whether no chunk was changed.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether that chunk was changed.
    pub fn contains(&self, chunk: usize) -> bool {
        self.words
            .get(chunk / PER_WORD)
            .is_some_and(|word| word & 1u64.wrapping_shl((chunk % PER_WORD) as u32) != 0)
    }

    /// Changed chunks.
    pub fn count(&self) -> u32 {
        self.words
            .iter()
            .fold(0, |sum, word| sum.saturating_add(word.count_ones()))
    }

    /// The chunks from `from` to before `to`, as the map of a block that begins with them: the part
    /// of one that is made of several runs.
    pub fn part(&self, from: usize, to: usize) -> Self {
        let mut part = Self::new();
        for chunk in (from..to.min(CHUNKS)).filter(|&chunk| self.contains(chunk)) {
            let start = chunk.saturating_sub(from).saturating_mul(CHUNK_SIZE);
            part.add(start..start.saturating_add(1));
        }
        part
    }

    /// The first chunk from `from` on that was changed, or was not.
    fn next(&self, from: usize, changed: bool) -> usize {
        let mut chunk = from;
        while let Some(word) = self.words.get(chunk / PER_WORD) {
            let word = if changed { *word } else { !*word };
            let rest = word.wrapping_shr((chunk % PER_WORD) as u32);
            if rest != 0 {
                return chunk.saturating_add(rest.trailing_zeros() as usize);
            }
            chunk = (chunk / PER_WORD)
                .saturating_add(1)
                .saturating_mul(PER_WORD);
        }
        CHUNKS
    }

    /// Runs of changed chunks, in order, as ranges of bytes.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = self.next(at, true);
            if start >= CHUNKS {
                return None;
            }
            at = self.next(start, false);
            Some(start << CHUNK_LOG..at << CHUNK_LOG)
        })
    }

    /// The words of the bitmap of a block of `len` basic blocks, as the log has them.
    pub fn words(&self, len: u32) -> impl Iterator<Item = U32> + '_ {
        self.words
            .iter()
            .flat_map(|&word| [word as u32, (word >> 32) as u32])
            .take(Self::word_count(len) as usize)
            .map(U32::new)
    }

    /// How many words the bitmap of a block of `len` basic blocks has.
    pub const fn word_count(len: u32) -> u32 {
        len.saturating_mul(CHUNKS_PER_BASIC_BLOCK)
            .div_ceil(u32::BITS)
    }
}
