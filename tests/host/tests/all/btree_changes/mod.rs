// SPDX-License-Identifier: GPL-2.0

//! Insertion, update and deletion in all nine trees against sorted maps, with a look at every block
//! after each transaction; and what is left when memory or space run out in the middle.

pub mod held;

use held::{journal, start, Held, Kept};
use kernel::alloc::faults::FailAfter;
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, ops::Bound};
use xfs_host::{
    journal::SyncJournal,
    libxfs::{
        error::{Error, Result},
        format::{
            btree::{
                Bmap, BmapRecord, Bno, Cnt, Domain, Fino, FreeExtent, GroupBlock, Ino, InodeChunk,
                Owner, Refcount, RefcountRecord, Rmap, RmapFlags, RmapRecord, RtRefcount, RtRmap,
                TreeKind,
            },
            units::{AgBlock, AgInode, FileBlock, InodeNumber},
        },
    },
};

/// Records of a tree.
trait Sample: Kept {
    /// The record of a slot. Those of different slots do not get into each other's way; `salt`
    /// chooses the rest.
    fn record(slot: u32, salt: u32) -> Self::Record;
}

/// First block and length of a slot's extent.
fn extent(slot: u32, salt: u32) -> (u32, u32) {
    (64 + slot * 64, 1 + salt % 60)
}

fn free_extent(slot: u32, salt: u32) -> FreeExtent {
    let (start, count) = extent(slot, salt);
    FreeExtent {
        start: AgBlock(start),
        count,
    }
}

impl Sample for Bno {
    fn record(slot: u32, salt: u32) -> FreeExtent {
        free_extent(slot, salt)
    }
}

impl Sample for Cnt {
    fn record(slot: u32, salt: u32) -> FreeExtent {
        free_extent(slot, salt)
    }
}

fn chunk(slot: u32, salt: u32) -> InodeChunk {
    let mut chunk = InodeChunk {
        start: AgInode((64 + slot) * 64),
        holes: if salt % 3 == 0 { 0xff00 } else { 0 },
        count: if salt % 3 == 0 { 32 } else { 64 },
        free_count: 0,
        free: u64::from(salt) << 16 | 1,
    };
    chunk.free_count = chunk.available().count_ones() as u8;
    chunk
}

impl Sample for Ino {
    fn record(slot: u32, salt: u32) -> InodeChunk {
        chunk(slot, salt)
    }
}

impl Sample for Fino {
    fn record(slot: u32, salt: u32) -> InodeChunk {
        chunk(slot, salt)
    }
}

fn rmap<B: GroupBlock>(slot: u32, salt: u32) -> RmapRecord<B> {
    RmapRecord {
        // Several begin at a block, and many reach over each other.
        start: B::from_raw(64 + slot / 3 * 16),
        count: 1 + salt % 500,
        owner: Owner::Inode(InodeNumber(u64::from(4096 + slot % 3))),
        offset: FileBlock(u64::from(slot) << 10),
        flags: RmapFlags {
            unwritten: salt % 2 == 1,
            ..RmapFlags::default()
        },
    }
}

impl Sample for Rmap {
    fn record(slot: u32, salt: u32) -> Self::Record {
        rmap(slot, salt)
    }
}

impl Sample for RtRmap {
    fn record(slot: u32, salt: u32) -> Self::Record {
        rmap(slot, salt)
    }
}

fn refcount<B: GroupBlock>(slot: u32, salt: u32) -> RefcountRecord<B> {
    let (start, count) = extent(slot, salt);
    let domain = if slot % 4 == 0 {
        Domain::Cow
    } else {
        Domain::Shared
    };
    RefcountRecord {
        domain,
        start: B::from_raw(start),
        count,
        references: match domain {
            Domain::Cow => 1,
            Domain::Shared => salt.max(2),
        },
    }
}

impl Sample for Refcount {
    fn record(slot: u32, salt: u32) -> Self::Record {
        refcount(slot, salt)
    }
}

impl Sample for RtRefcount {
    fn record(slot: u32, salt: u32) -> Self::Record {
        refcount(slot, salt)
    }
}

