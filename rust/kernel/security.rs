// SPDX-License-Identifier: GPL-2.0

//! Labels that security modules give new inodes.

use super::{
    names::Name,
    node::Node, //
};
use crate::rust::bindings;
use kernel::{
    error::to_result,
    prelude::*,
    str::CStr, //
};

/// Whether inodes beside this one are likely to get labels.
pub(crate) fn may_label<T: Node>(node: &T) -> bool {
    // SAFETY: The inode is alive, and so is its super block.
    unsafe { bindings::super_has_security((*node.as_vfs()).i_sb) }
}

/// Calls `set` for each label that a new node gets which is made in `dir`: with its name, less the
/// prefix of the namespace, and its value.
///
/// # Errors
///
/// Those of `set`, and of the security modules.
pub(crate) fn label_new<T: Node, F: FnMut(&[u8], &[u8]) -> Result>(
    node: &T,
    dir: &T,
    name: Name<'_>,
    mut set: F,
) -> Result {
    // SAFETY: Both inodes are alive, and so is the name. `set` outlives the call, whose callback
    // gets it as it is.
    to_result(unsafe {
        bindings::label_new_inode(
            node.as_vfs(),
            dir.as_vfs(),
            name.as_ptr(),
            Some(set_all::<F>),
            (&raw mut set).cast(),
        )
    })
}

/// # Safety
///
/// Called by [`label_new`] through the security modules: `data` is its `set`, and `labels` a list
/// that ends with one without a name.
unsafe extern "C" fn set_all<F: FnMut(&[u8], &[u8]) -> Result>(
    _inode: *mut bindings::inode,
    labels: *const bindings::xattr,
    data: *mut c_void,
) -> c_int {
    // SAFETY: By the caller.
    let set = unsafe { &mut *data.cast::<F>() };
    let mut label = labels;
    loop {
        // SAFETY: By the caller: the list has not ended before. A name is a string, and a value has
        // its length.
        let (name, value) = unsafe {
            if (*label).name.is_null() {
                return 0;
            }
            let value: &[u8] = match (*label).value_len {
                0 => &[],
                len => core::slice::from_raw_parts((*label).value.cast(), len),
            };
            (CStr::from_char_ptr((*label).name), value)
        };
        if let Err(error) = set(name.to_bytes(), value) {
            return error.to_errno();
        }
        // SAFETY: The list goes on.
        label = unsafe { label.add(1) };
    }
}
