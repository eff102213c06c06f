// SPDX-License-Identifier: GPL-2.0

//! Changes of a fork's map as deferred work (BUI).

use super::{change::blocks, fork::ForkMut, Unmapped};
use crate::libxfs::{
    defer::Deferred,
    error::Result,
    extents::{MappedBlock, Mapping, State},
    inode::{Inode, WhichFork},
    items::{BmapUpdate, BmapUpdateKind},
    journal::Journal,
    store::Device,
    trans::{InodeId, Trans},
};

/// What to ask for where a mapping is to come to a fork, or to go.
pub(super) fn wanted(
    inode: &Inode,
    fork: WhichFork,
    kind: BmapUpdateKind,
    mapping: &Mapping,
) -> Result<BmapUpdate> {
    Ok(BmapUpdate {
        kind,
        inode: inode.number,
        fork,
        offset: mapping.offset,
        start: mapping.start.0,
        count: blocks(mapping)?,
        unwritten: mapping.state == State::Unwritten,
        realtime: inode.device(fork) == Device::Realtime,
    })
}

/// Maps an extent, or unmaps what the fork has of one mapping at its beginning. The blocks keep their
/// owners; their reverse mappings follow. Returns how many blocks are done.
///
/// # Errors
///
/// `Corrupt` where what is to be mapped is no hole, or blocks are of another device than the fork's;
/// those of [`ForkMut::map`] and [`ForkMut::unmap`].
pub fn update<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    id: InodeId,
    update: &BmapUpdate,
) -> Result<u32> {
    let mut fork = ForkMut::new(trans, deferred, id, update.fork)?;
    let mapping = Mapping {
        offset: update.offset,
        start: MappedBlock(update.start),
        len: update.count.into(),
        state: if update.unwritten {
            State::Unwritten
        } else {
            State::Normal
        },
    };
    if update.realtime != (fork.device()? == Device::Realtime) {
        return Err(fork.corrupt("startblock"));
    }
    let (from, end) = (mapping.offset, mapping.end());
    match update.kind {
        BmapUpdateKind::Map => {
            let found = fork.extents()?.lookup(from);
            if found.is_some_and(|found| found.offset < end) {
                return Err(fork.corrupt("startoff"));
            }
            fork.map(&mapping)?;
            Ok(update.count)
        }
        BmapUpdateKind::Unmap => {
            let first = fork.extents()?.lookup(from);
            let Some(part) = first.and_then(|first| first.trimmed(from, end)) else {
                return Ok(update.count);
            };
            fork.unmap(part.offset, part.end(), Unmapped::Kept, 1)?;
            let done = part.end().distance_from(from);
            Ok(done.map_or(update.count, |done| done.min(update.count.into()) as u32))
        }
    }
}
