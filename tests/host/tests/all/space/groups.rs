// SPDX-License-Identifier: GPL-2.0

//! Extents out of all groups, and back.

use crate::space::{
    harness::{is_full, Holder, World},
    random::Random,
    steps,
};
use xfs_host::{
    fixture::{named, tree::Size, Shape},
    libxfs::{
        alloc::Request,
        format::{
            btree::Owner,
            units::{AgBlock, AgNumber, InodeNumber},
        },
        inode::WhichFork,
        space::{BlockOwner, Place, Wanted},
        store::Store,
    },
};

/// Small blocks and groups, so that trees grow and groups fill up.
pub static SMALL_GROUPS: Shape = Shape {
    name: "small-groups",
    args: &["-b", "size=1024", "-d", "agcount=40"],
    log: true,
    rt: false,
    filled: Some(Size::Small),
};

const PLACES: [Place; 4] = [Place::Exact, Place::InGroup, Place::Near, Place::Anywhere];

const OWNERS: [BlockOwner; 5] = [
    BlockOwner::new(Owner::InodeTrees),
    BlockOwner::new(Owner::InodeChunks),
    BlockOwner::new(Owner::RefcountTree),
    BlockOwner::fork_tree(InodeNumber(5000), WhichFork::Data),
    BlockOwner::fork_tree(InodeNumber(5000), WhichFork::Attr),
];

fn wanted(world: &World, random: &mut Random) -> (Wanted, Holder) {
    let target = world.target(random);
    let place = PLACES[random.below(4) as usize];
    if random.once_in(3) {
        let owner = OWNERS[random.below(5) as usize];
        return (Wanted::metadata(target, place, owner), Holder::Owner(owner));
    }
    let longest = if random.once_in(8) { 20_000 } else { 60 };
    let max = 1 + random.below(longest);
    let request = Request {
        alignment: if random.once_in(4) { 16 } else { 1 },
        ..Request::new(1 + random.below(max), max)
    };
    (Wanted::data(target, place, request), Holder::Staging)
}

/// Takes and gives at random.
fn churn(world: &mut World, random: &mut Random, steps: u32) {
    for _ in 0..steps {
        if random.below(10) < 6 {
            let (wanted, holder) = wanted(world, random);
            let taken = world.take(&wanted, holder);
            assert!(taken.is_ok() || is_full(&taken), "{taken:?}");
        } else if !world.taken.is_empty() {
            let which = random.below(world.taken.len() as u32) as usize;
            let (&start, &(count, _)) = world.taken.iter().nth(which).unwrap();
            match random.below(3) {
                0 => world.give_now(start),
                1 => world.give(start, 1 + random.below(count)),
                _ => world.give(start, count),
            }
            .unwrap();
        }
    }
}

fn all_is_whole_after_churn(shape: &'static Shape, seed: u64, count: u32) {
    let mut world = World::new(shape);
    let before = world.free_blocks();
    let counters = world.journal.counters();
    let mut random = Random::new(seed);
    churn(&mut world, &mut random, count);
    world.give_all(false);
    world.check();
    churn(&mut world, &mut random, count / 4);
    world.give_all(true);
    world.check();
    assert_eq!(world.journal.counters(), counters);
    // Trees and lists may have kept some.
    let sum = |free: &[u32]| free.iter().map(|&n| u64::from(n)).sum::<u64>();
    let lost = sum(&before).abs_diff(sum(&world.free_blocks()));
    assert!(lost < 60 * before.len() as u64, "{lost} blocks differ");
}

#[test]
fn default_groups_are_whole_after_random_work() {
    all_is_whole_after_churn(named("default"), 1, steps(400));
}

#[test]
fn groups_without_reverse_mappings_are_whole_after_random_work() {
    all_is_whole_after_churn(named("no-rmapbt"), 2, steps(400));
}

#[test]
fn groups_without_reference_counts_are_whole_after_random_work() {
    // Nothing can be staged there, so the mappings stay away.
    let mut world = World::new(named("no-reflink"));
    let mut random = Random::new(3);
    for _ in 0..steps(200) {
        let (wanted, _) = wanted(&world, &mut random);
        let owner = OWNERS[0];
        let taken = world.take(&Wanted { owner, ..wanted }, Holder::Owner(owner));
        assert!(taken.is_ok() || is_full(&taken), "{taken:?}");
    }
    world.give_all(true);
    world.check();
}

#[test]
fn small_groups_are_whole_after_random_work() {
    all_is_whole_after_churn(&SMALL_GROUPS, 4, steps(600));
}

#[test]
fn near_begins_with_the_targets_group_and_goes_on_with_the_next_ones() {
    let mut world = World::new(&SMALL_GROUPS);
    let geo = world.journal.geometry();
    let last = AgNumber(geo.ag_count - 1);
    let target = geo.fs_block(last, AgBlock(100)).unwrap();
    let request = Request::new(2000, 5000);
    let mut groups = Vec::new();
    while groups.len() < 60 {
        let wanted = Wanted::data(target, Place::Near, request);
        let taken = world.take(&wanted, Holder::Staging).unwrap();
        let (ag, _) = world
            .journal
            .geometry()
            .split_fs_block(taken.unwrap().start)
            .unwrap();
        if groups.last() != Some(&ag.0) {
            groups.push(ag.0);
        }
        if ag == AgNumber(3) {
            break;
        }
    }
    assert_eq!(groups, [last.0, 0, 1, 2, 3]);
    world.give_all(true);
    world.check();
}
