// SPDX-License-Identifier: GPL-2.0

//! Extents to be freed.

/// An extent to be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentFree {
    /// First block, as its device counts them: [`FsBlock`](crate::libxfs::format::units::FsBlock)
    /// or [`RtBlock`](crate::libxfs::format::units::RtBlock).
    pub start: u64,
    /// Blocks; not 0.
    pub count: u32,
}
