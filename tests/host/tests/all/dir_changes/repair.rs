// SPDX-License-Identifier: GPL-2.0

//! Directories on a real image, which `xfs_repair -n` and our own check read afterwards.
//!
//! Blocks come from a file that gives its own away: so nothing but the two inodes changes.

use super::{
    harness::{Form, BLOCKS, LOG},
    times, Random,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::Command,
    sync::Arc,
};
use xfs_host::{
    fixture::space::{add, Pool},
    image::{Disks, FileDisk, ImageStore},
    inode_image,
    journal::SyncJournal,
    libxfs::{
        check::check,
        dir::{
            self,
            change::{self, NewEntry},
        },
        extents::ExtentMap,
        format::{dir::FileType, units::FileBlock},
        inode::{Fork, Inode, Trust},
        journal::Claim,
        store::Store,
        trans::{HeldInode, Trans},
    },
    mutation::Choices,
};

/// How lines of `xfs_repair -n` start that say nothing is wrong.
const USUAL: [&str; 6] = [
    "Phase ",
    "        - ",
    "No modify flag set",
    "Cannot get host filesystem geometry.",
    "Repair may fail if there is a sector size mismatch between",
    "the image and the host filesystem.",
];

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// An image with a large file, a file to be named and an empty directory.
fn made(folder: &Path, args: &[&str]) -> std::path::PathBuf {
    let _ = fs::remove_dir_all(folder);
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("names")).unwrap();
    fs::write(tree.join("named"), "named").unwrap();
    fs::write(tree.join("giver"), vec![1; 12 << 20]).unwrap();
    let image = folder.join("image");
    File::create(&image).unwrap().set_len(320 << 20).unwrap();
    // Reverse mappings and parent pointers would have to follow.
    run(Command::new("mkfs.xfs")
        .args(["-q", "-m", "rmapbt=0,reflink=0", "-n", "parent=0"])
        .args(["-i", "size=2048"])
        .args(args)
        .arg("-p")
        .arg(&tree)
        .arg(&image));
    image
}

fn find(journal: &SyncJournal, name: &[u8]) -> Inode {
    let geo = journal.geometry();
    let root = Inode::read(journal, geo.root_inode, Trust::Trusted).unwrap();
    let found = dir::lookup(journal, &root, name).unwrap();
    Inode::read(journal, found.inode, Trust::Trusted).unwrap()
}

fn told(image: &Path, what: &str) {
    let store = ImageStore::open(Disks::data(Arc::new(FileDisk::open(image).unwrap()))).unwrap();
    let mut lines = Vec::new();
    check(&store, &mut |finding| {
        lines.push(finding.to_string());
        Ok(())
    })
    .unwrap();
    assert!(lines.is_empty(), "{what}: {}", lines.join("\n"));
    let said = run(Command::new("xfs_repair").arg("-n").arg("-f").arg(image));
    for line in said.lines() {
        let usual = USUAL.iter().any(|start| line.starts_with(start));
        assert!(usual, "{what}: {said}");
    }
}

struct Repaired {
    journal: SyncJournal,
    dir: Option<Box<Inode>>,
    giver: Inode,
    named: Inode,
    pool: Pool,
    names: BTreeMap<Vec<u8>, ()>,
}

impl Repaired {
    fn open(image: &Path) -> Self {
        let disk = Arc::new(FileDisk::open_rw(image).unwrap());
        let journal = SyncJournal::open(Disks::data(disk)).unwrap();
        let giver = find(&journal, b"giver");
        let Fork::Extents(map) = &giver.data else {
            panic!("its map fits the inode");
        };
        let blocks = map.iter().flat_map(|m| m.start.0..m.start.0 + m.len);
        journal.keep_inodes_in_memory();
        Self {
            dir: Some(Box::new(find(&journal, b"names"))),
            named: find(&journal, b"named"),
            pool: Pool::new(blocks),
            giver,
            names: BTreeMap::new(),
            journal,
        }
    }

    fn step(&mut self, name: &[u8], adds: bool) {
        let spare = Box::new(find(&self.journal, b"names"));
        let claim = Claim {
            blocks: BLOCKS,
            ..Claim::default()
        };
        let mut trans = Trans::start(&self.journal, LOG, claim).unwrap();
        let dir = trans.join(self.dir.take().unwrap()).unwrap();
        if adds {
            let entry = NewEntry {
                name,
                inode: self.named.number,
                ftype: FileType::Regular,
            };
            change::add(&mut trans, &mut self.pool, dir, &entry).unwrap();
            self.names.insert(name.to_vec(), ());
        } else {
            change::remove(&mut trans, &mut self.pool, dir, name).unwrap();
            self.names.remove(name);
        }
        let mut committed = trans.commit_keeping().unwrap();
        let held: &mut HeldInode<_> = committed.inodes.as_mut_slice().first_mut().unwrap();
        self.dir = Some(std::mem::replace(held.locked(), spare));
        self.pool.settle();
    }

    /// Writes the inodes as they are now.
    fn write(&mut self) {
        let mut map = ExtentMap::new();
        let first = self.pool.blocks().min().unwrap();
        let mut blocks: Vec<_> = self.pool.blocks().collect();
        blocks.sort_unstable();
        for block in &blocks {
            add(&mut map, FileBlock(block - first), *block).unwrap();
        }
        let last = map.last().unwrap().end().0;
        let giver = &mut self.giver;
        giver.core.nextents = map.count();
        giver.core.nblocks = blocks.len() as u64;
        giver.core.size = last * u64::from(self.journal.geometry().block_size);
        giver.data = Fork::Extents(map);
        self.named.core.nlink = 1 + self.names.len() as u32;
        let dir = self.dir.as_ref().unwrap();
        for inode in [&**dir, &self.giver, &self.named] {
            inode_image::write(self.journal.store(), inode).unwrap();
        }
    }

    fn form(&self) -> Form {
        match &self.dir.as_ref().unwrap().data {
            Fork::Extents(map) if map.count() == 1 => Form::Block,
            Fork::Extents(_) => Form::Leaf,
            _ => Form::Short,
        }
    }
}

#[test]
fn xfs_repair_has_nothing_to_say_of_changed_directories() {
    // Inodes so large that each map fits one.
    let shapes: [(&str, &[&str]); 2] = [("4k", &[]), ("16k", &["-n", "size=16384"])];
    for (name, args) in shapes {
        for seed in 0..times(8) {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("names-{name}"));
            let image = made(&folder, args);
            let mut changed = Repaired::open(&image);
            let mut random = Random::new(seed, 200);
            assert_eq!(changed.form(), Form::Short);
            for (most, adds) in [(7, 16), (30, 15), (150, 14), (1000, 13), (120, 2), (2, 1)] {
                loop {
                    let count = changed.names.len();
                    if adds > 8 && count >= most || adds <= 8 && count <= most {
                        break;
                    }
                    if random.choices.below(16) < adds {
                        let new = random.name();
                        if !changed.names.contains_key(&new) && new != b"." {
                            changed.step(&new, true);
                        }
                    } else if let Some(old) = changed.names.keys().next_back().cloned() {
                        changed.step(&old, false);
                    }
                }
                changed.write();
                told(&image, &format!("{name}, seed {seed}, {most} names"));
            }
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}
