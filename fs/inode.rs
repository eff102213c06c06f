// SPDX-License-Identifier: GPL-2.0

//! The inode in the kernel: the VFS's, and libxfs's beside it.

use super::{
    log::Item,
    mount::Mount, //
};
use crate::{
    libxfs::{
        self,
        error,
        format::{
            inode::cluster::InodePlace,
            units::InodeNumber, //
        },
        inode::WhichFork,
        journal::CommitSequence, //
    },
    rust::{
        bindings,
        kernel::{
            nofs::NoFs,
            rwsem::{
                ReadGuard,
                RwSemaphore,
                WriteGuard, //
            },
        },
    },
};
use core::{
    cell::Cell,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        aref::AlwaysRefCounted,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// An inode in use.
///
/// The VFS's inode comes first, and is what the kernel passes around. Lives in a slab of its own;
/// freed a grace period after its last user, so that lookups may touch it under RCU.
#[repr(C)]
pub(crate) struct Inode {
    vfs: Opaque<bindings::inode>,
    /// Whether what follows is there: from when the inode was read, before anyone else sees it.
    whole: Cell<bool>,
    own: Opaque<Own>,
}

/// What an inode has beside the VFS's.
#[pin_data]
struct Own {
    // INVARIANT: The mount outlives its inodes.
    mount: NonNull<Mount>,
    number: InodeNumber,
    place: InodePlace,
    /// Whether it has come to its end: it is, or was, freed, and no one is to find it any more.
    ended: Atomic<u32>,
    /// Core and forks. The lock is what XFS calls the ILOCK: inside `i_rwsem`, the mapping's
    /// invalidate lock and the folio lock, outside the locks of metadata blocks.
    #[pin]
    body: RwSemaphore<Body>,
}

/// What the ILOCK guards.
pub(super) struct Body {
    /// Core and forks.
    pub(super) inode: libxfs::inode::Inode,
    /// What the log knows of changes, if there were any.
    pub(super) item: Option<Arc<Item>>,
    /// The last transaction that changed it.
    pub(super) changed: Option<CommitSequence>,
}

/// What an inode is made of; see [`Inode::complete`].
pub(super) struct Whole {
    pub(super) inode: libxfs::inode::Inode,
    pub(super) place: InodePlace,
    pub(super) item: Option<Arc<Item>>,
}

// SAFETY: Inodes are made for use from everywhere; what changes is under locks.
unsafe impl Send for Inode {}
// SAFETY: As above.
unsafe impl Sync for Inode {}

// SAFETY: Counts are those of `i_count`.
unsafe impl AlwaysRefCounted for Inode {
    fn inc_ref(&self) {
        // SAFETY: Referenced already, since `self` is.
        unsafe { bindings::ihold(self.as_vfs()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a count.
        unsafe { bindings::iput(obj.as_ref().as_vfs()) };
    }
}

/// Core and forks of an inode, locked for reading.
pub(crate) struct Locked<'a>(ReadGuard<'a, Body>);

impl Deref for Locked<'_> {
    type Target = libxfs::inode::Inode;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0.inode
    }
}

impl Inode {
    /// The VFS's inode within.
    #[inline]
    pub(crate) fn as_vfs(&self) -> *mut bindings::inode {
        self.vfs.get()
    }

