// SPDX-License-Identifier: GPL-2.0

//! Edits of ranges of the fork map against a plain list of blocks.

use kernel::alloc::faults::{self, FailAfter};
use xfs_host::{
    libxfs::{
        error::Error,
        extents::{ExtentMap, MappedBlock, Mapping, State},
        format::units::FileBlock,
    },
    mutation::{Choices, Seeded},
};

/// What a block of the file is: nothing, or where it lies, which for delayed blocks means nothing.
type Block = Option<(State, u64)>;

/// A tree's blocks for so many delayed ones, for want of a fork.
fn worst(len: u64) -> u64 {
    1 + len / 10
}

/// The model: a file, block by block.
pub struct Model {
    blocks: Vec<Block>,
    /// What all delayed blocks have reserved.
    reserved: u64,
}

impl Model {
    pub fn of(map: &ExtentMap, span: u64) -> Self {
        let mut model = Self {
            blocks: vec![None; span as usize],
            reserved: 0,
        };
        for mapping in map.iter() {
            model.reserved += mapping.reserved();
            model.put(&mapping);
        }
        model
    }

    fn put(&mut self, mapping: &Mapping) {
        for i in 0..mapping.len {
            let start = match mapping.state {
                State::Delayed => 0,
                _ => mapping.start.0 + i,
            };
            self.blocks[(mapping.offset.0 + i) as usize] = Some((mapping.state, start));
        }
    }

    pub fn compare(&self, map: &ExtentMap) {
        let told = Self::of(map, self.blocks.len() as u64);
        assert!(told.blocks == self.blocks, "another content");
        assert_eq!(told.reserved, self.reserved);
        assert_eq!(map.iter().count() as u64, map.count());
    }
}

pub fn is_joined(map: &ExtentMap) -> bool {
    let all: Vec<Mapping> = map.iter().collect();
    all.windows(2)
        .all(|pair| pair[0].joined(&pair[1]).is_none())
}

/// One edit, chosen at random.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    Add(Mapping),
    TakeOut(u64, u64),
    SetState(u64, u64, State),
    Reserve(u64, u64),
}

impl Edit {
    pub fn choose(choices: &mut Seeded, span: u64) -> Self {
        let mut below = |n: u64| choices.below(n as usize) as u64;
        let from = below(span);
        let len = 1 + below(20).min(span - from - 1);
        match below(10) {
            // Some lie so that they go on from their neighbours, and some not.
            0..=4 => Edit::Add(Mapping {
                offset: FileBlock(from),
                start: MappedBlock(1000 * (1 + below(2)) + from),
                len,
                state: [State::Normal, State::Unwritten][below(2) as usize],
            }),
            5 => Edit::Add(Mapping::delayed(FileBlock(from), len, worst(len))),
            6 | 7 => Edit::TakeOut(from, from + len),
            8 => {
                let state = [State::Normal, State::Unwritten][below(2) as usize];
                Edit::SetState(from, from + len, state)
            }
            _ => Edit::Reserve(from, below(30)),
        }
    }

