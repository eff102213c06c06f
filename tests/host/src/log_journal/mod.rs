// SPDX-License-Identifier: GPL-2.0

//! A journal with a real log under it, for one that waits for everything.
//!
//! What transactions changed is kept in memory until a checkpoint has it: one or several
//! transactions, in which a block is logged once however often it was changed. What the log has is
//! then written to its place, some of it soon and some late, as chance has it, and the log's tail
//! follows. So a power cut finds disks and log in states that a kernel would leave.

mod dirty;
mod recovery;
mod scarcity;

use self::dirty::{Dirty, DirtyInode, Name};
use crate::{
    image::{Disk, Disks, ImageBlock, ImageStore, LockedBlock, Refused, ScratchDisk},
    libxfs::{
        ag,
        error::{Error, Result},
        extents::ExtentMap,
        format::{
            fault::Fault,
            geometry::Geometry,
            inode::{self, RawInode},
            kind::Kind,
            sb::{Counters, DiskSuperblock},
            units::{
                AgNumber, DiskAddr, InodeNumber, Lsn, RtGroup, RtGroupBlock, BASIC_BLOCK_SIZE,
            },
        },
        inode::{cluster_run, encode, locate, Inode, Trust, WhichFork},
        items::IntentId,
        journal::{Claim, CommitSequence, Journal, Shutdown},
        log::{device::LogArea, read::head, space::distance, stale, writer::Writer},
        quota,
        rt::{self, GroupFile},
        space::{self, Busy, Group},
        store::{Device, Run, Store, StoreMut},
        trans::{
            BlockState, Changes, ChunkMap, CounterDeltas, HeldBlock, InodeFields, LogReservation,
            LogReservations,
        },
    },
    random::Random,
};
pub use recovery::Replayed;
pub use scarcity::Scarcity;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    mem::{offset_of, size_of},
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
};
use zerocopy::FromBytes;

/// Bytes of an in-core log.
const LOG_BUFFER: u32 = 32 << 10;
/// Most blocks that are kept for emergencies.
const MOST_KEPT: u64 = 8192;

/// The disks of a file system, and its shape.
pub struct Volume {
    disks: Disks,
    geometry: Geometry,
}

impl Volume {
    /// Reads the shape from the superblock.
    ///
    /// # Errors
    ///
    /// Why the superblock is refused, or that it cannot be read.
    pub fn open(disks: Disks) -> std::result::Result<Self, Refused> {
        let store = ImageStore::open(disks.clone())?;
        let geometry = store.geometry().clone();
        Ok(Self { disks, geometry })
    }

    /// The file system's shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The disks.
    pub fn disks(&self) -> &Disks {
        &self.disks
    }
}

/// How a journal behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Most transactions of a checkpoint.
    pub batch: u32,
    /// Checkpoints between two times that something is written to its place.
    pub write_back: u32,
    /// Chooses what is written.
    pub seed: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            batch: 4,
            write_back: 3,
            seed: 0,
        }
    }
}

/// A file system that is open for changes.
pub struct LogJournal<'v> {
    volume: &'v Volume,
    behaviour: Behaviour,
    /// Reads through what is changed in memory.
    store: ImageStore,
    /// What is changed in memory, of the data and the realtime device.
    memory: Memory,
    area: LogArea,
    writer: RefCell<Writer<'v, Disks>>,
    dirty: RefCell<Dirty>,
    counters: Cell<Counters>,
    /// Number of the open checkpoint.
    sequence: Cell<u64>,
    intents: Cell<u64>,
    random: RefCell<Random>,
    shutdown: Cell<Option<Shutdown>>,
    groups: RefCell<Vec<Group>>,
    rt_groups: RefCell<Vec<Busy<RtGroupBlock>>>,
    known: Rc<RefCell<Known>>,
    /// Whether data was written past the log since the last flush.
    unflushed: Cell<bool>,
    claims: Scarcity,
    looks: Scarcity,
    promises: Scarcity,
}

struct Memory {
    data: Arc<ScratchDisk>,
    rt: Option<Arc<ScratchDisk>>,
}

impl Memory {
    fn of(&self, device: Device) -> &ScratchDisk {
        match (device, &self.rt) {
            (Device::Realtime, Some(rt)) => rt,
            _ => &self.data,
        }
    }

