// SPDX-License-Identifier: GPL-2.0

//! The regions of a log item.

/// The regions of one item, which lie behind one another in memory.
///
/// Every region is a whole number of 32-bit words; what it is padded with does not tell.
#[derive(Clone, Copy, Debug)]
pub struct Regions<'a> {
    bytes: &'a [u8],
    start: u32,
    ends: &'a [u32],
}

impl<'a> Regions<'a> {
    /// The regions that end at the offsets `ends` of `bytes`, the first of which starts at `start`.
    #[inline]
    pub const fn new(bytes: &'a [u8], start: u32, ends: &'a [u32]) -> Self {
        Self { bytes, start, ends }
    }

    /// How many there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Region `index`, or `None` past the last one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            None => self.start,
            Some(before) => *self.ends.get(before)?,
        };
        self.bytes.get(start as usize..end as usize)
    }

    /// All regions in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Bytes of all regions.
    pub fn byte_len(&self) -> u32 {
        self.ends
            .last()
            .map_or(0, |end| end.saturating_sub(self.start))
    }
}

/// Bytes that a region of `len` bytes takes: regions are padded with zeroes to 32-bit words.
#[inline]
pub const fn padded(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(4)
}
