// SPDX-License-Identifier: GPL-2.0

//! Files that share blocks, copy them on write, and exchange them.

use crate::fork_changes::{
    times,
    world::{run_of, Block, World},
};
use std::collections::BTreeMap;
use xfs_host::{
    fixture::{named, Image},
    libxfs::{
        bmap::{prepare_exchange, CowMut, Delayed, Unmapped},
        extents::{Mapping, Segment, State},
        format::{
            log::exchange::{ExchangeFile, ExchangeFlags},
            units::FileBlock,
        },
        inode::WhichFork,
        items::Exchange,
    },
    random::Random,
};

/// Blocks that the trees of the files may need for a change.
const TREE: u64 = 20;

fn at(block: usize) -> FileBlock {
    FileBlock(block as u64)
}

fn two(random: &mut Random) -> (usize, usize) {
    let one = random.below(3) as usize;
    (one, (one + 1 + random.below(2) as usize) % 3)
}

/// Has a file share a range of another, at the same place or elsewhere.
fn share(world: &mut World, random: &mut Random) {
    let (source, target) = two(random);
    let (from, end) = world.range(random, 120);
    let shift = random.below((world.blocks - (end - from)) as u32 + 1) as usize;
    let mut done = 0;
    while done < end - from {
        let inode = world.files[source].inode();
        let map = inode.extents(WhichFork::Data).unwrap();
        let run = map
            .segment(at(from + done), (end - from - done) as u64)
            .unwrap();
        let there = at(shift + done);
        let run = match run.mapping().filter(|run| run.state != State::Delayed) {
            Some(mapping) => Segment::Mapped(Mapping {
                offset: there,
                ..mapping
            }),
            None => Segment::Hole {
                offset: there,
                len: run.len(),
            },
        };
        let next = world.change(target, TREE, |fork| fork.share(&run)).unwrap();
        let n = (next.0 - there.0) as usize;
        for n in 0..n {
            let new = match world.files[source].data[from + done + n] {
                Block::At(block, State::Normal) => Block::At(block, State::Normal),
                _ => Block::Hole,
            };
            let old = &mut world.files[target].data[shift + done + n];
            let unwritten = |block| matches!(block, Block::At(_, State::Unwritten));
            let both = unwritten(*old) && unwritten(world.files[source].data[from + done + n]);
            if !both {
                world.files[target].data[shift + done + n] = new;
            }
        }
        done += n;
        world.glance();
    }
}

/// Stages a copy of a range: delayed first, or at once.
fn stage(world: &mut World, random: &mut Random, file: usize) {
    let hole = run_of(&world.files[file].cow, world.range(random, 60), |block| {
        block == Block::Hole
    });
    let len = hole.1 - hole.0;
    if len == 0 {
        return;
    }
    if random.once_in(2) {
        if world.delay(file, Delayed::Cow, hole.0, len) {
            world.files[file].cow[hole.0..hole.1].fill(Block::Delayed);
        }
        return;
    }
    let new = world
        .run(len as u64 + TREE, |trans, deferred, ids| {
            let mut cow = CowMut::new(trans, deferred, ids[file]);
            cow.allocate(at(hole.0), (1, len as u32))
        })
        .unwrap();
    world.note_cow(file, &new.unwrap());
}

fn stage_delayed(world: &mut World, random: &mut Random, file: usize) {
    let all: Vec<usize> = (0..world.blocks)
        .filter(|&block| world.files[file].cow[block] == Block::Delayed)
        .collect();
    if all.is_empty() {
        return;
    }
    let block = all[random.below(all.len() as u32) as usize];
    let new = world
        .run(0, |trans, deferred, ids| {
            CowMut::new(trans, deferred, ids[file]).allocate_delayed(at(block))
        })
        .unwrap();
    world.note_cow(file, &new.unwrap());
}

/// Writes what is staged, and takes it into the file.
fn end(world: &mut World, random: &mut Random, file: usize) {
    let (from, end) = world.range(random, 100);
    world
        .run(0, |trans, deferred, ids| {
            CowMut::new(trans, deferred, ids[file]).set_written(at(from), at(end))
        })
        .unwrap();
    for block in &mut world.files[file].cow[from..end] {
        if let Block::At(_, state) = block {
            *state = State::Normal;
        }
    }
    world.glance();
    let mut next = at(from);
    while next < at(end) {
        next = world
            .run(TREE, |trans, deferred, ids| {
                CowMut::new(trans, deferred, ids[file]).end(next, at(end))
            })
            .unwrap();
    }
    let file = &mut world.files[file];
    for block in from..end {
        if matches!(file.cow[block], Block::At(..)) {
            file.data[block] = std::mem::replace(&mut file.cow[block], Block::Hole);
        }
    }
}

