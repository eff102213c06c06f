// SPDX-License-Identifier: GPL-2.0

//! Attributes are set, replaced and removed, in all forms that a fork has, with intents and without.

use crate::share_ops::{steps, world::World};
use std::collections::BTreeMap;
use xfs_host::{
    fixture::{named, Shape},
    image::ImageStore,
    journal::SyncJournal,
    libxfs::{
        attr::{self, change::Mode},
        error::Error,
        format::{attr::Namespace, geometry::Features, units::InodeNumber},
        ops::{self, SetAttr},
        store::Store,
    },
    random::Random,
};

const SPACES: [Namespace; 3] = [Namespace::User, Namespace::Root, Namespace::Secure];

type Model = BTreeMap<(InodeNumber, Namespace, Vec<u8>), Vec<u8>>;

fn value(random: &mut Random) -> Vec<u8> {
    let len = match random.below(10) {
        0..=4 => random.below(40),
        5..=6 => random.below(500),
        7..=8 => random.below(5000),
        _ => random.below(65_537),
    };
    let first = random.below(256);
    (0..len).map(|n| (first + n * 7) as u8).collect()
}

fn name(random: &mut Random) -> Vec<u8> {
    let number = random.below(60);
    let len = 1 + (number * 37 % 250) as usize;
    let mut name = format!("{number}").into_bytes();
    name.resize(name.len().max(len), b'n');
    name
}

/// One change, of what comes of it.
fn change(world: &World, model: &mut Model, random: &mut Random, number: InodeNumber) {
    let space = SPACES[random.below(3) as usize];
    let name = name(random);
    let value = value(random);
    let mode = match random.below(9) {
        0..=1 => Mode::Create,
        2 => Mode::Replace,
        3..=5 => Mode::Set,
        _ => Mode::Remove,
    };
    let key = (number, space, name.clone());
    let there = model.contains_key(&key);
    let expected = match mode {
        Mode::Create if there => Some(Error::Exists),
        Mode::Replace | Mode::Remove if !there => Some(Error::NoAttribute),
        _ => None,
    };
    let done = ops::set_attr(
        &world.files(),
        number,
        &SetAttr {
            mode,
            namespace: space,
            name: &name,
            value: &value,
        },
    );
    assert_eq!(done.map(|_| ()).err(), expected, "{mode:?}");
    match (expected, mode) {
        (Some(_), _) => {}
        (None, Mode::Remove) => drop(model.remove(&key)),
        (None, _) => drop(model.insert(key, value)),
    }
}

fn compare(world: &World, model: &Model, numbers: &[InodeNumber]) {
    let mut found = Model::new();
    for &number in numbers {
        let inode = world.inode(number);
        let how = attr::Listing {
            buffer_size: 0,
            incomplete: true,
        };
        let mut names = Vec::new();
        attr::list(
            &world.journal,
            &inode,
            how,
            &mut attr::Cursor::default(),
            |listed| {
                assert!(!listed.flags.is_incomplete());
                names.push((listed.flags.namespace().unwrap(), listed.name.to_vec()));
                true
            },
        )
        .unwrap();
        for (space, name) in names {
            if space == Namespace::Parent {
                continue;
            }
            let mut value = vec![0; 65_536];
            let len = attr::get(&world.journal, &inode, space, &name, &mut value).unwrap();
            value.truncate(len);
            found.insert((number, space, name), value);
        }
    }
    assert!(found == *model, "{} and {}", found.len(), model.len());
}

fn random_attributes(world: &World, seed: u64) {
    let mut random = Random::new(seed);
    let numbers = [
        world.create("a file with attributes", 0o100_644),
        world.create("a folder with attributes", 0o040_755),
        world.create("a link with attributes", 0o120_777),
        world.create("a device with attributes", 0o020_600),
    ];
    let mut model = Model::new();
    for step in 0..steps(300) {
        let number = numbers[random.below(4) as usize];
        change(world, &mut model, &mut random, number);
        if step % 50 == 0 {
            compare(world, &model, &numbers);
        }
    }
    compare(world, &model, &numbers);
    world.check();
    // All of them go, so that forks become small again, and none.
    for ((number, namespace, name), _) in std::mem::take(&mut model) {
        let gone = SetAttr {
            mode: Mode::Remove,
            namespace,
            name: &name,
            value: &[],
        };
        ops::set_attr(&world.files(), number, &gone).unwrap();
    }
    compare(world, &model, &numbers);
    world.repair();
}

#[test]
fn attributes_are_set_and_removed_in_all_forms() {
    let shapes = [
        "empty",
        "block-1k",
        "block-64k",
        "bare",
        "inode-2048",
        "no-parent",
        "many-groups",
    ];
    for (seed, shape) in shapes.into_iter().enumerate() {
        random_attributes(&World::new(named(shape)), seed as u64);
    }
}

/// The file system with a log that may hold changes of attributes.
fn logged(journal: SyncJournal) -> SyncJournal {
    let mut geo = journal.geometry().clone();
    geo.features.log_incompat |= Features::LOGGED_ATTRS;
    let disks = journal.store().disks().clone();
    SyncJournal::new(ImageStore::with_geometry(disks, geo), journal.counters())
}

#[test]
fn attributes_are_set_and_removed_with_intents() {
    for (seed, shape) in ["empty", "block-1k", "no-parent"].into_iter().enumerate() {
        let shape: &'static Shape = named(shape);
        random_attributes(&World::with(shape, logged), 100 + seed as u64);
    }
}

#[test]
fn what_no_attribute_may_be_is_refused() {
    let mut world = World::new(named("empty"));
    let number = world.create("file", 0o100_644);
    let set = |world: &World, namespace, name: &[u8], value: &[u8]| {
        let attr = SetAttr {
            mode: Mode::Set,
            namespace,
            name,
            value,
        };
        ops::set_attr(&world.files(), number, &attr).map(|_| ())
    };
    let user = Namespace::User;
    assert_eq!(set(&world, user, b"", b"v"), Err(Error::Invalid));
    assert_eq!(set(&world, user, b"n\0n", b"v"), Err(Error::Invalid));
    assert_eq!(
        set(&world, user, &[b'n'; 256], b"v"),
        Err(Error::NameTooLong)
    );
    assert_eq!(set(&world, user, b"n", &[0; 65_537]), Err(Error::Invalid));
    assert_eq!(
        set(&world, Namespace::Parent, b"n", b"v"),
        Err(Error::Invalid)
    );
    set(&world, user, &[b'n'; 255], &[1; 65_536]).unwrap();
    world.hide_free_space();
    assert_eq!(set(&world, user, b"n", b"v"), Err(Error::NoSpace));
    world.show_free_space();
    let long = vec![1; 65_536];
    let model = Model::from([((number, user, vec![b'n'; 255]), long)]);
    compare(&world, &model, &[number]);
    world.repair();
}
