// SPDX-License-Identifier: GPL-2.0

//! The XFS V5 file system.
//!
//! The crate's root: the floors of the house, module parameters, init and exit.

// The kernel's build hands out the derives as a crate of their own; on the host they are part of
// zerocopy. Brought in this way, they are found by the same name in both.
#[macro_use]
extern crate zerocopy_derive;

use crate::rust::bindings;
use kernel::{
    prelude::*,
    str::CStr, //
};

mod fs;
// A library: its face is wider than what one user of it calls, and the same on the host, where it
// is a crate of its own, and where what it imports of zerocopy are traits and derives both.
#[allow(dead_code, unreachable_pub, unused_imports)]
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

struct XfsRust {
    _registration: fs::Registration,
}

impl kernel::Module for XfsRust {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: The parameter is a string that lives as long as the module.
        let name = unsafe { CStr::from_char_ptr(bindings::param_fs_name()) };
        // SAFETY: This is the module's init.
        let registration = unsafe { fs::Registration::new(module, name) }?;
        #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
        // SAFETY: Once, and tests run when the module is loaded.
        unsafe {
            kunit::prepare()
        };
        Ok(Self {
            _registration: registration,
        })
    }
}

#[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
#[path = "tests/kunit/mod.rs"]
mod kunit;
