// SPDX-License-Identifier: GPL-2.0

//! Attributes that are changed: after each stage readers see the old value or the new one, and in
//! the end what a plain map has.

use crate::lone_inode::LoneInode;
use kernel::alloc::faults::FailAfter;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ops::{Deref, DerefMut},
};
use xfs_host::{
    fixture::names::same_hash,
    libxfs::{
        attr::{
            self,
            change::{step, AttrChange, Mode, NameValue, Stage},
            Cursor, Listing,
        },
        error::{Error, Result},
        format::{attr::Namespace, parent::ParentRecord, units::InodeNumber},
        inode::Fork,
        parent,
        trans::LogReservation,
    },
    mutation::{Choices, Seeded},
};

pub const LOG: LogReservation = LogReservation {
    bytes: 100_000,
    count: 3,
    permanent: true,
};

/// Blocks that each transaction may take.
const BLOCKS: u64 = 500;

fn times(long: u64) -> u64 {
    env::var_os("XFS_RUST_LONG").map_or(1, |_| long)
}

pub type Key = (Namespace, Vec<u8>);

pub struct Harness {
    lone: LoneInode,
    pub model: BTreeMap<Key, Vec<u8>>,
}

impl Deref for Harness {
    type Target = LoneInode;

    fn deref(&self) -> &LoneInode {
        &self.lone
    }
}

impl DerefMut for Harness {
    fn deref_mut(&mut self) -> &mut LoneInode {
        &mut self.lone
    }
}

impl Harness {
    fn new(shape: &str) -> Self {
        Self::of(LoneInode::new(shape, |_| ()))
    }

    /// An inode without attributes.
    pub fn of(lone: LoneInode) -> Self {
        Self {
            lone,
            model: BTreeMap::new(),
        }
    }

    /// The inode, and its model.
    pub fn parts(&mut self) -> (&mut LoneInode, &mut BTreeMap<Key, Vec<u8>>) {
        (&mut self.lone, &mut self.model)
    }

    fn copy(&self) -> Self {
        Self {
            lone: self.lone.copy(),
            model: self.model.clone(),
        }
    }

    /// One stage in one transaction.
    fn stage(&mut self, change: &AttrChange<'_>, stage: Stage) -> Result<Stage> {
        self.run(LOG, BLOCKS, |trans, pool, id| {
            step(trans, pool, id, change, stage)
        })
    }

    pub fn get(&self, namespace: Namespace, name: &[u8]) -> Option<Vec<u8>> {
        let mut value = vec![0; 65536];
        match attr::get(&self.journal, self.inode(), namespace, name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                Some(value)
            }
            Err(Error::NoAttribute) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// A whole change; after each stage the old value or the new one is there.
    fn change(
        &mut self,
        mode: Mode,
        namespace: Namespace,
        name: &[u8],
        value: &[u8],
        logged: bool,
    ) -> Result {
        let change = AttrChange {
            mode,
            namespace,
            attr: NameValue { name, value },
            renamed: None,
            logged,
        };
        let key = (namespace, name.to_vec());
        let old = self.model.get(&key).cloned();
        let new = (mode != Mode::Remove).then(|| value.to_vec());
        let mut stage = Stage::Start;
        let mut count = 0;
        loop {
            stage = self.stage(&change, stage)?;
            if stage == Stage::Done {
                break;
            }
            count += 1;
            assert!(count < 12, "it does not end");
            let seen = self.get(namespace, name);
            let allowed = seen == old || seen == new || logged && seen.is_none();
            assert!(allowed, "{mode:?} {stage:?}");
        }
        match new {
            Some(new) => self.model.insert(key, new),
            None => self.model.remove(&key),
        };
        Ok(())
    }

    pub fn check(&self) {
        let mut listed = BTreeMap::new();
        let how = Listing {
            buffer_size: 0,
            incomplete: true,
        };
        let mut cursor = Cursor::default();
        attr::list(&self.journal, self.inode(), how, &mut cursor, |found| {
            assert!(!found.flags.is_incomplete());
            let key = (found.flags.namespace().unwrap(), found.name.to_vec());
            let length = found.value.length();
            assert!(listed.insert(key, length).is_none(), "listed twice");
            true
        })
        .unwrap();
        let expected: BTreeMap<_, _> = self
            .model
            .iter()
            .map(|(key, value)| (key.clone(), value.len() as u32))
            .collect();
        assert_eq!(listed, expected);
        for ((namespace, name), value) in &self.model {
            assert_eq!(self.get(*namespace, name).as_ref(), Some(value));
        }
        let Some(Fork::Extents(map)) = &self.inode().attr else {
            return;
        };
        let blocks: u64 = map.iter().map(|mapping| mapping.len).sum();
        assert_eq!(self.inode().core.nblocks, blocks);
        assert_eq!(u64::from(self.inode().core.anextents), map.count());
    }

    pub fn form(&self) -> &'static str {
        match &self.inode().attr {
            None => "none",
            Some(Fork::Local(_)) => "short",
            Some(Fork::Extents(map)) if map.iter().map(|m| m.len).sum::<u64>() == 1 => "leaf",
            Some(_) => "node",
        }
    }
}

