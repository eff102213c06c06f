// SPDX-License-Identifier: GPL-2.0

//! All records that touch a range of keys.

use super::Cursor;
use crate::libxfs::{
    error::{Error, Result},
    format::btree::Tree,
    store::Store,
};

/// The records of a tree that touch a range of keys, in the tree's order.
///
/// Where records may overlap, what touches the range can begin anywhere before it; the high keys of
/// nodes tell which children need no look.
pub struct Range<'c, 'a, S: Store, T: Tree> {
    cursor: &'c mut Cursor<'a, S, T>,
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

impl<'a, S: Store, T: Tree> Cursor<'a, S, T> {
    /// All records that touch the keys from `low` to `high`, both included.
    pub fn range<'c>(&'c mut self, low: T::Key, high: T::Key) -> Range<'c, 'a, S, T> {
        Range {
            cursor: self,
            low,
            high,
            state: State::Start,
        }
    }
}

impl<S: Store, T: Tree> Range<'_, '_, S, T> {
    /// The next record, `None` after the last.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so. After an error
    /// there are no more.
    #[allow(clippy::should_implement_trait)] // An iterator cannot be driven through errors.
    pub fn next(&mut self) -> Result<Option<T::Record>> {
        let state = core::mem::replace(&mut self.state, State::Done);
        match state {
            State::Done => Ok(None),
            State::Start if T::OVERLAPPING => {
                self.cursor.load_root()?;
                self.descend(self.cursor.top())
            }
            State::Descending(level) => self.descend(level),
            State::Start => {
                let before = self.cursor.lookup_le(&self.low)?;
                let first = match before.filter(|record| T::high_key(record) >= self.low) {
                    Some(record) => Some(record),
                    None => self.cursor.lookup_ge(&self.low)?,
                };
                self.give(first)
            }
            State::Walking => {
                let record = self.cursor.next()?;
                self.give(record)
            }
        }
    }

    fn give(&mut self, record: Option<T::Record>) -> Result<Option<T::Record>> {
        let record = record.filter(|record| T::key(record) <= self.high);
        if record.is_some() {
            self.state = State::Walking;
        }
        Ok(record)
    }

    /// Looks at entries from `level` on, depth first, until one is a record that touches the range.
    fn descend(&mut self, mut level: usize) -> Result<Option<T::Record>> {
        loop {
            let node = self.cursor.node(level)?;
            let index = self.cursor.index(level);
            if index >= node.count() {
                level = level.saturating_add(1);
                if level > self.cursor.top() {
                    return Ok(None);
                }
                continue;
            }
            if level == 0 {
                let record = self.cursor.record()?;
                self.cursor.set_index(0, index.saturating_add(1));
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
                    if self.cursor.store().interrupted() {
                        return Err(Error::Interrupted);
                    }
                    let before = self.cursor.loaded_bounds(level.saturating_sub(1))?;
                    let below = self.cursor.descend(level)?;
                    self.cursor.check_progress(below, before)?;
                    self.cursor.set_index(level, index.saturating_add(1));
                    level = below;
                }
                (Some(_), Some(_)) => self.cursor.set_index(level, index.saturating_add(1)),
                _ => return Err(self.cursor.corrupt(level, "high key")),
            }
        }
    }
}
