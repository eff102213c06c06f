// SPDX-License-Identifier: GPL-2.0

//! A position in a tree: the path of blocks from the root to a record.

use super::{Blocks, Root};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        btree::{Node, Tree},
        fault::Fault,
        units::InodeNumber,
    },
    store::Device,
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// One level of the path.
pub(super) struct Step<B, P> {
    /// The block; none where nothing is loaded, and at a root in an inode.
    pub(super) block: Option<B>,
    /// What led to the block.
    pub(super) pointer: Option<P>,
    /// Entry of it.
    index: usize,
}

/// A position in the tree `T`, or none: before the first look-up, or past either end.
///
/// Its blocks are of type `B`; each method is handed the [`Blocks`] that they come from. When the
/// tree is changed, other positions in it mean nothing until their next look-up.
pub struct Path<B, T: Tree> {
    pub(super) scope: T::Scope,
    /// What all blocks of the tree name as their owner.
    pub(super) owner: u64,
    pub(super) levels: usize,
    /// One for each level, and more where the tree was higher before. On the heap, for a path is
    /// held by frames that lie deep in the stack, several of them at a time.
    pub(super) steps: KVec<Step<B, T::Pointer>>,
    /// Whether the root lies in a fork.
    pub(super) in_fork: bool,
    /// Whether there is a path. A root in an inode is always at hand, so blocks alone do not tell.
    placed: bool,
}

impl<B, T: Tree> Path<B, T> {
    /// No position yet, in a tree whose blocks name `owner`: the group's number, or the inode's.
    pub fn new(scope: T::Scope, owner: u64) -> Self {
        Self {
            scope,
            owner,
            levels: 0,
            steps: KVec::new(),
            in_fork: false,
            placed: false,
        }
    }

    /// Has a step for each of so many levels.
    ///
    /// # Errors
    ///
    /// `NoMemory`; the path is as it was.
    pub(super) fn make_room(&mut self, levels: usize) -> Result {
        let more = levels.saturating_sub(self.steps.len());
        self.steps.reserve(more, GFP_KERNEL)?;
        for _ in 0..more {
            let step = Step {
                block: None,
                pointer: None,
                index: 0,
            };
            self.steps.push(step, GFP_KERNEL)?;
        }
        Ok(())
    }

    pub(super) fn top(&self) -> usize {
        self.levels.saturating_sub(1)
    }

    pub(super) fn pointer(&self, level: usize) -> Option<T::Pointer> {
        self.steps.get(level).and_then(|step| step.pointer)
    }

    pub(super) fn index(&self, level: usize) -> usize {
        self.steps.get(level).map_or(usize::MAX, |step| step.index)
    }

    pub(super) fn set_index(&mut self, level: usize, index: usize) {
        if let Some(step) = self.steps.get_mut(level) {
            step.index = index;
        }
    }

    pub(super) fn is_root_in_fork(&self, level: usize) -> bool {
        self.in_fork && level == self.top()
    }

    pub(super) fn is_loaded(&self, level: usize) -> bool {
        let in_path = self
            .steps
            .get(level)
            .is_some_and(|step| step.block.is_some());
        self.placed && (self.is_root_in_fork(level) || in_path)
    }

    /// Corruption in the block that `pointer` leads to, or else in the inode that has the root.
    pub(super) fn fault_in<A: Blocks<T>>(
        &self,
        blocks: &A,
        pointer: Option<T::Pointer>,
        field: &'static str,
    ) -> Error {
        let fault = Fault::corrupt(T::NAME, field);
        match pointer.and_then(|pointer| blocks.address(pointer)) {
            Some(at) => Error::block(fault, Device::Data, at),
            None => Error::inode(fault, InodeNumber(self.owner)),
        }
    }

    /// Corruption at `level` of the path.
    pub(super) fn corrupt<A: Blocks<T>>(
        &self,
        blocks: &A,
        level: usize,
        field: &'static str,
    ) -> Error {
        self.fault_in(blocks, self.pointer(level), field)
    }

