// SPDX-License-Identifier: GPL-2.0

//! A log, and blocks to log, in the part of the disk that tests may write: free space at its end.

use super::disk::Disk;
use crate::{
    fs::{
        buf::{
            Cache,
            Locked, //
        },
        health::Health,
        log::{
            self,
            Client,
            Commit,
            Engine,
            Log,
            LogDevice,
            Parts,
            Ticket, //
        },
    },
    libxfs::{
        format::{
            geometry::Geometry,
            kind::Kind,
            log::chunks::ChunkMap,
            symlink,
            units::{
                DiskAddr,
                FsBlock, //
            },
        },
        journal::CommitSequence,
        log::{
            device::{
                LogArea,
                WriteLog, //
            },
            head::Head,
            read,
            recover::Options, //
        },
        store::{
            Device,
            Run, //
        },
        trans::{
            BlockState,
            LogReservation, //
        },
    },
    rust::kernel::{
        bio,
        message::Prefix,
        workqueue::WorkQueue, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};
use zerocopy::IntoBytes;

/// Basic blocks of a block.
const LEN: u32 = 8;
/// Basic blocks at the end of the disk that `mkfs.xfs` leaves free; the latter half is for the log.
const FREE: u64 = 1 << 16;
/// Blocks that are logged.
pub(super) const BLOCKS: u64 = 2048;

/// How a log is to be.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Its length, in blocks of 4 KiB: up to 4096.
    pub(super) blocks: u32,
    /// Bytes of its stripe unit; 0 for none.
    pub(super) stripe_unit: u32,
    /// Bytes of an in-core log.
    pub(super) buffer_size: u32,
}

impl Shape {
    /// Eight MiB, as `mkfs.xfs` and `mount` make it where nothing is asked for.
    pub(super) const PLAIN: Self = Self {
        blocks: 2048,
        stripe_unit: 0,
        buffer_size: 32 << 10,
    };
}

/// Counts what it is told.
pub(super) struct Listener(Atomic<u64>);

impl Client for Listener {
    fn stable(&self, sequence: u64) {
        self.0.store(sequence, Relaxed);
    }
}

/// A log that is at work, on a cache that goes after it.
pub(super) struct LogDisk {
    log: Option<Log>,
    pub(super) cache: Arc<Pin<KBox<Cache>>>,
    pub(super) disk: Disk,
    pub(super) health: Arc<Health>,
    pub(super) geometry: Arc<Geometry>,
    listener: Arc<Listener>,
    shape: Shape,
    /// What workers have found to be wrong.
    pub(super) wrong: Atomic<u32>,
    /// What else they count.
    pub(super) count: Atomic<u32>,
}

impl LogDisk {
    /// A log that was never written, and blocks that were not, either: one with the LSN of a log
    /// before would be newer than anything.
    pub(super) fn new(shape: Shape) -> Result<Arc<Self>> {
        let blank = Self::idle(shape)?;
        let area = LogArea::of(&blank.geometry).map_err(|_| EINVAL)?;
        blank.wipe(blank.run(0).at, BLOCKS as usize * 4096)?;
        blank.wipe(area.start, shape.blocks as usize * 4096)?;
        blank.start()
    }

    /// Puts zeroes on the disk.
    fn wipe(&self, start: DiskAddr, size: usize) -> Result {
        let zeroes = KVVec::from_elem(0, 256 << 10, GFP_KERNEL)?;
        for at in (0..size).step_by(zeroes.len()) {
            let end = zeroes.len().min(size - at);
            let bytes = zeroes.get(..end).ok_or(EINVAL)?;
            let to = DiskAddr(start.0 + at as u64 / 512);
            self.device()
                .write(Device::Data, to, bytes)
                .map_err(|_| EIO)?;
        }
        Ok(())
    }

    /// What is left behind a log of that shape: with a cache that knows nothing, and no engine.
    pub(super) fn idle(shape: Shape) -> Result<Self> {
        let disk = Disk::open()?;
        let mut geometry = (*disk.geometry()?).clone();
        let end = disk.device()?.sectors();
        let start = (end - FREE / 2) / u64::from(LEN);
        geometry.log_start = Some(FsBlock(start));
        geometry.log_blocks = shape.blocks;
        geometry.log_sector_size = 512;
        geometry.log_stripe_unit = shape.stripe_unit;
        // So that numbers of blocks are addresses.
        if geometry.block_size != 4096 || !geometry.ag_blocks.is_power_of_two() {
            return Err(EINVAL);
        }
        let geometry = Arc::new(geometry, GFP_KERNEL)?;
        let health = Health::new(Prefix::new(Some(b"kunit")))?;
        let queue = Arc::new(WorkQueue::new(c"xfs_rust-buf/%s", c"kunit")?, GFP_KERNEL)?;
        let cache = Cache::new(
            Device::Data,
            disk.device()?,
            geometry.clone(),
            health.clone(),
            queue,
            c"kunit",
        )?;
        Ok(Self {
            log: None,
            cache: Arc::new(cache, GFP_KERNEL)?,
            disk,
            health,
            geometry,
            listener: Arc::new(Listener(Atomic::new(0)), GFP_KERNEL)?,
            shape,
            wrong: Atomic::new(0),
            count: Atomic::new(0),
        })
    }

    /// Opens the log, and starts the engine behind its head. Returns how many transactions were
    /// replayed too.
    pub(super) fn open(self) -> Result<(Arc<Self>, Option<u64>)> {
        let opened = log::open(&self.device(), &self.geometry, Options::default());
        let opened = opened.map_err(|_| EUCLEAN)?;
        let disk = self.start_at(opened.head)?;
        let intents = opened.intents.iter().map(|one| (one.id, one.lsn));
        disk.engine()?.take_over(intents).map_err(|_| EIO)?;
        Ok((disk, opened.transactions))
    }

