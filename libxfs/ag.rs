// SPDX-License-Identifier: GPL-2.0

//! Allocation groups: their headers, and what these add up to. In a transaction a group's header is
//! [locked](LockedAgf), and with it come the trees that it names.

mod free_list;
mod locked;
mod tree;

pub use free_list::{min_blocks as min_list_blocks, Use};
pub use locked::{LockedAgf, LockedAgi};
pub use tree::{Listed, ListedTree};

use super::{
    btree::Cursor,
    error::{Error, Result},
    format::{
        ag::{
            agf::DiskAgf, agfl::Agfl, agi::DiskAgi, AGFL_SECTOR, AGF_SECTOR, AGI_SECTOR,
            SUPERBLOCK_SECTOR,
        },
        btree::{Bno, Cnt, Fino, Ino, Refcount, Rmap},
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        sb::Counters,
        units::{AgBlock, AgNumber, BASIC_BLOCK_LOG},
    },
    store::{Device, Run, Store},
};

/// Blocks of each group that no user gets: so many the list of blocks for the free-space trees
/// keeps, and four that freeing and splitting at the last moment may take.
const SET_ASIDE_PER_GROUP: u64 = 4 + 4;

/// The run of a group's header sector; `None` for a group that is not there.
fn header_run(geo: &Geometry, ag: AgNumber, sector: u32) -> Option<Run> {
    Some(Run {
        at: geo.ag_header_addr(ag, sector)?,
        len: geo.sector_size >> BASIC_BLOCK_LOG,
    })
}

fn read_header<S: Store>(store: &S, ag: AgNumber, sector: u32, kind: Kind) -> Result<S::Block> {
    let run = header_run(store.geometry(), ag, sector).ok_or(Error::Invalid)?;
    store.read(Device::Data, run, kind)
}

/// Corruption in a header of group `ag`.
fn corrupt<S: Store>(store: &S, ag: AgNumber, sector: u32, fault: Fault) -> Error {
    match store.geometry().ag_header_addr(ag, sector) {
        Some(at) => Error::block(fault, Device::Data, at),
        None => Error::Invalid,
    }
}

/// Reads the free-space header of a group.
///
/// # Errors
///
/// `Invalid` for a group that is not there; those of reading and of corruption.
pub fn read_agf<S: Store>(store: &S, ag: AgNumber) -> Result<DiskAgf> {
    let block = read_header(store, ag, AGF_SECTOR, Kind::Agf)?;
    DiskAgf::view(&block)
        .copied()
        .ok_or_else(|| corrupt(store, ag, AGF_SECTOR, Fault::corrupt("agf", "size")))
}

/// Reads the inode header of a group.
///
/// # Errors
///
/// `Invalid` for a group that is not there; those of reading and of corruption.
pub fn read_agi<S: Store>(store: &S, ag: AgNumber) -> Result<DiskAgi> {
    let block = read_header(store, ag, AGI_SECTOR, Kind::Agi)?;
    DiskAgi::view(&block)
        .copied()
        .ok_or_else(|| corrupt(store, ag, AGI_SECTOR, Fault::corrupt("agi", "size")))
}

/// Reads the superblock's copy in a group, and checks that it is one of this file system.
///
/// # Errors
///
/// `Invalid` for a group that is not there; those of reading and of corruption.
pub fn check_superblock_copy<S: Store>(store: &S, ag: AgNumber) -> Result {
    let block = read_header(store, ag, SUPERBLOCK_SECTOR, Kind::Superblock)?;
    let geo = store.geometry();
    let fault = |field| {
        corrupt(
            store,
            ag,
            SUPERBLOCK_SECTOR,
            Fault::corrupt("superblock", field),
        )
    };
    let copy = super::format::sb::DiskSuperblock::view(&block).ok_or_else(|| fault("size"))?;
    // A copy may be older than the first: growing and relabelling reach the copies last, and the
    // root's number only some of them. What never changes must agree.
    let rules = [
        (copy.blocksize.get() == geo.block_size, "blocksize"),
        (copy.agblocks.get() == geo.ag_blocks, "agblocks"),
        (
            u32::from(copy.sectsize.get()) == geo.sector_size,
            "sectsize",
        ),
        (
            u32::from(copy.inodesize.get()) == geo.inode_size,
            "inodesize",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, field)) => Err(fault(field)),
        None => Ok(()),
    }
}

