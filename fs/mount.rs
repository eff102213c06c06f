// SPDX-License-Identifier: GPL-2.0

//! A mounted file system: what all floors above the disk share.

use super::{
    buf::{
        Block,
        Cache,
        Locked, //
    },
    health::Health,
    icache::Evictions,
    inactive::Inactive,
    inode::Inode,
    journal::RtFile,
    log::Engine,
    options::{
        InForce,
        Options, //
    },
    space::Space,
    writing::Writer, //
};
use crate::{
    libxfs::{
        error::{
            self,
            Corruption, //
        },
        format::{
            fault::FaultKind,
            geometry::Geometry,
            inode::cluster,
            kind::Kind,
            sb::Counters, //
        },
        store::{
            Device,
            Run,
            Store,
            StoreMut, //
        },
        trans::LogReservations,
    },
    rust::{
        bindings,
        kernel::{
            block_device::BlockDevice,
            message::{
                Level,
                Prefix, //
            }, //
        },
    },
};
use core::{
    fmt,
    ptr::NonNull, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
};

/// The caches of the devices.
pub(crate) struct Devices {
    /// The data device.
    pub(crate) data: Arc<Pin<KBox<Cache>>>,
    /// The log's own device; `None` where the log is on the data device.
    pub(crate) log: Option<Pin<KBox<Cache>>>,
    /// The realtime device; `None` where there is none, or it is part of the data device.
    pub(crate) realtime: Option<Pin<KBox<Cache>>>,
}

/// A mounted file system.
///
/// It lives in its super block's `s_fs_info`, from before the first inode to after the last.
#[pin_data]
pub(crate) struct Mount {
    // INVARIANT: The super block outlives the mount.
    super_block: NonNull<bindings::super_block>,
    geometry: Arc<Geometry>,
    /// What writes, from when something is first to be written. It goes before the caches.
    writer: SetOnce<Writer>,
    reservations: LogReservations,
    space: Arc<Space>,
    #[pin]
    rt_files: Mutex<KVec<RtFile>>,
    /// Inodes that transactions lock with blocks locked already, so that they must be in memory.
    #[pin]
    kept_inodes: Mutex<KVec<ARef<Inode>>>,
    evictions: Evictions,
    /// How many directories were made.
    turns: Atomic<u32>,
    rt_reserved: u64,
    options: Arc<Options>,
    in_force: InForce,
    health: Arc<Health>,
    devices: Devices,
    /// Whether new inodes are to have numbers of 32 bits; a remount changes it.
    inode32: Atomic<u32>,
}

// SAFETY: The super block may be used from any thread; all else is `Send`.
unsafe impl Send for Mount {}
// SAFETY: As above; what changes is atomic.
unsafe impl Sync for Mount {}

/// What a mount is made of; see [`Mount`].
pub(crate) struct Parts {
    pub(crate) super_block: NonNull<bindings::super_block>,
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) counters: Counters,
    pub(crate) rt_reserved: u64,
    pub(crate) options: Arc<Options>,
    pub(crate) in_force: InForce,
    pub(crate) health: Arc<Health>,
    pub(crate) devices: Devices,
}

impl Mount {
    /// Puts a mount together. `super_block` outlives it.
    pub(crate) fn new(parts: Parts) -> Result<Pin<KBox<Self>>> {
        let reservations = LogReservations::new(&parts.geometry).ok_or(EINVAL)?;
        let space = Space::new(parts.geometry.clone(), parts.counters)?;
        KBox::pin_init(
            pin_init!(Self {
                inode32: Atomic::new(parts.options.inode32.into()),
                super_block: parts.super_block,
                geometry: parts.geometry,
                writer: SetOnce::new(),
                reservations,
                space,
                rt_files <- new_mutex!(KVec::new(), "xfs_rust_rt_files"),
                kept_inodes <- new_mutex!(KVec::new(), "xfs_rust_kept_inodes"),
                evictions: Evictions::new(),
                turns: Atomic::new(0),
                rt_reserved: parts.rt_reserved,
                options: parts.options,
                in_force: parts.in_force,
                health: parts.health,
                devices: parts.devices,
            }),
            GFP_KERNEL,
        )
    }

    /// The super block, for C.
    pub(crate) fn super_block(&self) -> *mut bindings::super_block {
        self.super_block.as_ptr()
    }

