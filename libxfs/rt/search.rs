// SPDX-License-Identifier: GPL-2.0

//! Where to take realtime extents from: at an extent, near one, or by length.

use super::{scan::Scan, section::Section, FreeRun};
use crate::libxfs::{
    alloc::Request,
    error::{Error, Result},
    format::{
        geometry::Geometry,
        rt,
        units::{RtExtent, RtGroupBlock},
    },
    journal::Journal,
    space::Stretch,
};

/// Blocks of the bitmap that a search for the nearest looks at on each side before it takes what is
/// best by length.
const NEAR_BLOCKS: u64 = 16;

/// The longest part of a free run that the request takes: as near to `target` as it can lie, else at
/// its beginning.
fn part(request: &Request, run: &FreeRun, target: Option<RtExtent>) -> Option<FreeRun> {
    let alignment = u64::from(request.alignment);
    let start = run.start.0.checked_next_multiple_of(alignment)?;
    let end = run.start.0.checked_add(run.len)?;
    let available = end.checked_sub(start)?;
    let len = request.length(u32::try_from(available).unwrap_or(u32::MAX))?;
    let last = end.checked_sub(len.into())?;
    let last = last.saturating_sub(last.checked_rem(alignment)?);
    let wanted = match target {
        Some(target) => target.0.checked_next_multiple_of(alignment).unwrap_or(last),
        None => start,
    };
    Some(FreeRun {
        start: RtExtent(wanted.clamp(start, last.max(start))),
        len: len.into(),
    })
}

impl<J: Journal> Section<'_, '_, J> {
    /// Finds free extents from `start` on; alignment is not asked for.
    pub(crate) fn exact(&mut self, start: RtExtent, request: &Request) -> Result<Option<FreeRun>> {
        let end = start.0.saturating_add(request.max.into());
        let end = RtExtent(end.min(self.extents()?));
        let run = Scan::new(start, end).next(self)?;
        let request = Request {
            alignment: 1,
            ..*request
        };
        let run = run.filter(|run| run.start == start);
        let mut found = None;
        if let Some(run) = run {
            self.for_each_gap(&run, |gap| {
                if gap.start == start {
                    found = part(&request, gap, None);
                }
            })?;
        }
        Ok(found)
    }

    /// Finds free extents as near to `target` as they lie, or where that would take too long, as many
    /// as are asked for elsewhere.
    pub(crate) fn near(&mut self, target: RtExtent, request: &Request) -> Result<Option<FreeRun>> {
        let all = request.length(request.max).map(u64::from);
        let geo = self.trans().geometry();
        let per_block = rt::extents_per_block(geo);
        let (home, _) = rt::bitmap_position(geo, target);
        let mut best: Option<FreeRun> = None;
        for away in 0..NEAR_BLOCKS {
            let sides = [home.checked_sub(away), home.checked_add(away)];
            let sides = sides.get(usize::from(away == 0)..).unwrap_or_default();
            for block in sides.iter().flatten() {
                let found = self.best_in(*block, request, Some(target))?;
                let found = found.filter(|found| Some(found.len) == all);
                let distance = |run: FreeRun| run.start.0.abs_diff(target.0);
                best = best
                    .into_iter()
                    .chain(found)
                    .min_by_key(|run| distance(*run));
            }
            let reached = away.saturating_mul(per_block);
            if best.is_some_and(|best| best.start.0.abs_diff(target.0) <= reached) {
                break;
            }
        }
        match best {
            Some(best) => Ok(Some(best)),
            None => self.by_size(request),
        }
    }

    /// Finds as many free extents as there are, up to the most that is asked for.
    pub(crate) fn by_size(&mut self, request: &Request) -> Result<Option<FreeRun>> {
        let all = request.length(request.max).map(u64::from);
        let blocks = self
            .extents()?
            .div_ceil(rt::extents_per_block(self.trans().geometry()).max(1));
        let levels = rt::summary_levels(self.trans().geometry());
        let most = request.max.checked_ilog2().unwrap_or(0);
        let least = request.min.checked_ilog2().unwrap_or(0);
        let mut best: Option<FreeRun> = None;
        // The shortest that give all come first, then longer ones, then what is too short.
        for level in (most..levels).chain((least..most.min(levels)).rev()) {
            let longest = 2u64
                .saturating_pow(level.saturating_add(1))
                .saturating_sub(1);
            if best.is_some_and(|best| best.len >= longest) {
                break;
            }
            for block in 0..blocks {
                if self.counted(level, block)? == 0 {
                    continue;
                }
                let found = self.best_in(block, request, None)?;
                if found.is_some_and(|found| best.is_none_or(|best| found.len > best.len)) {
                    best = found;
                }
                if best.is_some_and(|best| Some(best.len) == all) {
                    return Ok(best);
                }
            }
        }
        Ok(best)
    }

    /// The best that the free runs give which lie in a block of the bitmap or begin there: the longest,
    /// and of several such the nearest to `target`, or the first. They are followed no farther than
    /// could matter.
    fn best_in(
        &mut self,
        block: u64,
        request: &Request,
        target: Option<RtExtent>,
    ) -> Result<Option<FreeRun>> {
        let per_block = rt::extents_per_block(self.trans().geometry());
        let extents = self.extents()?;
        let first = RtExtent(block.saturating_mul(per_block));
        let end = first.0.saturating_add(per_block);
        if first.0 >= extents {
            return Ok(None);
        }
        let distance = |run: &FreeRun| target.map_or(0, |target| run.start.0.abs_diff(target.0));
        let mut best: Option<FreeRun> = None;
        let more = u64::from(request.max).saturating_add(request.alignment.into());
        let stop = end.saturating_add(more).min(extents);
        let mut scan = Scan::new(first, RtExtent(stop));
        while let Some(run) = scan.next(self)? {
            if run.start.0 >= end {
                break;
            }
            self.for_each_gap(&run, |gap| {
                let Some(found) = part(request, gap, target) else {
                    return;
                };
                let is_better = best.is_none_or(|best| {
                    found.len > best.len
                        || found.len == best.len && distance(&found) < distance(&best)
                });
                if is_better {
                    best = Some(found);
                }
            })?;
        }
        Ok(best)
    }

    /// Calls `visit` with each part of a free run whose freeing no crash can undo.
    fn for_each_gap(&mut self, run: &FreeRun, mut visit: impl FnMut(&FreeRun)) -> Result {
        let Some(group) = self.group() else {
            visit(run);
            return Ok(());
        };
        let journal = self.trans().journal();
        let size = u64::from(journal.geometry().rt_extent_size);
        let whole = stretch(journal.geometry(), run).ok_or(Error::Invalid)?;
        journal.with_rt_group(group, |busy| {
            busy.for_each_gap(&whole, |gap| {
                let extent = |blocks: u32| u64::from(blocks).checked_div(size).unwrap_or(0);
                visit(&FreeRun {
                    start: RtExtent(extent(gap.start.0)),
                    len: extent(gap.count),
                });
            });
        })
    }
}

/// The blocks of a run in a group.
pub(crate) fn stretch(geo: &Geometry, run: &FreeRun) -> Option<Stretch<RtGroupBlock>> {
    let blocks = |extents: u64| {
        let blocks = extents.checked_mul(geo.rt_extent_size.into())?;
        u32::try_from(blocks).ok()
    };
    Some(Stretch {
        start: RtGroupBlock(blocks(run.start.0)?),
        count: blocks(run.len)?,
    })
}
