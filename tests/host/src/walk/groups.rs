// SPDX-License-Identifier: GPL-2.0

//! Headers and trees of the allocation groups.

use super::Walk;
use crate::libxfs::{
    ag,
    btree::Cursor,
    error::Result,
    format::{
        ag::{agf::DiskAgf, agi::DiskAgi},
        btree::{
            Bno, Cnt, Domain, Fino, FreeExtent, Ino, InodeChunk, Refcount, Rmap, RmapRecord, Tree,
        },
        kind::Kind,
        sb::DiskSuperblock,
        units::{AgBlock, AgNumber, DiskAddr},
    },
    mount,
    store::{Device, Run, Store},
};
use std::ops::Range;

/// A whole tree, read both ways.
///
/// # Errors
///
/// The first that the cursor gives.
pub(super) fn records<S: Store, T: Tree>(
    cursor: &mut Cursor<'_, S, T>,
) -> Result<(Vec<T::Record>, bool)> {
    let mut forward = Vec::new();
    let mut record = cursor.seek_first()?;
    while let Some(found) = record {
        forward.push(found);
        record = cursor.next()?;
    }
    let mut agree = true;
    let mut expected = forward.iter().rev();
    record = cursor.seek_last()?;
    while let Some(found) = record {
        agree &= expected.next() == Some(&found);
        record = cursor.prev()?;
    }
    agree &= expected.next().is_none();
    // Look-ups of some, more would take long.
    for found in forward.iter().step_by(1 + forward.len() / 50) {
        let key = T::key(found);
        agree &= cursor.lookup_eq(&key)?.is_some();
        agree &= cursor.lookup_le(&key)?.is_some_and(|r| T::key(&r) == key);
        agree &= cursor.lookup_ge(&key)?.is_some_and(|r| T::key(&r) == key);
        let mut range = cursor.range(key, T::high_key(found));
        let mut there = false;
        while let Some(touching) = range.next()? {
            there |= touching == *found;
        }
        agree &= there;
    }
    if let (Some(first), Some(last)) = (forward.first(), forward.last()) {
        let mut range = cursor.range(T::key(first), T::high_key(last));
        let mut count = 0;
        while range.next()?.is_some() {
            count += 1;
        }
        // The last in order need not reach furthest where records overlap.
        agree &= T::OVERLAPPING || count == forward.len();
    }
    Ok((forward, agree))
}

