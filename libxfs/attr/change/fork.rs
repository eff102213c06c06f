// SPDX-License-Identifier: GPL-2.0

//! Where the attribute fork starts: the two forks share the inode's literal area.
//!
//! Source: "Extended Attributes" in the XFS format's documentation, and what
//! `fs/xfs/libxfs/xfs_attr_leaf.c` and `xfs_bmap.c` of Linux 7.3 choose, so that either driver finds
//! the room that it expects.

use super::AttrMut;
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    extents::ExtentMap,
    format::inode::{literal_size, ForkFormat, FORKOFF_UNIT},
    inode::{Fork, Inode},
    journal::Journal,
};

/// Bytes of a mapping.
const MAPPING: usize = 16;
/// Bytes of the root of a fork's B+tree with `n` records.
const fn root_size(n: usize) -> usize {
    n.saturating_mul(MAPPING).saturating_add(4)
}
/// Fewest records that a data fork's root must have room for.
const DATA_RECORDS: usize = 3;
/// Fewest records that an attribute fork's root must have room for.
const ATTR_RECORDS: usize = 2;

/// Bytes of the data fork where nothing speaks for another size.
fn default_data_size(inode: &Inode, literal: usize) -> usize {
    if let Fork::Dev(_) = inode.data {
        FORKOFF_UNIT
    } else {
        root_size(6 * ATTR_RECORDS).min(literal.saturating_sub(root_size(ATTR_RECORDS)))
    }
}

/// Bytes that the data fork takes now.
pub(super) fn data_bytes(inode: &Inode) -> usize {
    match &inode.data {
        Fork::Dev(_) => FORKOFF_UNIT,
        Fork::Local(bytes) | Fork::Meta(bytes) => bytes.len(),
        // Delayed blocks are in memory alone.
        Fork::Extents(_) => usize::try_from(inode.core.nextents)
            .unwrap_or(usize::MAX)
            .saturating_mul(MAPPING),
        Fork::Btree(tree) => {
            let records = tree
                .root
                .get(2..4)
                .and_then(|bytes| bytes.first_chunk::<2>());
            root_size(records.map_or(0, |bytes| u16::from_be_bytes(*bytes).into()))
        }
    }
}

/// Where the attribute fork of an inode starts, in units of 8 bytes, if it is to hold `bytes` bytes
/// and the data fork what it has; `None` if it cannot.
fn offset_for(inode: &Inode, literal: usize, bytes: usize) -> Option<u8> {
    let forkoff = usize::from(inode.core.forkoff);
    let units = |offset: usize| u8::try_from(offset).ok();
    if let Fork::Dev(_) = inode.data {
        return (bytes <= literal.saturating_sub(FORKOFF_UNIT)).then_some(1);
    }
    let offset = literal.checked_sub(bytes)? / FORKOFF_UNIT;
    // What fits where it is stays.
    if forkoff != 0 && offset >= forkoff {
        return units(forkoff);
    }
    let data = match &inode.data {
        // Growing the attribute fork would move the root.
        Fork::Btree(_) | Fork::Meta(_) if forkoff != 0 => return None,
        Fork::Extents(_) if forkoff == 0 => {
            let taken = data_bytes(inode);
            if taken > default_data_size(inode, literal) {
                // It will become a tree anyway.
                root_size(DATA_RECORDS)
            } else {
                taken
            }
        }
        _ => data_bytes(inode),
    };
    let least = data.max(root_size(DATA_RECORDS)).div_ceil(FORKOFF_UNIT);
    let most = literal.saturating_sub(root_size(ATTR_RECORDS)) / FORKOFF_UNIT;
    match offset {
        _ if offset >= most => units(most),
        _ if offset >= least => units(offset),
        _ => None,
    }
}

impl<J: Journal, S: ForkSpace<J>> AttrMut<'_, '_, J, S> {
    /// Where the fork starts if it is to hold `bytes` bytes in the inode.
    pub(super) fn offset_for(&self, bytes: usize) -> Result<Option<u8>> {
        let literal = literal_size(self.names.geometry());
        Ok(offset_for(self.names.inode()?, literal, bytes))
    }

    /// Gives the inode an attribute fork, with room for `bytes` bytes if that can be. A data fork
    /// that has too little room left moves out of the inode.
    pub(super) fn add_fork(&mut self, bytes: usize) -> Result {
        let literal = literal_size(self.names.geometry());
        let inode = self.names.inode()?;
        if inode.core.forkoff != 0 {
            return Err(Error::Invalid);
        }
        let default = default_data_size(inode, literal) / FORKOFF_UNIT;
        let default = u8::try_from(default).map_err(|_| Error::Invalid)?;
        let offset = offset_for(inode, literal, bytes).unwrap_or(default);
        let room = usize::from(offset).saturating_mul(FORKOFF_UNIT);
        // A root lies where the size of its fork says: it moves, if it does not have to shrink.
        if data_bytes(inode) > room || matches!(inode.data, Fork::Btree(_)) {
            let id = self.names.inode;
            self.names
                .space
                .shrink_data_fork(self.names.trans, id, room)?;
        }
        let inode = self.names.change_inode()?;
        inode.core.forkoff = offset;
        inode.core.aformat = ForkFormat::Extents;
        inode.core.anextents = 0;
        inode.attr = Some(Fork::Extents(ExtentMap::new()));
        Ok(())
    }

    /// Whether an attribute fork with nothing in it can go.
    pub(super) fn may_lose_fork(&self) -> Result<bool> {
        // The root of a tree lies where the present size of its fork says.
        Ok(!matches!(
            self.names.inode()?.data,
            Fork::Btree(_) | Fork::Meta(_)
        ))
    }

    /// Takes the attribute fork away.
    pub(super) fn remove_fork(&mut self) -> Result {
        let inode = self.names.change_inode()?;
        inode.core.forkoff = 0;
        inode.core.aformat = ForkFormat::Extents;
        inode.core.anextents = 0;
        inode.attr = None;
        Ok(())
    }
}
