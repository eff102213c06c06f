// SPDX-License-Identifier: GPL-2.0

//! Blocks that an operation may need, at the worst: what a transaction claims before it starts.
//!
//! Amounts are file system blocks. They are those of `fs/xfs/libxfs/xfs_trans_space.h` of Linux
//! 7.3, so that both drivers run out of space at the same point.

use crate::libxfs::{
    format::{
        btree::{block_capacity, bmap, Bno, Ino, Rmap, RtRmap, Tree, INODES_PER_CHUNK},
        geometry::Geometry,
        units::div_up,
    },
    inode::WhichFork,
};

/// The most levels of a directory's or an attribute fork's tree, leaves included.
pub(super) const DA_LEVELS: u64 = 5;

/// Entries that one more block of the tree is sure to take.
fn spare<T: Tree>(geo: &Geometry) -> u64 {
    let room = block_capacity::<T>(geo, true);
    (room.saturating_sub(room / 2) as u64).max(1)
}

/// The most levels of a fork's map.
pub(super) fn map_levels(geo: &Geometry, fork: WhichFork) -> u64 {
    u64::from(match fork {
        WhichFork::Data => bmap::max_data_levels(geo),
        WhichFork::Attr => bmap::max_attr_levels(geo),
    })
}

/// To add one extent to a fork's map.
pub fn extent_add(geo: &Geometry, fork: WhichFork) -> u64 {
    map_levels(geo, fork).saturating_sub(1)
}

/// To add `n` extents to a fork's map.
pub fn extents_add(geo: &Geometry, n: u64, fork: WhichFork) -> u64 {
    // C takes the records of a free-space tree's leaf for those of the map's.
    times(n, spare::<Bno>(geo), extent_add(geo, fork))
}

/// To add `n` reverse mappings.
pub fn rmaps_add(geo: &Geometry, n: u64) -> u64 {
    if !geo.features.rmapbt() {
        return 0;
    }
    times(n, spare::<Rmap>(geo), Rmap::max_levels(geo).into())
}

/// To add `n` reverse mappings of the realtime device.
pub fn rt_rmaps_add(geo: &Geometry, n: u64) -> u64 {
    if !RtRmap::is_present(geo) || geo.rt_blocks == 0 {
        return 0;
    }
    times(n, spare::<RtRmap>(geo), RtRmap::max_levels(geo).into())
}

/// `n` in steps of `each`, of which each takes `blocks`.
fn times(n: u64, each: u64, blocks: u64) -> u64 {
    div_up(n, each).unwrap_or(n).saturating_mul(blocks)
}

/// To exchange `n` mappings of a fork with the reverse mappings that go with them.
pub fn exchange(geo: &Geometry, n: u64, fork: WhichFork) -> u64 {
    extents_add(geo, n, fork).saturating_add(rmaps_add(geo, n))
}

/// Blocks of one block of a directory's or an attribute fork's tree.
fn da_block(geo: &Geometry, fork: WhichFork) -> u64 {
    match fork {
        WhichFork::Data => u64::from(geo.dir_block_size())
            .checked_shr(geo.block_log.into())
            .unwrap_or(0),
        WhichFork::Attr => 1,
    }
}

/// Blocks of the tree that an entry can add: one for each level, and in a directory one of data and
/// one of the free index.
fn da_count(fork: WhichFork) -> u64 {
    match fork {
        WhichFork::Data => DA_LEVELS.saturating_add(2),
        WhichFork::Attr => DA_LEVELS,
    }
}

/// Blocks of the file system that adding an entry to such a tree can add to the tree.
pub(super) fn da_blocks(geo: &Geometry, fork: WhichFork) -> u64 {
    da_block(geo, fork).saturating_mul(da_count(fork))
}

/// To map one block of such a tree.
pub(super) fn da_map_one(geo: &Geometry, fork: WhichFork) -> u64 {
    extents_add(geo, da_block(geo, fork), fork)
}

/// To map all blocks that adding an entry to such a tree can add; and to unmap all that removing
/// one can remove.
pub fn da_remove(geo: &Geometry, fork: WhichFork) -> u64 {
    da_map_one(geo, fork).saturating_mul(da_count(fork))
}

