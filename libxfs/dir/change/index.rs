// SPDX-License-Identifier: GPL-2.0

//! The index of hashes in a block: at the end of a directory in block form, or in a leaf.
//!
//! An entry that is removed stays, stale, until another takes its place: so little of the block
//! changes.

use super::{DirMut, Located};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    format::{
        dahash::NameHash,
        dir::{
            data::BlockTail,
            leaf::{Leaf, LeafEntry, LeafHeader, LeafKind},
            space::{DataPtr, DirBlock},
        },
    },
    journal::Journal,
    trans::{BlockId, Trans},
};
use core::mem::{offset_of, size_of};
use zerocopy::{byteorder::big_endian::U32, FromBytes};

/// Bytes of an entry.
pub(super) const ENTRY: usize = size_of::<LeafEntry>();
/// Bytes in front of the entries of a leaf.
pub(super) const LEAF_HEADER: usize = size_of::<LeafHeader>();

/// Which block an index lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Before the end of a directory in block form; it grows down.
    Block,
    /// In a leaf, behind the header; it grows up.
    Leaf,
}

/// An index. A value: whoever changes the index changes this too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    pub(super) block: BlockId,
    pub(super) home: Home,
    /// Where the entries start, in bytes.
    pub(super) start: usize,
    /// Entries, stale ones too.
    pub(super) count: usize,
    /// Stale entries.
    pub(super) stale: usize,
}

impl Index {
    /// Entries that are not stale.
    pub(super) const fn live(&self) -> usize {
        self.count.saturating_sub(self.stale)
    }

    /// Where an entry lies in the block.
    pub(super) const fn at(&self, slot: usize) -> usize {
        self.start.saturating_add(slot.saturating_mul(ENTRY))
    }

