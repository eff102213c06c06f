// SPDX-License-Identifier: GPL-2.0

//! A tree of names that shrinks: blocks without much in them are joined, and the root loses a
//! level.
//!
//! Joined are neighbours below one node. A block goes out of the fork's map before anything moves:
//! where that cannot be, for it might need space, all stays as it is, and is right.

use super::{
    changing::{ENTRY, NODE_HEADER},
    path::entry_at,
    ForkSpace, NamesMut, Path,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        da::{self, Node},
        fault::Fault,
    },
    journal::Journal,
    trans::BlockId,
};

/// What joining has to know of a block of the tree.
pub(in crate::libxfs) trait TreeBlock {
    /// Bytes of the header.
    const HEADER: usize;

    /// Bytes behind the header that are of use.
    fn used(bytes: &[u8]) -> core::result::Result<usize, Fault>;

    /// Moves all of `right` behind what `left` has.
    fn merge<J: Journal, S: ForkSpace<J>>(
        names: &mut NamesMut<'_, '_, J, S>,
        left: BlockId,
        right: BlockId,
    ) -> Result;
}

/// A node.
struct NodeBlock;

impl TreeBlock for NodeBlock {
    const HEADER: usize = NODE_HEADER;

    fn used(bytes: &[u8]) -> core::result::Result<usize, Fault> {
        Ok(Node::view(bytes)?.entries.len().saturating_mul(ENTRY))
    }

    fn merge<J: Journal, S: ForkSpace<J>>(
        names: &mut NamesMut<'_, '_, J, S>,
        left: BlockId,
        right: BlockId,
    ) -> Result {
        let (before, more) = (names.count(left)?, names.count(right)?);
        let range = entry_at(0)..entry_at(more);
        names.trans.copy(right, range, left, entry_at(before))?;
        names.set_count(left, before.saturating_add(more))
    }
}

impl<J: Journal, S: ForkSpace<J>> NamesMut<'_, '_, J, S> {
    /// Joins the leaf of `path`, from which something was removed, with a neighbour if both have
    /// little, or drops it if it has nothing; and so on upwards. The path is of no use afterwards.
    pub(in crate::libxfs) fn shrink_tree<L: TreeBlock>(&mut self, path: &mut Path) -> Result {
        let mut depth = path.leaf_depth();
        if depth == 0 {
            return Ok(());
        }
        let changed = match self.used::<L>(path.leaf()?.block)? {
            0 => self.drop_block(path, depth)?,
            _ => self.join::<L>(path, depth)?,
        };
        if !changed {
            return Ok(());
        }
        while let Some(above) = depth.checked_sub(1).filter(|&above| above > 0) {
            // The node is gone where it had no other child.
            if path.step(above).is_ok() {
                self.join::<NodeBlock>(path, above)?;
            }
            depth = above;
        }
        self.lower_root(path)
    }

    fn used<B: TreeBlock>(&self, block: BlockId) -> Result<usize> {
        B::used(self.trans.bytes(block)).map_err(|fault| self.fault(block, fault))
    }

    /// Takes an empty block out of the tree, and a node of which it was the only child with it.
    fn drop_block(&mut self, path: &mut Path, depth: usize) -> Result<bool> {
        let Some(above) = depth.checked_sub(1) else {
            return Ok(false);
        };
        let step = path.step(depth)?;
        let parent = path.step(above)?;
        let alone = self.count(parent.block)? == 1;
        // Once the node is gone the block has to go, so space for both must be at hand.
        if alone && (self.trans.claimed().blocks == 0 || !self.drop_block(path, above)?) {
            return Ok(false);
        }
        if !self.unmap(step.at)? {
            return if alone {
                Err(Error::NoSpace)
            } else {
                Ok(false)
            };
        }
        self.unlink(step.block)?;
        if !alone {
            self.remove_entry(path, above, parent.slot)?;
        }
        self.discard(step.block);
        path.remove(depth);
        Ok(true)
    }

    /// Takes an entry out of the node at `depth`, which has others.
    fn remove_entry(&mut self, path: &Path, depth: usize, slot: usize) -> Result {
        let block = path.step(depth)?.block;
        let count = self.count(block)?;
        let next = slot.saturating_add(1);
        if next > count {
            return Err(Error::Invalid);
        }
        let tail = entry_at(next)..entry_at(count);
        self.trans.copy(block, tail, block, entry_at(slot))?;
        self.set_count(block, count.saturating_sub(1))?;
        if next == count {
            let hash = self.last_hash(block)?;
            self.set_hash_above(path, depth, hash)?;
        }
        Ok(())
    }

    /// Joins the block at `depth` with one beside it if it is less than half full and both together
    /// fill no more than three quarters of a block.
    fn join<B: TreeBlock>(&mut self, path: &mut Path, depth: usize) -> Result<bool> {
        let Some(above) = depth.checked_sub(1) else {
            return Ok(false);
        };
        let size = self.block_size();
        let step = path.step(depth)?;
        let used = self.used::<B>(step.block)?;
        if used.saturating_add(B::HEADER) > size / 2 {
            return Ok(false);
        }
        let most = (size / 4).saturating_mul(3).saturating_sub(B::HEADER);
        let parent = path.step(above)?;
        let beside = [parent.slot.checked_add(1), parent.slot.checked_sub(1)];
        for slot in beside.into_iter().flatten() {
            let node = self.node(parent.block)?;
            let Some(at) = node.entries.get(slot).map(da::NodeEntry::block) else {
                continue;
            };
            let other = self.get_tree(at)?;
            if self.level(other)? != self.level(step.block)? {
                return Err(self.trans.corrupt(other, "da3 node", "level"));
            }
            let both = self.used::<B>(other)?.saturating_add(used);
            let right_at = if slot > parent.slot { at } else { step.at };
            if both > most || !self.unmap(right_at)? {
                self.trans.release(other);
                continue;
            }
            let (left, right) = if slot > parent.slot {
                (step.block, other)
            } else {
                (other, step.block)
            };
            B::merge(self, left, right)?;
            self.unlink(right)?;
            let left_slot = slot.min(parent.slot);
            let hash = self.last_hash(left)?;
            self.put_u32(parent.block, entry_at(left_slot), hash.0)?;
            self.remove_entry(path, above, left_slot.saturating_add(1))?;
            self.discard(right);
            return Ok(true);
        }
        Ok(false)
    }

    /// Moves the content of the root's only child up into it, as long as it has only one.
    fn lower_root(&mut self, path: &Path) -> Result {
        let root = path.step(0)?.block;
        loop {
            if self.level(root)? == 0 {
                return Ok(());
            }
            let node = self.node(root)?;
            let [only] = node.entries else {
                return Ok(());
            };
            let at = only.block();
            let child = self.get_tree(at)?;
            if self.level(child)?.checked_add(1) != Some(self.level(root)?) {
                return Err(self.trans.corrupt(child, "da3 node", "level"));
            }
            if !self.unmap(at)? {
                return Ok(());
            }
            self.copy_tree_block(child, root)?;
            self.discard(child);
        }
    }
}
