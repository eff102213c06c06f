// SPDX-License-Identifier: GPL-2.0

//! The reverse-mapping trees: who owns each block of a group (rmapbt), or of a realtime group
//! (rtrmapbt). Extents of several owners overlap where blocks are shared.

use super::{height, GroupBlock, Tree, TreeKind};
use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgBlock, AgNumber, FileBlock, FsBlock, InodeNumber, RtGroup, RtGroupBlock},
};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const ATTR_FORK: u64 = 1 << 63;
const BMBT_BLOCK: u64 = 1 << 62;
const UNWRITTEN: u64 = 1 << 61;
/// The offset proper: 54 bits.
const OFFSET_MASK: u64 = (1 << 54) - 1;

/// A record on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `rm_` field of the same name.
pub struct DiskRmap {
    pub startblock: U32,
    pub blockcount: U32,
    pub owner: U64,
    pub offset: U64,
}

/// A key on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `rm_` field of the same name.
pub struct DiskRmapKey {
    pub startblock: U32,
    pub owner: U64,
    pub offset: U64,
}

/// Who owns an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A file, a directory or another inode, with one of its forks or a block of a fork's tree.
    Inode(InodeNumber),
    /// Nobody that this tree names (never on the disk).
    Null,
    /// Unknown (never on the disk; for space freed by recovery).
    Unknown,
    /// Headers of the group.
    Fs,
    /// The log.
    Log,
    /// Free-space and reverse-mapping trees, and blocks set aside for them.
    Ag,
    /// Blocks of the inode trees.
    InodeTrees,
    /// Chunks of inodes.
    InodeChunks,
    /// Blocks of the reference-count tree.
    RefcountTree,
    /// Staging for a copy on write.
    Cow,
}

impl Owner {
    /// Decodes it; `None` for a number that is neither an inode's nor one of the special ones.
    pub const fn decode(raw: u64) -> Option<Self> {
        Some(match u64::MAX.wrapping_sub(raw) {
            0 => Owner::Null,
            1 => Owner::Unknown,
            2 => Owner::Fs,
            3 => Owner::Log,
            4 => Owner::Ag,
            5 => Owner::InodeTrees,
            6 => Owner::InodeChunks,
            7 => Owner::RefcountTree,
            8 => Owner::Cow,
            _ if raw >> 63 != 0 => return None,
            _ => Owner::Inode(InodeNumber(raw)),
        })
    }

    /// Encodes it.
    pub const fn encode(self) -> u64 {
        match self {
            Owner::Inode(inode) => inode.0,
            Owner::Null => u64::MAX,
            Owner::Unknown => u64::MAX - 1,
            Owner::Fs => u64::MAX - 2,
            Owner::Log => u64::MAX - 3,
            Owner::Ag => u64::MAX - 4,
            Owner::InodeTrees => u64::MAX - 5,
            Owner::InodeChunks => u64::MAX - 6,
            Owner::RefcountTree => u64::MAX - 7,
            Owner::Cow => u64::MAX - 8,
        }
    }

    /// The inode, if it is one.
    pub const fn inode(self) -> Option<InodeNumber> {
        match self {
            Owner::Inode(inode) => Some(inode),
            _ => None,
        }
    }
}

/// What an inode uses an extent for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RmapFlags {
    /// The attribute fork, not the data fork.
    pub attr_fork: bool,
    /// A block of the fork's tree, not of what the fork maps.
    pub bmbt_block: bool,
    /// Allocated, not yet written.
    pub unwritten: bool,
}

/// An extent with one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmapRecord<B> {
    /// First block.
    pub start: B,
    /// Blocks; not 0.
    pub count: u32,
    /// The owner.
    pub owner: Owner,
    /// Where it lies in the owner's fork; 0 for others than inodes and for blocks of the fork's
    /// tree.
    pub offset: FileBlock,
    /// What for.
    pub flags: RmapFlags,
}

/// A key: block, then owner, then offset with the flags that tell forks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RmapKey<B> {
    /// First block.
    pub start: B,
    /// The owner as it is encoded.
    pub owner: u64,
    /// Offset and the two flags of the fork as they are encoded. Being unwritten does not sort.
    pub offset: u64,
}

impl<B: GroupBlock> RmapKey<B> {
    /// The lowest key for a block.
    pub fn lowest(start: B) -> Self {
        Self {
            start,
            owner: 0,
            offset: 0,
        }
    }

    /// The highest key for a block.
    pub fn highest(start: B) -> Self {
        Self {
            start,
            owner: u64::MAX,
            offset: !UNWRITTEN,
        }
    }

