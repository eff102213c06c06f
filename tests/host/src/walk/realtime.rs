// SPDX-License-Identifier: GPL-2.0

//! The realtime section: its bitmap and summary hold what is free.

use super::Walk;
use crate::libxfs::{
    error::Result,
    format::units::{InodeNumber, RtExtent, RtGroup},
    inode::{Inode, Trust, WhichFork},
    rt,
    store::Store,
};

/// Free runs by level (log2 of their length) and the block of the bitmap in which they start.
type Levels = std::collections::BTreeMap<(u32, u64), u32>;

impl<S: Store> Walk<'_, S> {
    /// The bitmap and the summary of a file system without realtime groups.
    pub(super) fn realtime(&mut self) {
        let geo = self.store.geometry();
        if geo.rt_extents == 0 {
            return;
        }
        if let (Some(bitmap), Some(summary)) = (geo.rt_bitmap_inode, geo.rt_summary_inode) {
            self.free_extents(None, bitmap, summary);
        }
    }

    /// Adds up the free extents of a bitmap, and holds the summary against them.
    pub(super) fn free_extents(
        &mut self,
        group: Option<RtGroup>,
        bitmap: InodeNumber,
        summary: InodeNumber,
    ) {
        let place = || format!("realtime group {group:?}");
        let read = self.loaded(bitmap);
        let bitmap = self.keep(place, read);
        let read = self.loaded(summary);
        let summary = self.keep(place, read);
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

    fn loaded(&self, number: InodeNumber) -> Result<Inode> {
        let mut inode = Inode::read(self.store, number, Trust::Trusted)?;
        inode.load_extents(self.store, WhichFork::Data)?;
        Ok(inode)
    }

    fn count_free(&self, group: Option<RtGroup>, bitmap: &Inode) -> Result<(u64, Levels)> {
        let geo = self.store.geometry();
        let mut runs = rt::free_runs(self.store, bitmap, group, RtExtent(0), RtExtent(u64::MAX))?;
        let header = if geo.features.metadir() { 48 } else { 0 };
        let extents_per_block = u64::from(geo.block_size - header) * 8;
        let mut free = 0;
        let mut levels = Levels::new();
        while let Some(run) = runs.next()? {
            free += run.len;
            let level = run.len.ilog2();
            let block = run.start.0 / extents_per_block;
            *levels.entry((level, block)).or_default() += 1;
        }
        Ok((free, levels))
    }
}
