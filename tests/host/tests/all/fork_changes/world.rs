// SPDX-License-Identifier: GPL-2.0

//! Files of a real image, beside plain models of their maps.

use std::{collections::BTreeSet, sync::Arc};
use xfs_host::{
    fixture::Image,
    image::{Disks, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        bmap::{self, Delayed, ForkMut},
        check::check,
        defer::{Chain, Deferred},
        dir,
        error::{Error, Result},
        extents::{ExtentMap, Mapping, State},
        format::{
            btree::bmap::MAX_EXTENT_BLOCKS,
            dir::FileType,
            inode::{flags::Flags2, ForkFormat},
            units::FileBlock,
        },
        inode::{Inode, Trust, WhichFork},
        journal::Claim,
        space::Groups,
        store::Store,
        trans::{InodeFields, InodeId, LogReservation, Trans},
    },
    random::Random,
};

pub const LOG: LogReservation = LogReservation {
    bytes: 1 << 20,
    count: 8,
    permanent: true,
};

/// Blocks of a file that tests look at, where they do not ask for more.
const BLOCKS: usize = 1500;

/// What an allocation may have taken behind them: copies are staged in pieces of 32 blocks.
const BEHIND: usize = 32;

/// What a block of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    Hole,
    Delayed,
    At(u64, State),
}

/// A file, and what its data fork and its CoW fork should be.
pub struct File {
    inode: Option<Box<Inode>>,
    pub data: Vec<Block>,
    pub cow: Vec<Block>,
}

impl File {
    pub fn inode(&self) -> &Inode {
        self.inode.as_ref().unwrap()
    }
}

pub struct World {
    pub journal: SyncJournal,
    disk: Arc<ScratchDisk>,
    image: Image,
    pub files: Vec<File>,
    /// Most mappings that any file had.
    pub most: u64,
    /// Forms that forks had.
    pub forms: BTreeSet<&'static str>,
    /// Times that there was no space.
    pub full: u32,
    /// Blocks of a file that are looked at.
    pub blocks: usize,
    /// Changes that were made.
    pub changes: u64,
    /// Changes from one look at all maps, in the midst of an edit, to the next.
    pub patience: u64,
    looked: u64,
}

fn blocks(map: &ExtentMap, count: usize) -> Vec<Block> {
    let mut all = vec![Block::Hole; count];
    for mapping in map.iter() {
        for n in 0..mapping.len {
            all[(mapping.offset.0 + n) as usize] = match mapping.state {
                State::Delayed => Block::Delayed,
                state => Block::At(mapping.start.0 + n, state),
            };
        }
    }
    all
}

/// What a map has at a block.
fn block_at(map: &ExtentMap, at: usize) -> Block {
    match map.get(FileBlock(at as u64)) {
        None => Block::Hole,
        Some(mapping) if mapping.state == State::Delayed => Block::Delayed,
        Some(mapping) => Block::At(
            mapping.start.0 + at as u64 - mapping.offset.0,
            mapping.state,
        ),
    }
}

/// The mappings that say so with the fewest of them.
fn fewest(blocks: &[Block]) -> usize {
    let mut count = 0;
    let mut run = 0;
    for (n, block) in blocks.iter().enumerate() {
        let continues = n > 0
            && run < MAX_EXTENT_BLOCKS
            && match (blocks[n - 1], *block) {
                (Block::Delayed, Block::Delayed) => true,
                (Block::At(before, one), Block::At(this, other)) => {
                    before + 1 == this && one == other
                }
                _ => false,
            };
        match block {
            Block::Hole => run = 0,
            _ if continues => run += 1,
            _ => {
                count += 1;
                run = 1;
            }
        }
    }
    count
}

