// SPDX-License-Identifier: GPL-2.0

//! New inode chunks: space, free inodes in it, and records of them.

use super::{
    shape::{chunk_blocks, first_inode, next_chunk, sparse_blocks, sparse_range, stripe_alignment},
    tree::InodeGroup,
};
use crate::libxfs::{
    alloc::Request,
    error::{Error, Result},
    format::{
        ag::NULL_AG_INODE,
        btree::{Fino, Ino, InodeChunk, Owner, Tree, INODES_PER_CHUNK, INODES_PER_HOLE_BIT},
        geometry::Geometry,
        inode::cluster,
        kind::Kind,
        units::{AgBlock, AgInode},
    },
    items::{BlockOwner, InodeCreate, Item},
    journal::Journal,
    space::{allocate, Place, Wanted},
    store::{Device, Run},
};

/// Who owns the blocks of chunks.
pub(super) const OWNER: BlockOwner = BlockOwner::new(Owner::InodeChunks);

/// A whole chunk, all of it free.
fn whole(start: AgInode) -> InodeChunk {
    InodeChunk {
        start,
        holes: 0,
        count: INODES_PER_CHUNK as u8,
        free_count: INODES_PER_CHUNK as u8,
        free: u64::MAX,
    }
}

/// A chunk of which only the `inodes` from `first` on, all of them free, have space.
fn part(geo: &Geometry, first: AgInode, inodes: u32) -> Option<InodeChunk> {
    let align = first_inode(geo, AgBlock(geo.inode_alignment))?;
    let within = first.0.checked_rem(align.0)?;
    let ones = |n: u32| u16::MAX.checked_shr(16u32.checked_sub(n)?);
    let bits = ones(inodes.checked_div(INODES_PER_HOLE_BIT)?)?;
    let present = bits.checked_shl(within.checked_div(INODES_PER_HOLE_BIT)?)?;
    let count = u8::try_from(inodes).ok()?;
    Some(InodeChunk {
        start: first.checked_sub(within)?,
        holes: !present,
        count,
        free_count: count,
        free: u64::MAX,
    })
}

/// A chunk with the space of both; `None` where they have some in common.
fn merged(one: &InodeChunk, other: &InodeChunk) -> Option<InodeChunk> {
    if one.present() & other.present() != 0 {
        return None;
    }
    Some(InodeChunk {
        start: one.start,
        holes: one.holes & other.holes,
        count: one.count.checked_add(other.count)?,
        free_count: one.free_count.checked_add(other.free_count)?,
        free: one.free & other.free,
    })
}

