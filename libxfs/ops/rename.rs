// SPDX-License-Identifier: GPL-2.0

//! Renaming: to a free name, over another one, with a whiteout left behind, and exchanging two names.

use super::{
    add_link, check_links,
    create::check_project,
    is_directory,
    parents::{follow, Change, Entry},
    remove::{drop_last, drop_link, orphan, Unlinked},
    Files,
};
use crate::libxfs::{
    bmap::MapSpace,
    defer::Chain,
    dir::change::{self, NewEntry},
    error::{Error, Result},
    format::{dir::FileType, units::InodeNumber},
    inode::unlinked,
    journal::Journal,
    space::Groups,
    trans::{self, Committed, InodeId, Trans},
};

/// A name, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub struct NameOf<'n> {
    /// The directory.
    pub dir: InodeNumber,
    /// The name in it.
    pub name: &'n [u8],
    /// The inode; none if the name is free.
    pub inode: Option<InodeNumber>,
}

/// One side of a rename, in a transaction.
#[derive(Clone, Copy)]
struct Side<'n> {
    dir: InodeId,
    name: &'n [u8],
    inode: Option<InodeId>,
}

impl<'n> Side<'n> {
    fn entry(&self) -> Entry<'n> {
        Entry {
            dir: self.dir,
            name: self.name,
        }
    }
}

/// The entry that names an inode.
fn entry_of<'n, J: Journal>(
    trans: &Trans<'_, J>,
    id: InodeId,
    name: &'n [u8],
) -> Result<NewEntry<'n>> {
    let inode = trans.inode(id)?;
    Ok(NewEntry {
        name,
        inode: inode.number,
        ftype: inode.core.file_type().ok_or(Error::Invalid)?.into(),
    })
}

/// Has a directory lie in another one.
fn move_into<J: Journal>(
    trans: &mut Trans<'_, J>,
    space: &mut MapSpace<'_, '_, J>,
    id: InodeId,
    dir: InodeId,
) -> Result {
    let entry = NewEntry {
        name: b"..",
        inode: trans.inode(dir)?.number,
        ftype: FileType::Directory,
    };
    change::replace(trans, space, id, &entry)?;
    Ok(())
}

/// Starts a rename, and locks all that it is about: the two directories, the inode, what is in the
/// way, and the whiteout. Names are checked.
fn begin<'f, 'n, J: Journal>(
    files: &Files<'f, J>,
    (from, to): (&NameOf<'n>, &NameOf<'n>),
    whiteout: Option<InodeNumber>,
) -> Result<(Chain<'f, J>, Side<'n>, Side<'n>, Option<InodeId>)> {
    let geo = files.geometry();
    let moved = from.inode.ok_or(Error::Invalid)?;
    let space = trans::space::rename(
        geo,
        from.name.len() as u64,
        to.name.len() as u64,
        to.inode.is_some(),
        whiteout.is_some(),
    );
    let log = files.reservations.rename;
    // With parent pointers the attributes may have to grow.
    let mut chain = if geo.features.parent() {
        files.start(log, space)?
    } else {
        files.start_anyway(log, space)?
    };
    let (trans, _) = chain.parts();
    let numbers = [
        from.dir,
        to.dir,
        moved,
        to.inode.unwrap_or(moved),
        whiteout.unwrap_or(moved),
    ];
    let [from_dir, to_dir, id, other, white] = files.hold(trans, numbers)?;
    files.check_directory(trans, from_dir, from.name)?;
    files.check_directory(trans, to_dir, to.name)?;
    if files.find(trans, from_dir, from.name)? != Some(moved)
        || files.find(trans, to_dir, to.name)? != to.inode
    {
        return Err(Error::NotFound);
    }
    let from = Side {
        dir: from_dir,
        name: from.name,
        inode: Some(id),
    };
    let to = Side {
        dir: to_dir,
        name: to.name,
        inode: to.inode.map(|_| other),
    };
    Ok((chain, from, to, whiteout.map(|_| white)))
}

