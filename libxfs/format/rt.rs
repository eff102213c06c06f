// SPDX-License-Identifier: GPL-2.0

//! The realtime section: its superblock, and the blocks of its bitmap and summary files.
//!
//! The bitmap has a bit for each realtime extent, set if it is free. The summary counts, for each
//! block of the bitmap and each power of two, the free runs that start in that block and are at
//! least that long but less than twice. Both are files on the data device. Where the realtime
//! section has groups, each group has its own two files and their blocks start with a header;
//! where not, the blocks are bare words.
//!
//! Source: "Real-time Devices" in the XFS format's documentation, and `fs/xfs/libxfs/xfs_format.h`
//! and `xfs_rtbitmap.h` of Linux 7.3.

use super::{
    crc,
    fault::{ensure, Fault},
    geometry::Geometry,
    units::{DiskAddr, InodeNumber, RtExtent, RtGroup},
};
use core::{
    mem::{offset_of, size_of},
    ops::Range,
};
use zerocopy::{
    byteorder::{
        big_endian::{U32, U64},
        little_endian,
    },
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// `Frog`: what the realtime superblock starts with.
const SUPERBLOCK_MAGIC: u32 = 0x4672_6f67;
/// `BMPZ`: blocks of a bitmap.
pub(super) const BITMAP_MAGIC: u32 = 0x424d_505a;
/// `SUMY`: blocks of a summary.
pub(super) const SUMMARY_MAGIC: u32 = 0x5355_4d59;
/// Bytes of a word.
const WORD_SIZE: usize = 4;
/// log2 of [`WORD_BITS`].
pub const WORD_BITS_LOG: u8 = 5;
/// Bits of a word.
pub const WORD_BITS: u32 = 1 << WORD_BITS_LOG;

/// The realtime superblock, in the first block of a realtime section with groups
/// (`struct xfs_rtsb`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Superblock {
    magic: U32,
    crc: little_endian::U32,
    pad: U32,
    label: [u8; 12],
    uuid: [u8; 16],
    meta_uuid: [u8; 16],
}

/// Where the realtime superblock has its checksum.
pub(super) const SUPERBLOCK_CRC: usize = offset_of!(Superblock, crc);

/// Header of a bitmap's and a summary's blocks (`struct xfs_rtbuf_blkinfo`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: U32,
    crc: little_endian::U32,
    owner: U64,
    blkno: U64,
    lsn: U64,
    uuid: [u8; 16],
}

const HEADER_SIZE: usize = size_of::<Header>();
const _: () = assert!(HEADER_SIZE == 48);
/// Where a block with a header has its checksum.
pub(super) const HEADER_CRC: usize = offset_of!(Header, crc);
/// Where a block with a header has its log sequence number.
pub(super) const HEADER_LSN: usize = offset_of!(Header, lsn);
/// Where a block with a header has the file system's uuid.
pub(super) const HEADER_UUID: usize = offset_of!(Header, uuid);

/// The two files that say what is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RtFile {
    /// A bit for each realtime extent.
    Bitmap,
    /// Counts of free runs.
    Summary,
}

impl RtFile {
    const fn name(self) -> &'static str {
        match self {
            Self::Bitmap => "rtbitmap",
            Self::Summary => "rtsummary",
        }
    }

    const fn magic(self) -> u32 {
        match self {
            Self::Bitmap => BITMAP_MAGIC,
            Self::Summary => SUMMARY_MAGIC,
        }
    }
}

/// Whether blocks of bitmaps and summaries have a header.
pub(super) const fn has_headers(geo: &Geometry) -> bool {
    geo.features.metadir()
}

/// Where a block of a bitmap or a summary has the sequence number of its last write; `None` where
/// there are no headers.
pub const fn lsn_offset(geo: &Geometry) -> Option<usize> {
    if has_headers(geo) {
        Some(offset_of!(Header, lsn))
    } else {
        None
    }
}

/// Whether the realtime section starts with a superblock of its own.
pub const fn has_superblock(geo: &Geometry) -> bool {
    geo.features.metadir() && geo.rt_blocks > 0 && !geo.features.zoned()
}

/// Holds the realtime superblock, a whole block, to its rules: among them that it is of this file
/// system.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_superblock(geo: &Geometry, block: &[u8]) -> Result<(), Fault> {
    const NAME: &str = "rt superblock";

    let (sb, rest) =
        Superblock::ref_from_prefix(block).map_err(|_| Fault::corrupt(NAME, "length"))?;
    if !crc::block_crc_is_good(block, SUPERBLOCK_CRC) {
        return Err(Fault::checksum(NAME));
    }
    ensure(sb.magic.get() == SUPERBLOCK_MAGIC, NAME, "rsb_magicnum")?;
    ensure(sb.pad.get() == 0, NAME, "rsb_pad")?;
    ensure(rest.iter().all(|&byte| byte == 0), NAME, "rsb_pad")?;
    ensure(sb.label == geo.label, NAME, "rsb_fname")?;
    ensure(sb.uuid == geo.uuid, NAME, "rsb_uuid")?;
    ensure(sb.meta_uuid == geo.meta_uuid, NAME, "rsb_meta_uuid")
}

