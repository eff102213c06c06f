// SPDX-License-Identifier: GPL-2.0

//! A file system in which operations make and change files.

use std::{cell::Cell, sync::Arc};
use xfs_host::{
    fixture::{Image, Shape},
    image::{Disks, ImageStore, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        check,
        format::{inode::time::Timestamp, units::InodeNumber},
        inode::{create::INHERITED, DeviceNumber, Inode, Trust, WhichFork},
        journal::{Claim, Journal},
        ops::{self, Files, NewFile},
        store::Store,
        trans::{CounterDeltas, LogReservations},
    },
};

pub struct World {
    pub journal: SyncJournal,
    data: Arc<ScratchDisk>,
    image: Image,
    reservations: LogReservations,
    clock: Cell<i64>,
    hidden: u64,
}

impl World {
    pub fn new(shape: &'static Shape) -> Self {
        Self::with(shape, |journal| journal)
    }

    /// A world whose journal is made another one first.
    pub fn with(shape: &'static Shape, change: impl FnOnce(SyncJournal) -> SyncJournal) -> Self {
        let image = Image::small(shape);
        let disks = image.disks();
        let data = Arc::new(ScratchDisk::new(disks.data));
        // What files on the realtime device hold is written, too.
        let rt = disks
            .rt
            .map(|rt| Arc::new(ScratchDisk::new(rt)) as Arc<dyn xfs_host::image::Disk>);
        let journal = SyncJournal::open(Disks {
            data: data.clone(),
            log: disks.log,
            rt,
        })
        .unwrap();
        let journal = change(journal);
        let reservations = LogReservations::new(journal.geometry()).unwrap();
        Self {
            journal,
            data,
            image,
            reservations,
            clock: Cell::new(1_000_000_000),
            hidden: 0,
        }
    }

    /// What operations ask for; each call is a moment later.
    pub fn files(&self) -> Files<'_, SyncJournal> {
        self.clock.set(self.clock.get() + 1);
        Files {
            journal: &self.journal,
            reservations: &self.reservations,
            now: Timestamp {
                sec: self.clock.get(),
                nsec: 5,
            },
            durable: false,
            keep_chunks: false,
        }
    }

    /// Makes something in the root.
    pub fn create(&self, name: &str, mode: u16) -> InodeNumber {
        let root = self.journal.geometry().root_inode;
        let target = match mode & 0o170_000 {
            0o120_000 => vec![b't'; 150],
            _ => Vec::new(),
        };
        let file = NewFile {
            mode,
            uid: 1000,
            gid: 100,
            device: DeviceNumber {
                major: 8,
                minor: 17,
            },
            target: &target,
            attr_fork: false,
            inherited: INHERITED,
            generation: self.clock.get() as u32,
            turn: self.clock.get() as u32,
            counters: self.journal.counters(),
        };
        // Some images have files of their own.
        let name = format!("made by the test: {name}");
        let made = ops::create(&self.files(), root, name.as_bytes(), &file);
        made.unwrap().0
    }

    /// An inode as the disk has it.
    pub fn inode(&self, number: InodeNumber) -> Inode {
        let mut inode = Inode::read(&self.journal, number, Trust::Untrusted).unwrap();
        for which in [WhichFork::Data, WhichFork::Attr] {
            inode.load_extents(&self.journal, which).unwrap();
        }
        inode
    }

    /// Has no space be free.
    pub fn hide_free_space(&mut self) {
        self.hidden = self.journal.counters().free_blocks;
        let claim = Claim {
            blocks: self.hidden,
            ..Claim::default()
        };
        self.journal.claim(claim).unwrap();
    }

    pub fn show_free_space(&mut self) {
        self.journal.settle(&CounterDeltas {
            free_blocks: self.hidden as i64,
            ..CounterDeltas::default()
        });
    }

    /// That the file system is whole.
    pub fn check(&self) {
        assert_eq!(self.journal.shutdown(), None);
        assert_eq!(self.journal.store().locked(), 0);
        assert!(self.journal.open_intents().is_empty());
        self.journal.unmount().unwrap();
        let store = ImageStore::open(self.journal.store().disks().clone()).unwrap();
        let mut found = Vec::new();
        check::check(&store, &mut |finding| {
            found.push(finding.to_string());
            Ok(())
        })
        .unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }

    /// That `xfs_repair -n` finds nothing either.
    pub fn repair(&self) {
        self.check();
        self.image.check_changed(&self.data.snapshot());
    }
}
