// SPDX-License-Identifier: GPL-2.0

//! All operations mixed, in random order.

use crate::data_ops::World;
use xfs_host::workload::{Op, Workload};

/// Steps of a test: many in a long run.
fn steps(short: u32) -> u32 {
    match std::env::var_os("XFS_RUST_LONG") {
        Some(_) => short * 50,
        None => short,
    }
}

/// The operations on content come more often than others.
fn often() -> Vec<Op> {
    [Op::NAMES, Op::ATTRIBUTES, Op::DATA, Op::DATA].concat()
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
}
