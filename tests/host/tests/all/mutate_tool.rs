// SPDX-License-Identifier: GPL-2.0

//! The tool that mutates images for other tests.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};
use xfs_host::{
    fixture::{named, Image},
    image::{Disk, FileDisk, ImageStore},
    walk::walk,
};

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mutate"))
        .args(arguments)
        .output()
        .unwrap()
}

fn open(path: &Path) -> FileDisk {
    FileDisk::open(path).unwrap()
}

fn sector(disk: &FileDisk, place: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    disk.read_at(place, &mut bytes).unwrap();
    bytes
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
    let (whole, copied) = (open(&image.data), open(&copy));
    let mut noticed = 0;
    for seed in 0..8 {
        let seed = seed.to_string();
        let done = tool(&["--seed", &seed, "--undo", undo_name, copy_name]);
        assert!(done.status.success(), "{done:?}");
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(said.starts_with(&format!("{seed}: ")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        // Where it says that something was before, something else is now.
        let places: Vec<u64> = fs::read(&undo)
            .unwrap()
            .chunks_exact(1 + 8 + 512)
            .map(|change| u64::from_be_bytes(change[1..9].try_into().unwrap()))
            .collect();
        let differ = |place: &u64| sector(&whole, *place) != sector(&copied, *place);
        assert!(places.iter().any(differ), "{said}: nothing changed");

        let mut disks = image.disks();
        disks.data = Arc::new(open(&copy));
        noticed += u32::from(match ImageStore::open(disks) {
            Ok(store) => !walk(&store).is_clean(),
            Err(_) => true,
        });

        let done = tool(&["--restore", undo_name, copy_name]);
        assert!(done.status.success(), "{done:?}");
        assert!(!places.iter().any(differ), "{said}: not put back");
    }
    // Nor was anything changed elsewhere.
    let mut cmp = Command::new("cmp");
    assert!(cmp.arg(&image.data).arg(&copy).status().unwrap().success());
    assert!(noticed >= 3, "of 8 mutations {noticed} were noticed");
    assert_eq!(tool(&["--seed", "1", copy_name]).status.code(), Some(2));
}
