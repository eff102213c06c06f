// SPDX-License-Identifier: GPL-2.0

//! The names of a file system, as they should be.

use crate::{
    libxfs::{
        dir,
        error::{Error, Result},
        format::{inode::FileType, units::InodeNumber},
        inode::{Inode, Trust, WhichFork},
        store::Store,
    },
    random::Random,
};
use std::collections::BTreeMap;

/// A name, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub dir: InodeNumber,
    pub name: Vec<u8>,
    pub inode: InodeNumber,
    pub file_type: FileType,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Directory {
    parent: InodeNumber,
    entries: BTreeMap<Vec<u8>, (InodeNumber, FileType)>,
}

/// All names, by directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: InodeNumber,
    directories: BTreeMap<InodeNumber, Directory>,
    /// Names that lead to no directory, and such that do: how many.
    counts: (usize, usize),
}

impl Directory {
    fn new(parent: InodeNumber) -> Self {
        Self {
            parent,
            entries: BTreeMap::new(),
        }
    }
}

impl Tree {
    /// The names that there are.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn read<S: Store>(store: &S) -> Result<Self> {
        let root = store.geometry().root_inode;
        let mut tree = Self {
            root,
            directories: BTreeMap::from([(root, Directory::new(root))]),
            counts: (0, 0),
        };
        let mut left = vec![root];
        while let Some(number) = left.pop() {
            let mut directory = Inode::read(store, number, Trust::Trusted)?;
            directory.load_extents(store, WhichFork::Data)?;
            let mut names = Vec::new();
            let ready = || Ok(&directory);
            dir::readdir(store, ready, &mut 0, 1 << 15, |entry| {
                if entry.name != b"." && entry.name != b".." {
                    names.push((entry.name.to_vec(), entry.inode));
                }
                true
            })?;
            for (name, inode) in names {
                let core = Inode::read(store, inode, Trust::Trusted)?.core;
                let file_type = core.file_type().ok_or(Error::Invalid)?;
                if file_type == FileType::Directory {
                    left.push(inode);
                }
                tree.add(Entry {
                    dir: number,
                    name,
                    inode,
                    file_type,
                });
            }
        }
        Ok(tree)
    }

    fn count(&mut self, file_type: FileType) -> &mut usize {
        match file_type {
            FileType::Directory => &mut self.counts.1,
            _ => &mut self.counts.0,
        }
    }

    /// Adds a name; a directory's is in no other one.
    pub fn add(&mut self, entry: Entry) {
        *self.count(entry.file_type) += 1;
        if entry.file_type == FileType::Directory {
            let dir = Directory::new(entry.dir);
            self.directories.entry(entry.inode).or_insert(dir).parent = entry.dir;
        }
        let dir = self.directories.get_mut(&entry.dir).expect("it is there");
        let target = (entry.inode, entry.file_type);
        assert!(dir.entries.insert(entry.name, target).is_none());
    }

    /// Takes a name away; a directory that it leads to stays, as it may get another one.
    pub fn remove(&mut self, entry: &Entry) {
        *self.count(entry.file_type) -= 1;
        let dir = self.directories.get_mut(&entry.dir).expect("it is there");
        assert!(dir.entries.remove(&entry.name).is_some());
    }

    /// Forgets a directory that is no more.
    pub fn forget(&mut self, number: InodeNumber) {
        let gone = self.directories.remove(&number).expect("it is there");
        assert!(gone.entries.is_empty());
    }

    /// What a name leads to.
    pub fn get(&self, dir: InodeNumber, name: &[u8]) -> Option<Entry> {
        let (inode, file_type) = *self.directories[&dir].entries.get(name)?;
        Some(Entry {
            dir,
            name: name.to_vec(),
            inode,
            file_type,
        })
    }

    /// All names.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.directories.iter().flat_map(|(&dir, directory)| {
            let names = directory.entries.iter();
            names.map(move |(name, &(inode, file_type))| Entry {
                dir,
                name: name.clone(),
                inode,
                file_type,
            })
        })
    }

    /// Whether a directory has no names.
    pub fn is_empty(&self, dir: InodeNumber) -> bool {
        self.directories[&dir].entries.is_empty()
    }

    /// Whether `dir` is `other`, or lies below it.
    pub fn is_below(&self, mut dir: InodeNumber, other: InodeNumber) -> bool {
        loop {
            if dir == other {
                return true;
            }
            if dir == self.root {
                return false;
            }
            dir = self.directories[&dir].parent;
        }
    }

    /// All inodes that names lead to, with their types; those with several names as often.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeNumber, FileType)> + '_ {
        let all = self.directories.values();
        all.flat_map(|directory| directory.entries.values().copied())
    }

    /// Any directory.
    pub fn any_directory(&self, random: &mut Random) -> InodeNumber {
        let index = random.below(self.directories.len() as u32);
        *self
            .directories
            .keys()
            .nth(index as usize)
            .expect("one of them")
    }

    /// Any name that leads to a directory, or that does not; none if there is none.
    pub fn any(&self, random: &mut Random, directory: bool) -> Option<Entry> {
        let count = if directory {
            self.counts.1
        } else {
            self.counts.0
        };
        if count == 0 {
            return None;
        }
        let mut left = random.below(count as u32) as usize;
        for (dir, directory_of) in &self.directories {
            for (name, &(inode, file_type)) in &directory_of.entries {
                if (file_type == FileType::Directory) != directory {
                    continue;
                }
                if left == 0 {
                    return Some(Entry {
                        dir: *dir,
                        name: name.clone(),
                        inode,
                        file_type,
                    });
                }
                left -= 1;
            }
        }
        None
    }
}
