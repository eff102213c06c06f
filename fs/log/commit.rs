// SPDX-License-Identifier: GPL-2.0

//! Commits: what a transaction changed is formatted and put into the CIL.
//!
//! All that is slow comes first, under the locks of what was changed alone: memory, copying. Then the
//! CIL is held shared, for as long as it takes to hand the vectors over.

use super::{
    cil::Added,
    item::{
        vector_bytes,
        Item,
        Pending,
        State,
        Subject, //
    },
    patience::patiently,
    ticket::Ticket,
    Engine, //
};
use crate::{
    fs::buf::Locked,
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            kind::Kind,
            log::{
                chunks::ChunkMap,
                inode::LogPlace, //
            },
            units::InodeNumber, //
        },
        items,
        journal::CommitSequence,
        log::items::Items,
        store::Run,
        trans::{
            BlockState,
            InodeFields, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// An item with what is new of it.
struct Prepared {
    item: Arc<Item>,
    pending: Option<Pending>,
    /// The intent that this answers; where that was not written yet, neither will be.
    intent: Option<Arc<Item>>,
}

/// A transaction on its way into the CIL. All that it changed is locked; if it is dropped before it
/// is [finished](Self::finish), the file system must be shut down.
pub(crate) struct Commit<'a> {
    engine: Arc<Engine>,
    ticket: &'a mut Ticket,
    prepared: KVec<Prepared>,
}

impl<'a> Commit<'a> {
    /// Begins one, in the room that a ticket has.
    pub(crate) fn new(engine: &Arc<Engine>, ticket: &'a mut Ticket) -> Self {
        Self {
            engine: engine.clone(),
            ticket,
            prepared: KVec::new(),
        }
    }

    fn prepare(&mut self, item: Arc<Item>, pending: Pending, intent: Option<Arc<Item>>) -> Result {
        let prepared = &mut self.prepared;
        patiently(|| Ok(prepared.reserve(1, GFP_KERNEL)?))?;
        let one = Prepared {
            item,
            pending: Some(pending),
            intent,
        };
        self.prepared
            .push_within_capacity(one)
            .map_err(|_| Error::NoMemory)
    }

    /// Takes what a transaction did to a block.
    ///
    /// # Errors
    ///
    /// `NoMemory`; `Invalid` for what cannot be logged.
    pub(crate) fn block(
        &mut self,
        block: &mut Locked,
        runs: &[Run],
        kind: Kind,
        state: BlockState,
        changed: &ChunkMap,
    ) -> Result {
        if state == BlockState::Clean {
            return Ok(());
        }
        let item = match block.watcher_as::<Item>() {
            Some(item) => item,
            None => Item::new(&self.engine, Subject::Block(block.hold()))?,
        };
        if state == BlockState::Invalid {
            return self.freed(block, item, runs);
        }
        block.set_kind(kind);
        block.set_watcher(Some(item.clone()));
        let mut changed = *changed;
        if runs.len() > 1 && !changed.is_empty() {
            // Recovery sees each piece by itself and sets no checksum.
            kind.seal(&self.engine.geometry, block, None);
            changed.add(0..1);
        }
        let (all, mut vector) = {
            let mut state = item.state.lock();
            state.dirty.merge(&changed);
            (state.dirty, core::mem::take(&mut state.spare))
        };
        // One that is ordered and was logged before is logged again, with what it had.
        if !all.is_empty() {
            let bytes: &[u8] = block;
            patiently(|| {
                vector.clear();
                vector.block(kind, runs, &all, bytes)
            })?;
        }
        let mut pending = Pending::new(vector);
        pending.pin = Some(block.pin());
        self.prepare(item, pending, None)
    }

    fn freed(&mut self, block: &mut Locked, item: Arc<Item>, runs: &[Run]) -> Result {
        let mut vector = Items::new();
        patiently(|| {
            vector.clear();
            vector.freed(runs)
        })?;
        {
            let mut state = item.state.lock();
            state.is_stale = true;
            state.dirty = ChunkMap::new();
        }
        let mut pending = Pending::new(vector);
        pending.freed = Some(block.invalidate());
        self.prepare(item, pending, None)
    }

