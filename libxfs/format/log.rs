// SPDX-License-Identifier: GPL-2.0

//! The log on the disk: records of up to 256 KiB, written one behind the other around a ring of
//! basic blocks.
//!
//! Every basic block of the ring begins with the number of times the ring had been gone round when
//! it was written, its cycle. A record's header begins with a magic number instead and has the
//! cycle behind it; the words that cycles displaced from the data are kept in the header. So the
//! newest block can be found: there the cycle steps down.
//!
//! Source: chapter "Journaling Log" of the XFS format's documentation.

use super::{
    fault::{self, Fault},
    geometry::Geometry,
    units::{Lsn, BASIC_BLOCK_SIZE},
};
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// First word of a record's header. No cycle has this number.
pub const MAGIC: u32 = 0xfeed_babe;
/// The version of the log that V5 has.
pub const VERSION: u32 = 2;
/// The most bytes of a record, header included.
pub const MAX_RECORD_SIZE: u32 = 256 * 1024;
/// Bytes of data whose displaced words fit into one basic block of header.
const BYTES_PER_HEADER: u32 = 32 * 1024;
/// Words of displaced data in the first block of a header.
const CYCLE_WORDS: usize = (BYTES_PER_HEADER / BASIC_BLOCK_SIZE) as usize;
/// Flag of an operation: the file system was unmounted.
pub const OP_UNMOUNT: u8 = 0x20;
/// First word of an unmount operation's data, in the order of the machine that wrote it.
pub const UNMOUNT_MAGIC: u16 = 0x556e;
/// Records that can be on their way to the disk at the same time.
pub const MAX_RECORDS_IN_FLIGHT: u32 = 8;

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

/// An operation's header within a record's data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `oh_` field of the same name.
pub struct DiskOpHeader {
    pub tid: U32,
    pub len: U32,
    pub clientid: u8,
    pub flags: u8,
    pub res2: U16,
}

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
    /// Operations.
    pub operations: u32,
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

/// Whether this basic block is the first of a record.
#[inline]
pub fn is_header(block: &[u8]) -> bool {
    matches!(U32::ref_from_prefix(block), Ok((magic, _)) if magic.get() == MAGIC)
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, "log record", field)
}

/// Decodes the header of a record from its first basic block and holds it to the rules of the
/// format.
///
/// # Errors
///
/// The first rule that is broken.
pub fn record_header(geo: &Geometry, block: &[u8]) -> Result<RecordHeader, Fault> {
    let (header, _) = DiskRecordHeader::ref_from_prefix(block)
        .map_err(|_| Fault::corrupt("log record", "size"))?;
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
        header_blocks: size.div_ceil(BYTES_PER_HEADER).max(1),
        data_blocks: len.div_ceil(BASIC_BLOCK_SIZE),
        operations: header.num_logops.get(),
    })
}

/// Whether the first operation in this basic block of data says that the file system was unmounted.
pub fn is_unmount(data: &[u8]) -> bool {
    matches!(DiskOpHeader::ref_from_prefix(data), Ok((op, _)) if op.flags & OP_UNMOUNT != 0)
}
