// SPDX-License-Identifier: GPL-2.0

//! In-core logs: records on their way to the disk.
//!
//! A few buffers go round. One is filled at a time, by who holds the [`Writer`]; it is sealed for its
//! place in the ring and sent off, and several can be on their way. They land in any order; what
//! follows from that is done in the order of the log, when all that was sent before has landed too.
//!
//! # What is stable when
//!
//! - The first record of a checkpoint is sent with a flush before it: file data that its changes
//!   refer to is there before they are, and so are the blocks whose changes the tail has left behind.
//!   The same goes for any record that tells another tail than the one before.
//! - A record with a commit is stable itself when it lands (FUA). Where a checkpoint takes several,
//!   the one with the commit is not sent before the others have landed, and with a flush.
//! - With a log on a device of its own, the flush is one of the data device, before the record is
//!   sent.

use super::{
    checkpoint::Checkpoint,
    patience::patiently,
    Engine, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            geometry::Geometry,
            units::{
                Lsn,
                BASIC_BLOCK_SIZE, //
            },
        },
        log::{
            device::LogArea,
            pack::{
                RecordBuffer,
                Seal, //
            },
            space::{
                self,
                RecordLayout, //
            },
        },
    },
    rust::{
        bindings,
        kernel::{
            bio::{
                Bio,
                Completion,
                Durability,
                Purpose, //
            },
            block_device::BlockDevice,
            nofs::NoFs,
            workqueue::WorkQueue, //
        },
    },
};
use core::ptr::NonNull;
use kernel::{
    new_condvar, new_mutex, new_spinlock, new_work,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        CondVar,
        Mutex,
        SpinLock,
        UniqueArc, //
    },
    workqueue::{
        impl_has_work,
        Work,
        WorkItem, //
    },
};

/// A record that was sealed.
#[pin_data]
pub(super) struct Record {
    engine: Arc<Engine>,
    /// Taken out when the record has landed and all before it have.
    #[pin]
    buffer: SpinLock<Option<RecordBuffer>>,
    lsn: Lsn,
    /// Bytes that are written.
    len: usize,
    durability: Durability,
    /// Whether it waits until all before it have landed.
    waits: bool,
    sent: Atomic<u32>,
    landed: Atomic<u32>,
    /// Requests under way.
    io_left: Atomic<u32>,
    /// The errno of one that failed, or 0.
    io_errno: Atomic<u32>,
    /// The checkpoint that it commits.
    pub(super) commits: Option<Arc<Checkpoint>>,
    #[pin]
    work: Work<Record>,
}

impl_has_work! {
    impl HasWork<Self> for Record { self.work }
}

impl WorkItem for Record {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let engine = this.engine.clone();
        this.landed.store(1, Release);
        drop(this);
        engine.land();
    }
}

/// Why a record is sent.
pub(super) enum Role {
    /// It has part of a checkpoint.
    Part,
    /// It ends one.
    Commit(Arc<Checkpoint>),
    /// It says that the file system was unmounted.
    Unmount,
}

/// Where the next record goes. There is one, and who has it fills buffers.
pub(super) struct Writer {
    pub(super) next: Lsn,
    /// Block of the last record; all ones if there is none.
    last: u32,
    /// The tail that the last record told.
    told: Lsn,
    /// Number of the last transaction.
    pub(super) tid: u32,
    /// Whether the next record is a checkpoint's first.
    pub(super) is_first: bool,
}

/// The records of a log.
#[pin_data]
pub(super) struct Records {
    area: LogArea,
    layout: RecordLayout,
    device: BlockDevice,
    /// The data device, where the log has another.
    data_device: Option<BlockDevice>,
    /// How many buffers there are.
    count: usize,
    /// Those that are free.
    #[pin]
    pool: Mutex<KVec<RecordBuffer>>,
    #[pin]
    returned: CondVar,
    /// Records from when they are sealed until they and all before have landed.
    #[pin]
    flight: Mutex<KVec<Arc<Record>>>,
    /// Held by who deals with what has landed.
    #[pin]
    landing: Mutex<()>,
    #[pin]
    pub(super) writer: Mutex<Writer>,
    /// For tests: whether the next record to land has failed.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    fails: Atomic<u32>,
}

/// Where a log lies, and where it is to be written.
pub(crate) struct Place {
    /// The log.
    pub(crate) area: LogArea,
    /// Its device.
    pub(crate) device: BlockDevice,
    /// The data device, where the log has another.
    pub(crate) data_device: Option<BlockDevice>,
    /// Where the next record goes.
    pub(crate) next: Lsn,
    /// The last record's block, if there is one.
    pub(crate) last: Option<u32>,
    /// The tail that it told.
    pub(crate) tail: Lsn,
    /// The sizes of records.
    pub(crate) layout: RecordLayout,
    /// How many in-core logs there are: 2 to 8.
    pub(crate) buffers: u32,
}