/// Gives what `from` names the name `to`, in the place of what that leads to, if it does. With a
/// `whiteout`, which was made [without a name](super::create_nameless), the old name leads to that
/// from then on, else to nothing. Returns what became of the inode that was in the way, and all inodes,
/// locked.
///
/// That a directory does not go below itself is for the caller to see to.
///
/// # Errors
///
/// `NotFound` where a name does not lead where it should; `NotEmpty` for a directory in the way that
/// is not; `TooManyLinks`, `NoSpace`; `CrossDevice` as of [`link`](super::link()); `Invalid` for names
/// that cannot be renamed, or a directory where something else is in the way, and the reverse; those
/// of the store and of corruption. Nothing has changed then, or the file system is shut down.
pub fn rename<J: Journal>(
    files: &Files<'_, J>,
    from: &NameOf<'_>,
    to: &NameOf<'_>,
    whiteout: Option<InodeNumber>,
) -> Result<(Unlinked, Committed<J::Inode>)> {
    let (mut chain, from, to, white) = begin(files, (from, to), whiteout)?;
    let (trans, deferred) = chain.parts();
    let id = from.inode.ok_or(Error::Invalid)?;
    let moves_directory = is_directory(trans.inode(id)?);
    let new_dir = from.dir != to.dir;
    check_project(&trans.inode(to.dir)?.core, &trans.inode(id)?.core)?;
    let entry = entry_of(trans, id, to.name)?;
    match to.inode {
        Some(other) if other == id => return Err(Error::Invalid),
        Some(other) => {
            if is_directory(trans.inode(other)?) != moves_directory {
                return Err(Error::Invalid);
            }
            if moves_directory {
                files.check_empty(trans, other)?;
            }
        }
        None => {
            if moves_directory && new_dir {
                check_links(trans, to.dir)?;
            }
            if trans.claimed().blocks == 0
                && !change::has_room(files.journal, trans.inode(to.dir)?, &entry)?
            {
                return Err(Error::NoSpace);
            }
        }
    }

    let space = &mut MapSpace { deferred };
    if let Some(white) = white {
        let number = trans.inode(white)?.number;
        unlinked::remove(trans, number, None)?;
        add_link(trans, white)?;
    }
    let mut gone = Unlinked::default();
    match to.inode {
        None => {
            change::add(trans, space, to.dir, &entry)?;
            if moves_directory && new_dir {
                add_link(trans, to.dir)?;
            }
        }
        Some(other) => {
            change::replace(trans, space, to.dir, &entry)?;
            if moves_directory {
                orphan(trans, space, other)?;
                drop_link(trans, other)?;
            }
            gone = drop_last(files, trans, other)?;
        }
    }
    if moves_directory {
        if new_dir {
            move_into(trans, space, id, to.dir)?;
        }
        // The link of its `..`, or of the one that was in the way.
        if new_dir || to.inode.is_some() {
            drop_link(trans, from.dir)?;
        }
    }
    match white {
        Some(white) => {
            let entry = entry_of(trans, white, from.name)?;
            change::replace(trans, space, from.dir, &entry)?;
            files.touch(trans, white, false)?;
        }
        None => {
            change::remove(trans, space, from.dir, from.name)?;
        }
    }
    files.touch(trans, id, false)?;
    files.touch(trans, from.dir, true)?;
    files.touch(trans, to.dir, true)?;
    if let Some(white) = white {
        follow(trans, deferred, white, Change::Add(from.entry()))?;
    }
    follow(
        trans,
        deferred,
        id,
        Change::Replace(from.entry(), to.entry()),
    )?;
    if let Some(other) = to.inode {
        follow(trans, deferred, other, Change::Remove(to.entry()))?;
    }
    Ok((gone, chain.commit_keeping(&mut Groups)?))
}

/// Has each of two names lead to what the other one did. Returns all inodes, locked.
///
/// # Errors
///
/// As [`rename`]; `CrossDevice` for the first inode in the other directory alone.
pub fn exchange_names<J: Journal>(
    files: &Files<'_, J>,
    one: &NameOf<'_>,
    other: &NameOf<'_>,
) -> Result<Committed<J::Inode>> {
    let (mut chain, one, other, _) = begin(files, (one, other), None)?;
    let (trans, deferred) = chain.parts();
    let (Some(first), Some(second)) = (one.inode, other.inode) else {
        return Err(Error::Invalid);
    };
    // Of the second one the kernel's driver does not ask it.
    check_project(&trans.inode(other.dir)?.core, &trans.inode(first)?.core)?;
    let new_dir = one.dir != other.dir;
    let mut gains = [false; 2];
    for (inode, gain) in [first, second].into_iter().zip(&mut gains) {
        *gain = new_dir && is_directory(trans.inode(inode)?);
    }
    let [first_moves, second_moves] = gains;
    if first_moves && !second_moves {
        check_links(trans, other.dir)?;
    } else if second_moves && !first_moves {
        check_links(trans, one.dir)?;
    }

    let space = &mut MapSpace { deferred };
    let entry = entry_of(trans, second, one.name)?;
    change::replace(trans, space, one.dir, &entry)?;
    let entry = entry_of(trans, first, other.name)?;
    change::replace(trans, space, other.dir, &entry)?;
    for (moves, inode, from, to) in [
        (first_moves, first, one.dir, other.dir),
        (second_moves, second, other.dir, one.dir),
    ] {
        if moves {
            move_into(trans, space, inode, to)?;
            add_link(trans, to)?;
            drop_link(trans, from)?;
        }
        files.touch(trans, inode, false)?;
    }
    files.touch(trans, one.dir, true)?;
    files.touch(trans, other.dir, true)?;
    follow(
        trans,
        deferred,
        first,
        Change::Replace(one.entry(), other.entry()),
    )?;
    follow(
        trans,
        deferred,
        second,
        Change::Replace(other.entry(), one.entry()),
    )?;
    chain.commit_keeping(&mut Groups)
}
