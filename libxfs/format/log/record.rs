// SPDX-License-Identifier: GPL-2.0

//! Records: headers, the cycles stamped into every basic block, checksums.
//!
//! A record is one or more basic blocks of header and then its data, padded to the log's stripe
//! unit or sector. The first word of every block is the cycle in which it was written, but that of
//! a record's first block is a magic number that no cycle has, with the cycle behind it. The words
//! that stood where the data's blocks have their cycles are kept in the header: those of the first
//! 32 KiB in its first block, those of each 32 KiB more in one more block.
//!
//! A record that goes round the ring's end is in two cycles: the blocks behind the end have the
//! next one.

use crate::libxfs::format::{
    crc,
    fault::{self, Fault},
    geometry::Geometry,
    units::{Lsn, BASIC_BLOCK_SIZE},
};
use core::mem::{offset_of, size_of};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = "log record";

/// First word of a record's header. No cycle has this number.
pub const MAGIC: u32 = 0xfeed_babe;
/// The version of the log that V5 has.
pub const VERSION: u32 = 2;
/// The order of this machine's numbers, as a header tells it.
pub const FORMAT: u32 = if cfg!(target_endian = "little") { 1 } else { 2 };
/// The fewest bytes of an in-core log, header included, that this project writes.
pub const MIN_RECORD_SIZE: u32 = 32 * 1024;
/// The most bytes of a record, header included.
pub const MAX_RECORD_SIZE: u32 = 256 * 1024;
/// Bytes of data whose displaced words fit into one basic block of header.
const BYTES_PER_HEADER: u32 = 32 * 1024;
/// Words of displaced data in a block of a header.
const CYCLE_WORDS: usize = (BYTES_PER_HEADER / BASIC_BLOCK_SIZE) as usize;
/// Records that can be on their way to the disk at the same time.
pub const MAX_RECORDS_IN_FLIGHT: u32 = 8;
/// Bytes of a basic block.
const BLOCK: usize = BASIC_BLOCK_SIZE as usize;

/// The first basic block of a record as it lies on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `h_` field of the same name.
pub struct DiskRecordHeader {
    pub magicno: U32,
    pub cycle: U32,
    pub version: U32,
    pub len: U32,
    pub lsn: U64,
    pub tail_lsn: U64,
    /// Little-endian.
    pub crc: [u8; 4],
    pub prev_block: U32,
    pub num_logops: U32,
    pub cycle_data: [U32; CYCLE_WORDS],
    pub fmt: U32,
    pub fs_uuid: [u8; 16],
    pub size: U32,
    pub pad0: [u8; 4],
    pub reserved: [u8; 184],
}

/// Each further basic block of a record's header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `xh_` field of the same name.
pub struct DiskExtHeader {
    pub cycle: U32,
    pub cycle_data: [U32; CYCLE_WORDS],
    pub reserved: [u8; 252],
}

const _: () = assert!(size_of::<DiskRecordHeader>() == BLOCK);
const _: () = assert!(size_of::<DiskExtHeader>() == BLOCK);

/// Bytes of the first header block that the checksum covers.
const CHECKED: usize = offset_of!(DiskRecordHeader, reserved);
/// The same where a 32-bit x86 machine wrote the record: there the header had no padding.
const CHECKED_32: usize = offset_of!(DiskRecordHeader, pad0);
/// Bytes of each further header block that the checksum covers.
const CHECKED_EXT: usize = offset_of!(DiskExtHeader, reserved);
const CRC_OFFSET: usize = offset_of!(DiskRecordHeader, crc);

/// A record's header that holds the rules of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Where the record lies and its cycle.
    pub lsn: Lsn,
    /// The oldest record that recovery needs.
    pub tail: Lsn,
    /// Basic blocks of header.
    pub header_blocks: u32,
    /// Basic blocks of data, with what pads them to the log's stripe unit.
    pub data_blocks: u32,
    /// Bytes of data, padding included: what the checksum covers and operations lie in.
    pub len: u32,
    /// Bytes of the in-core log that the record was written from, header included.
    pub size: u32,
    /// Operations.
    pub operations: u32,
    /// The checksum; 0 in what `mkfs.xfs` writes.
    pub crc: u32,
    /// Whether a machine of this one's byte order wrote it for this very file system: only then
    /// can it be recovered.
    pub is_native: bool,
}

impl RecordHeader {
    /// Basic blocks of the whole record.
    pub const fn blocks(&self) -> u32 {
        self.header_blocks.saturating_add(self.data_blocks)
    }
}

/// How often the ring had been gone round when this basic block was written; `None` when there are
/// too few bytes. 0 is a block that was never written.
#[inline]
pub fn cycle_of(block: &[u8]) -> Option<u32> {
    let (words, _) = <[U32; 2]>::ref_from_prefix(block).ok()?;
    let [first, second] = words;
    Some(match first.get() {
        MAGIC => second.get(),
        cycle => cycle,
    })
}

/// The cycle that comes after another: one more, but never the magic number.
#[inline]
pub const fn next_cycle(cycle: u32) -> u32 {
    match cycle.wrapping_add(1) {
        MAGIC => MAGIC.wrapping_add(1),
        next => next,
    }
}

/// Whether this basic block is the first of a record.
#[inline]
pub fn is_header(block: &[u8]) -> bool {
    matches!(U32::ref_from_prefix(block), Ok((magic, _)) if magic.get() == MAGIC)
}

/// Whether a basic block that is a header is one of a record with nothing in it, as they are put in
/// front of the head.
pub fn is_cleared(block: &[u8]) -> bool {
    matches!(DiskRecordHeader::ref_from_prefix(block), Ok((header, _)) if header.len.get() == 0)
}

