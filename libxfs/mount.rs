// SPDX-License-Identifier: GPL-2.0

//! What a mount checks of a whole file system before it trusts it.
//!
//! The superblock itself is read by the engine, since nothing else can be read before it is known:
//! [`sb::verify`](super::format::sb::verify) accepts it,
//! [`Superblock::admit`](super::format::sb::Superblock::admit) holds it against the mount's options.

use super::{
    error::{Error, Result},
    format::{
        fault::Fault,
        kind::Kind,
        units::{DiskAddr, BASIC_BLOCK_LOG},
    },
    store::{Device, Run, Store},
};

/// Reads the last bytes that each device must have: a device that is too short is found here, not
/// when a file needs that block.
///
/// # Errors
///
/// `Io` or `Invalid` from the store when a device is too short.
pub fn check_sizes<S: Store>(store: &S) -> Result {
    let geo = store.geometry();
    let sector = geo.sector_size >> BASIC_BLOCK_LOG;
    check_end(store, Device::Data, geo.data_blocks, sector)?;
    let block = geo.basic_blocks_per_block();
    if geo.log_start.is_none() {
        check_end(store, Device::Log, u64::from(geo.log_blocks), block)?;
    }
    if geo.rt_blocks != 0 && geo.rt_start == 0 {
        check_end(store, Device::Realtime, geo.rt_blocks, block)?;
    }
    Ok(())
}

/// Reads the last `len` basic blocks of `blocks` file system blocks.
fn check_end<S: Store>(store: &S, device: Device, blocks: u64, len: u32) -> Result {
    let geo = store.geometry();
    let end = blocks
        .checked_mul(u64::from(geo.basic_blocks_per_block()))
        .ok_or(Error::Invalid)?;
    let at = DiskAddr(end.checked_sub(u64::from(len)).ok_or(Error::Invalid)?);
    store.read(device, Run { at, len }, Kind::Raw).map(|_| ())
}

/// The structures of a group, as bits in `ag_sick` and `ag_checked` of the ioctl `AG_GEOMETRY`.
///
/// Returns the bit of the structure that a fault names, or 0 for one that no group's header counts.
/// Source: `XFS_AG_GEOM_SICK_*` in `fs/xfs/libxfs/xfs_fs.h` of Linux 7.3.
pub fn ag_sickness(fault: &Fault) -> u32 {
    match fault.structure {
        "superblock" => 1 << 0,
        "agf" => 1 << 1,
        "agfl" => 1 << 2,
        "agi" => 1 << 3,
        "bnobt" => 1 << 4,
        "cntbt" => 1 << 5,
        "inobt" => 1 << 6,
        "finobt" => 1 << 7,
        "rmapbt" => 1 << 8,
        "refcountbt" => 1 << 9,
        "inode" => 1 << 10,
        _ => 0,
    }
}
