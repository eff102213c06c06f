// SPDX-License-Identifier: GPL-2.0

//! The hash table of buffers.
//!
//! A bucket is one word: the first buffer of a chain, and in its lowest bit a spin lock for those
//! who change the chain. Those who look take no lock: they walk under RCU, and take a count of what
//! they find unless it is dead already.

use super::buffer::{
    Buf,
    BufRef,
    NewBuf, //
};
use crate::{
    libxfs::store::Run,
    rust::bindings, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        rcu, //
    },
};

/// The bit of a bucket that locks it. Buffers are aligned to more.
const LOCK: usize = 1;

/// Buffers by address and length.
pub(super) struct Table {
    buckets: KVVec<Atomic<usize>>,
    /// How far a hash is shifted right to become an index.
    shift: u32,
}

impl Table {
    const MIN_LOG: u32 = 10;
    const MAX_LOG: u32 = 16;

    /// An empty table for a device of `sectors`: a bucket for each 128 KiB of it, within bounds.
    pub(super) fn new(sectors: u64) -> Result<Self> {
        let log = (sectors >> 8)
            .checked_ilog2()
            .unwrap_or(0)
            .clamp(Self::MIN_LOG, Self::MAX_LOG);
        let count = 1_usize << log;
        let mut buckets = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            buckets.push(Atomic::new(0), GFP_KERNEL)?;
        }
        Ok(Self {
            buckets,
            shift: u64::BITS.wrapping_sub(log),
        })
    }

    fn bucket(&self, at: u64) -> &Atomic<usize> {
        // The multiplier is 2^64 over the golden ratio: it spreads neighbours.
        let hash = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        // As many bits are left of it as it takes to number the buckets.
        #[allow(clippy::indexing_slicing)]
        &self.buckets[hash as usize]
    }

    /// Finds a buffer, and takes a count of it.
    #[inline]
    pub(super) fn find(&self, runs: &[Run]) -> Option<BufRef> {
        let (at, len) = key(runs)?;
        let _rcu = rcu::read_lock();
        Self::find_in(self.bucket(at), at, len)
    }

    /// Whether there is such a buffer.
    pub(super) fn contains(&self, runs: &[Run]) -> bool {
        self.find(runs).is_some()
    }

    /// Walks a chain. The caller is in an RCU read section, or holds the bucket's lock.
    fn find_in(bucket: &Atomic<usize>, at: u64, len: u32) -> Option<BufRef> {
        let mut next = (bucket.load(Acquire) & !LOCK) as *mut Buf;
        while let Some(buf) = NonNull::new(next) {
            // SAFETY: What is in the table is freed a grace period after it left it.
            let buf = unsafe { buf.as_ref() };
            if buf.key() == (at, len) && buf.is_findable() {
                // A dead one may lie before its successor, or behind it.
                if let Some(found) = BufRef::try_new(buf) {
                    return Some(found);
                }
            }
            next = buf.next.load(Acquire);
        }
        None
    }

    /// Puts a buffer in, unless there is one of its name, or one of another length at its address
    /// that someone changes.
    pub(super) fn insert(&self, new: NewBuf) -> core::result::Result<BufRef, Occupied> {
        let (at, len) = new.buf().key();
        let bucket = self.bucket(at);
        let chain = Chain::lock(bucket);
        if let Some(found) = Self::find_in(bucket, at, len) {
            return Err(Occupied::Same(found));
        }
        if chain
            .aliases(at, len)
            .any(|buf| buf.is_findable() && buf.is_taken())
        {
            return Err(Occupied::Alias);
        }
        let new = new.publish();
        new.next.store(chain.first(), Relaxed);
        chain.set_first(new.as_ptr());
        Ok(new)
    }

    /// A buffer of another length at the address of `buf`, of which something might be left.
    pub(super) fn alias(&self, buf: &Buf) -> Option<BufRef> {
        let (at, len) = buf.key();
        let chain = Chain::lock(self.bucket(at));
        let alias =
            chain
                .aliases(at, len)
                .find_map(|buf| match buf.is_findable() && !buf.is_stale() {
                    true => BufRef::try_new(buf),
                    false => None,
                });
        drop(chain);
        alias
    }

    /// A buffer that `is_wanted`, whichever is found first.
    pub(super) fn any(&self, is_wanted: impl Fn(&Buf) -> bool) -> Option<BufRef> {
        self.buckets.iter().find_map(|bucket| {
            // Seen without the lock: who calls is alone, or content with what was there.
            if bucket.load(Acquire) & !LOCK == 0 {
                return None;
            }
            let chain = Chain::lock(bucket);
            let found = chain.iter().find(|buf| is_wanted(buf));
            let found = found.and_then(BufRef::try_new);
            drop(chain);
            found
        })
    }

    /// Takes a buffer out that is in and dead; one that was never in is not there, either.
    pub(super) fn remove(&self, buf: &Buf) {
        let chain = Chain::lock(self.bucket(buf.key().0));
        let gone: *const Buf = buf;
        let after = buf.next.load(Relaxed);
        let mut at = chain.first();
        if core::ptr::eq(at, gone) {
            chain.set_first(after);
            return;
        }
        while let Some(here) = NonNull::new(at) {
            // SAFETY: In the chain, which is locked.
            let here = unsafe { here.as_ref() };
            at = here.next.load(Relaxed);
            if core::ptr::eq(at, gone) {
                // Readers that stand on `buf` still find their way out of it.
                here.next.store(after, Release);
                return;
            }
        }
    }
}

/// Why a buffer does not go into the table.
pub(super) enum Occupied {
    /// There is one of its name.
    Same(BufRef),
    /// There is another one at its address, which is or may be changed.
    Alias,
}

/// The name of a block: its first address and its length, in basic blocks.
fn key(runs: &[Run]) -> Option<(u64, u32)> {
    let first = runs.first()?;
    let len = runs
        .iter()
        .fold(0_u32, |sum, run| sum.wrapping_add(run.len));
    Some((first.at.0, len))
}

/// A chain that is locked.
struct Chain<'a>(&'a Atomic<usize>);

impl<'a> Chain<'a> {
    fn lock(bucket: &'a Atomic<usize>) -> Self {
        // SAFETY: The word is alive, and its lowest bit is a lock alone.
        unsafe { bindings::bit_spin_lock(0, bucket.as_ptr().cast()) };
        Self(bucket)
    }

    /// All buffers of the chain, dead ones too.
    fn iter(&self) -> impl Iterator<Item = &Buf> {
        // SAFETY: What is in a chain that is locked stays there, and so alive.
        let deref = |buf: *mut Buf| unsafe { buf.as_ref() };
        core::iter::successors(deref(self.first()), move |buf| {
            deref(buf.next.load(Relaxed))
        })
    }

    /// Those at an address with other lengths.
    fn aliases(&self, at: u64, len: u32) -> impl Iterator<Item = &Buf> {
        self.iter()
            .filter(move |buf| buf.key().0 == at && buf.key().1 != len)
    }

    fn first(&self) -> *mut Buf {
        (self.0.load(Relaxed) & !LOCK) as *mut Buf
    }

    fn set_first(&self, buf: *mut Buf) {
        // Release: who finds the buffer finds it whole.
        self.0.store(buf as usize | LOCK, Release);
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        // SAFETY: Locked by us.
        unsafe { bindings::bit_spin_unlock(0, self.0.as_ptr().cast()) };
    }
}