fn cancel(world: &mut World, random: &mut Random, file: usize) {
    let (from, end) = world.range(random, 80);
    let written = random.once_in(2);
    let mut left = at(end);
    while left > at(from) {
        left = world
            .run(0, |trans, deferred, ids| {
                CowMut::new(trans, deferred, ids[file]).cancel(at(from), left, written, 2)
            })
            .unwrap();
    }
    for block in &mut world.files[file].cow[from..end] {
        if written || !matches!(block, Block::At(_, State::Normal)) {
            *block = Block::Hole;
        }
    }
}

fn unmap(world: &mut World, random: &mut Random, file: usize) {
    let (from, end) = world.range(random, 100);
    let mut left = at(end);
    while left > at(from) {
        left = world
            .change(file, TREE, |fork| {
                fork.unmap(at(from), left, Unmapped::Freed, 3)
            })
            .unwrap();
    }
    world.files[file].data[from..end].fill(Block::Hole);
}

fn write(world: &mut World, random: &mut Random, file: usize) {
    let hole = run_of(&world.files[file].data, world.range(random, 80), |block| {
        block == Block::Hole
    });
    let len = (hole.1 - hole.0) as u32;
    if len == 0 {
        return;
    }
    let state = match random.once_in(4) {
        true => State::Unwritten,
        false => State::Normal,
    };
    let found = world
        .change(file, u64::from(len) + TREE, |fork| {
            fork.allocate(at(hole.0), (1, len), state)
        })
        .unwrap();
    let found = found.unwrap().len as usize;
    world.note(file, hole.0, hole.0 + found);
}

/// Has two files exchange what they have in a range, or only what is written of the first.
fn exchange(world: &mut World, random: &mut Random) {
    let (one, two) = two(random);
    let (from, end) = world.range(random, 150);
    let len = end - from;
    let other = random.below((world.blocks - len) as u32 + 1) as usize;
    let written = random.once_in(2);
    let side = |file: usize, at: usize| ExchangeFile {
        inode: world.files[file].inode().number,
        generation: world.files[file].inode().core.generation,
        offset: FileBlock(at as u64),
        size: 0,
    };
    let work = Exchange {
        files: [side(one, from), side(two, other)],
        blocks: len as u64,
        flags: ExchangeFlags(match written {
            true => ExchangeFlags::INO1_WRITTEN,
            false => 0,
        }),
    };
    world
        .run(4 * TREE, |trans, deferred, ids| {
            prepare_exchange(trans, [ids[one], ids[two]], WhichFork::Data)?;
            deferred.exchange(work)
        })
        .unwrap();
    for n in 0..len {
        let (mine, theirs) = (
            world.files[one].data[from + n],
            world.files[two].data[other + n],
        );
        if !written || matches!(mine, Block::At(_, State::Normal)) {
            world.files[one].data[from + n] = theirs;
            world.files[two].data[other + n] = mine;
        }
    }
}

/// One change of one of three files.
pub fn step(world: &mut World, random: &mut Random) {
    let file = random.below(3) as usize;
    match random.below(14) {
        0..=1 => write(world, random, file),
        2..=4 => share(world, random),
        5..=6 => stage(world, random, file),
        7 => stage_delayed(world, random, file),
        8..=9 => end(world, random, file),
        10 => cancel(world, random, file),
        11..=12 => exchange(world, random),
        _ => unmap(world, random, file),
    }
}

/// How many files have each block.
pub fn owners(world: &World) -> BTreeMap<u64, u32> {
    let mut owners = BTreeMap::new();
    for file in &world.files {
        for block in file.data.iter().chain(&file.cow) {
            if let Block::At(block, _) = block {
                *owners.entry(*block).or_default() += 1;
            }
        }
    }
    owners
}

#[test]
fn files_share_blocks_and_copy_them_on_write() {
    let shapes = [
        "default",
        "block-1k",
        "many-groups",
        "no-rmapbt",
        "inode-1024",
    ];
    for (seed, shape) in shapes.into_iter().enumerate() {
        let mut world = World::new(Image::small(named(shape)), 3);
        let mut random = Random::new(seed as u64 + 100);
        world.mark_shared();
        let mut most = 0;
        for step in 0..times(250) {
            self::step(&mut world, &mut random);
            world.check_maps();
            let shared = owners(&world).into_values().filter(|&n| n > 1).count();
            most = most.max(shared);
            if step % 100 == 99 {
                world.check(&format!("{shape}, step {step}"));
            }
        }
        assert!(most > 20, "{shape}: {most} shared blocks");
        world.repair(shape);
    }
}

#[test]
fn a_file_is_truncated_in_steps() {
    let mut world = World::new(Image::small(named("block-1k")), 1);
    let mut random = Random::new(5);
    for _ in 0..60 {
        write(&mut world, &mut random, 0);
    }
    for from in [1000, 400, 0] {
        world.truncate(0, from);
        world.files[0].data[from..].fill(Block::Hole);
        world.check(&format!("truncated to {from}"));
    }
    world.repair("truncated");
}
