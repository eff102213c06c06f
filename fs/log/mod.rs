// SPDX-License-Identifier: GPL-2.0

//! The log's engine: what is committed from many CPUs goes to the disk, and from there to its place.
//!
//! A transaction takes a [`Ticket`] from the [grant heads](grant), changes blocks and inodes, and
//! [commits](commit) them to the [CIL](cil). From time to time what was committed becomes a
//! [checkpoint], which is written in [records]. When these are stable, its [items](item) go to the
//! [AIL](ail), and [pushed](push) from there into [their place](flush); the log's tail follows, and
//! room is free again.
//!
//! What all that looks like on the disk is for [`libxfs::log`](crate::libxfs::log) to say.
//!
//! # Locks
//!
//! From the outside in: locks of blocks and inodes; the CIL; an item's state. The writer of records
//! comes before the CIL, and is never waited for with a block or an inode locked, except by who
//! forces the log. The AIL's lock and those of clusters are taken alone. Work that ends records waits
//! for none of the former, so that whoever waits for a record waits for the device alone.
//!
//! # Shutdown
//!
//! Whoever waits for room or for a checkpoint is woken and turned away. What was committed and not
//! written is dropped, and with it go the pins of blocks and the locks of those that were freed. The
//! AIL is emptied.

mod ail;
mod checkpoint;
mod cil;
mod clusters;
mod commit;
mod device;
mod flush;
mod force;
pub(crate) mod grant;
mod idle;
mod intents;
mod item;
mod journal;
mod open;
mod patience;
mod push;
mod records;
mod replay;
mod ring;
mod ticket;

pub(crate) use self::{
    commit::Commit,
    device::LogDevice,
    item::Item,
    journal::LoggedInode,
    open::{
        open,
        Opened, //
    },
    patience::patiently,
    ticket::Ticket, //
};

use self::{
    ail::{
        Ail,
        Moved, //
    },
    cil::Cil,
    clusters::Clusters,
    force::Progress,
    grant::Grants,
    idle::Idle,
    intents::Intents,
    records::{
        Place,
        Records, //
    },
};
use crate::{
    fs::{
        buf::Cache,
        health::{
            Health,
            Keeper, //
        },
    },
    libxfs::{
        error::Result,
        format::{
            geometry::Geometry,
            units::{
                Lsn,
                BASIC_BLOCK_SIZE, //
            },
        },
        items::IntentId,
        log::{
            device::LogArea,
            head::Head,
            space::RecordLayout, //
        },
    },
    rust::kernel::{
        block_device::BlockDevice,
        workqueue::{
            self,
            WorkQueue, //
        },
    },
};
use kernel::{
    new_delayed_work, new_mutex, new_work,
    prelude::*,
    str::CStr,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        DelayedWork,
        Work, //
    },
};

/// Who uses the log.
pub(crate) trait Client: Send + Sync {
    /// All checkpoints up to that number are stable. May sleep, but not wait for the log.
    fn stable(&self, _sequence: u64) {}

    /// Puts the summary counters into the superblock, which is about to be logged.
    fn summarize(&self, _superblock: &mut [u8]) {}
}

/// What an engine is made for.
pub(crate) struct Parts<'a> {
    /// The file system's shape.
    pub(crate) geometry: Arc<Geometry>,
    /// Its health.
    pub(crate) health: Arc<Health>,
    /// The cache of the data device, where all that is logged lies. It outlives the engine.
    pub(crate) data: Arc<Pin<KBox<Cache>>>,
    /// The log's own device, if it has one.
    pub(crate) log_device: Option<BlockDevice>,
    /// Where the log ends and starts.
    pub(crate) head: Head,
    /// Bytes of an in-core log (`logbsize`).
    pub(crate) buffer_size: u32,
    /// How many there are (`logbufs`).
    pub(crate) buffers: u32,
    /// Who uses it.
    pub(crate) client: Arc<dyn Client>,
    /// Names its threads.
    pub(crate) name: &'a CStr,
}

