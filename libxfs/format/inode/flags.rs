// SPDX-License-Identifier: GPL-2.0

//! An inode's flags: `di_flags` and `di_flags2`.
//!
//! Source: `XFS_DIFLAG_*` and `XFS_DIFLAG2_*` in `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.

/// `di_flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Flags(pub u16);

impl Flags {
    /// The data lies on the realtime device.
    pub const REALTIME: u16 = 1 << 0;
    /// Space was preallocated.
    pub const PREALLOC: u16 = 1 << 1;
    /// Of the realtime bitmap's inode: its access time holds an allocation hint.
    pub const NEWRTBM: u16 = 1 << 2;
    /// May not be changed.
    pub const IMMUTABLE: u16 = 1 << 3;
    /// May only grow.
    pub const APPEND: u16 = 1 << 4;
    /// Written synchronously.
    pub const SYNC: u16 = 1 << 5;
    /// Access time stays.
    pub const NOATIME: u16 = 1 << 6;
    /// Not dumped.
    pub const NODUMP: u16 = 1 << 7;
    /// New files in this directory get [`Self::REALTIME`].
    pub const RTINHERIT: u16 = 1 << 8;
    /// New files in this directory get its project.
    pub const PROJINHERIT: u16 = 1 << 9;
    /// No symbolic links may be made in this directory.
    pub const NOSYMLINKS: u16 = 1 << 10;
    /// There is an extent size hint.
    pub const EXTSIZE: u16 = 1 << 11;
    /// New files in this directory get its extent size hint.
    pub const EXTSZINHERIT: u16 = 1 << 12;
    /// Not to be reorganized.
    pub const NODEFRAG: u16 = 1 << 13;
    /// Allocated as a stream of files.
    pub const FILESTREAM: u16 = 1 << 14;

    /// What every metadata file has set.
    pub const METADATA_FILE: u16 =
        Self::IMMUTABLE | Self::SYNC | Self::NOATIME | Self::NODUMP | Self::NODEFRAG;
    /// What every metadata directory has set.
    pub const METADATA_DIRECTORY: u16 = Self::METADATA_FILE | Self::NOSYMLINKS;

    /// Whether any bit of `mask` is set.
    #[inline]
    pub const fn has(self, mask: u16) -> bool {
        self.0 & mask != 0
    }

    /// Whether all bits of `mask` are set.
    #[inline]
    pub const fn has_all(self, mask: u16) -> bool {
        self.0 & mask == mask
    }
}

/// `di_flags2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Flags2(pub u64);

impl Flags2 {
    /// Data is accessed without the page cache.
    pub const DAX: u64 = 1 << 0;
    /// Blocks may be shared.
    pub const REFLINK: u64 = 1 << 1;
    /// There is a CoW extent size hint.
    pub const COWEXTSIZE: u64 = 1 << 2;
    /// Times are 64-bit nanoseconds.
    pub const BIGTIME: u64 = 1 << 3;
    /// Extent counters are the large ones.
    pub const NREXT64: u64 = 1 << 4;
    /// Belongs to the metadata directory tree.
    pub const METADATA: u64 = 1 << 5;

    /// Whether any bit of `mask` is set.
    #[inline]
    pub const fn has(self, mask: u64) -> bool {
        self.0 & mask != 0
    }
}
