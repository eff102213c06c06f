// SPDX-License-Identifier: GPL-2.0

//! Quota files: usage and limits by id.

use super::{
    bmap,
    error::{Error, Result},
    format::{
        fault::Fault,
        inode::ForkFormat,
        kind::Kind,
        quota::{self, Dquot, QuotaType},
        sb::DiskSuperblock,
        units::{DiskAddr, FileBlock, BASIC_BLOCK_SIZE},
    },
    inode::{Inode, WhichFork},
    journal::{Claim, Journal},
    metadir,
    store::{Device, Run, Store},
    trans::{LogReservations, Trans},
};

/// Bits of `sb_qflags` that say, for each type, that a check has made the records right.
///
/// Source: `XFS_*QUOTA_CHKD` in `fs/xfs/libxfs/xfs_log_format.h` of Linux 7.3.
const CHECKED: u16 = 0x0004 | 0x0100 | 0x0400;

/// Notes that quota records may be wrong from now on, since what changes usage does not change them:
/// whoever accounts for quota next counts all usage anew. Whether there was anything to note.
///
/// # Errors
///
/// Those of the transaction.
pub fn forget_checks<J: Journal>(journal: &J, all: &LogReservations) -> Result<bool> {
    if journal.geometry().quota_flags & CHECKED == 0 {
        return Ok(false);
    }
    let mut trans = Trans::start(journal, all.superblock, Claim::default())?;
    trans.set_durable();
    let run = Run {
        at: DiskAddr(0),
        len: trans.geometry().sector_size / BASIC_BLOCK_SIZE,
    };
    let block = trans.read(Device::Data, run, Kind::Superblock)?;
    trans.update(block, 0, |sb: &mut DiskSuperblock| {
        sb.qflags.set(sb.qflags.get() & !CHECKED);
        Ok(())
    })?;
    trans.commit()?;
    Ok(true)
}

/// Opens the quota file of a type. Its mappings are loaded.
///
/// # Errors
///
/// `NotFound` if there is none; `Corrupt`, `Io`, `NoMemory`, `Interrupted`.
pub fn open<S: Store>(store: &S, quota_type: QuotaType) -> Result<Inode> {
    let geo = store.geometry();
    let meta_type = quota_type.meta_type();
    let inode = if geo.features.metadir() {
        let name = quota_type.file_name().as_bytes();
        metadir::lookup(store, &[b"quota"], name, meta_type)?
    } else {
        let [user, group, project] = geo.quota_inodes;
        let number = match quota_type {
            QuotaType::User => user,
            QuotaType::Group => group,
            QuotaType::Project => project,
        };
        metadir::read_inode(store, number.ok_or(Error::NotFound)?, meta_type)?
    };
    let corrupt = |field| Error::inode(Fault::corrupt("quota inode", field), inode.number);
    if !matches!(inode.data.format(), ForkFormat::Extents | ForkFormat::Btree) {
        return Err(corrupt("di_format"));
    }
    if inode.core.projid != 0 {
        return Err(corrupt("di_projid"));
    }
    Ok(inode)
}

/// The record of an id, of a file from [`open`]; `None` if nothing was ever counted for it.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`.
pub fn read<S: Store>(
    store: &S,
    file: &Inode,
    quota_type: QuotaType,
    id: u32,
) -> Result<Option<Dquot>> {
    let (block, index) = quota::position(store.geometry(), id);
    if file.extents(WhichFork::Data)?.get(block).is_none() {
        return Ok(None);
    }
    record(store, file, quota_type, block, index).map(Some)
}

/// The first record of `id` or a higher one in the blocks that are there; `None` past the last.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`.
pub fn next<S: Store>(
    store: &S,
    file: &Inode,
    quota_type: QuotaType,
    id: u32,
) -> Result<Option<Dquot>> {
    let geo = store.geometry();
    let (block, index) = quota::position(geo, id);
    let Some(mapping) = file.extents(WhichFork::Data)?.lookup(block) else {
        return Ok(None);
    };
    let (block, index) = if mapping.offset > block {
        (mapping.offset, 0)
    } else {
        (block, index)
    };
    // Past the last id there may be room in the file, but there are no records.
    let first = block
        .0
        .checked_mul(u64::from(quota::records_per_block(geo)))
        .and_then(|first| first.checked_add(u64::from(index)));
    if first.is_none_or(|first| first > u64::from(u32::MAX)) {
        return Ok(None);
    }
    record(store, file, quota_type, block, index).map(Some)
}

/// Reads one record, which must be of its file's type and of the id that its place tells.
fn record<S: Store>(
    store: &S,
    file: &Inode,
    quota_type: QuotaType,
    block: FileBlock,
    index: u32,
) -> Result<Dquot> {
    let geo = store.geometry();
    let mapping = file
        .extents(WhichFork::Data)?
        .get(block)
        .and_then(|mapping| mapping.trimmed(block, mapping.end()))
        .ok_or(Error::Invalid)?;
    let at = bmap::disk_addr(geo, Device::Data, mapping.start).ok_or(Error::Invalid)?;
    let run = Run {
        at,
        len: geo.basic_blocks_per_block(),
    };
    let bytes = store.read(Device::Data, run, Kind::Dquots)?;
    let id = block
        .0
        .checked_mul(u64::from(quota::records_per_block(geo)))
        .and_then(|first| first.checked_add(u64::from(index)));
    quota::records(geo, &bytes)
        .and_then(|records| {
            let dquot = records
                .get(index as usize)
                .and_then(quota::DiskDquot::decode)
                .ok_or(Fault::corrupt("dquot", "d_type"))?;
            if Some(u64::from(dquot.id)) != id {
                return Err(Fault::corrupt("dquot", "d_id"));
            }
            if dquot.quota_type != quota_type {
                return Err(Fault::corrupt("dquot", "d_type"));
            }
            Ok(dquot)
        })
        .map_err(|fault| Error::block(fault, Device::Data, run.at))
}
