// SPDX-License-Identifier: GPL-2.0

//! Roots of trees in inodes. In the log they look like a block, with a full header and their
//! pointers behind the room for as many keys as the region would hold; in the inode the header is
//! four bytes, and the pointers lie behind the keys that the fork would hold.

use crate::libxfs::format::{
    btree::{self, LongHeader, Tree},
    geometry::Geometry,
    inode::{ForkFormat, MetaType, RawInode},
    units::InodeNumber,
};
use core::mem::{offset_of, size_of};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

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
            Self::Bmap => Sizes {
                magic: btree::Bmap::MAGIC,
                record: None,
                keys: size_of::<<btree::Bmap as Tree>::DiskKey>(),
            },
            Self::RtRmap => Sizes {
                magic: btree::RtRmap::MAGIC,
                record: Some(size_of::<<btree::RtRmap as Tree>::DiskRecord>()),
                // A low and a high one.
                keys: size_of::<[<btree::RtRmap as Tree>::DiskKey; 2]>(),
            },
            Self::RtRefcount => Sizes {
                magic: btree::RtRefcount::MAGIC,
                record: Some(size_of::<<btree::RtRefcount as Tree>::DiskRecord>()),
                keys: size_of::<<btree::RtRefcount as Tree>::DiskKey>(),
            },
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
        let count = usize::from(header.numrecs.get());
        if header.level.get() == 0 {
            let len = count.checked_mul(sizes.record?)?;
            room.get_mut(..len)?.copy_from_slice(body.get(..len)?);
            return Some(());
        }
        let keys = count.checked_mul(sizes.keys)?;
        let pointers = count.checked_mul(POINTER)?;
        let child = sizes.keys.checked_add(POINTER)?;
        // Behind the keys of as many children as there is room for.
        let from = body.len().checked_div(child)?.checked_mul(sizes.keys)?;
        let to = room.len().checked_div(child)?.checked_mul(sizes.keys)?;
        if keys > from || keys > to {
            return None;
        }
        room.get_mut(..keys)?.copy_from_slice(body.get(..keys)?);
        let source = body.get(from..)?.get(..pointers)?;
        room.get_mut(to..)?
            .get_mut(..pointers)?
            .copy_from_slice(source);
        Some(())
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
        let (header, _) = LongHeader::ref_from_prefix(into).ok()?;
        let count = usize::from(header.numrecs.get());
        let len = if header.level.get() == 0 {
            let len = count.checked_mul(sizes.record?)?;
            body.get_mut(..len)?.copy_from_slice(room.get(..len)?);
            len
        } else {
            let keys = count.checked_mul(sizes.keys)?;
            let pointers = count.checked_mul(POINTER)?;
            let child = sizes.keys.checked_add(POINTER)?;
            let from = room.len().checked_div(child)?.checked_mul(sizes.keys)?;
            if keys > from {
                return None;
            }
            // Just as many as there are.
            body.get_mut(..keys)?.copy_from_slice(room.get(..keys)?);
            let source = room.get(from..)?.get(..pointers)?;
            body.get_mut(keys..)?
                .get_mut(..pointers)?
                .copy_from_slice(source);
            keys.checked_add(pointers)?
        };
        size_of::<LongHeader>().checked_add(len)
    }
}
