// SPDX-License-Identifier: GPL-2.0

//! Files that exchange what they hold in a range: all of it or, whatever happens, none, once the first
//! transaction is on stable storage.
//!
//! Source: `fs/xfs/xfs_exchrange.c` and `fs/xfs/libxfs/xfs_exchmaps.c` of Linux 7.3.

use super::{range::MAX_SIZE, Files};
use crate::libxfs::{
    bmap::{exchange_steps, prepare_exchange, CowMut, ForkMut},
    defer::Chain,
    error::{Error, Result},
    format::{
        geometry::Geometry,
        inode::{time::Timestamp, FileType},
        log::exchange::{ExchangeFile, ExchangeFlags},
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    items::Exchange,
    journal::{Claim, Journal},
    space::Groups,
    store::Device,
    trans::{self, Committed, InodeId},
};

/// What a file looked like when someone began to prepare what it is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The inode's generation.
    pub generation: u32,
    /// When it was changed.
    pub ctime: Timestamp,
    /// When its content was changed.
    pub mtime: Timestamp,
}

/// A range of two files that they exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeRange {
    /// The files.
    pub files: [InodeNumber; 2],
    /// Where the range begins in each.
    pub offsets: [u64; 2],
    /// Bytes; of no importance where it goes on to the end of both.
    pub len: u64,
    /// Whether it goes on to the end of both files, which exchange their sizes with it.
    pub to_end: bool,
    /// Whether only that is exchanged which the first file has written.
    pub written_only: bool,
    /// Whether it is only seen if that could be done.
    pub dry_run: bool,
    /// How the second file must still be.
    pub seen: Option<Seen>,
}

/// What is known of a range once both files are locked.
#[derive(Clone, Copy)]
struct Checked {
    len: u64,
    sizes: [u64; 2],
    device: Device,
}

fn over(n: u64, unit: u64) -> u64 {
    n.checked_rem(unit).unwrap_or(0)
}

impl ExchangeRange {
    /// That the range may be exchanged: it lies within both files, and is made of whole units, blocks
    /// or realtime extents, but where it comes to the end of both.
    fn check(&self, geo: &Geometry, inodes: [&Inode; 2]) -> Result<Checked> {
        let [one, two] = inodes;
        let device = one.device(WhichFork::Data);
        let regular = |inode: &Inode| inode.core.file_type() == Some(FileType::Regular);
        if !regular(one) || !regular(two) || device != two.device(WhichFork::Data) {
            return Err(Error::Invalid);
        }
        let unit = match device {
            Device::Realtime => u64::from(geo.block_size).saturating_mul(geo.rt_extent_size.into()),
            Device::Data | Device::Log => geo.block_size.into(),
        };
        let sizes = [one.core.size, two.core.size];
        let ([size1, size2], [at1, at2]) = (sizes, self.offsets);
        let rest = |size: u64, at: u64| size.checked_sub(at).ok_or(Error::Invalid);
        let (rest1, rest2) = (rest(size1, at1)?, rest(size2, at2)?);
        let len = match self.to_end {
            true => rest1.max(rest2),
            false if self.len > rest1 || self.len > rest2 => return Err(Error::Invalid),
            false => self.len,
        };
        let fits = |at: u64| at.checked_add(len).is_some_and(|end| end <= MAX_SIZE);
        if over(at1, unit) != 0 || over(at2, unit) != 0 || !fits(at1) || !fits(at2) {
            return Err(Error::Invalid);
        }
        if len != rest1 && len != rest2 && over(len, unit) != 0 {
            return Err(Error::Invalid);
        }
        let span = len.checked_next_multiple_of(unit).ok_or(Error::Invalid)?;
        let [first, second] = self.files;
        let overlap = at2 < at1.saturating_add(span) && at1 < at2.saturating_add(span);
        // A part of a unit must not come to lie in the middle of a file.
        let inside = len < rest1 || len < rest2;
        // One file has one end.
        let circular = first == second && (overlap || self.to_end);
        if circular || over(len, unit) != 0 && inside {
            return Err(Error::Invalid);
        }
        Ok(Checked { len, sizes, device })
    }

