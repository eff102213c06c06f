// SPDX-License-Identifier: GPL-2.0

//! The way from the root of a tree of names to a leaf, all of it held.

use super::{
    changing::{ENTRY, NODE_HEADER},
    ForkSpace, NamesMut,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        da::{self, Node, MAX_NODE_LEVELS},
        dahash::NameHash,
        fault::Fault,
        units::FileBlock,
    },
    journal::Journal,
    trans::BlockId,
};

/// Blocks from the root to a leaf, at most.
const MAX_STEPS: usize = MAX_NODE_LEVELS as usize + 1;

/// A block on the way.
#[derive(Clone, Copy, Debug)]
pub(in crate::libxfs) struct Step {
    /// Where it lies in the fork.
    pub(in crate::libxfs) at: FileBlock,
    /// The block.
    pub(in crate::libxfs) block: BlockId,
    /// The entry that leads on; nothing in a leaf.
    pub(in crate::libxfs) slot: usize,
}

/// The way to a leaf. Depth 0 is the root.
#[derive(Clone, Copy, Debug)]
pub(in crate::libxfs) struct Path {
    steps: [Option<Step>; MAX_STEPS],
    len: usize,
    /// The leaf from which it went on to the next ones.
    first: Option<FileBlock>,
}

impl Path {
    const fn new() -> Self {
        Self {
            steps: [None; MAX_STEPS],
            len: 0,
            first: None,
        }
    }

