// SPDX-License-Identifier: GPL-2.0

//! Reference counts against how many claims there are to a block, for either device.

use super::{claim::Claim, Finding, Place, Subject, Value};
use crate::libxfs::error::Result;
use core::cmp::Ordering;
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// An extent that has several owners. A count that is too large for a record stays at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) owners: u64,
}

impl Shared {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// Extents that several of `claims` cover, which are in the order of blocks, with how many do.
pub(super) fn shared(claims: &[Claim]) -> Result<KVVec<Shared>> {
    const MOST: u64 = u32::MAX as u64;

    let mut ends = KVVec::new();
    for claim in claims.iter().filter(|claim| claim.is_shareable()) {
        ends.push(claim.end(), GFP_KERNEL)?;
    }
    ends.as_mut_slice().sort_unstable();
    let mut starts = claims
        .iter()
        .filter(|claim| claim.is_shareable())
        .map(|claim| claim.start)
        .peekable();
    let mut ends = ends.iter().copied().peekable();
    let mut shared = KVVec::new();
    let (mut at, mut owners) = (0, 0u64);
    while let Some(&end) = ends.peek() {
        let next = starts.peek().map_or(end, |&start| start.min(end));
        if owners > 1 && next > at {
            let part = Shared {
                start: at,
                len: next.saturating_sub(at),
                owners: owners.min(MOST),
            };
            push_merged(&mut shared, part)?;
        }
        at = next;
        while ends.next_if(|&end| end == at).is_some() {
            owners = owners.saturating_sub(1);
        }
        while starts.next_if(|&start| start == at).is_some() {
            owners = owners.saturating_add(1);
        }
    }
    Ok(shared)
}

/// Adds a part behind the others; true if it was merged into the last one.
pub(super) fn push_merged(parts: &mut KVVec<Shared>, part: Shared) -> Result<bool> {
    match parts.as_mut_slice().last_mut() {
        Some(last) if last.end() == part.start && last.owners == part.owners => {
            last.len = last.len.saturating_add(part.len);
            Ok(true)
        }
        _ => {
            parts.push(part, GFP_KERNEL)?;
            Ok(false)
        }
    }
}

/// Holds `records` to `expected`, both merged and in order, and calls `find` with what differs.
pub(super) fn compare(
    subject: Subject,
    expected: &[Shared],
    records: &[Shared],
    place: impl Fn(&Shared) -> Place,
    find: &mut dyn FnMut(Finding) -> Result,
) -> Result {
    let mut expected = expected.iter().peekable();
    let mut records = records.iter().peekable();
    loop {
        let order = match (expected.peek(), records.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(expected), Some(record)) => {
                let key = |part: &Shared| (part.start, part.len, part.owners);
                key(expected).cmp(&key(record))
            }
        };
        let lacking = expected.next_if(|_| order != Ordering::Greater);
        let there = records.next_if(|_| order != Ordering::Less);
        match (lacking, there) {
            (Some(part), None) => {
                let owners = Value::Number(part.owners);
                find(Finding::missing(subject, place(part), "refcount", owners))?;
            }
            (None, Some(part)) => {
                let owners = Value::Number(part.owners);
                find(Finding::extra(subject, place(part), "refcount", owners))?;
            }
            _ => {}
        }
    }
}
