// SPDX-License-Identifier: GPL-2.0

//! Blocks for a fork: where they are wanted, and mapping what was had.

use super::{
    change::blocks,
    fork::ForkMut,
    hint::{of_data, FileBlocks},
};
use crate::libxfs::{
    alloc::Request,
    error::{Error, Result},
    extents::{ExtentMap, MappedBlock, Mapping, State},
    format::{
        btree::{Bmap, Node},
        geometry::Geometry,
        inode::FileType,
        units::{FileBlock, FsBlock},
    },
    inode::{Fork, WhichFork},
    journal::Journal,
    space::{self, Place, Wanted},
    store::Device,
};

/// So many times the blocks that are wanted may lie between them and a neighbour in the file for the
/// same distance to be kept on the device. Source: `XFS_ALLOC_GAP_UNITS` in
/// `fs/xfs/libxfs/xfs_bmap.c` of Linux 7.3.
const GAP_UNITS: u64 = 4;

/// Bytes of a page of memory: of smaller blocks so many are allocated that the pages of a file stay in
/// one piece.
const PAGE_SIZE: u32 = 4096;

/// A block that is valid and in the group of `near`, `distance` from it.
fn reach(geo: &Geometry, near: FsBlock, distance: i64) -> Option<FsBlock> {
    let block = FsBlock(near.0.checked_add_signed(distance)?);
    let (ag, at) = geo.split_fs_block(block)?;
    let (home, _) = geo.split_fs_block(near)?;
    (ag == home && geo.ag_block_is_valid(ag, at)).then_some(block)
}

/// Where blocks of a fork are wanted: beside a neighbour in the file, at the distance that they have
/// there if that is small. `None` where there is no neighbour. `reach` says which block lies so far from
/// another one, if it is a good one.
pub(super) fn beside(
    map: &ExtentMap,
    range: FileBlocks,
    reach: impl Fn(u64, i64) -> Option<u64>,
) -> Option<u64> {
    let FileBlocks { at, len } = range;
    let allocated = |found: &Mapping| found.state != State::Delayed;
    let close = |gap: u64| gap <= GAP_UNITS.saturating_mul(len);
    let before = at.checked_sub(1).and_then(|last| map.lookup_back(last));
    let before = before.filter(allocated).and_then(|found| {
        let last = found.start.0.saturating_add(found.len).saturating_sub(1);
        let gap = at.distance_from(found.end())?;
        let kept = i64::try_from(gap).ok()?.checked_add(1)?;
        let there = reach(last, kept).filter(|_| close(gap));
        Some((gap, there.or_else(|| reach(last, 1))?))
    });
    let behind = map.lookup(at).filter(allocated).and_then(|found| {
        let gap = found.offset.distance_from(at)?;
        let back = |n: u64| i64::try_from(n).ok()?.checked_neg();
        let start = found.start.0;
        let there = reach(start, back(gap)?).filter(|_| close(gap));
        Some((gap, there.or_else(|| reach(start, back(len)?))?))
    });
    match (before, behind) {
        (Some((gap, block)), Some((other, _))) if gap <= other => Some(block),
        (_, Some((_, block))) | (Some((_, block)), None) => Some(block),
        (None, None) => None,
    }
}

/// Where blocks of a fork on the data device are wanted: [`beside`] a neighbour, else at `home`.
pub(super) fn target(geo: &Geometry, map: &ExtentMap, range: FileBlocks, home: FsBlock) -> FsBlock {
    let found = beside(map, range, |near, distance| {
        reach(geo, FsBlock(near), distance).map(|block| block.0)
    });
    found.map_or(home, FsBlock)
}

