// SPDX-License-Identifier: GPL-2.0

//! Where the log was last written, and whether that was by an unmount.

use super::ring::Ring;
use crate::libxfs::{
    error::Result,
    format::{
        fault::Fault,
        log::{is_unmount, record_header, RecordHeader, MAX_RECORDS_IN_FLIGHT, MAX_RECORD_SIZE},
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

/// Finds out whether the log is clean. Reads only.
///
/// # Errors
///
/// `Corrupt` when the newest record breaks a rule, or there is none; those of reading;
/// `Interrupted` when the store says so.
pub fn state<S: Store>(store: &S) -> Result<State> {
    let mut ring = Ring::new(store)?;
    if ring.cycle(0)? == 0 {
        // Never written at all.
        return Ok(State::Clean(Lsn::new(1, 0)));
    }
    let head = find_head(&mut ring)?;
    let Some((at, record)) = last_record(&mut ring, head)? else {
        return Ok(State::Dirty);
    };
    let data = ring.after(at, record.header_blocks);
    if record.operations != 1 || !is_unmount(ring.block(data)?) {
        return Ok(State::Dirty);
    }
    // A record that ends where the ring begins, or goes round it, leaves the next cycle to come.
    let end = ring.after(at, record.blocks());
    let cycle = record.lsn.cycle();
    let cycle = if end <= at {
        cycle.saturating_add(1)
    } else {
        cycle
    };
    Ok(State::Clean(Lsn::new(cycle, end)))
}

/// The block behind the newest one that is sure to be written, by cycles alone. The end of the ring
/// stands for its beginning.
fn find_head<S: Store>(ring: &mut Ring<'_, S>) -> Result<u32> {
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
fn find_step<S: Store>(ring: &mut Ring<'_, S>, last: u32) -> Result<u32> {
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

/// The last whole record before `head`: where it lies and what it says. One that `head` cuts was not
/// written to its end; then it is the one before. `None` when that does not end there either, as
/// only torn writes leave it.
fn last_record<S: Store>(ring: &mut Ring<'_, S>, head: u32) -> Result<Option<(u32, RecordHeader)>> {
    let mut head = ring.after(head, 0);
    for _ in 0..2 {
        let Some(at) = ring.header_before(head, MAX_RECORD_BLOCKS)? else {
            return Err(ring.corrupt(head, Fault::corrupt("log", "record")));
        };
        let geo = ring.geometry();
        let record = record_header(geo, ring.block(at)?);
        let record = record.map_err(|fault| ring.corrupt(at, fault))?;
        if ring.after(at, record.blocks()) == head {
            return Ok(Some((at, record)));
        }
        head = at;
    }
    Ok(None)
}
