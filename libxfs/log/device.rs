// SPDX-License-Identifier: GPL-2.0

//! What the log asks of the device that it lies on.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        units::{DiskAddr, BASIC_BLOCK_LOG},
    },
    store::{Device, Run, Store},
};

/// Where a log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogArea {
    /// Its device.
    pub device: Device,
    /// Its block 0.
    pub start: DiskAddr,
    /// Basic blocks; not 0.
    pub len: u32,
}

impl LogArea {
    /// The log of a file system, internal or external.
    ///
    /// # Errors
    ///
    /// `Invalid` when the superblock places it nowhere, or gives it no blocks.
    pub fn of(geo: &Geometry) -> Result<Self> {
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
        Ok(Self { device, start, len })
    }

    /// Where a block of the log lies on its device.
    pub fn address(&self, block: u32) -> DiskAddr {
        DiskAddr(self.start.0.saturating_add(u64::from(block)))
    }

    /// Corruption at a block.
    pub fn corrupt(&self, block: u32, fault: Fault) -> Error {
        Error::block(fault, self.device, self.address(block))
    }

    /// The block `n` after `block`, around the ring.
    pub fn after(&self, block: u32, n: u32) -> u32 {
        let sum = u64::from(block).saturating_add(u64::from(n));
        sum.checked_rem(u64::from(self.len)).unwrap_or(0) as u32
    }

    /// The block `n` before `block`, around the ring; `n` is not more than its length.
    pub fn before(&self, block: u32, n: u32) -> u32 {
        self.after(block, self.len.saturating_sub(n))
    }

    /// Blocks from `from` forward to `to`, around the ring: 0 where they are the same.
    pub fn distance(&self, from: u32, to: u32) -> u32 {
        self.after(to, self.len.saturating_sub(from))
    }
}

/// Reads the device of a log.
pub trait ReadLog {
    /// Fills `into`, whole basic blocks, from `at` on.
    ///
    /// Places and lengths are multiples of the log's sector, wherever a well-formed log is read; what
    /// is not must be read by the sectors around it, or refused.
    ///
    /// # Errors
    ///
    /// `Io`; `Invalid` outside the device.
    fn read(&self, device: Device, at: DiskAddr, into: &mut [u8]) -> Result;

    /// Whether the caller should give up (a fatal signal is pending).
    fn interrupted(&self) -> bool {
        false
    }
}

/// Reads and writes the device of a log.
pub trait WriteLog: ReadLog {
    /// Writes whole sectors from `at` on. They need not be stable before the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// `Io`; `Invalid` outside the device.
    fn write(&self, device: Device, at: DiskAddr, bytes: &[u8]) -> Result;

    /// Makes stable what was written to the device.
    ///
    /// # Errors
    ///
    /// `Io`.
    fn flush(&self, device: Device) -> Result;
}

/// A store's log, read through its blocks.
pub struct StoreLog<'a, S: Store>(pub &'a S);

impl<S: Store> ReadLog for StoreLog<'_, S> {
    fn read(&self, device: Device, at: DiskAddr, into: &mut [u8]) -> Result {
        let len = u32::try_from(into.len() >> BASIC_BLOCK_LOG).map_err(|_| Error::Invalid)?;
        let block = self.0.read(device, Run { at, len }, Kind::Raw)?;
        into.copy_from_slice(block.get(..into.len()).ok_or(Error::Invalid)?);
        Ok(())
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
