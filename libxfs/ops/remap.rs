// SPDX-License-Identifier: GPL-2.0

//! Files that share blocks: clones of ranges and of whole files, and deduplication.
//!
//! The blocks of the source are mapped into the target in place of what was there, one mapping in each
//! chain of transactions: the old blocks lose an owner and the new ones gain one. The target's size
//! grows with that, so that whenever the power goes it shows a beginning of what it was to get.
//!
//! Source: `fs/remap_range.c` of Linux 7.3 for what may be remapped, `fs/xfs/xfs_reflink.c` for how.

use super::{range::MAX_SIZE, Files};
use crate::libxfs::{
    bmap::ForkMut,
    error::{Error, Result},
    extents::{Mapping, Segment, State},
    format::{
        btree::{RtRefcount, Tree},
        geometry::Geometry,
        inode::{flags::Flags2, FileType},
        units::InodeNumber,
    },
    inode::{Inode, WhichFork},
    journal::{Claim, Journal},
    space::{self, Groups},
    store::Device,
    trans::{self, InodeFields},
};

/// Bytes of a file that another file, or another part of that one, is to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remap {
    /// The file that has them.
    pub source: InodeNumber,
    /// Where they begin in it.
    pub from: u64,
    /// The file that gets them.
    pub target: InodeNumber,
    /// Where they begin in that.
    pub to: u64,
    /// How many; 0 for all up to the source's end.
    pub len: u64,
    /// Whether fewer will do.
    pub may_shorten: bool,
}

/// `len` less what it has beyond whole blocks.
fn whole(geo: &Geometry, len: u64) -> u64 {
    len.saturating_sub(len.checked_rem(geo.block_size.into()).unwrap_or(0))
}

impl Remap {
    /// How many bytes are remapped, of files of those sizes: all that was asked for, or where fewer
    /// will do, whole blocks of that. Only at the source's end, and if no more follow in the target, is
    /// there a part of a block.
    ///
    /// # Errors
    ///
    /// `Invalid` for what does not begin with a block, lies outside the source, or overlaps itself, and
    /// where more would be remapped than whole blocks; `TooLarge` beyond what a file can have.
    fn length(&self, geo: &Geometry, [source, target]: [u64; 2], dedupe: bool) -> Result<u64> {
        let asked = match self.len {
            0 if dedupe || self.from == source => return Ok(0),
            0 => source.checked_sub(self.from).ok_or(Error::Invalid)?,
            len => len,
        };
        let ends = |len: u64| {
            let from = self.from.checked_add(len)?;
            Some((from, self.to.checked_add(len)?))
        };
        let (from_end, to_end) = ends(asked).ok_or(Error::Invalid)?;
        let aligned = whole(geo, self.from) == self.from && whole(geo, self.to) == self.to;
        if !aligned || self.from >= source {
            return Err(Error::Invalid);
        }
        if dedupe && (from_end > source || self.to >= target || to_end > target) {
            return Err(Error::Invalid);
        }
        let room = MAX_SIZE.checked_sub(self.to).filter(|&room| room > 0);
        let room = room.ok_or(Error::TooLarge)?;
        let len = asked.min(source.saturating_sub(self.from)).min(room);
        let (from_end, to_end) = ends(len).ok_or(Error::Invalid)?;
        let len = match from_end == source && (!dedupe || to_end == target) {
            true => len,
            false => whole(geo, len),
        };
        let block = u64::from(geo.block_size);
        let span = len.checked_next_multiple_of(block).ok_or(Error::Invalid)?;
        let overlaps =
            self.to < self.from.saturating_add(span) && self.from < self.to.saturating_add(span);
        if self.source == self.target && overlaps || len != asked && !self.may_shorten {
            return Err(Error::Invalid);
        }
        Ok(len)
    }

    /// As [`length`](Self::length), after the content was compared: where more follows in the target a
    /// part of a block stays as it is. `None` where fewer bytes will not do.
    fn settled(&self, geo: &Geometry, len: u64, target: u64) -> Option<u64> {
        let short = whole(geo, len);
        match self.to.saturating_add(len) < target && short != len {
            true => self.may_shorten.then_some(short),
            false => Some(len),
        }
    }
}

