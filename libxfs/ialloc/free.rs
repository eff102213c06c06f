// SPDX-License-Identifier: GPL-2.0

//! Inodes that are given back, and chunks without any inode in use that go.

use super::{chunk::OWNER, tree::InodeGroup};
use crate::libxfs::{
    ag::{min_list_blocks, LockedAgf, LockedAgi},
    defer::Deferred,
    error::{Error, Result},
    format::{
        btree::{Fino, Ino, InodeChunk, INODES_PER_CHUNK},
        kind::Kind,
        units::{AgInode, InodeNumber},
    },
    items::{ExtentFree, Reserve},
    journal::Journal,
    store::Device,
    trans::Trans,
};

/// An inode that is about to be given back to its group: that this can be done was seen to, and
/// nothing has changed.
#[derive(Clone, Copy, Debug)]
pub struct Giving {
    agi: LockedAgi,
    /// Its chunk so far.
    old: InodeChunk,
    /// Its chunk with one more free inode.
    new: InodeChunk,
    /// Whether the chunk goes with it.
    goes: bool,
}

impl Giving {
    /// Finds an inode that is in use. Unless `keep` says that chunks stay, its chunk is to go with it
    /// if no other inode of that is in use.
    ///
    /// # Errors
    ///
    /// `Invalid` for a number that no inode can have; `NoSpace` where a tree might have to grow and
    /// cannot; `Corrupt` for an inode that is not in use; those of reading.
    pub fn of<J: Journal>(
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        number: InodeNumber,
        keep: bool,
    ) -> Result<Self> {
        let geo = trans.geometry();
        let (ag, inode) = geo.split_inode(number).ok_or(Error::Invalid)?;
        let agi = LockedAgi::lock(trans, ag)?;
        let mut group = InodeGroup {
            trans,
            deferred,
            agi,
        };
        let old = group.find_used(inode)?;
        let index = old.index_of(inode).unwrap_or(INODES_PER_CHUNK);
        let new = InodeChunk {
            free: old.free | 1u64.checked_shl(index).unwrap_or(0),
            free_count: old.free_count.saturating_add(1),
            ..old
        };
        if old.free_count == 0 && geo.features.finobt() {
            group.expect_room(&old)?;
        }
        // Blocks of more than a chunk may hold inodes of another one.
        let alone = geo.inodes_per_block <= INODES_PER_CHUNK;
        Ok(Self {
            agi,
            old,
            new,
            goes: !keep && alone && new.free_count == new.count,
        })
    }

    /// Whether the chunk goes with the inode.
    pub fn frees_chunk(&self) -> bool {
        self.goes
    }

    /// Gives the inode back; its slot is not changed. A chunk that goes with it has its clusters
    /// invalidated, and its blocks are freed by the chain.
    ///
    /// Source: `xfs_difree` in `fs/xfs/libxfs/xfs_ialloc.c` of Linux 7.3.
    ///
    /// # Errors
    ///
    /// Those of allocating, of reading and of corruption; then the transaction must not be committed.
    pub fn finish<J: Journal>(
        self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
    ) -> Result {
        let mut group = InodeGroup {
            trans,
            deferred,
            agi: self.agi,
        };
        if self.goes {
            group.remove(&self.old, &self.new)
        } else {
            group.update(&self.old, &self.new)
        }
    }
}

impl<J: Journal> InodeGroup<'_, '_, '_, J> {
    /// The chunk of an inode that is in use.
    fn find_used(&mut self, inode: AgInode) -> Result<InodeChunk> {
        let mut path = self.path::<Ino>();
        let mut blocks = self.blocks();
        let chunk = path.lookup_le(&mut blocks, &inode)?;
        let used = chunk.filter(|chunk| {
            let index = chunk.index_of(inode);
            index.is_some_and(|index| chunk.is_allocated(index))
        });
        let used = used.ok_or_else(|| path.inconsistent(&blocks, "free"));
        path.reset(&mut blocks);
        used
    }

    /// Has a chunk with one more free inode.
    fn update(&mut self, old: &InodeChunk, new: &InodeChunk) -> Result {
        if self.trans.geometry().features.finobt() {
            if old.free_count == 0 {
                self.insert::<Fino>(new)?;
            } else {
                self.replace::<Fino>(old, Some(new))?;
            }
        }
        self.replace::<Ino>(old, Some(new))?;
        self.count(0, 1)
    }

    /// That the tree of chunks with free inodes can get as many blocks as it takes to insert a chunk.
    fn expect_room(&mut self, chunk: &InodeChunk) -> Result {
        let mut path = self.path::<Fino>();
        let mut blocks = self.blocks();
        let needed = path.growth(&mut blocks, &chunk.start, 1)?;
        path.reset(&mut blocks);
        let journal = self.trans.journal();
        let reserved = journal.with_group(self.agi.ag, |group| group.metadata.left)?;
        let lacking = needed.saturating_sub(reserved);
        if lacking == 0 {
            return Ok(());
        }
        let agf = LockedAgf::lock(self.trans, self.agi.ag)?;
        let header = agf.get(self.trans)?;
        let spare = header
            .freeblks
            .get()
            .saturating_add(header.flcount.get())
            .saturating_sub(min_list_blocks(self.trans.geometry(), header));
        if self.trans.claimed().blocks < lacking.into() || spare < needed {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    /// Removes a chunk, of which `old` has one inode in use and `new` none.
    fn remove(&mut self, old: &InodeChunk, new: &InodeChunk) -> Result {
        if self.trans.geometry().features.finobt() {
            self.replace::<Fino>(old, None)?;
        }
        self.replace::<Ino>(old, None)?;
        let count = i32::from(new.count);
        self.count(count.saturating_neg(), 1i32.saturating_sub(count))?;
        self.free_blocks(new)?;
        self.invalidate(new)
    }

    /// Asks that the blocks of a chunk be freed, but for its holes.
    fn free_blocks(&mut self, chunk: &InodeChunk) -> Result {
        let geo = self.trans.geometry();
        let mut present = chunk.present();
        while present != 0 {
            let from = present.trailing_zeros();
            let run = present.checked_shr(from).unwrap_or(0).trailing_ones();
            let end = from.saturating_add(run);
            present &= u64::MAX.checked_shl(end).unwrap_or(0);
            let block = |index| {
                let inode = chunk.start.checked_add(index)?;
                Some(geo.inode_block(inode).0)
            };
            let (Some(first), Some(behind)) = (block(from), block(end)) else {
                return Err(self.corrupt("root"));
            };
            let extent = ExtentFree {
                start: self.fs_block(first)?.0,
                count: behind.0.saturating_sub(first.0),
                owner: OWNER,
                reserve: Reserve::None,
            };
            self.deferred.free_extent(Device::Data, extent)?;
        }
        Ok(())
    }

    /// Has nothing of the chunk's clusters be written any more.
    fn invalidate(&mut self, chunk: &InodeChunk) -> Result {
        let geo = self.trans.geometry();
        let inodes = geo
            .inode_cluster_blocks()
            .saturating_mul(geo.inodes_per_block);
        for index in (0..INODES_PER_CHUNK).step_by(inodes.max(1) as usize) {
            if !chunk.is_present(index) {
                continue;
            }
            let inode = chunk.start.checked_add(index).ok_or(Error::Invalid)?;
            let run = self.cluster_run(geo.inode_block(inode).0)?;
            let id = self.trans.fresh(Device::Data, run, Kind::InodeCluster)?;
            self.trans.invalidate(id);
        }
        Ok(())
    }
}
