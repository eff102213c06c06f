// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of a mounted super block.

use super::{
    life,
    show,
    statfs, //
};
use crate::{
    fs::{
        icache,
        inactive, //
    },
    rust::bindings,
};

/// Operations of a super block.
struct Operations(bindings::super_operations);

// SAFETY: Never changes.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::super_operations {
    alloc_inode: Some(icache::alloc_inode),
    free_inode: Some(icache::free_inode),
    evict_inode: Some(inactive::evict_inode),
    put_super: Some(life::put_super),
    sync_fs: Some(life::sync_fs),
    freeze_fs: Some(life::freeze_fs),
    unfreeze_fs: Some(life::unfreeze_fs),
    statfs: Some(statfs::statfs),
    show_options: Some(show::show_options),
    // SAFETY: Null pointers.
    ..unsafe { core::mem::zeroed() }
});

/// The table, for `s_op`.
pub(super) fn table() -> *const bindings::super_operations {
    &raw const OPERATIONS.0
}
