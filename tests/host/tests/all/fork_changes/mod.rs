// SPDX-License-Identifier: GPL-2.0

//! Changes of the maps of files on real images, against plain models, with the check of the whole
//! file system and `xfs_repair -n` silent after them.

pub mod edits;
mod names;
mod realtime;
pub mod sharing;
pub mod world;

/// Steps of a test: many in a long run.
fn times(short: u32) -> u32 {
    if std::env::var_os("XFS_RUST_LONG").is_some() {
        short * 100
    } else {
        short
    }
}
