// SPDX-License-Identifier: GPL-2.0

//! Several threads that do one thing at once.

use crate::rust::kernel::wait;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc, //
    },
    workqueue, //
};

/// Threads that have not ended yet.
pub(super) struct Workers(Arc<Left>);

struct Left(Atomic<u32>);

impl Workers {
    /// Starts `count` threads, each with its number; all share `what`.
    pub(super) fn start<T: Send + Sync + 'static>(
        count: u32,
        shared: &Arc<T>,
        work: fn(&T, u32),
    ) -> Result<Self> {
        let left = Arc::new(Left(Atomic::new(0)), GFP_KERNEL)?;
        let workers = Self(left);
        for number in 0..count {
            let shared = shared.clone();
            let left = workers.0.clone();
            left.0.fetch_add(1, Full);
            let started = workqueue::system_unbound().try_spawn(GFP_KERNEL, move || {
                work(&shared, number);
                drop(shared);
                left.0.fetch_add(u32::MAX, Full);
                wait::wake(&left.0);
            });
            if let Err(error) = started {
                workers.0 .0.fetch_add(u32::MAX, Full);
                return Err(error.into());
            }
        }
        Ok(workers)
    }

    /// Whether any is still at it.
    pub(super) fn are_busy(&self) -> bool {
        self.0 .0.load(kernel::sync::atomic::Acquire) != 0
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        wait::wait_while(&self.0 .0, u32::MAX);
    }
}

/// Numbers that look random and are the same each time.
pub(super) struct Sequence(u64);

impl Sequence {
    /// One of many.
    pub(super) fn new(seed: u32) -> Self {
        Self(u64::from(seed) + 1)
    }

    /// The next number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The constants are Knuth's for MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).checked_rem(end).unwrap_or(0)
    }
}
