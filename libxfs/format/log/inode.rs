// SPDX-License-Identifier: GPL-2.0

//! Inode items: the core, and what changed of the forks.
//!
//! The first region says which inode and what follows, the second is the core in the order of the
//! machine that wrote the log, then come the data fork and the attribute fork as far as they
//! changed: their content, their mappings as on the disk, or the root of a B+tree. A root is logged
//! as it lies in memory, in the form of a block with a full header.

use super::{
    item::ItemKind,
    regions::{padded, Regions},
};
use crate::libxfs::format::{
    fault::{self, Fault},
    inode::{self, flags::Flags2, RawInode, CORE_SIZE},
    units::{DiskAddr, InodeNumber, Lsn},
};
use core::mem::size_of;
use zerocopy::{
    byteorder::{big_endian, native_endian},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

type U16 = native_endian::U16;
type U32 = native_endian::U32;
type U64 = native_endian::U64;

const NAME: &str = ItemKind::Inode.name();

/// First region of an inode item.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `ilf_` field of the same name.
pub struct DiskInodeItem {
    pub kind: U16,
    pub size: U16,
    pub fields: U32,
    pub asize: U16,
    pub dsize: U16,
    pub pad: U32,
    pub ino: U64,
    pub rdev: U32,
    pub unused: [u8; 12],
    pub blkno: U64,
    pub len: U32,
    pub boffset: U32,
}

/// The same as a 32-bit x86 machine writes it, without padding.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DiskInodeItem32 {
    kind: U16,
    size: U16,
    fields: U32,
    asize: U16,
    dsize: U16,
    ino: U64,
    rdev: U32,
    unused: [u8; 12],
    blkno: U64,
    len: U32,
    boffset: U32,
}

const _: () = assert!(size_of::<DiskInodeItem>() == 56);
const _: () = assert!(size_of::<DiskInodeItem32>() == 52);

/// What an inode item has of its inode (`ilf_fields`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub u32);

impl Fields {
    /// The core; always.
    pub const CORE: u32 = 0x001;
    /// The data fork's content.
    pub const DATA_LOCAL: u32 = 0x002;
    /// The data fork's mappings.
    pub const DATA_EXTENTS: u32 = 0x004;
    /// The data fork's root.
    pub const DATA_ROOT: u32 = 0x008;
    /// The device number of a special file.
    pub const DEVICE: u32 = 0x010;
    /// The attribute fork's content.
    pub const ATTR_LOCAL: u32 = 0x040;
    /// The attribute fork's mappings.
    pub const ATTR_EXTENTS: u32 = 0x080;
    /// The attribute fork's root.
    pub const ATTR_ROOT: u32 = 0x100;
    /// The blocks of the data fork's tree come from another inode: they get this owner.
    pub const DATA_OWNER: u32 = 0x200;
    /// The same of the attribute fork's tree.
    pub const ATTR_OWNER: u32 = 0x400;

    /// A region with the data fork follows.
    pub const DATA: u32 = Self::DATA_LOCAL | Self::DATA_EXTENTS | Self::DATA_ROOT;
    /// A region with the attribute fork follows.
    pub const ATTR: u32 = Self::ATTR_LOCAL | Self::ATTR_EXTENTS | Self::ATTR_ROOT;
    const ALL: u32 =
        Self::CORE | Self::DATA | Self::DEVICE | Self::ATTR | Self::DATA_OWNER | Self::ATTR_OWNER;

    /// Whether any bit of `mask` is set.
    #[inline]
    pub const fn has(self, mask: u32) -> bool {
        self.0 & mask != 0
    }

    /// Whether both forks are told in at most one way each.
    const fn is_valid(self) -> bool {
        let data = self.0 & (Self::DATA | Self::DEVICE);
        let attr = self.0 & Self::ATTR;
        self.has(Self::CORE)
            && self.0 & !Self::ALL == 0
            && data.count_ones() <= 1
            && attr.count_ones() <= 1
    }
}

/// The core as it is logged: a [`RawInode`] in the order of the machine.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the `RawInode`'s of the same name.
pub struct LogInode {
    pub magic: U16,
    pub mode: U16,
    pub version: u8,
    pub format: u8,
    pub metatype: U16,
    pub uid: U32,
    pub gid: U32,
    pub nlink: U32,
    pub projid_lo: U16,
    pub projid_hi: U16,
    pub big_nextents: U64,
    pub atime: U64,
    pub mtime: U64,
    pub ctime: U64,
    pub size: U64,
    pub nblocks: U64,
    pub extsize: U32,
    pub nextents: U32,
    pub anextents: U16,
    pub forkoff: u8,
    pub aformat: u8,
    pub dmevmask: U32,
    pub dmstate: U16,
    pub flags: U16,
    pub generation: U32,
    /// Not replayed: unlinked lists are logged in buffers.
    pub next_unlinked: U32,
    /// Not replayed.
    pub crc: U32,
    pub changecount: U64,
    /// Not replayed: the inode gets that of its transaction.
    pub lsn: U64,
    pub flags2: U64,
    pub cowextsize: U32,
    pub pad: [u8; 12],
    pub crtime: U64,
    pub number: U64,
    pub uuid: [u8; 16],
}

