// SPDX-License-Identifier: GPL-2.0

//! The inode cache.
//!
//! It is the VFS's: inodes are found in its hash table under RCU, wait in its list of those that no
//! one uses, and are freed by its shrinker. What is ours is the slab, and filling an inode that was
//! not there: one thread does, and all others who want the same inode wait for it.

use super::{
    inode::Inode,
    iops,
    mount::Mount, //
};
use crate::{
    libxfs::{
        self, error,
        format::{
            fault::Fault,
            inode::{
                flags::Flags,
                time::Timestamp, //
            },
            units::InodeNumber,
        },
        inode::{
            Fork,
            Trust, //
        },
    },
    rust::bindings,
};
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

/// Bits of the minor number in a `dev_t`.
const MINOR_BITS: u32 = 20;

/// The slab; null while the module is not loaded.
static SLAB: Atomic<*mut bindings::kmem_cache> = Atomic::new(core::ptr::null_mut());

/// The slab of inodes, for as long as this lives.
pub(crate) struct Slab;

impl Slab {
    /// Makes it. There is one at a time, which the module holds.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The name is a string, and `init_once` fits.
        let raw = unsafe {
            bindings::inode_cache_create(
                c"xfs_rust_inode".as_char_ptr(),
                size_of::<Inode>() as c_uint,
                Some(init_once),
            )
        };
        if raw.is_null() {
            return Err(ENOMEM);
        }
        SLAB.store(raw, Relaxed);
        Ok(Self)
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // Inodes of the last unmounts are freed after a grace period.
        rcu::rcu_barrier();
        // SAFETY: All objects are back, since no file system of this type is mounted any more.
        unsafe { bindings::kmem_cache_destroy(SLAB.xchg(core::ptr::null_mut(), Relaxed)) };
    }
}

/// Constructor of the slab's objects: what stays from one use to the next.
///
/// # Safety
///
/// Called by the slab, with an object.
unsafe extern "C" fn init_once(object: *mut c_void) {
    // SAFETY: By the caller; the VFS's inode comes first.
    unsafe { bindings::inode_init_once(object.cast()) };
}

/// `super_operations.alloc_inode`.
///
/// # Safety
///
/// Called by the VFS with a live super block.
pub(super) unsafe extern "C" fn alloc_inode(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    // SAFETY: The slab lives as long as the type is registered.
    let object: *mut Inode = unsafe {
        bindings::kmem_cache_alloc_lru_noprof(
            SLAB.load(Relaxed),
            &raw mut (*sb).s_inode_lru,
            bindings::GFP_KERNEL,
        )
    }
    .cast();
    if !object.is_null() {
        // SAFETY: Fresh from the slab.
        unsafe { Inode::reset(object) };
    }
    object.cast()
}

/// `super_operations.free_inode`.
///
/// # Safety
///
/// Called by the VFS a grace period after the inode was last used.
pub(super) unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
    // SAFETY: By the caller; it came from the slab.
    unsafe {
        Inode::dissolve(inode.cast());
        bindings::kmem_cache_free(SLAB.load(Relaxed), inode.cast());
    }
}

/// What may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// A file that users see.
    File(Trust),
    /// A file of the file system's own.
    Metadata,
}

