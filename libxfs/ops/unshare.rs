// SPDX-License-Identifier: GPL-2.0

//! Files that no longer share blocks, or are about to.
//!
//! Blocks stop being shared by being written anew: their content goes through
//! [`prepare_write`](super::prepare_write), which stages a copy, and [`end_write`](super::end_write).

use super::{range::check_file, write::shares, Files};
use crate::libxfs::{
    bmap,
    error::Result,
    extents::State,
    format::{
        inode::flags::Flags2,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    journal::{CommitSequence, Journal},
    space::Groups,
    trans::InodeFields,
};

/// Blocks of a file: the first, and the one behind the last.
type Blocks = (FileBlock, FileBlock);

/// The first blocks of `from..end` of a file that others share; `None` where there are none.
///
/// # Errors
///
/// `Invalid` for what is no file; those of the store and of corruption.
pub fn next_shared<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    from: FileBlock,
    end: FileBlock,
) -> Result<Option<Blocks>> {
    let inode = files.journal.lock_inode(number)?;
    check_file(&inode)?;
    first_shared(files.journal, &inode, (from, end))
}

fn first_shared<J: Journal>(
    journal: &J,
    inode: &Inode,
    (from, end): Blocks,
) -> Result<Option<Blocks>> {
    if !inode.core.is_reflink() {
        return Ok(None);
    }
    for mapping in inode.extents(WhichFork::Data)?.iter_from(from) {
        let Some(part) = mapping.trimmed(from, end) else {
            break;
        };
        if part.state != State::Normal {
            continue;
        }
        let (own, shared) = shares(journal, inode, &part, part.len)?;
        if shared != 0 {
            let first = part.offset.0.saturating_add(own);
            let last = first.saturating_add(shared);
            return Ok(Some((FileBlock(first), FileBlock(last))));
        }
    }
    Ok(None)
}

/// Takes the mark off a file that it may share blocks, if it shares none. What it stages is given up:
/// nothing of that is on its way to the disk.
///
/// # Errors
///
/// `Invalid` for what is no file; those of the store and of corruption.
pub fn forget_sharing<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
) -> Result<Option<CommitSequence>> {
    let all = (FileBlock(0), FileBlock(u64::MAX));
    let mut chain = files.start(files.reservations.write, 0)?;
    let (trans, _) = chain.parts();
    let id = trans.hold_inode(number)?;
    let inode = trans.inode(id)?;
    check_file(inode)?;
    if !inode.core.is_reflink() || first_shared(files.journal, inode, all)?.is_some() {
        return Ok(None);
    }
    bmap::cancel_staged(&mut chain, &mut Groups, id, FileBlock(0))?;
    let core = &mut chain.parts().0.change_inode(id, InodeFields::CORE)?.core;
    core.flags2 = Flags2(core.flags2.0 & !Flags2::REFLINK);
    chain.commit(&mut Groups)
}

/// Gives up all that a file stages, such as was to be written too: nothing of it is on its way to the
/// disk.
///
/// # Errors
///
/// `Invalid` for what is no file; those of the store and of corruption.
pub fn drop_staged<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
) -> Result<Option<CommitSequence>> {
    let mut chain = files.start(files.reservations.write, 0)?;
    let (trans, _) = chain.parts();
    let id = trans.hold_inode(number)?;
    check_file(trans.inode(id)?)?;
    bmap::cancel_staged(&mut chain, &mut Groups, id, FileBlock(0))?;
    chain.commit(&mut Groups)
}