    /// Corruption that no block shows by itself: in the leaf where it stands, or else in the root.
    pub fn inconsistent<A: Blocks<T>>(&self, blocks: &A, field: &'static str) -> Error {
        let place = self.pointer(0).or_else(|| match blocks.root() {
            Ok(Root::Block(root, _)) => Some(root),
            _ => None,
        });
        self.fault_in(blocks, place, field)
    }

    /// Drops the path: it stands nowhere, and holds nothing.
    pub fn reset<A: Blocks<T, Block = B>>(&mut self, blocks: &mut A) {
        for step in self.steps.iter_mut() {
            if let Some(block) = step.block.take() {
                blocks.release(block);
            }
            step.pointer = None;
            step.index = 0;
        }
        self.placed = false;
    }

    /// The contents of the path's block at `level`.
    pub(super) fn node<'b, A: Blocks<T, Block = B>>(
        &'b self,
        blocks: &'b A,
        level: usize,
    ) -> Result<Node<'b, T>> {
        let node = if self.is_root_in_fork(level) {
            match blocks.root()? {
                Root::Fork(fork) => Node::of_root(fork),
                Root::Block(..) => None,
            }
        } else {
            self.steps
                .get(level)
                .and_then(|step| step.block.as_ref())
                .and_then(|block| Node::of_block(blocks.bytes(block)))
        };
        node.ok_or_else(|| self.corrupt(blocks, level, "numrecs"))
    }

    /// Reads the block at `pointer` and checks that it belongs to `level` of this tree. On errors
    /// the fault lies in the block that the pointer leads to, or in the parent when it leads
    /// nowhere.
    pub(super) fn read<A: Blocks<T, Block = B>>(
        &self,
        blocks: &mut A,
        level: usize,
        pointer: T::Pointer,
    ) -> Result<B> {
        let at = blocks
            .address(pointer)
            .ok_or_else(|| self.corrupt(blocks, level.saturating_add(1), "pointer"))?;
        let block = blocks.read(at)?;
        let fault = |field| Error::block(Fault::corrupt(T::NAME, field), Device::Data, at);
        let checked = match Node::<T>::of_block(blocks.bytes(&block)) {
            None => Err(fault("numrecs")),
            Some(node) if usize::from(node.level()) != level => Err(fault("level")),
            Some(node) if node.owner() != self.owner => Err(fault("owner")),
            Some(node) if node.count() == 0 && level != self.top() => Err(fault("numrecs")),
            Some(_) => Ok(()),
        };
        match checked {
            Ok(()) => Ok(block),
            Err(error) => {
                blocks.release(block);
                Err(error)
            }
        }
    }

    /// Puts a block into the path, in the place of another.
    pub(super) fn put<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
        pointer: T::Pointer,
        block: B,
    ) {
        let Some(step) = self.steps.get_mut(level) else {
            return blocks.release(block);
        };
        let before = core::mem::replace(
            step,
            Step {
                block: Some(block),
                pointer: Some(pointer),
                index: 0,
            },
        );
        if let Some(before) = before.block {
            blocks.release(before);
        }
    }

    /// Loads a block into the path.
    fn load<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
        pointer: T::Pointer,
    ) -> Result {
        let block = self.read(blocks, level, pointer)?;
        self.put(blocks, level, pointer, block);
        Ok(())
    }

    /// Puts the root into the path.
    pub(super) fn load_root<A: Blocks<T, Block = B>>(&mut self, blocks: &mut A) -> Result {
        self.reset(blocks);
        let (root, levels) = match blocks.root()? {
            Root::Block(pointer, levels) => (Some(pointer), levels),
            Root::Fork(fork) => {
                let root = Node::<T>::of_root(fork)
                    .ok_or_else(|| self.fault_in(blocks, None, "numrecs"))?;
                (None, u32::from(root.level()).saturating_add(1))
            }
        };
        if levels == 0 || levels > u32::from(T::max_levels(blocks.geometry())) {
            return Err(self.fault_in(blocks, root, "level"));
        }
        self.make_room(levels as usize)?;
        self.levels = levels as usize;
        self.in_fork = root.is_none();
        self.placed = true;
        if let Some(pointer) = root {
            self.load(blocks, self.top(), pointer)?;
            let root = self.node(blocks, self.top())?;
            if root.left().is_some() || root.right().is_some() {
                return Err(self.corrupt(blocks, self.top(), "rightsib"));
            }
        }
        Ok(())
    }

    /// The low key of an entry, of a leaf or of a node.
    pub(super) fn entry_key<A: Blocks<T>>(
        blocks: &A,
        node: &Node<'_, T>,
        index: usize,
    ) -> Option<T::Key> {
        if node.is_leaf() {
            let record = node.record(blocks.geometry(), index)?.ok()?;
            Some(T::key(&record))
        } else {
            node.key(index)
        }
    }

    /// Entries whose key is below `key`, or, when `or_equal`, at or below it.
    pub(super) fn entries_before<A: Blocks<T, Block = B>>(
        &self,
        blocks: &A,
        level: usize,
        key: &T::Key,
        or_equal: bool,
    ) -> Result<usize> {
        let node = self.node(blocks, level)?;
        let (mut low, mut high) = (0, node.count());
        while low < high {
            let middle = low.midpoint(high);
            let found = Self::entry_key(blocks, &node, middle)
                .ok_or_else(|| self.corrupt(blocks, level, "record"))?;
            if found < *key || (or_equal && found == *key) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Loads the child that the entry at `level` leads to, and checks that it begins with the key
    /// that its parent has for it.
    pub(super) fn descend<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
    ) -> Result<usize> {
        let node = self.node(blocks, level)?;
        let index = self.index(level);
        let (Some(key), Some(pointer)) = (node.key(index), node.pointer(index)) else {
            return Err(self.corrupt(blocks, level, "pointer"));
        };
        let below = level
            .checked_sub(1)
            .ok_or_else(|| self.corrupt(blocks, level, "level"))?;
        self.load(blocks, below, pointer)?;
        if Self::entry_key(blocks, &self.node(blocks, below)?, 0) != Some(key) {
            return Err(self.corrupt(blocks, below, "key"));
        }
        Ok(below)
    }

    /// Loads the path to the leaf where `key` belongs.
    pub(super) fn descend_to<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        key: &T::Key,
    ) -> Result {
        self.load_root(blocks)?;
        let mut level = self.top();
        while level > 0 {
            // The first child takes whatever sorts before it, too.
            let child = self
                .entries_before(blocks, level, key, true)?
                .saturating_sub(1);
            self.set_index(level, child);
            level = self.descend(blocks, level)?;
        }
        Ok(())
    }

    /// Lowest and highest key of the entries at `level`; `None` for an empty leaf.
    pub(super) fn bounds<A: Blocks<T, Block = B>>(
        &self,
        blocks: &A,
        level: usize,
    ) -> Result<Option<(T::Key, T::Key)>> {
        let node = self.node(blocks, level)?;
        let Some(last) = node.count().checked_sub(1) else {
            return Ok(None);
        };
        match (
            Self::entry_key(blocks, &node, 0),
            Self::entry_key(blocks, &node, last),
        ) {
            (Some(first), Some(last)) => Ok(Some((first, last))),
            _ => Err(self.corrupt(blocks, level, "record")),
        }
    }

    /// The record that it stands on; `None` past either end.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the record breaks a rule.
    pub fn record<A: Blocks<T, Block = B>>(&self, blocks: &A) -> Result<Option<T::Record>> {
        if !self.is_loaded(0) {
            return Ok(None);
        }
        let geo = blocks.geometry();
        let Some(record) = self.node(blocks, 0)?.record(geo, self.index(0)) else {
            return Ok(None);
        };
        let record = record.map_err(|field| self.corrupt(blocks, 0, field))?;
        T::check_record(geo, Some(self.scope), &record)
            .map_err(|field| self.corrupt(blocks, 0, field))?;
        Ok(Some(record))
    }
}
