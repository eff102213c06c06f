// SPDX-License-Identifier: GPL-2.0

//! Floors 3 and 4 of the house: the engine (what has threads), and the VFS.

mod acl;
mod buf;
mod counters;
mod dir;
mod export;
mod file;
mod icache;
mod inode;
mod ioctl;
mod iomap;
mod iops;
mod mount;
mod options;
mod super_block;
mod uuids;
mod xattr;

pub(crate) use super_block::Registration;
