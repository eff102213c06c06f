// SPDX-License-Identifier: GPL-2.0

//! Operations on names, in random order, on real images: afterwards every directory holds what a plain
//! model of it does, and `libxfs/check` and `xfs_repair -n` find nothing.

mod model;

mod world;

use model::Kind;

use world::World;
use xfs_host::{fixture::named, libxfs::error::Error, random::Random};

/// Steps of a test: many in a long run.
fn steps(short: u32) -> u32 {
    if std::env::var_os("XFS_RUST_LONG").is_some() {
        short * 50
    } else {
        short
    }
}

fn random_names(shape: &'static str, seed: u64) {
    let mut world = World::new(named(shape));
    let mut random = Random::new(seed);
    for _ in 0..steps(600) {
        world.step(&mut random);
    }
    world.compare();
    world.check();
}

macro_rules! shapes {
    ($($name:ident: $shape:literal, $seed:literal;)*) => {
        $(
            #[test]
            fn $name() {
                random_names($shape, $seed);
            }
        )*
    };
}

shapes! {
    names_by_default: "empty", 1;
    names_beside_a_population: "default", 2;
    names_in_small_blocks: "block-1k", 3;
    names_in_large_blocks: "block-64k", 4;
    names_in_large_directory_blocks: "block-1k-dir-64k", 5;
    names_without_parent_pointers: "no-parent", 6;
    names_with_nothing_that_is_new: "bare", 7;
    names_in_large_inodes: "inode-2048", 8;
    names_over_many_groups: "many-groups", 9;
    names_with_metadata_directories: "metadir", 10;
}

#[test]
fn a_directory_grows_through_its_forms_and_back() {
    for shape in ["empty", "block-1k", "no-parent"] {
        let mut world = World::new(named(shape));
        let root = world.root();
        let dir = world.create(root, b"dir", Kind::Directory).unwrap();
        let names: Vec<_> = (0..steps(1500).min(15_000))
            .map(|n| format!("a name of some length {n}").into_bytes())
            .collect();
        for name in &names {
            world.create(dir, name, Kind::File).unwrap();
        }
        world.compare();
        assert_eq!(world.remove(root, b"dir"), Err(Error::NotEmpty));
        for name in names.iter().rev() {
            world.remove(dir, name).unwrap();
        }
        world.remove(root, b"dir").unwrap();
        world.free_forgotten();
        world.compare();
        world.check();
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut world = World::new(named("empty"));
    let root = world.root();
    let dir = world.create(root, b"dir", Kind::Directory).unwrap();
    world.create(dir, b"file", Kind::File).unwrap();
    let other = world.create(root, b"other", Kind::Directory).unwrap();
    assert_eq!(world.create(root, b"dir", Kind::File), Err(Error::Exists));
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        assert_eq!(world.create(dir, name, Kind::File), Err(Error::Invalid));
    }
    assert_eq!(world.link(dir, b"hard", other), Err(Error::Invalid));
    assert_eq!(world.remove(root, b"dir"), Err(Error::NotEmpty));
    assert_eq!(world.remove(root, b"nothing"), Err(Error::NotFound));
    let moved = world.rename((root, b"other"), (root, b"dir"), false);
    assert_eq!(moved, Err(Error::NotEmpty));
    let moved = world.rename((dir, b"file"), (root, b"other"), false);
    assert_eq!(moved, Err(Error::Invalid));
    assert_eq!(world.journal.shutdown(), None);
    world.compare();
    world.check();
}

#[test]
fn names_do_not_enter_a_project_but_for_special_files_without_one() {
    let mut world = World::new(named("empty"));
    let root = world.root();
    let dir = world.create(root, b"dir", Kind::Directory).unwrap();
    world.set_project(dir, 42);
    for (name, kind, answer) in [
        (&b"file"[..], Kind::File, Err(Error::CrossDevice)),
        (b"link", Kind::Symlink, Err(Error::CrossDevice)),
        (b"fifo", Kind::Fifo, Ok(())),
        (b"device", Kind::Device, Ok(())),
    ] {
        let inode = world.create(root, name, kind).unwrap();
        assert_eq!(world.link(dir, name, inode), answer, "{kind:?}");
        let moved = world.rename((root, name), (dir, b"moved"), false);
        assert_eq!(moved, answer, "{kind:?}");
        if answer.is_ok() {
            world.remove(dir, b"moved").unwrap();
        }
    }
    // What is exchanged is asked for its project one way.
    let inside = world.create(dir, b"inside", Kind::File).unwrap();
    let answer = world.exchange((root, b"file"), (dir, b"inside"));
    assert_eq!(answer, Err(Error::CrossDevice));
    world.exchange((dir, b"inside"), (root, b"file")).unwrap();
    world.link(dir, b"again", inside).unwrap();
    world.free_forgotten();
    world.compare();
    world.check();
}

#[test]
fn a_full_file_system_still_gives_names_away() {
    let mut world = World::new(named("empty"));
    let root = world.root();
    let dir = world.create(root, b"dir", Kind::Directory).unwrap();
    let names: Vec<_> = (0..800).map(|n| format!("name {n}").into_bytes()).collect();
    for name in &names {
        world.create(dir, name, Kind::File).unwrap();
    }
    world.hide_free_space();
    assert_eq!(
        world.create(dir, b"one more", Kind::File),
        Err(Error::NoSpace)
    );
    for name in &names {
        world.remove(dir, name).unwrap();
    }
    world.remove(root, b"dir").unwrap();
    assert_eq!(world.journal.shutdown(), None);
    world.free_forgotten();
    world.show_free_space();
    world.compare();
    world.check();
}
