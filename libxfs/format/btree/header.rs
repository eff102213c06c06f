// SPDX-License-Identifier: GPL-2.0

//! Headers of B+tree blocks, and the pointers that they go with.

use crate::libxfs::format::{
    geometry::Geometry,
    units::{AgBlock, AgNumber, DiskAddr, FsBlock},
};
use core::{fmt, ops::Range};
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

/// Where a block's count of entries lies: two bytes.
pub const COUNT_OFFSET: usize = core::mem::offset_of!(ShortHeader, numrecs);
const _: () = assert!(COUNT_OFFSET == core::mem::offset_of!(LongHeader, numrecs));
/// Where a block's pointers to its neighbours start, one behind the other.
const SIBLINGS_OFFSET: usize = core::mem::offset_of!(ShortHeader, leftsib);
const _: () = assert!(SIBLINGS_OFFSET == core::mem::offset_of!(LongHeader, leftsib));

/// One of the two neighbours that a block can have on its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The block before it.
    Left,
    /// The block after it.
    Right,
}

impl Side {
    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// The index one further to that side; of index 0 itself, to the left.
    pub const fn step(self, index: usize) -> usize {
        match self {
            Self::Left => index.saturating_sub(1),
            Self::Right => index.saturating_add(1),
        }
    }
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

    /// Writes the header to the start of `bytes`, with no sequence number and no checksum; `None`
    /// when there are too few.
    fn write_header(header: &Header<Self>, bytes: &mut [u8]) -> Option<()>;

    /// Writes a pointer to a neighbour, or to none, to the start of `bytes`; `None` when there are
    /// too few.
    fn encode_sibling(sibling: Option<Self>, bytes: &mut [u8]) -> Option<()>;

    /// Where a block's pointer to a neighbour lies.
    fn sibling_range(side: Side) -> Range<usize> {
        let start = match side {
            Side::Left => SIBLINGS_OFFSET,
            Side::Right => SIBLINGS_OFFSET.saturating_add(Self::SIZE),
        };
        start..start.saturating_add(Self::SIZE)
    }

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

    fn write_header(header: &Header<Self>, bytes: &mut [u8]) -> Option<()> {
        let sibling = |block: Option<Self>| U32::new(block.map_or(u32::MAX, Self::get));
        ShortHeader {
            magic: U32::new(header.magic),
            level: U16::new(header.level),
            numrecs: U16::new(header.count),
            leftsib: sibling(header.left),
            rightsib: sibling(header.right),
            blkno: U64::new(header.address.0),
            lsn: U64::new(0),
            uuid: header.uuid,
            owner: U32::new(u32::try_from(header.owner).ok()?),
            crc: [0; 4],
        }
        .write_to_prefix(bytes)
        .ok()
    }

    fn encode_sibling(sibling: Option<Self>, bytes: &mut [u8]) -> Option<()> {
        U32::new(sibling.map_or(u32::MAX, Self::get))
            .write_to_prefix(bytes)
            .ok()
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

    fn write_header(header: &Header<Self>, bytes: &mut [u8]) -> Option<()> {
        let sibling = |block: Option<Self>| U64::new(block.map_or(u64::MAX, Self::get));
        LongHeader {
            magic: U32::new(header.magic),
            level: U16::new(header.level),
            numrecs: U16::new(header.count),
            leftsib: sibling(header.left),
            rightsib: sibling(header.right),
            blkno: U64::new(header.address.0),
            lsn: U64::new(0),
            uuid: header.uuid,
            owner: U64::new(header.owner),
            crc: [0; 4],
            pad: U32::new(0),
        }
        .write_to_prefix(bytes)
        .ok()
    }

    fn encode_sibling(sibling: Option<Self>, bytes: &mut [u8]) -> Option<()> {
        U64::new(sibling.map_or(u64::MAX, Self::get))
            .write_to_prefix(bytes)
            .ok()
    }

    #[inline]
    fn address(self, geo: &Geometry, _home: AgNumber) -> Option<DiskAddr> {
        let (ag, block) = geo.split_fs_block(self)?;
        block.address(geo, ag)
    }
}
