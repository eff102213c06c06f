// SPDX-License-Identifier: GPL-2.0

//! The active item list (AIL): items whose changes are in the log and not yet in their place.
//!
//! Checkpoints become stable in the order of the log, so what they bring always comes last. The list
//! is a queue of batches, one a checkpoint, each with its items in a row: an item knows its place by
//! batch and index, leaves an empty slot when it goes or moves on to a later batch, and a batch that
//! has none left goes when it is the first. The first batch is the log's tail. Nothing is searched
//! or sorted, and whoever walks the list can stop anywhere and go on from there.

use super::{
    item::Item,
    patience::patiently,
    ring::Ring, //
};
use crate::libxfs::{
    error::Result,
    format::units::Lsn, //
};
use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        CondVar,
        Mutex, //
    }, //
};

/// Bits of an item's place that are its index; the rest is the number of its batch, from 1 on.
const INDEX_BITS: u32 = 24;

/// The items of a checkpoint.
struct Batch {
    lsn: Lsn,
    slots: KVVec<Option<Arc<Item>>>,
    /// Slots that are not empty.
    live: u32,
}

/// A place in the list, to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u64);

impl Position {
    /// In front of all items.
    pub(super) const START: Self = Self(0);

    const fn new(batch: u64, index: usize) -> Self {
        Self(batch << INDEX_BITS | index as u64)
    }

    fn batch(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }
}

struct State {
    batches: Ring<Batch>,
    /// Number of the first batch.
    first: u64,
    /// Items in all batches.
    items: usize,
    /// Where the record goes that follows the last checkpoint here.
    end: Lsn,
    /// What the tail was when it was last told.
    tail: Lsn,
    /// Who waits until the list is empty.
    waiting: u32,
}

/// How far the tail has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: Lsn,
    pub(super) to: Lsn,
}

/// The list.
#[pin_data]
pub(super) struct Ail {
    #[pin]
    state: Mutex<State>,
    /// The list is empty, or no one will empty it any more.
    #[pin]
    emptied: CondVar,
}

