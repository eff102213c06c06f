// SPDX-License-Identifier: GPL-2.0

//! An image whose inodes come and go, and a plain account of those that are there.
//!
//! What has a name has it in a directory that fits its inode, so nothing but inodes takes space.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};
use xfs_host::{
    fixture::{space::Pool, Image, Shape},
    image::{Disks, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        check::check,
        defer::Chain,
        dir::change::{self as names, NewEntry},
        error::{Error, Result},
        format::{
            btree::InodeChunk,
            dir::FileType as EntryType,
            inode::{time::Timestamp, FileType},
            units::{AgInode, AgNumber, InodeNumber},
        },
        ialloc::{self, take, Parent, Wish},
        inode::{
            create::{self, New, INHERITED},
            unlinked, DeviceNumber, Inode, Trust,
        },
        journal::Claim,
        space::{release, reserve, Groups},
        store::Store,
        trans::{space, InodeFields, LogReservation, LogReservations, Trans},
    },
    mutation::{Choices, Seeded},
};

/// Entries of a directory, at most: they fit the inode, an attribute fork or not.
const MOST_CHILDREN: usize = 10;

/// An inode with a name.
struct Named {
    parent: InodeNumber,
    name: String,
}

pub struct World {
    pub journal: SyncJournal,
    disk: Arc<ScratchDisk>,
    image: Image,
    pub log: LogReservations,
    pub choices: Seeded,
    /// What was there before.
    old: BTreeSet<InodeNumber>,
    named: BTreeMap<InodeNumber, Named>,
    /// Directories, and how many names they have.
    pub dirs: BTreeMap<InodeNumber, usize>,
    /// Those without a name, the youngest of a list last.
    pub nameless: Vec<InodeNumber>,
    /// Directories that were made.
    pub turn: u32,
    /// Whether chunks stay.
    pub keep: bool,
    /// Inodes that there are, if not those that there are.
    pub inodes: Option<u64>,
    /// Whether the groups keep blocks for their trees.
    reserved: bool,
    /// How often the free-inode tree had to grow without.
    pub grown: u32,
    names: u64,
}

fn file_type(mode: u16) -> FileType {
    FileType::from_mode(mode).unwrap()
}

fn entry_type(of: FileType) -> EntryType {
    match of {
        FileType::Directory => EntryType::Directory,
        FileType::Regular => EntryType::Regular,
        FileType::Fifo => EntryType::Fifo,
        FileType::CharDevice => EntryType::CharDevice,
        other => panic!("{other:?}"),
    }
}

fn start(
    journal: &SyncJournal,
    log: LogReservation,
    blocks: u64,
) -> Result<Chain<'_, SyncJournal>> {
    let claim = Claim {
        blocks,
        ..Claim::default()
    };
    Chain::new(Trans::start(journal, log, claim)?)
}

impl World {
    pub fn new(shape: &'static Shape, seed: u64) -> Self {
        let image = Image::of(shape);
        let disk = Arc::new(ScratchDisk::new(image.disks().data));
        let disks = Disks {
            data: disk.clone(),
            ..image.disks()
        };
        let journal = SyncJournal::open(disks).unwrap();
        let root = journal.geometry().root_inode;
        let mut world = Self {
            log: LogReservations::new(journal.geometry()).unwrap(),
            journal,
            disk,
            image,
            choices: Seeded(seed),
            old: BTreeSet::new(),
            named: BTreeMap::new(),
            dirs: BTreeMap::from([(root, 0)]),
            nameless: Vec::new(),
            turn: 0,
            keep: false,
            inodes: None,
            reserved: false,
            grown: 0,
            names: 0,
        };
        world.old = world.in_use();
        world
    }

    pub fn ag_of(&self, number: InodeNumber) -> AgNumber {
        self.journal.geometry().split_inode(number).unwrap().0
    }

    /// All chunks, by group.
    pub fn chunks(&self) -> Vec<(AgNumber, InodeChunk)> {
        let mut all = Vec::new();
        for ag in (0..self.journal.geometry().ag_count).map(AgNumber) {
            ialloc::visit_chunks(&self.journal, ag, AgInode(0), |chunk| {
                all.push((ag, chunk));
                Ok::<_, Error>(ControlFlow::Continue(()))
            })
            .unwrap();
        }
        all
    }

    fn in_use(&self) -> BTreeSet<InodeNumber> {
        let chunks = self.chunks();
        chunks
            .into_iter()
            .flat_map(|(ag, chunk)| ialloc::allocated(&self.journal, ag, chunk))
            .collect()
    }

    pub fn read(&self, number: InodeNumber) -> Box<Inode> {
        Box::new(Inode::read(&self.journal, number, Trust::Untrusted).unwrap())
    }

