// SPDX-License-Identifier: GPL-2.0

//! A cursor over a tree that is only read: a [`Path`] together with the store that it is in.

use super::{range::RangeState, Blocks, Path, Range, Root, MAX_LEVELS};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        btree::{verify_root, Pointer, Tree},
        geometry::Geometry,
        kind::Kind,
        units::{AgBlock, AgNumber, DiskAddr, FsBlock, InodeNumber},
    },
    store::{Device, Run, Store},
};

/// The blocks of a tree in a store.
pub(super) struct Reader<'a, S, T: Tree> {
    store: &'a S,
    scope: T::Scope,
    root: Root<'a, T::Pointer>,
}

/// The run of the block of a tree that lies at `at`.
pub(super) fn run(geo: &Geometry, at: DiskAddr) -> Run {
    Run {
        at,
        len: geo.basic_blocks_per_block(),
    }
}

impl<S: Store, T: Tree> Blocks<T> for Reader<'_, S, T> {
    type Block = S::Block;

    fn geometry(&self) -> &Geometry {
        self.store.geometry()
    }

    fn root(&self) -> Result<Root<'_, T::Pointer>> {
        Ok(self.root)
    }

    fn address(&self, pointer: T::Pointer) -> Option<DiskAddr> {
        pointer.address(self.store.geometry(), T::home(self.scope))
    }

    fn read(&mut self, at: DiskAddr) -> Result<S::Block> {
        let run = run(self.store.geometry(), at);
        self.store.read(Device::Data, run, Kind::Btree(T::KIND))
    }

    fn bytes<'b>(&'b self, block: &'b S::Block) -> &'b [u8] {
        block
    }

    fn release(&mut self, _: S::Block) {}

    fn read_ahead(&self, at: DiskAddr) {
        let run = run(self.store.geometry(), at);
        self.store
            .read_ahead(Device::Data, run, Kind::Btree(T::KIND));
    }

    fn interrupted(&self) -> bool {
        self.store.interrupted()
    }
}

/// A position in the tree `T`, or none: before the first look-up, or past either end.
pub struct Cursor<'a, S: Store, T: Tree> {
    pub(super) blocks: Reader<'a, S, T>,
    pub(super) path: Path<S::Block, T>,
    levels: usize,
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
        Self::new(
            store,
            ag,
            u64::from(ag.0),
            Root::Block(root, levels),
            levels,
        )
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
            blocks: Reader { store, scope, root },
            path: Path::new(scope, owner),
            levels,
        })
    }

    /// The store that it reads from.
    pub fn store(&self) -> &'a S {
        self.blocks.store
    }

    /// Levels of the tree.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Drops the path: the cursor stands nowhere, and holds nothing.
    pub fn reset(&mut self) {
        self.path.reset(&mut self.blocks);
    }

    /// The record that it stands on; `None` past either end.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the record breaks a rule.
    pub fn record(&self) -> Result<Option<T::Record>> {
        self.path.record(&self.blocks)
    }

    /// As [`Path::lookup_le`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_le(&mut self, key: &T::Key) -> Result<Option<T::Record>> {
        self.path.lookup_le(&mut self.blocks, key)
    }

    /// As [`Path::lookup_ge`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_ge(&mut self, key: &T::Key) -> Result<Option<T::Record>> {
        self.path.lookup_ge(&mut self.blocks, key)
    }

    /// As [`Path::lookup_eq`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn lookup_eq(&mut self, key: &T::Key) -> Result<Option<T::Record>> {
        self.path.lookup_eq(&mut self.blocks, key)
    }

    /// As [`Path::seek_first`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn seek_first(&mut self) -> Result<Option<T::Record>> {
        self.path.seek_first(&mut self.blocks)
    }

    /// As [`Path::seek_last`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn seek_last(&mut self) -> Result<Option<T::Record>> {
        self.path.seek_last(&mut self.blocks)
    }

    /// As [`Path::next`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    #[allow(clippy::should_implement_trait)] // An iterator cannot be driven through errors.
    pub fn next(&mut self) -> Result<Option<T::Record>> {
        self.path.next(&mut self.blocks)
    }

    /// As [`Path::prev`].
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    pub fn prev(&mut self) -> Result<Option<T::Record>> {
        self.path.prev(&mut self.blocks)
    }

    /// Blocks of the tree, a root in a fork left out. It takes a walk over all records.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption; `Interrupted` when the store says so.
    pub fn count_blocks(&mut self) -> Result<u32> {
        let mut last: [Option<T::Pointer>; MAX_LEVELS] = [None; MAX_LEVELS];
        let mut blocks = 0u32;
        let mut record = self.seek_first()?;
        // One without records has a root all the same.
        let empty = u32::from(record.is_none() && !self.path.in_fork);
        while record.is_some() {
            for (level, last) in last.iter_mut().enumerate().take(self.levels) {
                let here = self.path.pointer(level);
                if here != *last {
                    blocks = blocks.saturating_add(1);
                    *last = here;
                }
            }
            record = self.next()?;
        }
        Ok(blocks.saturating_add(empty))
    }

    /// All records that touch the keys from `low` to `high`, both included.
    pub fn range<'c>(&'c mut self, low: T::Key, high: T::Key) -> Range<'c, 'a, S, T> {
        Range {
            cursor: self,
            query: RangeState::new(low, high),
        }
    }
}
