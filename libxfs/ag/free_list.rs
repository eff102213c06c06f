// SPDX-License-Identifier: GPL-2.0

//! The AGFL in a transaction: a ring of blocks that the free-space and reverse-mapping trees of a
//! group take from and give to. They could not ask the allocator, which changes these very trees.

use super::LockedAgf;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        ag::{
            agf::DiskAgf,
            agfl::{self, Agfl, DiskAgfl},
        },
        btree::{Bno, Cnt, Rmap, Tree},
        geometry::Geometry,
        units::AgBlock,
    },
    journal::Journal,
    trans::Trans,
};
use core::mem::size_of;
use zerocopy::byteorder::big_endian::U32;

/// Blocks that the list must have before the group's trees are changed: enough for each to split
/// on every level and grow by one, and once more while the list itself is filled.
pub fn min_blocks(geo: &Geometry, agf: &DiskAgf) -> u32 {
    let tree = |level: u32, most: u8| {
        let level = level.saturating_add(1).min(most.into());
        level.saturating_mul(2).saturating_sub(2)
    };
    let bno = tree(agf.bno_level.get(), Bno::max_levels(geo));
    let cnt = tree(agf.cnt_level.get(), Cnt::max_levels(geo));
    let rmap = if geo.features.rmapbt() {
        tree(agf.rmap_level.get(), Rmap::max_levels(geo))
    } else {
        0
    };
    bno.saturating_add(cnt).saturating_add(rmap)
}

/// Whose the blocks of the list become, or were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Free space.
    Space,
    /// A block of one of the trees; the header counts these.
    Tree,
}

/// The slot behind `slot`.
fn next(slots: u32, slot: u32) -> u32 {
    match slot.checked_add(1) {
        Some(next) if next < slots => next,
        _ => 0,
    }
}

/// One more, or one fewer; `None` for a count that cannot be.
fn step(counter: &mut U32, up: bool) -> Option<()> {
    let n = counter.get();
    let n = if up {
        n.checked_add(1)
    } else {
        n.checked_sub(1)
    };
    counter.set(n?);
    Some(())
}

/// Counts a block that goes between list and trees.
fn count_tree(agf: &mut DiskAgf, whose: Use, up: bool) -> Option<()> {
    match whose {
        Use::Space => Some(()),
        Use::Tree => step(&mut agf.btreeblks, up),
    }
}

impl LockedAgf {
    /// Takes the oldest block of the list; `None` when it is empty.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a block that cannot be one of the group's, or counts that cannot be; those of
    /// reading.
    pub fn take_listed<J: Journal>(
        &self,
        trans: &mut Trans<'_, J>,
        to: Use,
    ) -> Result<Option<AgBlock>> {
        let geo = trans.geometry();
        let slots = agfl::slots(geo);
        if self.get(trans)?.flcount.get() == 0 {
            return Ok(None);
        }
        let list = self.lock_agfl(trans)?;
        let view = Agfl::view(geo, trans.bytes(list)).ok_or(Error::Invalid)?;
        let oldest = view.used(geo, self.get(trans)?).next();
        let block = match oldest {
            Some(Ok(block)) => block,
            _ => return Err(trans.corrupt(list, "agfl", "bno")),
        };
        trans.release(list);
        let corrupt = self.corrupt(trans, "btreeblks");
        self.update(trans, |agf| {
            agf.flfirst.set(next(slots, agf.flfirst.get()));
            step(&mut agf.flcount, false)
                .and_then(|()| count_tree(agf, to, true))
                .ok_or(corrupt)
        })?;
        Ok(Some(block))
    }

    /// Puts a block at the end of the list.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the list is full, or for counts that cannot be; those of reading.
    pub fn list<J: Journal>(&self, trans: &mut Trans<'_, J>, block: AgBlock, from: Use) -> Result {
        let slots = agfl::slots(trans.geometry());
        if self.get(trans)?.flcount.get() >= slots {
            return Err(self.corrupt(trans, "flcount"));
        }
        let list = self.lock_agfl(trans)?;
        let last = next(slots, self.get(trans)?.fllast.get());
        let corrupt = self.corrupt(trans, "btreeblks");
        self.update(trans, |agf| {
            agf.fllast.set(last);
            step(&mut agf.flcount, true)
                .and_then(|()| count_tree(agf, from, false))
                .ok_or(corrupt)
        })?;
        let offset = size_of::<U32>()
            .checked_mul(last as usize)
            .and_then(|offset| offset.checked_add(size_of::<DiskAgfl>()))
            .ok_or(Error::Invalid)?;
        trans.change_as::<U32>(list, offset)?.set(block.0);
        Ok(())
    }
}
