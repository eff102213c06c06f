// SPDX-License-Identifier: GPL-2.0

//! The committed item list (CIL): what the next checkpoint will have.
//!
//! Whoever commits holds the list shared, and puts the items that are new to the checkpoint on the
//! stack of its CPU. One word counts commits and bytes: what it said before tells each commit both
//! its place in the order of the log, and what its bytes cost beyond those that were there. A push
//! holds the list alone, for as long as it takes to collect the items.

use super::{
    item::{
        Item,
        Pending, //
    },
    patience::patiently,
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        log::space::RecordLayout,
        trans::LogReservation,
    },
    rust::kernel::{
        rwsem::{
            ReadGuard,
            RwSemaphore, //
        },
        stack::Stack,
        wait, //
    },
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    prelude::*,
    static_lock_class,
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
};

/// Bits of an item's order that number it within its commit.
const ORDER_SHIFT: u32 = 20;
/// Half of the word in [`Context`] that counts commits.
const COMMITS_SHIFT: u32 = 32;

/// The items of one CPU, in lines of the cache of their own.
#[repr(align(128))]
struct Shard {
    new: Stack<Item>,
    /// How many are on the stack.
    len: Atomic<u32>,
}

/// What is being committed to.
pub(super) struct Context {
    /// Number of the checkpoint that this will be.
    pub(super) sequence: u64,
    shards: KVVec<Shard>,
    /// Commits in the upper half, bytes of regions and their headers in the lower.
    sums: Atomic<u64>,
}

/// An item of a checkpoint.
pub(super) struct Entry {
    order: u64,
    pub(super) item: Arc<Item>,
    pub(super) pending: Pending,
}

/// All that a checkpoint has.
pub(super) struct Collected {
    pub(super) sequence: u64,
    /// In the order of the log.
    pub(super) entries: KVVec<Entry>,
    /// Bytes of their regions, with headers.
    pub(super) bytes: u32,
}

/// The list.
#[pin_data]
pub(super) struct Cil {
    #[pin]
    context: RwSemaphore<Context>,
    layout: RecordLayout,
    /// Bytes from which on it is pushed in the background.
    limit: u32,
    /// Not 0 while there is so much that no one may begin to add more.
    full: Atomic<u32>,
    /// The number of the checkpoint that is being committed to.
    sequence: Atomic<u64>,
}

impl Cil {
    /// An empty list of a log of `size` bytes. It is pushed from an eighth of the log on, and at the
    /// latest from 32 MiB; at twice that it takes no more.
    /// Source: `XLOG_CIL_SPACE_LIMIT` in `fs/xfs/xfs_log_priv.h` of Linux 7.3.
    pub(super) fn new(size: u32, layout: RecordLayout) -> Result<impl PinInit<Self>> {
        let cpus = nr_cpu_ids().max(1);
        let mut shards = KVVec::with_capacity(cpus as usize, GFP_KERNEL)?;
        for _ in 0..cpus {
            let shard = Shard {
                new: Stack::new(),
                len: Atomic::new(0),
            };
            shards.push(shard, GFP_KERNEL)?;
        }
        let context = Context {
            sequence: 1,
            shards,
            sums: Atomic::new(0),
        };
        let limit = (size >> 3).clamp(1, 32 << 20);
        Ok(pin_init!(Self {
            context <- RwSemaphore::new(context, c"xfs_rust_cil", static_lock_class!()),
            layout,
            limit,
            full: Atomic::new(0),
            sequence: Atomic::new(1),
        }))
    }

