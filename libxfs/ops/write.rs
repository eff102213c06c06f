// SPDX-License-Identifier: GPL-2.0

//! Blocks for what is written to a file, and their place in it once they are written.
//!
//! Content does not go through the log. What keeps a crash from showing what other files left in
//! blocks is the order: [`prepare_write`] finds blocks that nothing shows yet, unwritten ones or such
//! as stage a copy of shared ones; the caller writes to them; and when that has reached the disk
//! [`end_write`] has the file show it. Blocks of the file's own are written in place.

use super::{
    range::{check_file, FileRange, MAX_SIZE},
    Files,
};
use crate::libxfs::{
    bmap::{allocation_claim, staging_claim, CowMut, ForkMut},
    error::{Error, Result},
    extents::{ExtentMap, MappedBlock, Mapping, Segment, State},
    format::{
        btree::bmap::MAX_EXTENT_BLOCKS,
        geometry::Geometry,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    journal::{Claim, CommitSequence, Journal},
    refcount::{find_shared, find_shared_rt},
    rt::GroupFile,
    space::Groups,
    store::Device,
    trans::{space::extent_add, InodeFields},
};

/// What a part of a file holds before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// What the blocks themselves do.
    There,
    /// Zeroes, whatever the blocks hold.
    Zeroes,
    /// What those blocks do, from this one on, which others share.
    Elsewhere(MappedBlock),
}

/// A part of a file that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WritePart {
    /// Its first block within the file.
    pub offset: FileBlock,
    /// Blocks; not 0.
    pub blocks: u64,
    /// The device to write to.
    pub device: Device,
    /// The first of the blocks to write to.
    pub start: MappedBlock,
    /// What it holds so far: of a block of which only some bytes are written, the others are to be
    /// copied.
    pub before: Before,
}

/// What it takes to write.
enum Found {
    /// Nothing more. The blocks are staged where that says so.
    Ready(WritePart, bool),
    /// Blocks for a hole of that length.
    Hole(u32),
    /// Blocks for a delayed mapping.
    Delayed,
    /// Blocks that stage a copy of so many.
    Shared(u32),
    /// Blocks for a delayed mapping of what stages.
    StagedDelayed,
}

/// The first part of the blocks `from..end` of a file, and what it takes to write it.
fn find<J: Journal>(journal: &J, inode: &Inode, from: FileBlock, end: FileBlock) -> Result<Found> {
    let device = inode.device(WhichFork::Data);
    let len = end.distance_from(from).ok_or(Error::Invalid)?;
    let len = len.min(MAX_EXTENT_BLOCKS.into());
    let data = inode.extents(WhichFork::Data)?.segment(from, len);
    let data = data.ok_or(Error::Invalid)?;
    let part = |start: MappedBlock, blocks: u64, before: Before| WritePart {
        offset: from,
        blocks,
        device,
        start,
        before,
    };
    // What stages comes before what is there.
    let free = match inode.cow.segment(from, data.len()).ok_or(Error::Invalid)? {
        Segment::Mapped(found) if found.state == State::Delayed => return Ok(Found::StagedDelayed),
        Segment::Mapped(found) => {
            let before = match data {
                Segment::Mapped(old) if old.state == State::Normal => Before::Elsewhere(old.start),
                _ => Before::Zeroes,
            };
            return Ok(Found::Ready(part(found.start, found.len, before), true));
        }
        Segment::Hole { len, .. } => len,
    };
    let blocks = u32::try_from(free).map_err(|_| Error::Invalid)?;
    let Segment::Mapped(old) = data else {
        return Ok(Found::Hole(blocks));
    };
    match old.state {
        State::Delayed => Ok(Found::Delayed),
        State::Unwritten => Ok(Found::Ready(part(old.start, free, Before::Zeroes), false)),
        State::Normal => {
            let (own, shared) = shares(journal, inode, &old, free)?;
            Ok(match (own, u32::try_from(shared)) {
                (0, Ok(shared)) => Found::Shared(shared),
                _ => Found::Ready(part(old.start, own, Before::There), false),
            })
        }
    }
}