    fn forget(&self, device: Device, runs: &[Run]) {
        for run in runs {
            let size = u64::from(BASIC_BLOCK_SIZE);
            self.of(device)
                .forget(run.at.0 * size, u64::from(run.len) * size);
        }
    }
}

/// What memory knows of inodes.
#[derive(Default)]
struct Known {
    /// Those that are locked.
    locked: BTreeSet<InodeNumber>,
    /// The CoW forks of the others.
    cow: BTreeMap<InodeNumber, ExtentMap>,
}

/// An inode that is locked. No one else can lock it until this is dropped; whoever tries would wait
/// for ever.
pub struct LockedInode {
    inode: Box<Inode>,
    known: Rc<RefCell<Known>>,
}

impl Deref for LockedInode {
    type Target = Inode;
    fn deref(&self) -> &Inode {
        &self.inode
    }
}

impl DerefMut for LockedInode {
    fn deref_mut(&mut self) -> &mut Inode {
        &mut self.inode
    }
}

impl Drop for LockedInode {
    fn drop(&mut self) {
        let mut known = self.known.borrow_mut();
        let number = self.inode.number;
        known.locked.remove(&number);
        let cow = std::mem::take(&mut self.inode.cow);
        if cow.iter().next().is_some() {
            known.cow.insert(number, cow);
        }
    }
}

fn bytes_of(store: &ImageStore, device: Device, runs: &[Run]) -> Result<Vec<u8>> {
    Ok(store.read_runs(device, runs, Kind::Raw)?.to_vec())
}

impl<'v> LogJournal<'v> {
    /// Opens a file system whose log is clean, or was [replayed](Volume::replay); then what
    /// `replayed` has is to be [finished](Self::finish).
    ///
    /// # Errors
    ///
    /// Those of reading and writing, and of corruption; `Invalid` for a log with something to
    /// replay.
    pub fn open(
        volume: &'v Volume,
        replayed: Option<&Replayed>,
        behaviour: Behaviour,
    ) -> Result<Self> {
        let (disks, geometry) = (&volume.disks, &volume.geometry);
        let head = match replayed {
            Some(replayed) => replayed.head,
            None => head(disks, geometry)?,
        };
        if replayed.is_none() && !head.is_clean() {
            return Err(Error::Invalid);
        }
        stale::clear(disks, geometry, &head)?;
        let mut writer = Writer::new(disks, geometry, &head, LOG_BUFFER)?;
        let mut dirty = Dirty::default();
        for intent in replayed.iter().flat_map(|replayed| &replayed.intents) {
            let kind = intent.work.kind().ok_or(Error::Invalid)?;
            dirty.intents.insert((kind, intent.id), intent.lsn);
        }
        if let Some(tail) = dirty.tail() {
            writer = writer.needed_from(tail)?;
        }
        let scratch = |disk: &Arc<dyn Disk>| Arc::new(ScratchDisk::new(disk.clone()));
        let memory = Memory {
            data: scratch(&disks.data),
            rt: disks.rt.as_ref().map(scratch),
        };
        let changed = Disks {
            data: memory.data.clone(),
            log: disks.log.clone(),
            rt: memory.rt.clone().map(|rt| rt as Arc<dyn Disk>),
        };
        let store = ImageStore::with_geometry(changed, geometry.clone());
        let counters = counters(&store, replayed.is_none())?;
        let rt_groups = (0..geometry.rt_group_count).map(|_| Busy::default());
        let greatest = dirty.intents.keys().map(|(_, id)| id.0).max();
        let journal = Self {
            volume,
            behaviour,
            store,
            memory,
            area: LogArea::of(geometry)?,
            writer: RefCell::new(writer),
            intents: Cell::new(greatest.unwrap_or(0)),
            dirty: RefCell::new(dirty),
            counters: Cell::new(counters),
            sequence: Cell::new(1),
            random: RefCell::new(Random::new(behaviour.seed)),
            shutdown: Cell::new(None),
            groups: RefCell::new((0..geometry.ag_count).map(|_| Group::default()).collect()),
            rt_groups: RefCell::new(rt_groups.collect()),
            known: Rc::default(),
            unflushed: Cell::new(false),
            claims: Scarcity::default(),
            looks: Scarcity::default(),
            promises: Scarcity::default(),
        };
        space::reserve(&journal)?;
        // Nobody here counts what users have.
        let reservations = LogReservations::new(geometry).ok_or(Error::Invalid)?;
        quota::forget_checks(&journal, &reservations)?;
        Ok(journal)
    }

