// SPDX-License-Identifier: GPL-2.0

//! What memory knows of free space: the summary counters, and what each group keeps.
//!
//! Each CPU has a part of each counter. Only who takes what is nearly the last has to sum them up.
//!
//! Some blocks are kept for emergencies: transactions that must not fail when the file system is
//! full get them. They are not in the free counter, and what is freed fills them up first.

use super::log::Client;
use crate::{
    libxfs::{
        ag,
        error::{
            Error,
            Result, //
        },
        format::{
            geometry::Geometry,
            sb::{
                Counters,
                DiskSuperblock, //
            },
            units::{
                AgNumber,
                RtGroup,
                RtGroupBlock, //
            },
        },
        journal::{
            Claim,
            CommitSequence, //
        },
        space::{
            Busy,
            Group, //
        },
        trans::CounterDeltas,
    },
    rust::kernel::{
        nofs::NoFs,
        percpu_counter::PerCpuCounter, //
    },
};
use core::cmp::Ordering;
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SpinLock, //
    },
};
use zerocopy::FromBytes;

/// What a CPU keeps to itself of blocks and extents.
const BATCH: i32 = 1024;
/// What a CPU keeps to itself of inodes.
const INODE_BATCH: i32 = 128;
/// The most blocks that are kept for emergencies, and the part of all blocks that is. Source:
/// `xfs_default_resblks` in `fs/xfs/xfs_mount.c` of Linux 7.3.
const MOST_KEPT: u64 = 8192;
const KEPT_PART: u64 = 20;

/// A lock for each group.
type Locks<T> = KVVec<Pin<KBox<Mutex<T>>>>;

/// Blocks kept for emergencies.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// How many there should be.
    wanted: u64,
    left: u64,
}

/// Free space.
#[pin_data]
pub(crate) struct Space {
    geometry: Arc<Geometry>,
    #[pin]
    free_blocks: PerCpuCounter,
    #[pin]
    free_rt_extents: PerCpuCounter,
    #[pin]
    inodes: PerCpuCounter,
    #[pin]
    free_inodes: PerCpuCounter,
    /// Blocks of free-space trees, which count as free.
    tree_blocks: Atomic<i64>,
    #[pin]
    kept: SpinLock<Kept>,
    groups: Locks<Group>,
    rt_groups: Locks<Busy<RtGroupBlock>>,
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Takes `n` from a counter, unless less than `floor` is left.
fn take(counter: &PerCpuCounter, n: u64, floor: u64) -> bool {
    let near = i64::from(BATCH).saturating_mul(2);
    // Exact from there on, lest many think at once that they have the last.
    let batch = match counter.compare(near, BATCH) {
        Ordering::Less => 1,
        _ => BATCH,
    };
    counter.add(signed(n).saturating_neg(), batch);
    if counter.compare(signed(floor), BATCH) != Ordering::Less {
        return true;
    }
    counter.add(signed(n), batch);
    false
}

fn locks<T: Default + Send>(count: u32) -> kernel::error::Result<Locks<T>> {
    let mut all = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
    for _ in 0..count {
        let one = KBox::pin_init(new_mutex!(T::default(), "xfs_rust_group"), GFP_KERNEL)?;
        all.push(one, GFP_KERNEL)?;
    }
    Ok(all)
}

impl Space {
    /// The space of a file system, with counters to begin with.
    pub(crate) fn new(
        geometry: Arc<Geometry>,
        counters: Counters,
    ) -> kernel::error::Result<Arc<Self>> {
        let groups = locks(geometry.ag_count)?;
        let rt_groups = locks(geometry.rt_group_count)?;
        Arc::pin_init(
            try_pin_init!(Self {
                geometry,
                free_blocks <- PerCpuCounter::new(signed(counters.free_blocks)),
                free_rt_extents <- PerCpuCounter::new(signed(counters.free_rt_extents)),
                inodes <- PerCpuCounter::new(signed(counters.inodes)),
                free_inodes <- PerCpuCounter::new(signed(counters.free_inodes)),
                tree_blocks: Atomic::new(0),
                kept <- new_spinlock!(Kept::default(), "xfs_rust_kept"),
                groups,
                rt_groups,
            }? kernel::error::Error),
            GFP_KERNEL,
        )
    }

    /// Sets what was counted, before anyone takes anything. `tree_blocks` are those of free-space
    /// trees.
    pub(crate) fn set(&self, counters: Counters, tree_blocks: u64) {
        let change = |counter: &PerCpuCounter, to: u64| {
            counter.add(signed(to).saturating_sub(signed(counter.sum())), 1);
        };
        change(&self.free_blocks, counters.free_blocks);
        change(&self.free_rt_extents, counters.free_rt_extents);
        change(&self.inodes, counters.inodes);
        change(&self.free_inodes, counters.free_inodes);
        self.tree_blocks.store(signed(tree_blocks), Relaxed);
    }

