// SPDX-License-Identifier: GPL-2.0

//! The trees of every group, on images of every shape: they agree with the headers, with each
//! other, and with themselves whichever way they are walked.

use std::fmt::Debug;
use xfs_host::{
    fixture::{Image, SHAPES},
    image::ImageStore,
    libxfs::{
        ag,
        btree::Cursor,
        format::{
            btree::{Bno, BnoKey, FreeExtent, Owner, RmapKey, RmapRecord, Tree},
            units::{AgBlock, AgNumber},
        },
        mount,
        store::Store,
    },
};

fn for_every_group(check: impl Fn(&str, &ImageStore, AgNumber)) {
    for shape in SHAPES {
        let image = Image::of(shape);
        let store =
            ImageStore::open(image.disks()).unwrap_or_else(|e| panic!("{}: {e}", shape.name));
        for ag in 0..store.geometry().ag_count {
            let place = format!("{} group {ag}", shape.name);
            check(&place, &store, AgNumber(ag));
        }
    }
}

/// All records, walked forward; walking backward must give the same.
fn all<T: Tree>(place: &str, cursor: &mut Cursor<'_, ImageStore, T>) -> Vec<T::Record> {
    let mut forward = Vec::new();
    let mut next = cursor.seek_first().expect(place);
    while let Some(record) = next {
        forward.push(record);
        next = cursor.next().expect(place);
    }
    let mut backward = Vec::new();
    let mut next = cursor.seek_last().expect(place);
    while let Some(record) = next {
        backward.push(record);
        next = cursor.prev().expect(place);
    }
    backward.reverse();
    assert_eq!(forward, backward, "{place}");
    forward
}

/// Looks up every record and the gaps between, and asks for ranges, against a plain list.
fn check_lookups<T: Tree>(
    place: &str,
    cursor: &mut Cursor<'_, ImageStore, T>,
    records: &[T::Record],
) where
    T::Key: Debug,
{
    let step = records.len() / 50 + 1;
    for record in records.iter().step_by(step) {
        for key in [T::key(record), T::high_key(record)] {
            let le = records.iter().rfind(|r| T::key(r) <= key).copied();
            let ge = records.iter().find(|r| T::key(r) >= key).copied();
            let eq = records.iter().find(|r| T::key(r) == key).copied();
            assert_eq!(cursor.lookup_le(&key).expect(place), le, "{place} {key:?}");
            assert_eq!(cursor.lookup_ge(&key).expect(place), ge, "{place} {key:?}");
            assert_eq!(cursor.lookup_eq(&key).expect(place), eq, "{place} {key:?}");
        }
    }
    for (first, last) in [(0, 0), (1, 3), (records.len() / 3, records.len() / 2)] {
        let (Some(low), Some(high)) = (records.get(first), records.get(last)) else {
            continue;
        };
        let (low, high) = (T::high_key(low), T::key(high));
        let expected: Vec<_> = records
            .iter()
            .filter(|r| T::high_key(r) >= low && T::key(r) <= high)
            .copied()
            .collect();
        let mut range = cursor.range(low, high);
        let mut found = Vec::new();
        while let Some(record) = range.next().expect(place) {
            found.push(record);
        }
        assert_eq!(found, expected, "{place} {low:?} to {high:?}");
    }
}

#[test]
fn free_space_trees_agree_with_each_other_and_the_header() {
    for_every_group(|place, store, ag| {
        let agf = ag::read_agf(store, ag).expect(place);
        let mut bno = ag::bno(store, ag, &agf).unwrap();
        let by_block = all(place, &mut bno);
        check_lookups(place, &mut bno, &by_block);
        let mut cnt = ag::cnt(store, ag, &agf).unwrap();
        let mut by_length = all(place, &mut cnt);
        check_lookups(place, &mut cnt, &by_length);

        let total: u32 = by_block.iter().map(|extent| extent.count).sum();
        assert_eq!(total, agf.freeblks.get(), "{place}");
        let longest = by_length.last().map_or(0, |extent| extent.count);
        assert_eq!(longest, agf.longest.get(), "{place}");
        by_length.sort_by_key(|extent| extent.start);
        assert_eq!(by_block, by_length, "{place}");
    });
}

#[test]
fn inode_trees_agree_with_each_other_and_the_header() {
    for_every_group(|place, store, ag| {
        let agi = ag::read_agi(store, ag).expect(place);
        let mut ino = ag::ino(store, ag, &agi).unwrap();
        let chunks = all(place, &mut ino);
        check_lookups(place, &mut ino, &chunks);
        let count: u32 = chunks.iter().map(|chunk| u32::from(chunk.count)).sum();
        let free: u32 = chunks.iter().map(|chunk| u32::from(chunk.free_count)).sum();
        assert_eq!(count, agi.count.get(), "{place}");
        assert_eq!(free, agi.freecount.get(), "{place}");
        if store.geometry().features.finobt() {
            let mut fino = ag::fino(store, ag, &agi).unwrap();
            let with_free = all(place, &mut fino);
            let expected: Vec<_> = chunks
                .into_iter()
                .filter(|chunk| chunk.free_count != 0)
                .collect();
            assert_eq!(with_free, expected, "{place}");
        } else {
            assert!(ag::fino(store, ag, &agi).is_err());
        }
    });
}

