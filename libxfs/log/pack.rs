// SPDX-License-Identifier: GPL-2.0

//! Items packed into records.
//!
//! [`RecordBuffer`] is the memory of one record, an "in-core log": operations are appended to it,
//! and at the end it is sealed for its place in the ring. [`Packer`] writes a transaction into one
//! such after the other, cutting regions where a record ends. Who fills the buffers, and who writes
//! them, is not known here.

use super::{items::Items, space::RecordLayout};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        log::{
            op::{
                DiskOpHeader, DiskTransactionHeader, DiskUnmount, CLIENT_LOG, CLIENT_TRANSACTION,
                OP_COMMIT, OP_CONTINUE, OP_END, OP_HEADER_SIZE, OP_START, OP_UNMOUNT,
                OP_WAS_CONTINUED, TRANSACTION_CHECKPOINT, TRANSACTION_MAGIC, UNMOUNT_MAGIC,
            },
            record::{pack, set_checksum, DiskRecordHeader, FORMAT, MAGIC, VERSION},
        },
        units::{Lsn, BASIC_BLOCK_SIZE},
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const BLOCK: usize = BASIC_BLOCK_SIZE as usize;

/// What a record's header says that the buffer does not know.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    /// The file system's shape.
    pub geo: &'a Geometry,
    /// Where the record goes.
    pub lsn: Lsn,
    /// The oldest record that recovery needs.
    pub tail: Lsn,
    /// Block of the record before; all ones if there is none.
    pub previous: u32,
    /// Basic blocks of the ring.
    pub ring: u32,
}

/// A record that is being filled.
pub struct RecordBuffer {
    layout: RecordLayout,
    /// Header, then data; as long as the largest record.
    bytes: KVVec<u8>,
    /// Bytes of data so far.
    used: usize,
    operations: u32,
}

impl RecordBuffer {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn new(layout: RecordLayout) -> Result<Self> {
        Ok(Self {
            layout,
            bytes: KVVec::from_elem(0, layout.size as usize, GFP_KERNEL)?,
            used: 0,
            operations: 0,
        })
    }

    /// Takes it away, to be written or given back. What is left has no memory, and takes nothing.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let hollow = Self {
            layout: self.layout,
            bytes: KVVec::new(),
            used: 0,
            operations: 0,
        };
        core::mem::replace(self, hollow)
    }

    /// Whether it has no operations.
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// Bytes of data that it has room for.
    pub fn room(&self) -> usize {
        (self.layout.capacity() as usize).saturating_sub(self.used)
    }

    /// Basic blocks that it takes as it is.
    pub fn blocks(&self) -> u32 {
        self.layout.blocks(self.used as u32)
    }

    /// Appends an operation.
    ///
    /// # Errors
    ///
    /// `Range` when there is no room.
    pub fn operation(&mut self, tid: u32, client: u8, flags: u8, bytes: &[u8]) -> Result {
        let op = DiskOpHeader {
            tid: tid.into(),
            len: u32::try_from(bytes.len()).map_err(|_| Error::Range)?.into(),
            clientid: client,
            flags,
            res2: 0.into(),
        };
        let whole = OP_HEADER_SIZE.saturating_add(bytes.len());
        if whole > self.room() {
            return Err(Error::Range);
        }
        let start = (self.layout.header_size() as usize).saturating_add(self.used);
        let room = self.bytes.get_mut(start..).ok_or(Error::Range)?;
        let (head, rest) = room
            .split_at_mut_checked(OP_HEADER_SIZE)
            .ok_or(Error::Range)?;
        head.copy_from_slice(op.as_bytes());
        rest.get_mut(..bytes.len())
            .ok_or(Error::Range)?
            .copy_from_slice(bytes);
        self.used = self.used.saturating_add(whole);
        self.operations = self.operations.saturating_add(1);
        Ok(())
    }

    /// Makes the bytes that go to the disk: sets header and cycles, pads, sums up. The buffer must
    /// be [cleared](Self::clear) before it takes operations again.
    ///
    /// # Errors
    ///
    /// `Range` when padding goes past the buffer, which none of a right layout does.
    pub fn seal(&mut self, seal: &Seal<'_>) -> Result<&[u8]> {
        let header_size = self.layout.header_size() as usize;
        let len = (self.blocks() as usize).saturating_mul(BLOCK);
        let record = self.bytes.get_mut(..len).ok_or(Error::Range)?;
        let (header, data) = record
            .split_at_mut_checked(header_size)
            .ok_or(Error::Range)?;
        data.get_mut(self.used..).ok_or(Error::Range)?.fill(0);
        header.fill(0);
        let mut first = DiskRecordHeader::new_zeroed();
        first.magicno = MAGIC.into();
        first.cycle = seal.lsn.cycle().into();
        first.version = VERSION.into();
        first.len = (data.len() as u32).into();
        first.lsn = seal.lsn.0.into();
        first.tail_lsn = seal.tail.0.into();
        first.prev_block = seal.previous.into();
        first.num_logops = self.operations.into();
        first.fmt = FORMAT.into();
        first.fs_uuid = seal.geo.uuid;
        first.size = self.layout.size.into();
        let (start, _) = DiskRecordHeader::mut_from_prefix(header).map_err(|_| Error::Range)?;
        *start = first;
        let before_end = seal.ring.saturating_sub(seal.lsn.block()) as usize;
        pack(header, data, seal.lsn.cycle(), before_end).ok_or(Error::Range)?;
        set_checksum(header, data);
        Ok(record)
    }

    /// The memory of the record, as it was last [sealed](Self::seal). What lies behind the record has
    /// no meaning.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes all operations away.
    pub fn clear(&mut self) {
        self.used = 0;
        self.operations = 0;
    }
}

