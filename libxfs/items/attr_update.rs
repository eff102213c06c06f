// SPDX-License-Identifier: GPL-2.0

//! Changes of attributes and parent pointers, as values that outlive the transaction that asks for
//! them.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        attr::{AttrFlags, Namespace},
        log::attr::{AttrItem, AttrOperation},
        units::{FileBlock, InodeNumber},
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrStage {
    /// Nothing is done, or the fork was readied for what comes.
    Start,
    /// The new attribute is to be added. `old` says that one is there that it replaces.
    Add {
        /// One that is whole is there.
        old: bool,
    },
    /// The new attribute is there, incomplete, and blocks for its value are to be found.
    MapValue {
        /// One that is whole is there.
        old: bool,
    },
    /// The blocks, from there on, are the fork's; the value is to be written, and made known.
    WriteValue {
        /// The first of them.
        start: FileBlock,
        /// One that is whole is there.
        old: bool,
    },
    /// The new attribute is to be made whole, and the old one incomplete.
    Exchange,
    /// The old one is incomplete; the blocks of its value are to be freed.
    UnmapValue,
    /// The old one has no blocks any more, and is to be removed; then, with an intent, the new one
    /// is added.
    Remove,
    /// All is done.
    Done,
}

impl AttrStage {
    /// Whether the attribute that goes is marked as incomplete: all of a stage that the log tells.
    const fn is_marked(self) -> bool {
        matches!(self, Self::UnmapValue | Self::Remove)
    }
}

/// A change of an attribute or a parent pointer (ATTRI).
#[derive(Debug, PartialEq, Eq)]
pub struct AttrUpdate {
    /// What is done.
    pub operation: AttrOperation,
    /// Whose attribute.
    pub inode: InodeNumber,
    /// The inode's generation; it counts for parent pointers alone.
    pub generation: u32,
    /// Namespace.
    pub namespace: Namespace,
    /// How far it is.
    pub stage: AttrStage,
    /// Name, new name, value and new value, one behind the other: one piece of memory for all.
    bytes: KVVec<u8>,
    /// Where they end.
    ends: [usize; 4],
}

impl AttrUpdate {
    /// A change that is told by an item of the log, or by the parts of one.
    ///
    /// # Errors
    ///
    /// `Invalid` for a namespace that there is not; `NoMemory`.
    pub fn new(item: &AttrItem<'_>) -> Result<Self> {
        let flags = AttrFlags(u8::try_from(item.filter).map_err(|_| Error::Invalid)?);
        let mut bytes = KVVec::new();
        let mut ends = [0; 4];
        let parts = [item.name, item.new_name, item.value, item.new_value];
        for (part, end) in parts.into_iter().zip(&mut ends) {
            bytes.extend_from_slice(part, GFP_KERNEL)?;
            *end = bytes.len();
        }
        Ok(Self {
            operation: item.operation,
            inode: InodeNumber(item.inode),
            generation: item.generation,
            namespace: flags.namespace().ok_or(Error::Invalid)?,
            stage: match flags.is_incomplete() {
                true => AttrStage::UnmapValue,
                false => AttrStage::Start,
            },
            bytes,
            ends,
        })
    }

    /// The item that tells it, of that name.
    pub fn item(&self, id: u64) -> AttrItem<'_> {
        let mut filter = u32::from(self.namespace as u8);
        if self.stage.is_marked() {
            filter |= u32::from(AttrFlags::INCOMPLETE);
        }
        AttrItem {
            id,
            operation: self.operation,
            inode: self.inode.0,
            generation: self.generation,
            filter,
            name: self.name(),
            new_name: self.new_name(),
            value: self.value(),
            new_value: self.new_value(),
        }
    }

    /// The same change at another stage.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn at(&self, stage: AttrStage) -> Result<Self> {
        let mut bytes = KVVec::new();
        bytes.extend_from_slice(&self.bytes, GFP_KERNEL)?;
        Ok(Self {
            bytes,
            stage,
            ..*self
        })
    }

    fn part(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        self.part(0, self.ends[0])
    }

    /// The name that it gets; empty where that stays.
    pub fn new_name(&self) -> &[u8] {
        self.part(self.ends[0], self.ends[1])
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        self.part(self.ends[1], self.ends[2])
    }

    /// The value that it gets, where the name changes too.
    pub fn new_value(&self) -> &[u8] {
        self.part(self.ends[2], self.ends[3])
    }

    /// Bytes of an item that is made of it, without headers.
    pub(super) fn log_bytes(&self) -> u32 {
        // The first region, and the padding of the others.
        const FIXED: u32 = 40 + 4 * 4;
        u32::try_from(self.bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(FIXED)
    }
}
