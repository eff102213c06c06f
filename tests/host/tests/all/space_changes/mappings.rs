// SPDX-License-Identifier: GPL-2.0

//! Reverse mappings against the set of what each block is used for.

use crate::btree_changes::held::{journal, reopen, start, Held, Kept};
use crate::space_changes::batches;
use kernel::alloc::faults::FailAfter;
use std::collections::{BTreeMap, BTreeSet};
use xfs_host::{
    journal::SyncJournal,
    libxfs::{
        error::{Error, Result},
        format::{
            btree::{GroupBlock, Owner, Rmap, RmapFlags, RmapKey, RmapRecord, RtRmap, Tree},
            units::{AgBlock, FileBlock, InodeNumber},
        },
        items::RmapUpdateKind,
        rmap::{Mappings, Sharing},
    },
    random::Random,
};

/// The blocks that are mapped.
const FIRST: u32 = 2000;

/// Who may use blocks, and whether with others.
#[derive(Clone, Copy, Debug)]
struct User {
    owner: Owner,
    flags: RmapFlags,
    sharing: Sharing,
}

impl User {
    fn has_offset(&self) -> bool {
        matches!(self.owner, Owner::Inode(_)) && !self.flags.bmbt_block
    }

    fn may_be_unwritten(&self) -> bool {
        self.has_offset() && !self.flags.attr_fork
    }
}

fn users(realtime: bool) -> Vec<User> {
    let user = |owner, flags, sharing| User {
        owner,
        flags,
        sharing,
    };
    let none = RmapFlags::default();
    let inode = |n| Owner::Inode(InodeNumber(n));
    let mut users: Vec<_> = (4096..4102)
        .map(|n| user(inode(n), none, Sharing::Shared))
        .collect();
    users.push(user(inode(5000), none, Sharing::Exclusive));
    users.push(user(Owner::Cow, none, Sharing::Exclusive));
    if !realtime {
        let attr_fork = RmapFlags {
            attr_fork: true,
            ..none
        };
        let bmbt_block = RmapFlags {
            bmbt_block: true,
            ..none
        };
        users.push(user(inode(4096), attr_fork, Sharing::Exclusive));
        users.push(user(inode(4097), bmbt_block, Sharing::Exclusive));
        for owner in [Owner::Ag, Owner::InodeTrees, Owner::RefcountTree] {
            users.push(user(owner, none, Sharing::Exclusive));
        }
    }
    users
}

/// A use of a block: the user's index, how far the offset is ahead of the block, the block.
type Use = (usize, u64, u32);

/// What each block is used for, and whether it is unwritten there.
#[derive(Clone, Default)]
struct Model {
    uses: BTreeMap<Use, bool>,
    users_of: BTreeMap<u32, BTreeSet<(usize, u64)>>,
}

impl Model {
    fn set(&mut self, (user, ahead, block): Use, unwritten: bool) {
        self.uses.insert((user, ahead, block), unwritten);
        self.users_of
            .entry(block)
            .or_default()
            .insert((user, ahead));
    }

    fn remove(&mut self, (user, ahead, block): Use) {
        self.uses.remove(&(user, ahead, block)).unwrap();
        self.users_of
            .get_mut(&block)
            .unwrap()
            .remove(&(user, ahead));
    }

    /// Whether the user may begin to use a block.
    fn admits(&self, users: &[User], user: usize, ahead: u64, block: u32) -> bool {
        let Some(others) = self.users_of.get(&block) else {
            return true;
        };
        match users[user].sharing {
            Sharing::Exclusive => others.is_empty(),
            Sharing::Shared => {
                !others.contains(&(user, ahead))
                    && others
                        .iter()
                        .all(|&(other, _)| users[other].sharing == Sharing::Shared)
            }
        }
    }

