// SPDX-License-Identifier: GPL-2.0

//! The device that the tests read.

use crate::{
    libxfs::format::{
        geometry::Geometry,
        sb, //
    },
    rust::{
        bindings,
        kernel::{
            bio,
            block_device::BlockDevice, //
        },
    },
};
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc, //
    },
};

/// Its number.
static NUMBER: Atomic<u32> = Atomic::new(0);

global_lock! {
    // SAFETY: `prepare` is called before any test.
    unsafe(uninit) static MOUNTS: Mutex<KVec<Mounted>> = KVec::new();
}

/// Mounts that wait for the tests that want one.
const MOUNT_COUNT: usize = 4;

/// Finds the device, and mounts it. Called while the module loads: tests run in threads of the
/// kernel, which do not see what whoever loads the module calls by the parameter's path.
///
/// # Safety
///
/// Called once, before any test.
pub(crate) unsafe fn prepare() {
    // SAFETY: By the caller.
    unsafe { MOUNTS.init() };
    let mut number = 0;
    // SAFETY: The parameter is a string that lives as long as the module.
    if unsafe { bindings::lookup_bdev(bindings::param_kunit_disk(), &mut number) } != 0 {
        pr_err!("kunit_disk names no block device\n");
        return;
    }
    NUMBER.store(number, Relaxed);
    let mut mounts = MOUNTS.lock();
    for _ in 0..MOUNT_COUNT {
        match Mounted::new().and_then(|mount| Ok(mounts.push(mount, GFP_KERNEL)?)) {
            Ok(()) => {}
            Err(error) => pr_err!("kunit_disk cannot be mounted: {error:?}\n"),
        }
    }
}

/// The disk, mounted where no one sees it.
pub(super) struct Mounted(NonNull<bindings::vfsmount>);

// SAFETY: A mount may be used from any thread.
unsafe impl Send for Mounted {}
// SAFETY: As above.
unsafe impl Sync for Mounted {}

impl Mounted {
    fn new() -> Result<Self> {
        // SAFETY: The name is a string, and the path; the context takes a reference of its own to
        // the type's module.
        let mount = unsafe {
            let of_type = bindings::get_fs_type(bindings::param_fs_name());
            let of_type = NonNull::new(of_type).ok_or(ENODEV)?;
            let mount = bindings::vfs_kern_mount(
                of_type.as_ptr(),
                bindings::SB_RDONLY as c_int,
                bindings::param_kunit_disk(),
                core::ptr::null_mut(),
            );
            bindings::module_put((*of_type.as_ptr()).owner);
            from_err_ptr(mount)?
        };
        NonNull::new(mount).map(Self).ok_or(ENOMEM)
    }

    /// One of those that were prepared.
    pub(super) fn take() -> Result<Self> {
        let mut mounts = MOUNTS.lock();
        let mount = mounts.pop().ok_or(ENODEV);
        if mounts.is_empty() {
            // No memory stays behind when the module goes.
            *mounts = KVec::new();
        }
        mount
    }

    /// The super block.
    pub(super) fn super_block(&self) -> *mut bindings::super_block {
        // SAFETY: Mounted until `self` is dropped.
        unsafe { (*self.0.as_ptr()).mnt_sb }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // SAFETY: Mounted in `new`, unmounted once.
        unsafe { bindings::kern_unmount(self.0.as_ptr()) };
    }
}

/// The device, open.
pub(super) struct Disk(NonNull<bindings::file>);

// SAFETY: A file may be used and put by any thread.
unsafe impl Send for Disk {}
// SAFETY: As above.
unsafe impl Sync for Disk {}

impl Disk {
    /// Opens it.
    pub(super) fn open() -> Result<Self> {
        // SAFETY: There is no holder, so no operations of one.
        let file = from_err_ptr(unsafe {
            bindings::bdev_file_open_by_dev(
                NUMBER.load(Relaxed),
                bindings::BLK_OPEN_READ,
                core::ptr::null_mut(),
                core::ptr::null(),
            )
        })?;
        Ok(Self(NonNull::new(file).ok_or(ENXIO)?))
    }

    /// The device. Not to be used after `self` is gone.
    pub(super) fn device(&self) -> Result<BlockDevice> {
        // SAFETY: The file is an open block device.
        let raw = NonNull::new(unsafe { bindings::file_bdev(self.0.as_ptr()) }).ok_or(ENXIO)?;
        // SAFETY: Open for as long as `self` lives, which the tests keep longer.
        Ok(unsafe { BlockDevice::from_raw(raw) })
    }

    /// The shape of the file system on it.
    pub(super) fn geometry(&self) -> Result<Arc<Geometry>> {
        let bytes = bio::read_now(self.device()?, 0, 512)?;
        let superblock = sb::verify(&bytes).map_err(|_| EINVAL)?;
        Ok(Arc::new(superblock.geometry(), GFP_KERNEL)?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // SAFETY: Opened in `open`, put once.
        unsafe { bindings::bdev_fput(self.0.as_ptr()) };
    }
}
