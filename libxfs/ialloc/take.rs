// SPDX-License-Identifier: GPL-2.0

//! Where a new inode lies: which group it comes from, and whether that gets a new chunk.
//!
//! Files lie in the group of their directory; directories take turns with the groups, so that what
//! is in them spreads. The group must have a free inode, or space for a chunk; if it has neither, the
//! groups behind it are asked, and then those before.
//!
//! Source: `xfs_dialloc` in `fs/xfs/libxfs/xfs_ialloc.c` of Linux 7.3.

use super::{
    shape::{chunk_inodes, is_internal, most_inodes},
    tree::InodeGroup,
};
use crate::libxfs::{
    ag::{LockedAgf, LockedAgi},
    defer::Deferred,
    error::{Error, Result},
    format::{
        geometry::Geometry,
        inode::FileType,
        sb::Counters,
        units::{AgNumber, InodeNumber},
    },
    journal::Journal,
    trans::Trans,
};

/// The new inode's directory.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// Its number.
    pub number: InodeNumber,
    /// Whether it belongs to the metadata directory tree.
    pub is_metadata: bool,
}

/// An inode that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What it will be.
    pub file_type: FileType,
    /// Where it gets its name; none for a root.
    pub parent: Option<Parent>,
    /// A number that goes up by one with each directory that is made.
    pub turn: u32,
    /// What the file system has, roughly: limits are no more exact than this.
    pub counters: Counters,
    /// The generation that the inodes of a new chunk start with: random, so that a chunk which was
    /// freed and is made again does not repeat itself.
    pub generation: u32,
}

impl Wish {
    /// The group to begin with.
    fn home(&self, geo: &Geometry) -> AgNumber {
        let Some(parent) = self.parent else {
            return AgNumber(0);
        };
        if parent.is_metadata {
            // By the log, which is written with them.
            let log = geo.log_start.and_then(|log| geo.split_fs_block(log));
            return log.map_or(AgNumber(0), |(ag, _)| ag);
        }
        if self.file_type == FileType::Directory {
            return AgNumber(self.turn.checked_rem(geo.ag_count).unwrap_or(0));
        }
        let own = geo.split_inode(parent.number);
        own.map_or(AgNumber(0), |(ag, _)| ag)
    }

    /// Whether there may be one more chunk.
    fn may_grow(&self, geo: &Geometry) -> bool {
        let inodes = self
            .counters
            .inodes
            .saturating_add(chunk_inodes(geo).into());
        most_inodes(geo).is_none_or(|most| inodes <= most)
    }

    /// Whether so little space is left that free inodes in other groups come before new chunks.
    fn is_low(&self, geo: &Geometry) -> bool {
        let percent = geo.data_blocks.checked_div(100).unwrap_or(0);
        self.counters.free_blocks < percent
    }
}

/// Takes a free inode; its number. It is in use from now on, and its slot is not changed: the
/// transaction joins a [new inode](crate::libxfs::inode::create) and logs all of it.
///
/// Where this takes a new chunk, the chain goes on to its next transaction in between. The group's
/// inode header stays locked.
///
/// # Errors
///
/// `NoSpace` where there is none; then nothing has changed but maybe the lists of blocks for the
/// trees of groups, so that a transaction that is dirty is to be committed. Those of allocating, of
/// reading and of corruption; after these the transaction must not be committed.
pub fn take<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    wish: &Wish,
) -> Result<InodeNumber> {
    let geo = trans.geometry();
    let may_grow = wish.may_grow(geo);
    let passes: &[bool] = match (may_grow, wish.is_low(geo)) {
        (false, _) => &[false],
        (true, false) => &[true],
        (true, true) => &[false, true],
    };
    let home = wish.home(geo).0;
    for &may_grow in passes {
        for ag in (home..geo.ag_count).chain(0..home).map(AgNumber) {
            let Some(agi) = lock(trans, ag)? else {
                continue;
            };
            let mut group = InodeGroup {
                trans: &mut *trans,
                deferred: &mut *deferred,
                agi,
            };
            if group.has_free(may_grow.then_some(wish.generation))? {
                return group.take_checked(wish);
            }
            trans.release(agi.block);
        }
    }
    Err(Error::NoSpace)
}

/// Locks a group's inode header, if that may be waited for: others may hold it and wait for a group
/// that the transaction has locked.
fn lock<J: Journal>(trans: &mut Trans<'_, J>, ag: AgNumber) -> Result<Option<LockedAgi>> {
    if LockedAgf::highest(trans).is_none_or(|highest| ag > highest) {
        LockedAgi::lock(trans, ag).map(Some)
    } else {
        LockedAgi::try_lock(trans, ag)
    }
}

impl<J: Journal> InodeGroup<'_, '_, '_, J> {
    /// Whether the group has a free inode, if need be and a generation is given in a new chunk.
    fn has_free(&mut self, generation: Option<u32>) -> Result<bool> {
        if self.agi.get(self.trans)?.freecount.get() != 0 {
            return Ok(true);
        }
        let Some(generation) = generation else {
            return Ok(false);
        };
        if !self.make_chunk(generation)? {
            return Ok(false);
        }
        // There is room in the log for a chunk, or for what is done with an inode. Nobody else may
        // take the inodes meanwhile.
        self.trans.keep(self.agi.block, true);
        let rolled = self.deferred.roll(self.trans);
        self.trans.keep(self.agi.block, false);
        rolled.map(|()| true)
    }

    /// Takes an inode, and holds its number against what the trees cannot know.
    fn take_checked(&mut self, wish: &Wish) -> Result<InodeNumber> {
        let geo = self.trans.geometry();
        let parent = wish.parent.map(|parent| parent.number);
        let near = parent
            .and_then(|parent| geo.split_inode(parent))
            .filter(|(ag, _)| *ag == self.agi.ag)
            .map(|(_, inode)| inode);
        let number = self.take_inode(near)?;
        if Some(number) == parent || is_internal(geo, number) {
            return Err(self.corrupt("root"));
        }
        Ok(number)
    }
}
