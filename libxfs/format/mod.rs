// SPDX-License-Identifier: GPL-2.0

//! The disk format of XFS V5.
//!
//! Pure: `core` and `zerocopy`, no allocation, no I/O. Each structure has a big-endian view, its
//! checksum, and a verifier that holds it to every rule that the format states on its own; rules
//! that need a second structure belong to the walkers above.

pub mod acl;
pub mod ag;
pub mod attr;
pub mod btree;
pub mod crc;
pub mod da;
pub mod dahash;
pub mod dir;
pub mod fault;
pub mod geometry;
pub mod inode;
pub mod kind;
pub mod log;
pub mod parent;
pub mod quota;
pub mod rt;
pub mod sb;
pub mod stamp;
pub mod symlink;
pub mod units;
