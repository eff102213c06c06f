// SPDX-License-Identifier: GPL-2.0

//! The file system type, and the super block's life: options, mount, remount, unmount.
//!
//! Lock order at the edges: all but option parsing is called with `s_umount` held exclusively.
//! Beside the main device, the log's and the realtime device are opened under it, but closed only
//! after the super block is gone: closing takes locks of the block layer that come before it.

mod context;
mod fill;
mod life;
mod operations;
mod show;
mod statfs;

use super::{
    icache::Slab,
    mount::Mount,
    options::Options,
    uuids, //
};
use crate::rust::{
    bindings,
    kernel::block_device::HeldDevice, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// What a super block has in `s_fs_info`, and before it the context that sets one up.
#[derive(Default)]
pub(super) struct Super {
    /// What was asked for; moves on into the mount.
    options: Options,
    /// The mount, from when it is read to `put_super`.
    mount: Option<Pin<KBox<Mount>>>,
    /// The uuid, unless `nouuid` says not to look.
    uuid: Option<uuids::Taken>,
    /// Log and realtime device, if there are any.
    held: [Option<HeldDevice>; 2],
}

impl Super {
    /// The one of a super block.
    ///
    /// # Safety
    ///
    /// The super block is of this type, and nothing changes its `Super` for `'a`.
    unsafe fn of<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: By the caller; set when the super block was made.
        unsafe { &*(*sb).s_fs_info.cast() }
    }
}

impl Mount {
    /// The mount of a super block.
    ///
    /// # Safety
    ///
    /// The super block is of this type, and stays mounted for `'a`.
    pub(crate) unsafe fn of<'a>(sb: *mut bindings::super_block) -> Option<&'a Self> {
        // SAFETY: By the caller.
        unsafe { Super::of(sb) }.mount.as_deref()
    }
}

/// Whether a super block with these operations is of this type.
pub(crate) fn is_ours(operations: *const bindings::super_operations) -> bool {
    core::ptr::eq(operations, operations::table())
}

/// The file system type.
struct FileSystemType(Opaque<bindings::file_system_type>);

// SAFETY: Changed before it is registered, and by the VFS under its own locks.
unsafe impl Sync for FileSystemType {}

static TYPE: FileSystemType = FileSystemType(Opaque::zeroed());

/// The type is registered for as long as this lives.
pub(crate) struct Registration {
    _slab: Slab,
}

impl Registration {
    /// Registers the type as `name`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a type of that name, `EINVAL` for a name that cannot be one, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// Called by the module's init, and not again; `name` lives as long as the module.
    pub(crate) unsafe fn new(module: &'static ThisModule, name: &'static CStr) -> Result<Self> {
        // The VFS takes a dot for the start of a subtype.
        if name.is_empty()
            || name
                .to_bytes()
                .iter()
                .any(|c| matches!(c, b'.' | b'/' | b' '))
        {
            pr_err!("fs_name=\"{name}\" cannot be the name of a file system type\n");
            return Err(EINVAL);
        }
        // SAFETY: By the caller, for the first time.
        unsafe { uuids::init() };
        let slab = Slab::new()?;
        let raw = TYPE.0.get();
        // SAFETY: Not yet registered, so it is ours.
        unsafe {
            (*raw).owner = module.as_ptr();
            (*raw).name = name.as_char_ptr();
            (*raw).init_fs_context = Some(context::init);
            (*raw).parameters = context::parameters().cast();
            (*raw).kill_sb = Some(kill_sb);
            (*raw).fs_flags = (bindings::FS_REQUIRES_DEV
                | bindings::FS_ALLOW_IDMAP
                | bindings::FS_MGTIME
                | bindings::FS_LBS) as c_int;
        }
        // SAFETY: Filled in, and static.
        to_result(unsafe { bindings::register_filesystem(raw) }).inspect_err(|error| {
            if *error == EBUSY {
                pr_err!(
                    "a file system type \"{name}\" is registered already: unload its driver \
                     (modprobe -r xfs), or load this one beside it with fs_name=xfs_rust\n"
                );
            }
        })?;
        Ok(Self { _slab: slab })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`. Nothing of the type is mounted: that would hold the module.
        // The only error is a type that is not registered.
        unsafe { bindings::unregister_filesystem(TYPE.0.get()) };
    }
}

/// `file_system_type.kill_sb`.
///
/// # Safety
///
/// Called by the VFS for a super block of this type, the last time.
unsafe extern "C" fn kill_sb(sb: *mut bindings::super_block) {
    // SAFETY: By the caller.
    let info = unsafe {
        bindings::kill_block_super(sb);
        NonNull::new((*sb).s_fs_info.cast::<Super>())
    };
    if let Some(info) = info {
        // SAFETY: Made from a box, and no one uses it any more. Devices are closed here.
        drop(unsafe { KBox::from_raw(info.as_ptr()) });
    }
}
