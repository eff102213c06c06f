// SPDX-License-Identifier: GPL-2.0

//! A log that is written by one, one checkpoint after the other, and waits for each.

use super::{
    device::{LogArea, WriteLog},
    head::Head,
    items::Items,
    pack::{self, Packer, RecordBuffer, Seal},
    space::{self, Cover, RecordLayout},
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        log::op::OP_HEADER_SIZE,
        units::{Lsn, BASIC_BLOCK_SIZE},
    },
};

/// Where the next record goes, and how.
struct Place<'a, D: WriteLog> {
    device: &'a D,
    geo: &'a Geometry,
    area: LogArea,
    next: Lsn,
    tail: Lsn,
    /// Block of the last record; all ones if there is none.
    last: u32,
}

/// Writes checkpoints.
pub struct Writer<'a, D: WriteLog> {
    place: Place<'a, D>,
    layout: RecordLayout,
    buffer: RecordBuffer,
    tid: u32,
    cover: Cover,
}

impl<'a, D: WriteLog> Writer<'a, D> {
    /// Starts behind a head whose changes are all in their place, with records from in-core logs of
    /// about `size` bytes.
    ///
    /// What was cut off in front of the head must have been [cleared](super::stale::clear).
    ///
    /// # Errors
    ///
    /// `Invalid` for a log that no such records can be written to; `NoMemory`.
    pub fn new(device: &'a D, geo: &'a Geometry, head: &Head, size: u32) -> Result<Self> {
        let area = LogArea::of(geo)?;
        let layout = RecordLayout::new(geo, size).ok_or(Error::Invalid)?;
        if head.next.block() >= area.len {
            return Err(Error::Invalid);
        }
        Ok(Self {
            place: Place {
                device,
                geo,
                area,
                next: head.next,
                tail: head.next,
                last: head.last.unwrap_or(u32::MAX),
            },
            layout,
            buffer: RecordBuffer::new(layout)?,
            // Any number will do, as long as no older operation around here has the same.
            tid: head.next.block() ^ head.next.cycle().rotate_left(24),
            cover: Cover::Idle,
        })
    }

    /// Has the log keep what recovery found from `tail` on: intents that are still to be carried out.
    ///
    /// # Errors
    ///
    /// `Invalid` for a place that is not at most one time round the ring behind the head.
    pub fn needed_from(mut self, tail: Lsn) -> Result<Self> {
        space::distance(self.place.area.len, tail, self.place.next).ok_or(Error::Invalid)?;
        self.place.tail = tail;
        self.cover = Cover::Need;
        Ok(self)
    }

    /// Where the next record goes.
    pub fn head(&self) -> Head {
        Head {
            next: self.place.next,
            last: (self.place.last != u32::MAX).then_some(self.place.last),
            tail: self.place.tail,
        }
    }

    /// Says that all checkpoints before the one that started at `tail` are in their place, or all
    /// that there are if it is the head.
    ///
    /// # Errors
    ///
    /// `Invalid` for a place outside the part that is in use.
    pub fn set_tail(&mut self, tail: Lsn) -> Result {
        let len = self.place.area.len;
        let used = space::distance(len, self.place.tail, self.place.next);
        let left = space::distance(len, tail, self.place.next);
        match (used, left) {
            (Some(used), Some(left)) if left <= used => {}
            _ => return Err(Error::Invalid),
        }
        self.place.tail = tail;
        if tail == self.place.next {
            self.cover = self.cover.settled();
        }
        Ok(())
    }

    /// How far the log is covered.
    pub fn cover(&self) -> Cover {
        self.cover
    }

    /// The most basic blocks that a checkpoint takes.
    pub fn blocks_for(&self, items: &Items) -> u32 {
        let ops = items.region_count().saturating_mul(OP_HEADER_SIZE);
        let bytes = items.byte_len().saturating_add(ops);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.layout.reservation(bytes).div_ceil(BASIC_BLOCK_SIZE)
    }

    /// Whether there is room for a checkpoint. If not, the tail must move first.
    pub fn fits(&self, items: &Items) -> bool {
        let place = &self.place;
        self.blocks_for(items) <= space::free(place.area.len, place.next, place.tail)
    }

    /// Writes a checkpoint and waits until it is stable. Returns the LSN that its changes have.
    ///
    /// # Errors
    ///
    /// `Range` when there is no room; nothing was written then. Those of the device; then the log
    /// must not be written any more.
    pub fn checkpoint(&mut self, items: &Items) -> Result<Lsn> {
        self.write(items, false)
    }

    /// Writes a checkpoint that covers the log: its items change nothing. Wanted when
    /// [`Cover::is_wanted`], and all is in its place.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint).
    pub fn dummy(&mut self, items: &Items) -> Result<Lsn> {
        self.write(items, true)
    }

    fn write(&mut self, items: &Items, dummy: bool) -> Result<Lsn> {
        if !self.fits(items) {
            return Err(Error::Range);
        }
        let start = self.place.next;
        self.tid = self.tid.wrapping_add(1);
        let place = &mut self.place;
        let mut packer = Packer::new(&mut self.buffer, self.tid, |buffer| place.write(buffer));
        packer.checkpoint(items)?;
        packer.commit()?;
        if place.next != start {
            // The commit must not be there before what it commits.
            place.device.flush(place.area.device)?;
        }
        place.write(&mut self.buffer)?;
        place.device.flush(place.area.device)?;
        self.cover = self.cover.wrote(dummy);
        Ok(start)
    }

    /// Writes that the file system was unmounted: the log is clean then. All must be in its place.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is not; `Range` when there is no room; those of the device.
    pub fn unmount(&mut self) -> Result {
        let place = &mut self.place;
        if place.tail != place.next {
            return Err(Error::Invalid);
        }
        self.tid = self.tid.wrapping_add(1);
        self.buffer.clear();
        pack::unmount(&mut self.buffer, self.tid)?;
        place.write(&mut self.buffer)?;
        place.tail = place.next;
        self.cover = Cover::Idle;
        place.device.flush(place.area.device)
    }
}

impl<D: WriteLog> Place<'_, D> {
    /// Writes a record to the head and leaves the buffer empty.
    fn write(&mut self, buffer: &mut RecordBuffer) -> Result {
        let blocks = buffer.blocks();
        if blocks > space::free(self.area.len, self.next, self.tail) {
            return Err(Error::Range);
        }
        let at = self.next.block();
        let record = buffer.seal(&Seal {
            geo: self.geo,
            lsn: self.next,
            tail: self.tail,
            previous: self.last,
            ring: self.area.len,
        })?;
        let before_end = self.area.len.saturating_sub(at) as usize;
        let split = before_end
            .saturating_mul(BASIC_BLOCK_SIZE as usize)
            .min(record.len());
        let (first, second) = record.split_at_checked(split).ok_or(Error::Range)?;
        // The part with the header last: without it the other is nothing.
        if !second.is_empty() {
            self.device
                .write(self.area.device, self.area.address(0), second)?;
        }
        self.device
            .write(self.area.device, self.area.address(at), first)?;
        self.last = at;
        self.next = space::advance(self.area.len, self.next, blocks);
        buffer.clear();
        Ok(())
    }
}
