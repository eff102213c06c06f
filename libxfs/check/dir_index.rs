// SPDX-License-Identifier: GPL-2.0

//! A directory's indexes: of hashes, and of the room in its data blocks.

use super::{dabtree::DaWalk, dir::fork_place, Check, Finding, Place, Subject, Value};
use crate::libxfs::{
    da::NameFork,
    error::Result,
    format::{
        dahash::NameHash,
        dir::{
            free::{FreeIndex, NO_BLOCK},
            leaf::{Leaf, LeafEntry, LeafKind},
            space::{DataPtr, DirBlock, DirGeometry},
        },
        kind::Kind,
        units::FileBlock,
    },
    store::Store,
};
use core::cmp::Ordering;
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::byteorder::big_endian::U16;

/// An entry that was found in a data block.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) hash: NameHash,
    pub(super) digest: u64,
    pub(super) at: DataPtr,
}

/// What the data blocks of a directory hold.
#[derive(Default)]
pub(super) struct Listed {
    /// All entries.
    pub(super) names: KVVec<Name>,
    /// The blocks that are there, in order, and the longest unused stretch of each in bytes.
    bests: KVVec<(DirBlock, u16)>,
}

impl Listed {
    pub(super) fn push(&mut self, hash: NameHash, digest: u64, at: DataPtr) -> Result {
        Ok(self.names.push(Name { hash, digest, at }, GFP_KERNEL)?)
    }

    pub(super) fn push_best(&mut self, block: DirBlock, best: u16) -> Result {
        Ok(self.bests.push((block, best), GFP_KERNEL)?)
    }

    /// Orders the names by hash, and equal ones side by side.
    pub(super) fn sort(&mut self) {
        let key = |name: &Name| (name.hash, name.digest, name.at);
        self.names.as_mut_slice().sort_unstable_by_key(key);
    }

    /// The room that an index should tell of `block`.
    fn best(&self, block: DirBlock) -> u16 {
        let found = self.bests.binary_search_by_key(&block, |&(at, _)| at);
        let best = found.ok().and_then(|index| self.bests.get(index));
        best.map_or(NO_BLOCK, |&(_, best)| best)
    }

    /// Blocks up to the last one.
    fn end(&self) -> u64 {
        self.bests
            .last()
            .map_or(0, |&(block, _)| u64::from(block.0).saturating_add(1))
    }
}

