// SPDX-License-Identifier: GPL-2.0

//! ioctls.

use super::{
    node::Node,
    path::OpenFile, //
};
use crate::rust::bindings;
use kernel::prelude::*;

/// A node that answers ioctls.
pub(crate) trait Controlled: Node {
    /// Answers one; what it returns is what the caller gets. `compat`: a 32-bit program calls.
    fn ioctl(file: &OpenFile<'_, Self>, command: u32, argument: u64, compat: bool)
        -> Result<usize>;
}

fn answer<T: Controlled>(
    file: *mut bindings::file,
    command: c_uint,
    argument: u64,
    compat: bool,
) -> c_long {
    // SAFETY: The VFS calls with an open file of a `T`, for the time of the call.
    let file = unsafe { OpenFile::from_raw(file) };
    match T::ioctl(&file, command, argument, compat) {
        // Lengths and descriptors fit.
        Ok(value) => value as c_long,
        Err(error) => error.to_errno() as c_long,
    }
}

/// `file_operations.unlocked_ioctl`.
///
/// # Safety
///
/// Called by the VFS: `file` is open on a `T`.
pub(super) unsafe extern "C" fn unlocked_ioctl<T: Controlled>(
    file: *mut bindings::file,
    command: c_uint,
    argument: c_ulong,
) -> c_long {
    answer::<T>(file, command, argument as u64, false)
}

/// `file_operations.compat_ioctl`.
///
/// # Safety
///
/// Called by the VFS: `file` is open on a `T`.
pub(super) unsafe extern "C" fn compat_ioctl<T: Controlled>(
    file: *mut bindings::file,
    command: c_uint,
    argument: c_ulong,
) -> c_long {
    // A 32-bit program's addresses have no high half.
    answer::<T>(file, command, u64::from(argument as u32), true)
}
