// SPDX-License-Identifier: GPL-2.0

//! Work queues of one's own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::rust::bindings;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    str::CStr,
    workqueue::{
        DelayedWork,
        Queue, //
    }, //
};

/// A work queue. Dropping it waits for all that was queued.
pub struct WorkQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Queues are made for use from everywhere.
unsafe impl Send for WorkQueue {}
// SAFETY: As above.
unsafe impl Sync for WorkQueue {}

impl WorkQueue {
    /// Makes a queue called `xfs-buf/NAME` or the like: `kind` and `name`, which runs as many items
    /// at once as the kernel sees fit, and goes on when memory is short.
    pub fn new(format: &'static CStr, name: &CStr) -> Result<Self> {
        let flags = bindings::wq_flags_WQ_MEM_RECLAIM
            | bindings::wq_flags_WQ_FREEZABLE
            | bindings::wq_flags_WQ_PERCPU;
        // SAFETY: The format takes one string, and strings they both are.
        let raw = unsafe {
            bindings::alloc_workqueue_noprof(format.as_char_ptr(), flags, 0, name.as_char_ptr())
        };
        NonNull::new(raw).map(Self).ok_or(ENOMEM)
    }

    /// The queue for the kernel crate's own items.
    pub fn as_queue(&self) -> &Queue {
        // SAFETY: Alive for as long as `self` is.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }

    /// Waits until all that was queued when this was called has run.
    pub fn flush(&self) {
        // SAFETY: Alive.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) };
    }

    /// Queues an item.
    ///
    /// # Safety
    ///
    /// `work` is initialized, and stays where it is until its function is called.
    pub unsafe fn queue(&self, work: *mut bindings::work_struct) {
        // SAFETY: By the caller; the queue is alive.
        unsafe {
            bindings::queue_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                self.0.as_ptr(),
                work,
            )
        };
    }
}

impl Drop for WorkQueue {
    fn drop(&mut self) {
        // SAFETY: Alive until here, and no longer used. Drains it first.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// Has a delayed item that waits for its time run now, and waits until it has.
pub fn flush_delayed<T, const ID: u64>(work: &DelayedWork<T, ID>) {
    // SAFETY: The item is alive; it is a `struct delayed_work`, whose work comes first.
    unsafe { bindings::flush_delayed_work(DelayedWork::raw_as_work(work).cast()) };
}