const _: () = assert!(size_of::<LogInode>() == CORE_SIZE);

/// A time on its way to the disk or from it. The older form is two numbers of 32 bits, so its halves
/// change places where the machine's order is not the disk's.
const fn time(field: u64, bigtime: bool) -> u64 {
    if bigtime || cfg!(target_endian = "big") {
        field
    } else {
        field.rotate_left(32)
    }
}

impl LogInode {
    /// Writes all that recovery restores into an inode's core; its list of unlinked inodes and its
    /// checksum stay.
    pub fn replay(&self, lsn: Lsn, disk: &mut RawInode) {
        let bigtime = Flags2(self.flags2.get()).has(Flags2::BIGTIME);
        let time = |field: U64| big_endian::U64::new(time(field.get(), bigtime));
        let kept = (disk.next_unlinked, disk.crc);
        *disk = RawInode {
            magic: self.magic.get().into(),
            mode: self.mode.get().into(),
            version: self.version,
            format: self.format,
            metatype: self.metatype.get().into(),
            uid: self.uid.get().into(),
            gid: self.gid.get().into(),
            nlink: self.nlink.get().into(),
            projid_lo: self.projid_lo.get().into(),
            projid_hi: self.projid_hi.get().into(),
            big_nextents: self.big_nextents.get().into(),
            atime: time(self.atime),
            mtime: time(self.mtime),
            ctime: time(self.ctime),
            size: self.size.get().into(),
            nblocks: self.nblocks.get().into(),
            extsize: self.extsize.get().into(),
            nextents: self.nextents.get().into(),
            anextents: self.anextents.get().into(),
            forkoff: self.forkoff,
            aformat: self.aformat,
            dmevmask: self.dmevmask.get().into(),
            dmstate: self.dmstate.get().into(),
            flags: self.flags.get().into(),
            generation: self.generation.get().into(),
            next_unlinked: kept.0,
            crc: kept.1,
            changecount: self.changecount.get().into(),
            lsn: lsn.0.into(),
            flags2: self.flags2.get().into(),
            cowextsize: self.cowextsize.get().into(),
            pad: [0; 12],
            crtime: time(self.crtime),
            number: self.number.get().into(),
            uuid: self.uuid,
        };
    }

    /// The core as it is logged. Of what is not replayed the list of unlinked inodes is none and
    /// the checksum 0, as the kernel's driver logs them.
    pub fn new(disk: &RawInode) -> Self {
        let bigtime = Flags2(disk.flags2.get()).has(Flags2::BIGTIME);
        let time = |field: big_endian::U64| U64::new(time(field.get(), bigtime));
        Self {
            magic: disk.magic.get().into(),
            mode: disk.mode.get().into(),
            version: disk.version,
            format: disk.format,
            metatype: disk.metatype.get().into(),
            uid: disk.uid.get().into(),
            gid: disk.gid.get().into(),
            nlink: disk.nlink.get().into(),
            projid_lo: disk.projid_lo.get().into(),
            projid_hi: disk.projid_hi.get().into(),
            big_nextents: disk.big_nextents.get().into(),
            atime: time(disk.atime),
            mtime: time(disk.mtime),
            ctime: time(disk.ctime),
            size: disk.size.get().into(),
            nblocks: disk.nblocks.get().into(),
            extsize: disk.extsize.get().into(),
            nextents: disk.nextents.get().into(),
            anextents: disk.anextents.get().into(),
            forkoff: disk.forkoff,
            aformat: disk.aformat,
            dmevmask: disk.dmevmask.get().into(),
            dmstate: disk.dmstate.get().into(),
            flags: disk.flags.get().into(),
            generation: disk.generation.get().into(),
            next_unlinked: inode::NULL_AG_INODE.into(),
            crc: 0.into(),
            changecount: disk.changecount.get().into(),
            lsn: disk.lsn.get().into(),
            flags2: disk.flags2.get().into(),
            cowextsize: disk.cowextsize.get().into(),
            pad: [0; 12],
            crtime: time(disk.crtime),
            number: disk.number.get().into(),
            uuid: disk.uuid,
        }
    }
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, NAME, field)
}

/// Where an inode lies: its cluster, and its place in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// First basic block of the cluster on the data device.
    pub at: DiskAddr,
    /// Basic blocks of the cluster: 1 to 128.
    pub len: u32,
    /// Byte of the cluster at which the inode starts.
    pub offset: u32,
}

