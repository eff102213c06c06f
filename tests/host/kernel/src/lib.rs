// SPDX-License-Identifier: GPL-2.0

//! The part of the `kernel` crate that libxfs uses, over `std`.

pub mod alloc;
