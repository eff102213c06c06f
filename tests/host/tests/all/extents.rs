// SPDX-License-Identifier: GPL-2.0

//! The fork map in memory against a plain ordered map.

use kernel::alloc::faults::{self, FailAfter};
use std::collections::BTreeMap;
use xfs_host::libxfs::{
    error::Error,
    extents::{ExtentMap, MappedBlock, Mapping, Segment, State},
    format::units::FileBlock,
};

/// A generator of numbers that are random enough, and the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn mapping(offset: u64, start: u64, len: u64) -> Mapping {
    Mapping {
        offset: FileBlock(offset),
        start: MappedBlock(start),
        len,
        state: if start % 3 == 0 {
            State::Unwritten
        } else {
            State::Normal
        },
    }
}

/// The model: mappings by their offset.
#[derive(Default)]
struct Model(BTreeMap<u64, Mapping>);

impl Model {
    fn overlaps(&self, new: &Mapping, but: Option<u64>) -> bool {
        self.0
            .range(..new.end().0)
            .rev()
            .find(|(&at, _)| Some(at) != but)
            .is_some_and(|(_, last)| last.end() > new.offset)
    }

    fn lookup(&self, block: u64) -> Option<Mapping> {
        self.0
            .range(..=block)
            .next_back()
            .map(|(_, mapping)| *mapping)
            .filter(|mapping| mapping.contains(FileBlock(block)))
            .or_else(|| self.0.range(block..).next().map(|(_, mapping)| *mapping))
    }

    fn lookup_back(&self, block: u64) -> Option<Mapping> {
        self.0.range(..=block).next_back().map(|(_, m)| *m)
    }

    /// Compares everything that the map can be asked around `block`.
    fn compare(&self, map: &ExtentMap, block: u64) {
        let at = FileBlock(block);
        assert_eq!(map.count(), self.0.len() as u64);
        assert_eq!(map.lookup(at), self.lookup(block));
        assert_eq!(map.lookup_back(at), self.lookup_back(block));
        assert_eq!(map.last(), self.0.values().next_back().copied());
        assert_eq!(
            map.get(at),
            self.lookup(block).filter(|found| found.contains(at))
        );
    }

    fn compare_all(&self, map: &ExtentMap) {
        assert!(map.iter().eq(self.0.values().copied()));
    }
}

/// Random edits; `span` bounds the offsets and with them how many mappings there come to be.
fn edit(seed: u64, span: u64, steps: u64) {
    let mut random = Random(seed);
    let mut map = ExtentMap::new();
    let mut model = Model::default();
    for step in 0..steps {
        // Grows at first, shrinks at last, and swings in between.
        let bias = match step * 8 / steps {
            0 | 1 | 4 => 8,
            2 | 5 => 5,
            _ => 2,
        };
        let at = random.below(span);
        let new = mapping(at, random.below(1 << 40), 1 + random.below(6));
        if random.below(10) < bias {
            let expected = if model.overlaps(&new, None) {
                Err(Error::Invalid)
            } else {
                model.0.insert(at, new);
                Ok(())
            };
            assert_eq!(map.insert(new), expected);
        } else if random.below(4) == 0 {
            if let Some(old) = model.lookup(at) {
                let new = mapping(
                    (old.offset.0 + random.below(9)).saturating_sub(4),
                    random.below(1 << 40),
                    1 + random.below(6),
                );
                let expected = if model.overlaps(&new, Some(old.offset.0)) {
                    Err(Error::Invalid)
                } else {
                    // The neighbours bound where it can go, so the order stays.
                    let stays = model
                        .0
                        .range(..old.offset.0)
                        .next_back()
                        .is_none_or(|(_, m)| m.end() <= new.offset)
                        && model
                            .0
                            .range(old.offset.0 + 1..)
                            .next()
                            .is_none_or(|(_, m)| m.offset >= new.end());
                    if stays {
                        model.0.remove(&old.offset.0);
                        model.0.insert(new.offset.0, new);
                        Ok(())
                    } else {
                        Err(Error::Invalid)
                    }
                };
                assert_eq!(map.update(old.offset, new), expected);
            }
        } else if let Some(old) = model.lookup(at) {
            model.0.remove(&old.offset.0);
            assert_eq!(map.remove(old.offset), Some(old));
        } else {
            assert_eq!(map.remove(FileBlock(at)), None);
        }
        model.compare(&map, random.below(span + 10));
        model.compare(&map, at);
        if step % 4096 == 0 {
            model.compare_all(&map);
        }
    }
    model.compare_all(&map);
    // Down to nothing, so that the tree loses all its levels.
    while let Some(first) = map.lookup(FileBlock(0)) {
        let at = FileBlock(random.below(span));
        let victim = map.lookup(at).unwrap_or(first);
        assert_eq!(map.remove(victim.offset), model.0.remove(&victim.offset.0));
        model.compare(&map, at.0);
    }
    assert!(map.is_empty());
}

