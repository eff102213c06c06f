// SPDX-License-Identifier: GPL-2.0

//! Random edits of one file's map.

use crate::fork_changes::{
    times,
    world::{run_of, Block, World},
};
use xfs_host::{
    fixture::{named, Image},
    libxfs::{
        bmap::{Delayed, Unmapped},
        extents::State,
        format::units::FileBlock,
    },
    random::Random,
};

/// Blocks that a tree may need for a change.
const TREE: u64 = 8;

fn at(block: usize) -> FileBlock {
    FileBlock(block as u64)
}

/// Allocates in a hole, unwritten or not, a little or as much as there is together.
fn allocate(world: &mut World, random: &mut Random, file: usize, most: u32) {
    let hole = run_of(
        &world.files[file].data,
        world.range(random, most),
        |block| block == Block::Hole,
    );
    let len = (hole.1 - hole.0) as u32;
    if len == 0 {
        return;
    }
    let state = match random.once_in(3) {
        true => State::Unwritten,
        false => State::Normal,
    };
    let claim = match random.once_in(8) {
        true => u64::from(random.below(2 * len)),
        false => u64::from(len) + TREE,
    };
    let found = world.change(file, claim, |fork| {
        fork.allocate(at(hole.0), (1, len), state)
    });
    if let Some(found) = found {
        let found = found.expect("the image has space").len as usize;
        assert!(found >= 1 && found <= len as usize);
        world.note(file, hole.0, hole.0 + found);
        for block in &world.files[file].data[hole.0..hole.0 + found] {
            assert!(matches!(block, Block::At(_, now) if *now == state));
        }
    }
}

/// Unmaps a range in steps.
pub fn unmap(world: &mut World, random: &mut Random, file: usize, (from, end): (usize, usize)) {
    let mut left = end;
    while left > from {
        let claim = match random.once_in(3) {
            true => 0,
            false => TREE,
        };
        let most = 1 + random.below(4);
        let done = world.change(file, claim, |fork| {
            fork.unmap(at(from), at(left), Unmapped::Freed, most)
        });
        match done {
            Some(done) => {
                let done = done.0 as usize;
                world.files[file].data[done..left].fill(Block::Hole);
                assert!(done < left);
                left = done;
            }
            // What there is no space for is tried with more.
            None => assert_eq!(claim, 0),
        }
        world.glance();
    }
}

fn set_state(world: &mut World, random: &mut Random, file: usize, (from, end): (usize, usize)) {
    let state = match random.once_in(2) {
        true => State::Unwritten,
        false => State::Normal,
    };
    world
        .change(file, 2 * TREE, |fork| {
            fork.set_state(at(from), at(end), state)
        })
        .unwrap();
    for block in &mut world.files[file].data[from..end] {
        if let Block::At(_, now) = block {
            *now = state;
        }
    }
}

fn delay(world: &mut World, random: &mut Random, file: usize) {
    let hole = run_of(&world.files[file].data, world.range(random, 60), |block| {
        block == Block::Hole
    });
    if hole.0 < hole.1 && world.delay(file, Delayed::Data, hole.0, hole.1 - hole.0) {
        world.files[file].data[hole.0..hole.1].fill(Block::Delayed);
    }
}

fn allocate_delayed(world: &mut World, random: &mut Random, file: usize) {
    let all: Vec<usize> = (0..world.blocks)
        .filter(|&block| world.files[file].data[block] == Block::Delayed)
        .collect();
    if all.is_empty() {
        return;
    }
    let block = all[random.below(all.len() as u32) as usize];
    let new = world
        .change(file, 0, |fork| fork.allocate_delayed(at(block)))
        .unwrap();
    let new = new.expect("the image has space");
    let (from, end) = (new.offset.0 as usize, new.end().0 as usize);
    for block in &world.files[file].data[from..end] {
        assert_eq!(*block, Block::Delayed);
    }
    world.note(file, from, end);
    for block in &world.files[file].data[from..end] {
        assert!(matches!(block, Block::At(_, State::Unwritten)));
    }
}

/// Takes a range out, and moves all behind it there.
fn collapse(world: &mut World, random: &mut Random, file: usize) {
    drop_delayed(world, file);
    let (from, end) = world.range(random, 40);
    unmap(world, random, file, (from, end));
    world
        .change(file, TREE, |fork| fork.split(at(end)))
        .unwrap();
    let mut next = Some(at(end));
    while let Some(start) = next {
        next = world
            .change(file, TREE, |fork| fork.collapse(start, (end - from) as u64))
            .unwrap();
    }
    let data = &mut world.files[file].data;
    data.copy_within(end.., from);
    data[world.blocks - (end - from)..].fill(Block::Hole);
}

