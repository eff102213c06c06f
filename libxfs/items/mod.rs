// SPDX-License-Identifier: GPL-2.0

//! What a transaction logs beside blocks and inodes, as values; how they look in the log is for
//! [`log`](super::log) to say.
//!
//! An intent says what will be done; its done item, in the transaction that does it, that it was.
//! Recovery does what intents without a done item say. A file for each kind of work.

pub mod bmap_update;
pub mod extent_free;
pub mod inode_create;
pub mod refcount_update;
pub mod rmap_update;

pub use bmap_update::{BmapUpdate, BmapUpdateKind};
pub use extent_free::{BlockOwner, ExtentFree, Reserve};
pub use inode_create::InodeCreate;
pub use refcount_update::{RefcountUpdate, RefcountUpdateKind};
pub use rmap_update::{RmapUpdate, RmapUpdateKind};

use super::{error::Result, store::Device};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Names an intent among those that are not done; the done item says the same.
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
    BmapUpdate(KVec<BmapUpdate>),
}

fn copy_of<P: Copy>(parts: &[P]) -> Result<KVec<P>> {
    let mut copy = KVec::with_capacity(parts.len(), GFP_KERNEL)?;
    copy.extend_from_slice(parts, GFP_KERNEL)?;
    Ok(copy)
}

impl Work {
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
            Self::BmapUpdate(parts) => Self::BmapUpdate(copy_of(parts)?),
        })
    }

    /// Extents that it is about.
    pub fn len(&self) -> usize {
        match self {
            Self::ExtentFree(_, parts) => parts.len(),
            Self::RmapUpdate(_, parts) => parts.len(),
            Self::RefcountUpdate(_, parts) => parts.len(),
            Self::BmapUpdate(parts) => parts.len(),
        }
    }

    /// Whether it is about none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        let extents = match self {
            Self::Intent(_, work) | Self::Done(_, work) => work.len(),
            Self::InodeCreate(_) => 0,
        };
        let extents = u32::try_from(extents).unwrap_or(u32::MAX);
        extents
            .saturating_mul(EXTENT_BYTES)
            .saturating_add(ITEM_BYTES)
    }
}
