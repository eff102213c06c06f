// SPDX-License-Identifier: GPL-2.0

//! Checkpoints: what was committed goes into records, and once these are stable, to the AIL.

use super::{
    cil::Entry,
    item::{
        Item,
        Subject, //
    },
    patience::patiently,
    records::{
        Role,
        Writer, //
    },
    Engine, //
};
use crate::libxfs::{
    error::{
        Error,
        Result, //
    },
    format::units::{
        Lsn,
        BASIC_BLOCK_SIZE, //
    },
    log::{
        pack::{
            Packer,
            RecordBuffer, //
        },
        space, //
    },
};
use crate::rust::kernel::{
    nofs::NoFs,
    wait, //
};
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc,
        Mutex,
        SpinLock, //
    },
};

/// In a checkpoint's word: it is under way.
const OPEN: u32 = 1 << 0;
/// In a checkpoint's word: it came to nothing, as the file system is shut down.
const FAILED: u32 = 1 << 1;

/// A checkpoint under way.
#[pin_data]
pub(super) struct Checkpoint {
    /// Its number.
    pub(super) sequence: u64,
    word: Atomic<u32>,
    /// Log space that was spent on it.
    spent: u32,
    /// Where its first record goes, which is the LSN of its changes.
    start: Lsn,
    /// Where the record after its last one goes.
    #[pin]
    end: SpinLock<Lsn>,
    /// Whether it is there to cover the log, and changes nothing.
    is_dummy: bool,
    #[pin]
    entries: Mutex<KVVec<Entry>>,
}

impl Checkpoint {
    /// Where its first record goes.
    pub(super) fn start(&self) -> Lsn {
        self.start
    }

    /// Waits until it is stable.
    ///
    /// # Errors
    ///
    /// `Shutdown` where it will not be.
    pub(super) fn wait(&self) -> Result {
        wait::wait_while(&self.word, OPEN);
        match self.word.load(Acquire) & FAILED {
            0 => Ok(()),
            _ => Err(Error::Shutdown),
        }
    }
}

impl Engine {
    /// Writes what was committed up to the checkpoint of that number, unless it is on its way
    /// already. It need not be stable when this returns.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`.
    pub(super) fn push(self: &Arc<Self>, sequence: u64) -> Result {
        let _nofs = NoFs::new();
        if self.cil.sequence() > sequence {
            // It was collected; its records may not have been made yet.
            let _writer = self.records.writer.lock();
            return Ok(());
        }
        let mut writer = self.records.writer.lock();
        if self.cil.sequence() > sequence {
            return Ok(());
        }
        let result = self.push_locked(&mut writer);
        if result.is_err() {
            self.health
                .shut_down("since a checkpoint cannot be written");
        }
        result
    }

    fn push_locked(self: &Arc<Self>, writer: &mut Writer) -> Result {
        let Some(collected) = self.cil.collect()? else {
            return Ok(());
        };
        let entries = collected.entries;
        // Others may have committed meanwhile, and then it covers nothing.
        let is_dummy = self.takes_cover() && entries.len() == 1;
        let first = writer.next;
        let spent = self.cil.spent(collected.bytes);
        let checkpoint = Arc::pin_init(
            pin_init!(Checkpoint {
                sequence: collected.sequence,
                word: Atomic::new(OPEN),
                spent,
                start: first,
                end <- new_spinlock!(first, "xfs_rust_checkpoint_end"),
                is_dummy,
                entries <- new_mutex!(entries, "xfs_rust_checkpoint"),
            }),
            GFP_KERNEL,
        )
        .map_err(|_: kernel::error::Error| Error::NoMemory)?;
        self.under_way(&checkpoint)?;
        let written = self.write(writer, &checkpoint);
        if written.is_err() {
            self.health
                .shut_down("since a checkpoint cannot be written");
            self.checkpoint_ended(&checkpoint, true);
        }
        written
    }

    /// Fills records with a checkpoint, and sends them.
    fn write(self: &Arc<Self>, writer: &mut Writer, checkpoint: &Arc<Checkpoint>) -> Result {
        let records = &self.records;
        let mut buffer = records.buffer();
        let result = self.fill(writer, checkpoint, &mut buffer);
        records.give_back(buffer);
        result
    }

