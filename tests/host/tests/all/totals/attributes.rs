// SPDX-License-Identifier: GPL-2.0

//! Attributes of an inode that gets many, with long values and short ones, until nothing is left, and
//! loses them again.

use super::Operations;
use crate::{
    attr_changes::{Harness, Key, Random},
    lone_inode::LoneInode,
};
use std::collections::{BTreeMap, BTreeSet};
use xfs_host::{
    libxfs::{
        attr::change::{step, AttrChange, Mode, NameValue, Stage},
        error::{Error, Result},
        format::{attr::leaf::local_size, geometry::Geometry},
        inode::WhichFork,
        store::Store,
        trans::{
            space::{add_attr_fork, attr_set_local, attr_set_remote, da_enter},
            LogReservation,
        },
    },
    mutation::{Choices, Seeded},
};

/// Most operations of an inode.
const MOST: u64 = 200_000;

const LOG: LogReservation = LogReservation {
    bytes: 1 << 22,
    count: 3,
    permanent: true,
};

/// Where the inode lives.
struct World {
    shape: &'static str,
    /// Blocks that there are.
    blocks: u64,
    /// Whether they are given one by one, none beside the other.
    scattered: bool,
    /// Attributes that it gets at the most.
    attrs: usize,
}

const WORLDS: &[World] = &[
    World {
        shape: "empty",
        blocks: 4_000,
        scattered: false,
        attrs: 600,
    },
    World {
        shape: "block-1k",
        blocks: 8_000,
        scattered: false,
        attrs: 6_000,
    },
    World {
        shape: "block-1k",
        blocks: 400,
        scattered: true,
        attrs: 3_000,
    },
    World {
        shape: "block-64k",
        blocks: 600,
        scattered: false,
        attrs: 1_000,
    },
];

/// A change that was chosen.
struct Chosen {
    mode: Mode,
    key: Key,
    value: Vec<u8>,
    logged: bool,
    error: Option<Error>,
}

impl Chosen {
    fn change(&self) -> AttrChange<'_> {
        AttrChange {
            mode: self.mode,
            namespace: self.key.0,
            attr: NameValue {
                name: &self.key.1,
                value: &self.value,
            },
            renamed: None,
            logged: self.logged,
        }
    }

    /// What it may take.
    fn claim(&self, geo: &Geometry) -> u64 {
        if self.mode == Mode::Remove {
            return 0;
        }
        let (name, value) = (self.key.1.len() as u8, self.value.len());
        let size = u16::try_from(value).map(|value| local_size(name, value));
        let set = match size {
            Ok(size) if size < geo.block_size / 2 + geo.block_size / 4 => attr_set_local(geo, size),
            _ => {
                // Each block of a value has a header.
                let room = geo.block_size as usize - 56;
                attr_set_remote(geo, value.div_ceil(room) as u64) + value.div_ceil(room) as u64
            }
        };
        set + add_attr_fork(geo) + da_enter(geo, WhichFork::Attr)
    }

    /// Makes it in the model.
    fn note(self, model: &mut BTreeMap<Key, Vec<u8>>) {
        match self.mode {
            Mode::Remove => model.remove(&self.key),
            _ => model.insert(self.key, self.value),
        };
    }
}

/// Chooses a change, with a value that lies beside its name where it is to be `small`.
fn choose(
    model: &BTreeMap<Key, Vec<u8>>,
    random: &mut Random,
    growing: bool,
    small: bool,
) -> Chosen {
    let most = if small { 200 } else { 65_536 };
    let mut value = random.value(most);
    if small {
        value.truncate(200);
    }
    let logged = random.0.below(3) == 0;
    let one_of = |random: &mut Random, modes: [Mode; 2]| modes[random.0.below(2)];
    let (mode, key, error) = match (random.known(model), random.0.below(16)) {
        (Some(key), 0..=2) => (one_of(random, [Mode::Replace, Mode::Set]), key, None),
        (Some(key), 3) => (Mode::Create, key, Some(Error::Exists)),
        (Some(key), choice) if (choice < 7) == growing => (Mode::Remove, key, None),
        _ => {
            let key = random.key();
            match (model.contains_key(&key), random.0.below(8)) {
                (true, _) => (Mode::Set, key, None),
                (false, 0) => {
                    let mode = one_of(random, [Mode::Replace, Mode::Remove]);
                    (mode, key, Some(Error::NoAttribute))
                }
                (false, _) => (one_of(random, [Mode::Create, Mode::Set]), key, None),
            }
        }
    };
    Chosen {
        mode,
        key,
        value,
        logged,
        error,
    }
}

