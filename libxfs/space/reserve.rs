// SPDX-License-Identifier: GPL-2.0

//! Blocks that each group keeps for trees that have to grow there.
//!
//! A shared extent is noted in the reference-count tree of its own group, its owners in that group's
//! reverse-mapping tree, and chunks of inodes in its free-inode tree. If all other space of the group
//! is used, these trees grow all the same: each has blocks set aside that suffice for a record a block
//! or a chunk. They are hidden: from whoever allocates, and from the free counter, so that whoever
//! finds too little is told before anything is changed. Nothing of this is on the disk.
//!
//! Source: `fs/xfs/libxfs/xfs_ag_resv.c` of Linux 7.3, and the `*_calc_reserves` of the three trees,
//! for how much; `xfs_db -c agresv` tells the same.

use super::Reservation;
use crate::libxfs::{
    ag,
    error::{Error, Result},
    format::{
        btree::{blocks_for_records, Fino, Refcount, Rmap, Tree, INODES_PER_CHUNK},
        geometry::Geometry,
        units::AgNumber,
    },
    journal::{Claim, Journal},
    store::Store,
    trans::CounterDeltas,
};

/// What trees may need, and what they have, in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// All that they may ever have, or have already.
    pub asked: u32,
    /// What they have.
    pub used: u32,
}

impl Demand {
    fn of<T: Tree>(geo: &Geometry, records: u64, used: u32) -> Self {
        let blocks = blocks_for_records::<T>(geo, records);
        Self {
            asked: u32::try_from(blocks).unwrap_or(u32::MAX),
            used,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            asked: self.asked.saturating_add(other.asked),
            used: self.used.saturating_add(other.used),
        }
    }
}

/// What the trees of a group may need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// The reference-count tree.
    pub refcount: Demand,
    /// The free-inode tree.
    pub free_inodes: Demand,
    /// The reverse-mapping tree.
    pub rmap: Demand,
}

impl Demands {
    /// Works out what group `ag` needs.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub fn read<S: Store>(store: &S, ag: AgNumber) -> Result<Self> {
        let geo = store.geometry();
        let agf = ag::read_agf(store, ag)?;
        // The log is there for good.
        let log = geo
            .log_start
            .and_then(|start| geo.split_fs_block(start))
            .filter(|(group, _)| *group == ag)
            .map_or(0, |_| geo.log_blocks);
        let blocks = u64::from(agf.length.get().saturating_sub(log));
        let mut demands = Self::default();
        if geo.features.reflink() {
            demands.refcount = Demand::of::<Refcount>(geo, blocks, agf.refcount_blocks.get());
        }
        if geo.features.finobt() {
            let agi = ag::read_agi(store, ag)?;
            let used = if geo.features.inobtcount() {
                agi.fblocks.get()
            } else {
                ag::fino(store, ag, &agi)?.count_blocks()?
            };
            let inodes = blocks.saturating_mul(geo.inodes_per_block.into());
            let chunks = inodes
                .checked_div(INODES_PER_CHUNK.into())
                .unwrap_or(inodes);
            demands.free_inodes = Demand::of::<Fino>(geo, chunks, used);
        }
        if geo.features.rmapbt() {
            demands.rmap = Demand::of::<Rmap>(geo, blocks, agf.rmap_blocks.get());
            // Extents of files that share blocks have more records than there are blocks.
            let least = u32::try_from(blocks / 100).unwrap_or(u32::MAX);
            demands.rmap.asked = demands.rmap.asked.max(least);
        }
        Ok(demands)
    }
}

/// Has every group keep what its trees may need. Called once, before anything is allocated. Returns
/// whether each has that much; if not, the file system can be used as long as its trees find other
/// space.
///
/// # Errors
///
/// Those of reading and of corruption, after which [`release`] gives back what was kept.
pub fn reserve<J: Journal>(journal: &J) -> Result<bool> {
    let mut all = true;
    for ag in 0..journal.geometry().ag_count {
        match reserve_in(journal, AgNumber(ag)) {
            Ok(()) => {}
            Err(Error::NoSpace) => all = false,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Gives back what all groups keep, before the free counter is written for good.
pub fn release<J: Journal>(journal: &J) {
    for ag in 0..journal.geometry().ag_count {
        // Every group is there.
        let hidden = journal.with_group(AgNumber(ag), |group| {
            let hidden = group.metadata.hidden().saturating_add(group.rmap.hidden());
            group.metadata = Reservation::default();
            group.rmap = Reservation::default();
            hidden
        });
        give_back(journal, hidden.unwrap_or(0));
    }
}

/// Blocks that are free on the disk, and hidden from the free counter.
pub fn hidden<J: Journal>(journal: &J) -> u64 {
    (0..journal.geometry().ag_count).fold(0, |sum: u64, ag| {
        let hidden = journal.with_group(AgNumber(ag), |group| {
            group.metadata.hidden().saturating_add(group.rmap.hidden())
        });
        sum.saturating_add(hidden.unwrap_or(0).into())
    })
}

fn give_back<J: Journal>(journal: &J, blocks: u32) {
    if blocks != 0 {
        journal.settle(&CounterDeltas {
            free_blocks: blocks.into(),
            ..CounterDeltas::default()
        });
    }
}

fn reserve_in<J: Journal>(journal: &J, ag: AgNumber) -> Result {
    let demands = Demands::read(journal, ag)?;
    let together = Reservation::of_used(demands.refcount.and(demands.free_inodes));
    // Older file systems may have filled up before anything was kept for the free-inode tree.
    let (metadata, with_inodes) = match hide(journal, together) {
        Err(Error::NoSpace) => {
            let alone = Reservation::of_used(demands.refcount);
            (hide(journal, alone)?, false)
        }
        other => (other?, true),
    };
    journal.with_group(ag, |group| {
        group.metadata = metadata;
        group.free_inodes_unreserved = !with_inodes;
    })?;
    let rmap = hide(journal, Reservation::of_free(demands.rmap))?;
    journal.with_group(ag, |group| group.rmap = rmap)?;

    let agf = ag::read_agf(journal, ag)?;
    let free = agf.freeblks.get().saturating_add(agf.flcount.get());
    if metadata.left.saturating_add(rmap.left) > free {
        return Err(Error::NoSpace);
    }
    Ok(())
}

/// Takes what a reservation hides from the free counter.
fn hide<J: Journal>(journal: &J, reservation: Reservation) -> Result<Reservation> {
    journal.claim(Claim {
        blocks: reservation.hidden().into(),
        emergency: true,
        ..Claim::default()
    })?;
    Ok(reservation)
}