    /// The records of the smallest tree: each as long as it can be.
    fn records<N: GroupBlock>(&self, users: &[User]) -> Vec<RmapRecord<N>> {
        let mut records: Vec<(usize, u64, RmapRecord<N>)> = Vec::new();
        for (&(user, ahead, block), &unwritten) in &self.uses {
            match records.last_mut() {
                Some((last_user, last_ahead, last))
                    if (*last_user, *last_ahead) == (user, ahead)
                        && last.end().raw() == block
                        && last.flags.unwritten == unwritten =>
                {
                    last.count += 1;
                }
                _ => {
                    let record = record(&users[user], ahead, block, 1, unwritten);
                    records.push((user, ahead, record));
                }
            }
        }
        records.into_iter().map(|(_, _, record)| record).collect()
    }
}

fn record<N: GroupBlock>(
    user: &User,
    ahead: u64,
    block: u32,
    count: u32,
    unwritten: bool,
) -> RmapRecord<N> {
    RmapRecord {
        start: N::from_raw(block),
        count,
        owner: user.owner,
        offset: FileBlock(if user.has_offset() {
            ahead + u64::from(block)
        } else {
            0
        }),
        flags: RmapFlags {
            unwritten,
            ..user.flags
        },
    }
}

/// A tree and its model.
#[derive(Clone)]
pub struct Pair<T: Tree> {
    pub tree: Held<T>,
    model: Model,
    users: Vec<User>,
    blocks: u32,
}

pub trait Mapped<N: GroupBlock>: Kept + Tree<Key = RmapKey<N>, Record = RmapRecord<N>> {}
impl<N: GroupBlock, T: Kept + Tree<Key = RmapKey<N>, Record = RmapRecord<N>>> Mapped<N> for T {}

/// A tree with one mapping, to be about so many blocks.
pub fn mapped<N: GroupBlock, T: Mapped<N>>(
    journal: &SyncJournal,
    realtime: bool,
    blocks: u32,
) -> Pair<T> {
    let users = users(realtime);
    let mut model = Model::default();
    model.set((0, 0, FIRST), false);
    let first = model.records(&users)[0];
    Pair {
        tree: Held::with(journal, &first),
        model,
        users,
        blocks,
    }
}

/// Makes one transaction of changes in the tree and in the model; how many there were.
pub fn change<N: GroupBlock, T: Mapped<N>>(
    pair: &mut Pair<T>,
    journal: &SyncJournal,
    random: &mut Random,
    changes: u32,
) -> Result<u64> {
    let mut trans = start(journal);
    let Pair {
        tree,
        model,
        users,
        blocks,
    } = pair;
    let last = FIRST + *blocks;
    let mut made = 0;
    let mut tree = tree.in_trans(&mut trans);
    let mut mappings = Mappings::<_, T>::new(&mut tree, T::scope(), Held::<T>::owner());
    for _ in 0..changes {
        if random.below(100) < 55 || model.uses.is_empty() {
            let user = random.below(users.len() as u32) as usize;
            let ahead = if users[user].has_offset() {
                u64::from(random.below(2)) * 10_000
            } else {
                0
            };
            let block = FIRST + random.below(*blocks);
            let most = 1 + random.below(16);
            let unwritten = users[user].may_be_unwritten() && random.once_in(3);
            let count = (block..last.min(block + most))
                .take_while(|&block| model.admits(users, user, ahead, block))
                .count() as u32;
            if count == 0 {
                continue;
            }
            let extent = record(&users[user], ahead, block, count, unwritten);
            let kind = match users[user].sharing {
                Sharing::Shared => RmapUpdateKind::MapShared,
                Sharing::Exclusive => RmapUpdateKind::Map,
            };
            mappings.apply(kind, &extent)?;
            made += 1;
            for block in block..block + count {
                model.set((user, ahead, block), unwritten);
            }
            continue;
        }
        let from = (
            random.below(users.len() as u32) as usize,
            u64::from(random.below(2)) * 10_000,
            FIRST + random.below(*blocks),
        );
        let mut behind = model.uses.range(from..).chain(&model.uses);
        let (&(user, ahead, block), &unwritten) = behind.next().unwrap();
        let most = 1 + random.below(20);
        let count = (block..last.min(block + most))
            .take_while(|&block| model.uses.get(&(user, ahead, block)) == Some(&unwritten))
            .count() as u32;
        let sharing = users[user].sharing;
        if users[user].may_be_unwritten() && random.once_in(2) {
            let extent = record(&users[user], ahead, block, count, !unwritten);
            mappings.convert(&extent, sharing)?;
            for block in block..block + count {
                model.set((user, ahead, block), !unwritten);
            }
        } else {
            let mut extent = record(&users[user], ahead, block, count, unwritten);
            if sharing == Sharing::Exclusive && random.once_in(4) {
                // As recovery frees an extent: it does not know whose.
                extent.owner = Owner::Unknown;
            }
            mappings.unmap(&extent, sharing)?;
            for block in block..block + count {
                model.remove((user, ahead, block));
            }
        }
        made += 1;
    }
    drop(mappings);
    trans.commit()?;
    Ok(made)
}

