// SPDX-License-Identifier: GPL-2.0

//! The log as a ring of basic blocks.

use super::device::{LogArea, ReadLog};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        log::{cycle_of, is_header},
        units::BASIC_BLOCK_SIZE,
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// Basic blocks that are read at a time, at multiples of this: as much as the largest sector.
const CHUNK: u32 = 64;
const BLOCK: usize = BASIC_BLOCK_SIZE as usize;

/// Reads basic blocks of the log, a chunk at a time.
pub(super) struct Ring<'a, D: ReadLog> {
    device: &'a D,
    geo: &'a Geometry,
    pub(super) area: LogArea,
    /// First block of the chunk that is held.
    first: Option<u32>,
    chunk: KVVec<u8>,
}

impl<'a, D: ReadLog> Ring<'a, D> {
    /// The log of a file system, internal or external.
    ///
    /// # Errors
    ///
    /// `Invalid` when the superblock places it nowhere, or gives it no blocks; `NoMemory`.
    pub(super) fn new(device: &'a D, geo: &'a Geometry) -> Result<Self> {
        let area = LogArea::of(geo)?;
        let len = (CHUNK.min(area.len) as usize).saturating_mul(BLOCK);
        Ok(Self {
            device,
            geo,
            area,
            first: None,
            chunk: KVVec::from_elem(0, len, GFP_KERNEL)?,
        })
    }

    pub(super) fn geometry(&self) -> &'a Geometry {
        self.geo
    }

    /// Basic blocks of the ring.
    pub(super) fn len(&self) -> u32 {
        self.area.len
    }

    /// Reads the chunk with a block, unless it is held. Answers the block's index in it.
    fn load(&mut self, block: u32) -> Result<u32> {
        if block >= self.area.len {
            return Err(Error::Invalid);
        }
        let within = block.checked_rem(CHUNK).unwrap_or(0);
        let first = block.saturating_sub(within);
        if self.first != Some(first) {
            if self.device.interrupted() {
                return Err(Error::Interrupted);
            }
            self.first = None;
            let blocks = CHUNK.min(self.area.len.saturating_sub(first));
            let len = (blocks as usize).saturating_mul(BLOCK);
            let into = self.chunk.get_mut(..len).ok_or(Error::Invalid)?;
            let at = self.area.address(first);
            self.device.read(self.area.device, at, into)?;
            self.first = Some(first);
        }
        Ok(within)
    }

    /// A basic block.
    pub(super) fn block(&mut self, block: u32) -> Result<&[u8]> {
        let within = self.load(block)?;
        (within as usize)
            .checked_mul(BLOCK)
            .and_then(|start| self.chunk.get(start..start.checked_add(BLOCK)?))
            .ok_or(Error::Invalid)
    }

    /// Puts `blocks` basic blocks from `block` on, around the ring, behind what is in `into`.
    pub(super) fn copy(&mut self, block: u32, blocks: u32, into: &mut KVVec<u8>) -> Result {
        let mut done = 0;
        while done < blocks {
            let at = self.area.after(block, done);
            let within = self.load(at)?;
            let end = CHUNK.min(within.saturating_add(blocks.saturating_sub(done)));
            let end = end.min(within.saturating_add(self.area.len.saturating_sub(at)));
            let bytes = (within as usize)
                .checked_mul(BLOCK)
                .zip((end as usize).checked_mul(BLOCK))
                .and_then(|(start, end)| self.chunk.get(start..end))
                .ok_or(Error::Invalid)?;
            into.extend_from_slice(bytes, GFP_KERNEL)?;
            done = done.saturating_add(end.saturating_sub(within));
        }
        Ok(())
    }

    /// The cycle of a block.
    pub(super) fn cycle(&mut self, block: u32) -> Result<u32> {
        cycle_of(self.block(block)?).ok_or(Error::Invalid)
    }

    /// The first of the blocks from `start` to before `end` that has that cycle.
    pub(super) fn find_cycle(&mut self, start: u32, end: u32, cycle: u32) -> Result<Option<u32>> {
        for block in start..end {
            if self.cycle(block)? == cycle {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// The nearest header of a record among the `most` blocks before `block`, around the ring.
    pub(super) fn header_before(&mut self, block: u32, most: u32) -> Result<Option<u32>> {
        for back in 1..=most.min(self.area.len) {
            let at = self.area.before(block, back);
            if is_header(self.block(at)?) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The nearest header of a record among the `most` blocks from `block` on, around the ring.
    pub(super) fn header_from(&mut self, block: u32, most: u32) -> Result<Option<u32>> {
        for ahead in 0..most.min(self.area.len) {
            let at = self.area.after(block, ahead);
            if is_header(self.block(at)?) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}