/// Plain files below the root, of those with few mappings.
pub fn files(journal: &SyncJournal) -> Vec<Inode> {
    let geo = journal.geometry();
    let mut folders = vec![geo.root_inode];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let folder = Inode::read(journal, folder, Trust::Trusted).unwrap();
        let mut position = 0;
        let mut inside = Vec::new();
        dir::readdir(
            journal,
            || Ok(&folder),
            &mut position,
            4096,
            |entry| {
                if entry.name != b"." && entry.name != b".." {
                    inside.push((entry.inode, entry.ftype));
                }
                true
            },
        )
        .unwrap();
        for (number, ftype) in inside {
            match ftype {
                FileType::Directory => folders.push(number),
                FileType::Regular => {
                    found.push(Inode::read(journal, number, Trust::Trusted).unwrap());
                }
                _ => {}
            }
        }
    }
    found.retain(|inode| inode.core.format == ForkFormat::Extents && !inode.core.is_realtime());
    found
}

/// Runs a chain that claims so many blocks and holds those inodes. After an error it is committed
/// all the same: that must be right where nothing but what it allows has changed.
pub fn run<R>(
    journal: &SyncJournal,
    inodes: &mut [&mut Option<Box<Inode>>],
    claim: u64,
    work: impl FnOnce(
        &mut Trans<'_, SyncJournal>,
        &mut Deferred<'_, SyncJournal>,
        &[InodeId],
    ) -> Result<R>,
) -> Result<R> {
    let claim = Claim {
        blocks: claim,
        ..Claim::default()
    };
    let mut trans = Trans::start(journal, LOG, claim)?;
    let mut ids = Vec::new();
    for inode in inodes.iter_mut() {
        let id = trans.join(inode.take().unwrap()).unwrap();
        trans.load_extents(id, WhichFork::Data).unwrap();
        trans.load_extents(id, WhichFork::Attr).unwrap();
        ids.push(id);
    }
    let mut chain = Chain::new(trans).unwrap();
    let (trans, deferred) = chain.parts();
    let result = work(trans, deferred, &ids);
    let committed = chain.commit_keeping(&mut Groups).unwrap();
    for (inode, held) in inodes.iter_mut().zip(committed.inodes) {
        **inode = Some(held.into_locked());
    }
    assert_eq!(journal.shutdown(), None);
    assert_eq!(journal.store().locked(), 0);
    result
}

/// That our check of the whole file system finds nothing.
pub fn check_all(journal: &SyncJournal, what: &str) {
    journal.unmount().unwrap();
    let mut lines = Vec::new();
    check(journal.store(), &mut |finding| {
        lines.push(finding.to_string());
        Ok(())
    })
    .unwrap();
    assert!(lines.is_empty(), "{what}: {}", lines.join("\n"));
}

/// An image, to be changed in memory.
pub fn open(image: &Image) -> (SyncJournal, Arc<ScratchDisk>) {
    let disks = image.disks();
    let disk = Arc::new(ScratchDisk::new(disks.data.clone()));
    let journal = SyncJournal::open(Disks {
        data: disk.clone(),
        ..disks
    })
    .unwrap();
    (journal, disk)
}

impl World {
    /// That many files of an image.
    pub fn new(image: Image, count: usize) -> Self {
        Self::of_large(image, count, BLOCKS)
    }

    /// That many files of an image, of which so many blocks are looked at.
    pub fn of_large(image: Image, count: usize, most: usize) -> Self {
        let (journal, disk) = open(&image);
        let all = most + BEHIND;
        let mut found = files(&journal);
        found.retain(|inode| {
            let map = inode.extents(WhichFork::Data).unwrap();
            map.last().is_none_or(|last| last.end().0 < most as u64)
        });
        assert!(found.len() >= count, "{} files", found.len());
        let files = found.into_iter().take(count).map(|inode| File {
            data: blocks(inode.extents(WhichFork::Data).unwrap(), all),
            cow: vec![Block::Hole; all],
            inode: Some(Box::new(inode)),
        });
        Self {
            files: files.collect(),
            journal,
            disk,
            image,
            most: 0,
            forms: BTreeSet::new(),
            full: 0,
            blocks: most,
            changes: 0,
            patience: 0,
            looked: 0,
        }
    }