/// Opens a hole, where the last blocks are none.
fn open(world: &mut World, random: &mut Random, file: usize) {
    drop_delayed(world, file);
    let (from, end) = world.range(random, 40);
    let by = end - from;
    let last = (world.blocks - by, world.blocks);
    unmap(world, random, file, last);
    world
        .change(file, TREE, |fork| fork.split(at(from)))
        .unwrap();
    let mut next = Some(at(world.blocks));
    while let Some(end) = next {
        next = world
            .change(file, TREE, |fork| fork.open(at(from), end, by as u64))
            .unwrap();
    }
    let data = &mut world.files[file].data;
    data.copy_within(from..world.blocks - by, from + by);
    data[from..from + by].fill(Block::Hole);
}

fn drop_delayed(world: &mut World, file: usize) {
    for block in 0..world.blocks {
        if world.files[file].data[block] == Block::Delayed {
            world
                .change(file, 0, |fork| {
                    fork.unmap(at(block), at(block + 1), Unmapped::Freed, 1)
                })
                .unwrap();
            world.files[file].data[block] = Block::Hole;
        }
    }
}

/// Gives a file every other block of a range, one by one, so that it has as many mappings.
pub fn shatter(world: &mut World, file: usize, blocks: usize) {
    drop_delayed(world, file);
    let mut left: Vec<usize> = (0..blocks)
        .step_by(2)
        .filter(|&block| world.files[file].data[block] == Block::Hole)
        .collect();
    while !left.is_empty() {
        let some = left.split_off(left.len().saturating_sub(30));
        world
            .change(file, 30 + TREE, |fork| {
                for &block in &some {
                    let found = fork.allocate(at(block), (1, 1), State::Normal)?;
                    assert_eq!(found.map(|found| found.len), Some(1));
                }
                Ok(())
            })
            .unwrap();
        for block in some {
            world.note(file, block, block + 1);
        }
    }
    world.check_maps();
}

/// One edit of one of two files. At times the files fall apart, at times they come together.
pub fn step(world: &mut World, random: &mut Random, step: u64) {
    let file = random.below(2) as usize;
    let tiny = step / 100 % 2 == 0;
    match random.below(20) {
        0..=9 => allocate(world, random, file, if tiny { 2 } else { 200 }),
        10..=11 => {
            let what = world.range(random, if tiny { 3 } else { 200 });
            unmap(world, random, file, what);
        }
        12..=14 => {
            let what = world.range(random, if tiny { 3 } else { 100 });
            set_state(world, random, file, what);
        }
        15 => delay(world, random, file),
        16..=17 => allocate_delayed(world, random, file),
        18 if step % 4 == 0 => collapse(world, random, file),
        19 if step % 4 == 0 => open(world, random, file),
        _ => {}
    }
}

fn edit(shape: &'static str, seed: u64) -> World {
    let mut world = World::new(Image::small(named(shape)), 2);
    let mut random = Random::new(seed);
    let blocks = world.blocks;
    shatter(&mut world, 0, blocks);
    for step in 0..times(400) {
        self::step(&mut world, &mut random, step.into());
        world.check_maps();
        if step % 25 == 0 {
            world.check_disk();
        }
        if step % 130 == 129 {
            world.check(&format!("{shape}, seed {seed}, step {step}"));
        }
    }
    for file in 0..2 {
        if random.once_in(2) {
            unmap(&mut world, &mut random, file, (0, blocks));
        }
    }
    world.repair(&format!("{shape}, seed {seed}"));
    world
}

#[test]
fn edits_equal_the_model() {
    let shapes = [
        "default",
        "block-1k",
        "block-64k",
        "inode-2048",
        "no-rmapbt",
        "no-reflink",
        "no-nrext64",
        "many-groups",
        "bare",
    ];
    let mut full = 0;
    for (seed, shape) in shapes.into_iter().enumerate() {
        let world = edit(shape, seed as u64);
        assert!(world.most > 700, "{shape}: {} mappings", world.most);
        assert_eq!(world.forms.len(), 2, "{shape}: {:?}", world.forms);
        full += world.full;
    }
    assert!(full > 50, "{full} times there was no space");
}
