// SPDX-License-Identifier: GPL-2.0

//! Blocks for a fork: where they are wanted, and mapping what was had.

use super::{change::blocks, fork::ForkMut};
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

/// A block that is valid and in the group of `near`, `distance` from it.
fn reach(geo: &Geometry, near: FsBlock, distance: i64) -> Option<FsBlock> {
    let block = FsBlock(near.0.checked_add_signed(distance)?);
    let (ag, at) = geo.split_fs_block(block)?;
    let (home, _) = geo.split_fs_block(near)?;
    (ag == home && geo.ag_block_is_valid(ag, at)).then_some(block)
}

/// Where `len` blocks at `at` of a fork are wanted: beside a neighbour in the file, at the distance
/// that they have there if that is small; else at `home`.
pub(super) fn target(
    geo: &Geometry,
    map: &ExtentMap,
    (at, len): (FileBlock, u32),
    home: FsBlock,
) -> FsBlock {
    let allocated = |found: &Mapping| found.state != State::Delayed;
    let close = |gap: u64| gap <= GAP_UNITS.saturating_mul(len.into());
    let before = at.checked_sub(1).and_then(|last| map.lookup_back(last));
    let before = before.filter(allocated).and_then(|found| {
        let last = FsBlock(found.start.0.saturating_add(found.len).saturating_sub(1));
        let gap = at.distance_from(found.end())?;
        let kept = i64::try_from(gap).ok()?.checked_add(1)?;
        let there = reach(geo, last, kept).filter(|_| close(gap));
        Some((gap, there.or_else(|| reach(geo, last, 1))?))
    });
    let behind = map.lookup(at).filter(allocated).and_then(|found| {
        let gap = found.offset.distance_from(at)?;
        let back = |n: u64| i64::try_from(n).ok()?.checked_neg();
        let start = found.start.data();
        let there = reach(geo, start, back(gap)?).filter(|_| close(gap));
        Some((gap, there.or_else(|| reach(geo, start, back(len.into())?))?))
    });
    match (before, behind) {
        (Some((gap, block)), Some((other, _))) if gap <= other => block,
        (_, Some((_, block))) | (Some((_, block)), None) => block,
        (None, None) => home,
    }
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

    /// The request for blocks of the fork. The content of files is not logged, nor are long values of
    /// attributes.
    fn request(&self, min: u32, max: u32) -> Result<Request> {
        let content = match self.which {
            WhichFork::Data => self.inode()?.core.file_type() == Some(FileType::Regular),
            WhichFork::Attr => true,
        };
        Ok(if content {
            Request::unlogged(min, max)
        } else {
            Request::new(min, max)
        })
    }

    /// Allocates from `min` to `max` blocks of the data device and maps them at `at` of the fork,
    /// where there is a hole or delayed blocks. Returns how many; none where no group has `min`.
    ///
    /// # Errors
    ///
    /// `NoSpace` where less than `min` and what the tree may need is claimed, before anything has
    /// changed; those of [`map`](Self::map) and of [`space::allocate`].
    pub fn allocate(
        &mut self,
        at: FileBlock,
        (min, max): (u32, u32),
        state: State,
    ) -> Result<Option<u32>> {
        let needed = self.growth(at, 1)?.saturating_add(min.into());
        if self.trans.claimed().blocks < needed {
            return Err(Error::NoSpace);
        }
        self.make_room(1)?;
        if self.device()? != Device::Data {
            return Err(Error::Unsupported);
        }
        let target = target(
            self.trans.geometry(),
            self.extents()?,
            (at, max),
            self.near()?,
        );
        let wanted = Wanted {
            keep: self.keep()?,
            ..Wanted::data(target, Place::Near, self.request(min, max)?)
        };
        let Some(found) = space::allocate(self.trans, self.deferred, &wanted)? else {
            return Ok(None);
        };
        self.map(&Mapping {
            offset: at,
            start: MappedBlock(found.start.0),
            len: found.count.into(),
            state,
        })?;
        Ok(Some(found.count))
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
        Ok(found?
            .map(|count| delayed.offset.0.saturating_add(count.into()))
            .and_then(|end| {
                self.extents()
                    .ok()?
                    .get(delayed.offset)?
                    .trimmed(delayed.offset, FileBlock(end))
            }))
    }
}
