// SPDX-License-Identifier: GPL-2.0

//! The inode trees: inobt has every chunk of 64 inodes, finobt those with a free one. Both hold the
//! same records.

use super::{height, Tree, TreeKind};
use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgBlock, AgInode, AgNumber},
};
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Inodes that a record stands for.
pub const INODES_PER_CHUNK: u32 = 64;
/// Inodes that a bit of the hole mask stands for.
pub const INODES_PER_HOLE_BIT: u32 = 4;

/// A chunk on the disk, in the form with sparse chunks. Without that feature the three counters
/// are one big-endian number of 32 bits, the count of free inodes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `ir_` field of the same name.
pub struct DiskInodeChunk {
    pub startino: U32,
    pub holemask: U16,
    pub count: u8,
    pub freecount: u8,
    pub free: U64,
}

/// A key on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskInodeKey {
    /// First inode.
    pub startino: U32,
}

/// A chunk of 64 inodes, of which some may have no space behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeChunk {
    /// First inode.
    pub start: AgInode,
    /// A bit for every four inodes that have no space, from the first on.
    pub holes: u16,
    /// Inodes that have space.
    pub count: u8,
    /// Inodes of these that are free.
    pub free_count: u8,
    /// A bit for every inode that is not in use, from the first on. Inodes in holes are not in use.
    pub free: u64,
}

impl InodeChunk {
    /// A bit for every inode that has space.
    pub fn present(&self) -> u64 {
        let mut spread = 0u64;
        for bit in 0..16u32 {
            if self.holes & 1u16.wrapping_shl(bit) == 0 {
                spread |= 0xfu64.wrapping_shl(bit.wrapping_mul(INODES_PER_HOLE_BIT));
            }
        }
        spread
    }

    /// A bit for every inode that has space and is free.
    pub fn available(&self) -> u64 {
        self.free & self.present()
    }

    /// A bit for every inode that is in use.
    pub fn allocated_mask(&self) -> u64 {
        self.present() & !self.free
    }

    /// Inodes that are in use.
    pub fn allocated_count(&self) -> u8 {
        self.count.saturating_sub(self.free_count)
    }

    /// Index of `inode` in the chunk, or `None` when the chunk does not stand for it.
    pub fn index_of(&self, inode: AgInode) -> Option<u32> {
        inode
            .distance_from(self.start)
            .filter(|&index| index < INODES_PER_CHUNK)
    }

    /// Whether inode `index` of the chunk has space.
    pub fn is_present(&self, index: u32) -> bool {
        index < INODES_PER_CHUNK && self.present() & 1u64.wrapping_shl(index) != 0
    }

    /// Whether inode `index` of the chunk is in use.
    pub fn is_allocated(&self, index: u32) -> bool {
        index < INODES_PER_CHUNK && self.allocated_mask() & 1u64.wrapping_shl(index) != 0
    }

    fn to_disk(self, geo: &Geometry) -> DiskInodeChunk {
        let sparse = geo.features.sparse_inodes();
        DiskInodeChunk {
            startino: U32::new(self.start.0),
            holemask: U16::new(if sparse { self.holes } else { 0 }),
            count: if sparse { self.count } else { 0 },
            freecount: self.free_count,
            free: U64::new(self.free),
        }
    }

    fn from_disk(geo: &Geometry, disk: &DiskInodeChunk) -> Result<Self, &'static str> {
        let sparse = geo.features.sparse_inodes();
        if !sparse && (disk.holemask.get() != 0 || disk.count != 0) {
            return Err("freecount");
        }
        Ok(Self {
            start: AgInode(disk.startino.get()),
            holes: disk.holemask.get(),
            count: if sparse {
                disk.count
            } else {
                INODES_PER_CHUNK as u8
            },
            free_count: disk.freecount,
            free: disk.free.get(),
        })
    }

    fn check(&self, geo: &Geometry, ag: Option<AgNumber>) -> Result<(), &'static str> {
        if u32::from(self.count) != self.present().count_ones() || self.count == 0 {
            return Err("count");
        }
        if u32::from(self.free_count) != self.available().count_ones() {
            return Err("freecount");
        }
        let Some(ag) = ag else {
            return Ok(());
        };
        match self.start.checked_add(INODES_PER_CHUNK.saturating_sub(1)) {
            Some(last)
                if geo.ag_inode_is_valid(ag, self.start) && geo.ag_inode_is_valid(ag, last) =>
            {
                Ok(())
            }
            _ => Err("startino"),
        }
    }
}

/// The tree of all inode chunks of a group.
#[derive(Clone, Copy, Debug)]
pub struct Ino;

/// The tree of the inode chunks of a group that have free inodes.
#[derive(Clone, Copy, Debug)]
pub struct Fino;

macro_rules! inode_tree {
    ($tree:ident, $kind:ident, $name:literal, $magic:literal, $present:expr) => {
        impl Tree for $tree {
            const KIND: TreeKind = TreeKind::$kind;
            const NAME: &'static str = $name;
            const MAGIC: u32 = $magic;

            type Pointer = AgBlock;
            type Scope = AgNumber;
            type DiskRecord = DiskInodeChunk;
            type DiskKey = DiskInodeKey;
            type Record = InodeChunk;
            type Key = AgInode;

            #[inline]
            fn decode_record(
                geo: &Geometry,
                disk: &DiskInodeChunk,
            ) -> Result<InodeChunk, &'static str> {
                InodeChunk::from_disk(geo, disk)
            }

            fn encode_record(geo: &Geometry, record: &InodeChunk) -> DiskInodeChunk {
                record.to_disk(geo)
            }

            #[inline]
            fn decode_key(disk: &DiskInodeKey) -> AgInode {
                AgInode(disk.startino.get())
            }

            fn encode_key(key: &AgInode) -> DiskInodeKey {
                DiskInodeKey {
                    startino: U32::new(key.0),
                }
            }

            #[inline]
            fn key(record: &InodeChunk) -> AgInode {
                record.start
            }

            fn high_key(record: &InodeChunk) -> AgInode {
                AgInode(record.start.0.saturating_add(INODES_PER_CHUNK - 1))
            }

            fn check_record(
                geo: &Geometry,
                scope: Option<AgNumber>,
                record: &InodeChunk,
            ) -> Result<(), &'static str> {
                record.check(geo, scope)
            }

            fn in_order(record: &InodeChunk, next: &InodeChunk) -> bool {
                record
                    .start
                    .checked_add(INODES_PER_CHUNK)
                    .is_some_and(|end| end <= next.start)
            }

            fn scope_of_block(ag: AgNumber) -> Option<AgNumber> {
                Some(ag)
            }

            fn home(scope: AgNumber) -> AgNumber {
                scope
            }

            fn max_levels(geo: &Geometry) -> u8 {
                let inodes = 1u64
                    .checked_shl(u32::from(geo.ag_inode_bits()))
                    .unwrap_or(u64::MAX);
                height::for_records::<Self>(geo, inodes >> 6, 1)
            }

            fn is_present(geo: &Geometry) -> bool {
                $present(geo)
            }
        }
    };
}

inode_tree!(Ino, Ino, "inobt", 0x4941_4233, |_: &Geometry| true); // IAB3
inode_tree!(Fino, Fino, "finobt", 0x4649_4233, |geo: &Geometry| geo
    .features
    .finobt()); // FIB3
