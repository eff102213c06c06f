// SPDX-License-Identifier: GPL-2.0

//! Limits on how often something is said.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::rust::bindings;
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A limit: ten lines in five seconds, as `printk_ratelimited` has it.
#[pin_data]
pub struct RateLimit {
    #[pin]
    raw: Opaque<bindings::ratelimit_state>,
}

// SAFETY: The state has a lock of its own.
unsafe impl Send for RateLimit {}
// SAFETY: As above.
unsafe impl Sync for RateLimit {}

impl RateLimit {
    /// Initializer of a limit that nothing counts towards yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writing.
            raw <- Opaque::ffi_init(|slot| unsafe {
                bindings::ratelimit_state_init(slot, 5 * bindings::HZ as c_int, 10)
            }),
        })
    }

    /// Whether something may be said now; counts it if so.
    pub fn allows(&self) -> bool {
        // SAFETY: Initialized.
        unsafe { bindings::ratelimit(self.raw.get()) }
    }
}
