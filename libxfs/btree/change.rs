// SPDX-License-Identifier: GPL-2.0

//! What insertion and deletion share: keys of parents kept right, neighbours found.

use super::{
    entries::{self, Entry, Place},
    BlocksMut, Path,
};
use crate::libxfs::{
    error::{Error, Result},
    format::btree::{Node, Side, Tree},
};

impl<B: Copy, T: Tree> Path<B, T> {
    /// Replaces the record that it stands on; it must stay between its neighbours.
    ///
    /// # Errors
    ///
    /// `Invalid` when it stands on none; `Corrupt` for a record that breaks a rule or does not fit
    /// in there; those of reading and of corruption.
    pub fn update<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        record: &T::Record,
    ) -> Result {
        if self.record(blocks)?.is_none() {
            return Err(Error::Invalid);
        }
        let index = self.index(0);
        self.check_neighbours(blocks, record, index.saturating_add(1))?;
        let place = self.place(0)?;
        entries::put(blocks, place, index, &Entry::Record(*record))?;
        self.refresh_keys(blocks, 0)
    }

    /// That the record keeps its rules, and fits between the entry before the one that it stands
    /// on and entry `next`.
    pub(super) fn check_neighbours<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &A,
        record: &T::Record,
        next: usize,
    ) -> Result {
        let geo = blocks.geometry();
        let corrupt = |field| self.corrupt(blocks, 0, field);
        T::check_record(geo, Some(self.scope), record).map_err(corrupt)?;
        let node = self.node(blocks, 0)?;
        let neighbour = |index: usize| node.record(geo, index)?.ok();
        let before = self.index(0).checked_sub(1).and_then(neighbour);
        let fits = before.is_none_or(|before| T::in_order(&before, record))
            && neighbour(next).is_none_or(|next| T::in_order(record, &next));
        if fits {
            Ok(())
        } else {
            Err(corrupt("record order"))
        }
    }

    /// What holds the entries at `level`.
    pub(super) fn place(&self, level: usize) -> Result<Place<B>> {
        if self.is_root_in_fork(level) {
            return Ok(Place::Fork);
        }
        let block = self.steps.get(level).and_then(|step| step.block);
        block.map(Place::Block).ok_or(Error::Invalid)
    }

    /// Lowest and highest key below `level`.
    pub(super) fn keys_of<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &A,
        level: usize,
    ) -> Result<(T::Key, T::Key)> {
        let keys = entries::keys::<T, A>(blocks, self.place(level)?)?;
        keys.ok_or_else(|| self.corrupt(blocks, level, "numrecs"))
    }

    /// Sets the keys of child `index` of the node at `level` to those of what is in `child`.
    /// Returns whether they changed. An empty leaf, which is about to go, has none.
    pub(super) fn set_keys<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &mut A,
        level: usize,
        index: usize,
        child: Place<B>,
    ) -> Result<bool> {
        let Some(keys) = entries::keys::<T, A>(blocks, child)? else {
            return Ok(false);
        };
        let parent = self.place(level)?;
        let known = child_keys(&entries::node::<T, A>(blocks, parent)?, index);
        if known == Some(keys) || (!T::OVERLAPPING && known.map(|(low, _)| low) == Some(keys.0)) {
            return Ok(false);
        }
        entries::put_keys(blocks, parent, index, &keys)?;
        Ok(true)
    }

    /// Brings the keys of all parents in line with the changed entries at `level`.
    pub(super) fn refresh_keys<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &mut A,
        level: usize,
    ) -> Result {
        for below in level..self.top() {
            let above = below.saturating_add(1);
            let child = self.place(below)?;
            if !self.set_keys(blocks, above, self.index(above), child)? {
                break;
            }
        }
        Ok(())
    }

    /// Brings the keys of all parents in line with the changed entries at `level` and of the
    /// neighbour at that side.
    pub(super) fn set_keys_of_both<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &mut A,
        level: usize,
        side: Side,
        sibling: Place<B>,
    ) -> Result {
        let above = level.saturating_add(1);
        let index = self.index(above);
        self.set_keys(blocks, above, side.step(index), sibling)?;
        self.set_keys(blocks, above, index, self.place(level)?)?;
        self.refresh_keys(blocks, above)
    }

    /// The neighbour of the block at `level` below the same parent, if there is one.
    pub(super) fn sibling<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &mut A,
        level: usize,
        side: Side,
    ) -> Result<Option<(T::Pointer, B)>> {
        let above = level.saturating_add(1);
        if above > self.top() || (side == Side::Left && self.index(above) == 0) {
            return Ok(None);
        }
        let parent = self.node(blocks, above)?;
        let Some(pointer) = parent.pointer(side.step(self.index(above))) else {
            return Ok(None);
        };
        let node = self.node(blocks, level)?;
        let (linked, field) = match side {
            Side::Left => (node.left(), "leftsib"),
            Side::Right => (node.right(), "rightsib"),
        };
        if linked != Some(pointer) {
            return Err(self.corrupt(blocks, level, field));
        }
        let mine = self
            .pointer(level)
            .ok_or_else(|| self.corrupt(blocks, level, "pointer"))?;
        let block = self.read_linked(blocks, level, pointer, side.other(), mine)?;
        Ok(Some((pointer, block)))
    }

    /// Reads a block of `level` whose neighbour at `side` is to be `neighbour`.
    pub(super) fn read_linked<A: BlocksMut<T, Block = B>>(
        &self,
        blocks: &mut A,
        level: usize,
        pointer: T::Pointer,
        side: Side,
        neighbour: T::Pointer,
    ) -> Result<B> {
        let block = self.read(blocks, level, pointer)?;
        let node = entries::node::<T, A>(blocks, Place::Block(block))?;
        let (linked, field) = match side {
            Side::Left => (node.left(), "leftsib"),
            Side::Right => (node.right(), "rightsib"),
        };
        if linked == Some(neighbour) {
            return Ok(block);
        }
        blocks.release(block);
        Err(self.fault_in(blocks, Some(pointer), field))
    }

    /// Goes to the neighbour at that side, which was read before.
    pub(super) fn step_aside<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
        side: Side,
        (pointer, block): (T::Pointer, B),
    ) {
        self.put(blocks, level, pointer, block);
        let above = level.saturating_add(1);
        self.set_index(above, side.step(self.index(above)));
    }
}

fn child_keys<T: Tree>(node: &Node<'_, T>, index: usize) -> Option<(T::Key, T::Key)> {
    let low = node.key(index)?;
    Some((low, node.high_key(index).unwrap_or(low)))
}
