// SPDX-License-Identifier: GPL-2.0

//! The life of a mounted super block: sync, freeze and thaw, remount, unmount.

use super::Super;
use crate::{
    fs::mount::Mount,
    libxfs::{error, format::sb, store::Device},
    rust::{
        bindings,
        kernel::{
            bio,
            message::Level, //
        },
    },
};
use kernel::{
    prelude::*,
    str::CStr, //
};

/// Whether a super block is read-only.
///
/// # Safety
///
/// The super block is alive.
unsafe fn is_read_only(sb: *const bindings::super_block) -> bool {
    // SAFETY: By the caller.
    unsafe { (*sb).s_flags & bindings::SB_RDONLY != 0 }
}

fn errno(mount: &Mount, result: error::Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => mount.errno(error).to_errno(),
    }
}

/// `super_operations.sync_fs`.
///
/// # Safety
///
/// Called by the VFS with a mounted super block of ours.
pub(super) unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: c_int) -> c_int {
    // SAFETY: By the caller.
    let Some(mount) = (unsafe { Mount::of(sb) }) else {
        return 0;
    };
    let Some(log) = mount.log().filter(|_| wait != 0) else {
        return 0;
    };
    // SAFETY: By the caller.
    if unsafe { is_read_only(sb) } {
        return 0;
    }
    if mount.is_shut_down() {
        return EIO.to_errno();
    }
    // SAFETY: By the caller. It changes with `s_umount` held, as it is here.
    let stage = unsafe { (*sb).s_writers.frozen };
    if u32::from(stage) == bindings::SB_FREEZE_PAGEFAULT {
        // Later on who frees them would wait for the thaw.
        mount.flush_inactive();
    }
    errno(mount, log.force_all())
}

/// `super_operations.freeze_fs`: no transaction runs, and none starts.
///
/// What is in the log is in its place after this, but for the superblock: whoever mounts a copy
/// finds something to recover, and so gives back inodes that are in use here and have no name.
///
/// # Safety
///
/// Called by the VFS with a mounted super block of ours.
pub(super) unsafe extern "C" fn freeze_fs(sb: *mut bindings::super_block) -> c_int {
    // SAFETY: By the caller.
    let Some(mount) = (unsafe { Mount::of(sb) }) else {
        return 0;
    };
    let Some(log) = mount.log() else {
        return 0;
    };
    // SAFETY: By the caller.
    if unsafe { is_read_only(sb) } {
        return 0;
    }
    let frozen = log.quiesce().and_then(|()| log.log_superblock());
    if frozen.is_err() {
        log.wake();
    }
    errno(mount, frozen)
}

/// `super_operations.unfreeze_fs`.
///
/// # Safety
///
/// Called by the VFS with a super block of ours that is frozen.
pub(super) unsafe extern "C" fn unfreeze_fs(sb: *mut bindings::super_block) -> c_int {
    // SAFETY: By the caller.
    if let Some(log) = unsafe { Mount::of(sb) }.and_then(Mount::log) {
        // SAFETY: By the caller.
        if !unsafe { is_read_only(sb) } {
            log.wake();
        }
    }
    0
}

/// `super_operations.put_super`.
///
/// # Safety
///
/// Called by the VFS when the last inode is gone, with `s_umount` held.
pub(super) unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
    // SAFETY: By the caller: the info is ours alone.
    let info = unsafe { &mut *(*sb).s_fs_info.cast::<Super>() };
    if let Some(mount) = info.mount.take() {
        mount.set_unmounting();
        // SAFETY: By the caller.
        match unsafe { is_read_only(sb) } {
            true => mount.flush_inactive(),
            false => stop(&mount),
        }
        mount.let_go_of_inodes();
        mount.invalidate_devices();
    }
    info.uuid = None;
}

/// Ends writing for good.
fn stop(mount: &Mount) {
    if mount.end_writing().is_err() && !mount.is_shut_down() {
        mount.print(
            Level::Error,
            format_args!("the log could not be closed: the next mount recovers it"),
        );
    }
}

/// Remounts, with `s_umount` held.
///
/// # Errors
///
/// What makes it impossible, and why.
pub(super) fn remount(mount: &Mount, read_only: bool) -> core::result::Result<(), Refused> {
    let sb = mount.super_block();
    // SAFETY: The super block is alive.
    let (was, name) = unsafe {
        (
            is_read_only(sb),
            CStr::from_char_ptr((*sb).s_id.as_ptr()), //
        )
    };
    match (was, read_only) {
        (true, false) => {
            may_write(mount)?;
            mount.resume_writing(name).map_err(|error| {
                let errno = mount.errno(error);
                // What was begun ends.
                stop(mount);
                Refused(errno, "the file system cannot be made ready for writing")
            })
        }
        (false, true) => {
            if mount.is_shut_down() {
                return Ok(());
            }
            mount.end_writing().map_err(|error| {
                Refused(mount.errno(error), "the log could not be closed") //
            })
        }
        _ => Ok(()),
    }
}

/// Why a remount is refused.
pub(super) struct Refused(pub(super) kernel::error::Error, pub(super) &'static str);

/// Whether a mount that only reads may begin to write.
fn may_write(mount: &Mount) -> core::result::Result<(), Refused> {
    if mount.options().no_recovery {
        return Err(Refused(
            EINVAL,
            "a no-recovery mount cannot be remounted read-write",
        ));
    }
    if mount.is_shut_down() {
        return Err(Refused(EIO, "the file system was shut down"));
    }
    let device = mount.block_device(Device::Data);
    let device = device.ok_or(Refused(EINVAL, "there is no data device"))?;
    let len = mount.geometry().sector_size as usize;
    let bytes = bio::read_now(device, 0, len)
        .map_err(|error| Refused(error, "the superblock cannot be read"))?;
    let admission = sb::Mount {
        read_only: false,
        no_recovery: false,
        log_device: mount.geometry().log_start.is_none(),
        rt_device: mount.cache(Device::Realtime).is_some(),
        device_sector_size: device.logical_block_size(),
        block_size_limit: mount.geometry().block_size,
    };
    let admitted = sb::verify(&bytes).and_then(|superblock| superblock.admit(&admission));
    admitted.map_err(|_| Refused(EINVAL, "it has features that it can be only read with"))?;
    mount
        .check_writable()
        .map_err(|line| Refused(EOPNOTSUPP, line))
}
