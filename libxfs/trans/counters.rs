// SPDX-License-Identifier: GPL-2.0

//! The counters of the superblock: a transaction changes them by differences, so that none needs
//! to lock them.

use crate::libxfs::{
    error::{Error, Result},
    journal::Claim,
};

/// By how much the counters change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterDeltas {
    /// Inodes that have space.
    pub inodes: i64,
    /// Inodes of these that are free.
    pub free_inodes: i64,
    /// Free blocks of the data device, beyond what was [claimed](super::Trans::start): what was
    /// freed, and what was claimed and not taken.
    pub free_blocks: i64,
    /// Free extents of the realtime device, in the same way.
    pub free_rt_extents: i64,
    /// Blocks of free-space trees, roots aside. They count as free, and no user can have them.
    pub alloc_tree_blocks: i64,
}

impl CounterDeltas {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a transaction claimed, has left, and changes.
#[derive(Debug)]
pub(super) struct Space {
    /// Claimed and not taken yet.
    left: Claim,
    /// Taken by the present transaction of a chain.
    taken: Claim,
    /// What the present transaction of a chain changes.
    deltas: CounterDeltas,
}

fn add(counter: &mut i64, n: u64) {
    *counter = counter.saturating_add(i64::try_from(n).unwrap_or(i64::MAX));
}

fn take(left: &mut u64, taken: &mut u64, n: u64) -> Result {
    *left = left.checked_sub(n).ok_or(Error::NoSpace)?;
    *taken = taken.saturating_add(n);
    Ok(())
}

impl Space {
    pub(super) fn new(claimed: Claim) -> Self {
        Self {
            left: claimed,
            taken: Claim::default(),
            deltas: CounterDeltas::default(),
        }
    }

    pub(super) const fn left(&self) -> Claim {
        self.left
    }

    pub(super) fn deltas_mut(&mut self) -> &mut CounterDeltas {
        &mut self.deltas
    }

    pub(super) fn take_blocks(&mut self, n: u64) -> Result {
        take(&mut self.left.blocks, &mut self.taken.blocks, n)
    }

    pub(super) fn adopt(&mut self, claim: Claim) {
        let left = &mut self.left;
        left.blocks = left.blocks.saturating_add(claim.blocks);
        left.rt_extents = left.rt_extents.saturating_add(claim.rt_extents);
    }

    pub(super) fn disown(&mut self, claim: Claim) -> Result {
        let blocks = self.left.blocks.checked_sub(claim.blocks);
        let rt_extents = self.left.rt_extents.checked_sub(claim.rt_extents);
        let (blocks, rt_extents) = blocks.zip(rt_extents).ok_or(Error::NoSpace)?;
        self.left.blocks = blocks;
        self.left.rt_extents = rt_extents;
        Ok(())
    }

    pub(super) fn take_rt_extents(&mut self, n: u64) -> Result {
        take(&mut self.left.rt_extents, &mut self.taken.rt_extents, n)
    }

    pub(super) fn free_blocks(&mut self, n: u64) {
        add(&mut self.deltas.free_blocks, n);
    }

    pub(super) fn free_rt_extents(&mut self, n: u64) {
        add(&mut self.deltas.free_rt_extents, n);
    }

    /// What the present transaction changes; the next one starts anew, with what is left.
    pub(super) fn roll(&mut self) -> CounterDeltas {
        self.taken = Claim::default();
        core::mem::take(&mut self.deltas)
    }

    /// What is given back with the last transaction, after it was rolled or when it is cancelled:
    /// what was claimed and not taken, or was taken for nothing.
    pub(super) fn finish(&mut self) -> CounterDeltas {
        self.deltas = CounterDeltas::default();
        for claim in [
            core::mem::take(&mut self.left),
            core::mem::take(&mut self.taken),
        ] {
            self.free_blocks(claim.blocks);
            self.free_rt_extents(claim.rt_extents);
        }
        self.roll()
    }
}
