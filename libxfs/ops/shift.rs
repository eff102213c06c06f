// SPDX-License-Identifier: GPL-2.0

//! Moving the content of a file: taking a range out of it, and making room in it.
//!
//! A mapping moves in each transaction. A crash in between leaves a file of which a part has moved,
//! with holes where that was; nothing is in it twice, or lost.

use super::{
    punch::punch,
    range::{check_file, FileRange, MAX_SIZE},
    Files,
};
use crate::libxfs::{
    bmap::{self, ForkMut},
    error::{Error, Result},
    format::{
        btree::bmap::MAX_FILE_BLOCK,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    journal::Journal,
    space::Groups,
    trans::{space::extent_add, Committed, InodeFields},
};

/// What a range is to be for the blocks behind it to move.
fn check<J: Journal>(files: &Files<'_, J>, inode: &Inode, range: FileRange, inside: u64) -> Result {
    check_file(inode)?;
    let geo = files.geometry();
    // Realtime extents move as a whole.
    let unit = match inode.core.is_realtime() {
        true => u64::from(geo.rt_extent_size.max(1)),
        false => 1,
    };
    let (from, end) = range.whole(geo);
    let whole = |block: FileBlock| block.0.checked_rem(unit) == Some(0);
    if !range.is_aligned(geo) || !whole(from) || !whole(end) || inside >= inode.core.size {
        return Err(Error::Invalid);
    }
    Ok(())
}

/// Takes a range out of a file: what is behind it moves to where it begins, and the file gets smaller.
/// Nothing of the file is on its way to the disk, and nothing of what moves is cached.
///
/// # Errors
///
/// `Invalid` for a range that is not of whole blocks, or not before the file's end; as
/// [`punch`](super::punch()).
pub fn collapse<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    range: FileRange,
) -> Result<Committed<J::Inode>> {
    let inode = files.journal.lock_inode(number)?;
    check(files, &inode, range, range.end())?;
    drop(inode);
    punch(files, number, range)?;

    let (from, end) = range.whole(files.geometry());
    let by = end.distance_from(from).ok_or(Error::Invalid)?;
    let mut chain = files.start(files.reservations.write, 0)?;
    let (trans, _) = chain.parts();
    let id = trans.hold_inode(number)?;
    bmap::cancel_staged(&mut chain, &mut Groups, id, before(from))?;
    let mut next = Some(end);
    while let Some(at) = next {
        let (trans, deferred) = chain.parts();
        next = ForkMut::new(trans, deferred, id, WhichFork::Data)?.collapse(at, by)?;
        chain.finish(&mut Groups)?;
        chain.parts().0.roll()?;
    }
    let (trans, _) = chain.parts();
    files.touch(trans, id, true)?;
    let core = &mut trans.change_inode(id, InodeFields::CORE)?.core;
    core.size = core.size.saturating_sub(range.len());
    chain.commit_keeping(&mut Groups)
}

/// Makes room in a file: what is at `range` and behind it moves behind that, and the file gets larger;
/// in between there is a hole. The size is the first that changes, so that a crash loses nothing. What
/// the last block holds behind the file's end are zeroes, and nothing is on its way to the disk or
/// cached.
///
/// # Errors
///
/// `Invalid` for a range that is not of whole blocks, or does not begin before the file's end, or for
/// blocks that would be further on than a file can have any; `TooLarge` for a file that would be, or
/// more mappings than can be counted; `NoSpace` where a mapping has to be cut in two, a tree has to
/// grow for that and cannot; those of the store and of corruption.
pub fn insert<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    range: FileRange,
) -> Result<Committed<J::Inode>> {
    let geo = files.geometry();
    let (from, behind) = range.whole(geo);
    let by = behind.distance_from(from).ok_or(Error::Invalid)?;
    let blocks = extent_add(geo, WhichFork::Data);
    let mut chain = files.start_anyway(files.reservations.write, blocks)?;
    let (trans, deferred) = chain.parts();
    let id = trans.hold_inode(number)?;
    let inode = trans.inode(id)?;
    check(files, inode, range, range.start())?;
    let size = inode.core.size.checked_add(range.len());
    let size = size.filter(|&size| size <= MAX_SIZE);
    let size = size.ok_or(Error::TooLarge)?;
    if !ForkMut::new(trans, deferred, id, WhichFork::Data)?.can_open(from, by)? {
        return Err(Error::Invalid);
    }
    bmap::cancel_staged(&mut chain, &mut Groups, id, before(from))?;
    let (trans, deferred) = chain.parts();
    ForkMut::new(trans, deferred, id, WhichFork::Data)?.split(from)?;
    files.touch(trans, id, true)?;
    trans.change_inode(id, InodeFields::CORE)?.core.size = size;
    let mut next = Some(FileBlock(MAX_FILE_BLOCK.saturating_add(1)));
    while let Some(end) = next {
        chain.finish(&mut Groups)?;
        chain.parts().0.roll()?;
        let (trans, deferred) = chain.parts();
        next = ForkMut::new(trans, deferred, id, WhichFork::Data)?.open(from, end, by)?;
    }
    chain.commit_keeping(&mut Groups)
}

/// The block before one that moves: what stages there may reach into it.
fn before(block: FileBlock) -> FileBlock {
    FileBlock(block.0.saturating_sub(1))
}
