// SPDX-License-Identifier: GPL-2.0

//! Deletion, and how a tree shrinks.

use super::{
    entries::{self, Place},
    BlocksMut, Path,
};
use crate::libxfs::{
    error::{Error, Result},
    format::btree::{root_capacity, Side, Tree, TreeKind, ROOT_HEADER_SIZE},
};

impl<B: Copy, T: Tree> Path<B, T> {
    /// Deletes the record that it stands on, and stands on the one behind it, or nowhere if that was
    /// the last.
    ///
    /// A map (bmbt) from which the last record goes is left with an empty leaf, which must not be
    /// committed: its owner makes it a list of extents.
    ///
    /// # Errors
    ///
    /// `Invalid` when it stands on none; those of freeing, of reading and of corruption. After an
    /// error the tree may be half changed, and the transaction must not be committed.
    pub fn delete<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A) -> Result {
        let record = self.record(blocks)?.ok_or(Error::Invalid)?;
        let key = T::key(&record);
        let mut level = 0usize;
        let mut moved = false;
        loop {
            let place = self.place(level)?;
            entries::remove::<T, A>(blocks, place, self.index(level))?;
            if level == self.top() {
                break;
            }
            self.refresh_keys(blocks, level)?;
            let node = entries::node::<T, A>(blocks, place)?;
            if node.count() >= node.room() / 2 {
                break;
            }
            moved = true;
            match self.refill(blocks, level)? {
                Refilled::Merged => level = level.saturating_add(1),
                Refilled::Enough => break,
            }
        }
        moved |= self.shrink_root(blocks)?;
        let count = if moved {
            0
        } else {
            self.node(blocks, 0)?.count()
        };
        if self.index(0) >= count {
            self.stand_behind(blocks, &key)?;
        }
        Ok(())
    }

    /// Goes to the first record behind `key`, after deletion.
    fn stand_behind<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A, key: &T::Key) -> Result {
        // An empty leaf does not begin with the key that its parent has for it.
        if !self.in_fork || self.levels != 2 || self.node(blocks, 0)?.count() != 0 {
            self.lookup_ge(blocks, key)?;
        } else {
            self.reset(blocks);
        }
        Ok(())
    }

    /// Brings the block at `level`, which became less than half full, to at least that again, with
    /// entries of a neighbour below the same parent, or merges the two.
    fn refill<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
    ) -> Result<Refilled> {
        let place = self.place(level)?;
        let node = entries::node::<T, A>(blocks, place)?;
        let (count, room) = (node.count(), node.room());
        let mut merge = None;
        for side in [Side::Right, Side::Left] {
            let Some((pointer, block)) = self.sibling(blocks, level, side)? else {
                continue;
            };
            let sibling = Place::Block(block);
            let theirs = entries::node::<T, A>(blocks, sibling)?.count();
            if theirs > room / 2 {
                // As many as make both equal, so that a run of deletions does this seldom.
                let n = theirs.saturating_sub(count).div_ceil(2).max(1);
                let (from, to) = match side {
                    Side::Right => (0, count),
                    Side::Left => (theirs.saturating_sub(n), 0),
                };
                entries::transfer::<T, A>(blocks, (sibling, from), n, (place, to))?;
                self.set_keys_of_both(blocks, level, side, sibling)?;
                blocks.release(block);
                return Ok(Refilled::Enough);
            }
            if merge.is_none() && count.saturating_add(theirs) <= room {
                merge = Some((side, pointer, block));
            } else {
                blocks.release(block);
            }
        }
        match merge {
            Some((side, pointer, block)) => {
                if side == Side::Left {
                    // The left one of the two stays: go to it.
                    let right = self.take(level);
                    self.step_aside(blocks, level, side, (pointer, block));
                    match right {
                        Some(right) => self.merge(blocks, level, right)?,
                        None => return Err(Error::Invalid),
                    }
                } else {
                    self.merge(blocks, level, (pointer, block))?;
                }
                Ok(Refilled::Merged)
            }
            // The only child: its parent is the root, in a fork.
            None => Ok(Refilled::Enough),
        }
    }

    /// Takes the block at `level` out of the path.
    fn take(&mut self, level: usize) -> Option<(T::Pointer, B)> {
        let step = self.steps.get_mut(level)?;
        Some((step.pointer?, step.block.take()?))
    }

    /// Moves all entries of its right neighbour into the block at `level`, and frees that. The path
    /// then stands on the neighbour's entry in the parent, which must go.
    fn merge<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
        (pointer, block): (T::Pointer, B),
    ) -> Result {
        let place = self.place(level)?;
        let right = Place::Block(block);
        let node = entries::node::<T, A>(blocks, right)?;
        let (theirs, behind) = (node.count(), node.right());
        let count = entries::node::<T, A>(blocks, place)?.count();
        let behind = match behind {
            Some(next) => Some((
                next,
                self.read_linked(blocks, level, next, Side::Left, pointer)?,
            )),
            None => None,
        };
        entries::transfer::<T, A>(blocks, (right, 0), theirs, (place, count))?;
        if let Place::Block(mine) = place {
            let next = behind.map(|(next, _)| next);
            entries::set_sibling::<T, A>(blocks, mine, Side::Right, next)?;
        }
        if let Some((_, behind)) = behind {
            entries::set_sibling::<T, A>(blocks, behind, Side::Left, self.pointer(level))?;
            blocks.release(behind);
        }
        blocks.free(pointer, block)?;
        self.refresh_keys(blocks, level)?;
        let above = level.saturating_add(1);
        self.set_index(above, self.index(above).saturating_add(1));
        Ok(())
    }

    /// Makes the root's only child the root, as often as that can be. Returns whether it did.
    fn shrink_root<A: BlocksMut<T, Block = B>>(&mut self, blocks: &mut A) -> Result<bool> {
        let mut shrunk = false;
        while self.levels > 1 {
            let top = self.top();
            let node = self.node(blocks, top)?;
            let Some(pointer) = node.pointer(0).filter(|_| node.count() == 1) else {
                break;
            };
            let done = if self.in_fork {
                self.shrink_fork_root(blocks, pointer)?
            } else {
                self.shrink_block_root(blocks, pointer)?;
                true
            };
            if !done {
                break;
            }
            shrunk = true;
        }
        Ok(shrunk)
    }

    fn shrink_block_root<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        child: T::Pointer,
    ) -> Result {
        let top = self.top();
        let levels = u32::try_from(top).map_err(|_| Error::Invalid)?;
        let (root, block) = self.take(top).ok_or(Error::Invalid)?;
        blocks.set_root(child, levels)?;
        self.levels = top;
        blocks.free(root, block)
    }

    /// Moves what the root's only child holds into the root, if it fits.
    fn shrink_fork_root<A: BlocksMut<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        pointer: T::Pointer,
    ) -> Result<bool> {
        let top = self.top();
        let below = top.saturating_sub(1);
        // A map that needs no block of its own is a list of extents instead.
        if below == 0 && T::KIND == TreeKind::Bmap {
            return Ok(false);
        }
        let space = blocks.change_fork()?.len().saturating_sub(ROOT_HEADER_SIZE);
        let block = self.read(blocks, below, pointer)?;
        let child = Place::Block(block);
        let node = entries::node::<T, A>(blocks, child)?;
        let count = node.count();
        if node.left().is_some() || node.right().is_some() {
            return Err(self.fault_in(blocks, Some(pointer), "rightsib"));
        }
        if count > root_capacity::<T>(space, below == 0) {
            blocks.release(block);
            return Ok(false);
        }
        let level = u16::try_from(below).map_err(|_| Error::Invalid)?;
        entries::start_root::<T, A>(blocks, level)?;
        entries::transfer::<T, A>(blocks, (child, 0), count, (Place::Fork, 0))?;
        if let Some((_, mine)) = self.take(below) {
            blocks.release(mine);
        }
        blocks.free(pointer, block)?;
        self.levels = top;
        Ok(true)
    }
}

/// How a block that was less than half full was helped.
enum Refilled {
    /// Its neighbour's entry in the parent must go.
    Merged,
    /// No more has to be done.
    Enough,
}
