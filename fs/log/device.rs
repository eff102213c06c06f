// SPDX-License-Identifier: GPL-2.0

//! The device of a log that is found, recovered and cleared, through blocks past the cache.

use crate::{
    fs::buf::Cache,
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            kind::Kind,
            units::{
                DiskAddr,
                BASIC_BLOCK_SIZE, //
            },
        },
        log::device::{
            ReadLog,
            WriteLog, //
        },
        store::{
            Device,
            Run, //
        },
    },
    rust::{
        bindings,
        kernel::bio::Durability, //
    },
};

/// Bytes of a basic block.
const BLOCK: usize = BASIC_BLOCK_SIZE as usize;
/// Basic blocks that are read or written at once.
const CHUNK_BLOCKS: usize = 512;
/// The same in bytes.
const CHUNK: usize = CHUNK_BLOCKS * BLOCK;

/// A log's device.
pub(crate) struct LogDevice<'a> {
    /// The data device.
    pub(crate) data: &'a Cache,
    /// The log's own, if it has one.
    pub(crate) log: Option<&'a Cache>,
}

impl LogDevice<'_> {
    fn cache(&self, device: Device) -> Result<&Cache> {
        match device {
            Device::Data => Ok(self.data),
            Device::Log => self.log.ok_or(Error::Invalid),
            Device::Realtime => Err(Error::Invalid),
        }
    }

    /// The runs of a piece of the device, a chunk each, with their bytes.
    fn run(at: DiskAddr, chunk: usize, bytes: usize) -> Result<Run> {
        let before = chunk.saturating_mul(CHUNK_BLOCKS);
        let len = bytes / BLOCK;
        Ok(Run {
            at: at.checked_add(before as u64).ok_or(Error::Invalid)?,
            len: len as u32,
        })
    }
}

impl ReadLog for LogDevice<'_> {
    fn read(&self, device: Device, at: DiskAddr, into: &mut [u8]) -> Result {
        let cache = self.cache(device)?;
        for (index, into) in into.chunks_mut(CHUNK).enumerate() {
            let run = Self::run(at, index, into.len())?;
            let block = cache.read_uncached(&[run], Kind::Raw)?;
            into.copy_from_slice(block.get(..into.len()).ok_or(Error::Invalid)?);
        }
        Ok(())
    }

    fn interrupted(&self) -> bool {
        // SAFETY: Looks at the current task.
        unsafe { bindings::fatal_signal_pending() }
    }
}

impl WriteLog for LogDevice<'_> {
    fn write(&self, device: Device, at: DiskAddr, bytes: &[u8]) -> Result {
        let cache = self.cache(device)?;
        for (index, bytes) in bytes.chunks(CHUNK).enumerate() {
            let run = Self::run(at, index, bytes.len())?;
            let mut block = cache.fresh_uncached(&[run], Kind::Raw)?;
            let into = block.get_mut(..bytes.len()).ok_or(Error::Invalid)?;
            into.copy_from_slice(bytes);
            block.write(Durability::Cached)?;
        }
        Ok(())
    }

    fn flush(&self, device: Device) -> Result {
        let device = self.cache(device)?.block_device();
        device.flush().map_err(|_| Error::Io)
    }
}
