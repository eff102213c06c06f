// SPDX-License-Identifier: GPL-2.0

//! One inode that is changed, on a disk of its own whose free space is a plain pool: what changes of
//! directories and attributes are tried on by themselves.

use std::sync::Arc;
use xfs_host::{
    fixture::{named, space::Pool, Image},
    image::{Disks, ImageStore, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        error::Result,
        extents::ExtentMap,
        format::{geometry::Geometry, inode::ForkFormat, sb::Counters},
        inode::{Fork, Inode, Trust},
        journal::Claim,
        store::Store,
        trans::{InodeId, LogReservation, Trans},
    },
};

pub struct LoneInode {
    pub journal: SyncJournal,
    pub disk: Arc<ScratchDisk>,
    pub pool: Pool,
    inode: Option<Box<Inode>>,
    /// What takes the inode's place where the transaction gives it back.
    spare: Option<Box<Inode>>,
}

/// A copy of an inode whose forks are in it, or lists of extents.
fn copied(inode: &Inode) -> Box<Inode> {
    let copy = |fork: &Fork| match fork {
        Fork::Local(bytes) => Fork::Local(bytes.clone()),
        Fork::Extents(map) => {
            let mut copy = ExtentMap::new();
            for mapping in map.iter() {
                copy.append(mapping).unwrap();
            }
            Fork::Extents(copy)
        }
        _ => panic!("no fork of that form is copied"),
    };
    Box::new(Inode {
        number: inode.number,
        core: inode.core.clone(),
        data: copy(&inode.data),
        attr: inode.attr.as_ref().map(copy),
        cow: ExtentMap::new(),
    })
}

fn journal(disk: Arc<ScratchDisk>, geo: Geometry, free_blocks: u64) -> SyncJournal {
    let store = ImageStore::with_geometry(Disks::data(disk), geo);
    let counters = Counters {
        inodes: 64,
        free_inodes: 0,
        free_blocks,
        free_rt_extents: 0,
    };
    let journal = SyncJournal::new(store, counters);
    journal.keep_inodes_in_memory();
    journal
}

impl LoneInode {
    /// The root of the image of a shape, with nothing in it; `change` makes another file system of
    /// it.
    pub fn new(shape: &str, change: impl FnOnce(&mut Geometry)) -> Self {
        // More than anything claims: it is the pool that runs dry.
        Self::with_space(shape, change, 20_000, 1 << 30)
    }

    /// As [`new`](Self::new), with so many blocks, and no more that can be claimed.
    pub fn with_little(shape: &str, change: impl FnOnce(&mut Geometry), blocks: u64) -> Self {
        let lone = Self::with_space(shape, change, blocks, blocks);
        assert_eq!(lone.pool.left() as u64, blocks);
        lone
    }

    fn with_space(
        shape: &str,
        change: impl FnOnce(&mut Geometry),
        blocks: u64,
        claimable: u64,
    ) -> Self {
        let base = Image::of(named(shape)).disks();
        let store = ImageStore::open(base.clone()).unwrap();
        let mut geo = store.geometry().clone();
        let mut inode = Box::new(Inode::read(&store, geo.root_inode, Trust::Trusted).unwrap());
        inode.data = Fork::Extents(ExtentMap::new());
        inode.core.format = ForkFormat::Extents;
        inode.core.nextents = 0;
        inode.core.nblocks = 0;
        inode.core.forkoff = 0;
        inode.attr = None;
        change(&mut geo);
        let half = u64::from(geo.ag_blocks / 2);
        let disk = Arc::new(ScratchDisk::new(base.data));
        Self {
            journal: journal(disk.clone(), geo, claimable),
            disk,
            pool: Pool::new(half..half + half.min(blocks)),
            inode: Some(inode),
            spare: None,
        }
    }

    /// The same inode on a disk whose changes begin here.
    pub fn copy(&self) -> Self {
        let disk = Arc::new(ScratchDisk::new(Arc::new(self.disk.snapshot())));
        Self {
            journal: journal(
                disk.clone(),
                self.journal.geometry().clone(),
                self.journal.counters().free_blocks,
            ),
            disk,
            pool: self.pool.clone(),
            inode: Some(copied(self.inode())),
            spare: Some(copied(self.inode())),
        }
    }

    pub fn inode(&self) -> &Inode {
        self.inode.as_ref().unwrap()
    }

    /// Does something in a transaction. One that failed and changed nothing is ended; one that did
    /// is dropped, and the inode is lost.
    pub fn run<T>(
        &mut self,
        log: LogReservation,
        blocks: u64,
        work: impl FnOnce(&mut Trans<'_, SyncJournal>, &mut Pool, InodeId) -> Result<T>,
    ) -> Result<T> {
        let claim = Claim {
            blocks,
            ..Claim::default()
        };
        let spare = self.spare.take();
        let spare = spare.unwrap_or_else(|| copied(self.inode()));
        let mut trans = Trans::start(&self.journal, log, claim)?;
        let id = trans.join(self.inode.take().unwrap())?;
        let result = work(&mut trans, &mut self.pool, id);
        if result.is_err() && trans.is_dirty() {
            return result;
        }
        let mut committed = trans.commit_keeping()?;
        let held = committed.inodes.as_mut_slice().first_mut().unwrap();
        self.inode = Some(std::mem::replace(held.locked(), spare));
        self.pool.settle();
        assert_eq!(self.journal.store().locked(), 0);
        result
    }
}
