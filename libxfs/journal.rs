// SPDX-License-Identifier: GPL-2.0

//! The journal under the transactions: what libxfs asks of whoever makes changes last.
//!
//! In the kernel the log implements [`Journal`]: it formats what changed into its vectors while the
//! locks are still held, and writes it in checkpoints. On the host a journal writes at once.

use super::{
    error::Result,
    format::units::{AgNumber, InodeNumber, RtGroup, RtGroupBlock},
    inode::Inode,
    items::IntentId,
    rt::GroupFile,
    space::{Busy, Group},
    store::{Device, Run, StoreMut},
    trans::{Changes, CounterDeltas, LogReservation},
};
use core::ops::{Deref, DerefMut};

/// Numbers committed transactions in the order in which they reach the disk. Several that are
/// written together have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitSequence(pub u64);

/// Why a transaction shuts the file system down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// A transaction was given up after it had changed something in memory.
    DirtyCancel,
    /// The journal failed to take a transaction.
    Commit,
    /// Work was given up that the journal has an intent for.
    Unfinished,
}

/// Space that a transaction may take from the free counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Blocks of the data device.
    pub blocks: u64,
    /// Extents of the realtime device.
    pub rt_extents: u64,
    /// Whether the blocks kept for emergencies may be taken too.
    pub emergency: bool,
}

/// A journal over a store.
pub trait Journal: StoreMut {
    /// Room in the log that a chain of transactions holds. Dropping it gives the room back.
    ///
    /// While it lives, memory that its thread allocates must not be reclaimed by writing to this
    /// file system: that could wait for the log.
    type Ticket;

    /// An inode that is locked for changes; dropping it unlocks it.
    type Inode: DerefMut<Target = Inode>;

    /// A file of the realtime section as it was when the file system was mounted. If it is a bitmap
    /// or a summary its map is loaded; of others only the number holds.
    type RtFile: Deref<Target = Inode>;

    /// Locks an inode in use for changes, with the mappings of its forks loaded. Whoever locks several, or holds blocks, must know that no
    /// one waits for them in another order: this is for those who are alone, as recovery is, and
    /// for metadata inodes.
    ///
    /// # Errors
    ///
    /// Those of [`Inode::read`].
    fn lock_inode(&self, number: InodeNumber) -> Result<Self::Inode>;

    /// Takes over an inode that was just allocated, locked.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    fn new_inode(&self, inode: Inode) -> Result<Self::Inode>;

    /// Waits for room in the log.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`; `Invalid` for more than the log can ever hold.
    fn reserve(&self, space: LogReservation) -> Result<Self::Ticket>;

    /// Waits for room for the next transaction of a chain, after a commit.
    ///
    /// # Errors
    ///
    /// `Shutdown`.
    fn regrant(&self, ticket: &mut Self::Ticket) -> Result;

    /// Takes a transaction. Blocks and inodes are still locked; they are unlocked, or handed to the
    /// next transaction, after this returns.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`, `Io`. The transaction is then lost, and its caller shuts down.
    fn commit(
        &self,
        ticket: &mut Self::Ticket,
        changes: &mut Changes<'_, Self>,
    ) -> Result<CommitSequence>;

    /// Waits until that transaction is on stable storage.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `Io`.
    fn force(&self, sequence: CommitSequence) -> Result;

    /// Whether that transaction is on stable storage. Once this says so,
    /// [`space::stable`](super::space::stable) is called.
    fn is_stable(&self, sequence: CommitSequence) -> bool;

    /// Shuts the file system down: nothing more is written.
    fn shut_down(&self, why: Shutdown);

    /// Takes space from the free counters.
    ///
    /// # Errors
    ///
    /// `NoSpace`; then nothing is taken.
    fn claim(&self, claim: Claim) -> Result;

    /// Gives back what a transaction claimed and did not take, and settles what it changed.
    fn settle(&self, deltas: &CounterDeltas);

    /// Whether a group may give space, asked each time that one is looked at for some, be it
    /// [`promised`](super::space::Wanted::promised) or not. Where it may not, it is taken for full: here
    /// tests refuse space.
    fn may_give(&self, _promised: bool) -> bool {
        true
    }

    /// Lends what memory knows of a group to `f`. One at a time has it; `f` may allocate memory, and
    /// must not come back here.
    ///
    /// # Errors
    ///
    /// `Invalid` for a group that is not there.
    fn with_group<R>(&self, ag: AgNumber, f: impl FnOnce(&mut Group) -> R) -> Result<R>;

    /// Writes blocks that no transaction changes, past the log, and returns once they are stable. What
    /// the cache has of them is forgotten.
    ///
    /// # Errors
    ///
    /// `Io`, `NoMemory`, `Shutdown`.
    fn write_through(&self, device: Device, run: Run, bytes: &[u8]) -> Result;

    /// Lends what memory knows of what was freed in a realtime group, as
    /// [`with_group`](Self::with_group) does.
    ///
    /// # Errors
    ///
    /// `Invalid` for a group that is not there.
    fn with_rt_group<R>(
        &self,
        group: RtGroup,
        f: impl FnOnce(&mut Busy<RtGroupBlock>) -> R,
    ) -> Result<R>;

    /// A file of a realtime group, or of a section without groups. The maps of bitmap and summary stay
    /// as they are for as long as the file system is mounted, but for growing.
    ///
    /// # Errors
    ///
    /// Those of [`rt::open`](super::rt::open).
    fn rt_file(&self, group: Option<RtGroup>, file: GroupFile) -> Result<Self::RtFile>;

    /// A number for an intent that no other living one has.
    fn next_intent(&self) -> u64;

    /// Whether an intent has been in the log for so long that it should be logged anew, since the
    /// log cannot forget what is younger.
    fn is_old(&self, _intent: IntentId) -> bool {
        false
    }
}
