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
//! # Life of a buffer
//!
//! `refs` counts users; the hash table and the list count as none. A buffer dies when `refs` goes
//! from zero (the list takes it) or from its last user (it holds nothing worth keeping) to
//! [`DEAD`](buffer), which happens once and which no one who finds it in the table can undo. Then
//! it leaves table and list, and its memory is freed after a grace period.

mod buffer;
mod io;
mod table;

use self::{
    buffer::{
        Buf,
        BufRef, //
    },
    table::Table, //
};
use crate::{
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
    table: Table,
    lru: Pin<KBox<Lru<Buf>>>,
    completions: Arc<WorkQueue>,
    /// Reads ahead under way; teardown waits for them.
    ahead: Atomic<u32>,
}

impl Cache {
    /// An empty cache of `device`, which is `block_device`.
    ///
    /// Pinned in a box: buffers point back to it.
    pub(crate) fn new(
        device: Device,
        block_device: BlockDevice,
        geometry: Arc<Geometry>,
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
                table,
                lru,
                completions,
                ahead: Atomic::new(0),
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
        let buf = match self.table.find(runs) {
            Some(buf) => buf,
            None => {
                let new = Buf::new_locked(self, runs, kind)?;
                match self.table.insert(new) {
                    Ok(buf) => {
                        // Ours, new and locked.
                        buf.fill(kind)?;
                        return Ok(Block::new_downgraded(buf));
                    }
                    Err(found) => found,
                }
            }
        };
        buf.lock().lock_shared();
        if buf.is_valid() {
            let block = Block { buf };
            block.buf.verified_as(kind)?;
            block.buf.touch();
            return Ok(block);
        }
        buf.lock().unlock_shared();
        // A read failed, or was only ahead and gave up. Whoever comes first tries again.
        buf.lock().lock();
        if !buf.is_valid() {
            buf.fill(kind)?;
        }
        let block = Block::new_downgraded(buf);
        block.buf.verified_as(kind)?;
        Ok(block)
    }

    /// Starts to read a block that will be wanted soon.
    pub(crate) fn read_ahead(&self, run: Run, kind: Kind) {
        let runs = [run];
        if self.check(&runs).is_err() || self.table.contains(&runs) {
            return;
        }
        let Ok(new) = Buf::new_locked(self, &runs, kind) else {
            return;
        };
        if let Ok(buf) = self.table.insert(new) {
            buf.fill_ahead();
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
        // Reads ahead hold references; their completions let go of them.
        crate::rust::kernel::wait::wait_while(&self.ahead, u32::MAX);
        let left = self.drain();
        // Whoever holds a block borrows from the mount, which owns the cache.
        debug_assert!(left == 0);
    }
}

/// A block that is held: its lock, shared, and a count of it.
pub(crate) struct Block {
    // INVARIANT: Locked shared, and valid.
    buf: BufRef,
}

impl Block {
    /// Makes a holder of who filled the buffer, and has it locked exclusively.
    fn new_downgraded(buf: BufRef) -> Self {
        buf.lock().downgrade();
        Self { buf }
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: Locked shared, so no one writes to the memory.
        unsafe { self.buf.bytes() }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.buf.lock().unlock_shared();
    }
}
