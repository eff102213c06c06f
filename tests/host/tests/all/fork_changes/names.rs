// SPDX-License-Identifier: GPL-2.0

//! Directories and attributes on real images, with blocks out of the free space.

use crate::fork_changes::{
    times,
    world::{check_all, files, open, run},
};
use std::collections::{BTreeMap, BTreeSet};
use xfs_host::{
    fixture::{named, tree::Size, Image, Shape},
    journal::SyncJournal,
    libxfs::{
        alloc::Request,
        attr::{
            self,
            change::{AttrChange, Mode, NameValue, Stage},
        },
        bmap::{ForkMut, MapSpace},
        dir::{
            self,
            change::{self, NewEntry},
        },
        error::Error,
        extents::{MappedBlock, Mapping, State},
        format::{
            attr::Namespace,
            dir::FileType,
            inode::ForkFormat,
            units::{FileBlock, FsBlock, InodeNumber},
        },
        inode::{Inode, Trust, WhichFork},
        space::{self, Place, Wanted},
        store::Store,
        trans::InodeFields,
    },
    random::Random,
};

/// Blocks that each transaction claims.
const BLOCKS: u64 = 200;

/// Of a name its child does not have to know; and a directory soon has many blocks.
static SMALL_BLOCKS: Shape = Shape {
    name: "block-1k-no-parent",
    args: &["-b", "size=1024", "-n", "parent=0"],
    log: false,
    rt: false,
    filled: Some(Size::Small),
};

fn name(random: &mut Random) -> Vec<u8> {
    let most = if random.once_in(4) { 255 } else { 40 };
    let letters = (1..random.below(most) + 1).map(|_| b'a' + random.below(26) as u8);
    // None that the image has.
    [b'Z'].into_iter().chain(letters).collect()
}

/// Gives a file every other block behind that of an inode, so that what grows there falls apart.
fn comb(journal: &SyncJournal, file: &mut Option<Box<Inode>>, inode: InodeNumber) {
    let geo = journal.geometry();
    let (ag, inode) = geo.split_inode(inode).unwrap();
    let home = geo.fs_block(ag, geo.inode_block(inode).0).unwrap();
    for first in (0..600).step_by(50) {
        run(journal, &mut [file], BLOCKS, |trans, deferred, ids| {
            for n in first..first + 50 {
                let target = FsBlock(home.0 + 2 * n);
                let wanted = Wanted::data(target, Place::Near, Request::new(1, 1));
                let found = space::allocate(trans, deferred, &wanted)?.unwrap();
                ForkMut::new(trans, deferred, ids[0], WhichFork::Data)?.map(&Mapping {
                    offset: FileBlock(10_000 + 2 * n),
                    start: MappedBlock(found.start.0),
                    len: 1,
                    state: State::Normal,
                })?;
            }
            Ok(())
        })
        .unwrap();
    }
}

/// Adds names to the root directory and removes them, up to `most` of them.
fn names(shape: &'static Shape, most: usize, seed: u64) -> BTreeSet<String> {
    let image = Image::small(shape);
    let shape = shape.name;
    let (journal, disk) = open(&image);
    let mut random = Random::new(seed);
    let mut target = files(&journal).pop().map(Box::new);
    let geo = journal.geometry();
    comb(&journal, &mut target, geo.root_inode);
    let root = Inode::read(&journal, geo.root_inode, Trust::Trusted).unwrap();
    let mut root = Some(Box::new(root));
    let mut there = BTreeSet::new();
    let mut forms = BTreeSet::new();
    for goal in [most, most / 3, most, 0] {
        while there.len() != goal {
            let grows = there.len() < goal;
            let adds = match random.once_in(4) {
                true => !grows,
                false => grows,
            };
            let near = there.len().clamp(1, 40) as u32;
            let name = match there.iter().nth(random.below(near) as usize) {
                _ if adds => name(&mut random),
                Some(name) => Vec::clone(name),
                None => continue,
            };
            if adds && there.contains(&name) {
                continue;
            }
            // To remove a name takes no space.
            let claim = if adds { BLOCKS } else { 0 };
            let mut inodes = [&mut root, &mut target];
            run(&journal, &mut inodes, claim, |trans, deferred, ids| {
                let [dir, named] = *ids else { panic!() };
                let mut space = MapSpace { deferred };
                if adds {
                    let entry = NewEntry {
                        name: &name,
                        inode: trans.inode(named)?.number,
                        ftype: FileType::Regular,
                    };
                    change::add(trans, &mut space, dir, &entry)?;
                } else {
                    change::remove(trans, &mut space, dir, &name)?;
                }
                let core = &mut trans.change_inode(named, InodeFields::NONE)?.core;
                core.nlink = if adds { core.nlink + 1 } else { core.nlink - 1 };
                Ok(())
            })
            .unwrap();
            if adds {
                there.insert(name);
            } else {
                there.remove(&name);
            }
            let inode = root.as_ref().unwrap();
            forms.insert(format!("{:?}", inode.core.format));
        }
        for name in &there {
            let found = dir::lookup(&journal, root.as_ref().unwrap(), name).unwrap();
            assert_eq!(found.inode, target.as_ref().unwrap().number);
        }
        check_all(&journal, &format!("{shape}, {goal} names"));
    }
    image.check_changed(&disk.snapshot());
    forms
}

