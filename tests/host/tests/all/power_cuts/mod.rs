// SPDX-License-Identifier: GPL-2.0

//! The power is cut at every write of small workloads. Then the log is recovered: what was forced to
//! the disk is there, what was begun is there whole or not at all, and the check of the whole file
//! system finds nothing.

mod data;
mod operations;
mod staging;

use std::sync::{
    atomic::{AtomicU32, Ordering},
    Arc,
};
use xfs_host::{
    fixture::{named, Image, Shape},
    image::{Disk, Disks, ImageStore, Overlay, ScratchDisk},
    libxfs::{check::check, error::Result, log::recover::Options},
    log_journal::{Behaviour, LogJournal, Replayed, Volume},
    power::{CachedDisk, History, Power},
    random::Random,
};

/// Cuts, or seeds, of a test: many in a long run.
pub fn many(short: u32) -> u32 {
    match std::env::var_os("XFS_RUST_LONG") {
        Some(_) => short * 50,
        None => short,
    }
}

/// A listing but for sizes and contents.
pub fn without_contents(listing: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let fields = |line: &Vec<u8>| {
        let mut fields = line.rsplitn(3, |&byte| byte == b'|');
        fields.nth(2).unwrap_or_default().to_vec()
    };
    listing.iter().map(fields).collect()
}

/// Of so many file systems that were recovered, one is put to `xfs_repair`.
const REPAIRED: u32 = 50;

/// What the disks of a file system hold.
#[derive(Clone)]
pub struct Content {
    image: Image,
    data: Overlay,
    log: Option<Overlay>,
    rt: Option<Overlay>,
}

impl Content {
    fn of(shape: &str) -> Self {
        Self::over(Image::small(named(shape)))
    }

    /// A file system of a shape with nothing in it.
    pub fn empty(shape: &'static Shape) -> Self {
        Self::over(Image::empty(shape))
    }

    fn over(image: Image) -> Self {
        let disks = image.disks();
        Self {
            image,
            data: Overlay::new(disks.data),
            log: disks.log.map(Overlay::new),
            rt: disks.rt.map(Overlay::new),
        }
    }

    fn all(&self) -> Vec<Overlay> {
        let others = [&self.log, &self.rt].into_iter().flatten();
        std::iter::once(&self.data).chain(others).cloned().collect()
    }

    /// Takes over disks in the order of [`all`](Self::all).
    pub fn with(&self, disks: Vec<Overlay>) -> Self {
        let mut disks = disks.into_iter();
        Self {
            image: self.image.clone(),
            data: disks.next().unwrap(),
            log: self.log.is_some().then(|| disks.next().unwrap()),
            rt: self.rt.is_some().then(|| disks.next().unwrap()),
        }
    }

    pub fn disks(&self, mut make: impl FnMut(Overlay) -> Arc<dyn Disk>) -> Disks {
        Disks {
            data: make(self.data.clone()),
            log: self.log.clone().map(&mut make),
            rt: self.rt.clone().map(&mut make),
        }
    }

    /// Runs something on it, and returns all that was written.
    fn record(&self, behaviour: Behaviour, run: impl FnOnce(&LogJournal<'_>, &Power)) -> History {
        let power = Power::new();
        let disks =
            self.disks(|disk| Arc::new(CachedDisk::new(Arc::new(ScratchDisk::from(disk)), &power)));
        power.record();
        let volume = Volume::open(disks).unwrap();
        let journal = LogJournal::open(&volume, None, behaviour).unwrap();
        run(&journal, &power);
        assert_eq!((journal.shutdown(), journal.held()), (None, 0));
        power.history()
    }

    /// What is there where the power was cut after so many writes.
    fn cut(&self, history: &History, writes: u64, random: &mut Random) -> Self {
        self.with(history.cut_after(writes, &self.all(), random))
    }

    /// Replays the log and opens the file system, for `finish` to do the rest; then it is unmounted,
    /// and checked.
    pub fn recover(
        &self,
        behaviour: Behaviour,
        finish: impl FnOnce(&LogJournal<'_>, Option<Replayed>) -> Result,
    ) {
        let mut scratch = Vec::new();
        let disks = self.disks(|overlay| {
            let disk = Arc::new(ScratchDisk::from(overlay));
            scratch.push(disk.clone());
            disk
        });
        let mut volume = Volume::open(disks.clone()).unwrap();
        let replayed = volume.replay(Options::default()).unwrap();
        let journal = LogJournal::open(&volume, replayed.as_ref(), behaviour).unwrap();
        finish(&journal, replayed).unwrap();
        journal.unmount().unwrap();
        assert_eq!((journal.shutdown(), journal.held()), (None, 0));
        assert_whole(disks);
        static RECOVERED: AtomicU32 = AtomicU32::new(0);
        if RECOVERED.fetch_add(1, Ordering::Relaxed) % REPAIRED == 0 {
            let after = self.with(scratch.iter().map(|disk| disk.snapshot()).collect());
            after.check_by_repair();
        }
    }

    /// That `xfs_repair -n` finds nothing.
    fn check_by_repair(&self) {
        let (log, rt) = (self.log.as_ref(), self.rt.as_ref());
        self.image.check_all(&self.data, log, rt);
    }

    /// The same, but the power is cut once more, after so many writes; what is there then.
    fn recover_in_part(
        &self,
        behaviour: Behaviour,
        writes: u64,
        random: &mut Random,
        finish: impl FnOnce(&LogJournal<'_>, Option<Replayed>) -> Result,
    ) -> Self {
        let power = Power::new();
        power.record();
        power.cut_after(writes);
        let disks =
            self.disks(|disk| Arc::new(CachedDisk::new(Arc::new(ScratchDisk::from(disk)), &power)));
        let done = || {
            let mut volume = Volume::open(disks).unwrap();
            let replayed = volume.replay(Options::default())?;
            let journal = LogJournal::open(&volume, replayed.as_ref(), behaviour)?;
            let done = finish(&journal, replayed);
            assert_eq!(journal.held(), 0);
            done
        };
        if let Err(error) = done() {
            assert!(power.is_off(), "{error:?}");
        }
        self.cut(&power.history(), writes, random)
    }
}

/// That nothing is wrong, and nothing left to replay.
pub fn assert_whole(disks: Disks) {
    let mut volume = Volume::open(disks.clone()).unwrap();
    assert!(volume.replay(Options::default()).unwrap().is_none());
    let store = ImageStore::open(disks).unwrap();
    let mut findings = Vec::new();
    check(&store, &mut |finding| {
        findings.push(finding.to_string());
        Ok(())
    })
    .unwrap();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
