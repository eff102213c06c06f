// SPDX-License-Identifier: GPL-2.0

//! Changes of reference counts.

/// What is done to an extent's count. Source: `XFS_REFCOUNT_*` in
/// `fs/xfs/libxfs/xfs_log_format.h` and `xfs_refcount.h` of Linux 7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefcountUpdateKind {
    /// One more owner.
    Increase,
    /// One owner less; without any the blocks are freed.
    Decrease,
    /// The blocks begin to stage a copy on write.
    AllocCow,
    /// They no longer do.
    FreeCow,
}

/// A change of reference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefcountUpdate {
    /// What is done.
    pub kind: RefcountUpdateKind,
    /// First block, as its device counts them.
    pub start: u64,
    /// Blocks; not 0.
    pub count: u32,
}