    /// The inode around one of the VFS's.
    ///
    /// # Safety
    ///
    /// `inode` belongs to this driver, is whole, and stays referenced for `'a`.
    #[inline]
    pub(crate) unsafe fn from_vfs<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the caller; the VFS's inode comes first.
        unsafe { &*inode.cast() }
    }

    fn own(&self) -> &Own {
        // SAFETY: Who has a reference to an `Inode` has a whole one; see `from_vfs`.
        unsafe { &*self.own.get() }
    }

    /// The file system that it belongs to.
    #[inline]
    pub(crate) fn mount(&self) -> &Mount {
        // SAFETY: By the invariant.
        unsafe { self.own().mount.as_ref() }
    }

    /// Its number.
    #[inline]
    pub(crate) fn number(&self) -> InodeNumber {
        self.own().number
    }

    /// Where it lies.
    pub(super) fn place(&self) -> InodePlace {
        self.own().place
    }

    /// Whether it has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.own().ended.load(Relaxed) != 0
    }

    /// Notes that it has come to its end.
    pub(super) fn set_ended(&self) {
        self.own().ended.store(1, Relaxed);
    }

    /// The last transaction that changed it, if one did since it was read.
    pub(super) fn last_change(&self) -> Option<CommitSequence> {
        self.own().body.read().changed
    }

    /// Takes the ILOCK for changes, as it is. The inode is the only one.
    pub(super) fn write(&self) -> WriteGuard<'_, Body> {
        self.own().body.write()
    }

    /// As [`write`](Self::write), for a transaction, which may hold other inodes.
    pub(super) fn write_beside_others(&self) -> WriteGuard<'_, Body> {
        let own = self.own();
        // SAFETY: The super block outlives its inodes.
        unsafe { own.body.write_beside_others(self.mount().super_block()) }
    }

    /// Whether the inode is whole.
    ///
    /// # Safety
    ///
    /// `inode` belongs to this driver, and stays referenced while this runs.
    pub(super) unsafe fn is_whole(inode: *mut bindings::inode) -> bool {
        let this: *mut Self = inode.cast();
        // SAFETY: By the caller; set when the inode was made.
        unsafe { (*this).whole.get() }
    }

    /// Makes a new inode of the VFS's whole, with what was read.
    ///
    /// # Safety
    ///
    /// `inode` is new and of this driver, and no one else sees it; `mount` outlives it.
    pub(super) unsafe fn complete(inode: *mut bindings::inode, mount: &Mount, whole: Whole) {
        let this: *mut Self = inode.cast();
        let number = whole.inode.number;
        let body = Body {
            inode: whole.inode,
            item: whole.item,
            changed: None,
        };
        let own = pin_init!(Own {
            mount: NonNull::from(mount),
            number,
            place: whole.place,
            ended: Atomic::new(0),
            body <- RwSemaphore::new(body, c"xfs_rust_ilock", static_lock_class!()),
        });
        // SAFETY: By the caller, the inode is ours; its slot is valid for writing, and stays where
        // it is. The initializer cannot fail.
        unsafe {
            pin_init::raw_init((*this).own.get(), own);
            (*this).whole.set(true);
        }
    }

    /// Makes an inode new, before the VFS has it.
    ///
    /// # Safety
    ///
    /// `this` is an object of the slab that no one uses.
    pub(super) unsafe fn reset(this: *mut Self) {
        // SAFETY: By the caller.
        unsafe { (&raw mut (*this).whole).write(Cell::new(false)) };
    }

    /// Drops what an inode has beside the VFS's.
    ///
    /// # Safety
    ///
    /// No one uses the inode any more, not even under RCU.
    pub(super) unsafe fn dissolve(this: *mut Self) {
        // SAFETY: By the caller, it is ours alone, and `own` is there if it is whole.
        unsafe {
            if (*this).whole.replace(false) {
                core::ptr::drop_in_place((*this).own.get());
            }
        }
    }

    /// Locks core and forks for reading. A fork whose mappings lie in a B+tree may not have been
    /// read yet; see [`read_mapped`](Inode::read_mapped).
    #[inline]
    pub(crate) fn read(&self) -> Locked<'_> {
        Locked(self.own().body.read())
    }

    /// Locks core and forks for reading if that needs no sleep, and a fork's mappings are in
    /// memory.
    pub(crate) fn try_read_mapped(&self, which: WhichFork) -> Option<Locked<'_>> {
        let body = self.own().body.try_read()?;
        let needs_load = needs_load(&body.inode, which);
        (!needs_load).then_some(Locked(body))
    }

    /// Locks core and forks for reading, with the mappings of a fork in memory.
    ///
    /// # Errors
    ///
    /// Those of [`load_extents`](libxfs::inode::Inode::load_extents); nothing is locked then.
    pub(crate) fn read_mapped(&self, which: WhichFork) -> error::Result<Locked<'_>> {
        let body = self.own().body.read();
        if !needs_load(&body.inode, which) {
            return Ok(Locked(body));
        }
        drop(body);
        // Memory that is wanted with the lock held must not come from reclaiming this very inode.
        let _nofs = NoFs::new();
        let mut body = self.own().body.write();
        body.inode.load_extents(self.mount(), which)?;
        Ok(Locked(body.downgrade()))
    }
}

/// Whether a fork's mappings still have to be read.
fn needs_load(inode: &libxfs::inode::Inode, which: WhichFork) -> bool {
    inode.fork(which).is_some_and(|fork| fork.needs_load())
}
