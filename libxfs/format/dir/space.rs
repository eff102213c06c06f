// SPDX-License-Identifier: GPL-2.0

//! Where things lie in a directory's data fork.
//!
//! The fork is three sections of 32 GiB: blocks of entries, the hash index, and the index of free
//! room. An entry is known by its [`DataPtr`], its byte offset in the first section in units of
//! eight, which fits 32 bits; it is also what user space sees as the entry's position.

use super::{
    super::{
        geometry::Geometry,
        units::{FileBlock, BASIC_BLOCK_LOG},
    },
    entry_size,
};

/// Bytes of a section.
pub const SECTION_SIZE: u64 = 1 << 35;

/// Offset of the first entry in a data block, which is the size of its header.
pub const FIRST_ENTRY: u32 = 64;

/// Where an entry lies in its directory, in units of eight bytes from the fork's start.
///
/// Zero lies in the first block's header, so it stands for no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct DataPtr(pub u32);

impl DataPtr {
    /// Stands for no entry: an index entry with this address is stale.
    pub const NULL: Self = Self(0);

    /// Bytes from the fork's start.
    #[inline]
    pub const fn byte(self) -> u64 {
        (self.0 as u64) << 3
    }

    /// The pointer to byte `byte` of the fork, rounded down to eight; positions past the section
    /// give its end.
    #[inline]
    pub const fn from_byte(byte: u64) -> Self {
        let units = byte >> 3;
        if units > u32::MAX as u64 {
            Self(u32::MAX)
        } else {
            Self(units as u32)
        }
    }

    /// The position that user space sees (`d_off`): 31 bits, for the sake of old interfaces.
    #[inline]
    pub const fn cookie(self) -> u64 {
        (self.0 & 0x7fff_ffff) as u64
    }
}

/// Number of a directory block in its fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct DirBlock(pub u32);

/// Sizes of a file system's directory blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirGeometry {
    /// log2 of the bytes in a directory block: 10 to 16.
    block_log: u8,
    /// log2 of the file system blocks in a directory block.
    fs_blocks_log: u8,
}

impl DirGeometry {
    /// The directory blocks of a file system.
    #[inline]
    pub const fn new(geo: &Geometry) -> Self {
        Self {
            block_log: geo.block_log.saturating_add(geo.dir_block_log),
            fs_blocks_log: geo.dir_block_log,
        }
    }

    /// Bytes in a directory block.
    #[inline]
    pub const fn block_size(&self) -> u32 {
        match 1u32.checked_shl(self.block_log as u32) {
            Some(size) => size,
            None => 0,
        }
    }

    /// File system blocks in a directory block.
    #[inline]
    pub const fn fs_blocks(&self) -> u32 {
        match 1u32.checked_shl(self.fs_blocks_log as u32) {
            Some(blocks) => blocks,
            None => 0,
        }
    }

    /// Basic blocks in a directory block.
    #[inline]
    pub const fn basic_blocks(&self) -> u32 {
        self.block_size() >> BASIC_BLOCK_LOG
    }

    /// First block of a section that starts at byte `start`.
    const fn section(&self, start: u64) -> FileBlock {
        let fs_block_log = self.block_log.saturating_sub(self.fs_blocks_log);
        match start.checked_shr(fs_block_log as u32) {
            Some(block) => FileBlock(block),
            None => FileBlock(0),
        }
    }

    /// First block of the hash index: the single leaf, or the tree's root.
    #[inline]
    pub const fn leaf_start(&self) -> FileBlock {
        self.section(SECTION_SIZE)
    }

    /// First block of the index of free room.
    #[inline]
    pub const fn free_start(&self) -> FileBlock {
        self.section(2 * SECTION_SIZE)
    }

    /// The directory block that holds byte `byte` of the fork, and the offset in it.
    #[inline]
    pub const fn split_byte(&self, byte: u64) -> (DirBlock, u32) {
        let block = match byte.checked_shr(self.block_log as u32) {
            Some(block) => block as u32,
            None => 0,
        };
        let mask = (self.block_size() as u64).saturating_sub(1);
        (DirBlock(block), (byte & mask) as u32)
    }

    /// The directory block that holds an entry, and the entry's offset in it.
    #[inline]
    pub const fn split(&self, at: DataPtr) -> (DirBlock, u32) {
        self.split_byte(at.byte())
    }

    /// Byte of the fork at `offset` in a directory block.
    #[inline]
    pub const fn byte(&self, block: DirBlock, offset: u32) -> u64 {
        match (block.0 as u64).checked_shl(self.block_log as u32) {
            Some(start) => start.saturating_add(offset as u64),
            None => u64::MAX,
        }
    }

    /// Pointer to `offset` in a directory block.
    #[inline]
    pub const fn pointer(&self, block: DirBlock, offset: u32) -> DataPtr {
        DataPtr::from_byte(self.byte(block, offset))
    }

    /// First file system block of a directory block.
    #[inline]
    pub const fn file_block(&self, block: DirBlock) -> FileBlock {
        match (block.0 as u64).checked_shl(self.fs_blocks_log as u32) {
            Some(at) => FileBlock(at),
            None => FileBlock(u64::MAX),
        }
    }

    /// The directory block that holds a file system block of the first section; `None` past it.
    #[inline]
    pub const fn dir_block(&self, at: FileBlock) -> Option<DirBlock> {
        if at.0 >= self.leaf_start().0 {
            return None;
        }
        match at.0.checked_shr(self.fs_blocks_log as u32) {
            Some(block) => Some(DirBlock(block as u32)),
            None => None,
        }
    }

    /// Where `.` lies in the first data block of every directory.
    #[inline]
    pub const fn dot(&self) -> DataPtr {
        self.pointer(DirBlock(0), FIRST_ENTRY)
    }

    /// Where `..` lies in the first data block of every directory.
    #[inline]
    pub const fn dotdot(&self) -> DataPtr {
        self.pointer(DirBlock(0), FIRST_ENTRY.saturating_add(entry_size(1)))
    }

    /// Lowest offset of an entry other than `.` and `..` in the first data block.
    #[inline]
    pub const fn first_name(&self) -> u32 {
        FIRST_ENTRY
            .saturating_add(entry_size(1))
            .saturating_add(entry_size(2))
    }
}
