// SPDX-License-Identifier: GPL-2.0

//! Holding requests back until there are several, so that neighbours become one.
//!
//! C header: [`include/linux/blk_plug.h`](srctree/include/linux/blk_plug.h)

use crate::rust::bindings;
use core::mem::MaybeUninit;

/// Calls `submit`; the requests that it sends go to their devices at its end, or when it sleeps.
pub fn plugged<T>(submit: impl FnOnce() -> T) -> T {
    /// Ends the plug, whatever way `submit` is left.
    struct Plug<'a>(&'a mut MaybeUninit<bindings::blk_plug>);

    impl Drop for Plug<'_> {
        fn drop(&mut self) {
            // SAFETY: Started below by this task, and ended once.
            unsafe { bindings::blk_finish_plug(self.0.as_mut_ptr()) };
        }
    }

    let mut plug = MaybeUninit::uninit();
    // SAFETY: Initializes it; it stays where it is, on this task's stack, until it is finished.
    unsafe { bindings::blk_start_plug(plug.as_mut_ptr()) };
    let _plug = Plug(&mut plug);
    submit()
}
