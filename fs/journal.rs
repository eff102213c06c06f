// SPDX-License-Identifier: GPL-2.0

//! The mount as the journal under transactions: the log's engine, the inode cache and what memory
//! knows of free space, together.
//!
//! VFS code that changes something calls an operation of [`libxfs::ops`](crate::libxfs::ops) with
//! [`Mount::files`], or starts a transaction of its own: room in the log and space first, then the
//! ILOCKs, in ascending order of the inodes' numbers.
//!
//! ```ignore
//! let log = mount.reservations().inode_change;
//! let mut trans = Trans::start(mount, log, Claim::default())?;
//! let id = trans.join(node.lock()?)?;
//! trans.change_inode(id, InodeFields::CORE)?.core.projid = project;
//! trans.commit()?;
//! ```
//!
//! When that returns, the VFS's inode says the same as the disk's will; see
//! [`publish`](super::publish).

use super::{
    icache::Want,
    ilock::LockedInode,
    inode::Inode,
    log::{
        Engine,
        Ticket, //
    },
    mount::Mount, //
};
use crate::{
    libxfs::{
        self,
        error::{
            Error,
            Result, //
        },
        format::{
            inode::time::Timestamp,
            kind::Kind,
            units::{
                AgNumber,
                InodeNumber,
                RtGroup,
                RtGroupBlock, //
            },
        },
        items::IntentId,
        journal::{
            Claim,
            CommitSequence,
            Journal,
            Shutdown, //
        },
        ops::Files,
        rt::GroupFile,
        space::{
            Busy,
            Group, //
        },
        store::{
            Device,
            Run, //
        },
        trans::{
            Changes,
            CounterDeltas,
            LogReservation, //
        },
    },
    rust::{
        bindings,
        kernel::bio::Durability, //
    },
};
use core::ptr::NonNull;
use kernel::sync::Arc;

/// A file of the realtime section, and which it is.
pub(super) type RtFile = ((Option<RtGroup>, GroupFile), Arc<libxfs::inode::Inode>);

/// Room in the log that a chain of transactions holds. While it lives the file system is not frozen.
pub(crate) struct Running {
    // The room goes first: who freezes must find none taken.
    log: Ticket,
    _write: Writing,
}

/// The right to write, which freezing waits for (`sb_start_intwrite`).
struct Writing(
    // INVARIANT: Alive, since what is mounted outlives its transactions.
    NonNull<bindings::super_block>,
);

impl Writing {
    fn start(mount: &Mount) -> Result<Self> {
        let sb = NonNull::new(mount.super_block()).ok_or(Error::Invalid)?;
        // SAFETY: The super block is alive.
        unsafe { bindings::sb_start_intwrite(sb.as_ptr()) };
        Ok(Self(sb))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // SAFETY: Started in `start`.
        unsafe { bindings::sb_end_intwrite(self.0.as_ptr()) };
    }
}

impl Mount {
    /// The log's engine; `Shutdown` on a mount that has never been written to.
    fn engine(&self) -> Result<&Arc<Engine>> {
        self.log().ok_or(Error::Shutdown)
    }

    /// The file system as [`libxfs::ops`] changes it, now.
    pub(crate) fn files(&self) -> Files<'_, Self> {
        // SAFETY: The super block is alive.
        let flags = unsafe { (*self.super_block()).s_flags };
        Files {
            journal: self,
            reservations: self.reservations(),
            now: self.now(),
            durable: self.options().write_sync || flags & bindings::SB_SYNCHRONOUS != 0,
            keep_chunks: false,
        }
    }

    /// Waits until all that was committed is on stable storage.
    ///
    /// # Errors
    ///
    /// `EIO` after a shutdown.
    pub(crate) fn force_log(&self) -> kernel::error::Result {
        self.check_running()?;
        match self.log() {
            Some(log) => log.force_all().map_err(|error| self.errno(error)),
            None => Ok(()),
        }
    }

    /// The time, as inodes get it whose times nobody has asked for; see [`settle`](super::settle).
    fn now(&self) -> Timestamp {
        // SAFETY: The super block is alive, and so is its device.
        let time = unsafe { bindings::coarse_time(self.super_block()) };
        Timestamp {
            sec: time.tv_sec,
            nsec: time.tv_nsec as u32,
        }
    }

    /// Waits until the last transaction that changed an inode is on stable storage.
    ///
    /// # Errors
    ///
    /// `EIO` after a shutdown.
    pub(crate) fn force_inode(&self, node: &Inode) -> kernel::error::Result {
        self.check_running()?;
        match (node.last_change(), self.log()) {
            (Some(sequence), Some(log)) => log.force(sequence).map_err(|error| self.errno(error)),
            _ => Ok(()),
        }
    }
}