#[test]
fn owners_and_free_space_cover_every_block() {
    for_every_group(|place, store, ag| {
        let geo = store.geometry();
        let agf = ag::read_agf(store, ag).expect(place);
        if !geo.features.rmapbt() {
            assert!(ag::rmap(store, ag, &agf).is_err());
            return;
        }
        let mut rmap = ag::rmap(store, ag, &agf).unwrap();
        let owned = all(place, &mut rmap);
        check_lookups(place, &mut rmap, &owned);

        let mut used = vec![0u32; agf.length.get() as usize];
        let fill = |used: &mut [u32], start: u32, count: u32| {
            for block in &mut used[start as usize..][..count as usize] {
                *block += 1;
            }
        };
        for record in &owned {
            fill(&mut used, record.start.0, record.count);
        }
        for free in all(place, &mut ag::bno(store, ag, &agf).unwrap()) {
            assert!(used[free.start.0 as usize..free.end().0 as usize]
                .iter()
                .all(|&count| count == 0));
            fill(&mut used, free.start.0, free.count);
        }
        assert!(used.iter().all(|&count| count > 0), "{place}");

        let headers: Vec<_> = owned
            .iter()
            .filter(|record: &&RmapRecord<AgBlock>| record.owner == Owner::Fs)
            .collect();
        assert_eq!(headers[0].count, geo.ag_header_blocks(), "{place}");

        if !geo.features.reflink() {
            assert!(ag::refcount(store, ag, &agf).is_err());
            return;
        }
        let mut refcount = ag::refcount(store, ag, &agf).unwrap();
        let shared = all(place, &mut refcount);
        check_lookups(place, &mut refcount, &shared);
        for record in &shared {
            for block in record.start.0..record.end().0 {
                assert_eq!(used[block as usize], record.references, "{place} {block}");
            }
        }
    });
}

#[test]
fn a_range_of_blocks_finds_every_owner_that_begins_before_it() {
    for_every_group(|place, store, ag| {
        if !store.geometry().features.rmapbt() {
            return;
        }
        let agf = ag::read_agf(store, ag).expect(place);
        let mut rmap = ag::rmap(store, ag, &agf).unwrap();
        let owned = all(place, &mut rmap);
        let length = agf.length.get();
        for start in (0..length).step_by(length as usize / 40 + 1) {
            let end = (start + length / 64).min(length - 1);
            let expected: Vec<_> = owned
                .iter()
                .filter(|r| r.start.0 <= end && r.end().0 > start)
                .copied()
                .collect();
            let mut range = rmap.range(
                RmapKey::lowest(AgBlock(start)),
                RmapKey::highest(AgBlock(end)),
            );
            let mut found = Vec::new();
            while let Some(record) = range.next().expect(place) {
                found.push(record);
            }
            assert_eq!(found, expected, "{place} {start}..={end}");
        }
    });
}

#[test]
fn kept_blocks_are_neither_free_nor_files() {
    for_every_group(|place, store, ag| {
        let agf = ag::read_agf(store, ag).expect(place);
        let mut bno: Cursor<'_, _, Bno> = ag::bno(store, ag, &agf).unwrap();
        let mut kept = 0;
        ag::for_each_agfl_block(store, ag, &agf, |block| {
            kept += 1;
            let before: Option<FreeExtent> = bno.lookup_le(&BnoKey::at(block))?;
            assert!(before.is_none_or(|free| free.end() <= block), "{place}");
            Ok(())
        })
        .expect(place);
        assert_eq!(kept, agf.flcount.get(), "{place}");
    });
}

#[test]
fn counters_of_the_groups_add_up_to_the_superblock() {
    for shape in SHAPES {
        let image = Image::of(shape);
        let store = ImageStore::open(image.disks()).unwrap();
        let sum = ag::sum_counters(&store).expect(shape.name);
        assert!(sum.are_plausible(store.geometry()), "{}", shape.name);
        let db = image.fields(&["sb 0".to_owned(), "p".to_owned()]);
        assert_eq!(sum.inodes, db["icount"], "{}", shape.name);
        assert_eq!(sum.free_inodes, db["ifree"], "{}", shape.name);
        assert_eq!(sum.free_blocks, db["fdblocks"], "{}", shape.name);
        mount::check_sizes(&store).expect(shape.name);
        for ag in 0..store.geometry().ag_count {
            ag::check_superblock_copy(&store, AgNumber(ag)).expect(shape.name);
        }
    }
}
