// SPDX-License-Identifier: GPL-2.0

//! Intents: work that was logged before it was done, so that it is done even if the machine stops in
//! between.
//!
//! An intent is answered by a done item of the same name once its work is in the log. What recovery
//! finds without an answer it hands on as these values, in the order in which they were logged; to
//! carry them out takes transactions.

use super::items::{disk_extent, Items};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::{ensure, Fault},
        geometry::Geometry,
        inode::cluster::number_is_valid,
        log::{
            attr::AttrItem,
            exchange::Exchange,
            extent::ExtentItem,
            item::{done_id, ItemKind},
            map::{BmapUpdate, Change, ChangeItem},
            regions::Regions,
        },
        units::{FileBlock, FsBlock, InodeNumber, Lsn, RtBlock},
    },
    items::{AttrUpdate, ExtentFree, IntentId, Work},
    store::Device,
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};
use zerocopy::IntoBytes;

/// Blocks that a file may have: 2^54 of the smallest make up the largest file.
const MAX_FILE_BLOCKS: u64 = 1 << 54;

/// An intent that was found in a log.
#[derive(Debug)]
pub struct Intent {
    /// Its name, unique among the intents of its kind that are not answered.
    pub id: IntentId,
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
        let device = match kind {
            ItemKind::EfiRt | ItemKind::RuiRt | ItemKind::CuiRt => Device::Realtime,
            _ => Device::Data,
        };
        let (id, work) = match kind {
            ItemKind::Efi | ItemKind::EfiRt => {
                let item = ExtentItem::decode(kind, &regions).map_err(corrupt)?;
                let mut extents = KVec::new();
                for extent in item.extents() {
                    extents.push(ExtentFree::recovered(extent.start, extent.len), GFP_KERNEL)?;
                }
                (item.id, Work::ExtentFree(device, extents))
            }
            ItemKind::Rui | ItemKind::RuiRt => {
                let (id, changes) = changes(kind, &regions, lsn)?;
                (id, Work::RmapUpdate(device, changes))
            }
            ItemKind::Cui | ItemKind::CuiRt => {
                let (id, changes) = changes(kind, &regions, lsn)?;
                (id, Work::RefcountUpdate(device, changes))
            }
            ItemKind::Bui => {
                let item = ChangeItem::<BmapUpdate>::decode(kind, &regions).map_err(corrupt)?;
                let none = || corrupt(Fault::corrupt(kind.name(), "nextents"));
                let change = item.changes().next().ok_or_else(none)?;
                (item.id, Work::BmapUpdate(change.map_err(corrupt)?))
            }
            ItemKind::Attri => {
                let item = AttrItem::decode(regions).map_err(corrupt)?;
                (item.id, Work::AttrUpdate(AttrUpdate::new(&item)?))
            }
            ItemKind::Xmi => {
                let (id, exchange) = Exchange::decode(&regions).map_err(corrupt)?;
                (id, Work::Exchange(exchange))
            }
            _ => return Ok(None),
        };
        let id = IntentId(id);
        Ok(Some(Self { id, lsn, work }))
    }

    /// Holds the intent to the file system: every block and inode is one that there can be.
    ///
    /// # Errors
    ///
    /// Corruption that names the record, the item and the field.
    pub fn check(&self, geo: &Geometry) -> Result {
        let name = self.work.kind().map_or("intent", ItemKind::name);
        let check = Check { geo, name };
        check
            .work(&self.work)
            .map_err(|fault| Error::log(fault, self.lsn))
    }
}

