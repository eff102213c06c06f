// SPDX-License-Identifier: GPL-2.0

//! Work that was asked for, and work that was promised.

use super::execute::{execute, Structures};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        btree::{Owner, RmapFlags},
        geometry::Geometry,
        units::FileBlock,
    },
    items::{
        AttrUpdate, BmapUpdate, Exchange, ExtentFree, IntentId, Item, RefcountUpdate,
        RefcountUpdateKind, RmapUpdate, RmapUpdateKind, Work,
    },
    journal::{Journal, Shutdown},
    store::Device,
    trans::Trans,
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// The most extents of one intent, but for maps, where it is one. Source: `XFS_*_MAX_FAST_EXTENTS`
/// in the `fs/xfs/*_item.h` of Linux 7.3.
const MOST_PARTS: usize = 16;

/// Work of which the log has an intent, and no done item.
struct Promise {
    intent: IntentId,
    work: Work,
}

/// The work of a chain.
pub struct Deferred<'a, J: Journal> {
    journal: &'a J,
    /// What the present transaction asked for, in that order. The log knows nothing of it yet.
    asked: KVec<Work>,
    /// What the log knows of; the last one is done next.
    promised: KVec<Promise>,
    /// How many of these, the last ones, recovery found.
    recovered: usize,
    /// Whether what was asked waits for these.
    waits: bool,
    /// Whether work was begun whose done item is not logged.
    begun: bool,
}

impl<'a, J: Journal> Deferred<'a, J> {
    pub(super) fn new(journal: &'a J) -> Self {
        Self {
            journal,
            asked: KVec::new(),
            promised: KVec::new(),
            recovered: 0,
            waits: false,
            begun: false,
        }
    }

    pub(super) fn resume(journal: &'a J, intents: KVec<(IntentId, Work)>) -> Result<Self> {
        let mut deferred = Self::new(journal);
        deferred.promised.reserve(intents.len(), GFP_KERNEL)?;
        deferred.recovered = intents.len();
        for (intent, work) in intents {
            deferred
                .promised
                .push(Promise { intent, work }, GFP_KERNEL)?;
        }
        // The oldest is done first.
        deferred.promised.as_mut_slice().reverse();
        Ok(deferred)
    }

