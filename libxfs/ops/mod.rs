// SPDX-License-Identifier: GPL-2.0

//! Operations: what a system call asks of a file system, each a chain of transactions or, on content,
//! several.
//!
//! They know nothing of threads or of the VFS, and the host calls the same functions as the kernel.
//! What the VFS checks before it calls (permissions, types, names that are there or not) is checked
//! here as far as the structures on the disk depend on it.
//!
//! # Locks
//!
//! Space and room in the log come first, then inodes, in the ascending order of their numbers, all at
//! once; an inode that is made is locked last, since no one else knows it. Group headers and blocks
//! follow as the algorithms ask for them. Operations on content lock their file anew for each chain: the
//! caller keeps others from reading and writing it meanwhile.

mod attr;
mod create;
mod exchange;
mod inactivate;
mod link;
mod parents;
mod preallocate;
mod punch;
mod range;
mod remap;
mod remove;
mod rename;
mod setattr;
mod shift;
mod truncate;
mod unshare;
mod write;

pub use attr::{set_attr, SetAttr};
pub use create::{create, create_nameless, NewFile};
pub use exchange::{exchange_range, ExchangeRange, Seen};
pub use inactivate::inactivate;
pub use link::link;
pub use preallocate::preallocate;
pub use punch::punch;
pub use range::{FileRange, MAX_SIZE};
pub use remap::{clone_range, dedupe_range, share_range, Remap};
pub use remove::remove;
pub use rename::{exchange_names, rename, NameOf};
pub use setattr::{setattr, NewAttributes, NewFlags};
pub use shift::{collapse, insert};
pub use truncate::truncate;
pub use unshare::{drop_staged, forget_sharing, next_shared};
pub use write::{end_write, prepare_write, Before, WritePart};

use super::{
    defer::Chain,
    dir,
    error::{Error, Result},
    format::{
        dir::name_is_valid,
        geometry::Geometry,
        inode::{time::Timestamp, FileType},
        units::InodeNumber,
    },
    inode::Inode,
    journal::{Claim, Journal},
    trans::{InodeFields, InodeId, LogReservation, LogReservations, Trans},
};

/// Links that an inode may have. Source: `XFS_MAXLINK` in `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.
const MAX_LINKS: u32 = (1 << 31) - 1;

/// A file system that operations change, and how.
pub struct Files<'f, J: Journal> {
    /// The journal.
    pub journal: &'f J,
    /// How much of the log each operation takes.
    pub reservations: &'f LogReservations,
    /// The time that changed inodes get.
    pub now: Timestamp,
    /// Whether an operation returns only when it is on stable storage (`wsync`, `dirsync`).
    pub durable: bool,
    /// Whether chunks of inodes stay when no inode in them is in use (`ikeep`).
    pub keep_chunks: bool,
}

