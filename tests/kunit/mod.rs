// SPDX-License-Identifier: GPL-2.0

//! Tests that run inside the kernel: in user-mode Linux with `make kunit`, under KASAN and lockdep
//! with `scripts/kunit --kernel debug`. Part of the module only where `CONFIG_XFS_RUST_KUNIT_TEST`
//! is set.

mod format;
