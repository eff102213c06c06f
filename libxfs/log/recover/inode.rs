// SPDX-License-Identifier: GPL-2.0

//! Inodes: core and forks, put into their cluster.

use super::{Recovery, Replay};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::{ensure, Fault},
        geometry::Geometry,
        inode::{self, Dinode, RawInode, CORE_SIZE},
        kind::Kind,
        log::{
            inode::{Fields, InodeItem},
            item::ItemKind,
            regions::Regions,
            root,
        },
        units::{DiskAddr, Lsn, BASIC_BLOCK_SIZE},
    },
    store::Run,
};
use zerocopy::FromBytes;

const NAME: &str = ItemKind::Inode.name();
/// Unit of `di_forkoff` in bytes.
const FORKOFF_UNIT: usize = 8;

impl<R: Replay> Recovery<'_, R> {
    /// Replays an inode, unless it is newer or its cluster was freed later.
    pub(super) fn inode(&mut self, regions: Regions<'_>) -> Result {
        let lsn = self.lsn;
        let corrupt = |fault| Error::log(fault, lsn);
        let item = InodeItem::decode(regions).map_err(corrupt)?;
        let place = item.place;
        check_place(&self.geo, &item).map_err(corrupt)?;
        if self.is_freed(place.at, place.len) {
            return Ok(());
        }
        let run = Run {
            at: place.at,
            len: place.len,
        };
        let mut cluster = self.hold(run, NAME)?;
        let replay = |fault| Error::replay(fault, lsn, place.at);
        let bytes = cluster
            .get_mut(place.offset as usize..)
            .and_then(|rest| rest.get_mut(..self.geo.inode_size as usize))
            .ok_or(corrupt(Fault::corrupt(NAME, "ilf_boffset")))?;
        let there = lsn_of(bytes).map_err(replay)?;
        let torn = self.torn.contains(run) || self.is_inode_torn(item.number, there, bytes);
        if !torn && there != Lsn(u64::MAX) && there > lsn {
            // The blocks of a tree that changed hands may still be older.
            ensure(
                !item.fields.has(Fields::DATA_OWNER | Fields::ATTR_OWNER),
                NAME,
                "ilf_fields",
            )
            .map_err(corrupt)?;
            return Dinode::verified(&self.geo, item.number, bytes)
                .map(|_| ())
                .map_err(replay);
        }
        // Trees change hands where extents of whole files are swapped by what reverse mappings have
        // made obsolete.
        ensure(
            !item.fields.has(Fields::DATA_OWNER | Fields::ATTR_OWNER),
            NAME,
            "ilf_fields",
        )
        .map_err(corrupt)?;
        put(&item, lsn, bytes).map_err(corrupt)?;
        inode::seal(bytes);
        if torn {
            return self.keep_torn(cluster, run, Kind::InodeCluster, false);
        }
        Dinode::verified(&self.geo, item.number, bytes).map_err(replay)?;
        self.keep(cluster, run, Kind::InodeCluster, false)
    }
}

/// Puts an inode, as an item of the log has it in `regions`, into its cluster's bytes, with the LSN
/// of its last change: what replaying it would do, and what writing it back does. The pointer of a
/// list of unlinked inodes stays as it is there.
///
/// # Errors
///
/// `Corrupt` for an item that makes no sense, or does not lie in the cluster.
pub fn apply(geo: &Geometry, regions: Regions<'_>, lsn: Lsn, cluster: &mut [u8]) -> Result {
    let corrupt = |fault| Error::log(fault, lsn);
    let item = InodeItem::decode(regions).map_err(corrupt)?;
    check_place(geo, &item).map_err(corrupt)?;
    let bytes = cluster
        .get_mut(item.place.offset as usize..)
        .and_then(|rest| rest.get_mut(..geo.inode_size as usize))
        .ok_or(corrupt(Fault::corrupt(NAME, "ilf_boffset")))?;
    put(&item, lsn, bytes).map_err(corrupt)?;
    inode::seal(bytes);
    Ok(())
}

/// Holds the place that an item names to that of its inode.
fn check_place(geo: &Geometry, item: &InodeItem<'_>) -> core::result::Result<(), Fault> {
    let place = item.place;
    let at = geo.split_inode(item.number).and_then(|(ag, inode)| {
        let (block, index) = geo.inode_block(inode);
        let start = geo.ag_block_addr(ag, block)?.0;
        let within = u64::from(index).checked_mul(u64::from(geo.inode_size))?;
        start
            .checked_mul(u64::from(BASIC_BLOCK_SIZE))?
            .checked_add(within)
    });
    let named = place
        .at
        .0
        .checked_mul(u64::from(BASIC_BLOCK_SIZE))
        .and_then(|start| start.checked_add(u64::from(place.offset)));
    ensure(at.is_some(), NAME, "ilf_ino")?;
    ensure(at == named, NAME, "ilf_boffset")?;
    ensure(place.at != DiskAddr(0), NAME, "ilf_blkno")
}

/// The LSN of an inode on the disk. Several transactions can have the same one, so the same is not
/// newer.
fn lsn_of(bytes: &[u8]) -> core::result::Result<Lsn, Fault> {
    let (raw, _) =
        RawInode::ref_from_prefix(bytes).map_err(|_| Fault::corrupt(NAME, "ilf_boffset"))?;
    ensure(raw.magic.get() == inode::MAGIC, "dinode", "di_magic")?;
    Ok(Lsn(raw.lsn.get()))
}

/// Puts an item's core and forks into an inode.
fn put(item: &InodeItem<'_>, lsn: Lsn, bytes: &mut [u8]) -> core::result::Result<(), Fault> {
    ensure(item.core.number.get() == item.number.0, NAME, "di_ino")?;
    let (core, literal) = bytes
        .split_at_mut_checked(CORE_SIZE)
        .ok_or(Fault::corrupt(NAME, "ilf_boffset"))?;
    let core = RawInode::mut_from_bytes(core).map_err(|_| Fault::corrupt(NAME, "core"))?;
    item.core.replay(lsn, core);
    let split = match core.forkoff {
        0 => literal.len(),
        units => usize::from(units).saturating_mul(FORKOFF_UNIT),
    };
    let (data, attr) = literal
        .split_at_mut_checked(split)
        .ok_or(Fault::corrupt(NAME, "di_forkoff"))?;
    if item.fields.has(Fields::DEVICE) {
        let device = data.get_mut(..4).ok_or(Fault::corrupt(NAME, "ilf_rdev"))?;
        device.copy_from_slice(&item.device.to_be_bytes());
    }
    if let Some(fork) = item.data {
        if item.fields.has(Fields::DATA_ROOT) {
            let form = root::Form::of_data_fork(core).ok_or(Fault::corrupt(NAME, "di_format"))?;
            form.to_disk(fork, data)
                .ok_or(Fault::corrupt(NAME, "data root"))?;
        } else {
            copy(fork, data).ok_or(Fault::corrupt(NAME, "ilf_dsize"))?;
        }
    }
    if let Some(fork) = item.attr {
        if item.fields.has(Fields::ATTR_ROOT) {
            root::Form::Bmap
                .to_disk(fork, attr)
                .ok_or(Fault::corrupt(NAME, "attr root"))?;
        } else {
            copy(fork, attr).ok_or(Fault::corrupt(NAME, "ilf_asize"))?;
        }
    }
    Ok(())
}

/// Copies a fork to the start of its place.
fn copy(from: &[u8], to: &mut [u8]) -> Option<()> {
    to.get_mut(..from.len())?.copy_from_slice(from);
    Some(())
}
