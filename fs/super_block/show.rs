// SPDX-License-Identifier: GPL-2.0

//! `/proc/mounts`: the options in force, in the order and form of the C driver.

use crate::{
    fs::{
        mount::Mount,
        options::Dax, //
    },
    rust::bindings,
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

/// `super_operations.show_options`.
///
/// # Safety
///
/// Called by the VFS with a file being read, and the root of a mounted file system of ours.
pub(super) unsafe extern "C" fn show_options(
    file: *mut bindings::seq_file,
    root: *mut bindings::dentry,
) -> c_int {
    // SAFETY: By the caller.
    let Some(mount) = (unsafe { Mount::of((*root).d_sb) }) else {
        return 0;
    };
    // SAFETY: By the caller.
    unsafe { show(file, mount) };
    0
}

/// # Safety
///
/// `raw` is a file being read.
unsafe fn show(raw: *mut bindings::seq_file, mount: &Mount) {
    // SAFETY: By the caller.
    let file = unsafe { SeqFile::from_raw(raw) };
    let options = mount.options();
    let in_force = mount.in_force();
    for (is_set, name) in [
        (options.write_sync, ",wsync"),
        (options.no_align, ",noalign"),
        (options.sw_alloc, ",swalloc"),
        (options.no_uuid, ",nouuid"),
        (options.no_recovery, ",norecovery"),
        (options.file_streams, ",filestreams"),
        (options.group_id, ",grpid"),
        (options.discard, ",discard"),
        (options.large_io, ",largeio"),
        (options.dax == Dax::Always, ",dax=always"),
        (options.dax == Dax::Never, ",dax=never"),
        (options.no_lifetime, ",nolifetime"),
    ] {
        if is_set {
            seq_print!(file, "{name}");
        }
    }
    let bits = if mount.inode32() { 32 } else { 64 };
    seq_print!(file, ",inode{bits}");
    if let Some(log) = options.alloc_size_log {
        // Not less than a block.
        let log = log.max(i32::from(mount.geometry().block_log));
        seq_print!(file, ",allocsize={}k", (1_u32 << log) >> 10);
    }
    seq_print!(file, ",logbufs={}", in_force.log_bufs);
    seq_print!(file, ",logbsize={}k", in_force.log_buf_size >> 10);
    for (name, device) in [
        (c"logdev", &options.log_device),
        (c"rtdev", &options.rt_device),
    ] {
        if let Some(device) = device {
            // SAFETY: The file is being read; strings they both are.
            unsafe { bindings::seq_show_option(raw, name.as_char_ptr(), device.as_char_ptr()) };
        }
    }
    let (unit, width) = in_force.stripe;
    if unit > 0 {
        seq_print!(file, ",sunit={unit}");
    }
    if width > 0 {
        seq_print!(file, ",swidth={width}");
    }
    seq_print!(file, ",noquota");
    if options.max_open_zones > 0 {
        seq_print!(file, ",max_open_zones={}", options.max_open_zones);
    }
}
