// SPDX-License-Identifier: GPL-2.0

//! Mounting: from a block device to a root directory.

use super::{
    context::Context,
    operations,
    statfs::MAGIC,
    Super, //
};
use crate::{
    fs::{
        buf::Cache,
        counters,
        health::Health,
        icache::Want,
        inode::Inode,
        log::Opened,
        mount::{
            self,
            Devices,
            Mount,
            Parts, //
        },
        options::{
            InForce,
            Options, //
        },
        uuids, //
    },
    libxfs::{
        self, error,
        format::{
            fault::FaultKind,
            geometry::Geometry,
            inode::time::Timestamp,
            kind::Kind,
            sb::{
                self,
                Counters,
                DiskSuperblock,
                Refusal, //
            },
            units::RtBlock, //
        },
        inode::Trust,
        log::intent::Intent,
        store::{
            Device,
            Run,
            Store, //
        },
    },
    rust::{
        bindings,
        kernel::{
            bio,
            block_device::{
                BlockDevice,
                HeldDevice, //
            },
            export,
            message::{
                Level,
                Prefix, //
            },
            workqueue::WorkQueue,
            xattr::Handlers, //
        },
    },
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// Most links that a file may have.
const MAX_LINKS: u32 = (1 << 31) - 1;
/// The least sector that there is.
const MIN_BLOCK: c_int = 512;

/// A refusal that was said.
struct Said(Error);

/// What a mount is to be made of.
struct Wanted {
    options: Arc<Options>,
    in_force: InForce,
    /// Data, log and realtime device.
    devices: (BlockDevice, Option<BlockDevice>, Option<BlockDevice>),
}

/// A mount that is ready for writing.
struct Begun {
    intents: KVVec<Intent>,
    /// Transactions that were replayed; none of a clean log.
    recovered: Option<u64>,
}

/// What the steps of a mount have in common.
struct Filling {
    sb: NonNull<bindings::super_block>,
    context: Context,
    prefix: Prefix,
}

impl Filling {
    /// Says why the mount is refused.
    fn refuse(&self, error: Error, line: core::fmt::Arguments<'_>) -> Said {
        self.context.refuse(&self.prefix, line);
        Said(error)
    }

    /// Says why the mount is refused when it is for what an algorithm returned: of corruption what
    /// and where, of all else `line`.
    fn refuse_read(&self, error: error::Error, line: core::fmt::Arguments<'_>) -> Said {
        let errno = mount::errno(error);
        match error {
            error::Error::Corrupt(corruption) => {
                self.refuse(errno, format_args!("corruption: {corruption}"))
            }
            _ => self.refuse(errno, line),
        }
    }

    /// Says why the superblock is refused, unless the mount is a silent probe of a device that may
    /// hold anything.
    fn refuse_superblock(&self, refusal: Refusal) -> Said {
        let error = match refusal {
            Refusal::Corrupt(fault) => match fault.kind {
                FaultKind::Checksum | FaultKind::Corrupt => EUCLEAN,
            },
            Refusal::NeedsRepair | Refusal::InProgress => EUCLEAN,
            Refusal::RealtimeDeviceMissing => ENODEV,
            Refusal::SectorSize { .. } | Refusal::BlockSize { .. } => ENOSYS,
            Refusal::TooLarge => EFBIG,
            _ => EINVAL,
        };
        if self.context.flags() & bindings::SB_SILENT != 0 {
            return Said(error);
        }
        self.refuse(error, format_args!("{refusal}"))
    }

    /// The name of the super block: that of its device.
    fn name(&self) -> &CStr {
        // SAFETY: The super block is alive, and its name a string that never changes.
        unsafe { CStr::from_char_ptr((*self.sb.as_ptr()).s_id.as_ptr()) }
    }
}

impl From<Error> for Said {
    fn from(error: Error) -> Self {
        Said(error)
    }
}

/// Fills a super block in.
///
/// # Safety
///
/// The super block is new, and ours until this returns; `info` is its own.
pub(super) unsafe fn fill(
    sb: NonNull<bindings::super_block>,
    info: &mut Super,
    context: Context,
) -> Result {
    // SAFETY: By the caller; the name is a string.
    let name = unsafe { CStr::from_char_ptr((*sb.as_ptr()).s_id.as_ptr()) };
    let filling = Filling {
        sb,
        context,
        prefix: Prefix::new(Some(name.to_bytes())),
    };
    // SAFETY: By the caller.
    unsafe { filling.run(info) }.map_err(|Said(error)| error)
}

impl Filling {
    /// # Safety
    ///
    /// See [`fill`].
    unsafe fn run(&self, info: &mut Super) -> Result<(), Said> {
        // SAFETY: By the caller.
        let opened = unsafe { self.prepare(info) }?;
        let mount = info.mount.as_ref().ok_or(EINVAL)?;
        let settled = self
            .settle_mount(mount, opened)
            .and_then(|begun| begun.map_or(Ok(()), |begun| self.finish(mount, begun)));
        if let Err(said) = settled {
            // Inodes that recovery has used point to the mount.
            mount.let_go_of_inodes();
            // SAFETY: By the caller; no inode is in use.
            unsafe { bindings::evict_inodes(self.sb.as_ptr()) };
            info.mount = None;
            return Err(said);
        }
        // SAFETY: By the caller.
        unsafe { self.root(info) }
    }

    /// All up to the log, which is open after it if something is to be written. Not inlined: what
    /// comes after it goes deep into the stack.
    ///
    /// # Safety
    ///
    /// See [`fill`].
    #[inline(never)]
    unsafe fn prepare(&self, info: &mut Super) -> Result<Option<KBox<Opened>>, Said> {
        let sb = self.sb.as_ptr();
        let mut options = core::mem::take(&mut info.options);
        options
            .check(self.context.is_read_only())
            .map_err(|fault| self.refuse(EINVAL, format_args!("{fault}")))?;
        // SAFETY: By the caller, here and below: the super block is ours.
        if unsafe { bindings::sb_min_blocksize(sb, MIN_BLOCK) } == 0 {
            return Err(self.refuse(EINVAL, format_args!("unable to set blocksize")));
        }
        // SAFETY: As above; its device is open for as long as it lives.
        let data = unsafe {
            (*sb).s_op = operations::table();
            BlockDevice::from_raw(NonNull::new((*sb).s_bdev).ok_or(EINVAL)?)
        };
        // SAFETY: The super block lives until after `info`, which holds the devices.
        let (log_device, realtime) = unsafe { self.open_devices(info, &options, data) }?;

        for device in [Some(data), log_device, realtime].into_iter().flatten() {
            device.write_out()?;
        }
        let admission = sb::Mount {
            read_only: self.context.is_read_only(),
            no_recovery: options.no_recovery,
            log_device: log_device.is_some(),
            rt_device: realtime.is_some(),
            device_sector_size: data.logical_block_size(),
            // SAFETY: Computes a number.
            block_size_limit: unsafe { bindings::mapping_max_folio_size_supported() } as u32,
        };
        let superblock = self.read_superblock(data, &admission)?;
        let in_force = options
            .settle(&superblock.0)
            .map_err(|fault| self.refuse(EINVAL, format_args!("{fault}")))?;
        self.check_discard(&mut options, data);
        self.check_dax(&mut options);
        if !options.no_uuid {
            info.uuid = Some(self.take_uuid(&superblock.0)?);
        }
        let line = match options.no_recovery {
            false => "Mounting V5 Filesystem",
            true => "Mounting V5 Filesystem in no-recovery mode",
        };
        self.prefix.print(Level::Info, format_args!("{line}"));

        let wanted = Wanted {
            options: Arc::new(options, GFP_KERNEL).map_err(Error::from)?,
            in_force,
            devices: (data, log_device, realtime),
        };
        let mut mount = self.assemble(&wanted, superblock)?;
        libxfs::mount::check_sizes(&*mount).map_err(|_| {
            self.refuse(
                EIO,
                format_args!("the end of a device cannot be read: the file system is longer"),
            )
        })?;
        let opened = self.open_log(&mount)?;
        if opened
            .as_ref()
            .is_some_and(|opened| opened.transactions.is_some())
        {
            // The log may have had another superblock: that of a file system that has grown.
            mount = self.assemble(&wanted, self.read_superblock(data, &admission)?)?;
        }
        // SAFETY: By the caller.
        unsafe { self.describe(mount.geometry()) };
        info.mount = Some(mount);
        Ok(opened)
    }

    /// Puts a mount together, with caches that hold nothing.
    fn assemble(
        &self,
        wanted: &Wanted,
        (geometry, counters, rt_reserved): (Geometry, Counters, u64),
    ) -> Result<Pin<KBox<Mount>>, Said> {
        let geometry = Arc::new(geometry, GFP_KERNEL).map_err(Error::from)?;
        let completions = Arc::new(WorkQueue::new(c"xfs_rust-buf/%s", self.name())?, GFP_KERNEL)
            .map_err(Error::from)?;
        let health = Health::new(Prefix::new(Some(self.name().to_bytes())))?;
        let cache = |device, block_device| {
            Cache::new(
                device,
                block_device,
                geometry.clone(),
                health.clone(),
                completions.clone(),
                self.name(),
            )
        };
        let (data, log, realtime) = wanted.devices;
        let devices = Devices {
            data: Arc::new(cache(Device::Data, data)?, GFP_KERNEL).map_err(Error::from)?,
            log: log.map(|log| cache(Device::Log, log)).transpose()?,
            realtime: realtime.map(|rt| cache(Device::Realtime, rt)).transpose()?,
        };
        Ok(Mount::new(Parts {
            super_block: self.sb,
            geometry: geometry.clone(),
            counters,
            rt_reserved,
            options: wanted.options.clone(),
            in_force: wanted.in_force,
            health: health.clone(),
            devices,
        })?)
    }

    /// Opens the log if something is to be written, be it by recovery.
    fn open_log(&self, mount: &Mount) -> Result<Option<KBox<Opened>>, Said> {
        if mount.options().no_recovery {
            return Ok(None);
        }
        let unreadable = format_args!("the log cannot be read");
        if self.context.is_read_only() {
            let head = mount
                .log_head()
                .map_err(|error| self.refuse_read(error, unreadable))?;
            if head.is_clean() {
                return Ok(None);
            }
        }
        if mount.log_is_read_only() {
            return Err(self.refuse(
                EROFS,
                format_args!(
                    "the log is dirty and the device cannot be written: \
                     mount with -o ro,norecovery to see what is in place"
                ),
            ));
        }
        mount
            .check_writable()
            .map_err(|line| self.refuse(EOPNOTSUPP, format_args!("{line}")))?;
        let opened = mount
            .open_log()
            .map_err(|error| self.refuse_read(error, unreadable))?;
        Ok(Some(KBox::new(opened, GFP_KERNEL).map_err(Error::from)?))
    }

    /// Opens the log's and the realtime device.
    ///
    /// # Safety
    ///
    /// The super block lives until after `info`.
    unsafe fn open_devices(
        &self,
        info: &mut Super,
        options: &Options,
        data: BlockDevice,
    ) -> Result<(Option<BlockDevice>, Option<BlockDevice>), Said> {
        let mut devices = [None, None];
        let paths = [&options.log_device, &options.rt_device];
        for ((path, device), slot) in paths.iter().zip(&mut devices).zip(&mut info.held) {
            let Some(path) = path else { continue };
            // SAFETY: By the caller.
            let held = unsafe { HeldDevice::open(path, self.sb) }.map_err(|error| {
                self.refuse(
                    error,
                    format_args!(
                        "Invalid device [{}], error={}",
                        path.to_str().unwrap_or("?"),
                        error.to_errno()
                    ),
                )
            })?;
            *device = Some(held.device()?);
            *slot = Some(held);
        }
        let [log, realtime] = devices;
        if realtime.is_some_and(|rt| rt == data || Some(rt) == log) {
            return Err(self.refuse(
                EINVAL,
                format_args!("the realtime device is the data or the log device"),
            ));
        }
        // A log device that is the data device is none.
        Ok((log.filter(|log| *log != data), realtime))
    }

    /// Reads and verifies the superblock: its shape, its counters, and what of the realtime device
    /// is kept back.
    fn read_superblock(
        &self,
        data: BlockDevice,
        admission: &sb::Mount,
    ) -> Result<(Geometry, Counters, u64), Said> {
        let read = |len: u32| {
            bio::read_now(data, 0, len as usize)
                .map_err(|error| self.refuse(error, format_args!("the superblock cannot be read")))
        };
        // A sector of the device holds the fields, and says how long a sector of the file system
        // is: that is how much the checksum is over.
        let bytes = read(admission.device_sector_size)?;
        let Some(view) = DiskSuperblock::view(&bytes) else {
            return Err(self.refuse_superblock(Refusal::NotXfs));
        };
        if view.magicnum.get() != sb::MAGIC {
            return Err(self.refuse_superblock(Refusal::NotXfs));
        }
        let len = u32::from(view.sectsize.get());
        let bytes = match len {
            512..=32768 if len.is_power_of_two() && len > admission.device_sector_size => {
                read(len)?
            }
            _ => bytes,
        };
        let superblock = sb::verify(&bytes).map_err(|refusal| self.refuse_superblock(refusal))?;
        superblock
            .admit(admission)
            .map_err(|refusal| self.refuse_superblock(refusal))?;
        Ok((
            superblock.geometry(),
            superblock.counters(),
            superblock.rtreserved.get(),
        ))
    }

    fn check_discard(&self, options: &mut Options, data: BlockDevice) {
        if options.discard && !data.can_discard() {
            self.prefix.print(
                Level::Warning,
                format_args!(
                    "mounting with \"discard\" option, but the device does not support discard"
                ),
            );
            options.discard = false;
        }
    }

    fn check_dax(&self, options: &mut Options) {
        use crate::fs::options::Dax;
        if options.dax == Dax::Always {
            self.prefix.print(
                Level::Warning,
                format_args!("DAX unsupported by block device. Turning off DAX."),
            );
            options.dax = Dax::Never;
        }
    }

    fn take_uuid(&self, geo: &Geometry) -> Result<uuids::Taken, Said> {
        if geo.uuid == [0; 16] {
            return Err(self.refuse(EINVAL, format_args!("the file system has no uuid")));
        }
        uuids::take(&geo.uuid)?.ok_or_else(|| {
            self.refuse(
                EINVAL,
                format_args!("a file system of the same uuid is mounted: use nouuid to mount both"),
            )
        })
    }

    /// Tells the VFS about the file system.
    ///
    /// # Safety
    ///
    /// The super block is ours.
    unsafe fn describe(&self, geo: &Geometry) {
        let sb = self.sb.as_ptr();
        // SAFETY: By the caller.
        unsafe {
            (*sb).s_magic = MAGIC;
            (*sb).s_blocksize = geo.block_size as c_ulong;
            (*sb).s_blocksize_bits = geo.block_log;
            (*sb).s_maxbytes = i64::MAX;
            (*sb).s_max_links = MAX_LINKS;
            (*sb).s_time_gran = 1;
            (*sb).s_time_min = Timestamp::MIN;
            (*sb).s_time_max = match geo.features.bigtime() {
                true => Timestamp::BIGTIME_MAX,
                false => Timestamp::LEGACY_MAX,
            };
            (*sb).s_iflags |= bindings::SB_I_CGROUPWB | bindings::SB_I_ALLOW_HSM;
            (*sb).s_flags |= bindings::SB_I_VERSION;
            (*sb).s_xattr = Handlers::<Inode>::as_ptr();
            (*sb).s_export_op = export::Operations::<Inode>::table();
            bindings::set_posix_acl_flag(sb);
            bindings::super_set_uuid(sb, geo.uuid.as_ptr(), geo.uuid.len() as c_uint);
        }
    }

    /// What a mount has to do with the disk beyond the superblock: it counts what is free, and makes
    /// itself ready for writing, if it is to write. Returns what is left to do then.
    #[inline(never)]
    fn settle_mount(
        &self,
        mount: &Mount,
        opened: Option<KBox<Opened>>,
    ) -> Result<Option<Begun>, Said> {
        let geo = mount.geometry();
        if geo.features.metadir() && geo.rt_blocks != 0 {
            let run = Run {
                at: geo.rt_block_addr(RtBlock(0)).ok_or(EINVAL)?,
                len: geo.basic_blocks_per_block(),
            };
            mount
                .read(Device::Realtime, run, Kind::RtSuperblock)
                .map_err(|error| {
                    let line = format_args!("the realtime device's superblock cannot be read");
                    self.refuse_read(error, line)
                })?;
        }
        let recovered = opened.as_ref().and_then(|opened| opened.transactions);
        let (counters, tree_blocks) = counters::count(mount, opened.is_some(), recovered.is_some())
            .map_err(|error| {
                self.refuse_read(error, format_args!("the groups' headers cannot be read"))
            })?;
        mount.space().set(counters, tree_blocks);
        let Some(opened) = opened else {
            return Ok(None);
        };
        let intents = self.start_log(mount, opened)?;
        mount.begin(&intents).map_err(|error| {
            self.refuse_read(
                error,
                format_args!("the file system cannot be made ready for writing"),
            )
        })?;
        Ok(Some(Begun { intents, recovered }))
    }

    /// Has the log go on where it ends. Returns what it has left to do.
    #[inline(never)]
    fn start_log(&self, mount: &Mount, opened: KBox<Opened>) -> Result<KVVec<Intent>, Said> {
        let opened = KBox::into_inner(opened);
        mount.start_log(opened.head, self.name())?;
        Ok(opened.intents)
    }

    /// Finishes what the log has left to do.
    fn finish(&self, mount: &Mount, begun: Begun) -> Result<(), Said> {
        if let Some(transactions) = begun.recovered {
            self.finish_recovery(mount, begun.intents)?;
            self.prefix.print(
                Level::Info,
                format_args!("recovered {transactions} transactions from the log"),
            );
        }
        let unclosed = format_args!("the log cannot be written");
        mount
            .serve_changes()
            .map_err(|error| self.refuse_read(error, unclosed))?;
        if self.context.is_read_only() {
            return mount
                .end_writing()
                .map_err(|error| self.refuse_read(error, unclosed));
        }
        Ok(())
    }

    fn finish_recovery(&self, mount: &Mount, intents: KVVec<Intent>) -> Result<(), Said> {
        mount.finish_recovery(intents).map_err(|error| {
            self.refuse_read(
                error,
                format_args!("what the log has left to do cannot be done"),
            )
        })
    }

    /// Finds the root directory, and has the VFS take it.
    ///
    /// # Safety
    ///
    /// The super block is ours.
    unsafe fn root(&self, info: &mut Super) -> Result<(), Said> {
        let sb = self.sb.as_ptr();
        let root = {
            let mount = info.mount.as_deref().ok_or(EINVAL)?;
            let number = mount.geometry().root_inode;
            mount.inode(number, Want::File(Trust::Untrusted))
        };
        let result = root
            .map_err(|error| match error {
                // The inode's reader has said so.
                error if error == EUCLEAN || error == EBADMSG => Said(error),
                error => self.refuse(error, format_args!("the root inode cannot be read")),
            })
            .and_then(|root| {
                // SAFETY: The inode is whole and counted.
                let mode = unsafe { (*root.as_vfs()).i_mode };
                if u32::from(mode) & bindings::S_IFMT != bindings::S_IFDIR {
                    return Err(
                        self.refuse(EUCLEAN, format_args!("the root inode is not a directory"))
                    );
                }
                // SAFETY: The count becomes the dentry's, or is put.
                let dentry =
                    unsafe { bindings::d_make_root(ARef::into_raw(root).as_ref().as_vfs()) };
                if dentry.is_null() {
                    return Err(Said(ENOMEM));
                }
                // SAFETY: By the caller.
                unsafe { (*sb).s_root = dentry };
                Ok(())
            });
        if result.is_err() {
            // Inodes point to the mount, and what the VFS keeps of them goes first.
            if let Some(mount) = info.mount.as_deref() {
                mount.let_go_of_inodes();
            }
            // SAFETY: By the caller; no inode is in use.
            unsafe { bindings::evict_inodes(sb) };
            info.mount = None;
        }
        result
    }
}
