// SPDX-License-Identifier: GPL-2.0

//! Taking a name away: unlink and rmdir.

use super::{
    is_directory,
    parents::{follow, Change, Entry},
    Files,
};
use crate::libxfs::{
    bmap::MapSpace,
    dir::change::{self, NewEntry},
    error::{Error, Result},
    format::{dir::FileType, fault::Fault, units::InodeNumber},
    inode::unlinked::{self, Neighbours},
    journal::Journal,
    space::Groups,
    trans::{self, Committed, InodeFields, InodeId, Trans},
};

/// What taking a link away led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlinked {
    /// The neighbours of the inode on its list of unlinked ones, if it has no link any more.
    pub neighbours: Option<Neighbours>,
}

/// Takes the name of `inode` out of a directory; of a directory, which must be empty, too. One that
/// has no name any more goes to a list of unlinked inodes, until it is
/// [inactivated](super::inactivate()). Returns both inodes, locked.
///
/// # Errors
///
/// `NotFound` where the name is not there any more, or leads to another inode; `NotEmpty`; `Invalid`
/// for names that cannot be removed; those of the store and of corruption. Nothing has changed then,
/// or the file system is shut down.
pub fn remove<J: Journal>(
    files: &Files<'_, J>,
    dir: InodeNumber,
    name: &[u8],
    inode: InodeNumber,
) -> Result<(Unlinked, Committed<J::Inode>)> {
    let space = trans::space::remove(files.geometry(), name.len() as u64);
    let mut chain = files.start_anyway(files.reservations.remove, space)?;
    let (trans, deferred) = chain.parts();
    let [parent, id] = files.hold(trans, [dir, inode])?;
    files.check_directory(trans, parent, name)?;
    if files.find(trans, parent, name)? != Some(inode) {
        return Err(Error::NotFound);
    }
    if is_directory(trans.inode(id)?) {
        files.check_empty(trans, id)?;
    }
    change::remove(trans, &mut MapSpace { deferred }, parent, name)?;
    files.touch(trans, parent, true)?;
    let unlinked = if is_directory(trans.inode(id)?) {
        drop_link(trans, parent)?;
        orphan(trans, &mut MapSpace { deferred }, id)?;
        drop_link(trans, id)?;
        drop_last(files, trans, id)?
    } else {
        drop_last(files, trans, id)?
    };
    let entry = Entry { dir: parent, name };
    follow(trans, deferred, id, Change::Remove(entry))?;
    Ok((unlinked, chain.commit_keeping(&mut Groups)?))
}

/// Has a directory that goes name the root as what it lies in: its own directory may be gone, and the
/// number another's, while this one is still open.
pub(super) fn orphan<J: Journal>(
    trans: &mut Trans<'_, J>,
    space: &mut MapSpace<'_, '_, J>,
    id: InodeId,
) -> Result {
    let entry = NewEntry {
        name: b"..",
        inode: trans.geometry().root_inode,
        ftype: FileType::Directory,
    };
    change::replace(trans, space, id, &entry)?;
    Ok(())
}

/// One link less.
pub(super) fn drop_link<J: Journal>(trans: &mut Trans<'_, J>, id: InodeId) -> Result {
    let inode = trans.change_inode(id, InodeFields::CORE)?;
    let number = inode.number;
    inode.core.nlink = inode
        .core
        .nlink
        .checked_sub(1)
        .ok_or(Error::inode(Fault::corrupt("dinode", "di_nlink"), number))?;
    Ok(())
}

/// One link less, for a name that went; where it was the last, the inode goes to a list of unlinked
/// ones.
pub(super) fn drop_last<J: Journal>(
    files: &Files<'_, J>,
    trans: &mut Trans<'_, J>,
    id: InodeId,
) -> Result<Unlinked> {
    drop_link(trans, id)?;
    files.touch(trans, id, false)?;
    let neighbours = match trans.inode(id)?.core.nlink {
        0 => Some(unlinked::insert(trans, id)?),
        _ => None,
    };
    Ok(Unlinked { neighbours })
}
