// SPDX-License-Identifier: GPL-2.0

//! Blocks of directories and attribute forks, and their B+trees: reading, walking, and, in a
//! transaction, changing them.
//!
//! What a reader sees is a [`NameFork`]; what a transaction changes is a `NamesMut`.

mod changing;
mod join;
mod path;
mod space;
mod split;

pub use self::space::ForkSpace;
pub(super) use self::{
    changing::NamesMut,
    join::TreeBlock,
    path::{Path, Step},
};

use super::{
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        da::{self, BlockInfo, Node},
        dahash::NameHash,
        dir::space::DirGeometry,
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        units::{DiskAddr, FileBlock, FsBlock, InodeNumber},
    },
    store::{Device, Run, Runs, Store},
};

/// A block that is held, and where it lies.
pub struct Held<B> {
    /// Its bytes.
    pub block: B,
    /// Where it starts on the data device.
    pub at: DiskAddr,
}

impl<B> Held<B> {
    /// The error for a fault that a walker found in this block.
    #[inline]
    pub fn fault(&self, fault: Fault) -> Error {
        Error::block(fault, Device::Data, self.at)
    }
}

/// A fork that holds names: blocks of equal size, and a hash tree somewhere among them.
#[derive(Clone, Copy)]
pub struct NameFork<'a> {
    /// Inode that the fork belongs to; its blocks say so too.
    pub owner: InodeNumber,
    map: &'a ExtentMap,
    /// File system blocks in a block of the fork.
    fs_blocks: u32,
    /// The fork's name, for faults.
    name: &'static str,
    /// Where the hash tree starts.
    root: FileBlock,
    /// What the hash tree's blocks are read as.
    kind: Kind,
}

impl<'a> NameFork<'a> {
    /// A directory's data fork.
    pub fn directory(geo: &Geometry, owner: InodeNumber, map: &'a ExtentMap) -> Self {
        let dir_geo = DirGeometry::new(geo);
        Self {
            owner,
            map,
            fs_blocks: dir_geo.fs_blocks(),
            name: "directory",
            root: dir_geo.leaf_start(),
            kind: Kind::DirTree,
        }
    }

    /// An attribute fork.
    pub fn attributes(owner: InodeNumber, map: &'a ExtentMap) -> Self {
        Self {
            owner,
            map,
            fs_blocks: 1,
            name: "attr fork",
            root: FileBlock(0),
            kind: Kind::AttrTree,
        }
    }