/// The request for content of a file at `pieces`, of the data device: it ends where a piece of `hint`
/// blocks does, or a page, as far as there is space.
pub(super) fn content(geo: &Geometry, min: u32, pieces: FileBlocks, hint: u32) -> Result<Request> {
    let multiple = match hint {
        0 => PAGE_SIZE.checked_div(geo.block_size).unwrap_or(1).max(1),
        hint => hint,
    };
    let over = pieces.at.0.checked_rem(multiple.into()).unwrap_or(0) as u32;
    let rest = multiple.saturating_sub(over);
    let max = u32::try_from(pieces.len).map_err(|_| Error::Invalid)?;
    Ok(Request {
        multiple,
        remainder: rest.checked_rem(multiple).unwrap_or(0),
        ..Request::unlogged(min, max)
    })
}

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    /// Blocks that an allocation leaves in the group, so that the fork's tree can have them.
    fn keep(&self) -> Result<u32> {
        Ok(match self.inode()?.fork(self.which) {
            Some(Fork::Btree(tree)) => Node::<Bmap>::of_root(&tree.root)
                .map_or(1, |root| u32::from(root.level()))
                .saturating_add(1),
            _ => 1,
        })
    }

    /// Whether the fork has the content of a file, which is not logged.
    fn is_content(&self) -> Result<bool> {
        let core = &self.inode()?.core;
        Ok(self.which == WhichFork::Data && core.file_type() == Some(FileType::Regular))
    }

    /// Allocates from `min` to `max` blocks and maps them at `at` of the fork, where there is a hole or
    /// delayed blocks. Returns the mapping; none where no group has `min`.
    ///
    /// What a file gets may be more: whole pieces of its extent size hint, if they are unwritten, and
    /// whole realtime extents always. Then the mapping holds `at` and may begin before it, and end
    /// behind what was asked for.
    ///
    /// # Errors
    ///
    /// `NoSpace` where less than `min` and what the tree may need is claimed, before anything has
    /// changed; `Invalid` where `at` is mapped, or the hole has no room for `min`, and for a part of a
    /// realtime extent that is not unwritten; `Unsupported` on a zoned device; those of
    /// [`map`](Self::map), of [`space::allocate`] and of [`space::allocate_rt`].
    pub fn allocate(
        &mut self,
        at: FileBlock,
        (min, max): (u32, u32),
        state: State,
    ) -> Result<Option<Mapping>> {
        let asked = FileBlocks {
            at,
            len: max.into(),
        };
        let delayed = self.extents()?.get(at);
        let delayed = delayed.filter(|found| found.state == State::Delayed);
        let (asked, hole) = match delayed {
            // What was set aside for it is all that there is.
            Some(delayed) => {
                let whole = FileBlocks {
                    at: delayed.offset,
                    len: delayed.len,
                };
                (asked.within(&whole), None)
            }
            None => {
                let hole = FileBlocks::hole_around(self.extents()?, at).ok_or(Error::Invalid)?;
                (asked.within(&hole), Some(hole))
            }
        };
        if asked.len < u64::from(min) {
            return Err(Error::Invalid);
        }
        let found = match self.device()? {
            Device::Data => self.find(asked, hole, min, state)?,
            Device::Realtime => self.find_rt(asked, hole, min, state)?,
            Device::Log => return Err(Error::Invalid),
        };
        if let Some(mapping) = &found {
            self.map(mapping)?;
        }
        Ok(found)
    }

    /// Blocks of the tree that one mapping more may take, all of which are claimed.
    pub(super) fn claimed_growth(&mut self, at: FileBlock, besides: u64) -> Result<u64> {
        let growth = self.growth(at, 1)?;
        if self.trans.claimed().blocks < growth.saturating_add(besides) {
            return Err(Error::NoSpace);
        }
        self.make_room(1)?;
        Ok(growth)
    }

    /// Blocks of the data device for the fork, not mapped yet.
    fn find(
        &mut self,
        asked: FileBlocks,
        hole: Option<FileBlocks>,
        min: u32,
        state: State,
    ) -> Result<Option<Mapping>> {
        let geo = self.trans.geometry();
        let is_content = self.is_content()?;
        let hint = match is_content {
            true => of_data(geo, self.inode()?),
            false => 0,
        };
        let pieces = match hole {
            // Nobody writes what is beside what was asked for.
            Some(hole) if hint != 0 && state == State::Unwritten => asked.in_pieces(hint, &hole),
            _ => asked,
        };
        let growth = self.claimed_growth(pieces.at, min.into())?;
        let request = match self.which {
            WhichFork::Data if is_content => content(geo, min, pieces, hint)?,
            which => {
                let max = u32::try_from(pieces.len).map_err(|_| Error::Invalid)?;
                Request {
                    unlogged: which == WhichFork::Attr,
                    ..Request::new(min, max)
                }
            }
        };
        // What the tree may need is not for others.
        let most = self.trans.claimed().blocks.saturating_sub(growth);
        let max = u32::try_from(most).unwrap_or(u32::MAX).min(request.max);
        let target = target(geo, self.extents()?, pieces, self.near()?);
        let wanted = Wanted {
            keep: self.keep()?,
            promised: min == 1 && !is_content,
            ..Wanted::data(target, Place::Near, Request { max, ..request })
        };
        let found = space::allocate(self.trans, self.deferred, &wanted)?;
        Ok(found.map(|found| Mapping {
            offset: pieces.placed(&asked, found.count.into()),
            start: MappedBlock(found.start.0),
            len: found.count.into(),
            state,
        }))
    }

    /// Allocates blocks for the delayed mapping that holds `at`, as many as one group has together,
    /// from its beginning: so extents on the device become long. They are unwritten, and what had
    /// been set aside for them pays. Returns the new mapping; `None` where no group has a block.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no delayed mapping; those of [`allocate`](Self::allocate).
    pub fn allocate_delayed(&mut self, at: FileBlock) -> Result<Option<Mapping>> {
        let delayed = self.extents()?.get(at);
        let delayed = delayed.filter(|found| found.state == State::Delayed);
        let delayed = delayed.ok_or(Error::NotFound)?;
        let aside = self.set_aside(delayed.len, delayed.reserved())?;
        // Lent until the part that was allocated pays for itself.
        self.trans.adopt(aside);
        let len = blocks(&delayed)?;
        let found = self.allocate(delayed.offset, (1, len), State::Unwritten);
        self.trans.disown(aside)?;
        found
    }
}