    /// A key with an offset and flags in its fork; an offset that is too large is cut to the
    /// largest.
    pub fn new(start: B, owner: u64, offset: u64, flags: RmapFlags) -> Self {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        Self {
            start,
            owner,
            offset: offset.min(OFFSET_MASK)
                | flag(flags.attr_fork, ATTR_FORK)
                | flag(flags.bmbt_block, BMBT_BLOCK),
        }
    }

    fn from_disk(disk: &DiskRmapKey) -> Self {
        Self {
            start: B::from_raw(disk.startblock.get()),
            owner: disk.owner.get(),
            // Older kernels left the flag in keys.
            offset: disk.offset.get() & !UNWRITTEN,
        }
    }

    fn to_disk(self) -> DiskRmapKey {
        DiskRmapKey {
            startblock: U32::new(self.start.raw()),
            owner: U64::new(self.owner),
            offset: U64::new(self.offset),
        }
    }
}

impl<B: GroupBlock> RmapRecord<B> {
    /// The block behind it.
    pub fn end(&self) -> B {
        B::from_raw(self.start.raw().saturating_add(self.count))
    }

    fn packed_offset(&self) -> u64 {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        (self.offset.0 & OFFSET_MASK)
            | flag(self.flags.attr_fork, ATTR_FORK)
            | flag(self.flags.bmbt_block, BMBT_BLOCK)
            | flag(self.flags.unwritten, UNWRITTEN)
    }

    fn from_disk(disk: &DiskRmap) -> Result<Self, &'static str> {
        let offset = disk.offset.get();
        if offset & !(OFFSET_MASK | ATTR_FORK | BMBT_BLOCK | UNWRITTEN) != 0 {
            return Err("offset");
        }
        Ok(Self {
            start: B::from_raw(disk.startblock.get()),
            count: disk.blockcount.get(),
            owner: Owner::decode(disk.owner.get()).ok_or("owner")?,
            offset: FileBlock(offset & OFFSET_MASK),
            flags: RmapFlags {
                attr_fork: offset & ATTR_FORK != 0,
                bmbt_block: offset & BMBT_BLOCK != 0,
                unwritten: offset & UNWRITTEN != 0,
            },
        })
    }

    fn to_disk(self) -> DiskRmap {
        DiskRmap {
            startblock: U32::new(self.start.raw()),
            blockcount: U32::new(self.count),
            owner: U64::new(self.owner.encode()),
            offset: U64::new(self.packed_offset()),
        }
    }

    fn low_key(&self) -> RmapKey<B> {
        RmapKey {
            start: self.start,
            owner: self.owner.encode(),
            offset: self.packed_offset() & !UNWRITTEN,
        }
    }

    fn last_key(&self) -> RmapKey<B> {
        let low = self.low_key();
        let last = self.count.saturating_sub(1);
        let offset = match self.owner {
            Owner::Inode(_) if !self.flags.bmbt_block => {
                let end = (low.offset & OFFSET_MASK).saturating_add(u64::from(last));
                (low.offset & !OFFSET_MASK) | (end & OFFSET_MASK)
            }
            _ => low.offset,
        };
        RmapKey {
            start: B::from_raw(self.start.raw().saturating_add(last)),
            owner: low.owner,
            offset,
        }
    }

    /// Rules that both devices share.
    fn check_owner(&self, geo: &Geometry) -> Result<(), &'static str> {
        if self.count == 0 {
            return Err("blockcount");
        }
        let flags = self.flags;
        let Some(inode) = self.owner.inode() else {
            if matches!(self.owner, Owner::Null | Owner::Unknown) {
                return Err("owner");
            }
            if flags != RmapFlags::default() {
                return Err("flags");
            }
            return if self.offset.0 == 0 {
                Ok(())
            } else {
                Err("offset")
            };
        };
        match geo.split_inode(inode) {
            Some((ag, inode)) if geo.ag_inode_is_valid(ag, inode) => {}
            _ => return Err("owner"),
        }
        if flags.unwritten && (flags.bmbt_block || flags.attr_fork) {
            return Err("flags");
        }
        if flags.bmbt_block {
            return if self.offset.0 == 0 {
                Ok(())
            } else {
                Err("offset")
            };
        }
        if super::bmap::file_extent_is_valid(self.offset, u64::from(self.count)) {
            Ok(())
        } else {
            Err("offset")
        }
    }

    fn is_in_order(&self, next: &Self) -> bool {
        self.low_key() < next.low_key()
    }
}

/// The tree of the owners of a group's blocks.
#[derive(Clone, Copy, Debug)]
pub struct Rmap;

/// The tree of the owners of a realtime group's blocks.
#[derive(Clone, Copy, Debug)]
pub struct RtRmap;

impl Tree for Rmap {
    const KIND: TreeKind = TreeKind::Rmap;
    const NAME: &'static str = "rmapbt";
    const MAGIC: u32 = 0x524d_4233; // RMB3
    const OVERLAPPING: bool = true;

