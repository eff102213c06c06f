// SPDX-License-Identifier: GPL-2.0

//! Log space that a transaction asks for before it starts: the most that its operation can log.
//!
//! The amounts are, to the byte, those of the C driver of Linux 7.3, so that both take the same
//! smallest log, and wait for it at the same point. Source: `fs/xfs/libxfs/xfs_trans_resv.c`; and
//! `xfs_db -c logres` prints them.

use super::space::{self, da_blocks, da_map_one, map_levels, DA_LEVELS};
use crate::libxfs::{
    format::{
        btree::{Bno, Ino, Refcount, Rmap, RtRefcount, RtRmap, Tree},
        geometry::Geometry,
        rt,
        units::div_up,
    },
    inode::WhichFork,
};
use core::mem::size_of;

/// Room in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogReservation {
    /// Bytes of one transaction.
    pub bytes: u32,
    /// Transactions of a chain that get room at once, so that rolling seldom waits.
    pub count: u32,
    /// Whether the chain may roll.
    pub permanent: bool,
}

/// Room in the log for each kind of operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReservations {
    /// Allocating extents for data.
    pub write: LogReservation,
    /// Freeing up to two extents of a file.
    pub truncate: LogReservation,
    /// Renaming.
    pub rename: LogReservation,
    /// Adding a name to an inode.
    pub link: LogReservation,
    /// Removing a name.
    pub remove: LogReservation,
    /// Making a symbolic link.
    pub symlink: LogReservation,
    /// Making a file.
    pub create: LogReservation,
    /// Making a file without a name.
    pub create_tmpfile: LogReservation,
    /// Making a directory.
    pub mkdir: LogReservation,
    /// Freeing an inode.
    pub inode_free: LogReservation,
    /// Changing an inode's attributes.
    pub inode_change: LogReservation,
    /// Making the data device larger.
    pub grow_data: LogReservation,
    /// Giving an inode an attribute fork.
    pub add_attr_fork: LogReservation,
    /// Clearing the set-user and set-group bits on a write.
    pub write_id: LogReservation,
    /// Invalidating the blocks of an attribute fork.
    pub attr_invalidate: LogReservation,
    /// Setting an attribute, without its value's blocks: see [`attr_set`](Self::attr_set).
    pub attr_set_base: LogReservation,
    /// What setting an attribute takes more, for each block of its value.
    pub attr_set_block: LogReservation,
    /// Removing an attribute.
    pub attr_remove: LogReservation,
    /// Clearing a list of unlinked inodes.
    pub clear_unlinked: LogReservation,
    /// Allocating space for a larger realtime bitmap or summary.
    pub grow_rt_alloc: LogReservation,
    /// Zeroing a block of these.
    pub grow_rt_zero: LogReservation,
    /// Freeing the new realtime extents.
    pub grow_rt_free: LogReservation,
    /// Setting a quota limit.
    pub quota_set: LogReservation,
    /// Allocating a block of quota records.
    pub quota_alloc: LogReservation,
    /// Changing the superblock.
    pub superblock: LogReservation,
    /// Logging an inode's times.
    pub times: LogReservation,
    /// Completing a write that must not tear.
    pub atomic_write: LogReservation,
}

/// Header of an operation in the log.
const OP_HEADER: u64 = 12;
/// What an inode is introduced by in the log.
const INODE_FORMAT: u64 = 56;
/// What a block is introduced by in the log, its operation's header too, in whole chunks.
const BLOCK_OVERHEAD: u64 = 128;
/// Header of a block with long pointers, which the log's form of a root in a fork has too.
const LONG_HEADER: u64 = size_of::<crate::libxfs::format::btree::LongHeader>() as u64;
/// A quota record, and the item that it is logged in.
const DQUOT: u64 = 104;
const DQUOT_FORMAT: u64 = 24;
/// Records that an operation can change: of user, group and project, each of up to two inodes.
const DQUOTS: u64 = (DQUOT + DQUOT_FORMAT) * 6;
/// The longest target of a symbolic link.
const SYMLINK_MAX: u64 = 1024;
/// What a logged change of an attribute is introduced by.
const ATTR_FORMAT: u64 = 40;
/// A parent pointer's value, and the longest name, in whole words of the log.
const PARENT_VALUE: u64 = 12;
const PARENT_NAME: u64 = 256;
/// A logged change of a parent pointer.
const PARENT_CHANGE: u64 = ATTR_FORMAT + PARENT_VALUE + PARENT_NAME;
/// A logged change of one to another.
const PARENT_REPLACE: u64 = PARENT_CHANGE + PARENT_VALUE + PARENT_NAME;
/// The most blocks of an extent in a fork's map.
const MAX_EXTENT: u64 = crate::libxfs::format::btree::bmap::MAX_EXTENT_BLOCKS as u64;

