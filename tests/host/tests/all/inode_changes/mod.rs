// SPDX-License-Identifier: GPL-2.0

//! Inodes that are made and freed on real images, against a plain account of them, our own check
//! and `xfs_repair -n`.

mod birth;
mod full;
mod hostile;
mod mutations;
mod world;

use std::collections::BTreeMap;
use world::World;
use xfs_host::{
    fixture::Shape,
    libxfs::{
        format::units::AgNumber,
        ialloc::shape::{chunk_blocks, sparse_blocks},
        store::Store,
    },
};

const fn shape(name: &'static str, args: &'static [&'static str]) -> Shape {
    Shape {
        name,
        args,
        log: false,
        rt: false,
        filled: None,
    }
}

/// With groups too small to have the log in one.
const fn small(name: &'static str, args: &'static [&'static str]) -> Shape {
    Shape {
        log: true,
        ..shape(name, args)
    }
}

/// Without parent pointers, which would have to follow.
static SHAPES: &[Shape] = &[
    shape("inodes-4k", &["-n", "parent=0"]),
    shape(
        "inodes-1k",
        &["-b", "size=1024", "-n", "parent=0", "-d", "agcount=8"],
    ),
    shape("inodes-64k", &["-b", "size=65536", "-n", "parent=0"]),
    small(
        "inodes-small-groups",
        &["-n", "parent=0", "-d", "agcount=32"],
    ),
    shape("inodes-whole-chunks", &["-n", "parent=0", "-i", "sparse=0"]),
    shape(
        "inodes-no-finobt",
        &["-n", "parent=0", "-m", "finobt=0,inobtcount=0"],
    ),
    shape(
        "inodes-2048",
        &["-n", "parent=0", "-i", "size=2048", "-m", "inobtcount=0"],
    ),
    shape(
        "inodes-stripes",
        &["-n", "parent=0", "-d", "su=64k,sw=4", "-m", "rmapbt=0"],
    ),
    shape(
        "inodes-bare",
        &[
            "-m",
            "finobt=0,rmapbt=0,reflink=0,inobtcount=0,bigtime=0",
            "-i",
            "nrext64=0,sparse=0,exchange=0",
            "-n",
            "parent=0",
        ],
    ),
];

fn named(name: &str) -> &'static Shape {
    SHAPES.iter().find(|shape| shape.name == name).unwrap()
}

/// So many times, or many more.
fn times(n: u64) -> u64 {
    match std::env::var_os("XFS_RUST_LONG") {
        Some(_) => n * 20,
        None => n,
    }
}

#[test]
fn inodes_come_and_go_in_every_shape() {
    for shape in SHAPES {
        for seed in 0..times(1) {
            let mut world = World::new(shape, seed);
            world.keep = seed % 3 == 2;
            world.reserve();
            let before = world.chunks();
            for round in 0..4 {
                for _ in 0..600 {
                    world.step(round % 2 == 0).unwrap();
                }
                world.compare(&format!("{}, seed {seed}, round {round}", shape.name));
            }
            world.repair(shape.name);
            world.clear();
            world.repair(&format!("{}, cleared", shape.name));
            // Blocks of more than a chunk are kept.
            let kept = world.keep || shape.name == "inodes-64k";
            assert!(kept || world.chunks() == before, "{}", shape.name);
        }
    }
}

#[test]
fn directories_take_turns_and_files_stay_with_them() {
    let mut world = World::new(named("inodes-small-groups"), 1);
    let root = world.journal.geometry().root_inode;
    for turn in 0..10 {
        let dir = world.make(root, 0o040_755, false).unwrap();
        assert_eq!(world.ag_of(dir), AgNumber(turn));
        for _ in 0..8 {
            let file = world.make(dir, 0o100_644, false).unwrap();
            assert_eq!(world.ag_of(file), AgNumber(turn));
        }
    }
    world.repair("turns");
}

#[test]
fn an_inode_lies_in_the_chunk_of_its_directory_if_that_has_a_free_one() {
    for name in ["inodes-4k", "inodes-no-finobt"] {
        let mut world = World::new(named(name), 1);
        let root = world.journal.geometry().root_inode;
        // Directories of one group, in chunks of their own.
        let groups = world.journal.geometry().ag_count;
        let mut dirs = Vec::new();
        while world.chunks().iter().filter(|(ag, _)| ag.0 == 0).count() < 4 {
            world.turn = groups * 8;
            let parent = *dirs.last().unwrap_or(&root);
            let dir = world.make(parent, 0o040_755, false).unwrap();
            dirs.push(dir);
            for _ in 0..9 {
                world.make(dir, 0o100_644, false).unwrap();
            }
        }
        // Make room in all of them.
        for _ in 0..60 {
            let number = world.some_named().unwrap();
            world.unlink(number).unwrap();
        }
        world.free_nameless();
        let geo = world.journal.geometry().clone();
        for dir in dirs
            .iter()
            .filter(|dir| world.dirs.get(dir) < Some(&9))
            .copied()
            .collect::<Vec<_>>()
        {
            if !world.dirs.contains_key(&dir) {
                continue;
            }
            let (ag, own) = geo.split_inode(dir).unwrap();
            let chunks = world.chunks();
            let chunk = chunks
                .iter()
                .find(|(group, chunk)| *group == ag && chunk.index_of(own).is_some())
                .unwrap()
                .1;
            let file = world.make(dir, 0o100_644, false).unwrap();
            let (_, new) = geo.split_inode(file).unwrap();
            assert_eq!(chunk.index_of(new).is_some(), chunk.free_count > 0);
        }
        world.repair(name);
    }
}

#[test]
fn no_more_chunks_are_made_than_inodes_are_allowed() {
    let mut world = World::new(named("inodes-4k"), 1);
    world.inodes = xfs_host::libxfs::ialloc::shape::most_inodes(world.journal.geometry());
    assert!(world.inodes.is_some());
    let chunks = world.chunks();
    let free: u32 = chunks
        .iter()
        .map(|(_, chunk)| u32::from(chunk.free_count))
        .sum();
    assert!(free > 0);
    let mut made = 0;
    loop {
        let dir = world.some_dir().unwrap();
        let mode = if made % 5 == 0 { 0o040_755 } else { 0o100_644 };
        match world.make(dir, mode, false) {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error, xfs_host::libxfs::error::Error::NoSpace);
                break;
            }
        }
    }
    assert_eq!(made, free);
    assert_eq!(world.chunks().len(), chunks.len());
    world.repair("no more chunks");
}

