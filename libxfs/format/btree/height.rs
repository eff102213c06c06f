// SPDX-License-Identifier: GPL-2.0

//! How high a tree can grow when each block but the root is at least half full.

use super::{block_capacity, Tree};
use crate::libxfs::format::{geometry::Geometry, units::div_up};

/// Fewest records of a leaf and fewest pointers of a node, root aside.
fn least<T: Tree>(geo: &Geometry) -> (u64, u64) {
    let half = |leaf| ((block_capacity::<T>(geo, leaf) / 2) as u64).max(1);
    // A node with one child would let the count of blocks stand still.
    (half(true), half(false).max(2))
}

/// Levels of a tree of `records` records. Where the root lies in an inode and holds at least
/// `root` pointers, that is one level, else `root` is 1.
pub(super) fn for_records<T: Tree>(geo: &Geometry, records: u64, root: u64) -> u8 {
    let (leaf, node) = least::<T>(geo);
    let mut blocks = div_up(records, leaf).unwrap_or(records);
    let mut levels = 1u8;
    while blocks > 1 {
        blocks = if blocks <= root {
            1
        } else {
            div_up(blocks, node).unwrap_or(1)
        };
        levels = levels.saturating_add(1);
    }
    levels
}

/// Blocks of a tree of `records` records with its root in a block, when each block is half full.
pub fn blocks_for_records<T: Tree>(geo: &Geometry, records: u64) -> u64 {
    let (leaf, node) = least::<T>(geo);
    let mut level = div_up(records, leaf).unwrap_or(records);
    let mut blocks = level;
    while level > 1 {
        level = div_up(level, node).unwrap_or(1);
        blocks = blocks.saturating_add(level);
    }
    blocks
}

/// Levels of the highest tree that `space` blocks can hold.
pub(super) fn for_space<T: Tree>(geo: &Geometry, space: u64) -> u8 {
    let (_, node) = least::<T>(geo);
    let mut left = space.saturating_sub(1);
    let mut width = 2u64;
    let mut levels = 1u8;
    while width < left {
        left = left.saturating_sub(width);
        width = width.saturating_mul(node);
        levels = levels.saturating_add(1);
    }
    levels
}
