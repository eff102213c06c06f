// SPDX-License-Identifier: GPL-2.0

//! Space that is refused on demand.

use std::cell::Cell;

/// How often space was asked for, and from when on there is none.
pub struct Scarcity {
    asked: Cell<u64>,
    begins: Cell<u64>,
}

impl Default for Scarcity {
    fn default() -> Self {
        Self {
            asked: Cell::new(0),
            begins: Cell::new(u64::MAX),
        }
    }
}

impl Scarcity {
    /// How often space was asked for so far.
    pub fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// Refuses all that is asked for once it was asked for so often.
    pub fn begin_after(&self, asked: u64) {
        self.begins.set(asked);
    }

    /// Whether anything was refused since that was set.
    pub fn has_begun(&self) -> bool {
        self.asked.get() > self.begins.get()
    }

    /// Refuses no more.
    pub fn end(&self) {
        self.begins.set(u64::MAX);
    }

    /// Whether what is asked for now is granted.
    pub(super) fn grants(&self) -> bool {
        let asked = self.asked.get();
        self.asked.set(asked + 1);
        asked < self.begins.get()
    }
}
