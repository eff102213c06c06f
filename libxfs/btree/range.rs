// SPDX-License-Identifier: GPL-2.0

//! All records that touch a range of keys.

use super::{Blocks, Cursor, Path};
use crate::libxfs::{
    error::{Error, Result},
    format::btree::Tree,
    store::Store,
};

/// A query for the records of a tree that touch a range of keys, in the tree's order.
///
/// Where records may overlap, what touches the range can begin anywhere before it; the high keys of
/// nodes tell which children need no look. The [`Path`] that it goes with must not be used for
/// anything else meanwhile, nor the tree be changed.
pub struct RangeState<T: Tree> {
    low: T::Key,
    high: T::Key,
    state: State,
}

enum State {
    /// Nothing was read yet.
    Start,
    /// The cursor stands on the last record that was given.
    Walking,
    /// In a tree of overlapping records: the level whose entry is to be looked at next.
    Descending(usize),
    Done,
}

impl<T: Tree> RangeState<T> {
    /// A query for all records that touch the keys from `low` to `high`, both included.
    pub fn new(low: T::Key, high: T::Key) -> Self {
        Self {
            low,
            high,
            state: State::Start,
        }
    }

    /// The next record, `None` after the last.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so. After an error
    /// there are no more.
    pub fn next<B, A: Blocks<T, Block = B>>(
        &mut self,
        path: &mut Path<B, T>,
        blocks: &mut A,
    ) -> Result<Option<T::Record>> {
        let state = core::mem::replace(&mut self.state, State::Done);
        match state {
            State::Done => Ok(None),
            State::Start if T::OVERLAPPING => {
                path.load_root(blocks)?;
                let top = path.top();
                self.descend(path, blocks, top)
            }
            State::Descending(level) => self.descend(path, blocks, level),
            State::Start => {
                let before = path.lookup_le(blocks, &self.low)?;
                let first = match before.filter(|record| T::high_key(record) >= self.low) {
                    Some(record) => Some(record),
                    None => path.lookup_ge(blocks, &self.low)?,
                };
                Ok(self.give(first))
            }
            State::Walking => {
                let record = path.next(blocks)?;
                Ok(self.give(record))
            }
        }
    }

    fn give(&mut self, record: Option<T::Record>) -> Option<T::Record> {
        let record = record.filter(|record| T::key(record) <= self.high);
        if record.is_some() {
            self.state = State::Walking;
        }
        record
    }

    /// Looks at entries from `level` on, depth first, until one is a record that touches the range.
    fn descend<B, A: Blocks<T, Block = B>>(
        &mut self,
        path: &mut Path<B, T>,
        blocks: &mut A,
        mut level: usize,
    ) -> Result<Option<T::Record>> {
        loop {
            let node = path.node(blocks, level)?;
            let index = path.index(level);
            if index >= node.count() {
                level = level.saturating_add(1);
                if level > path.top() {
                    return Ok(None);
                }
                continue;
            }
            if level == 0 {
                let record = path.record(blocks)?;
                path.set_index(0, index.saturating_add(1));
                match record {
                    Some(record) if T::key(&record) > self.high => return Ok(None),
                    Some(record) if T::high_key(&record) >= self.low => {
                        self.state = State::Descending(0);
                        return Ok(Some(record));
                    }
                    _ => continue,
                }
            }
            match (node.key(index), node.high_key(index)) {
                (Some(low), _) if low > self.high => return Ok(None),
                (Some(_), Some(high)) if high >= self.low => {
                    if blocks.interrupted() {
                        return Err(Error::Interrupted);
                    }
                    let before = path.loaded_bounds(blocks, level.saturating_sub(1))?;
                    let below = path.descend(blocks, level)?;
                    path.check_progress(blocks, below, before)?;
                    path.set_index(level, index.saturating_add(1));
                    level = below;
                }
                (Some(_), Some(_)) => path.set_index(level, index.saturating_add(1)),
                _ => return Err(path.corrupt(blocks, level, "high key")),
            }
        }
    }
}

/// The records of a tree that is only read that touch a range of keys.
pub struct Range<'c, 'a, S: Store, T: Tree> {
    pub(super) cursor: &'c mut Cursor<'a, S, T>,
    pub(super) query: RangeState<T>,
}

impl<S: Store, T: Tree> Range<'_, '_, S, T> {
    /// As [`RangeState::next`].
    ///
    /// # Errors
    ///
    /// As [`RangeState::next`].
    #[allow(clippy::should_implement_trait)] // An iterator cannot be driven through errors.
    pub fn next(&mut self) -> Result<Option<T::Record>> {
        self.query
            .next(&mut self.cursor.path, &mut self.cursor.blocks)
    }
}
