// SPDX-License-Identifier: GPL-2.0

//! Directories that grow until they are large, or nothing is left to grow into, and shrink again.

use super::Operations;
use crate::{
    dir_changes::{
        harness::{Form, Harness, Model},
        tiny, Random,
    },
    lone_inode::LoneInode,
};
use std::collections::BTreeSet;
use xfs_host::{
    fixture::space::Pool,
    journal::SyncJournal,
    libxfs::{
        dir::change::{self, NewEntry},
        error::{Error, Result},
        format::geometry::Geometry,
        inode::WhichFork,
        store::Store,
        trans::{space::da_enter, InodeId, LogReservation, Trans},
    },
    mutation::Choices,
};

/// Most operations of a directory.
const MOST: u64 = 300_000;

const LOG: LogReservation = LogReservation {
    bytes: 1 << 22,
    count: 1,
    permanent: false,
};

/// Where a directory lives.
struct World {
    shape: &'static str,
    /// Makes another file system of it.
    change: fn(&mut Geometry),
    /// Blocks that there are.
    blocks: u64,
    /// Whether they are given one by one, none beside the other.
    scattered: bool,
    /// Names that it gets at the most.
    names: usize,
    longest: usize,
}

const WORLDS: &[World] = &[
    World {
        shape: "empty",
        change: |_| (),
        blocks: 2_000,
        scattered: false,
        names: 1_000,
        longest: 255,
    },
    World {
        shape: "block-1k",
        change: tiny,
        blocks: 6_000,
        scattered: false,
        names: 16_000,
        longest: 30,
    },
    World {
        shape: "block-1k",
        change: tiny,
        blocks: 260,
        scattered: false,
        names: 16_000,
        longest: 255,
    },
    World {
        shape: "block-1k",
        change: |_| (),
        blocks: 2_000,
        scattered: true,
        names: 2_000,
        longest: 120,
    },
    World {
        shape: "dir-64k",
        change: |_| (),
        blocks: 400,
        scattered: false,
        names: 4_000,
        longest: 255,
    },
];

/// What is done next, and to what.
struct Changing<'m> {
    model: &'m mut Model,
    random: &'m mut Random,
    growing: bool,
}

