// SPDX-License-Identifier: GPL-2.0

//! Floors 3 and 4 of the house: the engine (what has threads), and the VFS.
//!
//! Numbers from user space and from the disk come this far: what could panic over one is refused by
//! the lints below, as in libxfs.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::todo,
    clippy::unimplemented,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod acl;
// The half of it that writes is there for the log, and for tests, before anything else.
#[allow(dead_code, unused_imports)]
pub(crate) mod buf;
mod counters;
mod dir;
mod export;
mod file;
mod fileattr;
pub(crate) mod health;
pub(crate) mod icache;
mod ilock;
mod inactive;
mod inode;
mod ioctl;
mod iomap;
mod iops;
// The mount that uses it is read-only.
#[allow(dead_code)]
mod journal;
// As above: the mount that uses it is read-only.
#[allow(dead_code, unused_imports)]
pub(crate) mod log;
pub(crate) mod mount;
mod names;
mod options;
mod publish;
mod reports;
mod setattr;
mod settle;
#[allow(dead_code)]
mod space;
mod super_block;
mod uuids;
mod writing;
mod xattr;

pub(crate) use super_block::Registration;
