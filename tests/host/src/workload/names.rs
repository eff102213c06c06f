// SPDX-License-Identifier: GPL-2.0

//! Operations on names.

use super::{tree::Entry, Workload};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        inode::{flags::Flags, FileType},
        units::InodeNumber,
    },
    inode::{create::INHERITED, DeviceNumber, Inode, Trust},
    ops::{self, NameOf, NewAttributes, NewFile, NewFlags},
    store::Store,
};

/// Letters and digits, which names are made of.
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Workload<'_, '_> {
    fn text(&mut self, len: u32) -> Vec<u8> {
        (0..len)
            .map(|_| LETTERS[self.random.below(LETTERS.len() as u32) as usize])
            .collect()
    }

    /// A name: mostly a short one, which may be there.
    fn name(&mut self) -> Vec<u8> {
        let len = match self.random.below(8) {
            0 => 1,
            1..=5 => 2 + self.random.below(6),
            6 => 8 + self.random.below(40),
            _ => 1 + self.random.below(255),
        };
        self.text(len)
    }

    /// A directory, and a name in it.
    fn place(&mut self) -> (InodeNumber, Vec<u8>) {
        let dir = self.tree.any_directory(&mut self.random);
        (dir, self.name())
    }

    fn new_file<'n>(&mut self, file_type: FileType, target: &'n [u8]) -> NewFile<'n> {
        let (mode, permissions) = match file_type {
            FileType::Directory => (0o040_000, 0o700 | self.random.below(0o100)),
            FileType::Symlink => (0o120_000, 0o777),
            FileType::CharDevice => (0o020_000, 0o600),
            FileType::Fifo => (0o010_000, self.random.below(0o1000)),
            _ => (0o100_000, self.random.below(0o1000)),
        };
        NewFile {
            mode: mode | permissions as u16,
            uid: self.random.below(3) * 1000,
            gid: self.random.below(3) * 1000,
            device: DeviceNumber { major: 0, minor: 0 },
            target,
            attr_fork: self.random.once_in(4),
            inherited: INHERITED,
            generation: self.random.number() as u32,
            turn: self.turn,
            counters: self.journal.counters(),
        }
    }

    /// Makes something with a name; whether the name was free.
    fn make(&mut self, file_type: FileType, target: &[u8]) -> Result<bool> {
        let (dir, name) = self.place();
        let file = self.new_file(file_type, target);
        let made = self.files(|files| ops::create(files, dir, &name, &file));
        let (inode, sequence) = match made {
            Ok((inode, committed)) => (inode, committed.sequence),
            Err(Error::Exists) if self.tree.get(dir, &name).is_some() => return Ok(false),
            Err(error) => return Err(error),
        };
        self.last = sequence;
        self.tree.add(Entry {
            dir,
            name,
            inode,
            file_type,
        });
        let geo = self.journal.geometry();
        let has_realtime = geo.rt_blocks != 0 && !geo.features.zoned();
        if file_type == FileType::Regular && has_realtime && self.random.once_in(2) {
            self.make_realtime(inode)?;
        }
        Ok(true)
    }

    /// Has a file without content lie on the realtime device.
    fn make_realtime(&mut self, number: InodeNumber) -> Result {
        let core = Inode::read(self.journal, number, Trust::Trusted)?.core;
        let new = NewAttributes {
            flags: Some(NewFlags {
                flags: Flags(core.flags.0 | Flags::REALTIME),
                flags2: core.flags2,
                extsize: core.extsize,
                cowextsize: core.cowextsize,
            }),
            ..NewAttributes::default()
        };
        let done = self.files(|files| ops::setattr(files, number, &new))?;
        self.last = done.sequence;
        Ok(())
    }

    pub(super) fn create(&mut self) -> Result<bool> {
        let file_type = match self.random.below(8) {
            0 => FileType::Fifo,
            1 => FileType::CharDevice,
            _ => FileType::Regular,
        };
        self.make(file_type, &[])
    }

    pub(super) fn mkdir(&mut self) -> Result<bool> {
        self.turn = self.turn.wrapping_add(1);
        self.make(FileType::Directory, &[])
    }

    pub(super) fn symlink(&mut self) -> Result<bool> {
        let len = match self.random.below(4) {
            0 => 1 + self.random.below(1023),
            _ => 1 + self.random.below(80),
        };
        let target = self.text(len);
        self.make(FileType::Symlink, &target)
    }

    pub(super) fn link(&mut self) -> Result<bool> {
        let (dir, name) = self.place();
        let there = self.tree.any(&mut self.random, false);
        let Some(Entry {
            inode, file_type, ..
        }) = there
        else {
            return Ok(false);
        };
        match self.files(|files| ops::link(files, dir, &name, inode, None)) {
            Ok(committed) => self.last = committed.sequence,
            Err(Error::Exists) if self.tree.get(dir, &name).is_some() => return Ok(false),
            Err(error) => return Err(error),
        }
        self.tree.add(Entry {
            dir,
            name,
            inode,
            file_type,
        });
        Ok(true)
    }

    /// Takes a name away.
    fn remove(&mut self, entry: &Entry) -> Result {
        let Entry { dir, name, .. } = entry;
        let removed = self.files(|files| ops::remove(files, *dir, name, entry.inode));
        let (unlinked, committed) = removed?;
        self.last = committed.sequence;
        drop(committed);
        if unlinked.neighbours.is_some() {
            self.nameless.push(entry.inode);
        }
        self.tree.remove(entry);
        Ok(())
    }

    pub(super) fn unlink(&mut self) -> Result<bool> {
        match self.tree.any(&mut self.random, false) {
            Some(entry) => self.remove(&entry).map(|()| true),
            None => Ok(false),
        }
    }

    pub(super) fn rmdir(&mut self) -> Result<bool> {
        let Some(entry) = self.tree.any(&mut self.random, true) else {
            return Ok(false);
        };
        match self.remove(&entry) {
            Err(Error::NotEmpty) if !self.tree.is_empty(entry.inode) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => {
                self.tree.forget(entry.inode);
                Ok(true)
            }
        }
    }

    /// Makes an inode without a name.
    fn make_nameless(&mut self, file_type: FileType) -> Result<InodeNumber> {
        let dir = self.tree.any_directory(&mut self.random);
        let file = self.new_file(file_type, &[]);
        let (inode, committed) = self.files(|files| ops::create_nameless(files, dir, &file))?;
        self.last = committed.sequence;
        Ok(inode)
    }

    pub(super) fn tmpfile(&mut self) -> Result<bool> {
        let inode = self.make_nameless(FileType::Regular)?;
        let (dir, name) = self.place();
        if self.random.once_in(2) || self.tree.get(dir, &name).is_some() {
            self.nameless.push(inode);
            return Ok(true);
        }
        match self.files(|files| ops::link(files, dir, &name, inode, None)) {
            Ok(committed) => self.last = committed.sequence,
            Err(error) => {
                self.nameless.push(inode);
                return Err(error);
            }
        }
        self.tree.add(Entry {
            dir,
            name,
            inode,
            file_type: FileType::Regular,
        });
        Ok(true)
    }

    pub(super) fn rename(&mut self) -> Result<bool> {
        let directory = self.random.once_in(3);
        let Some(from) = self.tree.any(&mut self.random, directory) else {
            return Ok(false);
        };
        let (dir, name) = match self.random.below(3) {
            // Over another one, or each for the other.
            0 => {
                let directory = self.random.once_in(3);
                match self.tree.any(&mut self.random, directory) {
                    Some(entry) => (entry.dir, entry.name),
                    None => return Ok(false),
                }
            }
            _ => self.place(),
        };
        let to = self.tree.get(dir, &name);
        // These are for the VFS to refuse.
        let moves_below = |entry: &Entry, dir| {
            entry.file_type == FileType::Directory && self.tree.is_below(dir, entry.inode)
        };
        if to.as_ref().is_some_and(|to| to.inode == from.inode) || moves_below(&from, dir) {
            return Ok(false);
        }
        if let Some(to) = to.as_ref().filter(|_| self.random.clone().once_in(2)) {
            self.random.number();
            if moves_below(to, from.dir) {
                return Ok(false);
            }
            return self.exchange(&from, to);
        }
        self.random.number();
        self.rename_to(&from, (dir, name), to)
    }

    fn exchange(&mut self, one: &Entry, other: &Entry) -> Result<bool> {
        let (first, second) = (name_of(one), name_of(other));
        let done = self.files(|files| ops::exchange_names(files, &first, &second));
        self.last = done?.sequence;
        self.tree.remove(one);
        self.tree.remove(other);
        for (place, target) in [(one, other), (other, one)] {
            self.tree.add(Entry {
                dir: place.dir,
                name: place.name.clone(),
                ..target.clone()
            });
        }
        Ok(true)
    }

    fn rename_to(
        &mut self,
        from: &Entry,
        (dir, name): (InodeNumber, Vec<u8>),
        to: Option<Entry>,
    ) -> Result<bool> {
        let is_directory = |entry: &Entry| entry.file_type == FileType::Directory;
        if to
            .as_ref()
            .is_some_and(|to| is_directory(to) != is_directory(from))
        {
            return Ok(false);
        }
        let whiteout = match self.random.once_in(6) {
            true => Some(self.make_nameless(FileType::CharDevice)?),
            false => None,
        };
        let target = NameOf {
            dir,
            name: &name,
            inode: to.as_ref().map(|to| to.inode),
        };
        let done = self.files(|files| ops::rename(files, &name_of(from), &target, whiteout));
        let (gone, committed) = match done {
            Ok(done) => done,
            Err(error) => {
                self.nameless.extend(whiteout);
                let full = to.is_some_and(|to| is_directory(&to) && !self.tree.is_empty(to.inode));
                return match error {
                    Error::NotEmpty if full => Ok(false),
                    error => Err(error),
                };
            }
        };
        self.last = committed.sequence;
        drop(committed);
        if let Some(to) = &to {
            self.tree.remove(to);
            if is_directory(to) {
                self.tree.forget(to.inode);
            }
            if gone.neighbours.is_some() {
                self.nameless.push(to.inode);
            }
        }
        self.tree.remove(from);
        self.tree.add(Entry {
            dir,
            name,
            ..from.clone()
        });
        if let Some(inode) = whiteout {
            self.tree.add(Entry {
                inode,
                file_type: FileType::CharDevice,
                ..from.clone()
            });
        }
        Ok(true)
    }
}

fn name_of(entry: &Entry) -> NameOf<'_> {
    NameOf {
        dir: entry.dir,
        name: &entry.name,
        inode: Some(entry.inode),
    }
}
