// SPDX-License-Identifier: GPL-2.0

//! Directory and attribute B+trees ("dabtrees"): what their blocks have in common, and the nodes.
//!
//! A dabtree maps name hashes to blocks of the fork that it lies in. Leaves differ between
//! directories ([`dir::leaf`](super::dir::leaf)) and attributes
//! ([`attr::leaf`](super::attr::leaf)); the header that starts every block, and the nodes above
//! the leaves, are the same. In a directory a block of the tree is as large as a directory block,
//! in an attribute fork as large as a file system block.
//!
//! Source: `xfs_da_format.h` and `xfs_da_btree.c` in `fs/xfs/libxfs` of Linux 7.3.

use super::{
    crc,
    dahash::NameHash,
    fault::{ensure, Fault},
    geometry::Geometry,
    units::{DiskAddr, FileBlock, InodeNumber},
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Magic number of a node.
pub const NODE_MAGIC: u16 = 0x3ebe;

/// Where the checksum lies in every block that starts with a [`BlockInfo`].
pub const CRC_OFFSET: usize = 12;

/// Levels that a tree may have above its leaves: a walk holds at most this many nodes.
pub const MAX_NODE_LEVELS: u16 = 4;

/// Start of every block of a dabtree (`xfs_da3_blkinfo`, 56 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockInfo {
    /// Next block of this level, as a block of the fork; 0 if none.
    pub forw: U32,
    /// Block before this one in its level; 0 if none.
    pub back: U32,
    /// What the block is.
    pub magic: U16,
    /// Unused.
    pub pad: U16,
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

impl BlockInfo {
    /// Reads the start of a block.
    ///
    /// # Errors
    ///
    /// A fault of `structure` when `bytes` are too short.
    #[inline]
    pub fn view<'a>(bytes: &'a [u8], structure: &'static str) -> Result<&'a Self, Fault> {
        match Self::ref_from_prefix(bytes) {
            Ok((info, _)) => Ok(info),
            Err(_) => Err(Fault::corrupt(structure, "size")),
        }
    }

    /// The next block of this level.
    #[inline]
    pub fn next(&self) -> Option<FileBlock> {
        match self.forw.get() {
            0 => None,
            block => Some(FileBlock(u64::from(block))),
        }
    }

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

    /// Holds the fields that every block has to their rules, the magic number aside.
    pub(super) fn verify(
        &self,
        geo: &Geometry,
        at: DiskAddr,
        structure: &'static str,
    ) -> Result<(), Fault> {
        ensure(self.uuid == geo.meta_uuid, structure, "uuid")?;
        ensure(self.blkno.get() == at.0, structure, "blkno")
    }
}

/// Magic number of a dabtree block, whatever it is; `None` when `bytes` are too short for one.
#[inline]
pub fn magic_of(bytes: &[u8]) -> Option<u16> {
    match BlockInfo::ref_from_prefix(bytes) {
        Ok((info, _)) => Some(info.magic.get()),
        Err(_) => None,
    }
}

/// Header of a node (`xfs_da3_node_hdr`, 64 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct NodeHeader {
    /// What all blocks have.
    pub info: BlockInfo,
    /// Entries in use.
    pub count: U16,
    /// Level above the leaves; a node is at 1 or higher.
    pub level: U16,
    /// Unused.
    pub pad: U32,
}

/// Entry of a node: a child, and the highest hash below it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct NodeEntry {
    /// Highest hash in the child.
    pub hash: U32,
    /// The child, as a block of the fork.
    pub before: U32,
}

const STRUCTURE: &str = "da3 node";

/// A node that keeps to the bounds of its block.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// Header.
    pub header: &'a NodeHeader,
    /// Children, in order of their highest hash.
    pub entries: &'a [NodeEntry],
}

impl<'a> Node<'a> {
    /// Reads the node in `bytes`, which are one block of its tree.
    ///
    /// # Errors
    ///
    /// A fault when it is no node, is empty, counts more entries than the block holds, or stands
    /// at a level that no node has.
    #[inline]
    pub fn view(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, rest) =
            NodeHeader::ref_from_prefix(bytes).map_err(|_| Fault::corrupt(STRUCTURE, "size"))?;
        ensure(header.info.magic.get() == NODE_MAGIC, STRUCTURE, "magic")?;
        let level = header.level.get();
        ensure(level > 0 && level <= MAX_NODE_LEVELS, STRUCTURE, "level")?;
        let count = usize::from(header.count.get());
        ensure(count > 0, STRUCTURE, "count")?;
        let (entries, _) = <[NodeEntry]>::ref_from_prefix_with_elems(rest, count)
            .map_err(|_| Fault::corrupt(STRUCTURE, "count"))?;
        Ok(Self { header, entries })
    }

    /// The child in which `hash` is to be looked for first: the first one whose highest hash is
    /// not below it, or the last one.
    #[inline]
    pub fn child(&self, hash: NameHash) -> Option<FileBlock> {
        self.child_or_none(hash)
            .or_else(|| self.entries.last().map(NodeEntry::block))
    }

    /// The first child whose highest hash is not below `hash`, if there is one.
    #[inline]
    pub fn child_or_none(&self, hash: NameHash) -> Option<FileBlock> {
        let at = self.entries.partition_point(|e| e.hash.get() < hash.0);
        self.entries.get(at).map(NodeEntry::block)
    }
}

impl NodeEntry {
    /// The child.
    #[inline]
    pub fn block(&self) -> FileBlock {
        FileBlock(u64::from(self.before.get()))
    }
}

/// Holds a node's structure to its rules, the checksum aside.
///
/// The hashes' order is not among them: the C driver never asked for it, and a search by halves
/// ends on any order. A wrong one leads a look-up to a leaf without the name.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_node_structure(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    let node = Node::view(bytes)?;
    node.header.info.verify(geo, at, STRUCTURE)
}

/// Holds a node to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_node(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum(STRUCTURE));
    }
    verify_node_structure(geo, at, bytes)
}

/// Entries that fit a node in a block of `block_size` bytes.
pub const fn max_node_entries(block_size: u32) -> u32 {
    (block_size as usize).saturating_sub(size_of::<NodeHeader>()) as u32 / 8
}

const _: () = assert!(size_of::<BlockInfo>() == 56);
const _: () = assert!(size_of::<NodeHeader>() == 64);
const _: () = assert!(size_of::<NodeEntry>() == 8);
