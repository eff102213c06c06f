// SPDX-License-Identifier: GPL-2.0

//! Changes of reverse mappings and reference counts against plain models, with a look at every
//! block after each transaction.

mod counts;
#[allow(dead_code)] // It serves other tests, too.
#[path = "../btree_changes/held.rs"]
mod held;
mod mappings;
mod random;

/// Batches of a test: many in a long run.
fn batches(short: u32) -> u32 {
    if std::env::var_os("XFS_RUST_LONG").is_some() {
        short * 500
    } else {
        short
    }
}
