// SPDX-License-Identifier: GPL-2.0

//! A directory that is changed, beside the plain map that it should equal.

use crate::lone_inode::LoneInode;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
};
use xfs_host::{
    fixture::space::Pool,
    journal::SyncJournal,
    libxfs::{
        bmap,
        dir::{
            self,
            change::{self, NewEntry},
        },
        error::Result,
        format::{
            crc,
            da::{self, Node},
            dahash::NameHash,
            dir::{
                data::{DataBlock, Record},
                free::{FreeIndex, NO_BLOCK},
                leaf::{Leaf, LeafKind},
                space::{DirBlock, DirGeometry},
                FileType,
            },
            geometry::Geometry,
            kind::Kind,
            units::{FileBlock, InodeNumber},
        },
        inode::{Fork, Inode, WhichFork},
        store::{Device, Store},
        trans::{InodeId, LogReservation, Trans},
    },
};

pub const LOG: LogReservation = LogReservation {
    bytes: 100_000,
    count: 1,
    permanent: false,
};

/// Blocks that each transaction may take.
pub const BLOCKS: u64 = 2000;

pub type Model = BTreeMap<Vec<u8>, (InodeNumber, FileType)>;

/// The form that a directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Short,
    Block,
    Leaf,
    Node(u16),
}

pub struct Harness {
    lone: LoneInode,
    pub model: Model,
    pub geo: DirGeometry,
    pub forms: BTreeSet<Form>,
}

impl Deref for Harness {
    type Target = LoneInode;

    fn deref(&self) -> &LoneInode {
        &self.lone
    }
}

impl DerefMut for Harness {
    fn deref_mut(&mut self) -> &mut LoneInode {
        &mut self.lone
    }
}

impl Harness {
    /// An empty directory on the image of a shape; `change` makes another file system of it.
    pub fn new(shape: &str, change: impl FnOnce(&mut Geometry)) -> Self {
        Self::of(LoneInode::new(shape, change))
    }

    /// An empty directory in that inode.
    pub fn of(lone: LoneInode) -> Self {
        let mut harness = Self {
            geo: DirGeometry::new(lone.journal.geometry()),
            lone,
            model: Model::new(),
            forms: BTreeSet::new(),
        };
        harness
            .lone
            .run(LOG, 0, |trans, _, dir| {
                change::init(trans, dir, InodeNumber(128))
            })
            .unwrap();
        harness
    }

    /// The inode, and its model.
    pub fn parts(&mut self) -> (&mut LoneInode, &mut Model) {
        (&mut self.lone, &mut self.model)
    }

    /// The same directory on a disk whose changes begin here.
    pub fn copy(&self) -> Self {
        Self {
            lone: self.lone.copy(),
            model: self.model.clone(),
            geo: self.geo,
            forms: BTreeSet::new(),
        }
    }

    pub fn dir(&self) -> &Inode {
        self.inode()
    }

