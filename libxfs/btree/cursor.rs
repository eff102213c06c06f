// SPDX-License-Identifier: GPL-2.0

//! A position in a tree: the path of blocks from the root to a record.

use super::MAX_LEVELS;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        btree::{verify_root, Node, Pointer, Tree},
        fault::Fault,
        kind::Kind,
        units::{AgBlock, AgNumber, DiskAddr, FsBlock, InodeNumber},
    },
    store::{Device, Run, Store},
};

/// Leaves that a walk asks for at a time, so that the device sees runs of them, and some way ahead.
const READ_AHEAD: usize = 16;

/// Where a tree begins.
#[derive(Clone, Copy, Debug)]
enum Root<'a, P> {
    /// A block that a group's header names.
    Block(P),
    /// The fork of an inode: all of its bytes.
    Fork(&'a [u8]),
}

/// One level of the path.
struct Step<B, P> {
    /// The block; none where nothing is loaded, and at a root in an inode.
    block: Option<B>,
    /// What led to the block.
    pointer: Option<P>,
    /// Entry of it.
    index: usize,
}

/// Which way a walk goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
}

/// A position in the tree `T`, or none: before the first look-up, or past either end.
pub struct Cursor<'a, S: Store, T: Tree> {
    store: &'a S,
    scope: T::Scope,
    /// What all blocks of the tree name as their owner.
    owner: u64,
    root: Root<'a, T::Pointer>,
    levels: usize,
    path: [Step<S::Block, T::Pointer>; MAX_LEVELS],
    /// Whether there is a path. A root in an inode is always at hand, so blocks alone do not tell.
    placed: bool,
}

impl<'a, S: Store, T: Tree<Pointer = AgBlock, Scope = AgNumber>> Cursor<'a, S, T> {
    /// A cursor over a tree of group `ag`, of which the header names `root` and its levels.
    ///
    /// # Errors
    ///
    /// `Invalid` when the file system has no such tree, or no tree can have so many levels.
    pub fn in_group(store: &'a S, ag: AgNumber, (root, levels): (AgBlock, u32)) -> Result<Self> {
        let most = u32::from(T::max_levels(store.geometry()));
        if !T::is_present(store.geometry()) || levels == 0 || levels > most {
            return Err(Error::Invalid);
        }
        Self::new(store, ag, u64::from(ag.0), Root::Block(root), levels)
    }
}

impl<'a, S: Store, T: Tree<Pointer = FsBlock>> Cursor<'a, S, T> {
    /// A cursor over a tree that has its root in `fork`, all bytes of a fork of `inode`.
    ///
    /// # Errors
    ///
    /// `Corrupt` in the inode when the root breaks a rule.
    pub fn in_fork(
        store: &'a S,
        inode: InodeNumber,
        scope: T::Scope,
        fork: &'a [u8],
    ) -> Result<Self> {
        let root = verify_root::<T>(store.geometry(), scope, fork)
            .map_err(|fault| Error::inode(fault, inode))?;
        let levels = u32::from(root.level()).saturating_add(1);
        Self::new(store, scope, inode.0, Root::Fork(fork), levels)
    }
}

impl<'a, S: Store, T: Tree> Cursor<'a, S, T> {
    fn new(
        store: &'a S,
        scope: T::Scope,
        owner: u64,
        root: Root<'a, T::Pointer>,
        levels: u32,
    ) -> Result<Self> {
        let levels = levels as usize;
        if levels == 0 || levels > MAX_LEVELS {
            return Err(Error::Invalid);
        }
        Ok(Self {
            store,
            scope,
            owner,
            root,
            levels,
            path: core::array::from_fn(|_| Step {
                block: None,
                pointer: None,
                index: 0,
            }),
            placed: false,
        })
    }

