// SPDX-License-Identifier: GPL-2.0

//! What the VFS keeps of an inode, from what the disk has.

use crate::{
    libxfs::{
        format::inode::{
            flags::Flags,
            time::Timestamp,
            FileType, //
        },
        inode::{
            Fork,
            Inode, //
        },
    },
    rust::bindings,
};
use kernel::prelude::*;

/// Bits of the minor number in a `dev_t`.
const MINOR_BITS: u32 = 20;

/// The flags of an inode that the VFS heeds.
const FLAGS: [(c_uint, u16); 4] = [
    (bindings::S_IMMUTABLE, Flags::IMMUTABLE),
    (bindings::S_APPEND, Flags::APPEND),
    (bindings::S_SYNC, Flags::SYNC),
    (bindings::S_NOATIME, Flags::NOATIME),
];

/// Tells the VFS of an inode that was just read or made.
///
/// # Safety
///
/// `inode` is new and ours.
pub(super) unsafe fn new(inode: *mut bindings::inode, body: &Inode) {
    let core = &body.core;
    // SAFETY: By the caller.
    unsafe {
        (*inode).i_generation = core.generation;
        if let Fork::Dev(number) = &body.data {
            (*inode).i_rdev = number.major << MINOR_BITS | number.minor;
        }
        bindings::i_size_write(inode, core.size as i64);
        bindings::inode_mapping_no_fs(inode);
        if body.attr.is_none() {
            bindings::inode_without_xattrs(inode);
        }
        bindings::inode_set_iversion_queried(inode, core.changecount);
        changed(inode, body);
    }
}

/// Whether the VFS has another time.
fn differs(kept: bindings::timespec64, (sec, nsec): (i64, c_long)) -> bool {
    (kept.tv_sec, kept.tv_nsec) != (sec, nsec)
}

/// Tells the VFS of an inode that a transaction has changed. The size of a regular file is the
/// VFS's: what is in its cache may be longer than what is on the disk.
///
/// # Safety
///
/// `inode` is whole, and its ILOCK is held or it is new and ours.
pub(super) unsafe fn changed(inode: *mut bindings::inode, body: &Inode) {
    let core = &body.core;
    let time = |time: Timestamp| (time.sec, time.nsec as c_long);
    let (atime, mtime, ctime) = (time(core.atime), time(core.mtime), time(core.ctime));
    let all = FLAGS.iter().fold(0, |set, (flag, _)| set | flag);
    let set = FLAGS.iter().filter(|(_, flag)| core.flags.has(*flag));
    let set = set.fold(0, |set, (flag, _)| set | flag);
    // SAFETY: By the caller.
    unsafe {
        (*inode).i_mode = core.mode;
        bindings::set_nlink(inode, core.nlink);
        bindings::i_uid_write(inode, core.uid);
        bindings::i_gid_write(inode, core.gid);
        // A time that is set anew counts as one that nobody has asked for.
        if differs(bindings::inode_get_atime(inode), atime) {
            bindings::inode_set_atime(inode, atime.0, atime.1);
        }
        if differs(bindings::inode_get_mtime(inode), mtime) {
            bindings::inode_set_mtime(inode, mtime.0, mtime.1);
        }
        if differs(bindings::inode_get_ctime(inode), ctime) {
            bindings::inode_set_ctime(inode, ctime.0, ctime.1);
        }
        bindings::inode_set_flags(inode, set, all);
        if core.file_type() != Some(FileType::Regular) {
            bindings::i_size_write(inode, core.size as i64);
        }
    }
}
