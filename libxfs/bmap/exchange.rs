// SPDX-License-Identifier: GPL-2.0

//! Exchanging the mappings of a range between two files, as deferred work (XMI): step by step, each
//! of which takes one mapping of either out and puts it into the other.

use super::{update::wanted, ForkMut};
use crate::libxfs::{
    defer::Deferred,
    error::{Error, Result},
    extents::{Mapping, Segment, State},
    format::{
        fault::Fault,
        inode::flags::Flags2,
        log::exchange::{Exchange, ExchangeFlags},
        units::FileBlock,
    },
    inode::WhichFork,
    items::BmapUpdateKind,
    journal::Journal,
    store::Device,
    trans::{InodeFields, InodeId, Trans},
};

/// The parts of two forks that are exchanged in one step.
struct Pair {
    one: Segment,
    two: Segment,
}

fn which(work: &Exchange) -> WhichFork {
    if work.flags.has(ExchangeFlags::ATTR_FORK) {
        WhichFork::Attr
    } else {
        WhichFork::Data
    }
}

/// The first `len` blocks of a run.
fn first(segment: &Segment, len: u64) -> Segment {
    let offset = segment.offset();
    let end = FileBlock(offset.0.saturating_add(len));
    match segment
        .mapping()
        .and_then(|mapping| mapping.trimmed(offset, end))
    {
        Some(mapping) => Segment::Mapped(mapping),
        None => Segment::Hole { offset, len },
    }
}

/// What is behind the first `n` blocks of the range.
fn behind(work: &Exchange, n: u64) -> Result<Exchange> {
    let mut left = *work;
    left.blocks = work.blocks.checked_sub(n).ok_or(Error::Invalid)?;
    for file in &mut left.files {
        file.offset = file.offset.checked_add(n).ok_or(Error::Invalid)?;
    }
    Ok(left)
}

/// Readies two files for an exchange, in the transaction that asks for it: where one may share blocks
/// the other may too from then on, and where one has large counters the other gets them.
///
/// # Errors
///
/// `Invalid` where a fork is not there, or holds its content itself; `Unsupported` for files on two
/// devices; those of reading their mappings.
pub fn prepare_exchange<J: Journal>(
    trans: &mut Trans<'_, J>,
    ids: [InodeId; 2],
    which: WhichFork,
) -> Result {
    let mut flags = 0u64;
    let mut devices = [Device::Data; 2];
    for (id, device) in ids.into_iter().zip(&mut devices) {
        trans.load_extents(id, which)?;
        let inode = trans.inode(id)?;
        inode.extents(which)?;
        *device = inode.device(which);
        flags |= inode.core.flags2.0;
    }
    let [one, two] = devices;
    if one != two {
        return Err(Error::Unsupported);
    }
    let mask = match which {
        WhichFork::Data => Flags2::REFLINK | Flags2::NREXT64,
        WhichFork::Attr => Flags2::NREXT64,
    };
    let wanted = flags & mask;
    for id in ids {
        if !trans.inode(id)?.core.flags2.0 & wanted != 0 {
            let core = &mut trans.change_inode(id, InodeFields::NONE)?.core;
            core.flags2 = Flags2(core.flags2.0 | wanted);
        }
    }
    Ok(())
}

/// Takes the first step of an exchange, and returns what is left. The transaction holds both inodes.
///
/// # Errors
///
/// `Invalid` for delayed blocks; `Corrupt` where both have the same blocks in different states;
/// `TooLarge` for more mappings than can be counted; then nothing has changed. `NoMemory`.
pub fn exchange<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    ids: [InodeId; 2],
    work: &Exchange,
) -> Result<Option<Exchange>> {
    let which = which(work);
    for id in ids {
        trans.load_extents(id, which)?;
    }
    let mut left = *work;
    if let Some(pair) = find(trans, ids, &mut left)? {
        let [one, two] = ids;
        for id in ids {
            // A hole where there was none, and a mapping in it.
            ForkMut::new(trans, deferred, id, which)?.make_room(2)?;
        }
        let moved = |segment: &Segment, at: FileBlock| {
            let mapping = segment.mapping()?;
            Some(Mapping {
                offset: at,
                ..mapping
            })
        };
        let (to_one, to_two) = (
            moved(&pair.two, pair.one.offset()),
            moved(&pair.one, pair.two.offset()),
        );
        let unmap = BmapUpdateKind::Unmap;
        ask(trans, deferred, (one, which), unmap, pair.one.mapping())?;
        ask(trans, deferred, (two, which), unmap, pair.two.mapping())?;
        ask(trans, deferred, (one, which), BmapUpdateKind::Map, to_one)?;
        ask(trans, deferred, (two, which), BmapUpdateKind::Map, to_two)?;
        if work.flags.has(ExchangeFlags::SET_SIZES) {
            // No mapping comes to lie past the end of a file.
            let [mine, theirs] = work.files;
            grow(trans, one, pair.one.end(), mine.size)?;
            grow(trans, two, pair.two.end(), theirs.size)?;
        }
        left = behind(&left, pair.one.len())?;
    }
    if left.blocks != 0 {
        return Ok(Some(left));
    }
    if work.flags.has(ExchangeFlags::SET_SIZES) {
        for (id, file) in ids.into_iter().zip(work.files) {
            trans.change_inode(id, InodeFields::NONE)?.core.size = file.size;
        }
    }
    Ok(None)
}