impl Mount {
    /// Finds an inode by its number, from memory where it can.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that no inode can have or, untrusted, that none has; `ENOENT` for a
    /// free inode; `EUCLEAN` for a file of users where one of the file system's own was wanted, or
    /// the reverse; `EUCLEAN`, `EBADMSG`, `EIO`, `ENOMEM`.
    pub(crate) fn inode(&self, number: InodeNumber, want: Want) -> Result<ARef<Inode>> {
        if self.is_shut_down() {
            return Err(EIO);
        }
        if self.geometry().split_inode(number).is_none() {
            return Err(EINVAL);
        }
        // SAFETY: The super block is alive.
        let inode = unsafe { bindings::iget_locked(self.super_block(), number.get()) };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget_locked` gave us a count.
        if unsafe { bindings::inode_is_new(inode.as_ptr()) } {
            // SAFETY: It is new, so it is ours until it is unlocked.
            if let Err(error) = unsafe { self.fill_inode(inode.as_ptr(), number, want) } {
                // SAFETY: As above; those who wait for it try for themselves.
                unsafe { bindings::iget_failed(inode.as_ptr()) };
                return Err(error);
            }
            // SAFETY: Whole now.
            unsafe { bindings::unlock_new_inode(inode.as_ptr()) };
        }
        // SAFETY: Whole, and counted; the VFS's inode comes first.
        let inode: ARef<Inode> = unsafe { ARef::from_raw(inode.cast()) };
        let internal = self.is_internal(&inode.read());
        match (want, internal) {
            // A handle must not lead to the file system's own files, and a name never does.
            (Want::File(Trust::Untrusted), true) => Err(EINVAL),
            (Want::File(Trust::Trusted), true) | (Want::Metadata, false) => {
                let fault = Fault::corrupt("inode", "flags2");
                Err(self.errno(error::Error::inode(fault, number)))
            }
            _ => Ok(inode),
        }
    }

    /// Whether an inode is of the file system's own: of the metadata directory tree or, without
    /// that, one that the superblock names.
    pub(crate) fn is_internal(&self, inode: &libxfs::inode::Inode) -> bool {
        let geo = self.geometry();
        inode.core.is_metadata()
            || geo.rt_bitmap_inode == Some(inode.number)
            || geo.rt_summary_inode == Some(inode.number)
            || geo.quota_inodes.contains(&Some(inode.number))
    }

    /// Reads an inode that is new.
    ///
    /// # Safety
    ///
    /// `inode` is new and ours.
    unsafe fn fill_inode(
        &self,
        inode: *mut bindings::inode,
        number: InodeNumber,
        want: Want,
    ) -> Result {
        let trust = match want {
            Want::File(trust) => trust,
            Want::Metadata => Trust::Trusted,
        };
        let body =
            libxfs::inode::Inode::read(self, number, trust).map_err(|error| self.errno(error))?;
        // SAFETY: By the caller.
        unsafe {
            set_attributes(inode, &body);
            if self.is_internal(&body) {
                bindings::inode_make_private(inode);
            }
            Inode::complete(inode, self, body);
            iops::attach_operations(inode, self.geometry());
        }
        Ok(())
    }
}

/// Tells the VFS what it keeps of an inode.
///
/// # Safety
///
/// `inode` is new and ours.
unsafe fn set_attributes(inode: *mut bindings::inode, body: &libxfs::inode::Inode) {
    let core = &body.core;
    let time = |time: Timestamp| (time.sec, time.nsec as c_long);
    let (atime, mtime, ctime) = (time(core.atime), time(core.mtime), time(core.ctime));
    let mut flags = 0;
    for (flag, is_set) in [
        (bindings::S_IMMUTABLE, core.flags.has(Flags::IMMUTABLE)),
        (bindings::S_APPEND, core.flags.has(Flags::APPEND)),
        (bindings::S_SYNC, core.flags.has(Flags::SYNC)),
        (bindings::S_NOATIME, core.flags.has(Flags::NOATIME)),
    ] {
        if is_set {
            flags |= flag;
        }
    }
    // SAFETY: By the caller.
    unsafe {
        (*inode).i_mode = core.mode;
        (*inode).i_generation = core.generation;
        if let Fork::Dev(number) = &body.data {
            (*inode).i_rdev = number.major << MINOR_BITS | number.minor;
        }
        bindings::set_nlink(inode, core.nlink);
        bindings::i_uid_write(inode, core.uid);
        bindings::i_gid_write(inode, core.gid);
        bindings::inode_set_atime(inode, atime.0, atime.1);
        bindings::inode_set_mtime(inode, mtime.0, mtime.1);
        bindings::inode_set_ctime(inode, ctime.0, ctime.1);
        bindings::i_size_write(inode, core.size as i64);
        bindings::inode_set_iversion_queried(inode, core.changecount);
        (*inode).i_flags |= flags;
        bindings::inode_mapping_no_fs(inode);
        if body.attr.is_none() {
            bindings::inode_without_xattrs(inode);
        }
    }
}