pub struct Random(pub Seeded);

impl Random {
    pub fn key(&mut self) -> Key {
        let spaces = [Namespace::User, Namespace::Root, Namespace::Secure];
        let namespace = spaces[self.0.below(3)];
        let name = match self.0.below(6) {
            0 => same_hash(b"a family of one hash", self.0.below(60)),
            1 => {
                let len = 1 + self.0.below(255);
                (0..len).map(|_| self.0.below(255) as u8 + 1).collect()
            }
            _ => format!("{:x}", self.0.below(1 << 30)).into_bytes(),
        };
        (namespace, name)
    }

    pub fn value(&mut self, most: usize) -> Vec<u8> {
        let len = match self.0.below(12) {
            0 => self.0.below(most + 1),
            1 => self.0.below(3000),
            2 | 3 => self.0.below(300),
            _ => self.0.below(60),
        };
        let byte = self.0.below(256) as u8;
        vec![byte; len]
    }

    /// An attribute that there is, if there is any.
    pub fn known(&mut self, model: &BTreeMap<Key, Vec<u8>>) -> Option<Key> {
        let key = self.key();
        let mut after = model.range(key..);
        after
            .next()
            .or_else(|| model.iter().next())
            .map(|(key, _)| key.clone())
    }
}

#[test]
fn attributes_equal_a_map_through_all_forms() {
    for seed in 0..times(30) {
        for (shape, scattered, most) in [
            ("empty", false, 300),
            ("block-1k", true, 160),
            ("block-64k", false, 300),
        ] {
            let mut harness = Harness::new(shape);
            harness.pool.scattered = scattered;
            let mut random = Random(Seeded(seed));
            let mut forms = BTreeSet::new();
            for growing in [true, false, true, false] {
                let mut steps = 0;
                loop {
                    let count = harness.model.len();
                    if growing && count >= most || !growing && count == 0 {
                        break;
                    }
                    let logged = random.0.below(3) == 0;
                    let known = random.known(&harness.model);
                    let choice = random.0.below(16);
                    match known {
                        Some((space, name)) if choice < 3 => {
                            let value = random.value(65536);
                            let mode = [Mode::Replace, Mode::Set][random.0.below(2)];
                            harness.change(mode, space, &name, &value, logged).unwrap();
                        }
                        Some((space, name)) if choice == 3 => {
                            let again = harness.change(Mode::Create, space, &name, b"", logged);
                            assert_eq!(again, Err(Error::Exists));
                        }
                        Some((space, name)) if (choice < 7) == growing => {
                            harness
                                .change(Mode::Remove, space, &name, b"", logged)
                                .unwrap();
                        }
                        _ => {
                            let (space, name) = random.key();
                            let value = random.value(65536);
                            if harness.model.contains_key(&(space, name.clone())) {
                                continue;
                            }
                            for mode in [Mode::Replace, Mode::Remove] {
                                let absent = harness.change(mode, space, &name, &value, logged);
                                assert_eq!(absent, Err(Error::NoAttribute));
                            }
                            let mode = [Mode::Create, Mode::Set][random.0.below(2)];
                            harness.change(mode, space, &name, &value, logged).unwrap();
                        }
                    }
                    forms.insert(harness.form());
                    steps += 1;
                    if steps % 100 == 0 {
                        harness.check();
                    }
                }
                harness.check();
            }
            assert_eq!(harness.inode().core.nblocks, 0);
            assert!(harness.inode().attr.is_none());
            let all = ["leaf", "node", "none", "short"];
            assert!(forms.iter().eq(all.iter()), "{forms:?}");
        }
    }
}