/// The removal of an attribute that is there.
fn removal(key: Key, random: &mut Random) -> Chosen {
    Chosen {
        mode: Mode::Remove,
        key,
        value: Vec::new(),
        logged: random.0.below(2) == 0,
        error: None,
    }
}

/// Small changes, all of one transaction.
fn batch(harness: &mut Harness, random: &mut Random, growing: bool, count: u64) -> Result {
    let (lone, model) = harness.parts();
    let geo = lone.journal.geometry().clone();
    let most = attr_set_local(&geo, geo.block_size) + add_attr_fork(&geo);
    let most = most + da_enter(&geo, WhichFork::Attr);
    lone.run(LOG, count * most, |trans, pool, id| {
        for _ in 0..count {
            let chosen = choose(model, random, growing, true);
            let mut stage = Stage::Start;
            let result = loop {
                match step(trans, pool, id, &chosen.change(), stage) {
                    Ok(Stage::Done) => break Ok(()),
                    Ok(next) => stage = next,
                    Err(error) => break Err(error),
                }
            };
            match result {
                Ok(()) => {
                    assert_eq!(chosen.error, None);
                    chosen.note(model);
                }
                Err(error) => assert_eq!(Some(error), chosen.error),
            }
        }
        Ok(())
    })
}

/// One change, in a transaction for each of its stages.
fn staged(harness: &mut Harness, chosen: Chosen) -> Result {
    let (lone, model) = harness.parts();
    let geo = lone.journal.geometry().clone();
    let whole = chosen.claim(&geo);
    let before = lone.pool.left() as u64;
    let mut stage = Stage::Start;
    while stage != Stage::Done {
        // What it has not taken yet it may take.
        let taken = before.saturating_sub(lone.pool.left() as u64);
        let claim = whole.checked_sub(taken).expect("it took too much");
        let claim = match stage {
            Stage::Start => claim,
            _ => claim.min(lone.pool.left() as u64),
        };
        let result = lone.run(LOG, claim, |trans, pool, id| {
            step(trans, pool, id, &chosen.change(), stage)
        });
        stage = match result {
            Ok(next) => next,
            Err(error) if Some(error) == chosen.error => return Ok(()),
            Err(error) => {
                assert!(stage == Stage::Start, "{stage:?}: {error:?}");
                return Err(error);
            }
        };
    }
    assert_eq!(chosen.error, None);
    chosen.note(model);
    Ok(())
}

/// One inode; how often there was no space.
fn run(
    operations: &mut Operations,
    world: &World,
    seed: u64,
    forms: &mut BTreeSet<&'static str>,
) -> u64 {
    let lone = LoneInode::with_little(world.shape, |_| (), world.blocks);
    let mut harness = Harness::of(lone);
    harness.pool.scattered = world.scattered;
    let mut random = Random(Seeded(seed));
    let (mut growing, mut full) = (true, 0);
    let end = operations.done + operations.of_a_world(MOST, WORLDS.len() as u64);
    while operations.done < end {
        let (result, count) = if random.0.below(4) == 0 {
            let chosen = choose(&harness.model, &mut random, growing, false);
            (staged(&mut harness, chosen), 1)
        } else {
            let count = 1 + random.0.below(40) as u64;
            let result = batch(&mut harness, &mut random, growing, count);
            (result, count)
        };
        match result {
            Ok(()) => operations.did(count),
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                full += 1;
                growing &= random.0.below(40) != 0;
                // What is there goes without any space.
                if let Some(key) = random.known(&harness.model) {
                    staged(&mut harness, removal(key, &mut random)).unwrap();
                    operations.did(1);
                }
            }
        }
        let free = harness.journal.counters().free_blocks;
        assert_eq!(free, harness.pool.left() as u64);
        let attrs = harness.model.len();
        growing = if growing {
            attrs < world.attrs
        } else {
            attrs == 0
        };
        forms.insert(harness.form());
        if operations.is_due(20_000) {
            harness.check();
        }
    }
    harness.check();
    while let Some(key) = random.known(&harness.model) {
        staged(&mut harness, removal(key, &mut random)).unwrap();
        operations.did(1);
    }
    harness.check();
    assert_eq!(harness.inode().core.nblocks, 0);
    full
}

#[test]
fn any_number_of_attributes_are_as_a_map_has_them() {
    let mut operations = Operations::of("attribute", 20_000);
    let mut forms = BTreeSet::new();
    let mut full = 0;
    for (seed, world) in (0..).zip(WORLDS.iter().cycle()) {
        if !operations.are_left() {
            break;
        }
        full += run(&mut operations, world, seed, &mut forms);
    }
    operations.tell();
    println!("attribute: {forms:?}, no space {full} times");
    assert!(forms.len() == 4 && full > 0, "{forms:?}, {full}");
}
