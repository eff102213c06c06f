// SPDX-License-Identifier: GPL-2.0

//! Every block has an owner or is free, and has more than one owner only where it may be shared.

use super::{claim::Claim, table::InodeTable, Finding, Place, Subject, Value};
use crate::libxfs::error::Result;
use core::ops::Range;

/// A group's space.
pub(super) struct Space<'a> {
    /// Blocks of the group that must have an owner or be free.
    pub(super) blocks: Range<u64>,
    /// Blocks in which space is given out: 1, or a realtime extent's.
    pub(super) unit: u64,
    /// What tells of free space.
    pub(super) subject: Subject,
    /// Whether data may be shared.
    pub(super) shares: bool,
    /// Whether all claims are known, so that a block without one is lost.
    pub(super) complete: bool,
    pub(super) inodes: &'a InodeTable,
}

impl Space<'_> {
    /// Goes through `claims`, in the order of blocks and with free space among them, and calls
    /// `find` with what is wrong: its field, the place as first block and length, expected, found.
    pub(super) fn sweep(
        &self,
        claims: &[Claim],
        place: impl Fn(u64, u64) -> Place,
        find: &mut dyn FnMut(Finding) -> Result,
    ) -> Result {
        // The claim that reaches furthest, and the one among those that cannot be shared.
        let mut furthest: Option<Claim> = None;
        let mut exclusive: Option<Claim> = None;
        for claim in claims {
            let claim = self.rounded(claim);
            let end = furthest.map_or(self.blocks.start, |claim| claim.end());
            if claim.start > end {
                self.lost(end..claim.start, &place, find)?;
            }
            let rival = match furthest {
                Some(other) if claim.start < other.end() => {
                    let other = exclusive
                        .filter(|exclusive| claim.start < exclusive.end())
                        .unwrap_or(other);
                    (!self.may_share(&other, &claim)).then_some(other)
                }
                _ => None,
            };
            if let Some(other) = rival {
                let end = other.end().min(claim.end());
                find(Finding {
                    subject: self.subject,
                    place: place(claim.start, end.saturating_sub(claim.start)),
                    field: "owner",
                    expected: other.value(),
                    found: claim.value(),
                })?;
            }
            if furthest.is_none_or(|other| other.end() < claim.end()) {
                furthest = Some(claim);
            }
            if !claim.is_shareable() && exclusive.is_none_or(|other| other.end() < claim.end()) {
                exclusive = Some(claim);
            }
        }
        let end = furthest.map_or(self.blocks.start, |claim| claim.end());
        if end < self.blocks.end {
            self.lost(end..self.blocks.end, &place, find)?;
        }
        Ok(())
    }

    /// Blocks that nobody claims.
    fn lost(
        &self,
        blocks: Range<u64>,
        place: &impl Fn(u64, u64) -> Place,
        find: &mut dyn FnMut(Finding) -> Result,
    ) -> Result {
        if !self.complete {
            return Ok(());
        }
        let len = blocks.end.saturating_sub(blocks.start);
        find(Finding::missing(
            self.subject,
            place(blocks.start, len),
            "owner",
            Value::Present,
        ))
    }

    /// The claim, as large as the units that it takes.
    fn rounded(&self, claim: &Claim) -> Claim {
        let down = |block: u64| block.saturating_sub(block.checked_rem(self.unit).unwrap_or(0));
        let start = down(claim.start);
        let up = claim.end().saturating_add(self.unit.saturating_sub(1));
        Claim {
            start,
            len: down(up).saturating_sub(start),
            ..*claim
        }
    }

    /// Whether two claims may be to the same blocks.
    fn may_share(&self, one: &Claim, other: &Claim) -> bool {
        // A file that has parts of a realtime extent in several mappings has it once.
        if self.unit > 1 && one.owner == other.owner {
            return true;
        }
        let has_flag = |claim: &Claim| {
            claim.is_shareable()
                && claim
                    .owner()
                    .inode()
                    .and_then(|inode| self.inodes.get(inode))
                    .is_some_and(|seen| seen.reflink)
        };
        self.shares && has_flag(one) && has_flag(other)
    }
}
