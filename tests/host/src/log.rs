// SPDX-License-Identifier: GPL-2.0

//! Devices for logs, and blocks for their recovery.

use crate::{
    image::{Disk, Disks, Overlay},
    libxfs::{
        error::{Error, Result},
        format::units::{DiskAddr, BASIC_BLOCK_SIZE},
        log::{
            device::{ReadLog, WriteLog},
            recover::Replay,
        },
        store::{Device, Run},
    },
};
use std::{
    cell::RefCell,
    fs::File,
    ops::{Deref, DerefMut},
    os::unix::fs::FileExt,
    sync::Arc,
};

/// A log in memory.
#[derive(Clone)]
pub struct MemoryLog {
    /// Where it lies on its device.
    base: DiskAddr,
    bytes: RefCell<Vec<u8>>,
    /// What was written, in its order: place in bytes, and bytes.
    writes: RefCell<Vec<(usize, Vec<u8>)>>,
}

impl MemoryLog {
    /// A log with that content, which starts its device.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self::at(DiskAddr(0), bytes)
    }

    /// A log with that content, which starts at `base` of its device.
    pub fn at(base: DiskAddr, bytes: Vec<u8>) -> Self {
        Self {
            base,
            bytes: RefCell::new(bytes),
            writes: RefCell::default(),
        }
    }

    /// What is in it.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Changes some bytes.
    pub fn put(&self, at: usize, bytes: &[u8]) {
        self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// What was written since this was asked for last.
    pub fn take_writes(&self) -> Vec<(usize, Vec<u8>)> {
        self.writes.take()
    }

    fn start(&self, at: DiskAddr, len: usize) -> Result<usize> {
        let start = at.distance_from(self.base);
        start
            .and_then(|start| start.checked_mul(u64::from(BASIC_BLOCK_SIZE)))
            .and_then(|start| usize::try_from(start).ok())
            .filter(|start| start.saturating_add(len) <= self.bytes.borrow().len())
            .ok_or(Error::Invalid)
    }
}

impl ReadLog for MemoryLog {
    fn read(&self, _: Device, at: DiskAddr, into: &mut [u8]) -> Result {
        let start = self.start(at, into.len())?;
        into.copy_from_slice(&self.bytes.borrow()[start..start + into.len()]);
        Ok(())
    }
}

impl WriteLog for MemoryLog {
    fn write(&self, _: Device, at: DiskAddr, bytes: &[u8]) -> Result {
        let start = self.start(at, bytes.len())?;
        self.put(start, bytes);
        self.writes.borrow_mut().push((start, bytes.to_vec()));
        Ok(())
    }

    fn flush(&self, _: Device) -> Result {
        Ok(())
    }
}

impl ReadLog for Disks {
    fn read(&self, device: Device, at: DiskAddr, into: &mut [u8]) -> Result {
        Disks::read(self, device, at, into)
    }
}

impl WriteLog for Disks {
    fn write(&self, device: Device, at: DiskAddr, bytes: &[u8]) -> Result {
        Disks::write(self, device, at, bytes)
    }

    fn flush(&self, device: Device) -> Result {
        Disks::flush(self, device)
    }
}

/// Blocks under recovery, in memory until they are written to `disk`.
pub struct ImageReplay<'a> {
    kept: Overlay,
    disk: Option<&'a dyn Disk>,
    /// Blocks that were written.
    pub written: u64,
}

impl<'a> ImageReplay<'a> {
    /// Over that data device. Without a disk to write to, what is written stays in memory.
    pub fn new(data: Arc<dyn Disk>, disk: Option<&'a dyn Disk>) -> Self {
        Self {
            kept: Overlay::new(data),
            disk,
            written: 0,
        }
    }

    /// The data device as it is now, with what was not written.
    pub fn into_disk(self) -> Overlay {
        self.kept
    }
}

/// A block that is held for recovery.
pub struct Held {
    offset: u64,
    bytes: Vec<u8>,
}

impl Deref for Held {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Replay for ImageReplay<'_> {
    type Block = Held;

    fn hold(&mut self, run: Run) -> Result<Held> {
        let offset = run.at.0.checked_mul(u64::from(BASIC_BLOCK_SIZE));
        let len = u64::from(run.len) * u64::from(BASIC_BLOCK_SIZE);
        let offset = offset
            .filter(|offset| offset.saturating_add(len) <= self.kept.size())
            .ok_or(Error::Invalid)?;
        let mut bytes = vec![0; len as usize];
        self.kept
            .read_at(offset, &mut bytes)
            .map_err(|_| Error::Io)?;
        Ok(Held { offset, bytes })
    }

    fn keep(&mut self, block: Held) -> Result {
        self.kept
            .write_at(block.offset, &block.bytes)
            .map_err(|_| Error::Io)
    }

    fn write(&mut self, block: Held) -> Result {
        if let Some(disk) = self.disk {
            disk.write(block.offset, &block.bytes)
                .map_err(|_| Error::Io)?;
        }
        self.written += 1;
        self.keep(block)
    }

    fn finish(&mut self) -> Result {
        match self.disk {
            Some(disk) => disk.flush().map_err(|_| Error::Io),
            None => Ok(()),
        }
    }
}

/// A log in a file: that of its own device, or that of the data device.
pub struct FileLog(pub File);

impl ReadLog for FileLog {
    fn read(&self, _: Device, at: DiskAddr, into: &mut [u8]) -> Result {
        let offset = at.0.checked_mul(u64::from(BASIC_BLOCK_SIZE));
        let offset = offset.ok_or(Error::Invalid)?;
        self.0.read_exact_at(into, offset).map_err(|_| Error::Io)
    }
}

impl WriteLog for FileLog {
    fn write(&self, _: Device, at: DiskAddr, bytes: &[u8]) -> Result {
        let offset = at.0.checked_mul(u64::from(BASIC_BLOCK_SIZE));
        let offset = offset.ok_or(Error::Invalid)?;
        self.0.write_all_at(bytes, offset).map_err(|_| Error::Io)
    }

    fn flush(&self, _: Device) -> Result {
        self.0.sync_data().map_err(|_| Error::Io)
    }
}
