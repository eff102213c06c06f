// SPDX-License-Identifier: GPL-2.0

//! What a transaction logs beside blocks and inodes, as values. [`format::log`](super::format::log)
//! says how each looks in the log; the same values come out of it again.
//!
//! An intent says what will be done; its done item, in the transaction that does it, that it was.
//! Recovery does what intents without a done item say.

mod attr_update;
mod extent_free;

pub use super::format::log::{
    attr::AttrOperation,
    exchange::{Exchange, ExchangeFile, ExchangeFlags},
    icreate::InodeCreate,
    map::{
        BmapUpdate, BmapUpdateKind, RefcountUpdate, RefcountUpdateKind, RmapUpdate, RmapUpdateKind,
    },
};
pub use attr_update::{AttrStage, AttrUpdate};
pub use extent_free::{BlockOwner, ExtentFree, Reserve};

use super::{error::Result, format::log::item::ItemKind, store::Device};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Names an intent among those of its kind that are not done; the done item says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(pub u64);

/// Bytes of an extent in an intent, at most: one of a reverse mapping.
pub const EXTENT_BYTES: u32 = 32;

/// Bytes of an item beside its extents, with all headers of the log, at most.
const ITEM_BYTES: u32 = 96;

/// Work that outlives the transaction that asks for it. Each is about one device, since the two
/// have items of their own in the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// Free extents (EFI and EFD).
    ExtentFree(Device, KVec<ExtentFree>),
    /// Change reverse mappings (RUI and RUD).
    RmapUpdate(Device, KVec<RmapUpdate>),
    /// Change reference counts (CUI and CUD).
    RefcountUpdate(Device, KVec<RefcountUpdate>),
    /// Map or unmap an extent of a file (BUI and BUD).
    BmapUpdate(BmapUpdate),
    /// Change an attribute or a parent pointer (ATTRI and ATTRD).
    AttrUpdate(AttrUpdate),
    /// Exchange the mappings of two files (XMI and XMD).
    Exchange(Exchange),
}

fn copy_of<P: Copy>(parts: &[P]) -> Result<KVec<P>> {
    let mut copy = KVec::with_capacity(parts.len(), GFP_KERNEL)?;
    copy.extend_from_slice(parts, GFP_KERNEL)?;
    Ok(copy)
}

impl Work {
    /// What its intent is in the log; `None` for work on a device that there is none for.
    pub const fn kind(&self) -> Option<ItemKind> {
        Some(match self {
            Self::ExtentFree(Device::Data, _) => ItemKind::Efi,
            Self::ExtentFree(Device::Realtime, _) => ItemKind::EfiRt,
            Self::RmapUpdate(Device::Data, _) => ItemKind::Rui,
            Self::RmapUpdate(Device::Realtime, _) => ItemKind::RuiRt,
            Self::RefcountUpdate(Device::Data, _) => ItemKind::Cui,
            Self::RefcountUpdate(Device::Realtime, _) => ItemKind::CuiRt,
            Self::BmapUpdate(_) => ItemKind::Bui,
            Self::AttrUpdate(_) => ItemKind::Attri,
            Self::Exchange(_) => ItemKind::Xmi,
            Self::ExtentFree(Device::Log, _)
            | Self::RmapUpdate(Device::Log, _)
            | Self::RefcountUpdate(Device::Log, _) => return None,
        })
    }

    /// The same work once more: the journal takes a value, and whoever does it needs one.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(match self {
            Self::ExtentFree(device, parts) => Self::ExtentFree(*device, copy_of(parts)?),
            Self::RmapUpdate(device, parts) => Self::RmapUpdate(*device, copy_of(parts)?),
            Self::RefcountUpdate(device, parts) => Self::RefcountUpdate(*device, copy_of(parts)?),
            Self::BmapUpdate(update) => Self::BmapUpdate(*update),
            Self::AttrUpdate(update) => Self::AttrUpdate(update.at(update.stage)?),
            Self::Exchange(exchange) => Self::Exchange(*exchange),
        })
    }

    /// Parts that it is made of: extents, or 1.
    pub fn len(&self) -> usize {
        match self {
            Self::ExtentFree(_, parts) => parts.len(),
            Self::RmapUpdate(_, parts) => parts.len(),
            Self::RefcountUpdate(_, parts) => parts.len(),
            Self::BmapUpdate(_) | Self::AttrUpdate(_) | Self::Exchange(_) => 1,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the log that its intent takes, at most, without headers.
    pub fn log_bytes(&self) -> u32 {
        match self {
            Self::AttrUpdate(update) => update.log_bytes(),
            // One region of 88 bytes, which are less than three extents.
            Self::Exchange(_) => 3 * EXTENT_BYTES,
            _ => u32::try_from(self.len())
                .unwrap_or(u32::MAX)
                .saturating_mul(EXTENT_BYTES),
        }
    }
}

/// What a transaction logs.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// This will be done.
    Intent(IntentId, Work),
    /// This was done.
    Done(IntentId, Work),
    /// A chunk of inodes was made.
    InodeCreate(InodeCreate),
}

impl Item {
    /// Bytes of the log that it takes, at most.
    pub fn log_bytes(&self) -> u32 {
        let bytes = match self {
            Self::Intent(_, work) => work.log_bytes(),
            // Of the others only the name is told.
            Self::Done(_, work @ Work::ExtentFree(..)) => work.log_bytes(),
            Self::Done(..) | Self::InodeCreate(_) => 0,
        };
        bytes.saturating_add(ITEM_BYTES)
    }
}
