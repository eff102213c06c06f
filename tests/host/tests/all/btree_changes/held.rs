// SPDX-License-Identifier: GPL-2.0

//! A tree that a test keeps: where its root is, which blocks it has, and what a look at every one
//! of them finds.

use std::{collections::BTreeSet, sync::Arc};
use xfs_host::{
    fixture::synthetic,
    image::{Disk, Disks, ImageStore, Overlay, ScratchDisk, ZeroDisk},
    journal::SyncJournal,
    libxfs::{
        btree::{Cursor, Hook, InTrans, Path, Root},
        error::{Error, Result},
        format::{
            btree::{verify_root, Fork, Header, Node, Pointer, Tree, TreeKind, ROOT_HEADER_SIZE},
            geometry::Geometry,
            kind::Kind,
            sb::Counters,
            units::{AgNumber, InodeNumber, RtGroup},
        },
        journal::{Claim, Journal},
        store::{Device, Run, Store},
        trans::{BlockId, LogReservation, Trans},
    },
};

/// The group of trees with short pointers, and the inode of the others.
const AG: AgNumber = AgNumber(0);
pub const INODE: InodeNumber = InodeNumber(200);
/// Bytes of a fork with a root.
const FORK_SIZE: usize = 156;

const LOG: LogReservation = LogReservation {
    bytes: 1 << 20,
    count: 1,
    permanent: true,
};

/// A file system without anything in it, of blocks that large, and its disk.
pub fn journal(block_log: u8) -> (SyncJournal, Arc<ScratchDisk>) {
    let geo = synthetic::geometry(block_log);
    let size = geo.data_blocks << block_log;
    let disk = Arc::new(ScratchDisk::new(Arc::new(ZeroDisk { size })));
    let store = ImageStore::with_geometry(Disks::data(disk.clone()), geo);
    let counters = Counters {
        inodes: 0,
        free_inodes: 0,
        free_blocks: 1 << 20,
        free_rt_extents: 0,
    };
    (SyncJournal::new(store, counters), disk)
}

pub fn start(journal: &SyncJournal) -> Trans<'_, SyncJournal> {
    Trans::start(journal, LOG, Claim::default()).unwrap()
}

/// What a tree of a test needs to know beyond [`Tree`].
pub trait Kept: Tree {
    /// What its records are about.
    fn scope() -> Self::Scope;
    /// A cursor over it.
    fn cursor<'a>(
        journal: &'a SyncJournal,
        tree: &'a Held<Self>,
    ) -> Result<Cursor<'a, SyncJournal, Self>>;
}

macro_rules! in_group {
    ($($tree:ident)*) => {
        $(impl Kept for xfs_host::libxfs::format::btree::$tree {
            fn scope() -> AgNumber {
                AG
            }
            fn cursor<'a>(
                journal: &'a SyncJournal,
                tree: &'a Held<Self>,
            ) -> Result<Cursor<'a, SyncJournal, Self>> {
                Cursor::in_group(journal, AG, tree.root.unwrap())
            }
        })*
    };
}

macro_rules! in_fork {
    ($($tree:ident: $scope:expr,)*) => {
        $(impl Kept for xfs_host::libxfs::format::btree::$tree {
            fn scope() -> Self::Scope {
                $scope
            }
            fn cursor<'a>(
                journal: &'a SyncJournal,
                tree: &'a Held<Self>,
            ) -> Result<Cursor<'a, SyncJournal, Self>> {
                Cursor::in_fork(journal, INODE, $scope, &tree.fork)
            }
        })*
    };
}

in_group!(Bno Cnt Ino Fino Rmap Refcount);
in_fork! {
    Bmap: Fork::Data,
    RtRmap: RtGroup(1),
    RtRefcount: RtGroup(1),
}

/// A tree: its root, and the blocks that it has.
#[derive(Clone)]
pub struct Held<T: Tree> {
    pub root: Option<(T::Pointer, u32)>,
    pub fork: Vec<u8>,
    next: u32,
    /// Blocks that it had, and may have again.
    freed: Vec<u32>,
    blocks: BTreeSet<u32>,
    /// Blocks that it may still allocate.
    pub allowance: u32,
}

/// The hook of a tree that a test keeps.
pub struct HeldHook<'h, T: Tree>(&'h mut Held<T>);

fn pointer<T: Tree>(block: u32) -> T::Pointer {
    T::Pointer::decode(&u64::from(block).to_be_bytes()[8 - T::Pointer::SIZE..]).unwrap()
}

fn number<T: Tree>(pointer: T::Pointer) -> u32 {
    let mut bytes = [0; 8];
    pointer.encode(&mut bytes[8 - T::Pointer::SIZE..]).unwrap();
    u64::from_be_bytes(bytes) as u32
}

