// SPDX-License-Identifier: GPL-2.0

//! The check against `xfs_repair -n`, on images with one hostile field whose checksum is right: what
//! the one finds, the other has to.

use std::{
    env,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
};
use xfs_host::{
    fixture::{named, Image},
    image::ImageStore,
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

/// Changed images of each shape. Which ones can be said with `XFS_RUST_SEEDS=FIRST,COUNT`.
fn seeds() -> std::ops::Range<u64> {
    if let Ok(said) = env::var("XFS_RUST_SEEDS") {
        let (first, count) = said.split_once(',').expect("FIRST,COUNT");
        let first: u64 = first.parse().unwrap();
        return first..first + count.parse::<u64>().unwrap();
    }
    match env::var_os("XFS_RUST_LONG") {
        Some(_) => 0..300,
        None => 0..24,
    }
}

/// Where the check is right and `xfs_repair -n` says nothing: structure, start of the field's name
/// (anything in the block if empty), and why. No structure means any.
const STRICTER: &[(&str, &str, &str)] = &[
    (
        "agfl",
        "",
        "is made anew by each repair, so it is not looked at",
    ),
    (
        "attr remote",
        "",
        "values are read without their blocks' headers",
    ),
    (
        "attr leaf",
        "",
        "blocks are told by their place alone, and free room is found anew",
    ),
    ("da node", "", "the root's siblings are not looked at"),
    ("bnobt", "", "siblings of a root are not looked at"),
    ("cntbt", "", "siblings of a root are not looked at"),
    ("inobt", "", "siblings of a root are not looked at"),
    ("finobt", "", "siblings of a root are not looked at"),
    (
        "rmapbt",
        "",
        "siblings of a root are not looked at, nor all of an owner's offset",
    ),
    ("refcountbt", "", "siblings of a root are not looked at"),
    (
        "superblock",
        "",
        "what the copies do not need for a repair is not looked at",
    ),
    (
        "bmbt",
        "word",
        "bits of a block's number that no device has are cut off",
    ),
    (
        "",
        "lsn",
        "a sequence number of more than 63 bits is taken for one of the past",
    ),
];

/// Where `xfs_repair -n` finds what the check does not, and why.
const LOOSER: &[(&str, &str, &str)] = &[];

fn is_in(table: &[(&str, &str, &str)], mutation: &Mutation) -> bool {
    table.iter().any(|(structure, field, _)| {
        let name = mutation.structure.layout.name;
        (name == *structure || structure.is_empty()) && mutation.field.starts_with(field)
    })
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

/// What came of the changed images of a shape.
#[derive(Default)]
struct Outcome {
    images: u32,
    both: u32,
    /// Those that differ and are not in the tables, with what the one that found something says.
    only_check: Vec<String>,
    only_repair: Vec<String>,
}

fn compare(index: u64, name: &str) -> Outcome {
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
    let mut outcome = Outcome::default();
    for seed in seeds() {
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
        outcome.images += 1;
        outcome.both += u32::from(theirs && !ours.is_empty());
        if theirs && ours.is_empty() && !is_in(LOOSER, &mutation) {
            outcome.only_repair.push(format!("{place}\n{said}"));
        }
        if !theirs && !ours.is_empty() && !is_in(STRICTER, &mutation) {
            outcome.only_check.push(format!("{place}\n  {}", ours[0]));
        }
    }
    outcome
}

#[test]
fn what_xfs_repair_finds_the_check_finds() {
    let shapes: Vec<(u64, &str)> = (0..).zip(SHAPES).collect();
    let mut outcomes = Vec::new();
    thread::scope(|scope| {
        let halves = shapes.chunks(SHAPES.len().div_ceil(2));
        let runs: Vec<_> = halves
            .map(|half| {
                scope.spawn(|| {
                    half.iter()
                        .map(|(index, name)| compare(*index, name))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        outcomes.extend(runs.into_iter().flat_map(|run| run.join().unwrap()));
    });
    let images: u32 = outcomes.iter().map(|o| o.images).sum();
    let both: u32 = outcomes.iter().map(|o| o.both).sum();
    println!("of {images} changed images {both} are found bad by both");
    let lines = |of: fn(&Outcome) -> &Vec<String>| -> Vec<String> {
        outcomes.iter().flat_map(|o| of(o).clone()).collect()
    };
    let (only_check, only_repair) = (lines(|o| &o.only_check), lines(|o| &o.only_repair));
    for line in &only_repair {
        println!("xfs_repair alone: {line}");
    }
    for line in &only_check {
        println!("the check alone: {line}");
    }
    // Else nothing would be shown of either.
    assert!(both > images / 4, "{both} of {images}");
    assert!(only_repair.is_empty() && only_check.is_empty());
}
