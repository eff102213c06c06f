// SPDX-License-Identifier: GPL-2.0

//! Inodes, found through the inode trees, and what their forks map.

use super::{Seen, Walk};
use crate::libxfs::{
    attr::{self, Listing},
    bmap,
    error::Error,
    extents::{Mapping, Segment},
    format::{
        attr::Namespace,
        btree::InodeChunk,
        inode::FileType,
        units::{AgInode, AgNumber, FileBlock, InodeNumber},
    },
    inode::{Fork, Inode, Trust, WhichFork},
    parent,
    store::{Device, Store},
};

/// The longest value of an attribute, in bytes.
const MAX_VALUE: usize = 65_536;

impl<S: Store> Walk<'_, S> {
    /// Notes the inodes in use of a chunk.
    pub(super) fn chunk(&mut self, ag: AgNumber, chunk: &InodeChunk) {
        for index in 0..64 {
            let number = AgInode(chunk.start.0.saturating_add(index));
            let Some(number) = self.store.geometry().inode_number(ag, number) else {
                self.agree(false, || {
                    format!("group {ag}: inode {number} has no number")
                });
                continue;
            };
            if chunk.is_allocated(index) {
                let found = Inode::read(self.store, number, Trust::Trusted);
                if let Some(inode) = self.keep(|| format!("inode {number}"), found) {
                    self.note(&inode);
                }
            } else if chunk.is_present(index) {
                let found = Inode::read(self.store, number, Trust::Trusted);
                let free = matches!(found, Err(Error::NotFound));
                if let Err(error) = found {
                    if !free {
                        self.keep::<()>(|| format!("free inode {number}"), Err(error));
                    }
                } else {
                    self.agree(false, || format!("inode {number} is free, but has a type"));
                }
            }
        }
    }

    fn note(&mut self, inode: &Inode) {
        let core = &inode.core;
        self.add("inodes", 1);
        self.inodes.insert(
            inode.number,
            Seen {
                mode: core.mode,
                nlink: core.nlink,
                generation: core.generation,
                metadata: core.is_metadata(),
                names: 0,
                subdirectories: 0,
                parents: 0,
            },
        );
    }

    /// Looks into every inode that was noted.
    pub(super) fn all_inodes(&mut self) {
        let mut numbers: Vec<InodeNumber> = self.inodes.keys().copied().collect();
        numbers.sort();
        for number in numbers {
            if self.stopped() {
                return;
            }
            self.inode(number);
        }
        if self.whole() && self.store.geometry().features.rmapbt() {
            let (own, rmaps) = (self.inode_blocks, self.rmap_blocks);
            self.agree(own == rmaps, || {
                format!("inodes count {own} blocks, the rmap trees {rmaps} for them")
            });
        }
    }

    fn inode(&mut self, number: InodeNumber) {
        let place = || format!("inode {number}");
        let read = Inode::read(self.store, number, Trust::Untrusted);
        let Some(mut inode) = self.keep(place, read) else {
            return;
        };
        let mut counted = 0;
        let mut trees = false;
        let mut realtime = 0;
        for which in [WhichFork::Data, WhichFork::Attr] {
            let loaded = inode.load_extents(self.store, which);
            if self.keep(place, loaded).is_none() {
                return;
            }
            let Some(fork) = inode.fork(which) else {
                continue;
            };
            trees |= matches!(fork, Fork::Btree(_) | Fork::Meta(_));
            self.add(form(which, fork), 1);
            let blocks = self.mappings(&inode, which);
            counted += blocks;
            if inode.device(which) == Device::Realtime {
                realtime += blocks;
            }
        }
        let own = inode.core.nblocks;
        self.agree(counted == own || trees && counted < own, || {
            format!("inode {number}: {own} blocks, but {counted} are mapped")
        });
        self.inode_blocks += own.saturating_sub(realtime);
        self.attributes(&inode);
        self.shared(&inode);
        match inode.core.file_type() {
            Some(FileType::Directory) => self.directory(&inode),
            Some(FileType::Symlink) => self.symlink(&inode),
            _ => {}
        }
    }

    /// The blocks that a fork maps.
    fn mappings(&mut self, inode: &Inode, which: WhichFork) -> u64 {
        let number = inode.number;
        let Some(map) = inode.fork(which).and_then(Fork::extents) else {
            return 0;
        };
        let geo = self.store.geometry();
        let device = inode.device(which);
        let count = map.iter().count() as u64;
        let expected = match which {
            WhichFork::Data => inode.core.nextents,
            WhichFork::Attr => u64::from(inode.core.anextents),
        };
        self.agree(count == expected, || {
            format!("inode {number}: {expected} extents, but {count} in the {which:?} fork")
        });
        let mut blocks = 0;
        let mut last: Option<Mapping> = None;
        for mapping in map.iter() {
            blocks += mapping.len;
            let start = bmap::disk_addr(geo, device, mapping.start);
            let end = bmap::disk_addr(geo, device, mapping.start.forward(mapping.len - 1));
            self.agree(start.is_some() && end.is_some(), || {
                format!("inode {number}: {mapping:?} is not on the device")
            });
            self.agree(last.is_none_or(|last| last.end() <= mapping.offset), || {
                format!("inode {number}: {mapping:?} overlaps")
            });
            let asked = bmap::map_blocks(inode, which, mapping.offset, 1);
            self.agree(matches!(asked, Ok(Segment::Mapped(_))), || {
                format!("inode {number}: {mapping:?} is not found")
            });
            last = Some(mapping);
        }
        let past = bmap::map_blocks(inode, which, FileBlock(1 << 53), 1);
        self.agree(matches!(past, Ok(Segment::Hole { .. }) | Err(_)), || {
            format!("inode {number}: mapped past the end of all files")
        });
        self.add("extents", count);
        blocks
    }

    fn attributes(&mut self, inode: &Inode) {
        let number = inode.number;
        let place = || format!("inode {number} attributes");
        let how = Listing {
            buffer_size: 0,
            incomplete: false,
        };
        let mut found = Vec::new();
        let mut cursor = attr::Cursor::default();
        let listed = attr::list(self.store, inode, how, &mut cursor, |attr| {
            found.push((attr.flags.namespace(), attr.name.to_vec()));
            true
        });
        self.keep(place, listed);
        self.add("attributes", found.len() as u64);
        let mut value = vec![0; MAX_VALUE];
        for (space, name) in found {
            let Some(space) = space else {
                self.agree(false, || format!("{}: {name:?} in no namespace", place()));
                continue;
            };
            if space == Namespace::Parent || self.stopped() {
                continue;
            }
            let length = attr::get(self.store, inode, space, &name, &mut []);
            let got = attr::get(self.store, inode, space, &name, &mut value);
            self.agree(got == length, || {
                format!("{}: {name:?} in two lengths", place())
            });
            self.keep(place, got);
        }
        self.parent_pointers(inode);
    }

    fn parent_pointers(&mut self, inode: &Inode) {
        let number = inode.number;
        let mut found = Vec::new();
        let mut cursor = attr::Cursor::default();
        let listed = parent::list(self.store, inode, 0, &mut cursor, |parent| {
            found.push((parent.inode, parent.generation, parent.name.to_vec()));
            true
        });
        self.keep(|| format!("inode {number} parents"), listed);
        self.add("parent pointers", found.len() as u64);
        if let Some(seen) = self.inodes.get_mut(&number) {
            seen.parents = found.len() as u32;
        }
        for (directory, generation, name) in found {
            let known = self.inodes.get(&directory).map(|seen| seen.generation);
            self.agree(known == Some(generation), || {
                format!("inode {number}: parent {directory} of generation {generation}")
            });
            self.pointers.insert((directory.0, name, number.0));
        }
    }
}

/// The name under which a fork is counted.
fn form(which: WhichFork, fork: &Fork) -> &'static str {
    match (which, fork) {
        (WhichFork::Data, Fork::Local(_)) => "local data forks",
        (WhichFork::Data, Fork::Extents(_)) => "extent data forks",
        (WhichFork::Data, Fork::Btree(_)) => "btree data forks",
        (_, Fork::Dev(_)) => "special files",
        (_, Fork::Meta(_)) => "metadata trees",
        (WhichFork::Attr, Fork::Local(_)) => "local attr forks",
        (WhichFork::Attr, Fork::Extents(_)) => "extent attr forks",
        (WhichFork::Attr, Fork::Btree(_)) => "btree attr forks",
    }
}
