// SPDX-License-Identifier: GPL-2.0

//! The whole file system's allocator on real images: random work over all groups, with owners,
//! reference counts and deferred work, after which `libxfs/check` and `xfs_repair -n` find nothing.

mod busy;
mod full;
mod groups;
mod harness;
mod realtime;
mod reserve;

use xfs_host::random;

/// Steps of a test: many in a long run.
fn steps(short: u32) -> u32 {
    if std::env::var_os("XFS_RUST_LONG").is_some() {
        short * 50
    } else {
        short
    }
}
