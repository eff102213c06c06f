// SPDX-License-Identifier: GPL-2.0

//! Chunks of inodes in a file system of a given shape: how large they are, where they may lie, and
//! how many there may be.
//!
//! Source: the mount-time geometry of `fs/xfs/libxfs/xfs_ialloc.c` of Linux 7.3.

use crate::libxfs::format::{
    btree::INODES_PER_CHUNK,
    geometry::Geometry,
    units::{AgBlock, AgInode, AgNumber, InodeNumber},
};
use core::ops::Range;

/// Blocks of a chunk that is made at once: those of 64 inodes, but at least one.
pub fn chunk_blocks(geo: &Geometry) -> u32 {
    chunk_inodes(geo)
        .checked_shr(geo.inodes_per_block_log.into())
        .unwrap_or(1)
        .max(1)
}

/// Inodes of a chunk that is made at once: 64, or all of a block that has more.
pub fn chunk_inodes(geo: &Geometry) -> u32 {
    INODES_PER_CHUNK.max(geo.inodes_per_block)
}

/// Blocks of the smallest part of a chunk that can be made by itself, which is aligned to so many
/// blocks; `None` where chunks are always whole.
pub fn sparse_blocks(geo: &Geometry) -> Option<u32> {
    let blocks = geo.sparse_inode_alignment;
    let smaller = blocks != 0 && blocks < chunk_blocks(geo);
    (geo.features.sparse_inodes() && smaller).then_some(blocks)
}

/// Blocks to which chunks are best aligned so that they fill stripes; `None` where stripes are none,
/// or do not go together with how chunks have to be aligned.
pub fn stripe_alignment(geo: &Geometry) -> Option<u32> {
    let align = geo.inode_cluster_alignment();
    let fits = align > 1 && geo.stripe_unit.checked_rem(align) == Some(0);
    (geo.stripe_unit != 0 && fits).then_some(geo.stripe_unit)
}

/// The most inodes that there may be, free or in use, in whole chunks; `None` for no limit.
pub fn most_inodes(geo: &Geometry) -> Option<u64> {
    if geo.inode_max_percent == 0 {
        return None;
    }
    let chunk = u64::from(chunk_blocks(geo));
    let share = geo
        .data_blocks
        .saturating_mul(geo.inode_max_percent.into())
        .checked_div(100)?;
    let chunks = share.checked_div(chunk)?;
    chunks
        .saturating_mul(chunk)
        .checked_mul(geo.inodes_per_block.into())
}

/// The first inode in a block.
pub fn first_inode(geo: &Geometry, block: AgBlock) -> Option<AgInode> {
    block.0.checked_mul(geo.inodes_per_block).map(AgInode)
}

/// The block behind the chunk that begins with `last`, if a chunk may begin there.
pub fn next_chunk(geo: &Geometry, ag: AgNumber, last: AgInode) -> Option<AgBlock> {
    let blocks = chunk_blocks(geo);
    let next = geo.inode_block(last).0.checked_add(blocks)?;
    let behind = first_inode(geo, next.checked_add(blocks)?)?;
    let aligned = next.0.checked_rem(geo.inode_cluster_alignment()) == Some(0);
    let inside = geo.ag_inode_is_valid(ag, first_inode(geo, next)?)
        && geo.ag_inode_is_valid(ag, behind.checked_sub(1)?);
    (aligned && inside).then_some(next)
}

/// The blocks of a group in which parts of chunks may lie: the whole chunk, whose record starts where
/// chunks are aligned, has to lie behind the group's headers and before its end.
pub fn sparse_range(geo: &Geometry, ag: AgNumber) -> Option<Range<AgBlock>> {
    let align = geo.inode_alignment.max(1);
    let length = geo.ag_length(ag)?;
    let rest = length.checked_rem(align)?;
    Some(AgBlock(align)..AgBlock(length.checked_sub(rest)?))
}

/// Whether an inode is one that no directory entry may name: those of the realtime section and of
/// quota, where these are not in a directory tree of their own.
pub fn is_internal(geo: &Geometry, number: InodeNumber) -> bool {
    let own = [geo.rt_bitmap_inode, geo.rt_summary_inode];
    own.iter()
        .chain(&geo.quota_inodes)
        .any(|own| *own == Some(number))
}
