// SPDX-License-Identifier: GPL-2.0

//! The check against `xfs_repair -n`, on images with one hostile field whose checksum is right: what
//! the one finds, the other has to.

use std::{
    env,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};
use xfs_host::{
    fixture::{named, Image},
    image::{Disk, ImageStore},
    libxfs::{check::check, store::Device},
    mutation::{Catalogue, Mutable, Mutation, Seeded},
    walk::walk,
};

/// Shapes whose structures are changed: every kind of structure.
const SHAPES: [&str; 10] = [
    "default",
    "block-1k",
    "bare",
    "no-rmapbt",
    "dir-64k",
    "inode-2048",
    "quota",
    "rt",
    "rt-groups",
    "rt-groups-extent-16k",
];

/// Changed images of each shape.
fn rounds() -> std::ops::Range<u64> {
    if let Some(from) = env::var("FROM").ok().and_then(|f| f.parse().ok()) {
        let n: u64 = env::var("N")
            .ok()
            .and_then(|f| f.parse().ok())
            .unwrap_or(100);
        return from..from + n;
    }
    match env::var_os("XFS_RUST_LONG") {
        Some(_) => 0..1_000,
        None => 0..40,
    }
}

/// Copies of an image's devices, to be changed and put back.
struct Copies(Vec<(Device, PathBuf)>);

impl Copies {
    fn of(image: &Image) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let devices = [
            (Device::Data, Some(&image.data)),
            (Device::Realtime, image.rt.as_ref()),
        ];
        let copy = |(device, path): (Device, Option<&PathBuf>)| {
            let copy = dir.join(format!("repaired-{}-{device}", image.shape.name));
            let mut cp = Command::new("cp");
            cp.arg("--sparse=always").arg(path?).arg(&copy);
            assert!(cp.status().unwrap().success());
            Some((device, copy))
        };
        Self(devices.into_iter().filter_map(copy).collect())
    }

    /// Writes what was changed, or what was there before it.
    fn write(&self, changed: &Mutable, original: Option<&dyn Fn(Device, u64) -> [u8; 512]>) {
        for (device, path) in &self.0 {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let changes = changed.changes(*device).into_iter();
            for (offset, bytes) in changes.flat_map(|overlay| overlay.changes()) {
                match original {
                    Some(original) => file.write_all_at(&original(*device, offset), offset),
                    None => file.write_all_at(bytes, offset),
                }
                .unwrap();
            }
        }
    }

    /// Whether `xfs_repair -n` finds something, and what it says.
    fn repair(&self) -> (bool, String) {
        let mut repair = Command::new("xfs_repair");
        repair.arg("-n").arg("-P").arg("-f");
        for (device, path) in &self.0 {
            match device {
                Device::Data => {}
                _ => {
                    repair.arg("-r").arg(path);
                }
            }
        }
        let said = repair.arg(&self.0[0].1).output().unwrap();
        let text = [said.stdout, said.stderr].concat();
        (
            !said.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for (_, path) in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// What the check finds, as lines.
fn findings(changed: &Mutable) -> Vec<String> {
    let store = match ImageStore::open(changed.disks()) {
        Ok(store) => store,
        Err(refused) => return vec![refused.to_string()],
    };
    let mut found = Vec::new();
    check(&store, &mut |finding| {
        found.push(finding.to_string());
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn what_xfs_repair_finds_the_check_finds() {
    let mut agree = 0;
    let mut lenient = Vec::new();
    let mut missed = Vec::new();
    for (index, name) in (0..).zip(SHAPES) {
        let image = Image::small(named(name));
        let disks = image.disks();
        let store = ImageStore::open(disks.clone()).unwrap();
        let catalogue = Catalogue::of_walk(&store, walk).unwrap();
        let copies = Copies::of(&image);
        let original = |device: Device, offset: u64| {
            let mut sector = [0; 512];
            let disk = disks.get(device).unwrap();
            disk.read_at(offset, &mut sector).unwrap();
            sector
        };
        for seed in rounds() {
            let mut changed = Mutable::new(&disks);
            let mutation: Mutation = catalogue
                .mutate(&mut Seeded(seed + 1_000_000 * index), &mut changed)
                .unwrap()
                .expect("an image has structures");
            let ours = findings(&changed);
            copies.write(&changed, None);
            let (theirs, said) = copies.repair();
            copies.write(&changed, Some(&original));
            let place = format!("{name} seed {seed}: {mutation}");
            match (theirs, ours.is_empty()) {
                (true, true) => missed.push((place, said)),
                (false, false) => lenient.push((place, ours)),
                _ => agree += 1,
            }
        }
    }
    for (place, ours) in &lenient {
        println!("OURS {place}\n    {}", ours[0]);
    }
    for (place, said) in &missed {
        println!("MISSED {place}");
        for line in said.lines().filter(|l| {
            !l.contains("Phase")
                && !l.contains("        - ")
                && !l.contains("host filesystem")
                && !l.contains("Repair may fail")
                && !l.contains("No modify")
        }) {
            println!("    {line}");
        }
    }
    println!(
        "{agree} agree, {} only ours, {} missed",
        lenient.len(),
        missed.len()
    );
    assert!(missed.is_empty());
}
