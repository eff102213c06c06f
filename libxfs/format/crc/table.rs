// SPDX-License-Identifier: GPL-2.0

//! CRC32c by tables, eight bytes at a time.

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