impl Sample for Bmap {
    fn record(slot: u32, salt: u32) -> BmapRecord {
        let (start, count) = extent(slot, salt);
        BmapRecord {
            offset: FileBlock(u64::from(start)),
            start: u64::from(64 + salt % 100_000),
            count,
            unwritten: salt % 2 == 1,
        }
    }
}

/// A change of the record of a slot: put there if there is none, else replaced or removed.
#[derive(Clone, Copy, Debug)]
struct Change {
    slot: u32,
    salt: u32,
    remove: bool,
}

/// A batch of changes, in one transaction.
fn batch() -> impl Strategy<Value = Vec<Change>> {
    let slots = 0u32..1200;
    let change = |slot, salt, remove| Change { slot, salt, remove };
    prop_oneof![
        vec((slots.clone(), any::<u32>(), any::<bool>()), 1..60).prop_map(move |changes| {
            let changes = changes.into_iter();
            changes
                .map(|(slot, salt, remove)| change(slot, salt, remove))
                .collect()
        }),
        // Runs, upward and downward.
        (slots, 1u32..400, any::<u32>(), any::<bool>(), any::<bool>()).prop_map(
            move |(first, len, salt, remove, down)| {
                let mut run: Vec<_> = (first..first + len)
                    .map(|slot| change(slot, salt ^ slot, remove))
                    .collect();
                if down {
                    run.reverse();
                }
                run
            }
        ),
    ]
}

/// What a tree should hold: records by slot, and in their order.
#[derive(Clone)]
struct Model<T: Sample> {
    slots: BTreeMap<u32, T::Record>,
    sorted: BTreeMap<T::Key, T::Record>,
}

impl<T: Sample> Model<T> {
    fn new(slot: u32, record: T::Record) -> Self {
        let mut model = Self {
            slots: BTreeMap::new(),
            sorted: BTreeMap::new(),
        };
        model.insert(slot, record);
        model
    }

    fn insert(&mut self, slot: u32, record: T::Record) {
        self.remove(slot);
        self.slots.insert(slot, record);
        self.sorted.insert(T::key(&record), record);
    }

    fn remove(&mut self, slot: u32) {
        if let Some(record) = self.slots.remove(&slot) {
            self.sorted.remove(&T::key(&record));
        }
    }

    fn behind(&self, key: T::Key) -> Option<T::Record> {
        let mut rest = self.sorted.range((Bound::Excluded(key), Bound::Unbounded));
        rest.next().map(|(_, record)| *record)
    }

    fn records(&self) -> Vec<T::Record> {
        self.sorted.values().copied().collect()
    }
}

/// Makes the changes in one transaction.
fn apply<T: Sample>(
    journal: &SyncJournal,
    tree: &mut Held<T>,
    model: &mut Model<T>,
    changes: &[Change],
) -> Result {
    let mut trans = start(journal);
    let mut path = Held::<T>::path();
    for change in changes {
        let record = T::record(change.slot, change.salt);
        let blocks = &mut tree.in_trans(&mut trans);
        match model.slots.get(&change.slot).copied() {
            None if change.remove => {
                assert_eq!(path.lookup_eq(blocks, &T::key(&record))?, None);
            }
            None => {
                path.insert(blocks, &record)?;
                assert_eq!(path.record(blocks)?, Some(record));
                model.insert(change.slot, record);
            }
            Some(known) if T::key(&known) == T::key(&record) && !change.remove => {
                assert_eq!(path.lookup_eq(blocks, &T::key(&known))?, Some(known));
                path.update(blocks, &record)?;
                assert_eq!(path.record(blocks)?, Some(record));
                model.insert(change.slot, record);
            }
            Some(known) => {
                // A map gives up its tree before its last record.
                if T::KIND == TreeKind::Bmap && model.slots.len() == 1 {
                    continue;
                }
                assert_eq!(path.lookup_eq(blocks, &T::key(&known))?, Some(known));
                path.delete(blocks)?;
                model.remove(change.slot);
                assert_eq!(path.record(blocks)?, model.behind(T::key(&known)));
                if !change.remove {
                    path.insert(blocks, &record)?;
                    model.insert(change.slot, record);
                }
            }
        }
    }
    trans.commit()?;
    Ok(())
}

