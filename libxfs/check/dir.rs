// SPDX-License-Identifier: GPL-2.0

//! Directories: every entry, and what it names.

use super::{
    dir_index::Listed,
    table::{link_digest, name_digest},
    Check, Finding, Place, Subject, Value,
};
use crate::libxfs::{
    da::NameFork,
    dir::Form,
    error::{Error, Result},
    format::{
        dahash::NameHash,
        dir::{
            data::{DataBlock, Entry, Record},
            name_is_valid,
            space::{DataPtr, DirBlock, DirGeometry},
            FileType,
        },
        fault::Fault,
        kind::Kind,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, Trust, WhichFork},
    store::Store,
};

/// A directory that is being read.
#[derive(Clone, Copy)]
struct Directory {
    number: InodeNumber,
    generation: u32,
    metadata: bool,
}

impl<S: Store> Check<'_, S> {
    /// Reads the names of all directories, and the attributes of all inodes.
    pub(super) fn names(&mut self) -> Result {
        for index in 0..self.inodes.len() {
            self.stop_if_interrupted()?;
            let Some(&seen) = self.inodes.at(index) else {
                break;
            };
            let mut inode = match Inode::read(self.store, seen.number, Trust::Trusted) {
                Ok(inode) => inode,
                // Read before, so it is no fault of its bytes.
                Err(error @ (Error::Io | Error::NoMemory | Error::Interrupted)) => {
                    return Err(error);
                }
                Err(_) => continue,
            };
            if seen.is_directory() {
                let loaded = self.load_again(&mut inode, WhichFork::Data)?;
                let read = loaded && self.directory(&inode)?;
                self.whole.names &= read;
            }
            let loaded = self.load_again(&mut inode, WhichFork::Attr)?;
            let read = loaded && self.attributes(&inode)?;
            self.whole.attrs &= read;
        }
        Ok(())
    }

    /// Reads a directory; false if that could not be done in full.
    fn directory(&mut self, inode: &Inode) -> Result<bool> {
        let place = Place::Inode(inode.number);
        let read = self.directory_in(inode);
        Ok(self.kept(Subject::Directory, place, read)?.is_some())
    }

    fn directory_in(&mut self, inode: &Inode) -> Result {
        let geo = self.store.geometry();
        let dir_geo = DirGeometry::new(geo);
        let directory = Directory {
            number: inode.number,
            generation: inode.core.generation,
            metadata: inode.core.is_metadata(),
        };
        let mut listed = Listed::default();
        match Form::of(geo, inode)? {
            Form::Short(short) => {
                self.dotdot(directory.number, short.parent());
                for entry in short.iter() {
                    let entry = entry.map_err(|fault| Error::inode(fault, inode.number))?;
                    let entry = Entry {
                        offset: entry.offset,
                        inode: entry.inode,
                        name: entry.name,
                        ftype: entry.ftype,
                    };
                    let at = dir_geo.pointer(DirBlock(0), entry.offset);
                    self.entry(directory, at, &entry, &mut listed)?;
                }
                self.unique(directory.number, &mut listed)
            }
            Form::Block(fork) => {
                // The block's own verifier holds its index to its entries.
                self.data_block(directory, &fork, DirBlock(0), Kind::DirBlock, &mut listed)?;
                self.dots(directory, &listed)?;
                self.unique(directory.number, &mut listed)
            }
            Form::Leaf(fork) => {
                self.data_blocks(directory, &fork, &mut listed)?;
                self.unique(directory.number, &mut listed)?;
                self.leaf_index(&fork, &listed)
            }
            Form::Node(fork) => {
                self.data_blocks(directory, &fork, &mut listed)?;
                self.unique(directory.number, &mut listed)?;
                self.node_index(&fork, &listed)
            }
        }
    }

    /// Reads all data blocks of a directory.
    fn data_blocks(
        &mut self,
        directory: Directory,
        fork: &NameFork<'_>,
        listed: &mut Listed,
    ) -> Result {
        let dir_geo = DirGeometry::new(self.store.geometry());
        let mut next = DirBlock(0);
        loop {
            self.stop_if_interrupted()?;
            let from = dir_geo.file_block(next);
            let mapping = fork.map().lookup(from);
            let block = mapping.and_then(|mapping| dir_geo.dir_block(mapping.offset.max(from)));
            let Some(block) = block else {
                break;
            };
            self.data_block(directory, fork, block, Kind::DirData, listed)?;
            next = DirBlock(block.0.saturating_add(1));
        }
        self.dots(directory, listed)
    }

    /// Reads a data block, and notes the longest unused stretch in it.
    fn data_block(
        &mut self,
        directory: Directory,
        fork: &NameFork<'_>,
        number: DirBlock,
        kind: Kind,
        listed: &mut Listed,
    ) -> Result {
        let dir_geo = DirGeometry::new(self.store.geometry());
        let held = fork.read(self.store, dir_geo.file_block(number), kind)?;
        let fault = |fault| held.fault(fault);
        let block = DataBlock::view(&held.block).map_err(fault)?;
        let header = &block.header.block;
        header
            .check_owner(directory.number, block.structure())
            .map_err(fault)?;
        let best = block.header.best_free.first();
        listed.push_best(number, best.map_or(0, |best| best.length.get()))?;
        for record in block.records() {
            let Record::Entry(entry) = record.map_err(fault)? else {
                continue;
            };
            let at = dir_geo.pointer(number, entry.offset);
            self.entry(directory, at, &entry, listed)?;
        }
        Ok(())
    }

    /// The first two entries of a directory that is not in its inode are `.` and `..`.
    fn dots(&mut self, directory: Directory, listed: &Listed) -> Result {
        let dir_geo = DirGeometry::new(self.store.geometry());
        for (dot, name) in [(dir_geo.dot(), &b"."[..]), (dir_geo.dotdot(), b"..")] {
            let there = listed
                .names
                .iter()
                .take(2)
                .any(|listed| listed.at == dot && listed.digest == name_digest(name));
            if !there {
                self.find(Finding::missing(
                    Subject::Directory,
                    entry_place(directory.number, dot),
                    "name",
                    Value::Present,
                ))?;
            }
        }
        Ok(())
    }

    fn dotdot(&mut self, directory: InodeNumber, parent: InodeNumber) {
        if let Some(seen) = self.inodes.get_mut(directory) {
            seen.dotdot = Some(parent);
        }
    }

    /// Notes an entry, and holds it to the inode that it names.
    fn entry(
        &mut self,
        directory: Directory,
        at: DataPtr,
        entry: &Entry<'_>,
        listed: &mut Listed,
    ) -> Result {
        let number = directory.number;
        let place = entry_place(number, at);
        listed.push(NameHash::of(entry.name), name_digest(entry.name), at)?;
        match entry.name {
            b"." => {
                self.equal(Subject::Directory, place, ".", number.0, entry.inode.0)?;
                return self.entry_type(place, FileType::Directory, entry.ftype);
            }
            b".." => {
                self.dotdot(number, entry.inode);
                return self.entry_type(place, FileType::Directory, entry.ftype);
            }
            name if !name_is_valid(name) => {
                let fault = Value::Fault(Fault::corrupt("dir3 data", "name"));
                self.find(Finding::extra(Subject::Directory, place, "name", fault))?;
            }
            _ => {}
        }
        let Some(seen) = self.inodes.get_mut(entry.inode) else {
            if !self.whole.inodes {
                return Ok(());
            }
            let value = Value::Number(entry.inode.0);
            return self.find(Finding::extra(Subject::Directory, place, "inumber", value));
        };
        seen.names = seen.names.saturating_add(1);
        let digest = link_digest(number, directory.generation, entry.name);
        seen.names_digest = seen.names_digest.wrapping_add(digest);
        seen.parent = Some(number);
        let child = *seen;
        if child.is_directory() {
            if let Some(own) = self.inodes.get_mut(number) {
                own.subdirectories = own.subdirectories.saturating_add(1);
            }
        }
        if child.metadata != directory.metadata {
            self.equal(
                Subject::Directory,
                place,
                "metadata",
                directory.metadata.into(),
                child.metadata.into(),
            )?;
        }
        self.entry_type(place, FileType::from(child.file_type), entry.ftype)
    }

    fn entry_type(&mut self, place: Place, expected: FileType, found: FileType) -> Result {
        // A whiteout is a character device for all but the one who asks for whiteouts.
        if found == FileType::Whiteout && expected == FileType::CharDevice {
            return Ok(());
        }
        self.equal(
            Subject::Directory,
            place,
            "ftype",
            expected.to_disk().into(),
            found.to_disk().into(),
        )
    }

    /// Puts the names in order of their hashes; none of them is there twice.
    fn unique(&mut self, directory: InodeNumber, listed: &mut Listed) -> Result {
        listed.sort();
        let mut last = None;
        for name in listed.names.iter() {
            let key = Some((name.hash, name.digest));
            if last == key {
                let hash = Value::Number(name.hash.0.into());
                self.find(Finding::extra(
                    Subject::Directory,
                    entry_place(directory, name.at),
                    "name",
                    hash,
                ))?;
            }
            last = key;
        }
        Ok(())
    }
}

fn entry_place(directory: InodeNumber, at: DataPtr) -> Place {
    Place::Entry {
        directory,
        position: at.0,
    }
}

/// A block of a directory's fork.
pub(super) fn fork_place(inode: InodeNumber, offset: FileBlock) -> Place {
    Place::Fork {
        inode,
        which: WhichFork::Data,
        offset,
    }
}