    /// Makes the edit in both; how it ended.
    pub fn make(self, map: &mut ExtentMap, model: &mut Model) -> Result<(), Error> {
        match self {
            Edit::Add(mapping) => {
                let range = mapping.offset.0 as usize..mapping.end().0 as usize;
                let taken = model.blocks[range].iter().any(Option::is_some);
                let done = map.add(mapping);
                assert_eq!(done == Err(Error::Invalid), taken);
                done.map(|()| {
                    model.put(&mapping);
                    model.reserved += mapping.reserved();
                })
            }
            Edit::TakeOut(from, end) => {
                let mut taken = Vec::new();
                let (first, last) = (FileBlock(from), FileBlock(end));
                map.take_out(first, last, &worst, &mut |mapping| taken.push(mapping))?;
                let range = from as usize..end as usize;
                let before = model.blocks[range.clone()].to_vec();
                model.blocks[range.clone()].fill(None);
                for mapping in &taken {
                    assert!(mapping.offset >= first && mapping.end() <= last);
                    model.put(mapping);
                    model.reserved -= mapping.reserved();
                }
                // All of what was there was told.
                assert_eq!(before, model.blocks[range.clone()]);
                model.blocks[range].fill(None);
                Ok(())
            }
            Edit::SetState(from, end, state) => {
                map.set_state(FileBlock(from), FileBlock(end), state)?;
                for (old, _) in model.blocks[from as usize..end as usize]
                    .iter_mut()
                    .flatten()
                {
                    if *old != State::Delayed {
                        *old = state;
                    }
                }
                Ok(())
            }
            Edit::Reserve(at, reserved) => {
                let Some(found) = map.lookup(FileBlock(at)) else {
                    return Ok(());
                };
                let done = map.set_reserved(found.offset, reserved);
                if found.state == State::Delayed {
                    model.reserved = model.reserved - found.reserved() + reserved;
                    assert_eq!(done, Ok(found.reserved()));
                } else {
                    assert_eq!(done, Err(Error::NotFound));
                }
                Ok(())
            }
        }
    }
}

#[test]
fn edits_do_what_they_do_to_a_plain_list_of_blocks() {
    for (seed, span, steps) in [(1, 40, 4_000), (2, 300, 6_000), (3, 3_000, 6_000)] {
        let mut choices = Seeded(seed);
        let mut map = ExtentMap::new();
        let mut model = Model::of(&map, span);
        for step in 0..steps {
            let edit = Edit::choose(&mut choices, span);
            let done = edit.make(&mut map, &mut model);
            assert!(matches!(done, Ok(()) | Err(Error::Invalid)), "{edit:?}");
            if step % 7 == 0 || span < 100 {
                model.compare(&map);
                assert!(is_joined(&map), "after {edit:?}: {map:?}");
            }
        }
    }
}

/// A map whose nodes are full but for the last, so that nearly each edit that makes more mappings
/// needs memory. Some mappings in it could be one and are not, as a disk may have them.
fn full(choices: &mut Seeded, count: u64) -> ExtentMap {
    let mut below = |n: u64| choices.below(n as usize) as u64;
    let mut map = ExtentMap::new();
    let mut at = 0;
    for _ in 0..count {
        let (offset, len) = (FileBlock(at + below(3)), 1 + below(9));
        let mapping = match below(4) {
            0 => Mapping::delayed(offset, len, below(20)),
            other => Mapping {
                offset,
                start: MappedBlock(1000 + offset.0),
                len,
                state: [State::Normal, State::Unwritten][usize::from(other == 1)],
            },
        };
        map.append(mapping).unwrap();
        at = mapping.end().0;
    }
    map
}

#[test]
fn an_edit_without_memory_changes_nothing() {
    let mut choices = Seeded(7);
    // Failed edits of each kind, and those of them that had some of the memory.
    let (mut failed, mut half) = ([0; 3], [0; 3]);
    for case in 0..6_000 {
        // A full array, trees of two levels, and now and then one that has to grow a third.
        let count = match case % 20 {
            0..=7 => 31,
            8..=18 => 32 + choices.below(200) as u64,
            _ => 31 * 20,
        };
        let mut map = full(&mut choices, count);
        let span = map.last().unwrap().end().0 + 30;
        let mut model = Model::of(&map, span);
        let before: Vec<Mapping> = map.iter().collect();
        let edit = Edit::choose(&mut choices, span);
        let allowed = choices.below(3) as u64;
        let start = faults::count();
        let failing = FailAfter::new(allowed);
        let done = edit.make(&mut map, &mut model);
        drop(failing);
        if done == Err(Error::NoMemory) {
            let kind = match edit {
                Edit::Add(_) => 0,
                Edit::TakeOut(..) => 1,
                Edit::SetState(..) => 2,
                Edit::Reserve(..) => panic!("what is reserved needs no memory"),
            };
            failed[kind] += 1;
            half[kind] += u32::from(faults::count() - start > 1);
            assert!(map.iter().eq(before), "{edit:?}");
            assert_eq!(map.count(), count);
            // And with memory it does what it should.
            assert_eq!(edit.make(&mut map, &mut model), Ok(()), "{edit:?}");
        }
        model.compare(&map);
    }
    assert!(failed.iter().all(|&n| n > 50), "{failed:?}");
    assert!(half.iter().all(|&n| n > 20), "{half:?}");
}

