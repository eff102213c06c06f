// SPDX-License-Identifier: GPL-2.0

//! Fork maps: of files of real images, edited, shared and copied on write out of the real free space;
//! and in memory by themselves.

use super::Operations;
use crate::{
    extents_edit::{is_joined, Edit, Model},
    fork_changes::{
        edits::{self, shatter, unmap},
        sharing,
        world::World,
    },
};
use xfs_host::{
    fixture::{named, Image},
    libxfs::{error::Error, extents::ExtentMap},
    mutation::Seeded,
    random::Random,
};

/// Most operations of an image.
const MOST: u64 = 250_000;

/// Images, how many blocks of a file are changed, and whether files share them.
const WORLDS: &[(&str, usize, bool)] = &[
    ("block-1k", 1_500, false),
    ("block-1k", 20_000, false),
    ("no-rmapbt", 1_500, false),
    ("default", 1_500, true),
    ("many-groups", 6_000, false),
    ("inode-2048", 1_500, false),
    ("no-nrext64", 1_500, true),
    ("block-64k", 1_500, false),
    ("bare", 3_000, false),
];

/// One image; most mappings of a file, and how often there was no space.
fn run(
    operations: &mut Operations,
    (shape, blocks, shares): (&'static str, usize, bool),
    seed: u64,
) -> (u64, u64) {
    let count = if shares { 3 } else { 2 };
    let mut world = World::of_large(Image::small(named(shape)), count, blocks);
    world.patience = blocks as u64;
    let mut random = Random::new(seed);
    if shares {
        world.mark_shared();
    } else {
        shatter(&mut world, 0, blocks);
    }
    let end = operations.done + operations.of_a_world(MOST, WORLDS.len() as u64);
    let mut step = 0;
    let mut counted = 0;
    while operations.done < end {
        if shares {
            sharing::step(&mut world, &mut random);
        } else {
            edits::step(&mut world, &mut random, step);
        }
        step += 1;
        world.glance();
        operations.did(world.changes - counted);
        counted = world.changes;
        if operations.is_due(10 * blocks as u64) {
            world.check_disk();
            // What is staged must be given up for that.
            world.check(&format!("{shape}, step {step}"));
        }
    }
    world.repair(&format!("{shape}, seed {seed}"));
    for file in 0..count {
        if !shares {
            unmap(&mut world, &mut random, file, (0, blocks));
        }
    }
    world.repair(&format!("{shape}, seed {seed}, emptied"));
    (world.most, world.full.into())
}

#[test]
fn any_number_of_changes_of_forks_are_as_lists_of_blocks() {
    let mut operations = Operations::of("fork map", 10_000);
    let (mut most, mut full) = (0, 0);
    for (seed, &world) in (0..).zip(WORLDS.iter().cycle()) {
        if !operations.are_left() {
            break;
        }
        let ran = run(&mut operations, world, seed);
        most = most.max(ran.0);
        full += ran.1;
    }
    operations.tell();
    println!("fork map: {most} mappings, no space {full} times");
    assert!(most > 700 && full > 0, "{most}, {full}");
}

#[test]
fn any_number_of_edits_in_memory_are_as_a_list_of_blocks() {
    let mut operations = Operations::of("fork map in memory", 30_000);
    let mut most = 0;
    for seed in 0.. {
        if !operations.are_left() {
            break;
        }
        let span = [40, 300, 3_000, 100_000][seed as usize % 4];
        let mut choices = Seeded(seed);
        let mut map = ExtentMap::new();
        let mut model = Model::of(&map, span);
        let end = operations.done + operations.of_a_world(1_000_000, 4);
        while operations.done < end {
            let edit = Edit::choose(&mut choices, span);
            let done = edit.make(&mut map, &mut model);
            assert!(matches!(done, Ok(()) | Err(Error::Invalid)), "{edit:?}");
            operations.did(1);
            if operations.is_due(2 * span) {
                model.compare(&map);
                assert!(is_joined(&map), "after {edit:?}");
                most = most.max(map.count());
            }
        }
        model.compare(&map);
    }
    operations.tell();
    assert!(most > 300, "{most} mappings");
}