#[test]
fn random_edits_match_the_model() {
    for seed in 1..=20 {
        edit(seed, 40, 3_000);
        edit(seed * 77, 1_000, 10_000);
    }
    edit(7, 60_000, 200_000);
    edit(8, 1 << 50, 60_000);
}

#[test]
fn a_mapping_that_moved_up_to_the_next_node_is_taken_out_and_no_other() {
    const COUNT: u64 = 1_500;
    let part = |i: u64| mapping(i * 100, i, 1);
    // Wherever nodes meet, one of these goes from one to where the other began.
    for gone in 1..COUNT - 1 {
        let mut map = ExtentMap::new();
        (0..COUNT).for_each(|i| map.append(part(i)).unwrap());
        map.remove(FileBlock(gone * 100)).unwrap();
        let moved = mapping(gone * 100 + 50, gone, 1);
        map.update(part(gone - 1).offset, moved).unwrap();
        // The inner node before becomes poor, and takes leaves from the one after.
        let kept = gone.saturating_sub(60)..gone - 1;
        for i in 0..kept.start {
            assert_eq!(map.remove(FileBlock(i * 100)), Some(part(i)));
        }
        assert_eq!(map.get(moved.offset), Some(moved));
        assert_eq!(map.remove(moved.offset), Some(moved));
        let rest = kept.chain(gone + 1..COUNT).map(part);
        assert!(map.iter().eq(rest), "{gone}");
    }
}

#[test]
fn segments_cover_a_range_without_gaps() {
    let mut random = Random(99);
    let mut map = ExtentMap::new();
    let mut model = Model::default();
    for _ in 0..3_000 {
        let new = mapping(
            random.below(20_000),
            random.below(1 << 30),
            1 + random.below(9),
        );
        if map.insert(new).is_ok() {
            model.0.insert(new.offset.0, new);
        }
    }
    for _ in 0..2_000 {
        let from = random.below(21_000);
        let len = random.below(300);
        let mut at = from;
        for segment in map.segments(FileBlock(from), len) {
            assert_eq!(segment.offset().0, at);
            assert!(segment.len() > 0);
            for block in at..segment.end().0 {
                let found = map.get(FileBlock(block));
                match segment {
                    Segment::Hole { .. } => assert_eq!(found, None),
                    Segment::Mapped(part) => {
                        let found = found.expect("a mapped block");
                        assert_eq!(
                            part.start.0 + (block - part.offset.0),
                            found.start.0 + (block - found.offset.0)
                        );
                        assert_eq!(part.state, found.state);
                    }
                }
            }
            at = segment.end().0;
        }
        assert_eq!(at, from + len);
        let hole = map.next_hole(FileBlock(from));
        assert_eq!(map.get(hole), None);
        assert!((from..hole.0).all(|block| map.get(FileBlock(block)).is_some()));
    }
}

