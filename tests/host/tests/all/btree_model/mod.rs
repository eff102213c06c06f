// SPDX-License-Identifier: GPL-2.0

//! The B+tree cursor against a sorted list, on trees of any shape; and on broken trees, where
//! every walk must end, and without a panic.

pub mod forge;

use forge::{geometry, Forge, Forged, Memory, INODE};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;
use xfs_host::libxfs::{
    btree::Cursor,
    error::Result,
    format::{
        btree::{
            Bmap, BmapRecord, Bno, BnoKey, Cnt, CntKey, Domain, Fino, Fork, FreeExtent, GroupBlock,
            Ino, InodeChunk, Owner, Pointer, Refcount, RefcountKey, RefcountRecord, Rmap,
            RmapFlags, RmapKey, RmapRecord, RtRefcount, RtRmap, Tree,
        },
        units::{AgBlock, AgInode, AgNumber, FileBlock, InodeNumber, RtGroup},
    },
};

/// Three numbers that a record is made from.
type Seed = (u32, u32, u32);

/// A tree with records to try it on.
trait Sample: Tree {
    /// Records in order, made from seeds.
    fn records(seeds: &[Seed]) -> Vec<Self::Record>;
    /// A key from a seed, among and beside those of the records.
    fn key_of(seed: Seed) -> Self::Key;
    /// A cursor over a forged tree.
    fn open<'a>(memory: &'a Memory, tree: &'a Forged<Self>) -> Result<Cursor<'a, Memory, Self>>;
    /// Forges the tree.
    fn forge(forge: &mut Forge<'_>, records: &[Self::Record]) -> Forged<Self>;
}

/// Extents one behind the other: start and length.
fn extents(seeds: &[Seed]) -> Vec<(u32, u32, u32)> {
    let mut at = 50;
    let mut extents = Vec::new();
    for &(gap, len, salt) in seeds {
        let start = at + gap % 50 + 1;
        let len = len % 30 + 1;
        at = start + len;
        extents.push((start, len, salt));
    }
    extents
}

fn rmaps<B: GroupBlock>(seeds: &[Seed], attr: bool) -> Vec<RmapRecord<B>> {
    let mut sorted = BTreeMap::new();
    for &(start, len, salt) in seeds {
        let record = RmapRecord {
            start: B::from_raw(50 + start % 3000),
            count: len % 500 + 1,
            owner: if salt % 7 == 0 {
                Owner::Cow
            } else {
                Owner::Inode(InodeNumber(u64::from(128 + salt % 40)))
            },
            offset: FileBlock(if salt % 7 == 0 {
                0
            } else {
                u64::from(salt) << 9
            }),
            flags: RmapFlags {
                attr_fork: attr && salt % 7 != 0 && salt % 11 == 0,
                bmbt_block: false,
                unwritten: salt % 7 != 0 && salt % 11 == 1,
            },
        };
        let key = (
            record.start,
            record.owner.encode(),
            record.flags.attr_fork,
            record.offset,
        );
        sorted.insert(key, record);
    }
    sorted.into_values().collect()
}

fn refcounts<B: GroupBlock>(seeds: &[Seed]) -> Vec<RefcountRecord<B>> {
    let extents = extents(seeds);
    let shared = extents.len() / 2;
    let record = |index: usize, &(start, count, salt): &Seed| RefcountRecord {
        domain: if index < shared {
            Domain::Shared
        } else {
            Domain::Cow
        },
        start: B::from_raw(start),
        count,
        references: if index < shared { salt.max(2) } else { 1 },
    };
    extents
        .iter()
        .enumerate()
        .map(|(index, extent)| record(index, extent))
        .collect()
}

macro_rules! in_group {
    () => {
        fn open<'a>(
            memory: &'a Memory,
            tree: &'a Forged<Self>,
        ) -> Result<Cursor<'a, Memory, Self>> {
            Cursor::in_group(memory, AgNumber(0), (tree.root, tree.levels))
        }

        fn forge(forge: &mut Forge<'_>, records: &[Self::Record]) -> Forged<Self> {
            forge.tree(records)
        }
    };
}

macro_rules! in_fork {
    ($scope:expr, $size:expr) => {
        fn open<'a>(
            memory: &'a Memory,
            tree: &'a Forged<Self>,
        ) -> Result<Cursor<'a, Memory, Self>> {
            Cursor::in_fork(memory, INODE, $scope, &tree.fork)
        }

        fn forge(forge: &mut Forge<'_>, records: &[Self::Record]) -> Forged<Self> {
            forge.tree_in_fork(records, $size)
        }
    };
}

