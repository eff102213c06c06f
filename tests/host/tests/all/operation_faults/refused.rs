// SPDX-License-Identifier: GPL-2.0

//! Space that is refused at every place where an operation asks for some: when its transaction claims
//! it, and when it looks for it in a group. The operation says so or does without; the file system goes
//! on, holds what it should, and is whole.
//!
//! Some blocks a transaction cannot do without once it has changed other things. Its claim is a promise
//! that there are such. Where that is broken all the same, since a counter is wrong, the file system
//! shuts down, and recovery finds the operation done or not.

use super::{begun, behaviour, listed, there_at_last, Listing};
use crate::power_cuts::{assert_whole, many, without_contents, Content};
use std::sync::Arc;
use xfs_host::{
    fixture::named,
    image::ScratchDisk,
    libxfs::{
        ag::{LockedAgf, Use},
        defer::Chain,
        format::{
            btree::Owner,
            units::{AgBlock, AgNumber},
        },
        journal::Claim,
        space::{allocate, BlockOwner, Groups, Place, Wanted},
        store::Store,
        trans::{LogReservations, Trans},
    },
    log_journal::{LogJournal, Scarcity, Volume},
    workload::{Op, Workload},
};

/// Operations of a workload.
const STEPS: usize = 15;

/// Shapes that differ in what takes space, and how.
const SHAPES: [&str; 12] = [
    "default",
    "block-1k",
    "rt-groups",
    "bare",
    "dir-64k",
    "block-64k",
    "many-groups",
    "stripes",
    "metadir",
    "no-parent",
    "no-rmapbt",
    "inode-2048",
];

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Space for a transaction.
    Claim,
    /// Space of a group.
    Look,
    /// Space of a group that must be there.
    Promise,
}

impl Asked {
    fn of<'j>(self, journal: &'j LogJournal<'_>) -> &'j Scarcity {
        match self {
            Self::Claim => journal.claims(),
            Self::Look => journal.looks(),
            Self::Promise => journal.promises(),
        }
    }
}

/// What came of a workload.
#[derive(Default)]
struct Run {
    /// How often space was asked for.
    asked: u64,
    /// Operations that said there is none.
    no_space: u64,
    /// Whether the file system was shut down.
    shut_down: bool,
    /// What there was before each operation, and at the end, where anybody wants to know.
    states: Vec<Listing>,
}

/// Runs a workload in which space is refused from the `after`th time on that it was asked for, until the
/// operation ends. `whole` is what it came to where nothing was refused.
fn run(
    before: &Content,
    what: &str,
    (seed, asked, after): (u64, Asked, u64),
    whole: Option<&Run>,
) -> Run {
    let mut scratch = Vec::new();
    let disks = before.disks(|overlay| {
        let disk = Arc::new(ScratchDisk::from(overlay));
        scratch.push(disk.clone());
        disk
    });
    let volume = Volume::open(disks.clone()).unwrap();
    let journal = LogJournal::open(&volume, None, behaviour(seed)).unwrap();
    let often = [Op::ALL, Op::DATA].concat();
    let mut workload = Workload::new(&journal, seed, &often).unwrap();
    let scarcity = asked.of(&journal);
    let first = scarcity.asked();
    scarcity.begin_after(first.saturating_add(after));
    let mut states = Vec::new();
    for step in 0..STEPS {
        if asked == Asked::Promise && whole.is_none() {
            states.push(without_contents(&listed(&journal)));
        }
        let done = workload.step();
        let place = || format!("{what}, operation {step}, {:?}: {done:?}", workload.begun());
        assert_eq!(journal.held(), 0, "{}", place());
        if asked == Asked::Promise && journal.shutdown().is_some() {
            let after = before.with(scratch.iter().map(|disk| disk.snapshot()).collect());
            let there = without_contents(&there_at_last(&after));
            let states = &whole.expect("something was refused").states[step..=step + 1];
            let atomic = workload.begun().is_some_and(Op::is_atomic);
            let whole = !atomic || states.contains(&there);
            assert!(whole, "{}: it was done in part", place());
            return Run {
                shut_down: true,
                ..Run::default()
            };
        }
        assert!(done.is_ok(), "{}", place());
        assert_eq!(journal.shutdown(), None, "{}", place());
        if scarcity.has_begun() {
            scarcity.end();
        }
    }
    scarcity.end();
    if asked == Asked::Promise && whole.is_none() {
        states.push(without_contents(&listed(&journal)));
    }
    let outcomes = workload.outcomes().values();
    let run = Run {
        asked: scarcity.asked() - first,
        no_space: outcomes.map(|outcome| outcome.no_space).sum(),
        shut_down: false,
        states,
    };
    workload.close().unwrap();
    assert_eq!(workload.compare().unwrap(), Vec::<String>::new(), "{what}");
    drop(workload);
    journal.unmount().unwrap();
    assert_eq!((journal.shutdown(), journal.held()), (None, 0), "{what}");
    drop(journal);
    assert_whole(disks);
    run
}