/// The log of a mounted file system.
#[pin_data]
pub(crate) struct Engine {
    geometry: Arc<Geometry>,
    health: Arc<Health>,
    data: Arc<Pin<KBox<Cache>>>,
    client: Arc<dyn Client>,
    #[pin]
    grants: Grants,
    #[pin]
    cil: Cil,
    #[pin]
    records: Records,
    #[pin]
    ail: Ail,
    #[pin]
    clusters: Clusters,
    #[pin]
    intents: Intents,
    #[pin]
    progress: Mutex<Progress>,
    /// The last checkpoint that is stable.
    stable: Atomic<u64>,
    #[pin]
    pusher: Mutex<push::Pusher>,
    /// How far the AIL is to be pushed: an LSN, or 0.
    target: Atomic<u64>,
    #[pin]
    idle: Mutex<Idle>,
    /// Whether workers are to end.
    stopping: Atomic<u32>,
    completions: Arc<WorkQueue>,
    queue: Arc<WorkQueue>,
    #[pin]
    push_work: Work<Engine, 1>,
    #[pin]
    ail_work: Work<Engine, 2>,
    #[pin]
    again_work: DelayedWork<Engine, 3>,
    #[pin]
    idle_work: DelayedWork<Engine, 4>,
}

impl Engine {
    /// Starts behind a head. The log keeps what lies between its tail and itself until it is
    /// [taken over](Self::take_over).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a log to which no records can be written; `ENOMEM`.
    fn new(parts: Parts<'_>) -> kernel::error::Result<Arc<Self>> {
        let geo = &parts.geometry;
        let area = LogArea::of(geo).map_err(|_| EINVAL)?;
        let layout = RecordLayout::new(geo, parts.buffer_size).ok_or(EINVAL)?;
        let size = area.len.checked_mul(BASIC_BLOCK_SIZE).ok_or(EINVAL)?;
        let data_device = parts.data.block_device();
        let place = Place {
            area,
            device: parts.log_device.unwrap_or(data_device),
            data_device: parts.log_device.map(|_| data_device),
            next: parts.head.next,
            last: parts.head.last,
            tail: parts.head.tail,
            layout,
            buffers: parts.buffers,
        };
        if place.next.block() >= area.len {
            return Err(EINVAL);
        }
        let cil = Cil::new(size, layout).map_err(|_| ENOMEM)?;
        let records = Records::new(&place).map_err(|_| ENOMEM)?;
        // One block is never written, or a full log would look like an empty one.
        let usable = size.saturating_sub(BASIC_BLOCK_SIZE);
        let (tail, next) = (place.tail, place.next);
        let queue = Arc::new(WorkQueue::new(c"xfs_rust-log/%s", parts.name)?, GFP_KERNEL)?;
        let completions = Arc::new(
            WorkQueue::new(c"xfs_rust-logio/%s", parts.name)?,
            GFP_KERNEL,
        )?;
        let engine = Arc::pin_init(
            pin_init!(Self {
                geometry: parts.geometry,
                health: parts.health,
                data: parts.data,
                client: parts.client,
                grants <- Grants::new(usable),
                cil <- cil,
                records <- records,
                ail <- Ail::new(tail, next),
                clusters <- Clusters::new(),
                intents <- Intents::new(),
                progress <- new_mutex!(Progress::new(), "xfs_rust_log_progress"),
                stable: Atomic::new(0),
                pusher <- new_mutex!(push::Pusher::new(), "xfs_rust_log_pusher"),
                target: Atomic::new(0),
                idle <- new_mutex!(Idle::default(), "xfs_rust_log_idle"),
                stopping: Atomic::new(0),
                completions,
                queue,
                push_work <- new_work!("xfs_rust_log_push"),
                ail_work <- new_work!("xfs_rust_log_ail"),
                again_work <- new_delayed_work!("xfs_rust_log_again"),
                idle_work <- new_delayed_work!("xfs_rust_log_idle"),
            }),
            GFP_KERNEL,
        )?;
        engine.grants.occupy(engine.bytes_between(tail, next));
        Ok(engine)
    }