/// What is at a place of a fork; no delayed blocks.
fn run<J: Journal>(
    trans: &Trans<'_, J>,
    (id, which): (InodeId, WhichFork),
    at: FileBlock,
    len: u64,
) -> Result<Segment> {
    let map = trans.inode(id)?.extents(which)?;
    let found = map.segment(at, len).ok_or(Error::Invalid)?;
    match found.mapping() {
        Some(mapping) if mapping.state == State::Delayed => Err(Error::Invalid),
        _ => Ok(found),
    }
}

/// The next two runs that differ; what is passed over is cut off `left`.
fn find<J: Journal>(
    trans: &Trans<'_, J>,
    [one, two]: [InodeId; 2],
    left: &mut Exchange,
) -> Result<Option<Pair>> {
    let which = which(left);
    let geo = trans.geometry();
    let unit = match trans.inode(one)?.device(which) {
        Device::Realtime => u64::from(geo.rt_extent_size.max(1)),
        Device::Data | Device::Log => 1,
    };
    while left.blocks != 0 {
        let [first_file, second_file] = left.files;
        let mut mine = run(trans, (one, which), first_file.offset, left.blocks)?;
        if left.flags.has(ExchangeFlags::INO1_WRITTEN) {
            let (skipped, len) = skip(&mine, unit);
            if skipped {
                *left = behind(left, len)?;
                continue;
            }
            mine = first(&mine, len);
        }
        let theirs = run(trans, (two, which), second_file.offset, mine.len())?;
        let len = mine.len().min(theirs.len());
        let pair = Pair {
            one: first(&mine, len),
            two: first(&theirs, len),
        };
        match (pair.one.mapping(), pair.two.mapping()) {
            (None, None) => {}
            (Some(mine), Some(theirs)) if mine.start == theirs.start => {
                if mine.state != theirs.state {
                    let fault = Fault::corrupt("data fork", "state");
                    return Err(Error::inode(fault, first_file.inode));
                }
            }
            _ => return Ok(Some(pair)),
        }
        *left = behind(left, len)?;
    }
    Ok(None)
}

/// How many steps an exchange takes as the maps are now.
///
/// # Errors
///
/// As [`exchange`], which then would fail in the middle.
pub fn exchange_steps<J: Journal>(
    trans: &mut Trans<'_, J>,
    ids: [InodeId; 2],
    work: &Exchange,
) -> Result<u64> {
    for id in ids {
        trans.load_extents(id, which(work))?;
    }
    let mut left = *work;
    let mut steps = 0u64;
    while let Some(pair) = find(trans, ids, &mut left)? {
        left = behind(&left, pair.one.len())?;
        steps = steps.saturating_add(1);
    }
    Ok(steps)
}

/// Whether a run of the first file is passed over where only what is written is exchanged, and how
/// many of its blocks that is about. Realtime extents of `unit` blocks are exchanged as a whole.
fn skip(segment: &Segment, unit: u64) -> (bool, u64) {
    let len = segment.len();
    let unwritten = match segment.mapping() {
        None => return (true, len),
        Some(mapping) => mapping.state == State::Unwritten,
    };
    if !unwritten {
        return (false, len);
    }
    let over = |n: u64| n.checked_rem(unit).unwrap_or(0);
    match (over(segment.offset().0), over(len)) {
        (0, 0) => (true, len),
        (0, rest) if len > unit => (true, len.saturating_sub(rest)),
        (0, _) => (false, len),
        (begun, _) => (false, len.min(unit.saturating_sub(begun))),
    }
}

/// Asks that a mapping go or come.
fn ask<J: Journal>(
    trans: &Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    (id, fork): (InodeId, WhichFork),
    kind: BmapUpdateKind,
    mapping: Option<Mapping>,
) -> Result {
    let Some(mapping) = mapping else {
        return Ok(());
    };
    deferred.update_bmap(wanted(trans.inode(id)?, fork, kind, &mapping)?)
}

/// Has a file's size reach to `end`, but no further than `most` bytes.
fn grow<J: Journal>(trans: &mut Trans<'_, J>, id: InodeId, end: FileBlock, most: u64) -> Result {
    let bytes = end.0.saturating_mul(trans.geometry().block_size.into());
    let size = bytes.min(most);
    if size > trans.inode(id)?.core.size {
        trans.change_inode(id, InodeFields::NONE)?.core.size = size;
    }
    Ok(())
}
