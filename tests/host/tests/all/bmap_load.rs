// SPDX-License-Identifier: GPL-2.0

//! Reading B+tree forks: trees of any shape, large ones, and broken ones.

use crate::btree_model::forge::{Forge, Memory, INODE};
use std::{panic::AssertUnwindSafe, time::Instant};
use xfs_host::libxfs::{
    bmap::{load, ForkOf},
    error::{Error, Result},
    extents::{ExtentMap, Mapping},
    format::{
        btree::{Bmap, BmapRecord},
        units::FileBlock,
    },
    inode::WhichFork,
    store::Device,
};

/// Bytes of the fork that has the root.
const FORK: usize = 336;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// `count` records in order, most with holes between them.
fn records(count: u64, random: &mut Random) -> Vec<BmapRecord> {
    let mut at = 0;
    (0..count)
        .map(|_| {
            at += random.below(3);
            let len = 1 + random.below(4) as u32;
            let record = BmapRecord {
                offset: FileBlock(at),
                start: 10_000_000 + random.below(100_000_000),
                count: len,
                unwritten: random.below(5) == 0,
            };
            at += u64::from(len);
            record
        })
        .collect()
}

fn fork_of(count: u64) -> ForkOf {
    ForkOf {
        number: INODE,
        which: WhichFork::Data,
        device: Device::Data,
        count,
        blocks: u64::MAX,
    }
}

fn same(map: &ExtentMap, records: &[BmapRecord]) {
    assert_eq!(map.count(), records.len() as u64);
    assert!(map
        .iter()
        .eq(records.iter().map(|record| Mapping::from(*record))));
}

/// A tree of `count` records and its root.
fn forged(memory: &Memory, count: u64, seed: u64, dense: bool) -> (Vec<BmapRecord>, Vec<u8>) {
    let mut random = Random(seed);
    let records = records(count, &mut random);
    let mut forge = Forge::new(memory, move |room| {
        if dense {
            room
        } else {
            1 + random.below(room as u64) as usize
        }
    });
    let fork = forge.tree_in_fork::<Bmap>(&records, FORK).fork;
    (records, fork)
}

#[test]
fn trees_of_any_shape_are_read_whole_and_in_order() {
    for seed in 1..60 {
        let count = 22 + seed * seed * 3;
        let memory = Memory::new();
        let (records, fork) = forged(&memory, count, seed, seed % 3 == 0);
        same(&load(&memory, &fork_of(count), &fork).unwrap(), &records);
        assert_eq!(memory.take_reads(), memory.len());
    }
}

#[test]
fn a_million_records_are_read_in_a_moment() {
    for count in [100_000, 1_000_000] {
        let memory = Memory::new();
        let (records, fork) = forged(&memory, count, 5, true);
        let start = Instant::now();
        let map = load(&memory, &fork_of(count), &fork).unwrap();
        println!(
            "{count} records in {} blocks: {:?}",
            memory.len(),
            start.elapsed()
        );
        same(&map, &records);
    }
}

#[test]
fn a_count_that_is_not_the_trees_is_refused() {
    let memory = Memory::new();
    let (_, fork) = forged(&memory, 500, 3, false);
    for count in [0, 21, 499, 501, u64::MAX] {
        let error = load(&memory, &fork_of(count), &fork).unwrap_err();
        let Error::Corrupt(corruption) = error else {
            panic!("{error:?}");
        };
        assert_eq!(corruption.fault.field, "extent count");
    }
    let mut few_blocks = fork_of(500);
    few_blocks.blocks = 499;
    assert!(load(&memory, &few_blocks, &fork).is_err());
}

/// What reading gives after block `index` was changed; the field that is named if it fails.
fn changed(index: usize, change: impl FnOnce(&mut Vec<u8>)) -> Result<ExtentMap> {
    let memory = Memory::new();
    let (_, fork) = forged(&memory, 20_000, 9, false);
    memory.change::<Bmap>(index, change);
    load(&memory, &fork_of(20_000), &fork)
}

/// A neighbour that is wrong is found from either side.
const SIBLING: &[&str] = &["leftsib", "rightsib"];

fn refused(index: usize, fields: &[&str], change: impl FnOnce(&mut Vec<u8>)) {
    match changed(index, change) {
        Err(Error::Corrupt(corruption)) => {
            let field = corruption.fault.field;
            assert!(fields.contains(&field), "{field}, not {fields:?}");
        }
        other => panic!("{fields:?}: {:?}", other.map(|map| map.count())),
    }
}

#[test]
fn a_block_that_does_not_fit_its_place_is_refused() {
    let blocks = {
        let memory = Memory::new();
        forged(&memory, 20_000, 9, false);
        memory.len()
    };
    // Leaves come first, nodes after them.
    for index in [0, 1, blocks / 2, blocks - 1] {
        // A leaf taken for a node fails in one way or another.
        assert!(changed(index, |block| block[5] ^= 1).is_err());
        refused(index, &["owner"], |block| block[63] ^= 4);
        refused(index, SIBLING, |block| block[15] ^= 1);
        refused(index, &["uuid"], |block| block[40] ^= 1);
    }
    refused(1, SIBLING, |block| block[23] ^= 1);
    // The first of the level now has another before it.
    refused(0, SIBLING, |block| {
        block[8..16].copy_from_slice(&5_000_u64.to_be_bytes());
    });
    let node = {
        let memory = Memory::new();
        forged(&memory, 20_000, 9, false);
        (0..blocks)
            .rev()
            .find(|&index| {
                let block = memory.block(index).unwrap();
                block[5] > 0 && block[7] > 2
            })
            .expect("a node of more than two children")
    };
    // A child that starts elsewhere than its parent says.
    refused(node, &["key", "key order"], |block| {
        let key = u64::from_be_bytes(block[72..80].try_into().unwrap());
        block[72..80].copy_from_slice(&(key + 1).to_be_bytes());
    });
    // Two pointers of a node exchanged: they lie behind room for 59 keys.
    assert!(changed(node, |block| {
        let pointers = 72 + 59 * 8;
        let (first, second) = block[pointers..pointers + 16].split_at_mut(8);
        first.swap_with_slice(second);
    })
    .is_err());
}

#[test]
fn any_change_ends_in_a_map_or_an_error() {
    let mut random = Random(77);
    let memory = Memory::new();
    let (_, fork) = forged(&memory, 3_000, 9, false);
    let fork_of = fork_of(3_000);
    let mut refused = 0;
    for _ in 0..1_000 {
        let index = random.below(memory.len() as u64) as usize;
        let good = memory.block(index).unwrap();
        memory.change::<Bmap>(index, |block| {
            for _ in 0..1 + random.below(3) {
                let at = random.below(block.len() as u64) as usize;
                block[at] = random.below(256) as u8;
            }
        });
        memory.take_reads();
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| load(&memory, &fork_of, &fork)))
            .expect("no panic");
        match result {
            Ok(map) => assert_eq!(map.count(), 3_000),
            Err(_) => refused += 1,
        }
        memory.change::<Bmap>(index, |block| *block = good);
    }
    assert!(refused > 400, "{refused}");
    // The root.
    for _ in 0..5_000 {
        let mut bad = fork.clone();
        let at = random.below(bad.len() as u64) as usize;
        bad[at] = random.below(256) as u8;
        memory.take_reads();
        if let Ok(map) = load(&memory, &fork_of, &bad) {
            assert_eq!(map.count(), 3_000);
        }
    }
}