    /// Holds the list, to commit to it.
    pub(super) fn open(&self) -> Open<'_> {
        Open {
            context: self.context.read(),
            cil: self,
        }
    }

    /// The number of the checkpoint that is being committed to.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Acquire)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.context.read().sums.load(Relaxed) >> COMMITS_SHIFT == 0
    }

    /// Waits while there is so much in it that it must be pushed first.
    pub(super) fn throttle(&self) {
        if self.full.load(Relaxed) != 0 {
            wait::wait_while(&self.full, u32::MAX);
        }
    }

    /// Lets all in, whatever there is in it.
    pub(super) fn relax(&self) {
        self.full.store(0, Release);
        wait::wake(&self.full);
    }

    /// Log space that so many bytes of regions and headers take.
    fn cost(&self, bytes: u32) -> u32 {
        match bytes {
            0 => 0,
            _ => self.layout.reservation(bytes),
        }
    }

    /// Log space that was spent on so many bytes.
    pub(super) fn spent(&self, bytes: u32) -> u32 {
        self.cost(bytes)
    }

    /// Ends the context, and takes all that is in it; `None` where that is nothing.
    ///
    /// # Errors
    ///
    /// `NoMemory`; nothing is taken then.
    pub(super) fn collect(&self) -> Result<Option<Collected>> {
        let mut entries: KVVec<Entry> = KVVec::new();
        let mut context = loop {
            let wanted = self.context.read().len();
            patiently(|| Ok(entries.reserve(wanted, GFP_KERNEL)?))?;
            let context = self.context.write();
            if context.len() <= entries.capacity() {
                break context;
            }
        };
        let sums = context.sums.xchg(0, Full);
        if sums >> COMMITS_SHIFT == 0 {
            return Ok(None);
        }
        for shard in &context.shards {
            shard.len.store(0, Relaxed);
            for item in shard.new.take() {
                let pending = {
                    let mut state = item.state.lock();
                    let pending = state.pending.take();
                    if pending.is_some() {
                        state.under_way = state.under_way.saturating_add(1);
                    }
                    pending
                };
                let Some(pending) = pending else { continue };
                let order = item.order.load(Relaxed);
                let entry = Entry {
                    order,
                    item,
                    pending,
                };
                if entries.push_within_capacity(entry).is_err() {
                    // There was room for all that were counted.
                    return Err(Error::Invalid);
                }
            }
        }
        let sequence = context.sequence;
        context.sequence = sequence.saturating_add(1);
        self.sequence.store(context.sequence, Release);
        drop(context);
        self.relax();
        entries.sort_unstable_by_key(|entry| entry.order);
        Ok(Some(Collected {
            sequence,
            entries,
            bytes: sums as u32,
        }))
    }
}

impl Context {
    /// How many items it has.
    fn len(&self) -> usize {
        let lens = self.shards.iter().map(|shard| shard.len.load(Relaxed));
        lens.fold(0_usize, |sum, len| sum.saturating_add(len as usize))
    }
}

/// What a commit has to do once the list is no longer held.
pub(super) struct Added {
    /// The checkpoint that it went to.
    pub(super) sequence: u64,
    /// Log space that it takes more, or less, than before.
    pub(super) cost: i64,
    /// Whether the list should be pushed.
    pub(super) push: bool,
}

/// The list, held by someone who commits.
pub(super) struct Open<'a> {
    context: ReadGuard<'a, Context>,
    cil: &'a Cil,
}

impl Open<'_> {
    /// Adds an item that was not pending.
    pub(super) fn add(&self, item: Arc<Item>) {
        let shards = &self.context.shards;
        let cpu = CpuId::current().as_u32() as usize;
        let Some(shard) = shards.get(cpu).or_else(|| shards.first()) else {
            return;
        };
        // Counted first: who collects makes room for as many.
        shard.len.fetch_add(1, Relaxed);
        shard.new.push(item);
    }

    /// Counts a commit that has brought `bytes` more than were there, or fewer.
    pub(super) fn count(&self, bytes: i64) -> (u64, Added) {
        let amount = (1_u64 << COMMITS_SHIFT).wrapping_add_signed(bytes);
        let before = self.context.sums.fetch_add(amount, Relaxed);
        let (commits, before) = (before >> COMMITS_SHIFT, before as u32);
        let after = before.wrapping_add_signed(bytes as i32);
        let cil = self.cil;
        if after >= cil.limit.saturating_mul(2) {
            cil.full.store(1, Relaxed);
        }
        let added = Added {
            sequence: self.context.sequence,
            cost: i64::from(cil.cost(after)).saturating_sub(i64::from(cil.cost(before))),
            push: after >= cil.limit,
        };
        (commits.saturating_add(1) << ORDER_SHIFT, added)
    }
}

/// The log space of a change of the superblock alone, which covers an idle log.
pub(super) const fn superblock_reservation(sector: u32) -> LogReservation {
    LogReservation {
        bytes: sector.saturating_add(128),
        count: 1,
        permanent: false,
    }
}
