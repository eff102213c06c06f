// SPDX-License-Identifier: GPL-2.0

//! Which group gives an extent.

use super::{
    prepare::{own, settle_list},
    Extent, Place, Reserve, Wanted,
};
use crate::libxfs::{
    ag::{min_list_blocks, LockedAgf},
    alloc::{by_size, exact, longest_usable, near, Request},
    defer::Deferred,
    error::{Error, Result},
    format::{
        ag::agf::DiskAgf,
        btree::FreeExtent,
        geometry::Geometry,
        units::{AgBlock, AgNumber},
    },
    journal::{CommitSequence, Journal},
    trans::Trans,
};

/// Whether to wait for a group that others hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Wait,
    Try,
}

/// Allocates an extent. `None` where no group that can be locked has it; then nothing but lists of
/// blocks for trees has changed, and the transaction may go on.
///
/// The first look is at groups that nobody holds, the second waits for those that may be waited for.
///
/// # Errors
///
/// `NoSpace` where the transaction has not claimed enough, before anything is changed; `Invalid` for a
/// request that makes no sense or a target off the device; those of reading and of corruption, after
/// which the transaction must not be committed.
pub fn allocate<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    wanted: &Wanted,
) -> Result<Option<Extent>> {
    let geo = trans.geometry();
    let (home, block) = geo.split_fs_block(wanted.target).ok_or(Error::Invalid)?;
    if !wanted.request.is_valid() {
        return Err(Error::Invalid);
    }
    if wanted.reserve == Reserve::None && trans.claimed().blocks < u64::from(wanted.request.min) {
        return Err(Error::NoSpace);
    }
    let mut search = Search {
        trans,
        deferred,
        wanted,
        home,
        block,
        busy: None,
    };
    if let Some(extent) = search.groups()? {
        return Ok(Some(extent));
    }
    let Some(sequence) = search.busy else {
        return Ok(None);
    };
    // What is free was freed a moment ago.
    search.trans.journal().force(sequence)?;
    search.groups()
}

/// A search for an extent.
struct Search<'s, 't, 'd, J: Journal> {
    trans: &'s mut Trans<'t, J>,
    deferred: &'s mut Deferred<'d, J>,
    wanted: &'s Wanted,
    /// The target's group.
    home: AgNumber,
    /// The target in its group.
    block: AgBlock,
    /// The last commit that blocks wait for which were passed over.
    busy: Option<CommitSequence>,
}

