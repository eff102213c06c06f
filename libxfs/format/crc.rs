// SPDX-License-Identifier: GPL-2.0

//! CRC32c, the checksum of every V5 structure.
//!
//! The sum covers the whole block with its checksum field taken as zero, starts from all ones and
//! is stored inverted, in little-endian order, unlike all else on the disk. Source: "Checksums" in
//! chapter "Self-Describing Metadata" of the XFS format's documentation.

/// Castagnoli's polynomial with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][b]`: what byte `b` does to the sum once `k` more bytes have gone by.
static TABLES: [[u32; 256]; 8] = build_tables();

// Runs in the compiler alone: an index out of range would be an error of the build.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn build_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (if sum & 1 != 0 { POLYNOMIAL } else { 0 });
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// One table look-up. The index is a byte and the table has 256 entries, so nothing is checked at
/// run time.
#[inline(always)]
fn look_up(table: &[u32; 256], byte: u32) -> u32 {
    table
        .get((byte & 0xff) as usize)
        .copied()
        .unwrap_or_default()
}

/// Carries a CRC32c on over `bytes`. Neither inverts at the start nor at the end, so that sums over
/// pieces can be chained.
///
/// This is the one place where the sum is computed: a build that has a faster one (the kernel's
/// `crc32c()`, which uses the processor's instruction) puts it here.
#[inline]
pub fn update(sum: u32, bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let mut sum = sum;
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let &[a, b, c, d, e, f, g, h] = word else {
            continue;
        };
        let low = sum ^ u32::from_le_bytes([a, b, c, d]);
        let high = u32::from_le_bytes([e, f, g, h]);
        sum = look_up(t7, low)
            ^ look_up(t6, low >> 8)
            ^ look_up(t5, low >> 16)
            ^ look_up(t4, low >> 24)
            ^ look_up(t3, high)
            ^ look_up(t2, high >> 8)
            ^ look_up(t1, high >> 16)
            ^ look_up(t0, high >> 24);
    }
    for &byte in words.remainder() {
        sum = (sum >> 8) ^ look_up(t0, sum ^ u32::from(byte));
    }
    sum
}

/// The checksum that belongs into the four bytes at `crc_offset` of `bytes`, or `None` when the
/// field does not lie within them.
///
/// The result is the number; it is stored in little-endian order.
pub fn block_crc(bytes: &[u8], crc_offset: usize) -> Option<u32> {
    let before = bytes.get(..crc_offset)?;
    let after = bytes.get(crc_offset.checked_add(4)?..)?;
    let sum = update(u32::MAX, before);
    let sum = update(sum, &[0; 4]);
    Some(!update(sum, after))
}

/// Whether the checksum stored at `crc_offset` is that of `bytes`; not if it does not fit.
pub fn block_crc_is_good(bytes: &[u8], crc_offset: usize) -> bool {
    let Some(stored) = crc_offset
        .checked_add(4)
        .and_then(|end| bytes.get(crc_offset..end))
    else {
        return false;
    };
    match block_crc(bytes, crc_offset) {
        Some(sum) => sum.to_le_bytes() == stored,
        None => false,
    }
}

/// Stores the right checksum at `crc_offset`; does nothing when it does not fit.
pub fn set_block_crc(bytes: &mut [u8], crc_offset: usize) {
    let Some(sum) = block_crc(bytes, crc_offset) else {
        return;
    };
    if let Some(field) = crc_offset
        .checked_add(4)
        .and_then(|end| bytes.get_mut(crc_offset..end))
    {
        field.copy_from_slice(&sum.to_le_bytes());
    }
}
