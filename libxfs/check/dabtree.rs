// SPDX-License-Identifier: GPL-2.0

//! A walk over every block of a hash tree, of a directory or an attribute fork.

use crate::libxfs::{
    da::{Held, NameFork},
    error::{Error, Result},
    format::{attr, da, dahash::NameHash, dir, fault::Fault, units::FileBlock},
    store::Store,
};

/// Levels of a tree, its leaves among them.
const LEVELS: usize = da::MAX_NODE_LEVELS as usize + 1;

/// The last block that was met on a level, and what it names as the next one.
#[derive(Clone, Copy)]
struct Last {
    at: FileBlock,
    next: Option<FileBlock>,
    hash: NameHash,
}

/// A walk under way.
pub(super) struct DaWalk<'a, S: Store> {
    store: &'a S,
    fork: &'a NameFork<'a>,
    last: [Option<Last>; LEVELS],
    /// Blocks met.
    pub(super) blocks: u64,
}

/// Called with each leaf and the file block that it lies at, in order.
pub(super) type OnLeaf<'a, S> = &'a mut dyn FnMut(FileBlock, Held<<S as Store>::Block>) -> Result;

impl<'a, S: Store> DaWalk<'a, S> {
    pub(super) fn new(store: &'a S, fork: &'a NameFork<'a>) -> Self {
        Self {
            store,
            fork,
            last: [None; LEVELS],
            blocks: 0,
        }
    }

    /// Walks the tree from its root at `root` down.
    ///
    /// # Errors
    ///
    /// `Corrupt` at the first thing that is wrong; those of reading and of `leaf`.
    pub(super) fn run(&mut self, root: FileBlock, leaf: OnLeaf<'_, S>) -> Result {
        self.visit(root, None, leaf)?;
        for last in self.last.iter().flatten() {
            if last.next.is_some() {
                return self.corrupt_at(last.at, "forw");
            }
        }
        Ok(())
    }

    fn corrupt_at(&self, at: FileBlock, field: &'static str) -> Result {
        let held = self.fork.read_tree_block(self.store, at)?;
        Err(held.fault(Fault::corrupt("da3 block", field)))
    }

    /// Visits the block at `at` and all below it; `parent` says its level, and the highest hash in
    /// it. Goes no deeper than levels fall, which is four times.
    fn visit(
        &mut self,
        at: FileBlock,
        parent: Option<(u16, NameHash)>,
        leaf: OnLeaf<'_, S>,
    ) -> Result {
        if self.store.interrupted() {
            return Err(Error::Interrupted);
        }
        let held = self.fork.read_tree_block(self.store, at)?;
        let (level, hash, count) = shape(&held)?;
        let fault = |field| held.fault(Fault::corrupt("da3 block", field));
        if let Some((expected, highest)) = parent {
            if expected != level {
                return Err(fault("level"));
            }
            if hash.is_some_and(|hash| hash != highest) {
                return Err(fault("hashval"));
            }
        }
        self.link(at, level, hash, &held)?;
        self.blocks = self.blocks.saturating_add(1);
        if level == 0 {
            return leaf(at, held);
        }
        for index in 0..count {
            // Read anew, for what lies below is read meanwhile.
            let held = self.fork.read_tree_block(self.store, at)?;
            let node = da::Node::view(&held.block).map_err(|fault| held.fault(fault))?;
            let Some(entry) = node.entries.get(index) else {
                break;
            };
            let (child, highest) = (entry.block(), NameHash(entry.hash.get()));
            drop(held);
            self.visit(child, Some((level.saturating_sub(1), highest)), leaf)?;
        }
        Ok(())
    }

    /// Holds a block to the one before it on its level.
    fn link(
        &mut self,
        at: FileBlock,
        level: u16,
        hash: Option<NameHash>,
        held: &Held<S::Block>,
    ) -> Result {
        let fault = |field| held.fault(Fault::corrupt("da3 block", field));
        let info = da::BlockInfo::view(&held.block, "da3 block").map_err(|f| held.fault(f))?;
        let slot = self
            .last
            .get_mut(usize::from(level))
            .ok_or_else(|| fault("level"))?;
        let back = u64::from(info.back.get());
        match slot {
            None if back != 0 => return Err(fault("back")),
            Some(last) if back != last.at.0 => return Err(fault("back")),
            Some(last) if last.next != Some(at) => return Err(fault("forw")),
            Some(last) if hash.is_some_and(|hash| hash < last.hash) => {
                return Err(fault("hashval"));
            }
            _ => {}
        }
        let before = slot.map_or(NameHash(0), |last| last.hash);
        *slot = Some(Last {
            at,
            next: info.next(),
            hash: hash.unwrap_or(before),
        });
        Ok(())
    }
}

/// A block's level, the highest hash in it, and how many entries it has. Hashes of a node must not
/// fall; a leaf's verifier has seen to its own.
fn shape<B: core::ops::Deref<Target = [u8]>>(
    held: &Held<B>,
) -> Result<(u16, Option<NameHash>, usize)> {
    let fault = |fault| held.fault(fault);
    match da::magic_of(&held.block) {
        Some(da::NODE_MAGIC) => {
            let node = da::Node::view(&held.block).map_err(fault)?;
            let hashes = || node.entries.iter().map(|entry| entry.hash.get());
            if !hashes().is_sorted() {
                return Err(fault(Fault::corrupt("da3 node", "hashval")));
            }
            let last = hashes().next_back().map(NameHash);
            Ok((node.header.level.get(), last, node.entries.len()))
        }
        Some(attr::leaf::LEAF_MAGIC) => {
            let leaf = attr::leaf::Leaf::view(&held.block).map_err(fault)?;
            let last = leaf.entries.last().map(|entry| NameHash(entry.hash.get()));
            Ok((0, last, leaf.entries.len()))
        }
        _ => {
            let leaf =
                dir::leaf::Leaf::view(&held.block, dir::leaf::LeafKind::Many).map_err(fault)?;
            let last = leaf.entries.last().map(|entry| NameHash(entry.hash.get()));
            Ok((0, last, leaf.entries.len()))
        }
    }
}
