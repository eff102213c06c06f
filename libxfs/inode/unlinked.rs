// SPDX-License-Identifier: GPL-2.0

//! Lists of inodes that have no name any more but are still in use: after a crash they are freed.
//!
//! A group has 64 of them. The AGI has the heads, and each inode's slot names the next one; these
//! pointers are changed and logged in the clusters, under the lock of the AGI, and not with the
//! inodes. What an inode in memory has for one is what its slot said when it was read.
//!
//! An inode is put in front, and may be taken out anywhere. Which one is before it nobody on the disk
//! knows; memory that does spares a walk.
//!
//! Source: "Unlinked Inodes" in the XFS format's documentation, `fs/xfs/libxfs/xfs_inode_util.c` of
//! Linux 7.3.

use super::cluster_run;
use crate::libxfs::{
    ag::{self, LockedAgi},
    error::{Error, Result},
    format::{
        ag::{agi::UNLINKED_BUCKETS, NULL_AG_INODE},
        crc,
        fault::Fault,
        inode::{self, cluster, RawInode},
        kind::Kind,
        units::{AgInode, AgNumber, InodeNumber},
    },
    journal::Journal,
    store::{Device, Store},
    trans::{BlockId, InodeId, Trans},
};
use core::mem::offset_of;
use zerocopy::byteorder::{big_endian::U32, little_endian};

/// Where a slot names the next inode.
const NEXT: usize = offset_of!(RawInode, next_unlinked);

/// The neighbours that an inode on a list had, or has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The one before it; none at the head.
    pub before: Option<AgInode>,
    /// The one behind it.
    pub behind: Option<AgInode>,
}

/// Puts an inode without links in front of its list. Returns its neighbours there.
///
/// # Errors
///
/// `Invalid` for an inode with links, or a handle that names none; `Corrupt` where it is on a list
/// already; `Unsupported` where chunks are not aligned; those of reading.
pub fn insert<J: Journal>(trans: &mut Trans<'_, J>, inode: InodeId) -> Result<Neighbours> {
    let held = trans.inode(inode)?;
    if held.core.nlink != 0 {
        return Err(Error::Invalid);
    }
    let list = List::of(trans, held.number)?;
    let head = list.head(trans)?;
    if head == Some(list.own) {
        return Err(list.agi.corrupt(trans, "unlinked"));
    }
    if list.next(trans, list.own)?.is_some() {
        return Err(list.corrupt(trans, list.own));
    }
    list.set_next(trans, list.own, head)?;
    list.set_head(trans, Some(list.own))?;
    Ok(Neighbours {
        before: None,
        behind: head,
    })
}

/// Takes an inode off its list. `before` is the one before it, if memory knows; it is believed only
/// as far as that one's slot agrees. Returns the neighbours that it had.
///
/// # Errors
///
/// `Corrupt` where it is not on its list, or the list has no end; `Unsupported` where chunks are not
/// aligned; those of reading. After an error the transaction must not be committed.
pub fn remove<J: Journal>(
    trans: &mut Trans<'_, J>,
    number: InodeNumber,
    before: Option<AgInode>,
) -> Result<Neighbours> {
    let list = List::of(trans, number)?;
    let before = list.find(trans, before)?;
    let behind = list.set_next(trans, list.own, None)?;
    match before {
        None => list.set_head(trans, behind)?,
        Some(before) => {
            list.set_next(trans, before, behind)?;
        }
    }
    Ok(Neighbours { before, behind })
}

/// The head of a list: what recovery frees, again and again until there is none.
///
/// # Errors
///
/// `Invalid` for a list or a group that is not there; those of reading and of corruption.
pub fn head<S: Store>(store: &S, ag: AgNumber, bucket: usize) -> Result<Option<InodeNumber>> {
    let agi = ag::read_agi(store, ag)?;
    let head = decoded(*agi.unlinked.get(bucket).ok_or(Error::Invalid)?);
    Ok(head.and_then(|inode| store.geometry().inode_number(ag, inode)))
}

/// Forgets a list, of which an inode cannot be read: what is on it is lost until a repair.
///
/// # Errors
///
/// `Invalid` for a list or a group that is not there; those of reading and of corruption.
pub fn forget<J: Journal>(trans: &mut Trans<'_, J>, ag: AgNumber, bucket: usize) -> Result {
    let agi = LockedAgi::lock(trans, ag)?;
    agi.update(trans, |agi| {
        let head = agi.unlinked.get_mut(bucket).ok_or(Error::Invalid)?;
        head.set(NULL_AG_INODE);
        Ok(())
    })
}

/// The inode that a field names.
fn decoded(field: U32) -> Option<AgInode> {
    Some(field.get())
        .filter(|&next| next != NULL_AG_INODE)
        .map(AgInode)
}

