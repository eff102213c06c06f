// SPDX-License-Identifier: GPL-2.0

//! Disk quotas: the records of a quota file, each the usage and limits of one id.
//!
//! A quota file is an array of records by id, as many whole ones in each block as fit. Blocks of
//! ids that were never used are holes. The record of id 0 holds the default limits and the grace
//! periods of its file.
//!
//! Source: "Quota Inodes" in the XFS format's documentation, and `struct xfs_dqblk` in
//! `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.

use super::{
    crc,
    fault::{ensure, Fault},
    geometry::Geometry,
    inode::MetaType,
    units::FileBlock,
};
use core::mem::{offset_of, size_of};
use zerocopy::{
    byteorder::{
        big_endian::{U16, U32, U64},
        little_endian,
    },
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = "dquot";

/// `DQ`: what `d_magic` holds.
pub const MAGIC: u16 = 0x4451;
/// What `d_version` holds.
pub const VERSION: u8 = 1;
/// Bit of `d_type`: timers count in units of four seconds.
const BIGTIME: u8 = 1 << 7;
/// log2 of the seconds that a timer's unit has then.
const BIGTIME_SHIFT: u32 = 2;

/// Whose usage a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaType {
    /// Users.
    User,
    /// Groups.
    Group,
    /// Projects.
    Project,
}

impl QuotaType {
    /// All of them, in the order of the superblock's fields.
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Project];

    /// Its bit in `d_type`.
    pub const fn to_disk(self) -> u8 {
        match self {
            Self::User => 1 << 0,
            Self::Project => 1 << 1,
            Self::Group => 1 << 2,
        }
    }

    /// The type of `d_type`, of which exactly one bit must be set.
    pub const fn from_disk(value: u8) -> Option<Self> {
        Some(match value & !BIGTIME {
            1 => Self::User,
            2 => Self::Project,
            4 => Self::Group,
            _ => return None,
        })
    }

    /// Name of its file in the metadata directory tree.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Project => "project",
        }
    }

    /// What its file's inode says that it is for, in the metadata directory tree.
    pub const fn meta_type(self) -> MetaType {
        match self {
            Self::User => MetaType::UserQuota,
            Self::Group => MetaType::GroupQuota,
            Self::Project => MetaType::ProjectQuota,
        }
    }
}

/// A record (`struct xfs_dqblk`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `d_` or `dd_` field of the same name.
pub struct DiskDquot {
    pub magic: U16,
    pub version: u8,
    pub kind: u8,
    pub id: U32,
    pub blk_hardlimit: U64,
    pub blk_softlimit: U64,
    pub ino_hardlimit: U64,
    pub ino_softlimit: U64,
    pub bcount: U64,
    pub icount: U64,
    pub itimer: U32,
    pub btimer: U32,
    pub iwarns: U16,
    pub bwarns: U16,
    pub pad0: U32,
    pub rtb_hardlimit: U64,
    pub rtb_softlimit: U64,
    pub rtbcount: U64,
    pub rtbtimer: U32,
    pub rtbwarns: U16,
    pub pad: U16,
    pub fill: [u8; 4],
    pub crc: little_endian::U32,
    pub lsn: U64,
    pub uuid: [u8; 16],
}

/// Bytes of a record.
pub const RECORD_SIZE: usize = size_of::<DiskDquot>();
const _: () = assert!(RECORD_SIZE == 136);
const RECORD_BYTES: u32 = RECORD_SIZE as u32;
/// Where a record's checksum lies.
pub const CRC_OFFSET: usize = offset_of!(DiskDquot, crc);

/// Usage of one resource, and its limits; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// In use.
    pub count: u64,
    /// May not be exceeded.
    pub hard: u64,
    /// May be exceeded until the timer ends.
    pub soft: u64,
    /// When the time above the soft limit ends, in seconds since 1970; 0 if within it. Of id 0
    /// the grace period in seconds.
    pub timer: i64,
}

/// A record as plain values. Blocks are file system blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dquot {
    /// User, group or project.
    pub id: u32,
    /// Whose usage it is.
    pub quota_type: QuotaType,
    /// Blocks of the data device.
    pub blocks: Resource,
    /// Inodes.
    pub inodes: Resource,
    /// Blocks of the realtime device.
    pub rt_blocks: Resource,
}

