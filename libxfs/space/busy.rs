// SPDX-License-Identifier: GPL-2.0

//! Blocks that are free, and that the disk may still hold for someone's.
//!
//! A block is free as soon as a transaction says so. Before that transaction is on stable storage, a
//! crash brings the old owner back, with whatever lies in the block by then. What is logged does not
//! matter: recovery comes to it in order. What bypasses the log, as the content of files does, must
//! not be written there before.
//!
//! So each group notes what was freed, under the number of its commit, until the journal has that on
//! stable storage. Such a block may be used for what is logged, and is not busy from then on.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        btree::{FreeExtent, GroupBlock},
        units::{AgBlock, AgNumber, RtGroup},
    },
    journal::{CommitSequence, Journal},
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// Blocks of a group, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch<B> {
    /// The first.
    pub start: B,
    /// How many.
    pub count: u32,
}

impl<B: GroupBlock> Stretch<B> {
    /// The block behind the last one.
    pub fn end(&self) -> B {
        B::from_raw(self.start.raw().saturating_add(self.count))
    }

    /// From one block to another, in front of which it ends.
    fn between(start: B, end: B) -> Self {
        Self {
            start,
            count: end.raw().saturating_sub(start.raw()),
        }
    }
}

impl From<FreeExtent> for Stretch<AgBlock> {
    fn from(extent: FreeExtent) -> Self {
        Self {
            start: extent.start,
            count: extent.count,
        }
    }
}

/// The busy blocks of a group.
#[derive(Debug)]
pub struct Busy<B> {
    /// Freed by the transaction that has the group locked, and not committed.
    open: KVVec<Stretch<B>>,
    /// Freed by transactions that were committed. In order, without overlap.
    waiting: KVVec<Waiting<B>>,
}

