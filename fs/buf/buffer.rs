// SPDX-License-Identifier: GPL-2.0

//! One buffer: its memory, its users, its life.

use super::{
    watcher::Watcher,
    Cache, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            kind::Kind,
            units::{
                DiskAddr,
                BASIC_BLOCK_SIZE, //
            },
        },
        store::Run,
    },
    rust::{
        bindings,
        kernel::{
            lru::{
                Listed,
                Verdict, //
            },
            share_lock::ShareLock, //
        },
    },
};
use core::{
    cell::UnsafeCell,
    mem::{
        offset_of,
        ManuallyDrop,
        MaybeUninit, //
    },
    ops::Deref,
    ptr::NonNull,
};
use kernel::{
    prelude::{
        KBox,
        KVVec,
        KVec,
        GFP_KERNEL, //
    },
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    types::Opaque,
};

/// In `refs`: the buffer is on its way out, and takes no users.
const DEAD: u32 = 1 << 31;

/// In `state`: the memory holds the block: what is on the disk, verified, or what will be there.
pub(super) const VALID: u32 = 1 << 0;
/// In `state`: a read ahead is under way, which ends in a work item, since no one waits for it.
pub(super) const AHEAD: u32 = 1 << 1;
/// In `state`: a write is under way that ends in a work item.
pub(super) const ASYNC: u32 = 1 << 2;
/// In `state`: the memory was changed since it was read or written. Holds a count of its own, so
/// that the list never takes a buffer with changes.
pub(super) const CHANGED: u32 = 1 << 3;
/// In `state`: someone has it locked who may change it.
pub(super) const OWNED: u32 = 1 << 4;
/// In `state`: a [`WriteList`](super::WriteList) has it, and it is to be written.
pub(super) const DELAYED: u32 = 1 << 5;
/// In `state`: the block is free; nothing of it is written.
pub(super) const STALE: u32 = 1 << 6;
/// In `state`: no one is to find it any more; it goes with its last user. Never taken back.
pub(super) const GONE: u32 = 1 << 7;
/// In `state`: it was never in the table, and its changes are its one user's.
pub(super) const PRIVATE: u32 = 1 << 8;

/// Where a block lies.
pub(super) enum Runs {
    /// In one piece, as nearly all do.
    One(Run),
    /// In pieces.
    Many(KVec<Run>),
}