/// Calls `visit` with each block that the group keeps for its free-space trees.
///
/// # Errors
///
/// Those of reading and of corruption, and those of `visit`, which end it.
pub fn for_each_agfl_block<S: Store>(
    store: &S,
    ag: AgNumber,
    agf: &DiskAgf,
    mut visit: impl FnMut(AgBlock) -> Result,
) -> Result {
    let block = read_header(store, ag, AGFL_SECTOR, Kind::Agfl)?;
    let fault = |fault| corrupt(store, ag, AGFL_SECTOR, fault);
    let agfl = Agfl::view(store.geometry(), &block)
        .ok_or_else(|| fault(Fault::corrupt("agfl", "size")))?;
    for block in agfl.used(store.geometry(), agf) {
        visit(block.map_err(fault)?)?;
    }
    Ok(())
}

/// Asks for the headers of a group that will be read soon.
pub fn read_ahead_headers<S: Store>(store: &S, ag: AgNumber) {
    for (sector, kind) in [(AGF_SECTOR, Kind::Agf), (AGI_SECTOR, Kind::Agi)] {
        if let Some(run) = header_run(store.geometry(), ag, sector) {
            store.read_ahead(Device::Data, run, kind);
        }
    }
}

/// A cursor over the free extents of a group by block.
///
/// # Errors
///
/// As [`Cursor::in_group`].
pub fn bno<'a, S: Store>(store: &'a S, ag: AgNumber, agf: &DiskAgf) -> Result<Cursor<'a, S, Bno>> {
    Cursor::in_group(store, ag, agf.bno())
}

/// A cursor over the free extents of a group by length.
///
/// # Errors
///
/// As [`Cursor::in_group`].
pub fn cnt<'a, S: Store>(store: &'a S, ag: AgNumber, agf: &DiskAgf) -> Result<Cursor<'a, S, Cnt>> {
    Cursor::in_group(store, ag, agf.cnt())
}

/// A cursor over the owners of a group's blocks.
///
/// # Errors
///
/// As [`Cursor::in_group`]; `Invalid` without that feature.
pub fn rmap<'a, S: Store>(
    store: &'a S,
    ag: AgNumber,
    agf: &DiskAgf,
) -> Result<Cursor<'a, S, Rmap>> {
    Cursor::in_group(store, ag, agf.rmap())
}

/// A cursor over the shared extents of a group.
///
/// # Errors
///
/// As [`Cursor::in_group`]; `Invalid` without that feature.
pub fn refcount<'a, S: Store>(
    store: &'a S,
    ag: AgNumber,
    agf: &DiskAgf,
) -> Result<Cursor<'a, S, Refcount>> {
    Cursor::in_group(store, ag, agf.refcount())
}

/// A cursor over the inode chunks of a group.
///
/// # Errors
///
/// As [`Cursor::in_group`].
pub fn ino<'a, S: Store>(store: &'a S, ag: AgNumber, agi: &DiskAgi) -> Result<Cursor<'a, S, Ino>> {
    Cursor::in_group(store, ag, agi.ino())
}

/// A cursor over the inode chunks of a group that have free inodes.
///
/// # Errors
///
/// As [`Cursor::in_group`]; `Invalid` without that feature.
pub fn fino<'a, S: Store>(
    store: &'a S,
    ag: AgNumber,
    agi: &DiskAgi,
) -> Result<Cursor<'a, S, Fino>> {
    Cursor::in_group(store, ag, agi.fino())
}

