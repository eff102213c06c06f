// SPDX-License-Identifier: GPL-2.0

//! Changes of reverse mappings: who owns which blocks of a group.
//!
//! A record is a run of blocks with one owner; if that is a fork, the run lies at one offset of it.
//! What belongs together is one record: a mapping is merged with the one before and the one behind
//! it, so the tree is the same however its mappings came about. Extents of files that share blocks
//! overlap, and then the record before in the tree need not be the neighbour in the fork; it takes a
//! query of the block before to find that one.
//!
//! The trees of groups and of realtime groups are changed by the same code, in any
//! [`BlocksMut`].
//!
//! Source: "Reverse-Mapping B+tree" in the XFS format's documentation, and
//! `fs/xfs/libxfs/xfs_rmap.c` of Linux 7.3 for what merges and what is corrupt.

use super::{
    btree::{BlocksMut, Path, RangeState},
    error::{Error, Result},
    format::{
        btree::{GroupBlock, Owner, RmapKey, RmapRecord, Tree},
        units::FileBlock,
    },
    items::RmapUpdateKind,
};

/// Whether blocks of an extent may have more owners than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They have none but this. Metadata, and files that never shared a block.
    Exclusive,
    /// They may have others.
    Shared,
}

/// A reverse-mapping tree that is changed.
///
/// After an error it may be half changed, and the transaction must not be committed.
pub struct Mappings<'b, A: BlocksMut<T>, T: Tree> {
    blocks: &'b mut A,
    path: Path<A::Block, T>,
}

/// Whether a record's offset means something: where the blocks lie in a fork.
fn has_offset<N>(record: &RmapRecord<N>) -> bool {
    matches!(record.owner, Owner::Inode(_)) && !record.flags.bmbt_block
}

/// Whether `next` goes on where `record` ends, in all respects.
fn continues<N: GroupBlock>(record: &RmapRecord<N>, next: &RmapRecord<N>) -> bool {
    record.owner == next.owner
        && record.flags == next.flags
        && record.end() == next.start
        && record.count.checked_add(next.count).is_some()
        && (!has_offset(record)
            || record.offset.checked_add(record.count.into()) == Some(next.offset))
}

/// The part of a record from `skip` blocks behind its start.
fn part<N: GroupBlock>(record: &RmapRecord<N>, skip: u32, count: u32) -> Option<RmapRecord<N>> {
    Some(RmapRecord {
        start: N::from_raw(record.start.raw().checked_add(skip)?),
        count,
        offset: if has_offset(record) {
            record.offset.checked_add(skip.into())?
        } else {
            record.offset
        },
        ..*record
    })
}

/// Blocks of a record before and behind a part of it; `None` if `extent` is no part of it.
fn around<N: GroupBlock>(record: &RmapRecord<N>, extent: &RmapRecord<N>) -> Option<(u32, u32)> {
    let before = extent.start.raw().checked_sub(record.start.raw())?;
    let behind = record
        .count
        .checked_sub(before)?
        .checked_sub(extent.count)?;
    Some((before, behind))
}

/// As [`around`], of an extent with the record's owner, place in its fork and state.
fn around_owned<N: GroupBlock>(
    record: &RmapRecord<N>,
    extent: &RmapRecord<N>,
) -> Option<(u32, u32)> {
    let (before, behind) = around(record, extent)?;
    (part(record, before, extent.count)? == *extent).then_some((before, behind))
}

