// SPDX-License-Identifier: GPL-2.0

//! Whichever allocation fails, the walk ends with `NoMemory`: no panic, and nothing that is taken
//! for corruption.

use kernel::alloc::faults::{self, FailAfter};
use xfs_host::{
    fixture::{named, Image},
    image::ImageStore,
    libxfs::error::Error,
    walk::walk,
};

/// Failures that are tried for each image, spread over all allocations.
const TRIES: u64 = 300;

#[test]
fn a_failing_allocation_is_no_memory_and_nothing_else() {
    for name in ["default", "block-1k", "bare", "rt", "rt-groups"] {
        let image = Image::small(named(name));
        let before = faults::count();
        assert!(walk(&ImageStore::open(image.disks()).unwrap()).is_clean());
        let all = faults::count() - before;
        assert!(all > 500, "{name}: {all} allocations");
        // The first ones one by one, then some of the rest.
        let rest = (0..TRIES).map(|i| 50 + i * (all - 50) / TRIES);
        for allowed in (0..50).chain(rest) {
            let store = ImageStore::open(image.disks()).unwrap();
            let failing = FailAfter::new(allowed);
            let report = walk(&store);
            drop(failing);
            let place = format!("{name}, allocation {allowed} of {all}");
            assert_eq!(report.stopped, Some(Error::NoMemory), "{place}:\n{report}");
            assert!(report.errors.is_empty(), "{place}:\n{report}");
        }
    }
}
