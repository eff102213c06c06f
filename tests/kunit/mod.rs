// SPDX-License-Identifier: GPL-2.0

//! Tests that run inside the kernel: in user-mode Linux with `make kunit`, under KASAN and lockdep
//! with `scripts/kunit --kernel debug`. Part of the module only where `CONFIG_XFS_RUST_KUNIT_TEST`
//! is set.
//!
//! The caches want a file system: the module's parameter `kunit_disk` names a device that
//! `mkfs.xfs` has filled. `scripts/kunit` sees to that.

mod buffer_aliases;
mod buffer_failures;
mod buffer_writes;
mod buffers;
mod disk;
mod format;
mod inodes;
mod log_commits;
mod log_disk;
mod log_grants;
mod log_items;
mod log_recovery;
mod log_shutdown;
mod scratch;
mod workers;

pub(crate) use disk::prepare;