#[test]
fn directories_take_their_blocks_from_the_free_space() {
    let mut forms = BTreeSet::new();
    let shapes = [
        (named("no-parent"), 1800),
        (named("bare"), 300),
        (&SMALL_BLOCKS, 500),
    ];
    for (seed, (shape, most)) in shapes.into_iter().enumerate() {
        forms.extend(names(shape, times(most) as usize, seed as u64));
    }
    assert_eq!(forms.len(), 3, "{forms:?}");
}

/// Sets attributes of a file and removes them, of up to `most` names.
fn attributes(shape: &'static str, most: u32, seed: u64) -> BTreeSet<String> {
    let image = Image::small(named(shape));
    let (journal, disk) = open(&image);
    let mut random = Random::new(seed);
    let mut file = files(&journal).pop().map(Box::new);
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut forms = BTreeSet::new();
    for step in 0..times(250) {
        let name = format!("{}{}", "n".repeat(step as usize % 60), random.below(most));
        let name = name.into_bytes();
        let len = match random.below(8) {
            0 => random.below(65_536),
            1..=2 => random.below(5_000),
            _ => random.below(200),
        };
        let value: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let removes = model.contains_key(&name) && random.once_in(3);
        let change = AttrChange {
            mode: if removes { Mode::Remove } else { Mode::Set },
            namespace: Namespace::User,
            attr: NameValue {
                name: &name,
                value: &value,
            },
            renamed: None,
            logged: random.once_in(2),
        };
        let mut stage = Stage::Start;
        while stage != Stage::Done {
            let mut inodes = [&mut file];
            let next = run(&journal, &mut inodes, BLOCKS, |trans, deferred, ids| {
                let mut space = MapSpace { deferred };
                attr::change::step(trans, &mut space, ids[0], &change, stage)
            });
            stage = next.unwrap();
        }
        if removes {
            model.remove(&name);
        } else {
            model.insert(name, value);
        }
        let inode = file.as_ref().unwrap();
        forms.insert(format!("{:?}", inode.core.aformat));
        if step % 40 == 39 {
            check_all(&journal, &format!("{shape}, step {step}"));
            let mut read = Inode::read(&journal, inode.number, Trust::Trusted).unwrap();
            read.load_extents(&journal, WhichFork::Attr).unwrap();
            let mut found = vec![0; 65_536];
            for (name, value) in &model {
                let len = attr::get(&journal, &read, Namespace::User, name, &mut found);
                assert!(found[..len.unwrap()] == value[..]);
            }
        }
    }
    let keys: Vec<_> = model.keys().cloned().collect();
    for name in keys {
        let change = AttrChange {
            mode: Mode::Remove,
            namespace: Namespace::User,
            attr: NameValue {
                name: &name,
                value: &[],
            },
            renamed: None,
            logged: false,
        };
        let mut stage = Stage::Start;
        while stage != Stage::Done {
            let mut inodes = [&mut file];
            let next = run(&journal, &mut inodes, BLOCKS, |trans, deferred, ids| {
                let mut space = MapSpace { deferred };
                attr::change::step(trans, &mut space, ids[0], &change, stage)
            });
            stage = next.unwrap();
        }
    }
    let read = Inode::read(&journal, file.as_ref().unwrap().number, Trust::Trusted).unwrap();
    assert_eq!(
        attr::get(&journal, &read, Namespace::User, b"n0", &mut []),
        Err(Error::NoAttribute)
    );
    check_all(&journal, shape);
    image.check_changed(&disk.snapshot());
    forms
}

#[test]
fn attributes_take_their_blocks_from_the_free_space() {
    let mut forms = BTreeSet::new();
    for (seed, shape) in ["default", "block-1k", "no-rmapbt", "many-groups"]
        .into_iter()
        .enumerate()
    {
        forms.extend(attributes(shape, 60, seed as u64));
    }
    assert!(
        forms.contains(&format!("{:?}", ForkFormat::Btree)),
        "{forms:?}"
    );
}
