// SPDX-License-Identifier: GPL-2.0

//! Images with hostile fields whose checksums are right: a walk ends, and says so.

use kernel::alloc::faults;
use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};
use xfs_host::{
    fixture::{named, Image},
    image::{Disks, ImageStore},
    libxfs::check::check,
    mutation::{Catalogue, Mutable, Seeded},
    walk::{walk, Report},
};

/// Shapes whose structures are mutated: every kind of structure, small and large blocks.
const SHAPES: [&str; 8] = [
    "default",
    "block-1k",
    "block-64k",
    "dir-64k",
    "bare",
    "rt",
    "rt-groups",
    "inode-2048",
];

/// No small image has a reason to ask for more at once.
const LARGEST_ALLOCATION: usize = 8 << 20;

/// Of so many seeds one is checked as a whole too.
const CHECKED: u64 = 4;

/// Mutated images of each shape.
fn rounds() -> u64 {
    if env::var_os("XFS_RUST_LONG").is_some() {
        20_000
    } else {
        300
    }
}

#[test]
fn a_walk_of_any_mutated_image_ends_without_a_panic() {
    let mut noticed = BTreeMap::<&str, (u64, u64)>::new();
    let images = SHAPES.map(|name| {
        let image = Image::small(named(name));
        let disks = image.disks();
        let store = ImageStore::open(disks.clone()).unwrap();
        let mut clean = Report::default();
        let catalogue = Catalogue::of_walk(&store, |store| clean = walk(store)).unwrap();
        assert!(clean.is_clean(), "{name}:\n{clean}");
        (name, disks, catalogue, store.reads())
    });
    for seed in 0..rounds() {
        for (name, disks, catalogue, reads) in &images {
            let mut changed = Mutable::new(disks);
            let mutation = catalogue
                .mutate(&mut Seeded(seed), &mut changed)
                .unwrap()
                .expect("an image has structures");
            let place = format!("{name} seed {seed}: {mutation}");
            let Ok(store) = ImageStore::open(changed.disks()) else {
                continue;
            };
            // Should the walk panic, this tells where.
            let told = Told(&place);
            store.set_budget(10 * reads + 100_000);
            faults::reset_largest();
            let start = Instant::now();
            let report = walk(&store);
            // The check of the whole ends as well. It is told apart in what it finds elsewhere.
            if !report.is_clean() && seed % CHECKED == 0 {
                check_ends(changed.disks(), reads, &place);
            }
            assert!(!store.exhausted(), "{place}: reads without end");
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{place}: takes too long"
            );
            assert!(
                faults::largest() <= LARGEST_ALLOCATION,
                "{place}: allocates {} bytes at once",
                faults::largest()
            );
            drop(told);
            let (seen, all) = noticed.entry(mutation.structure.layout.name).or_default();
            *all += 1;
            *seen += u64::from(!report.is_clean());
        }
    }
    println!("structure: mutations noticed of those made: {noticed:?}");
}

/// Checks a whole file system, which must not take much more than a walk of the sound one.
fn check_ends(disks: Disks, reads: &u64, place: &str) {
    let store = ImageStore::open(disks).unwrap();
    store.set_budget(10 * reads + 100_000);
    let mut found = 0u64;
    let done = check(&store, &mut |_| {
        found += 1;
        Ok(())
    });
    assert_eq!(done, Ok(()), "{place}");
    assert!(!store.exhausted(), "{place}: reads without end");
    assert!(found < 1_000_000, "{place}: {found} findings");
}

/// Prints what was being done when a panic unwinds.
struct Told<'a>(&'a str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
