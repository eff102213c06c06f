// SPDX-License-Identifier: GPL-2.0

//! One engine for the nine B+trees.
//!
//! A [`Path`] stands on a record of a tree and walks, inserts, updates and deletes from there. It is
//! the same code for every [`Tree`](super::format::btree::Tree), whether the root is a block that a
//! header names or lies in an inode's fork, and whether the blocks come from a store, to be read, or
//! from a transaction, to be changed: they are handed to each call as [`Blocks`] or [`BlocksMut`]. A
//! [`Cursor`] is a path together with the store that it reads.
//!
//! # Shape
//!
//! Every block but the root is at least half full. A full block gives entries to a neighbour below
//! the same parent before it is split, and one that becomes less than half full takes some or is
//! merged. Entries move in numbers, not one by one, so a run of changes in one place seldom has to;
//! a run of insertions at the end of the tree leaves full blocks behind.
//!
//! # Bad trees
//!
//! Each block is verified by itself when it is read. What takes two blocks is checked here: a
//! child's level is one less than its parent's, so a descent ends; its owner is the tree's;
//! neighbours name each other; and in a walk every block's keys lie behind those of the block before
//! it on its level, so that no block is seen twice and a walk ends too, whatever its pointers say.
//!
//! ```ignore
//! let mut cursor = Cursor::<_, Bno>::in_group(store, ag, agf.bno())?;
//! let mut extent = cursor.seek_first()?;
//! while let Some(free) = extent {
//!     // …
//!     extent = cursor.next()?;
//! }
//!
//! let mut path = Path::<BlockId, Bno>::new(ag, ag.0.into());
//! let mut blocks = InTrans { trans, hook, home: ag };
//! path.lookup_eq(&mut blocks, &key)?;
//! path.delete(&mut blocks)?;
//! path.insert(&mut blocks, &extent)?;
//! ```

mod blocks;
mod change;
mod cursor;
mod delete;
mod entries;
mod in_trans;
mod insert;
mod path;
mod range;
mod walk;

pub use blocks::{Blocks, BlocksMut, Root};
pub use cursor::Cursor;
pub use in_trans::{Hook, InTrans};
pub use path::Path;
pub use range::{Range, RangeState};

/// The most levels that any tree of any geometry has.
pub const MAX_LEVELS: usize = 20;
