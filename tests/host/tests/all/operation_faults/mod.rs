// SPDX-License-Identifier: GPL-2.0

//! Something fails in the midst of an operation: an allocation of memory, a read, a write. The
//! operation is then done or not; nothing stays locked; and the file system goes on, or it was shut
//! down, and what is in the log makes it whole.

mod full;
mod hostile;
mod refused;

use crate::power_cuts::{many, without_contents, Content};
use kernel::alloc::faults::{self, FailAfter};
use std::{
    io,
    sync::{Arc, Mutex},
};
use xfs_host::{
    fixture::named,
    image::{Disk, ScratchDisk},
    libxfs::{
        error::{Error, Result},
        ops::inactivate,
        recovery,
        store::Store,
        trans::LogReservations,
    },
    listing::list,
    log_journal::{Behaviour, LogJournal, Volume},
    workload::{files, Op, Workload},
};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// All allocations of memory after so many.
    Memory(u64),
    /// One read of a disk, after so many.
    Read(u64),
    /// One write or flush of a disk, after so many.
    Write(u64),
}

/// Counts what disks are asked to do, and lets one such thing fail.
#[derive(Default)]
struct Fuse {
    reads: u64,
    writes: u64,
    fault: Option<Fault>,
}

impl Fuse {
    fn burn(count: &mut u64, fails_at: Option<u64>) -> io::Result<()> {
        *count += 1;
        match fails_at {
            Some(at) if at + 1 == *count => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let fails_at = match self.fault {
            Some(Fault::Read(at)) => Some(at),
            _ => None,
        };
        Self::burn(&mut self.reads, fails_at)
    }

    fn write(&mut self) -> io::Result<()> {
        let fails_at = match self.fault {
            Some(Fault::Write(at)) => Some(at),
            _ => None,
        };
        Self::burn(&mut self.writes, fails_at)
    }
}

/// A disk with a fuse.
struct FusedDisk {
    under: Arc<dyn Disk>,
    fuse: Arc<Mutex<Fuse>>,
}

impl Disk for FusedDisk {
    fn size(&self) -> u64 {
        self.under.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.fuse.lock().unwrap().read()?;
        self.under.read_at(offset, buf)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.fuse.lock().unwrap().write()?;
        self.under.write(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.fuse.lock().unwrap().write()?;
        self.under.flush()
    }
}

type Listing = Vec<Vec<u8>>;

fn listed(journal: &LogJournal<'_>) -> Listing {
    list(journal, journal.volume().disks()).unwrap()
}

/// Each write goes to the log at once, and to its place soon.
fn behaviour(seed: u64) -> Behaviour {
    Behaviour {
        batch: 1,
        write_back: 2,
        seed,
    }
}

/// A file system in which something was done already.
fn begun(shape: &str, steps: u32) -> Content {
    let empty = Content::empty(named(shape));
    let mut scratch = Vec::new();
    let disks = empty.disks(|overlay| {
        let disk = Arc::new(ScratchDisk::from(overlay));
        scratch.push(disk.clone());
        disk
    });
    let volume = Volume::open(disks).unwrap();
    let journal = LogJournal::open(&volume, None, behaviour(0)).unwrap();
    let mut workload = Workload::new(&journal, 77, Op::ALL).unwrap();
    for _ in 0..steps {
        workload.step().unwrap();
    }
    workload.close().unwrap();
    journal.unmount().unwrap();
    empty.with(scratch.iter().map(|disk| disk.snapshot()).collect())
}

/// What came of an operation.
struct Attempt {
    done: Result,
    /// Whether the file system went on.
    alive: bool,
    /// What the disks hold.
    after: Content,
    /// Allocations, reads and writes that there were.
    counts: [u64; 3],
}

/// Does an operation, in which something may fail.
fn attempt(before: &Content, op: Op, seed: u64, fault: Option<Fault>) -> Attempt {
    let fuse = Arc::new(Mutex::new(Fuse::default()));
    let mut scratch = Vec::new();
    let disks = before.disks(|overlay| {
        let under = Arc::new(ScratchDisk::from(overlay));
        scratch.push(under.clone());
        let fuse = fuse.clone();
        Arc::new(FusedDisk { under, fuse })
    });
    let volume = Volume::open(disks).unwrap();
    let journal = LogJournal::open(&volume, None, behaviour(seed)).unwrap();
    let mut workload = Workload::new(&journal, seed, &[op]).unwrap();
    // What was read to begin with is to be read again.
    journal.store().forget_all();
    *fuse.lock().unwrap() = Fuse {
        fault,
        ..Fuse::default()
    };
    let allocations = faults::count();
    let failing = match fault {
        Some(Fault::Memory(allowed)) => Some(FailAfter::new(allowed)),
        _ => None,
    };
    let done = workload.step().and_then(|_| workload.force());
    drop(failing);
    let counts = {
        let mut fuse = fuse.lock().unwrap();
        fuse.fault = None;
        [faults::count() - allocations, fuse.reads, fuse.writes]
    };
    let no_space = workload.outcomes().values().any(|of| of.no_space != 0);
    assert!(!no_space, "{op:?}, seed {seed}, {fault:?}: no space");
    drop(workload);
    let alive = journal.shutdown().is_none();
    assert_eq!(journal.held(), 0);
    if alive {
        // What was open is closed.
        let reservations = LogReservations::new(journal.geometry()).unwrap();
        let files = files(&journal, &reservations, 0);
        recovery::free_unlinked(&journal, |number| {
            inactivate(&files, number, None).map(|_| ())
        })
        .unwrap();
        journal.unmount().unwrap();
    }
    Attempt {
        done,
        alive,
        after: before.with(scratch.iter().map(|disk| disk.snapshot()).collect()),
        counts,
    }
}

/// What is there once the log was recovered, if there is anything in it.
fn there_at_last(content: &Content) -> Listing {
    let mut there = Listing::new();
    content.recover(behaviour(1), |journal, replayed| {
        if let Some(replayed) = replayed {
            journal.finish(replayed)?;
        }
        there = listed(journal);
        Ok(())
    });
    there
}

/// Fails at some `tries` of all places, in each kind of operation.
fn fail_everywhere(shape: &str, tries: u64, kind: usize, fault: fn(u64) -> Fault) {
    let before = begun(shape, 60);
    let was = there_at_last(&before);
    let mut failed = 0;
    for (&op, seed) in Op::ALL.iter().zip(1..) {
        let whole = attempt(&before, op, seed, None);
        whole.done.unwrap();
        let will_be = there_at_last(&whole.after);
        let all = whole.counts[kind];
        let first = seed % (all / tries).max(1);
        for n in (first..all).step_by((all / tries).max(1) as usize) {
            let fault = fault(n);
            let place = format!("{shape}, {op:?}, seed {seed}, {fault:?} of {all}");
            let attempt = attempt(&before, op, seed, Some(fault));
            match attempt.done {
                Ok(()) => assert!(attempt.alive, "{place}"),
                Err(Error::NoMemory) if kind == 0 => failed += 1,
                Err(Error::Io) if kind != 0 => failed += 1,
                Err(Error::Shutdown) => assert!(!attempt.alive, "{place}"),
                Err(error) => panic!("{place}: {error:?}"),
            }
            let mut there = there_at_last(&attempt.after);
            let whole = there == was || there == will_be;
            if !whole && !op.is_atomic() {
                // Contents may be those of any moment in between.
                there = without_contents(&there);
                let states = [&was, &will_be].map(|state| without_contents(state));
                assert!(states.contains(&there), "{place}: something else is there");
                continue;
            }
            assert!(whole, "{place}: something else is there");
        }
    }
    assert!(failed > 4, "{shape}: hardly anything failed");
}

#[test]
fn memory_that_is_lacking_leaves_an_operation_done_or_not() {
    for shape in ["default", "bare"] {
        fail_everywhere(shape, many(8).into(), 0, Fault::Memory);
    }
}

#[test]
fn a_read_that_fails_leaves_an_operation_done_or_not() {
    for shape in ["block-1k", "rt-groups"] {
        fail_everywhere(shape, many(8).into(), 1, Fault::Read);
    }
}

#[test]
fn a_write_that_fails_leaves_an_operation_done_or_not() {
    for shape in ["default", "external-log"] {
        fail_everywhere(shape, many(8).into(), 2, Fault::Write);
    }
}
