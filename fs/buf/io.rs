// SPDX-License-Identifier: GPL-2.0

//! Reading buffers.
//!
//! A read that someone waits for is verified by who waits; one ahead, by a work item. Both hold the
//! buffer's lock exclusively from before the first request to after the verdict.

use super::buffer::{
    Buf,
    BufRef,
    AHEAD,
    VALID, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            kind::Kind,
            units::BASIC_BLOCK_SIZE, //
        },
    },
    rust::{
        bindings,
        kernel::{
            bio::{
                Completion,
                Purpose,
                ReadBio, //
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
    /// Holds the bytes, which were read, to the rules of `kind`. The caller holds the lock.
    fn verify(&self, kind: Kind) -> Result {
        let cache = self.cache();
        // SAFETY: The read filled them, and the caller holds the lock.
        let bytes = unsafe { self.bytes() };
        kind.verify(&cache.geometry, self.at(), bytes)
            .map_err(|fault| Error::block(fault, cache.device, self.at()))
    }

    /// Sees to it that the buffer, which is valid, is good as `kind` too. The caller holds the lock.
    #[inline]
    pub(super) fn verified_as(&self, kind: Kind) -> Result {
        if self.kind() == kind {
            return Ok(());
        }
        self.verify(kind)
    }

    /// Sends off the requests of a read. The caller holds the lock exclusively.
    ///
    /// # Safety
    ///
    /// `this` is alive until the requests have ended.
    unsafe fn submit(this: NonNull<Self>, purpose: Purpose) {
        // SAFETY: Alive, by the caller.
        let buf = unsafe { this.as_ref() };
        let state = match purpose {
            Purpose::Needed => 0,
            Purpose::Ahead => AHEAD,
        };
        buf.set_state(state);
        buf.io_failed.store(0, Relaxed);
        // One of our own, lest the end come before the last request is made.
        buf.io_left.store(1, Relaxed);
        let mut memory = buf.memory();
        for run in buf.runs() {
            let bytes = run.len.wrapping_mul(BASIC_BLOCK_SIZE);
            // Memory that is not contiguous takes a segment a page, and may begin within one.
            let segments = (bytes as usize).div_ceil(PAGE_SIZE).saturating_add(1);
            let bio = ReadBio::new(buf.cache().block_device, run.at.0, segments as u16, purpose);
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
                Err(_) => buf.io_failed.store(1, Relaxed),
            }
            // SAFETY: Still within the memory, or at its end.
            memory = unsafe { memory.add(bytes as usize) };
        }
        // SAFETY: This is for the one of our own.
        unsafe { Self::ended(this, Ok(())) };
    }

    /// The verdict over a read that has ended: makes the buffer valid, or says why not.
    fn judge_read(&self) -> Result {
        if self.io_failed.load(Relaxed) != 0 {
            return Err(Error::Io);
        }
        self.verify(self.kind())?;
        self.set_state(VALID);
        Ok(())
    }

    /// Work of a read ahead that has ended.
    ///
    /// # Safety
    ///
    /// Called by the queue, with the work of a buffer that [`BufRef::fill_ahead`] sent off.
    unsafe extern "C" fn ahead_ended(work: *mut bindings::work_struct) {
        // SAFETY: By the caller, the work lies in a buffer, and the count is the read's.
        let buf = unsafe {
            let raw: *mut Buf = work.byte_sub(offset_of!(Buf, work)).cast();
            BufRef::from_raw(NonNull::new_unchecked(raw))
        };
        // No one has asked for the block yet; if it is bad, whoever does will be told.
        if buf.judge_read().is_err() {
            buf.set_state(0);
        }
        buf.lock().unlock();
        let ahead = &raw const buf.cache().ahead;
        drop(buf);
        // SAFETY: The cache waits for this count to fall before it goes.
        unsafe { (*ahead).fetch_add(u32::MAX, Full) };
        wait::wake(ahead);
    }
}

impl BufRef {
    /// Reads the block and waits for it. The caller holds the lock exclusively; on failure it is let
    /// go of.
    pub(super) fn fill(&self, kind: Kind) -> Result {
        self.set_kind(kind);
        // SAFETY: `self` keeps the buffer alive, and this waits for the requests.
        unsafe { Buf::submit(NonNull::from(&**self), Purpose::Needed) };
        wait::wait_while(&self.io_left, u32::MAX);
        self.judge_read().inspect_err(|_| {
            self.set_state(0);
            self.lock().unlock();
        })
    }

    /// Starts to read the block, which is new and locked exclusively. What comes after, a work item
    /// does.
    pub(super) fn fill_ahead(self) {
        self.cache().ahead.fetch_add(1, Relaxed);
        // SAFETY: The buffer is new: its work was never initialized.
        unsafe {
            bindings::init_work_with_key(
                self.work.get(),
                Some(Buf::ahead_ended),
                false,
                c"xfs_rust_buf".as_char_ptr(),
                static_lock_class!().as_ptr(),
            )
        };
        let raw = self.into_raw();
        // SAFETY: The count that was `self` keeps it alive, until `ahead_ended` takes it back.
        unsafe { Buf::submit(raw, Purpose::Ahead) };
    }
}

// SAFETY: Counts down, and queues work or wakes.
unsafe impl Completion for Buf {
    unsafe fn ended(this: NonNull<Self>, result: kernel::error::Result) {
        // SAFETY: Alive until its requests have ended, and this one has not been counted yet.
        let buf = unsafe { this.as_ref() };
        if result.is_err() {
            buf.io_failed.store(1, Relaxed);
        }
        let ahead = buf.state() & AHEAD != 0;
        let completions = &raw const *buf.cache().completions;
        let work = buf.work.get();
        let left = &raw const buf.io_left;
        if buf.io_left.fetch_add(u32::MAX, Full) != 1 {
            return;
        }
        // From here on who waits may free the buffer; a read ahead is freed by its work alone.
        if ahead {
            // SAFETY: Initialized in `fill_ahead`; the buffer stays until the work is done, and the
            // cache, with its queue, until then.
            unsafe { (*completions).queue(work) };
        } else {
            wait::wake(left);
        }
    }
}