/// Basic blocks of header that records from an in-core log of `size` bytes have.
#[inline]
pub const fn header_blocks(size: u32) -> u32 {
    match size.div_ceil(BYTES_PER_HEADER) {
        0 => 1,
        blocks => blocks,
    }
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, NAME, field)
}

/// Decodes the header of a record from its first basic block and holds it to the rules of the
/// format.
///
/// # Errors
///
/// The first rule that is broken.
pub fn record_header(geo: &Geometry, block: &[u8]) -> Result<RecordHeader, Fault> {
    let (header, _) =
        DiskRecordHeader::ref_from_prefix(block).map_err(|_| Fault::corrupt(NAME, "size"))?;
    ensure(header.magicno.get() == MAGIC, "magicno")?;
    ensure(header.version.get() == VERSION, "version")?;
    let (len, size) = (header.len.get(), header.size.get());
    ensure(len != 0 && len <= MAX_RECORD_SIZE, "len")?;
    ensure(size <= MAX_RECORD_SIZE, "size")?;
    // IRIX wrote none.
    ensure(
        header.fs_uuid == geo.uuid || header.fs_uuid == [0; 16],
        "fs_uuid",
    )?;
    Ok(RecordHeader {
        lsn: Lsn(header.lsn.get()),
        tail: Lsn(header.tail_lsn.get()),
        header_blocks: header_blocks(size),
        data_blocks: len.div_ceil(BASIC_BLOCK_SIZE),
        len,
        size,
        operations: header.num_logops.get(),
        crc: u32::from_le_bytes(header.crc),
        is_native: header.fmt.get() == FORMAT && header.fs_uuid == geo.uuid,
    })
}

/// The checksum of a record: of its header's blocks and of its data, cycles and padding as they lie
/// on the disk. `checked` bytes of the first header block count.
fn checksum(header: &[u8], data: &[u8], checked: usize) -> Option<u32> {
    let before = header.get(..CRC_OFFSET)?;
    let after = header.get(CRC_OFFSET.checked_add(4)?..checked)?;
    let mut sum = crc::update(u32::MAX, before);
    sum = crc::update(sum, &[0; 4]);
    sum = crc::update(sum, after);
    // As many further blocks as there are data for, not as the header has.
    let further = data
        .len()
        .div_ceil(BYTES_PER_HEADER as usize)
        .saturating_sub(1);
    for block in header.chunks_exact(BLOCK).skip(1).take(further) {
        sum = crc::update(sum, block.get(..CHECKED_EXT)?);
    }
    Some(!crc::update(sum, data))
}

/// Whether the checksum in a record's header is that of its blocks of header and its `len` bytes of
/// data, as they lie on the disk. Not if there are too few of either.
pub fn checksum_is_good(header: &[u8], data: &[u8]) -> bool {
    let Ok((first, _)) = DiskRecordHeader::ref_from_prefix(header) else {
        return false;
    };
    let stored = Some(u32::from_le_bytes(first.crc));
    checksum(header, data, CHECKED) == stored || checksum(header, data, CHECKED_32) == stored
}

/// Sets the checksum of a record whose other bytes are as they shall lie on the disk. Does nothing
/// when there are too few of them.
pub fn set_checksum(header: &mut [u8], data: &[u8]) {
    let Some(sum) = checksum(header, data, CHECKED) else {
        return;
    };
    if let Ok((first, _)) = DiskRecordHeader::mut_from_prefix(header) {
        first.crc = sum.to_le_bytes();
    }
}

/// Where in the header the word is kept that the cycle of a block of data displaced.
fn kept_word(block: usize) -> Option<core::ops::Range<usize>> {
    let index = block.checked_rem(CYCLE_WORDS)?.checked_mul(4)?;
    let start = match block.checked_div(CYCLE_WORDS)? {
        0 => offset_of!(DiskRecordHeader, cycle_data),
        further => further
            .checked_mul(BLOCK)?
            .checked_add(offset_of!(DiskExtHeader, cycle_data))?,
    };
    let start = start.checked_add(index)?;
    Some(start..start.checked_add(4)?)
}

/// Puts the words that cycles displaced back into a record's data. `None` when the header has no
/// room for so many.
pub fn unpack(header: &[u8], data: &mut [u8]) -> Option<()> {
    for (index, block) in data.chunks_mut(BLOCK).enumerate() {
        let kept = header.get(kept_word(index)?)?;
        block.get_mut(..4)?.copy_from_slice(kept);
    }
    Some(())
}

/// Stamps a record with the cycles in which its blocks are written: `header` and `data` are whole
/// basic blocks that go to the ring behind one another, the first `before_end` of them in front of
/// the ring's end. The words displaced from the data go into the header. `None` when the header has
/// no room for so many, or has no blocks.
pub fn pack(header: &mut [u8], data: &mut [u8], cycle: u32, before_end: usize) -> Option<()> {
    let header_blocks = header.len().checked_div(BLOCK)?;
    let stamp = |block: usize| {
        U32::new(if block < before_end {
            cycle
        } else {
            next_cycle(cycle)
        })
    };
    for (index, block) in data.chunks_mut(BLOCK).enumerate() {
        let word = block.get_mut(..4)?;
        header.get_mut(kept_word(index)?)?.copy_from_slice(word);
        let at = header_blocks.checked_add(index)?;
        stamp(at).write_to(word).ok()?;
    }
    // The first block keeps its magic number, and the cycle of its start behind it.
    for (index, block) in header.chunks_mut(BLOCK).enumerate().skip(1) {
        stamp(index).write_to_prefix(block).ok()?;
    }
    Some(())
}