/// That both are files which may share blocks; their sizes.
fn check<J: Journal>(files: &Files<'_, J>, remap: &Remap) -> Result<[u64; 2]> {
    let geo = files.geometry();
    if !geo.features.reflink() {
        return Err(Error::Unsupported);
    }
    let mut sizes = [0; 2];
    let mut devices = [Device::Log; 2];
    let numbers = [remap.source, remap.target];
    for ((number, size), device) in numbers.into_iter().zip(&mut sizes).zip(&mut devices) {
        let inode = files.journal.lock_inode(number)?;
        if inode.core.file_type() != Some(FileType::Regular) {
            return Err(Error::Invalid);
        }
        *size = inode.core.size;
        *device = inode.device(WhichFork::Data);
    }
    let [one, other] = devices;
    if one != other {
        return Err(Error::Invalid);
    }
    // A write to a part of a shared realtime extent would have to copy all of it; and only groups have
    // a tree of counts.
    if one == Device::Realtime && (geo.rt_extent_size > 1 || geo.rt_group_count == 0) {
        return Err(Error::Unsupported);
    }
    Ok(sizes)
}

/// Has a file share bytes of another one, in place of its own. Returns how many it did: fewer than
/// were asked for only where that will do. What lies between the target's end and where they begin
/// reads as zeroes; that what the last block has behind its end does, too, is for the caller to have
/// seen to, and that nobody else changes the files.
///
/// # Errors
///
/// `Invalid` for a range that cannot be remapped, for what is no file, and for files on two devices;
/// `Unsupported` where nothing can be shared; `NoSpace`, `TooLarge`; those of the store and of
/// corruption. What was shared so far stays.
pub fn clone_range<J: Journal>(files: &Files<'_, J>, remap: &Remap) -> Result<u64> {
    let geo = files.geometry();
    let [source, target] = check(files, remap)?;
    let len = remap.length(geo, [source, target], false)?;
    let len = remap.settled(geo, len, target).ok_or(Error::Invalid)?;
    share_range(files, &Remap { len, ..*remap }, true)
}

/// Has two files share what both have, if it is the same: `same` compares that many bytes. Returns how
/// many are shared, none where they differ. Nobody may change the files meanwhile.
///
/// # Errors
///
/// As [`clone_range`], and for bytes beyond the end of either file; those of `same`.
pub fn dedupe_range<J: Journal>(
    files: &Files<'_, J>,
    remap: &Remap,
    same: impl FnOnce(u64) -> Result<bool>,
) -> Result<Option<u64>> {
    let geo = files.geometry();
    let [source, target] = check(files, remap)?;
    let len = remap.length(geo, [source, target], true)?;
    if len != 0 && !same(len)? {
        return Ok(None);
    }
    match remap.settled(geo, len, target) {
        Some(len) => share_range(files, &Remap { len, ..*remap }, false).map(Some),
        None => Ok(None),
    }
}

/// Has the target share that many bytes of the source, all of which is known to be right: the kernel
/// checks it, with what is in memory of both, before it comes here. The target counts as `modified`
/// where its content changes.
///
/// # Errors
///
/// As [`clone_range`]; `Invalid` for blocks of the source that are delayed.
pub fn share_range<J: Journal>(files: &Files<'_, J>, remap: &Remap, modified: bool) -> Result<u64> {
    if remap.len == 0 {
        return Ok(0);
    }
    let geo = files.geometry();
    let realtime = mark(files, remap, modified)?;
    let block = u64::from(geo.block_size);
    let mut done = 0u64;
    while done < remap.len {
        match share_one(files, remap, done, realtime) {
            Ok(blocks) => done = done.saturating_add(blocks.saturating_mul(block)),
            Err(error) if done == 0 || !remap.may_shorten => return Err(error),
            // It will come up again.
            Err(_) => return Ok(done),
        }
    }
    carry_hint(files, remap)?;
    Ok(remap.len)
}

/// Marks both inodes as sharing blocks. Returns whether their content lies on the realtime device.
fn mark<J: Journal>(files: &Files<'_, J>, remap: &Remap, modified: bool) -> Result<bool> {
    let mut trans = files.begin(files.reservations.inode_change, Claim::default())?;
    let [source, target] = files.hold(&mut trans, [remap.source, remap.target])?;
    for id in [source, target] {
        if !trans.inode(id)?.core.is_reflink() {
            let core = &mut trans.change_inode(id, InodeFields::CORE)?.core;
            core.flags2 = Flags2(core.flags2.0 | Flags2::REFLINK);
        }
    }
    if modified {
        files.touch(&mut trans, target, true)?;
    }
    let realtime = trans.inode(target)?.core.is_realtime();
    trans.commit()?;
    Ok(realtime)
}

