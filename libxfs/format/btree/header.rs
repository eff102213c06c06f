// SPDX-License-Identifier: GPL-2.0

//! Headers of B+tree blocks, and the pointers that they go with.

use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgBlock, AgNumber, DiskAddr, FsBlock},
};
use core::fmt;
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Header of a block with short pointers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `bb_` field of the same name.
pub struct ShortHeader {
    pub magic: U32,
    pub level: U16,
    pub numrecs: U16,
    pub leftsib: U32,
    pub rightsib: U32,
    pub blkno: U64,
    pub lsn: U64,
    pub uuid: [u8; 16],
    pub owner: U32,
    /// Little-endian.
    pub crc: [u8; 4],
}

/// Header of a block with long pointers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `bb_` field of the same name.
pub struct LongHeader {
    pub magic: U32,
    pub level: U16,
    pub numrecs: U16,
    pub leftsib: U64,
    pub rightsib: U64,
    pub blkno: U64,
    pub lsn: U64,
    pub uuid: [u8; 16],
    pub owner: U64,
    /// Little-endian.
    pub crc: [u8; 4],
    pub pad: U32,
}

/// What both headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<P> {
    /// Magic number.
    pub magic: u32,
    /// Levels below this block; 0 is a leaf.
    pub level: u16,
    /// Records, or keys with pointers.
    pub count: u16,
    /// The block before it on its level.
    pub left: Option<P>,
    /// The block after it on its level.
    pub right: Option<P>,
    /// Where it lies on the device.
    pub address: DiskAddr,
    /// The file system that it belongs to.
    pub uuid: [u8; 16],
    /// The group or the inode that it belongs to.
    pub owner: u64,
}

/// A pointer to a block of a tree.
pub trait Pointer: Copy + Eq + fmt::Debug + 'static {
    /// Bytes of a pointer on the disk.
    const SIZE: usize;
    /// Bytes of a block's header.
    const HEADER_SIZE: usize;
    /// Offset of a block's checksum.
    const CRC_OFFSET: usize;

    /// The pointer at the start of `bytes`, or `None` when there are too few.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Writes it to the start of `bytes`; `None` when there are too few.
    fn encode(self, bytes: &mut [u8]) -> Option<()>;

    /// The header of a block, or `None` when there are too few bytes.
    fn header(bytes: &[u8]) -> Option<Header<Self>>;

    /// Where the block lies on the data device; `None` where no block of a tree can be. Short
    /// pointers reach within group `home`.
    fn address(self, geo: &Geometry, home: AgNumber) -> Option<DiskAddr>;
}

impl Pointer for AgBlock {
    const SIZE: usize = 4;
    const HEADER_SIZE: usize = core::mem::size_of::<ShortHeader>();
    const CRC_OFFSET: usize = core::mem::offset_of!(ShortHeader, crc);

    #[inline]
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (n, _) = U32::ref_from_prefix(bytes).ok()?;
        Some(AgBlock(n.get()))
    }

    fn encode(self, bytes: &mut [u8]) -> Option<()> {
        U32::new(self.0).write_to_prefix(bytes).ok()
    }

    #[inline]
    fn header(bytes: &[u8]) -> Option<Header<Self>> {
        let sibling = |n: U32| match n.get() {
            u32::MAX => None,
            n => Some(AgBlock(n)),
        };
        let (h, _) = ShortHeader::ref_from_prefix(bytes).ok()?;
        Some(Header {
            magic: h.magic.get(),
            level: h.level.get(),
            count: h.numrecs.get(),
            left: sibling(h.leftsib),
            right: sibling(h.rightsib),
            address: DiskAddr(h.blkno.get()),
            uuid: h.uuid,
            owner: u64::from(h.owner.get()),
        })
    }

    #[inline]
    fn address(self, geo: &Geometry, home: AgNumber) -> Option<DiskAddr> {
        if geo.ag_block_is_valid(home, self) {
            geo.ag_block_addr(home, self)
        } else {
            None
        }
    }
}

impl Pointer for FsBlock {
    const SIZE: usize = 8;
    const HEADER_SIZE: usize = core::mem::size_of::<LongHeader>();
    const CRC_OFFSET: usize = core::mem::offset_of!(LongHeader, crc);

    #[inline]
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (n, _) = U64::ref_from_prefix(bytes).ok()?;
        Some(FsBlock(n.get()))
    }

    fn encode(self, bytes: &mut [u8]) -> Option<()> {
        U64::new(self.0).write_to_prefix(bytes).ok()
    }

    #[inline]
    fn header(bytes: &[u8]) -> Option<Header<Self>> {
        let sibling = |n: U64| match n.get() {
            u64::MAX => None,
            n => Some(FsBlock(n)),
        };
        let (h, _) = LongHeader::ref_from_prefix(bytes).ok()?;
        Some(Header {
            magic: h.magic.get(),
            level: h.level.get(),
            count: h.numrecs.get(),
            left: sibling(h.leftsib),
            right: sibling(h.rightsib),
            address: DiskAddr(h.blkno.get()),
            uuid: h.uuid,
            owner: h.owner.get(),
        })
    }

    #[inline]
    fn address(self, geo: &Geometry, _home: AgNumber) -> Option<DiskAddr> {
        let (ag, block) = geo.split_fs_block(self)?;
        block.address(geo, ag)
    }
}
