// SPDX-License-Identifier: GPL-2.0

//! Trees of any records and shape, made in memory.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    mem::size_of,
    rc::Rc,
};
use xfs_host::{
    fixture::synthetic,
    libxfs::{
        error::{Error, Result},
        format::{
            btree::{block_capacity, root_capacity, Pointer, Tree},
            crc,
            geometry::Geometry,
            kind::Kind,
            units::{AgBlock, AgNumber, InodeNumber},
        },
        store::{Device, Run, Store},
    },
};
use zerocopy::IntoBytes;

/// The inode that owns trees with long pointers.
pub const INODE: InodeNumber = InodeNumber(200);

/// Small blocks, so that trees grow high.
pub fn geometry() -> Geometry {
    synthetic::geometry(10)
}

/// Blocks in memory; verified each time that they are read.
pub struct Memory {
    geometry: Geometry,
    blocks: RefCell<BTreeMap<u64, Vec<u8>>>,
    reads: Cell<usize>,
}

impl Memory {
    pub fn new() -> Self {
        Self {
            geometry: geometry(),
            blocks: RefCell::default(),
            reads: Cell::new(0),
        }
    }

    /// Blocks that there are.
    pub fn len(&self) -> usize {
        self.blocks.borrow().len()
    }

    /// Blocks read since the last time.
    pub fn take_reads(&self) -> usize {
        self.reads.take()
    }

    /// Changes block `index` and sets its checksum right.
    pub fn change<T: Tree>(&self, index: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let mut blocks = self.blocks.borrow_mut();
        if let Some(block) = blocks.values_mut().nth(index) {
            change(block);
            crc::set_block_crc(block, T::Pointer::CRC_OFFSET);
        }
    }

    /// The bytes of block `index`.
    pub fn block(&self, index: usize) -> Option<Vec<u8>> {
        self.blocks.borrow().values().nth(index).cloned()
    }
}

impl Store for Memory {
    type Block = Rc<[u8]>;

    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn read_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<Rc<[u8]>> {
        self.reads.set(self.reads.get() + 1);
        assert!(
            self.reads.get() <= 10 * self.len() + 1000,
            "the walk does not end"
        );
        let at = runs[0].at;
        let blocks = self.blocks.borrow();
        let block = blocks.get(&at.0).ok_or(Error::Io)?;
        kind.verify(&self.geometry, at, block)
            .map_err(|fault| Error::block(fault, device, at))?;
        Ok(block.as_slice().into())
    }

    fn read_ahead(&self, _: Device, _: Run, _: Kind) {}
}

/// Where a tree begins.
pub struct Forged<T: Tree> {
    pub root: T::Pointer,
    pub levels: u32,
    /// The root as it lies in a fork, of trees that have it there.
    pub fork: Vec<u8>,
}

/// A child as its parent has it.
struct Child<T: Tree> {
    low: T::Key,
    high: T::Key,
    block: u32,
}

/// Makes trees in a store, block by block.
pub struct Forge<'a> {
    memory: &'a Memory,
    next: u32,
    fill: Box<dyn FnMut(usize) -> usize + 'a>,
}

impl<'a> Forge<'a> {
    /// `fill` says how many entries go into a block that has room for so many.
    pub fn new(memory: &'a Memory, fill: impl FnMut(usize) -> usize + 'a) -> Self {
        Self {
            memory,
            next: 100,
            fill: Box::new(fill),
        }
    }

    fn pointer<T: Tree>(block: Option<u32>) -> T::Pointer {
        let bytes = block.map_or(u64::MAX, u64::from).to_be_bytes();
        T::Pointer::decode(&bytes[8 - T::Pointer::SIZE..]).unwrap()
    }

    /// Cuts `count` entries into blocks, none empty.
    fn cut(&mut self, mut count: usize, room: usize) -> Vec<usize> {
        let mut cuts = Vec::new();
        while count > 0 {
            let take = (self.fill)(room).clamp(1, room).min(count);
            cuts.push(take);
            count -= take;
        }
        cuts
    }

    fn write<T: Tree>(
        &self,
        block: u32,
        level: u16,
        count: usize,
        near: [Option<u32>; 2],
        body: &[u8],
    ) {
        let geo = &self.memory.geometry;
        let at = geo.ag_block_addr(AgNumber(0), AgBlock(block)).unwrap();
        let mut bytes = Vec::new();
        bytes.extend(T::MAGIC.to_be_bytes());
        bytes.extend(level.to_be_bytes());
        bytes.extend((count as u16).to_be_bytes());
        for sibling in near {
            let mut pointer = vec![0; T::Pointer::SIZE];
            Self::pointer::<T>(sibling).encode(&mut pointer).unwrap();
            bytes.extend(pointer);
        }
        bytes.extend(at.0.to_be_bytes());
        bytes.extend(0u64.to_be_bytes());
        bytes.extend(geo.meta_uuid);
        if T::Pointer::SIZE == 4 {
            bytes.extend(0u32.to_be_bytes());
        } else {
            bytes.extend(INODE.0.to_be_bytes());
        }
        bytes.resize(T::Pointer::HEADER_SIZE, 0);
        bytes.extend(body);
        bytes.resize(geo.block_size as usize, 0);
        crc::set_block_crc(&mut bytes, T::Pointer::CRC_OFFSET);
        self.memory.blocks.borrow_mut().insert(at.0, bytes);
    }