/// Sets the checksum of the slot that begins at `start`. It lies beside the pointer, in the same
/// chunk of the log.
fn seal<J: Journal>(trans: &mut Trans<'_, J>, id: BlockId, start: usize) -> Result {
    let size = trans.geometry().inode_size as usize;
    let slot = trans
        .bytes(id)
        .get(start..)
        .and_then(|slot| slot.get(..size));
    let sum = slot.and_then(|slot| crc::block_crc(slot, inode::CRC_OFFSET));
    let at = start.checked_add(inode::CRC_OFFSET).ok_or(Error::Invalid)?;
    trans
        .change_as::<little_endian::U32>(id, at)?
        .set(sum.ok_or(Error::Invalid)?);
    Ok(())
}

/// The list of an inode.
struct List {
    agi: LockedAgi,
    bucket: usize,
    own: AgInode,
}

impl List {
    fn of<J: Journal>(trans: &mut Trans<'_, J>, number: InodeNumber) -> Result<Self> {
        let (ag, own) = trans.geometry().split_inode(number).ok_or(Error::Invalid)?;
        Ok(Self {
            agi: LockedAgi::lock(trans, ag)?,
            bucket: own.0 as usize % UNLINKED_BUCKETS,
            own,
        })
    }

    fn head<J: Journal>(&self, trans: &Trans<'_, J>) -> Result<Option<AgInode>> {
        let heads = &self.agi.get(trans)?.unlinked;
        let head = heads.get(self.bucket).ok_or(Error::Invalid)?;
        Ok(decoded(*head))
    }

    fn set_head<J: Journal>(&self, trans: &mut Trans<'_, J>, head: Option<AgInode>) -> Result {
        self.agi.update(trans, |agi| {
            let field = agi.unlinked.get_mut(self.bucket).ok_or(Error::Invalid)?;
            field.set(head.map_or(NULL_AG_INODE, AgInode::get));
            Ok(())
        })
    }

    /// Corruption of an inode's pointer.
    fn corrupt<J: Journal>(&self, trans: &Trans<'_, J>, inode: AgInode) -> Error {
        let number = trans.geometry().inode_number(self.agi.ag, inode);
        number.map_or(Error::Invalid, |number| {
            Error::inode(Fault::corrupt("dinode", "di_next_unlinked"), number)
        })
    }

    /// The cluster of an inode, and where the slot begins.
    fn slot<J: Journal>(
        &self,
        trans: &mut Trans<'_, J>,
        inode: AgInode,
    ) -> Result<(BlockId, usize)> {
        let geo = trans.geometry();
        let number = geo.inode_number(self.agi.ag, inode);
        let valid = number.filter(|_| geo.ag_inode_is_valid(self.agi.ag, inode));
        let number = valid.ok_or_else(|| self.agi.corrupt(trans, "unlinked"))?;
        let place = cluster::place(geo, number).ok_or(Error::Unsupported)?;
        let run = cluster_run(trans.journal(), place).ok_or(Error::Invalid)?;
        let id = trans.read(Device::Data, run, Kind::InodeCluster)?;
        let size = geo.inode_size as usize;
        let start = (place.index as usize).checked_mul(size);
        Ok((id, start.ok_or(Error::Invalid)?))
    }

    /// The one behind an inode.
    fn next<J: Journal>(
        &self,
        trans: &mut Trans<'_, J>,
        inode: AgInode,
    ) -> Result<Option<AgInode>> {
        let (id, start) = self.slot(trans, inode)?;
        let next = trans
            .view::<RawInode>(id, start)
            .map(|raw| raw.next_unlinked);
        trans.release(id);
        Ok(decoded(next.ok_or(Error::Invalid)?))
    }

    /// Sets the one behind an inode; which it was.
    fn set_next<J: Journal>(
        &self,
        trans: &mut Trans<'_, J>,
        inode: AgInode,
        next: Option<AgInode>,
    ) -> Result<Option<AgInode>> {
        let (id, start) = self.slot(trans, inode)?;
        let raw = trans.view::<RawInode>(id, start);
        let was = decoded(raw.ok_or(Error::Invalid)?.next_unlinked);
        if was != next {
            let at = start.checked_add(NEXT).ok_or(Error::Invalid)?;
            let field = trans.change_as::<U32>(id, at)?;
            field.set(next.map_or(NULL_AG_INODE, AgInode::get));
            seal(trans, id, start)?;
        }
        trans.release(id);
        Ok(was)
    }

    /// The one before the inode; none if that is the head.
    fn find<J: Journal>(
        &self,
        trans: &mut Trans<'_, J>,
        hint: Option<AgInode>,
    ) -> Result<Option<AgInode>> {
        let head = self.head(trans)?;
        if head == Some(self.own) {
            return Ok(None);
        }
        if let Some(before) = hint {
            // What a slot says that is on no list, or cannot be read, is of no interest.
            if self.next(trans, before) == Ok(Some(self.own)) {
                return Ok(Some(before));
            }
        }
        // No list is longer than the group has inodes.
        let most = self.agi.get(trans)?.count.get();
        let mut at = head;
        for _ in 0..most {
            let Some(inode) = at else {
                break;
            };
            at = self.next(trans, inode)?;
            if at == Some(self.own) {
                return Ok(Some(inode));
            }
        }
        Err(self.agi.corrupt(trans, "unlinked"))
    }
}
