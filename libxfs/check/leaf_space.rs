// SPDX-License-Identifier: GPL-2.0

//! The space in a leaf of attributes: names do not overlap, the header counts what they take, and
//! what it lists as free is.

use crate::libxfs::format::{
    attr::leaf::{local_size, remote_size, Leaf, LeafEntry, LeafHeader, Value},
    fault::{ensure, Fault},
};
use core::mem::size_of;

const STRUCTURE: &str = "attr3 leaf";
/// Bytes that a bit of the map stands for: names begin at multiples of it.
const UNIT: usize = 4;
/// Words of a map of the largest block, of 64 KiB.
const WORDS: usize = 65536 / UNIT / 64;

/// Which units of a block are in use.
struct Map([u64; WORDS]);

impl Map {
    /// Takes the bytes from `start` to `end`; false if one of them is in use already.
    fn take(&mut self, start: usize, end: usize) -> bool {
        let mut free = true;
        for unit in start / UNIT..end.div_ceil(UNIT) {
            let bit = 1u64.wrapping_shl((unit % 64) as u32);
            match self.0.get_mut(unit / 64) {
                Some(word) => {
                    free &= *word & bit == 0;
                    *word |= bit;
                }
                None => free = false,
            }
        }
        free
    }
}

/// Holds a verified leaf of `size` bytes to the rules of its space.
///
/// # Errors
///
/// The first rule that is broken.
pub(super) fn check(leaf: &Leaf<'_>, size: usize) -> Result<(), Fault> {
    let mut map = Map([0; WORDS]);
    let header = size_of::<LeafHeader>();
    let entries = leaf.entries.len().saturating_mul(size_of::<LeafEntry>());
    map.take(0, header.saturating_add(entries));
    let mut used = 0usize;
    for entry in leaf.entries {
        let attr = leaf.attr(entry)?;
        let name = u8::try_from(attr.name.len()).unwrap_or(u8::MAX);
        let bytes = match attr.value {
            Value::Local(value) => local_size(name, u16::try_from(value.len()).unwrap_or(u16::MAX)),
            Value::Remote { .. } => remote_size(name),
        };
        let start = usize::from(entry.nameidx.get());
        let end = start.saturating_add(bytes as usize);
        ensure(start % UNIT == 0, STRUCTURE, "nameidx")?;
        ensure(map.take(start, end), STRUCTURE, "nameidx")?;
        used = used.saturating_add(bytes as usize);
    }
    let counted = usize::from(leaf.header.usedbytes.get());
    ensure(used == counted, STRUCTURE, "usedbytes")?;
    let lowest = leaf
        .entries
        .iter()
        .map(|entry| usize::from(entry.nameidx.get()))
        .min();
    // Where names were moved out to another leaf, the lowest one left may lie above.
    let first_used = leaf.first_used();
    ensure(
        first_used % UNIT == 0 && first_used <= lowest.unwrap_or(size),
        STRUCTURE,
        "firstused",
    )?;
    for free in &leaf.header.freemap {
        let start = usize::from(free.base.get());
        let end = start.saturating_add(free.size.get().into());
        ensure(map.take(start, end), STRUCTURE, "freemap")?;
    }
    Ok(())
}
