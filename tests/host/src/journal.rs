// SPDX-License-Identifier: GPL-2.0

//! A journal that writes each transaction to its image at once, with no log between: what is
//! committed is there, and a power cut between two blocks is not survived.

use crate::{
    image::{Disks, ImageBlock, ImageStore, LockedBlock, Refused},
    inode_image,
    libxfs::{
        error::{Error, Result},
        format::{
            geometry::Geometry,
            kind::Kind,
            sb::{Counters, DiskSuperblock},
            units::{
                AgNumber, DiskAddr, InodeNumber, Lsn, RtGroup, RtGroupBlock, BASIC_BLOCK_SIZE,
            },
        },
        inode::{cluster_run, locate, Inode, Trust, WhichFork},
        items::{IntentId, Item, Work},
        journal::{Claim, CommitSequence, Journal, Shutdown},
        rt::{self, GroupFile},
        space::{self, Busy, Group},
        store::{Device, Run, Store, StoreMut},
        trans::{BlockState, Changes, CounterDeltas, LogReservation},
    },
};
use kernel::alloc::faults::FailAfter;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

/// The sequence number that blocks get: that of a log which was just made, since it is never
/// written.
const LSN: Lsn = Lsn::new(1, 0);

/// Files of the realtime section that were opened.
type RtFiles = HashMap<(Option<RtGroup>, GroupFile), Rc<Inode>>;

/// An image with its journal.
pub struct SyncJournal {
    store: ImageStore,
    counters: Cell<Counters>,
    commits: Cell<u64>,
    intents: Cell<u64>,
    /// Intents without a done item, each with the number of its commit.
    open: RefCell<BTreeMap<IntentId, (u64, Work)>>,
    /// Commits after which the power is cut.
    power: Cell<u64>,
    /// Commits after which an intent is old.
    old: Cell<u64>,
    shutdown: Cell<Option<Shutdown>>,
    inodes_in_memory: Cell<bool>,
    groups: RefCell<Vec<Group>>,
    rt_groups: RefCell<Vec<Busy<RtGroupBlock>>>,
    rt_files: RefCell<RtFiles>,
    /// The last commit that counts as stable, where not all do.
    stable: Cell<u64>,
    forces: Cell<u64>,
}

impl SyncJournal {
    /// A journal over that store, with counters to begin with.
    pub fn new(store: ImageStore, counters: Counters) -> Self {
        let groups = store.geometry().ag_count;
        let rt_groups = store.geometry().rt_group_count;
        Self {
            rt_groups: RefCell::new((0..rt_groups).map(|_| Busy::default()).collect()),
            rt_files: RefCell::default(),
            groups: RefCell::new((0..groups).map(|_| Group::default()).collect()),
            store,
            counters: Cell::new(counters),
            commits: Cell::new(0),
            intents: Cell::new(0),
            open: RefCell::default(),
            power: Cell::new(u64::MAX),
            old: Cell::new(u64::MAX),
            shutdown: Cell::new(None),
            inodes_in_memory: Cell::new(false),
            stable: Cell::new(u64::MAX),
            forces: Cell::new(0),
        }
    }

    /// Leaves inodes in memory alone from now on: only blocks are written.
    pub fn keep_inodes_in_memory(&self) {
        self.inodes_in_memory.set(true);
    }

    /// Opens an image for changes. Its log must be clean.
    ///
    /// # Errors
    ///
    /// Those of [`ImageStore::open`].
    pub fn open(disks: Disks) -> std::result::Result<Self, Refused> {
        let store = ImageStore::open(disks)?;
        let superblock = store
            .read(Device::Data, superblock_run(&store), Kind::Superblock)
            .map_err(Refused::Read)?;
        let disk = DiskSuperblock::view(&superblock).expect("it was verified");
        let counters = Counters {
            inodes: disk.icount.get(),
            free_inodes: disk.ifree.get(),
            free_blocks: disk.fdblocks.get(),
            free_rt_extents: disk.frextents.get(),
        };
        Ok(Self::new(store, counters))
    }

    /// The store under it.
    pub fn store(&self) -> &ImageStore {
        &self.store
    }

    /// The counters as they are now.
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    /// Transactions that were committed.
    pub fn commits(&self) -> u64 {
        self.commits.get()
    }

    /// Cuts the power after so many commits: no later one reaches the disk.
    pub fn cut_after(&self, commits: u64) {
        self.power.set(commits);
    }

    /// Has intents be old when so many commits were made after theirs.
    pub fn set_old_after(&self, commits: u64) {
        self.old.set(commits);
    }

    /// From now on commits count as stable when they were [forced](Journal::force), and not before.
    pub fn settle_when_forced(&self) {
        self.stable.set(self.commits.get());
    }

