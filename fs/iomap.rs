// SPDX-License-Identifier: GPL-2.0

//! Where a file's bytes lie: what iomap asks for reads, seeks and reports.

use super::{
    inode::Inode,
    mount::Mount, //
};
use crate::{
    libxfs::{
        self,
        bmap,
        error,
        extents::{
            MappedBlock,
            Mapping as BlockMapping,
            Segment,
            State, //
        },
        format::{
            geometry::Geometry,
            inode::{
                flags::Flags as InodeFlags,
                InodeCore, //
            },
            units::{
                DiskAddr,
                FileBlock,
                RtGroupBlock, //
            },
        },
        inode::WhichFork,
        refcount::{
            self,
            Part, //
        },
        rt::{
            self,
            GroupFile, //
        },
        store::Device, //
    },
    rust::kernel::iomap::{
        Content,
        Flags,
        Mapper,
        Mapping, //
    },
};
use kernel::prelude::*;

/// Data, for reading and for reports of where it lies.
pub(crate) struct Data;

/// Data, for `SEEK_HOLE` and `SEEK_DATA`, to which sharing means nothing.
pub(crate) struct Seek;

/// The attribute fork, for reports.
pub(crate) struct AttributeFork;

impl Mapper for Data {
    type Node = Inode;

    fn map(node: &Inode, offset: u64, len: u64, flags: Flags, to: &mut Mapping<'_>) -> Result {
        map_fork(node, WhichFork::Data, offset, len, flags, to)
    }
}

impl Mapper for Seek {
    type Node = Inode;

    fn map(node: &Inode, offset: u64, len: u64, flags: Flags, to: &mut Mapping<'_>) -> Result {
        map_fork(
            node,
            WhichFork::Data,
            offset,
            len,
            flags.without_report(),
            to,
        )
    }
}

impl Mapper for AttributeFork {
    type Node = Inode;

    fn map(node: &Inode, offset: u64, len: u64, flags: Flags, to: &mut Mapping<'_>) -> Result {
        map_fork(node, WhichFork::Attr, offset, len, flags, to)?;
        to.set_attribute_fork();
        Ok(())
    }
}

/// Maps the first run of a fork that holds byte `offset`.
fn map_fork(
    node: &Inode,
    which: WhichFork,
    offset: u64,
    len: u64,
    flags: Flags,
    to: &mut Mapping<'_>,
) -> Result {
    let mount = node.mount();
    mount.check_running()?;
    if flags.write() {
        return Err(EROFS);
    }
    let geo = mount.geometry();
    let first = geo.file_block(offset);
    let end = geo.blocks_for(offset.saturating_add(len).min(mount.max_file_bytes()));
    let blocks = end.saturating_sub(first.0).max(1);
    let inode = if flags.nowait() {
        node.try_read_mapped(which).ok_or(EAGAIN)?
    } else {
        node.mapped(which)?
    };
    let extents = match inode.fork(which).and_then(|fork| fork.extents()) {
        Some(extents) if which == WhichFork::Data || !extents.is_empty() => extents,
        _ if which == WhichFork::Attr => return Err(ENOENT),
        _ => return Err(EUCLEAN),
    };
    let segment = extents.segment(first, blocks).ok_or(EINVAL)?;
    fill(mount, &inode, which, segment, flags, to)
}

fn fill(
    mount: &Mount,
    inode: &libxfs::inode::Inode,
    which: WhichFork,
    segment: Segment,
    flags: Flags,
    to: &mut Mapping<'_>,
) -> Result {
    let geo = mount.geometry();
    let bytes = |blocks: u64| blocks << geo.block_log;
    let device = inode.device(which);
    let target = mount.block_device(device).ok_or(ENXIO)?;
    let Segment::Mapped(whole) = segment else {
        to.set(
            bytes(segment.offset().0),
            bytes(segment.len()),
            Content::Hole,
            target,
        );
        return Ok(());
    };
    let (part, shared) = if which == WhichFork::Data && flags.report() {
        trim_to_sharing(mount, inode, whole)?
    } else {
        (whole, false)
    };
    let content = match part.state {
        State::Normal => Content::Data(disk_addr(mount, inode, which, part.start)?.0 << 9),
        State::Unwritten => Content::Unwritten(disk_addr(mount, inode, which, part.start)?.0 << 9),
        // Nothing lies there yet.
        State::Delayed => Content::Hole,
    };
    to.set(bytes(part.offset.0), bytes(part.len), content, target);
    if shared {
        to.set_shared();
    }
    let lies_somewhere = part.state != State::Delayed;
    if device == Device::Realtime && lies_somewhere && starts_group(geo, part.start) {
        to.set_boundary();
    }
    Ok(())
}

/// Whether a realtime block is the first of its group, with which no I/O before it may be joined.
fn starts_group(geo: &Geometry, block: MappedBlock) -> bool {
    matches!(
        geo.split_rt_block(block.realtime()),
        Some((_, RtGroupBlock(0)))
    )
}

/// Where a mapped block of a fork lies on its device.
pub(crate) fn disk_addr(
    mount: &Mount,
    inode: &libxfs::inode::Inode,
    which: WhichFork,
    block: MappedBlock,
) -> Result<DiskAddr> {
    // Mappings were held against the geometry when they were read.
    bmap::disk_addr(mount.geometry(), inode.device(which), block).ok_or(EUCLEAN)
}

/// The first part of a mapping of data that other files share as a whole or not at all, and
/// whether they do.
pub(crate) fn trim_to_sharing(
    mount: &Mount,
    inode: &libxfs::inode::Inode,
    mapping: BlockMapping,
) -> Result<(BlockMapping, bool)> {
    if !inode.core.is_reflink() || mapping.state != State::Normal {
        return Ok((mapping, false));
    }
    let shared = match inode.device(WhichFork::Data) {
        Device::Realtime => find_shared_rt(mount, &mapping),
        _ => refcount::find_shared(mount, mapping.start.data(), mapping.len),
    }
    .map_err(|error| mount.errno(error))?;
    let (skip, len) = match shared {
        None => return Ok((mapping, false)),
        Some(Part { skip: 0, len }) => (0, len),
        Some(Part { skip, .. }) => (skip, skip),
    };
    let end = FileBlock(mapping.offset.0.saturating_add(len));
    let part = mapping.trimmed(mapping.offset, end).ok_or(EUCLEAN)?;
    Ok((part, skip == 0))
}

fn find_shared_rt(mount: &Mount, mapping: &BlockMapping) -> error::Result<Option<Part>> {
    let start = mapping.start.realtime();
    let group = mount
        .geometry()
        .split_rt_block(start)
        .map(|(group, _)| group);
    let tree = rt::open(mount, group, GroupFile::Refcount)?;
    refcount::find_shared_rt(mount, &tree, start, mapping.len)
}

/// The extent size hint of an inode's data, in blocks; 0 if there is none.
pub(crate) fn extent_size_hint(geo: &Geometry, core: &InodeCore) -> u32 {
    let always_cow = geo.features.zoned() && core.is_realtime();
    if !always_cow && core.flags.has(InodeFlags::EXTSIZE) && core.extsize != 0 {
        core.extsize
    } else if core.is_realtime() && geo.rt_extent_size > 1 {
        geo.rt_extent_size
    } else {
        0
    }
}