impl<S: Store> Check<'_, S> {
    /// Holds the one leaf of a directory in leaf form to its data blocks.
    pub(super) fn leaf_index(&mut self, fork: &NameFork<'_>, listed: &Listed) -> Result {
        let at = DirGeometry::new(self.store.geometry()).leaf_start();
        let held = fork.read(self.store, at, Kind::DirLeaf)?;
        let fault = |fault| held.fault(fault);
        let leaf = Leaf::view(&held.block, LeafKind::Single).map_err(fault)?;
        let info = &leaf.header.info;
        info.check_owner(fork.owner, "dir3 leaf").map_err(fault)?;
        let mut index = KVVec::new();
        gather(leaf.entries, &mut index)?;
        self.compare_index(fork, index, listed)?;
        let place = fork_place(fork.owner, at);
        for (field, sibling) in [("forw", info.forw), ("back", info.back)] {
            self.equal(Subject::Directory, place, field, 0, sibling.get().into())?;
        }
        let count = leaf.bests.len() as u64;
        self.equal(Subject::Directory, place, "bestcount", listed.end(), count)?;
        self.compare_bests(place, DirBlock(0), leaf.bests, listed)
    }

    /// Holds the tree and the free index of a directory in node form to its data blocks.
    pub(super) fn node_index(&mut self, fork: &NameFork<'_>, listed: &Listed) -> Result {
        let dir_geo = DirGeometry::new(self.store.geometry());
        let mut index = KVVec::new();
        let mut walk = DaWalk::new(self.store, fork);
        walk.run(dir_geo.leaf_start(), &mut |_, held| {
            let leaf = Leaf::view(&held.block, LeafKind::Many);
            gather(leaf.map_err(|fault| held.fault(fault))?.entries, &mut index)
        })?;
        let met = walk.blocks;
        self.compare_index(fork, index, listed)?;
        // What the tree does not lead to is lost.
        let mapped = blocks_between(fork, dir_geo.leaf_start(), dir_geo.free_start());
        let met = met.saturating_mul(dir_geo.fs_blocks().into());
        let place = Place::Inode(fork.owner);
        self.equal(Subject::Directory, place, "leaf blocks", met, mapped)?;
        self.free_index(fork, listed)
    }

    fn free_index(&mut self, fork: &NameFork<'_>, listed: &Listed) -> Result {
        let dir_geo = DirGeometry::new(self.store.geometry());
        let mut at = dir_geo.free_start();
        let mut told = 0u64;
        while let Some(mapping) = fork.map().lookup(at) {
            self.stop_if_interrupted()?;
            at = mapping.offset.max(at);
            let place = fork_place(fork.owner, at);
            let held = fork.read(self.store, at, Kind::DirFree)?;
            let fault = |fault| held.fault(fault);
            let free = FreeIndex::view(&held.block).map_err(fault)?;
            free.check_place(&dir_geo, fork.owner, at).map_err(fault)?;
            let first = DirBlock(free.header.firstdb.get());
            let used = free.bests.iter().filter(|best| best.get() != NO_BLOCK);
            let used = used.count() as u64;
            let counted = free.header.nused.get().into();
            self.equal(Subject::Directory, place, "nused", used, counted)?;
            self.compare_bests(place, first, free.bests, listed)?;
            told = told.saturating_add(used);
            at = FileBlock(at.0.saturating_add(dir_geo.fs_blocks().into()));
        }
        let blocks = listed.bests.len() as u64;
        let place = Place::Inode(fork.owner);
        self.equal(Subject::Directory, place, "free index", blocks, told)
    }

    /// Holds a list of the blocks' room, from block `first` on, to the blocks.
    fn compare_bests(
        &mut self,
        place: Place,
        first: DirBlock,
        bests: &[U16],
        listed: &Listed,
    ) -> Result {
        let mut block = first;
        for best in bests {
            let (expected, found) = (listed.best(block), best.get());
            self.equal(
                Subject::Directory,
                place,
                "bests",
                expected.into(),
                found.into(),
            )?;
            block = DirBlock(block.0.saturating_add(1));
        }
        Ok(())
    }

    /// Each entry is indexed by its hash once, and nothing else is.
    fn compare_index(
        &mut self,
        fork: &NameFork<'_>,
        mut index: KVVec<(NameHash, DataPtr)>,
        listed: &Listed,
    ) -> Result {
        let mut names = KVVec::with_capacity(listed.names.len(), GFP_KERNEL)?;
        for name in listed.names.iter() {
            names.push((name.hash, name.at), GFP_KERNEL)?;
        }
        names.as_mut_slice().sort_unstable();
        index.as_mut_slice().sort_unstable();
        let mut names = names.iter().peekable();
        let mut index = index.iter().peekable();
        loop {
            let order = match (names.peek(), index.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(name), Some(slot)) => name.cmp(slot),
            };
            let name = names.next_if(|_| order != Ordering::Greater);
            let slot = index.next_if(|_| order != Ordering::Less);
            let (lacks, (hash, at)) = match (name, slot) {
                (Some(name), None) => (true, *name),
                (None, Some(slot)) => (false, *slot),
                _ => continue,
            };
            let place = Place::Entry {
                directory: fork.owner,
                position: at.0,
            };
            let hash = Value::Number(hash.0.into());
            self.find(match lacks {
                true => Finding::missing(Subject::Directory, place, "hashval", hash),
                false => Finding::extra(Subject::Directory, place, "hashval", hash),
            })?;
        }
    }
}

/// Notes the entries of a leaf that are not stale.
fn gather(entries: &[LeafEntry], index: &mut KVVec<(NameHash, DataPtr)>) -> Result {
    for entry in entries {
        if let Some(at) = entry.pointer() {
            index.push((NameHash(entry.hash.get()), at), GFP_KERNEL)?;
        }
    }
    Ok(())
}

/// Blocks that are mapped between two blocks of a fork.
fn blocks_between(fork: &NameFork<'_>, from: FileBlock, end: FileBlock) -> u64 {
    fork.map()
        .iter_from(from)
        .map_while(|mapping| mapping.trimmed(from, end))
        .fold(0u64, |sum, mapping| sum.saturating_add(mapping.len))
}
