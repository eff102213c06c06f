// SPDX-License-Identifier: GPL-2.0

//! XFS: its disk format and the algorithms over it.
//!
//! Floors 1 and 2 of the house. [`mod@format`] is the disk: typed big-endian views, checksums and
//! verifiers, with no allocation. What stands beside it here walks those structures through the
//! [`store::Store`] trait, which the engine (in the kernel) or an image file (on the host)
//! implements. Nothing here knows of threads, bios or the VFS, so the same code runs in the kernel
//! and under `cargo test`, Miri and a fuzzer.
//!
//! Every number that comes from a disk is hostile: it is checked before it is used, and what is
//! wrong with it is an [`error::Error`] value. Code that could panic is refused by the lints below.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::todo,
    clippy::unimplemented,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_sign_loss,
    missing_docs
)]

pub mod ag;
pub mod alloc;
pub mod attr;
pub mod bmap;
pub mod btree;
pub mod check;
pub mod da;
pub mod defer;
pub mod dir;
pub mod error;
pub mod extents;
pub mod format;
pub mod fsmap;
pub mod ialloc;
pub mod inode;
pub mod items;
pub mod journal;
pub mod log;
pub mod metadir;
pub mod mount;
pub mod ops;
pub mod parent;
pub mod quota;
pub mod recovery;
pub mod refcount;
pub mod rmap;
pub mod rt;
pub mod space;
pub mod store;
pub mod symlink;
pub mod trans;
