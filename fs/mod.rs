// SPDX-License-Identifier: GPL-2.0

//! Floors 3 and 4 of the house: the engine (what has threads), and the VFS.

mod buf;
mod counters;
mod icache;
mod inode;
mod mount;
mod options;
mod super_block;
mod uuids;

pub(crate) use super_block::Registration;
