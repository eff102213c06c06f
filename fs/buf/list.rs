// SPDX-License-Identifier: GPL-2.0

//! Lists of blocks to be written later, together, in the order of their addresses.

use super::{
    buffer::DELAYED,
    locked::{
        Held,
        Locked, //
    },
};
use crate::{
    libxfs::error::{
        Error,
        Result, //
    },
    rust::kernel::{
        bio::Durability,
        nofs::NoFs,
        plug::plugged, //
    },
};
use kernel::prelude::{
    KVVec,
    GFP_KERNEL, //
};

/// An entry of a list.
enum Entry {
    /// Waits to be written.
    Queued(Held),
    /// Is being written, locked.
    Flying(Locked),
    /// Is through.
    Done,
}

impl Entry {
    /// By what the list is sorted.
    fn address(&self) -> u64 {
        match self {
            Self::Queued(held) => held.address().0,
            Self::Flying(locked) => locked.address().0,
            Self::Done => u64::MAX,
        }
    }
}

/// Blocks to be written later (a delayed-write list), which stay in memory until then.
///
/// A block is in one list at most; the log's pusher and whoever wants a block written at once may
/// meet at it. One that was written otherwise since, or invalidated, is passed over. A list that is
/// dropped gives up: its blocks are not written, and keep their changes.
pub(crate) struct WriteList(KVVec<Entry>);

/// What [`WriteList::submit`] has left in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Blocks that are pinned: once the log is forced they can go.
    pub(crate) pinned: usize,
    /// Blocks that others have locked.
    pub(crate) locked: usize,
}

impl WriteList {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Makes room for so many blocks more, for which [`add`](Self::add) then cannot fail.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(crate) fn reserve(&mut self, blocks: usize) -> Result {
        // Who writes back makes room for others: reclaim must not come back and wait for that.
        let _nofs = NoFs::new();
        Ok(self.0.reserve(blocks, GFP_KERNEL)?)
    }

    /// How many blocks it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a block. Returns whether it did: not if the block is in a list already.
    ///
    /// # Errors
    ///
    /// `NoMemory`; `Invalid` for a block without content of its own: invalidated, or fresh and
    /// never changed.
    pub(crate) fn add(&mut self, block: &mut Locked) -> Result<bool> {
        if block.is_stale() || !block.buf.is_valid() {
            return Err(Error::Invalid);
        }
        if block.is_delayed() {
            return Ok(false);
        }
        self.reserve(1)?;
        self.0.push(Entry::Queued(block.hold()), GFP_KERNEL)?;
        block.buf.change_state(0, DELAYED);
        Ok(true)
    }

    fn sort(&mut self) {
        self.0.sort_unstable_by_key(Entry::address);
    }

    /// Sends off all blocks that are neither locked nor pinned, and waits for nothing but room in
    /// the device's queue. The others stay in the list. What becomes of each its watcher is told.
    pub(crate) fn submit(&mut self) -> Skipped {
        let mut skipped = Skipped::default();
        self.sort();
        plugged(|| {
            self.0.retain(|entry| {
                let Entry::Queued(held) = entry else {
                    return false;
                };
                let Ok(locked) = Locked::try_take(held.0.another()) else {
                    skipped.locked = skipped.locked.saturating_add(1);
                    return true;
                };
                if !locked.is_delayed() {
                    return false;
                }
                if locked.is_pinned() {
                    skipped.pinned = skipped.pinned.saturating_add(1);
                    return true;
                }
                // Its watcher, and whoever asks for the file system's health, learn of a failure.
                let _ = locked.write_async();
                false
            });
        });
        skipped
    }

    /// Writes all blocks and waits for them, each as soon as it is neither locked nor pinned; see
    /// [`Locked::wait_unpinned`]. The list is empty after that.
    ///
    /// # Errors
    ///
    /// The first of those of [`Locked::write`].
    pub(crate) fn submit_and_wait(&mut self) -> Result {
        self.sort();
        let mut result = Ok(());
        plugged(|| {
            for index in 0..self.0.len() {
                result = result.and(self.send(index));
            }
        });
        result = result.and(self.land());
        self.0.clear();
        result
    }

    /// Sends off one block.
    fn send(&mut self, index: usize) -> Result {
        let mut result = Ok(());
        let Some(entry) = self.0.get_mut(index) else {
            return Ok(());
        };
        let Entry::Queued(Held(buf)) = core::mem::replace(entry, Entry::Done) else {
            return Ok(());
        };
        // Whoever has it may want one of those that are on their way, which we have locked: those
        // first.
        let mut locked = match Locked::try_take(buf) {
            Ok(locked) => locked,
            Err(buf) => {
                result = self.land();
                Locked::wait_for(buf)
            }
        };
        if locked.is_pinned() {
            result = result.and(self.land());
            locked.wait_unpinned();
        }
        if !locked.is_delayed() {
            return result;
        }
        if let Err(error) = locked.seal() {
            return result.and(Err(error));
        }
        locked.start_write(Durability::Cached);
        if let Some(entry) = self.0.get_mut(index) {
            *entry = Entry::Flying(locked);
        }
        result
    }

    /// Waits for all that are on their way.
    fn land(&mut self) -> Result {
        let mut result = Ok(());
        for entry in self.0.iter_mut() {
            if let Entry::Flying(locked) = entry {
                result = result.and(locked.end_write());
                *entry = Entry::Done;
            }
        }
        result
    }
}

impl Drop for WriteList {
    fn drop(&mut self) {
        for entry in self.0.iter() {
            if let Entry::Queued(held) = entry {
                let locked = Locked::wait_for(held.0.another());
                locked.buf.change_state(DELAYED, 0);
            }
        }
    }
}
