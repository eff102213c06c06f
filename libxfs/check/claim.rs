// SPDX-License-Identifier: GPL-2.0

//! Claims: extents of a group and who says that they are theirs.
//!
//! The walk over everything that has space gathers one list of them for each group, of the data
//! device and of the realtime device alike. Every cross-check of space is a comparison with it.

use super::finding::Value;
use crate::libxfs::{
    error::Result,
    format::{
        btree::{GroupBlock, Owner, RmapFlags, RmapRecord},
        units::FileBlock,
    },
};
use core::cmp::Ordering;
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// An extent with an owner. Blocks count from the group's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) start: u64,
    pub(super) len: u64,
    /// As a reverse mapping encodes it; [`Owner::Null`] for free space.
    pub(super) owner: u64,
    /// Block of the owner's fork.
    pub(super) offset: u64,
    pub(super) flags: RmapFlags,
}

impl Claim {
    /// Blocks that belong to no fork.
    pub(super) fn of_metadata(start: u64, len: u64, owner: Owner) -> Self {
        Self {
            start,
            len,
            owner: owner.encode(),
            offset: 0,
            flags: RmapFlags::default(),
        }
    }

    pub(super) fn of_rmap<B: GroupBlock>(record: &RmapRecord<B>) -> Self {
        Self {
            start: u64::from(record.start.raw()),
            len: u64::from(record.count),
            owner: record.owner.encode(),
            offset: record.offset.0,
            flags: record.flags,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    pub(super) fn owner(&self) -> Owner {
        Owner::decode(self.owner).unwrap_or(Owner::Unknown)
    }

    pub(super) fn is_free(&self) -> bool {
        self.owner() == Owner::Null
    }

    /// Whether it is file data that has been written, which alone can be shared.
    pub(super) fn is_shareable(&self) -> bool {
        self.owner().inode().is_some() && self.flags == RmapFlags::default()
    }

    pub(super) fn value(&self) -> Value {
        Value::Owned {
            owner: self.owner(),
            offset: FileBlock(self.offset),
        }
    }

    /// Whether its offset means something.
    fn has_offset(&self) -> bool {
        self.owner().inode().is_some() && !self.flags.bmbt_block
    }

    /// Whether one record could stand for this and `next`.
    fn goes_on_in(&self, next: &Self) -> bool {
        self.owner == next.owner
            && self.flags == next.flags
            && self.end() == next.start
            && self.len.saturating_add(next.len) <= u64::from(u32::MAX)
            && (!self.has_offset() || self.offset.saturating_add(self.len) == next.offset)
    }

    /// Orders as owners see it: what can merge lies side by side.
    fn by_owner(&self, other: &Self) -> Ordering {
        let key = |claim: &Self| {
            let flags = claim.flags;
            (
                claim.owner,
                flags.attr_fork,
                flags.bmbt_block,
                flags.unwritten,
                claim.offset,
                claim.start,
                claim.len,
            )
        };
        key(self).cmp(&key(other))
    }

    /// Orders as blocks lie.
    pub(super) fn by_block(&self, other: &Self) -> Ordering {
        let key = |claim: &Self| (claim.start, claim.owner, claim.len);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.by_owner(other))
    }
}

/// The claims to a group's blocks.
#[derive(Default)]
pub(super) struct Claims(pub(super) KVVec<Claim>);

impl Claims {
    pub(super) fn push(&mut self, claim: Claim) -> Result {
        Ok(self.0.push(claim, GFP_KERNEL)?)
    }

    /// Merges what can be merged, and leaves them in the order of blocks. `unmerged` is called with
    /// each claim that had to be merged into the one before it.
    pub(super) fn merge(&mut self, mut unmerged: impl FnMut(&Claim) -> Result) -> Result {
        let claims = self.0.as_mut_slice();
        claims.sort_unstable_by(Claim::by_owner);
        let mut kept = 0usize;
        for index in 0..claims.len() {
            let Some(&claim) = claims.get(index) else {
                break;
            };
            let last = kept.checked_sub(1).and_then(|last| claims.get_mut(last));
            match last {
                Some(last) if last.goes_on_in(&claim) => {
                    unmerged(&claim)?;
                    last.len = last.len.saturating_add(claim.len);
                }
                _ => {
                    if let Some(place) = claims.get_mut(kept) {
                        *place = claim;
                    }
                    kept = kept.saturating_add(1);
                }
            }
        }
        self.0.truncate(kept);
        self.0.as_mut_slice().sort_unstable_by(Claim::by_block);
        Ok(())
    }

    /// Puts them in the order of blocks.
    pub(super) fn sort(&mut self) {
        self.0.as_mut_slice().sort_unstable_by(Claim::by_block);
    }

    /// Takes out what is not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&Claim) -> bool) {
        let claims = self.0.as_mut_slice();
        let mut kept = 0usize;
        for index in 0..claims.len() {
            let Some(&claim) = claims.get(index) else {
                break;
            };
            if keep(&claim) {
                if let Some(place) = claims.get_mut(kept) {
                    *place = claim;
                }
                kept = kept.saturating_add(1);
            }
        }
        self.0.truncate(kept);
    }
}
