// SPDX-License-Identifier: GPL-2.0

//! Arithmetic of the log's head and tail, and of the space that a checkpoint takes.

use crate::libxfs::format::{
    geometry::Geometry,
    log::{
        op::{OP_HEADER_SIZE, TRANSACTION_HEADER_SIZE},
        record::{header_blocks, next_cycle, MAX_RECORD_SIZE, MIN_RECORD_SIZE},
    },
    units::{div_up, Lsn, BASIC_BLOCK_SIZE},
};

/// The place `blocks`, at most a whole ring, after another in a ring of `len` basic blocks.
pub const fn advance(len: u32, at: Lsn, blocks: u32) -> Lsn {
    let sum = (at.block() as u64).saturating_add(blocks as u64);
    match sum.checked_sub(len as u64) {
        None => Lsn::new(at.cycle(), sum as u32),
        Some(block) => Lsn::new(next_cycle(at.cycle()), block as u32),
    }
}

/// Basic blocks from `from` forward to `to`: between 0 and a whole ring. `None` when `to` is not at
/// most one time round the ring ahead, or either is no place in it.
pub const fn distance(len: u32, from: Lsn, to: Lsn) -> Option<u32> {
    if from.block() >= len || to.block() >= len {
        return None;
    }
    if from.cycle() == to.cycle() {
        to.block().checked_sub(from.block())
    } else if next_cycle(from.cycle()) == to.cycle() && to.block() <= from.block() {
        // In this order, as a ring may be longer than half of all numbers.
        Some(len.saturating_sub(from.block()).saturating_add(to.block()))
    } else {
        None
    }
}

/// Basic blocks that can be written in front of `tail` without reaching it.
pub const fn free(len: u32, head: Lsn, tail: Lsn) -> u32 {
    match distance(len, tail, head) {
        // Head and tail in the same block with all in use would look as if nothing was.
        Some(used) => len.saturating_sub(used).saturating_sub(1),
        None => 0,
    }
}

/// The sizes in which a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLayout {
    /// Bytes of an in-core log, header included.
    pub size: u32,
    /// Basic blocks of header.
    pub header_blocks: u32,
    /// Bytes to a multiple of which records are padded: the log's stripe unit, or its sector.
    pub unit: u32,
}

impl RecordLayout {
    /// The layout for in-core logs of about `wanted` bytes (the mount option `logbsize`), which 32
    /// to 256 KiB and a multiple of the log's stripe unit must be. `None` for a stripe unit that no
    /// record can be a multiple of.
    pub fn new(geo: &Geometry, wanted: u32) -> Option<Self> {
        let unit = match geo.log_stripe_unit {
            0 | 1 => geo.log_sector_size.max(BASIC_BLOCK_SIZE),
            unit => unit,
        };
        let most = MAX_RECORD_SIZE.checked_div(unit)?.checked_mul(unit)?;
        let size = wanted
            .clamp(MIN_RECORD_SIZE, MAX_RECORD_SIZE)
            .checked_next_multiple_of(unit)?
            .min(most);
        (size != 0 && unit.checked_rem(BASIC_BLOCK_SIZE) == Some(0)).then_some(Self {
            size,
            header_blocks: header_blocks(size),
            unit,
        })
    }

    /// Bytes of header.
    pub const fn header_size(&self) -> u32 {
        self.header_blocks.saturating_mul(BASIC_BLOCK_SIZE)
    }

    /// Bytes of data that fit a record.
    pub const fn capacity(&self) -> u32 {
        self.size.saturating_sub(self.header_size())
    }

    /// Basic blocks of a record with `len` bytes of data, padding included.
    pub fn blocks(&self, len: u32) -> u32 {
        let bytes = self.header_size().saturating_add(len);
        let padded = bytes
            .checked_next_multiple_of(self.unit)
            .unwrap_or(self.size);
        padded / BASIC_BLOCK_SIZE
    }

    /// The bytes of log that must be reserved so that `bytes` of items and their operation headers
    /// can be written, whatever else is: transaction header, start and commit, headers of records,
    /// regions cut in two, padding. The same as the kernel's driver reserves.
    pub fn reservation(&self, bytes: u32) -> u32 {
        let op = OP_HEADER_SIZE as u32;
        let capacity = u64::from(self.capacity());
        let records = |bytes: u32| div_up(u64::from(bytes), capacity).unwrap_or(0);
        let mut bytes = bytes
            .saturating_add(op)
            .saturating_add(TRANSACTION_HEADER_SIZE as u32)
            .saturating_add(op);
        let mut headers = records(bytes);
        bytes = bytes.saturating_add((headers as u32).saturating_mul(op));
        // What cutting adds may take a further record, which cuts once more.
        while headers == 0 || records(bytes) > headers {
            bytes = bytes.saturating_add(op);
            headers = headers.saturating_add(1);
        }
        let headers = (headers as u32).saturating_add(1);
        bytes
            .saturating_add(self.header_size().saturating_mul(headers))
            .saturating_add(self.unit.saturating_mul(2))
    }
}

/// How far an idle log is covered: after two checkpoints that change nothing, the tail that the last
/// record tells lies behind all changes, and recovery finds nothing to replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cover {
    /// Nothing was written since the log was covered.
    #[default]
    Idle,
    /// Changes were written.
    Need,
    /// The first of the two is on its way.
    First,
    /// The first is there, and the tail behind what was before it.
    NeedSecond,
    /// The second is on its way.
    Second,
}

impl Cover {
    /// A checkpoint was written, with all before it in its place if `idle`. `dummy` says that it was
    /// to cover.
    pub const fn wrote(self, dummy: bool) -> Self {
        match (self, dummy) {
            (Self::Need, true) => Self::First,
            (Self::NeedSecond, true) => Self::Second,
            _ => Self::Need,
        }
    }

    /// All that was written is in its place.
    pub const fn settled(self) -> Self {
        match self {
            Self::First => Self::NeedSecond,
            Self::Second => Self::Idle,
            other => other,
        }
    }

    /// Whether a checkpoint that changes nothing is wanted, once all is in its place.
    pub const fn is_wanted(self) -> bool {
        matches!(self, Self::Need | Self::NeedSecond)
    }
}