#[test]
fn a_million_mappings_load_and_answer() {
    const COUNT: u64 = 1_000_000;
    let mut map = ExtentMap::new();
    let start = std::time::Instant::now();
    for i in 0..COUNT {
        map.append(mapping(i * 3, i * 5 + 7, 2)).unwrap();
    }
    println!("append: {:?}", start.elapsed());
    assert_eq!(map.count(), COUNT);
    assert_eq!(map.append(mapping(5, 5, 1)), Err(Error::Invalid));

    let start = std::time::Instant::now();
    let mut random = Random(5);
    for _ in 0..COUNT {
        let i = random.below(COUNT);
        assert_eq!(
            map.lookup(FileBlock(i * 3 + 1)),
            Some(mapping(i * 3, i * 5 + 7, 2))
        );
    }
    println!("lookup: {:?}", start.elapsed());

    let start = std::time::Instant::now();
    assert_eq!(map.iter().count() as u64, COUNT);
    println!("iterate: {:?}", start.elapsed());

    let start = std::time::Instant::now();
    for i in 0..COUNT {
        map.insert(mapping(i * 3 + 2, i, 1)).unwrap();
    }
    for i in (0..COUNT).rev() {
        assert!(map.remove(FileBlock(i * 3)).is_some());
    }
    println!("insert and remove: {:?}", start.elapsed());
    assert_eq!(map.count(), COUNT);
    assert_eq!(map.lookup(FileBlock(0)), Some(mapping(2, 0, 1)));
}

#[test]
fn what_no_record_can_say_is_refused() {
    let mut map = ExtentMap::new();
    for bad in [
        mapping(0, 0, 0),
        mapping(0, 0, 1 << 21),
        mapping(1 << 54, 0, 1),
        mapping(0, 1 << 52, 1),
        // The highest block numbers stand for delayed blocks.
        mapping(0, (1 << 52) - (1 << 20), 1),
        mapping(0, (1 << 52) - (1 << 20) + 1, 1),
        Mapping::delayed(FileBlock(0), 1, 1 << 20),
    ] {
        assert_eq!(map.insert(bad), Err(Error::Invalid));
        assert_eq!(map.append(bad), Err(Error::Invalid));
    }
    let largest = [
        mapping((1 << 54) - 1, (1 << 52) - (1 << 20) - 1, (1 << 21) - 1),
        mapping((1 << 54) - 1, (1 << 52) - (1 << 20) - 2, (1 << 21) - 1),
        Mapping::delayed(FileBlock((1 << 54) - 1), (1 << 21) - 1, (1 << 20) - 1),
    ];
    for largest in largest {
        map.insert(largest).unwrap();
        assert_eq!(map.last(), Some(largest));
        assert_eq!(map.update(FileBlock(3), largest), Err(Error::NotFound));
        assert_eq!(map.remove(largest.offset), Some(largest));
    }
}

#[test]
fn an_edit_without_memory_leaves_the_map_as_it_was() {
    let mut random = Random(11);
    let mut map = ExtentMap::new();
    let mut model = Model::default();
    let mut failed = 0;
    while failed < 2_000 {
        let new = mapping(random.below(400_000), random.below(1 << 40), 1);
        if model.overlaps(&new, None) {
            continue;
        }
        let allowed = random.below(3);
        let result = {
            let _failing = FailAfter::new(allowed);
            map.insert(new)
        };
        match result {
            Ok(()) => {
                model.0.insert(new.offset.0, new);
            }
            Err(error) => {
                assert_eq!(error, Error::NoMemory);
                failed += 1;
                // Once there is memory it goes in.
                if random.below(2) == 0 {
                    map.insert(new).unwrap();
                    model.0.insert(new.offset.0, new);
                }
            }
        }
        model.compare(&map, new.offset.0);
    }
    model.compare_all(&map);
    while let Some(first) = map.lookup(FileBlock(0)) {
        // Taking out needs none.
        let _failing = FailAfter::new(0);
        assert_eq!(map.remove(first.offset), model.0.remove(&first.offset.0));
    }
}

#[test]
fn memory_comes_in_small_pieces_and_follows_what_is_mapped() {
    faults::reset_largest();
    let mut map = ExtentMap::new();
    for i in 0..100_000 {
        map.append(mapping(i * 2, i, 1)).unwrap();
    }
    assert!(faults::largest() <= 1_024, "{}", faults::largest());
    let before = faults::count();
    let claimed = ExtentMap::with_room(u64::MAX).unwrap();
    assert!(claimed.is_empty());
    assert!(faults::count() - before <= 1 && faults::largest() <= 1_024);
}
