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
        units::AgNumber, //
    },
};

/// How many groups are read ahead.
const READ_AHEAD: u32 = 16;

/// The counters, and the free blocks that no file can have.
pub(super) fn count(mount: &Mount) -> Result<(Counters, u64)> {
    let geo = mount.geometry();
    let mut counters = mount.counters();
    // Without recovery the log was not looked at: take it for dirty.
    if mount.options().no_recovery || !counters.are_plausible(geo) {
        counters = Counters {
            free_rt_extents: counters.free_rt_extents,
            ..ag::sum_counters(mount)?
        };
    }
    let features = geo.features;
    let mut unavailable = ag::set_aside(geo);
    // The C driver learns of the trees' blocks where it reserves space for other trees.
    if features.finobt() || features.rmapbt() || features.reflink() {
        for ag in 0..geo.ag_count {
            if ag % READ_AHEAD == 0 {
                for next in ag..geo.ag_count.min(ag.saturating_add(READ_AHEAD)) {
                    ag::read_ahead_headers(mount, AgNumber(next));
                }
            }
            let group = Summary::read(mount, AgNumber(ag))?;
            unavailable = unavailable.saturating_add(u64::from(group.alloc_tree_blocks));
        }
    }
    Ok((counters, unavailable))
}
