// SPDX-License-Identifier: GPL-2.0

//! Intents: work that was logged before it was done, so that it is done even if the machine stops in
//! between.
//!
//! An intent is answered by a done item of the same name once its work is in the log. What recovery
//! finds without an answer it hands on as these values, in the order in which they were logged; to
//! carry them out takes transactions.

use super::items::Items;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::{ensure, Fault},
        geometry::Geometry,
        inode::cluster::number_is_valid,
        log::{
            attr::AttrItem,
            exchange::Exchange,
            extent::{ExtentItem, FreedExtent},
            item::{done_id, ItemKind},
            map::{BmapChange, Change, ChangeItem, RefcountChange, RmapChange},
            regions::Regions,
        },
        units::{FsBlock, InodeNumber, Lsn, RtBlock},
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::IntoBytes;

/// Blocks that a file may have: 2^54 of the smallest make up the largest file.
const MAX_FILE_BLOCKS: u64 = 1 << 54;
/// Owners of reverse mappings from here on are no inodes.
const FIRST_OTHER_OWNER: u64 = 1 << 63;

/// What an intent asks for.
pub enum Work {
    /// Free extents.
    Free(KVVec<FreedExtent>),
    /// Change reverse mappings.
    Rmap(KVVec<RmapChange>),
    /// Change reference counts.
    Refcount(KVVec<RefcountChange>),
    /// Change a file's mappings.
    Bmap(BmapChange),
    /// Change an attribute. The item's regions are the only item of these.
    Attr(Items),
    /// Exchange the mappings of two files.
    Exchange(Exchange),
}

/// An intent.
pub struct Intent {
    /// What its item is: tells the device, too.
    pub kind: ItemKind,
    /// Its name, unique among the intents of that kind that are not answered.
    pub id: u64,
    /// The record in which its transaction starts.
    pub lsn: Lsn,
    /// What it asks for.
    pub work: Work,
}

impl Intent {
    /// Decodes an intent of that kind; `None` for a kind that is none.
    ///
    /// # Errors
    ///
    /// Corruption that names the record, the item and the field; `NoMemory`.
    pub fn decode(kind: ItemKind, regions: Regions<'_>, lsn: Lsn) -> Result<Option<Self>> {
        let corrupt = |fault| Error::log(fault, lsn);
        let (id, work) = match kind {
            ItemKind::Efi | ItemKind::EfiRt => {
                let item = ExtentItem::decode(kind, &regions).map_err(corrupt)?;
                let mut extents = KVVec::new();
                for extent in item.extents() {
                    extents.push(extent, GFP_KERNEL)?;
                }
                (item.id, Work::Free(extents))
            }
            ItemKind::Rui | ItemKind::RuiRt => {
                let (id, changes) = changes(kind, &regions, lsn)?;
                (id, Work::Rmap(changes))
            }
            ItemKind::Cui | ItemKind::CuiRt => {
                let (id, changes) = changes(kind, &regions, lsn)?;
                (id, Work::Refcount(changes))
            }
            ItemKind::Bui => {
                let (id, changes) = changes(kind, &regions, lsn)?;
                let change = changes
                    .first()
                    .ok_or(Error::log(Fault::corrupt(kind.name(), "nextents"), lsn))?;
                (id, Work::Bmap(*change))
            }
            ItemKind::Attri => {
                let item = AttrItem::decode(regions).map_err(corrupt)?;
                let mut owned = Items::new();
                attr(&mut owned, &item)?;
                (item.id, Work::Attr(owned))
            }
            ItemKind::Xmi => {
                let exchange = Exchange::decode(&regions).map_err(corrupt)?;
                (exchange.id, Work::Exchange(exchange))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            kind,
            id,
            lsn,
            work,
        }))
    }

    /// The change of an attribute; `None` for an intent of anything else.
    pub fn attr(&self) -> Option<AttrItem<'_>> {
        match &self.work {
            Work::Attr(items) => AttrItem::decode(items.get(0)?).ok(),
            _ => None,
        }
    }

    /// Appends the intent to what is to be logged.
    ///
    /// # Errors
    ///
    /// `Invalid` for what no item can hold; `NoMemory`.
    pub fn format(&self, items: &mut Items) -> Result {
        let (kind, id) = (self.kind, self.id);
        match &self.work {
            Work::Free(extents) => items.extents(kind, id, extents.iter().map(FreedExtent::encode)),
            Work::Rmap(changes) => items.extents(kind, id, changes.iter().map(Change::encode)),
            Work::Refcount(changes) => items.extents(kind, id, changes.iter().map(Change::encode)),
            Work::Bmap(change) => items.extents(kind, id, [change.encode()].into_iter()),
            Work::Attr(_) => attr(items, &self.attr().ok_or(Error::Invalid)?),
            Work::Exchange(exchange) => {
                items.parts(exchange.encode().as_bytes(), core::iter::empty())
            }
        }
    }

    /// Holds the intent to the file system: every block and inode is one that there can be.
    ///
    /// # Errors
    ///
    /// Corruption that names the record, the item and the field.
    pub fn check(&self, geo: &Geometry) -> Result {
        let check = Check {
            geo,
            name: self.kind.name(),
            realtime: matches!(
                self.kind,
                ItemKind::EfiRt | ItemKind::RuiRt | ItemKind::CuiRt
            ),
        };
        check
            .work(self)
            .map_err(|fault| Error::log(fault, self.lsn))
    }
}

