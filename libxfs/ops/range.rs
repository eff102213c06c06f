// SPDX-License-Identifier: GPL-2.0

//! Bytes of a file, and the blocks that they are in.

use crate::libxfs::{
    error::{Error, Result},
    format::{geometry::Geometry, inode::FileType, units::FileBlock},
    inode::Inode,
};

/// The most bytes of a file.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// Bytes of a file; one at least, all below [`MAX_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    start: u64,
    end: u64,
}

impl FileRange {
    /// `len` bytes from `start`.
    ///
    /// # Errors
    ///
    /// `Invalid` for none; `TooLarge` for such as no file has.
    pub fn new(start: u64, len: u64) -> Result<Self> {
        let end = start.checked_add(len).filter(|&end| end <= MAX_SIZE);
        let end = end.ok_or(Error::TooLarge)?;
        if len == 0 {
            return Err(Error::Invalid);
        }
        Ok(Self { start, end })
    }

    /// The first.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The one behind the last.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// How many.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there are none, which is never so.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The blocks that hold any of them: the first, and the one behind the last.
    pub const fn touched(&self, geo: &Geometry) -> (FileBlock, FileBlock) {
        let end = FileBlock(geo.blocks_for(self.end));
        (geo.file_block(self.start), end)
    }

    /// The blocks that hold nothing else; none where the first is not before the last.
    pub const fn whole(&self, geo: &Geometry) -> (FileBlock, FileBlock) {
        let from = FileBlock(geo.blocks_for(self.start));
        (from, geo.file_block(self.end))
    }

    /// Whether they are whole blocks.
    pub fn is_aligned(&self, geo: &Geometry) -> bool {
        self.touched(geo) == self.whole(geo)
    }
}

/// That an inode is a file, whose content lies in blocks.
pub(super) fn check_file(inode: &Inode) -> Result {
    match inode.core.file_type() {
        Some(FileType::Regular) => Ok(()),
        _ => Err(Error::Invalid),
    }
}