    fn fill(
        self: &Arc<Self>,
        writer: &mut Writer,
        checkpoint: &Arc<Checkpoint>,
        buffer: &mut RecordBuffer,
    ) -> Result {
        let records = &self.records;
        writer.tid = writer.tid.wrapping_add(1);
        writer.is_first = true;
        let tid = writer.tid;
        let entries = checkpoint.entries.lock();
        let vectors = entries.iter().map(|entry| &entry.pending.vector);
        let regions = vectors.clone().fold(0_usize, |sum, vector| {
            sum.saturating_add(vector.region_count())
        });
        let mut packer = Packer::new(buffer, tid, |full| {
            records.send(self, writer, full, Role::Part)?;
            *full = records.buffer();
            Ok(())
        });
        packer.start(regions)?;
        for vector in vectors {
            packer.items(vector)?;
        }
        packer.commit()?;
        drop(entries);
        let blocks = buffer.blocks();
        // Set before the record can land.
        *checkpoint.end.lock() = space::advance(records.area().len, writer.next, blocks);
        records.send(self, writer, buffer, Role::Commit(checkpoint.clone()))
    }

    /// What follows when a checkpoint is stable, or has failed. Called in the order of the log.
    pub(super) fn checkpoint_ended(self: &Arc<Self>, checkpoint: &Arc<Checkpoint>, failed: bool) {
        let entries = core::mem::replace(&mut *checkpoint.entries.lock(), KVVec::new());
        let failed = failed || self.settle(checkpoint, entries).is_err();
        if failed {
            self.health
                .shut_down("since a checkpoint cannot be completed");
        } else {
            self.note_stable(checkpoint.sequence);
            self.wrote(checkpoint.is_dummy);
        }
        self.grants.give_back(checkpoint.spent);
        self.landed(checkpoint);
        if self.push_target().is_some() {
            self.push_ail();
        }
        let word = if failed { FAILED } else { 0 };
        checkpoint.word.store(word, Release);
        wait::wake(&checkpoint.word);
    }

    /// Puts the items of a checkpoint that is stable into the AIL.
    fn settle(self: &Arc<Self>, checkpoint: &Checkpoint, mut entries: KVVec<Entry>) -> Result {
        let (start, end) = (checkpoint.start, *checkpoint.end.lock());
        let mut slots = KVVec::new();
        patiently(|| Ok(slots.reserve(entries.len(), GFP_KERNEL)?))?;
        for entry in entries.iter() {
            let _ = slots.push_within_capacity(entry.listed(start));
        }
        // What was written takes the place of what was reserved for it: counted before that goes.
        let from = self.ail.end();
        self.grants.occupy(self.bytes_between(from, end));
        let moved = self.ail.insert(start, end, slots)?;
        self.tail_moved(moved);
        for entry in entries.iter_mut() {
            // In the list already: at no time does an item look as if all of it were in its place.
            entry.committed();
            let pending = &mut entry.pending;
            drop(pending.pin.take());
            if let Some(intent) = pending.answered.take() {
                self.tail_moved(self.ail.remove(&intent));
            }
            if let Some(freed) = pending.freed.take() {
                self.freed(&entry.item);
                drop(freed);
            }
        }
        Ok(())
    }

    /// Bytes of the log from one place to a later one.
    pub(super) fn bytes_between(&self, from: Lsn, to: Lsn) -> u32 {
        let blocks = space::distance(self.records.area().len, from, to).unwrap_or(0);
        blocks.saturating_mul(BASIC_BLOCK_SIZE)
    }
}

impl Entry {
    /// The item if it is to go to the AIL.
    fn listed(&self, start: Lsn) -> Option<Arc<Item>> {
        let is_live = !self.pending.is_void && self.pending.freed.is_none();
        match &self.item.subject {
            Subject::Note => None,
            Subject::Block(held) if is_live => {
                held.set_lsn(start);
                Some(self.item.clone())
            }
            Subject::Inode(..) | Subject::Intent(_) if is_live => Some(self.item.clone()),
            _ => None,
        }
    }

    /// Notes that it is stable.
    fn committed(&mut self) {
        let vector = core::mem::take(&mut self.pending.vector);
        let mut state = self.item.state.lock();
        state.under_way = state.under_way.saturating_sub(1);
        self.pending.vector = match self.item.subject {
            // What it replaces is freed with the entry, without the lock.
            Subject::Inode(..) => core::mem::replace(&mut state.image, vector),
            _ => vector,
        };
    }
}
