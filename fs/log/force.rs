// SPDX-License-Identifier: GPL-2.0

//! Waiting for checkpoints, by their number.

use super::{
    checkpoint::Checkpoint,
    Engine, //
};
use crate::libxfs::{
    error::{
        Error,
        Result, //
    },
    journal::CommitSequence, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Release, //
        },
        Arc, //
    },
    workqueue::WorkItem, //
};

/// Checkpoints under way, the oldest first.
pub(super) struct Progress(KVec<Arc<Checkpoint>>);

impl Progress {
    pub(super) const fn new() -> Self {
        Self(KVec::new())
    }
}

impl Engine {
    /// Waits until what was committed with that number is stable.
    ///
    /// The caller's own thread writes the checkpoint if no one else does, and takes along all that
    /// others have committed meanwhile.
    ///
    /// # Errors
    ///
    /// `Shutdown`.
    pub(crate) fn force(self: &Arc<Self>, CommitSequence(sequence): CommitSequence) -> Result {
        if self.stable.load(Acquire) >= sequence {
            return Ok(());
        }
        if let Some(checkpoint) = self.find(|one| one == sequence) {
            return checkpoint.wait();
        }
        self.push(sequence)?;
        // The last one that there is: those before it are stable before it is.
        match self.find(|one| one <= sequence) {
            Some(checkpoint) => checkpoint.wait(),
            None if self.health.is_shut_down() => Err(Error::Shutdown),
            None => Ok(()),
        }
    }

    /// The last checkpoint under way whose number is one of those.
    fn find(&self, is_wanted: impl Fn(u64) -> bool) -> Option<Arc<Checkpoint>> {
        let progress = self.progress.lock();
        let mut all = progress.0.iter().rev();
        all.find(|one| is_wanted(one.sequence)).cloned()
    }

    /// Waits until all that was committed so far is stable.
    ///
    /// # Errors
    ///
    /// `Shutdown`.
    pub(crate) fn force_all(self: &Arc<Self>) -> Result {
        let sequence = self.cil.sequence();
        if self.cil.is_empty() {
            // What was committed before is on its way.
            let _writer = self.records.writer.lock();
        }
        self.force(CommitSequence(sequence))
    }

    /// Whether what was committed with that number is stable.
    pub(crate) fn is_stable(&self, CommitSequence(sequence): CommitSequence) -> bool {
        self.stable.load(Acquire) >= sequence
    }

    /// Has what was committed so far written soon, by others.
    pub(crate) fn push_soon(self: &Arc<Self>) {
        // It is queued already where this fails.
        let _ = self.queue.as_queue().enqueue::<_, 1>(self.clone());
    }

    /// Notes a checkpoint that is being written.
    pub(super) fn under_way(&self, checkpoint: &Arc<Checkpoint>) -> Result {
        let mut progress = self.progress.lock();
        Ok(progress.0.push(checkpoint.clone(), GFP_KERNEL)?)
    }

    /// Notes that a checkpoint has come to its end.
    pub(super) fn landed(&self, checkpoint: &Arc<Checkpoint>) {
        let mut progress = self.progress.lock();
        let index = progress
            .0
            .iter()
            .position(|one| one.sequence == checkpoint.sequence);
        if let Some(index) = index {
            let gone = progress.0.remove(index);
            drop(progress);
            drop(gone);
        }
    }

    /// Notes that a checkpoint is stable.
    pub(super) fn note_stable(&self, sequence: u64) {
        self.stable.store(sequence, Release);
        self.client.stable(sequence);
    }

    /// Deals with records that have landed.
    pub(super) fn land(self: &Arc<Self>) {
        self.records.land(self);
    }
}

impl WorkItem<1> for Engine {
    type Pointer = Arc<Self>;

    /// Writes what was committed.
    fn run(this: Arc<Self>) {
        // Where it fails the file system is shut down.
        let _ = this.push(this.cil.sequence());
    }
}

kernel::workqueue::impl_has_work! {
    impl HasWork<Self, 1> for Engine { self.push_work }
}
