// SPDX-License-Identifier: GPL-2.0

//! The inode: its core on disk, and the core as plain values.
//!
//! An inode takes `sb_inodesize` bytes: a core of 176 bytes, then the "literal area", which the
//! data fork and the attribute fork share. `di_forkoff` says where the second begins. What a fork
//! holds is told by its [`ForkFormat`].
//!
//! Bytes become a [`Dinode`] only through [`Dinode::verified`]; see [`verify`].
//!
//! Source: "On-Disk Inode" in the XFS format's documentation, and `struct xfs_dinode` in
//! `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.

pub mod cluster;
pub mod flags;
pub mod time;
pub mod verify;

use self::{
    flags::{Flags, Flags2},
    time::Timestamp,
};
use super::{
    crc,
    geometry::Geometry,
    units::{AgInode, InodeNumber, Lsn},
};
use core::mem::{offset_of, size_of};
use zerocopy::{
    byteorder::{
        big_endian::{U16, U32, U64},
        little_endian,
    },
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// `IN`: what `di_magic` holds.
pub const MAGIC: u16 = 0x494e;
/// The only version of the inode on V5.
pub const VERSION: u8 = 3;
/// End of a list of unlinked inodes.
pub const NULL_AG_INODE: u32 = u32::MAX;

/// Unit of `di_forkoff` in bytes.
pub const FORKOFF_UNIT: usize = 8;

/// Mask of the file's type in a mode.
pub const MODE_TYPE: u16 = 0o170_000;

/// A file's type, as the upper bits of its mode tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Named pipe.
    Fifo,
    /// Character device.
    CharDevice,
    /// Directory.
    Directory,
    /// Block device.
    BlockDevice,
    /// Regular file.
    Regular,
    /// Symbolic link.
    Symlink,
    /// Socket.
    Socket,
}

impl FileType {
    /// Type in a mode, or `None` for a mode without one that the format knows.
    pub const fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode & MODE_TYPE {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// Whether the data fork may hold something but a device number.
    pub const fn has_data(self) -> bool {
        matches!(self, Self::Regular | Self::Directory | Self::Symlink)
    }
}

/// The forks of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhichFork {
    /// Content: file data, directory, symlink target.
    Data,
    /// Extended attributes.
    Attr,
}

/// What a fork holds (`di_format`, `di_aformat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForkFormat {
    /// A device number: special files.
    Dev,
    /// The content itself.
    Local,
    /// Mappings, all of which fit into the fork.
    Extents,
    /// Root of a bmap B+tree.
    Btree,
    /// Root of a realtime group's rmap or refcount B+tree: metadata inodes.
    MetaBtree,
}

impl ForkFormat {
    /// Decodes; 4 was kept for a uuid that nothing ever wrote, so it is as bad as any other.
    pub const fn from_disk(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Dev,
            1 => Self::Local,
            2 => Self::Extents,
            3 => Self::Btree,
            5 => Self::MetaBtree,
            _ => return None,
        })
    }

    /// Encodes.
    pub const fn to_disk(self) -> u8 {
        match self {
            Self::Dev => 0,
            Self::Local => 1,
            Self::Extents => 2,
            Self::Btree => 3,
            Self::MetaBtree => 5,
        }
    }
}

/// What a file of the metadata directory tree is for (`di_metatype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetaType {
    /// Not told, or not a metadata file.
    #[default]
    Unknown,
    /// Directory of the tree.
    Directory,
    /// User quota.
    UserQuota,
    /// Group quota.
    GroupQuota,
    /// Project quota.
    ProjectQuota,
    /// A realtime group's bitmap.
    RtBitmap,
    /// A realtime group's summary.
    RtSummary,
    /// A realtime group's reverse mappings.
    RtRmap,
    /// A realtime group's reference counts.
    RtRefcount,
}

