// SPDX-License-Identifier: GPL-2.0

//! Allocations that fail on demand, and what allocations there were: for tests alone.
//!
//! All of it belongs to one thread, so tests that run side by side do not disturb each other.

use super::AllocError;
use std::cell::Cell;

thread_local! {
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Allocations of this thread so far.
pub fn count() -> u64 {
    COUNT.get()
}

/// The largest allocation that this thread asked for, in bytes, since [`reset_largest`].
pub fn largest() -> usize {
    LARGEST.get()
}

/// Forgets the largest allocation.
pub fn reset_largest() {
    LARGEST.set(0);
}

/// Fails every allocation of this thread after `allowed` more, for as long as this lives.
#[must_use = "allocations succeed again once this is dropped"]
pub struct FailAfter(Option<u64>);

impl FailAfter {
    /// Starts counting down.
    pub fn new(allowed: u64) -> Self {
        Self(LEFT.replace(Some(allowed)))
    }
}

impl Drop for FailAfter {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// Accounts for an allocation of `bytes`.
pub(super) fn charge(bytes: usize) -> Result<(), AllocError> {
    COUNT.set(COUNT.get() + 1);
    LARGEST.set(LARGEST.get().max(bytes));
    match LEFT.get() {
        Some(0) => Err(AllocError),
        Some(left) => {
            LEFT.set(Some(left - 1));
            Ok(())
        }
        None => Ok(()),
    }
}
