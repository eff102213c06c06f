// SPDX-License-Identifier: GPL-2.0

//! Where to take an extent from: at a block, near one, or wherever it fits best.

use super::{gaps::Gaps, update::take, Request};
use crate::libxfs::{
    ag::LockedAgf,
    error::{Error, Result},
    format::{
        btree::{Bno, BnoKey, Cnt, CntKey, FreeExtent},
        units::AgBlock,
    },
    journal::Journal,
    trans::Trans,
};

/// Free extents that a search for the nearest looks at on each side before it takes what is best
/// by length.
const NEAR_STEPS: u32 = 64;

/// What a search found: the free extent, and what it takes of it.
type Found = Option<(FreeExtent, FreeExtent)>;

/// Takes blocks that begin at `start`; alignment is not asked for. `None` where not enough are
/// free.
///
/// # Errors
///
/// `Invalid` for a request that makes no sense; those of reading and of corruption. After an error
/// the transaction must not be committed.
pub fn exact<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    start: AgBlock,
    request: &Request,
) -> Result<Option<FreeExtent>> {
    let mut path = agf.path::<Bno>();
    let mut tree = agf.tree(trans);
    let whole = path.lookup_le(&mut tree, &BnoKey::at(start))?;
    path.reset(&mut tree);
    let gaps = Gaps::new(trans, agf, request);
    let found = match whole {
        Some(whole) => gaps.at(&whole, start)?.map(|part| (whole, part)),
        None => None,
    };
    settle(trans, agf, request, found)
}

/// Takes blocks as near to `target` as they lie, or where that would take too long to find, as many
/// as are asked for elsewhere. `None` where no extent of the group gives enough.
///
/// # Errors
///
/// As [`exact`].
pub fn near<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    target: AgBlock,
    request: &Request,
) -> Result<Option<FreeExtent>> {
    if let Some(found) = around(trans, agf, target, request)? {
        return settle(trans, agf, request, Some(found));
    }
    by_size(trans, agf, request)
}

/// Takes blocks out of the shortest free extent that gives all that is asked for, or else out of
/// the one that gives most. `None` where no extent of the group gives enough.
///
/// # Errors
///
/// As [`exact`].
pub fn by_size<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    request: &Request,
) -> Result<Option<FreeExtent>> {
    let gaps = Gaps::new(trans, agf, request);
    let mut path = agf.path::<Cnt>();
    let mut tree = agf.tree(trans);
    let key = CntKey {
        count: request.max,
        start: AgBlock(0),
    };
    let mut found: Found = None;
    let mut whole = path.lookup_ge(&mut tree, &key)?;
    while let Some(extent) = whole {
        keep_longer(&mut found, extent, gaps.longest(&extent)?);
        if found.is_some_and(|(_, part)| Some(part.count) == request.length(request.max)) {
            break;
        }
        whole = path.next(&mut tree)?;
    }
    if whole.is_none() {
        // No extent gives all. The longest ones may, when aligned, give less than shorter ones.
        whole = path.lookup_le(&mut tree, &key)?;
        while let Some(extent) = whole {
            let best = found.map_or(0, |(_, part)| part.count);
            if extent.count < request.min || extent.count <= best {
                break;
            }
            keep_longer(&mut found, extent, gaps.longest(&extent)?);
            whole = path.prev(&mut tree)?;
        }
    }
    path.reset(&mut tree);
    settle(trans, agf, request, found)
}

fn keep_longer(found: &mut Found, whole: FreeExtent, part: Option<FreeExtent>) {
    let Some(part) = part else {
        return;
    };
    if found.is_none_or(|(_, best)| part.count > best.count) {
        *found = Some((whole, part));
    }
}

/// Looks at free extents on both sides of `target` for the nearest that gives all that is asked for.
fn around<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    target: AgBlock,
    request: &Request,
) -> Result<Found> {
    let all = request.length(request.max);
    let gaps = Gaps::new(trans, agf, request);
    let mut left = agf.path::<Bno>();
    let mut right = agf.path::<Bno>();
    let mut tree = agf.tree(trans);
    let mut before = left.lookup_le(&mut tree, &BnoKey::at(target))?;
    let mut behind = match target.checked_add(1) {
        Some(next) => right.lookup_ge(&mut tree, &BnoKey::at(next))?,
        None => None,
    };
    let mut best: Option<(u32, (FreeExtent, FreeExtent))> = None;
    for _ in 0..NEAR_STEPS {
        if before.is_none() && behind.is_none() {
            break;
        }
        for extent in [before, behind].into_iter().flatten() {
            let part = gaps.nearest(&extent, target)?;
            let Some(part) = part.filter(|part| Some(part.count) == all) else {
                continue;
            };
            let distance = part.start.0.abs_diff(target.0);
            if best.is_none_or(|(nearest, _)| distance < nearest) {
                best = Some((distance, (extent, part)));
            }
        }
        // A side on which all is farther than what was found is at its end.
        let farther = |distance: u32| best.is_some_and(|(nearest, _)| distance >= nearest);
        before = match before {
            Some(extent) if !farther(target.0.saturating_sub(extent.start.0)) => {
                left.prev(&mut tree)?
            }
            _ => None,
        };
        behind = match behind {
            Some(extent) if !farther(extent.start.0.saturating_sub(target.0)) => {
                right.next(&mut tree)?
            }
            _ => None,
        };
    }
    left.reset(&mut tree);
    right.reset(&mut tree);
    Ok(best.map(|(_, found)| found))
}

/// Takes what was found.
fn settle<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    request: &Request,
    found: Found,
) -> Result<Option<FreeExtent>> {
    if !request.is_valid() {
        return Err(Error::Invalid);
    }
    let Some((whole, part)) = found else {
        return Ok(None);
    };
    if !request.unlogged {
        trans.journal().with_group(agf.ag, |group| {
            group.busy.reserve()?;
            group.busy.reuse(&part.into())
        })??;
    }
    take(trans, agf, &whole, &part)?;
    Ok(Some(part))
}
