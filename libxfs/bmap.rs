// SPDX-License-Identifier: GPL-2.0

//! Fork maps: from what the disk holds of them to an [`ExtentMap`], questions to one, and changes.
//!
//! Source: "Data Extents" in the XFS format's documentation.

mod allocate;
mod allocate_rt;
mod change;
mod cow;
mod delayed;
mod exchange;
mod fork;
mod form;
mod hint;
mod hook;
mod load;
mod meta;
mod realtime;
mod shift;
mod space;
mod truncate;
mod update;
mod window;

pub use change::Unmapped;
pub use cow::CowMut;
pub use delayed::{delay, worst_tree, Delayed};
pub use exchange::{exchange, exchange_steps, prepare_exchange};
pub use fork::ForkMut;
pub use hint::{allocation_claim, staged, staging_claim, FileBlocks};
pub use hook::{count_blocks, MapHook};
pub use load::{check_root, load};
pub use meta::MetaHook;
pub use space::MapSpace;
pub use truncate::{cancel_staged, clear_shared, truncate};
pub use update::update;

use super::{
    error::{Error, Result},
    extents::{ExtentMap, MappedBlock, Segment},
    format::{
        btree::{
            self,
            bmap::{BmapRecord, DiskBmap},
        },
        fault::Fault,
        geometry::Geometry,
        inode::InodeCore,
        rt,
        units::{DiskAddr, FileBlock, FsBlock, InodeNumber, RtBlock, RtGroup},
    },
    inode::{Inode, WhichFork},
    store::{Device, Run},
    trans::InodeFields,
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};
use zerocopy::FromBytes;

/// What reading a fork's mappings needs to know of the fork.
#[derive(Clone, Copy, Debug)]
pub struct ForkOf {
    /// The inode.
    pub number: InodeNumber,
    /// Which of its forks.
    pub which: WhichFork,
    /// Device that the mappings are about.
    pub device: Device,
    /// Mappings that the inode counts.
    pub count: u64,
    /// Blocks that the inode counts, of both forks.
    pub blocks: u64,
}

impl ForkOf {
    /// Of an inode's core.
    pub fn new(number: InodeNumber, core: &InodeCore, which: WhichFork) -> Self {
        let (device, count) = match which {
            WhichFork::Data if core.is_realtime() => (Device::Realtime, core.nextents),
            WhichFork::Data => (Device::Data, core.nextents),
            WhichFork::Attr => (Device::Data, u64::from(core.anextents)),
        };
        Self {
            number,
            which,
            device,
            count,
            blocks: core.nblocks,
        }
    }

    /// A rule of the fork that is broken.
    fn corrupt(&self, field: &'static str) -> Error {
        let structure = match self.which {
            WhichFork::Data => "data fork",
            WhichFork::Attr => "attr fork",
        };
        Error::inode(Fault::corrupt(structure, field), self.number)
    }

    /// The scope of the fork's records, which bounds them.
    fn scope(&self) -> btree::Fork {
        match (self.which, self.device) {
            (WhichFork::Attr, _) => btree::Fork::Attr,
            (WhichFork::Data, Device::Realtime) => btree::Fork::Realtime,
            (WhichFork::Data, _) => btree::Fork::Data,
        }
    }

    /// Takes a record that was read into the map, behind those before it.
    fn add(&self, geo: &Geometry, map: &mut ExtentMap, record: BmapRecord) -> Result {
        record
            .check(geo, Some(self.scope()))
            .map_err(|field| self.corrupt(field))?;
        if self.device == Device::Realtime && is_rt_superblock(geo, record.rt_start()) {
            return Err(self.corrupt("startblock"));
        }
        map.append(record.into()).map_err(|error| match error {
            Error::Invalid => self.corrupt("record order"),
            other => other,
        })
    }
}

