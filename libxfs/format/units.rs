// SPDX-License-Identifier: GPL-2.0

//! Units: every kind of number that addresses or measures the disk is a type of its own.
//!
//! C XFS has `xfs_fsblock_t`, `xfs_agblock_t` and their kin as plain integers, and has mixed them
//! up more than once. Here a mix-up does not compile. Conversions between units need the geometry
//! and live in [`geometry`](super::geometry); none is implicit, and all are checked.

use core::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The plain number.
            #[inline]
            pub const fn get(self) -> $int {
                self.0
            }

            /// The position `n` further, or `None` past the end of the type's range.
            #[inline]
            pub const fn checked_add(self, n: $int) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// The position `n` before, or `None` below zero.
            #[inline]
            pub const fn checked_sub(self, n: $int) -> Option<Self> {
                match self.0.checked_sub(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// How far this lies past `start`, or `None` when it lies before it.
            #[inline]
            pub const fn distance_from(self, start: Self) -> Option<$int> {
                self.0.checked_sub(start.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

unit!(
    /// Number of an allocation group.
    AgNumber,
    u32
);
unit!(
    /// Block within an allocation group, in file system blocks from the group's start.
    AgBlock,
    u32
);
unit!(
    /// Inode within an allocation group.
    AgInode,
    u32
);
unit!(
    /// Block of the data device as the disk stores it: the group's number shifted left by
    /// `sb_agblklog`, and the block within the group below it. Not linear in general.
    FsBlock,
    u64
);
unit!(
    /// Block within a file, a directory or an attribute fork, in file system blocks.
    FileBlock,
    u64
);
unit!(
    /// Block of the realtime device as the disk stores it: with groups, the group's number
    /// shifted left by `sb_rgblklog`, and the block within the group below it; without, linear.
    RtBlock,
    u64
);
unit!(
    /// Number of a realtime group.
    RtGroup,
    u32
);
unit!(
    /// Block within a realtime group, in file system blocks from the group's start.
    RtGroupBlock,
    u32
);
unit!(
    /// Allocation unit of the realtime device, of `sb_rextsize` blocks, counted from the start of
    /// the device, or of the group where there are groups.
    RtExtent,
    u64
);
unit!(
    /// Position on a device in basic blocks of 512 bytes, whatever the sector size.
    DiskAddr,
    u64
);
unit!(
    /// Number of an inode in the file system: group, block in the group, index in the block.
    InodeNumber,
    u64
);
unit!(
    /// Log sequence number: the cycle in the high half, the log's basic block in the low one.
    Lsn,
    u64
);

impl Lsn {
    /// How often the log had wrapped.
    #[inline]
    pub const fn cycle(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Basic block within the log.
    #[inline]
    pub const fn block(self) -> u32 {
        self.0 as u32
    }

    /// Puts a sequence number together.
    #[inline]
    pub const fn new(cycle: u32, block: u32) -> Self {
        Self(((cycle as u64) << 32) | block as u64)
    }
}

/// Bytes in a basic block, the unit of [`DiskAddr`].
pub const BASIC_BLOCK_SIZE: u32 = 512;
/// log2 of [`BASIC_BLOCK_SIZE`].
pub const BASIC_BLOCK_LOG: u8 = 9;

/// `n` over `by`, rounded up; `None` for a `by` of 0. The standard library's `div_ceil` panics there.
#[inline]
pub const fn div_up(n: u64, by: u64) -> Option<u64> {
    match (n.checked_div(by), n.checked_rem(by)) {
        (Some(whole), Some(0)) => Some(whole),
        (Some(whole), Some(_)) => Some(whole.saturating_add(1)),
        _ => None,
    }
}
