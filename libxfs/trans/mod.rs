// SPDX-License-Identifier: GPL-2.0

//! Transactions: changes of metadata that reach the disk together or not at all.
//!
//! A [`Trans`] owns all that it locked, and hands out small handles: a [`BlockId`] for a block, an
//! [`InodeId`] for an inode. A block is changed only through [`Trans::change`], which records what
//! the journal has to log; there is no other way to its bytes. Asking twice for a block gives the
//! same handle, so algorithms need not tell each other what they hold.
//!
//! [`Trans::commit`] consumes the transaction. One that is dropped is cancelled: if it changed
//! something, memory and journal no longer agree, and the file system is shut down. C XFS can leak
//! a transaction on a path of errors; here none can be forgotten.
//!
//! Blocks are locked in the order in which they are asked for, and unlocked when the transaction
//! ends. Group headers are asked for in ascending order of groups, and the tree blocks of a group
//! are under its header's lock; that rules out a deadlock.
//!
//! Checksums and sequence numbers are not set here: they change whenever a block is written.
//!
//! ```ignore
//! let mut trans = Trans::start(journal, reservations.remove, Claim::default())?;
//! let agf = trans.read(Device::Data, run, Kind::Agf)?;
//! trans.change_as::<DiskAgf>(agf, 0)?.freeblks.set(free);
//! trans.commit()?;
//! ```

mod block;
mod changes;
mod counters;
mod inode;
mod reservation;
pub mod space;

pub use super::format::log::chunks::{ChunkMap, CHUNK_SIZE};
pub use block::{BlockId, BlockState, HeldBlock};
pub use changes::Changes;
pub use counters::CounterDeltas;
pub use inode::{HeldInode, InodeFields, InodeId};
pub use reservation::{LogReservation, LogReservations};

use self::{block::Blocks, counters::Space, inode::Inodes};
use super::{
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        units::{DiskAddr, InodeNumber, RtGroup},
    },
    inode::{Inode, WhichFork},
    items::{IntentId, Item, Work},
    journal::{Claim, CommitSequence, Journal, Shutdown},
    store::{Device, Run},
};
use core::{mem::size_of, ops::Range};
use kernel::alloc::{flags::GFP_KERNEL, KVec};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of the log beside its content that a block or an inode takes, at most. Source:
/// `xfs_buf_log_overhead` in `fs/xfs/libxfs/xfs_trans_resv.c` of Linux 7.3.
const LOGGED_OVERHEAD: u32 = 128;

/// What is left of a transaction that was committed.
pub struct Committed<I> {
    /// Its number or, of a chain, that of the last one that changed anything; none when nothing was
    /// changed.
    pub sequence: Option<CommitSequence>,
    /// The inodes that it held, still locked.
    pub inodes: KVec<HeldInode<I>>,
}

/// A transaction, or a chain of them.
pub struct Trans<'a, J: Journal> {
    journal: &'a J,
    ticket: J::Ticket,
    log: LogReservation,
    space: Space,
    blocks: Blocks<J::Locked>,
    inodes: Inodes<J::Inode>,
    items: KVec<Item>,
    /// The realtime groups in which the present transaction of a chain freed anything.
    rt_freed: KVec<RtGroup>,
    /// The number of the last transaction of the chain that changed anything.
    last: Option<CommitSequence>,
    /// Whether it waits until it is on stable storage.
    durable: bool,
    /// Whether what it claimed was given back.
    settled: bool,
}

impl<'a, J: Journal> Trans<'a, J> {
    /// Starts one: waits for room in the log, and claims space.
    ///
    /// # Errors
    ///
    /// `NoSpace`, and those of [`Journal::reserve`].
    pub fn start(journal: &'a J, log: LogReservation, claim: Claim) -> Result<Self> {
        // Space first: who waits for the log holds nothing that others wait for.
        journal.claim(claim)?;
        let mut space = Space::new(claim);
        let ticket = match journal.reserve(log) {
            Ok(ticket) => ticket,
            Err(error) => {
                journal.settle(&space.finish());
                return Err(error);
            }
        };
        Ok(Self {
            journal,
            ticket,
            log,
            space,
            blocks: Blocks::new(),
            inodes: Inodes::new(),
            items: KVec::new(),
            rt_freed: KVec::new(),
            last: None,
            durable: false,
            settled: false,
        })
    }