/// That the tree on the disk is the model: by a look at every block, and by a cursor.
fn compare<T: Sample>(journal: &SyncJournal, tree: &Held<T>, model: &Model<T>) {
    let records = model.records();
    assert_eq!(tree.look(journal).0, records);
    let mut cursor = T::cursor(journal, tree).unwrap();
    let mut found = Vec::new();
    let mut record = cursor.seek_last().unwrap();
    while let Some(here) = record {
        found.push(here);
        record = cursor.prev().unwrap();
    }
    found.reverse();
    assert_eq!(found, records);
    if let (Some(first), Some(last)) = (records.get(records.len() / 3), records.last()) {
        let (low, high) = (T::high_key(first), T::key(last));
        let expected: Vec<_> = records
            .iter()
            .filter(|record| T::high_key(record) >= low && T::key(record) <= high)
            .copied()
            .collect();
        let mut range = cursor.range(low, high);
        let mut found = Vec::new();
        while let Some(record) = range.next().unwrap() {
            found.push(record);
        }
        assert_eq!(found, expected);
    }
}

fn agrees<T: Sample>(block_log: u8, batches: &[Vec<Change>]) {
    let (journal, _) = journal(block_log);
    let first = T::record(600, 7);
    let mut tree = Held::<T>::with(&journal, &first);
    let mut model = Model::<T>::new(600, first);
    for changes in batches {
        apply(&journal, &mut tree, &mut model, changes).unwrap();
        compare(&journal, &tree, &model);
    }
    assert_eq!(journal.store().locked(), 0);
}

/// Runs over so many slots that the tree gets several levels, and back to nothing.
fn grows_and_shrinks<T: Sample>() {
    const SLOTS: u32 = 12_000;
    let (journal, _) = journal(10);
    let first = T::record(0, 0);
    let mut tree = Held::<T>::with(&journal, &first);
    let mut model = Model::<T>::new(0, first);
    let slots: Vec<_> = (1..SLOTS).collect();
    // Spread over all, each once.
    let mixed: Vec<_> = (0..SLOTS).map(|n| n * 2411 % SLOTS).collect();
    let mut run = |slots: &[u32], remove| {
        for part in slots.chunks(500) {
            let changes: Vec<_> = part
                .iter()
                .map(|&slot| Change {
                    slot,
                    salt: slot.wrapping_mul(2_654_435_761) >> 8,
                    remove,
                })
                .collect();
            apply(&journal, &mut tree, &mut model, &changes).unwrap();
        }
        compare(&journal, &tree, &model);
        let levels = T::cursor(&journal, &tree).unwrap().levels();
        (levels, tree.look(&journal))
    };
    let (levels, (records, room)) = run(&slots, false);
    assert!(levels >= 3, "{levels} levels");
    // Runs in the order of the tree leave it full.
    if !matches!(
        T::KIND,
        TreeKind::Cnt | TreeKind::Refcount | TreeKind::RtRefcount
    ) {
        assert!(
            records.len() * 100 / room >= 95,
            "{} of {room}",
            records.len()
        );
    }
    run(&mixed, true);
    let (levels, (records, room)) = run(&mixed, false);
    assert!(levels >= 3, "{levels} levels");
    assert!(records.len() * 100 / room >= 55);
    let down: Vec<_> = slots.iter().rev().copied().collect();
    let (levels, (records, _)) = run(&down, true);
    assert!(records.len() <= 1);
    assert!(levels <= 2);
}

