// SPDX-License-Identifier: GPL-2.0

//! What the log does when no one wants anything of it, and how it comes to rest.
//!
//! Every 30 seconds what was committed is written, and what the AIL has is put into its place. A log
//! with nothing left in it is *covered*: the superblock is logged, twice, so that the last record's
//! tail lies behind all changes, and recovery would find nothing to replay.

use super::{
    cil::superblock_reservation,
    commit::Commit,
    records::Role,
    ticket::Ticket,
    Engine, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            kind::Kind,
            log::chunks::ChunkMap,
            sb::DiskSuperblock,
            units::{
                DiskAddr,
                BASIC_BLOCK_SIZE, //
            },
        },
        log::{
            pack,
            space, //
        },
        store::Run,
        trans::{
            BlockState,
            LogReservation, //
        },
    },
    rust::kernel::workqueue,
};
use core::mem::size_of;
use kernel::{
    prelude::*,
    sync::Arc,
    time::msecs_to_jiffies,
    workqueue::WorkItem, //
};

/// How long between two looks at the log. Source: `xfs_syncd_centisecs` of the C driver.
const PERIOD_MS: u32 = 30_000;
/// Log space that an unmount takes at most.
const UNMOUNT: LogReservation = LogReservation {
    bytes: 128,
    count: 1,
    permanent: false,
};

/// How far the log is covered.
#[derive(Default)]
pub(super) struct Idle {
    cover: space::Cover,
    /// Whether the next checkpoint is to cover it.
    is_covering: bool,
    /// Whether it is at rest on purpose, and not looked at.
    is_paused: bool,
}

impl Engine {
    /// Notes that a checkpoint was written.
    pub(super) fn wrote(&self, is_dummy: bool) {
        let mut idle = self.idle.lock();
        idle.cover = idle.cover.wrote(is_dummy);
    }

    /// Whether the checkpoint that is collected is to cover the log.
    pub(super) fn takes_cover(&self) -> bool {
        core::mem::replace(&mut self.idle.lock().is_covering, false)
    }

    /// Whether nothing is on its way to anywhere.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.cil.is_empty() && self.records.is_idle() && self.ail.is_empty()
    }

    /// Whether the log, which is at rest, should be covered. If so, the next checkpoint does.
    fn wants_cover(&self) -> bool {
        if !self.is_at_rest() {
            return false;
        }
        let mut idle = self.idle.lock();
        idle.cover = idle.cover.settled();
        idle.is_covering = idle.cover.is_wanted();
        idle.is_covering
    }

    /// Logs the superblock, with the counters as they are now, and waits until that is stable.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`, and those of reading it.
    pub(crate) fn log_superblock(self: &Arc<Self>) -> Result {
        let logged = self.try_log_superblock();
        if logged.is_err() {
            // What comes next does not cover the log.
            self.takes_cover();
        }
        logged
    }

    fn try_log_superblock(self: &Arc<Self>) -> Result {
        let sector = self.geometry.sector_size;
        let mut ticket = Ticket::take(self, superblock_reservation(sector))?;
        let run = Run {
            at: DiskAddr(0),
            len: sector / BASIC_BLOCK_SIZE,
        };
        let mut block = self.data.lock(&[run], Kind::Superblock)?;
        self.client.summarize(&mut block);
        let mut changed = ChunkMap::new();
        changed.add(0..size_of::<DiskSuperblock>());
        let mut commit = Commit::new(self, &mut ticket);
        let logged = commit
            .block(
                &mut block,
                &[run],
                Kind::Superblock,
                BlockState::Logged,
                &changed,
            )
            .and_then(|()| commit.finish());
        let sequence = logged.inspect_err(|_| {
            self.health
                .shut_down("since the superblock cannot be logged");
        })?;
        drop(block);
        drop(ticket);
        self.force(sequence)
    }

    /// Has the log looked at after a while.
    pub(super) fn idle_later(self: &Arc<Self>) {
        if self.is_stopping() || self.idle.lock().is_paused {
            return;
        }
        let delay = msecs_to_jiffies(PERIOD_MS);
        let _ = self
            .queue
            .as_queue()
            .enqueue_delayed::<_, 4>(self.clone(), delay);
    }

    /// Looks at the log.
    fn look(self: &Arc<Self>) {
        if self.is_stopping() || self.health.is_shut_down() || self.idle.lock().is_paused {
            return;
        }
        if self.wants_cover() {
            // What goes wrong here shuts the file system down, or is tried again.
            let _ = self.log_superblock();
        } else {
            self.push_soon();
        }
        self.push_all();
    }

    /// Brings the log to rest: all that was committed is stable and in its place, and recovery would
    /// find nothing to do. No one may commit meanwhile. It stays so until it is [woken](Self::wake).
    ///
    /// # Errors
    ///
    /// `Shutdown`; `Io` where the device does not flush its cache.
    pub(crate) fn quiesce(self: &Arc<Self>) -> Result {
        self.idle.lock().is_paused = true;
        workqueue::flush_delayed(&self.idle_work);
        self.force_all()?;
        self.push_all_and_wait()?;
        // The counters of the superblock may be older than the log, though nothing else is.
        self.wants_cover();
        loop {
            self.log_superblock()?;
            self.push_all_and_wait()?;
            if !self.wants_cover() {
                break;
            }
        }
        self.data.block_device().flush().map_err(|_| Error::Io)
    }

    /// Goes on after a rest.
    pub(crate) fn wake(self: &Arc<Self>) {
        self.idle.lock().is_paused = false;
        self.idle_later();
    }

    /// Brings the log to rest and writes that the file system was unmounted: the log is clean then.
    ///
    /// # Errors
    ///
    /// As [`quiesce`](Self::quiesce).
    pub(crate) fn unmount(self: &Arc<Self>) -> Result {
        self.quiesce()?;
        let _ticket = Ticket::take(self, UNMOUNT)?;
        let records = &self.records;
        let mut writer = records.writer.lock();
        let mut buffer = records.buffer();
        writer.tid = writer.tid.wrapping_add(1);
        let (tid, lsn) = (writer.tid, writer.next);
        let sent = pack::unmount(&mut buffer, tid)
            .and_then(|()| records.send(self, &mut writer, &mut buffer, Role::Unmount));
        records.give_back(buffer);
        sent?;
        records.wait_idle();
        // Nothing of it is needed any more.
        let end = writer.next;
        self.grants.occupy(self.bytes_between(lsn, end));
        self.tail_moved(self.ail.insert(lsn, end, KVVec::new())?);
        self.idle.lock().cover = space::Cover::Idle;
        match self.health.is_shut_down() {
            false => Ok(()),
            true => Err(Error::Shutdown),
        }
    }
}

impl WorkItem<4> for Engine {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.look();
        this.idle_later();
    }
}

kernel::workqueue::impl_has_delayed_work! {
    impl HasDelayedWork<Self, 4> for Engine { self.idle_work }
}