    /// What it is over.
    pub fn volume(&self) -> &'v Volume {
        self.volume
    }

    /// The store under it: metadata as the last transaction left it.
    pub fn store(&self) -> &ImageStore {
        &self.store
    }

    /// The counters as they are now.
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    /// Claims of space: those of transactions as they start.
    pub fn claims(&self) -> &Scarcity {
        &self.claims
    }

    /// Looks at groups that may have space, or may not.
    pub fn looks(&self) -> &Scarcity {
        &self.looks
    }

    /// Looks at groups that are to give what was promised.
    pub fn promises(&self) -> &Scarcity {
        &self.promises
    }

    /// Why it was shut down, if it was.
    pub fn shutdown(&self) -> Option<Shutdown> {
        self.shutdown.get()
    }

    /// Inodes and blocks that are held.
    pub fn held(&self) -> usize {
        self.store.locked() + self.known.borrow().locked.len()
    }

    fn check(&self) -> Result {
        match self.shutdown.get() {
            None => Ok(()),
            Some(_) => Err(Error::Shutdown),
        }
    }

    /// Writes data to its place. It is stable before any later checkpoint is.
    ///
    /// # Errors
    ///
    /// `Io`; `Invalid` outside the device.
    pub fn write_data(&self, device: Device, run: Run, bytes: &[u8]) -> Result {
        self.check()?;
        // Metadata that was freed there is of no interest.
        self.memory.forget(device, &[run]);
        self.store.forget(device, &[run]);
        self.unflushed.set(true);
        self.volume.disks.write(device, run.at, bytes)
    }

    /// Makes stable what was written to its place, content too.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn flush_places(&self) -> Result {
        self.unflushed.set(false);
        self.volume.disks.flush(Device::Data)?;
        match self.volume.disks.rt {
            Some(_) => self.volume.disks.flush(Device::Realtime),
            None => Ok(()),
        }
    }

    /// Writes the open checkpoint, if it has anything.
    ///
    /// # Errors
    ///
    /// `Io`, `NoMemory`; `Range` for a checkpoint that the log has no room for.
    pub fn checkpoint(&self) -> Result {
        self.check()?;
        if self.dirty.borrow().open.transactions == 0 {
            return Ok(());
        }
        if self.unflushed.get() {
            self.flush_places()?;
        }
        let store = &self.store;
        let items = self
            .dirty
            .borrow()
            .format(|name, block| bytes_of(store, name.0, &block.runs))?;
        if !items.is_empty() {
            if !self.writer.borrow().fits(&items) {
                self.write_back(|_| true)?;
            }
            let lsn = self.writer.borrow_mut().checkpoint(&items)?;
            self.dirty.borrow_mut().written(lsn);
        }
        let stable = self.sequence.get();
        self.sequence.set(stable + 1);
        space::stable(self, CommitSequence(stable));
        if self.random.borrow_mut().once_in(self.behaviour.write_back) {
            self.write_some()?;
        }
        Ok(())
    }

    /// Writes some of what the log has to its place.
    fn write_some(&self) -> Result {
        let mut random = self.random.borrow_mut().clone();
        self.random.borrow_mut().number();
        self.write_back(|_| random.once_in(2))
    }

    /// Writes what `choose` wants of what the log has to its place, and moves the tail.
    fn write_back(&self, mut choose: impl FnMut(&Name) -> bool) -> Result {
        let writable = self.dirty.borrow().writable();
        for (name, runs) in writable.into_iter().filter(|(name, _)| choose(name)) {
            let bytes = bytes_of(&self.store, name.0, &runs)?;
            let mut rest = &bytes[..];
            for run in &runs {
                let (part, behind) = rest.split_at(run.len as usize * BASIC_BLOCK_SIZE as usize);
                self.volume.disks.write(name.0, run.at, part)?;
                rest = behind;
            }
            self.memory.forget(name.0, &runs);
            self.dirty.borrow_mut().in_place(&name);
        }
        // Before the log forgets it.
        self.flush_places()?;
        let mut writer = self.writer.borrow_mut();
        let tail = self.dirty.borrow().tail();
        let next = writer.head().next;
        writer.set_tail(tail.unwrap_or(next))
    }

    /// Writes all that was committed to its place.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint).
    pub fn write_all(&self) -> Result {
        self.checkpoint()?;
        self.write_back(|_| true)
    }

    /// Writes everything, and that the file system was unmounted.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint); `Invalid` where an intent has no answer.
    pub fn unmount(&self) -> Result {
        self.write_all()?;
        space::release(self);
        let run = superblock_run(&self.store);
        let mut block = self.lock_runs(Device::Data, &[run], Kind::Superblock)?;
        let counters = self.counters.get();
        let disk = DiskSuperblock::mut_from_prefix(&mut block)
            .map_err(|_| Error::Invalid)?
            .0;
        disk.icount.set(counters.inodes);
        disk.ifree.set(counters.free_inodes);
        disk.fdblocks.set(counters.free_blocks);
        disk.frextents.set(counters.free_rt_extents);
        let mut chunks = ChunkMap::new();
        chunks.add(0..size_of::<DiskSuperblock>());
        let lsn = self.writer.borrow().head().next;
        self.store
            .seal((Device::Data, run.at, Kind::Superblock), &mut block, lsn)?;
        self.store.write(Device::Data, &[run], &block)?;
        drop(block);
        let mut dirty = self.dirty.borrow_mut();
        let changed = (BlockState::Logged, &chunks);
        dirty.block((Device::Data, &[run]), Kind::Superblock, changed);
        dirty.open.transactions += 1;
        drop(dirty);
        self.write_all()?;
        self.writer.borrow_mut().unmount()
    }

    /// Basic blocks of the log from a record to the head.
    fn behind(&self, lsn: Lsn) -> u32 {
        let next = self.writer.borrow().head().next;
        distance(self.area.len, lsn, next).unwrap_or(0)
    }

    /// Sees that there is room in the log.
    fn make_room(&self) -> Result {
        let (tail, open) = (
            self.writer.borrow().head().tail,
            self.dirty.borrow().open.bytes,
        );
        let open = open / u64::from(BASIC_BLOCK_SIZE);
        let used = u64::from(self.behind(tail)) + 2 * open;
        match used > u64::from(self.area.len) / 2 {
            true => self.write_all(),
            false => Ok(()),
        }
    }

    fn take_block(&self, block: &mut HeldBlock<LockedBlock>, lsn: Lsn) -> Result {
        let (device, at) = (block.device(), block.address());
        let (kind, state) = (block.kind(), block.state());
        let runs = block.runs().to_vec();
        let mut chunks = *block.dirty();
        if state == BlockState::Logged && kind == Kind::InodeCluster {
            // Inodes may have changed since it was locked; what was changed in it are pointers of
            // unlinked lists.
            let mut bytes = bytes_of(&self.store, device, &runs)?;
            let size = self.geometry().inode_size as usize;
            let field = offset_of!(RawInode, next_unlinked);
            let slots = bytes.chunks_exact_mut(size);
            for (slot, new) in slots.zip(block.bytes().chunks_exact(size)) {
                slot[field..field + 4].copy_from_slice(&new[field..field + 4]);
                inode::seal(slot);
            }
            self.store.write(device, &runs, &bytes)?;
        } else if state != BlockState::Invalid {
            self.store.seal((device, at, kind), block.locked(), lsn)?;
            self.store.write(device, &runs, block.bytes())?;
            if runs.len() > 1 {
                // Recovery cannot seal it.
                chunks.add(0..1);
            }
        }
        let mut dirty = self.dirty.borrow_mut();
        dirty.block((device, &runs), kind, (state, &chunks));
        Ok(())
    }

    fn take_inode(&self, inode: &Inode, fields: InodeFields, lsn: Lsn) -> Result {
        let geo = self.geometry();
        let place = locate(self, inode.number, Trust::Trusted)?;
        let cluster = cluster_run(self, place).ok_or(Error::Invalid)?;
        if self.dirty.borrow().is_freed(cluster) {
            return Ok(());
        }
        let mut bytes = bytes_of(&self.store, Device::Data, &[cluster])?;
        let start = place.index as usize * geo.inode_size as usize;
        let slot = &mut bytes[start..start + geo.inode_size as usize];
        encode::to_slot(geo, inode, fields, lsn, slot)?;
        Kind::InodeCluster
            .verify(geo, cluster.at, &bytes)
            .map_err(|fault| Error::inode(fault, inode.number))?;
        self.store.write(Device::Data, &[cluster], &bytes)?;
        let mut dirty = self.dirty.borrow_mut();
        let before = dirty.inodes.remove(&inode.number);
        let fields = before
            .as_ref()
            .map_or(fields, |before| before.fields | fields);
        let changed = DirtyInode {
            cluster,
            fields,
            image: encode::Image::new(geo, inode, place, fields)?,
            lsn: before.and_then(|before| before.lsn),
        };
        dirty.inodes.insert(inode.number, changed);
        dirty.open.inodes.insert(inode.number);
        dirty.open.bytes += u64::from(geo.inode_size) + 128;
        Ok(())
    }
}

