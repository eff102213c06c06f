// SPDX-License-Identifier: GPL-2.0

//! Changes of reference counts.
//!
//! A tree has the blocks with two owners or more, and in a domain apart those that stage a copy on
//! write. A change goes over its extent in steps, each as far as the count stays the same, so that
//! whoever drives it can go on in another transaction between any two. Each step leaves the tree as
//! small as it can be: no two records that touch have the same count.
//!
//! The trees of groups and of realtime groups are changed by the same code, in any
//! [`BlocksMut`].
//!
//! Source: "Reference Count B+tree" in the XFS format's documentation, and
//! `fs/xfs/libxfs/xfs_refcount.c` of Linux 7.3 for the largest count.

use crate::libxfs::{
    btree::{BlocksMut, Path},
    error::{Error, Result},
    format::btree::{Domain, GroupBlock, RefcountKey, RefcountRecord, Side, Tree},
    items::RefcountUpdateKind,
};

/// The most owners that are counted (`XFS_REFC_REFCOUNT_MAX`). How many more there are is not known,
/// so a count that got here never changes again, and its blocks are never freed.
pub const MAX_REFERENCES: u32 = u32::MAX;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Blocks from the start that are done; not 0.
    pub done: u32,
    /// Whether they lost their last owner, and are to be freed.
    pub freed: bool,
}

/// A reference-count tree that is changed.
///
/// After an error it may be half changed, and the transaction must not be committed.
pub struct Counts<'b, A: BlocksMut<T>, T: Tree> {
    blocks: &'b mut A,
    path: Path<A::Block, T>,
}

/// The domain that a change is about.
const fn domain(kind: RefcountUpdateKind) -> Domain {
    match kind {
        RefcountUpdateKind::Increase | RefcountUpdateKind::Decrease => Domain::Shared,
        RefcountUpdateKind::AllocCow | RefcountUpdateKind::FreeCow => Domain::Cow,
    }
}

/// The lowest count for which there is a record.
const fn least(domain: Domain) -> u32 {
    match domain {
        Domain::Shared => 2,
        Domain::Cow => 1,
    }
}

/// The count that comes of `references`; `None` where that change is not possible.
fn changed(kind: RefcountUpdateKind, references: u32) -> Option<u32> {
    match (kind, references) {
        (RefcountUpdateKind::Increase | RefcountUpdateKind::Decrease, MAX_REFERENCES) => {
            Some(MAX_REFERENCES)
        }
        (RefcountUpdateKind::Increase, n) => n.checked_add(1),
        (RefcountUpdateKind::Decrease, n) => n.checked_sub(1),
        (RefcountUpdateKind::AllocCow, 0) => Some(1),
        (RefcountUpdateKind::FreeCow, 1) => Some(0),
        (RefcountUpdateKind::AllocCow | RefcountUpdateKind::FreeCow, _) => None,
    }
}

/// Up to three records that lie behind each other.
type Row<N> = [Option<RefcountRecord<N>>; 3];

/// Brings the records of a row to its front.
fn to_front<N: GroupBlock>(row: Row<N>) -> Row<N> {
    let mut records = row.into_iter().flatten();
    [records.next(), records.next(), records.next()]
}

