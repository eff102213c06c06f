// SPDX-License-Identifier: GPL-2.0

//! Roots of trees in inodes. In the log they look like a block, with a full header and their
//! pointers behind the room for as many keys as the region would hold; in the inode the header is
//! four bytes, and the pointers lie behind the keys that the fork would hold. Of reference counts a
//! fork would hold fewer than fit ([`Tree::ROOT_KEYS`]), a region all that fit.

use crate::libxfs::format::{
    btree::{self, LongHeader, Tree},
    geometry::Geometry,
    inode::{ForkFormat, MetaType, RawInode},
    units::InodeNumber,
};
use core::mem::{offset_of, size_of};
use zerocopy::{byteorder::big_endian::U16, FromBytes, FromZeros, IntoBytes};

/// Bytes of a root's header in an inode: level and number of records.
const DISK_HEADER: usize = 4;
/// Bytes of a pointer.
const POINTER: usize = 8;
/// Offset of level and number of records in a block.
const LEVEL: usize = offset_of!(LongHeader, level);

/// What a root is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A fork's mappings.
    Bmap,
    /// A realtime group's reverse mappings.
    RtRmap,
    /// A realtime group's reference counts.
    RtRefcount,
}

/// Bytes of what a tree's roots hold.
struct Sizes {
    magic: u32,
    /// A record of a root that is a leaf; none where a root never is.
    record: Option<usize>,
    /// All keys of a child.
    keys: usize,
    /// What a child takes in an inode, its pointer included.
    child: usize,
}

/// What lies behind a root's header.
enum Body<B> {
    /// In an inode: all of the fork.
    Fork(B),
    /// In the log.
    Log(B),
}

impl<B: AsRef<[u8]>> Body<B> {
    /// Where pointers begin: behind the keys of as many children as there is room for.
    fn pointers(&self, sizes: &Sizes) -> Option<usize> {
        let children = match self {
            Self::Fork(bytes) => bytes.as_ref().len().checked_div(sizes.child)?,
            Self::Log(bytes) => {
                let child = sizes.keys.checked_add(POINTER)?;
                bytes.as_ref().len().checked_div(child)?
            }
        };
        children.checked_mul(sizes.keys)
    }

    fn bytes(self) -> B {
        match self {
            Self::Fork(bytes) | Self::Log(bytes) => bytes,
        }
    }
}

/// Level and number of records of the root in a fork.
fn counted(fork: &[u8]) -> Option<(u16, u16)> {
    let ([level, count], _) = <[U16; 2]>::ref_from_prefix(fork).ok()?;
    Some((level.get(), count.get()))
}

impl Sizes {
    const fn of<T: Tree>() -> Self {
        let key = size_of::<T::DiskKey>();
        Self {
            magic: T::MAGIC,
            record: Some(size_of::<T::DiskRecord>()),
            keys: btree::key_stride::<T>(),
            child: key.saturating_mul(T::ROOT_KEYS).saturating_add(POINTER),
        }
    }

    /// Bytes that a root with so many entries needs, at least.
    fn len(&self, level: u16, count: u16) -> Option<usize> {
        let entry = match level {
            0 => self.record?,
            _ => self.keys.checked_add(POINTER)?,
        };
        usize::from(count).checked_mul(entry)
    }

    /// Copies the entries of a root from what lies behind one header to behind another.
    fn copy(&self, level: u16, count: u16, from: Body<&[u8]>, to: Body<&mut [u8]>) -> Option<()> {
        let (source, target) = (from.pointers(self)?, to.pointers(self)?);
        let (from, to) = (from.bytes(), to.bytes());
        if level == 0 {
            let len = self.len(level, count)?;
            to.get_mut(..len)?.copy_from_slice(from.get(..len)?);
            return Some(());
        }
        let keys = usize::from(count).checked_mul(self.keys)?;
        let pointers = usize::from(count).checked_mul(POINTER)?;
        if keys > source || keys > target {
            return None;
        }
        to.get_mut(..keys)?.copy_from_slice(from.get(..keys)?);
        let source = from.get(source..)?.get(..pointers)?;
        to.get_mut(target..)?
            .get_mut(..pointers)?
            .copy_from_slice(source);
        Some(())
    }
}