impl Sample for Bno {
    fn records(seeds: &[Seed]) -> Vec<FreeExtent> {
        let extent = |(start, count, _)| FreeExtent {
            start: AgBlock(start),
            count,
        };
        extents(seeds).into_iter().map(extent).collect()
    }

    fn key_of(seed: Seed) -> BnoKey {
        BnoKey::at(AgBlock(seed.0 % 30_000))
    }

    in_group!();
}

impl Sample for Cnt {
    fn records(seeds: &[Seed]) -> Vec<FreeExtent> {
        let mut records = Bno::records(seeds);
        records.sort_by_key(Cnt::key);
        records
    }

    fn key_of(seed: Seed) -> CntKey {
        CntKey {
            count: seed.1 % 32,
            start: AgBlock(seed.0 % 30_000),
        }
    }

    in_group!();
}

fn inode_chunks(seeds: &[Seed]) -> Vec<InodeChunk> {
    extents(seeds)
        .into_iter()
        .map(|(start, _, salt)| {
            let mut chunk = InodeChunk {
                start: AgInode(start * 64),
                holes: if salt % 3 == 0 { 0xff00 } else { 0 },
                count: if salt % 3 == 0 { 32 } else { 64 },
                free_count: 0,
                free: u64::from(salt) << 16 | 1,
            };
            chunk.free_count = chunk.available().count_ones() as u8;
            chunk
        })
        .collect()
}

impl Sample for Ino {
    fn records(seeds: &[Seed]) -> Vec<InodeChunk> {
        inode_chunks(seeds)
    }

    fn key_of(seed: Seed) -> AgInode {
        AgInode(seed.0 % 2_000_000)
    }

    in_group!();
}

impl Sample for Fino {
    fn records(seeds: &[Seed]) -> Vec<InodeChunk> {
        inode_chunks(seeds)
    }

    fn key_of(seed: Seed) -> AgInode {
        AgInode(seed.0 % 2_000_000)
    }

    in_group!();
}

fn rmap_key<B: GroupBlock>(seed: Seed) -> RmapKey<B> {
    let start = B::from_raw(seed.0 % 3600);
    match seed.1 % 3 {
        0 => RmapKey::lowest(start),
        1 => RmapKey::highest(start),
        _ => RmapKey::new(
            start,
            u64::from(128 + seed.2 % 40),
            u64::from(seed.2) << 9,
            RmapFlags::default(),
        ),
    }
}

impl Sample for Rmap {
    fn records(seeds: &[Seed]) -> Vec<RmapRecord<AgBlock>> {
        rmaps(seeds, true)
    }

    fn key_of(seed: Seed) -> Self::Key {
        rmap_key(seed)
    }

    in_group!();
}

impl Sample for RtRmap {
    fn records(seeds: &[Seed]) -> Vec<Self::Record> {
        rmaps(seeds, false)
    }

    fn key_of(seed: Seed) -> Self::Key {
        rmap_key(seed)
    }

    in_fork!(RtGroup(1), 300);
}

fn refcount_key<B: GroupBlock>(seed: Seed) -> RefcountKey<B> {
    RefcountKey {
        domain: if seed.1 % 2 == 0 {
            Domain::Shared
        } else {
            Domain::Cow
        },
        start: B::from_raw(seed.0 % 30_000),
    }
}

impl Sample for Refcount {
    fn records(seeds: &[Seed]) -> Vec<Self::Record> {
        refcounts(seeds)
    }

    fn key_of(seed: Seed) -> Self::Key {
        refcount_key(seed)
    }

    in_group!();
}

impl Sample for RtRefcount {
    fn records(seeds: &[Seed]) -> Vec<Self::Record> {
        refcounts(seeds)
    }

    fn key_of(seed: Seed) -> Self::Key {
        refcount_key(seed)
    }

    in_fork!(RtGroup(0), 100);
}

impl Sample for Bmap {
    fn records(seeds: &[Seed]) -> Vec<BmapRecord> {
        let record = |(start, count, salt): Seed| BmapRecord {
            offset: FileBlock(u64::from(start)),
            start: u64::from(50 + salt % 100_000),
            count,
            unwritten: salt % 2 == 1,
        };
        extents(seeds).into_iter().map(record).collect()
    }

    fn key_of(seed: Seed) -> FileBlock {
        FileBlock(u64::from(seed.0 % 30_000))
    }

    in_fork!(Fork::Data, 64);
}

