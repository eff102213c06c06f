// SPDX-License-Identifier: GPL-2.0

//! Extents of the realtime device, against a plain map of what is free.

use crate::space::{harness::World, random::Random, steps};
use std::collections::{BTreeMap, BTreeSet};
use xfs_host::{
    fixture::{named, Shape},
    libxfs::{
        alloc::Request,
        error::{Error, Result},
        format::{
            rt as rt_format,
            units::{RtBlock, RtExtent, RtGroup, RtGroupBlock},
        },
        items::ExtentFree,
        journal::{Claim, Journal},
        rt::{self, GroupFile},
        space::{self, Place, RtWanted},
        store::{Device, Store},
    },
};

const PLACES: [Place; 4] = [Place::Exact, Place::InGroup, Place::Near, Place::Anywhere];

/// A realtime device and what should be free on it, in realtime extents of each group.
struct Section {
    world: World,
    free: BTreeMap<Option<u32>, BTreeSet<u64>>,
    /// What was taken: first block, and how many extents.
    taken: Vec<(RtBlock, u32)>,
}

impl Section {
    fn new(shape: &'static Shape) -> Self {
        let world = World::new(shape);
        let mut free = BTreeMap::new();
        for group in groups(&world) {
            free.insert(group.map(|group| group.0), free_extents(&world, group));
        }
        Self {
            world,
            free,
            taken: Vec::new(),
        }
    }

    /// The group of a block, and the numbers of some extents from there on.
    fn numbers(&self, start: RtBlock, count: u32) -> (Option<u32>, std::ops::Range<u64>) {
        let geo = self.world.journal.geometry();
        let group = geo.split_rt_block(start).map(|(group, _)| group.0);
        let first = geo.rt_extent_of(start).unwrap().0;
        (group, first..first + u64::from(count))
    }

    fn take(&mut self, wanted: &RtWanted) -> Result<Option<(RtBlock, u32)>> {
        let claim = Claim {
            rt_extents: wanted.request.max.into(),
            ..Claim::default()
        };
        let taken = self
            .world
            .chain_with(claim, |trans, _| space::allocate_rt(trans, wanted))?;
        if let Some((start, count)) = taken {
            let (group, numbers) = self.numbers(start, count);
            let (home, target) = self.numbers(wanted.target, 1);
            match wanted.place {
                Place::Exact => assert_eq!((group, numbers.start), (home, target.start)),
                Place::InGroup => assert_eq!(group, home),
                Place::Near | Place::Anywhere => {}
            }
            let request = wanted.request;
            assert_eq!(request.length(count), Some(count));
            if wanted.place != Place::Exact {
                assert_eq!(numbers.start % u64::from(request.alignment), 0);
            }
            let free = self.free.get_mut(&group).unwrap();
            for number in numbers {
                assert!(free.remove(&number), "{number} was not free");
            }
            self.taken.push((start, count));
        }
        Ok(taken)
    }

    fn give(&mut self, which: usize, count: u32, later: bool) {
        let (start, whole) = self.taken.swap_remove(which);
        let size = self.world.journal.geometry().rt_extent_size;
        let (group, numbers) = self.numbers(start, count);
        self.world
            .chain_with(Claim::default(), |trans, deferred| {
                if later {
                    let extent = ExtentFree::data(start.0, count * size);
                    deferred.free_extent(Device::Realtime, extent)
                } else {
                    space::free_rt(trans, start, count * size)
                }
            })
            .unwrap();
        self.free.get_mut(&group).unwrap().extend(numbers);
        if count < whole {
            let rest = RtBlock(start.0 + u64::from(count) * u64::from(size));
            self.taken.push((rest, whole - count));
        }
    }

    /// That bitmaps and summaries say what they should.
    fn compare(&self) {
        let mut sum = 0;
        for group in groups(&self.world) {
            let free = free_extents(&self.world, group);
            sum += free.len() as u64;
            assert!(self.free[&group.map(|group| group.0)] == free, "{group:?}");
            compare_summary(&self.world, group, &free);
        }
        assert_eq!(self.world.journal.counters().free_rt_extents, sum);
    }

    fn give_all(&mut self) {
        while let Some(&(_, count)) = self.taken.last() {
            self.give(self.taken.len() - 1, count, true);
        }
    }
}

fn groups(world: &World) -> Vec<Option<RtGroup>> {
    match world.journal.geometry().rt_group_count {
        0 => vec![None],
        count => (0..count).map(|group| Some(RtGroup(group))).collect(),
    }
}