/// That the tree has the records that say the same as the model, and no more of them.
pub fn compare<N: GroupBlock, T: Mapped<N>>(pair: &Pair<T>, journal: &SyncJournal) {
    let mut expected: Vec<RmapRecord<N>> = pair.model.records(&pair.users);
    expected.sort_by_key(|record| T::key(record));
    assert_eq!(pair.tree.look(journal).0, expected);
    assert_eq!(journal.store().locked(), 0);
}

fn agree<N: GroupBlock, T: Mapped<N>>(realtime: bool) {
    let (journal, _) = journal(10);
    let mut pair = mapped::<N, T>(&journal, realtime, 500);
    let mut random = Random::new(1);
    let mut most = 0;
    for _ in 0..batches(120) {
        let changes = 1 + random.below(100);
        change(&mut pair, &journal, &mut random, changes).unwrap();
        compare(&pair, &journal);
        most = most.max(pair.model.records::<N>(&pair.users).len());
    }
    // The tree had more than one leaf.
    assert!(most > 100, "{most} records");
}

#[test]
fn mappings_of_a_group_agree_with_the_uses_of_its_blocks() {
    agree::<_, Rmap>(false);
}

#[test]
fn mappings_of_a_realtime_group_agree_with_the_uses_of_its_blocks() {
    agree::<_, RtRmap>(true);
}

#[test]
fn a_mapping_that_fails_for_want_of_memory_leaves_the_disk() {
    let (journal, disk) = journal(10);
    let mut pair = mapped::<_, Rmap>(&journal, false, 500);
    change(&mut pair, &journal, &mut Random::new(3), 600).unwrap();
    let before = disk.snapshot();
    let mut failures = 0;
    for allowed in 0.. {
        let (journal, disk) = reopen(&journal, before.clone());
        let mut pair = pair.clone();
        let result = {
            let _faults = FailAfter::new(allowed);
            change(&mut pair, &journal, &mut Random::new(4), 60)
        };
        assert_eq!(journal.store().locked(), 0);
        match result {
            Ok(_) => {
                compare(&pair, &journal);
                break;
            }
            Err(error) => {
                assert_eq!(error, Error::NoMemory);
                let now = disk.snapshot();
                assert!(now.changes().eq(before.changes()));
                failures += 1;
            }
        }
    }
    assert!(failures > 5, "{failures}");
}