/// Walks forward, and backward, from the ends.
fn walks<T: Tree>(cursor: &mut Cursor<'_, Memory, T>) -> Result<[Vec<T::Record>; 2]> {
    let mut forward = Vec::new();
    let mut record = cursor.seek_first()?;
    while let Some(found) = record {
        forward.push(found);
        record = cursor.next()?;
    }
    assert_eq!(cursor.next(), Ok(None));
    let mut backward = Vec::new();
    let mut record = cursor.seek_last()?;
    while let Some(found) = record {
        backward.push(found);
        record = cursor.prev()?;
    }
    assert_eq!(cursor.prev(), Ok(None));
    Ok([forward, backward])
}

fn range<T: Tree>(
    cursor: &mut Cursor<'_, Memory, T>,
    low: T::Key,
    high: T::Key,
) -> Result<Vec<T::Record>> {
    let mut found = Vec::new();
    let mut records = cursor.range(low, high);
    while let Some(record) = records.next()? {
        found.push(record);
    }
    Ok(found)
}

fn agrees<T: Sample>(seeds: &[Seed], fills: &[u8], keys: &[(Seed, Seed)]) {
    let memory = Memory::new();
    let records = T::records(seeds);
    let mut turn = fills.iter().cycle();
    let tree = {
        let fill = |room: usize| {
            let fill = usize::from(*turn.next().unwrap());
            (room * fill / 255).max(2)
        };
        T::forge(&mut Forge::new(&memory, fill), &records)
    };
    if tree.levels > u32::from(T::max_levels(&geometry())) {
        assert!(T::open(&memory, &tree).is_err());
        return;
    }
    let mut cursor = T::open(&memory, &tree).unwrap();
    let [forward, mut backward] = walks(&mut cursor).unwrap();
    backward.reverse();
    assert_eq!(forward, records);
    assert_eq!(backward, records);

    for &(one, other) in keys {
        let key = T::key_of(one);
        let le = records.partition_point(|record| T::key(record) <= key);
        let ge = records.partition_point(|record| T::key(record) < key);
        let before = le.checked_sub(1).map(|index| records[index]);
        assert_eq!(cursor.lookup_le(&key).unwrap(), before);
        assert_eq!(cursor.record().unwrap(), before);
        if before.is_some() {
            assert_eq!(cursor.next().unwrap(), records.get(le).copied());
        }
        assert_eq!(cursor.lookup_ge(&key).unwrap(), records.get(ge).copied());
        let equal = records.get(ge).filter(|record| T::key(record) == key);
        assert_eq!(cursor.lookup_eq(&key).unwrap(), equal.copied());
        if let Some(record) = records.get(ge) {
            let key = T::key(record);
            assert_eq!(cursor.lookup_eq(&key).unwrap(), Some(*record));
            let before = ge.checked_sub(1).map(|index| records[index]);
            assert_eq!(cursor.prev().unwrap(), before);
        }

        let end = T::key_of(other);
        // Also to the very end of a record, where one more or one less is another answer.
        let last = T::high_key(&records[other.2 as usize % records.len()]);
        for (low, high) in [(key.min(end), key.max(end)), (last, last.max(end))] {
            let expected: Vec<_> = records
                .iter()
                .filter(|record| T::high_key(record) >= low && T::key(record) <= high)
                .copied()
                .collect();
            assert_eq!(range(&mut cursor, low, high).unwrap(), expected);
        }
    }
}

/// What is done to a tree.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// One byte.
    Byte { at: u16, value: u8 },
    /// A pointer becomes another one of the same node.
    Pointer { from: u8, to: u8 },
    /// A sibling becomes another block.
    Sibling { right: bool, block: u8 },
    /// The block gets the content of another.
    Content { block: u8 },
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (0u16..1024, any::<u8>()).prop_map(|(at, value)| Harm::Byte { at, value }),
        (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Harm::Pointer { from, to }),
        (any::<bool>(), any::<u8>()).prop_map(|(right, block)| Harm::Sibling { right, block }),
        any::<u8>().prop_map(|block| Harm::Content { block }),
    ]
}

