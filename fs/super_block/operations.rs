// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of a mounted super block.

use super::{
    show,
    statfs,
    Super, //
};
use crate::{
    fs::icache,
    rust::bindings, //
};

/// Operations of a super block.
struct Operations(bindings::super_operations);

// SAFETY: Never changes.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::super_operations {
    alloc_inode: Some(icache::alloc_inode),
    free_inode: Some(icache::free_inode),
    put_super: Some(put_super),
    statfs: Some(statfs::statfs),
    show_options: Some(show::show_options),
    // SAFETY: Null pointers. Nothing is dirty as long as nothing is written: no sync, no freeze.
    ..unsafe { core::mem::zeroed() }
});

/// The table, for `s_op`.
pub(super) fn table() -> *const bindings::super_operations {
    &raw const OPERATIONS.0
}

/// `super_operations.put_super`.
///
/// # Safety
///
/// Called by the VFS when the last inode is gone, with `s_umount` held.
unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
    // SAFETY: By the caller: the info is ours alone.
    let info = unsafe { &mut *(*sb).s_fs_info.cast::<Super>() };
    if let Some(mount) = info.mount.take() {
        mount.set_unmounting();
        mount.invalidate_devices();
    }
    info.uuid = None;
}