impl<J: Journal> InodeGroup<'_, '_, '_, J> {
    /// Makes a chunk, or where there is no space for a whole one a part of one. Returns whether it
    /// did; if not, nothing has changed but maybe the list of blocks for the group's trees.
    pub(super) fn make_chunk(&mut self, generation: u32) -> Result<bool> {
        let Some((block, blocks)) = self.find_space()? else {
            return Ok(false);
        };
        match self.make_chunk_at(block, blocks, generation) {
            // What was to stay free for the trees is not there: the group's counts are wrong.
            Err(Error::NoSpace) => Err(self.corrupt("root")),
            made => made.map(|()| true),
        }
    }

    /// Makes a chunk of blocks that were allocated for it.
    fn make_chunk_at(&mut self, block: AgBlock, blocks: u32, generation: u32) -> Result {
        let geo = self.trans.geometry();
        self.make_inodes(block, blocks, generation)?;
        let first = first_inode(geo, block).ok_or(Error::Invalid)?;
        let inodes = blocks
            .checked_mul(geo.inodes_per_block)
            .ok_or(Error::Invalid)?;
        let start = if inodes < INODES_PER_CHUNK {
            self.add_part(first, inodes)?
        } else {
            self.add_whole(first, inodes)?
        };
        let n = i32::try_from(inodes).map_err(|_| Error::Invalid)?;
        self.count(n, n)?;
        self.agi.update(self.trans, |agi| {
            agi.newino.set(start.0);
            Ok(())
        })
    }

    /// Allocates the blocks: behind the chunk that was made last, or near the tree.
    fn find_space(&mut self) -> Result<Option<(AgBlock, u32)>> {
        let geo = self.trans.geometry();
        let ag = self.agi.ag;
        let header = self.agi.get(self.trans)?;
        let root = header.ino().0;
        let last = header.newino.get();
        let blocks = chunk_blocks(geo);
        if last != NULL_AG_INODE {
            if let Some(next) = next_chunk(geo, ag, AgInode(last)) {
                let found = self.allocate(Place::Exact, next, Request::new(blocks, blocks))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        let cluster = geo.inode_cluster_alignment();
        for alignment in stripe_alignment(geo).into_iter().chain([cluster]) {
            let request = Request {
                alignment,
                ..Request::new(blocks, blocks)
            };
            let found = self.allocate(Place::InGroup, root, request)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let (Some(least), Some(range)) = (sparse_blocks(geo), sparse_range(geo, ag)) else {
            return Ok(None);
        };
        let request = Request {
            alignment: least,
            first: range.start,
            end: range.end,
            ..Request::new(least, least)
        };
        self.allocate(Place::InGroup, root, request)
    }

    fn allocate(
        &mut self,
        place: Place,
        at: AgBlock,
        request: Request,
    ) -> Result<Option<(AgBlock, u32)>> {
        let geo = self.trans.geometry();
        let wanted = Wanted {
            request,
            keep: self.kept_for_trees()?,
            promised: false,
            ..Wanted::metadata(self.fs_block(at)?, place, OWNER)
        };
        let Some(extent) = allocate(self.trans, self.deferred, &wanted)? else {
            return Ok(None);
        };
        let (_, block) = geo.split_fs_block(extent.start).ok_or(Error::Invalid)?;
        Ok(Some((block, extent.count)))
    }

    /// Blocks that must stay free in the group: the record of the chunk may split every level of the
    /// trees, which would come too late to find no space.
    fn kept_for_trees(&self) -> Result<u32> {
        let geo = self.trans.geometry();
        let inobt = u32::from(Ino::max_levels(geo));
        let finobt = u32::from(Fino::max_levels(geo));
        let journal = self.trans.journal();
        let reserved = journal.with_group(self.agi.ag, |group| group.metadata.left)?;
        if geo.features.finobt() && reserved < finobt {
            Ok(inobt.saturating_add(finobt))
        } else {
            Ok(inobt)
        }
    }

    /// Fills the blocks with free inodes. The log has that in a word, so the clusters are not logged
    /// but ordered.
    fn make_inodes(&mut self, block: AgBlock, blocks: u32, generation: u32) -> Result {
        let geo = self.trans.geometry();
        let ag = self.agi.ag;
        let inodes = blocks.checked_mul(geo.inodes_per_block);
        self.trans.log(Item::InodeCreate(InodeCreate {
            ag,
            block,
            inodes: inodes.ok_or(Error::Invalid)?,
            inode_size: geo.inode_size,
            blocks,
            generation,
        }))?;
        let step = geo.inode_cluster_blocks();
        let end = block.checked_add(blocks).ok_or(Error::Invalid)?;
        for start in (block.0..end.0).step_by(step.max(1) as usize).map(AgBlock) {
            let run = self.cluster_run(start)?;
            let id = self.trans.fresh(Device::Data, run, Kind::InodeCluster)?;
            self.trans.order(id);
            let all = 0..self.trans.bytes(id).len();
            let first = first_inode(geo, start).ok_or(Error::Invalid)?;
            cluster::fill(geo, (ag, first), generation, self.trans.change(id, all)?)
                .ok_or(Error::Invalid)?;
        }
        Ok(())
    }

    /// The run of the cluster that begins with a block.
    pub(super) fn cluster_run(&self, block: AgBlock) -> Result<Run> {
        let geo = self.trans.geometry();
        let run = || {
            Some(Run {
                at: geo.ag_block_addr(self.agi.ag, block)?,
                len: geo
                    .inode_cluster_blocks()
                    .checked_mul(geo.basic_blocks_per_block())?,
            })
        };
        run().ok_or(Error::Invalid)
    }

    /// Adds the records of whole chunks; the start of the first.
    fn add_whole(&mut self, first: AgInode, inodes: u32) -> Result<AgInode> {
        let finobt = self.trans.geometry().features.finobt();
        let end = first.checked_add(inodes).ok_or(Error::Invalid)?;
        for start in (first.0..end.0).step_by(INODES_PER_CHUNK as usize) {
            let chunk = whole(AgInode(start));
            self.insert::<Ino>(&chunk)?;
            if finobt {
                self.insert::<Fino>(&chunk)?;
            }
        }
        Ok(first)
    }

    /// Adds a part of a chunk, to the record of the other parts if there are any; its start.
    fn add_part(&mut self, first: AgInode, inodes: u32) -> Result<AgInode> {
        let geo = self.trans.geometry();
        let mut chunk = part(geo, first, inodes).ok_or(Error::Invalid)?;
        let mut path = self.path::<Ino>();
        let mut blocks = self.blocks();
        match path.lookup_eq(&mut blocks, &chunk.start)? {
            None => path.insert(&mut blocks, &chunk)?,
            Some(there) => {
                let sum = merged(&there, &chunk);
                chunk = sum.ok_or_else(|| path.inconsistent(&blocks, "holemask"))?;
                path.update(&mut blocks, &chunk)?;
            }
        }
        path.reset(&mut blocks);
        if geo.features.finobt() {
            // There it may not be so far, if the other parts are in use.
            let mut path = self.path::<Fino>();
            let mut blocks = self.blocks();
            match path.lookup_eq(&mut blocks, &chunk.start)? {
                None => path.insert(&mut blocks, &chunk)?,
                Some(_) => path.update(&mut blocks, &chunk)?,
            }
            path.reset(&mut blocks);
        }
        Ok(chunk.start)
    }
}
