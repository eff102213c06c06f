// SPDX-License-Identifier: GPL-2.0

//! Blocks that are held alone, to be changed, and what the log keeps of them after that.

use super::{
    buffer::{
        BufRef,
        ASYNC,
        CHANGED,
        DELAYED,
        GONE,
        OWNED,
        PRIVATE,
        STALE,
        VALID, //
    },
    watcher::{
        downcast,
        Watcher, //
    },
    Block, //
};
use crate::{
    libxfs::{
        error::Result,
        format::{
            kind::Kind,
            units::{
                DiskAddr,
                Lsn, //
            },
        },
    },
    rust::kernel::wait,
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::sync::{
    atomic::{
        Acquire,
        Full,
        Relaxed, //
    },
    Arc, //
};

/// A block that is held alone. Its bytes may be changed; what was changed stays in memory until it
/// was [written](Locked::write) or [given up](Locked::invalidate).
pub(crate) struct Locked {
    // INVARIANT: Locked exclusively, by us, unless `handed_over`; its bytes are initialized where
    // one of these is outside the cache's own code.
    pub(super) buf: BufRef,
    handed_over: bool,
}

impl Locked {
    /// Waits for the lock of a buffer.
    pub(super) fn wait_for(buf: BufRef) -> Self {
        let buf = match Self::try_take(buf) {
            Ok(locked) => return locked,
            Err(buf) => buf,
        };
        if buf.is_stale() {
            // The log has the lock, until it has the block cancelled.
            buf.cache().hurry();
        }
        buf.lock().lock();
        Self::adopt(buf)
    }

    /// Takes the lock of a buffer, if it is free.
    pub(super) fn try_take(buf: BufRef) -> core::result::Result<Self, BufRef> {
        match buf.lock().try_lock() {
            true => Ok(Self::adopt(buf)),
            false => Err(buf),
        }
    }

    /// Makes a guard for a lock that is held already.
    pub(super) fn adopt(buf: BufRef) -> Self {
        Self {
            buf,
            handed_over: false,
        }
    }

    /// Gives lock and count to whoever ends the I/O that is about to start.
    pub(super) fn into_flight(mut self) -> BufRef {
        self.handed_over = true;
        self.buf.another()
    }

    /// Becomes one of the readers.
    pub(super) fn into_shared(mut self) -> Block {
        self.handed_over = true;
        self.settle();
        self.buf.lock().downgrade();
        Block {
            buf: self.buf.another(),
        }
    }

    /// Makes it zeroes: no one wants what is on the disk. It becomes valid when it is changed.
    pub(super) fn clear(&mut self) {
        // SAFETY: The memory is of that length, and locked by us.
        unsafe { core::ptr::write_bytes(self.buf.memory().as_ptr(), 0, self.buf.byte_len()) };
        self.buf.set_kind(Kind::Raw);
        if self.buf.state() & CHANGED == 0 {
            self.buf.change_state(VALID, 0);
        }
    }

    /// The first address.
    pub(crate) fn address(&self) -> DiskAddr {
        self.buf.at()
    }

    /// What it is: what it was read as, or said to be.
    pub(crate) fn kind(&self) -> Kind {
        self.buf.kind()
    }

    /// Says what its content is now; it is verified as that when it is written.
    pub(crate) fn set_kind(&mut self, kind: Kind) {
        if !self.handed_over {
            self.buf.set_kind(kind);
        }
    }

    /// Whether it was changed and not yet written.
    pub(crate) fn is_changed(&self) -> bool {
        self.buf.state() & CHANGED != 0
    }

    /// Whether a [`WriteList`](super::WriteList) has it.
    pub(crate) fn is_delayed(&self) -> bool {
        self.buf.state() & DELAYED != 0
    }

    /// Whether it was invalidated.
    pub(crate) fn is_stale(&self) -> bool {
        self.buf.is_stale()
    }

    /// Notes where the log has the last change of it; that goes into the block when it is written.
    pub(crate) fn set_lsn(&self, lsn: Lsn) {
        self.buf.lsn.store(lsn.0, Relaxed);
    }

    /// Has `watcher` told of the next write, in place of who was to be told, who is returned.
    pub(crate) fn set_watcher(
        &mut self,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Option<Arc<dyn Watcher>> {
        match self.handed_over {
            true => None,
            false => self.buf.set_watcher(watcher),
        }
    }

    /// Who is to be told of the next write, if it is a `T`.
    pub(crate) fn watcher_as<T: Watcher + 'static>(&self) -> Option<Arc<T>> {
        match self.handed_over {
            true => None,
            false => downcast(self.buf.watcher()?),
        }
    }

    /// Pins it: it is not written until the pin is dropped.
    pub(crate) fn pin(&self) -> Pinned {
        self.buf.pins.fetch_add(1, Full);
        Pinned {
            buf: self.buf.another(),
        }
    }

    /// Whether someone pins it.
    pub(crate) fn is_pinned(&self) -> bool {
        self.buf.pins.load(Acquire) != 0
    }

    /// Waits until no one pins it, and has the log hurry.
    pub(crate) fn wait_unpinned(&self) {
        if self.is_pinned() {
            self.buf.cache().hurry();
        }
        wait::wait_while(&self.buf.pins, u32::MAX);
    }

    /// Keeps the block in memory, beyond this lock.
    pub(crate) fn hold(&self) -> Held {
        Held(self.buf.another())
    }

    /// Gives the block up, which is free: it leaves the cache, and nothing of it is written. Who
    /// was to be told of that is not. The lock goes over to what is returned, for as long as no one
    /// must find the address free: until the log has the block cancelled. This guard has no bytes
    /// from here on.
    pub(crate) fn invalidate(&mut self) -> Invalidated {
        if !self.handed_over {
            self.buf.clear_changed();
            self.buf.change_state(VALID | OWNED | DELAYED, STALE);
            self.buf.lsn.store(0, Relaxed);
            drop(self.buf.set_watcher(None));
        }
        let locked = !core::mem::replace(&mut self.handed_over, true);
        Invalidated {
            buf: self.buf.another(),
            locked,
        }
    }

    /// What an owner leaves behind.
    fn settle(&self) {
        let state = self.buf.state();
        if state & PRIVATE != 0 {
            self.buf.clear_changed();
        } else if state & CHANGED == 0 {
            self.buf.change_state(OWNED, 0);
        }
    }

    /// Has no one find the buffer any more. It is not changed.
    pub(super) fn expel(&self) {
        self.buf.change_state(VALID | OWNED, GONE);
    }
}

impl Deref for Locked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.handed_over {
            return &[];
        }
        // SAFETY: By the invariant, initialized and ours.
        unsafe { self.buf.bytes() }
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.handed_over {
            return &mut [];
        }
        self.buf.set_changed();
        // SAFETY: As above, and locked exclusively; `self` is borrowed for as long as the slice is.
        unsafe { core::slice::from_raw_parts_mut(self.buf.memory().as_ptr(), self.buf.byte_len()) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if !self.handed_over {
            self.settle();
            self.buf.lock().unlock();
        }
    }
}

