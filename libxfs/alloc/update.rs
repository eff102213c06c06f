// SPDX-License-Identifier: GPL-2.0

//! Extents that leave the free space of a group, and that come back: both trees and the header's
//! counts.

use crate::libxfs::{
    ag::LockedAgf,
    error::{Error, Result},
    format::{
        btree::{Bno, BnoKey, Cnt, FreeExtent, Tree},
        units::AgBlock,
    },
    journal::Journal,
    trans::Trans,
};

/// A change of the free space.
#[derive(Default)]
struct Change {
    /// Length of the longest extent that went.
    gone: u32,
    /// Length of the longest one that came.
    come: u32,
}

impl Change {
    fn remove<J: Journal>(
        &mut self,
        trans: &mut Trans<'_, J>,
        agf: &LockedAgf,
        extent: &FreeExtent,
    ) -> Result {
        let mut path = agf.path::<Cnt>();
        let mut tree = agf.tree(trans);
        if path.lookup_eq(&mut tree, &Cnt::key(extent))?.is_none() {
            return Err(agf.corrupt(trans, "cnt_root"));
        }
        path.delete(&mut tree)?;
        path.reset(&mut tree);
        self.gone = self.gone.max(extent.count);
        Ok(())
    }

    fn insert<J: Journal>(
        &mut self,
        trans: &mut Trans<'_, J>,
        agf: &LockedAgf,
        extent: &FreeExtent,
    ) -> Result {
        let mut path = agf.path::<Cnt>();
        let mut tree = agf.tree(trans);
        path.insert(&mut tree, extent)?;
        path.reset(&mut tree);
        self.come = self.come.max(extent.count);
        Ok(())
    }

    /// Brings the header in line: `blocks` more are free, or fewer.
    fn finish<J: Journal>(self, trans: &mut Trans<'_, J>, agf: &LockedAgf, blocks: i32) -> Result {
        let known = agf.get(trans)?.longest.get();
        let longest = if self.come >= known {
            self.come
        } else if self.gone >= known {
            let mut path = agf.path::<Cnt>();
            let mut tree = agf.tree(trans);
            let last = path.seek_last(&mut tree)?;
            path.reset(&mut tree);
            last.map_or(0, |extent| extent.count)
        } else {
            known
        };
        let corrupt = agf.corrupt(trans, "freeblks");
        agf.update(trans, |agf| {
            let free = agf.freeblks.get().checked_add_signed(blocks);
            agf.freeblks.set(free.ok_or(corrupt)?);
            agf.longest.set(longest);
            Ok(())
        })
    }
}

/// Takes `part` out of the free extent `whole`, of which it is a part.
pub(super) fn take<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    whole: &FreeExtent,
    part: &FreeExtent,
) -> Result {
    let before = FreeExtent {
        start: whole.start,
        count: part
            .start
            .distance_from(whole.start)
            .ok_or(Error::Invalid)?,
    };
    let behind = FreeExtent {
        start: part.end(),
        count: whole
            .end()
            .distance_from(part.end())
            .ok_or(Error::Invalid)?,
    };
    let taken = i32::try_from(part.count).map_err(|_| Error::Invalid)?;

    let mut change = Change::default();
    change.remove(trans, agf, whole)?;
    let mut path = agf.path::<Bno>();
    let mut tree = agf.tree(trans);
    if path.lookup_eq(&mut tree, &Bno::key(whole))? != Some(*whole) {
        return Err(agf.corrupt(trans, "bno_root"));
    }
    let rest = [before, behind];
    let mut rest = rest.iter().filter(|extent| extent.count > 0);
    match rest.next() {
        Some(extent) => path.update(&mut tree, extent)?,
        None => path.delete(&mut tree)?,
    }
    if let Some(extent) = rest.next() {
        path.insert(&mut tree, extent)?;
    }
    path.reset(&mut tree);
    for extent in [before, behind] {
        if extent.count > 0 {
            change.insert(trans, agf, &extent)?;
        }
    }
    change.finish(trans, agf, taken.saturating_neg())
}

/// Frees `count` blocks from `start` on: they become free space, joined with what is free beside
/// them, and busy until the transaction is on stable storage.
///
/// # Errors
///
/// `Corrupt` where a part of them is free already; `Invalid` for blocks outside the group; those of
/// reading and of corruption. After an error the transaction must not be committed.
pub fn free<J: Journal>(
    trans: &mut Trans<'_, J>,
    agf: &LockedAgf,
    start: AgBlock,
    count: u32,
) -> Result {
    let freed = FreeExtent { start, count };
    if !trans.geometry().ag_extent_is_valid(agf.ag, start, count) {
        return Err(Error::Invalid);
    }
    let blocks = i32::try_from(count).map_err(|_| Error::Invalid)?;
    let journal = trans.journal();
    journal.with_group(agf.ag, |group| group.busy.reserve())??;

    let mut path = agf.path::<Bno>();
    let mut tree = agf.tree(trans);
    let before = path.lookup_le(&mut tree, &BnoKey::at(start))?;
    let behind = match before {
        Some(_) => path.next(&mut tree)?,
        None => path.seek_first(&mut tree)?,
    };
    let overlaps = before.is_some_and(|before| before.end() > start)
        || behind.is_some_and(|behind| behind.start < freed.end());
    if overlaps {
        return Err(agf.corrupt(trans, "bno_root"));
    }
    let before = before.filter(|before| before.end() == start);
    let behind = behind.filter(|behind| behind.start == freed.end());
    let joined = FreeExtent {
        start: before.map_or(start, |before| before.start),
        count: [before, behind]
            .iter()
            .flatten()
            .fold(count, |sum, extent| sum.saturating_add(extent.count)),
    };

    if let (Some(_), Some(behind)) = (before, behind) {
        path.lookup_eq(&mut tree, &Bno::key(&behind))?;
        path.delete(&mut tree)?;
    }
    match before.or(behind) {
        Some(neighbour) => {
            path.lookup_eq(&mut tree, &Bno::key(&neighbour))?;
            path.update(&mut tree, &joined)?;
        }
        None => path.insert(&mut tree, &joined)?,
    }
    path.reset(&mut tree);

    let mut change = Change::default();
    for extent in [before, behind].iter().flatten() {
        change.remove(trans, agf, extent)?;
    }
    change.insert(trans, agf, &joined)?;
    change.finish(trans, agf, blocks)?;
    journal.with_group(agf.ag, |group| group.busy.add(freed.into()))?
}
