// SPDX-License-Identifier: GPL-2.0

//! Directories that are changed: readers see what a plain map has, in every form and on every way
//! between two.

pub mod harness;
mod repair;

use harness::{Form, Harness, Model};
use kernel::alloc::faults::FailAfter;
use std::env;
use xfs_host::{
    fixture::names::same_hash,
    libxfs::{
        dir::change::{self, NewEntry},
        dir::{self},
        error::Error,
        format::{da::NodeHeader, dir::FileType, geometry::Geometry, units::InodeNumber},
        store::Store,
    },
    mutation::{Choices, Seeded},
};

/// How often things are done: once, or with `XFS_RUST_LONG` as often as said.
fn times(long: u64) -> u64 {
    match env::var_os("XFS_RUST_LONG") {
        Some(_) => long,
        None => 1,
    }
}

const TYPES: [FileType; 4] = [
    FileType::Regular,
    FileType::Directory,
    FileType::Symlink,
    FileType::Fifo,
];

/// Behind those that the file system keeps for itself.
const FIRST_INODE: u64 = 1000;

pub struct Random {
    pub choices: Seeded,
    longest: usize,
}

impl Random {
    pub fn new(seed: u64, longest: usize) -> Self {
        Self {
            choices: Seeded(seed),
            longest,
        }
    }

    /// A name: of a family of one hash, short, or of any length.
    pub fn name(&mut self) -> Vec<u8> {
        let byte = |choices: &mut Seeded| match choices.below(255) as u8 + 1 {
            b'/' => b'_',
            byte => byte,
        };
        match self.choices.below(8) {
            0 => same_hash(b"a family of one hash", self.choices.below(200)),
            1 => vec![byte(&mut self.choices)],
            2 => {
                let len = 1 + self.choices.below(self.longest);
                (0..len).map(|_| byte(&mut self.choices)).collect()
            }
            _ => format!("{:x}", self.choices.below(1 << 40)).into_bytes(),
        }
    }

    pub fn target(&mut self) -> (InodeNumber, FileType) {
        let number = InodeNumber(FIRST_INODE + self.choices.below(1000) as u64);
        (number, TYPES[self.choices.below(TYPES.len())])
    }

    /// A name that there is, if there is any.
    pub fn known(&mut self, names: &Model) -> Option<Vec<u8>> {
        let start = self.name();
        names
            .range(start..)
            .next()
            .or_else(|| names.iter().next())
            .map(|(name, _)| name.clone())
    }
}

/// Adds until there are `most` names, with removals and replacements between; then removes all but
/// a few; `rounds` times.
fn churn(harness: &mut Harness, random: &mut Random, most: usize, rounds: usize) {
    for _ in 0..rounds {
        let mut steps = 0;
        for growing in [true, false] {
            loop {
                let count = harness.model.len();
                if growing && count >= most || !growing && count <= 1 {
                    break;
                }
                step(harness, random, growing);
                steps += 1;
                if steps % (most / 3 + 1) == 0 {
                    harness.check();
                }
            }
            harness.check();
        }
    }
}

