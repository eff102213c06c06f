// SPDX-License-Identifier: GPL-2.0

//! A walk over every block of a B+tree, root to leaves, that holds each block against its parent
//! and against its neighbours. A cursor sees the blocks that it comes through; this sees all.

use crate::libxfs::{
    btree::MAX_LEVELS,
    error::{Error, Result},
    format::{
        btree::{verify_root, Node, Pointer, Tree},
        fault::Fault,
        kind::Kind,
        units::{AgBlock, AgNumber, DiskAddr, FsBlock, InodeNumber},
    },
    store::{Device, Run, Store},
};

/// What the walk comes to.
pub(super) enum Step<T: Tree> {
    /// A block of the tree, above what lies below it.
    Block(T::Pointer),
    /// A record, in order.
    Record(T::Record),
}

/// Where a tree begins.
enum Root<'a, P> {
    Block(P),
    Fork(&'a [u8]),
}

/// What the walk knows of a level.
struct Level<B, T: Tree> {
    /// The block that it is in.
    block: Option<B>,
    /// What led there; stays when the block is left.
    at: Option<T::Pointer>,
    /// The entry to look at next.
    index: usize,
    /// What the block names as the next one of its level.
    right: Option<T::Pointer>,
    /// The last key of the block.
    last: Option<T::Key>,
}

/// The block before another one on its level: where it is, what it names as the next, its last key.
struct Before<T: Tree> {
    at: Option<T::Pointer>,
    right: Option<T::Pointer>,
    last: Option<T::Key>,
}

struct Walk<'a, S: Store, T: Tree> {
    store: &'a S,
    scope: T::Scope,
    owner: u64,
    root: Root<'a, T::Pointer>,
    top: usize,
    levels: [Level<S::Block, T>; MAX_LEVELS],
    record: Option<T::Record>,
}

/// Walks the tree of group `ag` that begins at `root` with so many levels. `visit` runs while
/// blocks of the tree are held; it reads nothing.
///
/// # Errors
///
/// `Corrupt` at the first thing that is wrong; `Invalid` for a tree of impossible height; those of
/// reading and of `visit`, `Interrupted`.
pub(super) fn walk_group<S, T>(
    store: &S,
    ag: AgNumber,
    (root, levels): (AgBlock, u32),
    visit: &mut dyn FnMut(Step<T>) -> Result,
) -> Result
where
    S: Store,
    T: Tree<Pointer = AgBlock, Scope = AgNumber>,
{
    let most = u32::from(T::max_levels(store.geometry()));
    if !T::is_present(store.geometry()) || levels > most {
        return Err(Error::Invalid);
    }
    let top = levels.checked_sub(1).ok_or(Error::Invalid)? as usize;
    Walk::new(store, ag, u64::from(ag.0), Root::Block(root), top)?.run(visit)
}

/// Walks the tree whose root is `fork`, all bytes of a fork of `inode`. See [`walk_group`].
///
/// # Errors
///
/// As [`walk_group`].
pub(super) fn walk_fork<S, T>(
    store: &S,
    inode: InodeNumber,
    scope: T::Scope,
    fork: &[u8],
    visit: &mut dyn FnMut(Step<T>) -> Result,
) -> Result
where
    S: Store,
    T: Tree<Pointer = FsBlock>,
{
    let root = verify_root::<T>(store.geometry(), scope, fork)
        .map_err(|fault| Error::inode(fault, inode))?;
    let top = usize::from(root.level());
    Walk::new(store, scope, inode.0, Root::Fork(fork), top)?.run(visit)
}

impl<'a, S: Store, T: Tree> Walk<'a, S, T> {
    fn new(
        store: &'a S,
        scope: T::Scope,
        owner: u64,
        root: Root<'a, T::Pointer>,
        top: usize,
    ) -> Result<Self> {
        if top >= MAX_LEVELS {
            return Err(Error::Invalid);
        }
        Ok(Self {
            store,
            scope,
            owner,
            root,
            top,
            levels: core::array::from_fn(|_| Level {
                block: None,
                at: None,
                index: 0,
                right: None,
                last: None,
            }),
            record: None,
        })
    }

    fn run(mut self, visit: &mut dyn FnMut(Step<T>) -> Result) -> Result {
        if let Root::Block(pointer) = self.root {
            self.load(self.top, pointer, None)?;
            visit(Step::Block(pointer))?;
        }
        let mut level = self.top;
        loop {
            let node = self.node(level)?;
            let index = self.level(level)?.index;
            if level == 0 {
                let count = node.count();
                for index in 0..count {
                    let record = self.record(index)?;
                    visit(Step::Record(record))?;
                }
            } else if index < node.count() {
                let (Some(key), Some(pointer)) = (node.key(index), node.pointer(index)) else {
                    return Err(self.corrupt(level, "pointer"));
                };
                let high = node.high_key(index);
                self.level_mut(level)?.index = index.saturating_add(1);
                level = level.saturating_sub(1);
                self.load(level, pointer, Some((key, high)))?;
                visit(Step::Block(pointer))?;
                continue;
            }
            self.level_mut(level)?.block = None;
            if level == self.top {
                break;
            }
            level = level.saturating_add(1);
        }
        // The last block of each level is the end of its level.
        for level in 0..=self.top {
            if self.level(level)?.right.is_some() {
                return Err(self.corrupt(level, "rightsib"));
            }
        }
        Ok(())
    }

    fn level(&self, level: usize) -> Result<&Level<S::Block, T>> {
        self.levels.get(level).ok_or(Error::Invalid)
    }