    /// The work that it is.
    fn work(&self, geo: &Geometry, inodes: [&Inode; 2], checked: &Checked) -> Exchange {
        let unit = match checked.device {
            Device::Realtime => u64::from(geo.rt_extent_size.max(1)),
            Device::Data | Device::Log => 1,
        };
        let blocks = geo.blocks_for(checked.len);
        let ([at1, at2], [size1, size2]) = (self.offsets, checked.sizes);
        let [one, two] = inodes;
        let file = |inode: &Inode, at: u64, other: u64| ExchangeFile {
            inode: inode.number,
            generation: inode.core.generation,
            offset: geo.file_block(at),
            size: at.saturating_add(other),
        };
        let bits = [
            (self.to_end, ExchangeFlags::SET_SIZES),
            (self.written_only, ExchangeFlags::INO1_WRITTEN),
        ];
        let flags = bits.into_iter().filter(|(set, _)| *set);
        Exchange {
            files: [
                file(one, at1, size2.saturating_sub(at2)),
                file(two, at2, size1.saturating_sub(at1)),
            ],
            blocks: blocks.checked_next_multiple_of(unit).unwrap_or(blocks),
            flags: ExchangeFlags(flags.fold(0, |bits, (_, bit)| bits | bit)),
        }
    }
}

/// Has two files, which may be one, exchange what they hold in a range. Returns the inodes, locked.
/// Nobody else may change the files meanwhile, nor may anything of them be in memory alone.
///
/// # Errors
///
/// `Unsupported` where the file system has no such exchanges; `Invalid` for a range that cannot be
/// exchanged, for what is no file, and for files on two devices; `Stale` where the second file is not
/// as it was seen; `NoSpace`; `TooLarge` for more mappings than can be counted; those of the store and
/// of corruption. Nothing has changed then, or the file system is shut down.
pub fn exchange_range<J: Journal>(
    files: &Files<'_, J>,
    range: &ExchangeRange,
) -> Result<Committed<J::Inode>> {
    let geo = files.geometry();
    if !geo.features.exchange_range() {
        return Err(Error::Unsupported);
    }
    let mut chain = files.start(files.reservations.write, 0)?;
    let (trans, _) = chain.parts();
    let ids = files.hold(trans, range.files)?;
    let [one, two] = ids;
    let inodes = [trans.inode(one)?, trans.inode(two)?];
    let checked = range.check(geo, inodes)?;
    let work = range.work(geo, inodes, &checked);
    if let Some(seen) = range.seen {
        let core = &trans.inode(two)?.core;
        let now = Seen {
            generation: core.generation,
            ctime: core.ctime,
            mtime: core.mtime,
        };
        if now != seen {
            return Err(Error::Stale);
        }
    }
    if checked.len == 0 {
        return chain.commit_keeping(&mut Groups);
    }
    for (id, file) in ids.into_iter().zip(work.files) {
        if !range.dry_run {
            forget_staged(&mut chain, id, (file.offset, work.blocks))?;
        }
    }
    let (trans, deferred) = chain.parts();
    let steps = exchange_steps(trans, ids, &work)?;
    let claim = Claim {
        blocks: needed(geo, steps, checked.device),
        ..Claim::default()
    };
    files.journal.claim(claim)?;
    trans.adopt(claim);
    if range.dry_run {
        return chain.commit_keeping(&mut Groups);
    }
    for id in ids {
        // Each step may leave one more, and its own in between; so may both ends of the range.
        let more = steps.saturating_add(4);
        ForkMut::new(trans, deferred, id, WhichFork::Data)?.make_room(more)?;
    }
    prepare_exchange(trans, ids, WhichFork::Data)?;
    files.touch(trans, one, true)?;
    files.touch(trans, two, true)?;
    deferred.exchange(work)?;
    chain.commit_keeping(&mut Groups)
}

/// Blocks that the maps and reverse mappings of both files may take.
fn needed(geo: &Geometry, steps: u64, device: Device) -> u64 {
    let fork = WhichFork::Data;
    let one = match device {
        Device::Realtime => trans::space::extents_add(geo, steps, fork)
            .saturating_add(trans::space::rt_rmaps_add(geo, steps)),
        Device::Data | Device::Log => trans::space::exchange(geo, steps, fork),
    };
    one.saturating_mul(2)
}

/// Gives up what is staged for a range: what was written of it is in the data fork by now.
fn forget_staged<J: Journal>(
    chain: &mut Chain<'_, J>,
    id: InodeId,
    (from, blocks): (FileBlock, u64),
) -> Result {
    /// Mappings that one transaction frees.
    const MOST: u32 = 2;
    let mut end = FileBlock(from.0.saturating_add(blocks));
    while end > from && !chain.parts().0.inode(id)?.cow.is_empty() {
        let (trans, deferred) = chain.parts();
        end = CowMut::new(trans, deferred, id).cancel(from, end, true, MOST)?;
        chain.finish(&mut Groups)?;
        chain.parts().0.roll()?;
    }
    Ok(())
}
