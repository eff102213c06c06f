// SPDX-License-Identifier: GPL-2.0

//! CRC32c, with what the processor has for it.
//!
//! C header: [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

use crate::rust::bindings;

/// Carries a CRC32c on over `bytes`. Neither inverts at the start nor at the end, so that sums over
/// pieces can be chained.
#[inline]
pub fn update(sum: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The pointer and the length are those of a slice, which is only read.
    unsafe { bindings::crc32c(sum, bytes.as_ptr().cast(), bytes.len()) }
}