impl MetaType {
    /// Decodes; `None` for what Linux 7.3 does not know.
    pub const fn from_disk(value: u16) -> Option<Self> {
        Some(match value {
            0 => Self::Unknown,
            1 => Self::Directory,
            2 => Self::UserQuota,
            3 => Self::GroupQuota,
            4 => Self::ProjectQuota,
            5 => Self::RtBitmap,
            6 => Self::RtSummary,
            7 => Self::RtRmap,
            8 => Self::RtRefcount,
            _ => return None,
        })
    }

    /// Encodes.
    pub const fn to_disk(self) -> u16 {
        self as u16
    }
}

/// The core as it lies on disk (`struct xfs_dinode`).
///
/// Fields that are a union there carry the name of their first use; [`InodeCore`] tells them
/// apart.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawInode {
    /// [`MAGIC`].
    pub magic: U16,
    /// Type and permissions; 0 for a free inode.
    pub mode: U16,
    /// [`VERSION`].
    pub version: u8,
    /// [`ForkFormat`] of the data fork.
    pub format: u8,
    /// [`MetaType`].
    pub metatype: U16,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Links.
    pub nlink: U32,
    /// Low half of the project.
    pub projid_lo: U16,
    /// High half of the project.
    pub projid_hi: U16,
    /// Data fork's extents with large counters; else 0.
    pub big_nextents: U64,
    /// Last access.
    pub atime: U64,
    /// Last change of the content.
    pub mtime: U64,
    /// Last change of the inode.
    pub ctime: U64,
    /// Bytes.
    pub size: U64,
    /// Blocks: content, B+tree blocks, attributes.
    pub nblocks: U64,
    /// Extent size hint in blocks.
    pub extsize: U32,
    /// Data fork's extents; with large counters the attribute fork's.
    pub nextents: U32,
    /// Attribute fork's extents; with large counters 0.
    pub anextents: U16,
    /// Where the attribute fork starts in the literal area, in units of 8 bytes; 0 if there is
    /// none.
    pub forkoff: u8,
    /// [`ForkFormat`] of the attribute fork.
    pub aformat: u8,
    /// A past data migration facility's event mask.
    pub dmevmask: U32,
    /// Its state.
    pub dmstate: U16,
    /// [`Flags`].
    pub flags: U16,
    /// Generation.
    pub generation: U32,
    /// Next in a list of unlinked inodes.
    pub next_unlinked: U32,
    /// CRC32c over the whole inode.
    pub crc: little_endian::U32,
    /// Counts the changes.
    pub changecount: U64,
    /// Last log record that wrote the inode.
    pub lsn: U64,
    /// [`Flags2`].
    pub flags2: U64,
    /// CoW extent size hint in blocks; of a zoned group's rmap inode the blocks in use.
    pub cowextsize: U32,
    /// Zero.
    pub pad: [u8; 12],
    /// Birth.
    pub crtime: U64,
    /// The inode's own number.
    pub number: U64,
    /// The file system's metadata uuid.
    pub uuid: [u8; 16],
}

/// Bytes of the core; the literal area follows.
pub const CORE_SIZE: usize = size_of::<RawInode>();
const _: () = assert!(CORE_SIZE == 176);

/// Where the checksum lies.
pub const CRC_OFFSET: usize = offset_of!(RawInode, crc);
const _: () = assert!(CRC_OFFSET == 100);

impl RawInode {
    /// Whether the extent counters are the large ones.
    pub const fn has_large_counters(&self) -> bool {
        Flags2(self.flags2.get()).has(Flags2::NREXT64)
    }

    /// Extents of the data fork.
    pub const fn data_extents(&self) -> u64 {
        if self.has_large_counters() {
            self.big_nextents.get()
        } else {
            self.nextents.get() as u64
        }
    }

    /// Extents of the attribute fork.
    pub const fn attr_extents(&self) -> u32 {
        if self.has_large_counters() {
            self.nextents.get()
        } else {
            self.anextents.get() as u32
        }
    }
}

/// Bytes of the literal area, for both forks.
#[inline]
pub const fn literal_size(geo: &Geometry) -> usize {
    (geo.inode_size as usize).saturating_sub(CORE_SIZE)
}

