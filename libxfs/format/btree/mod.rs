// SPDX-License-Identifier: GPL-2.0

//! The nine B+trees as they lie on the disk.
//!
//! All are one format: a block header, then records in a leaf, or keys and pointers in a node.
//! What differs is a [`Tree`]: its records, its keys, and how far its pointers reach. Trees of an
//! allocation group have short pointers, within the group; trees of an inode have long ones, and
//! their root lies in the inode. Where extents may overlap, as reverse mappings of shared blocks
//! do, a node holds for each child its lowest key and the highest end below it.
//!
//! Source: "Short Format Btrees", "Long Format Btrees" and the chapters on each tree in the XFS
//! format's documentation.

mod alloc;
pub mod bmap;
mod header;
mod height;
mod inode;
mod node;
pub mod refcount;
pub mod rmap;
mod verify;

pub use alloc::{Bno, BnoKey, Cnt, CntKey, FreeExtent};
pub use bmap::{Bmap, BmapRecord, Fork};
pub use header::{Header, LongHeader, Pointer, ShortHeader, Side, COUNT_OFFSET};
pub use height::blocks_for_records;
pub use inode::{Fino, Ino, InodeChunk, INODES_PER_CHUNK, INODES_PER_HOLE_BIT};
pub use node::{Node, ROOT_COUNT_OFFSET, ROOT_HEADER_SIZE};
pub use refcount::{Domain, Refcount, RefcountKey, RefcountRecord, RtRefcount};
pub use rmap::{Owner, Rmap, RmapFlags, RmapKey, RmapRecord, RtRmap};
pub use verify::{verify, verify_root};

use super::{
    geometry::Geometry,
    units::{AgBlock, AgNumber, RtGroupBlock},
};
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Names a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TreeKind {
    /// Free extents of a group, by block.
    Bno,
    /// Free extents of a group, by length.
    Cnt,
    /// Inode chunks of a group.
    Ino,
    /// Inode chunks of a group that have free inodes.
    Fino,
    /// Owners of a group's blocks.
    Rmap,
    /// Shared extents of a group, and those that stage a copy on write.
    Refcount,
    /// Map of an inode's fork.
    Bmap,
    /// Owners of a realtime group's blocks.
    RtRmap,
    /// Shared extents of a realtime group.
    RtRefcount,
}

/// What bytes of a record or key must be to be viewed in place.
pub trait Disk:
    FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Copy + 'static
{
}
impl<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Copy + 'static> Disk for T {}

/// A block number within a group, of the data device or of the realtime device.
pub trait GroupBlock: Copy + Ord + fmt::Debug + fmt::Display + 'static {
    /// From the plain number.
    fn from_raw(raw: u32) -> Self;
    /// The plain number.
    fn raw(self) -> u32;
}

impl GroupBlock for AgBlock {
    fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    fn raw(self) -> u32 {
        self.0
    }
}

impl GroupBlock for RtGroupBlock {
    fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    fn raw(self) -> u32 {
        self.0
    }
}

/// A kind of B+tree: all that the engine and the verifier need to know of it.
pub trait Tree: Copy + fmt::Debug + 'static {
    /// Which one it is.
    const KIND: TreeKind;
    /// Its name in messages.
    const NAME: &'static str;
    /// Magic number of its blocks.
    const MAGIC: u32;
    /// Whether records may overlap, so that a node holds a low and a high key for each child.
    const OVERLAPPING: bool = false;
    /// Keys that a root in an inode has room for beside each pointer. That room is where pointers begin,
    /// whether or not a node has as many keys.
    const ROOT_KEYS: usize = keys_of_child(Self::OVERLAPPING);

    /// Its pointers.
    type Pointer: Pointer;
    /// What its records are about: the group, or the fork.
    type Scope: Copy + PartialEq + fmt::Debug;
    /// A record on the disk.
    type DiskRecord: Disk;
    /// A key on the disk.
    type DiskKey: Disk;
    /// A record.
    type Record: Copy + PartialEq + fmt::Debug;
    /// A key. Its order is the tree's.
    type Key: Copy + Ord + fmt::Debug;

    /// Decodes a record.
    ///
    /// # Errors
    ///
    /// The name of a field that cannot be decoded.
    fn decode_record(geo: &Geometry, disk: &Self::DiskRecord)
        -> Result<Self::Record, &'static str>;

    /// Encodes a record.
    fn encode_record(geo: &Geometry, record: &Self::Record) -> Self::DiskRecord;

    /// Decodes a key.
    fn decode_key(disk: &Self::DiskKey) -> Self::Key;

    /// Encodes a key.
    fn encode_key(key: &Self::Key) -> Self::DiskKey;

    /// The key under which a record is sorted.
    fn key(record: &Self::Record) -> Self::Key;

    /// The highest key that a record covers. Saturates for a record that is out of bounds.
    fn high_key(record: &Self::Record) -> Self::Key;

    /// Holds a record to the rules of the format and to the bounds of `scope`, where that is known.
    ///
    /// # Errors
    ///
    /// The name of the first field that breaks one.
    fn check_record(
        geo: &Geometry,
        scope: Option<Self::Scope>,
        record: &Self::Record,
    ) -> Result<(), &'static str>;

    /// Whether `next` may follow `record` in a leaf.
    fn in_order(record: &Self::Record, next: &Self::Record) -> bool;

    /// The scope of a block that lies in group `ag`, where the block tells.
    fn scope_of_block(ag: AgNumber) -> Option<Self::Scope>;

    /// The group in which short pointers of this scope reach.
    fn home(scope: Self::Scope) -> AgNumber;

    /// The most levels that a tree can have, a root in an inode included.
    fn max_levels(geo: &Geometry) -> u8;

    /// Whether a file system of this shape has such trees.
    fn is_present(geo: &Geometry) -> bool;
}

/// Records, or keys with their pointers, that fit into `space` bytes behind a header.
pub const fn capacity<T: Tree>(space: usize, leaf: bool) -> usize {
    let entry = if leaf {
        core::mem::size_of::<T::DiskRecord>()
    } else {
        key_stride::<T>().saturating_add(T::Pointer::SIZE)
    };
    match space.checked_div(entry) {
        Some(n) => n,
        None => 0,
    }
}

/// As [`capacity`], of a root in an inode.
pub const fn root_capacity<T: Tree>(space: usize, leaf: bool) -> usize {
    if leaf {
        return capacity::<T>(space, leaf);
    }
    let keys = core::mem::size_of::<T::DiskKey>().saturating_mul(T::ROOT_KEYS);
    match space.checked_div(keys.saturating_add(T::Pointer::SIZE)) {
        Some(n) => n,
        None => 0,
    }
}

/// Keys that a node has for each child.
const fn keys_of_child(overlapping: bool) -> usize {
    if overlapping {
        2
    } else {
        1
    }
}

/// Bytes of the keys of one child.
pub(crate) const fn key_stride<T: Tree>() -> usize {
    core::mem::size_of::<T::DiskKey>().saturating_mul(keys_of_child(T::OVERLAPPING))
}

/// Records, or keys with their pointers, that fit into a block.
pub const fn block_capacity<T: Tree>(geo: &Geometry, leaf: bool) -> usize {
    capacity::<T>(
        (geo.block_size as usize).saturating_sub(T::Pointer::HEADER_SIZE),
        leaf,
    )
}