    type Pointer = AgBlock;
    type Scope = AgNumber;
    type DiskRecord = DiskRmap;
    type DiskKey = DiskRmapKey;
    type Record = RmapRecord<AgBlock>;
    type Key = RmapKey<AgBlock>;

    #[inline]
    fn decode_record(_geo: &Geometry, disk: &DiskRmap) -> Result<Self::Record, &'static str> {
        RmapRecord::from_disk(disk)
    }

    fn encode_record(_geo: &Geometry, record: &Self::Record) -> DiskRmap {
        record.to_disk()
    }

    #[inline]
    fn decode_key(disk: &DiskRmapKey) -> Self::Key {
        RmapKey::from_disk(disk)
    }

    fn encode_key(key: &Self::Key) -> DiskRmapKey {
        key.to_disk()
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
        scope: Option<AgNumber>,
        record: &Self::Record,
    ) -> Result<(), &'static str> {
        record.check_owner(geo)?;
        let Some(ag) = scope else {
            return Ok(());
        };
        // The one record before the first usable block is that of all headers.
        if record.start.0 < geo.ag_header_blocks() {
            return if record.owner == Owner::Fs && record.count == geo.ag_header_blocks() {
                Ok(())
            } else {
                Err("startblock")
            };
        }
        if geo.ag_extent_is_valid(ag, record.start, record.count) {
            Ok(())
        } else {
            Err("startblock")
        }
    }

    fn in_order(record: &Self::Record, next: &Self::Record) -> bool {
        record.is_in_order(next)
    }

    fn scope_of_block(ag: AgNumber) -> Option<AgNumber> {
        Some(ag)
    }

    fn home(scope: AgNumber) -> AgNumber {
        scope
    }

    fn max_levels(geo: &Geometry) -> u8 {
        let blocks = u64::from(geo.ag_blocks);
        if geo.features.reflink() {
            // A block can have any number of owners; only the group's size limits the tree.
            height::for_space::<Self>(geo, blocks)
        } else {
            height::for_records::<Self>(geo, blocks, 1)
        }
    }

    fn is_present(geo: &Geometry) -> bool {
        geo.features.rmapbt()
    }
}

impl Tree for RtRmap {
    const KIND: TreeKind = TreeKind::RtRmap;
    const NAME: &'static str = "rtrmapbt";
    const MAGIC: u32 = 0x4d41_5052; // MAPR
    const OVERLAPPING: bool = true;

    type Pointer = FsBlock;
    type Scope = RtGroup;
    type DiskRecord = DiskRmap;
    type DiskKey = DiskRmapKey;
    type Record = RmapRecord<RtGroupBlock>;
    type Key = RmapKey<RtGroupBlock>;

    #[inline]
    fn decode_record(_geo: &Geometry, disk: &DiskRmap) -> Result<Self::Record, &'static str> {
        RmapRecord::from_disk(disk)
    }

    fn encode_record(_geo: &Geometry, record: &Self::Record) -> DiskRmap {
        record.to_disk()
    }

    #[inline]
    fn decode_key(disk: &DiskRmapKey) -> Self::Key {
        RmapKey::from_disk(disk)
    }

    fn encode_key(key: &Self::Key) -> DiskRmapKey {
        key.to_disk()
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
        scope: Option<RtGroup>,
        record: &Self::Record,
    ) -> Result<(), &'static str> {
        record.check_owner(geo)?;
        if record.flags.bmbt_block || record.flags.attr_fork {
            return Err("flags");
        }
        match record.owner {
            // The realtime superblock takes the first extent of the first group.
            Owner::Fs => {
                return if record.start.0 == 0 && record.count == geo.rt_extent_size {
                    Ok(())
                } else {
                    Err("startblock")
                };
            }
            Owner::Inode(_) => {}
            Owner::Cow if geo.features.reflink() => {}
            _ => return Err("owner"),
        }
        match scope {
            Some(group) if !geo.rt_group_extent_is_valid(group, record.start, record.count) => {
                Err("startblock")
            }
            _ => Ok(()),
        }
    }

    fn in_order(record: &Self::Record, next: &Self::Record) -> bool {
        record.is_in_order(next)
    }

    fn scope_of_block(_ag: AgNumber) -> Option<RtGroup> {
        None
    }

    fn home(_scope: RtGroup) -> AgNumber {
        AgNumber(0)
    }

    fn max_levels(geo: &Geometry) -> u8 {
        let space = height::for_space::<Self>(geo, geo.data_blocks);
        let levels = if geo.features.reflink() {
            space
        } else {
            space.min(height::for_records::<Self>(geo, geo.rt_group_blocks(), 1))
        };
        levels.saturating_add(1)
    }

    fn is_present(geo: &Geometry) -> bool {
        geo.features.metadir() && geo.features.rmapbt()
    }
}
