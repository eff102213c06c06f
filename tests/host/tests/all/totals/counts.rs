// SPDX-License-Identifier: GPL-2.0

//! Reference counts, of both devices in turn, in trees of one leaf and in deep ones.

use super::Operations;
use crate::{
    btree_changes::held::{journal, reopen},
    space_changes::counts::{change, compare, counted, Counted},
};
use xfs_host::{
    libxfs::{
        error::Error,
        format::btree::{GroupBlock, Refcount, RtRefcount},
    },
    random::Random,
};

/// Most operations of a tree.
const MOST: u64 = 400_000;

/// One tree over so many blocks. Returns its levels at the most, and how often it had no space.
fn run<N: GroupBlock, T: Counted<N>>(
    operations: &mut Operations,
    (seed, blocks): (u64, usize),
) -> (u32, u32) {
    let (mut journal, mut disk) = journal(10);
    let mut pair = counted::<N, T>(&journal, blocks);
    let mut random = Random::new(seed);
    let mut left = None;
    let (mut levels, mut full) = (0, 0);
    let end = operations.done + operations.of_a_world(MOST, 6);
    while operations.done < end {
        let changes = 1 + random.below(200);
        operations.did(change(&mut pair, &journal, &mut random, changes, &mut left).unwrap());
        if !operations.is_due((4 * blocks as u64).max(2_000)) {
            continue;
        }
        compare(&pair, &journal);
        levels = levels.max(pair.0.levels());
        // A batch for which there is no space leaves all as it was. Most are cut short, and few of
        // those need a block.
        pair.0.allowance = 0;
        for _ in 0..40 {
            let before = (pair.clone(), disk.snapshot(), left);
            match change(&mut pair, &journal, &mut random, 200, &mut left) {
                Ok(done) => operations.did(done),
                Err(error) => {
                    assert_eq!(error, Error::NoSpace);
                    assert_eq!(journal.store().locked(), 0);
                    assert!(disk.snapshot().changes().eq(before.1.changes()));
                    (journal, disk) = reopen(&journal, before.1);
                    (pair, left) = (before.0, before.2);
                    full += 1;
                    break;
                }
            }
        }
        pair.0.allowance = u32::MAX;
        compare(&pair, &journal);
    }
    compare(&pair, &journal);
    (levels, full)
}

#[test]
fn any_number_of_reference_counts_are_as_those_of_the_blocks() {
    let mut operations = Operations::of("refcount", 30_000);
    let (mut levels, mut full) = (0, 0);
    for seed in 0.. {
        if !operations.are_left() {
            break;
        }
        let blocks = [600, 6_000, 100_000][seed as usize / 2 % 3];
        let ran = match seed % 2 {
            0 => run::<_, Refcount>(&mut operations, (seed, blocks)),
            _ => run::<_, RtRefcount>(&mut operations, (seed, blocks)),
        };
        levels = levels.max(ran.0);
        full += ran.1;
    }
    operations.tell();
    println!("refcount: {levels} levels, no space {full} times");
    assert!(levels >= 2, "{levels} levels");
    assert!(full > 0 || operations.done < 1_000_000, "{full}");
}