impl<'f, J: Journal> Files<'f, J> {
    fn geometry(&self) -> &'f Geometry {
        self.journal.geometry()
    }

    /// Starts a transaction of its own.
    fn begin(&self, log: LogReservation, claim: Claim) -> Result<Trans<'f, J>> {
        let mut trans = Trans::start(self.journal, log, claim)?;
        if self.durable {
            trans.set_durable();
        }
        Ok(trans)
    }

    /// Starts a chain that may take `blocks` blocks.
    fn start(&self, log: LogReservation, blocks: u64) -> Result<Chain<'f, J>> {
        let claim = Claim {
            blocks,
            ..Claim::default()
        };
        self.start_claiming(log, claim)
    }

    /// As [`start`](Self::start), but of the blocks that are kept for emergencies too: what was
    /// written must come to its place.
    fn start_urgent(&self, log: LogReservation, blocks: u64) -> Result<Chain<'f, J>> {
        let claim = Claim {
            blocks,
            emergency: true,
            ..Claim::default()
        };
        self.start_claiming(log, claim)
    }

    /// Starts a chain that may take so much.
    fn start_claiming(&self, log: LogReservation, claim: Claim) -> Result<Chain<'f, J>> {
        Chain::new(self.begin(log, claim)?)
    }

    /// As [`start`](Self::start), but where there is no space, of none: what takes names away must
    /// work when the file system is full.
    fn start_anyway(&self, log: LogReservation, blocks: u64) -> Result<Chain<'f, J>> {
        match self.start(log, blocks) {
            Err(Error::NoSpace) => self.start(log, 0),
            started => started,
        }
    }

    /// Locks inodes, of which some may be the same, and returns their handles in the order in which
    /// they were asked for.
    fn hold<const N: usize>(
        &self,
        trans: &mut Trans<'_, J>,
        numbers: [InodeNumber; N],
    ) -> Result<[InodeId; N]> {
        let mut sorted = numbers;
        sorted.sort_unstable();
        for number in sorted {
            trans.hold_inode(number)?;
        }
        let mut ids = [None; N];
        for (id, number) in ids.iter_mut().zip(numbers) {
            *id = trans.joined(number);
        }
        if ids.contains(&None) {
            return Err(Error::Invalid);
        }
        let first = trans.joined(numbers.first().copied().unwrap_or(InodeNumber(0)));
        let any = first.ok_or(Error::Invalid)?;
        Ok(ids.map(|id| id.unwrap_or(any)))
    }

    /// Notes that an inode was changed: its data, or names in it, too with `modified`.
    fn touch(&self, trans: &mut Trans<'_, J>, id: InodeId, modified: bool) -> Result {
        let core = &mut trans.change_inode(id, InodeFields::CORE)?.core;
        core.ctime = self.now;
        if modified {
            core.mtime = self.now;
        }
        Ok(())
    }

    /// What `name` leads to in a directory, before the transaction changes anything. `Ok(None)` if
    /// there is no such name.
    fn find(&self, trans: &Trans<'_, J>, dir: InodeId, name: &[u8]) -> Result<Option<InodeNumber>> {
        match dir::lookup(self.journal, trans.inode(dir)?, name) {
            Ok(found) => Ok(Some(found.inode)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// That an inode is a directory which has a name itself, and `name` one that can be in it.
    fn check_directory(&self, trans: &Trans<'_, J>, dir: InodeId, name: &[u8]) -> Result {
        let dir = trans.inode(dir)?;
        if !is_directory(dir) || !name_is_valid(name) || name == b"." || name == b".." {
            return Err(Error::Invalid);
        }
        // It was removed meanwhile.
        if dir.core.nlink == 0 {
            return Err(Error::NotFound);
        }
        Ok(())
    }

    /// That a directory has no entry but `.` and `..`, and no other links.
    fn check_empty(&self, trans: &Trans<'_, J>, dir: InodeId) -> Result {
        let inode = trans.inode(dir)?;
        if inode.core.nlink > 2 {
            return Err(Error::NotEmpty);
        }
        let mut empty = true;
        dir::readdir(
            self.journal,
            || Ok(inode),
            &mut 0,
            0,
            |entry| {
                empty = entry.name == b"." || entry.name == b"..";
                empty
            },
        )?;
        empty.then_some(()).ok_or(Error::NotEmpty)
    }
}

fn is_directory(inode: &Inode) -> bool {
    inode.core.file_type() == Some(FileType::Directory)
}

/// One link more.
fn add_link<J: Journal>(trans: &mut Trans<'_, J>, id: InodeId) -> Result {
    let core = &mut trans.change_inode(id, InodeFields::CORE)?.core;
    core.nlink = core.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
    Ok(())
}

/// That an inode may have one link more.
fn check_links<J: Journal>(trans: &Trans<'_, J>, id: InodeId) -> Result {
    if trans.inode(id)?.core.nlink < MAX_LINKS {
        Ok(())
    } else {
        Err(Error::TooManyLinks)
    }
}
