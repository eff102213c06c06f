// SPDX-License-Identifier: GPL-2.0

//! Pushing the AIL: its oldest items are put into their place, so that the log's tail moves on.
//!
//! A work item walks the list up to a target: a quarter of the log behind the tail where less than a
//! quarter is free or someone waits for room, all of it from time to time, or for as long as someone
//! waits until the list is empty. It waits for nobody. What it cannot put into its place now it meets
//! again; if that is because of what is not yet in the log, it has that written meanwhile.

use super::{
    ail::Position,
    flush::Flushed,
    item::Item,
    Engine, //
};
use crate::{
    fs::buf::WriteList,
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::units::Lsn,
        log::space, //
    },
    rust::kernel::nofs::NoFs,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

/// Items that are looked at between two looks at the list.
const BATCH: usize = 128;
/// Items that could not be dealt with, from which on a round ends.
const STUCK: u32 = 100;

/// What a pusher keeps from round to round.
pub(super) struct Pusher {
    list: WriteList,
    batch: KVec<Arc<Item>>,
    /// Where it goes on.
    at: Position,
    /// Whether changes that are not in the log were in its way.
    was_pinned: bool,
}

impl Pusher {
    pub(super) const fn new() -> Self {
        Self {
            list: WriteList::new(),
            batch: KVec::new(),
            at: Position::START,
            was_pinned: false,
        }
    }

    /// Forgets what was to be written.
    pub(super) fn forget(&mut self) {
        self.list = WriteList::new();
        self.batch = KVec::new();
    }
}

/// What a round has come to.
#[derive(Default)]
struct Round {
    seen: u32,
    stuck: u32,
    pinned: u32,
    is_at_end: bool,
}

impl Engine {
    /// Has the AIL pushed, as someone waits for room.
    pub(super) fn push_for_room(self: &Arc<Self>) {
        self.push_ail();
    }

    /// Has all pushed that is in the AIL.
    pub(crate) fn push_all(self: &Arc<Self>) {
        if let Some(last) = self.ail.max() {
            self.raise_target(last);
            self.push_ail();
        }
    }

    /// Has the AIL pushed.
    pub(super) fn push_ail(self: &Arc<Self>) {
        if !self.is_stopping() {
            // It is queued already where this fails.
            let _ = self.queue.as_queue().enqueue::<_, 2>(self.clone());
        }
    }

    fn push_ail_later(self: &Arc<Self>, milliseconds: u32) {
        if !self.is_stopping() {
            let delay = msecs_to_jiffies(milliseconds);
            let _ = self
                .queue
                .as_queue()
                .enqueue_delayed::<_, 3>(self.clone(), delay);
        }
    }

    fn raise_target(&self, lsn: Lsn) {
        let mut old = self.target.load(Relaxed);
        while old < lsn.0 {
            match self.target.cmpxchg(old, lsn.0, Full) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// How far the list is to be pushed now; `None` where it is not.
    pub(super) fn push_target(&self) -> Option<Lsn> {
        let last = self.ail.max()?;
        if self.ail.is_awaited() {
            return Some(last);
        }
        let len = self.records.area().len;
        let (tail, end) = (self.ail.tail(), self.ail.end());
        let used = space::distance(len, tail, end).unwrap_or(0);
        if used > len.saturating_sub(len / 4) || self.grants.is_short() {
            self.raise_target(space::advance(len, tail, len / 4).min(last));
        }
        let target = Lsn(self.target.load(Relaxed));
        (target >= tail).then_some(target)
    }

    /// One round of pushing.
    fn push_round(self: &Arc<Self>) {
        let _nofs = NoFs::new();
        let mut pusher = self.pusher.lock();
        if self.health.is_shut_down() {
            self.ail.clear();
            pusher.forget();
            return;
        }
        if core::mem::replace(&mut pusher.was_pinned, false) {
            self.push_soon();
        }
        let Some(target) = self.push_target() else {
            pusher.at = Position::START;
            if self.grants.is_short() {
                // What takes the room is committed and not written.
                self.push_soon();
            }
            return;
        };
        let round = self.walk(&mut pusher, target);
        let skipped = pusher.list.submit();
        pusher.was_pinned = round.pinned != 0 || skipped.pinned != 0;
        let is_stuck = round.stuck.saturating_mul(10) > round.seen.saturating_mul(9);
        if round.is_at_end || is_stuck {
            pusher.at = Position::START;
        }
        let delay = match (round.is_at_end, is_stuck) {
            // What is on its way will be written meanwhile.
            (true, _) if round.stuck == 0 && pusher.list.is_empty() => 50,
            (_, true) | (true, _) => 20,
            (false, false) => 0,
        };
        drop(pusher);
        if self.push_target().is_some() {
            self.push_ail_later(delay);
        }
    }

    /// Walks the list for a while.
    fn walk(self: &Arc<Self>, pusher: &mut Pusher, target: Lsn) -> Round {
        let mut round = Round::default();
        if pusher.batch.reserve(BATCH, GFP_KERNEL).is_err() {
            round.stuck = 1;
            return round;
        }
        while round.stuck <= STUCK && pusher.list.len() < BATCH.saturating_mul(8) {
            let next = self.ail.next(pusher.at, target, &mut pusher.batch);
            let list = &mut pusher.list;
            for item in pusher.batch.drain_all() {
                round.seen = round.seen.saturating_add(1);
                match item.flush(list) {
                    Ok(Flushed::Queued | Flushed::Nothing) => {}
                    Ok(Flushed::Busy) => round.stuck = round.stuck.saturating_add(1),
                    Ok(Flushed::Pinned) => {
                        round.stuck = round.stuck.saturating_add(1);
                        round.pinned = round.pinned.saturating_add(1);
                    }
                    // Once more, later.
                    Err(Error::NoMemory) => round.stuck = round.stuck.saturating_add(1),
                    Err(Error::Shutdown) => {}
                    Err(error) => self.cannot_flush(error),
                }
            }
            match next {
                Some(next) => pusher.at = next,
                None => {
                    round.is_at_end = true;
                    break;
                }
            }
        }
        round
    }

    /// Shuts the file system down, as an item can never come into its place.
    #[cold]
    fn cannot_flush(&self, error: Error) {
        if let Error::Corrupt(corruption) = error {
            self.health.report(&corruption);
        }
        self.health
            .shut_down("since what the log has cannot be put into its place");
    }

    /// Waits until all is in its place that is in the AIL, and what comes meanwhile.
    ///
    /// # Errors
    ///
    /// `Shutdown`.
    pub(crate) fn push_all_and_wait(self: &Arc<Self>) -> Result {
        self.push_all();
        self.ail
            .wait_empty(|| self.push_ail(), || self.health.is_shut_down());
        match self.health.is_shut_down() {
            false => Ok(()),
            true => Err(Error::Shutdown),
        }
    }
}

impl WorkItem<2> for Engine {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.push_round();
    }
}

impl WorkItem<3> for Engine {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if !this.is_stopping() {
            this.push_round();
        }
    }
}

kernel::workqueue::impl_has_work! {
    impl HasWork<Self, 2> for Engine { self.ail_work }
}
kernel::workqueue::impl_has_delayed_work! {
    impl HasDelayedWork<Self, 3> for Engine { self.again_work }
}
