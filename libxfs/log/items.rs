// SPDX-License-Identifier: GPL-2.0

//! Log items as regions: what a checkpoint is before it is packed into records, and what is gathered
//! from them again.

use super::intent;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        log::{
            buffer::{self, Tag, FLAG_CANCEL},
            chunks::ChunkMap,
            dquot::{DquotItem, QuotaOff},
            extent::{DiskExtent, FreedExtent},
            icreate::InodeCreate,
            inode::InodeItem,
            item::{self, DiskIntentStart, ItemKind, INTENT_START_SIZE},
            regions::{padded, Regions},
        },
        quota::QuotaType,
        units::{DiskAddr, Lsn},
    },
    items::{ExtentFree, IntentId, Item, Work},
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::{Immutable, IntoBytes};

/// Items in their order, each as its regions. All lie in one piece of memory.
///
/// # Invariants
///
/// `ends` rises and ends at the length of `bytes`; `starts` rises, and each of its items has at
/// least one region.
#[derive(Default)]
pub struct Items {
    bytes: KVVec<u8>,
    /// Where each region ends.
    ends: KVVec<u32>,
    /// The first region of each item.
    starts: KVVec<u32>,
}

/// How much of [`Items`] there was.
#[derive(Clone, Copy)]
struct Mark(usize, usize, usize);

impl Items {
    /// No items.
    pub const fn new() -> Self {
        Self {
            bytes: KVVec::new(),
            ends: KVVec::new(),
            starts: KVVec::new(),
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes of all regions.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// How many regions there are.
    pub fn region_count(&self) -> usize {
        self.ends.len()
    }

    /// Takes all items away; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.starts.clear();
    }

    fn start_of(&self, region: usize) -> u32 {
        region
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |end| *end)
    }

