// SPDX-License-Identifier: GPL-2.0

//! A [`Store`] over image files: what the buffer cache is in the kernel.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        kind::Kind,
        sb::{self, DiskSuperblock, Mount, Refusal},
        units::{DiskAddr, Lsn, BASIC_BLOCK_SIZE},
    },
    store::{Device, Run, Store, StoreMut},
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    fs::File,
    io::{self, Seek, SeekFrom},
    ops::{Deref, DerefMut},
    os::unix::fs::FileExt,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex},
};

/// Bytes that can be read at any place: an image file, or one with changes laid over it.
pub trait Disk: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset`.
    ///
    /// # Errors
    ///
    /// Those of the file; a range past the end is one.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Changes the bytes from `offset`.
    ///
    /// # Errors
    ///
    /// Those of the file; a range past the end is one, and so is any of a disk that only reads.
    fn write(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// Makes stable what was written.
    ///
    /// # Errors
    ///
    /// Those of the file.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk of zeroes.
pub struct ZeroDisk {
    /// Length in bytes.
    pub size: u64,
}

impl Disk for ZeroDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }
}

/// A disk whose changes stay in memory.
pub struct ScratchDisk(Mutex<Overlay>);

impl From<Overlay> for ScratchDisk {
    fn from(overlay: Overlay) -> Self {
        Self(Mutex::new(overlay))
    }
}

impl ScratchDisk {
    /// Changes over `base`, none yet.
    pub fn new(base: Arc<dyn Disk>) -> Self {
        Self(Mutex::new(Overlay::new(base)))
    }

    /// The disk as it is now.
    pub fn snapshot(&self) -> Overlay {
        self.0.lock().unwrap().clone()
    }

    /// Takes back what was changed of the bytes from `offset`, whole sectors.
    pub fn forget(&self, offset: u64, len: u64) {
        self.0.lock().unwrap().forget(offset, len);
    }
}

impl Disk for ScratchDisk {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.lock().unwrap().read_at(offset, buf)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().write_at(offset, bytes)
    }
}

/// A disk in a file.
pub struct FileDisk {
    file: File,
    size: u64,
}

impl FileDisk {
    /// Opens the file for reading.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    /// Opens the file for reading and writing.
    pub fn open_rw(path: &Path) -> io::Result<Self> {
        Self::new(File::options().read(true).write(true).open(path)?)
    }

    fn new(mut file: File) -> io::Result<Self> {
        // A block device's length is found in no other way.
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size })
    }
}

impl Disk for FileDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset.saturating_add(bytes.len() as u64) > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.write_all_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Changes laid over another disk, which stays as it is.
#[derive(Clone)]
pub struct Overlay {
    base: Arc<dyn Disk>,
    /// Changed sectors of 512 bytes by their number.
    sectors: BTreeMap<u64, [u8; BASIC_BLOCK_SIZE as usize]>,
}

impl Overlay {
    /// No changes yet.
    pub fn new(base: Arc<dyn Disk>) -> Self {
        Self {
            base,
            sectors: BTreeMap::new(),
        }
    }

    /// Changes the bytes from `offset`; any range inside the disk.
    pub fn write_at(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        let sector_size = u64::from(BASIC_BLOCK_SIZE);
        if offset.saturating_add(bytes.len() as u64) > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !bytes.is_empty() {
            let number = offset / sector_size;
            let within = (offset % sector_size) as usize;
            let len = bytes.len().min(BASIC_BLOCK_SIZE as usize - within);
            let mut sector = [0; BASIC_BLOCK_SIZE as usize];
            // Of one that is written as a whole nothing stays.
            if len < BASIC_BLOCK_SIZE as usize {
                self.read_at(number * sector_size, &mut sector)?;
            }
            sector[within..within + len].copy_from_slice(&bytes[..len]);
            self.sectors.insert(number, sector);
            bytes = &bytes[len..];
            offset += len as u64;
        }
        Ok(())
    }

    /// Takes back what was changed of the bytes from `offset`, whole sectors.
    pub fn forget(&mut self, offset: u64, len: u64) {
        let sector_size = u64::from(BASIC_BLOCK_SIZE);
        let mut rest = self.sectors.split_off(&(offset / sector_size));
        self.sectors
            .append(&mut rest.split_off(&((offset + len) / sector_size)));
    }

    /// The changed sectors: byte offset and new bytes.
    pub fn changes(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.sectors
            .iter()
            .map(|(n, bytes)| (n * u64::from(BASIC_BLOCK_SIZE), &bytes[..]))
    }
}

impl Disk for Overlay {
    fn size(&self) -> u64 {
        self.base.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.base.read_at(offset, buf)?;
        let sector_size = u64::from(BASIC_BLOCK_SIZE);
        let end = offset + buf.len() as u64;
        for (number, sector) in self
            .sectors
            .range(offset / sector_size..end.div_ceil(sector_size))
        {
            let at = number * sector_size;
            let (from, to) = (at.max(offset), (at + sector_size).min(end));
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&sector[(from - at) as usize..(to - at) as usize]);
        }
        Ok(())
    }
}

/// The devices of one file system.
#[derive(Clone)]
pub struct Disks {
    /// The data device.
    pub data: Arc<dyn Disk>,
    /// The log's own device.
    pub log: Option<Arc<dyn Disk>>,
    /// The realtime device.
    pub rt: Option<Arc<dyn Disk>>,
}

impl Disks {
    /// A data device alone.
    pub fn data(data: Arc<dyn Disk>) -> Self {
        Self {
            data,
            log: None,
            rt: None,
        }
    }

    /// The disk behind a device; an internal realtime section lies on the data device.
    pub fn get(&self, device: Device) -> Option<&dyn Disk> {
        match device {
            Device::Data => Some(&*self.data),
            Device::Log => self.log.as_deref(),
            Device::Realtime => Some(self.rt.as_deref().unwrap_or(&*self.data)),
        }
    }

    /// Reads `buf.len()` bytes from the basic block `at`.
    ///
    /// # Errors
    ///
    /// `Invalid` for a device that is not there or a range outside it, `Io` from the file.
    pub fn read(&self, device: Device, at: DiskAddr, buf: &mut [u8]) -> Result {
        let disk = self.get(device).ok_or(Error::Invalid)?;
        let offset =
            at.0.checked_mul(BASIC_BLOCK_SIZE.into())
                .ok_or(Error::Invalid)?;
        match offset.checked_add(buf.len() as u64) {
            Some(end) if end <= disk.size() => {}
            _ => return Err(Error::Invalid),
        }
        disk.read_at(offset, buf).map_err(|_| Error::Io)
    }
}

impl Disks {
    /// Writes at the basic block `at`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, device: Device, at: DiskAddr, bytes: &[u8]) -> Result {
        let disk = self.get(device).ok_or(Error::Invalid)?;
        let offset =
            at.0.checked_mul(BASIC_BLOCK_SIZE.into())
                .ok_or(Error::Invalid)?;
        disk.write(offset, bytes).map_err(|_| Error::Io)
    }

    /// Makes stable what was written to a device.
    ///
    /// # Errors
    ///
    /// `Invalid` for a device that is not there, `Io` from the file.
    pub fn flush(&self, device: Device) -> Result {
        let disk = self.get(device).ok_or(Error::Invalid)?;
        disk.flush().map_err(|_| Error::Io)
    }
}

/// Why an image is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The superblock cannot be read.
    Read(Error),
    /// What it says.
    Superblock(Refusal),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Read(e) => write!(f, "the superblock cannot be read: {e:?}"),
            Refused::Superblock(refusal) => refusal.fmt(f),
        }
    }
}

/// A verified block of an image.
#[derive(Clone)]
pub struct ImageBlock(Rc<KVVec<u8>>);

impl Deref for ImageBlock {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// What a cached block was read as.
type Key = (Device, DiskAddr, Kind);

/// The runs of the blocks that were read, by the first one's place.
type Seen = BTreeMap<(Device, u64), Vec<Run>>;

/// Blocks that the cache keeps before it starts anew.
const CACHE_BLOCKS: usize = 512;

/// Image files as a [`Store`], with a small cache of verified blocks.
pub struct ImageStore {
    disks: Disks,
    geometry: Geometry,
    cache: RefCell<HashMap<Key, (Vec<Run>, ImageBlock)>>,
    seen: RefCell<Option<Seen>>,
    reads: Cell<u64>,
    budget: Cell<u64>,
    locked: Locks,
}

/// First addresses of the blocks that are held alone.
type Locks = Rc<RefCell<BTreeSet<(Device, DiskAddr)>>>;

/// A block of an image that is held alone. What is changed in it reaches the image only through
/// [`ImageStore::write`].
pub struct LockedBlock {
    bytes: KVVec<u8>,
    name: (Device, DiskAddr),
    locks: Locks,
}

impl Deref for LockedBlock {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for LockedBlock {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for LockedBlock {
    fn drop(&mut self) {
        self.locks.borrow_mut().remove(&self.name);
    }
}

impl ImageStore {
    /// A store of that shape over those disks.
    pub fn with_geometry(disks: Disks, geometry: Geometry) -> Self {
        Self {
            disks,
            geometry,
            cache: RefCell::default(),
            seen: RefCell::new(None),
            reads: Cell::new(0),
            budget: Cell::new(u64::MAX),
            locked: Locks::default(),
        }
    }

    /// A store of the shape that the first superblock describes.
    ///
    /// # Errors
    ///
    /// Why the superblock is refused, or that it cannot be read.
    pub fn open(disks: Disks) -> std::result::Result<Self, Refused> {
        let mut sector = vec![0; 512];
        disks
            .read(Device::Data, DiskAddr(0), &mut sector)
            .map_err(Refused::Read)?;
        // The checksum covers a sector of the file system's own size.
        let size = DiskSuperblock::view(&sector).map_or(0, |sb| sb.sectsize.get());
        if size.is_power_of_two() && (512..=32_768).contains(&size) {
            sector.resize(size.into(), 0);
            disks
                .read(Device::Data, DiskAddr(0), &mut sector)
                .map_err(Refused::Read)?;
        }
        let geometry = {
            let superblock = sb::verify(&sector).map_err(Refused::Superblock)?;
            superblock
                .admit(&Mount {
                    read_only: true,
                    no_recovery: false,
                    log_device: disks.log.is_some(),
                    rt_device: disks.rt.is_some(),
                    device_sector_size: 512,
                    block_size_limit: 65_536,
                })
                .map_err(Refused::Superblock)?;
            superblock.geometry()
        };
        Ok(Self::with_geometry(disks, geometry))
    }

    /// The disks.
    pub fn disks(&self) -> &Disks {
        &self.disks
    }

    /// Remembers from now on what is read.
    pub fn record(&self) {
        *self.seen.borrow_mut() = Some(BTreeMap::new());
    }

    /// All that was read since [`record`](Self::record), in the order of its places.
    pub fn recorded(&self) -> Vec<(Device, Vec<Run>)> {
        let seen = self.seen.borrow();
        seen.iter()
            .flatten()
            .map(|((device, _), runs)| (*device, runs.clone()))
            .collect()
    }

    /// Blocks that were asked for so far, whether the cache had them or not.
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Lets walks ask for `reads` blocks from now on; then the store reports an interruption, and
    /// soon after fails. A walk that comes to that on a small image loops.
    pub fn set_budget(&self, reads: u64) {
        self.reads.set(0);
        self.budget.set(reads);
    }

    /// Readies a block for writing: sets its sequence number and checksum, and verifies it.
    ///
    /// # Errors
    ///
    /// `Corrupt` for one that must not be written.
    pub fn seal(
        &self,
        (device, at, kind): (Device, DiskAddr, Kind),
        bytes: &mut [u8],
        lsn: Lsn,
    ) -> Result {
        kind.seal(&self.geometry, bytes, Some(lsn));
        kind.verify(&self.geometry, at, bytes)
            .map_err(|fault| Error::block(fault, device, at))
    }

    /// Writes a block to its disk; whoever reads it from now on sees it.
    ///
    /// # Errors
    ///
    /// `Io`, `Invalid` for runs outside the device.
    pub fn write(&self, device: Device, runs: &[Run], bytes: &[u8]) -> Result {
        let mut rest = bytes;
        for run in runs {
            let len = run.len as usize * BASIC_BLOCK_SIZE as usize;
            let (part, after) = rest.split_at_checked(len).ok_or(Error::Invalid)?;
            self.disks.write(device, run.at, part)?;
            rest = after;
        }
        self.forget(device, runs);
        Ok(())
    }

    /// Drops what the cache has of these runs.
    pub fn forget(&self, device: Device, runs: &[Run]) {
        let overlap = |one: &Run, other: &Run| {
            one.at.0 < other.at.0 + u64::from(other.len)
                && other.at.0 < one.at.0 + u64::from(one.len)
        };
        self.cache.borrow_mut().retain(|key, (cached, _)| {
            key.0 != device
                || !cached
                    .iter()
                    .any(|one| runs.iter().any(|other| overlap(one, other)))
        });
    }

    /// Drops all that the cache has: every block is read from its disk again.
    pub fn forget_all(&self) {
        self.cache.borrow_mut().clear();
    }

    /// Notes that a block is held alone. Two holders would wait for each other forever.
    fn lock(&self, device: Device, at: DiskAddr, bytes: KVVec<u8>) -> LockedBlock {
        let name = (device, at);
        assert!(
            self.locked.borrow_mut().insert(name),
            "{device} block {:#x} is locked twice",
            at.0
        );
        LockedBlock {
            bytes,
            name,
            locks: self.locked.clone(),
        }
    }

    /// Blocks that are held alone.
    pub fn locked(&self) -> usize {
        self.locked.borrow().len()
    }

    /// Whether the budget was used up.
    pub fn exhausted(&self) -> bool {
        self.reads.get() > self.budget.get()
    }
}

impl Store for ImageStore {
    type Block = ImageBlock;

    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn read_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<ImageBlock> {
        self.reads.set(self.reads.get() + 1);
        if self.exhausted() {
            return Err(Error::Io);
        }
        let first = runs.first().ok_or(Error::Invalid)?;
        if let Some(seen) = &mut *self.seen.borrow_mut() {
            seen.insert((device, first.at.0), runs.to_vec());
        }
        let key = (device, first.at, kind);
        if let Some((cached, block)) = self.cache.borrow().get(&key) {
            if cached == runs {
                return Ok(block.clone());
            }
        }
        let mut bytes = KVVec::new();
        for run in runs {
            if run.len == 0 {
                return Err(Error::Invalid);
            }
            let disk = self.disks.get(device).ok_or(Error::Invalid)?;
            let len = u64::from(run.len) * u64::from(BASIC_BLOCK_SIZE);
            // Before memory is taken for it.
            let last = disk.size().checked_sub(len).ok_or(Error::Invalid)?;
            if run.at.0.saturating_mul(BASIC_BLOCK_SIZE.into()) > last {
                return Err(Error::Invalid);
            }
            let start = bytes.len();
            bytes.resize(start + len as usize, 0, GFP_KERNEL)?;
            self.disks.read(device, run.at, &mut bytes[start..])?;
        }
        kind.verify(&self.geometry, first.at, &bytes)
            .map_err(|fault| Error::block(fault, device, first.at))?;
        let block = ImageBlock(Rc::new(bytes));
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= CACHE_BLOCKS {
            cache.clear();
        }
        cache.insert(key, (runs.to_vec(), block.clone()));
        Ok(block)
    }

    fn read_ahead(&self, _: Device, _: Run, _: Kind) {}

    fn interrupted(&self) -> bool {
        self.reads.get() >= self.budget.get()
    }
}

impl StoreMut for ImageStore {
    type Locked = LockedBlock;

    fn lock_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<LockedBlock> {
        let block = self.read_runs(device, runs, kind)?;
        let mut bytes = KVVec::new();
        bytes.extend_from_slice(&block, GFP_KERNEL)?;
        Ok(self.lock(device, runs[0].at, bytes))
    }

    fn try_lock_runs(
        &self,
        device: Device,
        runs: &[Run],
        kind: Kind,
    ) -> Result<Option<LockedBlock>> {
        let first = runs.first().ok_or(Error::Invalid)?;
        if self.locked.borrow().contains(&(device, first.at)) {
            return Ok(None);
        }
        self.lock_runs(device, runs, kind).map(Some)
    }

    fn lock_fresh(&self, device: Device, runs: &[Run]) -> Result<LockedBlock> {
        let first = runs.first().ok_or(Error::Invalid)?;
        let mut bytes = KVVec::new();
        for run in runs {
            let len = u64::from(run.len) * u64::from(BASIC_BLOCK_SIZE);
            let disk = self.disks.get(device).ok_or(Error::Invalid)?;
            let last = disk.size().checked_sub(len).ok_or(Error::Invalid)?;
            if run.len == 0 || run.at.0.saturating_mul(BASIC_BLOCK_SIZE.into()) > last {
                return Err(Error::Invalid);
            }
            bytes.resize(bytes.len() + len as usize, 0, GFP_KERNEL)?;
        }
        Ok(self.lock(device, first.at, bytes))
    }
}
