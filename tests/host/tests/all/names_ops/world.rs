// SPDX-License-Identifier: GPL-2.0

//! A file system whose names change, and the model that changes with it.

use crate::names_ops::model::{Kind, Model, Node};
use std::{cell::Cell, collections::BTreeMap, sync::Arc};
use xfs_host::{
    fixture::{Image, Shape},
    image::{Disks, ImageStore, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        check, dir,
        error::{Error, Result},
        format::{
            inode::{flags::Flags, time::Timestamp},
            units::InodeNumber,
        },
        inode::{create::INHERITED, DeviceNumber, Inode, Trust, WhichFork},
        journal::{Claim, Journal},
        ops::{self, Files, NameOf, NewFile},
        store::Store,
        symlink,
        trans::{CounterDeltas, InodeFields, LogReservations, Trans},
    },
    random::Random,
};

/// A file system, and what there should be in it.
pub struct World {
    pub journal: SyncJournal,
    disk: Arc<ScratchDisk>,
    image: Image,
    reservations: LogReservations,
    model: Model,
    /// Inodes without a name that someone has open.
    forgotten: Vec<InodeNumber>,
    clock: Cell<i64>,
    hidden: u64,
}

impl World {
    pub fn new(shape: &'static Shape) -> Self {
        let image = Image::small(shape);
        let disk = Arc::new(ScratchDisk::new(image.disks().data));
        let journal = SyncJournal::open(Self::disks(&image, &disk)).unwrap();
        let reservations = LogReservations::new(journal.geometry()).unwrap();
        let mut world = Self {
            journal,
            disk,
            image,
            reservations,
            model: Model::default(),
            forgotten: Vec::new(),
            clock: Cell::new(1_000_000_000),
            hidden: 0,
        };
        // What mkfs.xfs put there stays as it is: the model begins with a folder of its own.
        let root = world.journal.geometry().root_inode;
        let (top, made) = ops::create(
            &world.files(),
            root,
            b"what the test makes",
            &world.file(Kind::Directory, b""),
        )
        .unwrap();
        drop(made);
        let node = Node {
            kind: Kind::Directory,
            links: 2,
            target: Vec::new(),
            entries: BTreeMap::new(),
            parent: top,
        };
        world.model.nodes.insert(top, node);
        world
    }

    fn disks(image: &Image, disk: &Arc<ScratchDisk>) -> Disks {
        Disks {
            data: disk.clone(),
            ..image.disks()
        }
    }

    /// The directory in which all lies.
    pub fn root(&self) -> InodeNumber {
        let top = self.model.nodes.iter().find(|(n, node)| node.parent == **n);
        *top.expect("it was made").0
    }

