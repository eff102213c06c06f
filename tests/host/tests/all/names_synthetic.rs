// SPDX-License-Identifier: GPL-2.0

//! Names in shapes that no populated image has: deep trees, colliding hashes over many leaves,
//! blocks in pieces; and trees that lie about themselves.

use std::collections::{BTreeMap, BTreeSet};
use xfs_host::{
    fixture::names::{same_hash, Builder, Name, Plan},
    image::ImageStore,
    libxfs::{
        attr::{self, Cursor, Listing},
        dir,
        error::{Corruption, Error, Place},
        format::{
            attr::{AttrFlags, Namespace},
            dahash::NameHash,
            dir::space::DirGeometry,
            fault::Fault,
            units::{FileBlock, InodeNumber},
        },
        inode::Inode,
        store::{Device, Store},
    },
    mutation::{Choices, Seeded},
};

const SMALL: Plan = Plan {
    per_leaf: 3,
    fanout: 4,
    scattered: false,
    leaf_form: false,
};

fn list(store: &ImageStore, dir: &Inode) -> Vec<Name> {
    let mut names = Vec::new();
    let mut position = 0;
    dir::readdir(
        store,
        || Ok(dir),
        &mut position,
        4096,
        |entry| {
            names.push((entry.name.to_vec(), entry.inode));
            true
        },
    )
    .unwrap();
    names
}

fn names(builder: &mut Builder, count: usize) -> Vec<Name> {
    let mut names = BTreeMap::new();
    while names.len() < count {
        let number = builder.choices.below(1 << 30);
        let len = builder.choices.below(60);
        let mut name = format!("{number:x}").into_bytes();
        name.resize(name.len() + len, b'.');
        let inode = builder.some_inode();
        // A few of the same hash.
        let family = b"colliding name";
        names.insert(same_hash(family, builder.choices.below(64)), inode);
        names.insert(name, inode);
    }
    names.into_iter().collect()
}

fn check_dir(shape: &str, seed: u64, count: usize, plan: Plan) {
    let mut builder = Builder::new(shape, seed);
    let names = names(&mut builder, count);
    let size = builder.build_dir(&names, plan);
    let store = builder.store();
    let dir = builder.directory(&store, size);
    for (name, inode) in &names {
        let found = dir::lookup(&store, &dir, name);
        assert_eq!(found.map(|f| f.inode), Ok(*inode), "{shape} {plan:?}");
    }
    for i in 0..200 {
        let absent = same_hash(b"colliding name", 64 + i);
        assert_eq!(dir::lookup(&store, &dir, &absent), Err(Error::NotFound));
        let absent = format!("absent {i}");
        let found = dir::lookup(&store, &dir, absent.as_bytes());
        assert_eq!(found, Err(Error::NotFound));
    }
    let listed = list(&store, &dir);
    assert_eq!(listed[0], (b".".to_vec(), dir.number));
    assert_eq!(listed[1], (b"..".to_vec(), dir.number));
    assert_eq!(listed[2..], names);
}

#[test]
fn names_are_found_under_nodes_of_every_height() {
    for (count, per_leaf, fanout) in [(1, 9, 2), (9, 5, 4), (40, 5, 4), (120, 2, 4), (240, 1, 5)] {
        let plan = Plan {
            per_leaf,
            fanout,
            ..SMALL
        };
        check_dir("empty", count as u64, count, plan);
    }
}

#[test]
fn directory_blocks_may_lie_in_pieces() {
    for leaf_form in [false, true] {
        let plan = Plan {
            per_leaf: if leaf_form { 5_000 } else { 700 },
            fanout: 500,
            scattered: true,
            leaf_form,
        };
        check_dir("block-1k-dir-64k", 7, 2_500, plan);
    }
}

#[test]
fn the_leaf_form_is_searched_too() {
    let plan = Plan {
        per_leaf: 400,
        leaf_form: true,
        ..SMALL
    };
    check_dir("empty", 3, 300, plan);
}