    /// Does something in a transaction, as [`LoneInode::run`].
    pub fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Trans<'_, SyncJournal>, &mut Pool, InodeId) -> Result<T>,
    ) -> Result<T> {
        self.lone.run(LOG, BLOCKS, work)
    }

    pub fn add(&mut self, name: &[u8], inode: InodeNumber, ftype: FileType) -> Result {
        let entry = NewEntry { name, inode, ftype };
        let room = change::has_room(&self.journal, self.dir(), &entry)?;
        let before = self.pool.left();
        let fresh = !self.model.contains_key(name);
        let grown = self.run(|trans, pool, dir| {
            change::add(trans, pool, dir, &entry)?;
            Ok(pool.left() != before)
        })?;
        assert!(fresh, "added twice");
        assert_eq!(room, !grown, "has_room is wrong: {:?}", self.form());
        self.model.insert(name.to_vec(), (inode, ftype));
        self.forms.insert(self.form());
        Ok(())
    }

    pub fn remove(&mut self, name: &[u8]) -> Result {
        let gone = self.run(|trans, pool, dir| change::remove(trans, pool, dir, name))?;
        assert_eq!(Some(gone), self.model.remove(name).map(|old| old.0));
        self.forms.insert(self.form());
        Ok(())
    }

    pub fn replace(&mut self, name: &[u8], inode: InodeNumber, ftype: FileType) -> Result {
        let entry = NewEntry { name, inode, ftype };
        let old = self.run(|trans, pool, dir| change::replace(trans, pool, dir, &entry))?;
        if name != b".." {
            let known = self.model.insert(name.to_vec(), (inode, ftype));
            assert_eq!(known.map(|known| known.0), Some(old));
        }
        Ok(())
    }

    pub fn form(&self) -> Form {
        let Fork::Extents(map) = &self.dir().data else {
            return Form::Short;
        };
        let one = u64::from(self.geo.fs_blocks());
        let end = map.last().unwrap().end().0;
        if end == one {
            Form::Block
        } else if end == self.geo.leaf_start().0 + one {
            Form::Leaf
        } else {
            let root = self.block(self.geo.leaf_start(), Kind::DirTree);
            Form::Node(Node::view(&root).map_or(0, |node| node.header.level.get()))
        }
    }

    fn block(&self, at: FileBlock, kind: Kind) -> Vec<u8> {
        let geo = self.journal.geometry();
        let dir = self.dir();
        let runs = bmap::runs(geo, dir, WhichFork::Data, at, self.geo.fs_blocks())
            .unwrap()
            .unwrap_or_else(|| panic!("{at} is a hole"));
        self.journal
            .read_runs(Device::Data, &runs, kind)
            .unwrap_or_else(|error| panic!("{at}: {error:?}"))
            .to_vec()
    }

    /// Changes a block of the tree on the disk, and sets its checksum right.
    pub fn forge(&self, at: FileBlock, change: impl FnOnce(&mut [u8])) {
        let geo = self.journal.geometry();
        let blocks = self.geo.fs_blocks();
        let runs = bmap::runs(geo, self.dir(), WhichFork::Data, at, blocks);
        let mut bytes = self.block(at, Kind::DirTree);
        change(&mut bytes);
        crc::set_block_crc(&mut bytes, da::CRC_OFFSET);
        let store = self.journal.store();
        store
            .write(Device::Data, &runs.unwrap().unwrap(), &bytes)
            .unwrap();
    }

    /// The blocks that the root of the tree leads to.
    pub fn children(&self) -> Vec<FileBlock> {
        let root = self.block(self.geo.leaf_start(), Kind::DirTree);
        let node = Node::view(&root).unwrap();
        node.entries.iter().map(|entry| entry.block()).collect()
    }

    /// That readers see what the model has, and that every structure agrees with every other.
    pub fn check(&self) {
        let mut listed = Model::new();
        let mut position = 0;
        let mut count = 0;
        dir::readdir(
            &self.journal,
            || Ok(self.dir()),
            &mut position,
            4096,
            |entry| {
                listed.insert(entry.name.to_vec(), (entry.inode, entry.ftype));
                count += 1;
                true
            },
        )
        .unwrap();
        assert_eq!(count, listed.len(), "a name is listed twice");
        assert!(listed.remove(&b"."[..]).is_some());
        assert!(listed.remove(&b".."[..]).is_some());
        assert_eq!(listed.len(), self.model.len());
        assert!(listed == self.model);
        for (name, &(inode, ftype)) in &self.model {
            let found = dir::lookup(&self.journal, self.dir(), name).unwrap();
            assert_eq!((found.inode, found.ftype), (inode, ftype));
        }
        self.check_structure();
    }

    fn check_structure(&self) {
        let Fork::Extents(map) = &self.dir().data else {
            return;
        };
        let form = self.form();
        let kind = match form {
            Form::Block => Kind::DirBlock,
            _ => Kind::DirData,
        };
        let step = u64::from(self.geo.fs_blocks());
        let blocks = |from: FileBlock, to: FileBlock| -> Vec<FileBlock> {
            let all = map
                .segments(from, to.0 - from.0)
                .filter_map(|s| s.mapping());
            all.flat_map(|m| (m.offset.0..m.end().0).map(FileBlock))
                .filter(|at| (at.0 - from.0) % step == 0)
                .collect()
        };
        let mut entries = BTreeSet::new();
        let mut bests = BTreeMap::new();
        for at in blocks(FileBlock(0), self.geo.leaf_start()) {
            let bytes = self.block(at, kind);
            let data = DataBlock::view(&bytes).unwrap();
            let number = self.geo.dir_block(at).unwrap();
            bests.insert(number.0, data.header.best_free[0].length.get());
            for record in data.records() {
                if let Record::Entry(entry) = record.unwrap() {
                    let at = self.geo.pointer(number, entry.offset);
                    entries.insert((NameHash::of(entry.name).0, at.0));
                }
            }
        }
        let last = *bests.keys().last().unwrap();
        let size = u64::from(last + 1) * u64::from(self.geo.block_size());
        assert_eq!(self.dir().core.size, size);
        let mut told = BTreeMap::new();
        match form {
            Form::Short | Form::Block => return,
            Form::Leaf => {
                let bytes = self.block(self.geo.leaf_start(), Kind::DirLeaf);
                let leaf = Leaf::view(&bytes, LeafKind::Single).unwrap();
                for entry in leaf.entries.iter().filter(|entry| !entry.is_stale()) {
                    assert!(entries.remove(&(entry.hash.get(), entry.address.get())));
                }
                assert_eq!(leaf.bests.len() as u32, last + 1);
                told.extend((0..).zip(leaf.bests.iter().map(|best| best.get())));
            }
            Form::Node(_) => {
                let mut met = BTreeSet::new();
                let mut chains = BTreeMap::new();
                self.check_tree(
                    self.geo.leaf_start(),
                    None,
                    &mut met,
                    &mut chains,
                    &mut |e| {
                        assert!(entries.remove(&e));
                    },
                );
                let there = blocks(self.geo.leaf_start(), self.geo.free_start());
                assert!(met.into_iter().eq(there), "blocks that the tree lacks");
                for at in blocks(
                    self.geo.free_start(),
                    FileBlock(self.geo.free_start().0 + (1 << 20)),
                ) {
                    let bytes = self.block(at, Kind::DirFree);
                    let free = FreeIndex::view(&bytes).unwrap();
                    let owner = self.dir().number;
                    free.check_place(&self.geo, owner, at).unwrap();
                    let used = free.bests.iter().filter(|b| b.get() != NO_BLOCK).count();
                    assert_eq!(free.header.nused.get() as usize, used);
                    assert!(used > 0 && free.bests.last().unwrap().get() != NO_BLOCK);
                    let first = free.header.firstdb.get();
                    told.extend((first..).zip(free.bests.iter().map(|best| best.get())));
                }
            }
        }
        assert!(entries.is_empty(), "entries that the index lacks");
        told.retain(|_, best| *best != NO_BLOCK);
        assert_eq!(told, bests);
        assert!(!bests.contains_key(&u32::MAX) && bests.contains_key(&DirBlock(0).0));
    }

    /// Walks the tree; `chains` has the last block that was seen on each level.
    fn check_tree(
        &self,
        at: FileBlock,
        most: Option<u32>,
        met: &mut BTreeSet<FileBlock>,
        chains: &mut BTreeMap<u16, FileBlock>,
        entry: &mut dyn FnMut((u32, u32)),
    ) -> u16 {
        assert!(met.insert(at));
        let bytes = self.block(at, Kind::DirTree);
        let sibling = |from: usize| {
            u64::from(u32::from_be_bytes(
                bytes[from..from + 4].try_into().unwrap(),
            ))
        };
        let (level, last) = match Node::view(&bytes) {
            Ok(node) => {
                let mut low = 0;
                for child in node.entries {
                    assert!(child.hash.get() >= low);
                    low = child.hash.get();
                    let below = self.check_tree(child.block(), Some(low), met, chains, entry);
                    assert_eq!(below + 1, node.header.level.get());
                }
                (node.header.level.get(), low)
            }
            Err(_) => {
                let leaf = Leaf::view(&bytes, LeafKind::Many).unwrap();
                for e in leaf.entries.iter().filter(|e| !e.is_stale()) {
                    entry((e.hash.get(), e.address.get()));
                }
                (0, leaf.last_hash().0)
            }
        };
        assert!(most.is_none_or(|most| most == last));
        let before = chains.insert(level, at);
        assert_eq!(sibling(4), before.map_or(0, |before| before.0));
        if let Some(before) = before {
            let bytes = self.block(before, Kind::DirTree);
            let forw = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(u64::from(forw), at.0);
        }
        level
    }
}
