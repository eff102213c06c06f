// SPDX-License-Identifier: GPL-2.0

//! The buffer cache: metadata blocks of one device, in memory.
//!
//! A block is a [`Buf`](buffer::Buf), named by its first address and its length. It is found in a
//! hash table under RCU, with no lock and one atomic operation; it is filled under its own lock, so
//! that all who miss the same block at once wait for one read; and it is verified once, as the
//! [`Kind`] that its reader says it is. Whoever holds a block ([`Block`]) holds its lock shared.
//!
//! A block that no one uses stays, on a list that shrinks when memory is short.
//!
//! # Changes
//!
//! Who changes a block ([`Locked`]) holds its lock exclusively. A block with changes, one that the
//! log [pins](Locked::pin) and one in a [`WriteList`] each hold a count, so the list never takes
//! them. Changes go to the device by [writing](write) the block under its lock, or nowhere: where it
//! was [invalidated](Locked::invalidate), or the file system was shut down.
//!
//! # One address, one block that changes
//!
//! A block is found by address and length, and both change when space is freed and used for
//! something else. While a block is or may be changed, no other one at its address is in the cache:
//! whoever locks it to change it expels clean ones of other lengths, and if one of those is in use,
//! or changed itself, two structures claim the space, which is corruption. The same is said to
//! whoever asks for another length while there are changes. Clean ones may lie side by side.
//! Blocks that overlap elsewhere than at their first address are kept apart by libxfs, which
//! invalidates what it frees.
//!
//! # Life of a buffer
//!
//! `refs` counts users; the hash table and the list count as none. A buffer dies when `refs` goes
//! from zero (the list takes it) or from its last user (it holds nothing worth keeping) to
//! [`DEAD`](buffer), which happens once and which no one who finds it in the table can undo. Then
//! it leaves table and list, and its memory is freed after a grace period.

mod buffer;
mod io;
mod list;
mod locked;
mod owning;
mod table;
mod watcher;
mod write;

pub(crate) use self::{
    list::{
        Skipped,
        WriteList, //
    },
    locked::{
        Held,
        Invalidated,
        Locked,
        Pinned, //
    },
    watcher::{
        Outcome,
        Watcher, //
    },
};

use self::{
    buffer::{
        Buf,
        BufRef, //
    },
    table::{
        Occupied,
        Table, //
    },
};
use crate::{
    fs::health::Health,
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            geometry::Geometry,
            kind::Kind,
            units::BASIC_BLOCK_SIZE, //
        },
        store::{
            Device,
            Run, //
        },
    },
    rust::kernel::{
        block_device::BlockDevice,
        lru::Lru,
        workqueue::WorkQueue, //
    },
};
use core::ops::Deref;
use kernel::{
    prelude::{
        KBox,
        Pin,
        GFP_KERNEL, //
    },
    str::CStr,
    sync::{
        atomic::Atomic,
        Arc, //
    },
};

/// The longest block, in bytes. Directory blocks and inode clusters take up to 64 KiB, and nothing
/// takes more than a few of that.
const MAX_BYTES: u32 = 1 << 20;

/// The metadata blocks of a device.
pub(crate) struct Cache {
    device: Device,
    block_device: BlockDevice,
    geometry: Arc<Geometry>,
    health: Arc<Health>,
    table: Table,
    lru: Pin<KBox<Lru<Buf>>>,
    completions: Arc<WorkQueue>,
    /// I/O under way that no one but a work item ends; teardown waits for it.
    under_way: Atomic<u32>,
    /// For tests: how many of the next writes fail, and with what errno.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    failing_writes: [Atomic<u32>; 2],
}

impl Cache {
    /// An empty cache of `device`, which is `block_device`.
    ///
    /// Pinned in a box: buffers point back to it.
    pub(crate) fn new(
        device: Device,
        block_device: BlockDevice,
        geometry: Arc<Geometry>,
        health: Arc<Health>,
        completions: Arc<WorkQueue>,
        name: &CStr,
    ) -> kernel::error::Result<Pin<KBox<Self>>> {
        let table = Table::new(block_device.sectors())?;
        let lru = Lru::new(c"xfs_rust-buf:%s", name)?;
        let cache = KBox::new(
            Self {
                device,
                block_device,
                geometry,
                health,
                table,
                lru,
                completions,
                under_way: Atomic::new(0),
                #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
                failing_writes: [Atomic::new(0), Atomic::new(0)],
            },
            GFP_KERNEL,
        )?;
        Ok(cache.into())
    }