    /// The journal.
    pub fn journal(&self) -> &'a J {
        self.journal
    }

    /// The file system's shape.
    pub fn geometry(&self) -> &'a Geometry {
        self.journal.geometry()
    }

    /// Has the last commit wait until all is on stable storage.
    pub fn set_durable(&mut self) {
        self.durable = true;
    }

    /// Whether it changed anything: then it must be committed.
    pub fn is_dirty(&mut self) -> bool {
        !self.items.is_empty()
            || self
                .blocks
                .iter()
                .any(|block| block.state() != BlockState::Clean)
            || self
                .inodes
                .as_mut_slice()
                .iter()
                .any(|held| !held.fields().is_empty())
    }

    /// Bytes of the log that `n` blocks take when all of them is changed.
    pub fn block_log_bytes(&self, n: u32) -> u32 {
        let block = self.geometry().block_size.saturating_add(LOGGED_OVERHEAD);
        block.saturating_mul(n)
    }

    /// Bytes that the present transaction of a chain may still log: what it reserved, less what it
    /// has changed so far.
    pub fn log_room(&mut self) -> u32 {
        let mut used = 0u32;
        for block in self.blocks.iter() {
            if block.state() == BlockState::Logged {
                let bytes = block.dirty().count().saturating_mul(CHUNK_SIZE as u32);
                used = used.saturating_add(bytes.saturating_add(LOGGED_OVERHEAD));
            }
        }
        let inode = self.geometry().inode_size.saturating_add(LOGGED_OVERHEAD);
        for held in self.inodes.as_mut_slice() {
            if !held.fields().is_empty() {
                used = used.saturating_add(inode);
            }
        }
        for item in &self.items {
            used = used.saturating_add(item.log_bytes());
        }
        self.log.bytes.saturating_sub(used)
    }

    /// Locks a block, verified as `kind`, or finds it among those that are held.
    ///
    /// # Errors
    ///
    /// Those of [`StoreMut::lock_runs`](super::store::StoreMut::lock_runs); `Corrupt` for a block
    /// that this transaction invalidated, or changed as another kind.
    pub fn read(&mut self, device: Device, run: Run, kind: Kind) -> Result<BlockId> {
        self.read_runs(device, &[run], kind)
    }

    /// As [`read`](Self::read), of a block made of `runs`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_runs(&mut self, device: Device, runs: &[Run], kind: Kind) -> Result<BlockId> {
        if let Some(id) = self.find_held(device, runs, kind)? {
            return Ok(id);
        }
        self.blocks.reserve()?;
        let locked = self.journal.lock_runs(device, runs, kind)?;
        self.blocks.add(device, runs, kind, locked)
    }

    /// As [`read`](Self::read), but does not wait for whoever has the block locked; `None` where that
    /// takes waiting. For blocks that are asked for out of order.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn try_read(&mut self, device: Device, run: Run, kind: Kind) -> Result<Option<BlockId>> {
        let runs = &[run];
        if let Some(id) = self.find_held(device, runs, kind)? {
            return Ok(Some(id));
        }
        self.blocks.reserve()?;
        match self.journal.try_lock_runs(device, runs, kind)? {
            Some(locked) => self.blocks.add(device, runs, kind, locked).map(Some),
            None => Ok(None),
        }
    }

    /// Finds a block among those that are held.
    fn find_held(&mut self, device: Device, runs: &[Run], kind: Kind) -> Result<Option<BlockId>> {
        let at = runs.first().ok_or(Error::Invalid)?.at;
        let Some(id) = self.blocks.find(device, at) else {
            return Ok(None);
        };
        let known = self.check_held(id, runs, kind);
        if known.is_err() {
            self.blocks.release(id);
        }
        known.map(|()| Some(id))
    }

    /// The blocks that are held, in no order.
    pub fn held(&self) -> impl Iterator<Item = &HeldBlock<J::Locked>> {
        self.blocks.iter()
    }

    /// That a block that is held can be used as `kind`.
    fn check_held(&mut self, id: BlockId, runs: &[Run], kind: Kind) -> Result {
        let geo = self.journal.geometry();
        let block = self.blocks.get_mut(id).ok_or(Error::Invalid)?;
        let wrong =
            |block: &HeldBlock<J::Locked>, field| Err(block.fault(Fault::corrupt("block", field)));
        if !block.has_length_of(runs) {
            return wrong(block, "length");
        }
        if block.state == BlockState::Invalid {
            return wrong(block, "state");
        }
        if block.kind != kind && kind != Kind::Raw {
            if block.state != BlockState::Clean {
                return wrong(block, "kind");
            }
            let verified = kind.verify(geo, block.address(), block.bytes());
            verified.map_err(|fault| block.fault(fault))?;
            block.kind = kind;
        }
        Ok(())
    }

    /// Locks a block that was just allocated: it holds zeroes, and is to become `kind`.
    ///
    /// # Errors
    ///
    /// Those of [`StoreMut::lock_fresh`](super::store::StoreMut::lock_fresh).
    pub fn fresh(&mut self, device: Device, run: Run, kind: Kind) -> Result<BlockId> {
        self.fresh_runs(device, &[run], kind)
    }

    /// As [`fresh`](Self::fresh), of a block made of `runs`.
    ///
    /// # Errors
    ///
    /// As [`fresh`](Self::fresh).
    pub fn fresh_runs(&mut self, device: Device, runs: &[Run], kind: Kind) -> Result<BlockId> {
        let at = runs.first().ok_or(Error::Invalid)?.at;
        if let Some(id) = self.blocks.find(device, at) {
            let block = self.blocks.get_mut(id).ok_or(Error::Invalid)?;
            if !block.has_length_of(runs) {
                let fault = block.fault(Fault::corrupt("block", "length"));
                self.blocks.release(id);
                return Err(fault);
            }
            // Freed and allocated again. What it will hold is logged, all of it.
            block.kind = kind;
            block.locked.fill(0);
            let all = 0..block.locked.len();
            let _ = block.change(all);
            return Ok(id);
        }
        self.blocks.reserve()?;
        let locked = self.journal.lock_fresh(device, runs)?;
        self.blocks.add(device, runs, kind, locked)
    }

    /// The bytes of a block; none for a handle that names no block.
    pub fn bytes(&self, id: BlockId) -> &[u8] {
        self.blocks.get(id).map_or(&[], HeldBlock::bytes)
    }

    /// The bytes from `offset` on as a structure; `None` where it does not fit.
    pub fn view<T: FromBytes + KnownLayout + Immutable>(
        &self,
        id: BlockId,
        offset: usize,
    ) -> Option<&T> {
        let bytes = self.bytes(id).get(offset..)?;
        T::ref_from_prefix(bytes).ok().map(|(view, _)| view)
    }

    /// Bytes of a block, to be changed. They are logged.
    ///
    /// # Errors
    ///
    /// `Invalid` for a range outside the block, or a handle that names none.
    pub fn change(&mut self, id: BlockId, range: Range<usize>) -> Result<&mut [u8]> {
        let block = self.blocks.get_mut(id).ok_or(Error::Invalid)?;
        block.change(range).ok_or(Error::Invalid)
    }

    /// The bytes from `offset` on as a structure, to be changed. All of it is logged.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change), and `Invalid` for bytes on which it cannot lie.
    pub fn change_as<T: FromBytes + IntoBytes + KnownLayout>(
        &mut self,
        id: BlockId,
        offset: usize,
    ) -> Result<&mut T> {
        let end = offset.checked_add(size_of::<T>()).ok_or(Error::Invalid)?;
        let bytes = self.change(id, offset..end)?;
        T::mut_from_bytes(bytes).map_err(|_| Error::Invalid)
    }

    /// Changes the structure that lies from `offset` on; from the first to the last byte that `change`
    /// leaves different, it is logged.
    ///
    /// # Errors
    ///
    /// As [`change_as`](Self::change_as), and those of `change`; then nothing is changed.
    pub fn update<T, R>(
        &mut self,
        id: BlockId,
        offset: usize,
        change: impl FnOnce(&mut T) -> Result<R>,
    ) -> Result<R>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable + Copy,
    {
        let before = *self.view::<T>(id, offset).ok_or(Error::Invalid)?;
        let mut after = before;
        let result = change(&mut after)?;
        let (before, after) = (before.as_bytes(), after.as_bytes());
        let mut differ = before.iter().zip(after).map(|(one, other)| one != other);
        let Some(first) = differ.position(|differs| differs) else {
            return Ok(result);
        };
        let last = before
            .iter()
            .zip(after)
            .rposition(|(one, other)| one != other);
        let range = first..last.unwrap_or(first).saturating_add(1);
        let at = |index: usize| offset.checked_add(index).ok_or(Error::Invalid);
        let bytes = self.change(id, at(range.start)?..at(range.end)?)?;
        bytes.copy_from_slice(after.get(range).ok_or(Error::Invalid)?);
        Ok(result)
    }

    /// Copies bytes of a block to byte `at` of another one, or of the same.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change).
    pub fn copy(&mut self, from: BlockId, range: Range<usize>, to: BlockId, at: usize) -> Result {
        let end = at.checked_add(range.len()).ok_or(Error::Invalid)?;
        if from == to {
            let span = range.start.min(at)..range.end.max(end);
            let block = self.blocks.get_mut(to).ok_or(Error::Invalid)?;
            if span.end > block.bytes().len() || range.start > range.end {
                return Err(Error::Invalid);
            }
            block.change(at..end).ok_or(Error::Invalid)?;
            block.locked.copy_within(range, at);
            return Ok(());
        }
        let (from, to) = self.blocks.get_two(from, to).ok_or(Error::Invalid)?;
        let source = from.bytes().get(range).ok_or(Error::Invalid)?;
        to.change(at..end)
            .ok_or(Error::Invalid)?
            .copy_from_slice(source);
        Ok(())
    }

    /// What a block is, and where; `None` for a handle that names none.
    pub fn block(&self, id: BlockId) -> Option<&HeldBlock<J::Locked>> {
        self.blocks.get(id)
    }

    /// Corruption of a block.
    pub fn corrupt(&self, id: BlockId, structure: &'static str, field: &'static str) -> Error {
        match self.blocks.get(id) {
            Some(block) => block.fault(Fault::corrupt(structure, field)),
            None => Error::Invalid,
        }
    }

    /// The device and first address of a block.
    pub fn place(&self, id: BlockId) -> Option<(Device, DiskAddr)> {
        let block = self.blocks.get(id)?;
        Some((block.device(), block.address()))
    }

    /// Says that a block's content is now of another kind.
    pub fn set_kind(&mut self, id: BlockId, kind: Kind) {
        if let Some(block) = self.blocks.get_mut(id) {
            block.kind = kind;
        }
    }

    /// Gives a block back, once for each time that it was asked for. It is unlocked when nobody
    /// uses it and it was not changed.
    pub fn release(&mut self, id: BlockId) {
        self.blocks.release(id);
    }

    /// Keeps a block locked when the transaction rolls, or no longer does.
    pub fn keep(&mut self, id: BlockId, kept: bool) {
        if let Some(block) = self.blocks.get_mut(id) {
            block.kept = kept;
        }
    }

    /// Has a block written before the log forgets this transaction, without logging it: something
    /// else that is logged makes it again. A block that was logged before stays so.
    pub fn order(&mut self, id: BlockId) {
        if let Some(block) = self.blocks.get_mut(id) {
            if block.state == BlockState::Clean {
                block.state = BlockState::Ordered;
            }
        }
    }

    /// Says that a block is free: nothing that log or cache have of it must be written any more.
    pub fn invalidate(&mut self, id: BlockId) {
        if let Some(block) = self.blocks.get_mut(id) {
            block.state = BlockState::Invalid;
        }
    }

    /// Takes over a locked inode. It stays locked, when the transaction rolls too, until the last
    /// commit.
    ///
    /// # Errors
    ///
    /// `NoMemory`; then the inode is unlocked.
    pub fn join(&mut self, inode: J::Inode) -> Result<InodeId> {
        self.inodes.join(inode)
    }

    /// The inode of that number: the one that is held, or else it is locked, and taken over.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::lock_inode`]; `NoMemory`.
    pub fn hold_inode(&mut self, number: InodeNumber) -> Result<InodeId> {
        match self.joined(number) {
            Some(id) => Ok(id),
            None => {
                let inode = self.journal.lock_inode(number)?;
                self.join(inode)
            }
        }
    }

    /// The inode of that number, if it is held.
    pub fn joined(&self, number: InodeNumber) -> Option<InodeId> {
        self.inodes.find(number)
    }

    /// An inode that is held.
    ///
    /// # Errors
    ///
    /// `Invalid` for a handle that names none.
    pub fn inode(&self, id: InodeId) -> Result<&Inode> {
        self.inodes.get(id).ok_or(Error::Invalid)
    }

    /// An inode, to be changed. Its core and `fields` are logged.
    ///
    /// # Errors
    ///
    /// `Invalid` for a handle that names none.
    pub fn change_inode(&mut self, id: InodeId, fields: InodeFields) -> Result<&mut Inode> {
        self.inodes.change(id, fields).ok_or(Error::Invalid)
    }

    /// Reads the mappings of an inode's fork if they lie in a B+tree and were not read before. Nothing
    /// is logged.
    ///
    /// # Errors
    ///
    /// `Invalid` for a handle that names no inode; those of [`Inode::load_extents`].
    pub fn load_extents(&mut self, id: InodeId, which: WhichFork) -> Result {
        let inode = self.inodes.get_mut(id).ok_or(Error::Invalid)?;
        inode.load_extents(self.journal, which)
    }

    /// The mappings of an inode's fork, to be changed. That by itself logs nothing: who changes what
    /// the disk has of them logs the fork, or its tree.
    ///
    /// # Errors
    ///
    /// `Invalid` for a handle that names no inode, and where no mappings are at hand.
    pub(in crate::libxfs) fn extents_mut(
        &mut self,
        id: InodeId,
        which: WhichFork,
    ) -> Result<&mut ExtentMap> {
        let log = self.region_log(id, which)?;
        let inode = self.inodes.get_mut(id).ok_or(Error::Invalid)?;
        let map = inode.extents_mut(which)?;
        map.keep_apart(log);
        Ok(map)
    }

    /// The CoW fork of an inode, to be changed. The disk has nothing of it.
    ///
    /// # Errors
    ///
    /// `Invalid` for a handle that names no inode.
    pub(in crate::libxfs) fn cow_mut(&mut self, id: InodeId) -> Result<&mut ExtentMap> {
        let log = self.region_log(id, WhichFork::Data)?;
        let inode = self.inodes.get_mut(id).ok_or(Error::Invalid)?;
        inode.cow.keep_apart(log);
        Ok(&mut inode.cow)
    }

    /// In what regions of the device the mappings of a fork stay. A group of the data device begins
    /// with its headers, which no fork maps.
    fn region_log(&self, id: InodeId, which: WhichFork) -> Result<u8> {
        let geo = self.journal.geometry();
        Ok(match self.inode(id)?.device(which) {
            Device::Realtime if geo.rt_group_count != 0 => geo.rt_group_block_log,
            _ => 0,
        })
    }

    /// Logs that something will be done.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn intend(&mut self, work: Work) -> Result<IntentId> {
        let id = IntentId(self.journal.next_intent());
        self.log(Item::Intent(id, work))?;
        Ok(id)
    }

    /// Logs something beside blocks and inodes.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn log(&mut self, item: Item) -> Result {
        self.items.push(item, GFP_KERNEL)?;
        Ok(())
    }

    /// What is left of the space that was claimed.
    pub fn claimed(&self) -> Claim {
        self.space.left()
    }

    /// Takes `n` of the claimed blocks.
    ///
    /// # Errors
    ///
    /// `NoSpace` for more than are left.
    pub fn take_blocks(&mut self, n: u64) -> Result {
        self.space.take_blocks(n)
    }

    /// Takes over space that was set aside before this began, for delayed blocks: it is claimed from
    /// now on.
    pub fn adopt(&mut self, claim: Claim) {
        self.space.adopt(claim);
    }

    /// Leaves some of the claimed space to whom it was taken over from.
    ///
    /// # Errors
    ///
    /// `NoSpace` for more than is left; then nothing is left to anyone.
    pub fn disown(&mut self, claim: Claim) -> Result {
        self.space.disown(claim)
    }

    /// Takes `n` of the claimed realtime extents.
    ///
    /// # Errors
    ///
    /// `NoSpace` for more than are left.
    pub fn take_rt_extents(&mut self, n: u64) -> Result {
        self.space.take_rt_extents(n)
    }

    /// Counts `n` blocks that were freed, once this is committed.
    pub fn give_blocks(&mut self, n: u64) {
        self.space.free_blocks(n);
    }

    /// Counts `n` realtime extents that were freed, once this is committed.
    pub fn give_rt_extents(&mut self, n: u64) {
        self.space.free_rt_extents(n);
    }

    /// Notes that something was freed in a realtime group, which is locked: the group is told when
    /// this is committed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn note_rt_free(&mut self, group: RtGroup) -> Result {
        if !self.rt_freed.contains(&group) {
            self.rt_freed.push(group, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Counts inodes that were made, or with a negative number removed, and how many more are free.
    pub fn count_inodes(&mut self, inodes: i64, free: i64) {
        let deltas = self.space.deltas_mut();
        deltas.inodes = deltas.inodes.saturating_add(inodes);
        deltas.free_inodes = deltas.free_inodes.saturating_add(free);
    }

    /// Counts blocks that the free-space trees of a group have more, or with a negative number
    /// fewer, roots aside.
    pub fn count_alloc_tree_blocks(&mut self, n: i64) {
        let deltas = self.space.deltas_mut();
        deltas.alloc_tree_blocks = deltas.alloc_tree_blocks.saturating_add(n);
    }

    /// Commits what was changed so far and goes on with a new transaction, in log space of the same
    /// kind. Inodes and blocks that are [kept](Self::keep) stay locked; handles of other blocks
    /// name nothing from then on.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::commit`], after which the file system is shut down, and of
    /// [`Journal::regrant`].
    pub fn roll(&mut self) -> Result {
        self.commit_changes()?;
        self.journal.regrant(&mut self.ticket)
    }

    fn commit_changes(&mut self) -> Result {
        if self.is_dirty() {
            let committed = self.journal.commit(
                &mut self.ticket,
                &mut Changes {
                    blocks: &mut self.blocks,
                    inodes: self.inodes.as_mut_slice(),
                    items: &mut self.items,
                },
            );
            let committed = committed.inspect_err(|_| {
                self.journal.shut_down(Shutdown::Commit);
            })?;
            self.freed_with(committed)?;
            self.last = Some(committed);
        }
        self.journal.settle(&self.space.roll());
        self.blocks.settle();
        self.inodes.settle();
        self.items.clear();
        Ok(())
    }

    /// Tells the groups that it holds under which number it was committed: what it freed there is busy
    /// until that is on stable storage.
    fn freed_with(&mut self, sequence: CommitSequence) -> Result {
        let (journal, geo) = (self.journal, self.journal.geometry());
        for group in &self.rt_freed {
            journal.with_rt_group(*group, |busy| {
                busy.commit(sequence);
                if journal.is_stable(sequence) {
                    busy.settle(sequence);
                }
            })?;
        }
        self.rt_freed.clear();
        for block in self.blocks.iter() {
            if block.device() != Device::Data || block.kind() != Kind::Agf {
                continue;
            }
            let (ag, _) = geo.split_addr(block.address()).ok_or(Error::Invalid)?;
            journal.with_group(ag, |group| {
                group.busy.commit(sequence);
                // It may have become stable before the group knew that it waits for that.
                if journal.is_stable(sequence) {
                    group.busy.settle(sequence);
                }
            })?;
        }
        Ok(())
    }

    /// Commits it; its blocks and inodes are unlocked. Returns its number or, of a chain, that of the last
    /// transaction that changed anything; none when nothing was changed.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::commit`], after which the file system is shut down; of
    /// [`Journal::force`] where it is [durable](Self::set_durable).
    pub fn commit(self) -> Result<Option<CommitSequence>> {
        self.commit_keeping().map(|committed| committed.sequence)
    }

    /// As [`commit`](Self::commit), but hands out the inodes, still locked.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_keeping(mut self) -> Result<Committed<J::Inode>> {
        self.commit_changes()?;
        self.settle();
        let inodes = self.inodes.take();
        let (journal, durable, sequence) = (self.journal, self.durable, self.last);
        drop(self);
        if let Some(sequence) = sequence.filter(|_| durable) {
            journal.force(sequence)?;
        }
        Ok(Committed { sequence, inodes })
    }

    /// Gives back what was claimed.
    fn settle(&mut self) {
        if !core::mem::replace(&mut self.settled, true) {
            self.journal.settle(&self.space.finish());
        }
    }
}

impl<J: Journal> Drop for Trans<'_, J> {
    fn drop(&mut self) {
        if self.is_dirty() {
            self.journal.shut_down(Shutdown::DirtyCancel);
        }
        self.settle();
    }
}