/// Of the first `len` blocks of a written mapping: how many at its beginning no one shares, and how
/// many behind these someone does.
pub(super) fn shares<J: Journal>(
    journal: &J,
    inode: &Inode,
    mapping: &Mapping,
    len: u64,
) -> Result<(u64, u64)> {
    if !inode.core.is_reflink() {
        return Ok((len, 0));
    }
    let part = match inode.device(WhichFork::Data) {
        Device::Data | Device::Log => find_shared(journal, mapping.start.data(), len)?,
        Device::Realtime => {
            let start = mapping.start.realtime();
            let place = journal.geometry().split_rt_block(start);
            let (group, _) = place.ok_or(Error::Invalid)?;
            let number = journal.rt_file(Some(group), GroupFile::Refcount)?.number;
            let tree = journal.lock_inode(number)?;
            find_shared_rt(journal, &tree, start, len)?
        }
    };
    Ok(part.map_or((len, 0), |part| (part.skip, part.len)))
}

/// Sees to it that the first part of the blocks `from..end` of a file can be written, and says where.
/// A hole gets unwritten blocks; what others share, blocks that stage a copy; what is delayed is
/// allocated. The caller has kept others from changing the file since it asked for anything.
///
/// # Errors
///
/// `NoSpace`; `TooLarge` for more mappings than can be counted, or beyond what a file can have;
/// `Invalid` for no blocks, or what is no file; `Unsupported` on a zoned device; those of the store and
/// of corruption.
pub fn prepare_write<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    from: FileBlock,
    end: FileBlock,
) -> Result<WritePart> {
    let journal = files.journal;
    if end.0 > files.geometry().blocks_for(MAX_SIZE) {
        return Err(Error::TooLarge);
    }
    loop {
        let mut inode = journal.lock_inode(number)?;
        check_file(&inode)?;
        let found = find(journal, &inode, from, end)?;
        if let Found::Ready(part, staged) = found {
            if staged {
                let end = FileBlock(from.0.saturating_add(part.blocks));
                inode.cow.set_state(from, end, State::Normal)?;
            }
            return Ok(part);
        }
        let claim = claim(files.geometry(), &inode, from, &found);
        drop(inode);
        allocate(files, number, (from, end), (found, claim))?;
    }
}

/// What blocks for what was found may take.
fn claim(geo: &Geometry, inode: &Inode, from: FileBlock, found: &Found) -> Claim {
    match *found {
        Found::Hole(len) => allocation_claim(geo, inode, from, len.into()),
        Found::Shared(len) => staging_claim(geo, inode, from, len.into()),
        // Its space was set aside.
        Found::Delayed | Found::StagedDelayed | Found::Ready(..) => Claim {
            emergency: true,
            ..Claim::default()
        },
    }
}

/// Allocates blocks for what was found to need some; the others may have seen to it meanwhile.
fn allocate<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    (from, end): (FileBlock, FileBlock),
    (found, claim): (Found, Claim),
) -> Result {
    let mut chain = files.start_claiming(files.reservations.write, claim)?;
    let (trans, deferred) = chain.parts();
    let id = trans.hold_inode(number)?;
    let most = match found {
        Found::Hole(len) | Found::Shared(len) => len,
        _ => 0,
    };
    let done = match find(files.journal, trans.inode(id)?, from, end)? {
        Found::Ready(..) => true,
        // Nothing was claimed for it.
        Found::Hole(_) | Found::Shared(_) if most == 0 => true,
        Found::Hole(len) => ForkMut::new(trans, deferred, id, WhichFork::Data)?
            .allocate(from, (1, len.min(most)), State::Unwritten)?
            .is_some(),
        Found::Delayed => ForkMut::new(trans, deferred, id, WhichFork::Data)?
            .allocate_delayed(from)?
            .is_some(),
        Found::Shared(len) => CowMut::new(trans, deferred, id)
            .allocate(from, (1, len.min(most)))?
            .is_some(),
        Found::StagedDelayed => CowMut::new(trans, deferred, id)
            .allocate_delayed(from)?
            .is_some(),
    };
    // Lists of blocks for trees may have changed all the same.
    chain.commit(&mut Groups)?;
    done.then_some(()).ok_or(Error::NoSpace)
}

