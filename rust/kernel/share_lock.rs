// SPDX-License-Identifier: GPL-2.0

//! A sleeping lock, shared or exclusive, that has no owner.
//!
//! A block in flight is locked by whoever started the I/O and unlocked by its completion, in
//! another context; a kernel `rw_semaphore` demands that its owner releases it. This one takes
//! eight bytes and one atomic operation when it is free.
//!
//! Shared holders come first: a thread may take the lock shared again while it holds it shared,
//! even with someone waiting for it exclusively. A walk over a corrupt structure that leads back
//! to where it came from thus ends in an error and not in a deadlock.

use super::wait;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed, //
};

/// Held exclusively.
const EXCLUSIVE: u32 = 1 << 31;

/// The lock. It guards what its owner says; see the module.
pub struct ShareLock {
    /// [`EXCLUSIVE`], or the number of shared holders.
    word: Atomic<u32>,
    /// How many wait for it exclusively; who lets go wakes only if there are any.
    waiting: Atomic<u32>,
}

impl ShareLock {
    /// A lock that is held exclusively.
    pub const fn new_exclusive() -> Self {
        Self {
            word: Atomic::new(EXCLUSIVE),
            waiting: Atomic::new(0),
        }
    }

    /// Takes it shared if that needs no sleep.
    #[inline]
    pub fn try_lock_shared(&self) -> bool {
        let mut old = self.word.load(Relaxed);
        while old & EXCLUSIVE == 0 {
            match self.word.cmpxchg(old, old + 1, Acquire) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    /// Takes it shared.
    #[inline]
    pub fn lock_shared(&self) {
        while !self.try_lock_shared() {
            wait::wait_while(&self.word, EXCLUSIVE);
        }
    }

    /// Lets go of it shared. The caller holds it so.
    #[inline]
    pub fn unlock_shared(&self) {
        let old = self.word.fetch_add(u32::MAX, Full);
        debug_assert!(old != 0 && old & EXCLUSIVE == 0);
        if old == 1 && self.waiting.load(Relaxed) != 0 {
            wait::wake(&self.word);
        }
    }

    /// Takes it exclusively if that needs no sleep.
    pub fn try_lock(&self) -> bool {
        self.word.cmpxchg(0, EXCLUSIVE, Acquire).is_ok()
    }

    /// Takes it exclusively.
    pub fn lock(&self) {
        if self.try_lock() {
            return;
        }
        self.waiting.fetch_add(1, Full);
        while !self.try_lock() {
            wait::wait_while(&self.word, u32::MAX);
        }
        self.waiting.fetch_add(u32::MAX, Relaxed);
    }

    /// Lets go of it exclusively. The caller, or whoever it has the task from, holds it so.
    pub fn unlock(&self) {
        let old = self.word.fetch_add(EXCLUSIVE, Full);
        debug_assert!(old == EXCLUSIVE);
        wait::wake(&self.word);
    }

    /// Turns exclusive into shared.
    pub fn downgrade(&self) {
        let old = self.word.fetch_add(EXCLUSIVE + 1, Full);
        debug_assert!(old == EXCLUSIVE);
        wait::wake(&self.word);
    }
}