    /// The store that it reads from.
    pub fn store(&self) -> &'a S {
        self.store
    }

    /// Levels of the tree.
    pub fn levels(&self) -> usize {
        self.levels
    }

    pub(super) fn top(&self) -> usize {
        self.levels.saturating_sub(1)
    }

    /// Corruption at `level` of the path.
    fn fault_at(&self, level: usize, fault: Fault) -> Error {
        let pointer = self.path.get(level).and_then(|step| step.pointer);
        match pointer.and_then(|p| p.address(self.store.geometry(), T::home(self.scope))) {
            Some(at) => Error::block(fault, Device::Data, at),
            None => Error::inode(fault, InodeNumber(self.owner)),
        }
    }

    pub(super) fn corrupt(&self, level: usize, field: &'static str) -> Error {
        self.fault_at(level, Fault::corrupt(T::NAME, field))
    }

    /// The contents of the path's block at `level`.
    pub(super) fn node(&self, level: usize) -> Result<Node<'_, T>> {
        let node = match (self.root, self.path.get(level)) {
            (Root::Fork(fork), _) if level == self.top() => Node::of_root(fork),
            (
                _,
                Some(Step {
                    block: Some(block), ..
                }),
            ) => Node::of_block(block),
            _ => None,
        };
        node.ok_or_else(|| self.corrupt(level, "numrecs"))
    }

    pub(super) fn index(&self, level: usize) -> usize {
        self.path.get(level).map_or(usize::MAX, |step| step.index)
    }

    pub(super) fn set_index(&mut self, level: usize, index: usize) {
        if let Some(step) = self.path.get_mut(level) {
            step.index = index;
        }
    }

    fn is_loaded(&self, level: usize) -> bool {
        let in_fork = matches!(self.root, Root::Fork(_)) && level == self.top();
        let in_path = self
            .path
            .get(level)
            .is_some_and(|step| step.block.is_some());
        self.placed && (in_fork || in_path)
    }

    /// Drops the path: the cursor stands nowhere, and holds nothing.
    pub fn reset(&mut self) {
        for step in &mut self.path {
            step.block = None;
            step.pointer = None;
            step.index = 0;
        }
        self.placed = false;
    }

    fn run(&self, at: DiskAddr) -> Run {
        Run {
            at,
            len: self.store.geometry().basic_blocks_per_block(),
        }
    }

    /// Reads the block at `pointer` and checks that it belongs to `level` of this tree. On errors
    /// the fault lies in the block that the pointer leads to, or in the parent when it leads
    /// nowhere.
    fn read(&self, level: usize, pointer: T::Pointer) -> Result<S::Block> {
        let at = pointer
            .address(self.store.geometry(), T::home(self.scope))
            .ok_or_else(|| self.corrupt(level.saturating_add(1), "pointer"))?;
        let block = self
            .store
            .read(Device::Data, self.run(at), Kind::Btree(T::KIND))?;
        let fault = |field| Error::block(Fault::corrupt(T::NAME, field), Device::Data, at);
        let node = Node::<T>::of_block(&block).ok_or_else(|| fault("numrecs"))?;
        if usize::from(node.level()) != level {
            return Err(fault("level"));
        }
        if node.owner() != self.owner {
            return Err(fault("owner"));
        }
        if node.count() == 0 && level != self.top() {
            return Err(fault("numrecs"));
        }
        Ok(block)
    }

    /// Puts a block into the path.
    pub(super) fn load(&mut self, level: usize, pointer: T::Pointer) -> Result {
        let block = self.read(level, pointer)?;
        if let Some(step) = self.path.get_mut(level) {
            *step = Step {
                block: Some(block),
                pointer: Some(pointer),
                index: 0,
            };
        }
        Ok(())
    }

    /// Puts the root into the path.
    pub(super) fn load_root(&mut self) -> Result {
        self.reset();
        self.placed = true;
        match self.root {
            Root::Block(pointer) => {
                self.load(self.top(), pointer)?;
                let root = self.node(self.top())?;
                if root.left().is_some() || root.right().is_some() {
                    return Err(self.corrupt(self.top(), "rightsib"));
                }
                Ok(())
            }
            Root::Fork(_) => Ok(()),
        }
    }

    /// Lowest and highest key of the entries at `level`; `None` for an empty leaf.
    fn bounds(&self, level: usize) -> Result<Option<(T::Key, T::Key)>> {
        let node = self.node(level)?;
        let Some(last) = node.count().checked_sub(1) else {
            return Ok(None);
        };
        match (self.entry_key(&node, 0), self.entry_key(&node, last)) {
            (Some(first), Some(last)) => Ok(Some((first, last))),
            _ => Err(self.corrupt(level, "record")),
        }
    }

    /// The low key of an entry, of a leaf or of a node.
    fn entry_key(&self, node: &Node<'_, T>, index: usize) -> Option<T::Key> {
        if node.is_leaf() {
            let record = node.record(self.store.geometry(), index)?.ok()?;
            Some(T::key(&record))
        } else {
            node.key(index)
        }
    }

    /// Entries whose key is below `key`, or, when `or_equal`, at or below it.
    fn entries_before(&self, level: usize, key: &T::Key, or_equal: bool) -> Result<usize> {
        let node = self.node(level)?;
        let (mut low, mut high) = (0, node.count());
        while low < high {
            let middle = low.midpoint(high);
            let found = self
                .entry_key(&node, middle)
                .ok_or_else(|| self.corrupt(level, "record"))?;
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
    pub(super) fn descend(&mut self, level: usize) -> Result<usize> {
        let node = self.node(level)?;
        let index = self.index(level);
        let (Some(key), Some(pointer)) = (node.key(index), node.pointer(index)) else {
            return Err(self.corrupt(level, "pointer"));
        };
        let below = level
            .checked_sub(1)
            .ok_or_else(|| self.corrupt(level, "level"))?;
        self.load(below, pointer)?;
        if self.entry_key(&self.node(below)?, 0) != Some(key) {
            return Err(self.corrupt(below, "key"));
        }
        Ok(below)
    }

    /// Loads the path to the leaf where `key` belongs.
    fn descend_to(&mut self, key: &T::Key) -> Result {
        self.load_root()?;
        let mut level = self.top();
        while level > 0 {
            // The first child takes whatever sorts before it, too.
            let child = self.entries_before(level, key, true)?.saturating_sub(1);
            self.set_index(level, child);
            level = self.descend(level)?;
        }
        Ok(())
    }

    /// The record that it stands on; `None` past either end.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the record breaks a rule.
    pub fn record(&self) -> Result<Option<T::Record>> {
        if !self.is_loaded(0) {
            return Ok(None);
        }
        let geo = self.store.geometry();
        let Some(record) = self.node(0)?.record(geo, self.index(0)) else {
            return Ok(None);
        };
        let record = record.map_err(|field| self.corrupt(0, field))?;
        T::check_record(geo, Some(self.scope), &record).map_err(|field| self.corrupt(0, field))?;
        Ok(Some(record))
    }

    /// Goes to the last record with a key at or below `key`.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_le(&mut self, key: &T::Key) -> Result<Option<T::Record>> {
        self.descend_to(key)?;
        match self.entries_before(0, key, true)?.checked_sub(1) {
            Some(index) => {
                self.set_index(0, index);
                self.record()
            }
            // The first child was taken on every level, so nothing lies before.
            None => {
                self.reset();
                Ok(None)
            }
        }
    }

    /// Goes to the first record with a key at or above `key`.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_ge(&mut self, key: &T::Key) -> Result<Option<T::Record>> {
        self.descend_to(key)?;
        let index = self.entries_before(0, key, false)?;
        self.set_index(0, index);
        if index < self.node(0)?.count() {
            return self.record();
        }
        self.cross(Way::Forward)?;
        self.record()
    }

    /// Goes to the record with that key.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_eq(&mut self, key: &T::Key) -> Result<Option<T::Record>> {
        Ok(self.lookup_ge(key)?.filter(|record| T::key(record) == *key))
    }

    /// Goes to the first record.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn seek_first(&mut self) -> Result<Option<T::Record>> {
        self.load_root()?;
        let mut level = self.top();
        while level > 0 {
            level = self.descend(level)?;
            self.check_edge(level, Way::Backward)?;
        }
        self.read_ahead(Way::Forward, true);
        self.record()
    }

    /// Goes to the last record.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn seek_last(&mut self) -> Result<Option<T::Record>> {
        self.load_root()?;
        let mut level = self.top();
        loop {
            let last = self.node(level)?.count().saturating_sub(1);
            self.set_index(level, last);
            if level == 0 {
                break;
            }
            level = self.descend(level)?;
            self.check_edge(level, Way::Forward)?;
        }
        self.read_ahead(Way::Backward, true);
        self.record()
    }

    /// Goes to the next record; past the last one the cursor stands nowhere.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    #[allow(clippy::should_implement_trait)] // An iterator cannot be driven through errors.
    pub fn next(&mut self) -> Result<Option<T::Record>> {
        if !self.is_loaded(0) {
            return Ok(None);
        }
        let index = self.index(0).saturating_add(1);
        if index < self.node(0)?.count() {
            self.set_index(0, index);
        } else {
            self.cross(Way::Forward)?;
        }
        self.record()
    }

    /// Goes to the record before; past the first one the cursor stands nowhere.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    pub fn prev(&mut self) -> Result<Option<T::Record>> {
        if !self.is_loaded(0) {
            return Ok(None);
        }
        match self.index(0).checked_sub(1) {
            Some(index) => self.set_index(0, index),
            None => self.cross(Way::Backward)?,
        }
        self.record()
    }

    /// Goes to the first entry of the leaf after this, or to the last one of the leaf before; past
    /// the end, nowhere.
    fn cross(&mut self, way: Way) -> Result {
        if self.store.interrupted() {
            return Err(Error::Interrupted);
        }
        let mut level = 0usize;
        loop {
            level = level.saturating_add(1);
            if level > self.top() {
                self.check_edge(0, way)?;
                self.reset();
                return Ok(());
            }
            let index = match way {
                Way::Forward => self
                    .index(level)
                    .checked_add(1)
                    .filter(|&index| self.node(level).is_ok_and(|node| index < node.count())),
                Way::Backward => self.index(level).checked_sub(1),
            };
            if let Some(index) = index {
                self.set_index(level, index);
                break;
            }
        }
        while level > 0 {
            level = self.cross_to_child(level, way)?;
        }
        self.read_ahead(way, false);
        Ok(())
    }

    /// That the block at `level` is the last one of its level that way.
    fn check_edge(&self, level: usize, way: Way) -> Result {
        let node = self.node(level)?;
        let (sibling, field) = match way {
            Way::Forward => (node.right(), "rightsib"),
            Way::Backward => (node.left(), "leftsib"),
        };
        match sibling {
            None => Ok(()),
            Some(_) => Err(self.corrupt(level, field)),
        }
    }

    /// Loads the child of the entry at `level` in place of its neighbour, and checks that both are
    /// neighbours.
    fn cross_to_child(&mut self, level: usize, way: Way) -> Result<usize> {
        let below = level.saturating_sub(1);
        let before = self.bounds(below)?;
        let (left, right) = {
            let node = self.node(below)?;
            (node.left(), node.right())
        };
        let came_from = self.path.get(below).and_then(|step| step.pointer);
        self.descend(level)?;
        let after = self.bounds(below)?;
        let pointer = self.path.get(below).and_then(|step| step.pointer);
        let node = self.node(below)?;
        let last = node.count().saturating_sub(1);
        let (linked, ordered) = match way {
            Way::Forward => (
                right == pointer && node.left() == came_from,
                matches!((before, after), (Some((_, end)), Some((start, _))) if end < start),
            ),
            Way::Backward => (
                left == pointer && node.right() == came_from,
                matches!((before, after), (Some((start, _)), Some((_, end))) if end < start),
            ),
        };
        if !linked {
            return Err(self.corrupt(below, "rightsib"));
        }
        if !ordered {
            return Err(self.corrupt(below, "key order"));
        }
        if way == Way::Backward {
            self.set_index(below, last);
        }
        Ok(below)
    }

    /// Asks for leaves that the walk comes to: at its start, and then each time that it has gone
    /// through a batch of them, for the batch after the next.
    fn read_ahead(&self, way: Way, start: bool) {
        if self.top() == 0 {
            return;
        }
        let at = self.index(1);
        let first = if start {
            1
        } else if at.checked_rem(READ_AHEAD) == Some(0) {
            READ_AHEAD
        } else {
            return;
        };
        let Ok(parent) = self.node(1) else {
            return;
        };
        for step in first..READ_AHEAD.saturating_mul(2) {
            let index = match way {
                Way::Forward => at.checked_add(step),
                Way::Backward => at.checked_sub(step),
            };
            let Some(pointer) = index.and_then(|index| parent.pointer(index)) else {
                return;
            };
            if let Some(at) = pointer.address(self.store.geometry(), T::home(self.scope)) {
                self.store
                    .read_ahead(Device::Data, self.run(at), Kind::Btree(T::KIND));
            }
        }
    }

    /// That the block just loaded at `level` lies behind `before`, the bounds of the one that was
    /// there.
    pub(super) fn check_progress(&self, level: usize, before: Option<(T::Key, T::Key)>) -> Result {
        match (before, self.bounds(level)?) {
            (Some((_, end)), Some((start, _))) if end >= start => {
                Err(self.corrupt(level, "key order"))
            }
            _ => Ok(()),
        }
    }

    /// Bounds of what is loaded at `level`; `None` if nothing is.
    pub(super) fn loaded_bounds(&self, level: usize) -> Result<Option<(T::Key, T::Key)>> {
        if self.is_loaded(level) {
            self.bounds(level)
        } else {
            Ok(None)
        }
    }
}
