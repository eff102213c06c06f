// SPDX-License-Identifier: GPL-2.0

//! Finding a name in a directory.

use super::Form;
use crate::libxfs::{
    da::{Held, LoopGuard, NameFork, PastEnd},
    error::{Error, Result},
    format::{
        dahash::NameHash,
        dir::{
            data::{DataBlock, Entry},
            leaf::{matching, Leaf, LeafEntry, LeafKind},
            shortform::ShortForm,
            space::{DataPtr, DirBlock, DirGeometry},
            FileType,
        },
        fault::Fault,
        kind::Kind,
        units::InodeNumber,
    },
    inode::Inode,
    store::Store,
};

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The inode.
    pub inode: InodeNumber,
    /// Its type, as the entry remembers it.
    pub ftype: FileType,
}

impl Found {
    const fn directory(inode: InodeNumber) -> Self {
        Self {
            inode,
            ftype: FileType::Directory,
        }
    }

    fn entry(entry: &Entry<'_>) -> Self {
        Self {
            inode: entry.inode,
            ftype: entry.ftype,
        }
    }
}

/// Finds `name` in `dir`; `.` and `..` are names too.
///
/// The caller keeps the directory's data fork from changing.
///
/// # Errors
///
/// `NotFound`, `Corrupt`, `Unsupported` for what is no directory, and those of the store.
pub fn lookup<S: Store>(store: &S, dir: &Inode, name: &[u8]) -> Result<Found> {
    let geo = DirGeometry::new(store.geometry());
    let found = match Form::of(store.geometry(), dir)? {
        Form::Short(short) => in_short(dir, &short, name)?,
        Form::Block(fork) => Search::new(store, geo, fork, name).in_block()?,
        Form::Leaf(fork) => Search::new(store, geo, fork, name).in_leaf()?,
        Form::Node(fork) => Search::new(store, geo, fork, name).in_tree()?,
    };
    found.ok_or(Error::NotFound)
}

/// The directory that `dir` lies in: what `..` leads to.
///
/// # Errors
///
/// As [`lookup`]; a directory without `..` is `Corrupt`.
pub fn parent<S: Store>(store: &S, dir: &Inode) -> Result<InodeNumber> {
    match lookup(store, dir, b"..") {
        Ok(found) => Ok(found.inode),
        Err(Error::NotFound) => Err(Error::inode(Fault::corrupt("directory", ".."), dir.number)),
        Err(error) => Err(error),
    }
}

fn in_short(dir: &Inode, short: &ShortForm<'_>, name: &[u8]) -> Result<Option<Found>> {
    if name == b"." {
        return Ok(Some(Found::directory(dir.number)));
    }
    if name == b".." {
        return Ok(Some(Found::directory(short.parent())));
    }
    for entry in short.iter() {
        let entry = entry.map_err(|fault| Error::inode(fault, dir.number))?;
        if entry.name == name {
            return Ok(Some(Found {
                inode: entry.inode,
                ftype: entry.ftype,
            }));
        }
    }
    Ok(None)
}

/// Entries of the name's hash, copied out of an index so that it need not be held while data blocks
/// are read. Nearly always there is one, or none.
struct Candidates {
    pointers: [DataPtr; Self::MOST],
    count: usize,
    /// Entries of the hash to pass over to get to the next ones; `None` when there are no more.
    next: Option<usize>,
}

impl Candidates {
    const MOST: usize = 4;

    /// The entries of a hash but for the first `skip`.
    fn of(index: &[LeafEntry], hash: NameHash, skip: usize) -> Self {
        let mut entries = matching(index, hash).iter().enumerate().skip(skip);
        let mut pointers = [DataPtr::NULL; Self::MOST];
        let mut count = 0usize;
        for slot in &mut pointers {
            let Some(pointer) = entries.by_ref().find_map(|(_, entry)| entry.pointer()) else {
                break;
            };
            *slot = pointer;
            count = count.saturating_add(1);
        }
        Self {
            pointers,
            count,
            next: entries.next().map(|(place, _)| place),
        }
    }
}

/// A search for one name in a directory with blocks of its own.
struct Search<'a, S: Store> {
    store: &'a S,
    geo: DirGeometry,
    fork: NameFork<'a>,
    name: &'a [u8],
    hash: NameHash,
    /// The data block that was read last: names of one hash often share one.
    data: Option<(DirBlock, Held<S::Block>)>,
}

