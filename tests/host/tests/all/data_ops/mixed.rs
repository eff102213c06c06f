// SPDX-License-Identifier: GPL-2.0

//! All operations mixed, in random order.

use crate::data_ops::World;
use xfs_host::{
    libxfs::{
        journal::{Claim, Journal},
        trans::CounterDeltas,
    },
    log_journal::LogJournal,
    workload::{Op, Workload},
};

/// Steps of a test: many in a long run.
fn steps(short: u32) -> u32 {
    match std::env::var_os("XFS_RUST_LONG") {
        Some(_) => short * 50,
        None => short,
    }
}

/// The operations on content come more often than others.
fn often() -> Vec<Op> {
    [
        Op::NAMES,
        Op::ATTRIBUTES,
        Op::XATTRS,
        Op::DATA,
        Op::DATA,
        Op::SHARING,
        Op::SHARING,
    ]
    .concat()
}

fn random_operations(shape: &str, seed: u64) {
    World::new(shape).run(seed, |journal| {
        let mut workload = Workload::new(journal, seed, &often()).unwrap();
        for number in 0..steps(300) {
            let op = workload.step();
            assert!(op.is_ok(), "{shape}, seed {seed}, step {number}: {op:?}");
        }
        workload.close().unwrap();
        assert_eq!(workload.compare().unwrap(), Vec::<String>::new());
        for op in Op::DATA {
            let done = workload
                .outcomes()
                .get(op)
                .map_or(0, |outcome| outcome.done);
            assert!(done > 0, "{shape}, seed {seed}: no {}", op.name());
        }
    });
}

macro_rules! shapes {
    ($($name:ident: $shape:literal, $seed:literal;)*) => {
        $(
            #[test]
            fn $name() {
                random_operations($shape, $seed);
            }
        )*
    };
}

shapes! {
    operations_by_default: "empty", 1;
    operations_beside_a_population: "default", 2;
    operations_in_small_blocks: "block-1k", 3;
    operations_in_blocks_of_16k: "block-16k", 4;
    operations_in_large_blocks: "block-64k", 5;
    operations_in_large_sectors: "sector-4k", 6;
    operations_in_large_inodes: "inode-2048", 7;
    operations_in_large_directory_blocks: "block-1k-dir-64k", 8;
    operations_without_reverse_mappings: "no-rmapbt", 9;
    operations_without_reference_counts: "no-reflink", 10;
    operations_with_small_counters: "no-nrext64", 11;
    operations_without_parent_pointers: "no-parent", 12;
    operations_with_nothing_that_is_new: "bare", 13;
    operations_over_many_groups: "many-groups", 14;
    operations_over_stripes: "stripes", 15;
    operations_with_metadata_directories: "metadir", 16;
    operations_with_a_log_of_its_own: "external-log", 17;
    operations_beside_a_realtime_device: "rt-groups", 18;
    operations_in_large_realtime_extents: "rt-groups-1k", 19;
    operations_in_realtime_extents_without_groups: "rt-extent-64k", 20;
}

/// Takes all free blocks but `left`; returns how many.
fn hide_all_but(journal: &LogJournal<'_>, left: u64) -> u64 {
    let takes = |blocks: u64| {
        let claim = Claim {
            blocks,
            ..Claim::default()
        };
        journal.claim(claim).is_ok()
    };
    let mut taken = 0;
    for bit in (0..40).rev().map(|bit| 1 << bit) {
        if takes(bit) {
            taken += bit;
        }
    }
    give_back(journal, left);
    taken - left
}

fn give_back(journal: &LogJournal<'_>, blocks: u64) {
    journal.settle(&CounterDeltas {
        free_blocks: blocks as i64,
        ..CounterDeltas::default()
    });
}

#[test]
fn a_device_that_is_nearly_full_keeps_what_it_has() {
    for (shape, seed) in [("empty", 21), ("block-1k", 22), ("bare", 23)] {
        World::new(shape).run(seed, |journal| {
            let mut workload = Workload::new(journal, seed, &often()).unwrap();
            let mut hidden = 0;
            for number in 0..steps(600) {
                if number == 200 {
                    hidden = hide_all_but(journal, 10);
                }
                let op = workload.step();
                assert!(op.is_ok(), "{shape}, seed {seed}, step {number}: {op:?}");
            }
            workload.close().unwrap();
            assert_eq!(workload.compare().unwrap(), Vec::<String>::new());
            let outcomes = Op::DATA.iter().filter_map(|op| workload.outcomes().get(op));
            assert!(
                outcomes.map(|outcome| outcome.no_space).sum::<u64>() > 0,
                "{shape}"
            );
            give_back(journal, hidden);
        });
    }
}
