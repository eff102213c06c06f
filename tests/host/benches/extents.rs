// SPDX-License-Identifier: GPL-2.0

//! Times of look-ups and edits of a fork map with a million mappings, beside one with a thousand:
//! `scripts/in-builder cargo bench --bench extents`, in `tests/host`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};
use xfs_host::{
    libxfs::{
        extents::{ExtentMap, MappedBlock, Mapping, State},
        format::units::FileBlock,
    },
    mutation::{Choices, Seeded},
};

/// Blocks from one mapping's start to the next one's.
const STEP: u64 = 16;
/// Blocks of a mapping.
const LEN: u64 = 8;
/// Operations that are timed together, and how often.
const BATCH: u64 = 10_000;
const BATCHES: usize = 21;

fn mapping(index: u64) -> Mapping {
    Mapping {
        offset: FileBlock(index * STEP),
        start: MappedBlock(7 * index),
        len: LEN,
        state: State::Normal,
    }
}

fn map(count: u64) -> ExtentMap {
    let mut map = ExtentMap::new();
    for index in 0..count {
        map.append(mapping(index)).unwrap();
    }
    map
}

/// The median time of one operation.
fn time(mut operation: impl FnMut(u64), count: u64) -> Duration {
    let mut choices = Seeded(1);
    let mut times: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let places: Vec<u64> = (0..BATCH)
                .map(|_| choices.below(count as usize) as u64)
                .collect();
            let start = Instant::now();
            places.into_iter().for_each(&mut operation);
            start.elapsed() / BATCH as u32
        })
        .collect();
    times.sort();
    times[BATCHES / 2]
}

fn main() {
    let even = |len: u64| len;
    for count in [1_000, 1_000_000] {
        let mut map = map(count);
        let lookup = time(
            |index| {
                black_box(map.lookup(FileBlock(index * STEP + 3)));
            },
            count,
        );
        println!("{count} mappings: look-up {lookup:?}");
        let take = time(
            |index| {
                let (from, end) = (FileBlock(index * STEP), FileBlock(index * STEP + LEN));
                map.take_out(from, end, &even, &mut |_| {}).unwrap();
                map.add(mapping(index)).unwrap();
            },
            count,
        );
        println!("{count} mappings: take out and add {take:?}");
        let cut = time(
            |index| {
                map.split(FileBlock(index * STEP + 3), &even).unwrap();
                map.join(FileBlock(index * STEP + 3));
            },
            count,
        );
        println!("{count} mappings: split and join {cut:?}");
        let convert = time(
            |index| {
                let (from, end) = (FileBlock(index * STEP + 2), FileBlock(index * STEP + 5));
                map.set_state(from, end, State::Unwritten).unwrap();
                map.set_state(from, end, State::Normal).unwrap();
            },
            count,
        );
        println!("{count} mappings: three blocks unwritten and written {convert:?}");
        assert_eq!(map.count(), count);
    }
}