/// The name and the changes of an RUI, CUI or BUI.
fn changes<C: Change>(kind: ItemKind, regions: &Regions<'_>, lsn: Lsn) -> Result<(u64, KVVec<C>)> {
    let corrupt = |fault| Error::log(fault, lsn);
    let item = ChangeItem::<C>::decode(kind, regions).map_err(corrupt)?;
    let mut changes = KVVec::new();
    for change in item.changes() {
        changes.push(change.map_err(corrupt)?, GFP_KERNEL)?;
    }
    Ok((item.id, changes))
}

/// Appends an attribute item.
fn attr(items: &mut Items, item: &AttrItem<'_>) -> Result {
    let start = item.encode().map_err(|_| Error::Invalid)?;
    items.parts(start.as_bytes(), item.parts())
}

/// The intent that a done item answers: its kind and its name. `None` for a kind that is no done
/// item's.
///
/// # Errors
///
/// A fault of the item when it is not of the right size.
pub fn answered(
    kind: ItemKind,
    regions: &Regions<'_>,
) -> core::result::Result<Option<(ItemKind, u64)>, Fault> {
    let Some(intent) = kind.intent() else {
        return Ok(None);
    };
    let id = match kind {
        ItemKind::Efd | ItemKind::EfdRt => ExtentItem::decode(kind, regions)?.id,
        _ => done_id(kind, regions)?,
    };
    Ok(Some((intent, id)))
}

/// What an intent is held to.
struct Check<'a> {
    geo: &'a Geometry,
    name: &'static str,
    /// Whether blocks are those of the realtime device.
    realtime: bool,
}

impl Check<'_> {
    fn work(&self, intent: &Intent) -> core::result::Result<(), Fault> {
        let features = &self.geo.features;
        // What is in a log must be in the file system, or no one could have meant it.
        match &intent.work {
            Work::Free(extents) => extents
                .iter()
                .try_for_each(|extent| self.extent(self.realtime, extent.start, extent.len)),
            Work::Rmap(changes) => {
                self.ensure(features.rmapbt(), "type")?;
                changes.iter().try_for_each(|change| {
                    if change.owner < FIRST_OTHER_OWNER {
                        self.inode(change.owner, "me_owner")?;
                    }
                    self.file(change.offset, u64::from(change.len), "me_startoff")?;
                    self.extent(self.realtime, change.start, change.len)
                })
            }
            Work::Refcount(changes) => {
                self.ensure(features.reflink(), "type")?;
                changes
                    .iter()
                    .try_for_each(|change| self.extent(self.realtime, change.start, change.len))
            }
            Work::Bmap(change) => {
                self.inode(change.owner, "me_owner")?;
                self.file(change.offset, u64::from(change.len), "me_startoff")?;
                self.extent(change.realtime, change.start, change.len)
            }
            Work::Attr(_) => {
                let item = intent.attr();
                let item = item.ok_or(Fault::corrupt(self.name, "alfi_size"))?;
                let parent = item.operation.is_parent();
                self.ensure(!parent || features.parent(), "alfi_op_flags")?;
                self.inode(item.inode, "alfi_ino")
            }
            Work::Exchange(exchange) => {
                self.ensure(features.exchange_range(), "type")?;
                let [first, second] = &exchange.files;
                self.inode(first.inode, "xmi_inode1")?;
                self.inode(second.inode, "xmi_inode2")?;
                self.file(first.offset, exchange.blocks, "xmi_startoff1")?;
                self.file(second.offset, exchange.blocks, "xmi_startoff2")
            }
        }
    }

    fn ensure(&self, holds: bool, field: &'static str) -> core::result::Result<(), Fault> {
        ensure(holds, self.name, field)
    }

    fn inode(&self, number: u64, field: &'static str) -> core::result::Result<(), Fault> {
        self.ensure(number_is_valid(self.geo, InodeNumber(number)), field)
    }

    /// A range of a file.
    fn file(&self, offset: u64, len: u64, field: &'static str) -> core::result::Result<(), Fault> {
        let end = offset.checked_add(len);
        self.ensure(end.is_some_and(|end| end <= MAX_FILE_BLOCKS), field)
    }

    /// Blocks of a device.
    fn extent(&self, realtime: bool, start: u64, len: u32) -> core::result::Result<(), Fault> {
        let len = u64::from(len);
        let holds = if realtime {
            self.geo.rt_extent_is_valid(RtBlock(start), len)
        } else {
            self.geo.fs_extent_is_valid(FsBlock(start), len)
        };
        self.ensure(holds, "startblock")
    }
}