    /// How often it was forced.
    pub fn forces(&self) -> u64 {
        self.forces.get()
    }

    /// The intents without a done item that were committed, in the order of the log.
    pub fn open_intents(&self) -> Vec<(IntentId, Work)> {
        let open = self.open.borrow();
        let intents = open.iter().map(|(&id, (_, work))| (id, copy(work)));
        intents.collect()
    }

    /// Takes over the intents that another journal over the same disk had left.
    pub fn take_over(&self, intents: &[(IntentId, Work)]) {
        for (id, work) in intents {
            self.intents.set(self.intents.get().max(id.0));
            self.open.borrow_mut().insert(*id, (0, copy(work)));
        }
    }

    fn note(&self, items: &[Item]) {
        let mut open = self.open.borrow_mut();
        for item in items {
            match item {
                Item::Intent(id, work) => {
                    let before = open.insert(*id, (self.commits.get(), copy(work)));
                    assert!(before.is_none(), "intent {id:?} is logged twice");
                }
                Item::Done(id, _) => {
                    assert!(
                        open.remove(id).is_some(),
                        "{id:?} is done and was no intent"
                    );
                }
                Item::InodeCreate(_) => {}
            }
        }
    }

    /// Why it was shut down, if it was.
    pub fn shutdown(&self) -> Option<Shutdown> {
        self.shutdown.get()
    }

    /// Writes the counters to the superblock, as unmounting does.
    ///
    /// # Errors
    ///
    /// Those of reading and writing; `Shutdown`.
    pub fn unmount(&self) -> Result {
        self.check()?;
        let run = superblock_run(&self.store);
        let mut block = self.lock_runs(Device::Data, &[run], Kind::Superblock)?;
        let counters = self.counters.get();
        let disk = <DiskSuperblock as zerocopy::FromBytes>::mut_from_prefix(&mut block)
            .map_err(|_| Error::Invalid)?
            .0;
        disk.icount.set(counters.inodes);
        disk.ifree.set(counters.free_inodes);
        disk.fdblocks.set(counters.free_blocks);
        disk.frextents.set(counters.free_rt_extents);
        self.store
            .seal((Device::Data, run.at, Kind::Superblock), &mut block, LSN)?;
        self.store.write(Device::Data, &[run], &block)
    }

    fn check(&self) -> Result {
        match self.shutdown.get() {
            None => Ok(()),
            Some(_) => Err(Error::Shutdown),
        }
    }
}

/// A copy for which memory is always there, whatever a test makes of the transaction's own.
fn copy(work: &Work) -> Work {
    let _plenty = FailAfter::new(u64::MAX);
    work.try_clone().expect("there is memory")
}

fn superblock_run(store: &ImageStore) -> Run {
    Run {
        at: DiskAddr(0),
        len: store.geometry().sector_size / BASIC_BLOCK_SIZE,
    }
}

fn moved(counter: u64, by: i64) -> u64 {
    counter
        .checked_add_signed(by)
        .expect("a counter of the superblock falls below zero")
}

impl Store for SyncJournal {
    type Block = ImageBlock;

    fn geometry(&self) -> &Geometry {
        self.store.geometry()
    }

    fn read_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<ImageBlock> {
        self.store.read_runs(device, runs, kind)
    }

    fn read_ahead(&self, device: Device, run: Run, kind: Kind) {
        self.store.read_ahead(device, run, kind);
    }

    fn interrupted(&self) -> bool {
        self.store.interrupted()
    }
}

impl StoreMut for SyncJournal {
    type Locked = LockedBlock;

    fn lock_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<LockedBlock> {
        self.check()?;
        self.store.lock_runs(device, runs, kind)
    }

    fn try_lock_runs(
        &self,
        device: Device,
        runs: &[Run],
        kind: Kind,
    ) -> Result<Option<LockedBlock>> {
        self.check()?;
        self.store.try_lock_runs(device, runs, kind)
    }

    fn lock_fresh(&self, device: Device, runs: &[Run]) -> Result<LockedBlock> {
        self.check()?;
        self.store.lock_fresh(device, runs)
    }
}

impl Journal for SyncJournal {
    type Ticket = ();
    type Inode = Box<Inode>;
    type RtFile = Rc<Inode>;

    fn lock_inode(&self, number: InodeNumber) -> Result<Self::Inode> {
        self.check()?;
        let mut inode = Box::new(Inode::read(self, number, Trust::Trusted)?);
        for which in [WhichFork::Data, WhichFork::Attr] {
            inode.load_extents(self, which)?;
        }
        Ok(inode)
    }