impl<T: Tree, J: Journal> Hook<J, T> for HeldHook<'_, T> {
    fn root<'r>(&'r self, _: &'r Trans<'_, J>) -> Result<Root<'r, T::Pointer>> {
        Ok(match self.0.root {
            Some((root, levels)) => Root::Block(root, levels),
            None => Root::Fork(&self.0.fork),
        })
    }

    fn set_root(&mut self, _: &mut Trans<'_, J>, root: T::Pointer, levels: u32) -> Result {
        assert!(self.0.root.is_some());
        self.0.root = Some((root, levels));
        Ok(())
    }

    fn change_fork<'r>(&'r mut self, _: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        assert!(self.0.root.is_none());
        Ok(&mut self.0.fork)
    }

    fn allocate(&mut self, _: &mut Trans<'_, J>, near: Option<T::Pointer>) -> Result<T::Pointer> {
        self.0.allowance = self.0.allowance.checked_sub(1).ok_or(Error::NoSpace)?;
        if near.is_some_and(|near| !self.0.blocks.contains(&number::<T>(near))) {
            return Err(Error::Invalid);
        }
        // Not side by side, and a freed one again at times.
        let block = self.0.freed.pop().unwrap_or_else(|| {
            self.0.next += 3;
            100 + self.0.next
        });
        assert!(self.0.blocks.insert(block));
        Ok(pointer::<T>(block))
    }

    fn free(&mut self, _: &mut Trans<'_, J>, pointer: T::Pointer) -> Result {
        let block = number::<T>(pointer);
        if !self.0.blocks.remove(&block) {
            return Err(Error::Invalid);
        }
        if block % 2 == 0 {
            self.0.freed.push(block);
        }
        Ok(())
    }
}

impl<T: Kept> Held<T> {
    /// What its blocks name as their owner.
    pub fn owner() -> u64 {
        match T::Pointer::SIZE {
            4 => AG.0.into(),
            _ => INODE.0,
        }
    }

    /// A path in it that stands nowhere.
    pub fn path() -> Path<BlockId, T> {
        Path::new(T::scope(), Self::owner())
    }

    /// How many levels it has.
    pub fn levels(&self) -> u32 {
        match self.root {
            Some((_, levels)) => levels,
            // A root in a fork begins with its level.
            None => u32::from(self.fork[1]) + 1,
        }
    }

    /// Its blocks, in a transaction.
    pub fn in_trans<'t, 'a>(
        &'t mut self,
        trans: &'t mut Trans<'a, SyncJournal>,
    ) -> InTrans<'t, 'a, SyncJournal, HeldHook<'t, T>> {
        InTrans {
            trans,
            hook: HeldHook(self),
            home: AG,
        }
    }

    fn run(geo: &Geometry, pointer: T::Pointer) -> Run {
        Run {
            at: pointer.address(geo, AG).unwrap(),
            len: geo.basic_blocks_per_block(),
        }
    }

    /// A tree with one record, committed.
    pub fn with(journal: &SyncJournal, record: &T::Record) -> Self {
        let geo = journal.geometry();
        let mut held = Self {
            root: None,
            fork: Vec::new(),
            next: 0,
            freed: Vec::new(),
            blocks: BTreeSet::new(),
            allowance: u32::MAX,
        };
        let in_fork = T::Pointer::SIZE == 8;
        let mut trans = start(journal);
        if in_fork && T::KIND != TreeKind::Bmap {
            held.fork = vec![0; FORK_SIZE];
        } else {
            let pointer = pointer::<T>(50);
            held.blocks.insert(50);
            let run = Self::run(geo, pointer);
            let block = trans
                .fresh(Device::Data, run, Kind::Btree(T::KIND))
                .unwrap();
            let header = Header {
                magic: T::MAGIC,
                level: 0,
                count: 0,
                left: None,
                right: None,
                address: run.at,
                uuid: geo.meta_uuid,
                owner: Self::owner(),
            };
            let all = trans.change(block, 0..geo.block_size as usize).unwrap();
            T::Pointer::write_header(&header, all).unwrap();
            held.root = Some((pointer, 1));
        }
        Self::path()
            .insert(&mut held.in_trans(&mut trans), record)
            .unwrap();
        trans.commit().unwrap();
        if T::KIND == TreeKind::Bmap {
            // A map has a leaf below the root in the fork.
            let (child, _) = held.root.take().unwrap();
            held.fork = vec![0; FORK_SIZE];
            held.fork[1] = 1;
            held.fork[3] = 1;
            let key = T::encode_key(&T::key(record));
            let key = zerocopy::IntoBytes::as_bytes(&key);
            held.fork[ROOT_HEADER_SIZE..][..key.len()].copy_from_slice(key);
            let room = (FORK_SIZE - ROOT_HEADER_SIZE) / (key.len() + 8);
            child
                .encode(&mut held.fork[ROOT_HEADER_SIZE + room * key.len()..])
                .unwrap();
        }
        held
    }

    /// Sets a byte of one of the tree's blocks on the disk, and its checksum right.
    pub fn harm(
        &self,
        journal: &SyncJournal,
        disk: &ScratchDisk,
        block: usize,
        at: usize,
        value: u8,
    ) {
        let geo = journal.geometry();
        let Some(&victim) = self.blocks.iter().nth(block % self.blocks.len().max(1)) else {
            return;
        };
        let offset = Self::run(geo, pointer::<T>(victim)).at.0 * 512;
        let mut bytes = vec![0; geo.block_size as usize];
        disk.read_at(offset, &mut bytes).unwrap();
        bytes[at] = value;
        Kind::Btree(T::KIND).seal(geo, &mut bytes, None);
        disk.write(offset, &bytes).unwrap();
    }

    /// Looks at every block: that each is at least half full, but the root, that parents have their
    /// children's keys, and that no block is lost. Returns the records, and how many fit in all
    /// leaves.
    pub fn look(&self, journal: &SyncJournal) -> (Vec<T::Record>, usize) {
        let geo = journal.geometry();
        let mut found = Found::<T> {
            journal,
            records: Vec::new(),
            room: 0,
            blocks: BTreeSet::new(),
        };
        match self.root {
            Some((root, levels)) => {
                found.visit(root, levels as usize - 1, true, None);
            }
            None => {
                let root = verify_root::<T>(geo, T::scope(), &self.fork).unwrap();
                if root.is_leaf() {
                    found.room = root.room();
                    found.leaf(&root);
                }
                let only = root.count() == 1;
                for index in 0..root.count() {
                    if let Some(child) = root.pointer(index) {
                        found.visit(
                            child,
                            usize::from(root.level()) - 1,
                            only,
                            keys(&root, index),
                        );
                    }
                }
            }
        }
        assert_eq!(found.blocks, self.blocks);
        (found.records, found.room)
    }
}

