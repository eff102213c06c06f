// SPDX-License-Identifier: GPL-2.0

//! The log: what of it is on the disk, and nothing of threads.
//!
//! For now only what a mount must know before it reads anything else: whether the log is clean.

mod head;
mod ring;

pub use head::{state, State};
