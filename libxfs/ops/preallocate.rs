// SPDX-License-Identifier: GPL-2.0

//! Blocks for a file before it is written.

use super::{
    range::{check_file, FileRange},
    Files,
};
use crate::libxfs::{
    bmap::{allocation_claim, ForkMut},
    error::{Error, Result},
    extents::{Segment, State},
    format::{
        btree::bmap::MAX_EXTENT_BLOCKS,
        inode::flags::Flags,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    journal::{CommitSequence, Journal},
    space::Groups,
    trans::InodeFields,
};

/// Allocates blocks for all holes in the blocks that hold a range; they read as zeroes. The file's size
/// stays: a larger one is [set](super::truncate()) afterwards.
///
/// # Errors
///
/// `NoSpace`, `TooLarge` for more mappings than can be counted: what was allocated so far stays.
/// `Invalid` for what is no file; `Unsupported` on a zoned device; those of the store and of
/// corruption.
pub fn preallocate<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    range: FileRange,
) -> Result<Option<CommitSequence>> {
    let geo = files.geometry();
    let (mut at, end) = range.touched(geo);
    let mut last = None;
    loop {
        let hole = {
            let inode = files.journal.lock_inode(number)?;
            check_file(&inode)?;
            let hole = hole_in(&inode, at, end)?;
            hole.map(|(from, len)| {
                let claim = allocation_claim(geo, &inode, from, len.into());
                (from, len, claim)
            })
        };
        let Some((from, len, claim)) = hole else {
            return Ok(last);
        };
        at = from;
        let mut chain = files.start_claiming(files.reservations.write, claim)?;
        let (trans, deferred) = chain.parts();
        let id = trans.hold_inode(number)?;
        // Someone else may have filled it.
        let Some((from, len)) = hole_in(
            trans.inode(id)?,
            from,
            FileBlock(from.0.saturating_add(len.into())),
        )?
        else {
            continue;
        };
        let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data)?;
        let found = fork.allocate(from, (1, len), State::Unwritten)?;
        if found.is_some() {
            let core = &mut trans.change_inode(id, InodeFields::CORE)?.core;
            core.flags.0 |= Flags::PREALLOC;
            files.touch(trans, id, true)?;
        }
        last = chain.commit(&mut Groups)?.max(last);
        if found.is_none() {
            return Err(Error::NoSpace);
        }
    }
}

/// The first hole in the blocks `from..end` of a file, and its length, no more than one mapping can
/// have.
fn hole_in(inode: &Inode, from: FileBlock, end: FileBlock) -> Result<Option<(FileBlock, u32)>> {
    let len = end.distance_from(from).unwrap_or(0);
    let mut segments = inode.extents(WhichFork::Data)?.segments(from, len);
    let hole = segments.find(|segment| matches!(segment, Segment::Hole { .. }));
    Ok(hole.map(|hole| {
        let len = u32::try_from(hole.len()).unwrap_or(u32::MAX);
        (hole.offset(), len.min(MAX_EXTENT_BLOCKS))
    }))
}