    /// The shape of the file system.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The log's engine; `None` as long as nothing was to be written.
    pub(super) fn log(&self) -> Option<&Arc<Engine>> {
        self.writer.as_ref().map(|writer| writer.log().engine())
    }

    /// The inodes that are to be freed; `None` as [`log`](Self::log).
    pub(super) fn inactive(&self) -> Option<&Arc<Inactive>> {
        self.writer.as_ref().map(Writer::inactive)
    }

    /// Sets what writes. Returns whether there was none.
    pub(super) fn set_writer(&self, writer: Writer) -> bool {
        self.writer.populate(writer)
    }

    /// The cache of the data device, for who outlives a call.
    pub(super) fn data_cache(&self) -> &Arc<Pin<KBox<Cache>>> {
        &self.devices.data
    }

    /// The cache of the log's own device, if it has one.
    pub(super) fn own_log_cache(&self) -> Option<&Cache> {
        self.devices.log.as_deref()
    }

    /// The shape of the file system, for who outlives a call.
    pub(super) fn shared_geometry(&self) -> Arc<Geometry> {
        self.geometry.clone()
    }

    /// The health of the file system, for who outlives a call.
    pub(super) fn shared_health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Why this driver cannot write to a file system of this shape, if it cannot.
    pub(super) fn check_writable(&self) -> core::result::Result<(), &'static str> {
        let geo = self.geometry();
        if geo.features.zoned() {
            return Err("writing to zoned devices is not supported yet");
        }
        if geo.features.metadir() && geo.quota_flags != 0 {
            return Err("writing with quota is not supported yet");
        }
        if cluster::place(geo, geo.root_inode).is_none() {
            return Err("writing to file systems without aligned inodes is not supported");
        }
        Ok(())
    }

    /// How much of the log each operation takes.
    pub(crate) fn reservations(&self) -> &LogReservations {
        &self.reservations
    }

    /// What memory knows of free space.
    pub(super) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The summary counters.
    pub(crate) fn counters(&self) -> Counters {
        self.space.counters()
    }

    /// About the summary counters, for who makes inodes.
    #[allow(dead_code)] // For operations that change names.
    pub(crate) fn rough_counters(&self) -> Counters {
        self.space.rough_counters()
    }

    /// A number that goes up by one with each directory that is made.
    #[allow(dead_code)] // For operations that change names.
    pub(crate) fn next_turn(&self) -> u32 {
        self.turns.fetch_add(1, Relaxed)
    }

    /// Free blocks that no file can have.
    pub(crate) fn unavailable(&self) -> u64 {
        self.space.unavailable()
    }

    /// Blocks that are kept for emergencies: how many there should be, and how many there are.
    pub(crate) fn kept_blocks(&self) -> (u64, u64) {
        self.space.kept()
    }

    /// The files of the realtime section that were opened.
    pub(super) fn rt_files(&self) -> &Mutex<KVec<RtFile>> {
        &self.rt_files
    }

    /// Inodes that stay in memory for as long as something is written; empty them before the mount
    /// goes.
    pub(super) fn kept_inodes(&self) -> &Mutex<KVec<ARef<Inode>>> {
        &self.kept_inodes
    }

    /// How often inodes have left memory.
    pub(super) fn evictions(&self) -> &Evictions {
        &self.evictions
    }

    /// Blocks of the realtime device that a zoned file system keeps back.
    pub(crate) fn rt_reserved(&self) -> u64 {
        self.rt_reserved
    }

    /// What the mount asked for.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// What follows from that.
    pub(crate) fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// What lines about this file system begin with.
    pub(crate) fn prefix(&self) -> &Prefix {
        self.health.prefix()
    }

    /// Whether new inodes are to have numbers of 32 bits.
    pub(crate) fn inode32(&self) -> bool {
        self.inode32.load(Relaxed) != 0
    }

    /// Changes that.
    pub(crate) fn set_inode32(&self, on: bool) {
        self.inode32.store(on.into(), Relaxed);
    }

    /// The cache of a device; `None` where there is no such device.
    pub(crate) fn cache(&self, device: Device) -> Option<&Cache> {
        match device {
            Device::Data => Some(&self.devices.data),
            Device::Log => Some(self.devices.log.as_deref().unwrap_or(&self.devices.data)),
            Device::Realtime if self.geometry.rt_start != 0 => Some(&self.devices.data),
            Device::Realtime => self.devices.realtime.as_deref(),
        }
    }

    /// The block device behind a device; `None` where there is no such device.
    pub(crate) fn block_device(&self, device: Device) -> Option<BlockDevice> {
        self.cache(device).map(Cache::block_device)
    }

    /// Has those who look at the devices through the page cache read anew what is on them.
    pub(super) fn invalidate_devices(&self) {
        for device in [Device::Log, Device::Realtime, Device::Data] {
            if let Some(device) = self.block_device(device) {
                device.invalidate();
            }
        }
    }

    /// Says a line about this file system.
    pub(crate) fn print(&self, level: Level, line: fmt::Arguments<'_>) {
        self.health.print(level, line);
    }

    /// Refuses all further use, and says why.
    pub(crate) fn shut_down(&self, why: &str) {
        self.health.shut_down(why);
    }

    /// Notes that it is being unmounted.
    pub(super) fn set_unmounting(&self) {
        self.health.set_unmounting();
    }

    /// Whether it was shut down.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.health.is_shut_down()
    }

    /// The errno of what an algorithm returned; corruption is said in the kernel's log.
    ///
    /// Every error passes here on its way to the VFS, and a fault is said once.
    #[cold]
    pub(crate) fn errno(&self, error: error::Error) -> Error {
        if let error::Error::Corrupt(corruption) = error {
            self.report(&corruption);
        }
        errno(error)
    }

    /// Says what is corrupt, unless that was said of late or too much is.
    pub(crate) fn report(&self, corruption: &Corruption) {
        self.health.report(corruption);
    }
}