#[test]
fn the_tree_of_free_inodes_grows_when_inodes_are_freed() {
    let mut world = World::new(named("inodes-1k"), 5);
    let geo = world.journal.geometry().clone();
    // A leaf of the tree has room for 60 chunks.
    for _ in 0..64 * 70 {
        world.make(geo.root_inode, 0o100_600, true).unwrap();
    }
    for (ag, chunk) in world.chunks() {
        if chunk.free_count > 0 {
            continue;
        }
        let inode = chunk.start.checked_add(5).unwrap();
        let number = geo.inode_number(ag, inode).unwrap();
        let which = world.nameless.iter().position(|other| *other == number);
        if let Some(which) = which {
            world.free(which).unwrap();
        }
    }
    assert!(world.grown > 0);
    world.compare("grown");
    world.repair("emptied again");
}

#[test]
fn chunks_have_the_shape_that_the_superblock_tells() {
    let expected: BTreeMap<&str, (u32, Option<u32>)> = [
        ("inodes-4k", (8, Some(4))),
        ("inodes-1k", (32, Some(16))),
        ("inodes-64k", (1, None)),
        ("inodes-small-groups", (8, Some(4))),
        ("inodes-whole-chunks", (8, None)),
        ("inodes-no-finobt", (8, Some(4))),
        ("inodes-2048", (32, Some(16))),
        ("inodes-stripes", (8, Some(4))),
        ("inodes-bare", (8, None)),
    ]
    .into();
    for shape in SHAPES {
        let world = World::new(shape, 0);
        let geo = world.journal.geometry();
        let found = (chunk_blocks(geo), sparse_blocks(geo));
        assert_eq!(found, expected[shape.name], "{}", shape.name);
    }
}
