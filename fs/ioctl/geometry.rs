// SPDX-License-Identifier: GPL-2.0

//! Shape and counters of the file system and of its groups.

use super::{
    abi::{
        self,
        geometry_flag as flag, //
    },
    compat,
    Caller, //
};
use crate::{
    fs::mount::Mount,
    libxfs::{
        ag::Summary,
        format::{
            geometry::Geometry,
            units::{
                AgNumber,
                RtGroup, //
            },
        },
        store::Device, //
    },
    rust::kernel::{
        stat::statx,
        user::UserAddress, //
    },
};
use kernel::prelude::*;
use zerocopy::IntoBytes;

/// Which of the layouts of the shape.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// The first, as a 32-bit program has it.
    CompatV1,
    /// The first.
    V1,
    /// With the log's stripe unit.
    V4,
    /// With realtime groups and health.
    V5,
}

/// Bits of `sb_versionnum` that V5 still keeps.
mod version_bit {
    /// Attributes in use.
    pub(super) const ATTR: u16 = 0x0010;
    /// Quota.
    pub(super) const QUOTA: u16 = 0x0040;
    /// Aligned inodes.
    pub(super) const INODE_ALIGNMENT: u16 = 0x0080;
    /// Stripes.
    pub(super) const DATA_ALIGNMENT: u16 = 0x0100;
    /// Sectors larger than 512 bytes.
    pub(super) const SECTOR: u16 = 0x0800;
    /// Names without regard to ASCII case.
    pub(super) const CASE_INSENSITIVE: u16 = 0x4000;
}

fn flags(geo: &Geometry, version: Version) -> u32 {
    let features = &geo.features;
    // What every V5 file system has.
    let mut flags = flag::NLINK
        | flag::DIR_V2
        | flag::EXTENT_FLAG
        | flag::ATTR2
        | flag::LAZY_SB
        | flag::PROJECT32
        | flag::V5;
    if matches!(version, Version::V4 | Version::V5) {
        flags |= flag::LOG_V2;
    }
    let old = |bit: u16| features.version & bit != 0;
    for (on, bit) in [
        (old(version_bit::ATTR), flag::ATTR),
        (old(version_bit::QUOTA), flag::QUOTA),
        (old(version_bit::INODE_ALIGNMENT), flag::INODE_ALIGNMENT),
        (old(version_bit::DATA_ALIGNMENT), flag::DATA_ALIGNMENT),
        (old(version_bit::SECTOR), flag::SECTOR),
        (old(version_bit::CASE_INSENSITIVE), flag::CASE_INSENSITIVE),
        (features.ftype(), flag::FTYPE),
        (features.finobt(), flag::FINOBT),
        (features.sparse_inodes(), flag::SPARSE_INODES),
        (features.rmapbt(), flag::RMAPBT),
        (features.reflink(), flag::REFLINK),
        (features.bigtime(), flag::BIGTIME),
        (features.inobtcount(), flag::INOBTCOUNT),
        (features.nrext64(), flag::NREXT64),
        (features.exchange_range(), flag::EXCHANGE_RANGE),
        (features.parent(), flag::PARENT),
        (features.metadir(), flag::METADIR),
        (features.zoned(), flag::ZONED),
    ] {
        if on {
            flags |= bit;
        }
    }
    flags
}

/// `XFS_IOC_FSGEOMETRY` and its forebears.
pub(super) fn geometry(mount: &Mount, to: UserAddress, version: Version) -> Result<usize> {
    let geo = mount.geometry();
    let mut out = abi::Geometry {
        block_size: geo.block_size,
        rt_extent_size: geo.rt_extent_size,
        ag_blocks: geo.ag_blocks,
        ag_count: geo.ag_count,
        log_blocks: geo.log_blocks,
        sector_size: geo.sector_size,
        inode_size: geo.inode_size,
        inode_max_percent: geo.inode_max_percent.into(),
        data_blocks: geo.data_blocks,
        rt_blocks: geo.rt_blocks,
        rt_extents: geo.rt_extents,
        log_start: geo.log_start.map_or(0, |start| start.0),
        uuid: geo.uuid,
        stripe_unit: geo.stripe_unit,
        stripe_width: geo.stripe_width,
        flags: flags(geo, version),
        log_sector_size: if geo.features.version & version_bit::SECTOR != 0 {
            geo.log_sector_size
        } else {
            512
        },
        rt_sector_size: geo.block_size,
        dir_block_size: geo.dir_block_size(),
        ..abi::Geometry::ZERO
    };
    if matches!(version, Version::V4 | Version::V5) {
        out.log_stripe_unit = geo.log_stripe_unit;
    }
    if version == Version::V5 {
        out.version = 5;
        out.rt_group_count = geo.rt_group_count;
        out.rt_group_extents = geo.rt_group_extents;
        if geo.features.zoned() {
            out.rt_start = geo.rt_start;
            out.rt_reserved = mount.rt_reserved();
        }
    }
    let bytes = out.as_bytes();
    let short = |len: usize| bytes.get(..len).ok_or(EINVAL);
    match version {
        Version::CompatV1 => to.write(short(size_of::<compat::GeometryV1>())?)?,
        Version::V1 => to.write(short(size_of::<abi::GeometryV1>())?)?,
        Version::V4 => to.write(short(size_of::<abi::GeometryV4>())?)?,
        Version::V5 => to.write(bytes)?,
    }
    Ok(0)
}