/// Memory or space run out at each point in turn: an error, and the disk as it was.
fn fails_whole<T: Sample>() {
    let (journal, disk) = journal(10);
    let first = T::record(0, 0);
    let mut tree = Held::<T>::with(&journal, &first);
    let mut model = Model::<T>::new(0, first);
    let change = |slot, remove| Change {
        slot,
        salt: slot,
        remove,
    };
    let grow: Vec<_> = (1..400).map(|slot| change(slot, false)).collect();
    apply(&journal, &mut tree, &mut model, &grow).unwrap();
    let changes: Vec<_> = (0..300)
        .map(|n| change(400 + n, false))
        .chain((10..200).map(|n| change(n, true)))
        .collect();
    let before = disk.snapshot();
    let content = |disk: &xfs_host::image::Overlay| -> Vec<_> {
        disk.changes()
            .map(|(at, bytes)| (at, bytes.to_vec()))
            .collect()
    };
    let mut failed = [0; 2];
    for (kind, failures) in failed.iter_mut().enumerate() {
        for allowed in 0.. {
            let journal = held::reopen(&journal, before.clone());
            let mut tree = tree.clone();
            let mut model = model.clone();
            let result = if kind == 0 {
                let _faults = FailAfter::new(allowed);
                apply(&journal.0, &mut tree, &mut model, &changes)
            } else {
                tree.allowance = allowed as u32;
                apply(&journal.0, &mut tree, &mut model, &changes)
            };
            assert_eq!(journal.0.store().locked(), 0);
            match result {
                Ok(()) => {
                    compare(&journal.0, &tree, &model);
                    break;
                }
                Err(error) => {
                    assert_eq!(error, [Error::NoMemory, Error::NoSpace][kind]);
                    assert_eq!(content(&journal.1.snapshot()), content(&before));
                    *failures += 1;
                }
            }
        }
    }
    assert!(failed[0] > 10 && failed[1] >= 2, "{failed:?}");
}

/// A tree with damage in it is changed: whatever comes of it, it ends, and without a panic.
fn survives<T: Sample>(harms: &[(u16, u16, u8)], changes: &[Change]) {
    let (journal, disk) = journal(10);
    let first = T::record(600, 7);
    let mut tree = Held::<T>::with(&journal, &first);
    let mut model = Model::<T>::new(600, first);
    let grow: Vec<_> = (0..500)
        .map(|slot| Change {
            slot: slot * 2,
            salt: slot,
            remove: false,
        })
        .collect();
    apply(&journal, &mut tree, &mut model, &grow).unwrap();
    for &(block, at, value) in harms {
        tree.harm(&journal, &disk, block.into(), at.into(), value);
    }
    let (journal, _) = held::reopen(&journal, disk.snapshot());
    let mut trans = start(&journal);
    let mut path = Held::<T>::path();
    for change in changes {
        let record = T::record(change.slot, change.salt);
        let blocks = &mut tree.in_trans(&mut trans);
        let _ = if change.remove {
            path.lookup_ge(blocks, &T::key(&record))
                .and_then(|_| path.delete(blocks))
        } else {
            path.insert(blocks, &record)
        };
    }
    let _ = trans.commit();
    assert_eq!(journal.store().locked(), 0);
}

/// More cases in a long run.
fn cases(short: u32) -> ProptestConfig {
    let long = std::env::var_os("XFS_RUST_LONG").is_some();
    ProptestConfig::with_cases(if long { short * 20 } else { short })
}

macro_rules! trees {
    ($($name:ident: $tree:ty,)*) => {
        mod a_changed_tree_agrees_with_a_sorted_map {
            use super::*;
            proptest! {
                #![proptest_config(cases(25))]
                $(
                    #[test]
                    fn $name(
                        block_log in prop_oneof![3 => Just(10u8), 1 => Just(12u8)],
                        batches in vec(batch(), 1..8),
                    ) {
                        agrees::<$tree>(block_log, &batches);
                    }
                )*
            }
        }

        mod a_broken_tree_is_changed_without_a_panic {
            use super::*;
            proptest! {
                #![proptest_config(cases(25))]
                $(
                    #[test]
                    fn $name(
                        harms in vec((any::<u16>(), 4u16..1024, any::<u8>()), 1..6),
                        changes in batch(),
                    ) {
                        survives::<$tree>(&harms, &changes);
                    }
                )*
            }
        }

        mod a_tree_grows_full_and_shrinks_to_nothing {
            use super::*;
            $(
                #[test]
                fn $name() {
                    grows_and_shrinks::<$tree>();
                }
            )*
        }

        mod a_change_that_fails_leaves_the_disk {
            use super::*;
            $(
                #[test]
                fn $name() {
                    fails_whole::<$tree>();
                }
            )*
        }
    };
}

trees! {
    bno: Bno,
    cnt: Cnt,
    ino: Ino,
    fino: Fino,
    rmap: Rmap,
    refcount: Refcount,
    bmap: Bmap,
    rtrmap: RtRmap,
    rtrefcount: RtRefcount,
}