#[test]
fn no_blocks_are_no_mapping() {
    let mut map = ExtentMap::new();
    let part = |offset: u64, len| Mapping {
        offset: FileBlock(offset),
        start: MappedBlock(5_000 + offset),
        len,
        state: State::Normal,
    };
    map.add(part(10, 5)).unwrap();
    for at in [3, 10, 12, 15, 20] {
        assert_eq!(map.add(part(at, 0)), Err(Error::Invalid));
    }
    assert!(map.iter().eq([part(10, 5)]));
}

#[test]
fn mappings_that_met_and_are_not_touched_stay_two() {
    let delayed = |offset, reserved| Mapping::delayed(FileBlock(offset), 10, reserved);
    let parts = [delayed(0, 2), delayed(10, 3), delayed(20, 5)];
    let mut map = ExtentMap::new();
    parts.iter().for_each(|part| map.append(*part).unwrap());
    // Neither what was asked of others, nor what failed, changes how the map says a thing.
    assert_eq!(map.split(FileBlock(10), &worst), Ok(false));
    assert_eq!(map.split(FileBlock(40), &worst), Ok(false));
    map.take_out(
        FileBlock(30),
        FileBlock(40),
        &worst,
        &mut |_| unreachable!(),
    )
    .unwrap();
    assert!(map.iter().eq(parts));
    map.set_state(FileBlock(5), FileBlock(25), State::Unwritten)
        .unwrap();
    assert!(map.iter().eq(parts));
}

#[test]
fn what_a_record_cannot_hold_is_not_joined() {
    const MOST: u64 = (1 << 21) - 1;
    let part = |offset: u64, len| Mapping {
        offset: FileBlock(offset),
        start: MappedBlock(5_000 + offset),
        len,
        state: State::Normal,
    };
    let mut map = ExtentMap::new();
    map.add(part(0, MOST - 1)).unwrap();
    map.add(part(MOST - 1, 1)).unwrap();
    assert_eq!(map.count(), 1);
    map.add(part(MOST, 1)).unwrap();
    assert_eq!(map.count(), 2);
    // Nor is more reserved than a mapping can say.
    let most = (1 << 20) - 1;
    let mut map = ExtentMap::new();
    let delayed = |offset, reserved| Mapping::delayed(FileBlock(offset), 1, reserved);
    map.add(delayed(0, most)).unwrap();
    map.add(delayed(1, 1)).unwrap();
    assert_eq!(map.count(), 2);
    assert_eq!(map.add(delayed(5, most + 1)), Err(Error::Invalid));
}

#[test]
fn a_split_shares_out_what_is_reserved_and_a_join_adds_it_up() {
    let mut map = ExtentMap::new();
    map.add(Mapping::delayed(FileBlock(10), 40, 9)).unwrap();
    assert_eq!(map.split(FileBlock(20), &|len| len), Ok(true));
    let parts: Vec<(u64, u64)> = map.iter().map(|m| (m.len, m.reserved())).collect();
    assert_eq!(parts, [(10, 2), (30, 7)]);
    map.join(FileBlock(20));
    assert_eq!(
        map.lookup(FileBlock(0)),
        Some(Mapping::delayed(FileBlock(10), 40, 9))
    );
    assert_eq!(map.count(), 1);
}
