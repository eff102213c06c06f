// SPDX-License-Identifier: GPL-2.0

//! Holes in place of blocks.

use super::{
    range::{check_file, FileRange},
    Files,
};
use crate::libxfs::{
    bmap::{ForkMut, Unmapped},
    error::Result,
    format::units::InodeNumber,
    inode::WhichFork,
    journal::{CommitSequence, Journal},
    space::Groups,
    trans::space::extent_add,
};

/// Mappings that one transaction frees.
const MOST: u32 = 2;

/// Makes a hole of all blocks that hold nothing but bytes of `range`, from its end on, in as many
/// transactions as it takes. Of a block that holds others too, the caller makes those bytes zeroes
/// afterwards.
///
/// # Errors
///
/// `NoSpace` where a mapping has to be cut in two, a tree has to grow for that and cannot; `TooLarge`
/// for more mappings than can be counted; `Invalid` for what is no file; those of the store and of
/// corruption. What was done so far stays.
pub fn punch<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    range: FileRange,
) -> Result<Option<CommitSequence>> {
    let geo = files.geometry();
    let (from, mut end) = range.whole(geo);
    let mut last = None;
    while end > from {
        let blocks = extent_add(geo, WhichFork::Data);
        let mut chain = files.start_anyway(files.reservations.write, blocks)?;
        let (trans, deferred) = chain.parts();
        let id = trans.hold_inode(number)?;
        check_file(trans.inode(id)?)?;
        let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data)?;
        end = fork.unmap(from, end, Unmapped::Freed, MOST)?;
        files.touch(trans, id, true)?;
        last = chain.commit(&mut Groups)?.max(last);
    }
    Ok(last)
}
