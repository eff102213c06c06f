// SPDX-License-Identifier: GPL-2.0

//! Whether a file system still works: what its engine and its VFS face have to know of each other's
//! troubles, and what is said of them.

use super::reports::Reports;
use crate::{
    libxfs::{
        error::Corruption,
        format::units::DiskAddr,
        store::Device, //
    },
    rust::kernel::{
        message::{
            Level,
            Prefix, //
        },
        ratelimit::RateLimit, //
    },
};
use core::fmt;
use kernel::{
    bindings::ENODEV,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    },
};

/// Who has to know at once what becomes of the file system: the log.
pub(crate) trait Keeper: Send + Sync {
    /// The file system was shut down. May sleep, but not wait for anything that takes blocks.
    fn shut_down(self: Arc<Self>);

    /// Someone waits for a block that is not free, or not written, before the log is. As above.
    fn is_awaited(self: Arc<Self>);
}

/// The health of a mounted file system.
#[pin_data]
pub(crate) struct Health {
    prefix: Prefix,
    #[pin]
    keeper: SpinLock<Option<Arc<dyn Keeper>>>,
    shut_down: Atomic<u32>,
    unmounting: Atomic<u32>,
    #[pin]
    reports: Reports,
    #[pin]
    write_failures: RateLimit,
}

impl Health {
    /// A file system in good health, whose lines in the log begin with `prefix`.
    pub(crate) fn new(prefix: Prefix) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                prefix,
                keeper <- new_spinlock!(None, "xfs_rust_health"),
                shut_down: Atomic::new(0),
                unmounting: Atomic::new(0),
                reports <- Reports::new(),
                write_failures <- RateLimit::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// What lines about this file system begin with.
    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Says a line about this file system.
    pub(crate) fn print(&self, level: Level, line: fmt::Arguments<'_>) {
        self.prefix.print(level, line);
    }

    /// Refuses all further use, and says why.
    pub(crate) fn shut_down(&self, why: &str) {
        if self.shut_down.xchg(1, Relaxed) == 0 {
            self.print(Level::Error, format_args!("shut down {why}"));
            if let Some(keeper) = self.keeper() {
                keeper.shut_down();
            }
        }
    }

    /// Says that someone waits for a block that the log keeps.
    pub(crate) fn hurry(&self) {
        if let Some(keeper) = self.keeper() {
            keeper.is_awaited();
        }
    }

    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.keeper.lock().clone()
    }

    /// Sets who is told of all that.
    pub(crate) fn set_keeper(&self, keeper: Option<Arc<dyn Keeper>>) {
        let before = core::mem::replace(&mut *self.keeper.lock(), keeper);
        drop(before);
    }

    /// Whether it was shut down.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Relaxed) != 0
    }

    /// Notes that it is being unmounted: what cannot be written then is given up, lest the unmount
    /// wait for ever.
    pub(crate) fn set_unmounting(&self) {
        self.unmounting.store(1, Relaxed);
    }

    /// Says what is corrupt, unless that was said of late or too much is.
    pub(crate) fn report(&self, corruption: &Corruption) {
        if self.reports.admits(corruption) {
            self.print(Level::Error, format_args!("corruption: {corruption}"));
        }
    }

    /// Says that a block could not be written, unless that was said too often of late.
    pub(crate) fn report_write_failure(&self, device: Device, at: DiskAddr, errno: u32) {
        if self.write_failures.allows() {
            self.print(
                Level::Error,
                format_args!(
                    "metadata I/O error: {device} block {:#x} was not written, errno {errno}",
                    at.0
                ),
            );
        }
    }

    /// Whether a block that again could not be written, with `errno`, is not tried any more.
    ///
    /// Devices come back and thin ones grow, so all else is tried for ever; one that is gone
    /// (`ENODEV`) stays gone. Those are the defaults of the C driver.
    /// Source: fs/xfs/xfs_sysfs.c of Linux 7.3.
    pub(crate) fn gives_up_after(&self, errno: u32) -> bool {
        errno == ENODEV || self.unmounting.load(Relaxed) != 0
    }
}
