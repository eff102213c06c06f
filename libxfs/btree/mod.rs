// SPDX-License-Identifier: GPL-2.0

//! One engine for the nine B+trees.
//!
//! A [`Cursor`] stands on a record of a tree and walks from there. It is the same code for every
//! [`Tree`](super::format::btree::Tree), whether the root is a block that an allocation group's
//! header names or lies in an inode's fork.
//!
//! # Bad trees
//!
//! Each block is verified by itself when it is read. What takes two blocks is checked here: a
//! child's level is one less than its parent's, so a descent ends; its owner is the tree's; and in
//! a walk every block's keys lie behind those of the block before it on its level, so that no block
//! is seen twice and a walk ends too, whatever its pointers say.
//!
//! ```ignore
//! let mut cursor = Cursor::<_, Bno>::in_group(store, ag, agf.bno())?;
//! let mut extent = cursor.seek_first()?;
//! while let Some(free) = extent {
//!     // …
//!     extent = cursor.next()?;
//! }
//! ```

mod cursor;
mod range;

pub use cursor::Cursor;
pub use range::Range;

/// The most levels that any tree of any geometry has; a path takes this much room.
pub const MAX_LEVELS: usize = 20;
