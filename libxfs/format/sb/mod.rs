// SPDX-License-Identifier: GPL-2.0

//! The superblock: sector 0 of every allocation group. The first is the one in use, the others are
//! copies for repair.
//!
//! Bytes become a [`Superblock`] through [`verify`] alone, and a [`Superblock`] becomes a
//! [`Geometry`]. What forbids a mount, though the superblock itself is sound, is a [`Refusal`] too,
//! so that the reason can be told in one line.
//!
//! Source: `struct xfs_dsb` in `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.

mod refusal;
mod rules;

pub use refusal::{Mount, Refusal};
pub use rules::verify;
pub(crate) use rules::MIN_AG_BLOCKS;

use super::{
    geometry::{Features, Geometry},
    units::{FsBlock, InodeNumber, Lsn, BASIC_BLOCK_SIZE},
};
use core::ops::Deref;
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// `XFSB`.
pub const MAGIC: u32 = 0x5846_5342;
/// Offset of the checksum in the sector.
pub const CRC_OFFSET: usize = core::mem::offset_of!(DiskSuperblock, crc);
/// An inode number or block that is not there.
const NULL: u64 = u64::MAX;

/// Bits of `sb_versionnum` below the feature bits: the version.
pub const VERSION_MASK: u16 = 0x000f;
/// `sb_versionnum`: quota has been on once.
pub const VERSION_QUOTA: u16 = 0x0040;
/// `sb_versionnum`: there is a stripe unit.
pub const VERSION_STRIPE: u16 = 0x0100;
/// `sb_versionnum`: the log's sector size is stored.
pub const VERSION_SECTOR: u16 = 0x0800;
/// `sb_versionnum`: names are compared without regard to ASCII case.
pub const VERSION_ASCII_CI: u16 = 0x4000;

/// The superblock as it lies on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `sb_` field of the same name.
pub struct DiskSuperblock {
    pub magicnum: U32,
    pub blocksize: U32,
    pub dblocks: U64,
    pub rblocks: U64,
    pub rextents: U64,
    pub uuid: [u8; 16],
    pub logstart: U64,
    pub rootino: U64,
    pub rbmino: U64,
    pub rsumino: U64,
    pub rextsize: U32,
    pub agblocks: U32,
    pub agcount: U32,
    pub rbmblocks: U32,
    pub logblocks: U32,
    pub versionnum: U16,
    pub sectsize: U16,
    pub inodesize: U16,
    pub inopblock: U16,
    pub fname: [u8; 12],
    pub blocklog: u8,
    pub sectlog: u8,
    pub inodelog: u8,
    pub inopblog: u8,
    pub agblklog: u8,
    pub rextslog: u8,
    pub inprogress: u8,
    pub imax_pct: u8,
    pub icount: U64,
    pub ifree: U64,
    pub fdblocks: U64,
    pub frextents: U64,
    pub uquotino: U64,
    pub gquotino: U64,
    pub qflags: U16,
    pub flags: u8,
    pub shared_vn: u8,
    pub inoalignmt: U32,
    pub unit: U32,
    pub width: U32,
    pub dirblklog: u8,
    pub logsectlog: u8,
    pub logsectsize: U16,
    pub logsunit: U32,
    pub features2: U32,
    pub bad_features2: U32,
    pub features_compat: U32,
    pub features_ro_compat: U32,
    pub features_incompat: U32,
    pub features_log_incompat: U32,
    /// Little-endian.
    pub crc: [u8; 4],
    pub spino_align: U32,
    pub pquotino: U64,
    pub lsn: U64,
    pub meta_uuid: [u8; 16],
    pub metadirino: U64,
    pub rgcount: U32,
    pub rgextents: U32,
    pub rgblklog: u8,
    pub pad: [u8; 7],
    pub rtstart: U64,
    pub rtreserved: U64,
}

/// The summary counters. They are exact only after a clean unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Inodes that have space, used or free.
    pub inodes: u64,
    /// Inodes of these that are free.
    pub free_inodes: u64,
    /// Free blocks of the data device.
    pub free_blocks: u64,
    /// Free extents of the realtime device.
    pub free_rt_extents: u64,
}

impl Counters {
    /// Whether they could be true of this file system. After a clean unmount, counters that could
    /// not be have to be summed up anew.
    pub fn are_plausible(&self, geo: &Geometry) -> bool {
        let slots = geo
            .data_blocks
            .saturating_mul(u64::from(geo.inodes_per_block));
        self.free_blocks <= geo.data_blocks
            && self.inodes >= 64
            && self.inodes <= slots
            && self.free_inodes <= self.inodes
    }
}