    fn files(&self) -> Files<'_, SyncJournal> {
        self.clock.set(self.clock.get() + 1);
        Files {
            journal: &self.journal,
            reservations: &self.reservations,
            now: Timestamp {
                sec: self.clock.get(),
                nsec: 5,
            },
            durable: false,
            keep_chunks: false,
        }
    }

    fn file<'t>(&self, kind: Kind, target: &'t [u8]) -> NewFile<'t> {
        NewFile {
            mode: kind.mode(),
            uid: 1000,
            gid: 100,
            device: DeviceNumber {
                major: 8,
                minor: 17,
            },
            target,
            attr_fork: false,
            inherited: INHERITED,
            generation: self.clock.get() as u32,
            turn: self.clock.get() as u32,
            counters: self.journal.counters(),
        }
    }

    /// Makes something.
    pub fn create(&mut self, dir: InodeNumber, name: &[u8], kind: Kind) -> Result<InodeNumber> {
        let length = match self.clock.get() % 3 {
            0 => 10,
            1 => 300,
            _ => 1000,
        };
        let target = if kind == Kind::Symlink {
            vec![b't'; length]
        } else {
            Vec::new()
        };
        let (number, _) = ops::create(&self.files(), dir, name, &self.file(kind, &target))?;
        let links = if kind == Kind::Directory { 2 } else { 1 };
        self.add_node(number, kind, links, target);
        self.model.enter(dir, name, number);
        Ok(number)
    }

    fn add_node(&mut self, number: InodeNumber, kind: Kind, links: u32, target: Vec<u8>) {
        let node = Node {
            kind,
            links,
            target,
            entries: BTreeMap::new(),
            parent: InodeNumber(0),
        };
        let old = self.model.nodes.insert(number, node);
        assert!(old.is_none(), "inode {number} was in use");
    }

    /// Gives an inode a project, which a directory hands to all that is made in it.
    pub fn set_project(&mut self, number: InodeNumber, project: u32) {
        let log = self.reservations.inode_change;
        let mut trans = Trans::start(&self.journal, log, Claim::default()).unwrap();
        let id = trans.hold_inode(number).unwrap();
        let core = &mut trans.change_inode(id, InodeFields::CORE).unwrap().core;
        core.projid = project;
        core.flags.0 |= Flags::PROJINHERIT;
        trans.commit().unwrap();
    }

    /// Makes a file without a name.
    pub fn create_nameless(&mut self, dir: InodeNumber, kind: Kind) -> Result<InodeNumber> {
        let (number, _) = ops::create_nameless(&self.files(), dir, &self.file(kind, b""))?;
        self.add_node(number, kind, 0, Vec::new());
        Ok(number)
    }

    pub fn link(&mut self, dir: InodeNumber, name: &[u8], number: InodeNumber) -> Result {
        ops::link(&self.files(), dir, name, number, None)?;
        self.model.node_mut(number).links += 1;
        self.model.enter(dir, name, number);
        Ok(())
    }

    pub fn remove(&mut self, dir: InodeNumber, name: &[u8]) -> Result {
        let number = self.model.lookup(dir, name).unwrap_or(dir);
        let (gone, _) = ops::remove(&self.files(), dir, name, number)?;
        self.model.leave(dir, name);
        self.model.unlink(number);
        self.forget(number, gone.neighbours.is_some());
        Ok(())
    }

    fn forget(&mut self, number: InodeNumber, gone: bool) {
        assert_eq!(self.model.node(number).links == 0, gone);
        if gone {
            self.forgotten.push(number);
        }
    }

    pub fn rename(
        &mut self,
        (from, old): (InodeNumber, &[u8]),
        (to, new): (InodeNumber, &[u8]),
        whiteout: bool,
    ) -> Result {
        let moved = self.model.lookup(from, old);
        let other = self.model.lookup(to, new);
        let white = if whiteout {
            Some(self.create_nameless(from, Kind::Device)?)
        } else {
            None
        };
        let name_of = |dir, name, inode| NameOf { dir, name, inode };
        let renamed = ops::rename(
            &self.files(),
            &name_of(from, old, moved),
            &name_of(to, new, other),
            white,
        );
        let gone = match renamed {
            Ok((gone, _)) => gone,
            Err(error) => {
                self.forgotten.extend(white);
                return Err(error);
            }
        };
        if let Some(other) = other {
            self.model.leave(to, new);
            self.model.unlink(other);
            self.forget(other, gone.neighbours.is_some());
        }
        let moved = self.model.leave(from, old);
        self.model.enter(to, new, moved);
        if let Some(white) = white {
            self.model.node_mut(white).links += 1;
            self.model.enter(from, old, white);
        }
        Ok(())
    }

    pub fn exchange(
        &mut self,
        (one_dir, one): (InodeNumber, &[u8]),
        (other_dir, other): (InodeNumber, &[u8]),
    ) -> Result {
        let name_of = |dir, name, inode| NameOf { dir, name, inode };
        let first = self.model.lookup(one_dir, one);
        let second = self.model.lookup(other_dir, other);
        ops::exchange_names(
            &self.files(),
            &name_of(one_dir, one, first),
            &name_of(other_dir, other, second),
        )?;
        let first = self.model.leave(one_dir, one);
        let second = self.model.leave(other_dir, other);
        self.model.enter(one_dir, one, second);
        self.model.enter(other_dir, other, first);
        Ok(())
    }

    /// Frees what has no name and is open.
    pub fn free_forgotten(&mut self) {
        for number in std::mem::take(&mut self.forgotten) {
            ops::inactivate(&self.files(), number, None).unwrap();
            self.model.nodes.remove(&number);
        }
    }

    /// One operation.
    pub fn step(&mut self, random: &mut Random) {
        let dirs = self.model.directories();
        let dir = dirs[random.below(dirs.len() as u32) as usize];
        let to = dirs[random.below(dirs.len() as u32) as usize];
        let number = random.below(100_000);
        let long = "l".repeat(random.below(200) as usize);
        let name = format!("{number}{long}").into_bytes();
        let there = |world: &Self, dir, random: &mut Random| {
            let entries = &world.model.node(dir).entries;
            let at = random.below(entries.len().max(1) as u32) as usize;
            entries.keys().nth(at).cloned()
        };
        match random.below(20) {
            0..=4 => drop(self.create(dir, &name, Kind::File).unwrap()),
            5 => drop(self.create(dir, &name, Kind::Directory).unwrap()),
            6 => drop(self.create(dir, &name, Kind::Symlink).unwrap()),
            7 if random.once_in(2) => drop(self.create(dir, &name, Kind::Fifo).unwrap()),
            7 => drop(self.create(dir, &name, Kind::Device).unwrap()),
            8 => {
                let number = self.create_nameless(dir, Kind::File).unwrap();
                if random.once_in(2) {
                    self.link(dir, &name, number).unwrap();
                } else {
                    self.forgotten.push(number);
                }
            }
            9..=10 => {
                if let Some(old) = there(self, dir, random) {
                    let number = self.model.lookup(dir, &old).unwrap();
                    let is_directory = self.model.node(number).kind == Kind::Directory;
                    let linked = self.link(to, &name, number);
                    assert_eq!(linked.is_err(), is_directory);
                }
            }
            11..=13 => {
                if let Some(old) = there(self, dir, random) {
                    let number = self.model.lookup(dir, &old).unwrap();
                    let full = !self.model.node(number).entries.is_empty();
                    let removed = self.remove(dir, &old);
                    assert_eq!(removed, if full { Err(Error::NotEmpty) } else { Ok(()) });
                }
            }
            14..=16 => {
                if let Some(old) = there(self, dir, random) {
                    let number = self.model.lookup(dir, &old).unwrap();
                    if !self.model.is_within(to, number) {
                        let whiteout = random.once_in(4);
                        self.rename((dir, &old), (to, &name), whiteout).unwrap();
                    }
                }
            }
            17 => self.rename_over(random, dir, to, there),
            18 => {
                if let (Some(one), Some(other)) =
                    (there(self, dir, random), there(self, to, random))
                {
                    let first = self.model.lookup(dir, &one).unwrap();
                    let second = self.model.lookup(to, &other).unwrap();
                    let circle =
                        self.model.is_within(to, first) || self.model.is_within(dir, second);
                    if first != second && !circle {
                        self.exchange((dir, &one), (to, &other)).unwrap();
                    }
                }
            }
            _ => {
                if self.forgotten.len() > 10 {
                    self.free_forgotten();
                }
            }
        }
        assert_eq!(self.journal.shutdown(), None);
    }

    fn rename_over(
        &mut self,
        random: &mut Random,
        dir: InodeNumber,
        to: InodeNumber,
        there: impl Fn(&Self, InodeNumber, &mut Random) -> Option<Vec<u8>>,
    ) {
        let (Some(old), Some(new)) = (there(self, dir, random), there(self, to, random)) else {
            return;
        };
        let moved = self.model.lookup(dir, &old).unwrap();
        let other = self.model.lookup(to, &new).unwrap();
        if self.model.is_within(to, moved) {
            return;
        }
        let is_directory = |number| self.model.node(number).kind == Kind::Directory;
        let expected = if moved == other || is_directory(moved) != is_directory(other) {
            Err(Error::Invalid)
        } else if !self.model.node(other).entries.is_empty() {
            Err(Error::NotEmpty)
        } else {
            Ok(())
        };
        assert_eq!(self.rename((dir, &old), (to, &new), false), expected);
    }

    fn inode(&self, number: InodeNumber) -> Inode {
        let mut inode = Inode::read(&self.journal, number, Trust::Untrusted).unwrap();
        inode.load_extents(&self.journal, WhichFork::Data).unwrap();
        inode
    }

    /// That the file system holds what the model does.
    pub fn compare(&self) {
        for (number, node) in &self.model.nodes {
            let inode = self.inode(*number);
            assert_eq!(inode.core.mode, node.kind.mode());
            assert_eq!(inode.core.nlink, node.links, "links of {number}");
            if node.kind == Kind::Symlink {
                let target = symlink::read_target(&self.journal, &inode).unwrap();
                assert_eq!(&target[..], &node.target[..]);
            }
            if node.kind != Kind::Directory || node.links == 0 {
                continue;
            }
            let mut entries = BTreeMap::new();
            let mut emit = |entry: &dir::DirEntry<'_>| {
                if entry.name != b"." && entry.name != b".." {
                    entries.insert(entry.name.to_vec(), entry.inode);
                }
                true
            };
            dir::readdir(&self.journal, || Ok(&inode), &mut 0, 0, &mut emit).unwrap();
            assert_eq!(entries, node.entries, "entries of {number}");
            if node.parent != *number {
                assert_eq!(dir::parent(&self.journal, &inode).unwrap(), node.parent);
            }
        }
    }

    /// Has no space be free.
    pub fn hide_free_space(&mut self) {
        self.hidden = self.journal.counters().free_blocks;
        let claim = Claim {
            blocks: self.hidden,
            ..Claim::default()
        };
        self.journal.claim(claim).unwrap();
    }

    pub fn show_free_space(&mut self) {
        self.journal.settle(&CounterDeltas {
            free_blocks: self.hidden as i64,
            ..CounterDeltas::default()
        });
    }

    /// That the file system is whole.
    pub fn check(&mut self) {
        self.free_forgotten();
        self.journal.unmount().unwrap();
        let store = ImageStore::open(Self::disks(&self.image, &self.disk)).unwrap();
        let mut found = Vec::new();
        check::check(&store, &mut |finding| {
            found.push(finding.to_string());
            Ok(())
        })
        .unwrap();
        assert!(found.is_empty(), "{found:#?}");
        self.image.check_changed(&self.disk.snapshot());
    }
}