/// A block that stays in memory, not locked.
pub(crate) struct Held(pub(super) BufRef);

impl Held {
    /// The first address.
    pub(crate) fn address(&self) -> DiskAddr {
        self.0.at()
    }

    /// Its length in basic blocks.
    pub(crate) fn len(&self) -> u32 {
        self.0.key().1
    }

    /// Waits for its lock.
    ///
    /// # Errors
    ///
    /// `Corrupt` if it is no longer what lies at its address.
    pub(crate) fn lock(&self) -> Result<Locked> {
        self.0.cache().own(Locked::wait_for(self.0.another()))
    }

    /// Locks it, if no one else has it locked.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub(crate) fn try_lock(&self) -> Result<Option<Locked>> {
        match Locked::try_take(self.0.another()) {
            Ok(locked) => self.0.cache().own(locked).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// As [`Locked::set_lsn`].
    pub(crate) fn set_lsn(&self, lsn: Lsn) {
        self.0.lsn.store(lsn.0, Relaxed);
    }

    /// Whether someone pins it.
    pub(crate) fn is_pinned(&self) -> bool {
        self.0.pins.load(Acquire) != 0
    }

    /// Whether a write of it is on its way that no one waits for.
    pub(crate) fn is_being_written(&self) -> bool {
        self.0.state() & ASYNC != 0
    }
}

/// A block that is not to be written yet; see [`Locked::pin`].
pub(crate) struct Pinned {
    // INVARIANT: Counted in `pins`.
    buf: BufRef,
}

impl Pinned {
    /// Keeps the block in memory, beyond the pin.
    pub(crate) fn hold(&self) -> Held {
        Held(self.buf.another())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.buf.pins.fetch_add(u32::MAX, Full) == 1 {
            wait::wake(&self.buf.pins);
        }
    }
}

/// The lock of a block that was given up; see [`Locked::invalidate`].
pub(crate) struct Invalidated {
    buf: BufRef,
    locked: bool,
}

impl Drop for Invalidated {
    fn drop(&mut self) {
        if self.locked {
            self.buf.lock().unlock();
        }
    }
}