impl<S: Store> Walk<'_, S> {
    pub(super) fn groups(&mut self) {
        let sizes = mount::check_sizes(self.store);
        self.keep(|| "sizes".into(), sizes);
        let groups = self.store.geometry().ag_count;
        for ag in (0..groups).map(AgNumber) {
            if self.stopped() {
                return;
            }
            self.group(ag);
        }
    }

    pub(super) fn superblock_counters(&mut self) {
        let run = Run {
            at: DiskAddr(0),
            len: self.store.geometry().sector_size / 512,
        };
        let block = self.store.read(Device::Data, run, Kind::Superblock);
        let block = self.keep(|| "superblock".into(), block);
        let summed = ag::sum_counters(self.store);
        let summed = self.keep(|| "counters".into(), summed);
        let Some(sb) = block.as_deref().and_then(DiskSuperblock::view) else {
            return;
        };
        let counters = sb.counters();
        if let Some(summed) = summed {
            self.agree(counters.free_blocks == summed.free_blocks, || {
                format!("superblock: {counters:?}, but groups have {summed:?}")
            });
        }
        if !self.whole() {
            return;
        }
        let rt_free = self.free_rt_extents;
        // With zones, what is free is known by who owns the rest.
        let zoned = self.store.geometry().features.zoned();
        self.agree(zoned || counters.free_rt_extents == rt_free, || {
            format!(
                "superblock: frextents {} but {rt_free} in bitmaps",
                counters.free_rt_extents
            )
        });
        let (inodes, free) = (self.chunk_inodes, self.free_inodes);
        self.agree(counters.inodes == inodes, || {
            format!(
                "superblock: icount {} but {inodes} in chunks",
                counters.inodes
            )
        });
        self.agree(counters.free_inodes == free, || {
            format!(
                "superblock: ifree {} but {free} in chunks",
                counters.free_inodes
            )
        });
    }

    fn tree<T: Tree<Pointer = AgBlock, Scope = AgNumber>>(
        &mut self,
        ag: AgNumber,
        root: (AgBlock, u32),
    ) -> Option<Vec<T::Record>> {
        let place = || format!("group {ag} {}", T::NAME);
        let cursor = Cursor::<S, T>::in_group(self.store, ag, root);
        let mut cursor = self.keep(place, cursor)?;
        let found = records(&mut cursor);
        let (records, agree) = self.keep(place, found)?;
        self.agree(agree, || {
            format!("{}: the ways through it do not agree", place())
        });
        self.add(T::NAME, records.len() as u64);
        Some(records)
    }

    fn group(&mut self, ag: AgNumber) {
        self.add("groups", 1);
        let place = || format!("group {ag}");
        let features = self.store.geometry().features;
        if ag.0 > 0 {
            let copy = ag::check_superblock_copy(self.store, ag);
            self.keep(place, copy);
        }
        let agf = ag::read_agf(self.store, ag);
        if let Some(agf) = self.keep(place, agf) {
            let free = self.free_space(ag, &agf);
            let spare = self.free_list(ag, &agf);
            if features.rmapbt() {
                let rmaps = self.tree::<Rmap>(ag, agf.rmap());
                if let (Some(free), Some(rmaps)) = (&free, rmaps) {
                    self.whole_group(ag, free, &rmaps);
                }
            }
            if features.reflink() {
                self.reference_counts(ag, &agf);
            }
            let clash = free.iter().flatten().any(|extent| {
                let free = extent.start..extent.end();
                spare.iter().any(|block| free.contains(block))
            });
            self.agree(!clash, || {
                format!("{}: a block is free and in the agfl", place())
            });
        }
        let agi = ag::read_agi(self.store, ag);
        if let Some(agi) = self.keep(place, agi) {
            self.inode_trees(ag, &agi);
        }
    }

    fn free_list(&mut self, ag: AgNumber, agf: &DiskAgf) -> Vec<AgBlock> {
        let mut blocks = Vec::new();
        let all = ag::for_each_agfl_block(self.store, ag, agf, |block| {
            blocks.push(block);
            Ok(())
        });
        self.keep(|| format!("group {ag} agfl"), all);
        blocks
    }

    fn free_space(&mut self, ag: AgNumber, agf: &DiskAgf) -> Option<Vec<FreeExtent>> {
        let by_block = self.tree::<Bno>(ag, agf.bno());
        let by_size = self.tree::<Cnt>(ag, agf.cnt());
        let (by_block, mut by_size) = (by_block?, by_size?);
        by_size.sort_by_key(|extent| extent.start);
        self.agree(by_block == by_size, || {
            format!("group {ag}: bnobt and cntbt do not hold the same extents")
        });
        let total: u64 = by_block.iter().map(|e| u64::from(e.count)).sum();
        let longest = by_block.iter().map(|e| e.count).max().unwrap_or(0);
        self.agree(total == u64::from(agf.freeblks.get()), || {
            format!("group {ag}: freeblks {} but {total} in bnobt", agf.freeblks)
        });
        self.agree(longest == agf.longest.get(), || {
            format!("group {ag}: longest {} but {longest} in bnobt", agf.longest)
        });
        Some(by_block)
    }

    /// Every block of the group is free or has an owner, and not both.
    fn whole_group(&mut self, ag: AgNumber, free: &[FreeExtent], owned: &[RmapRecord<AgBlock>]) {
        let length = self.store.geometry().ag_length(ag).unwrap_or(0);
        let mut taken: Vec<Range<u32>> = owned.iter().map(|r| r.start.0..r.end().0).collect();
        taken.sort_by_key(|r| r.start);
        let mut joined: Vec<Range<u32>> = Vec::new();
        for range in taken {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        joined.extend(free.iter().map(|e| e.start.0..e.end().0));
        joined.sort_by_key(|r| r.start);
        let mut end = 0;
        let exact = joined.iter().all(|range| {
            let touches = range.start == end;
            end = range.end;
            touches
        });
        self.agree(exact && end == length, || {
            format!("group {ag}: free space and rmaps do not make up the group")
        });
        self.rmap_blocks += owned
            .iter()
            .filter(|r| r.owner.inode().is_some())
            .map(|r| u64::from(r.count))
            .sum::<u64>();
    }

    fn reference_counts(&mut self, ag: AgNumber, agf: &DiskAgf) {
        let Some(records) = self.tree::<Refcount>(ag, agf.refcount()) else {
            return;
        };
        let staging = records.iter().filter(|r| r.domain == Domain::Cow).count();
        self.add("staging extents", staging as u64);
    }

    fn inode_trees(&mut self, ag: AgNumber, agi: &DiskAgi) {
        let chunks = self.tree::<Ino>(ag, agi.ino());
        let with_free = self
            .store
            .geometry()
            .features
            .finobt()
            .then(|| self.tree::<Fino>(ag, agi.fino()));
        let Some(chunks) = chunks else {
            return;
        };
        if let Some(Some(with_free)) = with_free {
            let expected: Vec<InodeChunk> = chunks
                .iter()
                .filter(|c| c.free_count > 0)
                .copied()
                .collect();
            self.agree(expected == with_free, || {
                format!("group {ag}: finobt does not hold inobt's chunks with free inodes")
            });
        }
        let count: u64 = chunks.iter().map(|c| u64::from(c.count)).sum();
        let free: u64 = chunks.iter().map(|c| u64::from(c.free_count)).sum();
        self.agree(count == u64::from(agi.count.get()), || {
            format!("group {ag}: agi count {} but {count} in inobt", agi.count)
        });
        self.agree(free == u64::from(agi.freecount.get()), || {
            format!(
                "group {ag}: agi freecount {} but {free} in inobt",
                agi.freecount
            )
        });
        self.chunk_inodes += count;
        self.free_inodes += free;
        for chunk in &chunks {
            if self.stopped() {
                return;
            }
            self.chunk(ag, chunk);
        }
    }
}
