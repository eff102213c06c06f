// SPDX-License-Identifier: GPL-2.0

//! Changes of reverse mappings and reference counts against plain models, with a look at every
//! block after each transaction; and chains of deferred work that are cut and recovered.

pub mod counts;
mod deferred;
pub mod mappings;
mod world;

/// Batches of a test: many in a long run.
fn batches(short: u32) -> u32 {
    if std::env::var_os("XFS_RUST_LONG").is_some() {
        short * 500
    } else {
        short
    }
}
