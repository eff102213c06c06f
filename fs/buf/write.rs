// SPDX-License-Identifier: GPL-2.0

//! Writing buffers.
//!
//! A block is written by who has it locked, and stays locked until the device has it, so what is on
//! its way does not change. Just before, it gets its sequence number and checksum, and is held to
//! the rules of its kind: what breaks them is a mistake of ours, or memory that failed, and must not
//! reach the disk. The file system is shut down instead.

use super::{
    buffer::{
        Buf,
        ASYNC,
        DELAYED,
        VALID, //
    },
    locked::Locked,
    watcher::Outcome, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::units::Lsn,
    },
    rust::kernel::{
        bio::{
            Durability,
            Purpose, //
        },
        wait, //
    },
};
use core::ptr::NonNull;
use kernel::sync::atomic::{
    Full,
    Relaxed, //
};

impl Locked {
    /// Writes the block, and waits for that: first until no one pins it, then for the device.
    ///
    /// # Errors
    ///
    /// `Io` if the device fails: the block then leaves the cache, and is read again by who wants it.
    /// `Corrupt` if it breaks the rules of its kind, and the file system is shut down. `Shutdown`.
    pub(crate) fn write(&mut self, durability: Durability) -> Result {
        self.wait_unpinned();
        self.seal()?;
        self.start_write(durability);
        self.end_write()
    }

    /// Starts to write the block, which no one pins. Its lock goes with the write. The watcher is
    /// told of the end; what fails at first is tried a second time.
    ///
    /// # Errors
    ///
    /// `Corrupt` and `Shutdown`, as [`write`](Self::write).
    pub(crate) fn write_async(mut self) -> Result {
        self.seal()?;
        self.buf.cache().under_way.fetch_add(1, Relaxed);
        self.send_async();
        Ok(())
    }

    /// Makes the block ready to be written. Where it will not be, the watcher is told.
    pub(super) fn seal(&mut self) -> Result {
        if self.is_stale() {
            // The lock may be someone else's by now.
            return Err(Error::Invalid);
        }
        self.buf.change_state(DELAYED, 0);
        self.try_seal().inspect_err(|_| self.tell(Outcome::Lost))
    }

    fn try_seal(&mut self) -> Result {
        let cache = self.buf.cache();
        if cache.health.is_shut_down() {
            return Err(Error::Shutdown);
        }
        if !self.buf.is_valid() {
            return Err(Error::Invalid);
        }
        let kind = self.buf.kind();
        let lsn = match self.buf.lsn.load(Relaxed) {
            0 => None,
            lsn => Some(Lsn(lsn)),
        };
        // SAFETY: The memory is of that length, initialized since it is valid, and locked by us.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(self.buf.memory().as_ptr(), self.buf.byte_len())
        };
        kind.seal(&cache.geometry, bytes, lsn);
        self.buf.verify(kind).inspect_err(|error| {
            if let Error::Corrupt(corruption) = error {
                cache.health.report(corruption);
            }
            cache
                .health
                .shut_down("since a metadata block about to be written breaks its format");
        })
    }

    /// Sends a write off that this thread will wait for.
    pub(super) fn start_write(&mut self, durability: Durability) {
        // SAFETY: Locked by us until `end_write` has waited for the requests; the lock's count
        // keeps it alive.
        unsafe { Buf::submit(NonNull::from(&*self.buf), Purpose::Write(durability)) };
    }

    /// Waits for a write that [`start_write`](Self::start_write) sent off.
    pub(super) fn end_write(&mut self) -> Result {
        wait::wait_while(&self.buf.io_left, u32::MAX);
        match self.errno() {
            0 => {
                self.written();
                Ok(())
            }
            errno => {
                self.report_failure(errno);
                self.buf.clear_changed();
                self.expel();
                self.tell(Outcome::Lost);
                Err(Error::Io)
            }
        }
    }

    fn send_async(self) {
        self.buf.prepare_work();
        self.buf.change_state(0, ASYNC);
        let raw = self.into_flight().into_raw();
        // SAFETY: The count keeps it alive until the work takes it back, and the lock goes along.
        unsafe { Buf::submit(raw, Purpose::Write(Durability::Cached)) };
    }

    /// The end of a write that no one waits for. Called by the work item.
    pub(super) fn async_write_ended(self) {
        let errno = self.errno();
        if errno == 0 {
            return self.written();
        }
        let health = &self.buf.cache().health;
        if health.is_shut_down() {
            return self.tell(Outcome::Lost);
        }
        self.report_failure(errno);
        if self.buf.last_errno.load(Relaxed) != errno {
            // Once more at once: paths fail over.
            self.buf.last_errno.store(errno, Relaxed);
            self.buf.cache().under_way.fetch_add(1, Full);
            return self.send_async();
        }
        let watcher = self.buf.set_watcher(None);
        match watcher {
            Some(watcher) if !health.gives_up_after(errno) => {
                watcher.ended(Outcome::Failed);
                drop(self.buf.set_watcher(Some(watcher)));
            }
            // Without a watcher no one would ever try again.
            watcher => {
                health.shut_down("since a metadata block cannot be written");
                if let Some(watcher) = watcher {
                    watcher.ended(Outcome::Lost);
                }
            }
        }
    }

    fn written(&self) {
        self.buf.last_errno.store(0, Relaxed);
        self.buf.clear_changed();
        self.tell(Outcome::Written);
    }

    /// Tells the watcher, and takes it off.
    fn tell(&self, outcome: Outcome) {
        if let Some(watcher) = self.buf.set_watcher(None) {
            watcher.ended(outcome);
        }
    }

    fn report_failure(&self, errno: u32) {
        let cache = self.buf.cache();
        cache
            .health
            .report_write_failure(cache.device, self.address(), errno);
    }

    /// The errno of the write that has ended.
    fn errno(&self) -> u32 {
        #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
        if let Some(errno) = self.buf.cache().failing_write() {
            return errno;
        }
        self.buf.io_errno.load(Relaxed)
    }
}
