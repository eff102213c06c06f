// SPDX-License-Identifier: GPL-2.0

//! Directories on the disk.
//!
//! A directory grows through four forms, told apart by its data fork:
//!
//! - short ([`shortform`]): in the inode, without `.` and with the parent in the header;
//! - block: one directory block that holds entries ([`data`]) and their hash index at its end;
//! - leaf: blocks of entries, and one block ([`leaf`]) with the hash index and each block's room;
//! - node: blocks of entries, a B+tree of hashes ([`da`] nodes over [`leaf`] blocks),
//!   and blocks ([`free`]) that list each block's room.
//!
//! The three sorts of block lie in three sections of the fork, 32 GiB apart ([`space`]). V5 file
//! systems keep a checksum, the address, the uuid and the owner in each block, and the type of
//! each entry's inode beside its name.
//!
//! Source: `xfs_da_format.h` and `xfs_dir2_*.c` in `fs/xfs/libxfs` of Linux 7.3, and chapter
//! "Directories" of the XFS format's documentation.

pub mod data;
pub mod free;
pub mod leaf;
pub mod shortform;
pub mod space;

use super::{
    da,
    fault::{ensure, Fault},
    geometry::Geometry,
    inode::{self, cluster},
    units::{DiskAddr, InodeNumber},
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Longest name of an entry, in bytes.
pub const MAX_NAME: usize = 255;

/// Bits of an inode number that count; the rest of an eight-byte field is ignored.
pub(crate) const INODE_MASK: u64 = (1 << 56) - 1;

/// Type of the inode that an entry names, as the entry remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileType {
    /// Not said.
    Unknown = 0,
    /// Regular file.
    Regular = 1,
    /// Directory.
    Directory = 2,
    /// Character device.
    CharDevice = 3,
    /// Block device.
    BlockDevice = 4,
    /// FIFO.
    Fifo = 5,
    /// Socket.
    Socket = 6,
    /// Symbolic link.
    Symlink = 7,
    /// Whiteout.
    Whiteout = 8,
}

impl FileType {
    /// The type that `byte` stands for; bytes without a meaning are [`FileType::Unknown`].
    #[inline]
    pub const fn from_disk(byte: u8) -> Self {
        match byte {
            1 => Self::Regular,
            2 => Self::Directory,
            3 => Self::CharDevice,
            4 => Self::BlockDevice,
            5 => Self::Fifo,
            6 => Self::Socket,
            7 => Self::Symlink,
            8 => Self::Whiteout,
            _ => Self::Unknown,
        }
    }

    /// The byte that stands for the type.
    #[inline]
    pub const fn to_disk(self) -> u8 {
        self as u8
    }
}

impl From<inode::FileType> for FileType {
    fn from(ftype: inode::FileType) -> Self {
        match ftype {
            inode::FileType::Fifo => Self::Fifo,
            inode::FileType::CharDevice => Self::CharDevice,
            inode::FileType::Directory => Self::Directory,
            inode::FileType::BlockDevice => Self::BlockDevice,
            inode::FileType::Regular => Self::Regular,
            inode::FileType::Symlink => Self::Symlink,
            inode::FileType::Socket => Self::Socket,
        }
    }
}

/// Whether an entry may bear `name`: 1 to [`MAX_NAME`] bytes, none of them `/` or zero.
#[inline]
pub fn name_is_valid(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.iter().any(|&b| b == b'/' || b == 0)
}

/// Whether an entry may name `inode`: it lies where inodes can, and is none of the inodes that the
/// superblock keeps for itself.
pub fn inode_is_valid(geo: &Geometry, inode: InodeNumber) -> bool {
    let kept = [geo.rt_bitmap_inode, geo.rt_summary_inode]
        .into_iter()
        .chain(geo.quota_inodes)
        .flatten()
        .any(|own| own == inode);
    !kept && cluster::number_is_valid(geo, inode)
}

/// Bytes that an entry whose name has `name_len` bytes takes in a data block: inode number,
/// length, name, type and tag, rounded up to eight.
#[inline]
pub const fn entry_size(name_len: u8) -> u32 {
    (name_len as u32).saturating_add(8 + 1 + 1 + 2 + 7) & !7
}

/// Start of data and free index blocks (`xfs_dir3_blk_hdr`, 48 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockHeader {
    /// What the block is.
    pub magic: U32,
    /// Checksum, little-endian.
    pub crc: [u8; 4],
    /// Where the block lies, in basic blocks.
    pub blkno: U64,
    /// Log sequence number of the last write.
    pub lsn: U64,
    /// The file system's metadata uuid.
    pub uuid: [u8; 16],
    /// Inode that the block belongs to.
    pub owner: U64,
}

/// Where the checksum lies in blocks that start with a [`BlockHeader`].
pub const CRC_OFFSET: usize = 4;

impl BlockHeader {
    /// Whether the block says that it belongs to `owner`; the walker asks, for the block itself
    /// cannot tell.
    ///
    /// # Errors
    ///
    /// A fault of `structure` when it says otherwise.
    #[inline]
    pub fn check_owner(&self, owner: InodeNumber, structure: &'static str) -> Result<(), Fault> {
        ensure(self.owner.get() == owner.0, structure, "owner")
    }

    fn verify(&self, geo: &Geometry, at: DiskAddr, structure: &'static str) -> Result<(), Fault> {
        ensure(self.uuid == geo.meta_uuid, structure, "uuid")?;
        ensure(self.blkno.get() == at.0, structure, "blkno")
    }
}

/// Holds a block of a directory's hash tree, node or leaf, to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_tree(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    match da::magic_of(bytes) {
        Some(da::NODE_MAGIC) => {
            check_size(geo, bytes, "da3 node")?;
            da::verify_node(geo, at, bytes)
        }
        Some(leaf::LEAFN_MAGIC) => leaf::verify(geo, at, bytes, leaf::LeafKind::Many),
        _ => Err(Fault::corrupt("dir3 tree", "magic")),
    }
}

/// Whether `bytes` are one directory block.
fn check_size(geo: &Geometry, bytes: &[u8], structure: &'static str) -> Result<(), Fault> {
    ensure(
        bytes.len() == space::DirGeometry::new(geo).block_size() as usize,
        structure,
        "size",
    )
}

const _: () = assert!(size_of::<BlockHeader>() == 48);
