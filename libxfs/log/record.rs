// SPDX-License-Identifier: GPL-2.0

//! Records as they are read, and walks from one to the next.

use super::{device::ReadLog, ring::Ring};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::{ensure, Fault},
        log::record::{self, checksum_is_good, cycle_of, record_header, RecordHeader},
        units::BASIC_BLOCK_SIZE,
    },
};
use kernel::alloc::KVVec;

const NAME: &str = "log record";
const BLOCK: usize = BASIC_BLOCK_SIZE as usize;

/// The bytes of a record, and what its header says.
pub(super) struct Record {
    pub(super) header: RecordHeader,
    /// Block of the ring at which it starts.
    pub(super) at: u32,
    /// Blocks of header, then of data.
    bytes: KVVec<u8>,
}

/// A place in the log on the way from the tail to the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Where the next record starts.
    pub(super) at: u32,
    /// Blocks that are left before the head.
    pub(super) left: u32,
}

impl Walk {
    /// Reads the record here into the memory of `before`, holds it to its rules, and steps behind
    /// it. `None` at the head.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a record that is not whole, goes past the head, or was written by another
    /// machine or for another file system; those of reading. The walk has not moved then.
    pub(super) fn next<D: ReadLog>(
        &mut self,
        ring: &mut Ring<'_, D>,
        before: Option<Record>,
    ) -> Result<Option<Record>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut bytes = before.map_or_else(KVVec::new, |record| record.bytes);
        bytes.clear();
        let at = self.at;
        let area = ring.area;
        let corrupt = |fault| area.corrupt(at, fault);
        let header = check_header(ring, at).map_err(corrupt_at(area, at))?;
        let blocks = header.blocks();
        ensure(blocks <= self.left, NAME, "len").map_err(corrupt)?;
        ring.copy(at, blocks, &mut bytes)?;
        let record = Record { header, at, bytes };
        let (head, data) = record.parts().map_err(corrupt)?;
        // mkfs.xfs sets no checksum.
        if header.crc != 0 && !checksum_is_good(head, data) {
            return Err(corrupt(Fault::checksum(NAME)));
        }
        self.at = area.after(at, blocks);
        self.left = self.left.saturating_sub(blocks);
        Ok(Some(record))
    }
}

/// What went wrong with the bytes of a block, or with reading them.
enum Wrong {
    Read(Error),
    Bytes(Fault),
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Wrong::Bytes(fault)
    }
}

fn corrupt_at(area: super::device::LogArea, at: u32) -> impl Fn(Wrong) -> Error {
    move |wrong| match wrong {
        Wrong::Read(error) => error,
        Wrong::Bytes(fault) => area.corrupt(at, fault),
    }
}

/// The header at a block, held to what recovery needs of it.
fn check_header<D: ReadLog>(
    ring: &mut Ring<'_, D>,
    at: u32,
) -> core::result::Result<RecordHeader, Wrong> {
    let geo = ring.geometry();
    let block = ring.block(at).map_err(Wrong::Read)?;
    let header = record_header(geo, block)?;
    ensure(header.is_native, NAME, "fmt")?;
    ensure(header.lsn.block() == at, NAME, "lsn")?;
    ensure(Some(header.lsn.cycle()) == cycle_of(block), NAME, "cycle")?;
    // mkfs.xfs pads its only record to the stripe unit, however large that is.
    let made = header.crc == 0 && header.operations == 1;
    ensure(
        made || header.data_blocks <= header.header_blocks.saturating_mul(64),
        NAME,
        "len",
    )?;
    Ok(header)
}

impl Record {
    /// The blocks of header and the bytes of data, as they lie on the disk.
    fn parts(&self) -> core::result::Result<(&[u8], &[u8]), Fault> {
        let middle = (self.header.header_blocks as usize).saturating_mul(BLOCK);
        let (head, data) = self
            .bytes
            .split_at_checked(middle)
            .ok_or(Fault::corrupt(NAME, "len"))?;
        let data = data
            .get(..self.header.len as usize)
            .ok_or(Fault::corrupt(NAME, "len"))?;
        Ok((head, data))
    }

    /// The data, with the words back in place that cycles displaced. Whoever asks wants to replay
    /// it, so it must have a checksum.
    ///
    /// # Errors
    ///
    /// A fault when it has none.
    pub(super) fn unpack(&mut self) -> core::result::Result<&[u8], Fault> {
        if self.header.crc == 0 {
            return Err(Fault::checksum(NAME));
        }
        let middle = (self.header.header_blocks as usize).saturating_mul(BLOCK);
        let short = Fault::corrupt(NAME, "len");
        let (head, data) = self.bytes.split_at_mut_checked(middle).ok_or(short)?;
        record::unpack(head, data).ok_or(short)?;
        self.parts().map(|(_, data)| data)
    }
}
