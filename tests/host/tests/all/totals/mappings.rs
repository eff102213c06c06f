// SPDX-License-Identifier: GPL-2.0

//! Reverse mappings, of both devices in turn, in trees of one leaf and in deep ones.

use super::Operations;
use crate::{
    btree_changes::held::{journal, reopen},
    space_changes::mappings::{change, compare, mapped, Mapped},
};
use xfs_host::{
    libxfs::{
        error::Error,
        format::btree::{GroupBlock, Rmap, RtRmap},
    },
    random::Random,
};

/// Most operations of a tree.
const MOST: u64 = 400_000;

/// One tree over so many blocks, from its first record on. Returns its levels at the most, and how
/// often it had no space.
fn run<N: GroupBlock, T: Mapped<N>>(
    operations: &mut Operations,
    (seed, blocks): (u64, u32),
    realtime: bool,
) -> (u32, u32) {
    let (mut journal, mut disk) = journal(10);
    let mut pair = mapped::<N, T>(&journal, realtime, blocks);
    let mut random = Random::new(seed);
    let (mut levels, mut full) = (0, 0);
    let end = operations.done + operations.of_a_world(MOST, 6);
    while operations.done < end {
        let changes = 1 + random.below(200);
        operations.did(change(&mut pair, &journal, &mut random, changes).unwrap());
        if !operations.is_due((4 * u64::from(blocks)).max(2_000)) {
            continue;
        }
        compare(&pair, &journal);
        levels = levels.max(pair.tree.levels());
        // A batch for which there is no space leaves all as it was.
        let before = (pair.clone(), disk.snapshot());
        pair.tree.allowance = random.below(3);
        match change(&mut pair, &journal, &mut random, 200) {
            Ok(done) => operations.did(done),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                assert_eq!(journal.store().locked(), 0);
                assert!(disk.snapshot().changes().eq(before.1.changes()));
                (journal, disk) = reopen(&journal, before.1);
                pair = before.0;
                full += 1;
            }
        }
        pair.tree.allowance = u32::MAX;
        compare(&pair, &journal);
    }
    compare(&pair, &journal);
    (levels, full)
}

#[test]
fn any_number_of_reverse_mappings_are_as_the_uses_of_blocks() {
    let mut operations = Operations::of("rmap", 30_000);
    let (mut levels, mut full) = (0, 0);
    for seed in 0.. {
        if !operations.are_left() {
            break;
        }
        let blocks = [500, 5_000, 50_000][seed as usize / 2 % 3];
        let ran = match seed % 2 {
            0 => run::<_, Rmap>(&mut operations, (seed, blocks), false),
            _ => run::<_, RtRmap>(&mut operations, (seed, blocks), true),
        };
        levels = levels.max(ran.0);
        full += ran.1;
    }
    operations.tell();
    println!("rmap: {levels} levels, no space {full} times");
    assert!(levels >= 3 && full > 0, "{levels} levels, {full}");
}
