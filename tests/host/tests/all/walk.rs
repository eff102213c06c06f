// SPDX-License-Identifier: GPL-2.0

//! Whole images through libxfs.

use xfs_host::{
    fixture::{Image, ASCII_CI, SHAPES},
    image::ImageStore,
    walk::walk,
};

#[test]
fn case_folding_is_refused_in_one_line() {
    let image = Image::of(&ASCII_CI);
    let refused = ImageStore::open(image.disks()).err().unwrap();
    let line = "not supported: names without regard to ASCII case";
    assert_eq!(refused.to_string(), line);
}

#[test]
fn every_shape_is_walked_without_a_fault() {
    for shape in SHAPES {
        for image in [Image::small(shape), Image::of(shape)] {
            let store =
                ImageStore::open(image.disks()).unwrap_or_else(|e| panic!("{}: {e}", shape.name));
            let start = std::time::Instant::now();
            let report = walk(&store);
            println!(
                "{} {:?} {:?} {}",
                shape.name,
                image.size,
                start.elapsed(),
                store.reads()
            );
            assert!(report.is_clean(), "{}:\n{report}", shape.name);
            println!("{report}");
        }
    }
}