    /// The file system's shape.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The file system's health.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// The grant heads.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Has the next record fail.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    pub(crate) fn fail_record(&self) {
        self.records.fail();
    }

    fn ail(&self) -> &Ail {
        &self.ail
    }

    /// The sizes of records.
    fn layout(&self) -> &RecordLayout {
        self.records.layout()
    }

    /// The queue of work that ends records.
    fn completions(&self) -> &WorkQueue {
        &self.completions
    }

    /// Waits while more was committed than may be.
    fn throttle(&self) {
        if !self.health.is_shut_down() {
            self.cil.throttle();
        }
    }

    /// Gives room free that the tail has left behind.
    fn tail_moved(self: &Arc<Self>, moved: Option<Moved>) {
        if let Some(Moved { from, to }) = moved {
            self.grants.give_back(self.bytes_between(from, to));
            self.ail.wake_if_empty();
            if self.grants.is_short() {
                self.push_ail();
            }
        }
    }

    /// A name for an intent that no other living one has.
    pub(crate) fn next_intent(&self) -> IntentId {
        self.intents.next()
    }

    /// Takes over the intents that recovery found, each with the LSN of its transaction, in the
    /// order of the log, so that the tail stays behind those that are not answered. All else between
    /// tail and head is in its place. Comes before anything is committed.
    ///
    /// # Errors
    ///
    /// `NoMemory`; `Exists` for a name that another one has.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        intents: impl Iterator<Item = (IntentId, Lsn)>,
    ) -> Result {
        let end = self.ail.end();
        for (id, lsn) in intents {
            let item = Item::new(self, item::Subject::Intent(id))?;
            self.intents.add(id, &item)?;
            let mut slots = KVVec::new();
            patience::patiently(|| Ok(slots.reserve(1, GFP_KERNEL)?))?;
            let _ = slots.push_within_capacity(Some(item));
            self.tail_moved(self.ail.insert(lsn, end, slots)?);
        }
        // Where there are none, the tail is the head.
        self.tail_moved(self.ail.insert(end, end, KVVec::new())?);
        Ok(())
    }

    /// Whether the tail is waiting for an intent, so that it should be logged anew.
    pub(crate) fn is_old(&self, id: IntentId) -> bool {
        let target = self.target.load(Relaxed);
        target != 0
            && self
                .intents
                .get(id)
                .and_then(|item| self.ail.lsn_of(&item))
                .is_some_and(|lsn| lsn.0 <= target)
    }

    /// Whether workers are to end.
    fn is_stopping(&self) -> bool {
        self.stopping.load(Acquire) != 0
    }
}

impl Keeper for Engine {
    fn shut_down(self: Arc<Self>) {
        self.grants.close();
        self.cil.relax();
        self.ail.wake();
        // What is committed comes to nothing, and lets go of what it holds.
        self.push_soon();
        self.push_ail();
    }

    fn is_awaited(self: Arc<Self>) {
        self.push_soon();
    }
}

/// The log, and what keeps it at work. Dropping it stops that; what was not written is lost then, so
/// [unmount](Engine::unmount) first.
pub(crate) struct Log(Arc<Engine>);

impl Log {
    /// Starts the engine; see [`Parts`].
    ///
    /// # Errors
    ///
    /// `EINVAL` for a log to which no records can be written; `ENOMEM`.
    pub(crate) fn start(parts: Parts<'_>) -> kernel::error::Result<Self> {
        let engine = Engine::new(parts)?;
        engine.health.set_keeper(Some(engine.clone()));
        engine.idle_later();
        Ok(Self(engine))
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let engine = &self.0;
        engine.stopping.store(1, Release);
        engine.health.set_keeper(None);
        // What is committed goes, or with a file system that is shut down comes to nothing.
        let _ = engine.force_all();
        workqueue::flush_delayed(&engine.idle_work);
        workqueue::flush_delayed(&engine.again_work);
        engine.queue.flush();
        engine.records.wait_idle();
        engine.completions.flush();
        engine.queue.flush();
        // Items refer to the engine.
        engine.pusher.lock().forget();
        engine.ail.clear();
        engine.intents.clear();
        engine.clusters.clear();
        // The watchers of blocks that will not be written do, too.
        engine.data.forget_changes();
    }
}
