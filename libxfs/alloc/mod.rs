// SPDX-License-Identifier: GPL-2.0

//! The allocator of a group: extents out of its two free-space trees, and back into them.
//!
//! What is here keeps both trees and the group's header in step. Who gets the blocks is for the
//! caller: reverse mappings, the superblock's counters ([`Trans::take_blocks`] and
//! [`Trans::give_blocks`]), and before anything is taken, [`fill_list`].

mod gaps;
mod list;
mod request;
mod search;
mod update;

pub use list::{fill_list, longest_usable, take_surplus};
pub use request::Request;
pub use search::{by_size, exact, near};
pub use update::free;

#[cfg(doc)]
use super::trans::Trans;