/// What a group's headers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Blocks of the group.
    pub length: u32,
    /// Blocks that its free-space trees hold.
    pub free_blocks: u32,
    /// The longest free extent, in blocks.
    pub longest_free: u32,
    /// Blocks kept for its free-space trees.
    pub reserved_blocks: u32,
    /// Blocks of its free-space and reverse-mapping trees, roots aside.
    pub tree_blocks: u32,
    /// Blocks of these that belong to the two free-space trees.
    pub alloc_tree_blocks: u32,
    /// Inodes that have space.
    pub inodes: u32,
    /// Inodes of these that are free.
    pub free_inodes: u32,
}

impl Summary {
    /// Reads both headers of a group.
    ///
    /// # Errors
    ///
    /// `Invalid` for a group that is not there; those of reading and of corruption.
    pub fn read<S: Store>(store: &S, ag: AgNumber) -> Result<Self> {
        let agf = read_agf(store, ag)?;
        let agi = read_agi(store, ag)?;
        let rmap_blocks = if store.geometry().features.rmapbt() {
            agf.rmap_blocks.get().saturating_sub(1)
        } else {
            0
        };
        Ok(Self {
            length: agf.length.get(),
            free_blocks: agf.freeblks.get(),
            longest_free: agf.longest.get(),
            reserved_blocks: agf.flcount.get(),
            tree_blocks: agf.btreeblks.get(),
            alloc_tree_blocks: agf.btreeblks.get().saturating_sub(rmap_blocks),
            inodes: agi.count.get(),
            free_inodes: agi.freecount.get(),
        })
    }

    /// Blocks that count as free in the superblock: those in the trees, those kept for the trees,
    /// and the trees' own, which shrink as space is used.
    pub fn counted_free(&self) -> u64 {
        u64::from(self.free_blocks)
            .saturating_add(u64::from(self.reserved_blocks))
            .saturating_add(u64::from(self.tree_blocks))
    }
}

/// Sums the counters of all groups, as a mount must when the superblock's cannot be trusted. Free
/// realtime extents are not in the groups; that sum is 0.
///
/// # Errors
///
/// Those of reading and of corruption, the latter also when the sums are impossible;
/// `Interrupted` when the store says so.
pub fn sum_counters<S: Store>(store: &S) -> Result<Counters> {
    const READ_AHEAD: u32 = 8;
    let mut sum = Counters {
        inodes: 0,
        free_inodes: 0,
        free_blocks: 0,
        free_rt_extents: 0,
    };
    let count = store.geometry().ag_count;
    for ag in 0..READ_AHEAD.min(count) {
        read_ahead_headers(store, AgNumber(ag));
    }
    for ag in 0..count {
        if store.interrupted() {
            return Err(Error::Interrupted);
        }
        read_ahead_headers(store, AgNumber(ag.saturating_add(READ_AHEAD)));
        let group = Summary::read(store, AgNumber(ag))?;
        sum.inodes = sum.inodes.saturating_add(u64::from(group.inodes));
        sum.free_inodes = sum.free_inodes.saturating_add(u64::from(group.free_inodes));
        sum.free_blocks = sum.free_blocks.saturating_add(group.counted_free());
    }
    if sum.free_blocks > store.geometry().data_blocks || sum.free_inodes > sum.inodes {
        let fault = Fault::corrupt("agf", "freeblks");
        return Err(corrupt(store, AgNumber(0), AGF_SECTOR, fault));
    }
    Ok(sum)
}

/// Free blocks that are counted but that no user can have: what all groups keep for their
/// free-space trees. The blocks of these trees ([`Summary::alloc_tree_blocks`]) come on top.
pub fn set_aside(geo: &Geometry) -> u64 {
    u64::from(geo.ag_count).saturating_mul(SET_ASIDE_PER_GROUP)
}