    fn push(&mut self, step: Step) -> Result {
        *self.steps.get_mut(self.len).ok_or(Error::Invalid)? = Some(step);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Puts a block between the root and the rest.
    pub(super) fn insert_below_root(&mut self, step: Step) -> Result {
        let tail = self.steps.get_mut(1..).ok_or(Error::Invalid)?;
        if self.len >= MAX_STEPS {
            return Err(Error::NoSpace);
        }
        tail.rotate_right(1);
        *tail.first_mut().ok_or(Error::Invalid)? = Some(step);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// The depth of the leaf.
    pub(super) const fn leaf_depth(&self) -> usize {
        self.len.saturating_sub(1)
    }

    /// The block at a depth.
    pub(super) fn step(&self, depth: usize) -> Result<Step> {
        self.steps
            .get(depth)
            .copied()
            .flatten()
            .ok_or(Error::Invalid)
    }

    pub(super) fn step_mut(&mut self, depth: usize) -> Result<&mut Step> {
        self.steps
            .get_mut(depth)
            .and_then(Option::as_mut)
            .ok_or(Error::Invalid)
    }

    /// Forgets a block that is gone. The depth of the others stays.
    pub(super) fn remove(&mut self, depth: usize) {
        if let Some(step) = self.steps.get_mut(depth) {
            *step = None;
        }
    }

    /// The leaf.
    pub(in crate::libxfs) fn leaf(&self) -> Result<Step> {
        self.step(self.leaf_depth())
    }
}

impl<J: Journal, S: ForkSpace<J>> NamesMut<'_, '_, J, S> {
    /// A node of the tree.
    pub(super) fn node(&self, block: BlockId) -> Result<Node<'_>> {
        Node::view(self.trans.bytes(block)).map_err(|fault| self.fault(block, fault))
    }

    /// Level of a block above the leaves.
    pub(super) fn level(&self, block: BlockId) -> Result<u16> {
        match da::magic_of(self.trans.bytes(block)) {
            Some(da::NODE_MAGIC) => Ok(self.node(block)?.header.level.get()),
            _ => Ok(0),
        }
    }

    /// Entries that a node can have.
    pub(super) fn node_room(&self) -> usize {
        self.block_size().saturating_sub(NODE_HEADER) / ENTRY
    }

    /// Walks down to the first leaf in which `hash` is or would be, or the last one.
    pub(in crate::libxfs) fn descend(&mut self, hash: NameHash) -> Result<Path> {
        let mut path = Path::new();
        self.descend_from(&mut path, self.root, None, |node| {
            let below = node
                .entries
                .partition_point(|entry| entry.hash.get() < hash.0);
            below.min(node.entries.len().saturating_sub(1))
        })?;
        Ok(path)
    }

    /// Walks down from `at`, which is at `expected` levels above the leaves.
    fn descend_from(
        &mut self,
        path: &mut Path,
        mut at: FileBlock,
        mut expected: Option<u16>,
        choose: impl Fn(&Node<'_>) -> usize,
    ) -> Result {
        loop {
            let block = self.get_tree(at)?;
            let level = self.level(block)?;
            let corrupt = |field| self.fault(block, Fault::corrupt("da3 node", field));
            if expected.is_some_and(|expected| expected != level) {
                return Err(corrupt("level"));
            }
            if level == 0 {
                return path.push(Step { at, block, slot: 0 });
            }
            let node = self.node(block)?;
            let slot = choose(&node);
            let child = node.entries.get(slot).ok_or(corrupt("count"))?.block();
            if child == self.root {
                return Err(corrupt("before"));
            }
            path.push(Step { at, block, slot })?;
            at = child;
            expected = level.checked_sub(1);
        }
    }

    /// Steps to the next leaf; false when there is none. Blocks that are left are given back.
    ///
    /// Both leaves must name each other as neighbours: then each has one before it and one behind
    /// it, and a walk that does not end can only come back to where it began. Nodes by themselves
    /// could lead to few leaves for ever, all of one hash.
    pub(in crate::libxfs) fn next_leaf(&mut self, path: &mut Path) -> Result<bool> {
        let last = path.leaf()?;
        let (_, behind) = self.links(last.block)?;
        // The lowest node that has a child further.
        let mut turn = path.leaf_depth();
        let child = loop {
            let Some(depth) = turn.checked_sub(1) else {
                return Ok(false);
            };
            turn = depth;
            let step = path.step(depth)?;
            let next = step.slot.saturating_add(1);
            if let Some(entry) = self.node(step.block)?.entries.get(next) {
                break entry.block();
            }
        };
        let step = path.step_mut(turn)?;
        step.slot = step.slot.saturating_add(1);
        let level = self.level(step.block)?;
        while path.leaf_depth() > turn {
            self.trans.release(path.leaf()?.block);
            path.len = path.len.saturating_sub(1);
        }
        self.descend_from(path, child, level.checked_sub(1), |_| 0)?;
        let leaf = path.leaf()?;
        let (before, _) = self.links(leaf.block)?;
        let corrupt = |field| self.fault(leaf.block, Fault::corrupt("da3 block", field));
        if u64::from(behind) != leaf.at.0 || u64::from(before) != last.at.0 {
            return Err(corrupt("back"));
        }
        if *path.first.get_or_insert(last.at) == leaf.at {
            return Err(corrupt("forw"));
        }
        Ok(true)
    }

    /// Tells the nodes above the block at `depth` of its highest hash.
    pub(super) fn set_hash_above(
        &mut self,
        path: &Path,
        mut depth: usize,
        hash: NameHash,
    ) -> Result {
        while let Some(above) = depth.checked_sub(1) {
            let step = path.step(above)?;
            let node = self.node(step.block)?;
            let entry = node.entries.get(step.slot).ok_or(Error::Invalid)?;
            let is_last = step.slot.saturating_add(1) == node.entries.len();
            if entry.hash.get() == hash.0 {
                return Ok(());
            }
            self.put_u32(step.block, entry_at(step.slot), hash.0)?;
            if !is_last {
                return Ok(());
            }
            depth = above;
        }
        Ok(())
    }

    /// Tells the nodes above a leaf of its highest hash, which may have changed.
    pub(in crate::libxfs) fn update_hash(&mut self, path: &Path) -> Result {
        let hash = self.last_hash(path.leaf()?.block)?;
        self.set_hash_above(path, path.leaf_depth(), hash)
    }
}

/// Where an entry lies in a node.
pub(super) const fn entry_at(slot: usize) -> usize {
    NODE_HEADER.saturating_add(slot.saturating_mul(ENTRY))
}