#[test]
fn what_contradicts_the_tree_is_corruption() {
    let inode = |n| User {
        owner: Owner::Inode(InodeNumber(n)),
        flags: RmapFlags::default(),
        sharing: Sharing::Shared,
    };
    let extent = |n, block, count, unwritten| record(&inode(n), 0, block, count, unwritten);
    let named = |owner, block, count| RmapRecord {
        owner,
        offset: FileBlock(0),
        ..extent(0, block, count, false)
    };
    let (journal, disk) = journal(10);
    // An extent of 20 blocks that two have, and one of 10 with one owner.
    let tree = {
        let mut tree = Held::<Rmap>::with(&journal, &extent(4096, 2000, 20, false));
        let mut trans = start(&journal);
        let mut blocks = tree.in_trans(&mut trans);
        let mut mappings = Mappings::<_, Rmap>::new(&mut blocks, Rmap::scope(), 0);
        let shared = Sharing::Shared;
        mappings
            .map(&extent(4097, 2000, 20, false), shared)
            .unwrap();
        mappings
            .map(&extent(4098, 2100, 10, true), Sharing::Exclusive)
            .unwrap();
        drop(mappings);
        trans.commit().unwrap();
        tree
    };
    use RmapUpdateKind::{ConvertShared, Map, MapShared, Unmap, UnmapShared};
    let wrong = [
        // Owned already, at its start, end and middle.
        (Map, extent(4098, 2095, 6, false)),
        (Map, extent(4096, 2109, 3, false)),
        (Map, named(Owner::Ag, 2103, 1)),
        (Map, named(Owner::Ag, 2090, 40)),
        (MapShared, extent(4096, 2000, 20, false)),
        (MapShared, extent(4096, 2005, 5, false)),
        // Not owned, not by that one, not all of it, or not in that state.
        (Unmap, extent(4098, 2099, 2, true)),
        (Unmap, extent(4098, 2109, 2, true)),
        (Unmap, extent(4098, 2100, 10, false)),
        (Unmap, extent(4096, 2100, 10, true)),
        (Unmap, named(Owner::Ag, 2100, 10)),
        (UnmapShared, extent(4095, 2000, 20, false)),
        (UnmapShared, extent(4096, 2000, 21, false)),
        (UnmapShared, extent(4096, 3000, 1, false)),
        (ConvertShared, extent(4098, 2100, 10, true)),
        (ConvertShared, extent(4098, 2100, 11, false)),
        (ConvertShared, extent(4099, 2100, 10, false)),
        // Owned where nobody should, or by one who has less.
        (Unmap, named(Owner::Null, 2105, 1)),
        (Unmap, named(Owner::Null, 2095, 6)),
        (Unmap, named(Owner::Unknown, 2109, 2)),
        (Unmap, named(Owner::Unknown, 2099, 2)),
        // Outside the group.
        (Map, extent(4099, u32::MAX - 1, 1, false)),
    ];
    let fine = [
        (Unmap, named(Owner::Null, 2090, 10), 3),
        (Unmap, named(Owner::Unknown, 2110, 10), 3),
        (Unmap, named(Owner::Unknown, 2102, 3), 4),
        (UnmapShared, extent(4097, 2003, 4, false), 4),
        (ConvertShared, extent(4098, 2100, 10, false), 3),
        (ConvertShared, extent(4098, 2103, 3, false), 5),
    ];
    let apply = |kind, extent: &RmapRecord<AgBlock>| {
        let (journal, _) = reopen(&journal, disk.snapshot());
        let mut tree = tree.clone();
        let mut trans = start(&journal);
        let mut blocks = tree.in_trans(&mut trans);
        let result = Mappings::<_, Rmap>::new(&mut blocks, Rmap::scope(), 0).apply(kind, extent);
        if let Err(error) = result {
            // It was seen before anything was changed.
            assert!(!trans.is_dirty(), "{extent:?}");
            return Err(error);
        }
        trans.commit().unwrap();
        Ok(tree.look(&journal).0.len())
    };
    for (kind, extent) in wrong {
        let result = apply(kind, &extent);
        assert!(
            matches!(result, Err(Error::Corrupt(_))),
            "{kind:?} {extent:?}: {result:?}"
        );
    }
    for (kind, extent, records) in fine {
        assert_eq!(apply(kind, &extent), Ok(records), "{kind:?} {extent:?}");
    }
}
