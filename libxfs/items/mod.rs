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
pub use extent_free::ExtentFree;
pub use inode_create::InodeCreate;
pub use refcount_update::{RefcountUpdate, RefcountUpdateKind};
pub use rmap_update::{RmapUpdate, RmapUpdateKind};

use super::store::Device;
use kernel::alloc::KVec;

/// Names an intent among those that are not done; the done item says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(pub u64);

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
