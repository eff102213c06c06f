// SPDX-License-Identifier: GPL-2.0

//! The summary counters at mount.
//!
//! The superblock's are exact after a clean unmount alone; else the groups' headers are summed up.
//! The headers also tell what the free-space B+trees take, which counts as free there but is not
//! for files to have.

use super::mount::Mount;
use crate::libxfs::{
    ag::{
        self,
        Summary, //
    },
    error::Result,
    format::{
        sb::Counters,
        units::{
            AgNumber,
            RtExtent,
            RtGroup, //
        },
    },
    rt::{
        self,
        GroupFile, //
    },
};

/// How many groups are read ahead.
const READ_AHEAD: u32 = 16;

/// The counters, and the blocks of free-space trees where it is known what these take.
///
/// `will_change` says that it is needed for sure, `was_dirty` that the superblock's counters are not
/// exact.
pub(super) fn count(mount: &Mount, will_change: bool, was_dirty: bool) -> Result<(Counters, u64)> {
    let geo = mount.geometry();
    let mut counters = mount.counters();
    // Without recovery the log was not looked at: take it for dirty.
    if was_dirty || mount.options().no_recovery || !counters.are_plausible(geo) {
        counters = Counters {
            free_rt_extents: match was_dirty {
                true => free_rt_extents(mount)?,
                false => counters.free_rt_extents,
            },
            ..ag::sum_counters(mount)?
        };
    }
    let features = geo.features;
    let mut tree_blocks = 0_u64;
    // The C driver learns of the trees' blocks where it reserves space for other trees.
    if will_change || features.finobt() || features.rmapbt() || features.reflink() {
        for ag in 0..geo.ag_count {
            if ag % READ_AHEAD == 0 {
                for next in ag..geo.ag_count.min(ag.saturating_add(READ_AHEAD)) {
                    ag::read_ahead_headers(mount, AgNumber(next));
                }
            }
            let group = Summary::read(mount, AgNumber(ag))?;
            tree_blocks = tree_blocks.saturating_add(u64::from(group.alloc_tree_blocks));
        }
    }
    Ok((counters, tree_blocks))
}

/// Counts the free extents of the realtime section.
fn free_rt_extents(mount: &Mount) -> Result<u64> {
    let geo = mount.geometry();
    if geo.rt_extents == 0 || !GroupFile::Bitmap.is_present(geo) {
        return Ok(0);
    }
    let mut sum = 0_u64;
    let mut count = |group| -> Result {
        let bitmap = rt::open(mount, group, GroupFile::Bitmap)?;
        let (from, end) = (RtExtent(0), RtExtent(u64::MAX));
        let mut runs = rt::free_runs(mount, &bitmap, group, from, end)?;
        while let Some(run) = runs.next()? {
            sum = sum.saturating_add(run.len);
        }
        Ok(())
    };
    match geo.rt_group_count {
        0 => count(None)?,
        groups => (0..groups).try_for_each(|group| count(Some(RtGroup(group))))?,
    }
    Ok(sum)
}