/// Where an attribute fork starts, in units of [`FORKOFF_UNIT`], while nothing speaks for another
/// place: a device number takes one unit, else half a dozen mappings more than the least come first.
///
/// Source: `xfs_default_attroffset` in `fs/xfs/libxfs/xfs_bmap.c` of Linux 7.3.
pub const fn default_attr_offset(special: bool) -> u8 {
    if special {
        1
    } else {
        24
    }
}

/// The core as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InodeCore {
    /// Type and permissions; 0 for a free inode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Links.
    pub nlink: u32,
    /// Project.
    pub projid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Birth.
    pub crtime: Timestamp,
    /// Bytes; below 2^63.
    pub size: u64,
    /// Blocks of both forks.
    pub nblocks: u64,
    /// Extent size hint in blocks.
    pub extsize: u32,
    /// CoW extent size hint in blocks; of a zoned group's rmap inode the blocks in use.
    pub cowextsize: u32,
    /// Extents of the data fork.
    pub nextents: u64,
    /// Extents of the attribute fork.
    pub anextents: u32,
    /// Where the attribute fork starts in the literal area, in units of 8 bytes; 0 if there is
    /// none.
    pub forkoff: u8,
    /// What the data fork holds.
    pub format: ForkFormat,
    /// What the attribute fork holds.
    pub aformat: ForkFormat,
    /// Flags.
    pub flags: Flags,
    /// More flags.
    pub flags2: Flags2,
    /// What a metadata file is for.
    pub metatype: MetaType,
    /// Generation.
    pub generation: u32,
    /// Counts the changes.
    pub changecount: u64,
    /// Next in the list of unlinked inodes, if this is on one and not its last.
    pub next_unlinked: Option<AgInode>,
    /// A past data migration facility's event mask and state, kept as they were.
    pub dm: (u32, u16),
    /// Last log record that wrote the inode.
    pub lsn: Lsn,
}

impl InodeCore {
    /// The file's type; `None` for a free inode.
    #[inline]
    pub const fn file_type(&self) -> Option<FileType> {
        FileType::from_mode(self.mode)
    }

    /// Bytes that the data fork may take: what the attribute fork leaves of the literal area.
    #[inline]
    pub const fn data_fork_size(&self, geo: &Geometry) -> usize {
        match self.forkoff {
            0 => literal_size(geo),
            units => (units as usize).saturating_mul(FORKOFF_UNIT),
        }
    }

    /// Bytes that the attribute fork may take; 0 if there is none.
    #[inline]
    pub const fn attr_fork_size(&self, geo: &Geometry) -> usize {
        match self.forkoff {
            0 => 0,
            units => {
                literal_size(geo).saturating_sub((units as usize).saturating_mul(FORKOFF_UNIT))
            }
        }
    }

    /// Whether the data fork's blocks lie on the realtime device.
    #[inline]
    pub const fn is_realtime(&self) -> bool {
        self.flags.has(Flags::REALTIME)
    }

    /// Whether blocks of the data fork may be shared.
    #[inline]
    pub const fn is_reflink(&self) -> bool {
        self.flags2.has(Flags2::REFLINK)
    }

    /// Whether this belongs to the file system itself and may never be shown.
    #[inline]
    pub const fn is_metadata(&self) -> bool {
        self.flags2.has(Flags2::METADATA)
    }

