// SPDX-License-Identifier: GPL-2.0

//! Directories, the names in them, and symlinks.

use super::Walk;
use crate::libxfs::{
    dir,
    error::Result,
    format::{dir::FileType, inode::FileType as InodeType, units::InodeNumber},
    inode::Inode,
    store::Store,
    symlink,
};

/// An entry that a listing gave.
struct Entry {
    position: u64,
    inode: InodeNumber,
    ftype: FileType,
    name: Vec<u8>,
}

impl<S: Store> Walk<'_, S> {
    /// All entries of a directory, a few at a time.
    fn entries(&self, directory: &Inode) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut position = 0;
        // Each round takes two more entries than the last, so that listings stop and go on
        // everywhere.
        for round in 1.. {
            let mut room = 2 * round;
            let before = entries.len();
            dir::readdir(
                self.store,
                || Ok(directory),
                &mut position,
                1 << 15,
                |entry| {
                    if room == 0 {
                        return false;
                    }
                    room -= 1;
                    entries.push(Entry {
                        position: entry.position,
                        inode: entry.inode,
                        ftype: entry.ftype,
                        name: entry.name.to_vec(),
                    });
                    true
                },
            )?;
            if entries.len() == before {
                break;
            }
        }
        Ok(entries)
    }

    pub(super) fn directory(&mut self, directory: &Inode) {
        let number = directory.number;
        let place = || format!("directory {number}");
        self.add("directories", 1);
        let listed = self.entries(directory);
        let Some(entries) = self.keep(place, listed) else {
            return;
        };
        self.add("names", entries.len() as u64);
        let ascending = entries.windows(2).all(|w| w[0].position < w[1].position);
        self.agree(ascending, || {
            format!("{}: positions do not ascend", place())
        });
        for entry in entries {
            if self.stopped() {
                return;
            }
            let found = dir::lookup(self.store, directory, &entry.name);
            if let Some(found) = self.keep(place, found) {
                self.agree(
                    found.inode == entry.inode && found.ftype == entry.ftype,
                    || {
                        format!(
                            "{}: {:?} is looked up otherwise than listed",
                            place(),
                            entry.name
                        )
                    },
                );
            }
            if entry.name != b"." && entry.name != b".." {
                self.entry(directory, entry);
            }
        }
        let parent = dir::parent(self.store, directory);
        self.keep(place, parent);
        let missing = dir::lookup(self.store, directory, b"no such name");
        self.agree(
            missing == Err(crate::libxfs::error::Error::NotFound) || !self.whole(),
            || format!("{}: a name that nobody made: {missing:?}", place()),
        );
    }

    fn entry(&mut self, directory: &Inode, entry: Entry) {
        let (number, child) = (directory.number, entry.inode);
        let Some(seen) = self.inodes.get_mut(&child) else {
            self.agree(false, || {
                format!("directory {number}: inode {child} is not in use")
            });
            return;
        };
        seen.names += 1;
        let ftype = InodeType::from_mode(seen.mode).map_or(FileType::Unknown, FileType::from);
        let metadata = seen.metadata;
        if ftype == FileType::Directory {
            if let Some(own) = self.inodes.get_mut(&number) {
                own.subdirectories += 1;
            }
        }
        self.agree(ftype == entry.ftype, || {
            format!(
                "directory {number}: inode {child} is {ftype:?}, not {:?}",
                entry.ftype
            )
        });
        self.agree(metadata == directory.core.is_metadata(), || {
            format!("directory {number}: inode {child} belongs to the other tree")
        });
        self.entries.insert((number.0, entry.name, child.0));
    }

    pub(super) fn symlink(&mut self, inode: &Inode) {
        self.add("symlinks", 1);
        let target = symlink::read_target(self.store, inode);
        if let Some(target) = self.keep(|| format!("symlink {}", inode.number), target) {
            self.agree(target.len() as u64 == inode.core.size, || {
                format!("symlink {}: {} bytes", inode.number, target.len())
            });
        }
    }

    /// What only the whole of all names tells.
    pub(super) fn names(&mut self) {
        if !self.whole() {
            return;
        }
        let geo = self.store.geometry();
        // Without metadata directories, these files have no names.
        let nameless: Vec<InodeNumber> = [geo.rt_bitmap_inode, geo.rt_summary_inode]
            .into_iter()
            .chain(geo.quota_inodes)
            .flatten()
            .collect();
        let roots = [Some(geo.root_inode), geo.metadir_inode];
        let mut wrong = Vec::new();
        for (number, seen) in &self.inodes {
            if nameless.contains(number) {
                continue;
            }
            let root = roots.contains(&Some(*number));
            let directory = InodeType::from_mode(seen.mode) == Some(InodeType::Directory);
            let nlink = if directory {
                2 + seen.subdirectories
            } else {
                seen.names
            };
            if seen.nlink != nlink || directory && seen.names != u32::from(!root) {
                wrong.push(format!(
                    "inode {number}: {} links, but {} names and {} subdirectories",
                    seen.nlink, seen.names, seen.subdirectories
                ));
            }
            if geo.features.parent() && seen.parents != seen.names {
                wrong.push(format!(
                    "inode {number}: {} parent pointers for {} names",
                    seen.parents, seen.names
                ));
            }
        }
        for contradiction in wrong {
            self.agree(false, || contradiction);
        }
        if geo.features.parent() {
            let mirrored = self.entries == self.pointers;
            self.agree(mirrored, || {
                "names and parent pointers do not mirror each other".to_owned()
            });
        }
    }
}
