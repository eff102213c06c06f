// SPDX-License-Identifier: GPL-2.0

//! The reference-count trees: extents of a group that several files share, and extents that stage a
//! copy on write (refcountbt); the same of a realtime group (rtrefcountbt). Extents with one owner
//! are in none of them.

use super::{height, GroupBlock, Tree, TreeKind};
use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgBlock, AgNumber, FsBlock, RtGroup, RtGroupBlock},
};
use zerocopy::{
    byteorder::big_endian::U32, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Bit of the first block that tells staging extents: they sort behind all others.
const COW: u32 = 1 << 31;

/// A record on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `rc_` field of the same name.
pub struct DiskRefcount {
    pub startblock: U32,
    pub blockcount: U32,
    pub refcount: U32,
}

/// A key on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskRefcountKey {
    /// First block with the bit for staging.
    pub startblock: U32,
}

/// Which of the two kinds of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// Shared by two owners or more.
    Shared,
    /// Staging for a copy on write; the count is 1.
    Cow,
}

/// An extent and how many owners it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefcountRecord<B> {
    /// Which kind.
    pub domain: Domain,
    /// First block.
    pub start: B,
    /// Blocks; not 0.
    pub count: u32,
    /// Owners: at least 2 if shared, 1 for staging.
    pub references: u32,
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefcountKey<B> {
    /// Which kind.
    pub domain: Domain,
    /// First block.
    pub start: B,
}

impl<B: GroupBlock> RefcountKey<B> {
    /// The key of a block that is shared.
    pub const fn shared(start: B) -> Self {
        Self {
            domain: Domain::Shared,
            start,
        }
    }

    fn decode(raw: u32) -> Self {
        Self {
            domain: if raw & COW != 0 {
                Domain::Cow
            } else {
                Domain::Shared
            },
            start: B::from_raw(raw & !COW),
        }
    }

    fn encode(self) -> u32 {
        self.start.raw()
            | match self.domain {
                Domain::Shared => 0,
                Domain::Cow => COW,
            }
    }
}

impl<B: GroupBlock> RefcountRecord<B> {
    /// The block behind it.
    pub fn end(&self) -> B {
        B::from_raw(self.start.raw().saturating_add(self.count))
    }

    fn low_key(&self) -> RefcountKey<B> {
        RefcountKey {
            domain: self.domain,
            start: self.start,
        }
    }

    fn last_key(&self) -> RefcountKey<B> {
        RefcountKey {
            domain: self.domain,
            start: B::from_raw(self.end().raw().saturating_sub(1)),
        }
    }

    fn from_disk(disk: &DiskRefcount) -> Self {
        let RefcountKey { domain, start } = RefcountKey::decode(disk.startblock.get());
        Self {
            domain,
            start,
            count: disk.blockcount.get(),
            references: disk.refcount.get(),
        }
    }

    fn to_disk(self) -> DiskRefcount {
        DiskRefcount {
            startblock: U32::new(self.low_key().encode()),
            blockcount: U32::new(self.count),
            refcount: U32::new(self.references),
        }
    }

    fn check_counts(&self) -> Result<(), &'static str> {
        if self.count == 0 {
            return Err("blockcount");
        }
        let possible = match self.domain {
            Domain::Shared => self.references >= 2,
            Domain::Cow => self.references == 1,
        };
        if possible {
            Ok(())
        } else {
            Err("refcount")
        }
    }

    fn is_in_order(&self, next: &Self) -> bool {
        self.domain < next.domain || (self.domain == next.domain && self.end() <= next.start)
    }
}

/// The tree of a group.
#[derive(Clone, Copy, Debug)]
pub struct Refcount;

/// The tree of a realtime group.
#[derive(Clone, Copy, Debug)]
pub struct RtRefcount;

macro_rules! refcount_tree {
    (
        $tree:ident, $kind:ident, $name:literal, $magic:literal,
        $block:ty, $pointer:ty, $scope:ty, $extent_is_valid:ident,
    ) => {
        const KIND: TreeKind = TreeKind::$kind;
        const NAME: &'static str = $name;
        const MAGIC: u32 = $magic;

        type Pointer = $pointer;
        type Scope = $scope;
        type DiskRecord = DiskRefcount;
        type DiskKey = DiskRefcountKey;
        type Record = RefcountRecord<$block>;
        type Key = RefcountKey<$block>;

        #[inline]
        fn decode_record(
            _geo: &Geometry,
            disk: &DiskRefcount,
        ) -> Result<Self::Record, &'static str> {
            Ok(RefcountRecord::from_disk(disk))
        }

        fn encode_record(_geo: &Geometry, record: &Self::Record) -> DiskRefcount {
            record.to_disk()
        }

        #[inline]
        fn decode_key(disk: &DiskRefcountKey) -> Self::Key {
            RefcountKey::decode(disk.startblock.get())
        }

        fn encode_key(key: &Self::Key) -> DiskRefcountKey {
            DiskRefcountKey {
                startblock: U32::new(key.encode()),
            }
        }

        #[inline]
        fn key(record: &Self::Record) -> Self::Key {
            record.low_key()
        }

        fn high_key(record: &Self::Record) -> Self::Key {
            record.last_key()
        }

        fn check_record(
            geo: &Geometry,
            scope: Option<$scope>,
            record: &Self::Record,
        ) -> Result<(), &'static str> {
            record.check_counts()?;
            match scope {
                Some(group) if !geo.$extent_is_valid(group, record.start, record.count) => {
                    Err("startblock")
                }
                _ => Ok(()),
            }
        }

        fn in_order(record: &Self::Record, next: &Self::Record) -> bool {
            record.is_in_order(next)
        }
    };
}

impl Tree for Refcount {
    refcount_tree! {
        Refcount, Refcount, "refcountbt", 0x5233_4643, // R3FC
        AgBlock, AgBlock, AgNumber, ag_extent_is_valid,
    }

    fn scope_of_block(ag: AgNumber) -> Option<AgNumber> {
        Some(ag)
    }

    fn home(scope: AgNumber) -> AgNumber {
        scope
    }

    fn max_levels(geo: &Geometry) -> u8 {
        height::for_records::<Self>(geo, u64::from(geo.ag_blocks), 1)
    }

    fn is_present(geo: &Geometry) -> bool {
        geo.features.reflink()
    }
}

impl Tree for RtRefcount {
    refcount_tree! {
        RtRefcount, RtRefcount, "rtrefcountbt", 0x5243_4e54, // RCNT
        RtGroupBlock, FsBlock, RtGroup, rt_group_extent_is_valid,
    }

    // As if there were a low and a high key, which there are not. Source: xfs_rtrefcountbt_droot_maxrecs
    // in fs/xfs/libxfs/xfs_rtrefcount_btree.c of Linux 7.3.
    const ROOT_KEYS: usize = 2;

    fn scope_of_block(_ag: AgNumber) -> Option<RtGroup> {
        None
    }

    fn home(_scope: RtGroup) -> AgNumber {
        AgNumber(0)
    }

    fn max_levels(geo: &Geometry) -> u8 {
        let space = height::for_space::<Self>(geo, geo.data_blocks);
        let records = height::for_records::<Self>(geo, u64::from(geo.rt_group_extents), 1);
        space.min(records).saturating_add(1)
    }

    fn is_present(geo: &Geometry) -> bool {
        geo.features.metadir() && geo.features.reflink()
    }
}
