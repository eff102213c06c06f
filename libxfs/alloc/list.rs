// SPDX-License-Identifier: GPL-2.0

//! The group's list of blocks for its trees (AGFL), kept long enough for whatever comes.

use super::{by_size, Request};
use crate::libxfs::{
    ag::{min_list_blocks, LockedAgf, Use},
    error::Result,
    format::{ag::agf::DiskAgf, btree::FreeExtent, geometry::Geometry, units::AgBlock},
    journal::Journal,
    trans::Trans,
};

/// The longest extent that a group can give, when `reserved` of its blocks are kept for others and
/// the list is filled first. Blocks.
pub fn longest_usable(geo: &Geometry, agf: &DiskAgf, reserved: u32) -> u32 {
    let longest = agf.longest.get();
    let fill = min_list_blocks(geo, agf).saturating_sub(agf.flcount.get());
    let others = agf.freeblks.get().saturating_sub(longest);
    longest
        .saturating_sub(fill)
        .saturating_sub(reserved.saturating_sub(others))
}

/// Fills the list, so that the group's trees can be changed once: call it before each allocation
/// and each free. `own` is told of each extent that goes to the list, to note its owner in the
/// reverse-mapping tree. Returns whether the list is long enough; only in a group without any free
/// space it is not.
///
/// # Errors
///
/// Those of `own`, of reading and of corruption. After an error the transaction must not be
/// committed.
pub fn fill_list<'a, J: Journal>(
    trans: &mut Trans<'a, J>,
    agf: &LockedAgf,
    mut own: impl FnMut(&mut Trans<'a, J>, &LockedAgf, &FreeExtent) -> Result,
) -> Result<bool> {
    loop {
        let header = agf.get(trans)?;
        let need = min_list_blocks(trans.geometry(), header);
        let have = header.flcount.get();
        let Some(lacking) = need.checked_sub(have).filter(|&n| n > 0) else {
            return Ok(true);
        };
        let Some(extent) = by_size(trans, agf, &Request::new(1, lacking))? else {
            return Ok(false);
        };
        own(trans, agf, &extent)?;
        for block in extent.start.0..extent.end().0 {
            agf.list(trans, AgBlock(block), Use::Space)?;
        }
    }
}

/// Takes a block off a list that is longer than it has to be; `None` when it is not. The caller
/// frees it in a later transaction of the chain, as deferred work: freeing it here could change the
/// trees once more than the log space of this transaction allows.
///
/// # Errors
///
/// Those of reading and of corruption.
pub fn take_surplus<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
) -> Result<Option<AgBlock>> {
    let header = agf.get(trans)?;
    if header.flcount.get() <= min_list_blocks(trans.geometry(), header) {
        return Ok(None);
    }
    agf.take_listed(trans, Use::Space)
}