    /// The regions of item `index`, or `None` past the last one.
    pub fn get(&self, index: usize) -> Option<Regions<'_>> {
        let first = *self.starts.get(index)? as usize;
        let end = match self.starts.get(index.checked_add(1)?) {
            Some(next) => *next as usize,
            None => self.ends.len(),
        };
        let ends = self.ends.get(first..end)?;
        Some(Regions::new(&self.bytes, self.start_of(first), ends))
    }

    /// All items in their order.
    pub fn iter(&self) -> impl Iterator<Item = Regions<'_>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// All regions in their order.
    pub fn regions(&self) -> Regions<'_> {
        Regions::new(&self.bytes, 0, &self.ends)
    }

    /// Starts a new item with the next region.
    pub(super) fn start_item(&mut self) -> Result {
        let first = u32::try_from(self.ends.len()).map_err(|_| Error::NoMemory)?;
        Ok(self.starts.push(first, GFP_KERNEL)?)
    }

    /// Appends a region as it is.
    pub(super) fn push_region(&mut self, bytes: &[u8]) -> Result {
        self.bytes.extend_from_slice(bytes, GFP_KERNEL)?;
        let end = u32::try_from(self.bytes.len()).map_err(|_| Error::NoMemory)?;
        Ok(self.ends.push(end, GFP_KERNEL)?)
    }

    /// Appends bytes to the last region, if there is one.
    pub(super) fn extend_region(&mut self, bytes: &[u8]) -> Result {
        self.bytes.extend_from_slice(bytes, GFP_KERNEL)?;
        let len = u32::try_from(self.bytes.len()).map_err(|_| Error::NoMemory)?;
        if let Some(end) = self.ends.last_mut() {
            *end = len;
        }
        Ok(())
    }

    fn mark(&self) -> Mark {
        Mark(self.bytes.len(), self.ends.len(), self.starts.len())
    }

    fn reset(&mut self, mark: Mark) {
        self.bytes.truncate(mark.0);
        self.ends.truncate(mark.1);
        self.starts.truncate(mark.2);
    }

    /// Appends an item whole or not at all.
    fn whole(&mut self, format: impl FnOnce(&mut Formatter<'_>) -> Result) -> Result {
        let mark = self.mark();
        let done = self
            .start_item()
            .and_then(|()| format(&mut Formatter(self)));
        if done.is_err() {
            self.reset(mark);
        }
        done
    }

    /// Appends the changed chunks of a buffer of `len` basic blocks at `at`, all of whose bytes are
    /// `bytes`. `flags` are those of [`buffer`].
    ///
    /// # Errors
    ///
    /// `Invalid` for a buffer that is too large or not of that length, or of which nothing changed;
    /// `NoMemory`.
    pub fn buffer(
        &mut self,
        (at, len): (DiskAddr, u32),
        tag: Tag,
        flags: u16,
        changed: &ChunkMap,
        bytes: &[u8],
    ) -> Result {
        if changed.is_empty() {
            return Err(Error::Invalid);
        }
        let regions = changed.runs().count().saturating_add(1) as u16;
        let start = buffer::encode(at, len, tag, flags, regions).map_err(invalid)?;
        self.whole(|item| {
            item.open()?;
            item.put(&start)?;
            for word in changed.words(len) {
                item.put(&word)?;
            }
            for run in changed.runs() {
                item.region(bytes.get(run).ok_or(Error::Invalid)?)?;
            }
            Ok(())
        })
    }

    /// Appends that a buffer was freed: what the log has of it from before is not to be replayed.
    ///
    /// # Errors
    ///
    /// `Invalid` for a buffer that is too large; `NoMemory`.
    pub fn cancel(&mut self, (at, len): (DiskAddr, u32)) -> Result {
        let start = buffer::encode(at, len, Tag::Unknown, FLAG_CANCEL, 1).map_err(invalid)?;
        self.whole(|item| {
            item.open()?;
            item.put(&start)?;
            for word in ChunkMap::new().words(len) {
                item.put(&word)?;
            }
            Ok(())
        })
    }

    /// Appends an inode.
    ///
    /// # Errors
    ///
    /// `Invalid` for a fork that is too large; `NoMemory`.
    pub fn inode(&mut self, inode: &InodeItem<'_>) -> Result {
        let start = inode.encode().map_err(invalid)?;
        self.whole(|item| {
            item.region(start.as_bytes())?;
            item.region(inode.core.as_bytes())?;
            for fork in [inode.data, inode.attr].into_iter().flatten() {
                item.region(fork)?;
            }
            Ok(())
        })
    }

    /// Appends new inodes.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn icreate(&mut self, icreate: &InodeCreate) -> Result {
        self.whole(|item| item.region(icreate.encode().as_bytes()))
    }

    /// Appends a quota record.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn dquot(&mut self, dquot: &DquotItem<'_>) -> Result {
        self.whole(|item| {
            item.region(dquot.encode().as_bytes())?;
            item.region(dquot.record)
        })
    }

    /// Appends that kinds of quota were turned off.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn quota_off(&mut self, types: &[QuotaType]) -> Result {
        self.whole(|item| item.region(QuotaOff::encode(types).as_bytes()))
    }

    /// Appends an item of one region with a start, as most intents and done items have, and
    /// extents.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(super) fn extents<T: IntoBytes + Immutable>(
        &mut self,
        kind: ItemKind,
        id: u64,
        extents: impl ExactSizeIterator<Item = T>,
    ) -> Result {
        let count = u32::try_from(extents.len()).map_err(|_| Error::Invalid)?;
        self.whole(|item| {
            item.open()?;
            item.put(&DiskIntentStart::new(kind, count, id))?;
            for extent in extents {
                item.put(&extent)?;
            }
            Ok(())
        })
    }

    /// Appends an intent, that one was carried out, or new inodes.
    ///
    /// # Errors
    ///
    /// `Invalid` for what no item can hold; `NoMemory`.
    pub fn item(&mut self, item: &Item) -> Result {
        match item {
            Item::Intent(id, work) => intent::format(self, *id, work),
            Item::Done(id, work) => self.done(*id, work),
            Item::InodeCreate(inodes) => self.icreate(inodes),
        }
    }

    /// Appends that an intent was carried out. Of what it asked for only extents that were freed are
    /// told.
    fn done(&mut self, IntentId(id): IntentId, work: &Work) -> Result {
        let kind = work.kind().and_then(ItemKind::done);
        let freed: &[ExtentFree] = match work {
            Work::ExtentFree(_, extents) => extents,
            _ => &[],
        };
        let kind = kind.ok_or(Error::Invalid)?;
        self.extents(kind, id, freed.iter().map(disk_extent))
    }

    /// Appends an item all of whose regions the caller has: the first, then the others. They are
    /// padded, but not looked at.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn parts<'a>(&mut self, first: &[u8], others: impl Iterator<Item = &'a [u8]>) -> Result {
        self.whole(|item| {
            item.region(first)?;
            for other in others {
                item.region(other)?;
            }
            Ok(())
        })
    }

    /// What an item's first region says that it is.
    ///
    /// # Errors
    ///
    /// Corruption in the transaction of `record` when it is nothing that is known.
    pub(super) fn kind_of(regions: &Regions<'_>, record: Lsn) -> Result<ItemKind> {
        let first = regions.get(0).unwrap_or_default();
        match item::start(first) {
            Ok((kind, _)) => Ok(kind),
            Err(fault) => Err(Error::log(fault, record)),
        }
    }
}

/// An extent as EFIs have it.
pub(super) fn disk_extent(extent: &ExtentFree) -> DiskExtent {
    let freed = FreedExtent {
        start: extent.start,
        len: extent.count,
    };
    freed.encode()
}

/// What cannot be encoded was a caller's mistake.
fn invalid(_: Fault) -> Error {
    Error::Invalid
}

/// Appends the regions of one item.
struct Formatter<'a>(&'a mut Items);

impl Formatter<'_> {
    /// Appends a region, padded to 32-bit words.
    fn region(&mut self, bytes: &[u8]) -> Result {
        self.0.push_region(bytes)?;
        let pad = padded(bytes.len())
            .and_then(|len| len.checked_sub(bytes.len()))
            .ok_or(Error::Invalid)?;
        self.0
            .extend_region([0; 3].get(..pad).ok_or(Error::Invalid)?)
    }

    /// Appends a region that has nothing yet.
    fn open(&mut self) -> Result {
        self.0.push_region(&[])
    }

    /// Appends to the region that is open; its length must come to be a multiple of four.
    fn put(&mut self, part: &(impl IntoBytes + Immutable)) -> Result {
        self.0.extend_region(part.as_bytes())
    }
}

const _: () = assert!(INTENT_START_SIZE % 4 == 0);