    /// The counters, summed up.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            inodes: self.inodes.sum(),
            free_inodes: self.free_inodes.sum(),
            free_blocks: self.free_blocks.sum(),
            free_rt_extents: self.free_rt_extents.sum(),
        }
    }

    /// About the counters.
    pub(crate) fn rough_counters(&self) -> Counters {
        Counters {
            inodes: self.inodes.rough(),
            free_inodes: self.free_inodes.rough(),
            free_blocks: self.free_blocks.rough(),
            free_rt_extents: self.free_rt_extents.rough(),
        }
    }

    /// Free blocks that no file can have: what the free-space trees take and might take yet.
    pub(crate) fn unavailable(&self) -> u64 {
        let trees = self.tree_blocks.load(Relaxed);
        ag::set_aside(&self.geometry).saturating_add(u64::try_from(trees).unwrap_or(0))
    }

    /// Blocks that are kept for emergencies: how many there should be, and how many there are.
    pub(crate) fn kept(&self) -> (u64, u64) {
        let kept = self.kept.lock();
        (kept.wanted, kept.left)
    }

    /// Begins to keep blocks for emergencies.
    pub(crate) fn keep(&self) {
        let wanted = (self.geometry.data_blocks / KEPT_PART).min(MOST_KEPT);
        let free = self.free_blocks.sum().saturating_sub(self.unavailable());
        let mut left = wanted.min(free);
        if !take(&self.free_blocks, left, self.unavailable()) {
            left = 0;
        }
        *self.kept.lock() = Kept { wanted, left };
    }

    /// Keeps none any more.
    pub(crate) fn let_go(&self) {
        let kept = core::mem::take(&mut *self.kept.lock());
        self.free_blocks.add(signed(kept.left), BATCH);
    }

    /// See [`Journal::claim`](crate::libxfs::journal::Journal::claim).
    pub(crate) fn claim(&self, claim: Claim) -> Result {
        let blocks = claim.blocks;
        if blocks != 0 && !take(&self.free_blocks, blocks, self.unavailable()) {
            let mut kept = self.kept.lock();
            let left = kept.left.checked_sub(blocks);
            let left = left.filter(|_| claim.emergency).ok_or(Error::NoSpace)?;
            kept.left = left;
        }
        let extents = claim.rt_extents;
        if extents != 0 && !take(&self.free_rt_extents, extents, 0) {
            self.give_blocks(signed(blocks));
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    /// See [`Journal::settle`](crate::libxfs::journal::Journal::settle).
    pub(crate) fn settle(&self, deltas: &CounterDeltas) {
        if deltas.is_empty() {
            return;
        }
        let add = |counter: &PerCpuCounter, n: i64, batch| {
            if n != 0 {
                counter.add(n, batch);
            }
        };
        self.give_blocks(deltas.free_blocks);
        add(&self.free_rt_extents, deltas.free_rt_extents, BATCH);
        add(&self.inodes, deltas.inodes, INODE_BATCH);
        add(&self.free_inodes, deltas.free_inodes, INODE_BATCH);
        if deltas.alloc_tree_blocks != 0 {
            self.tree_blocks
                .fetch_add(deltas.alloc_tree_blocks, Relaxed);
        }
    }

    /// Adds free blocks, of which those kept for emergencies are filled up first.
    fn give_blocks(&self, n: i64) {
        let mut rest = n;
        if let Ok(given) = u64::try_from(n) {
            if given == 0 {
                return;
            }
            let mut kept = self.kept.lock();
            let missing = kept.wanted.saturating_sub(kept.left).min(given);
            kept.left = kept.left.saturating_add(missing);
            rest = rest.saturating_sub(signed(missing));
        }
        if rest != 0 {
            self.free_blocks.add(rest, BATCH);
        }
    }

    /// See [`Journal::with_group`](crate::libxfs::journal::Journal::with_group).
    pub(crate) fn with_group<R>(&self, ag: AgNumber, f: impl FnOnce(&mut Group) -> R) -> Result<R> {
        let group = self.groups.get(ag.0 as usize).ok_or(Error::Invalid)?;
        // Work that ends records takes this lock: no one may wait for the log with it.
        let _nofs = NoFs::new();
        Ok(f(&mut group.lock()))
    }

    /// See [`Journal::with_rt_group`](crate::libxfs::journal::Journal::with_rt_group).
    pub(crate) fn with_rt_group<R>(
        &self,
        group: RtGroup,
        f: impl FnOnce(&mut Busy<RtGroupBlock>) -> R,
    ) -> Result<R> {
        let group = self.rt_groups.get(group.0 as usize).ok_or(Error::Invalid)?;
        let _nofs = NoFs::new();
        Ok(f(&mut group.lock()))
    }

    /// Blocks that are free on the disk, and not in the free counter.
    fn hidden(&self) -> u64 {
        let kept = self.kept.lock().left;
        self.groups.iter().fold(kept, |sum, group| {
            let group = group.lock();
            let hidden = group.metadata.hidden().saturating_add(group.rmap.hidden());
            sum.saturating_add(hidden.into())
        })
    }
}

impl Client for Space {
    fn stable(&self, sequence: u64) {
        let _nofs = NoFs::new();
        let sequence = CommitSequence(sequence);
        for group in &self.groups {
            group.lock().busy.settle(sequence);
        }
        for busy in &self.rt_groups {
            busy.lock().settle(sequence);
        }
    }

    fn summarize(&self, superblock: &mut [u8]) {
        let counters = self.counters();
        let free_blocks = counters.free_blocks.saturating_add(self.hidden());
        let Ok((disk, _)) = DiskSuperblock::mut_from_prefix(superblock) else {
            return;
        };
        disk.icount.set(counters.inodes);
        disk.ifree.set(counters.free_inodes.min(counters.inodes));
        disk.fdblocks.set(free_blocks);
        disk.frextents.set(counters.free_rt_extents);
        // What is changed is not counted in any quota: whoever turns quota on counts anew.
        disk.qflags.set(0);
    }
}