    /// Where the entries end.
    pub(super) const fn end(&self) -> usize {
        self.at(self.count)
    }
}

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    /// The index of a leaf.
    pub(super) fn index_of_leaf(&self, block: BlockId, kind: LeafKind) -> Result<Index> {
        let fault = |fault| self.names.fault(block, fault);
        let leaf = Leaf::view(self.names.trans.bytes(block), kind).map_err(fault)?;
        leaf.header
            .info
            .check_owner(self.names.owner, "dir3 leaf")
            .map_err(fault)?;
        let index = Index {
            block,
            home: Home::Leaf,
            start: LEAF_HEADER,
            count: leaf.entries.len(),
            stale: leaf.header.stale.get().into(),
        };
        self.checked(index)
    }

    /// The index of a directory in block form.
    pub(super) fn index_of_block(&self, block: BlockId) -> Result<Index> {
        let bytes = self.names.trans.bytes(block);
        let corrupt = self.names.trans.corrupt(block, "dir3 block", "count");
        let (rest, tail) = BlockTail::ref_from_suffix(bytes).map_err(|_| corrupt)?;
        let count = tail.count.get() as usize;
        let start = rest.len().checked_sub(count.saturating_mul(ENTRY));
        let index = Index {
            block,
            home: Home::Block,
            start: start.ok_or(corrupt)?,
            count,
            stale: tail.stale.get() as usize,
        };
        self.checked(index)
    }

    fn checked(&self, index: Index) -> Result<Index> {
        if index.stale > index.count {
            return Err(self.names.trans.corrupt(index.block, "dir3 leaf", "stale"));
        }
        Ok(index)
    }

    /// The entries.
    pub(super) fn entries(&self, index: &Index) -> Result<&[LeafEntry]> {
        let bytes = self.names.trans.bytes(index.block);
        bytes
            .get(index.start..)
            .and_then(|bytes| <[LeafEntry]>::ref_from_prefix_with_elems(bytes, index.count).ok())
            .map(|(entries, _)| entries)
            .ok_or(Error::Invalid)
    }

    /// The first slot whose hash is not below `hash`.
    pub(super) fn lower_bound(&self, index: &Index, hash: NameHash) -> Result<usize> {
        let entries = self.entries(index)?;
        Ok(entries.partition_point(|entry| entry.hash.get() < hash.0))
    }

    /// Finds a name in an index and the data blocks that it leads to.
    pub(super) fn find(&mut self, index: &Index, name: &[u8]) -> Result<Option<Located>> {
        let hash = NameHash::of(name);
        let mut slot = self.lower_bound(index, hash)?;
        // The data block that was read last: names of one hash often share one.
        let mut held: Option<(DirBlock, BlockId)> = None;
        while let Some(&entry) = self.entries(index)?.get(slot) {
            if entry.hash.get() != hash.0 {
                break;
            }
            if let Some(pointer) = entry.pointer() {
                let (number, offset) = self.geo.split(pointer);
                let data = match (index.home, held) {
                    (Home::Block, _) => index.block,
                    (Home::Leaf, Some((known, block))) if known == number => block,
                    (Home::Leaf, other) => {
                        if let Some((_, block)) = other {
                            self.names.trans.release(block);
                        }
                        let block = self.get_data(number)?;
                        held = Some((number, block));
                        block
                    }
                };
                if let Some(inode) = self.entry_if_named(data, offset, name)? {
                    return Ok(Some(Located {
                        slot,
                        data,
                        number,
                        offset,
                        name_len: name.len(),
                        inode,
                    }));
                }
            }
            slot = slot.saturating_add(1);
        }
        if let Some((_, block)) = held {
            self.names.trans.release(block);
        }
        Ok(None)
    }

    /// Adds an entry, for which there is a stale one or room beside the index.
    pub(super) fn insert(&mut self, index: &mut Index, hash: NameHash, pointer: DataPtr) -> Result {
        let mut slot = self.lower_bound(index, hash)?;
        let (block, count) = (index.block, index.count);
        if let Some(stale) = self.nearest_stale(index, slot)? {
            if stale < slot {
                // What lies between moves down by one.
                let between = index.at(stale.saturating_add(1))..index.at(slot);
                self.names
                    .trans
                    .copy(block, between, block, index.at(stale))?;
                slot = slot.saturating_sub(1);
            } else {
                let between = index.at(slot)..index.at(stale);
                let to = index.at(slot.saturating_add(1));
                self.names.trans.copy(block, between, block, to)?;
            }
            index.stale = index.stale.saturating_sub(1);
        } else {
            match index.home {
                Home::Block => {
                    let front = index.at(0)..index.at(slot);
                    index.start = index.start.checked_sub(ENTRY).ok_or(Error::Invalid)?;
                    self.names.trans.copy(block, front, block, index.start)?;
                }
                Home::Leaf => {
                    let tail = index.at(slot)..index.end();
                    let to = index.at(slot.saturating_add(1));
                    self.names.trans.copy(block, tail, block, to)?;
                }
            }
            index.count = count.saturating_add(1);
        }
        self.put_index_entry(index, slot, hash, pointer)?;
        self.put_index_counts(index)
    }

    /// The stale entry that is nearest to a slot.
    fn nearest_stale(&self, index: &Index, slot: usize) -> Result<Option<usize>> {
        if index.stale == 0 {
            return Ok(None);
        }
        let entries = self.entries(index)?;
        let (before, after) = entries.split_at_checked(slot).ok_or(Error::Invalid)?;
        let low = before.iter().rposition(LeafEntry::is_stale);
        let high = after
            .iter()
            .position(LeafEntry::is_stale)
            .map(|at| at.saturating_add(slot));
        let found = match (low, high) {
            (Some(low), Some(high)) if slot.saturating_sub(low) > high.saturating_sub(slot) => {
                Some(high)
            }
            (Some(low), _) => Some(low),
            (None, high) => high,
        };
        match found {
            Some(_) => Ok(found),
            None => Err(self.names.trans.corrupt(index.block, "dir3 leaf", "stale")),
        }
    }

    pub(super) fn put_index_entry(
        &mut self,
        index: &Index,
        slot: usize,
        hash: NameHash,
        pointer: DataPtr,
    ) -> Result {
        let entry = LeafEntry {
            hash: U32::new(hash.0),
            address: U32::new(pointer.0),
        };
        *self.names.trans.change_as(index.block, index.at(slot))? = entry;
        Ok(())
    }

    /// Makes an entry stale.
    pub(super) fn make_stale(&mut self, index: &mut Index, slot: usize) -> Result {
        let at = index
            .at(slot)
            .saturating_add(offset_of!(LeafEntry, address));
        self.names.put_u32(index.block, at, DataPtr::NULL.0)?;
        index.stale = index.stale.saturating_add(1);
        self.put_index_counts(index)
    }

    /// Writes the numbers of entries.
    pub(super) fn put_index_counts(&mut self, index: &Index) -> Result {
        match index.home {
            Home::Block => {
                let size = self.block_size() as usize;
                let at = size.saturating_sub(size_of::<BlockTail>());
                let tail = BlockTail {
                    count: U32::new(index.count as u32),
                    stale: U32::new(index.stale as u32),
                };
                *self.names.trans.change_as(index.block, at)? = tail;
                Ok(())
            }
            Home::Leaf => {
                let count = u16::try_from(index.count).map_err(|_| Error::Invalid)?;
                let stale = u16::try_from(index.stale).map_err(|_| Error::Invalid)?;
                self.names
                    .put_u16(index.block, offset_of!(LeafHeader, count), count)?;
                self.names
                    .put_u16(index.block, offset_of!(LeafHeader, stale), stale)
            }
        }
    }

    /// Copies the entries that are not stale to byte `at` of a block; how many.
    pub(super) fn copy_live(&mut self, index: &Index, to: BlockId, at: usize) -> Result<usize> {
        let from = (index.block, index.start, index.count);
        copy_live(self.names.trans, from, (to, at))
    }

    /// Takes the stale entries out of a leaf.
    pub(super) fn compact(&mut self, index: &mut Index) -> Result {
        let live = self.copy_live(index, index.block, LEAF_HEADER)?;
        index.count = live;
        index.stale = 0;
        self.put_index_counts(index)
    }
}

/// Copies the entries that are not stale out of `count` at byte `start` of a block to a byte of a
/// block, which may be the same; how many.
pub(super) fn copy_live<J: Journal>(
    trans: &mut Trans<'_, J>,
    (from, start, count): (BlockId, usize, usize),
    (to, at): (BlockId, usize),
) -> Result<usize> {
    let place = |base: usize, slot: usize| base.saturating_add(slot.saturating_mul(ENTRY));
    let mut slot = 0usize;
    let mut copied = 0usize;
    while slot < count {
        let rest = trans
            .bytes(from)
            .get(place(start, slot)..place(start, count))
            .and_then(|bytes| <[LeafEntry]>::ref_from_bytes(bytes).ok())
            .ok_or(Error::Invalid)?;
        let stale = rest.iter().take_while(|entry| entry.is_stale()).count();
        let live = rest
            .iter()
            .skip(stale)
            .take_while(|entry| !entry.is_stale())
            .count();
        let first = slot.saturating_add(stale);
        slot = first.saturating_add(live);
        let target = place(at, copied);
        if live > 0 && (to, target) != (from, place(start, first)) {
            let range = place(start, first)..place(start, slot);
            trans.copy(from, range, to, target)?;
        }
        copied = copied.saturating_add(live);
    }
    Ok(copied)
}
