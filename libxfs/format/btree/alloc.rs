// SPDX-License-Identifier: GPL-2.0

//! The free-space trees: bnobt by block, cntbt by length. Both hold the same records.

use super::{height, Tree, TreeKind};
use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgBlock, AgNumber},
};
use core::cmp::Ordering;
use zerocopy::{
    byteorder::big_endian::U32, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// A free extent on the disk: record and key of both trees.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskFreeExtent {
    /// First block.
    pub startblock: U32,
    /// Blocks.
    pub blockcount: U32,
}

/// A free extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeExtent {
    /// First block.
    pub start: AgBlock,
    /// Blocks; not 0.
    pub count: u32,
}

impl FreeExtent {
    /// The block behind it.
    pub fn end(&self) -> AgBlock {
        AgBlock(self.start.0.saturating_add(self.count))
    }

    fn to_disk(self) -> DiskFreeExtent {
        DiskFreeExtent {
            startblock: U32::new(self.start.0),
            blockcount: U32::new(self.count),
        }
    }

    fn from_disk(disk: &DiskFreeExtent) -> Self {
        Self {
            start: AgBlock(disk.startblock.get()),
            count: disk.blockcount.get(),
        }
    }

    fn check(&self, geo: &Geometry, ag: Option<AgNumber>) -> Result<(), &'static str> {
        if self.count == 0 {
            return Err("blockcount");
        }
        match ag {
            Some(ag) if !geo.ag_extent_is_valid(ag, self.start, self.count) => Err("startblock"),
            _ => Ok(()),
        }
    }
}

/// A key of the bnobt: the extent's block. Its length lies on the disk too, but does not sort.
#[derive(Clone, Copy, Debug)]
pub struct BnoKey {
    /// First block.
    pub start: AgBlock,
    /// Blocks, for the disk alone.
    pub count: u32,
}

impl BnoKey {
    /// The key that a look-up for `start` uses.
    pub const fn at(start: AgBlock) -> Self {
        Self { start, count: 0 }
    }
}

impl PartialEq for BnoKey {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
    }
}

impl Eq for BnoKey {}

impl PartialOrd for BnoKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BnoKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.start.cmp(&other.start)
    }
}

/// A key of the cntbt: the length, and among equal lengths the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CntKey {
    /// Blocks.
    pub count: u32,
    /// First block.
    pub start: AgBlock,
}

/// The tree of free extents by block.
#[derive(Clone, Copy, Debug)]
pub struct Bno;

/// The tree of free extents by length.
#[derive(Clone, Copy, Debug)]
pub struct Cnt;

/// No two free extents touch, so at least every other block is in use.
fn max_levels<T: Tree>(geo: &Geometry) -> u8 {
    height::for_records::<T>(geo, u64::from(geo.ag_blocks).div_ceil(2), 1)
}

impl Tree for Bno {
    const KIND: TreeKind = TreeKind::Bno;
    const NAME: &'static str = "bnobt";
    const MAGIC: u32 = 0x4142_3342; // AB3B

    type Pointer = AgBlock;
    type Scope = AgNumber;
    type DiskRecord = DiskFreeExtent;
    type DiskKey = DiskFreeExtent;
    type Record = FreeExtent;
    type Key = BnoKey;

    #[inline]
    fn decode_record(_geo: &Geometry, disk: &DiskFreeExtent) -> Result<FreeExtent, &'static str> {
        Ok(FreeExtent::from_disk(disk))
    }

    fn encode_record(_geo: &Geometry, record: &FreeExtent) -> DiskFreeExtent {
        record.to_disk()
    }

    #[inline]
    fn decode_key(disk: &DiskFreeExtent) -> BnoKey {
        BnoKey {
            start: AgBlock(disk.startblock.get()),
            count: disk.blockcount.get(),
        }
    }

    fn encode_key(key: &BnoKey) -> DiskFreeExtent {
        DiskFreeExtent {
            startblock: U32::new(key.start.0),
            blockcount: U32::new(key.count),
        }
    }

    #[inline]
    fn key(record: &FreeExtent) -> BnoKey {
        BnoKey {
            start: record.start,
            count: record.count,
        }
    }

    fn high_key(record: &FreeExtent) -> BnoKey {
        BnoKey {
            start: AgBlock(record.end().0.saturating_sub(1)),
            count: 0,
        }
    }

    fn check_record(
        geo: &Geometry,
        scope: Option<AgNumber>,
        record: &FreeExtent,
    ) -> Result<(), &'static str> {
        record.check(geo, scope)
    }

    fn in_order(record: &FreeExtent, next: &FreeExtent) -> bool {
        record.end() <= next.start
    }

    fn scope_of_block(ag: AgNumber) -> Option<AgNumber> {
        Some(ag)
    }

    fn home(scope: AgNumber) -> AgNumber {
        scope
    }

    fn max_levels(geo: &Geometry) -> u8 {
        max_levels::<Self>(geo)
    }

    fn is_present(_geo: &Geometry) -> bool {
        true
    }
}

impl Tree for Cnt {
    const KIND: TreeKind = TreeKind::Cnt;
    const NAME: &'static str = "cntbt";
    const MAGIC: u32 = 0x4142_3343; // AB3C

    type Pointer = AgBlock;
    type Scope = AgNumber;
    type DiskRecord = DiskFreeExtent;
    type DiskKey = DiskFreeExtent;
    type Record = FreeExtent;
    type Key = CntKey;

    #[inline]
    fn decode_record(_geo: &Geometry, disk: &DiskFreeExtent) -> Result<FreeExtent, &'static str> {
        Ok(FreeExtent::from_disk(disk))
    }

    fn encode_record(_geo: &Geometry, record: &FreeExtent) -> DiskFreeExtent {
        record.to_disk()
    }

    #[inline]
    fn decode_key(disk: &DiskFreeExtent) -> CntKey {
        CntKey {
            count: disk.blockcount.get(),
            start: AgBlock(disk.startblock.get()),
        }
    }

    fn encode_key(key: &CntKey) -> DiskFreeExtent {
        DiskFreeExtent {
            startblock: U32::new(key.start.0),
            blockcount: U32::new(key.count),
        }
    }

    #[inline]
    fn key(record: &FreeExtent) -> CntKey {
        CntKey {
            count: record.count,
            start: record.start,
        }
    }

    fn high_key(record: &FreeExtent) -> CntKey {
        Self::key(record)
    }

    fn check_record(
        geo: &Geometry,
        scope: Option<AgNumber>,
        record: &FreeExtent,
    ) -> Result<(), &'static str> {
        record.check(geo, scope)
    }

    fn in_order(record: &FreeExtent, next: &FreeExtent) -> bool {
        Self::key(record) < Self::key(next)
    }

    fn scope_of_block(ag: AgNumber) -> Option<AgNumber> {
        Some(ag)
    }

    fn home(scope: AgNumber) -> AgNumber {
        scope
    }

    fn max_levels(geo: &Geometry) -> u8 {
        max_levels::<Self>(geo)
    }

    fn is_present(_geo: &Geometry) -> bool {
        true
    }
}
