// SPDX-License-Identifier: GPL-2.0

//! The realtime section and the quota files: what the metadata's own inodes hold.

use super::{groups::records, Walk};
use crate::libxfs::{
    btree::Cursor,
    error::{Error, Result},
    format::{
        btree::Tree,
        quota::QuotaType,
        rt::extents_per_block,
        units::{RtExtent, RtGroup},
    },
    inode::Inode,
    quota,
    rt::{self, GroupFile},
    store::Store,
};
use std::collections::BTreeMap;

/// Free runs by level (log2 of their length) and the block of the bitmap in which they start.
type Levels = BTreeMap<(u32, u64), u32>;

/// Quota records of a type that are read; a hostile file could have very many.
const DQUOTS: usize = 10_000;

impl<S: Store> Walk<'_, S> {
    pub(super) fn realtime(&mut self) {
        let geo = self.store.geometry();
        let features = geo.features;
        if geo.rt_extents > 0 {
            let superblock = rt::check_superblock(self.store);
            self.keep(|| "realtime superblock".into(), superblock);
            if !features.metadir() {
                self.free_extents(None);
            }
            for group in (0..geo.rt_group_count).map(RtGroup) {
                if self.stopped() {
                    return;
                }
                if !features.zoned() {
                    self.free_extents(Some(group));
                }
                self.group_trees(group);
            }
        }
        for quota_type in [QuotaType::User, QuotaType::Group, QuotaType::Project] {
            self.quota(quota_type);
        }
    }

    fn group_trees(&mut self, group: RtGroup) {
        let store = self.store;
        let features = store.geometry().features;
        let place = || format!("realtime group {group}");
        if features.rmapbt() {
            let file = rt::open(store, Some(group), GroupFile::Rmap);
            if let Some(inode) = self.keep(place, file) {
                let cursor = rt::rmap(store, group, &inode);
                self.tree_in_inode(place, cursor);
            }
        }
        if features.reflink() {
            let file = rt::open(store, Some(group), GroupFile::Refcount);
            if let Some(inode) = self.keep(place, file) {
                let cursor = rt::refcount(store, group, &inode);
                self.tree_in_inode(place, cursor);
            }
        }
    }

    fn tree_in_inode<T: Tree>(
        &mut self,
        place: impl Fn() -> String,
        cursor: Result<Cursor<'_, S, T>>,
    ) {
        let found = cursor.and_then(|mut cursor| records(&mut cursor));
        if let Some((records, agree)) = self.keep(&place, found) {
            self.agree(agree, || {
                format!("{} {}: the ways through it do not agree", place(), T::NAME)
            });
            self.add(T::NAME, records.len() as u64);
            self.add("realtime trees", 1);
        }
    }

    /// Adds up the free extents of a bitmap, and holds the summary against them.
    fn free_extents(&mut self, group: Option<RtGroup>) {
        let place = || format!("realtime group {group:?}");
        let bitmap = rt::open(self.store, group, GroupFile::Bitmap);
        let bitmap = self.keep(place, bitmap);
        let summary = rt::open(self.store, group, GroupFile::Summary);
        let summary = self.keep(place, summary);
        let (Some(bitmap), Some(summary)) = (bitmap, summary) else {
            return;
        };
        let counted = self.count_free(group, &bitmap);
        let Some((free, levels)) = self.keep(place, counted) else {
            return;
        };
        self.free_rt_extents += free;
        self.add("free realtime extents", free);
        for ((level, block), count) in levels {
            let summed = rt::summary(self.store, &summary, level, block);
            let Some(summed) = self.keep(place, summed) else {
                return;
            };
            self.agree(summed == count, || {
                format!(
                    "{}: level {level} block {block}: {count} runs, not {summed}",
                    place()
                )
            });
        }
    }

    fn count_free(&self, group: Option<RtGroup>, bitmap: &Inode) -> Result<(u64, Levels)> {
        let end = RtExtent(u64::MAX);
        let mut runs = rt::free_runs(self.store, bitmap, group, RtExtent(0), end)?;
        let per_block = extents_per_block(self.store.geometry());
        let mut free = 0;
        let mut levels = Levels::new();
        while let Some(run) = runs.next()? {
            free += run.len;
            let level = run.len.ilog2();
            *levels.entry((level, run.start.0 / per_block)).or_default() += 1;
        }
        Ok((free, levels))
    }

    /// Reads the quota records that there are, by number and one after the other.
    fn quota(&mut self, quota_type: QuotaType) {
        let place = || format!("{quota_type:?} quota");
        let file = match quota::open(self.store, quota_type) {
            Err(Error::NotFound) => return,
            file => file,
        };
        let Some(file) = self.keep(place, file) else {
            return;
        };
        let mut id = 0;
        for _ in 0..DQUOTS {
            let next = quota::next(self.store, &file, quota_type, id);
            let Some(Some(dquot)) = self.keep(place, next) else {
                return;
            };
            self.agree(dquot.id >= id, || {
                format!("{}: {} after {id}", place(), dquot.id)
            });
            let again = quota::read(self.store, &file, quota_type, dquot.id);
            self.keep(place, again);
            self.add("quota records", 1);
            match dquot.id.checked_add(1) {
                Some(next) => id = next,
                None => return,
            }
        }
    }
}
