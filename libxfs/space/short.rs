// SPDX-License-Identifier: GPL-2.0

//! Groups in which little is left: what makes their trees grow and can be refused is refused there.

use crate::libxfs::{
    ag,
    error::Result,
    format::{
        btree::{Rmap, Tree},
        units::AgNumber,
    },
    journal::Journal,
};

/// Whether a group has less than a tenth of what its trees may have asked for, or not even a block for
/// each level of one. Source: `xfs_ag_resv_critical` in `fs/xfs/libxfs/xfs_ag_resv.c` of Linux 7.3.
///
/// # Errors
///
/// Those of reading the group's header, which the caller's transaction does not hold.
pub fn is_short<J: Journal>(journal: &J, ag: AgNumber) -> Result<bool> {
    let header = ag::read_agf(journal, ag)?;
    let (metadata, rmap) = journal.with_group(ag, |group| (group.metadata, group.rmap))?;
    let free = header.freeblks.get();
    let least = u32::from(Rmap::max_levels(journal.geometry()));
    let is_short = |free: u32, asked: u32| free < asked / 10 || free < least;
    let spare = free.saturating_add(header.flcount.get());
    Ok(is_short(free.saturating_sub(rmap.left), metadata.asked)
        || is_short(spare.saturating_sub(metadata.left), rmap.asked))
}
