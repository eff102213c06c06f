// SPDX-License-Identifier: GPL-2.0

//! Whether a directory has room for an entry without growing: what an operation asks that could
//! claim no space.

use super::{
    block::place,
    data::Stretch,
    index::{ENTRY, LEAF_HEADER},
    leaf::fitting,
    short, NewEntry,
};
use crate::libxfs::{
    da::{NameFork, PastEnd},
    dir::Form,
    error::Result,
    format::{
        dir::{
            data::{BestFree, DataBlock, Record},
            free::FreeIndex,
            leaf::{Leaf, LeafKind},
            space::{DirBlock, DirGeometry},
        },
        kind::Kind,
        units::FileBlock,
    },
    inode::Inode,
    store::Store,
};

/// Whether `entry` can be [added](super::add) to a directory that may allocate nothing.
///
/// The caller keeps the directory's data fork from changing.
///
/// # Errors
///
/// `Corrupt`, `NoMemory`, `Unsupported` for what is no directory, and those of the store.
pub fn has_room<S: Store>(store: &S, dir: &Inode, entry: &NewEntry<'_>) -> Result<bool> {
    let geo = DirGeometry::new(store.geometry());
    match Form::of(store.geometry(), dir)? {
        Form::Short(short) => {
            let fork_size = dir.core.data_fork_size(store.geometry());
            short::has_room(&geo, fork_size, dir, &short, entry)
        }
        Form::Block(fork) => in_block(store, &geo, &fork, entry),
        Form::Leaf(fork) => in_leaf(store, &geo, &fork, entry),
        Form::Node(fork) => in_tree(store, &geo, &fork, entry),
    }
}

fn in_block<S: Store>(
    store: &S,
    geo: &DirGeometry,
    fork: &NameFork<'_>,
    entry: &NewEntry<'_>,
) -> Result<bool> {
    let held = fork.read(store, geo.file_block(DirBlock(0)), Kind::DirBlock)?;
    let fault = |fault| held.fault(fault);
    let (block, index) = DataBlock::view_block(&held.block).map_err(fault)?;
    let stale = index.iter().any(|entry| entry.is_stale());
    let [first, second, _] = block.header.best_free.map(|free: BestFree| Stretch {
        offset: free.offset.get().into(),
        length: free.length.get().into(),
    });
    let mut last = None;
    for record in block.records() {
        last = match record.map_err(fault)? {
            Record::Unused { offset, length } => Some(Stretch { offset, length }),
            Record::Entry(_) => None,
        };
    }
    Ok(place(stale, [first, second], last, entry.size()).is_some())
}

fn in_leaf<S: Store>(
    store: &S,
    geo: &DirGeometry,
    fork: &NameFork<'_>,
    entry: &NewEntry<'_>,
) -> Result<bool> {
    let held = fork.read(store, geo.leaf_start(), Kind::DirLeaf)?;
    let leaf = Leaf::view(&held.block, LeafKind::Single).map_err(|fault| held.fault(fault))?;
    let taken = leaf.entries.len().saturating_add(1).saturating_mul(ENTRY);
    let bests = leaf.bests.len().saturating_mul(2).saturating_add(4);
    let all = taken.saturating_add(bests).saturating_add(LEAF_HEADER);
    let indexed = leaf.header.stale.get() > 0 || all <= held.block.len();
    Ok(indexed && fitting(leaf.bests, entry.size()).is_some())
}

fn in_tree<S: Store>(
    store: &S,
    geo: &DirGeometry,
    fork: &NameFork<'_>,
    entry: &NewEntry<'_>,
) -> Result<bool> {
    let Some((_, held)) = fork.find_leaf(store, entry.hash(), PastEnd::LastLeaf)? else {
        return Ok(false);
    };
    let leaf = Leaf::view(&held.block, LeafKind::Many).map_err(|fault| held.fault(fault))?;
    let taken = leaf.entries.len().saturating_add(1).saturating_mul(ENTRY);
    if leaf.header.stale.get() == 0 && taken.saturating_add(LEAF_HEADER) > held.block.len() {
        return Ok(false);
    }
    drop(held);
    let mut at = geo.free_start();
    while let Some(mapping) = fork.map().lookup(at) {
        at = mapping.offset.max(at);
        let held = fork.read(store, at, Kind::DirFree)?;
        let free = FreeIndex::view(&held.block).map_err(|fault| held.fault(fault))?;
        if fitting(free.bests, entry.size()).is_some() {
            return Ok(true);
        }
        at = FileBlock(at.0.saturating_add(geo.fs_blocks().into()));
    }
    Ok(false)
}