/// An inode item that holds the rules of the format.
#[derive(Clone, Copy, Debug)]
pub struct InodeItem<'a> {
    /// The inode.
    pub number: InodeNumber,
    /// What the item has of it.
    pub fields: Fields,
    /// Where it lies.
    pub place: LogPlace,
    /// Device number, with [`Fields::DEVICE`].
    pub device: u32,
    /// The core.
    pub core: &'a LogInode,
    /// The data fork, padded to 32-bit words, if any of [`Fields::DATA`] is set.
    pub data: Option<&'a [u8]>,
    /// The attribute fork, the same.
    pub attr: Option<&'a [u8]>,
}

impl<'a> InodeItem<'a> {
    /// Decodes an item.
    ///
    /// # Errors
    ///
    /// A fault when regions are missing or not of the size that is said, or a field has a value
    /// that Linux 7.3 does not write.
    pub fn decode(regions: Regions<'a>) -> Result<Self, Fault> {
        let raw = Self::first(regions.get(0).unwrap_or_default())?;
        ensure(raw.kind.get() == ItemKind::Inode.to_disk(), "ilf_type")?;
        ensure(usize::from(raw.size.get()) == regions.len(), "ilf_size")?;
        let fields = Fields(raw.fields.get());
        ensure(fields.is_valid(), "ilf_fields")?;
        let at = raw.blkno.get();
        ensure(at >> 63 == 0, "ilf_blkno")?;
        let len = raw.len.get();
        ensure(
            len != 0 && len <= super::buffer::MAX_BASIC_BLOCKS,
            "ilf_len",
        )?;
        let core = regions.get(1).unwrap_or_default();
        let core = LogInode::ref_from_bytes(core).map_err(|_| Fault::corrupt(NAME, "core"))?;
        ensure(core.magic.get() == inode::MAGIC, "di_magic")?;
        ensure(core.version == inode::VERSION, "di_version")?;

        let mut next = 2;
        let mut fork = |mask: u32, size: U16, field: &'static str| {
            if !fields.has(mask) {
                return Ok(None);
            }
            let region = regions.get(next).ok_or(Fault::corrupt(NAME, "ilf_size"))?;
            next = next.saturating_add(1);
            let size = usize::from(size.get());
            ensure(size != 0 && padded(size) == Some(region.len()), field)?;
            Ok(Some(region))
        };
        let data = fork(Fields::DATA, raw.dsize, "ilf_dsize")?;
        let attr = fork(Fields::ATTR, raw.asize, "ilf_asize")?;
        ensure(next == regions.len(), "ilf_size")?;
        Ok(Self {
            number: InodeNumber(raw.ino.get()),
            fields,
            place: LogPlace {
                at: DiskAddr(at),
                len,
                offset: raw.boffset.get(),
            },
            device: raw.rdev.get(),
            core,
            data,
            attr,
        })
    }

    fn first(region: &[u8]) -> Result<DiskInodeItem, Fault> {
        if let Ok(raw) = DiskInodeItem::read_from_bytes(region) {
            return Ok(raw);
        }
        let raw =
            DiskInodeItem32::read_from_bytes(region).map_err(|_| Fault::corrupt(NAME, "length"))?;
        Ok(DiskInodeItem {
            kind: raw.kind,
            size: raw.size,
            fields: raw.fields,
            asize: raw.asize,
            dsize: raw.dsize,
            pad: 0.into(),
            ino: raw.ino,
            rdev: raw.rdev,
            unused: raw.unused,
            blkno: raw.blkno,
            len: raw.len,
            boffset: raw.boffset,
        })
    }

    /// The first region of this item.
    ///
    /// # Errors
    ///
    /// A fault for a fork of more than 64 KiB.
    pub fn encode(&self) -> Result<DiskInodeItem, Fault> {
        let size = |fork: Option<&[u8]>, field: &'static str| {
            let len = fork.map_or(0, <[u8]>::len);
            u16::try_from(len).map_err(|_| Fault::corrupt(NAME, field))
        };
        let forks = u16::from(self.data.is_some()).saturating_add(u16::from(self.attr.is_some()));
        Ok(DiskInodeItem {
            kind: ItemKind::Inode.to_disk().into(),
            size: forks.saturating_add(2).into(),
            fields: self.fields.0.into(),
            asize: size(self.attr, "ilf_asize")?.into(),
            dsize: size(self.data, "ilf_dsize")?.into(),
            pad: 0.into(),
            ino: self.number.0.into(),
            rdev: self.device.into(),
            unused: [0; 12],
            blkno: self.place.at.0.into(),
            len: self.place.len.into(),
            boffset: self.place.offset.into(),
        })
    }
}
