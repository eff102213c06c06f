// SPDX-License-Identifier: GPL-2.0

//! The images that all other tests read.

use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::Disk,
    image::Overlay,
};

#[test]
fn every_shape_is_made_filled_and_clean() {
    for shape in SHAPES {
        let start = std::time::Instant::now();
        for image in [Image::of(shape), Image::small(shape)] {
            let magic = image.db(&["sb 0", "p magicnum"]);
            assert_eq!(magic.trim(), "magicnum = 0x58465342", "{}", shape.name);
        }
        println!("{}: {:?}", shape.name, start.elapsed());
    }
}

#[test]
fn an_overlay_changes_what_is_read_and_nothing_else() {
    let image = Image::of(named("empty"));
    let base = image.disks().data;
    let mut overlay = Overlay::new(base.clone());
    let mut bytes = vec![0; 3000];
    overlay.write_at(510, &[0xa5; 1030]).unwrap();
    overlay.read_at(1, &mut bytes).unwrap();
    let mut expected = vec![0; 3000];
    base.read_at(1, &mut expected).unwrap();
    expected[509..509 + 1030].fill(0xa5);
    assert_eq!(bytes, expected);
    assert!(overlay.write_at(base.size() - 1, &[1, 2]).is_err());
    assert_eq!(overlay.changes().count(), 4);
}