/// The sizes that all amounts are made of.
struct Sizes<'a> {
    geo: &'a Geometry,
    block: u64,
    sector: u64,
}

/// `n` pieces that are logged whole, each `size` bytes.
const fn blocks(n: u64, size: u64) -> u64 {
    n.saturating_mul(size.saturating_add(BLOCK_OVERHEAD))
}

fn sum<const N: usize>(parts: [u64; N]) -> u64 {
    parts.iter().fold(0, |sum, &part| sum.saturating_add(part))
}

fn max<const N: usize>(parts: [u64; N]) -> u64 {
    parts.iter().fold(0, |most, &part| most.max(part))
}

/// Blocks of a tree that each of `n` changes can log: all of its levels but one twice.
fn tree_blocks(n: u64, levels: u64) -> u64 {
    n.saturating_mul(levels.saturating_mul(2).saturating_sub(1))
}

impl Sizes<'_> {
    fn has_realtime(&self) -> bool {
        self.geo.rt_blocks != 0
    }

    /// `n` blocks.
    fn whole(&self, n: u64) -> u64 {
        blocks(n, self.block)
    }

    /// `n` headers of groups.
    fn sectors(&self, n: u64) -> u64 {
        blocks(n, self.sector)
    }

    fn inodes(&self, n: u64) -> u64 {
        n.saturating_mul(sum([
            OP_HEADER * 4,
            INODE_FORMAT,
            self.geo.inode_size.into(),
            LONG_HEADER * 2,
        ]))
    }

    /// Blocks of the trees that `n` allocations or frees change.
    fn space_trees(&self, n: u64) -> u64 {
        let alloc = tree_blocks(n, Bno::max_levels(self.geo).into()).saturating_mul(2);
        let rmap = if self.geo.features.rmapbt() {
            tree_blocks(n, Rmap::max_levels(self.geo).into())
        } else {
            0
        };
        alloc.saturating_add(rmap)
    }

    /// `n` allocations or frees.
    fn space(&self, n: u64) -> u64 {
        self.whole(self.space_trees(n))
    }

    /// `n` allocations or frees of realtime extents: bitmap and summary, or the reverse mappings in
    /// another transaction.
    fn rt_space(&self, n: u64) -> u64 {
        let extent = MAX_EXTENT
            .checked_div(self.geo.rt_extent_size.into())
            .unwrap_or(0);
        let bitmap = if self.geo.features.zoned() {
            0
        } else {
            div_up(extent, rt::extents_per_block(self.geo)).unwrap_or(0)
        };
        let rmap = if RtRmap::is_present(self.geo) {
            tree_blocks(n, RtRmap::max_levels(self.geo).into())
        } else {
            0
        };
        self.whole(n.saturating_mul(bitmap.saturating_add(1)).max(rmap))
    }

    fn inode_tree(&self) -> u64 {
        self.whole(Ino::max_levels(self.geo).into())
            .saturating_add(self.space(1))
    }

    fn free_inode_tree(&self) -> u64 {
        if self.geo.features.finobt() {
            self.inode_tree()
        } else {
            0
        }
    }

    fn map_levels(&self, fork: WhichFork) -> u64 {
        map_levels(self.geo, fork)
    }

    /// `n` changes of reference counts, on either device.
    fn refcounts(&self, n: u64) -> u64 {
        if !self.geo.features.reflink() {
            return 0;
        }
        let data = self
            .sectors(n)
            .saturating_add(self.whole(tree_blocks(n, Refcount::max_levels(self.geo).into())));
        let rt = if RtRefcount::is_present(self.geo) && self.has_realtime() {
            self.inodes(1)
                .saturating_add(self.whole(tree_blocks(n, RtRefcount::max_levels(self.geo).into())))
        } else {
            0
        };
        data.max(rt)
    }

    fn write(&self) -> u64 {
        let map = self.whole(self.map_levels(WhichFork::Data));
        let data = sum([self.inodes(1), map, self.sectors(3), self.space(2)]);
        let rt = if self.has_realtime() {
            sum([
                self.inodes(1),
                map,
                self.sectors(3),
                self.rt_space(1),
                self.space(1),
            ])
        } else {
            0
        };
        let join = self.sectors(5).saturating_add(self.space(2));
        DQUOTS.saturating_add(max([data, rt, join, self.refcounts(1)]))
    }

    /// `n` extents freed in one step.
    fn free_extents(&self, n: u64) -> u64 {
        self.sectors(n.saturating_mul(2).saturating_add(1))
            .saturating_add(self.space(n))
    }

    fn rt_free_extents(&self, n: u64) -> u64 {
        if self.has_realtime() {
            self.free_extents(n).saturating_add(self.rt_space(n))
        } else {
            0
        }
    }

    fn truncate(&self) -> u64 {
        let map = self.map_levels(WhichFork::Data).saturating_add(1);
        DQUOTS.saturating_add(max([
            self.inodes(1).saturating_add(self.whole(map)),
            self.free_extents(4),
            self.rt_free_extents(2),
            self.refcounts(2),
        ]))
    }

    /// A change of a directory.
    fn dir(&self) -> u64 {
        let fork = WhichFork::Data;
        self.whole(sum([
            da_blocks(self.geo, fork),
            space::da_remove(self.geo, fork),
            1,
        ]))
    }

    fn cluster(&self) -> u64 {
        self.block
            .saturating_mul(self.geo.inode_cluster_blocks().into())
    }

    fn unlinked_add(&self) -> u64 {
        self.sectors(1).saturating_add(self.cluster())
    }

    fn unlinked_remove(&self) -> u64 {
        self.unlinked_add().saturating_add(self.cluster())
    }

    /// `amount` where there are parent pointers.
    fn parent(&self, amount: u64) -> u64 {
        if self.geo.features.parent() {
            amount
        } else {
            0
        }
    }

    fn rename(&self) -> u64 {
        let attr = self.parent(self.attr_set_base().max(self.attr_remove()));
        let names = self.inodes(5).saturating_add(self.dir().saturating_mul(2));
        // Replace, remove and add, or replace twice: all may be logged again in each step.
        let parents = (PARENT_REPLACE + 2 * PARENT_CHANGE).max(2 * PARENT_REPLACE);
        sum([
            DQUOTS,
            self.parent(parents),
            max([names, self.free_extents(3), attr]),
        ])
    }

    fn link(&self) -> u64 {
        let name = self.inodes(2).saturating_add(self.dir());
        let attr = self.parent(self.attr_set_base());
        sum([
            DQUOTS,
            self.unlinked_remove(),
            self.parent(PARENT_CHANGE),
            max([name, self.free_extents(1), attr]),
        ])
    }

    fn remove(&self) -> u64 {
        let name = self.inodes(2).saturating_add(self.dir());
        let attr = self.parent(self.attr_remove());
        sum([
            DQUOTS,
            self.unlinked_add(),
            self.parent(PARENT_CHANGE),
            max([name, self.free_extents(2), attr]),
        ])
    }

    /// Making a chunk of inodes. Its blocks are ordered and not logged.
    fn chunk(&self) -> u64 {
        sum([
            self.sectors(2),
            self.sector,
            self.space(1),
            self.inode_tree(),
            self.free_inode_tree(),
        ])
    }

    fn create(&self) -> u64 {
        let modify = sum([
            self.inodes(2),
            self.sectors(1),
            self.block,
            self.dir(),
            self.free_inode_tree(),
        ]);
        let attr = self.parent(self.attr_set_base());
        sum([
            DQUOTS,
            self.parent(PARENT_CHANGE),
            max([self.chunk(), modify, attr]),
        ])
    }

    fn create_tmpfile(&self) -> u64 {
        sum([DQUOTS, self.chunk(), self.unlinked_add()])
    }

    fn symlink(&self) -> u64 {
        self.create().saturating_add(blocks(1, SYMLINK_MAX))
    }

    fn inode_free(&self) -> u64 {
        sum([
            DQUOTS,
            self.inodes(1),
            self.sectors(3),
            self.unlinked_remove(),
            self.space(1),
            blocks(space::chunk_blocks(self.geo), 0),
            self.inode_tree(),
            self.free_inode_tree(),
        ])
    }

    fn inode_change(&self) -> u64 {
        sum([DQUOTS, self.inodes(1), self.sectors(1)])
    }

    fn grow_data(&self) -> u64 {
        self.sectors(3).saturating_add(self.space(1))
    }

    fn grow_rt_alloc(&self) -> u64 {
        sum([
            self.sectors(2),
            self.whole(self.map_levels(WhichFork::Data)),
            self.inodes(1),
            self.space(1),
        ])
    }

    fn grow_rt_free(&self) -> u64 {
        let summary = rt::summary_blocks(self.geo).saturating_mul(self.block);
        sum([
            self.sectors(1),
            self.inodes(2),
            self.whole(1),
            blocks(1, summary),
        ])
    }

    fn add_attr_fork(&self) -> u64 {
        let map = da_map_one(self.geo, WhichFork::Data).saturating_add(1);
        sum([
            DQUOTS,
            self.inodes(1),
            self.sectors(2),
            blocks(1, self.geo.dir_block_size().into()),
            self.whole(map),
            self.space(1),
        ])
    }

    fn attr_invalidate(&self) -> u64 {
        let map = self.whole(self.map_levels(WhichFork::Attr));
        let free = self.sectors(9).saturating_add(self.space(4));
        self.inodes(1).saturating_add(map).max(free)
    }

    fn attr_set_base(&self) -> u64 {
        sum([
            DQUOTS,
            self.inodes(1),
            self.sectors(1),
            self.whole(DA_LEVELS),
        ])
    }

    fn attr_set_block(&self) -> u64 {
        let map = self.whole(self.map_levels(WhichFork::Attr));
        self.sectors(1).saturating_add(map)
    }

    fn attr_remove(&self) -> u64 {
        let tree = sum([
            self.inodes(1),
            self.whole(DA_LEVELS),
            self.block.saturating_mul(self.map_levels(WhichFork::Attr)),
            blocks(self.map_levels(WhichFork::Data), 0),
        ]);
        let free = self.sectors(5).saturating_add(self.space(2));
        DQUOTS.saturating_add(tree.max(free))
    }

    fn quota_alloc(&self) -> u64 {
        self.write()
            .saturating_add(blocks(1, self.block.saturating_sub(1)))
    }
}