/// What was found below a root.
struct Found<'a, T: Tree> {
    journal: &'a SyncJournal,
    records: Vec<T::Record>,
    room: usize,
    blocks: BTreeSet<u32>,
}

fn keys<T: Tree>(node: &Node<'_, T>, index: usize) -> Option<(T::Key, T::Key)> {
    let low = node.key(index)?;
    Some((low, node.high_key(index).unwrap_or(low)))
}

impl<T: Kept> Found<'_, T> {
    fn leaf(&mut self, node: &Node<'_, T>) {
        let geo = self.journal.geometry();
        for index in 0..node.count() {
            let record = node.record(geo, index).unwrap().unwrap();
            T::check_record(geo, Some(T::scope()), &record).unwrap();
            self.records.push(record);
        }
    }

    fn visit(
        &mut self,
        pointer: T::Pointer,
        level: usize,
        alone: bool,
        expected: Option<(T::Key, T::Key)>,
    ) {
        let run = Held::<T>::run(self.journal.geometry(), pointer);
        let kind = Kind::Btree(T::KIND);
        let block = self.journal.read(Device::Data, run, kind).unwrap();
        let node = Node::<T>::of_block(&block).unwrap();
        assert_eq!(usize::from(node.level()), level);
        assert!(alone || node.count() >= node.room() / 2);
        assert!(self.blocks.insert(number::<T>(pointer)));
        let (low, high) = if node.is_leaf() {
            self.room += node.room();
            let first = self.records.len();
            self.leaf(&node);
            let new = &self.records[first..];
            (new.first().map(T::key), new.iter().map(T::high_key).max())
        } else {
            for index in 0..node.count() {
                let child = node.pointer(index).unwrap();
                self.visit(child, level - 1, false, keys(&node, index));
            }
            (
                node.key(0),
                (0..node.count())
                    .filter_map(|index| node.high_key(index))
                    .max(),
            )
        };
        if let Some((expected_low, expected_high)) = expected {
            assert_eq!(low, Some(expected_low));
            if T::OVERLAPPING {
                assert_eq!(high, Some(expected_high));
            }
        }
    }
}

/// Another file system like that one, over its own copy of a disk.
pub fn reopen(journal: &SyncJournal, disk: Overlay) -> (SyncJournal, Arc<ScratchDisk>) {
    let disk = Arc::new(ScratchDisk::from(disk));
    let store = ImageStore::with_geometry(Disks::data(disk.clone()), journal.geometry().clone());
    (SyncJournal::new(store, journal.counters()), disk)
}
