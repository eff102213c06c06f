// SPDX-License-Identifier: GPL-2.0

//! Operations where space is short: claims that are refused, and groups that have nothing left while
//! others have. What finds no space says so, and the file system goes on and is whole.

use super::behaviour;
use crate::power_cuts::{assert_whole, many, Content};
use std::sync::Arc;
use xfs_host::{
    fixture::named,
    image::ScratchDisk,
    libxfs::{
        alloc::Request,
        defer::Chain,
        error::Error,
        format::units::{AgBlock, AgNumber},
        journal::{Claim, Journal},
        recovery,
        space::{allocate, Groups, Place, Wanted},
        store::{Device, Store},
        trans::{CounterDeltas, LogReservations, Trans},
    },
    log_journal::{LogJournal, Volume},
    random::Random,
    workload::{Op, Workload},
};

/// Runs operations where `less` takes space before, and gives back what it took with what it
/// returns. How many found none.
fn run(
    content: &Content,
    (seed, steps): (u64, u32),
    less: impl FnOnce(&LogJournal<'_>) -> CounterDeltas,
) -> u64 {
    let disks = content.disks(|overlay| Arc::new(ScratchDisk::from(overlay)));
    let volume = Volume::open(disks.clone()).unwrap();
    let journal = LogJournal::open(&volume, None, behaviour(seed)).unwrap();
    let mut workload = Workload::new(&journal, seed, Op::ALL).unwrap();
    for _ in 0..20 {
        workload.step().unwrap();
    }
    let taken = less(&journal);
    for step in 0..steps {
        if let Err(error) = workload.step() {
            panic!("seed {seed}, operation {step}: {error:?}");
        }
    }
    // Inodes that are freed need no space that is there.
    workload.close().unwrap();
    assert_eq!((journal.shutdown(), journal.held()), (None, 0));
    journal.settle(&taken);
    recovery::free_staged(&journal, &mut Groups).unwrap();
    journal.unmount().unwrap();
    let outcomes = workload.outcomes().values();
    let refused = outcomes.map(|outcome| outcome.no_space).sum();
    drop(journal);
    assert_whole(disks);
    refused
}

/// Has all but `left` free blocks counted as taken.
fn count_down(journal: &LogJournal<'_>, left: u64) -> CounterDeltas {
    let all = Claim {
        blocks: u64::MAX / 2,
        ..Claim::default()
    };
    assert_eq!(journal.claim(all), Err(Error::NoSpace));
    let mut taken = 0;
    // Some are never given out; halving finds how many can be.
    let mut step = journal.counters().free_blocks;
    while step != 0 {
        let claim = Claim {
            blocks: step,
            ..Claim::default()
        };
        match journal.claim(claim) {
            Ok(()) => taken += step,
            Err(_) => step /= 2,
        }
    }
    let back = CounterDeltas {
        free_blocks: left as i64,
        ..CounterDeltas::default()
    };
    journal.settle(&back);
    CounterDeltas {
        free_blocks: taken as i64 - left as i64,
        ..CounterDeltas::default()
    }
}

#[test]
fn operations_find_no_space_at_any_count_of_free_blocks() {
    let mut refused = 0;
    for (shape, seed) in [("default", 1), ("bare", 2), ("dir-64k", 3)] {
        let content = Content::empty(named(shape));
        for left in (0..120).step_by(120 / many(10).min(120) as usize) {
            refused += run(&content, (seed + left, 25), |journal| {
                count_down(journal, left)
            });
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Takes all that a group has.
fn fill(journal: &LogJournal<'_>, ag: AgNumber) {
    let geo = journal.geometry();
    let log = LogReservations::new(geo).unwrap().truncate;
    let mut most = geo.ag_blocks;
    while most != 0 {
        let claim = Claim {
            blocks: u64::from(most) + 100,
            emergency: true,
            ..Claim::default()
        };
        let trans = match Trans::start(journal, log, claim) {
            Err(Error::NoSpace) => {
                most /= 2;
                continue;
            }
            started => started.unwrap(),
        };
        let mut chain = Chain::new(trans).unwrap();
        let (trans, deferred) = chain.parts();
        let target = geo.fs_block(ag, AgBlock(0)).unwrap();
        let wanted = Wanted::data(target, Place::InGroup, Request::new(most, most));
        match allocate(trans, deferred, &wanted).unwrap() {
            Some(extent) => {
                let (start, count) = (extent.start.0, extent.count);
                deferred.alloc_cow(Device::Data, start, count).unwrap();
            }
            None => most /= 2,
        }
        chain.commit(&mut Groups).unwrap();
    }
}

#[test]
fn operations_go_on_where_groups_are_full() {
    for seed in 0..u64::from(many(4)) {
        let content = Content::empty(named(["default", "block-1k"][seed as usize % 2]));
        run(&content, (seed, 60), |journal| {
            // One group has space, of which there is enough.
            let groups = journal.geometry().ag_count;
            let spared = Random::new(seed).below(groups);
            for ag in (0..groups).filter(|&ag| ag != spared) {
                fill(journal, AgNumber(ag));
            }
            CounterDeltas::default()
        });
    }
}