/// Appends an intent to what is to be logged.
///
/// # Errors
///
/// `Invalid` for what no item can hold; `NoMemory`.
pub(super) fn format(items: &mut Items, IntentId(id): IntentId, work: &Work) -> Result {
    let kind = work.kind().ok_or(Error::Invalid)?;
    match work {
        Work::ExtentFree(_, extents) => items.extents(kind, id, extents.iter().map(disk_extent)),
        Work::RmapUpdate(_, updates) => items.extents(kind, id, updates.iter().map(Change::encode)),
        Work::RefcountUpdate(_, updates) => {
            items.extents(kind, id, updates.iter().map(Change::encode))
        }
        Work::BmapUpdate(update) => items.extents(kind, id, [update.encode()].into_iter()),
        Work::AttrUpdate(update) => {
            let item = update.item(id);
            let start = item.encode().map_err(|_| Error::Invalid)?;
            items.parts(start.as_bytes(), item.parts())
        }
        Work::Exchange(exchange) => {
            items.parts(exchange.encode(id).as_bytes(), core::iter::empty())
        }
    }
}

/// The name and the changes of an RUI or CUI.
fn changes<C: Change>(kind: ItemKind, regions: &Regions<'_>, lsn: Lsn) -> Result<(u64, KVec<C>)> {
    let corrupt = |fault| Error::log(fault, lsn);
    let item = ChangeItem::<C>::decode(kind, regions).map_err(corrupt)?;
    let mut changes = KVec::new();
    for change in item.changes() {
        changes.push(change.map_err(corrupt)?, GFP_KERNEL)?;
    }
    Ok((item.id, changes))
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
) -> core::result::Result<Option<(ItemKind, IntentId)>, Fault> {
    let Some(intent) = kind.intent() else {
        return Ok(None);
    };
    let id = match kind {
        ItemKind::Efd | ItemKind::EfdRt => ExtentItem::decode(kind, regions)?.id,
        _ => done_id(kind, regions)?,
    };
    Ok(Some((intent, IntentId(id))))
}

/// What an intent is held to.
struct Check<'a> {
    geo: &'a Geometry,
    name: &'static str,
}

impl Check<'_> {
    fn work(&self, work: &Work) -> core::result::Result<(), Fault> {
        let features = &self.geo.features;
        // What is in a log must be in the file system, or no one could have meant it.
        match work {
            Work::ExtentFree(device, extents) => extents
                .iter()
                .try_for_each(|extent| self.extent(*device, extent.start, extent.count)),
            Work::RmapUpdate(device, updates) => {
                self.ensure(features.rmapbt(), "type")?;
                updates.iter().try_for_each(|update| {
                    if let Some(inode) = update.owner.inode() {
                        self.inode(inode, "me_owner")?;
                    }
                    self.file(update.offset, update.count.into(), "me_startoff")?;
                    self.extent(*device, update.start, update.count)
                })
            }
            Work::RefcountUpdate(device, updates) => {
                self.ensure(features.reflink(), "type")?;
                updates
                    .iter()
                    .try_for_each(|update| self.extent(*device, update.start, update.count))
            }
            Work::BmapUpdate(update) => {
                let device = match update.realtime {
                    true => Device::Realtime,
                    false => Device::Data,
                };
                self.inode(update.inode, "me_owner")?;
                self.file(update.offset, update.count.into(), "me_startoff")?;
                self.extent(device, update.start, update.count)
            }
            Work::AttrUpdate(update) => {
                let parent = update.operation.is_parent();
                self.ensure(!parent || features.parent(), "alfi_op_flags")?;
                self.inode(update.inode, "alfi_ino")
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

    fn inode(&self, number: InodeNumber, field: &'static str) -> core::result::Result<(), Fault> {
        self.ensure(number_is_valid(self.geo, number), field)
    }

    /// A range of a file.
    fn file(
        &self,
        offset: FileBlock,
        len: u64,
        field: &'static str,
    ) -> core::result::Result<(), Fault> {
        let end = offset.0.checked_add(len);
        self.ensure(end.is_some_and(|end| end <= MAX_FILE_BLOCKS), field)
    }

    /// Blocks of a device.
    fn extent(&self, device: Device, start: u64, len: u32) -> core::result::Result<(), Fault> {
        let len = u64::from(len);
        let holds = match device {
            Device::Data => self.geo.fs_extent_is_valid(FsBlock(start), len),
            Device::Realtime => self.geo.rt_extent_is_valid(RtBlock(start), len),
            Device::Log => false,
        };
        self.ensure(holds, "startblock")
    }
}
