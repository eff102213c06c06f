// SPDX-License-Identifier: GPL-2.0

//! Directories in leaf form: blocks of entries, and one block with the index and the room that
//! each of them has.

use super::{
    data::Stretch,
    index::{Index, ENTRY},
    DirMut, NewEntry,
};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    format::{
        dir::{
            free::NO_BLOCK,
            leaf::{Leaf, LeafKind, LEAFN_MAGIC},
            space::{DataPtr, DirBlock},
        },
        kind::Kind,
        units::InodeNumber,
    },
    journal::Journal,
    trans::BlockId,
};
use core::mem::{offset_of, size_of};
use zerocopy::byteorder::big_endian::{U16, U32};

/// Bytes of the number of rooms, at a leaf's end.
const TAIL: usize = size_of::<U32>();
/// Bytes of one of them.
const BEST: usize = size_of::<U16>();

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    /// The index of a directory in leaf form.
    pub(super) fn leaf_index(&mut self) -> Result<Index> {
        let leaf = self.names.get(self.geo.leaf_start(), Kind::DirLeaf)?;
        self.index_of_leaf(leaf, LeafKind::Single)
    }

    /// The room of each data block, as the only leaf has it.
    pub(super) fn bests_of_leaf(&self, leaf: BlockId) -> Result<&[U16]> {
        let bytes = self.names.trans.bytes(leaf);
        Leaf::view(bytes, LeafKind::Single)
            .map(|leaf| leaf.bests)
            .map_err(|fault| self.names.fault(leaf, fault))
    }

    /// Where the rooms start when there are `count` of them.
    fn bests_start(&self, count: usize) -> usize {
        (self.block_size() as usize)
            .saturating_sub(TAIL)
            .saturating_sub(count.saturating_mul(BEST))
    }

    /// Makes the list of rooms longer, with blocks that are not there, or shorter.
    pub(super) fn set_bests_count(&mut self, leaf: BlockId, count: usize) -> Result {
        let old = match self.bests_of_leaf(leaf) {
            Ok(bests) => bests.len(),
            Err(error) => return Err(error),
        };
        let kept = old.min(count).saturating_mul(BEST);
        let (from, to) = (self.bests_start(old), self.bests_start(count));
        let range = from..from.saturating_add(kept);
        self.names.trans.copy(leaf, range, leaf, to)?;
        let end = self.bests_start(0);
        let new = to.saturating_add(kept)..end;
        self.names.trans.change(leaf, new)?.fill(0xff);
        self.names.put_u32(leaf, end, count as u32)
    }

    /// Notes the longest unused stretch of a data block.
    pub(super) fn set_best_in_leaf(
        &mut self,
        leaf: BlockId,
        number: DirBlock,
        best: u16,
    ) -> Result {
        let bests = self.bests_of_leaf(leaf)?;
        let slot = number.0 as usize;
        let old = bests
            .get(slot)
            .ok_or_else(|| self.names.trans.corrupt(leaf, "dir3 leaf", "bestcount"))?;
        if old.get() == best {
            return Ok(());
        }
        let start = self.bests_start(bests.len());
        let at = start.saturating_add(slot.saturating_mul(BEST));
        self.names.put_u16(leaf, at, best)
    }

    /// Adds an entry; whether there was room. If not, the directory has taken node form.
    pub(super) fn add_to_leaf(&mut self, entry: &NewEntry<'_>) -> Result<bool> {
        let mut index = self.leaf_index()?;
        if self.find(&index, entry.name)?.is_some() {
            return Err(Error::Exists);
        }
        let leaf = index.block;
        let bests = self.bests_of_leaf(leaf)?;
        let count = bests.len();
        let old = fitting(bests, entry.size()).map(|slot| DirBlock(slot as u32));
        let number = match old {
            Some(number) => number,
            None => self.free_number()?,
        };
        let bests = count.max((number.0 as usize).saturating_add(1));

        let start = self.bests_start(bests);
        let fits = |count: usize| index.at(count) <= start;
        let more = usize::from(index.stale == 0);
        if !fits(index.count.saturating_add(more)) {
            if !fits(index.live().saturating_add(1)) {
                self.leaf_to_node(leaf)?;
                return Ok(false);
            }
            self.compact(&mut index)?;
        }
        if bests > count {
            self.set_bests_count(leaf, bests)?;
        }
        let (pointer, best) = self.put_in_data(old, number, entry)?;
        self.set_best_in_leaf(leaf, number, best)?;
        self.insert(&mut index, entry.hash(), pointer)?;
        Ok(true)
    }

    /// Puts an entry into the data block `old`, which has room, or into a new one of that number;
    /// where, and the room that is left there.
    pub(super) fn put_in_data(
        &mut self,
        old: Option<DirBlock>,
        number: DirBlock,
        entry: &NewEntry<'_>,
    ) -> Result<(DataPtr, u16)> {
        let block = match old {
            Some(number) => self.get_data(number)?,
            None => self.new_data(number)?,
        };
        let from: Stretch = self.longest(block)?;
        if from.length < entry.size() {
            return Err(self.names.trans.corrupt(block, "dir3 data", "bestfree"));
        }
        self.put_entry(block, from, entry)?;
        let best = self.longest(block)?.length as u16;
        Ok((self.geo.pointer(number, from.offset), best))
    }

    pub(super) fn remove_from_leaf(&mut self, name: &[u8]) -> Result<InodeNumber> {
        let mut index = self.leaf_index()?;
        let found = self.find(&index, name)?.ok_or(Error::NotFound)?;
        let leaf = index.block;
        self.make_stale(&mut index, found.slot)?;
        self.free_entry(&found)?;
        let best = self.longest(found.data)?.length as u16;
        self.set_best_in_leaf(leaf, found.number, best)?;
        self.drop_data_in_leaf(leaf, found.number, found.data)?;
        self.leaf_to_block(leaf)?;
        Ok(found.inode)
    }

    /// Frees a data block without entries, if it is one.
    fn drop_data_in_leaf(&mut self, leaf: BlockId, number: DirBlock, data: BlockId) -> Result {
        if number == DirBlock(0) || !self.is_empty(data)? {
            return Ok(());
        }
        if !self.names.unmap(self.geo.file_block(number))? {
            return Ok(());
        }
        self.names.discard(data);
        self.update_size()?;
        self.set_best_in_leaf(leaf, number, NO_BLOCK)?;
        self.trim_bests(leaf)
    }

    /// Drops the rooms of blocks behind the last one that is there.
    fn trim_bests(&mut self, leaf: BlockId) -> Result {
        let bests = self.bests_of_leaf(leaf)?;
        let last = bests.iter().rposition(|best| best.get() != NO_BLOCK);
        let count = last.map_or(0, |last| last.saturating_add(1));
        if count < bests.len() {
            self.set_bests_count(leaf, count)?;
        }
        Ok(())
    }

    /// Frees data blocks at the end without entries: those that an earlier removal had to leave.
    pub(super) fn drop_last_data(&mut self, leaf: BlockId) -> Result {
        loop {
            let last = self.last_data_block()?;
            if last == DirBlock(0) {
                return Ok(());
            }
            let full = u32::from(
                self.bests_of_leaf(leaf)?
                    .get(last.0 as usize)
                    .map_or(0, |best| best.get()),
            );
            if full != self.data_room() {
                return Ok(());
            }
            let data = self.get_data(last)?;
            self.drop_data_in_leaf(leaf, last, data)?;
            if self.last_data_block()? == last {
                return Ok(());
            }
        }
    }

    /// Moves the rooms to a block of their own; the leaf becomes the root of a tree.
    fn leaf_to_node(&mut self, leaf: BlockId) -> Result {
        let free = self.new_free(self.geo.free_start())?;
        let bests = self.bests_of_leaf(leaf)?;
        let count = bests.len();
        let used = bests.iter().filter(|best| best.get() != NO_BLOCK).count();
        let start = self.bests_start(count);
        let range = start..self.bests_start(0);
        self.names
            .trans
            .copy(leaf, range, free, super::free::HEADER)?;
        self.set_free_counts(free, count, used)?;
        let magic = offset_of!(crate::libxfs::format::da::BlockInfo, magic);
        self.names.put_u16(leaf, magic, LEAFN_MAGIC)?;
        self.names.trans.set_kind(leaf, Kind::DirTree);
        Ok(())
    }

    /// Whether an index of `live` entries and as many rooms fit one leaf.
    pub(super) fn fits_one_leaf(&self, live: usize, bests: usize) -> bool {
        let end = super::index::LEAF_HEADER.saturating_add(live.saturating_mul(ENTRY));
        end <= self.bests_start(bests)
    }
}

/// The first data block with room for `length` bytes.
pub(super) fn fitting(bests: &[U16], length: u32) -> Option<usize> {
    bests
        .iter()
        .position(|best| best.get() != NO_BLOCK && u32::from(best.get()) >= length)
}
