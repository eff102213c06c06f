// SPDX-License-Identifier: GPL-2.0

//! The first pass: every item is decoded, and what tells that others are not to be replayed is
//! noted.

use super::{
    super::{
        gather::Transaction,
        intent::{answered, Intent},
        items::Items,
    },
    sort::sort,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        log::{
            buffer::BufferItem,
            dquot::{DquotItem, QuotaOff},
            icreate::InodeCreate,
            inode::InodeItem,
            item::ItemKind,
            regions::Regions,
        },
        quota::QuotaType,
        units::DiskAddr,
    },
    items::IntentId,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// A buffer was freed.
#[derive(Clone, Copy)]
struct Freed {
    at: DiskAddr,
    len: u32,
    /// Number of the transaction.
    transaction: u64,
}

/// An intent, or its answer.
#[derive(Clone, Copy)]
struct Event {
    kind: ItemKind,
    id: IntentId,
    /// Number of the item.
    order: u64,
    is_answer: bool,
}

/// What the first pass has found.
pub(super) struct Survey {
    /// By place and number of the transaction, once closed.
    freed: KVVec<Freed>,
    /// By kind, name and number, once closed.
    events: KVVec<Event>,
    /// Numbers of the items that are intents without an answer, in their order.
    open: KVVec<u64>,
    quota_off: QuotaOff,
    transactions: u64,
    items: u64,
}

impl Survey {
    pub(super) fn new() -> Self {
        Self {
            freed: KVVec::new(),
            events: KVVec::new(),
            open: KVVec::new(),
            quota_off: QuotaOff::default(),
            transactions: 0,
            items: 0,
        }
    }

    /// Looks at a transaction.
    ///
    /// # Errors
    ///
    /// Corruption that names the record, the item and the field; `NoMemory`.
    pub(super) fn transaction(&mut self, transaction: &Transaction) -> Result {
        let lsn = transaction.lsn;
        for regions in transaction.items.iter() {
            let kind = Items::kind_of(&regions, lsn)?;
            if let Some(intent) = Intent::decode(kind, regions, lsn)? {
                self.event(kind, intent.id, false)?;
            } else {
                self.item(kind, regions, |fault| Error::log(fault, lsn))?;
            }
            self.items = self.items.saturating_add(1);
        }
        self.transactions = self.transactions.saturating_add(1);
        Ok(())
    }

    fn item(
        &mut self,
        kind: ItemKind,
        regions: Regions<'_>,
        corrupt: impl Fn(crate::libxfs::format::fault::Fault) -> Error,
    ) -> Result {
        match kind {
            ItemKind::Buffer => {
                let buffer = BufferItem::decode(regions).map_err(corrupt)?;
                if buffer.is_cancelled() {
                    let freed = Freed {
                        at: buffer.at,
                        len: buffer.len,
                        transaction: self.transactions,
                    };
                    self.freed.push(freed, GFP_KERNEL)?;
                }
            }
            ItemKind::Inode => InodeItem::decode(regions).map(|_| ()).map_err(corrupt)?,
            ItemKind::Icreate => InodeCreate::decode(&regions).map(|_| ()).map_err(corrupt)?,
            ItemKind::Dquot => DquotItem::decode(regions).map(|_| ()).map_err(corrupt)?,
            ItemKind::QuotaOff => {
                let off = QuotaOff::decode(&regions).map_err(corrupt)?;
                self.quota_off.merge(off);
            }
            _ => {
                if let Some((intent, id)) = answered(kind, &regions).map_err(corrupt)? {
                    self.event(intent, id, true)?;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, kind: ItemKind, id: IntentId, is_answer: bool) -> Result {
        let event = Event {
            kind,
            id,
            order: self.items,
            is_answer,
        };
        Ok(self.events.push(event, GFP_KERNEL)?)
    }

    /// Ends the first pass.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(super) fn close(&mut self) -> Result {
        sort(&mut self.freed, |freed| {
            (freed.at, freed.len, freed.transaction)
        });
        sort(&mut self.events, |event| {
            (event.kind, event.id, event.order)
        });
        let mut events = self.events.iter().peekable();
        while let Some(event) = events.next() {
            // The next of that name, if it has an answer, has this one's: names are used again, but
            // not before.
            let answer = events
                .peek()
                .is_some_and(|next| (next.kind, next.id) == (event.kind, event.id));
            if !event.is_answer && !answer {
                self.open.push(event.order, GFP_KERNEL)?;
            }
        }
        self.events = KVVec::new();
        sort(&mut self.open, |order| *order);
        Ok(())
    }

    /// Whether an item is an intent without an answer.
    pub(super) fn is_open(&self, item: u64) -> bool {
        let at = self.open.partition_point(|open| *open < item);
        self.open.get(at) == Some(&item)
    }

    /// Whether a buffer was freed by that transaction or a later one.
    pub(super) fn is_freed(&self, at: DiskAddr, len: u32, transaction: u64) -> bool {
        let wanted = (at, len, transaction);
        let first = self
            .freed
            .partition_point(|freed| (freed.at, freed.len, freed.transaction) < wanted);
        self.freed
            .get(first)
            .is_some_and(|freed| (freed.at, freed.len) == (at, len))
    }

    /// Whether a kind of quota was turned off.
    pub(super) fn is_off(&self, kind: QuotaType) -> bool {
        self.quota_off.has(kind)
    }
}