    fn take_blocks(&mut self, count: usize) -> Vec<u32> {
        let first = self.next;
        // Not side by side, as no tree's blocks are.
        self.next += 3 * count as u32;
        (0..count as u32).map(|n| first + 3 * n).collect()
    }

    fn near(blocks: &[u32], index: usize) -> [Option<u32>; 2] {
        let left = index.checked_sub(1).map(|left| blocks[left]);
        [left, blocks.get(index + 1).copied()]
    }

    fn leaves<T: Tree>(&mut self, records: &[T::Record]) -> Vec<Child<T>> {
        let geo = &self.memory.geometry;
        let mut cuts = self.cut(records.len(), block_capacity::<T>(geo, true));
        if cuts.is_empty() {
            cuts.push(0);
        }
        let blocks = self.take_blocks(cuts.len());
        let mut rest = records;
        let mut children = Vec::new();
        for (index, &count) in cuts.iter().enumerate() {
            let (mine, after) = rest.split_at(count);
            rest = after;
            let body: Vec<u8> = mine
                .iter()
                .flat_map(|record| T::encode_record(geo, record).as_bytes().to_vec())
                .collect();
            self.write::<T>(blocks[index], 0, count, Self::near(&blocks, index), &body);
            if let Some(first) = mine.first() {
                children.push(Child {
                    low: T::key(first),
                    high: mine.iter().map(T::high_key).max().unwrap(),
                    block: blocks[index],
                });
            } else {
                children.push(Child {
                    low: T::decode_key(&zeroed::<T>()),
                    high: T::decode_key(&zeroed::<T>()),
                    block: blocks[index],
                });
            }
        }
        children
    }

    /// Keys and pointers of a node with room for so many.
    fn body<T: Tree>(children: &[Child<T>], room: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let stride = size_of::<T::DiskKey>() * if T::OVERLAPPING { 2 } else { 1 };
        for child in children {
            body.extend(T::encode_key(&child.low).as_bytes());
            if T::OVERLAPPING {
                body.extend(T::encode_key(&child.high).as_bytes());
            }
        }
        body.resize(room * stride, 0);
        for child in children {
            let mut pointer = vec![0; T::Pointer::SIZE];
            Self::pointer::<T>(Some(child.block))
                .encode(&mut pointer)
                .unwrap();
            body.extend(pointer);
        }
        body
    }

    fn level<T: Tree>(&mut self, level: u16, children: Vec<Child<T>>) -> Vec<Child<T>> {
        let room = block_capacity::<T>(&self.memory.geometry, false);
        let cuts = self.cut(children.len(), room);
        let blocks = self.take_blocks(cuts.len());
        let mut rest = children.as_slice();
        let mut parents = Vec::new();
        for (index, &count) in cuts.iter().enumerate() {
            let (mine, after) = rest.split_at(count);
            rest = after;
            let body = Self::body(mine, room);
            self.write::<T>(
                blocks[index],
                level,
                count,
                Self::near(&blocks, index),
                &body,
            );
            parents.push(Child {
                low: mine[0].low,
                high: mine.iter().map(|child| child.high).max().unwrap(),
                block: blocks[index],
            });
        }
        parents
    }

    /// A tree of these records, with its root in a block.
    pub fn tree<T: Tree>(&mut self, records: &[T::Record]) -> Forged<T> {
        let mut children = self.leaves::<T>(records);
        let mut levels = 1;
        while children.len() > 1 {
            children = self.level(levels as u16, children);
            levels += 1;
        }
        Forged {
            root: Self::pointer::<T>(Some(children[0].block)),
            levels,
            fork: Vec::new(),
        }
    }

    /// A tree of these records, with its root in a fork of `size` bytes.
    pub fn tree_in_fork<T: Tree>(&mut self, records: &[T::Record], size: usize) -> Forged<T> {
        let mut children = self.leaves::<T>(records);
        let room = root_capacity::<T>(size - 4, false);
        let mut level = 1u16;
        while children.len() > room {
            children = self.level(level, children);
            level += 1;
        }
        let mut fork = Vec::new();
        fork.extend(level.to_be_bytes());
        fork.extend((children.len() as u16).to_be_bytes());
        fork.extend(Self::body(&children, room));
        fork.resize(size, 0);
        Forged {
            root: Self::pointer::<T>(None),
            levels: u32::from(level) + 1,
            fork,
        }
    }
}

fn zeroed<T: Tree>() -> T::DiskKey {
    zerocopy::FromZeros::new_zeroed()
}
