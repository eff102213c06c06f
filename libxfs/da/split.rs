// SPDX-License-Identifier: GPL-2.0

//! A tree of names that grows: blocks that are full get a neighbour, and the root another level.

use super::{
    changing::{pointer, NODE_HEADER},
    path::entry_at,
    ForkSpace, NamesMut, Path, Step,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        da::{self, NodeEntry, NodeHeader, MAX_NODE_LEVELS},
        dahash::NameHash,
        units::FileBlock,
    },
    journal::Journal,
    trans::BlockId,
};
use zerocopy::byteorder::big_endian::U32;

impl<J: Journal, S: ForkSpace<J>> NamesMut<'_, '_, J, S> {
    /// Gives the leaf of `path` an empty neighbour behind it, with only its header begun; the nodes
    /// above have room for it. What moves there is the caller's, who then
    /// [adds](Self::add_neighbour) it.
    pub(in crate::libxfs) fn new_neighbour(
        &mut self,
        path: &mut Path,
        magic: u16,
    ) -> Result<(FileBlock, BlockId)> {
        self.make_room(path)?;
        let leaf = path.leaf()?;
        let (at, block) = self.grow_tree()?;
        self.init_tree_block(block, magic)?;
        self.link_behind((leaf.at, leaf.block), (at, block))?;
        Ok((at, block))
    }

    /// Tells the nodes above the leaf of `path` of its new neighbour.
    pub(in crate::libxfs) fn add_neighbour(
        &mut self,
        path: &mut Path,
        new: (FileBlock, BlockId),
    ) -> Result {
        self.add_behind(path, path.leaf_depth(), new)
    }

    /// Makes sure that the node above the leaf has room for one more, and that there is one.
    fn make_room(&mut self, path: &mut Path) -> Result {
        let room = self.node_room();
        // The highest of the full nodes above the leaf, one on the other.
        let mut first = path.leaf_depth();
        while let Some(above) = first.checked_sub(1) {
            if self.count(path.step(above)?.block)? < room {
                break;
            }
            first = above;
        }
        if first == 0 {
            self.raise_root(path)?;
            first = 1;
        }
        for depth in first..path.leaf_depth() {
            self.split_node(path, depth)?;
        }
        Ok(())
    }

    /// Moves the root's content to a new block, which becomes its only child.
    fn raise_root(&mut self, path: &mut Path) -> Result {
        let root = path.step(0)?;
        let level = self.level(root.block)?;
        if level >= MAX_NODE_LEVELS {
            return Err(Error::NoSpace);
        }
        let (at, block) = self.grow_tree()?;
        self.copy_tree_block(root.block, block)?;
        let hash = self.last_hash(block)?;
        self.init_tree_block(root.block, da::NODE_MAGIC)?;
        self.set_node(root.block, 1, level.saturating_add(1))?;
        self.put_entry(root.block, 0, hash, at)?;
        path.step_mut(0)?.slot = 0;
        path.insert_below_root(Step {
            at,
            block,
            slot: root.slot,
        })
    }

    /// Moves the upper half of a full node to a new neighbour, for which the node above has room.
    fn split_node(&mut self, path: &mut Path, depth: usize) -> Result {
        let old = path.step(depth)?;
        let level = self.level(old.block)?;
        let count = self.count(old.block)?;
        let half = count / 2;
        let (at, block) = self.grow_tree()?;
        self.init_tree_block(block, da::NODE_MAGIC)?;
        self.link_behind((old.at, old.block), (at, block))?;
        let upper = entry_at(half)..entry_at(count);
        self.trans.copy(old.block, upper, block, NODE_HEADER)?;
        self.set_node(block, count.saturating_sub(half), level)?;
        self.set_node(old.block, half, level)?;
        self.add_behind(path, depth, (at, block))?;
        if let Some(slot) = old.slot.checked_sub(half) {
            *path.step_mut(depth)? = Step { at, block, slot };
            let above = path.step_mut(depth.saturating_sub(1))?;
            above.slot = above.slot.saturating_add(1);
        }
        Ok(())
    }

    /// Adds a block behind the one at `depth` to the node above, which has room.
    fn add_behind(&mut self, path: &Path, depth: usize, new: (FileBlock, BlockId)) -> Result {
        let above = path.step(depth.checked_sub(1).ok_or(Error::Invalid)?)?;
        let old_hash = self.last_hash(path.step(depth)?.block)?;
        // What the two hold was in one, so the highest hash above both is as it was.
        let new_hash = self.last_hash(new.1)?;
        let count = self.count(above.block)?;
        let slot = above.slot.saturating_add(1);
        if count >= self.node_room() || slot > count {
            return Err(self.trans.corrupt(above.block, "da3 node", "count"));
        }
        let tail = entry_at(slot)..entry_at(count);
        self.trans.copy(
            above.block,
            tail,
            above.block,
            entry_at(slot).saturating_add(8),
        )?;
        self.put_u32(above.block, entry_at(above.slot), old_hash.0)?;
        self.put_entry(above.block, slot, new_hash, new.0)?;
        self.set_count(above.block, count.saturating_add(1))
    }

    pub(super) fn put_entry(
        &mut self,
        block: BlockId,
        slot: usize,
        hash: NameHash,
        at: FileBlock,
    ) -> Result {
        let entry = NodeEntry {
            hash: U32::new(hash.0),
            before: U32::new(pointer(at)?),
        };
        *self.trans.change_as(block, entry_at(slot))? = entry;
        Ok(())
    }

    fn set_node(&mut self, block: BlockId, count: usize, level: u16) -> Result {
        let header = self.trans.change_as::<NodeHeader>(block, 0)?;
        header
            .count
            .set(u16::try_from(count).map_err(|_| Error::Invalid)?);
        header.level.set(level);
        header.pad.set(0);
        Ok(())
    }

    pub(super) fn set_count(&mut self, block: BlockId, count: usize) -> Result {
        let count = u16::try_from(count).map_err(|_| Error::Invalid)?;
        self.put_u16(block, core::mem::offset_of!(NodeHeader, count), count)
    }
}
