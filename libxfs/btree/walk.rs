// SPDX-License-Identifier: GPL-2.0

//! Look-ups, and steps from record to record.

use super::{Blocks, Path};
use crate::libxfs::{
    error::{Error, Result},
    format::btree::Tree,
};

/// Leaves that a walk asks for at a time, so that the device sees runs of them, and some way ahead.
const READ_AHEAD: usize = 16;

/// Which way a walk goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
}

impl<B, T: Tree> Path<B, T> {
    /// Goes to the last record with a key at or below `key`.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_le<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        key: &T::Key,
    ) -> Result<Option<T::Record>> {
        self.descend_to(blocks, key)?;
        match self.entries_before(blocks, 0, key, true)?.checked_sub(1) {
            Some(index) => {
                self.set_index(0, index);
                self.record(blocks)
            }
            // The first child was taken on every level, so nothing lies before.
            None => {
                self.reset(blocks);
                Ok(None)
            }
        }
    }

    /// Goes to the first record with a key at or above `key`.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_ge<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        key: &T::Key,
    ) -> Result<Option<T::Record>> {
        self.descend_to(blocks, key)?;
        let index = self.entries_before(blocks, 0, key, false)?;
        self.set_index(0, index);
        if index < self.node(blocks, 0)?.count() {
            return self.record(blocks);
        }
        self.cross(blocks, Way::Forward)?;
        self.record(blocks)
    }

    /// Goes to the record with that key. Without one it stands on the first behind it.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_eq<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        key: &T::Key,
    ) -> Result<Option<T::Record>> {
        let found = self.lookup_ge(blocks, key)?;
        Ok(found.filter(|record| T::key(record) == *key))
    }

    /// Goes to the first record.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn seek_first<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
    ) -> Result<Option<T::Record>> {
        self.load_root(blocks)?;
        let mut level = self.top();
        while level > 0 {
            level = self.descend(blocks, level)?;
            self.check_edge(blocks, level, Way::Backward)?;
        }
        self.read_ahead(blocks, Way::Forward, true);
        self.record(blocks)
    }

    /// Goes to the last record.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn seek_last<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
    ) -> Result<Option<T::Record>> {
        self.load_root(blocks)?;
        let mut level = self.top();
        loop {
            let last = self.node(blocks, level)?.count().saturating_sub(1);
            self.set_index(level, last);
            if level == 0 {
                break;
            }
            level = self.descend(blocks, level)?;
            self.check_edge(blocks, level, Way::Forward)?;
        }
        self.read_ahead(blocks, Way::Backward, true);
        self.record(blocks)
    }

    /// Goes to the next record; past the last one it stands nowhere.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    pub fn next<A: Blocks<T, Block = B>>(&mut self, blocks: &mut A) -> Result<Option<T::Record>> {
        if !self.is_loaded(0) {
            return Ok(None);
        }
        let index = self.index(0).saturating_add(1);
        if index < self.node(blocks, 0)?.count() {
            self.set_index(0, index);
        } else {
            self.cross(blocks, Way::Forward)?;
        }
        self.record(blocks)
    }

    /// Goes to the record before; past the first one it stands nowhere.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    pub fn prev<A: Blocks<T, Block = B>>(&mut self, blocks: &mut A) -> Result<Option<T::Record>> {
        if !self.is_loaded(0) {
            return Ok(None);
        }
        match self.index(0).checked_sub(1) {
            Some(index) => self.set_index(0, index),
            None => self.cross(blocks, Way::Backward)?,
        }
        self.record(blocks)
    }

    /// Goes to the first entry of the leaf after this, or to the last one of the leaf before; past
    /// the end, nowhere.
    fn cross<A: Blocks<T, Block = B>>(&mut self, blocks: &mut A, way: Way) -> Result {
        if blocks.interrupted() {
            return Err(Error::Interrupted);
        }
        let mut level = 0usize;
        loop {
            level = level.saturating_add(1);
            if level > self.top() {
                self.check_edge(blocks, 0, way)?;
                self.reset(blocks);
                return Ok(());
            }
            let index = match way {
                Way::Forward => self.index(level).checked_add(1).filter(|&index| {
                    self.node(blocks, level)
                        .is_ok_and(|node| index < node.count())
                }),
                Way::Backward => self.index(level).checked_sub(1),
            };
            if let Some(index) = index {
                self.set_index(level, index);
                break;
            }
        }
        while level > 0 {
            level = self.cross_to_child(blocks, level, way)?;
        }
        self.read_ahead(blocks, way, false);
        Ok(())
    }

    /// That the block at `level` is the last one of its level that way.
    fn check_edge<A: Blocks<T, Block = B>>(&self, blocks: &A, level: usize, way: Way) -> Result {
        let node = self.node(blocks, level)?;
        let (sibling, field) = match way {
            Way::Forward => (node.right(), "rightsib"),
            Way::Backward => (node.left(), "leftsib"),
        };
        match sibling {
            None => Ok(()),
            Some(_) => Err(self.corrupt(blocks, level, field)),
        }
    }

    /// Loads the child of the entry at `level` in place of its neighbour, and checks that both are
    /// neighbours.
    fn cross_to_child<A: Blocks<T, Block = B>>(
        &mut self,
        blocks: &mut A,
        level: usize,
        way: Way,
    ) -> Result<usize> {
        let below = level.saturating_sub(1);
        let before = self.bounds(blocks, below)?;
        let (left, right) = {
            let node = self.node(blocks, below)?;
            (node.left(), node.right())
        };
        let came_from = self.pointer(below);
        self.descend(blocks, level)?;
        let after = self.bounds(blocks, below)?;
        let pointer = self.pointer(below);
        let node = self.node(blocks, below)?;
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
            return Err(self.corrupt(blocks, below, "rightsib"));
        }
        if !ordered {
            return Err(self.corrupt(blocks, below, "key order"));
        }
        if way == Way::Backward {
            self.set_index(below, last);
        }
        Ok(below)
    }

    /// Asks for leaves that the walk comes to: at its start, and then each time that it has gone
    /// through a batch of them, for the batch after the next.
    fn read_ahead<A: Blocks<T, Block = B>>(&self, blocks: &A, way: Way, start: bool) {
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
        let Ok(parent) = self.node(blocks, 1) else {
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
            if let Some(at) = blocks.address(pointer) {
                blocks.read_ahead(at);
            }
        }
    }

    /// That the block just loaded at `level` lies behind `before`, the bounds of the one that was
    /// there.
    pub(super) fn check_progress<A: Blocks<T, Block = B>>(
        &self,
        blocks: &A,
        level: usize,
        before: Option<(T::Key, T::Key)>,
    ) -> Result {
        match (before, self.bounds(blocks, level)?) {
            (Some((_, end)), Some((start, _))) if end >= start => {
                Err(self.corrupt(blocks, level, "key order"))
            }
            _ => Ok(()),
        }
    }

    /// Bounds of what is loaded at `level`; `None` if nothing is.
    pub(super) fn loaded_bounds<A: Blocks<T, Block = B>>(
        &self,
        blocks: &A,
        level: usize,
    ) -> Result<Option<(T::Key, T::Key)>> {
        if self.is_loaded(level) {
            self.bounds(blocks, level)
        } else {
            Ok(None)
        }
    }
}
