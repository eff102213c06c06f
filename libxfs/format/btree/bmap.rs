// SPDX-License-Identifier: GPL-2.0

//! The map of an inode's fork: records of 128 bits, in the inode itself or in the leaves of a
//! bmbt.
//!
//! A record packs, from its highest bit: whether it is unwritten (1 bit), the offset in the file
//! (54), the block (52), the length (21). Source: "Extent Descriptor" in the chapter "Data Extents"
//! of the XFS format's documentation.

use super::{height, Tree, TreeKind};
use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgNumber, FileBlock, FsBlock, RtBlock},
};
use zerocopy::{
    byteorder::big_endian::U64, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const OFFSET_BITS: u32 = 54;
const COUNT_BITS: u32 = 21;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
/// Bits of the block that lie in the first word.
const START_HIGH_BITS: u32 = 9;

/// The most blocks that a record can hold.
pub const MAX_EXTENT_BLOCKS: u32 = COUNT_MASK as u32;
/// The last block that a file can have.
pub const MAX_FILE_BLOCK: u64 = OFFSET_MASK + COUNT_MASK;

/// A record on the disk.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct DiskBmap {
    /// Unwritten (bit 63), offset (62 to 9), block's high bits.
    pub high: U64,
    /// Block's low bits, length (20 to 0).
    pub low: U64,
}

/// A key on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskBmapKey {
    /// Offset in the file.
    pub startoff: U64,
}

/// An extent of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BmapRecord {
    /// Where it lies in the file.
    pub offset: FileBlock,
    /// The first block as it is stored: of the data device, or of the realtime device for the data
    /// of a realtime file. See [`data_start`](Self::data_start) and [`rt_start`](Self::rt_start).
    pub start: u64,
    /// Blocks, 1 to [`MAX_EXTENT_BLOCKS`].
    pub count: u32,
    /// Allocated, not yet written: reads as zeroes.
    pub unwritten: bool,
}

/// Which fork a map belongs to, and to which device its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// Data on the data device.
    Data,
    /// Data on the realtime device.
    Realtime,
    /// Attributes, on the data device.
    Attr,
}

/// Whether `count` blocks from `offset` lie within what a file can have.
pub const fn file_extent_is_valid(offset: FileBlock, count: u64) -> bool {
    match offset.0.checked_add(count) {
        Some(end) => {
            count > 0 && offset.0 <= MAX_FILE_BLOCK && end.saturating_sub(1) <= MAX_FILE_BLOCK
        }
        None => false,
    }
}

impl BmapRecord {
    /// Decodes it. Every pattern of bits decodes; [`check`](Self::check) holds it to the rules.
    #[inline]
    pub fn decode(disk: &DiskBmap) -> Self {
        let high = disk.high.get();
        let low = disk.low.get();
        let start_high = high & ((1 << START_HIGH_BITS) - 1);
        Self {
            offset: FileBlock((high >> START_HIGH_BITS) & OFFSET_MASK),
            start: (start_high << (u64::BITS - COUNT_BITS)) | (low >> COUNT_BITS),
            count: (low & COUNT_MASK) as u32,
            unwritten: high >> 63 != 0,
        }
    }

    /// Encodes it. Bits that have no room are cut off.
    pub fn encode(&self) -> DiskBmap {
        let high = (u64::from(self.unwritten) << 63)
            | ((self.offset.0 & OFFSET_MASK) << START_HIGH_BITS)
            | ((self.start >> (u64::BITS - COUNT_BITS)) & ((1 << START_HIGH_BITS) - 1));
        let low = (self.start << COUNT_BITS) | (u64::from(self.count) & COUNT_MASK);
        DiskBmap {
            high: U64::new(high),
            low: U64::new(low),
        }
    }

    /// The block of the file behind it.
    pub fn end(&self) -> FileBlock {
        FileBlock(self.offset.0.saturating_add(u64::from(self.count)))
    }

    /// The first block, of a fork on the data device.
    pub const fn data_start(&self) -> FsBlock {
        FsBlock(self.start)
    }