/// To add an entry to a directory or an attribute fork.
pub fn da_enter(geo: &Geometry, fork: WhichFork) -> u64 {
    da_blocks(geo, fork).saturating_add(da_remove(geo, fork))
}

/// Blocks of a chunk of inodes.
pub fn chunk_blocks(geo: &Geometry) -> u64 {
    let inodes = INODES_PER_CHUNK.max(geo.inodes_per_block);
    u64::from(inodes)
        .checked_shr(geo.inodes_per_block_log.into())
        .unwrap_or(0)
}

/// To make a chunk of inodes.
pub fn inode_alloc(geo: &Geometry) -> u64 {
    let trees = if geo.features.finobt() { 2 } else { 1 };
    u64::from(Ino::max_levels(geo))
        .saturating_mul(trees)
        .saturating_add(chunk_blocks(geo))
}

/// To free an inode.
pub fn inode_free(geo: &Geometry) -> u64 {
    if geo.features.finobt() {
        Ino::max_levels(geo).into()
    } else {
        0
    }
}

/// To give an inode an attribute fork.
pub fn add_attr_fork(geo: &Geometry) -> u64 {
    da_block(geo, WhichFork::Data).saturating_add(da_map_one(geo, WhichFork::Data))
}

/// To set an attribute that takes `size` bytes of a leaf with its value.
pub fn attr_set_local(geo: &Geometry, size: u32) -> u64 {
    // One that takes more than half of a leaf may have to split it twice.
    let splits = if size > geo.block_size / 2 { 2 } else { 1 };
    da_enter(geo, WhichFork::Attr).saturating_mul(splits)
}

/// To set an attribute whose value takes `blocks` of its own.
pub fn attr_set_remote(geo: &Geometry, blocks: u64) -> u64 {
    da_enter(geo, WhichFork::Attr)
        .saturating_add(blocks)
        .saturating_add(extents_add(geo, blocks, WhichFork::Attr))
}

/// To make the data device larger.
pub fn grow_data(geo: &Geometry) -> u64 {
    u64::from(Bno::max_levels(geo)).saturating_mul(2)
}

/// To allocate a block of quota records.
pub fn quota_alloc(geo: &Geometry) -> u64 {
    extent_add(geo, WhichFork::Data).saturating_add(1)
}

/// To add a parent pointer for a name of `name` bytes, where there are such.
pub fn parent_add(geo: &Geometry, name: u64) -> u64 {
    if !geo.features.parent() {
        return 0;
    }
    // C counts a mapping for each byte of the name, and more is claimed than is needed.
    da_enter(geo, WhichFork::Attr).saturating_add(extents_add(geo, name, WhichFork::Attr))
}

/// To make a file or a directory under a name of `name` bytes.
pub fn create(geo: &Geometry, name: u64) -> u64 {
    inode_alloc(geo).saturating_add(link(geo, name))
}

/// To add a name of `name` bytes.
pub fn link(geo: &Geometry, name: u64) -> u64 {
    da_enter(geo, WhichFork::Data).saturating_add(parent_add(geo, name))
}

/// To make a symbolic link whose target takes `blocks` of its own.
pub fn symlink(geo: &Geometry, name: u64, blocks: u64) -> u64 {
    create(geo, name).saturating_add(blocks)
}

/// To remove a name of `name` bytes.
pub fn remove(geo: &Geometry, name: u64) -> u64 {
    da_remove(geo, WhichFork::Data).saturating_add(parent_add(geo, name))
}

/// To rename from a name of `from` bytes to one of `to` bytes.
pub fn rename(geo: &Geometry, from: u64, to: u64, replaces: bool, whiteout: bool) -> u64 {
    let parents = if replaces { 3 } else { 2 };
    let names = da_remove(geo, WhichFork::Data).saturating_add(da_enter(geo, WhichFork::Data));
    let whiteout = if whiteout { parent_add(geo, from) } else { 0 };
    parent_add(geo, to)
        .saturating_mul(parents)
        .saturating_add(whiteout)
        .saturating_add(names)
}