/// Writes one transaction into buffers. `full` is called with each that has no room any more, and
/// must leave it empty.
pub struct Packer<'a, F> {
    buffer: &'a mut RecordBuffer,
    tid: u32,
    full: F,
}

impl<'a, F: FnMut(&mut RecordBuffer) -> Result> Packer<'a, F> {
    /// Starts a transaction in a buffer that may have operations of others.
    pub fn new(buffer: &'a mut RecordBuffer, tid: u32, full: F) -> Self {
        Self { buffer, tid, full }
    }

    /// Writes all items of a checkpoint with what goes before them: all but the commit.
    ///
    /// # Errors
    ///
    /// Those of `full`.
    pub fn checkpoint(&mut self, items: &Items) -> Result {
        self.start(items.region_count())?;
        self.items(items)
    }

    /// Starts a checkpoint of so many regions, which [follow](Self::items).
    ///
    /// # Errors
    ///
    /// Those of `full`.
    pub fn start(&mut self, regions: usize) -> Result {
        // So that a transaction starts where its header is.
        let start = OP_HEADER_SIZE.saturating_mul(2);
        self.make_room(start)?;
        self.operation(OP_START, &[])?;
        let header = DiskTransactionHeader {
            magic: TRANSACTION_MAGIC.into(),
            kind: TRANSACTION_CHECKPOINT.into(),
            tid: self.tid.into(),
            num_items: u32::try_from(regions).map_err(|_| Error::Range)?.into(),
        };
        self.region(header.as_bytes())
    }

    /// Writes items of a checkpoint that was started.
    ///
    /// # Errors
    ///
    /// Those of `full`.
    pub fn items(&mut self, items: &Items) -> Result {
        for region in items.regions().iter() {
            self.region(region)?;
        }
        Ok(())
    }

    /// Writes the commit. All before it must be stable before this is.
    ///
    /// # Errors
    ///
    /// Those of `full`.
    pub fn commit(&mut self) -> Result {
        self.make_room(OP_HEADER_SIZE)?;
        self.operation(OP_COMMIT, &[])
    }

    fn operation(&mut self, flags: u8, bytes: &[u8]) -> Result {
        self.buffer
            .operation(self.tid, CLIENT_TRANSACTION, flags, bytes)
    }

    fn make_room(&mut self, bytes: usize) -> Result {
        if self.buffer.room() < bytes {
            (self.full)(self.buffer)?;
        }
        Ok(())
    }

    /// Writes a region, in as many pieces as it needs.
    fn region(&mut self, region: &[u8]) -> Result {
        // A piece must not be empty: recovery would take the next one for what continues another.
        self.make_room(OP_HEADER_SIZE.saturating_add(4))?;
        let mut rest = region;
        let mut first = true;
        loop {
            let room = self.buffer.room().saturating_sub(OP_HEADER_SIZE);
            let fits = rest.len() <= room;
            let piece = rest.split_at_checked(room).map_or(rest, |(piece, _)| piece);
            let flags = match (first, fits) {
                (true, true) => 0,
                (true, false) => OP_CONTINUE,
                (false, true) => OP_WAS_CONTINUED | OP_END,
                (false, false) => OP_WAS_CONTINUED | OP_CONTINUE,
            };
            self.operation(flags, piece)?;
            rest = rest.get(piece.len()..).unwrap_or_default();
            if fits {
                return Ok(());
            }
            first = false;
            (self.full)(self.buffer)?;
            if self.buffer.room() <= OP_HEADER_SIZE {
                return Err(Error::Range);
            }
        }
    }
}

/// Writes an unmount into an empty buffer.
///
/// # Errors
///
/// `Range` when it is not empty.
pub fn unmount(buffer: &mut RecordBuffer, tid: u32) -> Result {
    if !buffer.is_empty() {
        return Err(Error::Range);
    }
    let unmount = DiskUnmount {
        magic: UNMOUNT_MAGIC.into(),
        pad1: [0; 2],
        pad2: [0; 4],
    };
    buffer.operation(tid, CLIENT_LOG, OP_UNMOUNT, unmount.as_bytes())
}