    /// The first block, of a fork on the realtime device.
    pub const fn rt_start(&self) -> RtBlock {
        RtBlock(self.start)
    }

    /// Holds it to the rules of the format, and to the bounds of its device where the fork is known.
    ///
    /// # Errors
    ///
    /// The name of the first field that breaks one.
    pub fn check(&self, geo: &Geometry, fork: Option<Fork>) -> Result<(), &'static str> {
        if self.count == 0 {
            return Err("blockcount");
        }
        if !file_extent_is_valid(self.offset, u64::from(self.count)) {
            return Err("startoff");
        }
        let count = u64::from(self.count);
        let valid = match fork {
            Some(Fork::Realtime) => geo.rt_extent_is_valid(self.rt_start(), count),
            Some(Fork::Data | Fork::Attr) => {
                geo.fs_extent_is_valid(self.data_start(), count)
                    && geo
                        .split_fs_block(self.data_start())
                        .is_some_and(|(ag, block)| geo.ag_block_is_valid(ag, block))
            }
            None => true,
        };
        if !valid {
            return Err("startblock");
        }
        if fork == Some(Fork::Attr) && self.unwritten {
            return Err("state");
        }
        Ok(())
    }
}

/// The most levels of a data fork's map, the root in the inode included. The counter of its extents
/// has 48 bits with large ones, else 31; the root holds at least three pointers.
pub fn max_data_levels(geo: &Geometry) -> u8 {
    let extents = if geo.features.nrext64() {
        (1 << 48) - 1
    } else {
        (1 << 31) - 1
    };
    height::for_records::<Bmap>(geo, extents, 3)
}

/// The most levels of an attribute fork's map, the root in the inode included. The counter of its
/// extents has 32 bits with large ones, else 15; the root holds at least two pointers.
pub fn max_attr_levels(geo: &Geometry) -> u8 {
    let extents = if geo.features.nrext64() {
        (1 << 32) - 1
    } else {
        (1 << 15) - 1
    };
    height::for_records::<Bmap>(geo, extents, 2)
}

/// The tree of a fork's map.
#[derive(Clone, Copy, Debug)]
pub struct Bmap;

impl Tree for Bmap {
    const KIND: TreeKind = TreeKind::Bmap;
    const NAME: &'static str = "bmbt";
    const MAGIC: u32 = 0x424d_4133; // BMA3

    type Pointer = FsBlock;
    type Scope = Fork;
    type DiskRecord = DiskBmap;
    type DiskKey = DiskBmapKey;
    type Record = BmapRecord;
    type Key = FileBlock;

    #[inline]
    fn decode_record(_geo: &Geometry, disk: &DiskBmap) -> Result<BmapRecord, &'static str> {
        Ok(BmapRecord::decode(disk))
    }

    fn encode_record(_geo: &Geometry, record: &BmapRecord) -> DiskBmap {
        record.encode()
    }

    #[inline]
    fn decode_key(disk: &DiskBmapKey) -> FileBlock {
        FileBlock(disk.startoff.get())
    }

    fn encode_key(key: &FileBlock) -> DiskBmapKey {
        DiskBmapKey {
            startoff: U64::new(key.0),
        }
    }

    #[inline]
    fn key(record: &BmapRecord) -> FileBlock {
        record.offset
    }

    fn high_key(record: &BmapRecord) -> FileBlock {
        FileBlock(record.end().0.saturating_sub(1))
    }

    fn check_record(
        geo: &Geometry,
        scope: Option<Fork>,
        record: &BmapRecord,
    ) -> Result<(), &'static str> {
        record.check(geo, scope)
    }

    fn in_order(record: &BmapRecord, next: &BmapRecord) -> bool {
        record.end() <= next.offset
    }

    fn scope_of_block(_ag: AgNumber) -> Option<Fork> {
        None
    }

    fn home(_scope: Fork) -> AgNumber {
        AgNumber(0)
    }

    fn max_levels(geo: &Geometry) -> u8 {
        // The block does not say which fork it is of.
        max_data_levels(geo).max(max_attr_levels(geo))
    }

    fn is_present(_geo: &Geometry) -> bool {
        true
    }
}
