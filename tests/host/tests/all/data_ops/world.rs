// SPDX-License-Identifier: GPL-2.0

//! A file system that is open for changes, and what becomes of it.

use std::sync::Arc;
use xfs_host::{
    fixture::{named, Image},
    image::{Disk, Disks, ImageStore, ScratchDisk},
    libxfs::{
        check, error::Result, log::recover::Options, ops::Files, store::Store,
        trans::LogReservations,
    },
    log_journal::{Behaviour, LogJournal, Volume},
    workload::files,
};

/// The devices of an image, with changes in memory.
pub struct World {
    image: Image,
    data: Arc<ScratchDisk>,
    log: Option<Arc<ScratchDisk>>,
    rt: Option<Arc<ScratchDisk>>,
}

impl World {
    pub fn new(shape: &str) -> Self {
        let image = Image::small(named(shape));
        let disks = image.disks();
        let scratch = |disk: Arc<dyn Disk>| Arc::new(ScratchDisk::new(disk));
        Self {
            data: scratch(disks.data),
            log: disks.log.map(scratch),
            rt: disks.rt.map(scratch),
            image,
        }
    }

    pub fn disks(&self) -> Disks {
        let all = |disk: &Arc<ScratchDisk>| disk.clone() as Arc<dyn Disk>;
        Disks {
            data: all(&self.data),
            log: self.log.as_ref().map(all),
            rt: self.rt.as_ref().map(all),
        }
    }

    /// Opens it, has `run` change it, unmounts it and sees that it is whole.
    pub fn run<R>(&self, seed: u64, run: impl FnOnce(&LogJournal<'_>) -> R) -> R {
        let volume = Volume::open(self.disks()).unwrap();
        let behaviour = Behaviour {
            batch: 1 + seed as u32 % 7,
            write_back: 1 + seed as u32 % 5,
            seed,
        };
        let journal = LogJournal::open(&volume, None, behaviour).unwrap();
        let done = run(&journal);
        assert_eq!((journal.shutdown(), journal.held()), (None, 0));
        journal.unmount().unwrap();
        drop(journal);
        self.check();
        done
    }

    /// That nothing is wrong with it.
    fn check(&self) {
        let mut volume = Volume::open(self.disks()).unwrap();
        assert!(volume.replay(Options::default()).unwrap().is_none());
        let store = ImageStore::open(self.disks()).unwrap();
        let mut found = Vec::new();
        check::check(&store, &mut |finding| {
            found.push(finding.to_string());
            Ok(())
        })
        .unwrap();
        assert!(found.is_empty(), "{found:#?}");
        let snapshot = |disk: &Arc<ScratchDisk>| disk.snapshot();
        let (log, rt) = (
            self.log.as_ref().map(snapshot),
            self.rt.as_ref().map(snapshot),
        );
        self.image
            .check_all(&self.data.snapshot(), log.as_ref(), rt.as_ref());
    }
}

/// Runs one operation.
pub fn at<R>(
    journal: &LogJournal<'_>,
    run: impl FnOnce(&Files<'_, LogJournal<'_>>) -> Result<R>,
) -> Result<R> {
    let reservations = LogReservations::new(journal.geometry()).unwrap();
    run(&files(journal, &reservations, 1_600_000_000))
}