    /// A directory with room for a name.
    pub fn some_dir(&mut self) -> Option<InodeNumber> {
        let free: Vec<_> = self
            .dirs
            .iter()
            .filter(|(_, names)| **names < MOST_CHILDREN)
            .map(|(dir, _)| *dir)
            .collect();
        (!free.is_empty()).then(|| free[self.choices.below(free.len())])
    }

    pub fn some_named(&mut self) -> Option<InodeNumber> {
        let n = self.choices.below(self.named.len());
        self.named.keys().nth(n).copied()
    }

    /// Leaves a file alone from now on, since it has blocks.
    pub fn leave(&mut self, number: InodeNumber) {
        self.named.remove(&number).unwrap();
        self.old.insert(number);
    }

    /// Makes an inode, with a name in `dir` or near it without one.
    pub fn make(&mut self, dir: InodeNumber, mode: u16, nameless: bool) -> Result<InodeNumber> {
        let geo = self.journal.geometry();
        let kind = file_type(mode);
        let is_dir = kind == FileType::Directory;
        self.names += 1;
        let name = format!("{:06}", self.names % 1_000_000);
        let parent = self.read(dir);
        let mut chain = start(&self.journal, self.log.mkdir, space::create(geo, 6))?;
        let (trans, deferred) = chain.parts();
        let mut counters = self.journal.counters();
        counters.inodes = self.inodes.unwrap_or(counters.inodes);
        let wish = Wish {
            file_type: kind,
            parent: Some(Parent {
                number: dir,
                is_metadata: false,
            }),
            turn: self.turn,
            counters,
            generation: self.choices.word() as u32,
        };
        let attr_fork = self.choices.below(3) == 0;
        let number = match take(trans, deferred, &wish) {
            Ok(number) => number,
            Err(Error::NoSpace) => {
                // Lists of blocks may have been filled.
                chain.commit(&mut Groups)?;
                return Err(Error::NoSpace);
            }
            Err(error) => return Err(error),
        };
        self.turn += u32::from(is_dir);
        let known = self.named.contains_key(&number) || self.nameless.contains(&number);
        assert!(!known && !self.old.contains(&number), "{number} is in use");
        let generation = match self.keep {
            true => create::generation(trans, number)?,
            false => wish.generation,
        };
        let inode = create::new(
            geo,
            number,
            &New {
                mode,
                uid: 1,
                gid: 2,
                parent: Some(&parent.core),
                device: DeviceNumber { major: 1, minor: 3 },
                now: Timestamp {
                    sec: 1_700_000_000,
                    nsec: 5,
                },
                generation,
                nameless,
                attr_fork,
                inherited: INHERITED,
            },
        )?;
        let inode = trans.join(Box::new(inode))?;
        trans.change_inode(inode, InodeFields::ALL)?;
        if is_dir {
            names::init(trans, inode, dir)?;
        }
        if nameless {
            unlinked::insert(trans, inode)?;
            self.nameless.push(number);
        } else {
            let parent = trans.join(parent)?;
            let entry = NewEntry {
                name: name.as_bytes(),
                inode: number,
                ftype: entry_type(kind),
            };
            names::add(trans, &mut Pool::default(), parent, &entry)?;
            if is_dir {
                trans.change_inode(parent, InodeFields::CORE)?.core.nlink += 1;
            }
            *self.dirs.get_mut(&dir).unwrap() += 1;
            self.named.insert(number, Named { parent: dir, name });
            if is_dir {
                self.dirs.insert(number, 0);
            }
        }
        chain.commit(&mut Groups)?;
        Ok(number)
    }

    /// Takes the name of an inode away, unless it is a directory with names in it.
    pub fn unlink(&mut self, number: InodeNumber) -> Result {
        if self.dirs.get(&number).is_some_and(|names| *names > 0) {
            return Ok(());
        }
        let Named { parent, name } = self.named.remove(&number).unwrap();
        let is_dir = self.dirs.remove(&number).is_some();
        *self.dirs.get_mut(&parent).unwrap() -= 1;
        let mut chain = start(&self.journal, self.log.remove, 0)?;
        let (trans, _) = chain.parts();
        let dir = trans.join(self.read(parent))?;
        let inode = trans.join(self.read(number))?;
        let found = names::remove(trans, &mut Pool::default(), dir, name.as_bytes())?;
        assert_eq!(found, number);
        if is_dir {
            trans.change_inode(dir, InodeFields::CORE)?.core.nlink -= 1;
        }
        trans.change_inode(inode, InodeFields::CORE)?.core.nlink = 0;
        unlinked::insert(trans, inode)?;
        chain.commit(&mut Groups)?;
        self.nameless.push(number);
        Ok(())
    }

