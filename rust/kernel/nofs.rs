// SPDX-License-Identifier: GPL-2.0

//! Allocation that does not call back into file systems.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::rust::bindings;
use kernel::{
    ffi::c_uint,
    types::NotThreadSafe, //
};

/// While this lives, no allocation of this task enters a file system to free memory: for code that
/// holds locks that reclaim might want.
#[must_use]
pub struct NoFs {
    flags: c_uint,
    _task: NotThreadSafe,
}

impl NoFs {
    /// Starts the scope.
    pub fn new() -> Self {
        Self {
            // SAFETY: Changes a flag of the current task.
            flags: unsafe { bindings::memalloc_nofs_save() },
            _task: NotThreadSafe,
        }
    }
}

impl Drop for NoFs {
    fn drop(&mut self) {
        // SAFETY: Undoes `new`, in the same task since the type is not `Send`.
        unsafe { bindings::memalloc_nofs_restore(self.flags) };
    }
}
