// SPDX-License-Identifier: GPL-2.0

//! A clean log is told from a dirty one, wherever in the ring it was last written. What
//! `xfs_logprint` says of the same bytes is the judge.

use std::{
    fs,
    os::unix::fs::FileExt,
    process::Command,
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
};
use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::{Disks, ImageStore, Overlay},
    libxfs::{
        error::Error,
        format::{geometry::Geometry, log::MAGIC, units::Lsn},
        log::{self, State},
        store::Store,
    },
};

/// A log as it is being written.
struct Writer {
    bytes: Vec<u8>,
    uuid: [u8; 16],
    cycle: u32,
    block: usize,
    before: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Changes,
    Unmount,
}

impl Writer {
    fn new(geo: &Geometry) -> Self {
        Self {
            bytes: vec![0; geo.log_blocks as usize * geo.block_size as usize],
            uuid: geo.uuid,
            cycle: 1,
            block: 0,
            before: u32::MAX,
        }
    }

    fn blocks(&self) -> usize {
        self.bytes.len() / 512
    }

    fn put(&mut self, at: usize, offset: usize, bytes: &[u8]) {
        let start = at % self.blocks() * 512 + offset;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a record with `data` blocks of data from an in-core log of `size` bytes.
    fn record(&mut self, what: What, data: usize, size: u32) {
        let headers = (size as usize).div_ceil(32 * 1024).max(1);
        let (at, cycle) = (self.block, self.cycle);
        for block in at..at + headers + data {
            let around = u32::from(block >= self.blocks());
            self.put(block, 0, &[0; 512]);
            self.put(block, 0, &(cycle + around).to_be_bytes());
        }
        let lsn = u64::from(cycle) << 32 | at as u64;
        let mut header = Vec::new();
        for word in [MAGIC, cycle, 2, data as u32 * 512] {
            header.extend(word.to_be_bytes());
        }
        header.extend(lsn.to_be_bytes());
        header.extend(lsn.to_be_bytes());
        header.extend([0; 4]);
        header.extend(self.before.to_be_bytes());
        header.extend(1u32.to_be_bytes());
        header.extend([0; 256]);
        header.extend(1u32.to_be_bytes());
        header.extend(self.uuid);
        header.extend(size.to_be_bytes());
        self.put(at, 0, &header);
        let flags = if what == What::Unmount { 0x20 } else { 1 };
        self.put(at + headers, 4, &8u32.to_be_bytes());
        self.put(at + headers, 8, &[0xaa, flags, 0, 0, 0x6e, 0x55]);
        self.before = at as u32;
        self.block = at + headers + data;
        if self.block >= self.blocks() {
            self.block -= self.blocks();
            self.cycle += 1;
        }
    }

    /// Writes records until the next one would pass block `to` of cycle `cycle`; the last one ends
    /// there.
    fn fill(&mut self, cycle: u32, to: usize) {
        loop {
            let left = (cycle - self.cycle) as usize * self.blocks() + to - self.block;
            match left {
                0 => return,
                1..=501 => self.record(What::Changes, left - 1, 32 * 1024),
                _ => self.record(What::Changes, 200, 32 * 1024),
            }
        }
    }

    fn head(&self) -> Lsn {
        Lsn::new(self.cycle, self.block as u32)
    }

    /// The state by our reckoning, and whether it is clean by xfs_logprint's.
    fn judge(&self, image: &Image, geo: &Geometry) -> (Result<State, Error>, bool) {
        let start = geo.fs_block_addr(geo.log_start.unwrap()).unwrap().0 * 512;
        let mut overlay = Overlay::new(image.disks().data);
        overlay.write_at(start, &self.bytes).unwrap();
        let store = ImageStore::open(Disks::data(Arc::new(overlay))).unwrap();

        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("log-state-{}-{number}", std::process::id());
        let copy = std::env::temp_dir().join(name);
        let file = fs::File::create(&copy).unwrap();
        file.set_len(fs::metadata(&image.data).unwrap().len())
            .unwrap();
        let mut sector = [0; 4096];
        image.disks().data.read_at(0, &mut sector).unwrap();
        file.write_all_at(&sector, 0).unwrap();
        file.write_all_at(&self.bytes, start).unwrap();
        let print = Command::new("xfs_logprint")
            .arg("-t")
            .arg(&copy)
            .output()
            .unwrap();
        fs::remove_file(&copy).unwrap();
        let print = String::from_utf8_lossy(&print.stdout).into_owned();
        assert!(
            print.contains("state: <CLEAN>") != print.contains("state: <DIRTY>"),
            "{print}"
        );
        (log::state(&store), print.contains("state: <CLEAN>"))
    }
}

#[test]
fn a_log_fresh_from_mkfs_is_clean() {
    for shape in SHAPES {
        let image = Image::of(shape);
        let store = ImageStore::open(image.disks()).unwrap();
        let state = log::state(&store);
        assert!(
            matches!(state, Ok(State::Clean(_))),
            "{}: {state:?}",
            shape.name
        );
    }
}

#[test]
fn the_end_of_the_log_is_found_wherever_it_lies() {
    let image = Image::of(named("empty"));
    let store = ImageStore::open(image.disks()).unwrap();
    let geo = store.geometry();
    let len = Writer::new(geo).blocks();
    // Once around or not, in the middle and near both ends of the ring.
    let places = [
        (1, 0),
        (1, 100),
        (1, 5000),
        (1, len - 2),
        (1, len - 5),
        (2, 0),
        (2, 1),
        (2, 300),
        (2, 4095),
        (2, 4097),
        (2, len / 2),
        (2, len - 2),
        (2, len - 1),
        (3, 0),
        (7, 1000),
    ];
    for (cycle, to) in places {
        let mut log = Writer::new(geo);
        log.cycle = cycle.max(2) - 1;
        log.fill(cycle, to);
        if log.block != 0 || log.cycle != 1 {
            let (ours, clean) = log.judge(&image, geo);
            assert_eq!(ours, Ok(State::Dirty), "{cycle} {to}");
            assert!(!clean);
        }
        log.record(What::Unmount, 1, 32 * 1024);
        let (ours, clean) = log.judge(&image, geo);
        assert_eq!(ours, Ok(State::Clean(log.head())), "{cycle} {to}");
        assert!(clean);
    }
}

#[test]
fn unmount_records_of_all_sizes_are_known() {
    let image = Image::of(named("empty"));
    let store = ImageStore::open(image.disks()).unwrap();
    let geo = store.geometry();
    let len = Writer::new(geo).blocks();
    for size in [32 * 1024, 64 * 1024, 256 * 1024] {
        // Data padded to a stripe unit; the record goes round the ring's end.
        for data in [1, 63, 504] {
            let mut log = Writer::new(geo);
            log.fill(1, len - 3);
            log.record(What::Unmount, data, size);
            let (ours, clean) = log.judge(&image, geo);
            assert_eq!(ours, Ok(State::Clean(log.head())), "{size} {data}");
            assert!(clean);
        }
    }
}

#[test]
fn what_was_torn_behind_an_unmount_does_not_make_it_dirty() {
    let image = Image::of(named("empty"));
    let store = ImageStore::open(image.disks()).unwrap();
    let geo = store.geometry();
    let len = Writer::new(geo).blocks();
    for (cycle, to) in [(2, 9000), (2, 100), (1, 4000), (2, len - 300)] {
        let mut log = Writer::new(geo);
        log.cycle = cycle.max(2) - 1;
        log.fill(cycle, to);
        log.record(What::Unmount, 1, 32 * 1024);
        let head = log.head();
        let torn = log.bytes.clone();
        log.record(What::Changes, 100, 32 * 1024);
        let hole = head.block() as usize * 512..log.block * 512;
        log.record(What::Changes, 100, 32 * 1024);
        let (ours, clean) = log.judge(&image, geo);
        assert_eq!((ours, clean), (Ok(State::Dirty), false), "{cycle} {to}");

        // The first of the two never got to the disk.
        let whole = log.bytes.clone();
        log.bytes[hole.clone()].copy_from_slice(&torn[hole.clone()]);
        let (ours, clean) = log.judge(&image, geo);
        assert_eq!(
            (ours, clean),
            (Ok(State::Clean(head)), true),
            "{cycle} {to}"
        );

        // Only its beginning did, and nothing of the second.
        log.bytes = torn;
        let part = hole.start..hole.start + 20 * 512;
        log.bytes[part.clone()].copy_from_slice(&whole[part]);
        let (ours, clean) = log.judge(&image, geo);
        assert_eq!(
            (ours, clean),
            (Ok(State::Clean(head)), true),
            "{cycle} {to}"
        );
    }
}

#[test]
fn a_log_of_another_file_system_is_refused() {
    let image = Image::of(named("empty"));
    let store = ImageStore::open(image.disks()).unwrap();
    let geo = store.geometry();
    let start = geo.fs_block_addr(geo.log_start.unwrap()).unwrap().0 * 512;
    for (offset, value, field) in [
        (304, 0x5a, "fs_uuid"),
        (11, 1, "version"),
        (12, 0x7f, "len"),
        (320, 0x7f, "size"),
    ] {
        let mut overlay = Overlay::new(image.disks().data);
        overlay.write_at(start + offset, &[value]).unwrap();
        let store = ImageStore::open(Disks::data(Arc::new(overlay))).unwrap();
        match log::state(&store) {
            Err(Error::Corrupt(corruption)) => assert_eq!(corruption.fault.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}