    /// Runs a chain that claims so many blocks and holds all files. An error is `NoSpace`, and has
    /// left all as it was.
    pub fn run<R>(
        &mut self,
        claim: u64,
        work: impl FnOnce(
            &mut Trans<'_, SyncJournal>,
            &mut Deferred<'_, SyncJournal>,
            &[InodeId],
        ) -> Result<R>,
    ) -> Option<R> {
        self.changes += 1;
        let mut inodes: Vec<_> = self.files.iter_mut().map(|file| &mut file.inode).collect();
        let result = run(&self.journal, &mut inodes, claim, work);
        result
            .inspect_err(|error| {
                assert_eq!(*error, Error::NoSpace);
                self.full += 1;
            })
            .ok()
    }

    /// As [`run`](Self::run), with the data fork of one of the files.
    pub fn change<R>(
        &mut self,
        file: usize,
        claim: u64,
        work: impl FnOnce(&mut ForkMut<'_, '_, '_, SyncJournal>) -> Result<R>,
    ) -> Option<R> {
        let result = self.run(claim, |trans, deferred, ids| {
            work(&mut ForkMut::new(
                trans,
                deferred,
                ids[file],
                WhichFork::Data,
            )?)
        });
        self.look();
        result
    }

    /// Sets space aside for blocks that are delayed.
    pub fn delay(&mut self, file: usize, which: Delayed, at: usize, len: usize) -> bool {
        let held = self.files[file].inode.as_mut().unwrap();
        let at = FileBlock(at as u64);
        match bmap::delay(&self.journal, held, which, at, len as u64) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                self.full += 1;
                false
            }
        }
    }

    /// Marks all files as sharing blocks.
    pub fn mark_shared(&mut self) {
        self.run(0, |trans, _, ids| {
            for &id in ids {
                let core = &mut trans.change_inode(id, InodeFields::NONE)?.core;
                core.flags2 = Flags2(core.flags2.0 | Flags2::REFLINK);
            }
            Ok(())
        })
        .unwrap();
    }

    /// Takes what a file's forks have in a range into its model.
    pub fn note(&mut self, file: usize, from: usize, end: usize) {
        let file = &mut self.files[file];
        let inode = file.inode.as_ref().unwrap();
        let map = inode.extents(WhichFork::Data).unwrap();
        for (at, block) in (from..).zip(&mut file.data[from..end]) {
            *block = block_at(map, at);
        }
    }

    /// Takes a mapping of a file's CoW fork into its model.
    pub fn note_cow(&mut self, file: usize, new: &Mapping) {
        let file = &mut self.files[file];
        let map = &file.inode.as_ref().unwrap().cow;
        let range = new.offset.0 as usize..new.end().0 as usize;
        for (at, model) in range.clone().zip(&mut file.cow[range]) {
            let block = block_at(map, at);
            assert!(matches!(model, Block::Hole | Block::Delayed));
            assert!(matches!(block, Block::At(_, State::Unwritten)));
            *model = block;
        }
    }

    /// Frees all of a file from a block on.
    pub fn truncate(&mut self, file: usize, from: usize) {
        let inode = self.files[file].inode.take().unwrap();
        let mut trans = Trans::start(&self.journal, LOG, Claim::default()).unwrap();
        let id = trans.join(inode).unwrap();
        let mut chain = Chain::new(trans).unwrap();
        let before = self.journal.commits();
        let from = FileBlock(from as u64);
        bmap::truncate(&mut chain, &mut Groups, id, WhichFork::Data, from).unwrap();
        let committed = chain.commit_keeping(&mut Groups).unwrap();
        assert!(self.journal.commits() > before + 2);
        for held in committed.inodes {
            self.files[file].inode = Some(held.into_locked());
        }
    }

    fn look(&mut self) {
        for file in &self.files {
            let map = file.inode().extents(WhichFork::Data).unwrap();
            self.most = self.most.max(map.count());
            self.forms.insert(match file.inode().core.format {
                ForkFormat::Btree => "tree",
                _ => "list",
            });
        }
    }

    /// In the midst of an edit, [`check_maps`](Self::check_maps), at times.
    pub fn glance(&mut self) {
        if self.changes >= self.looked + self.patience {
            self.looked = self.changes;
            self.check_maps();
        }
    }

    /// That each file's maps are what its models say, with no more mappings than that takes, and that
    /// no block is had twice but by those who share.
    pub fn check_maps(&self) {
        for (n, file) in self.files.iter().enumerate() {
            let inode = file.inode();
            for (map, model) in [
                (inode.extents(WhichFork::Data).unwrap(), &file.data),
                (&inode.cow, &file.cow),
            ] {
                let now = blocks(map, model.len());
                if let Some(at) = (0..now.len()).find(|&at| now[at] != model[at]) {
                    panic!("file {n}, block {at}: {:?}, not {:?}", now[at], model[at]);
                }
                assert_eq!(map.count(), fewest(model) as u64, "file {n}: {map:?}");
            }
        }
    }

    /// That the disk has what memory has.
    pub fn check_disk(&self) {
        for file in &self.files {
            let held = file.inode();
            let mut read = Inode::read(&self.journal, held.number, Trust::Trusted).unwrap();
            read.load_extents(&self.journal, WhichFork::Data).unwrap();
            assert_eq!(read.core.nblocks, held.core.nblocks);
            assert_eq!(read.core.nextents, held.core.nextents);
            let real = |inode: &Inode| -> Vec<Mapping> {
                let map = inode.extents(WhichFork::Data).unwrap();
                map.iter().filter(|m| m.state != State::Delayed).collect()
            };
            assert_eq!(real(&read), real(held));
        }
    }

    /// Gives up all that is in memory alone.
    pub fn settle(&mut self) {
        let end = FileBlock((self.blocks + BEHIND) as u64);
        for file in 0..self.files.len() {
            let delayed: Vec<usize> = (0..self.blocks)
                .filter(|&at| self.files[file].data[at] == Block::Delayed)
                .collect();
            for at in delayed {
                let from = FileBlock(at as u64);
                let unmapped = bmap::Unmapped::Freed;
                self.change(file, 0, |fork| {
                    fork.unmap(from, FileBlock(from.0 + 1), unmapped, 1)
                })
                .unwrap();
                self.files[file].data[at] = Block::Hole;
            }
            self.run(0, |trans, deferred, ids| {
                let mut cow = bmap::CowMut::new(trans, deferred, ids[file]);
                cow.cancel(FileBlock(0), end, true, u32::MAX)
            })
            .unwrap();
            self.files[file].cow.fill(Block::Hole);
        }
    }

    /// A range of blocks of a file.
    pub fn range(&self, random: &mut Random, most: u32) -> (usize, usize) {
        let from = random.below(self.blocks as u32) as usize;
        let len = 1 + random.below(most) as usize;
        (from, self.blocks.min(from + len))
    }

    /// That our check of the whole file system finds nothing.
    pub fn check(&mut self, what: &str) {
        self.settle();
        self.check_maps();
        self.check_disk();
        check_all(&self.journal, what);
    }

    /// That `xfs_repair -n` finds nothing either.
    pub fn repair(&mut self, what: &str) {
        self.check(what);
        self.image.check_changed(&self.disk.snapshot());
    }
}

/// The blocks from `from` on for which `is` holds, up to `end`.
pub fn run_of(
    model: &[Block],
    (from, end): (usize, usize),
    is: impl Fn(Block) -> bool,
) -> (usize, usize) {
    let len = model[from..end].iter().take_while(|&&b| is(b)).count();
    (from, from + len)
}