impl Journal for Mount {
    type Ticket = Running;
    type Inode = LockedInode;
    type RtFile = Arc<libxfs::inode::Inode>;

    fn lock_inode(&self, number: InodeNumber) -> Result<LockedInode> {
        self.find(number, Want::Any)?.lock()
    }

    fn new_inode(&self, inode: libxfs::inode::Inode) -> Result<LockedInode> {
        self.take_over(inode)
    }

    fn reserve(&self, space: LogReservation) -> Result<Running> {
        let engine = self.engine()?;
        let write = Writing::start(self)?;
        Ok(Running {
            log: Ticket::take(engine, space)?,
            _write: write,
        })
    }

    fn regrant(&self, ticket: &mut Running) -> Result {
        ticket.log.regrant()
    }

    fn commit(
        &self,
        ticket: &mut Running,
        changes: &mut Changes<'_, Self>,
    ) -> Result<CommitSequence> {
        for held in changes.inodes() {
            held.locked().settle();
        }
        let sequence = self.engine()?.commit(&mut ticket.log, changes)?;
        for held in changes.inodes() {
            held.locked().committed(sequence);
        }
        Ok(sequence)
    }

    fn force(&self, sequence: CommitSequence) -> Result {
        self.engine()?.force(sequence)
    }

    fn is_stable(&self, sequence: CommitSequence) -> bool {
        self.log().is_some_and(|log| log.is_stable(sequence))
    }

    fn shut_down(&self, why: Shutdown) {
        self.shut_down(match why {
            Shutdown::DirtyCancel => {
                "since a transaction was given up after it had changed something"
            }
            Shutdown::Commit => "since a transaction could not be committed",
            Shutdown::Unfinished => "since work was given up that the log has promised",
        });
    }

    fn claim(&self, claim: Claim) -> Result {
        self.space().claim(claim)
    }

    fn settle(&self, deltas: &CounterDeltas) {
        self.space().settle(deltas);
    }

    fn with_group<R>(&self, ag: AgNumber, f: impl FnOnce(&mut Group) -> R) -> Result<R> {
        self.space().with_group(ag, f)
    }

    fn with_rt_group<R>(
        &self,
        group: RtGroup,
        f: impl FnOnce(&mut Busy<RtGroupBlock>) -> R,
    ) -> Result<R> {
        self.space().with_rt_group(group, f)
    }

    fn write_through(&self, device: Device, run: Run, bytes: &[u8]) -> Result {
        if self.is_shut_down() {
            return Err(Error::Shutdown);
        }
        let cache = self.cache(device).ok_or(Error::Invalid)?;
        // What is in the cache of what lay there before goes. It may have begun at any block.
        let step = self.geometry().basic_blocks_per_block().max(1);
        for offset in (0..run.len).step_by(step as usize) {
            let at = run.at.checked_add(offset.into()).ok_or(Error::Invalid)?;
            let one = Run { at, len: step };
            drop(cache.fresh(&[one])?.invalidate());
        }
        let mut block = cache.fresh_uncached(&[run], Kind::Raw)?;
        block
            .get_mut(..bytes.len())
            .ok_or(Error::Invalid)?
            .copy_from_slice(bytes);
        block.write(Durability::Cached)?;
        cache.block_device().flush().map_err(|_| Error::Io)
    }

    fn rt_file(&self, group: Option<RtGroup>, file: GroupFile) -> Result<Self::RtFile> {
        // Opened before anything was changed: here the stack is deep already.
        let files = self.rt_files().lock();
        let place = files.binary_search_by_key(&(group, file), |(name, _)| *name);
        let known = place.ok().and_then(|place| files.get(place));
        known
            .map(|(_, opened)| opened.clone())
            .ok_or(Error::NotFound)
    }

    fn next_intent(&self) -> u64 {
        self.log().map_or(0, |log| log.next_intent().0)
    }

    fn is_old(&self, intent: IntentId) -> bool {
        self.log().is_some_and(|log| log.is_old(intent))
    }
}
