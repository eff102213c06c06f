// SPDX-License-Identifier: GPL-2.0

//! Changing a directory: adding, removing and replacing an entry, in all four forms.
//!
//! A directory grows through its forms when an entry does not fit, and shrinks through them when
//! what is left would fit the smaller one. Link counts, times and the inodes that entries name are
//! the caller's.

mod block;
mod data;
mod free;
mod index;
mod leaf;
mod node;
mod room;
mod short;

pub use self::room::has_room;

use super::Form;
use crate::libxfs::{
    da::{ForkSpace, NamesMut},
    error::{Error, Result},
    format::{
        dahash::NameHash,
        dir::{
            data::DataHeader, entry_size, inode_is_valid, name_is_valid, space::DirBlock,
            space::DirGeometry, FileType,
        },
        units::{FileBlock, InodeNumber},
    },
    journal::Journal,
    trans::{BlockId, InodeId, Trans},
};

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEntry<'n> {
    /// Its name: 1 to 255 bytes.
    pub name: &'n [u8],
    /// The inode that it names.
    pub inode: InodeNumber,
    /// That inode's type.
    pub ftype: FileType,
}

impl NewEntry<'_> {
    /// Bytes that it takes in a data block.
    fn size(&self) -> u32 {
        // A name is no longer than fits.
        entry_size(self.name.len() as u8)
    }

    fn hash(&self) -> NameHash {
        NameHash::of(self.name)
    }
}

/// A directory in a transaction.
struct DirMut<'t, 'a, J: Journal, S> {
    names: NamesMut<'t, 'a, J, S>,
    geo: DirGeometry,
}

/// The form that a directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Short,
    Block,
    Leaf,
    Node,
}

/// An entry that was found.
#[derive(Clone, Copy, Debug)]
struct Located {
    /// Its place in the index.
    slot: usize,
    /// The data block that it lies in.
    data: BlockId,
    /// The number of that block.
    number: DirBlock,
    /// Offset in it, in bytes.
    offset: u32,
    /// Bytes of its name.
    name_len: usize,
    /// What it names.
    inode: InodeNumber,
}

/// Makes an inode that the transaction holds an empty directory below `parent`.
///
/// # Errors
///
/// `Invalid` for an inode whose data fork has blocks; `NoMemory`.
pub fn init<J: Journal>(trans: &mut Trans<'_, J>, dir: InodeId, parent: InodeNumber) -> Result {
    short::init(trans, dir, parent)
}

/// Moves the entries of a short directory out of the inode, to a block of their own: something else
/// takes the room that they have there.
///
/// # Errors
///
/// `Invalid` for what is no short directory; as [`add`].
pub fn leave_inode<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    dir: InodeId,
) -> Result {
    let mut dir = DirMut::new(trans, space, dir)?;
    match dir.shape()? {
        Shape::Short => dir.short_to_block(),
        Shape::Block | Shape::Leaf | Shape::Node => Err(Error::Invalid),
    }
}

/// Adds an entry to directory `dir`, which the transaction holds, with its mappings loaded.
///
/// Takes at most [`da_enter`] of the blocks that the transaction claimed, or none if there
/// [is room](has_room).
///
/// # Errors
///
/// `Exists`; `Invalid` for a name or an inode that no entry may have; `NoSpace` where the directory
/// can grow no more or too little was claimed; `Corrupt`, and those of the store.
///
/// [`da_enter`]: crate::libxfs::trans
pub fn add<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    dir: InodeId,
    entry: &NewEntry<'_>,
) -> Result {
    let mut dir = DirMut::new(trans, space, dir)?;
    dir.check(entry)?;
    // Where it has no room, the directory takes its next shape.
    loop {
        let added = match dir.shape()? {
            Shape::Short => dir.add_to_short(entry)?,
            Shape::Block => dir.add_to_block(entry)?,
            Shape::Leaf => dir.add_to_leaf(entry)?,
            Shape::Node => return dir.add_to_node(entry),
        };
        if added {
            return Ok(());
        }
    }
}