impl Records {
    pub(super) fn new(place: &Place) -> Result<impl PinInit<Self>> {
        let count = place.buffers.clamp(2, 8) as usize;
        let mut pool = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            pool.push(RecordBuffer::new(place.layout)?, GFP_KERNEL)?;
        }
        let flight = KVec::with_capacity(count, GFP_KERNEL)?;
        let (area, layout) = (place.area, place.layout);
        let (device, data_device) = (place.device, place.data_device);
        let writer = Writer {
            next: place.next,
            last: place.last.unwrap_or(u32::MAX),
            told: place.tail,
            // Any number will do, as long as no older operation around here has the same.
            tid: place.next.block() ^ place.next.cycle().rotate_left(24),
            is_first: true,
        };
        Ok(pin_init!(Self {
            area,
            layout,
            device,
            data_device,
            count,
            pool <- new_mutex!(pool, "xfs_rust_log_pool"),
            returned <- new_condvar!("xfs_rust_log_pool"),
            flight <- new_mutex!(flight, "xfs_rust_log_flight"),
            landing <- new_mutex!((), "xfs_rust_log_landing"),
            writer <- new_mutex!(writer, "xfs_rust_log_writer"),
            #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
            fails: Atomic::new(0),
        }))
    }

    /// The sizes of records.
    pub(super) fn layout(&self) -> &RecordLayout {
        &self.layout
    }

    /// Where the log lies.
    pub(super) fn area(&self) -> LogArea {
        self.area
    }

    /// Waits for a free buffer.
    pub(super) fn buffer(&self) -> RecordBuffer {
        let mut pool = self.pool.lock();
        loop {
            match pool.pop() {
                Some(buffer) => return buffer,
                None => self.returned.wait(&mut pool),
            }
        }
    }

    /// Gives a buffer back, unless it was taken away and has no memory.
    pub(super) fn give_back(&self, mut buffer: RecordBuffer) {
        if buffer.bytes().is_empty() {
            return;
        }
        buffer.clear();
        let mut pool = self.pool.lock();
        // There is room for all that there are.
        let _ = pool.push_within_capacity(buffer);
        self.returned.notify_one();
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.flight.lock().is_empty()
    }

    /// Waits until nothing is on its way. Nothing more may be sent.
    pub(super) fn wait_idle(&self) {
        let mut pool = self.pool.lock();
        while pool.len() < self.count {
            self.returned.wait(&mut pool);
        }
        // A wait takes one wake-up each.
        self.returned.notify_one();
    }

    /// Seals what is in `buffer` for the place where the next record goes, and has it sent. The
    /// buffer has no memory after that.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`, `Range`; the buffer keeps what it has.
    pub(super) fn send(
        &self,
        engine: &Arc<Engine>,
        writer: &mut Writer,
        buffer: &mut RecordBuffer,
        role: Role,
    ) -> Result {
        if engine.health().is_shut_down() {
            return Err(Error::Shutdown);
        }
        let geo: &Geometry = engine.geometry();
        let (lsn, tail) = (writer.next, engine.ail().tail());
        let blocks = buffer.blocks();
        let len = buffer
            .seal(&Seal {
                geo,
                lsn,
                tail,
                previous: writer.last,
                ring: self.area.len,
            })?
            .len();
        let flushed = core::mem::replace(&mut writer.is_first, false) || tail != writer.told;
        let (durability, waits) = match &role {
            Role::Part if flushed => (Durability::Flushed, false),
            Role::Part => (Durability::Cached, false),
            Role::Commit(checkpoint) if checkpoint.start() == lsn => (Durability::Ordered, false),
            Role::Commit(_) | Role::Unmount => (Durability::Ordered, true),
        };
        let commits = match role {
            Role::Commit(checkpoint) => Some(checkpoint),
            Role::Part | Role::Unmount => None,
        };
        // Memory first, for which one waits, then what is to lie in it.
        let mut memory = None;
        patiently(|| {
            memory = Some(UniqueArc::<Record>::new_uninit(GFP_KERNEL)?);
            Ok(())
        })?;
        let memory = memory.ok_or(Error::NoMemory)?;
        let full = buffer.take();
        let init = pin_init!(Record {
            engine: engine.clone(),
            buffer <- new_spinlock!(Some(full), "xfs_rust_record"),
            lsn,
            len,
            durability,
            waits,
            sent: Atomic::new(0),
            landed: Atomic::new(0),
            io_left: Atomic::new(0),
            io_errno: Atomic::new(0),
            commits,
            work <- new_work!("xfs_rust_record"),
        });
        let record: Arc<Record> = match memory.pin_init_with(init) {
            Ok(record) => record.into(),
        };
        let end = space::advance(self.area.len, lsn, blocks);
        writer.next = end;
        writer.last = lsn.block();
        writer.told = tail;
        let mut flight = self.flight.lock();
        let is_next = flight.is_empty();
        // There is room: a record has one of the buffers.
        let _ = flight.push_within_capacity(record.clone());
        drop(flight);
        if !waits || is_next {
            self.submit(&record);
        }
        Ok(())
    }

    /// Sends a record off, unless it was.
    fn submit(&self, record: &Arc<Record>) {
        if record.sent.xchg(1, Full) != 0 {
            return;
        }
        let _nofs = NoFs::new();
        if let (Some(data), true) = (self.data_device, record.durability.flushes()) {
            if let Err(error) = data.flush() {
                record.note_failure(error);
            }
        }
        let memory = {
            let buffer = record.buffer.lock();
            let bytes = buffer.as_ref().map(RecordBuffer::bytes);
            bytes.and_then(|bytes| NonNull::new(bytes.as_ptr().cast_mut()))
        };
        let before_end = self.area.len.saturating_sub(record.lsn.block()) as usize;
        let split = before_end.saturating_mul(BASIC_BLOCK_SIZE as usize);
        let split = split.min(record.len);
        let parts = [
            (record.lsn.block(), 0, split),
            (0, split, record.len.saturating_sub(split)),
        ];
        // One of our own, lest the end come before the last request is made.
        record.io_left.store(1, Relaxed);
        // SAFETY: The count that goes with it is taken back by the last request's end.
        let raw = unsafe { NonNull::new_unchecked(Arc::into_raw(record.clone()).cast_mut()) };
        if record.io_errno.load(Relaxed) == 0 {
            for (block, from, len) in parts {
                if len == 0 {
                    continue;
                }
                // Memory that is not contiguous takes a segment a page, and may begin within one.
                let segments = len.div_ceil(PAGE_SIZE).saturating_add(1);
                let segments = segments.min(Bio::MAX_SEGMENTS.into()) as u16;
                let purpose = Purpose::Log(record.durability);
                let bio = Bio::new(self.device, self.area.address(block).0, segments, purpose);
                let bio = bio.and_then(|mut bio| {
                    let memory = memory.ok_or(EINVAL)?;
                    // SAFETY: The buffer has that many bytes from there on, it stays in the record
                    // until all requests have ended, and no one changes it meanwhile.
                    match unsafe { bio.add(memory.add(from), len as u32) } {
                        true => Ok(bio),
                        false => Err(EIO),
                    }
                });
                match bio {
                    Ok(bio) => {
                        record.io_left.fetch_add(1, Relaxed);
                        // SAFETY: The count that `raw` has keeps the record until all have ended.
                        unsafe { bio.submit(raw) };
                    }
                    Err(error) => record.note_failure(error),
                }
            }
        }
        // SAFETY: This is for the one of our own.
        unsafe { Record::ended(raw, Ok(())) };
    }

    /// The errno of a record that has landed, or 0.
    fn errno(&self, record: &Record) -> u32 {
        #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
        if self.fails.xchg(0, Full) != 0 {
            return bindings::EIO;
        }
        record.io_errno.load(Relaxed)
    }

    /// Has the next record that lands have failed, whatever the device says.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    pub(crate) fn fail(&self) {
        self.fails.store(1, Release);
    }

    /// Deals with what has landed, in the order of the log.
    pub(super) fn land(&self, engine: &Arc<Engine>) {
        let _landing = self.landing.lock();
        loop {
            let shut_down = engine.health().is_shut_down();
            let mut flight = self.flight.lock();
            let Some(first) = flight.first() else {
                return;
            };
            if first.landed.load(Acquire) == 0 {
                let first = first.clone();
                drop(flight);
                if !first.waits || first.sent.load(Acquire) != 0 {
                    return;
                }
                if !shut_down {
                    self.submit(&first);
                    return;
                }
                // It will never be sent.
                if first.sent.xchg(1, Full) != 0 {
                    return;
                }
                first.io_errno.store(bindings::EIO, Relaxed);
                first.landed.store(1, Release);
                continue;
            }
            let Ok(record) = flight.remove(0) else {
                return;
            };
            drop(flight);
            let errno = self.errno(&record);
            if errno != 0 {
                engine.health().shut_down("since the log cannot be written");
            }
            let buffer = record.buffer.lock().take();
            if let Some(buffer) = buffer {
                self.give_back(buffer);
            }
            if let Some(checkpoint) = &record.commits {
                let failed = errno != 0 || shut_down;
                engine.checkpoint_ended(checkpoint, failed);
            }
        }
    }
}

impl Record {
    fn note_failure(&self, error: kernel::error::Error) {
        let errno = error.to_errno().unsigned_abs();
        self.io_errno.store(errno.max(1), Relaxed);
    }
}

// SAFETY: Counts down, and queues work.
unsafe impl Completion for Record {
    unsafe fn ended(this: NonNull<Self>, result: kernel::error::Result) {
        // SAFETY: Alive until its requests have ended, and this one has not been counted yet.
        let record = unsafe { this.as_ref() };
        if let Err(error) = result {
            record.note_failure(error);
        }
        if record.io_left.fetch_add(u32::MAX, Full) != 1 {
            return;
        }
        // SAFETY: The count that `submit` has given to the requests, all of which have ended.
        let record = unsafe { Arc::from_raw(this.as_ptr().cast_const()) };
        let queue: *const WorkQueue = record.engine.completions();
        // SAFETY: The queue lives until the record's work has run, as the engine does.
        let queue = unsafe { &*queue };
        // It is queued once, so there is nothing to be refused.
        let _ = queue.as_queue().enqueue(record);
    }
}
