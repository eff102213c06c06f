// SPDX-License-Identifier: GPL-2.0

//! How much of what a group keeps for some trees is left.

use super::reserve::Demand;

/// Blocks of a group that are kept for trees which must be able to grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Blocks that the trees may have in all.
    pub asked: u32,
    /// Blocks of these that they do not have yet.
    pub left: u32,
    /// Whether blocks of these trees count as free.
    counts_as_free: bool,
}

impl Reservation {
    /// For trees whose blocks count as used.
    pub(super) fn of_used(demand: Demand) -> Self {
        let asked = demand.asked.max(demand.used);
        Self {
            asked,
            left: asked.saturating_sub(demand.used),
            counts_as_free: false,
        }
    }

    /// For trees whose blocks count as free, as those of the group's list do.
    pub(super) fn of_free(demand: Demand) -> Self {
        Self {
            counts_as_free: true,
            ..Self::of_used(demand)
        }
    }

    /// Blocks that are taken from the free counter for it.
    pub fn hidden(&self) -> u32 {
        if self.counts_as_free {
            self.asked
        } else {
            self.left
        }
    }

    /// Takes up to `n` blocks from it. Returns how many more are needed.
    pub fn take(&mut self, n: u32) -> u32 {
        let taken = n.min(self.left);
        self.left = self.left.saturating_sub(taken);
        n.saturating_sub(taken)
    }

    /// Gives back up to `n` blocks, as far as the trees had more than is left. Returns how many are
    /// too much.
    pub fn give(&mut self, n: u32) -> u32 {
        let given = n.min(self.asked.saturating_sub(self.left));
        self.left = self.left.saturating_add(given);
        n.saturating_sub(given)
    }
}