impl Runs {
    fn new(runs: &[Run]) -> Result<Self> {
        match runs {
            [run] => Ok(Self::One(*run)),
            [] => Err(Error::Invalid),
            _ => {
                let mut many = KVec::with_capacity(runs.len(), GFP_KERNEL)?;
                many.extend_from_slice(runs, GFP_KERNEL)?;
                Ok(Self::Many(many))
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        match self {
            Self::One(run) => core::slice::from_ref(run),
            Self::Many(runs) => runs,
        }
    }
}

/// A buffer. The first line of the cache holds all that a hit touches.
#[repr(C)]
pub(super) struct Buf {
    /// The next of the chain; written under the bucket's lock.
    pub(super) next: Atomic<*mut Buf>,
    at: DiskAddr,
    /// In basic blocks.
    len: u32,
    /// Users, or [`DEAD`].
    refs: Atomic<u32>,
    /// Guards the memory and what stands under it here. Whoever starts I/O holds it exclusively, and
    /// the I/O's end lets go of it.
    lock: ShareLock,
    /// Flags; changed by who holds the lock exclusively.
    state: Atomic<u32>,
    /// How often the log has changes of it that are not yet on the disk; each holds a count. Until
    /// there are none it is not written.
    pub(super) pins: Atomic<u32>,
    /// Whether it was put on the list of what may be freed.
    listed: Atomic<u32>,
    /// Whether it was used since the list last looked.
    recent: Atomic<u32>,
    /// What it was verified as; changed by who holds the lock exclusively.
    kind: UnsafeCell<Kind>,
    // INVARIANT: The cache outlives its buffers.
    cache: NonNull<Cache>,
    /// Memory of `len` basic blocks, under the lock. With a capacity alone: no length tells how much
    /// of it is initialized, `VALID` does.
    memory: ManuallyDrop<KVVec<MaybeUninit<u8>>>,
    runs: ManuallyDrop<Runs>,
    /// Where the log has the last change of it; 0 for none.
    pub(super) lsn: Atomic<u64>,
    /// Requests under way.
    pub(super) io_left: Atomic<u32>,
    /// The errno of one of them that failed, or 0.
    pub(super) io_errno: Atomic<u32>,
    /// The errno of the write before, if that failed; under the lock.
    pub(super) last_errno: Atomic<u32>,
    /// Who is told when it was written; under the lock.
    watcher: UnsafeCell<Option<Arc<dyn Watcher>>>,
    pub(super) work: Opaque<bindings::work_struct>,
    link: UnsafeCell<bindings::list_head>,
    rcu: UnsafeCell<bindings::kvfree_rcu_head>,
}

// SAFETY: What is not atomic changes under `lock` or is the list's; the memory may move between
// threads.
unsafe impl Send for Buf {}
// SAFETY: As above.
unsafe impl Sync for Buf {}

impl Buf {
    /// Makes a buffer for a block that is not there yet: locked exclusively, with one user.
    pub(super) fn new_locked(
        cache: &Cache,
        runs: &[Run],
        kind: Kind,
        state: u32,
    ) -> Result<NewBuf> {
        let len = runs
            .iter()
            .fold(0_u32, |sum, run| sum.wrapping_add(run.len));
        let first = runs.first().ok_or(Error::Invalid)?;
        let bytes = (len as usize).saturating_mul(BASIC_BLOCK_SIZE as usize);
        // All that can fail comes first: what is in the buffer, `free` alone gives back.
        let buf = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let copied = Runs::new(runs)?;
        let memory = KVVec::with_capacity(bytes, GFP_KERNEL)?;
        let buf = buf.write(Self {
            next: Atomic::new(core::ptr::null_mut()),
            at: first.at,
            len,
            refs: Atomic::new(1),
            lock: ShareLock::new_exclusive(),
            state: Atomic::new(state),
            pins: Atomic::new(0),
            listed: Atomic::new(0),
            recent: Atomic::new(1),
            kind: UnsafeCell::new(kind),
            cache: NonNull::from(cache),
            memory: ManuallyDrop::new(memory),
            runs: ManuallyDrop::new(copied),
            lsn: Atomic::new(0),
            io_left: Atomic::new(0),
            io_errno: Atomic::new(0),
            last_errno: Atomic::new(0),
            watcher: UnsafeCell::new(None),
            work: Opaque::uninit(),
            link: UnsafeCell::new(Default::default()),
            rcu: UnsafeCell::new(Default::default()),
        });
        let link = buf.link.get();
        // SAFETY: The buffer is ours, and stays where it is; an empty link points to itself.
        unsafe {
            (*link).next = link;
            (*link).prev = link;
        }
        Ok(NewBuf(NonNull::from(KBox::leak(buf))))
    }

    /// The buffer's name: first address and length, in basic blocks.
    #[inline]
    pub(super) fn key(&self) -> (u64, u32) {
        (self.at.0, self.len)
    }

    /// First address on the device.
    pub(super) fn at(&self) -> DiskAddr {
        self.at
    }

    /// The cache that it belongs to.
    pub(super) fn cache(&self) -> &Cache {
        // SAFETY: By the invariant of `cache`.
        unsafe { self.cache.as_ref() }
    }

    /// The lock of its content.
    #[inline]
    pub(super) fn lock(&self) -> &ShareLock {
        &self.lock
    }

    /// Whether the memory holds the block. Stable while the lock is held.
    #[inline]
    pub(super) fn is_valid(&self) -> bool {
        self.state.load(Acquire) & VALID != 0
    }

    /// The flags.
    pub(super) fn state(&self) -> u32 {
        self.state.load(Acquire)
    }

    /// Changes the flags. The caller holds the lock exclusively.
    pub(super) fn change_state(&self, clear: u32, set: u32) {
        self.state.store(self.state() & !clear | set, Release);
    }

    /// Whether its content is, or may become, newer than what is on the disk.
    pub(super) fn is_taken(&self) -> bool {
        let state = self.state();
        state & STALE == 0
            && (state & (OWNED | CHANGED | DELAYED) != 0 || self.pins.load(Acquire) != 0)
    }

    /// Whether it is to be found by who looks for it.
    pub(super) fn is_findable(&self) -> bool {
        self.state() & GONE == 0
    }

    /// Whether it was invalidated, so that nothing of it counts.
    pub(super) fn is_stale(&self) -> bool {
        self.state() & STALE != 0
    }

    /// Whether it is worth memory when no one uses it.
    fn is_worth_keeping(&self) -> bool {
        self.state() & (VALID | GONE) == VALID
    }

    /// Whether it lies where `runs` do.
    pub(super) fn lies_at(&self, runs: &[Run]) -> bool {
        self.runs() == runs
    }

    /// Notes that the memory is being changed. The caller holds the lock exclusively, and a count.
    pub(super) fn set_changed(&self) {
        if self.state() & CHANGED == 0 {
            self.refs.fetch_add(1, Relaxed);
            self.change_state(0, CHANGED | VALID);
        }
    }

    /// Notes that there are no changes to be written any more. The caller holds the lock
    /// exclusively, and a count, which is not the last one therefore.
    pub(super) fn clear_changed(&self) {
        if self.state() & CHANGED != 0 {
            self.change_state(CHANGED, 0);
            self.refs.fetch_add(u32::MAX, Full);
        }
    }

    /// Sets who is told when it was written, and returns who was. The caller holds the lock
    /// exclusively.
    pub(super) fn set_watcher(
        &self,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Option<Arc<dyn Watcher>> {
        // SAFETY: Used with the lock held exclusively alone.
        unsafe { core::ptr::replace(self.watcher.get(), watcher) }
    }

    /// Who is told when it was written. The caller holds the lock exclusively.
    pub(super) fn watcher(&self) -> Option<&Arc<dyn Watcher>> {
        // SAFETY: As above; it stays while the lock is held, unless the caller changes it.
        unsafe { (*self.watcher.get()).as_ref() }
    }

    /// Notes that it was used.
    #[inline]
    pub(super) fn touch(&self) {
        if self.recent.load(Relaxed) == 0 {
            self.recent.store(1, Relaxed);
        }
    }

    /// Where it lies.
    pub(super) fn runs(&self) -> &[Run] {
        self.runs.as_slice()
    }

    /// Its memory, for I/O. The caller holds the lock exclusively.
    pub(super) fn memory(&self) -> NonNull<u8> {
        let memory = self.memory.as_ptr().cast_mut();
        // SAFETY: Never null: there is a capacity.
        unsafe { NonNull::new_unchecked(memory.cast()) }
    }

    /// Its length in bytes.
    pub(super) fn byte_len(&self) -> usize {
        (self.len as usize).wrapping_mul(BASIC_BLOCK_SIZE as usize)
    }

    /// Its bytes.
    ///
    /// # Safety
    ///
    /// They are initialized, by a read or with zeroes, and the lock is held, shared or exclusive, for as long as the slice
    /// is used.
    #[inline]
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: So much was allocated; it is initialized and not written to, by the caller.
        unsafe { core::slice::from_raw_parts(self.memory.as_ptr().cast(), self.byte_len()) }
    }

    /// What it was verified as. The caller holds the lock.
    pub(super) fn kind(&self) -> Kind {
        // SAFETY: Changes with the lock held exclusively alone.
        unsafe { *self.kind.get() }
    }

    /// Sets what it is to be verified as. The caller holds the lock exclusively.
    pub(super) fn set_kind(&self, kind: Kind) {
        // SAFETY: As above, with the lock held exclusively.
        unsafe { *self.kind.get() = kind };
    }

    /// Frees the memory at once, and the buffer itself after a grace period.
    ///
    /// # Safety
    ///
    /// The buffer is dead, and in neither table nor list; it is not used after this but by those
    /// who look at the chain under RCU.
    unsafe fn free(this: NonNull<Self>) {
        let raw = this.as_ptr();
        // SAFETY: By the caller. Who stands on the buffer under RCU reads its key, `refs` and `next`
        // alone; those stay.
        unsafe {
            ManuallyDrop::drop(&mut (*raw).memory);
            drop((*raw).watcher.get().replace(None));
            ManuallyDrop::drop(&mut (*raw).runs);
            bindings::kvfree_call_rcu((*raw).rcu.get(), raw.cast());
        }
    }
}

// SAFETY: The link is the list's alone, and lies in the slab; the list's users take a buffer off
// before they free it.
unsafe impl Listed for Buf {
    fn link(&self) -> *mut bindings::list_head {
        self.link.get()
    }

    unsafe fn from_link(link: *mut bindings::list_head) -> NonNull<Self> {
        // SAFETY: By the caller, the link lies in a buffer.
        unsafe { NonNull::new_unchecked(link.byte_sub(offset_of!(Self, link)).cast()) }
    }

    fn judge(&self) -> Verdict {
        if self.recent.xchg(0, Relaxed) != 0 {
            return Verdict::Rotate;
        }
        match self.refs.cmpxchg(0, DEAD, Full) {
            Ok(_) => Verdict::Take,
            Err(_) => Verdict::Rotate,
        }
    }

    unsafe fn dispose(this: NonNull<Self>) {
        // SAFETY: Dead since `judge`, and ours alone but for RCU.
        let buf = unsafe { this.as_ref() };
        buf.cache().table.remove(buf);
        // SAFETY: In neither table nor list.
        unsafe { Self::free(this) };
    }
}

/// A buffer that no one else knows of yet, locked exclusively.
pub(super) struct NewBuf(NonNull<Buf>);

impl NewBuf {
    /// The buffer.
    pub(super) fn buf(&self) -> &Buf {
        // SAFETY: Ours.
        unsafe { self.0.as_ref() }
    }

    /// Makes it fit for the table: the count that it was born with becomes the caller's.
    pub(super) fn publish(self) -> BufRef {
        let buf = self.0;
        core::mem::forget(self);
        BufRef(buf)
    }
}

impl Drop for NewBuf {
    fn drop(&mut self) {
        // SAFETY: No one knows of it.
        unsafe { Buf::free(self.0) };
    }
}

/// A user of a buffer.
pub(super) struct BufRef(
    // INVARIANT: Counted in `refs`.
    NonNull<Buf>,
);

// SAFETY: Counts may be given up by any thread.
unsafe impl Send for BufRef {}
// SAFETY: A shared reference gives out the buffer alone.
unsafe impl Sync for BufRef {}

impl BufRef {
    /// Becomes a user of a buffer that is in the table, unless it is dead.
    #[inline]
    pub(super) fn try_new(buf: &Buf) -> Option<Self> {
        let mut old = buf.refs.load(Relaxed);
        while old & DEAD == 0 {
            match buf.refs.cmpxchg(old, old.wrapping_add(1), Full) {
                Ok(_) => return Some(Self(NonNull::from(buf))),
                Err(now) => old = now,
            }
        }
        None
    }

    /// One more user.
    pub(super) fn another(&self) -> Self {
        self.refs.fetch_add(1, Relaxed);
        Self(self.0)
    }

    /// The buffer, for the table and for I/O.
    pub(super) fn as_ptr(&self) -> *mut Buf {
        self.0.as_ptr()
    }

    /// Gives the count to I/O.
    pub(super) fn into_raw(self) -> NonNull<Buf> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// Takes the count back.
    ///
    /// # Safety
    ///
    /// It comes from [`into_raw`](BufRef::into_raw), once.
    pub(super) unsafe fn from_raw(raw: NonNull<Buf>) -> Self {
        Self(raw)
    }
}

impl Deref for BufRef {
    type Target = Buf;

    #[inline]
    fn deref(&self) -> &Buf {
        // SAFETY: By the invariant, alive.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for BufRef {
    #[inline]
    fn drop(&mut self) {
        let buf: &Buf = self;
        let mut old = buf.refs.load(Relaxed);
        loop {
            let keep = buf.is_worth_keeping();
            if old == 1 && !keep {
                // The last user of something not worth keeping.
                match buf.refs.cmpxchg(1, DEAD, Full) {
                    Ok(_) => break,
                    Err(now) => old = now,
                }
                continue;
            }
            // Before the count goes: after that the buffer may be gone.
            if keep && buf.listed.load(Relaxed) == 0 && buf.listed.xchg(1, Full) == 0 {
                // SAFETY: A buffer that is listed is freed by the list's verdict, or below, where it
                // is taken off first.
                unsafe { buf.cache().lru.add(buf) };
            }
            match buf.refs.cmpxchg(old, old.wrapping_sub(1), Full) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
        if buf.listed.load(Relaxed) != 0 {
            buf.cache().lru.remove(buf);
        }
        buf.cache().table.remove(buf);
        // SAFETY: Dead, and in neither table nor list.
        unsafe { Buf::free(self.0) };
    }
}