    /// Takes an inode that a transaction changed. `slot` is where its item stands between commits,
    /// under the inode's lock; `place` is where it lies. `format` appends the inode to a vector, with
    /// all parts that it is told: those of `fields` and what was changed before and is not in its
    /// place.
    ///
    /// # Errors
    ///
    /// `NoMemory`, and those of `format`.
    pub(crate) fn inode(
        &mut self,
        slot: &mut Option<Arc<Item>>,
        (number, place): (InodeNumber, LogPlace),
        fields: InodeFields,
        mut format: impl FnMut(&mut Items, InodeFields) -> Result,
    ) -> Result {
        let item = match slot {
            Some(item) => item.clone(),
            None => {
                let item = Item::new(&self.engine, Subject::Inode(number, place))?;
                *slot = Some(item.clone());
                item
            }
        };
        let (fields, mut vector) = {
            let mut state = item.state.lock();
            state.is_committing = true;
            state.fields |= fields;
            (state.fields, core::mem::take(&mut state.spare))
        };
        self.engine.clusters.list(&item, place.at)?;
        patiently(|| {
            vector.clear();
            format(&mut vector, fields)
        })?;
        self.prepare(item, Pending::new(vector), None)
    }

    /// Takes something that a transaction logged beside blocks and inodes.
    ///
    /// # Errors
    ///
    /// `NoMemory`; `Invalid` for what no item of the log can hold.
    pub(crate) fn item(&mut self, what: &items::Item) -> Result {
        let mut vector = Items::new();
        patiently(|| {
            vector.clear();
            vector.item(what)
        })?;
        let (subject, intent) = match what {
            items::Item::Intent(id, _) => (Subject::Intent(*id), None),
            items::Item::Done(id, _) => (Subject::Note, self.engine.intents.take(*id)),
            items::Item::InodeCreate(_) => (Subject::Note, None),
        };
        let id = match subject {
            Subject::Intent(id) => Some(id),
            _ => None,
        };
        let item = Item::new(&self.engine, subject)?;
        if let Some(id) = id {
            self.engine.intents.add(id, &item)?;
        }
        self.prepare(item, Pending::new(vector), intent)
    }

    /// Hands all over to the CIL. Returns the number of the checkpoint that has it.
    ///
    /// # Errors
    ///
    /// `Shutdown`; `Range` where it is more than the ticket was for.
    pub(crate) fn finish(mut self) -> Result<CommitSequence> {
        if self.engine.health.is_shut_down() {
            return Err(Error::Shutdown);
        }
        let added = self.hand_over();
        if self.engine.health.is_shut_down() {
            // The list may have been emptied for the last time before this came to it.
            self.engine.push_soon();
        }
        self.ticket.spend(added.cost)?;
        if added.push {
            self.engine.push_soon();
        }
        Ok(CommitSequence(added.sequence))
    }

    fn hand_over(&mut self) -> Added {
        let open = self.engine.cil.open();
        let mut bytes = 0_i64;
        for one in self.prepared.iter_mut() {
            if let Some(intent) = one.intent.take() {
                match void(&intent) {
                    // Neither of the two has to be written.
                    Some(saved) => {
                        bytes = bytes.saturating_sub(saved);
                        one.pending = None;
                        continue;
                    }
                    None => {
                        if let Some(pending) = &mut one.pending {
                            pending.answered = Some(intent);
                        }
                    }
                }
            }
            let Some(new) = &mut one.pending else {
                continue;
            };
            bytes = bytes.saturating_add(vector_bytes(&new.vector));
            let mut guard = one.item.state.lock();
            let state: &mut State = &mut guard;
            if let Some(old) = &mut state.pending {
                bytes = bytes.saturating_sub(vector_bytes(&old.vector));
                core::mem::swap(&mut old.vector, &mut new.vector);
                core::mem::swap(&mut old.freed, &mut new.freed);
                state.is_committing = false;
                // Memory is freed without the lock. The pin that is there serves this one too.
                core::mem::swap(&mut state.spare, &mut new.vector);
                drop(guard);
                one.pending = None;
            }
        }
        let (order, added) = open.count(bytes);
        for (index, one) in self.prepared.iter_mut().enumerate() {
            one.item
                .order
                .store(order.saturating_add(index as u64), Relaxed);
            if let Some(pending) = one.pending.take() {
                {
                    let mut state = one.item.state.lock();
                    state.pending = Some(pending);
                    state.is_committing = false;
                }
                open.add(one.item.clone());
            }
        }
        added
    }
}

/// Has nothing come of an intent that the current checkpoint has. Returns the bytes that this saves;
/// `None` if it is another checkpoint's.
fn void(intent: &Item) -> Option<i64> {
    let vector = {
        let mut state = intent.state.lock();
        let pending = state.pending.as_mut()?;
        pending.is_void = true;
        core::mem::take(&mut pending.vector)
    };
    Some(vector_bytes(&vector))
}