/// A superblock that holds every rule of the format.
#[derive(Clone, Copy, Debug)]
pub struct Superblock<'a>(&'a DiskSuperblock);

impl Deref for Superblock<'_> {
    type Target = DiskSuperblock;

    fn deref(&self) -> &DiskSuperblock {
        self.0
    }
}

impl DiskSuperblock {
    /// The fields of a sector, nothing verified; `None` when there are too few bytes.
    pub fn view(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(sb, _)| sb)
    }

    /// The version in the low bits of `sb_versionnum`.
    pub fn version(&self) -> u16 {
        self.versionnum.get() & VERSION_MASK
    }

    /// All feature words.
    pub fn features(&self) -> Features {
        Features {
            compat: self.features_compat.get(),
            ro_compat: self.features_ro_compat.get(),
            incompat: self.features_incompat.get(),
            log_incompat: self.features_log_incompat.get(),
            version: self.versionnum.get(),
            features2: self.features2.get(),
        }
    }

    /// The summary counters.
    pub fn counters(&self) -> Counters {
        Counters {
            inodes: self.icount.get(),
            free_inodes: self.ifree.get(),
            free_blocks: self.fdblocks.get(),
            free_rt_extents: self.frextents.get(),
        }
    }

    /// When it was last written.
    pub fn last_write(&self) -> Lsn {
        Lsn(self.lsn.get())
    }
}

/// An inode number of the superblock: unset is 0 from some versions of mkfs, all ones from others.
fn inode(number: U64) -> Option<InodeNumber> {
    match number.get() {
        0 | NULL => None,
        number => Some(InodeNumber(number)),
    }
}

impl Superblock<'_> {
    /// The shape that this superblock describes.
    pub fn geometry(&self) -> Geometry {
        let features = self.features();
        let metadir = features.metadir();
        let unless_metadir = |number| if metadir { None } else { inode(number) };
        Geometry {
            features,
            uuid: self.uuid,
            meta_uuid: if features.meta_uuid() {
                self.meta_uuid
            } else {
                self.uuid
            },
            label: self.fname,
            block_size: self.blocksize.get(),
            block_log: self.blocklog,
            sector_size: u32::from(self.sectsize.get()),
            sector_log: self.sectlog,
            inode_size: u32::from(self.inodesize.get()),
            inode_log: self.inodelog,
            inodes_per_block: u32::from(self.inopblock.get()),
            inodes_per_block_log: self.inopblog,
            data_blocks: self.dblocks.get(),
            ag_count: self.agcount.get(),
            ag_blocks: self.agblocks.get(),
            ag_block_log: self.agblklog,
            root_inode: InodeNumber(self.rootino.get()),
            metadir_inode: if metadir {
                inode(self.metadirino)
            } else {
                None
            },
            inode_alignment: self.inoalignmt.get(),
            sparse_inode_alignment: self.spino_align.get(),
            inode_max_percent: self.imax_pct,
            dir_block_log: self.dirblklog,
            stripe_unit: self.unit.get(),
            stripe_width: self.width.get(),
            log_start: match self.logstart.get() {
                0 => None,
                start => Some(FsBlock(start)),
            },
            log_blocks: self.logblocks.get(),
            log_sector_size: if self.versionnum.get() & VERSION_SECTOR != 0 {
                u32::from(self.logsectsize.get())
            } else {
                BASIC_BLOCK_SIZE
            },
            log_stripe_unit: self.logsunit.get(),
            rt_blocks: self.rblocks.get(),
            rt_extents: self.rextents.get(),
            rt_extent_size: self.rextsize.get(),
            rt_extents_log: self.rextslog,
            rt_bitmap_blocks: self.rbmblocks.get(),
            rt_bitmap_inode: unless_metadir(self.rbmino),
            rt_summary_inode: unless_metadir(self.rsumino),
            rt_group_count: if metadir { self.rgcount.get() } else { 0 },
            rt_group_extents: if metadir { self.rgextents.get() } else { 0 },
            rt_group_block_log: if metadir { self.rgblklog } else { 0 },
            rt_start: if features.zoned() {
                self.rtstart.get()
            } else {
                0
            },
            quota_inodes: [
                unless_metadir(self.uquotino),
                unless_metadir(self.gquotino),
                unless_metadir(self.pquotino),
            ],
            quota_flags: self.qflags.get(),
        }
    }
}

impl Geometry {
    /// The shape that a verified superblock describes.
    pub fn from_superblock(sb: &Superblock<'_>) -> Self {
        sb.geometry()
    }
}
