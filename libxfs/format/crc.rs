// SPDX-License-Identifier: GPL-2.0

//! CRC32c, the checksum of every V5 structure.
//!
//! The sum covers the whole block with its checksum field taken as zero, starts from all ones and
//! is stored inverted, in little-endian order, unlike all else on the disk. Source: "Checksums" in
//! chapter "Self-Describing Metadata" of the XFS format's documentation.

// The one place that says who computes the sum: the kernel has code for each processor.
#[cfg(CONFIG_CRC32)]
pub use crate::rust::kernel::crc32c::update;
#[cfg(not(CONFIG_CRC32))]
mod table;
#[cfg(not(CONFIG_CRC32))]
pub use table::update;

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
