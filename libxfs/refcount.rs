// SPDX-License-Identifier: GPL-2.0

//! Which blocks are shared, and how often.

mod adjust;

pub use adjust::{Counts, Step, MAX_REFERENCES};

use super::{
    ag,
    btree::Cursor,
    error::{Error, Result},
    format::{
        btree::{Domain, GroupBlock, Refcount, RefcountKey, RefcountRecord, Tree},
        units::{AgBlock, AgNumber, FsBlock, RtBlock, RtGroup, RtGroupBlock},
    },
    inode::Inode,
    rt,
    store::Store,
};

/// A part of an extent, in blocks: how far behind its start, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Blocks of the extent before it.
    pub skip: u64,
    /// Blocks of it; not 0.
    pub len: u64,
}

/// The first shared part of `len` blocks of the data device from `start`, which lie in one group.
/// It goes on as long as blocks are shared, with whomever. `None` if none is shared.
///
/// # Errors
///
/// `Invalid` for an extent outside the device; those of reading and of corruption.
pub fn find_shared<S: Store>(store: &S, start: FsBlock, len: u64) -> Result<Option<Part>> {
    let geo = store.geometry();
    if !geo.fs_extent_is_valid(start, len) {
        return Err(Error::Invalid);
    }
    if !geo.features.reflink() {
        return Ok(None);
    }
    let (ag, block): (AgNumber, AgBlock) = geo.split_fs_block(start).ok_or(Error::Invalid)?;
    let agf = ag::read_agf(store, ag)?;
    let mut cursor: Cursor<'_, S, Refcount> = ag::refcount(store, ag, &agf)?;
    first_shared(&mut cursor, block, len)
}

/// The first shared part of `len` blocks of the realtime device from `start`, as [`find_shared`]
/// tells it. `inode` is the [file](rt::GroupFile::Refcount) with the reference-count tree of their
/// group.
///
/// # Errors
///
/// As [`find_shared`] and [`rt::refcount`].
pub fn find_shared_rt<S: Store>(
    store: &S,
    inode: &Inode,
    start: RtBlock,
    len: u64,
) -> Result<Option<Part>> {
    let geo = store.geometry();
    if !geo.rt_extent_is_valid(start, len) {
        return Err(Error::Invalid);
    }
    let (group, block): (RtGroup, RtGroupBlock) =
        geo.split_rt_block(start).ok_or(Error::Invalid)?;
    first_shared(&mut rt::refcount(store, group, inode)?, block, len)
}

/// The first shared part of `len` blocks from `start` in the group of the cursor's tree.
///
/// # Errors
///
/// Those of reading and of corruption.
pub fn first_shared<S, T, B>(
    cursor: &mut Cursor<'_, S, T>,
    start: B,
    len: u64,
) -> Result<Option<Part>>
where
    S: Store,
    T: Tree<Key = RefcountKey<B>, Record = RefcountRecord<B>>,
    B: GroupBlock,
{
    let first = u64::from(start.raw());
    let end = first.saturating_add(len);
    let last = u32::try_from(end.saturating_sub(1)).map_err(|_| Error::Invalid)?;
    let high = RefcountKey {
        domain: Domain::Shared,
        start: B::from_raw(last),
    };
    let mut records = cursor.range(RefcountKey::shared(start), high);
    let mut found: Option<(u64, u64)> = None;
    while let Some(record) = records.next()? {
        let from = u64::from(record.start.raw()).max(first);
        let to = u64::from(record.end().raw()).min(end);
        found = match found {
            None => Some((from, to)),
            Some((start, before)) if before == from => Some((start, to)),
            Some(_) => break,
        };
    }
    Ok(found.map(|(from, to)| Part {
        skip: from.saturating_sub(first),
        len: to.saturating_sub(from),
    }))
}