/// What a damaged tree must answer: no panic and no loop, and the fault's name.
fn fault(error: Error) -> Fault {
    match error {
        Error::Corrupt(Corruption { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

/// A directory in which `wanted` is the highest hash of several leaves.
fn colliding() -> (Builder, u64, Vec<u8>) {
    let mut builder = Builder::new("empty", 1);
    let family = b"colliding name";
    let inode = builder.some_inode();
    let names: Vec<Name> = (0..40).map(|i| (same_hash(family, i), inode)).collect();
    let size = builder.build_dir(&names, SMALL);
    (builder, size, same_hash(family, 99))
}

#[test]
fn leaves_that_follow_each_other_in_circles_are_noticed() {
    let root = DirGeometry::new(Builder::new("empty", 0).store().geometry()).leaf_start();
    for (from, to) in [(3, 3), (4, 3), (9, 2), (12, 2)] {
        let (mut builder, size, absent) = colliding();
        let at = FileBlock(root.0 + from);
        let mut leaf = builder.read(at);
        leaf[..4].copy_from_slice(&((root.0 + to) as u32).to_be_bytes());
        builder.write(at, leaf, 12);
        let store = builder.store();
        store.set_budget(500);
        let dir = builder.directory(&store, size);
        let error = dir::lookup(&store, &dir, &absent).unwrap_err();
        assert_eq!(fault(error).field, "forw");
    }
}

#[test]
fn nodes_that_do_not_fit_their_place_are_refused() {
    let root = DirGeometry::new(Builder::new("empty", 0).store().geometry()).leaf_start();
    // Where, the offset in the block, what to put there, and the field that the fault names.
    let child = |at: u64| ((root.0 + at) as u32).to_be_bytes().to_vec();
    let cases: [(u64, usize, Vec<u8>, &str); 9] = [
        (0, 68, child(0), "before"),
        (0, 68, child(1), "level"),
        (0, 68, child(500), "block map"),
        (0, 68, vec![0xff; 4], "block map"),
        (0, 68, vec![0; 4], "magic"),
        (0, 58, vec![0, 5], "level"),
        (0, 58, vec![0, 1], "level"),
        (0, 56, vec![0, 0], "count"),
        (0, 56, vec![0xff, 0xff], "count"),
    ];
    for (block, at, value, field) in cases {
        let (mut builder, size, _) = colliding();
        let place = FileBlock(root.0 + block);
        let mut bytes = builder.read(place);
        bytes[at..at + value.len()].copy_from_slice(&value);
        builder.write(place, bytes, 12);
        let store = builder.store();
        store.set_budget(500);
        let dir = builder.directory(&store, size);
        let error = dir::lookup(&store, &dir, b".").unwrap_err();
        assert_eq!(fault(error).field, field, "{at} {value:?}");
    }
}

#[test]
fn blocks_of_another_inode_are_refused() {
    let root = DirGeometry::new(Builder::new("empty", 0).store().geometry()).leaf_start();
    for (place, at, crc) in [
        (FileBlock(0), 40, 4),
        (root, 48, 12),
        (FileBlock(root.0 + 1), 48, 12),
    ] {
        let (mut builder, size, _) = colliding();
        let mut bytes = builder.read(place);
        bytes[at + 7] ^= 1;
        builder.write(place, bytes, crc);
        let store = builder.store();
        let dir = builder.directory(&store, size);
        let error = dir::lookup(&store, &dir, b".").unwrap_err();
        assert_eq!(fault(error).field, "owner");
        if place == FileBlock(0) {
            let error = dir::readdir(&store, || Ok(&dir), &mut 0, 4096, |_| true).unwrap_err();
            assert_eq!(fault(error).field, "owner");
        }
    }
}

#[test]
fn a_damaged_block_leaves_the_others_readable() {
    let mut builder = Builder::new("empty", 5);
    let names = names(&mut builder, 600);
    let plan = Plan {
        per_leaf: 100,
        ..SMALL
    };
    let size = builder.build_dir(&names, plan);
    let damaged = FileBlock(2);
    let mut bytes = builder.read(damaged);
    let place = builder.placed[&damaged][0].0;
    bytes[100] ^= 0x40;
    builder.overlay.write_at(place.0 * 512, &bytes).unwrap();
    let store = builder.store();
    let dir = builder.directory(&store, size);

    let mut listed = BTreeSet::new();
    let mut position = 0;
    let mut take = |position: &mut u64| {
        dir::readdir(
            &store,
            || Ok(&dir),
            position,
            4096,
            |entry| {
                listed.insert(entry.name.to_vec());
                true
            },
        )
    };
    let error = take(&mut position).unwrap_err();
    assert!(error.is_checksum());
    assert_eq!(position, 2 * 4096 / 8);
    assert!(take(&mut position).unwrap_err().is_checksum());
    // Whoever seeks past it goes on.
    position = 3 * 4096 / 8;
    take(&mut position).unwrap();
    let mut lost = 0;
    for (name, inode) in &names {
        match dir::lookup(&store, &dir, name) {
            Ok(found) => {
                assert_eq!(found.inode, *inode);
            }
            // Names of one hash may lie on either side of the damage.
            Err(error) => {
                assert!(error.is_checksum());
                lost += usize::from(!listed.contains(name));
            }
        }
    }
    assert_eq!(listed.len() + lost, names.len() + 2);
    assert!(lost > 10);
}

type Attr = (AttrFlags, Vec<u8>, Vec<u8>);

fn some_attrs(choices: &mut Seeded, count: usize) -> Vec<Attr> {
    let mut attrs = BTreeMap::new();
    for i in 0..count {
        let spaces = [Namespace::User, Namespace::Root, Namespace::Secure];
        let space = spaces[choices.below(3)];
        let name = match choices.below(2) {
            0 => same_hash(b"colliding name", choices.below(128)),
            _ => format!("attr {i}").into_bytes(),
        };
        let value = vec![i as u8; choices.below(20)];
        attrs.insert((space, name), value);
    }
    attrs
        .into_iter()
        .map(|((space, name), value)| (AttrFlags(space as u8), name, value))
        .collect()
}

fn list_attrs(store: &ImageStore, inode: &Inode, step: usize, forget: bool) -> Vec<Attr> {
    let how = Listing {
        buffer_size: 100,
        incomplete: false,
    };
    let mut all = Vec::new();
    let mut cursor = Cursor::default();
    loop {
        let before = all.len();
        let mut declined = false;
        attr::list(store, inode, how, &mut cursor, |attr| {
            if all.len() == before + step {
                declined = true;
                return false;
            }
            let namespace = attr.flags.namespace().unwrap();
            all.push((
                AttrFlags(namespace as u8),
                attr.name.to_vec(),
                vec![0; attr.value.length() as usize],
            ));
            true
        })
        .unwrap();
        if !declined {
            break;
        }
        if forget {
            // The hint may be lost, or be anything.
            cursor.block = (all.len() as u32).wrapping_mul(0x9e37_79b9) >> (all.len() % 33).min(31);
        }
    }
    for (flags, name, value) in &mut all {
        let got = attr::get(store, inode, flags.namespace().unwrap(), name, value);
        assert_eq!(got, Ok(value.len()));
    }
    all
}

#[test]
fn attributes_of_one_hash_over_many_leaves_are_found_and_listed() {
    for (seed, per_leaf, fanout) in [(1, 1, 5), (2, 2, 3), (3, 7, 4), (4, 20, 30)] {
        let mut builder = Builder::new("empty", seed);
        let attrs = some_attrs(&mut builder.choices, if per_leaf < 3 { 60 } else { 300 });
        let plan = Plan {
            per_leaf,
            fanout,
            ..SMALL
        };
        builder.build_attrs(&attrs, plan);
        let store = builder.store();
        let inode = builder.with_attrs(&store);
        let mut expected = attrs.clone();
        expected.sort_by_key(|(_, name, _)| NameHash::of(name));
        for step in [1, 2, 10, 1000] {
            for forget in [false, true] {
                let listed = list_attrs(&store, &inode, step, forget);
                assert_eq!(listed, expected, "{seed} {step} {forget}");
            }
        }
        for i in 0..128 {
            let name = same_hash(b"colliding name", i);
            for space in [Namespace::User, Namespace::Root, Namespace::Secure] {
                let wanted = attrs
                    .iter()
                    .find(|attr| attr.0 .0 == space as u8 && attr.1 == name)
                    .map(|attr| attr.2.len())
                    .ok_or(Error::NoAttribute);
                assert_eq!(attr::get(&store, &inode, space, &name, &mut []), wanted);
            }
        }
    }
}

#[test]
fn half_made_attributes_are_not_there() {
    let mut builder = Builder::new("empty", 0);
    let half = AttrFlags(Namespace::User as u8 | AttrFlags::INCOMPLETE);
    let whole = AttrFlags(Namespace::User as u8);
    let attrs = [
        (half, b"a".to_vec(), b"1".to_vec()),
        (whole, b"b".to_vec(), b"22".to_vec()),
        (half, b"b".to_vec(), b"333".to_vec()),
    ];
    builder.build_attrs(
        &attrs,
        Plan {
            per_leaf: 1,
            ..SMALL
        },
    );
    let store = builder.store();
    let inode = builder.with_attrs(&store);
    let get = |name| attr::get(&store, &inode, Namespace::User, name, &mut []);
    assert_eq!(get(b"a"), Err(Error::NoAttribute));
    assert_eq!(get(b"b"), Ok(2));
    for (incomplete, expected) in [(false, 1), (true, 3)] {
        let how = Listing {
            buffer_size: 0,
            incomplete,
        };
        let mut count = 0;
        attr::list(&store, &inode, how, &mut Cursor::default(), |_| {
            count += 1;
            true
        })
        .unwrap();
        assert_eq!(count, expected);
    }
}

#[test]
fn attribute_leaves_in_circles_are_noticed() {
    for (from, to) in [(3, 3), (4, 2), (9, 1)] {
        let mut builder = Builder::new("empty", 0);
        let attrs: Vec<Attr> = (0..40)
            .map(|i| {
                let name = same_hash(b"colliding name", i);
                (AttrFlags(0), name, Vec::new())
            })
            .collect();
        builder.build_attrs(&attrs, SMALL);
        let mut leaf = builder.read(FileBlock(from));
        leaf[..4].copy_from_slice(&(to as u32).to_be_bytes());
        builder.write(FileBlock(from), leaf, 12);
        let store = builder.store();
        store.set_budget(500);
        let inode = builder.with_attrs(&store);
        let absent = same_hash(b"colliding name", 99);
        let error = attr::get(&store, &inode, Namespace::User, &absent, &mut []).unwrap_err();
        assert_eq!(fault(error).field, "forw");
        let how = Listing {
            buffer_size: 0,
            incomplete: false,
        };
        let error = attr::list(&store, &inode, how, &mut Cursor::default(), |_| true).unwrap_err();
        assert_eq!(fault(error).field, "forw");
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut choices = Seeded(len as u64);
    (0..len).map(|_| choices.word() as u8).collect()
}

#[test]
fn long_values_are_read_whatever_pieces_they_lie_in() {
    for shape in ["block-1k-dir-64k", "empty", "block-64k"] {
        for len in [
            1, 968, 969, 4040, 4041, 30_000, 65_480, 65_481, 65_535, 65_536,
        ] {
            for scattered in [false, true] {
                let mut builder = Builder::new(shape, 0);
                let value = noise(len);
                let plan = Plan { scattered, ..SMALL };
                let flags = AttrFlags(Namespace::Root as u8);
                builder.build_remote(flags, b"long", &value, FileBlock(7), plan);
                let store = builder.store();
                let inode = builder.with_attrs(&store);
                let get =
                    |buffer: &mut [u8]| attr::get(&store, &inode, Namespace::Root, b"long", buffer);
                assert_eq!(get(&mut []), Ok(len));
                let mut buffer = vec![0; len + 3];
                assert_eq!(get(&mut buffer), Ok(len));
                assert!(buffer[..len] == value, "{shape} {len} {scattered}");
                if len > 1 {
                    assert_eq!(get(&mut buffer[..len - 1]), Err(Error::Range));
                }
            }
        }
    }
}

#[test]
fn parts_of_another_value_are_refused() {
    let value = noise(20_000);
    // Offset in the block's header, what to put there, and the field that the fault names.
    let cases: [(usize, [u8; 4], &str); 3] = [
        (36, [0, 0, 0, 1], "owner"),
        (4, [0, 0, 0, 0], "offset"),
        (8, [0, 0, 0, 9], "bytes"),
    ];
    for (at, wrong, field) in cases {
        let mut builder = Builder::new("empty", 0);
        builder.build_remote(AttrFlags(0), b"long", &value, FileBlock(1), SMALL);
        let place = FileBlock(3);
        let mut bytes = builder.read(place);
        bytes[at..at + 4].copy_from_slice(&wrong);
        builder.write(place, bytes, 12);
        let store = builder.store();
        let inode = builder.with_attrs(&store);
        let mut buffer = vec![0; 20_000];
        let get = attr::get(&store, &inode, Namespace::User, b"long", &mut buffer);
        let Err(Error::Corrupt(corruption)) = get else {
            panic!("{get:?}");
        };
        assert_eq!(corruption.fault.field, field);
        let here = builder.placed[&place][0].0;
        assert_eq!(corruption.place, Place::Block(Device::Data, here));
    }
    let mut builder = Builder::new("empty", 0);
    builder.build_remote(AttrFlags(0), b"long", &value, FileBlock(1), SMALL);
    builder.unmap(FileBlock(4));
    let store = builder.store();
    let inode = builder.with_attrs(&store);
    let mut buffer = vec![0; 20_000];
    let get = attr::get(&store, &inode, Namespace::User, b"long", &mut buffer);
    assert_eq!(fault(get.unwrap_err()).field, "block map");
}

/// Changes bytes of every block at random, sets the checksums right, and walks.
#[test]
fn no_change_of_a_block_makes_a_walk_panic_or_loop() {
    let mut choices = Seeded(11);
    for round in 0..300u64 {
        let mut builder = Builder::new("empty", round % 3);
        let names = names(&mut builder, 100);
        let size = builder.build_dir(&names, SMALL);
        let places: Vec<_> = builder.placed.keys().copied().collect();
        for _ in 0..1 + choices.below(3) {
            let place = places[choices.below(places.len())];
            let mut bytes = builder.read(place);
            let crc = if bytes[..2] == *b"XD" { 4 } else { 12 };
            for _ in 0..1 + choices.below(3) {
                let within = [128, bytes.len()][choices.below(2)];
                let at = choices.below(within);
                bytes[at] = match choices.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ 1 << choices.below(8),
                    _ => choices.word() as u8,
                };
            }
            builder.write(place, bytes, crc);
        }
        let store = builder.store();
        let dir = builder.directory(&store, size);
        for (name, _) in names.iter().step_by(9) {
            store.set_budget(5_000);
            let _ = dir::lookup(&store, &dir, name);
            assert!(!store.exhausted(), "round {round}");
        }
        store.set_budget(5_000);
        let _ = dir::readdir(&store, || Ok(&dir), &mut 0, 4096, |_| true);
        assert!(!store.exhausted(), "round {round}");
        let _: InodeNumber = dir.number;
    }
}