impl Form {
    /// The form of an inode's data fork, by its core; `None` if that is no root.
    pub fn of_data_fork(core: &RawInode) -> Option<Self> {
        match ForkFormat::from_disk(core.format)? {
            ForkFormat::Btree => Some(Self::Bmap),
            ForkFormat::MetaBtree => match MetaType::from_disk(core.metatype.get())? {
                MetaType::RtRmap => Some(Self::RtRmap),
                MetaType::RtRefcount => Some(Self::RtRefcount),
                _ => None,
            },
            _ => None,
        }
    }

    const fn sizes(self) -> Sizes {
        match self {
            // It is never a leaf.
            Self::Bmap => Sizes {
                record: None,
                ..Sizes::of::<btree::Bmap>()
            },
            Self::RtRmap => Sizes::of::<btree::RtRmap>(),
            Self::RtRefcount => Sizes::of::<btree::RtRefcount>(),
        }
    }

    /// Writes a logged root into a fork. `None` when it is none of this form, or does not fit.
    pub fn to_disk(self, logged: &[u8], fork: &mut [u8]) -> Option<()> {
        let sizes = self.sizes();
        let (header, body) = LongHeader::ref_from_prefix(logged).ok()?;
        if header.magic.get() != sizes.magic {
            return None;
        }
        let start = logged.get(LEVEL..)?.get(..DISK_HEADER)?;
        let (into, room) = fork.split_at_mut_checked(DISK_HEADER)?;
        into.copy_from_slice(start);
        let (level, count) = (header.level.get(), header.numrecs.get());
        sizes.copy(level, count, Body::Log(body), Body::Fork(room))
    }

    /// Writes the root in a fork, all of whose bytes are `fork`, into one of another size: how many
    /// keys there is room for says where the pointers lie. `None` when it does not fit.
    pub fn move_to(self, fork: &[u8], other: &mut [u8]) -> Option<()> {
        let (start, body) = fork.split_at_checked(DISK_HEADER)?;
        let (into, room) = other.split_at_mut_checked(DISK_HEADER)?;
        into.copy_from_slice(start);
        let (level, count) = counted(start)?;
        self.sizes()
            .copy(level, count, Body::Fork(body), Body::Fork(room))
    }

    /// Bytes of the log that the root in a fork takes. `None` when it is none of this form.
    pub fn log_len(self, fork: &[u8]) -> Option<usize> {
        let (level, count) = counted(fork)?;
        size_of::<LongHeader>().checked_add(self.sizes().len(level, count)?)
    }

    /// Writes the root in a fork of inode `owner` as it is logged, and returns how many bytes of
    /// `logged` it takes. `None` when it is none of this form, or there is no room.
    pub fn to_log(
        self,
        geo: &Geometry,
        owner: InodeNumber,
        fork: &[u8],
        logged: &mut [u8],
    ) -> Option<usize> {
        let sizes = self.sizes();
        let mut header = LongHeader::new_zeroed();
        header.magic = sizes.magic.into();
        header.leftsib = u64::MAX.into();
        header.rightsib = u64::MAX.into();
        header.blkno = u64::MAX.into();
        header.uuid = geo.meta_uuid;
        header.owner = owner.0.into();
        let (start, room) = fork.split_at_checked(DISK_HEADER)?;
        let (into, body) = logged.split_at_mut_checked(size_of::<LongHeader>())?;
        into.copy_from_slice(header.as_bytes());
        into.get_mut(LEVEL..)?
            .get_mut(..DISK_HEADER)?
            .copy_from_slice(start);
        // Just as many as there are.
        let (level, count) = counted(start)?;
        let len = sizes.len(level, count)?;
        let body = body.get_mut(..len)?;
        sizes.copy(level, count, Body::Fork(room), Body::Log(body))?;
        size_of::<LongHeader>().checked_add(len)
    }
}