/// The part of an inode that is logged with a fork.
const fn fields(which: WhichFork) -> InodeFields {
    match which {
        WhichFork::Data => InodeFields::DATA,
        WhichFork::Attr => InodeFields::ATTR,
    }
}

/// The block that holds an inode.
fn inode_block(geo: &Geometry, number: InodeNumber) -> Result<FsBlock> {
    let (ag, inode) = geo.split_inode(number).ok_or(Error::Invalid)?;
    let (block, _) = geo.inode_block(inode);
    geo.fs_block(ag, block).ok_or(Error::Invalid)
}

/// Whether a block lies in the realtime extent that holds the realtime superblock: the first of
/// all, where there are groups and no zones.
fn is_rt_superblock(geo: &Geometry, block: RtBlock) -> bool {
    rt::has_superblock(geo)
        && geo
            .split_rt_block(block)
            .is_some_and(|(group, at)| group == RtGroup(0) && at.0 < geo.rt_extent_size)
}

/// Takes the mappings of a fork whose bytes hold all of them.
///
/// # Errors
///
/// `Corrupt` for one that is not valid, out of order or overlapping; `NoMemory`.
pub fn decode_extents(geo: &Geometry, fork: &ForkOf, bytes: &[u8]) -> Result<ExtentMap> {
    let count = usize::try_from(fork.count).map_err(|_| fork.corrupt("extent count"))?;
    let (records, _) = <[DiskBmap]>::ref_from_prefix_with_elems(bytes, count)
        .map_err(|_| fork.corrupt("extent count"))?;
    let mut map = ExtentMap::with_room(fork.count)?;
    for record in records {
        fork.add(geo, &mut map, BmapRecord::decode(record))?;
    }
    Ok(map)
}

/// The first run, mapped or not, of the `len` blocks of a fork from `offset`, trimmed to them.
///
/// # Errors
///
/// `Invalid` for no blocks, or a fork without mappings or whose tree was not loaded.
pub fn map_blocks(inode: &Inode, which: WhichFork, offset: FileBlock, len: u64) -> Result<Segment> {
    inode
        .extents(which)?
        .segment(offset, len)
        .ok_or(Error::Invalid)
}

/// Where a mapped block lies on its device.
pub const fn disk_addr(geo: &Geometry, device: Device, block: MappedBlock) -> Option<DiskAddr> {
    match device {
        Device::Realtime => geo.rt_block_addr(block.realtime()),
        Device::Data | Device::Log => geo.fs_block_addr(block.data()),
    }
}

/// The device runs that hold `len` blocks of a fork from `offset`, joined where they touch: what
/// [`Store::read_runs`](super::store::Store::read_runs) takes.
///
/// `None` if a part of them is a hole.
///
/// # Errors
///
/// As [`map_blocks`], and `NoMemory`.
pub fn runs(
    geo: &Geometry,
    inode: &Inode,
    which: WhichFork,
    offset: FileBlock,
    len: u32,
) -> Result<Option<KVec<Run>>> {
    let device = inode.device(which);
    let mut runs: KVec<Run> = KVec::new();
    for segment in inode.extents(which)?.segments(offset, u64::from(len)) {
        let Segment::Mapped(mapping) = segment else {
            return Ok(None);
        };
        let at = disk_addr(geo, device, mapping.start).ok_or(Error::Invalid)?;
        // No longer than `len`, so it fits.
        let blocks = u32::try_from(mapping.len).map_err(|_| Error::Invalid)?;
        let len = blocks
            .checked_mul(geo.basic_blocks_per_block())
            .ok_or(Error::Invalid)?;
        match runs.last_mut() {
            Some(last) if last.at.checked_add(u64::from(last.len)) == Some(at) => {
                last.len = last.len.checked_add(len).ok_or(Error::Invalid)?;
            }
            _ => runs.push(Run { at, len }, GFP_KERNEL)?,
        }
    }
    if runs.is_empty() {
        return Err(Error::Invalid);
    }
    Ok(Some(runs))
}