/// Refuses space at `tries` of all places in each of some workloads, all over them.
fn refuse_everywhere(asked: Asked) {
    let long = std::env::var_os("XFS_RUST_LONG").is_some();
    let (workloads, tries) = (u64::from(many(4)), if long { u64::MAX } else { 6 });
    let (mut places, mut no_space, mut shut_down) = (0, 0, 0);
    for (shape, first) in SHAPES.iter().zip(0..workloads) {
        let before = begun(shape, 60);
        for seed in (first..workloads).step_by(SHAPES.len()) {
            let what = format!("{shape}, seed {seed}");
            let whole = run(&before, &what, (seed, asked, u64::MAX), None);
            let all = whole.asked;
            let stride = (all / tries).max(1);
            for after in (seed % stride..all).step_by(stride as usize) {
                let what = format!("{what}, {asked:?} {after} of {all}");
                let run = run(&before, &what, (seed, asked, after), Some(&whole));
                places += 1;
                no_space += u64::from(run.no_space != 0);
                shut_down += u64::from(run.shut_down);
            }
        }
    }
    println!("{asked:?}: {workloads} workloads, {places} places, no space at {no_space}, shut down at {shut_down}");
    assert!(
        no_space + shut_down > places / 4,
        "hardly any of {places} places was refused"
    );
}

#[test]
fn claims_that_are_refused_leave_an_operation_undone() {
    refuse_everywhere(Asked::Claim);
}

#[test]
fn groups_that_give_nothing_leave_an_operation_undone() {
    refuse_everywhere(Asked::Look);
}

#[test]
fn promises_that_are_broken_leave_an_operation_done_or_not() {
    refuse_everywhere(Asked::Promise);
}

/// Gives the list of each group a block more than it has to have.
fn lengthen_lists(journal: &LogJournal<'_>) {
    let geo = journal.geometry();
    let log = LogReservations::new(geo).unwrap().truncate;
    let owner = BlockOwner::new(Owner::Ag);
    for ag in (0..geo.ag_count).map(AgNumber) {
        let claim = Claim {
            blocks: 10,
            ..Claim::default()
        };
        let mut chain = Chain::new(Trans::start(journal, log, claim).unwrap()).unwrap();
        let (trans, deferred) = chain.parts();
        let target = geo.fs_block(ag, AgBlock(0)).unwrap();
        let wanted = Wanted::metadata(target, Place::InGroup, owner);
        let extent = allocate(trans, deferred, &wanted).unwrap().unwrap();
        let (_, block) = geo.split_fs_block(extent.start).unwrap();
        let agf = LockedAgf::lock(trans, ag).unwrap();
        agf.list(trans, block, Use::Space).unwrap();
        // What is on the list counts as free.
        trans.give_blocks(1);
        chain.commit(&mut Groups).unwrap();
    }
}

/// A search for space changes lists that are too long or too short, even if it finds none.
#[test]
fn files_that_find_no_inode_leave_the_lists_of_groups_changed() {
    for op in [Op::Create, Op::Mkdir, Op::Symlink, Op::Tmpfile] {
        let before = Content::empty(named("default"));
        let disks = before.disks(|overlay| Arc::new(ScratchDisk::from(overlay)));
        let volume = Volume::open(disks.clone()).unwrap();
        let journal = LogJournal::open(&volume, None, behaviour(1)).unwrap();
        let mut workload = Workload::new(&journal, 1, &[Op::Create, Op::Symlink]).unwrap();
        let refused = |workload: &Workload<'_, '_>| -> u64 {
            let outcomes = workload.outcomes().values();
            outcomes.map(|outcome| outcome.no_space).sum()
        };
        journal.looks().begin_after(0);
        while refused(&workload) == 0 {
            workload.step().unwrap();
        }
        workload.choose_from(&[op]);
        for _ in 0..4 {
            lengthen_lists(&journal);
            workload.step().unwrap();
            assert_eq!((journal.shutdown(), journal.held()), (None, 0), "{op:?}");
        }
        assert!(refused(&workload) > 2, "{op:?}");
        journal.looks().end();
        workload.close().unwrap();
        assert_eq!(workload.compare().unwrap(), Vec::<String>::new());
        drop(workload);
        journal.unmount().unwrap();
        drop(journal);
        assert_whole(disks);
    }
}
