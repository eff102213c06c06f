// SPDX-License-Identifier: GPL-2.0

//! What lies in front of the head, made harmless.
//!
//! Records that were cut off have the cycle of what will be written there next. Were they left, a
//! second crash soon after the first could make them look like part of the log. So before anything
//! is written they are overwritten with headers of empty records of the cycle before.

use super::{
    device::{LogArea, WriteLog},
    head::Head,
    space,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        log::record::{
            DiskRecordHeader, FORMAT, MAGIC, MAX_RECORDS_IN_FLIGHT, MAX_RECORD_SIZE, VERSION,
        },
        units::{Lsn, BASIC_BLOCK_SIZE},
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::{FromBytes, FromZeros};

const BLOCK: usize = BASIC_BLOCK_SIZE as usize;
/// Basic blocks that can be on their way to the disk at the same time.
const IN_FLIGHT_BLOCKS: u32 = MAX_RECORDS_IN_FLIGHT * (MAX_RECORD_SIZE / BASIC_BLOCK_SIZE);
/// Basic blocks that are written at a time; a multiple of every sector.
const CHUNK: u32 = 256;

/// Overwrites what can be left in front of the head, but nothing of the log itself.
///
/// # Errors
///
/// `Corrupt` when head and tail do not fit together; those of reading and writing; `NoMemory`.
pub fn clear<D: WriteLog>(device: &D, geo: &Geometry, head: &Head) -> Result {
    let area = LogArea::of(geo)?;
    let sector = geo.log_sector_size.max(BASIC_BLOCK_SIZE) / BASIC_BLOCK_SIZE;
    // Of a clean log the last record is the unmount that says so, and the tail lies behind it; it
    // must not be reached around the ring.
    let kept = match head.last {
        Some(last) if head.is_clean() => area.distance(last, head.next.block()),
        _ => space::distance(area.len, head.tail, head.next).ok_or(Error::Invalid)?,
    };
    let room = area.len.saturating_sub(kept);
    let mut left = IN_FLIGHT_BLOCKS.min(room);
    let mut at = head.next;
    let mut chunk = KVVec::new();
    while left != 0 {
        // From a sector's start to a chunk's end, and never past the ring's.
        let within = at.block().checked_rem(sector).unwrap_or(0);
        let first = at.block().saturating_sub(within);
        let end = first
            .saturating_add(CHUNK)
            .min(area.len)
            .min(at.block().saturating_add(left));
        let whole = end
            .checked_next_multiple_of(sector)
            .unwrap_or(end)
            .min(area.len);
        let bytes = (whole.saturating_sub(first) as usize).saturating_mul(BLOCK);
        chunk.clear();
        chunk.resize(bytes, 0, GFP_KERNEL)?;
        if within != 0 || whole != end {
            device.read(area.device, area.address(first), &mut chunk)?;
        }
        for (block, bytes) in (first..whole).zip(chunk.chunks_mut(BLOCK)) {
            if block >= at.block() && block < end {
                let empty = empty(geo, Lsn::new(older(at.cycle()), block), head.tail);
                let (into, _) =
                    DiskRecordHeader::mut_from_prefix(bytes).map_err(|_| Error::Invalid)?;
                *into = empty;
            }
        }
        device.write(area.device, area.address(first), &chunk)?;
        let done = end.saturating_sub(at.block());
        left = left.saturating_sub(done);
        at = space::advance(area.len, at, done);
    }
    device.flush(area.device)
}

/// The cycle before another.
const fn older(cycle: u32) -> u32 {
    match cycle.wrapping_sub(1) {
        MAGIC => MAGIC.wrapping_sub(1),
        before => before,
    }
}

/// The header of a record with nothing in it.
fn empty(geo: &Geometry, lsn: Lsn, tail: Lsn) -> DiskRecordHeader {
    let mut header = DiskRecordHeader::new_zeroed();
    header.magicno = MAGIC.into();
    header.cycle = lsn.cycle().into();
    header.version = VERSION.into();
    header.lsn = lsn.0.into();
    header.tail_lsn = tail.0.into();
    header.fmt = FORMAT.into();
    header.fs_uuid = geo.uuid;
    header
}