    /// The fork's map.
    #[inline]
    pub fn map(&self) -> &'a ExtentMap {
        self.map
    }

    /// A pointer that leads to nothing.
    fn hole(&self) -> Error {
        Error::inode(Fault::corrupt(self.name, "block map"), self.owner)
    }

    /// Reads the block at file block `at`.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the block is not mapped, or breaks a rule of `kind`; those of the store.
    #[inline]
    pub fn read<S: Store>(&self, store: &S, at: FileBlock, kind: Kind) -> Result<Held<S::Block>> {
        let run = self
            .map
            .get(at)
            .and_then(|mapping| {
                let end = FileBlock(at.0.saturating_add(u64::from(self.fs_blocks)));
                mapping.trimmed(at, end)
            })
            .ok_or(self.hole())?;
        if run.len < u64::from(self.fs_blocks) {
            return self.read_scattered(store, at, kind);
        }
        let run = self.run(store.geometry(), run.start.data(), run.len)?;
        Ok(Held {
            block: store.read(Device::Data, run, kind)?,
            at: run.at,
        })
    }

    /// The run of `len` blocks from `start`; `len` is at most that of one block of the fork.
    fn run(&self, geo: &Geometry, start: FsBlock, len: u64) -> Result<Run> {
        let at = geo.fs_block_addr(start).ok_or(self.hole())?;
        let len = u32::try_from(len)
            .ok()
            .and_then(|len| len.checked_mul(geo.basic_blocks_per_block()))
            .ok_or(self.hole())?;
        Ok(Run { at, len })
    }

    /// Reads a block that lies in pieces.
    #[inline(never)]
    fn read_scattered<S: Store>(
        &self,
        store: &S,
        at: FileBlock,
        kind: Kind,
    ) -> Result<Held<S::Block>> {
        let runs = self.runs(store.geometry(), at)?;
        let first = runs.as_slice().first().ok_or(self.hole())?;
        Ok(Held {
            block: store.read_runs(Device::Data, runs.as_slice(), kind)?,
            at: first.at,
        })
    }

    /// Where the block at file block `at` lies.
    pub(in crate::libxfs) fn runs(&self, geo: &Geometry, at: FileBlock) -> Result<Runs> {
        let mut runs: Option<Runs> = None;
        for segment in self.map.segments(at, u64::from(self.fs_blocks)) {
            let mapping = segment.mapping().ok_or(self.hole())?;
            let run = self.run(geo, mapping.start.data(), mapping.len)?;
            runs = Some(match runs {
                None => Runs::One(run),
                Some(runs) => runs.and(run)?,
            });
        }
        runs.ok_or(self.hole())
    }

    /// Asks for the block at file block `at`, if it lies in one piece.
    pub fn read_ahead<S: Store>(&self, store: &S, at: FileBlock, kind: Kind) {
        let end = FileBlock(at.0.saturating_add(u64::from(self.fs_blocks)));
        let whole = self
            .map
            .get(at)
            .and_then(|mapping| mapping.trimmed(at, end))
            .filter(|run| run.len == u64::from(self.fs_blocks));
        if let Some(run) = whole {
            if let Ok(run) = self.run(store.geometry(), run.start.data(), run.len) {
                store.read_ahead(Device::Data, run, kind);
            }
        }
    }

    /// Reads a block of the hash tree, and checks whose it is.
    ///
    /// # Errors
    ///
    /// As [`NameFork::read`]; `Corrupt` for a block of another inode.
    pub fn read_tree_block<S: Store>(&self, store: &S, at: FileBlock) -> Result<Held<S::Block>> {
        let held = self.read(store, at, self.kind)?;
        BlockInfo::view(&held.block, "da3 block")
            .and_then(|info| info.check_owner(self.owner, "da3 block"))
            .map_err(|fault| held.fault(fault))?;
        Ok(held)
    }

    /// Walks down the hash tree to the leaf where `hash` is or would be, and returns it with the
    /// file block that it lies at. `None` when `hash` is higher than all of the tree's and
    /// `past_end` does not ask for the last leaf then.
    ///
    /// Levels must fall by one from node to node, so the walk ends on any tree.
    ///
    /// # Errors
    ///
    /// As [`NameFork::read_tree_block`]; `Corrupt` for a tree whose levels do not fit.
    pub fn find_leaf<S: Store>(
        &self,
        store: &S,
        hash: NameHash,
        past_end: PastEnd,
    ) -> Result<Option<(FileBlock, Held<S::Block>)>> {
        let mut at = self.root;
        let mut expected = None;
        loop {
            let held = self.read_tree_block(store, at)?;
            if da::magic_of(&held.block) != Some(da::NODE_MAGIC) {
                return match expected {
                    None | Some(0) => Ok(Some((at, held))),
                    Some(_) => Err(held.fault(Fault::corrupt("da3 node", "level"))),
                };
            }
            let node = Node::view(&held.block).map_err(|fault| held.fault(fault))?;
            let level = node.header.level.get();
            if expected.is_some_and(|expected| expected != level) {
                return Err(held.fault(Fault::corrupt("da3 node", "level")));
            }
            expected = level.checked_sub(1);
            let child = match past_end {
                PastEnd::LastLeaf => node.child(hash),
                PastEnd::Nothing => node.child_or_none(hash),
            };
            at = match child {
                None => return Ok(None),
                Some(child) if child == self.root => {
                    return Err(held.fault(Fault::corrupt("da3 node", "before")));
                }
                Some(child) => child,
            };
        }
    }
}

/// Where a walk for a hash above all others ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastEnd {
    /// At the last leaf: a look-up finds out there that the name does not exist.
    LastLeaf,
    /// Nowhere: a listing is at its end.
    Nothing,
}

/// Notices when a walk along siblings comes back to a block that it has seen, without remembering
/// them all: every so often it marks where it stands, at distances that double.
pub struct LoopGuard {
    mark: FileBlock,
    steps: u64,
    until: u64,
}

impl LoopGuard {
    /// A walk that starts at `start`.
    pub const fn new(start: FileBlock) -> Self {
        Self {
            mark: start,
            steps: 0,
            until: 1,
        }
    }

    /// Takes the step to `next`; false when the walk goes in circles.
    pub fn step(&mut self, next: FileBlock) -> bool {
        if next == self.mark {
            return false;
        }
        self.steps = self.steps.saturating_add(1);
        if self.steps == self.until {
            self.mark = next;
            self.steps = 0;
            self.until = self.until.saturating_mul(2);
        }
        true
    }
}