    /// Starts the engine behind the head of a clean log.
    pub(super) fn start(self) -> Result<Arc<Self>> {
        let head = self.head()?;
        self.start_at(head)
    }

    fn start_at(mut self, head: Head) -> Result<Arc<Self>> {
        self.log = Some(Log::start(Parts {
            geometry: self.geometry.clone(),
            health: self.health.clone(),
            data: self.cache.clone(),
            log_device: None,
            head,
            buffer_size: self.shape.buffer_size,
            buffers: 8,
            client: self.listener.clone(),
            name: c"kunit",
        })?);
        Ok(Arc::new(self, GFP_KERNEL)?)
    }

    /// The log's device.
    pub(super) fn device(&self) -> LogDevice<'_> {
        LogDevice {
            data: &self.cache,
            log: None,
        }
    }

    /// Where the log on the disk ends.
    pub(super) fn head(&self) -> Result<Head> {
        read::head(&self.device(), &self.geometry).map_err(|_| EUCLEAN)
    }

    /// The engine.
    pub(super) fn engine(&self) -> Result<&Arc<Engine>> {
        self.log.as_ref().map(Log::engine).ok_or(EINVAL)
    }

    /// The last checkpoint that the client was told of.
    pub(super) fn told(&self) -> u64 {
        self.listener.0.load(Relaxed)
    }

    /// The run of a block.
    pub(super) fn run(&self, block: u64) -> Run {
        let end = self.disk.device().map_or(0, |device| device.sectors());
        Run {
            at: DiskAddr(end.saturating_sub(FREE) + block * u64::from(LEN)),
            len: LEN,
        }
    }

    /// Locks a block, and makes it one that can be told from all others.
    pub(super) fn put(&self, block: u64, value: u32) -> Result<Locked> {
        let run = self.run(block);
        let mut locked = self.cache.fresh(&[run]).map_err(|_| EIO)?;
        let header = symlink::Header {
            magic: symlink::MAGIC.into(),
            offset: 0.into(),
            bytes: 4.into(),
            crc: 0.into(),
            uuid: self.geometry.meta_uuid,
            owner: 1.into(),
            blkno: run.at.0.into(),
            lsn: 0.into(),
        };
        let (head, rest) = locked
            .split_at_mut_checked(symlink::HEADER_SIZE)
            .ok_or(EIO)?;
        head.copy_from_slice(header.as_bytes());
        for word in rest.chunks_exact_mut(4) {
            word.copy_from_slice(&value.to_be_bytes());
        }
        Ok(locked)
    }

    /// What [`put`](Self::put) has made of those bytes, if it is whole.
    pub(super) fn value(bytes: &[u8]) -> Option<u32> {
        let rest = bytes.get(symlink::HEADER_SIZE..)?;
        let first = rest.first_chunk::<4>()?;
        rest.chunks_exact(4)
            .all(|word| word == first)
            .then(|| u32::from_be_bytes(*first))
    }

    /// What the disk has of a block.
    pub(super) fn on_disk(&self, block: u64) -> Result<Option<u32>> {
        let run = self.run(block);
        let bytes = bio::read_now(self.disk.device()?, run.at.0, run.len as usize * 512)?;
        Ok(Self::value(&bytes))
    }

    /// Room for so many blocks, all of which are logged.
    pub(super) fn room(blocks: u32) -> LogReservation {
        LogReservation {
            bytes: blocks * (4096 + 256),
            count: 1,
            permanent: false,
        }
    }

    /// Commits blocks, each with its value.
    pub(super) fn commit(&self, blocks: &[(u64, u32)]) -> Result<CommitSequence> {
        let engine = self.engine()?;
        let mut ticket = Ticket::take(engine, Self::room(blocks.len() as u32)).map_err(|_| EIO)?;
        let mut locked = KVec::new();
        for (block, value) in blocks {
            locked.push((*block, self.put(*block, *value)?), GFP_KERNEL)?;
        }
        let mut commit = Commit::new(engine, &mut ticket);
        for (block, locked) in locked.iter_mut() {
            self.add(&mut commit, *block, locked)?;
        }
        commit.finish().map_err(|_| EIO)
    }

    /// Adds a block to a commit, all of it.
    pub(super) fn add(&self, commit: &mut Commit<'_>, block: u64, locked: &mut Locked) -> Result {
        let mut changed = ChunkMap::new();
        changed.add(0..locked.len());
        commit
            .block(
                locked,
                &[self.run(block)],
                Kind::Symlink,
                BlockState::Logged,
                &changed,
            )
            .map_err(|_| EIO)
    }

    /// Frees a block.
    pub(super) fn free(&self, block: u64) -> Result<CommitSequence> {
        let engine = self.engine()?;
        let mut ticket = Ticket::take(engine, Self::room(1)).map_err(|_| EIO)?;
        let run = self.run(block);
        let mut locked = self.cache.lock(&[run], Kind::Symlink).map_err(|_| EIO)?;
        let mut commit = Commit::new(engine, &mut ticket);
        commit
            .block(
                &mut locked,
                &[run],
                Kind::Symlink,
                BlockState::Invalid,
                &ChunkMap::new(),
            )
            .map_err(|_| EIO)?;
        commit.finish().map_err(|_| EIO)
    }

    /// Counts something that is wrong.
    pub(super) fn blame(&self) {
        self.wrong.fetch_add(1, Full);
    }

    /// Whether nothing was found to be wrong, nor the file system shut down.
    pub(super) fn is_well(&self) -> bool {
        self.wrong.load(Relaxed) == 0 && !self.health.is_shut_down()
    }
}
