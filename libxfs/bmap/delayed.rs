// SPDX-License-Identifier: GPL-2.0

//! Blocks that are delayed: space is set aside for them, and for what the fork's tree may need when
//! they are allocated one by one.

use crate::libxfs::{
    error::Result,
    extents::Mapping,
    format::{
        btree::{block_capacity, bmap::max_data_levels, Bmap},
        geometry::Geometry,
        units::{div_up, FileBlock},
    },
    inode::{Inode, WhichFork},
    journal::{Claim, Journal},
    store::Device,
    trans::CounterDeltas,
};

/// Blocks of a fork's tree that `len` delayed blocks can need at the worst.
///
/// Source: `xfs_bmap_worst_indlen` in `fs/xfs/libxfs/xfs_bmap.c` of Linux 7.3: what each driver has
/// set aside is what both count.
pub fn worst_tree(geo: &Geometry, len: u64) -> u64 {
    let levels = u64::from(max_data_levels(geo));
    let (mut below, mut blocks) = (len, 0u64);
    for level in 0..levels {
        let room = block_capacity::<Bmap>(geo, level == 0) as u64;
        below = div_up(below, room.max(1)).unwrap_or(below);
        blocks = blocks.saturating_add(below);
        if below <= 1 {
            // From there on one of each level.
            let above = levels.saturating_sub(level).saturating_sub(1);
            return blocks.saturating_add(above);
        }
    }
    blocks
}

/// What `len` delayed blocks of a file on `device` set aside, with `reserved` for the fork's tree.
pub(super) fn aside(geo: &Geometry, device: Device, len: u64, reserved: u64) -> Claim {
    match device {
        Device::Realtime => Claim {
            blocks: reserved,
            rt_extents: len.checked_div(geo.rt_extent_size.into()).unwrap_or(0),
            emergency: false,
        },
        Device::Data | Device::Log => Claim {
            blocks: reserved.saturating_add(len),
            ..Claim::default()
        },
    }
}

/// Which map delayed blocks are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delayed {
    /// That of the data fork.
    Data,
    /// That of the CoW fork.
    Cow,
}

/// Sets space aside for `len` blocks at `at` of a file, which is a hole, and notes them as delayed
/// ones, together with those beside them. The mappings of the data fork must have been read.
///
/// # Errors
///
/// `NoSpace`; `Invalid` for what is no hole; `NoMemory`. Then nothing has changed.
pub fn delay<J: Journal>(
    journal: &J,
    inode: &mut Inode,
    which: Delayed,
    at: FileBlock,
    len: u64,
) -> Result {
    let geo = journal.geometry();
    let device = inode.device(WhichFork::Data);
    let map = match which {
        Delayed::Data => inode.extents_mut(WhichFork::Data)?,
        Delayed::Cow => &mut inode.cow,
    };
    let worst = worst_tree(geo, len);
    let claimed = aside(geo, device, len, worst);
    journal.claim(claimed)?;
    let mut spare = 0u64;
    let added = map.add(Mapping::delayed(at, len, worst));
    if added.is_ok() {
        // A longer run needs less of a tree than its parts.
        if let Some(joined) = map.get(at) {
            spare = joined
                .reserved()
                .saturating_sub(worst_tree(geo, joined.len));
            let kept = joined.reserved().saturating_sub(spare);
            map.set_reserved(joined.offset, kept)?;
        }
    }
    let back = match added {
        Ok(()) => aside(geo, device, 0, spare),
        Err(_) => claimed,
    };
    journal.settle(&CounterDeltas {
        free_blocks: i64::try_from(back.blocks).unwrap_or(0),
        free_rt_extents: i64::try_from(back.rt_extents).unwrap_or(0),
        ..CounterDeltas::default()
    });
    added
}
