// SPDX-License-Identifier: GPL-2.0

//! Changing the size of a file.

use super::{
    range::{check_file, MAX_SIZE},
    Files,
};
use crate::libxfs::{
    bmap,
    error::{Error, Result},
    format::units::{FileBlock, InodeNumber},
    inode::WhichFork,
    journal::Journal,
    space::Groups,
    trans::{Committed, InodeFields},
};

/// Gives a file another size. What is behind a smaller one is freed, in as many transactions as it
/// takes; the size is the first that changes, so that after a crash nothing is there that was gone,
/// but blocks behind the end. Returns the file, locked.
///
/// For a larger one the caller has seen to it first that all that its blocks hold behind the old end
/// are zeroes: what a write or a truncation left there would be seen again.
///
/// # Errors
///
/// `TooLarge`; `Invalid` for what is no file; those of the store and of corruption. Nothing has
/// changed then, or the file system is shut down.
pub fn truncate<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    size: u64,
) -> Result<Committed<J::Inode>> {
    if size > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    let mut chain = files.start(files.reservations.truncate, 0)?;
    let (trans, _) = chain.parts();
    let id = trans.hold_inode(number)?;
    let inode = trans.inode(id)?;
    check_file(inode)?;
    let before = inode.core.size;
    files.touch(trans, id, true)?;
    trans.change_inode(id, InodeFields::CORE)?.core.size = size;
    if size <= before {
        let from = FileBlock(files.geometry().blocks_for(size));
        bmap::truncate(&mut chain, &mut Groups, id, WhichFork::Data, from)?;
        bmap::cancel_staged(&mut chain, &mut Groups, id, from)?;
        bmap::clear_shared(&mut chain, id)?;
    }
    chain.commit_keeping(&mut Groups)
}
