// SPDX-License-Identifier: GPL-2.0

//! What is asked of the allocator, and whether a free extent can give it.

use crate::libxfs::format::{btree::FreeExtent, units::AgBlock};

/// An extent that is wanted, within one group. All lengths are file system blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// At least so many blocks; not 0.
    pub min: u32,
    /// At most so many, and so many if there are.
    pub max: u32,
    /// The first block is a multiple of this.
    pub alignment: u32,
    /// The length is a multiple of this, and `remainder` more, where that leaves `min`.
    pub multiple: u32,
    /// See `multiple`; less than that.
    pub remainder: u32,
    /// Whether what will be written there bypasses the log, as the content of files does and long
    /// values of attributes do. Then no block is taken that is [busy](crate::libxfs::space::Busy).
    pub unlogged: bool,
    /// All blocks lie at this one or behind it, but where an exact place is asked for.
    pub first: AgBlock,
    /// And before this one.
    pub end: AgBlock,
}

impl Request {
    /// From `min` to `max` blocks, anywhere.
    pub const fn new(min: u32, max: u32) -> Self {
        Self {
            min,
            max,
            alignment: 1,
            multiple: 1,
            remainder: 0,
            unlogged: false,
            first: AgBlock(0),
            end: AgBlock(u32::MAX),
        }
    }

    /// From `min` to `max` blocks, anywhere, to be written past the log.
    pub const fn unlogged(min: u32, max: u32) -> Self {
        Self {
            unlogged: true,
            ..Self::new(min, max)
        }
    }

    /// Whether it makes sense.
    pub const fn is_valid(&self) -> bool {
        self.min > 0
            && self.min <= self.max
            && self.alignment > 0
            && self.multiple > 0
            && self.remainder < self.multiple
    }

    /// The longest length of up to `available` blocks that it takes; `None` below `min`.
    pub fn length(&self, available: u32) -> Option<u32> {
        let len = available.min(self.max);
        if len < self.min {
            return None;
        }
        let over = len
            .checked_add(self.multiple)?
            .checked_sub(self.remainder)?
            .checked_rem(self.multiple)?;
        // Where the multiple would leave too little, the bare minimum is better than nothing.
        Some(
            len.checked_sub(over)
                .filter(|&len| len >= self.min)
                .unwrap_or(len),
        )
    }

    /// `block`, or the next one that is aligned; `None` past the end of all numbers.
    pub fn align_up(&self, block: AgBlock) -> Option<AgBlock> {
        block
            .0
            .checked_next_multiple_of(self.alignment)
            .map(AgBlock)
    }

    /// `block`, or the last one before it that is aligned.
    pub fn align_down(&self, block: AgBlock) -> AgBlock {
        let over = block.0.checked_rem(self.alignment).unwrap_or(0);
        AgBlock(block.0.saturating_sub(over))
    }

    /// The block behind the last of `free` that may be taken.
    fn end_of(&self, free: &FreeExtent) -> AgBlock {
        free.end().min(self.end)
    }

    /// The part of `free` that may be taken and can be aligned; `None` if nothing can.
    pub fn aligned(&self, free: &FreeExtent) -> Option<FreeExtent> {
        let start = self.align_up(free.start.max(self.first))?;
        let count = self.end_of(free).distance_from(start)?;
        (count > 0).then_some(FreeExtent { start, count })
    }

    /// The longest extent out of `free` that it takes, at its beginning.
    pub fn first_of(&self, free: &FreeExtent) -> Option<FreeExtent> {
        let part = self.aligned(free)?;
        Some(FreeExtent {
            start: part.start,
            count: self.length(part.count)?,
        })
    }

    /// The longest extent out of `free` that it takes, as near to `target` as it can lie.
    pub fn nearest_of(&self, free: &FreeExtent, target: AgBlock) -> Option<FreeExtent> {
        let FreeExtent { start, count } = self.first_of(free)?;
        let last = self.align_down(self.end_of(free).checked_sub(count)?);
        let wanted = self.align_up(target).unwrap_or(last);
        Some(FreeExtent {
            start: wanted.clamp(start, last.max(start)),
            count,
        })
    }
}
