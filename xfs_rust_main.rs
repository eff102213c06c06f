// SPDX-License-Identifier: GPL-2.0

//! The XFS V5 file system.
//!
//! The crate's root: the floors of the house, module parameters, init and exit.

use kernel::prelude::*;

// A library: its face is wider than what one user of it calls, and the same on the host, where it
// is a crate of its own.
#[allow(dead_code, unreachable_pub)]
mod libxfs;
// Bindings and abstractions are whole, whatever part of them is in use.
#[allow(dead_code, unreachable_pub)]
mod rust;

module! {
    type: XfsRust,
    name: "xfs_rust",
    authors: ["The xfs_rust authors"],
    description: "The XFS V5 file system in Rust",
    license: "GPL",
    alias: ["fs-xfs"],
}

struct XfsRust;

impl kernel::Module for XfsRust {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(XfsRust)
    }
}