/// The counters to begin with: the superblock's, or the sum over all groups.
fn counters(store: &ImageStore, clean: bool) -> Result<Counters> {
    let block = store.read(Device::Data, superblock_run(store), Kind::Superblock)?;
    let disk = DiskSuperblock::view(&block).ok_or(Error::Invalid)?;
    let said = Counters {
        inodes: disk.icount.get(),
        free_inodes: disk.ifree.get(),
        free_blocks: disk.fdblocks.get(),
        free_rt_extents: disk.frextents.get(),
    };
    if clean && said.are_plausible(store.geometry()) {
        return Ok(said);
    }
    Ok(Counters {
        free_rt_extents: recovery::free_rt_extents(store)?,
        ..ag::sum_counters(store)?
    })
}

fn superblock_run(store: &ImageStore) -> Run {
    Run {
        at: DiskAddr(0),
        len: store.geometry().sector_size / BASIC_BLOCK_SIZE,
    }
}

impl Store for LogJournal<'_> {
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

impl StoreMut for LogJournal<'_> {
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

impl Journal for LogJournal<'_> {
    type Ticket = ();
    type Inode = LockedInode;
    type RtFile = Rc<Inode>;

    fn lock_inode(&self, number: InodeNumber) -> Result<LockedInode> {
        self.check()?;
        let mut inode = Box::new(Inode::read(self, number, Trust::Trusted)?);
        for which in [WhichFork::Data, WhichFork::Attr] {
            inode.load_extents(self, which)?;
        }
        self.lock(inode)
    }

    fn new_inode(&self, inode: Inode) -> Result<LockedInode> {
        self.check()?;
        if self.known.borrow().locked.contains(&inode.number) {
            // Someone uses it.
            let fault = Fault::corrupt("inobt", "ir_free");
            return Err(Error::inode(fault, inode.number));
        }
        self.lock(Box::new(inode))
    }

    fn reserve(&self, _: LogReservation) -> Result {
        self.check()?;
        self.make_room()
    }

    fn regrant(&self, (): &mut ()) -> Result {
        self.check()?;
        self.make_room()
    }

    fn commit(&self, (): &mut (), changes: &mut Changes<'_, Self>) -> Result<CommitSequence> {
        self.check()?;
        // The record in which the open checkpoint will start: nothing is written before it.
        let lsn = self.writer.borrow().head().next;
        for block in changes.blocks() {
            self.take_block(block, lsn)?;
        }
        for held in changes.inodes() {
            self.take_inode(held.inode(), held.fields(), lsn)?;
        }
        for item in changes.items() {
            self.dirty.borrow_mut().item(item)?;
        }
        let sequence = CommitSequence(self.sequence.get());
        let open = {
            let open = &mut self.dirty.borrow_mut().open;
            open.transactions += 1;
            (open.transactions, open.bytes)
        };
        let most = u64::from(self.area.len) * u64::from(BASIC_BLOCK_SIZE) / 8;
        if open.0 >= self.behaviour.batch || open.1 > most {
            self.checkpoint()?;
        }
        Ok(sequence)
    }

    fn force(&self, sequence: CommitSequence) -> Result {
        self.check()?;
        match sequence.0 >= self.sequence.get() {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }

    fn is_stable(&self, sequence: CommitSequence) -> bool {
        sequence.0 < self.sequence.get()
    }

    fn shut_down(&self, why: Shutdown) {
        if self.shutdown.get().is_none() {
            self.shutdown.set(Some(why));
        }
    }

    fn claim(&self, claim: Claim) -> Result {
        let asks = claim.blocks != 0 || claim.rt_extents != 0;
        if asks && !self.claims.grants() {
            return Err(Error::NoSpace);
        }
        let mut counters = self.counters.get();
        let geo = self.geometry();
        let kept = match claim.emergency {
            true => 0,
            false => (geo.data_blocks / 20).min(MOST_KEPT),
        };
        if claim.blocks != 0 {
            let hidden = ag::set_aside(geo) + kept;
            let left = counters.free_blocks.checked_sub(claim.blocks);
            let left = left.filter(|&left| left >= hidden);
            counters.free_blocks = left.ok_or(Error::NoSpace)?;
        }
        let left = counters.free_rt_extents.checked_sub(claim.rt_extents);
        counters.free_rt_extents = left.ok_or(Error::NoSpace)?;
        self.counters.set(counters);
        Ok(())
    }

    fn settle(&self, deltas: &CounterDeltas) {
        let counters = self.counters.get();
        let moved = |counter: u64, by| {
            counter.checked_add_signed(by).unwrap_or_else(|| {
                // It was wrong on the disk, or more is freed than there is.
                self.shut_down(Shutdown::Commit);
                0
            })
        };
        self.counters.set(Counters {
            inodes: moved(counters.inodes, deltas.inodes),
            free_inodes: moved(counters.free_inodes, deltas.free_inodes),
            free_blocks: moved(counters.free_blocks, deltas.free_blocks),
            free_rt_extents: moved(counters.free_rt_extents, deltas.free_rt_extents),
        });
    }

    fn may_give(&self, promised: bool) -> bool {
        let scarcity = if promised {
            &self.promises
        } else {
            &self.looks
        };
        scarcity.grants()
    }

    fn with_group<R>(&self, ag: AgNumber, f: impl FnOnce(&mut Group) -> R) -> Result<R> {
        let mut groups = self.groups.borrow_mut();
        groups.get_mut(ag.0 as usize).map(f).ok_or(Error::Invalid)
    }

    fn with_rt_group<R>(
        &self,
        group: RtGroup,
        f: impl FnOnce(&mut Busy<RtGroupBlock>) -> R,
    ) -> Result<R> {
        let mut groups = self.rt_groups.borrow_mut();
        let group = groups.get_mut(group.0 as usize);
        group.map(f).ok_or(Error::Invalid)
    }

    fn rt_file(&self, group: Option<RtGroup>, file: GroupFile) -> Result<Rc<Inode>> {
        Ok(Rc::new(rt::open(&self.store, group, file)?))
    }

    fn write_through(&self, device: Device, run: Run, bytes: &[u8]) -> Result {
        self.write_data(device, run, bytes)?;
        self.flush_places()
    }

    fn next_intent(&self) -> u64 {
        self.intents.set(self.intents.get() + 1);
        self.intents.get()
    }

    fn is_old(&self, intent: IntentId) -> bool {
        let dirty = self.dirty.borrow();
        let oldest = dirty
            .intents
            .iter()
            .filter(|((_, id), _)| *id == intent)
            .map(|(_, lsn)| *lsn)
            .min();
        oldest.is_some_and(|lsn| self.behind(lsn) > self.area.len / 4)
    }
}

impl LogJournal<'_> {
    fn lock(&self, mut inode: Box<Inode>) -> Result<LockedInode> {
        let number = inode.number;
        let mut known = self.known.borrow_mut();
        assert!(
            known.locked.insert(number),
            "inode {number} is locked twice"
        );
        if let Some(cow) = known.cow.remove(&number) {
            inode.cow = cow;
        }
        Ok(LockedInode {
            inode,
            known: self.known.clone(),
        })
    }
}
