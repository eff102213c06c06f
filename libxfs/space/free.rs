// SPDX-License-Identifier: GPL-2.0

//! Extents that become free space again.

use super::{
    prepare::{disown, settle_list},
    BlockOwner, Reserve,
};
use crate::libxfs::{
    ag::LockedAgf,
    alloc,
    defer::Deferred,
    error::{Error, Result},
    format::{btree::FreeExtent, units::FsBlock},
    journal::Journal,
    trans::Trans,
};

/// Frees an extent within the transaction, with the reverse mapping of `owner`.
///
/// The transaction must have locked no group that is higher, unless it has locked this one too. That
/// is why most of what is freed is asked of [`Deferred::free_extent`] instead, whose work comes
/// sorted.
///
/// # Errors
///
/// `Invalid` for an extent that is not one of a group; `Corrupt` where a part of it is free already or
/// has another owner; those of reading. After an error the transaction must not be committed.
pub fn free<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    start: FsBlock,
    count: u32,
    owner: BlockOwner,
    reserve: Reserve,
) -> Result {
    let geo = trans.geometry();
    let (ag, start) = geo.split_fs_block(start).ok_or(Error::Invalid)?;
    if !geo.ag_extent_is_valid(ag, start, count) {
        return Err(Error::Invalid);
    }
    let agf = LockedAgf::lock(trans, ag)?;
    // In a group without any free space the list may stay short. Then the trees are small, and a
    // free that begins with none of it hardly grows them.
    settle_list(trans, deferred, &agf)?;
    let extent = FreeExtent { start, count };
    disown(trans, &agf, &extent, owner)?;
    alloc::free(trans, &agf, start, count)?;
    let free = trans
        .journal()
        .with_group(ag, |group| match group.serving(reserve, owner) {
            Reserve::None => count,
            Reserve::Agfl => 0,
            Reserve::Metadata => group.metadata.give(count),
        })?;
    trans.give_blocks(free.into());
    Ok(())
}
