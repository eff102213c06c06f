// SPDX-License-Identifier: GPL-2.0

//! Directories in block form: one block that holds entries and their index.

use super::{
    data::Stretch,
    index::{Home, Index, ENTRY, LEAF_HEADER},
    DirMut, NewEntry,
};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    format::{
        dir::{
            data::{BlockTail, BLOCK_MAGIC, DATA_MAGIC},
            leaf::{LeafKind, LEAF1_MAGIC},
            space::DirBlock,
        },
        kind::Kind,
        units::InodeNumber,
    },
    journal::Journal,
    trans::BlockId,
};
use core::mem::size_of;

const TAIL: usize = size_of::<BlockTail>();

/// Where an entry of `length` bytes goes in a directory in block form; `None` where there is no
/// room for it or for its entry in the index.
///
/// `stale` says that the index has a place for it, `longest` are the header's stretches, `last` is
/// the one before the index.
pub(super) fn place(
    stale: bool,
    longest: [Stretch; 2],
    last: Option<Stretch>,
    length: u32,
) -> Option<Stretch> {
    let [first, second] = longest;
    let fits = |stretch: Stretch, length| (stretch.length >= length).then_some(stretch);
    if stale {
        return fits(first, length);
    }
    // The index grows into the stretch before it.
    let last = last?;
    if first.offset != last.offset {
        return fits(first, length);
    }
    fits(first, length.saturating_add(ENTRY as u32)).or_else(|| fits(second, length))
}

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    /// The block of a directory in block form.
    pub(super) fn get_block(&mut self) -> Result<BlockId> {
        let at = self.geo.file_block(DirBlock(0));
        let block = self.names.get(at, Kind::DirBlock)?;
        self.check_owner(block)?;
        Ok(block)
    }

    /// The index of a directory in block form.
    pub(super) fn block_index(&mut self) -> Result<Index> {
        let block = self.get_block()?;
        self.index_of_block(block)
    }

    /// Adds an entry; whether there was room. If not, the directory has taken leaf form.
    pub(super) fn add_to_block(&mut self, entry: &NewEntry<'_>) -> Result<bool> {
        let mut index = self.block_index()?;
        if self.find(&index, entry.name)?.is_some() {
            return Err(Error::Exists);
        }
        let block = index.block;
        let last = self.unused_at_end(block)?;
        let Some(from) = place(
            index.stale > 0,
            self.two_longest(block)?,
            last,
            entry.size(),
        ) else {
            self.block_to_leaf()?;
            return Ok(false);
        };
        self.put_entry(block, from, entry)?;
        if index.stale == 0 {
            self.widen_index(&index)?;
        }
        let pointer = self.geo.pointer(DirBlock(0), from.offset);
        self.insert(&mut index, entry.hash(), pointer)?;
        Ok(true)
    }

    fn two_longest(&self, block: BlockId) -> Result<[Stretch; 2]> {
        let [first, second, _] = self.data(block)?.header.best_free;
        Ok([first, second].map(|free| Stretch {
            offset: free.offset.get().into(),
            length: free.length.get().into(),
        }))
    }

    /// Takes the room for one more entry of the index from the stretch before it.
    fn widen_index(&mut self, index: &Index) -> Result {
        let last = self.unused_at_end(index.block)?.ok_or(Error::Invalid)?;
        let offset = last.end().checked_sub(ENTRY as u32).ok_or(Error::Invalid)?;
        let longest = self.carve(index.block, last, offset, ENTRY as u32)?;
        // Entries end before it from now on.
        self.put_index_counts(&Index {
            count: index.count.saturating_add(1),
            ..*index
        })?;
        self.set_longest(index.block, longest)
    }

    pub(super) fn remove_from_block(&mut self, name: &[u8]) -> Result<InodeNumber> {
        let mut index = self.block_index()?;
        let found = self.find(&index, name)?.ok_or(Error::NotFound)?;
        self.free_entry(&found)?;
        self.make_stale(&mut index, found.slot)?;
        self.block_to_short(index.block)?;
        Ok(found.inode)
    }

    /// Moves the index to a block of its own.
    fn block_to_leaf(&mut self) -> Result {
        let index = self.block_index()?;
        let block = index.block;
        let data_end = self.data(block)?.end();
        let leaf = self.names.grow(self.geo.leaf_start(), Kind::DirLeaf)?;
        self.names.init_tree_block(leaf, LEAF1_MAGIC)?;
        let range = index.start..index.end();
        self.names.trans.copy(block, range, leaf, LEAF_HEADER)?;
        self.put_index_counts(&Index {
            block: leaf,
            home: Home::Leaf,
            start: LEAF_HEADER,
            ..index
        })?;
        self.names.put_u32(block, 0, DATA_MAGIC)?;
        self.names.trans.set_kind(block, Kind::DirData);
        // Seen as a block of entries alone, its end is unused.
        let length = self.block_size().saturating_sub(data_end);
        self.give(block, data_end, length)?;
        let longest = self.longest(block)?.length;
        self.set_bests_count(leaf, 1)?;
        self.set_best_in_leaf(leaf, DirBlock(0), longest as u16)
    }

    /// Takes a directory in leaf form that has one block of entries back into block form, if its
    /// index fits behind the entries.
    pub(super) fn leaf_to_block(&mut self, leaf: BlockId) -> Result {
        self.drop_last_data(leaf)?;
        let index = self.index_of_leaf(leaf, LeafKind::Single)?;
        if self.last_data_block()? != DirBlock(0) {
            return Ok(());
        }
        let block = self.get_data(DirBlock(0))?;
        let needed = index.live().saturating_mul(ENTRY).saturating_add(TAIL) as u32;
        let Some(last) = self
            .unused_at_end(block)?
            .filter(|last| last.length >= needed)
        else {
            return Ok(());
        };
        if !self.names.unmap(self.geo.leaf_start())? {
            return Ok(());
        }
        let start = self.block_size().saturating_sub(needed);
        self.end_block(block, last, start)?;
        let count = self.copy_live(&index, block, start as usize)?;
        let index = Index {
            block,
            home: Home::Block,
            start: start as usize,
            count,
            stale: 0,
        };
        self.names.discard(leaf);
        self.put_index_counts(&index)?;
        self.block_to_short(block)
    }

    /// Makes a block of entries one in block form, whose index starts at `start`.
    pub(super) fn end_block(&mut self, block: BlockId, last: Stretch, start: u32) -> Result {
        let length = self.block_size().saturating_sub(start);
        let longest = self.carve(block, last, start, length)?;
        self.names.put_u32(block, 0, BLOCK_MAGIC)?;
        self.names.trans.set_kind(block, Kind::DirBlock);
        let count = (length as usize).saturating_sub(TAIL) / ENTRY;
        self.put_index_counts(&Index {
            block,
            home: Home::Block,
            start: start as usize,
            count,
            stale: 0,
        })?;
        self.set_longest(block, longest)
    }
}
