// SPDX-License-Identifier: GPL-2.0

//! What comes before each change of a group's free space, and the reverse mappings that go with it.

use super::{BlockOwner, Reserve};
use crate::libxfs::{
    ag::LockedAgf,
    alloc::{fill_list, take_surplus},
    defer::Deferred,
    error::Result,
    format::{
        btree::{FreeExtent, Owner, Rmap, RmapRecord},
        units::{AgBlock, FileBlock},
    },
    items::ExtentFree,
    journal::Journal,
    rmap::{Mappings, Sharing},
    store::Device,
    trans::Trans,
};

/// Who owns the list's blocks, and the blocks of the trees that take from it.
const LIST: BlockOwner = BlockOwner::new(Owner::Ag);

/// Sees that the group's list has what one change of its trees can take, and not more. Returns
/// whether it has that much: only in a group that is full it has less.
pub(super) fn settle_list<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    agf: &LockedAgf,
) -> Result<bool> {
    while let Some(block) = take_surplus(trans, agf)? {
        let block = trans.geometry().fs_block(agf.ag, block);
        let start = block.ok_or_else(|| agf.corrupt(trans, "flfirst"))?;
        deferred.free_extent(
            Device::Data,
            ExtentFree::block(start.0, LIST, Reserve::Agfl),
        )?;
    }
    fill_list(trans, agf, |trans, agf, extent| {
        own(trans, agf, extent, LIST)
    })
}

/// The mapping of an extent.
fn mapping(extent: &FreeExtent, owner: BlockOwner) -> RmapRecord<AgBlock> {
    RmapRecord {
        start: extent.start,
        count: extent.count,
        owner: owner.owner,
        offset: FileBlock(0),
        flags: owner.flags,
    }
}

/// Notes who owns an extent that was just allocated.
pub(super) fn own<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    extent: &FreeExtent,
    owner: BlockOwner,
) -> Result {
    if !trans.geometry().features.rmapbt() || owner.owner == Owner::Null {
        return Ok(());
    }
    Mappings::<_, Rmap>::new(&mut agf.tree(trans), agf.ag, agf.ag.0.into())
        .map(&mapping(extent, owner), Sharing::Exclusive)
}

/// Notes that an extent which is about to be freed has lost its owner.
pub(super) fn disown<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    extent: &FreeExtent,
    owner: BlockOwner,
) -> Result {
    if !trans.geometry().features.rmapbt() || owner.owner == Owner::Null {
        return Ok(());
    }
    Mappings::<_, Rmap>::new(&mut agf.tree(trans), agf.ag, agf.ag.0.into())
        .unmap(&mapping(extent, owner), Sharing::Exclusive)
}
