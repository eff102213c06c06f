// SPDX-License-Identifier: GPL-2.0

//! What a free extent gives, with the busy blocks in it left out where that matters.

use super::Request;
use crate::libxfs::{
    ag::LockedAgf,
    error::Result,
    format::{
        btree::FreeExtent,
        units::{AgBlock, AgNumber},
    },
    journal::Journal,
    space::Stretch,
    trans::Trans,
};

/// A request, and where to ask what is busy.
pub(super) struct Gaps<'a, J> {
    journal: &'a J,
    ag: AgNumber,
    request: &'a Request,
}

impl<'a, J: Journal> Gaps<'a, J> {
    pub(super) fn new<'t: 'a>(trans: &Trans<'t, J>, agf: &LockedAgf, request: &'a Request) -> Self {
        Self {
            journal: trans.journal(),
            ag: agf.ag,
            request,
        }
    }

    /// The longest extent out of `free` that the request takes; the first of several.
    pub(super) fn longest(&self, free: &FreeExtent) -> Result<Option<FreeExtent>> {
        self.best(
            free,
            |gap| self.request.first_of(gap),
            |one, other| one.count > other.count,
        )
    }

    /// The longest extent out of `free` that the request takes, as near to `target` as it can lie.
    pub(super) fn nearest(&self, free: &FreeExtent, target: AgBlock) -> Result<Option<FreeExtent>> {
        let distance = |part: &FreeExtent| part.start.0.abs_diff(target.0);
        self.best(
            free,
            |gap| self.request.nearest_of(gap, target),
            |one, other| {
                one.count > other.count
                    || one.count == other.count && distance(one) < distance(other)
            },
        )
    }

    /// The longest extent out of `free` that begins at `start`.
    pub(super) fn at(&self, free: &FreeExtent, start: AgBlock) -> Result<Option<FreeExtent>> {
        let from = |gap: &FreeExtent| {
            start.distance_from(gap.start)?;
            let count = self.request.length(gap.end().distance_from(start)?)?;
            Some(FreeExtent { start, count })
        };
        self.best(free, from, |_, _| false)
    }

    /// The best of what `part` makes of the parts of `free` that may be taken.
    fn best(
        &self,
        free: &FreeExtent,
        part: impl Fn(&FreeExtent) -> Option<FreeExtent>,
        is_better: impl Fn(&FreeExtent, &FreeExtent) -> bool,
    ) -> Result<Option<FreeExtent>> {
        if !self.request.unlogged {
            return Ok(part(free));
        }
        let mut best: Option<FreeExtent> = None;
        self.journal.with_group(self.ag, |group| {
            group.busy.for_each_gap(&Stretch::from(*free), |gap| {
                let gap = FreeExtent {
                    start: gap.start,
                    count: gap.count,
                };
                let Some(found) = part(&gap) else {
                    return;
                };
                if best.is_none_or(|best| is_better(&found, &best)) {
                    best = Some(found);
                }
            });
        })?;
        Ok(best)
    }
}