/// Removes the entry `name`, and returns the inode that it named. `.` and `..` stay.
///
/// Frees blocks where it can; where unmapping them would need a block, and none was claimed, an
/// empty one stays for later.
///
/// # Errors
///
/// `NotFound`; `Invalid` for `.` and `..`; `Corrupt`, and those of the store.
pub fn remove<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    dir: InodeId,
    name: &[u8],
) -> Result<InodeNumber> {
    if name == b"." || name == b".." {
        return Err(Error::Invalid);
    }
    let mut dir = DirMut::new(trans, space, dir)?;
    match dir.shape()? {
        Shape::Short => dir.remove_from_short(name),
        Shape::Block => dir.remove_from_block(name),
        Shape::Leaf => dir.remove_from_leaf(name),
        Shape::Node => dir.remove_from_node(name),
    }
}

/// Has an entry that there is name another inode, and returns the one that it named. `..` is an
/// entry too.
///
/// Takes blocks only where a directory in the inode outgrows it, as a number of more than 32 bits
/// can make it: at most [`da_enter`](crate::libxfs::trans).
///
/// # Errors
///
/// `NotFound`; `Invalid` for `.`, or an inode that no entry may name; `NoSpace`, `Corrupt`, and
/// those of the store.
pub fn replace<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    dir: InodeId,
    entry: &NewEntry<'_>,
) -> Result<InodeNumber> {
    let mut dir = DirMut::new(trans, space, dir)?;
    if entry.name == b"." || !inode_is_valid(dir.names.geometry(), entry.inode) {
        return Err(Error::Invalid);
    }
    if dir.shape()? == Shape::Short {
        return dir.replace_in_short(entry);
    }
    let found = dir.locate(entry.name)?.ok_or(Error::NotFound)?;
    dir.put_target(&found, entry)?;
    Ok(found.inode)
}

impl<'t, 'a, J: Journal, S: ForkSpace<J>> DirMut<'t, 'a, J, S> {
    fn new(trans: &'t mut Trans<'a, J>, space: &'t mut S, dir: InodeId) -> Result<Self> {
        Ok(Self {
            geo: DirGeometry::new(trans.geometry()),
            names: NamesMut::directory(trans, space, dir)?,
        })
    }

    fn check(&self, entry: &NewEntry<'_>) -> Result {
        let dots = entry.name == b"." || entry.name == b"..";
        let good = name_is_valid(entry.name)
            && !dots
            && inode_is_valid(self.names.geometry(), entry.inode);
        good.then_some(()).ok_or(Error::Invalid)
    }

    fn shape(&self) -> Result<Shape> {
        Ok(
            match Form::of(self.names.geometry(), self.names.inode()?)? {
                Form::Short(_) => Shape::Short,
                Form::Block(_) => Shape::Block,
                Form::Leaf(_) => Shape::Leaf,
                Form::Node(_) => Shape::Node,
            },
        )
    }

    /// Finds an entry of a directory that has blocks.
    fn locate(&mut self, name: &[u8]) -> Result<Option<Located>> {
        match self.shape()? {
            Shape::Short => Err(Error::Invalid),
            Shape::Block => {
                let index = self.block_index()?;
                self.find(&index, name)
            }
            Shape::Leaf => {
                let index = self.leaf_index()?;
                self.find(&index, name)
            }
            Shape::Node => Ok(self.find_in_tree(name)?.map(|(_, _, found)| found)),
        }
    }

    /// Bytes of a directory block.
    fn block_size(&self) -> u32 {
        self.geo.block_size()
    }

    /// Bytes that entries can have in a data block that holds no index.
    fn data_room(&self) -> u32 {
        self.block_size()
            .saturating_sub(size_of::<DataHeader>() as u32)
    }

    /// The last data block that is mapped.
    fn last_data_block(&self) -> Result<DirBlock> {
        let before = FileBlock(self.geo.leaf_start().0.saturating_sub(1));
        let fork = self.names.fork()?;
        fork.map()
            .lookup_back(before)
            .and_then(|mapping| {
                self.geo
                    .dir_block(FileBlock(mapping.end().0.checked_sub(1)?))
            })
            .ok_or(Error::Invalid)
    }

    /// Notes how far the data blocks reach.
    fn update_size(&mut self) -> Result {
        let end = u64::from(self.last_data_block()?.0).saturating_add(1);
        let size = end.saturating_mul(self.block_size().into());
        if self.names.inode()?.core.size != size {
            self.names.change_inode()?.core.size = size;
        }
        Ok(())
    }

    /// The number that a new data block gets.
    fn free_number(&self) -> Result<DirBlock> {
        let hole = self.names.hole(FileBlock(0), self.geo.leaf_start())?;
        self.geo.dir_block(hole).ok_or(Error::NoSpace)
    }
}