/// Has a file show what was written to it: `range` has reached the disk, or does so before the log
/// does. From the first block on, what stages a copy takes the place of what was there, and what was
/// unwritten becomes written. Where `size` is given the file has at least that size then; it lies
/// within the range.
///
/// # Errors
///
/// `NoSpace` where a tree has to grow and not even the blocks for emergencies are left; `TooLarge` for
/// more mappings than can be counted; `Invalid` for a size beyond the range, or what is no file; those
/// of the store and of corruption. What was done so far stays.
pub fn end_write<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    range: FileRange,
    size: Option<u64>,
) -> Result<Option<CommitSequence>> {
    let geo = files.geometry();
    if size.is_some_and(|size| size > range.end()) {
        return Err(Error::Invalid);
    }
    let (from, end) = range.touched(geo);
    let mut last = None;
    let mut at = from;
    while let Some(staged) = first_in(files, number, (at, end), staging, State::Normal)? {
        let blocks = extent_add(geo, WhichFork::Data);
        let mut chain = files.start_urgent(files.reservations.write, blocks)?;
        let (trans, deferred) = chain.parts();
        let id = trans.hold_inode(number)?;
        at = CowMut::new(trans, deferred, id).end(staged.offset, staged.end())?;
        last = chain.commit(&mut Groups)?.max(last);
    }
    while let Some(part) = first_in(files, number, (from, end), shown, State::Unwritten)? {
        // Two mappings may come of one.
        let blocks = extent_add(geo, WhichFork::Data).saturating_mul(2);
        let mut chain = files.start_urgent(files.reservations.write, blocks)?;
        let (trans, deferred) = chain.parts();
        let id = trans.hold_inode(number)?;
        let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data)?;
        fork.set_state(part.offset, part.end(), State::Normal)?;
        let done = bytes(geo, part.end());
        if let Some(size) = size.map(|size| size.min(done)) {
            if trans.inode(id)?.core.size < size {
                trans.change_inode(id, InodeFields::CORE)?.core.size = size;
            }
        }
        last = chain.commit(&mut Groups)?.max(last);
    }
    Ok(match size {
        Some(size) => grow(files, number, size)?.max(last),
        None => last,
    })
}

/// Bytes before a block; as many as can be said.
fn bytes(geo: &Geometry, block: FileBlock) -> u64 {
    block.0.saturating_mul(geo.block_size.into())
}

/// What an inode stages.
fn staging(inode: &Inode) -> Result<&ExtentMap> {
    Ok(&inode.cow)
}

/// What an inode shows.
fn shown(inode: &Inode) -> Result<&ExtentMap> {
    inode.extents(WhichFork::Data)
}

/// The first part of `from..end` that a map has in that state.
fn first_in<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    (from, end): (FileBlock, FileBlock),
    map: impl FnOnce(&Inode) -> Result<&ExtentMap>,
    state: State,
) -> Result<Option<Mapping>> {
    let inode = files.journal.lock_inode(number)?;
    check_file(&inode)?;
    let mut mappings = map(&inode)?.iter_from(from);
    let found = mappings.find(|found| found.offset >= end || found.state == state);
    Ok(found.and_then(|found| found.trimmed(from, end)))
}

/// Gives a file a size if that is larger than its own.
fn grow<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    size: u64,
) -> Result<Option<CommitSequence>> {
    if files.journal.lock_inode(number)?.core.size >= size {
        return Ok(None);
    }
    let mut trans = files.begin(files.reservations.times, Claim::default())?;
    let id = trans.hold_inode(number)?;
    let core = &mut trans.change_inode(id, InodeFields::CORE)?.core;
    core.size = core.size.max(size);
    trans.commit()
}
