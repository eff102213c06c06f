// SPDX-License-Identifier: GPL-2.0

//! libxfs on the host: the module's own source, compiled against a stand-in for the `kernel` crate,
//! and what its tests stand on.

#[path = "../../../libxfs/mod.rs"]
pub mod libxfs;

pub mod file_io;
pub mod fixture;
pub mod image;
pub mod inode_image;
pub mod journal;
pub mod listing;
pub mod log;
pub mod log_journal;
pub mod mutation;
pub mod power;
pub mod random;
pub mod walk;
pub mod workload;