fn free_extents(world: &World, group: Option<RtGroup>) -> BTreeSet<u64> {
    let store = &world.journal;
    let bitmap = store.rt_file(group, GroupFile::Bitmap).unwrap();
    let (low, high) = (RtExtent(0), RtExtent(u64::MAX));
    let mut runs = rt::free_runs(store, &bitmap, group, low, high).unwrap();
    let mut free = BTreeSet::new();
    while let Some(run) = runs.next().unwrap() {
        free.extend(run.start.0..run.start.0 + run.len);
    }
    free
}

/// The runs of some numbers: the first, and how many.
fn runs(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((start, len)) if *start + *len == number => *len += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

fn compare_summary(world: &World, group: Option<RtGroup>, free: &BTreeSet<u64>) {
    let store = &world.journal;
    let geo = store.geometry();
    let mut expected: BTreeMap<(u32, u64), u32> = BTreeMap::new();
    for (start, len) in runs(free) {
        let (block, _) = rt_format::bitmap_position(geo, RtExtent(start));
        *expected.entry((len.ilog2(), block)).or_default() += 1;
    }
    let summary = store.rt_file(group, GroupFile::Summary).unwrap();
    let extents = rt_format::extents_of(geo, group).unwrap();
    for block in 0..extents.div_ceil(rt_format::extents_per_block(geo)) {
        for level in 0..rt_format::summary_levels(geo) {
            let counted = rt::summary(store, &summary, level, block).unwrap();
            let expected = expected.get(&(level, block)).copied().unwrap_or(0);
            assert_eq!(counted, expected, "{group:?} {level} {block}");
        }
    }
}

fn wanted(section: &Section, random: &mut Random) -> RtWanted {
    let geo = section.world.journal.geometry();
    let target = match geo.rt_group_count {
        0 => RtBlock(u64::from(random.below(geo.rt_blocks as u32))),
        count => {
            let group = RtGroup(random.below(count));
            let length = geo.rt_group_length(group).unwrap();
            let block = RtGroupBlock(random.below(length as u32));
            geo.rt_block(group, block).unwrap()
        }
    };
    let longest = if random.once_in(6) { 9000 } else { 40 };
    let max = 1 + random.below(longest);
    let multiple = if random.once_in(4) { 3 } else { 1 };
    RtWanted {
        request: Request {
            alignment: if random.once_in(4) { 8 } else { 1 },
            multiple,
            ..Request::new(1 + random.below(max), max)
        },
        target,
        place: PLACES[random.below(4) as usize],
    }
}

fn all_is_whole_after_random_work(shape: &'static Shape, seed: u64) {
    let mut section = Section::new(shape);
    let mut random = Random::new(seed);
    for step in 0..steps(300) {
        if random.below(10) < 6 || section.taken.is_empty() {
            let wanted = wanted(&section, &mut random);
            match section.take(&wanted) {
                Ok(Some(_)) | Err(Error::NoSpace) => {}
                Ok(None) => assert_none_is_left(&section, &wanted),
                Err(error) => panic!("{error:?}"),
            }
        } else {
            let which = random.below(section.taken.len() as u32) as usize;
            let count = 1 + random.below(section.taken[which].1);
            section.give(which, count, random.once_in(2));
        }
        if step % 50 == 0 {
            section.compare();
        }
    }
    section.compare();
    section.give_all();
    section.compare();
    section.world.check();
}

/// That no free run gives what was wanted and not had.
fn assert_none_is_left(section: &Section, wanted: &RtWanted) {
    let (home, target) = section.numbers(wanted.target, 1);
    let request = wanted.request;
    for (group, free) in &section.free {
        if matches!(wanted.place, Place::Exact | Place::InGroup) && *group != home {
            continue;
        }
        let min = u64::from(request.min);
        let alignment = u64::from(request.alignment);
        for (start, len) in runs(free) {
            let gives = match wanted.place {
                Place::Exact => start <= target.start && target.start + min <= start + len,
                _ => start.next_multiple_of(alignment) + min <= start + len,
            };
            assert!(!gives, "{len} from {start} in {group:?} give {wanted:?}");
        }
    }
}

#[test]
fn a_section_without_groups_is_whole_after_random_work() {
    all_is_whole_after_random_work(named("rt"), 21);
}

#[test]
fn large_realtime_extents_are_whole_after_random_work() {
    all_is_whole_after_random_work(named("rt-extent-64k"), 22);
}

#[test]
fn realtime_groups_are_whole_after_random_work() {
    all_is_whole_after_random_work(named("rt-groups"), 23);
    all_is_whole_after_random_work(named("rt-groups-extent-16k"), 24);
}

#[test]
fn a_full_device_gives_nothing_and_is_whole_again_when_all_is_freed() {
    let mut section = Section::new(named("rt-groups-1k"));
    let target = RtBlock(100);
    for max in [60_000, 900, 1] {
        let wanted = RtWanted {
            request: Request::new(1, max),
            target,
            place: Place::Near,
        };
        loop {
            match section.take(&wanted) {
                Ok(Some(_)) => {}
                Ok(None) | Err(Error::NoSpace) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    section.compare();
    assert_eq!(section.world.journal.counters().free_rt_extents, 0);
    section.give_all();
    section.compare();
    section.world.check();
}

#[test]
fn what_is_free_is_not_freed_again_and_half_extents_are_not_freed() {
    for (name, skip) in [("rt-groups", 0), ("rt-extent-64k", 1)] {
        let mut section = Section::new(named(name));
        let geo = section.world.journal.geometry();
        let target = RtBlock(u64::from(geo.rt_extent_size) * 40);
        let wanted = RtWanted {
            request: Request::new(8, 8),
            target,
            place: Place::InGroup,
        };
        let (start, _) = section.take(&wanted).unwrap().unwrap();
        let size = section.world.journal.geometry().rt_extent_size;
        let start = RtBlock(start.0 + skip);
        let freed = section.world.chain_with(Claim::default(), |trans, _| {
            space::free_rt(trans, start, 9 * size)
        });
        match skip {
            0 => assert!(matches!(freed, Err(Error::Corrupt(_))), "{freed:?}"),
            _ => assert_eq!(freed, Err(Error::Invalid)),
        }
        assert_eq!(section.world.journal.shutdown(), None);
    }
}

#[test]
fn realtime_extents_are_not_given_while_a_crash_gives_them_back() {
    let mut section = Section::new(named("rt-groups"));
    let journal = &section.world.journal;
    journal.settle_when_forced();
    let wanted = RtWanted {
        request: Request::new(100, 100),
        target: RtBlock(1000),
        place: Place::InGroup,
    };
    let (start, count) = section.take(&wanted).unwrap().unwrap();
    section.give(0, count, true);
    let forces = section.world.journal.forces();
    let (other, _) = section.take(&wanted).unwrap().unwrap();
    assert!(other.0.abs_diff(start.0) >= 100);
    assert_eq!(section.world.journal.forces(), forces);
    let exact = RtWanted {
        target: start,
        place: Place::Exact,
        ..wanted
    };
    // There it is all that may be had.
    let again = section.take(&exact).unwrap();
    assert_eq!(again, Some((start, count)));
    assert_eq!(section.world.journal.forces(), forces + 1);
    section.give_all();
    section.world.check();
}

/// Stages a copy on write in realtime extents: they have an owner, and a count.
fn stage(section: &mut Section, random: &mut Random) {
    let RtWanted { target, .. } = wanted(section, random);
    let wanted = RtWanted {
        request: Request::new(1, 1 + random.below(20)),
        target,
        place: Place::Near,
    };
    let claim = Claim {
        rt_extents: wanted.request.max.into(),
        blocks: 40,
        ..Claim::default()
    };
    let size = section.world.journal.geometry().rt_extent_size;
    let taken = section.world.chain_with(claim, |trans, deferred| {
        let (start, count) = space::allocate_rt(trans, &wanted)?.unwrap();
        deferred.alloc_cow(Device::Realtime, start.0, count * size)?;
        Ok((start, count))
    });
    section.taken.push(taken.unwrap());
}

fn unstage(section: &mut Section, random: &mut Random) {
    let which = random.below(section.taken.len() as u32) as usize;
    let (start, count) = section.taken.swap_remove(which);
    let size = section.world.journal.geometry().rt_extent_size;
    let claim = Claim {
        blocks: 40,
        ..Claim::default()
    };
    section
        .world
        .chain_with(claim, |_, deferred| {
            deferred.free_cow(Device::Realtime, start.0, count * size)?;
            let extent = ExtentFree::data(start.0, count * size);
            deferred.free_extent(Device::Realtime, extent)
        })
        .unwrap();
}

#[test]
fn copies_are_staged_with_owners_and_counts_in_realtime_groups() {
    let mut section = Section::new(named("rt-groups"));
    let mut random = Random::new(25);
    let counters = section.world.journal.counters();
    for _ in 0..steps(400) {
        if random.below(10) < 8 || section.taken.is_empty() {
            stage(&mut section, &mut random);
        } else {
            unstage(&mut section, &mut random);
        }
    }
    section.world.check_staged();
    while !section.taken.is_empty() {
        unstage(&mut section, &mut random);
    }
    section.compare();
    section.world.check();
    assert_eq!(section.world.journal.counters(), counters);
}