impl<J: Journal> Search<'_, '_, '_, J> {
    /// Looks into all groups that may serve.
    fn groups(&mut self) -> Result<Option<Extent>> {
        let home = self.home.0;
        if matches!(self.wanted.place, Place::Exact | Place::InGroup) {
            return self.group(self.home, Patience::Wait);
        }
        let groups = (home..self.trans.geometry().ag_count).chain(0..home);
        for patience in [Patience::Try, Patience::Wait] {
            for ag in groups.clone() {
                if let Some(extent) = self.group(AgNumber(ag), patience)? {
                    return Ok(Some(extent));
                }
            }
        }
        Ok(None)
    }

    /// Looks into one group. One that has nothing, and was not changed, is unlocked again.
    fn group(&mut self, ag: AgNumber, patience: Patience) -> Result<Option<Extent>> {
        let in_order = LockedAgf::highest(self.trans).is_none_or(|highest| ag >= highest);
        let agf = match patience {
            Patience::Wait if in_order => LockedAgf::lock(self.trans, ag)?,
            Patience::Wait | Patience::Try => match LockedAgf::try_lock(self.trans, ag)? {
                Some(agf) => agf,
                None => return Ok(None),
            },
        };
        let found = self.take_from(&agf)?;
        if found.is_none() {
            self.trans.release(agf.block);
        }
        Ok(found)
    }

    fn take_from(&mut self, agf: &LockedAgf) -> Result<Option<Extent>> {
        let Some(request) = self.within(agf)? else {
            return Ok(None);
        };
        if !settle_list(self.trans, self.deferred, agf)? {
            return Ok(None);
        }
        let trans = &mut *self.trans;
        if !trans.journal().may_give(self.wanted.promised) {
            return Ok(None);
        }
        let taken = match self.wanted.place {
            Place::Exact => exact(trans, agf, self.block, &request)?,
            Place::InGroup => near(trans, agf, self.block, &request)?,
            Place::Near if agf.ag == self.home => near(trans, agf, self.block, &request)?,
            Place::Near | Place::Anywhere => by_size(trans, agf, &request)?,
        };
        let Some(taken) = taken else {
            if request.unlogged {
                let busy = trans
                    .journal()
                    .with_group(agf.ag, |group| group.busy.last())?;
                self.busy = self.busy.max(busy);
            }
            return Ok(None);
        };
        own(trans, agf, &taken, self.wanted.owner)?;
        self.count(agf, &taken)?;
        let start = self.trans.geometry().fs_block(agf.ag, taken.start);
        Ok(Some(Extent {
            start: start.ok_or(Error::Invalid)?,
            count: taken.count,
        }))
    }

    /// The request as the group can serve it, by what its header and its reservations say; `None`
    /// where it cannot.
    fn within(&self, agf: &LockedAgf) -> Result<Option<Request>> {
        let trans = &*self.trans;
        let wanted = self.wanted;
        let (kept, own) = trans.journal().with_group(agf.ag, |group| {
            let (metadata, rmap) = (group.metadata.left, group.rmap.left);
            match group.serving(wanted.reserve, wanted.owner) {
                Reserve::Metadata => (rmap, metadata),
                Reserve::None | Reserve::Agfl => (metadata.saturating_add(rmap), 0),
            }
        })?;
        let claimed = trans.claimed().blocks.saturating_add(own.into());
        let claimed = match wanted.reserve {
            Reserve::Agfl => u32::MAX,
            Reserve::None | Reserve::Metadata => u32::try_from(claimed).unwrap_or(u32::MAX),
        };
        let most = most(trans.geometry(), agf.get(trans)?, self.wanted, kept);
        Ok(most
            .map(|most| most.min(claimed))
            .filter(|&most| most >= self.wanted.request.min)
            .map(|most| Request {
                max: self.wanted.request.max.min(most),
                ..self.wanted.request
            }))
    }

    /// Takes the blocks from where they are counted.
    fn count(&mut self, agf: &LockedAgf, taken: &FreeExtent) -> Result {
        let wanted = self.wanted;
        let claimed = self.trans.journal().with_group(agf.ag, |group| {
            match group.serving(wanted.reserve, wanted.owner) {
                Reserve::None => taken.count,
                Reserve::Agfl => 0,
                Reserve::Metadata => group.metadata.take(taken.count),
            }
        })?;
        self.trans.take_blocks(claimed.into())
    }
}

/// The most blocks that a group can give, with `kept` blocks for others; `None` where it cannot give
/// what is asked for at least.
fn most(geo: &Geometry, agf: &DiskAgf, wanted: &Wanted, kept: u32) -> Option<u32> {
    let request = &wanted.request;
    let least = match wanted.place {
        Place::Exact => request.min,
        // To align may cost so many.
        _ => request
            .min
            .checked_add(request.alignment.saturating_sub(1))?,
    };
    if longest_usable(geo, agf, kept) < least {
        return None;
    }
    // The list counts as far as it is needed: what is too much of it is about to be freed, and not
    // there before that is done.
    let list = min_list_blocks(geo, agf);
    let available = agf
        .freeblks
        .get()
        .saturating_add(agf.flcount.get().min(list))
        .checked_sub(kept)?
        .checked_sub(list)?
        .checked_sub(wanted.keep)?;
    Some(available).filter(|&available| available >= least)
}