#[test]
fn names_as_long_as_three_quarters_of_a_block_find_a_place() {
    let mut harness = Harness::new("block-1k");
    let mut choices = Seeded(3);
    for round in 0..200 {
        let name = format!("name{}", choices.below(40));
        let value = vec![round as u8; choices.below(740)];
        harness
            .change(Mode::Set, Namespace::User, name.as_bytes(), &value, false)
            .unwrap();
        harness.check();
    }
}

#[test]
fn parent_pointers_come_move_and_go() {
    for shape in ["empty", "block-1k"] {
        let mut harness = Harness::new(shape);
        let record = |directory: u64| ParentRecord {
            ino: directory.into(),
            gen: 7.into(),
        };
        let mut model: BTreeSet<(u64, Vec<u8>)> = BTreeSet::new();
        let mut choices = Seeded(9);
        for _ in 0..600 {
            let (directory, name) = (
                200 + choices.below(6) as u64,
                format!("n{}", choices.below(60)).into_bytes(),
            );
            let (to, new_name) = (
                200 + choices.below(6) as u64,
                format!("n{}", choices.below(60)).into_bytes(),
            );
            let (old, new) = (record(directory), record(to));
            let there = model.contains(&(directory, name.clone()));
            let free = !model.contains(&(to, new_name.clone()));
            let change = match (there, free, choices.below(2)) {
                (true, true, 0) => {
                    model.remove(&(directory, name.clone()));
                    model.insert((to, new_name.clone()));
                    parent::replace((&old, &name), (&new, &new_name))
                }
                (true, ..) => {
                    model.remove(&(directory, name.clone()));
                    parent::remove(&old, &name)
                }
                (false, ..) => {
                    model.insert((directory, name.clone()));
                    parent::add(&old, &name)
                }
            };
            let mut stage = Stage::Start;
            while stage != Stage::Done {
                stage = harness.stage(&change, stage).unwrap();
            }
            let exists = parent::exists(&harness.journal, harness.inode(), &old, &name).unwrap();
            assert_eq!(exists, model.contains(&(directory, name)));
        }
        let mut listed = BTreeSet::new();
        let mut cursor = Cursor::default();
        parent::list(
            &harness.journal,
            harness.inode(),
            0,
            &mut cursor,
            |parent| {
                listed.insert((parent.inode.0, parent.name.to_vec()));
                true
            },
        )
        .unwrap();
        assert_eq!(listed, model);
        let bad = record(InodeNumber(200).0);
        let mut change = parent::add(&bad, b"a/b");
        assert_eq!(harness.stage(&change, Stage::Start), Err(Error::Invalid));
        change = parent::add(&bad, b"good");
        change.logged = false;
        assert_eq!(harness.stage(&change, Stage::Start), Err(Error::Invalid));
    }
}

#[test]
fn without_memory_nothing_is_half_done() {
    let mut harness = Harness::new("block-1k");
    let mut random = Random(Seeded(4));
    for round in 0..60 {
        let (space, name) = random.key();
        let value = random.value(3000);
        let change = AttrChange {
            mode: Mode::Set,
            namespace: space,
            attr: NameValue {
                name: &name,
                value: &value,
            },
            renamed: None,
            logged: round % 2 == 0,
        };
        let mut stage = Stage::Start;
        while stage != Stage::Done {
            let mut allowed = 0;
            loop {
                let mut copy = harness.copy();
                let result = {
                    let _faults = FailAfter::new(allowed);
                    copy.stage(&change, stage)
                };
                assert_eq!(copy.journal.store().locked(), 0);
                match result {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error, Error::NoMemory),
                }
                // The value's blocks are written before they are known, and nothing else is.
                if !matches!(stage, Stage::WriteValue { .. }) {
                    assert_eq!(copy.disk.snapshot().changes().count(), 0);
                }
                allowed += 1;
            }
            assert!(allowed > 0, "memory was taken");
            stage = harness.stage(&change, stage).unwrap();
        }
        harness.model.insert((space, name), value);
    }
    harness.check();
}

#[test]
fn a_leaf_takes_what_fits_and_not_more() {
    let mut harness = Harness::new("empty");
    for i in 0..500 {
        let name = format!("attribute {i}");
        let value = vec![i as u8; i % 70];
        harness
            .change(Mode::Create, Namespace::Root, name.as_bytes(), &value, true)
            .unwrap();
    }
    harness.check();
    assert_eq!(harness.form(), "node");
}