impl Store for Mount {
    type Block = Block;

    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn read_runs(&self, device: Device, runs: &[Run], kind: Kind) -> error::Result<Block> {
        if self.is_shut_down() {
            return Err(error::Error::Shutdown);
        }
        self.cache(device)
            .ok_or(error::Error::Invalid)?
            .read(runs, kind)
    }

    fn read_ahead(&self, device: Device, run: Run, kind: Kind) {
        if let Some(cache) = self.cache(device) {
            cache.read_ahead(run, kind);
        }
    }

    fn interrupted(&self) -> bool {
        // SAFETY: Looks at the current task.
        unsafe { bindings::fatal_signal_pending() }
    }
}

impl StoreMut for Mount {
    type Locked = Locked;

    fn lock_runs(&self, device: Device, runs: &[Run], kind: Kind) -> error::Result<Locked> {
        if self.is_shut_down() {
            return Err(error::Error::Shutdown);
        }
        self.cache(device)
            .ok_or(error::Error::Invalid)?
            .lock(runs, kind)
    }

    fn try_lock_runs(
        &self,
        device: Device,
        runs: &[Run],
        kind: Kind,
    ) -> error::Result<Option<Locked>> {
        if self.is_shut_down() {
            return Err(error::Error::Shutdown);
        }
        self.cache(device)
            .ok_or(error::Error::Invalid)?
            .try_lock(runs, kind)
    }

    fn lock_fresh(&self, device: Device, runs: &[Run]) -> error::Result<Locked> {
        if self.is_shut_down() {
            return Err(error::Error::Shutdown);
        }
        self.cache(device).ok_or(error::Error::Invalid)?.fresh(runs)
    }
}

/// The errno of what an algorithm returned.
pub(crate) fn errno(error: error::Error) -> Error {
    match error {
        error::Error::Corrupt(corruption) => match corruption.fault.kind {
            FaultKind::Checksum => EBADMSG,
            FaultKind::Corrupt => EUCLEAN,
        },
        error::Error::Io | error::Error::Shutdown => EIO,
        error::Error::NoMemory => ENOMEM,
        error::Error::NotFound => ENOENT,
        error::Error::NoAttribute => ENODATA,
        error::Error::Exists => EEXIST,
        error::Error::Range => ERANGE,
        error::Error::Invalid => EINVAL,
        error::Error::Stale => ESTALE,
        error::Error::NameTooLong => ENAMETOOLONG,
        error::Error::NotEmpty => ENOTEMPTY,
        error::Error::TooManyLinks => EMLINK,
        error::Error::CrossDevice => EXDEV,
        error::Error::NoSpace => ENOSPC,
        error::Error::TooLarge => EFBIG,
        error::Error::Interrupted => EINTR,
        error::Error::Unsupported => EOPNOTSUPP,
    }
}
