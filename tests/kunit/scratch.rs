// SPDX-License-Identifier: GPL-2.0

//! A cache over the part of the disk that tests may write: free space at its end.

use super::disk::Disk;
use crate::{
    fs::{
        buf::{
            Cache,
            Outcome,
            Watcher, //
        },
        health::Health, //
    },
    libxfs::{
        format::{
            kind::Kind,
            units::DiskAddr, //
        },
        store::{
            Device,
            Run, //
        },
    },
    rust::kernel::{
        bio::{
            self,
            Durability, //
        },
        message::Prefix,
        workqueue::WorkQueue, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Basic blocks of a block.
pub(super) const LEN: u32 = 8;

/// Basic blocks at the end of the disk that `mkfs.xfs` leaves free.
const FREE: u64 = 1 << 16;

/// A cache, which goes before the disk does, and the file system's health.
pub(super) struct Scratch {
    pub(super) cache: Pin<KBox<Cache>>,
    pub(super) disk: Disk,
    pub(super) health: Arc<Health>,
    /// What workers have found to be wrong.
    pub(super) wrong: Atomic<u32>,
    /// What else they count.
    pub(super) count: Atomic<u32>,
}

impl Scratch {
    pub(super) fn new() -> Result<Arc<Self>> {
        let disk = Disk::open()?;
        let health = Health::new(Prefix::new(Some(b"kunit")))?;
        let queue = Arc::new(WorkQueue::new(c"xfs_rust-buf/%s", c"kunit")?, GFP_KERNEL)?;
        let cache = Cache::new(
            Device::Data,
            disk.device()?,
            disk.geometry()?,
            health.clone(),
            queue,
            c"kunit",
        )?;
        let scratch = Self {
            cache,
            disk,
            health,
            wrong: Atomic::new(0),
            count: Atomic::new(0),
        };
        Ok(Arc::new(scratch, GFP_KERNEL)?)
    }

    /// The run of a block of the free space.
    pub(super) fn run(&self, block: u64) -> Run {
        let end = self.disk.device().map_or(0, |device| device.sectors());
        Run {
            at: DiskAddr(end.saturating_sub(FREE) + block * u64::from(LEN)),
            len: LEN,
        }
    }

    /// What lies at a place of the disk.
    pub(super) fn on_disk(&self, run: Run) -> Result<KVVec<u8>> {
        bio::read_now(self.disk.device()?, run.at.0, run.len as usize * 512)
    }

    /// Whether the disk holds that byte all over a place.
    pub(super) fn disk_is(&self, run: Run, byte: u8) -> Result<bool> {
        Ok(self.on_disk(run)?.iter().all(|here| *here == byte))
    }

    /// Puts a byte all over a place of the disk, past the cache.
    pub(super) fn put(&self, run: Run, byte: u8) -> Result {
        let mut block = self
            .cache
            .fresh_uncached(&[run], Kind::Raw)
            .map_err(|_| EIO)?;
        block.fill(byte);
        block.write(Durability::Cached).map_err(|_| EIO)
    }

    /// Whether readers find that byte all over a block.
    pub(super) fn reads(&self, run: Run, byte: u8) -> Result<bool> {
        let block = self.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
        Ok(block.len() == run.len as usize * 512 && block.iter().all(|here| *here == byte))
    }
}

/// Counts what it is told.
pub(super) struct Tally {
    written: Atomic<u32>,
    failed: Atomic<u32>,
    lost: Atomic<u32>,
}

impl Tally {
    pub(super) fn new() -> Result<Arc<Self>> {
        let tally = Self {
            written: Atomic::new(0),
            failed: Atomic::new(0),
            lost: Atomic::new(0),
        };
        Ok(Arc::new(tally, GFP_KERNEL)?)
    }

    /// How often it was told each outcome: written, failed, lost.
    pub(super) fn counts(&self) -> (u32, u32, u32) {
        let [written, failed, lost] =
            [&self.written, &self.failed, &self.lost].map(|count| count.load(Relaxed));
        (written, failed, lost)
    }
}

impl Watcher for Tally {
    fn ended(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Written => &self.written,
            Outcome::Failed => &self.failed,
            Outcome::Lost => &self.lost,
        };
        count.fetch_add(1, Relaxed);
    }
}
