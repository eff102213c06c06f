// SPDX-License-Identifier: GPL-2.0

//! The log as a ring of basic blocks.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        log::{cycle_of, is_header},
        units::{DiskAddr, BASIC_BLOCK_SIZE},
    },
    store::{Device, Run, Store},
};

/// Basic blocks that are read at a time, at multiples of this: as much as the largest sector.
const CHUNK: u32 = 64;

/// Reads basic blocks of the log, a chunk at a time.
pub(super) struct Ring<'a, S: Store> {
    store: &'a S,
    device: Device,
    /// Where block 0 lies on its device.
    start: DiskAddr,
    /// Basic blocks.
    len: u32,
    chunk: Option<(u32, S::Block)>,
}

impl<'a, S: Store> Ring<'a, S> {
    /// The log of a file system, internal or external.
    ///
    /// # Errors
    ///
    /// `Invalid` when the superblock places it nowhere, or gives it no blocks.
    pub(super) fn new(store: &'a S) -> Result<Self> {
        let geo: &Geometry = store.geometry();
        let (device, start) = match geo.log_start {
            Some(block) => (
                Device::Data,
                geo.fs_block_addr(block).ok_or(Error::Invalid)?,
            ),
            None => (Device::Log, DiskAddr(0)),
        };
        let len = geo
            .log_blocks
            .checked_mul(geo.basic_blocks_per_block())
            .filter(|&len| len != 0)
            .ok_or(Error::Invalid)?;
        Ok(Self {
            store,
            device,
            start,
            len,
            chunk: None,
        })
    }

    pub(super) fn geometry(&self) -> &'a Geometry {
        self.store.geometry()
    }

    /// Basic blocks of the ring.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    fn address(&self, block: u32) -> DiskAddr {
        DiskAddr(self.start.0.saturating_add(u64::from(block)))
    }

    /// Corruption at a block.
    pub(super) fn corrupt(&self, block: u32, fault: Fault) -> Error {
        Error::block(fault, self.device, self.address(block))
    }

    /// The block `n` after `block`, around the ring.
    pub(super) fn after(&self, block: u32, n: u32) -> u32 {
        let sum = u64::from(block).saturating_add(u64::from(n));
        sum.checked_rem(u64::from(self.len)).unwrap_or(0) as u32
    }

    /// The block `n` before `block`, around the ring; `n` is not more than its length.
    pub(super) fn before(&self, block: u32, n: u32) -> u32 {
        self.after(block, self.len.saturating_sub(n))
    }

    /// A basic block.
    pub(super) fn block(&mut self, block: u32) -> Result<&[u8]> {
        let within = block.checked_rem(CHUNK).unwrap_or(0);
        let first = block.saturating_sub(within);
        if block >= self.len {
            return Err(Error::Invalid);
        }
        let chunk = match self.chunk.take() {
            Some((at, chunk)) if at == first => chunk,
            _ => {
                if self.store.interrupted() {
                    return Err(Error::Interrupted);
                }
                let run = Run {
                    at: self.address(first),
                    len: CHUNK.min(self.len.saturating_sub(first)),
                };
                self.store.read(self.device, run, Kind::Raw)?
            }
        };
        let (_, chunk) = self.chunk.insert((first, chunk));
        let size = BASIC_BLOCK_SIZE as usize;
        (within as usize)
            .checked_mul(size)
            .and_then(|start| chunk.get(start..start.checked_add(size)?))
            .ok_or(Error::Invalid)
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
        for back in 1..=most.min(self.len) {
            let at = self.before(block, back);
            if is_header(self.block(at)?) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}
