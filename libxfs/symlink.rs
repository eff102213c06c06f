// SPDX-License-Identifier: GPL-2.0

//! Targets of symbolic links: read, written with the link and removed with it.

use super::{
    bmap,
    da::ForkSpace,
    error::{Error, Result},
    extents::{ExtentMap, Mapping, Segment},
    format::{
        fault::Fault,
        geometry::Geometry,
        inode::{FileType, ForkFormat},
        kind::Kind,
        symlink::{self, HEADER_SIZE, MAX_LENGTH, MAX_RUNS},
        units::FileBlock,
    },
    inode::{Fork, Inode, WhichFork},
    journal::Journal,
    store::{Device, Run, Store},
    trans::{InodeFields, InodeId, Trans},
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};
use zerocopy::byteorder::{
    big_endian::{U32, U64},
    little_endian,
};

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

/// That a symbolic link may have such a target.
///
/// # Errors
///
/// `NameTooLong` for one of more than 1023 bytes; `Invalid` for one that is empty or has a zero in it.
pub fn check_target(target: &[u8]) -> Result {
    if target.len() >= MAX_LENGTH as usize {
        return Err(Error::NameTooLong);
    }
    if target.is_empty() || target.contains(&0) {
        return Err(Error::Invalid);
    }
    Ok(())
}

/// Gives a new symbolic link, which the transaction holds, its target: in the inode if it fits, else
/// in blocks, of which [`symlink::blocks`] must have been claimed.
///
/// # Errors
///
/// `Invalid` for what is no symbolic link, or has something in its data fork; those of
/// [`check_target`]; `NoSpace`, `NoMemory`, and those of the store.
pub fn write_target<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    id: InodeId,
    target: &[u8],
) -> Result {
    let geo = trans.geometry();
    let inode = trans.inode(id)?;
    let empty = inode.core.nextents == 0 && inode.data.local().is_none_or(<[u8]>::is_empty);
    check_target(target)?;
    let length = u32::try_from(target.len()).map_err(|_| Error::NameTooLong)?;
    if inode.core.file_type() != Some(FileType::Symlink) || !empty {
        return Err(Error::Invalid);
    }
    if target.len() <= inode.core.data_fork_size(geo) {
        let mut bytes = KVec::with_capacity(target.len(), GFP_KERNEL)?;
        bytes.extend_from_slice(target, GFP_KERNEL)?;
        let inode = trans.change_inode(id, InodeFields::DATA)?;
        inode.core.size = length.into();
        inode.core.format = ForkFormat::Local;
        inode.data = Fork::Local(bytes);
        return Ok(());
    }
    write_blocks(trans, space, id, target)
}

/// Moves the target of a link out of the inode, to blocks of its own: something else takes the room
/// that it has there.
///
/// # Errors
///
/// `Invalid` for what is no link with its target in the inode; as [`write_target`].
pub fn leave_inode<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    id: InodeId,
) -> Result {
    let inode = trans.change_inode(id, InodeFields::DATA)?;
    if inode.core.file_type() != Some(FileType::Symlink) {
        return Err(Error::Invalid);
    }
    match core::mem::replace(&mut inode.data, Fork::Local(KVec::new())) {
        Fork::Local(target) if !target.is_empty() => write_blocks(trans, space, id, &target),
        other => {
            inode.data = other;
            Err(Error::Invalid)
        }
    }
}

/// Writes a target to blocks, which the fork has none of yet.
fn write_blocks<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    id: InodeId,
    target: &[u8],
) -> Result {
    let geo = trans.geometry();
    let length = u32::try_from(target.len()).map_err(|_| Error::Invalid)?;
    let blocks = symlink::blocks(geo, length);
    let inode = trans.change_inode(id, InodeFields::DATA)?;
    let owner = inode.number;
    inode.core.size = length.into();
    inode.core.format = ForkFormat::Extents;
    inode.data = Fork::Extents(ExtentMap::new());
    space.map(trans, id, WhichFork::Data, FileBlock(0), blocks)?;
    let mut rest = target;
    let mut at = FileBlock(0);
    let hole = Error::inode(Fault::corrupt("symlink", "target"), owner);
    for _ in 0..MAX_RUNS {
        let map = trans.inode(id)?.extents(WhichFork::Data)?;
        let Some(mapping) = map.get(at) else {
            break;
        };
        let run = run_of(geo, &mapping).ok_or(hole)?;
        let block = trans.fresh(Device::Data, run, Kind::Symlink)?;
        let room = trans.bytes(block).len().saturating_sub(HEADER_SIZE);
        let (part, after) = rest.split_at(rest.len().min(room));
        let header = symlink::Header {
            magic: U32::new(symlink::MAGIC),
            offset: U32::new(target.len().saturating_sub(rest.len()) as u32),
            bytes: U32::new(part.len() as u32),
            crc: little_endian::U32::new(0),
            uuid: geo.meta_uuid,
            owner: U64::new(owner.0),
            blkno: U64::new(run.at.0),
            lsn: U64::new(0),
        };
        *trans.change_as(block, 0)? = header;
        let end = HEADER_SIZE.saturating_add(part.len());
        trans.change(block, HEADER_SIZE..end)?.copy_from_slice(part);
        rest = after;
        at = mapping.end();
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(hole)
    }
}

/// Frees the blocks of a link's target, before the inode is freed; what lies in the inode goes with
/// that.
///
/// # Errors
///
/// `Invalid` for what is no symbolic link; `Corrupt`, `NoSpace`, and those of freeing.
pub fn remove_target<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    id: InodeId,
) -> Result {
    let geo = trans.geometry();
    let inode = trans.inode(id)?;
    if inode.core.file_type() != Some(FileType::Symlink) {
        return Err(Error::Invalid);
    }
    if inode.data.local().is_some() {
        return Ok(());
    }
    for _ in 0..MAX_RUNS {
        let inode = trans.inode(id)?;
        let Some(mapping) = inode.extents(WhichFork::Data)?.last() else {
            break;
        };
        let hole = Error::inode(Fault::corrupt("symlink", "target"), inode.number);
        let run = run_of(geo, &mapping).ok_or(hole)?;
        let block = trans.read(Device::Data, run, Kind::Symlink)?;
        let len = u32::try_from(mapping.len).map_err(|_| hole)?;
        space.unmap(trans, id, WhichFork::Data, mapping.offset, len)?;
        trans.invalidate(block);
        trans.release(block);
    }
    trans.change_inode(id, InodeFields::DATA)?.core.size = 0;
    Ok(())
}

/// Where a mapping of the data fork lies.
fn run_of(geo: &Geometry, mapping: &Mapping) -> Option<Run> {
    let at = bmap::disk_addr(geo, Device::Data, mapping.start)?;
    let blocks = u32::try_from(mapping.len).ok()?;
    let len = blocks.checked_mul(geo.basic_blocks_per_block())?;
    Some(Run { at, len })
}
