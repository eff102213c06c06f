// SPDX-License-Identifier: GPL-2.0

//! Becoming the one who may change a block, and blocks that are no part of the cache.

use super::{
    buffer::{
        Buf,
        AHEAD,
        CHANGED,
        GONE,
        OWNED,
        PRIVATE,
        STALE, //
    },
    locked::Locked,
    Cache,
    Found, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            fault::Fault,
            kind::Kind, //
        },
        store::Run, //
    },
    rust::kernel::{
        message::Level,
        nofs::NoFs, //
    },
};

impl Cache {
    /// Locks the block made of `runs`, to change it; see
    /// [`StoreMut::lock_runs`](crate::libxfs::store::StoreMut::lock_runs).
    ///
    /// # Errors
    ///
    /// Those of reading; `Corrupt` too where a block of another length at that address is in use or
    /// changed.
    pub(crate) fn lock(&self, runs: &[Run], kind: Kind) -> Result<Locked> {
        let locked = self.find_locked(runs, kind)?;
        ready(locked, kind)
    }

    /// As [`lock`](Self::lock), but does not wait for the block's lock; see
    /// [`StoreMut::try_lock_runs`](crate::libxfs::store::StoreMut::try_lock_runs).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub(crate) fn try_lock(&self, runs: &[Run], kind: Kind) -> Result<Option<Locked>> {
        self.check(runs)?;
        // As in `find_locked`.
        let _nofs = NoFs::new();
        loop {
            let locked = match self.find(runs, kind)? {
                Found::New(locked) => Some(locked),
                Found::Here(buf) => {
                    buf.touch();
                    match Locked::try_take(buf) {
                        Ok(locked) => self.reuse(locked, runs)?,
                        Err(_) => return Ok(None),
                    }
                }
            };
            if let Some(locked) = locked {
                return ready(self.own(locked)?, kind).map(Some);
            }
        }
    }

    /// Has the log hurry, as someone waits for a block that it keeps.
    pub(super) fn hurry(&self) {
        self.health.hurry();
    }

    /// Forgets all blocks that are in no one's use: what they hold may not be what the disk does.
    pub(crate) fn forget(&self) {
        self.forget_changes();
        self.drain();
    }

    /// Locks a block whose content is of no interest; see
    /// [`StoreMut::lock_fresh`](crate::libxfs::store::StoreMut::lock_fresh).
    ///
    /// # Errors
    ///
    /// `NoMemory`, `Invalid`, and `Corrupt` as of [`lock`](Self::lock).
    pub(crate) fn fresh(&self, runs: &[Run]) -> Result<Locked> {
        let mut locked = self.find_locked(runs, Kind::Raw)?;
        locked.clear();
        Ok(locked)
    }

    /// Reads a block past the cache: it is neither looked for there nor left there, and what is
    /// changed in it and not written is forgotten with it. For the log's recovery, and for what is
    /// no metadata block.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(crate) fn read_uncached(&self, runs: &[Run], kind: Kind) -> Result<Locked> {
        let mut locked = self.new_uncached(runs, kind)?;
        locked.fill(kind)?;
        Ok(locked)
    }

    /// A block past the cache, all zeroes, to be written.
    ///
    /// # Errors
    ///
    /// `NoMemory`, `Invalid`.
    pub(crate) fn fresh_uncached(&self, runs: &[Run], kind: Kind) -> Result<Locked> {
        let mut locked = self.new_uncached(runs, kind)?;
        locked.clear();
        locked.set_kind(kind);
        Ok(locked)
    }

    fn new_uncached(&self, runs: &[Run], kind: Kind) -> Result<Locked> {
        self.check(runs)?;
        let _nofs = NoFs::new();
        let new = Buf::new_locked(self, runs, kind, GONE | PRIVATE)?;
        Ok(Locked::adopt(new.publish()))
    }

    /// Finds a buffer, or makes one, and owns it.
    fn find_locked(&self, runs: &[Run], kind: Kind) -> Result<Locked> {
        self.check(runs)?;
        // Whoever changes blocks holds locks that reclaim might come to wait for.
        let _nofs = NoFs::new();
        loop {
            let locked = match self.find(runs, kind)? {
                Found::New(locked) => Some(locked),
                Found::Here(buf) => {
                    buf.touch();
                    self.reuse(Locked::wait_for(buf), runs)?
                }
            };
            if let Some(locked) = locked {
                return self.own(locked);
            }
        }
    }

    /// Sees whether a buffer that was found, and is locked by now, can serve as the block at `runs`.
    /// If not, it no longer stands in the way of another one.
    pub(super) fn reuse(&self, locked: Locked, runs: &[Run]) -> Result<Option<Locked>> {
        if !locked.buf.is_findable() {
            return Ok(None);
        }
        if locked.buf.is_stale() {
            // Whether there is room for it again, the table says.
            locked.expel();
            return Ok(None);
        }
        if locked.buf.lies_at(runs) {
            return Ok(Some(locked));
        }
        // Of the same name, but in other pieces.
        if locked.buf.is_taken() {
            return Err(self.overlap(runs));
        }
        locked.expel();
        Ok(None)
    }

    /// Makes who has a buffer locked its owner, and expels others at its address.
    ///
    /// Who puts a buffer into the table looks for owned ones under the lock of the chain; this one
    /// is marked before the chain is searched under that lock. So one of the two finds the other.
    pub(super) fn own(&self, locked: Locked) -> Result<Locked> {
        let state = locked.buf.state();
        if state & (OWNED | CHANGED) != 0 || state & PRIVATE != 0 {
            return Ok(locked);
        }
        if state & (GONE | STALE) != 0 {
            return Err(self.overlap(locked.buf.runs()));
        }
        locked.buf.change_state(0, OWNED);
        while let Some(other) = self.table.alias(&locked.buf) {
            let other = match Locked::try_take(other) {
                Ok(other) => other,
                // It will be given up by the read, which waits for no one.
                Err(other) if other.state() & AHEAD != 0 => Locked::wait_for(other),
                Err(_) => return Err(self.overlap(locked.buf.runs())),
            };
            if other.buf.is_taken() {
                return Err(self.overlap(locked.buf.runs()));
            }
            other.expel();
        }
        Ok(locked)
    }

    /// Two structures that claim the same space.
    pub(super) fn overlap(&self, runs: &[Run]) -> Error {
        match runs.first() {
            Some(first) => Error::block(Fault::corrupt("block", "length"), self.device, first.at),
            None => Error::Invalid,
        }
    }

    /// Forgets what was changed and will not be written. Called when no one uses the cache any
    /// more.
    pub(crate) fn forget_changes(&self) {
        let mut forgotten = 0_u64;
        while let Some(buf) = self.table.any(|buf| buf.state() & CHANGED != 0) {
            let locked = Locked::wait_for(buf);
            locked.buf.clear_changed();
            drop(locked.buf.set_watcher(None));
            locked.expel();
            forgotten = forgotten.saturating_add(1);
        }
        if forgotten != 0 && !self.health.is_shut_down() {
            self.health.print(
                Level::Error,
                format_args!("{forgotten} changed metadata blocks were never written"),
            );
        }
    }

    /// Has the next `count` writes fail with `errno`, whatever the device says.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    pub(crate) fn fail_writes(&self, count: u32, errno: u32) {
        use kernel::sync::atomic::{
            Relaxed,
            Release, //
        };
        let [left, error] = &self.failing_writes;
        error.store(errno, Relaxed);
        left.store(count, Release);
    }

    /// The errno with which a write that has ended is to have failed.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    pub(super) fn failing_write(&self) -> Option<u32> {
        use kernel::sync::atomic::{
            Acquire,
            Full,
            Relaxed, //
        };
        let [left, error] = &self.failing_writes;
        let mut old = left.load(Acquire);
        while old != 0 {
            match left.cmpxchg(old, old.saturating_sub(1), Full) {
                Ok(_) => return Some(error.load(Relaxed)),
                Err(now) => old = now,
            }
        }
        None
    }
}

/// Sees that a block that is owned has its content, and that it is of that kind.
fn ready(mut locked: Locked, kind: Kind) -> Result<Locked> {
    if !locked.buf.is_valid() {
        locked.fill(kind)?;
    } else if kind != Kind::Raw {
        locked.buf.verified_as(kind)?;
        // It is written as what its owner takes it for.
        locked.set_kind(kind);
    }
    Ok(locked)
}
