// SPDX-License-Identifier: GPL-2.0

//! Where the log was last written, whether that was by an unmount, and where recovery starts.
//!
//! Several records can be on their way to the disk at the same time, and they get there in no
//! order, in parts, or not at all. So what lies a few records behind the newest block is suspect: a
//! record there that is not whole was never acknowledged, nor was any behind it, and the log ends in
//! front of it. Anything further back was, and if it is not whole the log is corrupt.

use super::{
    device::{ReadLog, StoreLog},
    record::{Record, Walk},
    ring::Ring,
    space,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        log::{
            is_unmount, record::is_cleared, record_header, RecordHeader, MAX_RECORDS_IN_FLIGHT,
            MAX_RECORD_SIZE,
        },
        units::{Lsn, BASIC_BLOCK_SIZE},
    },
    store::Store,
};

/// The most basic blocks of a record.
const MAX_RECORD_BLOCKS: u32 = MAX_RECORD_SIZE / BASIC_BLOCK_SIZE;
/// How far behind the newest block there may be one that was not written: records go to the disk
/// side by side, in no order.
const IN_FLIGHT_BLOCKS: u32 = MAX_RECORDS_IN_FLIGHT * MAX_RECORD_BLOCKS;

/// What a log is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is to be recovered: the file system was unmounted, or never mounted. The next record
    /// goes here.
    Clean(Lsn),
    /// Changes may be in the log that are not in their place.
    Dirty,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the next record goes.
    pub next: Lsn,
    /// The block of the last record; `None` in a log that was never written.
    pub last: Option<u32>,
    /// The oldest record that recovery needs; the same as `next` if the last one is an unmount.
    pub tail: Lsn,
}

impl Head {
    /// Whether nothing is to be recovered.
    pub fn is_clean(&self) -> bool {
        self.next == self.tail
    }
}

/// Finds out whether the log is clean. Reads only.
///
/// # Errors
///
/// `Corrupt` when the newest record breaks a rule, or there is none; those of reading;
/// `Interrupted` when the store says so.
pub fn state<S: Store>(store: &S) -> Result<State> {
    let device = StoreLog(store);
    let mut ring = Ring::new(&device, store.geometry())?;
    let head = find(&mut ring)?;
    Ok(if head.is_clean() {
        State::Clean(head.next)
    } else {
        State::Dirty
    })
}

/// Finds the head, with torn and unfinished records cut off. Reads only.
///
/// # Errors
///
/// As [`state`].
pub(super) fn find<D: ReadLog>(ring: &mut Ring<'_, D>) -> Result<Head> {
    if ring.cycle(0)? == 0 {
        // Never written at all.
        let next = Lsn::new(1, 0);
        return Ok(Head {
            next,
            last: None,
            tail: next,
        });
    }
    let written = find_head(ring)?;
    let written = ring.area.after(written, 0);
    let mut head = written;
    let (at, record) = header_before(ring, head)?;
    if ring.area.after(at, record.blocks()) == head {
        if is_unmounted(ring, at, &record)? {
            return Ok(Head::new(ring, at, &record, true));
        }
    } else {
        // The head cuts it: it was not written to its end.
        head = at;
    }
    let (at, record) = cut_torn(ring, head)?;
    let unmounted = is_unmounted(ring, at, &record)?;
    Ok(Head::new(ring, at, &record, unmounted))
}

impl Head {
    /// The head behind the last record.
    fn new<D: ReadLog>(
        ring: &Ring<'_, D>,
        at: u32,
        record: &RecordHeader,
        unmounted: bool,
    ) -> Self {
        let start = Lsn::new(record.lsn.cycle(), at);
        let next = space::advance(ring.area.len, start, record.blocks());
        Self {
            next,
            last: Some(at),
            tail: if unmounted { next } else { record.tail },
        }
    }
}

/// The nearest header before a block.
fn header_before<D: ReadLog>(ring: &mut Ring<'_, D>, block: u32) -> Result<(u32, RecordHeader)> {
    let Some(at) = ring.header_before(block, MAX_RECORD_BLOCKS)? else {
        return Err(ring.area.corrupt(block, Fault::corrupt("log", "record")));
    };
    let geo = ring.geometry();
    let record = record_header(geo, ring.block(at)?);
    Ok((at, record.map_err(|fault| ring.area.corrupt(at, fault))?))
}

/// Whether a record is that of an unmount.
fn is_unmounted<D: ReadLog>(
    ring: &mut Ring<'_, D>,
    at: u32,
    record: &RecordHeader,
) -> Result<bool> {
    let data = ring.area.after(at, record.header_blocks);
    Ok(record.operations == 1 && is_unmount(ring.block(data)?))
}