    fn level_mut(&mut self, level: usize) -> Result<&mut Level<S::Block, T>> {
        self.levels.get_mut(level).ok_or(Error::Invalid)
    }

    fn address(&self, pointer: T::Pointer) -> Option<DiskAddr> {
        pointer.address(self.store.geometry(), T::home(self.scope))
    }

    fn corrupt(&self, level: usize, field: &'static str) -> Error {
        let fault = Fault::corrupt(T::NAME, field);
        let pointer = self.levels.get(level).and_then(|level| level.at);
        match pointer.and_then(|pointer| self.address(pointer)) {
            Some(at) => Error::block(fault, Device::Data, at),
            None => Error::inode(fault, InodeNumber(self.owner)),
        }
    }

    fn node(&self, level: usize) -> Result<Node<'_, T>> {
        let node = match (&self.root, &self.level(level)?.block) {
            (Root::Fork(fork), _) if level == self.top => Node::of_root(fork),
            (_, Some(block)) => Node::of_block(block),
            _ => None,
        };
        node.ok_or_else(|| self.corrupt(level, "numrecs"))
    }

    /// Record `index` of the leaf, held to its rules and to the one before it.
    fn record(&mut self, index: usize) -> Result<T::Record> {
        let geo = self.store.geometry();
        let record = self
            .node(0)?
            .record(geo, index)
            .ok_or_else(|| self.corrupt(0, "numrecs"))?
            .map_err(|field| self.corrupt(0, field))?;
        T::check_record(geo, Some(self.scope), &record).map_err(|field| self.corrupt(0, field))?;
        if let Some(before) = &self.record {
            if !T::in_order(before, &record) {
                return Err(self.corrupt(0, "record order"));
            }
        }
        self.record = Some(record);
        Ok(record)
    }

    /// Reads the block at `pointer`, of which the parent says the lowest and, where there are such,
    /// the highest key.
    fn load(
        &mut self,
        level: usize,
        pointer: T::Pointer,
        keys: Option<(T::Key, Option<T::Key>)>,
    ) -> Result {
        if self.store.interrupted() {
            return Err(Error::Interrupted);
        }
        let at = self
            .address(pointer)
            .ok_or_else(|| self.corrupt(level.saturating_add(1), "pointer"))?;
        let run = Run {
            at,
            len: self.store.geometry().basic_blocks_per_block(),
        };
        let block = self.store.read(Device::Data, run, Kind::Btree(T::KIND))?;
        let before = {
            let entry = self.level_mut(level)?;
            entry.block = Some(block);
            entry.index = 0;
            Before {
                at: entry.at.replace(pointer),
                right: entry.right.take(),
                last: entry.last.take(),
            }
        };
        self.check_block(level, pointer, before, keys)
    }

    /// Holds the block just read to what its parent and the block before it say.
    fn check_block(
        &mut self,
        level: usize,
        pointer: T::Pointer,
        before: Before<T>,
        keys: Option<(T::Key, Option<T::Key>)>,
    ) -> Result {
        let node = self.node(level)?;
        let bounds = bounds::<S, T>(self.store, &node);
        let root = keys.is_none();
        let rules = [
            (usize::from(node.level()) == level, "level"),
            (node.owner() == self.owner, "owner"),
            (root || self.is_full_enough(level, &node), "numrecs"),
            (node.left() == before.at, "leftsib"),
            (
                before.at.is_none() || before.right == Some(pointer),
                "leftsib",
            ),
            (!root || node.right().is_none(), "rightsib"),
        ];
        if let Some((_, field)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(self.corrupt(level, field));
        }
        let next = node.right();
        if let (Some((key, high)), Some(bounds)) = (keys, &bounds) {
            if bounds.first != key {
                return Err(self.corrupt(level, "low key"));
            }
            if before.last.is_some_and(|last| last >= bounds.first) {
                return Err(self.corrupt(level, "key order"));
            }
            if high.is_some_and(|high| high != bounds.high) {
                return Err(self.corrupt(level, "high key"));
            }
        }
        let entry = self.level_mut(level)?;
        entry.right = next;
        entry.last = bounds.map(|bounds| bounds.last);
        Ok(())
    }

    /// A block below the root is at least half full; but an only child of a root in an inode may
    /// hold what was too much for the inode, and be emptier.
    fn is_full_enough(&self, level: usize, node: &Node<'_, T>) -> bool {
        let below_fork = matches!(self.root, Root::Fork(_)) && level.saturating_add(1) == self.top;
        let only = below_fork && self.node(self.top).is_ok_and(|root| root.count() == 1);
        node.count() > 0 && (only || node.count() >= node.room() / 2)
    }
}

/// The keys that a block spans.
struct Bounds<K> {
    first: K,
    last: K,
    /// The highest that any of its records reaches.
    high: K,
}

fn bounds<S: Store, T: Tree>(store: &S, node: &Node<'_, T>) -> Option<Bounds<T::Key>> {
    let mut bounds: Option<Bounds<T::Key>> = None;
    for index in 0..node.count() {
        let (key, high) = if node.is_leaf() {
            let record = node.record(store.geometry(), index)?.ok()?;
            (T::key(&record), T::high_key(&record))
        } else {
            let key = node.key(index)?;
            (key, node.high_key(index).unwrap_or(key))
        };
        bounds = Some(match bounds {
            None => Bounds {
                first: key,
                last: key,
                high,
            },
            Some(so_far) => Bounds {
                first: so_far.first,
                last: key,
                high: so_far.high.max(high),
            },
        });
    }
    bounds
}
