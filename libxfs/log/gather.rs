// SPDX-License-Identifier: GPL-2.0

//! Transactions, gathered from the operations of records.
//!
//! A transaction may span records, and its operations may be mixed with those of others. One whose
//! commit is not in the log never was. Memory is taken for bytes that were read, and for no number
//! that the disk says.

use super::items::Items;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::{ensure, Fault},
        log::{
            item,
            op::{
                DiskOpHeader, DiskTransactionHeader, CLIENT_LOG, CLIENT_TRANSACTION, OP_COMMIT,
                OP_CONTINUE, OP_END, OP_HEADER_SIZE, OP_START, OP_UNMOUNT, OP_WAS_CONTINUED,
                TRANSACTION_HEADER_SIZE, TRANSACTION_MAGIC,
            },
            record::RecordHeader,
        },
        units::Lsn,
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::FromBytes;

const OP: &str = "log operation";
const HEADER: &str = "transaction header";

/// Transactions that may be unfinished at the same time. The kernel's driver writes a handful of
/// checkpoints side by side; this many are an attempt to keep recovery busy.
const MAX_OPEN: usize = 4096;

/// A transaction, as far as its operations were read.
pub struct Transaction {
    tid: u32,
    /// The record in which it starts: what its items are ordered by.
    pub lsn: Lsn,
    header: [u8; TRANSACTION_HEADER_SIZE],
    header_len: usize,
    /// Its items.
    pub items: Items,
    /// Regions that are still to come of the last item.
    missing: u16,
}

impl Transaction {
    fn new(tid: u32, lsn: Lsn) -> Self {
        Self {
            tid,
            lsn,
            header: [0; TRANSACTION_HEADER_SIZE],
            header_len: 0,
            items: Items::new(),
            missing: 0,
        }
    }

    fn fault(&self, structure: &'static str, field: &'static str) -> Error {
        Error::log(Fault::corrupt(structure, field), self.lsn)
    }

    /// Adds a part of the transaction's header, the first or another one.
    fn add_header(&mut self, bytes: &[u8]) -> Result {
        let end = self.header_len.saturating_add(bytes.len());
        let Some(into) = self.header.get_mut(self.header_len..end) else {
            return Err(self.fault(HEADER, "length"));
        };
        into.copy_from_slice(bytes);
        self.header_len = end;
        if end < TRANSACTION_HEADER_SIZE {
            return Ok(());
        }
        match DiskTransactionHeader::read_from_bytes(&self.header) {
            Ok(header) if header.magic.get() == TRANSACTION_MAGIC => Ok(()),
            _ => Err(self.fault(HEADER, "th_magic")),
        }
    }

    /// Adds a region, or the first part of one.
    fn add(&mut self, bytes: &[u8]) -> Result {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.header_len < TRANSACTION_HEADER_SIZE {
            // The rest of a header is never the first part of anything.
            if self.header_len != 0 {
                return Err(self.fault(HEADER, "length"));
            }
            return self.add_header(bytes);
        }
        if self.missing == 0 {
            let (_, regions) = item::start(bytes).map_err(|fault| Error::log(fault, self.lsn))?;
            self.items.start_item()?;
            self.missing = regions;
        }
        self.items.push_region(bytes)?;
        self.missing = self.missing.saturating_sub(1);
        Ok(())
    }

    /// Adds what continues the last region.
    fn add_more(&mut self, bytes: &[u8]) -> Result {
        if self.header_len < TRANSACTION_HEADER_SIZE {
            return self.add_header(bytes);
        }
        if self.items.is_empty() {
            return match bytes.is_empty() {
                true => Ok(()),
                false => Err(self.fault(OP, "oh_flags")),
            };
        }
        self.items.extend_region(bytes)
    }

    /// Whether all regions are there.
    fn check_whole(&self) -> Result {
        if self.missing != 0 || self.header_len != TRANSACTION_HEADER_SIZE {
            return Err(self.fault("log item", "regions"));
        }
        Ok(())
    }
}

/// The transactions that are not committed yet.
#[derive(Default)]
pub struct Gather {
    open: KVVec<Transaction>,
}

impl Gather {
    /// None yet.
    pub const fn new() -> Self {
        Self { open: KVVec::new() }
    }

    /// Takes in the data of the next record, and hands on the transactions that are committed in
    /// it.
    ///
    /// # Errors
    ///
    /// Corruption in this record, or in the transaction that started in an earlier one; `NoMemory`;
    /// those of `commit`.
    pub fn record(
        &mut self,
        record: &RecordHeader,
        data: &[u8],
        mut commit: impl FnMut(Transaction) -> Result,
    ) -> Result {
        let corrupt = |field| Error::log(Fault::corrupt(OP, field), record.lsn);
        let mut rest = data;
        for _ in 0..record.operations {
            if rest.is_empty() {
                break;
            }
            let (op, behind) =
                DiskOpHeader::ref_from_prefix(rest).map_err(|_| corrupt("oh_len"))?;
            let (bytes, behind) = behind
                .split_at_checked(op.len.get() as usize)
                .ok_or_else(|| corrupt("oh_len"))?;
            rest = behind;
            ensure(
                matches!(op.clientid, CLIENT_TRANSACTION | CLIENT_LOG),
                OP,
                "oh_clientid",
            )
            .map_err(|fault| Error::log(fault, record.lsn))?;
            // Regions are whole words; only so does each item's start come in one piece.
            if bytes.len() & 3 != 0 {
                return Err(corrupt("oh_len"));
            }
            if let Some(whole) = self.operation(record, op, bytes)? {
                whole.check_whole()?;
                commit(whole)?;
            }
        }
        Ok(())
    }

    /// Takes in one operation; the transaction that it commits.
    fn operation(
        &mut self,
        record: &RecordHeader,
        op: &DiskOpHeader,
        bytes: &[u8],
    ) -> Result<Option<Transaction>> {
        let tid = op.tid.get();
        let Some(index) = self.open.iter().position(|open| open.tid == tid) else {
            // The rest of one that started before the tail, and is of no interest.
            if op.flags & OP_START != 0 {
                if self.open.len() >= MAX_OPEN {
                    return Err(Error::log(Fault::corrupt(OP, "oh_tid"), record.lsn));
                }
                let open = Transaction::new(tid, record.lsn);
                self.open.push(open, GFP_KERNEL)?;
            }
            return Ok(None);
        };
        let mut flags = op.flags & !OP_END;
        if flags & OP_WAS_CONTINUED != 0 {
            flags &= !OP_CONTINUE;
        }
        let Some(open) = self.open.get_mut(index) else {
            return Ok(None);
        };
        match flags {
            0 | OP_CONTINUE => open.add(bytes).map(|()| None),
            OP_WAS_CONTINUED => open.add_more(bytes).map(|()| None),
            OP_COMMIT => Ok(self.take(index)),
            OP_UNMOUNT => {
                self.take(index);
                Ok(None)
            }
            _ => Err(Error::log(Fault::corrupt(OP, "oh_flags"), record.lsn)),
        }
    }

    /// Takes a transaction out; the order of the others does not matter.
    fn take(&mut self, index: usize) -> Option<Transaction> {
        let last = self.open.pop()?;
        match self.open.get_mut(index) {
            Some(taken) => Some(core::mem::replace(taken, last)),
            None => Some(last),
        }
    }
}

const _: () = assert!(OP_HEADER_SIZE % 4 == 0);
