// SPDX-License-Identifier: GPL-2.0

//! What recovery does once the log was [replayed](super::log::recover): all that takes transactions.
//!
//! First the intents without an answer are carried out, in the order of the log. What they leave is a
//! file system as it would be had the machine gone on, but for what was in memory alone: inodes that
//! no name leads to are given back, and so are blocks that staged a copy on write. [`finish`] does all
//! of it; the kernel calls the parts, as it frees inodes through its cache.
//!
//! All of it can be cut again at any point. Until the log's tail is past the intents they are found
//! once more, with their answers as far as these were written.
//!
//! Source: `xlog_recover_finish` in `fs/xfs/xfs_log_recover.c` of Linux 7.3 for the order.

use super::{
    ag,
    defer::{Chain, Structures},
    error::{Error, Result},
    format::{
        ag::agi::UNLINKED_BUCKETS,
        btree::{Domain, RefcountKey},
        fault::Fault,
        geometry::Geometry,
        units::{AgBlock, AgNumber, DiskAddr, InodeNumber, RtGroup, RtGroupBlock},
    },
    inode::{unlinked, WhichFork},
    items::{ExtentFree, IntentId, Work},
    journal::{Claim, Journal},
    ops::{self, Files},
    rt,
    space::Groups,
    store::Device,
    trans::{space, LogReservation, LogReservations, Trans},
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec, KVec};

/// Mappings that work on an attribute may add to its fork, but for those of a value.
const ATTR_MAPPINGS: u64 = 2;

/// What was left to do behind a replayed log, and is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Intents.
    pub intents: u64,
    /// Inodes without a name.
    pub unlinked: Unlinked,
    /// Extents that staged copies on write.
    pub staged: u64,
}

/// What became of the lists of inodes without a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlinked {
    /// Inodes that were freed.
    pub freed: u64,
    /// Lists that were forgotten, with all that was still on them, since the first inode was corrupt.
    pub forgotten: u64,
}

/// Does all that replaying a log has left. `intents` are those that were found, in the order of the
/// log; their records must be needed until this has returned.
///
/// # Errors
///
/// Those of the parts.
pub fn finish<J: Journal>(
    files: &Files<'_, J>,
    intents: KVec<(IntentId, Work)>,
) -> Result<Finished> {
    let number = intents.len() as u64;
    finish_intents(files.journal, intents, &mut Groups)?;
    let inactivate = |number| ops::inactivate(files, number, None).map(|_| ());
    Ok(Finished {
        intents: number,
        unlinked: free_unlinked(files.journal, inactivate)?,
        staged: free_staged(files.journal, &mut Groups)?,
    })
}

/// The reservation that serves any kind of work.
fn reservation(geo: &Geometry) -> Result<LogReservation> {
    let all = LogReservations::new(geo).ok_or(Error::Invalid)?;
    let attr = all.attr_set(0).unwrap_or(all.truncate);
    let mut most = all.truncate;
    for other in [all.write, attr] {
        if other.bytes > most.bytes {
            most = other;
        }
    }
    Ok(most)
}

/// Blocks that work may take, at most.
fn blocks_for(geo: &Geometry, work: &Work) -> u64 {
    match work {
        Work::ExtentFree(..) => 0,
        Work::RmapUpdate(Device::Realtime, updates) => {
            space::rt_rmaps_add(geo, updates.len() as u64)
        }
        Work::RmapUpdate(_, updates) => space::rmaps_add(geo, updates.len() as u64),
        Work::RefcountUpdate(_, updates) => space::rmaps_add(geo, updates.len() as u64),
        Work::BmapUpdate(update) => space::extent_add(geo, update.fork),
        Work::AttrUpdate(update) => {
            let value = update.value().len().max(update.new_value().len()) as u64;
            let value = value.div_ceil(u64::from(geo.block_size).max(1));
            space::da_enter(geo, WhichFork::Attr)
                .saturating_add(space::extents_add(geo, ATTR_MAPPINGS, WhichFork::Attr))
                .saturating_add(value.saturating_mul(2))
        }
        // Both files may get a mapping more for each end of what is exchanged.
        Work::Exchange(_) => space::extents_add(geo, 4, WhichFork::Data).saturating_mul(2),
    }
}

/// Carries out intents that were found in the log, in its order. Their records must be needed until
/// this has returned.
///
/// # Errors
///
/// Those of the work; the file system is shut down then.
pub fn finish_intents<J: Journal, S: Structures<J>>(
    journal: &J,
    intents: KVec<(IntentId, Work)>,
    on: &mut S,
) -> Result {
    if intents.is_empty() {
        return Ok(());
    }
    let geo = journal.geometry();
    let mut blocks = intents.iter().fold(0u64, |sum, (_, work)| {
        sum.saturating_add(blocks_for(geo, work))
    });
    let log = reservation(geo)?;
    let trans = loop {
        let claim = Claim {
            blocks,
            rt_extents: 0,
            emergency: true,
        };
        match Trans::start(journal, log, claim) {
            // It is the most that the work can take; hardly ever does it.
            Err(Error::NoSpace) if blocks != 0 => blocks /= 2,
            other => break other?,
        }
    };
    Chain::resume(trans, intents)?.commit(on)?;
    Ok(())
}

