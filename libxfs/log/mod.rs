// SPDX-License-Identifier: GPL-2.0

//! The log: what of it is on the disk, and nothing of threads.
//!
//! Reading, from the ground up: a [`device`] of basic blocks and a ring over it, where the ring was
//! last written ([`head`]), the records from the tail to there ([`read`]), and the transactions that
//! are gathered from their operations ([`gather`]). [`recover`] replays those.
//!
//! Writing: what a transaction changed is formatted as [`items`], packed into records ([`pack`]), and written where
//! [`space`] says that the head is. The [`writer`] does so one checkpoint after the other; an engine
//! with many writers takes the same parts.

mod changes;
pub mod device;
pub mod gather;
pub mod head;
pub mod intent;
pub mod items;
pub mod pack;
pub mod read;
mod record;
pub mod recover;
mod ring;
pub mod space;
pub mod stale;
pub mod writer;

pub use head::{state, State};
