// SPDX-License-Identifier: GPL-2.0

//! Insertion, and how a tree grows.

use super::{
    entries::{self, Entry, Place},
    Blocks, BlocksMut, Path,
};
use crate::libxfs::{
    error::{Error, Result},
    format::btree::{Header, Side, Tree},
};

impl<B: Copy, T: Tree> Path<B, T> {
    /// Inserts a record and stands on it.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a record that breaks a rule, or overlaps one that is there; `NoSpace` and
    /// others of allocating; those of reading and of corruption. After an error the tree may be
    /// half changed, and the transaction must not be committed.
    pub fn insert<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        record: &T::Record,
    ) -> Result {
        let key = T::key(record);
        self.seek_gap(blocks, &key)?;
        self.check_neighbours(blocks, record, self.index(0))?;
        let mut entry = Entry::Record(*record);
        let mut level = 0usize;
        let mut moved = false;
        loop {
            let place = self.place(level)?;
            let node = entries::node::<T, A>(blocks, place)?;
            if node.count() < node.room() {
                entries::insert(blocks, place, self.index(level), &entry)?;
                self.refresh_keys(blocks, level)?;
                break;
            }
            moved = true;
            if self.is_root_in_fork(level) {
                self.grow_fork_root(blocks)?;
                continue;
            }
            if level == self.top() {
                self.grow_root(blocks)?;
            }
            if self.shift_to_sibling(blocks, level)? {
                continue;
            }
            entry = self.split(blocks, level, &entry)?;
            level = level.saturating_add(1);
            self.set_index(level, self.index(level).saturating_add(1));
        }
        if moved {
            self.descend_to(blocks, &key)?;
            let before = self.entries_before(blocks, 0, &key, false)?;
            self.set_index(0, before);
        }
        Ok(())
    }

    /// Goes to the leaf where `key` belongs, and tells how many blocks the tree needs at the most to
    /// take `n` records there: one for each full block from the leaf up, and one for a new root where
    /// all are and the root is a block.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn growth<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        key: &T::Key,
        n: usize,
    ) -> Result<u32> {
        self.descend_to(blocks, key)?;
        let mut full = 0u32;
        let mut entries = n;
        for level in 0..self.levels {
            let node = self.node(blocks, level)?;
            if node.count().saturating_add(entries) <= node.room() {
                return Ok(full);
            }
            full = full.saturating_add(1);
            entries = 1;
        }
        Ok(full.saturating_add((!self.in_fork).into()))
    }

    /// Moves what the root in a fork holds to a block of its own, so that it takes the least of the
    /// fork that it can.
    ///
    /// # Errors
    ///
    /// `Invalid` for a tree with its root in a block; `NoSpace` and others of allocating; those of
    /// reading and of corruption.
    pub fn push_down<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A) -> Result {
        self.load_root(blocks)?;
        if !self.in_fork {
            return Err(Error::Invalid);
        }
        self.grow_fork_root(blocks)?;
        self.reset(blocks);
        Ok(())
    }

    /// Goes to the entry of a leaf before which `key` belongs. A run of insertions, or one that a
    /// look-up has prepared, finds it where the path is.
    fn seek_gap<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A, key: &T::Key) -> Result {
        if self.is_loaded(0) {
            let index = self.entries_before(blocks, 0, key, false)?;
            let node = self.node(blocks, 0)?;
            let inside = index > 0 && index < node.count();
            let at_end = index > 0 && index == node.count() && node.right().is_none();
            if inside || at_end {
                self.set_index(0, index);
                return Ok(());
            }
        }
        self.descend_to(blocks, key)?;
        let index = self.entries_before(blocks, 0, key, false)?;
        self.set_index(0, index);
        Ok(())
    }

    /// Puts a new root above the one in a block.
    fn grow_root<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A) -> Result {
        let old = self.top();
        let top = self.levels;
        let levels = top.saturating_add(1);
        let pointer = self
            .pointer(old)
            .ok_or_else(|| self.corrupt(blocks, old, "pointer"))?;
        if levels > usize::from(T::max_levels(blocks.geometry())) {
            return Err(self.corrupt(blocks, old, "level"));
        }
        self.make_room(levels)?;
        let (low, high) = self.keys_of(blocks, old)?;
        let (root, block) = self.new_block(blocks, Some(pointer), top, [None, None])?;
        let entry = Entry::Child(low, high, pointer);
        entries::insert(blocks, Place::Block(block), 0, &entry)?;
        blocks.set_root(root, u32::try_from(levels).unwrap_or(u32::MAX))?;
        self.levels = levels;
        self.put(blocks, top, root, block);
        Ok(())
    }

    /// Moves what the root in a fork holds to a block, of which the root holds the pointer.
    fn grow_fork_root<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A) -> Result {
        let old = self.top();
        let index = self.index(old);
        let levels = self.levels.saturating_add(1);
        if levels > usize::from(T::max_levels(blocks.geometry())) {
            return Err(self.corrupt(blocks, old, "level"));
        }
        self.make_room(levels)?;
        let (low, high) = self.keys_of(blocks, old)?;
        let node = entries::node::<T, A>(blocks, Place::Fork)?;
        let (count, near) = (node.count(), node.pointer(0));
        let (pointer, block) = self.new_block(blocks, near, old, [None, None])?;
        let child = Place::Block(block);
        entries::transfer::<T, A>(blocks, (Place::Fork, 0), count, (child, 0))?;
        let level = u16::try_from(self.levels).map_err(|_| Error::Invalid)?;
        entries::start_root::<T, A>(blocks, level)?;
        let entry = Entry::Child(low, high, pointer);
        entries::insert(blocks, Place::Fork, 0, &entry)?;
        self.levels = levels;
        self.put(blocks, old, pointer, block);
        self.set_index(old, index);
        self.set_index(self.top(), 0);
        Ok(())
    }

    /// Moves entries of the full block at `level` to a neighbour below the same parent that has
    /// room. Returns whether there was one. The path then stands where it stood, maybe in that
    /// neighbour.
    fn shift_to_sibling<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
    ) -> Result<bool> {
        let index = self.index(level);
        let place = self.place(level)?;
        let count = entries::node::<T, A>(blocks, place)?.count();
        for side in [Side::Left, Side::Right] {
            let Some((pointer, block)) = self.sibling(blocks, level, side)? else {
                continue;
            };
            let sibling = Place::Block(block);
            let node = entries::node::<T, A>(blocks, sibling)?;
            let (theirs, free) = (node.count(), node.room().saturating_sub(node.count()));
            if free == 0 {
                blocks.release(block);
                continue;
            }
            // In a run that appends to the tree nothing more comes to the neighbour: fill it. Else
            // leave room in both.
            let appends = side == Side::Left && index == count;
            let n = if appends {
                free.min(count.saturating_sub(count / 2))
            } else {
                free.div_ceil(2)
            };
            let kept = count.saturating_sub(n);
            let stays = match side {
                Side::Left => {
                    entries::transfer::<T, A>(blocks, (place, 0), n, (sibling, theirs))?;
                    index >= n
                }
                Side::Right => {
                    entries::transfer::<T, A>(blocks, (place, kept), n, (sibling, 0))?;
                    index <= kept
                }
            };
            self.set_keys_of_both(blocks, level, side, sibling)?;
            if stays {
                blocks.release(block);
                if side == Side::Left {
                    self.set_index(level, index.saturating_sub(n));
                }
            } else {
                self.step_aside(blocks, level, side, (pointer, block));
                self.set_index(
                    level,
                    match side {
                        Side::Left => theirs.saturating_add(index),
                        Side::Right => index.saturating_sub(kept),
                    },
                );
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Moves half of the full block at `level` to a new one behind it and inserts `entry`. Returns
    /// the new block's entry for the parent, behind the one that the path stands on there.
    fn split<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
        entry: &Entry<T>,
    ) -> Result<Entry<T>> {
        let index = self.index(level);
        let place = self.place(level)?;
        let pointer = self
            .pointer(level)
            .ok_or_else(|| self.corrupt(blocks, level, "pointer"))?;
        let node = entries::node::<T, A>(blocks, place)?;
        let (count, right) = (node.count(), node.right());
        let kept = count.div_ceil(2);
        let behind = match right {
            Some(right) => Some(self.read_linked(blocks, level, right, Side::Left, pointer)?),
            None => None,
        };
        let links = [Some(pointer), right];
        let (new, block) = self.new_block(blocks, Some(pointer), level, links)?;
        let half = Place::Block(block);
        let n = count.saturating_sub(kept);
        entries::transfer::<T, A>(blocks, (place, kept), n, (half, 0))?;
        if let Place::Block(mine) = place {
            entries::set_sibling::<T, A>(blocks, mine, Side::Right, Some(new))?;
        }
        if let Some(behind) = behind {
            entries::set_sibling::<T, A>(blocks, behind, Side::Left, Some(new))?;
            blocks.release(behind);
        }
        if index <= kept {
            entries::insert(blocks, place, index, entry)?;
        } else {
            entries::insert(blocks, half, index.saturating_sub(kept), entry)?;
        }
        self.refresh_keys(blocks, level)?;
        let keys = entries::keys::<T, A>(blocks, half)?;
        blocks.release(block);
        match keys {
            Some((low, high)) => Ok(Entry::Child(low, high, new)),
            None => Err(self.corrupt(blocks, level, "numrecs")),
        }
    }

    /// A new block of the tree, without entries.
    fn new_block<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &mut A,
        near: Option<T::Pointer>,
        level: usize,
        [left, right]: [Option<T::Pointer>; 2],
    ) -> Result<(T::Pointer, B)> {
        let (pointer, block) = blocks.allocate(near)?;
        let address = blocks
            .address(pointer)
            .ok_or_else(|| self.fault_in(blocks, None, "pointer"))?;
        let header = Header {
            magic: T::MAGIC,
            level: u16::try_from(level).map_err(|_| Error::Invalid)?,
            count: 0,
            left,
            right,
            address,
            uuid: blocks.geometry().meta_uuid,
            owner: self.owner,
        };
        entries::start_block::<T, A>(blocks, block, &header)?;
        Ok((pointer, block))
    }
}