/// A transaction that does not roll.
fn single(bytes: u64) -> Option<LogReservation> {
    Some(LogReservation {
        bytes: u32::try_from(bytes).ok()?,
        count: 1,
        permanent: false,
    })
}

/// A chain of transactions.
fn chain(bytes: u64, count: u32) -> Option<LogReservation> {
    Some(LogReservation {
        bytes: u32::try_from(bytes).ok()?,
        count,
        permanent: true,
    })
}

impl LogReservations {
    /// Those of a file system of that shape; `None` for amounts that no log could hold, which no
    /// verified geometry leads to.
    pub fn new(geo: &Geometry) -> Option<Self> {
        let sizes = Sizes {
            geo,
            block: geo.block_size.into(),
            sector: geo.sector_size.into(),
        };
        let features = &geo.features;
        // A step for each kind of intent that an allocation or a free leaves.
        let steps = u32::from(features.reflink() || features.rmapbt())
            .saturating_add(features.reflink().into())
            .saturating_add(features.rmapbt().into())
            .saturating_add(2);
        const ATTR: u32 = 3;
        let parent = |count: u32| count.saturating_add(if features.parent() { ATTR } else { 0 });
        let truncate = chain(sizes.truncate(), steps)?;
        Some(Self {
            write: chain(sizes.write(), steps)?,
            truncate,
            rename: chain(sizes.rename(), parent(2))?,
            link: chain(sizes.link(), parent(2))?,
            remove: chain(sizes.remove(), parent(2))?,
            symlink: chain(sizes.symlink(), parent(3))?,
            create: chain(sizes.create(), parent(2))?,
            create_tmpfile: chain(sizes.create_tmpfile(), 2)?,
            mkdir: chain(sizes.create(), parent(3))?,
            inode_free: chain(sizes.inode_free(), 2)?,
            inode_change: single(sizes.inode_change())?,
            grow_data: chain(sizes.grow_data(), 2)?,
            add_attr_fork: chain(sizes.add_attr_fork(), 2)?,
            write_id: single(sizes.inodes(1))?,
            attr_invalidate: chain(sizes.attr_invalidate(), 1)?,
            attr_set_base: chain(sizes.attr_set_base(), ATTR)?,
            attr_set_block: single(sizes.attr_set_block())?,
            attr_remove: chain(sizes.attr_remove(), ATTR)?,
            clear_unlinked: single(sizes.sectors(1))?,
            grow_rt_alloc: chain(sizes.grow_rt_alloc(), 2)?,
            grow_rt_zero: single(sizes.whole(1))?,
            grow_rt_free: single(sizes.grow_rt_free())?,
            quota_set: single(blocks(1, DQUOT))?,
            quota_alloc: chain(sizes.quota_alloc(), steps)?,
            superblock: single(sizes.sectors(1))?,
            times: single(sizes.inodes(1))?,
            atomic_write: truncate,
        })
    }

    /// Setting an attribute whose value takes `blocks` of its own; `None` for an amount that no log
    /// could hold.
    pub fn attr_set(&self, blocks: u32) -> Option<LogReservation> {
        let more = self.attr_set_block.bytes.checked_mul(blocks)?;
        Some(LogReservation {
            bytes: self.attr_set_base.bytes.checked_add(more)?,
            ..self.attr_set_base
        })
    }
}