impl<'a, S: Store> Search<'a, S> {
    fn new(store: &'a S, geo: DirGeometry, fork: NameFork<'a>, name: &'a [u8]) -> Self {
        Self {
            store,
            geo,
            fork,
            name,
            hash: NameHash::of(name),
            data: None,
        }
    }

    fn in_block(&self) -> Result<Option<Found>> {
        let at = self.geo.file_block(DirBlock(0));
        let held = self.fork.read(self.store, at, Kind::DirBlock)?;
        let find = || -> core::result::Result<Option<Found>, Fault> {
            let (block, index) = DataBlock::view_block(&held.block)?;
            block
                .header
                .block
                .check_owner(self.fork.owner, block.structure())?;
            for pointer in matching(index, self.hash)
                .iter()
                .filter_map(LeafEntry::pointer)
            {
                let (_, offset) = self.geo.split(pointer);
                let entry = block.entry_at(offset)?;
                if entry.name == self.name {
                    return Ok(Some(Found::entry(&entry)));
                }
            }
            Ok(None)
        };
        find().map_err(|fault| held.fault(fault))
    }

    fn in_leaf(&mut self) -> Result<Option<Found>> {
        let mut skip = 0;
        loop {
            let held = self
                .fork
                .read(self.store, self.geo.leaf_start(), Kind::DirLeaf)?;
            let leaf = Leaf::view(&held.block, LeafKind::Single)
                .and_then(|leaf| {
                    leaf.header.info.check_owner(self.fork.owner, "dir3 leaf")?;
                    Ok(leaf)
                })
                .map_err(|fault| held.fault(fault))?;
            let candidates = Candidates::of(leaf.entries, self.hash, skip);
            drop(held);
            if let Some(found) = self.among(&candidates)? {
                return Ok(Some(found));
            }
            match candidates.next {
                Some(next) => skip = next,
                None => return Ok(None),
            }
        }
    }

    /// Names of one hash may fill the end of a leaf and go on in the next ones.
    fn in_tree(&mut self) -> Result<Option<Found>> {
        let Some((mut at, mut held)) =
            self.fork
                .find_leaf(self.store, self.hash, PastEnd::LastLeaf)?
        else {
            return Ok(None);
        };
        let mut guard = LoopGuard::new(at);
        let mut skip = 0;
        loop {
            let leaf = Leaf::view(&held.block, LeafKind::Many)
                .and_then(|leaf| {
                    if leaf.entries.is_empty() {
                        return Err(Fault::corrupt("dir3 leaf", "count"));
                    }
                    Ok(leaf)
                })
                .map_err(|fault| held.fault(fault))?;
            let candidates = Candidates::of(leaf.entries, self.hash, skip);
            let next = leaf
                .header
                .info
                .next()
                .filter(|_| leaf.last_hash() == self.hash);
            let circle = held.fault(Fault::corrupt("dir3 leaf", "forw"));
            drop(held);
            if let Some(found) = self.among(&candidates)? {
                return Ok(Some(found));
            }
            if let Some(next) = candidates.next {
                skip = next;
            } else {
                at = match next {
                    Some(next) => next,
                    None => return Ok(None),
                };
                if !guard.step(at) {
                    return Err(circle);
                }
                skip = 0;
            }
            if self.store.interrupted() {
                return Err(Error::Interrupted);
            }
            held = self.fork.read_tree_block(self.store, at)?;
        }
    }

    /// Compares the names that candidates lead to.
    fn among(&mut self, candidates: &Candidates) -> Result<Option<Found>> {
        for &pointer in candidates.pointers.iter().take(candidates.count) {
            if let Some(found) = self.at_pointer(pointer)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn at_pointer(&mut self, pointer: DataPtr) -> Result<Option<Found>> {
        let (block, offset) = self.geo.split(pointer);
        if !matches!(&self.data, Some((held, _)) if *held == block) {
            // At most one data block is held at a time.
            self.data = None;
            let at = self.geo.file_block(block);
            let held = self.fork.read(self.store, at, Kind::DirData)?;
            self.data = Some((block, held));
        }
        let Some((_, held)) = &self.data else {
            return Ok(None);
        };
        let compare = || -> core::result::Result<Option<Found>, Fault> {
            let data = DataBlock::view_data(&held.block)?;
            data.header
                .block
                .check_owner(self.fork.owner, data.structure())?;
            let entry = data.entry_at(offset)?;
            Ok((entry.name == self.name).then(|| Found::entry(&entry)))
        };
        compare().map_err(|fault| held.fault(fault))
    }
}
