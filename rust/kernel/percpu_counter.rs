// SPDX-License-Identifier: GPL-2.0

//! Counters that each CPU keeps a part of.
//!
//! C header: [`include/linux/percpu_counter.h`](srctree/include/linux/percpu_counter.h)

use crate::rust::bindings;
use core::{
    cmp::Ordering,
    pin::Pin, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// A `struct percpu_counter`.
#[pin_data(PinnedDrop)]
pub struct PerCpuCounter {
    #[pin]
    raw: Opaque<bindings::percpu_counter>,
}

// SAFETY: Made for use from everywhere.
unsafe impl Send for PerCpuCounter {}
// SAFETY: As above.
unsafe impl Sync for PerCpuCounter {}

impl PerCpuCounter {
    /// Initializer of a counter. Fails with `ENOMEM`.
    pub fn new(value: i64) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|slot| {
                // SAFETY: The slot is valid for writing, and stays where it is.
                to_result(unsafe { bindings::percpu_counter_init(slot, value) })
            }),
        }? Error)
    }

    /// Adds. A CPU keeps less than `batch` to itself.
    #[inline]
    pub fn add(&self, n: i64, batch: i32) {
        // SAFETY: Initialized, by construction.
        unsafe { bindings::percpu_counter_add(self.raw.get(), n, batch) };
    }

    /// Holds the exact sum against a value. It is summed up only where all that CPUs keep to
    /// themselves, less than `batch` each, could matter.
    pub fn compare(&self, with: i64, batch: i32) -> Ordering {
        // SAFETY: Initialized, by construction.
        let order = unsafe { bindings::percpu_counter_compare(self.raw.get(), with, batch) };
        order.cmp(&0)
    }

    /// The exact sum; 0 where it is negative.
    pub fn sum(&self) -> u64 {
        // SAFETY: Initialized, by construction.
        let sum = unsafe { bindings::percpu_counter_sum_positive(self.raw.get()) };
        sum.unsigned_abs()
    }

    /// About the sum, for the price of a load.
    #[inline]
    pub fn rough(&self) -> u64 {
        // SAFETY: Initialized, by construction.
        let sum = unsafe { bindings::percpu_counter_read_positive(self.raw.get()) };
        sum.unsigned_abs()
    }
}

#[pinned_drop]
impl PinnedDrop for PerCpuCounter {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialized, and not used after this.
        unsafe { bindings::percpu_counter_destroy(self.raw.get()) };
    }
}
