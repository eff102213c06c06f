// SPDX-License-Identifier: GPL-2.0

//! The inode cache.
//!
//! It is the VFS's: inodes are found in its hash table under RCU, wait in its list of those that no
//! one uses, and are freed by its shrinker. What is ours is the slab, and filling an inode that was
//! not there: one thread does, and all others who want the same inode wait for it.

use super::{
    ilock::LockedInode,
    inode::{
        Inode,
        Whole, //
    },
    iops,
    log::Item,
    mount::Mount,
    publish, //
};
use crate::{
    libxfs::{
        self, error,
        format::{
            fault::Fault,
            inode::cluster::{
                self,
                InodePlace, //
            },
            units::InodeNumber,
        },
        inode::{
            encode::log_place,
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
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
};

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
    /// Any inode in use, be it without a name or of the file system's own: for transactions.
    Any,
}

impl Want {
    const fn trust(self) -> Trust {
        match self {
            Self::File(trust) => trust,
            Self::Metadata | Self::Any => Trust::Trusted,
        }
    }
}

/// How often inodes have left memory, by their numbers.
///
/// An inode is read before it is put into the cache, so that no one waits for a reader with blocks
/// locked that the reader wants. What was read may be old by the time it is put in: if the inode was
/// in memory meanwhile, and was changed and evicted.
pub(crate) struct Evictions([Atomic<u32>; Self::COUNT]);

impl Evictions {
    const COUNT: usize = 64;

    /// None so far.
    pub(crate) const fn new() -> Self {
        Self([const { Atomic::new(0) }; Self::COUNT])
    }

    fn counter(&self, number: InodeNumber) -> Option<&Atomic<u32>> {
        self.0.get(number.get() as usize % Self::COUNT)
    }

    fn so_far(&self, number: InodeNumber) -> u32 {
        self.counter(number).map_or(0, |count| count.load(Acquire))
    }

    /// Counts one, before anyone can read the inode anew.
    pub(super) fn count(&self, number: InodeNumber) {
        if let Some(count) = self.counter(number) {
            count.fetch_add(1, Full);
        }
    }
}

impl Mount {
    /// Finds an inode by its number, from memory where it can.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that no inode can have or, untrusted, that none has; `ENOENT` for a
    /// free inode, or one that is about to be freed; `EUCLEAN` for a file of users where one of the
    /// file system's own was wanted, or the reverse; `EUCLEAN`, `EBADMSG`, `EIO`, `ENOMEM`.
    pub(crate) fn inode(&self, number: InodeNumber, want: Want) -> Result<ARef<Inode>> {
        self.find(number, want).map_err(|error| self.errno(error))
    }

    /// As [`inode`](Self::inode), with the errors of libxfs.
    pub(super) fn find(&self, number: InodeNumber, want: Want) -> error::Result<ARef<Inode>> {
        if self.is_shut_down() {
            return Err(error::Error::Shutdown);
        }
        if self.geometry().split_inode(number).is_none() {
            return Err(error::Error::Invalid);
        }
        loop {
            let evictions = self.evictions().so_far(number);
            // SAFETY: The super block is alive.
            let cached = unsafe { bindings::ilookup(self.super_block(), number.get()) };
            if let Some(cached) = NonNull::new(cached) {
                // SAFETY: Counted, and the VFS's inode comes first.
                return self.check(unsafe { ARef::from_raw(cached.cast()) }, want);
            }
            let whole = self.read_inode(number, want)?;
            // SAFETY: As above.
            let inode = unsafe { bindings::iget_locked(self.super_block(), number.get()) };
            let inode = NonNull::new(inode).ok_or(error::Error::NoMemory)?;
            // SAFETY: `iget_locked` gave us a count.
            if unsafe { bindings::inode_is_new(inode.as_ptr()) } {
                if self.evictions().so_far(number) != evictions {
                    // SAFETY: New, so it is ours; those who wait for it try for themselves.
                    unsafe { bindings::iget_failed(inode.as_ptr()) };
                    continue;
                }
                // SAFETY: New, so it is ours until it is unlocked.
                unsafe {
                    self.fill_inode(inode.as_ptr(), whole);
                    bindings::unlock_new_inode(inode.as_ptr());
                }
            }
            // SAFETY: Whole, and counted; the VFS's inode comes first.
            return self.check(unsafe { ARef::from_raw(inode.cast()) }, want);
        }
    }

    /// Sees whether an inode is what was asked for.
    fn check(&self, inode: ARef<Inode>, want: Want) -> error::Result<ARef<Inode>> {
        if inode.has_ended() && want != Want::Any {
            return Err(error::Error::NotFound);
        }
        if want == Want::Any {
            return Ok(inode);
        }
        let internal = self.is_internal(&inode.read());
        match (want, internal) {
            // A handle must not lead to the file system's own files, and a name never does.
            (Want::File(Trust::Untrusted), true) => Err(error::Error::Invalid),
            (Want::File(Trust::Trusted), true) | (Want::Metadata, false) => {
                let fault = Fault::corrupt("inode", "flags2");
                Err(error::Error::inode(fault, inode.number()))
            }
            _ => Ok(inode),
        }
    }

    /// Takes over an inode that was just allocated, locked. No one finds it before that.
    pub(super) fn take_over(&self, inode: libxfs::inode::Inode) -> error::Result<LockedInode> {
        let number = inode.number;
        let place = cluster::place(self.geometry(), number).ok_or(error::Error::Invalid)?;
        let item = self.logged(number, place)?;
        // SAFETY: The super block is alive.
        let raw = unsafe { bindings::iget_locked(self.super_block(), number.get()) };
        let raw = NonNull::new(raw).ok_or(error::Error::NoMemory)?;
        // SAFETY: `iget_locked` gave us a count, which goes to what is returned.
        unsafe {
            if !bindings::inode_is_new(raw.as_ptr()) {
                bindings::iput(raw.as_ptr());
                // It was free on the disk.
                let fault = Fault::corrupt("inode", "free");
                return Err(error::Error::inode(fault, number));
            }
            let whole = Whole { inode, place, item };
            self.fill_inode(raw.as_ptr(), whole);
            let locked = LockedInode::new(ARef::from_raw(raw.cast()));
            bindings::unlock_new_inode(raw.as_ptr());
            Ok(locked)
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

    /// Puts an inode that is about to be freed back into the cache. Nobody else finds it.
    pub(super) fn revive(&self, whole: Whole) -> error::Result<ARef<Inode>> {
        let number = whole.inode.number;
        // SAFETY: The super block is alive.
        let raw = unsafe { bindings::iget_locked(self.super_block(), number.get()) };
        let raw = NonNull::new(raw).ok_or(error::Error::NoMemory)?;
        // SAFETY: `iget_locked` gave us a count, which goes to what is returned.
        unsafe {
            if !bindings::inode_is_new(raw.as_ptr()) {
                // Whoever read it did not look at its links.
                bindings::iput(raw.as_ptr());
                return Err(error::Error::Exists);
            }
            self.fill_inode(raw.as_ptr(), whole);
            let node: ARef<Inode> = ARef::from_raw(raw.cast());
            node.set_ended();
            bindings::unlock_new_inode(raw.as_ptr());
            Ok(node)
        }
    }

    /// What the log has of an inode that is not in memory.
    fn logged(&self, number: InodeNumber, place: InodePlace) -> error::Result<Option<Arc<Item>>> {
        let Some(log) = self.log() else {
            return Ok(None);
        };
        let place = log_place(self.geometry(), place).ok_or(error::Error::Invalid)?;
        log.inode_item(number, place)
    }

    /// Reads an inode that is not in memory.
    fn read_inode(&self, number: InodeNumber, want: Want) -> error::Result<Whole> {
        let geo = self.geometry();
        let place = libxfs::inode::locate(self, number, want.trust())?;
        if let Some(log) = self.log() {
            let place = log_place(geo, place).ok_or(error::Error::Invalid)?;
            log.settle_inode(number, place)?;
        }
        let cluster = libxfs::inode::read_cluster(self, place)?;
        let bytes = libxfs::inode::inode_bytes(geo, &cluster, place);
        let bytes = bytes.ok_or(error::Error::Invalid)?;
        let inode = libxfs::inode::Inode::parse(geo, number, bytes)?;
        drop(cluster);
        if inode.core.nlink == 0 && want != Want::Any && self.log().is_some() {
            // It waits to be freed.
            return Err(error::Error::NotFound);
        }
        Ok(Whole {
            inode,
            place,
            item: self.logged(number, place)?,
        })
    }

    /// Fills in an inode that is new.
    ///
    /// # Safety
    ///
    /// `inode` is new and ours.
    unsafe fn fill_inode(&self, inode: *mut bindings::inode, whole: Whole) {
        // SAFETY: By the caller.
        unsafe {
            publish::new(inode, &whole.inode);
            if self.is_internal(&whole.inode) {
                bindings::inode_make_private(inode);
            }
            Inode::complete(inode, self, whole);
            iops::attach_operations(inode, self.geometry());
        }
    }
}