/// Gives back all inodes without a name: `inactivate` takes the first of a list out of it, and frees
/// it.
///
/// A list whose first inode cannot be freed because something is corrupt, or because it has links, is
/// forgotten: space is lost until a repair, and no more. The C driver does that too.
///
/// # Errors
///
/// Those of reading the groups' headers and of `inactivate`, but for corruption that changed nothing.
pub fn free_unlinked<J: Journal>(
    journal: &J,
    mut inactivate: impl FnMut(InodeNumber) -> Result,
) -> Result<Unlinked> {
    let mut done = Unlinked::default();
    for ag in (0..journal.geometry().ag_count).map(AgNumber) {
        for bucket in 0..UNLINKED_BUCKETS {
            match free_list(journal, ag, bucket, &mut inactivate, &mut done.freed) {
                Err(Error::Corrupt(_) | Error::Invalid) => {
                    // It fails where the corruption was found too late, in the midst of changes.
                    forget_list(journal, ag, bucket)?;
                    done.forgotten = done.forgotten.saturating_add(1);
                }
                other => other?,
            }
        }
    }
    Ok(done)
}

/// Forgets a list. A frame of its own, which is not there when inodes are freed.
#[inline(never)]
fn forget_list<J: Journal>(journal: &J, ag: AgNumber, bucket: usize) -> Result {
    let all = LogReservations::new(journal.geometry()).ok_or(Error::Invalid)?;
    let mut trans = Trans::start(journal, all.clear_unlinked, Claim::default())?;
    unlinked::forget(&mut trans, ag, bucket)?;
    trans.commit()?;
    Ok(())
}

/// Gives back the inodes of one list.
fn free_list<J: Journal>(
    journal: &J,
    ag: AgNumber,
    bucket: usize,
    inactivate: &mut impl FnMut(InodeNumber) -> Result,
    freed: &mut u64,
) -> Result {
    let mut before = None;
    while let Some(first) = unlinked::head(journal, ag, bucket)? {
        if before == Some(first) {
            let at = journal.geometry().ag_block_addr(ag, AgBlock(0));
            let fault = Fault::corrupt("agi", "unlinked");
            return Err(Error::block(fault, Device::Data, at.unwrap_or(DiskAddr(0))));
        }
        before = Some(first);
        inactivate(first)?;
        *freed = freed.saturating_add(1);
    }
    Ok(())
}

/// An extent that stages a copy on write.
type Staged = (u64, u32);

/// The extents of a group that stage copies on write.
fn staged_in_group<J: Journal>(journal: &J, ag: AgNumber) -> Result<KVVec<Staged>> {
    let geo = journal.geometry();
    let agf = ag::read_agf(journal, ag)?;
    let mut cursor = ag::refcount(journal, ag, &agf)?;
    let key = |start| RefcountKey {
        domain: Domain::Cow,
        start: AgBlock(start),
    };
    let mut staged = KVVec::new();
    let mut records = cursor.range(key(0), key(u32::MAX));
    while let Some(record) = records.next()? {
        let start = geo.fs_block(ag, record.start).ok_or(Error::Invalid)?;
        staged.push((start.0, record.count), GFP_KERNEL)?;
    }
    Ok(staged)
}

/// The same of a realtime group.
fn staged_in_rt_group<J: Journal>(journal: &J, group: RtGroup) -> Result<KVVec<Staged>> {
    let geo = journal.geometry();
    let file = rt::open(journal, Some(group), rt::GroupFile::Refcount)?;
    let mut staged = KVVec::new();
    let mut cursor = rt::refcount(journal, group, &file)?;
    let key = |start| RefcountKey {
        domain: Domain::Cow,
        start: RtGroupBlock(start),
    };
    let mut records = cursor.range(key(0), key(u32::MAX));
    while let Some(record) = records.next()? {
        let start = geo.rt_block(group, record.start).ok_or(Error::Invalid)?;
        staged.push((start.0, record.count), GFP_KERNEL)?;
    }
    Ok(staged)
}

/// Frees all blocks that stage copies on write: whose they were is not on the disk. Returns how many
/// extents there were.
///
/// # Errors
///
/// Those of reading and of freeing.
pub fn free_staged<J: Journal, S: Structures<J>>(journal: &J, on: &mut S) -> Result<u64> {
    let geo = journal.geometry();
    if !geo.features.reflink() {
        return Ok(0);
    }
    let mut freed = 0u64;
    let mut free = |device, staged: KVVec<Staged>| -> Result {
        for (start, count) in staged {
            free_one(journal, on, device, (start, count))?;
            freed = freed.saturating_add(1);
        }
        Ok(())
    };
    for ag in (0..geo.ag_count).map(AgNumber) {
        free(Device::Data, staged_in_group(journal, ag)?)?;
    }
    for group in (0..geo.rt_group_count).map(RtGroup) {
        free(Device::Realtime, staged_in_rt_group(journal, group)?)?;
    }
    Ok(freed)
}

fn free_one<J: Journal, S: Structures<J>>(
    journal: &J,
    on: &mut S,
    device: Device,
    (start, count): Staged,
) -> Result {
    let claim = Claim {
        emergency: true,
        ..Claim::default()
    };
    let trans = Trans::start(journal, reservation(journal.geometry())?, claim)?;
    let mut chain = Chain::new(trans)?;
    let (_, deferred) = chain.parts();
    deferred.free_cow(device, start, count)?;
    deferred.free_extent(device, ExtentFree::data(start, count))?;
    chain.commit(on)?;
    Ok(())
}