/// The last whole record before `head`: of as many as can be on their way at the same time, the one
/// before the first that is torn.
fn cut_torn<D: ReadLog>(ring: &mut Ring<'_, D>, head: u32) -> Result<(u32, RecordHeader)> {
    let area = ring.area;
    let mut start = head;
    for _ in 0..MAX_RECORDS_IN_FLIGHT {
        let Some(at) = ring.header_before(start, MAX_RECORD_BLOCKS)? else {
            break;
        };
        // Around the whole ring, or back to what was cleared in front of the head before there were
        // so many: there are no more.
        if area.distance(at, head) <= area.distance(start, head) || is_cleared(ring.block(at)?) {
            break;
        }
        start = at;
    }
    let mut walk = Walk {
        at: start,
        left: area.distance(start, head),
    };
    let mut last: Option<Record> = None;
    let mut found = None;
    loop {
        match walk.next(ring, last.take()) {
            Ok(Some(record)) => {
                found = Some((record.at, record.header));
                last = Some(record);
            }
            Ok(None) | Err(Error::Corrupt(_)) => break,
            Err(error) => return Err(error),
        }
    }
    match found {
        Some(found) => Ok(found),
        // The first that was looked at is torn, or there is none: then it is the one before.
        None => {
            let (at, record) = header_before(ring, start)?;
            if area.after(at, record.blocks()) != start {
                return Err(area.corrupt(at, Fault::corrupt("log record", "len")));
            }
            Ok((at, record))
        }
    }
}

/// Where recovery starts, with every record from there to the head whole: the tail, or if records
/// that were cut off have run over it, what follows those.
///
/// # Errors
///
/// `Corrupt` when the tail lies where none can be, or a record is not whole that must be; those of
/// reading.
pub(super) fn find_tail<D: ReadLog>(ring: &mut Ring<'_, D>, head: &Head) -> Result<Walk> {
    let area = ring.area;
    let last = head.last.unwrap_or(0);
    let corrupt = |field| area.corrupt(last, Fault::corrupt("log record", field));
    let end = head.next.block();
    let live = space::distance(area.len, head.tail, head.next);
    let mut left = match live {
        // A log that is all in use was never written.
        Some(live) if live != 0 && live < area.len => live,
        _ => return Err(corrupt("tail_lsn")),
    };
    let mut start = head.tail.block();
    // The in-core log's size says how much can have run over the tail.
    let reach = MAX_RECORDS_IN_FLIGHT.saturating_mul(in_core_blocks(ring, last)?);
    loop {
        let Some(at) = ring.header_from(start, left)? else {
            return Err(corrupt("tail_lsn"));
        };
        let walk = Walk {
            at,
            left: area.distance(at, end),
        };
        let (bad, error) = match check(ring, walk)? {
            None => return Ok(walk),
            Some(bad) => bad,
        };
        if area.distance(end, bad) > reach {
            return Err(error);
        }
        start = area.after(bad, 1);
        left = area.distance(start, end);
    }
}

/// Basic blocks of the in-core logs that the record at a block comes from.
fn in_core_blocks<D: ReadLog>(ring: &mut Ring<'_, D>, at: u32) -> Result<u32> {
    let geo = ring.geometry();
    let record = record_header(geo, ring.block(at)?);
    let record = record.map_err(|fault| ring.area.corrupt(at, fault))?;
    Ok(record.size.div_ceil(BASIC_BLOCK_SIZE))
}

/// The first record of a walk that is not whole, and what is wrong with it.
fn check<D: ReadLog>(ring: &mut Ring<'_, D>, mut walk: Walk) -> Result<Option<(u32, Error)>> {
    let mut last = None;
    loop {
        let at = walk.at;
        match walk.next(ring, last.take()) {
            Ok(None) => return Ok(None),
            Ok(record) => last = record,
            Err(error @ Error::Corrupt(_)) => return Ok(Some((at, error))),
            Err(error) => return Err(error),
        }
    }
}

/// The block behind the newest one that is sure to be written, by cycles alone. The end of the ring
/// stands for its beginning.
fn find_head<D: ReadLog>(ring: &mut Ring<'_, D>) -> Result<u32> {
    let len = ring.len();
    let first = ring.cycle(0)?;
    let last = ring.cycle(len.saturating_sub(1))?;
    let window = IN_FLIGHT_BLOCKS.min(len);
    // What a block has that was to be written before `head`, and was not.
    let (head, stale) = if first == last {
        (len, last.checked_sub(1))
    } else {
        (find_step(ring, last)?, Some(last))
    };
    let Some(stale) = stale else {
        return Ok(head);
    };
    if head >= window {
        let hole = ring.find_cycle(head.saturating_sub(window), head, stale)?;
        return Ok(hole.unwrap_or(head));
    }
    // The window goes round the end, where all is one cycle older.
    if let Some(older) = stale.checked_sub(1) {
        let start = len.saturating_sub(window.saturating_sub(head));
        if let Some(hole) = ring.find_cycle(start, len, older)? {
            return Ok(hole);
        }
    }
    let hole = ring.find_cycle(0, head, stale)?;
    Ok(hole.unwrap_or(head))
}

/// A block of cycle `last` behind one of another: the first such, unless writes were torn.
fn find_step<D: ReadLog>(ring: &mut Ring<'_, D>, last: u32) -> Result<u32> {
    let (mut low, mut high) = (0, ring.len().saturating_sub(1));
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        if ring.cycle(middle)? == last {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}
