// SPDX-License-Identifier: GPL-2.0

//! A block of a tree, or a root in an inode, as arrays of records, keys and pointers.

use super::{capacity, key_stride, root_capacity, Pointer, Tree};
use crate::libxfs::format::geometry::Geometry;
use core::{marker::PhantomData, mem::size_of};
use zerocopy::{byteorder::big_endian::U16, FromBytes, Immutable, KnownLayout, Unaligned};

/// Header of a root in an inode's fork.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RootHeader {
    level: U16,
    numrecs: U16,
}

/// Bytes of the header of a root in an inode's fork.
pub const ROOT_HEADER_SIZE: usize = size_of::<RootHeader>();
/// Where a root in an inode's fork has its count of entries: two bytes.
pub const ROOT_COUNT_OFFSET: usize = core::mem::offset_of!(RootHeader, numrecs);

/// The contents of a block, or of a root in an inode: entries 0 to `count`.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a, T: Tree> {
    level: u16,
    count: usize,
    left: Option<T::Pointer>,
    right: Option<T::Pointer>,
    owner: u64,
    /// Everything behind the header.
    body: &'a [u8],
    /// Entries for which there is room: pointers start behind the room for that many keys.
    room: usize,
    tree: PhantomData<T>,
}

impl<'a, T: Tree> Node<'a, T> {
    /// The contents of a block of the tree that was verified before. `None` when there are too few
    /// bytes for what the header counts.
    #[inline]
    pub fn of_block(verified: &'a [u8]) -> Option<Self> {
        let header = T::Pointer::header(verified)?;
        let body = verified.get(T::Pointer::HEADER_SIZE..)?;
        Self {
            level: header.level,
            count: usize::from(header.count),
            left: header.left,
            right: header.right,
            owner: header.owner,
            body,
            room: capacity::<T>(body.len(), header.level == 0),
            tree: PhantomData,
        }
        .fits()
    }

    /// The contents of a root in an inode: all bytes of its fork. `None` when there are too few
    /// for what the root counts. Nothing else is verified; the engine does so as it descends.
    pub fn of_root(fork: &'a [u8]) -> Option<Self> {
        let (header, body) = RootHeader::ref_from_prefix(fork).ok()?;
        let level = header.level.get();
        Self {
            level,
            count: usize::from(header.numrecs.get()),
            left: None,
            right: None,
            owner: 0,
            body,
            room: root_capacity::<T>(body.len(), level == 0),
            tree: PhantomData,
        }
        .fits()
    }

    fn fits(self) -> Option<Self> {
        (self.count <= self.room).then_some(self)
    }

    /// Levels below; 0 is a leaf.
    #[inline]
    pub fn level(&self) -> u16 {
        self.level
    }

    /// Whether it holds records.
    #[inline]
    pub fn is_leaf(&self) -> bool {
        self.level == 0
    }

    /// Entries.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The most entries that it can hold.
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// The block before it on its level.
    #[inline]
    pub fn left(&self) -> Option<T::Pointer> {
        self.left
    }

    /// The block after it on its level.
    #[inline]
    pub fn right(&self) -> Option<T::Pointer> {
        self.right
    }

    /// The group or the inode that it belongs to; 0 for a root in an inode.
    #[inline]
    pub fn owner(&self) -> u64 {
        self.owner
    }

    #[inline]
    fn entry(&self, index: usize, start: usize, stride: usize) -> Option<&'a [u8]> {
        if index >= self.count {
            return None;
        }
        self.body
            .get(index.checked_mul(stride)?.checked_add(start)?..)
    }

    /// Record `index` of a leaf as it lies on the disk.
    #[inline]
    pub fn disk_record(&self, index: usize) -> Option<&'a T::DiskRecord> {
        if self.level != 0 {
            return None;
        }
        let bytes = self.entry(index, 0, size_of::<T::DiskRecord>())?;
        T::DiskRecord::ref_from_prefix(bytes).ok().map(|(r, _)| r)
    }

    /// Record `index` of a leaf, `None` past the end or in a node.
    ///
    /// # Errors
    ///
    /// The name of a field that cannot be decoded.
    #[inline]
    pub fn record(&self, geo: &Geometry, index: usize) -> Option<Result<T::Record, &'static str>> {
        self.disk_record(index)
            .map(|disk| T::decode_record(geo, disk))
    }

    /// The lowest key of child `index` of a node; `None` past the end or in a leaf.
    #[inline]
    pub fn key(&self, index: usize) -> Option<T::Key> {
        if self.level == 0 {
            return None;
        }
        let bytes = self.entry(index, 0, key_stride::<T>())?;
        let (disk, _) = T::DiskKey::ref_from_prefix(bytes).ok()?;
        Some(T::decode_key(disk))
    }

    /// The highest key below child `index` of a node; `None` past the end, in a leaf, or in a tree
    /// that keeps none.
    #[inline]
    pub fn high_key(&self, index: usize) -> Option<T::Key> {
        if self.level == 0 || !T::OVERLAPPING {
            return None;
        }
        let bytes = self.entry(index, size_of::<T::DiskKey>(), key_stride::<T>())?;
        let (disk, _) = T::DiskKey::ref_from_prefix(bytes).ok()?;
        Some(T::decode_key(disk))
    }

    /// Pointer to child `index` of a node; `None` past the end or in a leaf.
    #[inline]
    pub fn pointer(&self, index: usize) -> Option<T::Pointer> {
        if self.level == 0 {
            return None;
        }
        let start = self.room.checked_mul(key_stride::<T>())?;
        T::Pointer::decode(self.entry(index, start, T::Pointer::SIZE)?)
    }
}
