// SPDX-License-Identifier: GPL-2.0

//! Reverse mappings against what all owners claim, both ways, for either device.

use super::{
    claim::{Claim, Claims},
    Finding, Place, Subject,
};
use crate::libxfs::error::Result;
use core::cmp::Ordering;

/// Which tree.
#[derive(Clone, Copy)]
pub(super) struct Compared {
    pub(super) subject: Subject,
    /// Whether all claims are known, so that a record without a claim is wrong.
    pub(super) complete: bool,
}

impl Compared {
    /// Holds `records`, the tree's, to `claims`, and calls `find` with what differs. Both are merged
    /// and left in the order of blocks.
    pub(super) fn compare(
        &self,
        claims: &mut Claims,
        records: &mut Claims,
        place: impl Fn(&Claim) -> Place,
        find: &mut dyn FnMut(Finding) -> Result,
    ) -> Result {
        let subject = self.subject;
        records.merge(|record| {
            // One record could do for both.
            find(Finding::extra(
                subject,
                place(record),
                "record order",
                record.value(),
            ))
        })?;
        claims.merge(|_| Ok(()))?;
        let mut claims = claims.0.iter().peekable();
        let mut records = records.0.iter().peekable();
        loop {
            let order = match (claims.peek(), records.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(claim), Some(record)) => claim.by_block(record),
            };
            if order != Ordering::Greater {
                let claim = claims.next();
                if let (Ordering::Less, Some(claim)) = (order, claim) {
                    find(Finding::missing(
                        subject,
                        place(claim),
                        "record",
                        claim.value(),
                    ))?;
                }
            }
            if order != Ordering::Less {
                let record = records.next();
                if let (Ordering::Greater, Some(record), true) = (order, record, self.complete) {
                    find(Finding::extra(
                        subject,
                        place(record),
                        "record",
                        record.value(),
                    ))?;
                }
            }
        }
    }
}
