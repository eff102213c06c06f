// SPDX-License-Identifier: GPL-2.0

//! Extents to be freed.

use crate::libxfs::{
    format::{
        btree::{Owner, RmapFlags},
        units::InodeNumber,
    },
    inode::WhichFork,
};

/// An extent to be freed.
///
/// The log has where it lies and nothing else; the rest is for whoever frees it before a crash does
/// away with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentFree {
    /// First block, as its device counts them: [`FsBlock`](crate::libxfs::format::units::FsBlock)
    /// or [`RtBlock`](crate::libxfs::format::units::RtBlock).
    pub start: u64,
    /// Blocks; not 0.
    pub count: u32,
    /// Who owns it. That reverse mapping goes with it.
    pub owner: BlockOwner,
    /// Where it goes.
    pub reserve: Reserve,
}

impl ExtentFree {
    /// An extent without an owner: it was a file's, and its mappings went before.
    pub const fn data(start: u64, count: u32) -> Self {
        Self {
            start,
            count,
            owner: BlockOwner::NONE,
            reserve: Reserve::None,
        }
    }

    /// A block of metadata.
    pub const fn block(start: u64, owner: BlockOwner, reserve: Reserve) -> Self {
        Self {
            start,
            count: 1,
            owner,
            reserve,
        }
    }

    /// An extent that an intent in the log names. Its mapping may be there or not.
    pub const fn recovered(start: u64, count: u32) -> Self {
        Self {
            start,
            count,
            owner: BlockOwner::new(Owner::Unknown),
            reserve: Reserve::None,
        }
    }
}

/// Who owns blocks that are no file's content: the reverse mapping that comes and goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockOwner {
    /// The owner. [`Null`](Owner::Null) is nobody.
    pub owner: Owner,
    /// What for.
    pub flags: RmapFlags,
}

impl BlockOwner {
    /// Nobody: reverse mappings are left alone.
    pub const NONE: Self = Self::new(Owner::Null);

    /// That owner.
    pub const fn new(owner: Owner) -> Self {
        Self {
            owner,
            flags: RmapFlags {
                attr_fork: false,
                bmbt_block: false,
                unwritten: false,
            },
        }
    }

    /// The tree of a fork's mappings, or another tree with its root in a fork.
    pub const fn fork_tree(inode: InodeNumber, fork: WhichFork) -> Self {
        Self {
            owner: Owner::Inode(inode),
            flags: RmapFlags {
                attr_fork: matches!(fork, WhichFork::Attr),
                bmbt_block: true,
                unwritten: false,
            },
        }
    }
}

/// Where blocks come from, and where they go when they are freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// From the space that the transaction claimed, to the free counter.
    #[default]
    None,
    /// From what the group keeps for its reference-count and free-inode trees, and back to it.
    Metadata,
    /// A group's list of blocks for its trees, all of which count as free.
    Agfl,
}
