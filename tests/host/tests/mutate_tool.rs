// SPDX-License-Identifier: GPL-2.0

//! The tool that mutates images for other tests.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use xfs_host::{
    fixture::{named, Image},
    image::ImageStore,
    walk::walk,
};

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mutate"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn what_it_changes_it_puts_back() {
    let image = Image::small(named("default"));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (copy, undo) = (dir.join("mutated"), dir.join("undo"));
    let (copy_name, undo_name) = (copy.to_str().unwrap(), undo.to_str().unwrap());
    let mut cp = Command::new("cp");
    cp.arg("--sparse=always").arg(&image.data).arg(&copy);
    assert!(cp.status().unwrap().success());
    let whole = fs::read(&copy).unwrap();
    let mut noticed = 0;
    for seed in 0..8 {
        let seed = seed.to_string();
        let done = tool(&["--seed", &seed, "--undo", undo_name, copy_name]);
        assert!(done.status.success(), "{done:?}");
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(said.starts_with(&format!("{seed}: ")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let changed = fs::read(&copy).unwrap();
        assert!(changed != whole, "{said}: nothing changed");

        let mut disks = image.disks();
        disks.data = std::sync::Arc::new(xfs_host::image::FileDisk::open(&copy).unwrap());
        noticed += u32::from(match ImageStore::open(disks) {
            Ok(store) => !walk(&store).is_clean(),
            Err(_) => true,
        });

        let done = tool(&["--restore", undo_name, copy_name]);
        assert!(done.status.success(), "{done:?}");
        assert!(fs::read(&copy).unwrap() == whole, "{said}: not put back");
    }
    assert!(noticed >= 3, "of 8 mutations {noticed} were noticed");
    assert_eq!(tool(&["--seed", "1", copy_name]).status.code(), Some(2));
}