impl<'b, A, T, N> Counts<'b, A, T>
where
    A: BlocksMut<T>,
    T: Tree<Key = RefcountKey<N>, Record = RefcountRecord<N>>,
    N: GroupBlock,
{
    /// The tree in `blocks`, which name `owner`: the group's number, or the inode with the root.
    pub fn new(blocks: &'b mut A, scope: T::Scope, owner: u64) -> Self {
        Self {
            blocks,
            path: Path::new(scope, owner),
        }
    }

    /// Changes the counts of as many of `count` blocks from `start` as have the same one.
    ///
    /// # Errors
    ///
    /// `Corrupt` where blocks stage a copy that should not, or the reverse; `Invalid` for no
    /// blocks, or an extent that leaves the group; those of changing the tree.
    pub fn step(&mut self, kind: RefcountUpdateKind, start: N, count: u32) -> Result<Step> {
        let end = start.raw().checked_add(count).ok_or(Error::Invalid)?;
        if count == 0 {
            return Err(Error::Invalid);
        }
        let domain = domain(kind);
        let found = self
            .path
            .lookup_le(self.blocks, &RefcountKey { domain, start })?
            .filter(|found| found.domain == domain);
        let here = found.filter(|found| found.end() > start);
        let (references, before, behind) = match here {
            Some(here) => (here.references, None, None),
            None => (
                least(domain).saturating_sub(1),
                found.filter(|found| found.end() == start),
                self.next(domain, start)?,
            ),
        };
        let stop = match (here, behind) {
            (Some(here), _) => here.end().raw().min(end),
            (None, Some(behind)) => behind.start.raw().min(end),
            (None, None) => end,
        };
        let done = stop.saturating_sub(start.raw());
        let to = changed(kind, references).ok_or_else(|| self.corrupt("refcount"))?;
        if to != references {
            let piece = RefcountRecord {
                domain,
                start,
                count: done,
                references: to,
            };
            match here {
                Some(here) => self.change(&here, piece)?,
                None => self.merge(piece, before, None, behind)?,
            }
        }
        Ok(Step {
            done,
            freed: to == 0 && domain == Domain::Shared,
        })
    }

    fn corrupt(&self, field: &'static str) -> Error {
        self.path.inconsistent(&*self.blocks, field)
    }

    /// The first record from `start` on, where none holds it.
    fn next(&mut self, domain: Domain, start: N) -> Result<Option<RefcountRecord<N>>> {
        let next = match self.path.record(&*self.blocks)? {
            Some(_) => self.path.next(self.blocks)?,
            None => self
                .path
                .lookup_ge(self.blocks, &RefcountKey { domain, start })?,
        };
        Ok(next.filter(|next| next.domain == domain))
    }

    /// The record that touches `record`, on which the path stands before and after.
    fn beside(
        &mut self,
        record: &RefcountRecord<N>,
        side: Side,
    ) -> Result<Option<RefcountRecord<N>>> {
        let found = match side {
            Side::Left => self.path.prev(self.blocks)?,
            Side::Right => self.path.next(self.blocks)?,
        };
        if found.is_some() {
            match side {
                Side::Left => self.path.next(self.blocks)?,
                Side::Right => self.path.prev(self.blocks)?,
            };
        }
        self.stand_on(record)?;
        let touches = |found: &RefcountRecord<N>| {
            found.domain == record.domain
                && match side {
                    Side::Left => found.end() == record.start,
                    Side::Right => found.start == record.end(),
                }
        };
        Ok(found.filter(touches))
    }

    /// Gives the part `piece` of a record another count.
    fn change(&mut self, here: &RefcountRecord<N>, piece: RefcountRecord<N>) -> Result {
        let before = if here.start == piece.start {
            self.beside(here, Side::Left)?
        } else {
            None
        };
        let behind = if here.end() == piece.end() {
            self.beside(here, Side::Right)?
        } else {
            None
        };
        self.merge(piece, before, Some(*here), behind)
    }

    /// Puts `piece` in the place of a part of `here`, or where there was nothing, and merges it with
    /// what touches it at both sides.
    fn merge(
        &mut self,
        piece: RefcountRecord<N>,
        before: Option<RefcountRecord<N>>,
        here: Option<RefcountRecord<N>>,
        behind: Option<RefcountRecord<N>>,
    ) -> Result {
        let is_kept = piece.references >= least(piece.domain);
        let joins = |other: &RefcountRecord<N>| is_kept && other.references == piece.references;
        let before = before.filter(joins);
        let behind = behind.filter(|behind| joins(behind) && behind.start == piece.end());
        let span = |from: N, to: N, like: RefcountRecord<N>| RefcountRecord {
            start: from,
            count: to.raw().saturating_sub(from.raw()),
            ..like
        };
        let merged = span(
            before.map_or(piece.start, |before| before.start),
            behind.map_or(piece.end(), |behind| behind.end()),
            piece,
        );
        let head = here
            .map(|here| span(here.start, piece.start, here))
            .filter(|head| head.count != 0);
        let tail = here
            .map(|here| span(piece.end(), here.end(), here))
            .filter(|tail| tail.count != 0);
        self.replace(
            to_front([before, here, behind]),
            to_front([head, Some(merged).filter(|_| is_kept), tail]),
        )
    }

    /// Puts records in the place of others. The tree is in order all the time: what goes makes room
    /// first, then what shrinks, and what grows or comes takes it.
    fn replace(&mut self, old: Row<N>, new: Row<N>) -> Result {
        for (old, new) in old.iter().zip(&new).rev() {
            if let (Some(old), None) = (old, new) {
                self.stand_on(old)?;
                self.path.delete(self.blocks)?;
            }
        }
        let second_first = matches!((&old, &new), ([_, Some(old), _], [Some(new), Some(_), _])
            if new.end() > old.start);
        if second_first {
            for (old, new) in old.iter().zip(&new).rev() {
                self.update(old, new)?;
            }
        } else {
            for (old, new) in old.iter().zip(&new) {
                self.update(old, new)?;
            }
        }
        for (old, new) in old.iter().zip(&new) {
            if let (None, Some(new)) = (old, new) {
                self.path.insert(self.blocks, new)?;
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        old: &Option<RefcountRecord<N>>,
        new: &Option<RefcountRecord<N>>,
    ) -> Result {
        match (old, new) {
            (Some(old), Some(new)) if old != new => {
                self.stand_on(old)?;
                self.path.update(self.blocks, new)
            }
            _ => Ok(()),
        }
    }

    /// Goes to a record that was seen before.
    fn stand_on(&mut self, record: &RefcountRecord<N>) -> Result {
        if self.path.record(&*self.blocks)? == Some(*record) {
            return Ok(());
        }
        match self.path.lookup_eq(self.blocks, &T::key(record))? {
            Some(found) if found == *record => Ok(()),
            _ => Err(self.corrupt("record")),
        }
    }
}

impl<A: BlocksMut<T>, T: Tree> Drop for Counts<'_, A, T> {
    fn drop(&mut self) {
        self.path.reset(self.blocks);
    }
}
