// SPDX-License-Identifier: GPL-2.0

//! Operations on attributes and on what files share, in random order, on real images: afterwards each
//! file holds what a plain model of it does, and `libxfs/check` and `xfs_repair -n` find nothing.

mod attrs;
mod content;
mod hints;
mod ranges;
mod world;

/// Steps of a test: many in a long run.
fn steps(short: u32) -> u32 {
    if std::env::var_os("XFS_RUST_LONG").is_some() {
        short * 50
    } else {
        short
    }
}
