// SPDX-License-Identifier: GPL-2.0

//! Requests for buffers, and reading.
//!
//! A read that someone waits for is verified by who waits; one ahead, by a work item. Both hold the
//! buffer's lock exclusively from before the first request to after the verdict, and so do writes
//! ([`write`](super::write)).

use super::{
    buffer::{
        Buf,
        BufRef,
        AHEAD,
        ASYNC,
        CHANGED,
        STALE,
        VALID, //
    },
    locked::Locked, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            fault::Fault,
            kind::Kind,
            units::BASIC_BLOCK_SIZE, //
        },
    },
    rust::{
        bindings,
        kernel::{
            bio::{
                Bio,
                Completion,
                Purpose, //
            },
            wait, //
        },
    },
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    static_lock_class,
    sync::atomic::{
        Full,
        Relaxed, //
    },
};

impl Buf {
    /// Holds the bytes to the rules of `kind`. They are initialized, and the caller holds the lock.
    pub(super) fn verify(&self, kind: Kind) -> Result {
        let cache = self.cache();
        // SAFETY: By the caller.
        let bytes = unsafe { self.bytes() };
        kind.verify(&cache.geometry, self.at(), bytes)
            .map_err(|fault| Error::block(fault, cache.device, self.at()))
    }

    /// Sees to it that the buffer, which is valid, is good as `kind` too. The caller holds the lock.
    #[inline]
    pub(super) fn verified_as(&self, kind: Kind) -> Result {
        if self.kind() == kind || kind == Kind::Raw {
            return Ok(());
        }
        if self.state() & CHANGED != 0 {
            // Its checksum is set when it is written.
            let fault = Fault::corrupt("block", "kind");
            return Err(Error::block(fault, self.cache().device, self.at()));
        }
        self.verify(kind)
    }

    /// Sends off the requests of a read or write. The caller holds the lock exclusively, and has
    /// said in `state` how their end is met.
    ///
    /// # Safety
    ///
    /// `this` is alive until the requests have ended.
    pub(super) unsafe fn submit(this: NonNull<Self>, purpose: Purpose) {
        // SAFETY: Alive, by the caller.
        let buf = unsafe { this.as_ref() };
        buf.io_errno.store(0, Relaxed);
        // One of our own, lest the end come before the last request is made.
        buf.io_left.store(1, Relaxed);
        let mut memory = buf.memory();
        for run in buf.runs() {
            let bytes = run.len.wrapping_mul(BASIC_BLOCK_SIZE);
            // Memory that is not contiguous takes a segment a page, and may begin within one.
            let segments = (bytes as usize).div_ceil(PAGE_SIZE).saturating_add(1);
            let segments = segments.min(Bio::MAX_SEGMENTS.into()) as u16;
            let bio = Bio::new(buf.cache().block_device, run.at.0, segments, purpose);
            // SAFETY: The memory is the buffer's, whose lock is held, and long enough for all runs.
            let bio = bio.and_then(|mut bio| match unsafe { bio.add(memory, bytes) } {
                true => Ok(bio),
                false => Err(EIO),
            });
            match bio {
                Ok(bio) => {
                    buf.io_left.fetch_add(1, Relaxed);
                    // SAFETY: Alive, by the caller, until `ended` was called for all.
                    unsafe { bio.submit(this) };
                }
                Err(error) => buf.note_failure(error),
            }
            // SAFETY: Still within the memory, or at its end.
            memory = unsafe { memory.add(bytes as usize) };
        }
        // SAFETY: This is for the one of our own.
        unsafe { Self::ended(this, Ok(())) };
    }

    /// Notes that a request failed.
    fn note_failure(&self, error: kernel::error::Error) {
        let errno = error.to_errno().unsigned_abs();
        self.io_errno.store(errno.max(1), Relaxed);
    }

    /// The verdict over a read that has ended: makes the buffer valid, or says why not.
    fn judge_read(&self) -> Result {
        if self.io_errno.load(Relaxed) != 0 {
            return Err(Error::Io);
        }
        self.verify(self.kind())?;
        self.change_state(STALE, VALID);
        Ok(())
    }

    /// Makes the work item that an end of I/O is met with. The caller holds the lock exclusively,
    /// and the item is not queued.
    pub(super) fn prepare_work(&self) {
        // SAFETY: The item is ours: who queues it holds the lock too.
        unsafe {
            bindings::init_work_with_key(
                self.work.get(),
                Some(Buf::work),
                false,
                c"xfs_rust_buf".as_char_ptr(),
                static_lock_class!().as_ptr(),
            )
        };
    }

    /// Work of I/O that no one waits for, and that has ended.
    ///
    /// # Safety
    ///
    /// Called by the queue, with the work of a buffer that went under way with a count and the lock.
    unsafe extern "C" fn work(work: *mut bindings::work_struct) {
        // SAFETY: By the caller, the work lies in a buffer, and the count is the I/O's.
        let buf = unsafe {
            let raw: *mut Buf = work.byte_sub(offset_of!(Buf, work)).cast();
            BufRef::from_raw(NonNull::new_unchecked(raw))
        };
        let under_way = &raw const buf.cache().under_way;
        if buf.state() & AHEAD != 0 {
            // No one has asked for the block yet; if it is bad, whoever does will be told.
            let _ = buf.judge_read();
            buf.change_state(AHEAD, 0);
            drop(Locked::adopt(buf));
        } else {
            buf.change_state(ASYNC, 0);
            Locked::adopt(buf).async_write_ended();
        }
        // SAFETY: The cache waits for this count to fall before it goes.
        unsafe { (*under_way).fetch_add(u32::MAX, Full) };
        wait::wake(under_way);
    }
}

impl Locked {
    /// Reads the block and waits for it.
    pub(super) fn fill(&mut self, kind: Kind) -> Result {
        self.buf.set_kind(kind);
        // SAFETY: `self` keeps the buffer alive, and this waits for the requests.
        unsafe { Buf::submit(NonNull::from(&*self.buf), Purpose::Needed) };
        wait::wait_while(&self.buf.io_left, u32::MAX);
        self.buf.judge_read()
    }

    /// Starts to read the block, which is new. What comes after, a work item does.
    pub(super) fn fill_ahead(self) {
        self.buf.cache().under_way.fetch_add(1, Relaxed);
        self.buf.prepare_work();
        self.buf.change_state(0, AHEAD);
        let raw = self.into_flight().into_raw();
        // SAFETY: The count keeps it alive, until `work` takes it back.
        unsafe { Buf::submit(raw, Purpose::Ahead) };
    }
}

// SAFETY: Counts down, and queues work or wakes.
unsafe impl Completion for Buf {
    unsafe fn ended(this: NonNull<Self>, result: kernel::error::Result) {
        // SAFETY: Alive until its requests have ended, and this one has not been counted yet.
        let buf = unsafe { this.as_ref() };
        if let Err(error) = result {
            buf.note_failure(error);
        }
        let queued = buf.state() & (AHEAD | ASYNC) != 0;
        let completions = &raw const *buf.cache().completions;
        let work = buf.work.get();
        let left = &raw const buf.io_left;
        if buf.io_left.fetch_add(u32::MAX, Full) != 1 {
            return;
        }
        // From here on who waits may free the buffer; where a work item ends it, that alone does.
        if queued {
            // SAFETY: Initialized in `prepare_work`; the buffer stays until the work is done, and the
            // cache, with its queue, until then.
            unsafe { (*completions).queue(work) };
        } else {
            wait::wake(left);
        }
    }
}
