// SPDX-License-Identifier: GPL-2.0

//! A file system whose free space is given out and taken back.

use crate::space::random::Random;
use std::{collections::BTreeMap, sync::Arc};
use xfs_host::{
    fixture::{Image, Shape},
    image::{Disks, ImageStore, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        ag,
        alloc::Request,
        check,
        defer::{Chain, Deferred},
        error::{Error, Result},
        format::units::{AgBlock, AgNumber, FsBlock},
        items::ExtentFree,
        journal::Claim,
        space::{self, BlockOwner, Extent, Groups, Place, Reserve, Wanted},
        store::{Device, Store},
        trans::{LogReservations, Trans},
    },
};

/// Who has an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A copy on write that it stages: the file system is whole with it.
    Staging,
    /// An owner whose reverse mapping came with it; it must be freed before the file system is
    /// checked.
    Owner(BlockOwner),
}

/// A file system and what was taken of it.
pub struct World {
    pub journal: SyncJournal,
    disk: Arc<ScratchDisk>,
    image: Image,
    log: LogReservations,
    /// Extents by first block: how long, and whose.
    pub taken: BTreeMap<u64, (u32, Holder)>,
}

impl World {
    pub fn new(shape: &'static Shape) -> Self {
        let image = Image::small(shape);
        let disk = Arc::new(ScratchDisk::new(image.disks().data));
        let journal = SyncJournal::open(Self::disks(&image, &disk)).unwrap();
        let log = LogReservations::new(journal.geometry()).unwrap();
        assert!(space::reserve(&journal).unwrap());
        Self {
            journal,
            disk,
            image,
            log,
            taken: BTreeMap::new(),
        }
    }

    fn disks(image: &Image, disk: &Arc<ScratchDisk>) -> Disks {
        Disks {
            data: disk.clone(),
            ..image.disks()
        }
    }

    /// Runs a chain that begins with `work`.
    pub fn chain<R>(
        &self,
        claim: u64,
        work: impl FnOnce(&mut Trans<'_, SyncJournal>, &mut Deferred<'_, SyncJournal>) -> Result<R>,
    ) -> Result<R> {
        let claim = Claim {
            blocks: claim,
            ..Claim::default()
        };
        self.chain_with(claim, work)
    }

    /// As [`chain`](Self::chain), with any claim.
    pub fn chain_with<R>(
        &self,
        claim: Claim,
        work: impl FnOnce(&mut Trans<'_, SyncJournal>, &mut Deferred<'_, SyncJournal>) -> Result<R>,
    ) -> Result<R> {
        let trans = Trans::start(&self.journal, self.log.truncate, claim)?;
        let mut chain = Chain::new(trans)?;
        let (trans, deferred) = chain.parts();
        let result = work(trans, deferred)?;
        chain.commit(&mut Groups)?;
        Ok(result)
    }

    /// A block of the device, some header included.
    pub fn target(&self, random: &mut Random) -> FsBlock {
        let geo = self.journal.geometry();
        let ag = AgNumber(random.below(geo.ag_count));
        let block = AgBlock(random.below(geo.ag_length(ag).unwrap()));
        geo.fs_block(ag, block).unwrap()
    }

    /// Free blocks in the trees of each group.
    pub fn free_blocks(&self) -> Vec<u32> {
        (0..self.journal.geometry().ag_count)
            .map(|ag| ag::read_agf(&self.journal, AgNumber(ag)).unwrap())
            .map(|agf| agf.freeblks.get())
            .collect()
    }

    /// Takes an extent, and notes it.
    pub fn take(&mut self, wanted: &Wanted, holder: Holder) -> Result<Option<Extent>> {
        let claim = match wanted.reserve {
            Reserve::None => wanted.request.max.into(),
            _ => 0,
        };
        let taken = self.chain(claim, |trans, deferred| {
            let taken = space::allocate(trans, deferred, wanted)?;
            if let (Some(extent), Holder::Staging) = (taken, holder) {
                deferred.alloc_cow(Device::Data, extent.start.0, extent.count)?;
            }
            Ok(taken)
        })?;
        if let Some(extent) = taken {
            self.check_taken(wanted, &extent);
            self.taken.insert(extent.start.0, (extent.count, holder));
        }
        Ok(taken)
    }

    /// That an extent is what was wanted, and nobody's.
    fn check_taken(&self, wanted: &Wanted, extent: &Extent) {
        let geo = self.journal.geometry();
        let request: &Request = &wanted.request;
        assert!(geo.fs_extent_is_valid(extent.start, extent.count.into()));
        assert!((request.min..=request.max).contains(&extent.count));
        let (ag, block) = geo.split_fs_block(extent.start).unwrap();
        let (home, target) = geo.split_fs_block(wanted.target).unwrap();
        match wanted.place {
            Place::Exact => assert_eq!((ag, block), (home, target)),
            Place::InGroup => assert_eq!(ag, home),
            Place::Near | Place::Anywhere => {}
        }
        if wanted.place != Place::Exact {
            assert_eq!(block.0 % request.alignment, 0);
        }
        let before = self.taken.range(..extent.start.0 + u64::from(extent.count));
        if let Some((start, (count, _))) = before.last() {
            assert!(start + u64::from(*count) <= extent.start.0);
        }
    }

    /// Frees the first `count` blocks of an extent that was taken.
    pub fn give(&mut self, start: u64, count: u32) -> Result {
        let (whole, holder) = self.taken[&start];
        self.chain(0, |_, deferred| match holder {
            Holder::Staging => {
                deferred.free_cow(Device::Data, start, count)?;
                deferred.free_extent(Device::Data, ExtentFree::data(start, count))
            }
            Holder::Owner(owner) => {
                let free = ExtentFree {
                    owner,
                    ..ExtentFree::data(start, count)
                };
                deferred.free_extent(Device::Data, free)
            }
        })?;
        self.taken.remove(&start);
        if count < whole {
            let rest = (whole - count, holder);
            self.taken.insert(start + u64::from(count), rest);
        }
        Ok(())
    }

    /// Frees all of an extent at once, in one transaction.
    pub fn give_now(&mut self, start: u64) -> Result {
        let (count, holder) = self.taken[&start];
        let Holder::Owner(owner) = holder else {
            return self.give(start, count);
        };
        self.chain(0, |trans, deferred| {
            space::free(trans, deferred, FsBlock(start), count, owner, Reserve::None)
        })?;
        self.taken.remove(&start);
        Ok(())
    }

    /// Frees what has an owner, or all.
    pub fn give_all(&mut self, staging: bool) {
        let starts: Vec<_> = self
            .taken
            .iter()
            .filter(|(_, (_, holder))| staging || *holder != Holder::Staging)
            .map(|(start, (count, _))| (*start, *count))
            .collect();
        for (start, count) in starts {
            self.give(start, count).unwrap();
        }
    }

    /// That the file system is whole.
    pub fn check(&self) {
        self.check_staged();
        // What is staged, xfs_repair would free.
        if self.taken.is_empty() {
            self.image.check_changed(&self.disk.snapshot());
        }
    }

    /// That the file system is whole, which stages copies on write.
    pub fn check_staged(&self) {
        assert_eq!(self.journal.shutdown(), None);
        space::release(&self.journal);
        self.journal.unmount().unwrap();
        assert!(space::reserve(&self.journal).unwrap());
        let store = ImageStore::open(Self::disks(&self.image, &self.disk)).unwrap();
        let mut found = Vec::new();
        check::check(&store, &mut |finding| {
            found.push(finding.to_string());
            Ok(())
        })
        .unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Whether a chain ended for want of space and for nothing else.
pub fn is_full<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::NoSpace))
}