/// Blocks that sharing one mapping may take: for the target's map, and for the trees of a realtime
/// group, for which nothing is kept. A group of the data device keeps some for its trees.
fn needed(geo: &Geometry, realtime: bool) -> u64 {
    let map = trans::space::extent_add(geo, WhichFork::Data);
    if !realtime {
        return map;
    }
    let counts = u64::from(RtRefcount::max_levels(geo)).saturating_mul(2);
    map.saturating_add(counts)
        .saturating_add(trans::space::rt_rmaps_add(geo, 2))
}

/// Has the target share the mapping of the source, or the hole, that begins `done` bytes behind the
/// first, as far as the target has one mapping or one hole there. Returns how many blocks that were.
fn share_one<J: Journal>(
    files: &Files<'_, J>,
    remap: &Remap,
    done: u64,
    realtime: bool,
) -> Result<u64> {
    let geo = files.geometry();
    let mut chain = files.start(files.reservations.write, needed(geo, realtime))?;
    let (trans, deferred) = chain.parts();
    let [source, target] = files.hold(trans, [remap.source, remap.target])?;
    trans.load_extents(source, WhichFork::Data)?;
    let at = geo.file_block(remap.from.saturating_add(done));
    let left = geo.blocks_for(remap.len.saturating_sub(done));
    let run = trans.inode(source)?.extents(WhichFork::Data)?;
    let run = run.segment(at, left).ok_or(Error::Invalid)?;
    let offset = geo.file_block(remap.to.saturating_add(done));
    let moved = match run {
        Segment::Hole { len, .. } => Segment::Hole { offset, len },
        Segment::Mapped(found) if found.state == State::Delayed => return Err(Error::Invalid),
        Segment::Mapped(found) => {
            if found.state == State::Normal && !realtime {
                check_room(files, &found)?;
            }
            Segment::Mapped(Mapping { offset, ..found })
        }
    };
    let end = ForkMut::new(trans, deferred, target, WhichFork::Data)?.share(&moved)?;
    let reached = end.0.saturating_mul(geo.block_size.into());
    let size = reached.min(remap.to.saturating_add(remap.len));
    if size > trans.inode(target)?.core.size {
        trans.change_inode(target, InodeFields::CORE)?.core.size = size;
    }
    chain.commit(&mut Groups)?;
    let blocks = end.distance_from(offset).filter(|&blocks| blocks > 0);
    blocks.ok_or(Error::Invalid)
}

/// That the group of some blocks can do with more records in its trees.
fn check_room<J: Journal>(files: &Files<'_, J>, found: &Mapping) -> Result {
    let geo = files.geometry();
    let (ag, _) = geo
        .split_fs_block(found.start.data())
        .ok_or(Error::Invalid)?;
    match geo.features.rmapbt() && space::is_short(files.journal, ag)? {
        true => Err(Error::NoSpace),
        false => Ok(()),
    }
}

/// Where all of a file was cloned over all of another one, that gets the CoW extent size hint too, if it
/// has none.
fn carry_hint<J: Journal>(files: &Files<'_, J>, remap: &Remap) -> Result {
    let hinted = |inode: &Inode| inode.core.flags2.has(Flags2::COWEXTSIZE);
    if remap.from != 0 || remap.to != 0 || !hinted(&*files.journal.lock_inode(remap.source)?) {
        return Ok(());
    }
    let mut trans = files.begin(files.reservations.inode_change, Claim::default())?;
    let [source, target] = files.hold(&mut trans, [remap.source, remap.target])?;
    let (from, to) = (trans.inode(source)?, trans.inode(target)?);
    let all = remap.len == from.core.size && remap.len >= to.core.size;
    let hint = from.core.cowextsize;
    if !all || !hinted(from) || hinted(to) || hint == 0 {
        return Ok(());
    }
    let core = &mut trans.change_inode(target, InodeFields::CORE)?.core;
    core.cowextsize = hint;
    core.flags2 = Flags2(core.flags2.0 | Flags2::COWEXTSIZE);
    trans.commit()?;
    Ok(())
}
