// SPDX-License-Identifier: GPL-2.0

//! Extent size hints: of which size a file's blocks are to be allocated, and where in the file such a
//! piece begins.
//!
//! What is asked for grows to whole pieces, as far as the hole around it has room: pieces begin at
//! multiples of the hint, and where one would run into a neighbour it is moved away from that, and cut
//! only where the hole is too small. Realtime extents of several blocks are a hint that cannot be
//! ignored.
//!
//! Source: `xfs_bmap_extsize_align` in `fs/xfs/libxfs/xfs_bmap.c` and the hints of
//! `fs/xfs/xfs_inode.c` of Linux 7.3.

use crate::libxfs::{
    extents::ExtentMap,
    format::{
        btree::bmap::{MAX_EXTENT_BLOCKS, MAX_FILE_BLOCK},
        geometry::Geometry,
        inode::flags::{Flags, Flags2},
        units::FileBlock,
    },
    inode::{Inode, WhichFork},
    journal::Claim,
    trans,
};

/// The hint for blocks that stage copies on write, where nothing says another one.
const STAGED: u32 = 32;

/// Blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBlocks {
    /// The first.
    pub at: FileBlock,
    /// How many.
    pub len: u64,
}

impl FileBlocks {
    /// The block behind the last one.
    pub const fn end(&self) -> FileBlock {
        FileBlock(self.at.0.saturating_add(self.len))
    }

    const fn between(at: FileBlock, end: FileBlock) -> Self {
        Self {
            at,
            len: end.0.saturating_sub(at.0),
        }
    }

    /// The blocks around `at` that a map has nothing of; none where it has that one.
    pub(super) fn hole_around(map: &ExtentMap, at: FileBlock) -> Option<Self> {
        let before = map.lookup_back(at);
        let behind = map.lookup(at);
        let first = before.map_or(FileBlock(0), |before| before.end());
        let end = behind.map_or(FileBlock(MAX_FILE_BLOCK.saturating_add(1)), |behind| {
            behind.offset
        });
        (first <= at && at < end).then_some(Self::between(first, end))
    }

    /// All that lies in both.
    pub(super) fn within(&self, other: &Self) -> Self {
        Self::between(self.at.max(other.at), self.end().min(other.end()))
    }

    /// The pieces of `hint` blocks that have a part of it, for `hole`, in which its first block lies.
    /// No longer than a mapping can be; that first block is in it, or nothing is to be gained.
    pub(super) fn in_pieces(&self, hint: u32, hole: &Self) -> Self {
        let hint = u64::from(hint.max(1));
        let over = |n: u64| n.checked_rem(hint).unwrap_or(0);
        let start = self.at.0.saturating_sub(over(self.at.0));
        let end = self.end().0;
        let end = end.checked_next_multiple_of(hint).unwrap_or(end);
        let most = u64::from(MAX_EXTENT_BLOCKS);
        let len = end
            .saturating_sub(start)
            .min(most.saturating_sub(over(most)));
        let start = start.max(hole.at.0);
        let start = if start.saturating_add(len) > hole.end().0 {
            hole.end().0.saturating_sub(len).max(hole.at.0)
        } else {
            start
        };
        let pieces = Self {
            at: FileBlock(start),
            len: len.min(hole.end().0.saturating_sub(start)),
        };
        if pieces.at <= self.at && self.at < pieces.end() {
            pieces
        } else {
            self.within(hole)
        }
    }

    /// Where `count` blocks go that were found for these, of which `asked` are wanted most: all of
    /// those if they suffice, and else as much as can be.
    pub(super) fn placed(&self, asked: &Self, count: u64) -> FileBlock {
        if count <= asked.len {
            asked.at
        } else {
            let last = asked.end().0.saturating_sub(count);
            FileBlock(self.at.0.max(last)).min(asked.at)
        }
    }
}

/// The hint for the content of a file, in blocks; 0 if there is none.
pub(super) fn of_data(geo: &Geometry, inode: &Inode) -> u32 {
    let core = &inode.core;
    if core.flags.has(Flags::EXTSIZE) && core.extsize != 0 {
        return core.extsize;
    }
    if core.is_realtime() && geo.rt_extent_size > 1 {
        return geo.rt_extent_size;
    }
    0
}

/// The hint for what stages copies on write of a file's content, in blocks.
pub(super) fn of_staged(geo: &Geometry, inode: &Inode) -> u32 {
    let core = &inode.core;
    let own = match core.flags2.has(Flags2::COWEXTSIZE) {
        true => core.cowextsize,
        false => 0,
    };
    let data = match core.is_realtime() {
        true if !core.flags.has(Flags::EXTSIZE) => 0,
        true => core.extsize,
        false => of_data(geo, inode),
    };
    match own.max(data) {
        0 => STAGED,
        hint => hint,
    }
}

/// What an allocation of `len` blocks at `at` of a file may take at the most: whole pieces of its
/// extent size hint, or realtime extents, and blocks for the fork's tree.
pub fn allocation_claim(geo: &Geometry, inode: &Inode, at: FileBlock, len: u64) -> Claim {
    claim_for(geo, inode, of_data(geo, inode), FileBlocks { at, len })
}

/// As [`allocation_claim`], for blocks that stage a copy on write.
pub fn staging_claim(geo: &Geometry, inode: &Inode, at: FileBlock, len: u64) -> Claim {
    claim_for(geo, inode, of_staged(geo, inode), FileBlocks { at, len })
}

fn claim_for(geo: &Geometry, inode: &Inode, hint: u32, range: FileBlocks) -> Claim {
    let hint = u64::from(hint.max(1));
    let first = range.at.0.checked_div(hint).unwrap_or(0);
    let pieces = range.end().0.div_ceil(hint).saturating_sub(first);
    let blocks = pieces.saturating_mul(hint);
    let tree = trans::space::extent_add(geo, WhichFork::Data);
    if inode.core.is_realtime() {
        Claim {
            blocks: tree,
            rt_extents: blocks.div_ceil(u64::from(geo.rt_extent_size.max(1))),
            emergency: false,
        }
    } else {
        Claim {
            blocks: blocks.saturating_add(tree),
            ..Claim::default()
        }
    }
}

/// The blocks to [delay](super::delay) in the CoW fork of a file, whose map has a hole at `at`, where
/// `len` are about to be written: whole pieces of its CoW extent size hint, as far as they fit.
pub fn staged(geo: &Geometry, inode: &Inode, at: FileBlock, len: u64) -> FileBlocks {
    let asked = FileBlocks { at, len };
    match FileBlocks::hole_around(&inode.cow, at) {
        Some(hole) => asked.within(&hole).in_pieces(of_staged(geo, inode), &hole),
        None => asked,
    }
}