impl<'b, A, T, N> Mappings<'b, A, T>
where
    A: BlocksMut<T>,
    T: Tree<Key = RmapKey<N>, Record = RmapRecord<N>>,
    N: GroupBlock,
{
    /// The tree in `blocks`, which name `owner`: the group's number, or the inode with the root.
    pub fn new(blocks: &'b mut A, scope: T::Scope, owner: u64) -> Self {
        Self {
            blocks,
            path: Path::new(scope, owner),
        }
    }

    /// Does what an update says. In one that converts, `extent` has the state that it gets.
    ///
    /// # Errors
    ///
    /// Those of [`map`](Self::map), [`unmap`](Self::unmap) and [`convert`](Self::convert).
    pub fn apply(&mut self, kind: RmapUpdateKind, extent: &RmapRecord<N>) -> Result {
        match kind {
            RmapUpdateKind::Map | RmapUpdateKind::Alloc => self.map(extent, Sharing::Exclusive),
            RmapUpdateKind::MapShared => self.map(extent, Sharing::Shared),
            RmapUpdateKind::Unmap | RmapUpdateKind::Free => self.unmap(extent, Sharing::Exclusive),
            RmapUpdateKind::UnmapShared => self.unmap(extent, Sharing::Shared),
            RmapUpdateKind::Convert => self.convert(extent, Sharing::Exclusive),
            RmapUpdateKind::ConvertShared => self.convert(extent, Sharing::Shared),
        }
    }

    /// Adds a mapping.
    ///
    /// # Errors
    ///
    /// `Corrupt` where the extent has that owner already, or another one and is exclusive, or leaves
    /// its group; those of changing the tree.
    pub fn map(&mut self, extent: &RmapRecord<N>, sharing: Sharing) -> Result {
        let before = match sharing {
            Sharing::Exclusive => self.exclusive_before(extent)?,
            Sharing::Shared => self.shared_before(extent)?,
        };
        let behind = self.behind(extent, sharing)?;
        let mut merged = *extent;
        if let Some(behind) = behind {
            merged.count = self.sum(merged.count, behind.count)?;
        }
        match (before, behind) {
            (None, None) => self.path.insert(self.blocks, extent),
            (None, Some(behind)) => self.move_start(&behind, &merged, sharing),
            (Some(before), behind) => {
                if let Some(behind) = behind {
                    self.stand_on(&behind)?;
                    self.path.delete(self.blocks)?;
                }
                self.stand_on(&before)?;
                let count = self.sum(before.count, merged.count)?;
                self.path
                    .update(self.blocks, &RmapRecord { count, ..before })
            }
        }
    }

    /// Removes a mapping, or a part of one.
    ///
    /// The owner [`Null`](Owner::Null) says that the blocks have no owner, and nothing changes.
    /// [`Unknown`](Owner::Unknown) says that they have one at most, who loses them: recovery frees
    /// extents of which the log does not say whose they were, and whose mappings may be gone.
    ///
    /// # Errors
    ///
    /// `Corrupt` where the owner does not have all of the extent in that state; those of changing
    /// the tree.
    pub fn unmap(&mut self, extent: &RmapRecord<N>, sharing: Sharing) -> Result {
        let found = match extent.owner {
            Owner::Null | Owner::Unknown => self.find_any(extent)?,
            _ => Some(self.find(extent, sharing)?),
        };
        let Some(record) = found else {
            return Ok(());
        };
        let (before, behind) = around(&record, extent).ok_or_else(|| self.corrupt("blockcount"))?;
        let skip = self.sum(before, extent.count)?;
        let rest = part(&record, skip, behind).ok_or_else(|| self.corrupt("offset"))?;
        match (before, behind) {
            (0, 0) => self.path.delete(self.blocks),
            (0, _) => self.move_start(&record, &rest, sharing),
            (count, _) => {
                self.path
                    .update(self.blocks, &RmapRecord { count, ..record })?;
                if behind != 0 {
                    self.path.insert(self.blocks, &rest)?;
                }
                Ok(())
            }
        }
    }

    /// Changes a mapping, or a part of one, to the state that `extent` has: written, or unwritten.
    ///
    /// # Errors
    ///
    /// `Corrupt` where the owner does not have all of the extent in the other state; those of
    /// changing the tree.
    pub fn convert(&mut self, extent: &RmapRecord<N>, sharing: Sharing) -> Result {
        let mut old = *extent;
        old.flags.unwritten = !extent.flags.unwritten;
        self.unmap(&old, sharing)?;
        self.map(extent, sharing)
    }

    fn corrupt(&self, field: &'static str) -> Error {
        self.path.inconsistent(&*self.blocks, field)
    }

    fn sum(&self, count: u32, more: u32) -> Result<u32> {
        count
            .checked_add(more)
            .ok_or_else(|| self.corrupt("blockcount"))
    }

    /// Goes to a record that was seen before.
    fn stand_on(&mut self, record: &RmapRecord<N>) -> Result {
        if self.path.record(&*self.blocks)? == Some(*record) {
            return Ok(());
        }
        match self.path.lookup_eq(self.blocks, &T::key(record))? {
            Some(found) if found == *record => Ok(()),
            _ => Err(self.corrupt("record")),
        }
    }

    /// Has a record begin elsewhere, with what follows from that.
    fn move_start(
        &mut self,
        record: &RmapRecord<N>,
        to: &RmapRecord<N>,
        sharing: Sharing,
    ) -> Result {
        self.stand_on(record)?;
        match sharing {
            Sharing::Exclusive => self.path.update(self.blocks, to),
            // Others may lie between the two places.
            Sharing::Shared => {
                self.path.delete(self.blocks)?;
                self.path.insert(self.blocks, to)
            }
        }
    }

    /// The mapping that an exclusive extent continues.
    fn exclusive_before(&mut self, extent: &RmapRecord<N>) -> Result<Option<RmapRecord<N>>> {
        let before = self.path.lookup_le(self.blocks, &T::key(extent))?;
        if before.is_some_and(|before| before.end() > extent.start) {
            return Err(self.corrupt("startblock"));
        }
        Ok(before.filter(|before| continues(before, extent)))
    }

    /// The mapping that an extent which may be shared continues.
    fn shared_before(&mut self, extent: &RmapRecord<N>) -> Result<Option<RmapRecord<N>>> {
        let before = self.path.lookup_le(self.blocks, &T::key(extent))?;
        if before.is_some_and(|before| continues(&before, extent)) {
            return Ok(before);
        }
        let Some(last) = self.block_before(extent) else {
            return Ok(None);
        };
        let key = T::key(&last);
        let mut query = RangeState::<T>::new(key, key);
        let mut found = None;
        while let Some(record) = query.next(&mut self.path, self.blocks)? {
            if continues(&record, extent) {
                found = Some(record);
                break;
            }
            if around_owned(&record, &last).is_some() {
                // It does not end where the extent begins.
                return Err(self.corrupt("blockcount"));
            }
        }
        // Where a query stands nothing can be changed.
        self.path.reset(self.blocks);
        Ok(found)
    }

    /// The block that a mapping which `extent` continues would end with.
    fn block_before(&self, extent: &RmapRecord<N>) -> Option<RmapRecord<N>> {
        let offset = if has_offset(extent) {
            extent.offset.checked_sub(1)?
        } else {
            FileBlock(0)
        };
        Some(RmapRecord {
            start: N::from_raw(extent.start.raw().checked_sub(1)?),
            count: 1,
            offset,
            ..*extent
        })
    }

    /// The mapping that continues the extent.
    fn behind(
        &mut self,
        extent: &RmapRecord<N>,
        sharing: Sharing,
    ) -> Result<Option<RmapRecord<N>>> {
        if sharing == Sharing::Exclusive {
            let next = self.path.lookup_ge(self.blocks, &T::key(extent))?;
            match next {
                Some(next) if next.start < extent.end() => {
                    return Err(self.corrupt("startblock"));
                }
                Some(next) if next.start == extent.end() && !continues(extent, &next) => {}
                _ => return Ok(next.filter(|next| continues(extent, next))),
            }
        }
        // Of several that begin there, the owner's.
        let Some(next) = part(extent, extent.count, 1) else {
            return Ok(None);
        };
        let found = self.path.lookup_eq(self.blocks, &T::key(&next))?;
        Ok(found.filter(|found| continues(extent, found)))
    }

    /// Goes to the mapping that has all of the extent.
    fn find(&mut self, extent: &RmapRecord<N>, sharing: Sharing) -> Result<RmapRecord<N>> {
        let key = T::key(extent);
        if let Some(record) = self.path.lookup_le(self.blocks, &key)? {
            if around_owned(&record, extent).is_some() {
                return Ok(record);
            }
        }
        if sharing == Sharing::Shared {
            let mut query = RangeState::<T>::new(key, key);
            while let Some(record) = query.next(&mut self.path, self.blocks)? {
                if around_owned(&record, extent).is_some() {
                    // The query is a step ahead.
                    self.path.lookup_eq(self.blocks, &T::key(&record))?;
                    return Ok(record);
                }
            }
        }
        Err(self.corrupt("owner"))
    }

    /// Goes to the mapping that has all of the extent, whose ever it is; `None` where nobody has any
    /// of it.
    fn find_any(&mut self, extent: &RmapRecord<N>) -> Result<Option<RmapRecord<N>>> {
        let highest = RmapKey::highest(extent.start);
        let before = self.path.lookup_le(self.blocks, &highest)?;
        match before.filter(|before| before.end() > extent.start) {
            Some(record) if extent.owner == Owner::Unknown => Ok(Some(record)),
            Some(_) => Err(self.corrupt("owner")),
            None => match self.path.lookup_ge(self.blocks, &highest)? {
                Some(next) if next.start < extent.end() => Err(self.corrupt("startblock")),
                _ => Ok(None),
            },
        }
    }
}

impl<A: BlocksMut<T>, T: Tree> Drop for Mappings<'_, A, T> {
    fn drop(&mut self) {
        self.path.reset(self.blocks);
    }
}
