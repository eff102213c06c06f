// SPDX-License-Identifier: GPL-2.0

//! Seeds by the number: all operations, over every shape in turn, long enough for trees to grow and to
//! shrink again. By default a few short ones; with `XFS_RUST_LONG` a hundred of 5,000 operations;
//! `XFS_RUST_SEEDS=FIRST,COUNT` chooses others, as long.

use crate::data_ops::World;
use std::env;
use xfs_host::workload::{Op, Workload};

const SHAPES: &[&str] = &[
    "empty",
    "rt-groups",
    "block-1k",
    "default",
    "block-64k",
    "many-groups",
    "stripes",
    "metadir",
    "bare",
    "no-rmapbt",
    "no-parent",
    "external-log",
    "rt-groups-1k",
    "inode-2048",
    "block-1k-dir-64k",
    "sector-4k",
    "no-nrext64",
];

/// The seeds, and how many operations each has.
fn seeds() -> (std::ops::Range<u64>, u32) {
    if let Some(seeds) = env::var_os("XFS_RUST_SEEDS") {
        let seeds = seeds.to_string_lossy().into_owned();
        let (first, count) = seeds.split_once(',').expect("FIRST,COUNT");
        let [first, count] = [first, count].map(|n| n.parse::<u64>().expect("a number"));
        return (first..first + count, 5_000);
    }
    match env::var_os("XFS_RUST_LONG") {
        Some(_) => (0..100, 5_000),
        None => (0..3, 400),
    }
}

#[test]
fn a_seed_of_operations_on_any_shape_ends_as_the_model_has_it() {
    let (seeds, steps) = seeds();
    for seed in seeds {
        let shape = SHAPES[seed as usize % SHAPES.len()];
        World::new(shape).run(seed, |journal| {
            let often = [Op::ALL, Op::DATA, Op::SHARING].concat();
            let mut workload = Workload::new(journal, seed, &often).unwrap();
            for number in 0..steps {
                if let Err(error) = workload.step() {
                    let op = workload.begun();
                    panic!("{shape}, seed {seed}, step {number}, {op:?}: {error:?}");
                }
            }
            workload.close().unwrap();
            let wrong = workload.compare().unwrap();
            assert_eq!(wrong, Vec::<String>::new(), "{shape}, seed {seed}");
        });
        // Who waits for many of them sees how far they are.
        println!("{shape}, seed {seed}: {steps} operations");
    }
}
