// SPDX-License-Identifier: GPL-2.0

//! The check of a whole file system, on images of every shape.

use kernel::alloc::faults::FailAfter;
use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::ImageStore,
    libxfs::{
        check::{check, Finding},
        error::{Error, Result},
    },
    mutation::{Catalogue, Mutable, Seeded},
    walk::walk,
};

/// All that the check finds.
fn findings(store: &ImageStore) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    check(store, &mut |finding| {
        found.push(*finding);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn nothing_is_wrong_with_what_mkfs_made() {
    for shape in SHAPES {
        for image in [Image::small(shape), Image::of(shape)] {
            let store = ImageStore::open(image.disks()).unwrap();
            let found = findings(&store).unwrap();
            let lines: Vec<String> = found.iter().map(|f| f.to_string()).collect();
            assert!(lines.is_empty(), "{}:\n{}", shape.name, lines.join("\n"));
        }
    }
}

#[test]
fn a_check_that_has_no_memory_says_so() {
    let image = Image::small(named("rt-groups"));
    let store = ImageStore::open(image.disks()).unwrap();
    let mut allowed = 0;
    loop {
        let _fail = FailAfter::new(allowed);
        match findings(&store) {
            Ok(found) => {
                assert!(found.is_empty());
                break;
            }
            Err(error) => assert_eq!(error, Error::NoMemory),
        }
        allowed += 1 + allowed / 10;
    }
    assert!(allowed > 100, "only {allowed} allocations");
}

#[test]
fn whoever_gets_the_findings_can_stop_the_check() {
    let image = Image::small(named("default"));
    let disks = image.disks();
    let store = ImageStore::open(disks.clone()).unwrap();
    let catalogue = Catalogue::of_walk(&store, walk).unwrap();
    let mut stopped = 0;
    for seed in 0..20 {
        let mut changed = Mutable::new(&disks);
        catalogue.mutate(&mut Seeded(seed), &mut changed).unwrap();
        let Ok(store) = ImageStore::open(changed.disks()) else {
            continue;
        };
        let mut found = 0;
        let done = check(&store, &mut |_| {
            found += 1;
            Err(Error::Interrupted)
        });
        assert_eq!(done.is_err(), found == 1, "{found} findings");
        stopped += found;
    }
    assert!(stopped > 5, "of 20 changes {stopped} were found");
}
