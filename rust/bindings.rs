// SPDX-License-Identifier: GPL-2.0

//! Bindings: all of `kernel::bindings`, and what the module's own run of bindgen adds to it.
//!
//! A type that the kernel crate has as an opaque name alone (`fs_context`, `kstatfs`) is a full
//! type here, and shadows the kernel's. Signatures of the kernel crate still say the opaque one;
//! cast between pointers to the two.

#![allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unknown_lints,
    unnecessary_transmutes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

use kernel::ffi;

mod generated {
    use super::ffi;
    pub use super::helpers::*;
    pub use kernel::bindings::*;

    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    include!(concat!(env!("XFS_RUST_OBJ"), "/rust/bindings_generated.rs"));
}

mod helpers {
    use super::{ffi, generated::*};
    include!(concat!(env!("XFS_RUST_OBJ"), "/rust/helpers_generated.rs"));
}

pub use generated::*;