fn step(harness: &mut Harness, random: &mut Random, growing: bool) {
    let known = random.known(&harness.model);
    match (random.choices.below(16), known) {
        (0, Some(name)) => {
            let (inode, ftype) = random.target();
            harness.replace(&name, inode, ftype).unwrap();
        }
        (1, Some(name)) => {
            let (inode, ftype) = random.target();
            let again = harness.add(&name, inode, ftype);
            assert_eq!(again, Err(Error::Exists));
            let absent = [&name[..], b"/"].concat();
            assert_eq!(harness.remove(&absent), Err(Error::NotFound));
        }
        (choice, Some(name)) if (choice < 5) == growing => harness.remove(&name).unwrap(),
        _ => {
            let name = random.name();
            let (inode, ftype) = random.target();
            match harness.add(&name, inode, ftype) {
                Ok(()) => {}
                Err(Error::Exists) => assert!(harness.model.contains_key(&name)),
                Err(Error::Invalid) => assert!(name == b"." || name == b".."),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Directory blocks of one block of 1 KiB, which no `mkfs.xfs` makes, so that trees get deep.
pub fn tiny(geo: &mut Geometry) {
    geo.dir_block_log = 0;
}

#[test]
fn directories_equal_a_map_through_all_forms() {
    for seed in 0..times(40) {
        for (shape, most) in [("empty", 800), ("block-1k", 800)] {
            let mut harness = Harness::new(shape, |_| {});
            churn(&mut harness, &mut Random::new(seed, 255), most, 2);
            let forms: Vec<_> = harness.forms.iter().copied().collect();
            assert_eq!(forms[..3], [Form::Short, Form::Block, Form::Leaf]);
            assert!(forms.contains(&Form::Node(1)), "{forms:?}");
        }
    }
}

#[test]
fn trees_grow_by_levels_and_shrink_again() {
    for seed in 0..times(20) {
        let mut harness = Harness::new("block-1k", tiny);
        let mut random = Random::new(seed, 30);
        let most = 14_000;
        while harness.model.len() < most {
            let name = random.name();
            let (inode, ftype) = random.target();
            if !harness.model.contains_key(&name) && name != b"." {
                harness.add(&name, inode, ftype).unwrap();
            }
        }
        harness.check();
        assert_eq!(harness.form(), Form::Node(2));
        while let Some(name) = random.known(&harness.model) {
            harness.remove(&name).unwrap();
            if harness.model.len() % 4000 == 0 {
                harness.check();
            }
        }
        harness.check();
        assert_eq!(harness.form(), Form::Short);
        assert_eq!(harness.dir().core.nblocks, 0);
    }
}

#[test]
fn blocks_in_pieces_and_of_any_size_do() {
    for seed in 0..times(10) {
        for (shape, scattered, most) in [
            ("block-1k-dir-64k", true, 350),
            ("dir-64k", false, 600),
            ("block-1k", true, 500),
        ] {
            let mut harness = Harness::new(shape, |_| {});
            harness.pool.scattered = scattered;
            churn(&mut harness, &mut Random::new(seed, 255), most, 1);
            assert!(harness.forms.contains(&Form::Block));
        }
    }
}

#[test]
fn names_of_one_hash_fill_several_leaves() {
    let mut harness = Harness::new("block-1k", tiny);
    let name = |i| same_hash(b"a family of one hash", i);
    for i in 0..400 {
        harness
            .add(&name(i), InodeNumber(200), FileType::Regular)
            .unwrap();
    }
    harness.check();
    assert_eq!(harness.form(), Form::Node(1));
    for i in (0..400).rev().step_by(2).chain((0..400).step_by(2)) {
        harness.remove(&name(i)).unwrap();
        if i % 100 == 0 {
            harness.check();
        }
    }
    assert_eq!(harness.form(), Form::Short);
}

#[test]
fn leaves_that_follow_each_other_in_a_ring_are_corrupt() {
    let mut harness = Harness::new("block-1k", tiny);
    let name = |i| same_hash(b"a family of one hash", i);
    for i in 0..400 {
        harness
            .add(&name(i), InodeNumber(200), FileType::Regular)
            .unwrap();
    }
    // Nodes that lead from the first leaf to the second, and back, and so on.
    let leaves = harness.children();
    let (first, second) = (leaves[0].0 as u32, leaves[1].0 as u32);
    harness.forge(harness.geo.leaf_start(), |root| {
        for (entry, _) in leaves.iter().enumerate() {
            let block = [first, second][entry % 2];
            let at = size_of::<NodeHeader>() + 8 * entry + 4;
            root[at..at + 4].copy_from_slice(&block.to_be_bytes());
        }
    });
    harness.forge(leaves[0], |leaf| {
        leaf[4..8].copy_from_slice(&second.to_be_bytes());
    });
    harness.forge(leaves[1], |leaf| {
        leaf[..4].copy_from_slice(&first.to_be_bytes());
    });
    match harness.remove(&name(1000)) {
        Err(Error::Corrupt(found)) => {
            let fault = found.fault;
            assert_eq!((fault.structure, fault.field), ("da3 block", "forw"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_of_more_than_32_bits_widen_a_short_directory_and_go_again() {
    let mut harness = Harness::new("empty", |geo| {
        geo.ag_count = 1 << 16;
        geo.data_blocks = u64::from(geo.ag_blocks) << 16;
    });
    let geo = harness.journal.geometry().clone();
    let shift = geo.ag_block_log + geo.inodes_per_block_log;
    let wide = InodeNumber((40_000 << shift) | 128);
    assert!(wide.0 > u64::from(u32::MAX));
    let narrow = InodeNumber(200);
    harness.add(b"a", narrow, FileType::Regular).unwrap();
    let small = harness.dir().core.size;
    harness.add(b"b", wide, FileType::Regular).unwrap();
    harness.check();
    assert_eq!(harness.dir().core.size, small + 4 + 4 + 4 + 1 + 8);
    harness.replace(b"b", narrow, FileType::Regular).unwrap();
    harness.replace(b"..", wide, FileType::Directory).unwrap();
    assert_eq!(dir::parent(&harness.journal, harness.dir()), Ok(wide));
    harness.check();
    harness.replace(b"..", narrow, FileType::Directory).unwrap();
    harness.remove(b"b").unwrap();
    assert_eq!(harness.dir().core.size, small);
    // One that was full with narrow numbers moves out for a wide one.
    let mut count = 0;
    while harness.form() == Form::Short {
        count += 1;
        let name = format!("name{count}");
        let copy = harness.copy();
        harness
            .add(name.as_bytes(), narrow, FileType::Regular)
            .unwrap();
        if harness.form() != Form::Short {
            harness = copy;
            break;
        }
    }
    assert_eq!(harness.form(), Form::Short);
    harness.replace(b"a", wide, FileType::Regular).unwrap();
    assert_eq!(harness.form(), Form::Block);
    harness.check();
    harness.replace(b"..", wide, FileType::Directory).unwrap();
    assert_eq!(dir::parent(&harness.journal, harness.dir()), Ok(wide));
}

#[test]
fn what_no_entry_may_be_is_refused() {
    let mut harness = Harness::new("empty", |_| {});
    let good = InodeNumber(200);
    let long = vec![b'n'; 256];
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &long] {
        let error = harness.add(name, good, FileType::Regular);
        assert_eq!(error, Err(Error::Invalid));
    }
    harness.add(b"a", good, FileType::Regular).unwrap();
    let bad = InodeNumber(0);
    assert_eq!(
        harness.add(b"b", bad, FileType::Regular),
        Err(Error::Invalid)
    );
    for name in [&b"a"[..], b".", b".."] {
        let error = harness.replace(name, bad, FileType::Regular);
        assert_eq!(error, Err(Error::Invalid));
    }
    assert_eq!(harness.remove(b"."), Err(Error::Invalid));
    assert_eq!(harness.remove(b".."), Err(Error::Invalid));
    assert_eq!(harness.remove(b"b"), Err(Error::NotFound));
    assert_eq!(
        harness.replace(b"b", good, FileType::Regular),
        Err(Error::NotFound)
    );
    harness.check();
}

#[test]
fn removals_that_can_unmap_nothing_leave_a_right_directory() {
    let mut harness = Harness::new("block-1k", tiny);
    let mut random = Random::new(5, 60);
    while harness.model.len() < 1500 {
        let name = random.name();
        let (inode, ftype) = random.target();
        if !harness.model.contains_key(&name) && name != b"." {
            harness.add(&name, inode, ftype).unwrap();
        }
    }
    harness.pool.stuck = true;
    while harness.model.len() > 700 {
        let name = random.known(&harness.model).unwrap();
        harness.remove(&name).unwrap();
    }
    harness.check();
    harness.pool.stuck = false;
    churn(&mut harness, &mut random, 900, 1);
    while let Some(name) = random.known(&harness.model) {
        harness.remove(&name).unwrap();
    }
    harness.check();
    assert_eq!(harness.form(), Form::Short);
    assert_eq!(harness.dir().core.nblocks, 0);
}

/// Runs one change with every allocation failing in turn.
fn without_memory(
    harness: &Harness,
    mut work: impl FnMut(&mut Harness) -> xfs_host::libxfs::error::Result,
) {
    for allowed in 0.. {
        let mut copy = harness.copy();
        let result = {
            let _faults = FailAfter::new(allowed);
            work(&mut copy)
        };
        assert_eq!(copy.journal.store().locked(), 0);
        match result {
            Ok(()) => {
                assert!(allowed > 0, "memory was taken");
                copy.check();
                return;
            }
            Err(error) => {
                assert_eq!(error, Error::NoMemory);
                assert_eq!(copy.disk.snapshot().changes().count(), 0);
            }
        }
    }
}

#[test]
fn without_memory_nothing_is_half_done() {
    let mut harness = Harness::new("block-1k", tiny);
    let mut random = Random::new(11, 40);
    let mut seen = std::collections::BTreeSet::new();
    while harness.model.len() < 420 {
        let name = random.name();
        if harness.model.contains_key(&name) || name == b"." {
            continue;
        }
        let (inode, ftype) = random.target();
        let before = (harness.form(), harness.pool.left());
        let copy = harness.copy();
        harness.add(&name, inode, ftype).unwrap();
        // Each way from form to form, with and without a new block.
        let way = (before.0, harness.form(), harness.pool.left() < before.1);
        if seen.insert(way) {
            let entry = NewEntry {
                name: &name,
                inode,
                ftype,
            };
            without_memory(&copy, |copy| {
                copy.run(|trans, pool, dir| change::add(trans, pool, dir, &entry))?;
                copy.model.insert(name.clone(), (inode, ftype));
                Ok(())
            });
        }
    }
    seen.clear();
    while let Some(name) = random.known(&harness.model) {
        let before = (harness.form(), harness.pool.left());
        let copy = harness.copy();
        harness.remove(&name).unwrap();
        let way = (before.0, harness.form(), harness.pool.left() > before.1);
        if seen.insert(way) {
            without_memory(&copy, |copy| {
                copy.run(|trans, pool, dir| change::remove(trans, pool, dir, &name))?;
                copy.model.remove(&name);
                Ok(())
            });
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
}