    fn new_inode(&self, inode: Inode) -> Result<Self::Inode> {
        self.check()?;
        Ok(Box::new(inode))
    }

    fn reserve(&self, _: LogReservation) -> Result {
        self.check()
    }

    fn regrant(&self, (): &mut ()) -> Result {
        self.check()
    }

    fn commit(&self, (): &mut (), changes: &mut Changes<'_, Self>) -> Result<CommitSequence> {
        self.check()?;
        if self.commits.get() >= self.power.get() {
            return Err(Error::Io);
        }
        // All are good, or none is written.
        for block in changes.blocks() {
            let name = (block.device(), block.address(), block.kind());
            if matches!(block.state(), BlockState::Logged | BlockState::Ordered) {
                self.store.seal(name, block.locked(), LSN)?;
            }
        }
        for block in changes.blocks() {
            if block.state() != BlockState::Invalid {
                self.store
                    .write(block.device(), block.runs(), block.bytes())?;
            }
        }
        if !self.inodes_in_memory.get() {
            // An inode may go together with its cluster.
            let freed: BTreeSet<DiskAddr> = changes
                .blocks()
                .filter(|block| block.device() == Device::Data)
                .filter(|block| block.state() == BlockState::Invalid)
                .map(|block| block.address())
                .collect();
            for held in changes.inodes() {
                let place = locate(&self.store, held.inode().number, Trust::Trusted)?;
                let run = cluster_run(&self.store, place).ok_or(Error::Invalid)?;
                if !freed.contains(&run.at) {
                    inode_image::write(&self.store, held.inode())?;
                }
            }
        }
        self.note(changes.items());
        self.commits.set(self.commits.get() + 1);
        Ok(CommitSequence(self.commits.get()))
    }

    fn force(&self, sequence: CommitSequence) -> Result {
        self.check()?;
        self.forces.set(self.forces.get() + 1);
        self.stable.set(self.stable.get().max(sequence.0));
        space::stable(self, sequence);
        Ok(())
    }

    fn is_stable(&self, sequence: CommitSequence) -> bool {
        sequence.0 <= self.stable.get()
    }

    fn shut_down(&self, why: Shutdown) {
        if self.shutdown.get().is_none() {
            self.shutdown.set(Some(why));
        }
    }

    fn claim(&self, claim: Claim) -> Result {
        let mut counters = self.counters.get();
        let left = |counter: u64, claimed| counter.checked_sub(claimed).ok_or(Error::NoSpace);
        counters.free_blocks = left(counters.free_blocks, claim.blocks)?;
        counters.free_rt_extents = left(counters.free_rt_extents, claim.rt_extents)?;
        self.counters.set(counters);
        Ok(())
    }

    fn settle(&self, deltas: &CounterDeltas) {
        let counters = self.counters.get();
        self.counters.set(Counters {
            inodes: moved(counters.inodes, deltas.inodes),
            free_inodes: moved(counters.free_inodes, deltas.free_inodes),
            free_blocks: moved(counters.free_blocks, deltas.free_blocks),
            free_rt_extents: moved(counters.free_rt_extents, deltas.free_rt_extents),
        });
    }

    fn with_group<R>(&self, ag: AgNumber, f: impl FnOnce(&mut Group) -> R) -> Result<R> {
        let mut groups = self.groups.borrow_mut();
        groups.get_mut(ag.0 as usize).map(f).ok_or(Error::Invalid)
    }

    fn write_through(&self, device: Device, run: Run, bytes: &[u8]) -> Result {
        self.check()?;
        self.store.write(device, &[run], bytes)
    }

    fn with_rt_group<R>(
        &self,
        group: RtGroup,
        f: impl FnOnce(&mut Busy<RtGroupBlock>) -> R,
    ) -> Result<R> {
        let mut groups = self.rt_groups.borrow_mut();
        groups
            .get_mut(group.0 as usize)
            .map(f)
            .ok_or(Error::Invalid)
    }

    fn rt_file(&self, group: Option<RtGroup>, file: GroupFile) -> Result<Rc<Inode>> {
        if let Some(inode) = self.rt_files.borrow().get(&(group, file)) {
            return Ok(inode.clone());
        }
        let inode = Rc::new(rt::open(&self.store, group, file)?);
        let mut files = self.rt_files.borrow_mut();
        files.insert((group, file), inode.clone());
        Ok(inode)
    }

    fn next_intent(&self) -> u64 {
        self.intents.set(self.intents.get() + 1);
        self.intents.get()
    }

    fn is_old(&self, intent: IntentId) -> bool {
        let open = self.open.borrow();
        open.get(&intent)
            .is_some_and(|(commit, _)| commit.saturating_add(self.old.get()) < self.commits.get())
    }
}
