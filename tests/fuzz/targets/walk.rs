// SPDX-License-Identifier: GPL-2.0

//! A walk of an image with a few hostile fields ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xfs_fuzz::{bases, seeds, walk_hostile, SHAPES};
use xfs_host::mutation::{Bytes, Choices, Mutable};

fuzz_target!(init: seeds::choices(), |input: &[u8]| {
    let mut choices = Bytes(input);
    let shape = choices.below(SHAPES.len());
    let mutations = 1 + choices.below(4);
    bases().with(|bases| {
        let base = &bases[shape];
        let mut disks = Mutable::new(&base.disks);
        for _ in 0..mutations {
            base.catalogue
                .mutate(&mut choices, &mut disks)
                .expect("an image can be read");
        }
        walk_hostile(base, disks.disks());
    });
});
