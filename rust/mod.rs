// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks yet: bindings, and safe abstractions over them.
//!
//! Floor 0 of the house, laid out as the kernel's own `rust/` folder so that a piece can go
//! upstream.

pub mod bindings;
pub mod kernel;
