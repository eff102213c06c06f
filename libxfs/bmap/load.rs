// SPDX-License-Identifier: GPL-2.0

//! Reading a fork's B+tree, all of it, into the map.
//!
//! The walk goes down from the root and takes the children of each node in turn, so that records
//! come in order. It keeps of each node only the keys and pointers that it has yet to follow, and
//! asks for blocks some way ahead. What it holds each block to (level, owner, both neighbours, the
//! key under which the parent has it) leaves no room for a block to be met twice, so the walk ends.

use super::ForkOf;
use crate::libxfs::{
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        btree::{verify_root, Bmap, BmapRecord, Node, Tree},
        fault::{ensure, Fault},
        geometry::Geometry,
        inode::verify::max_extents,
        kind::Kind,
        units::{FileBlock, FsBlock},
    },
    inode::WhichFork,
    store::{Device, Run, Store},
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec, KVec};

/// The kind of the tree's blocks.
const KIND: Kind = Kind::Btree(Bmap::KIND);
/// Bytes of a record.
const RECORD_SIZE: usize = core::mem::size_of::<<Bmap as Tree>::DiskRecord>();
/// Children that are asked for ahead of the one being read.
const READ_AHEAD: usize = 32;

/// A pointer that a node has, and the key that goes with it.
#[derive(Clone, Copy)]
struct Child {
    key: FileBlock,
    at: FsBlock,
}

/// Children of one node, and how far the walk has come.
struct Frame {
    level: u16,
    children: KVVec<Child>,
    next: usize,
    asked: usize,
}

impl Frame {
    fn new(fork: &ForkOf, node: &Node<'_, Bmap>) -> Result<Self> {
        let mut children = KVVec::with_capacity(node.count(), GFP_KERNEL)?;
        for index in 0..node.count() {
            let (Some(key), Some(at)) = (node.key(index), node.pointer(index)) else {
                return Err(fork.corrupt("numrecs"));
            };
            children.push(Child { key, at }, GFP_KERNEL)?;
        }
        Ok(Self {
            level: node.level(),
            children,
            next: 0,
            asked: 0,
        })
    }

    fn take<S: Store>(&mut self, store: &S) -> Option<Child> {
        let child = *self.children.get(self.next)?;
        self.next = self.next.saturating_add(1);
        // In batches, so that the device sees runs of them.
        if self.asked <= self.next {
            let end = self.next.saturating_add(READ_AHEAD);
            for ahead in self.children.iter().take(end).skip(self.next) {
                if let Some(run) = store.fs_block_run(ahead.at) {
                    store.read_ahead(Device::Data, run, KIND);
                }
            }
            self.asked = end;
        }
        Some(child)
    }
}

/// What the last block of a level said of its neighbourhood.
#[derive(Clone, Copy, Default)]
struct Neighbours {
    last: Option<FsBlock>,
    right: Option<FsBlock>,
}

/// Holds the root in a fork to its rules, and the inode's count of extents: more than would fit
/// without a tree, and no more than blocks and than can be counted.
///
/// # Errors
///
/// `Corrupt`.
pub fn check_root(geo: &Geometry, fork: &ForkOf, bytes: &[u8]) -> Result {
    verify_root::<Bmap>(geo, fork.scope(), bytes)
        .map_err(|fault| Error::inode(fault, fork.number))?;
    let without_tree = bytes.len() / RECORD_SIZE;
    let most = max_extents(geo.features.nrext64(), fork.which == WhichFork::Attr);
    if fork.count <= without_tree as u64 || fork.count > fork.blocks || fork.count > most {
        return Err(fork.corrupt("extent count"));
    }
    Ok(())
}

fn root_of<'a>(fork: &ForkOf, bytes: &'a [u8]) -> Result<Node<'a, Bmap>> {
    Node::of_root(bytes).ok_or(fork.corrupt("bb_numrecs"))
}

/// Reads the mappings of a fork whose bytes hold the root of a B+tree.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`; `Interrupted` if a signal asks to stop.
pub fn load<S: Store>(store: &S, fork: &ForkOf, root: &[u8]) -> Result<ExtentMap> {
    let geo = store.geometry();
    check_root(geo, fork, root)?;
    let root = root_of(fork, root)?;
    let mut levels = KVec::from_elem(Neighbours::default(), usize::from(root.level()), GFP_KERNEL)?;
    let mut stack = KVec::with_capacity(usize::from(root.level()), GFP_KERNEL)?;
    stack.push(Frame::new(fork, &root)?, GFP_KERNEL)?;
    let mut map = ExtentMap::new();

    while let Some(frame) = stack.last_mut() {
        let level = frame.level.saturating_sub(1);
        let Some(child) = frame.take(store) else {
            stack.pop();
            continue;
        };
        if store.interrupted() {
            return Err(Error::Interrupted);
        }
        let neighbours = levels
            .get_mut(usize::from(level))
            .ok_or(fork.corrupt("bb_level"))?;
        let run = store
            .fs_block_run(child.at)
            .ok_or(fork.corrupt("pointer"))?;
        let block = store.read(Device::Data, run, KIND)?;
        let node = Node::<Bmap>::of_block(&block).ok_or(at_block(run, "numrecs"))?;
        check_block(fork, &node, level, neighbours, child, run)?;
        if node.is_leaf() {
            let total = map.count().saturating_add(node.count() as u64);
            if total > fork.count {
                return Err(fork.corrupt("extent count"));
            }
            for index in 0..node.count() {
                let record = node
                    .record(geo, index)
                    .and_then(core::result::Result::ok)
                    .ok_or(at_block(run, "numrecs"))?;
                fork.add(geo, &mut map, record)?;
            }
        } else {
            stack.push(Frame::new(fork, &node)?, GFP_KERNEL)?;
        }
    }

    if levels.iter().any(|level| level.right.is_some()) {
        return Err(fork.corrupt("rightsib"));
    }
    if map.count() != fork.count {
        return Err(fork.corrupt("extent count"));
    }
    Ok(map)
}

/// A rule of a block of the tree that is broken.
fn at_block(run: Run, field: &'static str) -> Error {
    Error::block(Fault::corrupt(Bmap::NAME, field), Device::Data, run.at)
}

/// Holds a block to what led to it.
fn check_block(
    fork: &ForkOf,
    node: &Node<'_, Bmap>,
    level: u16,
    neighbours: &mut Neighbours,
    child: Child,
    run: Run,
) -> Result {
    let key = if node.is_leaf() {
        node.disk_record(0)
            .map(|record| BmapRecord::decode(record).offset)
    } else {
        node.key(0)
    };
    let expected = neighbours.last.is_none() || neighbours.right == Some(child.at);
    [
        (node.level() == level, "level"),
        (node.owner() == fork.number.0, "owner"),
        (node.left() == neighbours.last, "leftsib"),
        (expected, "rightsib"),
        (key == Some(child.key), "key"),
    ]
    .into_iter()
    .try_for_each(|(holds, field)| ensure(holds, Bmap::NAME, field))
    .map_err(|fault| Error::block(fault, Device::Data, run.at))?;
    *neighbours = Neighbours {
        last: Some(child.at),
        right: node.right(),
    };
    Ok(())
}
