// SPDX-License-Identifier: GPL-2.0

//! Targets of symbolic links.

use super::{
    bmap,
    error::{Error, Result},
    extents::Segment,
    format::{
        fault::Fault,
        inode::FileType,
        kind::Kind,
        symlink::{self, HEADER_SIZE, MAX_LENGTH, MAX_RUNS},
        units::FileBlock,
    },
    inode::{Fork, Inode, WhichFork},
    store::{Device, Run, Store},
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Reads a link's target, without an end mark.
///
/// # Errors
///
/// `Invalid` for what is no symbolic link, or whose mappings were not
/// [loaded](Inode::load_extents); `Corrupt`, `Io`, `NoMemory`.
pub fn read_target<S: Store>(store: &S, inode: &Inode) -> Result<KVec<u8>> {
    if inode.core.file_type() != Some(FileType::Symlink) {
        return Err(Error::Invalid);
    }
    let corrupt = |field| Error::inode(Fault::corrupt("symlink", field), inode.number);
    let length = u32::try_from(inode.core.size)
        .ok()
        .filter(|&length| length > 0 && length <= MAX_LENGTH)
        .ok_or(corrupt("di_size"))?;
    let mut target = KVec::with_capacity(length as usize, GFP_KERNEL)?;
    if let Fork::Local(bytes) = &inode.data {
        target.extend_from_slice(bytes, GFP_KERNEL)?;
        return Ok(target);
    }

    let geo = store.geometry();
    let blocks = symlink::blocks(geo, length);
    let segments = inode
        .extents(WhichFork::Data)?
        .segments(FileBlock(0), u64::from(blocks));
    // A block has its header only if it is the first of a run.
    for segment in segments.take(MAX_RUNS) {
        let Segment::Mapped(mapping) = segment else {
            return Err(corrupt("target"));
        };
        let run = bmap::disk_addr(geo, Device::Data, mapping.start)
            .zip(u32::try_from(mapping.len).ok())
            .and_then(|(at, len)| {
                let len = len.checked_mul(geo.basic_blocks_per_block())?;
                Some(Run { at, len })
            })
            .ok_or(corrupt("target"))?;
        let block = store.read(Device::Data, run, Kind::Symlink)?;
        let room = block.len().saturating_sub(HEADER_SIZE);
        let offset = target.len() as u32;
        let part = length
            .saturating_sub(offset)
            .min(u32::try_from(room).unwrap_or(u32::MAX));
        let bytes = symlink::part(&block, inode.number, offset, part)
            .map_err(|fault| Error::block(fault, Device::Data, run.at))?;
        target.extend_from_slice(bytes, GFP_KERNEL)?;
    }
    if target.len() != length as usize {
        return Err(corrupt("target"));
    }
    Ok(target)
}
