// SPDX-License-Identifier: GPL-2.0

//! Symbolic links.

use super::node::Node;
use crate::rust::bindings;
use core::ffi::c_void;
use kernel::{
    alloc::KVec,
    prelude::*, //
};

/// A node's symbolic link.
pub(crate) trait Link: Node {
    /// The target, without a zero at its end, with room left for one.
    fn target(&self) -> Result<KVec<u8>>;
}

/// `inode_operations.get_link`.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`, `dentry` is null under RCU or leads to it, and `done` is
/// ours to fill.
pub(super) unsafe extern "C" fn get_link<T: Link>(
    dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    done: *mut bindings::delayed_call,
) -> *const c_char {
    if dentry.is_null() {
        // Reading the target sleeps.
        return ECHILD.to_ptr();
    }
    // SAFETY: By the caller.
    let node = unsafe { T::from_vfs(inode) };
    let ended = node.target().and_then(|mut target| {
        target.push(0, GFP_KERNEL)?;
        Ok(target)
    });
    let target = match ended {
        Ok(target) => target,
        Err(error) => return error.to_ptr(),
    };
    let (start, _, _) = target.into_raw_parts();
    // SAFETY: By the caller. The vector lies in memory of `kmalloc`, which `kfree_link` frees.
    unsafe {
        (*done).fn_ = Some(bindings::kfree_link);
        (*done).arg = start.cast::<c_void>();
    }
    start.cast()
}
