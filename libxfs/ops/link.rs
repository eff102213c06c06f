// SPDX-License-Identifier: GPL-2.0

//! Giving an inode one more name.

use super::{
    add_link, check_links,
    create::check_project,
    is_directory,
    parents::{follow, Change, Entry},
    Files,
};
use crate::libxfs::{
    bmap::MapSpace,
    dir::change::{self, NewEntry},
    error::{Error, Result},
    format::units::{AgInode, InodeNumber},
    inode::unlinked,
    journal::Journal,
    space::Groups,
    trans::{self, Committed},
};

/// Gives an inode, which is no directory, a name in a directory. One that was
/// [made without](super::create_nameless) comes off its list of unlinked inodes, `before` being the
/// one before it there, if memory knows. Returns both inodes, locked.
///
/// # Errors
///
/// `Exists`, `TooManyLinks`, `NoSpace`; `NotFound` for a directory that was removed; `CrossDevice`
/// where the directory's project is for all that is in it, and the inode has another one; `Invalid`
/// for a directory, or a name that no entry may have; those of the store and of corruption. Nothing
/// has changed then, or the file system is shut down.
pub fn link<J: Journal>(
    files: &Files<'_, J>,
    dir: InodeNumber,
    name: &[u8],
    inode: InodeNumber,
    before: Option<AgInode>,
) -> Result<Committed<J::Inode>> {
    let geo = files.geometry();
    let space = trans::space::link(geo, name.len() as u64);
    let log = files.reservations.link;
    // With parent pointers the attributes may have to grow.
    let mut chain = if geo.features.parent() {
        files.start(log, space)?
    } else {
        files.start_anyway(log, space)?
    };
    let (trans, deferred) = chain.parts();
    let [parent, id] = files.hold(trans, [dir, inode])?;
    files.check_directory(trans, parent, name)?;
    let held = trans.inode(id)?;
    if is_directory(held) {
        return Err(Error::Invalid);
    }
    check_links(trans, id)?;
    check_project(&trans.inode(parent)?.core, &held.core)?;
    if files.find(trans, parent, name)?.is_some() {
        return Err(Error::Exists);
    }
    let entry = NewEntry {
        name,
        inode,
        ftype: held.core.file_type().ok_or(Error::Invalid)?.into(),
    };
    let nameless = held.core.nlink == 0;
    if trans.claimed().blocks == 0
        && !change::has_room(files.journal, trans.inode(parent)?, &entry)?
    {
        return Err(Error::NoSpace);
    }
    if nameless {
        unlinked::remove(trans, inode, before)?;
    }
    change::add(trans, &mut MapSpace { deferred }, parent, &entry)?;
    files.touch(trans, parent, true)?;
    add_link(trans, id)?;
    files.touch(trans, id, false)?;
    let entry = Entry { dir: parent, name };
    follow(trans, deferred, id, Change::Add(entry))?;
    chain.commit_keeping(&mut Groups)
}