    /// Decodes a core that its verifier accepted.
    ///
    /// Of a free inode, whose format fields may never have been written, unknown formats are taken
    /// as [`ForkFormat::Extents`], which is what freeing writes.
    fn from_raw(raw: &RawInode) -> Self {
        let flags2 = Flags2(raw.flags2.get());
        let time = |field: U64| Timestamp::from_disk(field.get(), flags2.has(Flags2::BIGTIME));
        let format = |field: u8| ForkFormat::from_disk(field).unwrap_or(ForkFormat::Extents);
        Self {
            mode: raw.mode.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            nlink: raw.nlink.get(),
            projid: (u32::from(raw.projid_hi.get()) << 16) | u32::from(raw.projid_lo.get()),
            atime: time(raw.atime),
            mtime: time(raw.mtime),
            ctime: time(raw.ctime),
            crtime: time(raw.crtime),
            size: raw.size.get(),
            nblocks: raw.nblocks.get(),
            extsize: raw.extsize.get(),
            cowextsize: raw.cowextsize.get(),
            nextents: raw.data_extents(),
            anextents: raw.attr_extents(),
            forkoff: raw.forkoff,
            format: format(raw.format),
            aformat: if raw.forkoff == 0 {
                ForkFormat::Extents
            } else {
                format(raw.aformat)
            },
            flags: Flags(raw.flags.get()),
            flags2,
            metatype: MetaType::from_disk(raw.metatype.get()).unwrap_or_default(),
            generation: raw.generation.get(),
            changecount: raw.changecount.get(),
            next_unlinked: match raw.next_unlinked.get() {
                NULL_AG_INODE => None,
                next => Some(AgInode(next)),
            },
            dm: (raw.dmevmask.get(), raw.dmstate.get()),
            lsn: Lsn(raw.lsn.get()),
        }
    }

    /// Encodes the core of inode `number`; the checksum is 0 until [`seal`] sets it.
    pub fn to_raw(&self, geo: &Geometry, number: InodeNumber) -> RawInode {
        let large = self.flags2.has(Flags2::NREXT64);
        let bigtime = self.flags2.has(Flags2::BIGTIME);
        let time = |time: Timestamp| U64::new(time.to_disk(bigtime));
        RawInode {
            magic: U16::new(MAGIC),
            mode: U16::new(self.mode),
            version: VERSION,
            format: self.format.to_disk(),
            metatype: U16::new(self.metatype.to_disk()),
            uid: U32::new(self.uid),
            gid: U32::new(self.gid),
            nlink: U32::new(self.nlink),
            projid_lo: U16::new(self.projid as u16),
            projid_hi: U16::new((self.projid >> 16) as u16),
            big_nextents: U64::new(if large { self.nextents } else { 0 }),
            atime: time(self.atime),
            mtime: time(self.mtime),
            ctime: time(self.ctime),
            size: U64::new(self.size),
            nblocks: U64::new(self.nblocks),
            extsize: U32::new(self.extsize),
            nextents: U32::new(if large {
                self.anextents
            } else {
                self.nextents as u32
            }),
            anextents: U16::new(if large { 0 } else { self.anextents as u16 }),
            forkoff: self.forkoff,
            aformat: self.aformat.to_disk(),
            dmevmask: U32::new(self.dm.0),
            dmstate: U16::new(self.dm.1),
            flags: U16::new(self.flags.0),
            generation: U32::new(self.generation),
            next_unlinked: U32::new(self.next_unlinked.map_or(NULL_AG_INODE, AgInode::get)),
            crc: little_endian::U32::new(0),
            changecount: U64::new(self.changecount),
            lsn: U64::new(self.lsn.0),
            flags2: U64::new(self.flags2.0),
            cowextsize: U32::new(self.cowextsize),
            pad: [0; 12],
            crtime: time(self.crtime),
            number: U64::new(number.0),
            uuid: geo.meta_uuid,
        }
    }
}

/// Sets the checksum of a whole inode: its core and its literal area.
pub fn seal(inode: &mut [u8]) {
    crc::set_block_crc(inode, CRC_OFFSET);
}

/// A verified inode: its core and its forks' bytes.
#[derive(Clone, Copy, Debug)]
pub struct Dinode<'a> {
    raw: &'a RawInode,
    data: &'a [u8],
    attr: &'a [u8],
}

impl<'a> Dinode<'a> {
    /// The core as it lies on disk.
    pub fn raw(&self) -> &'a RawInode {
        self.raw
    }

    /// The core as values.
    pub fn core(&self) -> InodeCore {
        InodeCore::from_raw(self.raw)
    }

    /// Bytes of the data fork: all that it may take, used or not.
    pub fn data_fork(&self) -> &'a [u8] {
        self.data
    }

    /// Bytes of the attribute fork; empty if there is none.
    pub fn attr_fork(&self) -> &'a [u8] {
        self.attr
    }
}
