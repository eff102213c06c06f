// SPDX-License-Identifier: GPL-2.0

//! The space of the data device: which group gives blocks, and all that goes with it.
//!
//! [`alloc`](super::alloc) changes the free space of one group. What is here chooses the group, locks
//! it in an order that cannot deadlock, keeps its list of blocks for trees (AGFL) long enough and no
//! longer, adds and removes the reverse mappings of metadata, and takes blocks from where they are
//! counted: from what the transaction claimed, or from what the group keeps in reserve.
//!
//! File data gets its reverse mappings by deferred work, together with its place in a fork; its
//! extents have no owner here.
//!
//! # Order of locks
//!
//! Inode headers (AGI) before free-space headers (AGF), each in ascending order of groups. A
//! transaction that has locked a group asks for lower ones only where that takes no waiting; when
//! all that is free lies there and others hold it, it is told that nothing is free, and its caller
//! rolls or fails with `NoSpace`.
//!
//! ```ignore
//! let wanted = Wanted::metadata(near, Place::Near, BlockOwner::fork_tree(inode, fork));
//! let Some(extent) = space::allocate(trans, deferred, &wanted)? else {
//!     return Err(Error::NoSpace);
//! };
//! ```

mod allocate;
mod busy;
mod free;
mod group;
mod prepare;
mod realtime;
mod refcount;
mod reservation;
mod reserve;
mod short;
mod structures;
mod wanted;

pub use super::items::{BlockOwner, Reserve};
pub use allocate::allocate;
pub use busy::{stable, Busy, Stretch};
pub use free::free;
pub use group::Group;
pub use realtime::{allocate_rt, free_rt, RtWanted};
pub use refcount::RefcountTree;
pub use reservation::Reservation;
pub use reserve::{hidden, release, reserve, Demand, Demands};
pub use short::is_short;
pub use structures::Groups;
pub use wanted::{Extent, Place, Wanted};