/// Holds a block of a bitmap or a summary to its rules. Without groups there are none.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, at: DiskAddr, block: &[u8], file: RtFile) -> Result<(), Fault> {
    if !has_headers(geo) {
        return Ok(());
    }
    let name = file.name();
    let (header, _) = Header::ref_from_prefix(block).map_err(|_| Fault::corrupt(name, "length"))?;
    if !crc::block_crc_is_good(block, HEADER_CRC) {
        return Err(Fault::checksum(name));
    }
    ensure(header.magic.get() == file.magic(), name, "rt_magic")?;
    ensure(header.uuid == geo.meta_uuid, name, "rt_uuid")?;
    ensure(header.blkno.get() == at.0, name, "rt_blkno")
}

/// The words of a verified block of a bitmap or a summary.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Words<'a> {
    /// The words behind the header, if there is one; then the block must belong to `owner`.
    ///
    /// # Errors
    ///
    /// A fault for a block of another file.
    pub fn new(
        geo: &Geometry,
        block: &'a [u8],
        file: RtFile,
        owner: InodeNumber,
    ) -> Result<Self, Fault> {
        if !has_headers(geo) {
            return Ok(Self {
                bytes: block,
                big_endian: false,
            });
        }
        let (header, bytes) =
            Header::ref_from_prefix(block).map_err(|_| Fault::corrupt(file.name(), "length"))?;
        ensure(header.owner.get() == owner.0, file.name(), "rt_owner")?;
        Ok(Self {
            bytes,
            big_endian: true,
        })
    }

    /// Word `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<u32> {
        let (word, _) = self
            .bytes
            .get(index.checked_mul(WORD_SIZE)?..)?
            .split_first_chunk::<WORD_SIZE>()?;
        // Without groups words lie in the order of the machine that made them, and such a file
        // system can only be used on its like.
        Some(if self.big_endian {
            u32::from_be_bytes(*word)
        } else {
            u32::from_ne_bytes(*word)
        })
    }
}

/// Bytes of word `index` in a block of a bitmap or a summary; `None` past its end.
pub fn word_range(geo: &Geometry, index: usize) -> Option<Range<usize>> {
    if index as u64 >= words_per_block(geo) {
        return None;
    }
    let header = if has_headers(geo) { HEADER_SIZE } else { 0 };
    let start = index.checked_mul(WORD_SIZE)?.checked_add(header)?;
    Some(start..start.checked_add(WORD_SIZE)?)
}

/// A word as it lies in a block, in the order of [`Words`].
pub const fn encode_word(geo: &Geometry, word: u32) -> [u8; WORD_SIZE] {
    if has_headers(geo) {
        word.to_be_bytes()
    } else {
        word.to_ne_bytes()
    }
}

/// Words in a block of a bitmap or a summary.
pub const fn words_per_block(geo: &Geometry) -> u64 {
    let header = if has_headers(geo) { HEADER_SIZE } else { 0 };
    ((geo.block_size as usize).saturating_sub(header) / WORD_SIZE) as u64
}

/// Realtime extents that a block of the bitmap tells of.
pub const fn extents_per_block(geo: &Geometry) -> u64 {
    words_per_block(geo).saturating_mul(WORD_BITS as u64)
}

/// Realtime extents that one bitmap tells of: those of a group, or all where there are no groups.
/// `None` for a group that is not there.
pub fn extents_of(geo: &Geometry, group: Option<RtGroup>) -> Option<u64> {
    match group {
        None => (geo.rt_group_count == 0).then_some(geo.rt_extents),
        Some(group) => geo
            .rt_group_length(group)?
            .checked_div(u64::from(geo.rt_extent_size)),
    }
}

/// Blocks of each bitmap: as many as the largest group needs.
const fn bitmap_blocks(geo: &Geometry) -> u64 {
    bitmap_bits(geo).div_ceil(extents_per_block(geo))
}

/// Bits that each bitmap has.
const fn bitmap_bits(geo: &Geometry) -> u64 {
    if geo.rt_extents == 0 || geo.features.zoned() {
        0
    } else if geo.features.metadir() {
        geo.rt_group_extents as u64
    } else {
        geo.rt_extents
    }
}

/// Lengths that each summary tells apart: floor(log2(length)) is below this.
pub const fn summary_levels(geo: &Geometry) -> u32 {
    u64::BITS.saturating_sub(bitmap_bits(geo).leading_zeros())
}

/// Blocks of each summary.
pub const fn summary_blocks(geo: &Geometry) -> u64 {
    let words = bitmap_blocks(geo).saturating_mul(summary_levels(geo) as u64);
    words.div_ceil(words_per_block(geo))
}

/// Block of a bitmap file that has the bit of an extent, and the bit's index in the block.
pub const fn bitmap_position(geo: &Geometry, extent: RtExtent) -> (u64, u64) {
    let per_block = extents_per_block(geo);
    match (
        extent.0.checked_div(per_block),
        extent.0.checked_rem(per_block),
    ) {
        (Some(block), Some(bit)) => (block, bit),
        _ => (0, 0),
    }
}

/// Block of a summary file that counts the free runs of `level` that start in block `block` of the
/// bitmap, and the word's index there; `None` where there is no such count.
pub const fn summary_position(geo: &Geometry, level: u32, block: u64) -> Option<(u64, u64)> {
    let blocks = bitmap_blocks(geo);
    if level >= summary_levels(geo) || block >= blocks {
        return None;
    }
    let word = match (level as u64).checked_mul(blocks) {
        Some(start) => match start.checked_add(block) {
            Some(word) => word,
            None => return None,
        },
        None => return None,
    };
    let per_block = words_per_block(geo);
    match (word.checked_div(per_block), word.checked_rem(per_block)) {
        (Some(block), Some(index)) => Some((block, index)),
        _ => None,
    }
}