    /// Frees one of those without a name.
    pub fn free(&mut self, which: usize) -> Result {
        let geo = self.journal.geometry();
        let number = self.nameless.remove(which);
        // What memory knows of the one before it: nothing, that, or something else.
        let hint = match self.choices.below(3) {
            0 => None,
            1 => self.before(number, which),
            _ => self
                .nameless
                .last()
                .map(|last| geo.split_inode(*last).unwrap().1),
        };
        let mut chain = start(&self.journal, self.log.inode_free, 0)?;
        let (trans, deferred) = chain.parts();
        let inode = trans.join(self.read(number))?;
        let mut freed = create::free(trans, deferred, inode, hint, self.keep);
        if freed == Err(Error::NoSpace) {
            // The tree has to grow, and no space was set aside for that.
            assert!(!trans.is_dirty());
            drop(chain);
            chain = start(&self.journal, self.log.inode_free, space::inode_free(geo))?;
            let (trans, deferred) = chain.parts();
            let inode = trans.join(self.read(number))?;
            freed = create::free(trans, deferred, inode, hint, self.keep);
            self.grown += 1;
        }
        let freed = freed?;
        let own = self.before(number, which);
        assert_eq!(freed.neighbours.before, own);
        chain.commit(&mut Groups)?;
        assert_eq!(self.in_chunk(number), !freed.chunk);
        Ok(())
    }

    /// Whether there is space for an inode.
    fn in_chunk(&self, number: InodeNumber) -> bool {
        ialloc::lookup(&self.journal, number).unwrap().is_some()
    }

    /// Who was put on the list of `number`, that was at `which`, just after it.
    fn before(&self, number: InodeNumber, which: usize) -> Option<AgInode> {
        let geo = self.journal.geometry();
        let (ag, own) = geo.split_inode(number).unwrap();
        let later = self.nameless[which..].iter();
        later
            .map(|other| geo.split_inode(*other).unwrap())
            .find(|(group, inode)| *group == ag && inode.0 % 64 == own.0 % 64)
            .map(|(_, inode)| inode)
    }

    /// Does something, mostly what makes `growing` true or not.
    pub fn step(&mut self, growing: bool) -> Result {
        let (making, all) = if growing { (7, 10) } else { (3, 10) };
        if self.choices.below(all) < making {
            let Some(dir) = self.some_dir() else {
                return Ok(());
            };
            let (mode, nameless) = match self.choices.below(12) {
                0 | 1 => (0o040_755, false),
                2 => (0o010_644, false),
                3 => (0o020_600, false),
                4 => (0o100_600, true),
                _ => (0o100_644, false),
            };
            return match self.make(dir, mode, nameless) {
                Err(Error::NoSpace) => Ok(()),
                made => made.map(|_| ()),
            };
        }
        if self.choices.below(2) == 0 && !self.nameless.is_empty() {
            let which = self.choices.below(self.nameless.len());
            return self.free(which);
        }
        match self.some_named() {
            Some(number) => self.unlink(number),
            None => Ok(()),
        }
    }

    /// Frees all that have no name.
    pub fn free_nameless(&mut self) {
        while !self.nameless.is_empty() {
            let which = self.choices.below(self.nameless.len());
            self.free(which).unwrap();
        }
    }

    /// Takes away all that was made.
    pub fn clear(&mut self) {
        while !self.named.is_empty() {
            let all: Vec<_> = self.named.keys().copied().collect();
            for number in all {
                self.unlink(number).unwrap();
            }
        }
        self.free_nameless();
        assert_eq!(self.in_use(), self.old);
    }

    /// That what is in use is what should be, and that the check of the whole finds nothing.
    pub fn compare(&self, what: &str) {
        assert_eq!(self.journal.shutdown(), None, "{what}");
        assert_eq!(self.journal.store().locked(), 0, "{what}");
        let mut expected = self.old.clone();
        expected.extend(self.named.keys());
        expected.extend(&self.nameless);
        assert_eq!(self.in_use(), expected, "{what}");
        if self.reserved {
            release(&self.journal);
        }
        self.journal.unmount().unwrap();
        let mut lines = Vec::new();
        check(self.journal.store(), &mut |finding| {
            lines.push(finding.to_string());
            Ok(())
        })
        .unwrap();
        assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
        if self.reserved {
            assert!(reserve(&self.journal).unwrap(), "{what}");
        }
    }

    /// Has the groups keep blocks for their trees.
    pub fn reserve(&mut self) {
        assert!(reserve(&self.journal).unwrap());
        self.reserved = true;
    }

    /// That `xfs_repair -n` has nothing to say, who does not want to see inodes without names.
    pub fn repair(&mut self, what: &str) {
        self.free_nameless();
        self.compare(what);
        self.image.check_changed(&self.disk.snapshot());
    }
}
