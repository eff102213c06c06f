// SPDX-License-Identifier: GPL-2.0

//! Which faults are said in the kernel's log: each once, and not too many.

use crate::{
    libxfs::error::Corruption,
    rust::kernel::ratelimit::RateLimit, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Faults that are remembered.
const REMEMBERED: usize = 16;

/// How long a fault that was said is not said again. One bad block is met by many: a reader's
/// readahead and then its read, the second half of a system call, the next run of a cron job.
const QUIET: Delta = Delta::from_secs(60);

/// What was said of late.
struct Recent {
    said: [Option<(Corruption, Instant<Monotonic>)>; REMEMBERED],
    /// Whom the next one takes the place of.
    oldest: usize,
}

impl Recent {
    /// Whether `corruption` is news; remembers it if so.
    fn is_news(&mut self, corruption: &Corruption) -> bool {
        let known = |(fault, said): &(Corruption, Instant<Monotonic>)| {
            fault == corruption && said.elapsed() < QUIET
        };
        if self.said.iter().flatten().any(known) {
            return false;
        }
        if let Some(slot) = self.said.get_mut(self.oldest) {
            *slot = Some((*corruption, Instant::now()));
        }
        self.oldest = self.oldest.wrapping_add(1) % REMEMBERED;
        true
    }
}

/// What a mount has said of its disk's faults.
#[pin_data]
pub(super) struct Reports {
    #[pin]
    recent: SpinLock<Recent>,
    #[pin]
    limit: RateLimit,
}

impl Reports {
    /// Initializer: nothing was said yet.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            recent <- new_spinlock!(Recent {
                said: [None; REMEMBERED],
                oldest: 0,
            }),
            limit <- RateLimit::new(),
        })
    }

    /// Whether a fault is to be said now; counts it as said if so.
    pub(super) fn admits(&self, corruption: &Corruption) -> bool {
        self.recent.lock().is_news(corruption) && self.limit.allows()
    }
}
