// SPDX-License-Identifier: GPL-2.0

//! Floors 3 and 4 of the house: the engine (what has threads), and the VFS.

mod acl;
pub(crate) mod buf;
mod counters;
mod dir;
mod export;
mod file;
pub(crate) mod icache;
mod inode;
mod ioctl;
mod iomap;
mod iops;
pub(crate) mod mount;
mod options;
mod reports;
mod super_block;
mod uuids;
mod xattr;

pub(crate) use super_block::Registration;