impl Changing<'_> {
    /// Some changes in one transaction, which claimed enough for them.
    fn some(
        &mut self,
        trans: &mut Trans<'_, SyncJournal>,
        pool: &mut Pool,
        dir: InodeId,
        count: u64,
    ) -> Result {
        for _ in 0..count {
            self.one(trans, pool, dir)?;
        }
        Ok(())
    }

    fn one(&mut self, trans: &mut Trans<'_, SyncJournal>, pool: &mut Pool, dir: InodeId) -> Result {
        let known = self.random.known(self.model);
        let (inode, ftype) = self.random.target();
        match (self.random.choices.below(16), known) {
            (0, Some(name)) => {
                let name = &name[..];
                let old = change::replace(trans, pool, dir, &NewEntry { name, inode, ftype })?;
                let known = self.model.insert(name.to_vec(), (inode, ftype));
                assert_eq!(known.map(|known| known.0), Some(old));
            }
            (1, Some(name)) => {
                let name = &name[..];
                let again = change::add(trans, pool, dir, &NewEntry { name, inode, ftype });
                assert_eq!(again, Err(Error::Exists));
                let absent = [name, b"/"].concat();
                let gone = change::remove(trans, pool, dir, &absent);
                assert_eq!(gone, Err(Error::NotFound));
            }
            (choice, Some(name)) if (choice < 5) == self.growing => {
                let gone = change::remove(trans, pool, dir, &name)?;
                assert_eq!(Some(gone), self.model.remove(&name).map(|old| old.0));
            }
            _ => {
                let name = self.random.name();
                let entry = NewEntry {
                    name: &name,
                    inode,
                    ftype,
                };
                match change::add(trans, pool, dir, &entry) {
                    Ok(()) => assert!(self.model.insert(name, (inode, ftype)).is_none()),
                    Err(Error::Exists) => assert!(self.model.contains_key(&name)),
                    Err(Error::Invalid) => assert!(name == b"." || name == b".."),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Adds a name where nothing can be claimed: if there is room for it, it gets there.
fn squeeze(harness: &mut Harness, random: &mut Random) -> bool {
    let name = random.name();
    let (inode, ftype) = random.target();
    if harness.model.contains_key(&name) || name == b"." || name == b".." {
        return false;
    }
    let entry = NewEntry {
        name: &name,
        inode,
        ftype,
    };
    let has_room = change::has_room(&harness.journal, harness.dir(), &entry).unwrap();
    if has_room {
        let (lone, model) = harness.parts();
        let left = lone.pool.left();
        lone.run(LOG, 0, |trans, pool, dir| {
            change::add(trans, pool, dir, &entry)
        })
        .unwrap();
        assert_eq!(lone.pool.left(), left);
        model.insert(name, (inode, ftype));
    }
    has_room
}

/// Removes a name where nothing can be claimed.
fn remove(harness: &mut Harness, name: &[u8]) {
    let (lone, model) = harness.parts();
    let gone = lone.run(LOG, 0, |trans, pool, dir| {
        change::remove(trans, pool, dir, name)
    });
    assert_eq!(gone.ok(), model.remove(name).map(|old| old.0));
}

/// One directory; how often there was no space.
fn run(operations: &mut Operations, world: &World, seed: u64, forms: &mut BTreeSet<Form>) -> u64 {
    let lone = LoneInode::with_little(world.shape, world.change, world.blocks);
    let mut harness = Harness::of(lone);
    harness.pool.scattered = world.scattered;
    let claim = da_enter(harness.journal.geometry(), WhichFork::Data);
    let mut random = Random::new(seed, world.longest);
    let (mut growing, mut full) = (true, 0);
    let end = operations.done + operations.of_a_world(MOST, WORLDS.len() as u64);
    while operations.done < end {
        let count = 1 + random.choices.below(24) as u64;
        let (lone, model) = harness.parts();
        let mut changing = Changing {
            model,
            random: &mut random,
            growing,
        };
        let done = lone.run(LOG, count * claim, |trans, pool, dir| {
            changing.some(trans, pool, dir, count)
        });
        match done {
            Ok(()) => operations.did(count),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                assert!((harness.pool.left() as u64) < count * claim);
                full += 1;
                // What is there goes without any space.
                match random.known(&harness.model) {
                    Some(name) if !growing || !squeeze(&mut harness, &mut random) => {
                        remove(&mut harness, &name);
                    }
                    _ => {}
                }
                operations.did(1);
                growing &= random.choices.below(400) != 0;
            }
        }
        let free = harness.journal.counters().free_blocks;
        assert_eq!(free, harness.pool.left() as u64);
        let names = harness.model.len();
        growing = if growing {
            names < world.names
        } else {
            names <= 2
        };
        forms.insert(harness.form());
        if operations.is_due(20_000) {
            harness.check();
        }
    }
    harness.check();
    while let Some(name) = random.known(&harness.model) {
        remove(&mut harness, &name);
        operations.did(1);
    }
    harness.check();
    assert_eq!(harness.dir().core.nblocks, 0);
    full
}

#[test]
fn any_number_of_names_are_as_a_map_has_them() {
    let mut operations = Operations::of("directory", 20_000);
    let mut forms = BTreeSet::new();
    let mut full = 0;
    for (seed, world) in (0..).zip(WORLDS.iter().cycle()) {
        if !operations.are_left() {
            break;
        }
        full += run(&mut operations, world, seed, &mut forms);
    }
    operations.tell();
    println!("directory: {forms:?}, no space {full} times");
    assert!(
        forms.contains(&Form::Node(1)) && full > 0,
        "{forms:?}, {full}"
    );
}