impl Ail {
    /// An empty list of a log whose tail is there, and whose next record goes to `end`.
    pub(super) fn new(tail: Lsn, end: Lsn) -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(
                State {
                    batches: Ring::new(),
                    first: 1,
                    items: 0,
                    end,
                    tail,
                    waiting: 0,
                },
                "xfs_rust_ail"
            ),
            emptied <- new_condvar!("xfs_rust_ail_empty"),
        })
    }

    /// Puts items at the end, or moves them there: those of the checkpoint that starts at `lsn`, and
    /// behind which the next record goes to `end`. Empty slots stay empty.
    ///
    /// # Errors
    ///
    /// `NoMemory`; nothing is changed then.
    pub(super) fn insert(
        &self,
        lsn: Lsn,
        end: Lsn,
        slots: KVVec<Option<Arc<Item>>>,
    ) -> Result<Option<Moved>> {
        let mut room = KVVec::new();
        let mut state = loop {
            let mut state = self.state.lock();
            let wanted = match state.batches.replace_memory(&mut room) {
                None => break state,
                Some(wanted) => wanted,
            };
            drop(state);
            patiently(|| {
                room = KVVec::with_capacity(wanted, GFP_KERNEL)?;
                Ok(())
            })?;
        };
        state.end = end;
        let number = state.first.saturating_add(state.batches.len() as u64);
        let mut live = 0_u32;
        for (index, item) in slots.iter().enumerate() {
            let Some(item) = item else { continue };
            // The list has this reference and that one: neither is the last.
            drop(state.vacate(item));
            item.place.store(Position::new(number, index).0, Relaxed);
            live = live.saturating_add(1);
        }
        state.items = state.items.saturating_add(live as usize);
        // An empty batch keeps the numbers in step, and goes with the tail.
        state.batches.push_back(Batch { lsn, slots, live });
        let (moved, gone) = self.settle(&mut state);
        drop(state);
        drop(gone);
        drop(room);
        Ok(moved)
    }

    /// Takes an item out, if it is in.
    pub(super) fn remove(&self, item: &Item) -> Option<Moved> {
        self.remove_if(item, |_| true)
    }

    /// Takes an item out if it is in, and `may` says so of where its last change lies.
    pub(super) fn remove_if(&self, item: &Item, may: impl FnOnce(Lsn) -> bool) -> Option<Moved> {
        let mut state = self.state.lock();
        let lsn = state.lsn_of(item)?;
        if !may(lsn) {
            return None;
        }
        let held = state.vacate(item);
        let (moved, gone) = self.settle(&mut state);
        drop(state);
        // Whatever goes with the last reference goes without the lock.
        drop((held, gone));
        moved
    }

    /// Where the last change of an item lies that is in; `None` for one that is not.
    pub(super) fn lsn_of(&self, item: &Item) -> Option<Lsn> {
        self.state.lock().lsn_of(item)
    }

    /// Takes all out: nothing more is written.
    pub(super) fn clear(&self) {
        loop {
            let mut state = self.state.lock();
            let Some(mut batch) = state.batches.pop_front() else {
                self.emptied.notify_all();
                return;
            };
            state.first = state.first.saturating_add(1);
            state.items = state.items.saturating_sub(batch.live as usize);
            for item in batch.slots.iter_mut().flatten() {
                item.place.store(0, Relaxed);
            }
            drop(state);
            drop(batch);
        }
    }

    /// Looks where the tail is, after items have gone.
    fn settle(&self, state: &mut State) -> (Option<Moved>, Gone) {
        let mut gone = [const { None }; 8];
        for slot in &mut gone {
            match state.batches.front() {
                Some(batch) if batch.live == 0 => {}
                _ => break,
            }
            *slot = state.batches.pop_front();
            state.first = state.first.saturating_add(1);
        }
        // Of those that are left the memory goes here; it is seldom much.
        while state.batches.front().is_some_and(|batch| batch.live == 0) {
            drop(state.batches.pop_front());
            state.first = state.first.saturating_add(1);
        }
        let tail = state.tail();
        let from = core::mem::replace(&mut state.tail, tail);
        (
            (from != tail).then_some(Moved { from, to: tail }),
            Gone(gone),
        )
    }

    /// The oldest record that recovery needs.
    pub(super) fn tail(&self) -> Lsn {
        self.state.lock().tail
    }

    /// Where the last checkpoint that is stable ends.
    pub(super) fn end(&self) -> Lsn {
        self.state.lock().end
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().items == 0
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.state.lock().items
    }

    /// Where the last items of the list have their changes; `None` when it is empty.
    pub(super) fn max(&self) -> Option<Lsn> {
        let state = self.state.lock();
        let last = state.batches.len().checked_sub(1)?;
        (state.items != 0).then(|| state.batches.get(last).map(|batch| batch.lsn))?
    }

    /// Whether someone waits until it is empty.
    pub(super) fn is_awaited(&self) -> bool {
        self.state.lock().waiting != 0
    }

    /// Waits until it is empty, or `given_up` says that it will not be. `push` has it pushed, once it
    /// is known that someone waits.
    pub(super) fn wait_empty(&self, push: impl FnOnce(), given_up: impl Fn() -> bool) {
        let mut state = self.state.lock();
        state.waiting = state.waiting.saturating_add(1);
        drop(state);
        push();
        let mut state = self.state.lock();
        while state.items != 0 && !given_up() {
            self.emptied.wait(&mut state);
        }
        state.waiting = state.waiting.saturating_sub(1);
    }

    /// Wakes those who wait until it is empty, if it is. Comes after the room that its last items
    /// had was given back: the tail has moved with them.
    pub(super) fn wake_if_empty(&self) {
        let state = self.state.lock();
        if state.items == 0 && state.waiting != 0 {
            self.emptied.notify_all();
        }
    }

    /// Wakes those who wait, to look whether it is given up.
    pub(super) fn wake(&self) {
        let _state = self.state.lock();
        self.emptied.notify_all();
    }

    /// Copies items to `into`, as many as there is room for, from `from` on and not past `target`.
    /// Returns where to go on; `None` at the end.
    pub(super) fn next(
        &self,
        from: Position,
        target: Lsn,
        into: &mut KVec<Arc<Item>>,
    ) -> Option<Position> {
        let state = self.state.lock();
        let mut number = from.batch().max(state.first);
        let mut index = match number == from.batch() {
            true => from.index(),
            false => 0,
        };
        loop {
            let at = number.checked_sub(state.first)?;
            let batch = state.batches.get(usize::try_from(at).ok()?)?;
            if batch.lsn > target {
                return None;
            }
            let rest = batch.slots.get(index..).unwrap_or_default();
            for (offset, slot) in rest.iter().enumerate() {
                if let Some(item) = slot {
                    if into.push_within_capacity(item.clone()).is_err() {
                        let index = index.saturating_add(offset);
                        return Some(Position::new(number, index));
                    }
                }
            }
            number = number.saturating_add(1);
            index = 0;
        }
    }
}

/// Batches that are gone, to be dropped without the lock.
struct Gone(#[allow(dead_code)] [Option<Batch>; 8]);

impl State {
    fn tail(&self) -> Lsn {
        self.batches.front().map_or(self.end, |batch| batch.lsn)
    }

    fn lsn_of(&self, item: &Item) -> Option<Lsn> {
        let place = Position(item.place.load(Relaxed));
        let at = place.batch().checked_sub(self.first)?;
        Some(self.batches.get(usize::try_from(at).ok()?)?.lsn)
    }

    /// Empties an item's slot, if it has one.
    fn vacate(&mut self, item: &Item) -> Option<Arc<Item>> {
        let place = Position(item.place.load(Relaxed));
        item.place.store(0, Relaxed);
        let at = place.batch().checked_sub(self.first)?;
        let batch = self.batches.get_mut(usize::try_from(at).ok()?)?;
        let held = batch.slots.get_mut(place.index())?.take();
        if held.is_some() {
            batch.live = batch.live.saturating_sub(1);
            self.items = self.items.saturating_sub(1);
        }
        held
    }
}