    /// Asks that an extent be freed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn free_extent(&mut self, device: Device, extent: ExtentFree) -> Result {
        let geo = self.journal.geometry();
        let group = |extent: &ExtentFree| group(geo, device, extent.start);
        match self.asked.last_mut() {
            Some(Work::ExtentFree(of, extents)) if *of == device && extents.len() < MOST_PARTS => {
                add(extents, extent, group)
            }
            _ => {
                let work = Work::ExtentFree(device, one(extent)?);
                self.ask(work)
            }
        }
    }

    /// Asks that a reverse mapping be changed. Where there are none, nothing is asked.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn update_rmap(&mut self, device: Device, update: RmapUpdate) -> Result {
        let geo = self.journal.geometry();
        if !geo.features.rmapbt() {
            return Ok(());
        }
        let group = |update: &RmapUpdate| group(geo, device, update.start);
        match self.asked.last_mut() {
            Some(Work::RmapUpdate(of, updates)) if *of == device && updates.len() < MOST_PARTS => {
                add(updates, update, group)
            }
            _ => {
                let work = Work::RmapUpdate(device, one(update)?);
                self.ask(work)
            }
        }
    }

    /// Asks that reference counts be changed. Blocks that lose their last owner are freed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn update_refcount(&mut self, device: Device, update: RefcountUpdate) -> Result {
        let geo = self.journal.geometry();
        let group = |update: &RefcountUpdate| group(geo, device, update.start);
        match self.asked.last_mut() {
            Some(Work::RefcountUpdate(of, updates))
                if *of == device && updates.len() < MOST_PARTS =>
            {
                add(updates, update, group)
            }
            _ => {
                let work = Work::RefcountUpdate(device, one(update)?);
                self.ask(work)
            }
        }
    }

    /// Asks that a fork's map be changed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn update_bmap(&mut self, update: BmapUpdate) -> Result {
        self.ask(Work::BmapUpdate(update))
    }

    /// Asks that an attribute or a parent pointer be changed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn update_attr(&mut self, update: AttrUpdate) -> Result {
        self.ask(Work::AttrUpdate(update))
    }

    /// Asks that two files exchange the mappings of a range.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn exchange(&mut self, exchange: Exchange) -> Result {
        self.ask(Work::Exchange(exchange))
    }

    /// Asks that an extent, which was just allocated, begin to stage a copy on write; its owner is
    /// then [`Owner::Cow`].
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn alloc_cow(&mut self, device: Device, start: u64, count: u32) -> Result {
        let kind = RefcountUpdateKind::AllocCow;
        self.update_refcount(device, RefcountUpdate { kind, start, count })?;
        self.update_rmap(device, cow(RmapUpdateKind::Alloc, start, count))
    }

    /// Asks that an extent no longer stage a copy on write: it was mapped, or is to be freed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn free_cow(&mut self, device: Device, start: u64, count: u32) -> Result {
        let kind = RefcountUpdateKind::FreeCow;
        self.update_rmap(device, cow(RmapUpdateKind::Free, start, count))?;
        self.update_refcount(device, RefcountUpdate { kind, start, count })
    }

    fn ask(&mut self, work: Work) -> Result {
        self.asked.push(work, GFP_KERNEL)?;
        Ok(())
    }

    /// Bytes of the log that intents for what was asked will take, without headers.
    pub(super) fn asked_bytes(&self) -> u32 {
        self.asked
            .iter()
            .fold(0, |sum: u32, work| sum.saturating_add(work.log_bytes()))
    }

    /// Whether recovery found what is done now: some of it may be done already.
    pub(super) fn is_recovered(&self) -> bool {
        self.waits
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.promised.is_empty()
    }

    /// Goes on with the chain's next transaction in the middle of what it does. Intents of what was
    /// asked so far are logged first, since a crash may come in between.
    ///
    /// # Errors
    ///
    /// `NoMemory`, and those of [`Trans::roll`].
    pub fn roll(&mut self, trans: &mut Trans<'_, J>) -> Result {
        self.promise(trans)?;
        trans.roll()
    }

    /// Logs intents for what was asked; whether there was anything.
    pub(super) fn promise(&mut self, trans: &mut Trans<'_, J>) -> Result<bool> {
        let asked = core::mem::replace(&mut self.asked, KVec::new());
        let any = !asked.is_empty();
        self.promised.reserve(asked.len(), GFP_KERNEL)?;
        let before = self.promised.len();
        for work in asked {
            let intent = trans.intend(work.try_clone()?)?;
            let promise = Promise { intent, work };
            if self.waits {
                // It is done after all that is there.
                self.promised
                    .insert_within_capacity(0, promise)
                    .map_err(|_| Error::NoMemory)?;
            } else {
                self.promised.push(promise, GFP_KERNEL)?;
            }
        }
        if !self.waits {
            if let Some(new) = self.promised.as_mut_slice().get_mut(before..) {
                new.reverse();
            }
        }
        Ok(any)
    }

    /// Logs those intents anew that have been in the log for too long; whether there were any.
    pub(super) fn renew_old(&mut self, trans: &mut Trans<'_, J>) -> Result<bool> {
        let journal = self.journal;
        self.renew(trans, |promise| journal.is_old(promise.intent))
    }

    /// Logs some intents anew, those that are done first before the others.
    fn renew(
        &mut self,
        trans: &mut Trans<'_, J>,
        wanted: impl Fn(&Promise) -> bool,
    ) -> Result<bool> {
        let mut any = false;
        for promise in self.promised.as_mut_slice().iter_mut().rev() {
            if wanted(promise) {
                trans.log(Item::Done(promise.intent, promise.work.try_clone()?))?;
                promise.intent = trans.intend(promise.work.try_clone()?)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Does what is to be done next, as far as the transaction goes.
    pub(super) fn perform<S: Structures<J>>(
        &mut self,
        trans: &mut Trans<'_, J>,
        on: &mut S,
    ) -> Result {
        let Some(Promise { intent, work }) = self.promised.pop() else {
            return Ok(());
        };
        self.begun = true;
        self.waits = self.recovered != 0;
        let rest = execute(trans, self, on, &work)?;
        self.settle(trans, Promise { intent, work }, rest)?;
        self.begun = false;
        Ok(())
    }

    /// Logs that work was done, and promises the rest. Not inlined: the frame of
    /// [`perform`](Self::perform) lies below the deepest calls.
    #[inline(never)]
    fn settle(&mut self, trans: &mut Trans<'_, J>, done: Promise, rest: Option<Work>) -> Result {
        trans.log(Item::Done(done.intent, done.work))?;
        let Some(rest) = rest else {
            self.recovered = self.recovered.saturating_sub(1);
            return Ok(());
        };
        let intent = trans.intend(rest.try_clone()?)?;
        // In the log the rest is now behind what is done after it.
        self.renew(trans, |promise| promise.work.is_like(&rest))?;
        self.promised
            .push(Promise { intent, work: rest }, GFP_KERNEL)?;
        Ok(())
    }
}

impl<J: Journal> Drop for Deferred<'_, J> {
    fn drop(&mut self) {
        if self.begun || !self.promised.is_empty() {
            self.journal.shut_down(Shutdown::Unfinished);
        }
    }
}

/// The reverse mapping of an extent that stages a copy on write.
fn cow(kind: RmapUpdateKind, start: u64, count: u32) -> RmapUpdate {
    RmapUpdate {
        kind,
        owner: Owner::Cow,
        start,
        offset: FileBlock(0),
        count,
        flags: RmapFlags::default(),
    }
}

fn one<P>(part: P) -> Result<KVec<P>> {
    let mut parts = KVec::with_capacity(1, GFP_KERNEL)?;
    parts.push(part, GFP_KERNEL)?;
    Ok(parts)
}

/// Adds a part behind those of its group and of lower ones: group headers are locked in ascending
/// order, and what is done to one group stays in order.
fn add<P>(parts: &mut KVec<P>, part: P, group: impl Fn(&P) -> u64) -> Result {
    parts.reserve(1, GFP_KERNEL)?;
    let of = group(&part);
    let at = parts.iter().position(|other| group(other) > of);
    let at = at.unwrap_or(parts.len());
    parts
        .insert_within_capacity(at, part)
        .map_err(|_| Error::NoMemory)
}

/// The group in which a block lies.
fn group(geo: &Geometry, device: Device, block: u64) -> u64 {
    let bits = match device {
        Device::Data => geo.ag_block_log,
        Device::Realtime if geo.rt_group_count != 0 => geo.rt_group_block_log,
        Device::Realtime | Device::Log => return 0,
    };
    block.checked_shr(bits.into()).unwrap_or(0)
}
