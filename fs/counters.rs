// SPDX-License-Identifier: GPL-2.0

//! The summary counters at mount.
//!
//! The superblock's are exact after a clean unmount alone; else the groups' headers are summed up.
//! The headers also tell what the free-space B+trees take, which counts as free there but is not
//! for files to have.

use super::mount::Mount;
use crate::libxfs::{
    error::{
        Error,
        Result, //
    },
    format::{
        ag::{
            agf::DiskAgf,
            agi::DiskAgi, //
        },
        kind::Kind,
        sb::Counters,
        units::AgNumber, //
    },
    store::{
        Device,
        Run,
        Store, //
    },
};

/// Blocks that each group keeps for its free list to be filled again, and for one split of a bmap
/// B+tree.
const SET_ASIDE: u64 = 8;
/// Which header of a group is which.
const AGF: u32 = 1;
const AGI: u32 = 2;
/// How many groups are read ahead.
const AHEAD: u32 = 16;

/// The counters, and the free blocks that no file can have.
pub(super) fn count(mount: &Mount) -> Result<(Counters, u64)> {
    let geo = mount.geometry();
    let counters = mount.counters();
    let set_aside = u64::from(geo.ag_count) * SET_ASIDE;
    // Without recovery the log was not looked at: take it for dirty.
    let exact = !mount.options().no_recovery && counters.are_plausible(geo);
    let features = geo.features;
    let reserves = features.finobt() || features.rmapbt() || features.reflink();
    if exact && !reserves {
        return Ok((counters, set_aside));
    }

    let mut sum = Counters {
        inodes: 0,
        free_inodes: 0,
        free_blocks: 0,
        ..counters
    };
    let mut trees = 0_u64;
    for ag in 0..geo.ag_count {
        if ag % AHEAD == 0 {
            for next in ag..geo.ag_count.min(ag.saturating_add(AHEAD)) {
                read_ahead(mount, AgNumber(next), exact);
            }
        }
        let block = mount.read(Device::Data, run(mount, AgNumber(ag), AGF)?, Kind::Agf)?;
        let agf = DiskAgf::view(&block).ok_or(Error::Invalid)?;
        let tree_blocks = agf.btreeblks.get();
        // The rmap B+tree has a reservation of its own. It counts its root, the sum does not.
        let of_rmap = match features.rmapbt() {
            true => agf.rmap_blocks.get().saturating_sub(1),
            false => 0,
        };
        trees += u64::from(tree_blocks.saturating_sub(of_rmap));
        for free in [agf.freeblks, agf.flcount, agf.btreeblks] {
            sum.free_blocks += u64::from(free.get());
        }
        if exact {
            continue;
        }
        let block = mount.read(Device::Data, run(mount, AgNumber(ag), AGI)?, Kind::Agi)?;
        let agi = DiskAgi::view(&block).ok_or(Error::Invalid)?;
        sum.inodes += u64::from(agi.count.get());
        sum.free_inodes += u64::from(agi.freecount.get());
    }
    let unavailable = match reserves {
        true => set_aside.saturating_add(trees),
        false => set_aside,
    };
    Ok((if exact { counters } else { sum }, unavailable))
}

fn run(mount: &Mount, ag: AgNumber, index: u32) -> Result<Run> {
    let geo = mount.geometry();
    Ok(Run {
        at: geo.ag_header_addr(ag, index).ok_or(Error::Invalid)?,
        len: geo.sector_size >> 9,
    })
}

fn read_ahead(mount: &Mount, ag: AgNumber, exact: bool) {
    if let Ok(run) = run(mount, ag, AGF) {
        mount.read_ahead(Device::Data, run, Kind::Agf);
    }
    if exact {
        return;
    }
    if let Ok(run) = run(mount, ag, AGI) {
        mount.read_ahead(Device::Data, run, Kind::Agi);
    }
}