    /// The device behind it.
    pub(crate) fn block_device(&self) -> BlockDevice {
        self.block_device
    }

    /// Reads the block made of `runs`, from memory where it can; see
    /// [`Store::read_runs`](crate::libxfs::store::Store::read_runs).
    pub(crate) fn read(&self, runs: &[Run], kind: Kind) -> Result<Block> {
        self.check(runs)?;
        loop {
            let buf = match self.find(runs, kind)? {
                Found::New(mut locked) => {
                    locked.fill(kind)?;
                    return Ok(locked.into_shared());
                }
                Found::Here(buf) => buf,
            };
            buf.lock().lock_shared();
            let block = Block { buf };
            if block.buf.is_valid() && block.buf.lies_at(runs) {
                block.buf.verified_as(kind)?;
                block.buf.touch();
                return Ok(block);
            }
            // A read failed, or was only ahead and gave up; or the block was given up. Whoever comes
            // first tries again.
            let buf = block.buf.another();
            drop(block);
            let Some(mut locked) = self.reuse(Locked::wait_for(buf), runs)? else {
                continue;
            };
            if !locked.buf.is_valid() {
                locked.fill(kind)?;
            }
            let block = locked.into_shared();
            block.buf.verified_as(kind)?;
            return Ok(block);
        }
    }

    /// Starts to read a block that will be wanted soon.
    pub(crate) fn read_ahead(&self, run: Run, kind: Kind) {
        let runs = [run];
        if self.check(&runs).is_err() || self.table.contains(&runs) {
            return;
        }
        if let Ok(Found::New(locked)) = self.find(&runs, kind) {
            locked.fill_ahead();
        }
    }

    /// Finds a buffer, or makes one.
    fn find(&self, runs: &[Run], kind: Kind) -> Result<Found> {
        if let Some(buf) = self.table.find(runs) {
            return Ok(Found::Here(buf));
        }
        let new = Buf::new_locked(self, runs, kind, 0)?;
        match self.table.insert(new) {
            Ok(buf) => Ok(Found::New(Locked::adopt(buf))),
            Err(Occupied::Same(buf)) => Ok(Found::Here(buf)),
            Err(Occupied::Alias) => Err(self.overlap(runs)),
        }
    }

    /// Refuses what cannot be a block, before anything is made for it.
    fn check(&self, runs: &[Run]) -> Result {
        let sectors = self.block_device.sectors();
        let mut total = 0_u32;
        for run in runs {
            let end = run.at.0.checked_add(u64::from(run.len));
            if run.len == 0 || end.is_none_or(|end| end > sectors) {
                return Err(Error::Invalid);
            }
            total = total.checked_add(run.len).ok_or(Error::Invalid)?;
        }
        if total == 0 || total > MAX_BYTES / BASIC_BLOCK_SIZE {
            return Err(Error::Invalid);
        }
        Ok(())
    }

    /// The shrinker of blocks that no one uses, for tests.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    pub(crate) fn shrinker(&self) -> core::ptr::NonNull<crate::rust::bindings::shrinker> {
        self.lru.shrinker()
    }

    /// Frees what no one uses: all blocks but those in use. Returns how many of them are left.
    pub(crate) fn drain(&self) -> u64 {
        self.lru.drain()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What is under way holds references; its end lets go of them.
        crate::rust::kernel::wait::wait_while(&self.under_way, u32::MAX);
        self.forget_changes();
        let left = self.drain();
        // Whoever holds a block borrows from the mount, which owns the cache.
        debug_assert!(left == 0);
    }
}

/// What looking for a buffer comes to.
enum Found {
    /// There is one.
    Here(BufRef),
    /// There is one now, empty, and we have it locked.
    New(Locked),
}

/// A block that is held: its lock, shared, and a count of it.
pub(crate) struct Block {
    // INVARIANT: Locked shared, and valid where one of these is outside this module.
    buf: BufRef,
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: Valid and locked shared, so no one writes to the memory.
        unsafe { self.buf.bytes() }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.buf.lock().unlock_shared();
    }
}