impl<B> Default for Busy<B> {
    fn default() -> Self {
        Self {
            open: KVVec::new(),
            waiting: KVVec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting<B> {
    extent: Stretch<B>,
    since: CommitSequence,
}

/// Tells all groups that every transaction up to that one is on stable storage. The journal calls it
/// once [`Journal::is_stable`] says so.
pub fn stable<J: Journal>(journal: &J, sequence: CommitSequence) {
    for ag in 0..journal.geometry().ag_count {
        // Every group is there.
        let _ = journal.with_group(AgNumber(ag), |group| group.busy.settle(sequence));
    }
    for group in 0..journal.geometry().rt_group_count {
        let _ = journal.with_rt_group(RtGroup(group), |busy| busy.settle(sequence));
    }
}

/// What is left of an extent before and behind another one that overlaps it.
fn around<B: GroupBlock>(
    extent: &Stretch<B>,
    other: &Stretch<B>,
) -> (Option<Stretch<B>>, Option<Stretch<B>>) {
    let some = |part: Stretch<B>| Some(part).filter(|part| part.count != 0);
    (
        some(Stretch::between(extent.start, other.start)),
        some(Stretch::between(other.end(), extent.end())),
    )
}

fn overlap<B: GroupBlock>(one: &Stretch<B>, other: &Stretch<B>) -> bool {
    one.start < other.end() && other.start < one.end()
}

impl<B: GroupBlock> Busy<B> {
    /// Makes room for what one free or one allocation adds, so that noting it cannot fail.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn reserve(&mut self) -> Result {
        self.open.reserve(1, GFP_KERNEL)?;
        // All that is open goes there, and one may be cut in two.
        let more = self.open.len().saturating_add(2);
        self.waiting.reserve(more, GFP_KERNEL)?;
        Ok(())
    }

    /// Whether nothing is busy.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty()
    }

    /// Notes an extent that is being freed. There is [room](Self::reserve).
    ///
    /// # Errors
    ///
    /// `NoMemory` where there is none.
    pub fn add(&mut self, extent: Stretch<B>) -> Result {
        if let Some(last) = self.open.last_mut() {
            if last.end() == extent.start {
                last.count = last.count.saturating_add(extent.count);
                return Ok(());
            }
            if extent.end() == last.start {
                last.start = extent.start;
                last.count = last.count.saturating_add(extent.count);
                return Ok(());
            }
        }
        self.open.push(extent, GFP_KERNEL)?;
        Ok(())
    }

    /// Forgets an extent that is about to hold what is logged. There is [room](Self::reserve).
    ///
    /// # Errors
    ///
    /// `NoMemory` where there is none.
    pub fn reuse(&mut self, extent: &Stretch<B>) -> Result {
        let mut at = 0;
        while let Some(open) = self.open.get_mut(at) {
            if !overlap(open, extent) {
                at = at.saturating_add(1);
                continue;
            }
            match around(open, extent) {
                (Some(before), behind) => {
                    *open = before;
                    if let Some(behind) = behind {
                        self.open.push(behind, GFP_KERNEL)?;
                    }
                }
                (None, Some(behind)) => *open = behind,
                (None, None) => {
                    let last = self.open.len().saturating_sub(1);
                    self.open.as_mut_slice().swap(at, last);
                    self.open.truncate(last);
                }
            }
        }
        self.reuse_waiting(extent)
    }

    fn reuse_waiting(&mut self, extent: &Stretch<B>) -> Result {
        let first = self.first_behind(extent.start);
        let Some(&Waiting { since, .. }) = self.waiting.get(first) else {
            return Ok(());
        };
        let mut rest = None;
        let mut gone = false;
        for waiting in self.waiting.get_mut(first..).unwrap_or_default() {
            if waiting.extent.start >= extent.end() {
                break;
            }
            match around(&waiting.extent, extent) {
                (Some(before), behind) => {
                    waiting.extent = before;
                    rest = behind;
                }
                (None, Some(behind)) => waiting.extent = behind,
                (None, None) => {
                    waiting.extent.count = 0;
                    gone = true;
                }
            }
        }
        if let Some(extent) = rest {
            // Only one that it lies within is cut in two.
            self.insert(Waiting { extent, since })?;
        }
        if gone {
            self.waiting.retain(|waiting| waiting.extent.count != 0);
        }
        Ok(())
    }

    /// The transaction that held the group's header was committed.
    pub fn commit(&mut self, since: CommitSequence) {
        while let Some(extent) = self.open.pop() {
            // There is room since it was added.
            let _ = self.insert(Waiting { extent, since });
        }
    }

    /// All transactions up to that one are on stable storage.
    pub fn settle(&mut self, stable: CommitSequence) {
        self.waiting.retain(|waiting| waiting.since > stable);
    }

    /// The last of the transactions that are waited for; none where only the one that holds the
    /// group's header has freed anything.
    pub fn last(&self) -> Option<CommitSequence> {
        self.waiting.iter().map(|waiting| waiting.since).max()
    }

    /// Calls `visit` with each part of `extent` that is not busy, in order.
    pub fn for_each_gap(&self, extent: &Stretch<B>, mut visit: impl FnMut(Stretch<B>)) {
        let mut at = extent.start;
        while at < extent.end() {
            let next = self.next(at, extent.end());
            let stop = next.map_or(extent.end(), |busy| busy.start.min(extent.end()));
            let gap = Stretch::between(at, stop);
            if gap.count != 0 {
                visit(gap);
            }
            let Some(busy) = next else {
                break;
            };
            at = busy.end();
        }
    }

    /// The first busy extent that ends behind `at`, if it begins before `end`.
    fn next(&self, at: B, end: B) -> Option<Stretch<B>> {
        let waiting = self.waiting.get(self.first_behind(at));
        self.open
            .iter()
            .filter(|open| open.end() > at)
            .chain(waiting.map(|waiting| &waiting.extent))
            .filter(|busy| busy.start < end)
            .min_by_key(|busy| busy.start)
            .copied()
    }

    /// Index of the first waiting extent that ends behind `at`.
    fn first_behind(&self, at: B) -> usize {
        self.waiting
            .partition_point(|waiting| waiting.extent.end() <= at)
    }

    fn insert(&mut self, new: Waiting<B>) -> Result {
        let at = self.first_behind(new.extent.start);
        if let Some(before) = at.checked_sub(1).and_then(|at| self.waiting.get_mut(at)) {
            if before.since == new.since && before.extent.end() == new.extent.start {
                before.extent.count = before.extent.count.saturating_add(new.extent.count);
                return Ok(());
            }
        }
        self.waiting.reserve(1, GFP_KERNEL)?;
        self.waiting
            .insert_within_capacity(at, new)
            .map_err(|_| Error::NoMemory)
    }
}
