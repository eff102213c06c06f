// SPDX-License-Identifier: GPL-2.0

//! The XFS V5 file system.

use kernel::prelude::*;

module! {
    type: XfsRust,
    name: "xfs_rust",
    authors: ["The xfs_rust authors"],
    description: "The XFS V5 file system in Rust",
    license: "GPL",
}

struct XfsRust;

impl kernel::Module for XfsRust {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("loaded\n");
        Ok(XfsRust)
    }
}