fn do_harm<T: Tree>(memory: &Memory, victim: usize, harm: Harm) {
    let other = |block: u8| memory.block(usize::from(block) % memory.len()).unwrap();
    let header = T::Pointer::HEADER_SIZE;
    match harm {
        Harm::Byte { at, value } => memory.change::<T>(victim, |bytes| {
            bytes[usize::from(at)] = value;
        }),
        Harm::Pointer { from, to } => memory.change::<T>(victim, |bytes| {
            let room = xfs_host::libxfs::format::btree::block_capacity::<T>(&geometry(), false);
            // The count may have been harmed before.
            let count = usize::from(u16::from_be_bytes([bytes[6], bytes[7]])).min(room);
            let leaf = bytes[4..6] == [0, 0];
            if leaf || count == 0 {
                return;
            }
            let keys = std::mem::size_of::<T::DiskKey>() * if T::OVERLAPPING { 2 } else { 1 };
            let at = |index: u8| {
                let start = header + room * keys + usize::from(index) % count * T::Pointer::SIZE;
                start..start + T::Pointer::SIZE
            };
            bytes.copy_within(at(from), at(to).start);
        }),
        Harm::Sibling { right, block } => {
            // A block's own address, in basic blocks of which it has two.
            let near = other(block);
            let start = 8 + 2 * T::Pointer::SIZE;
            let at = u64::from_be_bytes(near[start..start + 8].try_into().unwrap()) / 2;
            memory.change::<T>(victim, |bytes| {
                let pointer = at.to_be_bytes();
                let start = 8 + usize::from(right) * T::Pointer::SIZE;
                bytes[start..start + T::Pointer::SIZE]
                    .copy_from_slice(&pointer[8 - T::Pointer::SIZE..]);
            });
        }
        Harm::Content { block } => {
            let source = other(block);
            memory.change::<T>(victim, |bytes| {
                bytes[4..8].copy_from_slice(&source[4..8]);
                bytes[header..].copy_from_slice(&source[header..]);
            });
        }
    }
}

fn survives<T: Sample>(seeds: &[Seed], fills: &[u8], keys: &[(Seed, Seed)], harms: &[(u8, Harm)]) {
    let memory = Memory::new();
    let records = T::records(seeds);
    let mut turn = fills.iter().cycle();
    let tree = {
        let fill = |room: usize| (room * usize::from(*turn.next().unwrap()) / 255).max(2);
        T::forge(&mut Forge::new(&memory, fill), &records)
    };
    for &(victim, harm) in harms {
        do_harm::<T>(&memory, usize::from(victim) % memory.len(), harm);
    }
    let Ok(mut cursor) = T::open(&memory, &tree) else {
        return;
    };
    memory.take_reads();
    let found = walks(&mut cursor);
    // Down once from each end, and each block once.
    assert!(memory.take_reads() <= 2 * (memory.len() + tree.levels as usize));
    if let Ok([forward, backward]) = &found {
        assert!(forward.is_sorted_by_key(T::key));
        assert!(backward.iter().rev().is_sorted_by_key(T::key));
    }
    for &(one, other) in keys {
        let (one, other) = (T::key_of(one), T::key_of(other));
        let levels = tree.levels as usize;
        let _ = cursor.lookup_le(&one);
        let _ = cursor.lookup_ge(&one);
        let _ = cursor.lookup_eq(&one);
        assert!(memory.take_reads() <= 5 * levels);
        let _ = range(&mut cursor, one.min(other), one.max(other));
        assert!(memory.take_reads() <= memory.len() + 3 * levels);
    }
}

macro_rules! trees {
    ($($name:ident: $tree:ty,)*) => {
        mod a_cursor_agrees_with_a_sorted_list {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(60))]
                $(
                    #[test]
                    fn $name(
                        seeds in vec(any::<Seed>(), 1..800),
                        fills in vec(40u8..=255, 1..20),
                        keys in vec(any::<(Seed, Seed)>(), 10),
                    ) {
                        agrees::<$tree>(&seeds, &fills, &keys);
                    }
                )*
            }
        }

        mod a_walk_of_a_broken_tree_ends {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(250))]
                $(
                    #[test]
                    fn $name(
                        seeds in vec(any::<Seed>(), 1..600),
                        fills in vec(1u8..=255, 1..20),
                        keys in vec(any::<(Seed, Seed)>(), 4),
                        harms in vec((any::<u8>(), harm()), 1..6),
                    ) {
                        survives::<$tree>(&seeds, &fills, &keys, &harms);
                    }
                )*
            }
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

#[test]
fn a_tree_without_records_is_one_empty_leaf() {
    let memory = Memory::new();
    let tree: Forged<Bno> = Forge::new(&memory, |room| room).tree(&[]);
    let mut cursor = Bno::open(&memory, &tree).unwrap();
    assert_eq!(cursor.seek_first(), Ok(None));
    assert_eq!(cursor.seek_last(), Ok(None));
    assert_eq!(cursor.lookup_ge(&BnoKey::at(AgBlock(0))), Ok(None));
    assert_eq!(cursor.lookup_le(&BnoKey::at(AgBlock(0))), Ok(None));
    assert_eq!(cursor.next(), Ok(None));
}