impl DiskDquot {
    /// The record as values; `None` if its type is none.
    pub fn decode(&self) -> Option<Dquot> {
        let bigtime = self.kind & BIGTIME != 0;
        let timer = |field: U32| {
            let seconds = i64::from(field.get());
            if bigtime {
                seconds << BIGTIME_SHIFT
            } else {
                seconds
            }
        };
        let resource = |count: U64, hard: U64, soft: U64, end: U32| Resource {
            count: count.get(),
            hard: hard.get(),
            soft: soft.get(),
            timer: timer(end),
        };
        Some(Dquot {
            id: self.id.get(),
            quota_type: QuotaType::from_disk(self.kind)?,
            blocks: resource(
                self.bcount,
                self.blk_hardlimit,
                self.blk_softlimit,
                self.btimer,
            ),
            inodes: resource(
                self.icount,
                self.ino_hardlimit,
                self.ino_softlimit,
                self.itimer,
            ),
            rt_blocks: resource(
                self.rtbcount,
                self.rtb_hardlimit,
                self.rtb_softlimit,
                self.rtbtimer,
            ),
        })
    }

    /// Holds the record of `id` to its rules.
    fn check(&self, geo: &Geometry, id: u32) -> Result<(), Fault> {
        ensure(self.magic.get() == MAGIC, NAME, "d_magic")?;
        ensure(self.version == VERSION, NAME, "d_version")?;
        ensure(QuotaType::from_disk(self.kind).is_some(), NAME, "d_type")?;
        let bigtime = self.kind & BIGTIME != 0;
        // Id 0 holds periods, which are plain seconds.
        ensure(
            !bigtime || (geo.features.bigtime() && self.id.get() != 0),
            NAME,
            "d_type",
        )?;
        ensure(id == self.id.get(), NAME, "d_id")?;
        ensure(self.uuid == geo.meta_uuid, NAME, "dd_uuid")?;
        if self.id.get() == 0 {
            return Ok(());
        }
        // Above a soft limit the time must run.
        let runs = |count: U64, soft: U64, timer: U32| {
            soft.get() == 0 || count.get() <= soft.get() || timer.get() != 0
        };
        ensure(
            runs(self.bcount, self.blk_softlimit, self.btimer),
            NAME,
            "d_btimer",
        )?;
        ensure(
            runs(self.icount, self.ino_softlimit, self.itimer),
            NAME,
            "d_itimer",
        )?;
        ensure(
            runs(self.rtbcount, self.rtb_softlimit, self.rtbtimer),
            NAME,
            "d_rtbtimer",
        )
    }
}

/// Records in a block.
pub const fn records_per_block(geo: &Geometry) -> u32 {
    geo.block_size / RECORD_BYTES
}

/// Block of a quota file that holds the record of an id, and its index there.
pub const fn position(geo: &Geometry, id: u32) -> (FileBlock, u32) {
    let per_block = records_per_block(geo);
    match (id.checked_div(per_block), id.checked_rem(per_block)) {
        (Some(block), Some(index)) => (FileBlock(block as u64), index),
        _ => (FileBlock(0), 0),
    }
}

/// The records of a block.
///
/// # Errors
///
/// A fault for a block that is too short.
pub fn records<'a>(geo: &Geometry, block: &'a [u8]) -> Result<&'a [DiskDquot], Fault> {
    <[DiskDquot]>::ref_from_prefix_with_elems(block, records_per_block(geo) as usize)
        .map(|(records, _)| records)
        .map_err(|_| Fault::corrupt(NAME, "length"))
}

/// Holds a block of records to their rules. Which ids they should have is not known here, just that
/// one follows the other.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, block: &[u8]) -> Result<(), Fault> {
    let records = records(geo, block)?;
    let first = records.first().map_or(0, |first| first.id.get());
    for (index, record) in records.iter().enumerate() {
        if !crc::block_crc_is_good(record.as_bytes(), CRC_OFFSET) {
            return Err(Fault::checksum(NAME));
        }
        // In the block of the last id the records behind it start from 0 again.
        record.check(geo, first.wrapping_add(index as u32))?;
    }
    Ok(())
}