/// `XFS_IOC_AG_GEOMETRY`.
pub(super) fn ag(mount: &Mount, to: UserAddress) -> Result<usize> {
    let request: abi::AgGeometry = to.read()?;
    if request.flags != 0 || request.reserved != [0; 12] {
        return Err(EINVAL);
    }
    let number = AgNumber(request.number);
    if number.0 >= mount.geometry().ag_count {
        return Err(EINVAL);
    }
    let group = Summary::read(mount, number).map_err(|error| mount.errno(error))?;
    to.write(&abi::AgGeometry {
        number: number.0,
        length: group.length,
        free_blocks: group.counted_free() as u32,
        inodes: group.inodes,
        free_inodes: group.free_inodes,
        ..abi::AgGeometry::ZERO
    })?;
    Ok(0)
}

/// `XFS_IOC_RTGROUP_GEOMETRY`.
pub(super) fn rt_group(mount: &Mount, to: UserAddress) -> Result<usize> {
    let request: abi::RtGroupGeometry = to.read()?;
    if request.flags != 0 || request.reserved != [0; 26] {
        return Err(EINVAL);
    }
    let length = mount
        .geometry()
        .rt_group_length(RtGroup(request.number))
        .ok_or(EINVAL)?;
    to.write(&abi::RtGroupGeometry {
        number: request.number,
        length: u32::try_from(length).map_err(|_| EOVERFLOW)?,
        ..abi::RtGroupGeometry::ZERO
    })?;
    Ok(0)
}

/// `XFS_IOC_FSCOUNTS`.
pub(super) fn counts(mount: &Mount, to: UserAddress) -> Result<usize> {
    let counters = mount.counters();
    to.write(&abi::Counts {
        free_data: counters.free_blocks.saturating_sub(mount.unavailable()),
        free_rt_extents: counters.free_rt_extents,
        free_inodes: counters.free_inodes,
        inodes: counters.inodes,
    })?;
    Ok(0)
}

/// `XFS_IOC_GET_RESBLKS`: a read-only mount keeps nothing back.
pub(super) fn reserved(mount: &Mount, to: UserAddress) -> Result<usize> {
    super::privileged()?;
    let (total, available) = mount.kept_blocks();
    to.write(&abi::ReservedBlocks { total, available })?;
    Ok(0)
}

/// `FS_IOC_GETFSLABEL`: the label and a zero.
pub(super) fn label(mount: &Mount, to: UserAddress) -> Result<usize> {
    let mut label = [0; super::LABEL_ROOM];
    for (to, from) in label.iter_mut().zip(mount.geometry().label) {
        *to = from;
    }
    to.write(&label)?;
    Ok(0)
}

/// `XFS_IOC_DIOINFO`.
pub(super) fn dio_info(file: &Caller<'_>, to: UserAddress) -> Result<usize> {
    let stat = file.attributes(statx::DIO_ALIGN)?;
    let min_io = stat.dio_offset_align;
    to.write(&abi::DioInfo {
        // Programs hand this to `posix_memalign`, which wants at least a pointer's size.
        mem: stat
            .dio_mem_align
            .checked_next_multiple_of(8)
            .ok_or(EINVAL)?,
        min_io,
        max_io: (i32::MAX as u32) & !min_io.wrapping_sub(1),
    })?;
    Ok(0)
}

/// `XFS_IOC_GOINGDOWN`: shuts the file system down, in one of three ways.
pub(super) fn going_down(mount: &Mount, from: UserAddress) -> Result<usize> {
    /// Everything is in its place first.
    const IN_PLACE: u32 = 0;
    /// What was committed is in the log first.
    const LOGGED: u32 = 1;
    /// At once.
    const AT_ONCE: u32 = 2;
    const WHY: &str = "by request";
    match from.read()? {
        IN_PLACE => {
            let device = mount.block_device(Device::Data).ok_or(EINVAL)?;
            // One that is not to be frozen now is not shut down: whoever holds it up is told.
            let frozen = device.freeze()?;
            mount.shut_down(WHY);
            drop(frozen);
        }
        LOGGED => {
            // Where that fails it is shut down, or was.
            let _ = mount.force_log();
            mount.shut_down(WHY);
        }
        AT_ONCE => mount.shut_down(WHY),
        _ => return Err(EINVAL),
    }
    Ok(0)
}
