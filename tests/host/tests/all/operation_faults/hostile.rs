// SPDX-License-Identifier: GPL-2.0

//! Operations on images of which one field is hostile, its checksum right: each ends, with an error
//! or without; nothing panics, loops, or stays locked; and what is given up is given up whole.

use super::behaviour;
use crate::power_cuts::many;
use std::sync::Arc;
use xfs_host::{
    fixture::{named, Image},
    image::{Disks, ImageStore, ScratchDisk},
    libxfs::{
        error::{Error, Result},
        format::inode::FileType,
        inode::{create::INHERITED, DeviceNumber},
        ops::{self, NameOf, NewFile},
        store::Store,
        trans::LogReservations,
    },
    log_journal::{LogJournal, Volume},
    mutation::{Catalogue, Mutable, Seeded},
    random::Random,
    walk::walk,
    workload::{files, Entry, Tree},
};

/// Blocks that operations ask for, at most: more of them are a loop.
const READS: u64 = 1_000_000;

/// One operation on names that were there before the change, or were made since.
fn operate(
    journal: &LogJournal<'_>,
    reservations: &LogReservations,
    random: &mut Random,
    known: &mut Vec<Entry>,
) -> Result {
    let files = files(journal, reservations, 1_700_000_000);
    let one = known[random.below(known.len() as u32) as usize].clone();
    let other = known[random.below(known.len() as u32) as usize].clone();
    let name = format!("n{}", random.below(200)).into_bytes();
    let (file_type, mode, target) = match random.below(4) {
        0 => (FileType::Directory, 0o040_700, &b""[..]),
        1 => (FileType::Symlink, 0o120_777, &b"somewhere"[..]),
        _ => (FileType::Regular, 0o100_600, &b""[..]),
    };
    let file = NewFile {
        mode,
        uid: 0,
        gid: 0,
        device: DeviceNumber { major: 0, minor: 0 },
        target,
        attr_fork: false,
        inherited: INHERITED,
        generation: random.number() as u32,
        turn: random.below(100),
        counters: journal.counters(),
    };
    let of = |entry: &Entry| (entry.dir, entry.name.clone(), entry.inode);
    match random.below(8) {
        0..=2 => {
            let (inode, _) = ops::create(&files, one.dir, &name, &file)?;
            known.push(Entry {
                dir: one.dir,
                name,
                inode,
                file_type,
            });
        }
        3 => drop(ops::link(&files, one.dir, &name, other.inode, None)?),
        4 | 5 => {
            let (dir, name, inode) = of(&one);
            let (unlinked, committed) = ops::remove(&files, dir, &name, inode)?;
            drop(committed);
            known.retain(|entry| (entry.dir, &entry.name) != (dir, &name));
            if unlinked.neighbours.is_some() {
                ops::inactivate(&files, inode, None)?;
            }
        }
        6 => {
            let from = NameOf {
                dir: one.dir,
                name: &one.name,
                inode: Some(one.inode),
            };
            let to = NameOf {
                dir: other.dir,
                name: &name,
                inode: None,
            };
            drop(ops::rename(&files, &from, &to, None)?);
            known.retain(|entry| (entry.dir, &entry.name) != (one.dir, &one.name));
            known.push(Entry {
                dir: other.dir,
                name,
                ..one
            });
        }
        _ => {
            let file = NewFile {
                mode: 0o100_600,
                target: b"",
                ..file
            };
            let (inode, committed) = ops::create_nameless(&files, one.dir, &file)?;
            drop(committed);
            ops::inactivate(&files, inode, None)?;
        }
    }
    Ok(())
}

/// What came of it.
#[derive(Default)]
struct Seen {
    refused: u32,
    corrupt: u32,
    shut_down: u32,
    done: u32,
}

fn run(disks: &Disks, known: &[Entry], seed: u64, place: &str, seen: &mut Seen) {
    let scratch = |disk: &Arc<dyn xfs_host::image::Disk>| -> Arc<dyn xfs_host::image::Disk> {
        Arc::new(ScratchDisk::new(disk.clone()))
    };
    let disks = Disks {
        data: scratch(&disks.data),
        log: disks.log.as_ref().map(scratch),
        rt: disks.rt.as_ref().map(scratch),
    };
    let Ok(volume) = Volume::open(disks) else {
        seen.refused += 1;
        return;
    };
    let Ok(journal) = LogJournal::open(&volume, None, behaviour(seed)) else {
        seen.refused += 1;
        return;
    };
    journal.store().set_budget(READS);
    let reservations = LogReservations::new(journal.geometry()).unwrap();
    let mut random = Random::new(seed);
    let mut known = known.to_vec();
    for _ in 0..30 {
        if known.is_empty() {
            break;
        }
        match operate(&journal, &reservations, &mut random, &mut known) {
            Ok(()) => seen.done += 1,
            Err(Error::Corrupt(_)) => seen.corrupt += 1,
            Err(Error::Shutdown) => {
                assert!(journal.shutdown().is_some(), "{place}");
                break;
            }
            Err(_) => {}
        }
        assert_eq!(journal.held(), 0, "{place}: something stays locked");
    }
    assert!(!journal.store().exhausted(), "{place}: reads without end");
    match journal.shutdown() {
        Some(_) => seen.shut_down += 1,
        // It may well find that what is to be written makes no sense.
        None => drop(journal.unmount()),
    }
}

#[test]
fn operations_on_a_hostile_image_end() {
    for shape in ["default", "block-1k", "dir-64k", "bare", "rt-groups"] {
        let image = Image::small(named(shape));
        let disks = image.disks();
        let store = ImageStore::open(disks.clone()).unwrap();
        let catalogue = Catalogue::of_walk(&store, walk).unwrap();
        let tree = Tree::read(&store).unwrap();
        let known: Vec<_> = tree.entries().take(400).collect();
        let mut seen = Seen::default();
        for seed in 0..u64::from(many(60)) {
            let mut changed = Mutable::new(&disks);
            let mutation = catalogue.mutate(&mut Seeded(seed), &mut changed).unwrap();
            let place = format!("{shape} seed {seed}: {}", mutation.unwrap());
            // Should it panic, this tells where.
            println!("{place}");
            run(&changed.disks(), &known, seed, &place, &mut seen);
        }
        assert!(seen.done > 100 && seen.corrupt > 5, "{shape}");
        assert!(seen.refused > 0 && seen.shut_down > 0, "{shape}");
    }
}
