// SPDX-License-Identifier: GPL-2.0

//! Inode trees, and the inodes that they say are there.

use super::{
    claim::Claim,
    table::Seen,
    tree::{walk_group, Step},
    Check, Finding, Place, Subject, Value,
};
use crate::libxfs::{
    ag,
    error::{Error, Result},
    format::{
        ag::agi::DiskAgi,
        btree::{Fino, Ino, InodeChunk, Owner, Tree, INODES_PER_CHUNK},
        inode::cluster,
        units::{AgBlock, AgInode, AgNumber, InodeNumber},
    },
    inode::{inode_bytes, read_cluster, Inode},
    store::Store,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// What a tree of inode chunks holds.
struct Chunks {
    records: KVVec<InodeChunk>,
    blocks: KVVec<AgBlock>,
}

impl<S: Store> Check<'_, S> {
    /// Reads the inode trees of a group and all inodes in it.
    pub(super) fn inode_trees(&mut self, ag: AgNumber) -> Result {
        let agi = ag::read_agi(self.store, ag);
        let Some(agi) = self.kept(Subject::Agi, Place::Group(ag), agi)? else {
            self.whole.inodes = false;
            return Ok(());
        };
        let features = self.store.geometry().features;
        let chunks = self.chunks::<Ino>(Subject::Inobt, ag, agi.ino())?;
        let with_free = if features.finobt() {
            self.chunks::<Fino>(Subject::Finobt, ag, agi.fino())?
        } else {
            None
        };
        if features.inobtcount() {
            let trees = [
                (&chunks, "iblocks", agi.iblocks.get()),
                (&with_free, "fblocks", agi.fblocks.get()),
            ];
            for (tree, field, found) in trees {
                if let Some(tree) = tree {
                    let blocks = tree.blocks.len() as u64;
                    self.equal(Subject::Agi, Place::Group(ag), field, blocks, found.into())?;
                }
            }
        }
        for tree in [&chunks, &with_free] {
            match tree {
                Some(tree) => self.claim_blocks(ag, &tree.blocks, Owner::InodeTrees)?,
                None if features.finobt() => self.whole.inodes = false,
                None => {}
            }
        }
        let Some(chunks) = chunks else {
            self.whole.inodes = false;
            return Ok(());
        };
        if let Some(with_free) = with_free {
            self.compare_free(ag, &chunks.records, &with_free.records)?;
        }
        self.inode_counters(ag, &agi, &chunks.records)?;
        let mut claimed = None;
        for chunk in chunks.records.iter() {
            self.stop_if_interrupted()?;
            self.claim_chunk(ag, chunk, &mut claimed)?;
            self.chunk(ag, chunk)?;
        }
        Ok(())
    }

    /// Reads one of the two trees; `None` if that fails.
    fn chunks<T>(
        &mut self,
        subject: Subject,
        ag: AgNumber,
        root: (AgBlock, u32),
    ) -> Result<Option<Chunks>>
    where
        T: Tree<Pointer = AgBlock, Scope = AgNumber, Record = InodeChunk>,
    {
        let mut chunks = Chunks {
            records: KVVec::new(),
            blocks: KVVec::new(),
        };
        let walked = walk_group::<S, T>(self.store, ag, root, &mut |step| {
            match step {
                Step::Block(block) => chunks.blocks.push(block, GFP_KERNEL)?,
                Step::Record(chunk) => chunks.records.push(chunk, GFP_KERNEL)?,
            }
            Ok(())
        });
        Ok(self
            .kept(subject, Place::Group(ag), walked)?
            .map(|()| chunks))
    }

    /// Claims single blocks of a group.
    pub(super) fn claim_blocks(
        &mut self,
        ag: AgNumber,
        blocks: &[AgBlock],
        owner: Owner,
    ) -> Result {
        for block in blocks {
            self.claim(ag, Claim::of_metadata(block.0.into(), 1, owner))?;
        }
        Ok(())
    }

    /// Notes a claim to blocks of a group.
    pub(super) fn claim(&mut self, ag: AgNumber, claim: Claim) -> Result {
        match self.groups.get_mut(ag.0 as usize) {
            Some(claims) => claims.push(claim),
            None => Ok(()),
        }
    }

    /// The tree of chunks with free inodes has just those of the other.
    fn compare_free(
        &mut self,
        ag: AgNumber,
        chunks: &[InodeChunk],
        with_free: &[InodeChunk],
    ) -> Result {
        let mut expected = chunks
            .iter()
            .filter(|chunk| chunk.free_count > 0)
            .peekable();
        let mut found = with_free.iter().peekable();
        while let Some(start) = [expected.peek(), found.peek()]
            .into_iter()
            .flatten()
            .map(|chunk| chunk.start)
            .min()
        {
            let one = expected.next_if(|chunk| chunk.start == start);
            let other = found.next_if(|chunk| chunk.start == start);
            if one != other {
                let value = |chunk: Option<&InodeChunk>| {
                    chunk.map_or(Value::Absent, |chunk| Value::Number(chunk.free))
                };
                let number = self.store.geometry().inode_number(ag, start);
                self.find(Finding {
                    subject: Subject::Finobt,
                    place: number.map_or(Place::Group(ag), Place::Inode),
                    field: "record",
                    expected: value(one),
                    found: value(other),
                })?;
            }
        }
        Ok(())
    }

    fn inode_counters(&mut self, ag: AgNumber, agi: &DiskAgi, chunks: &[InodeChunk]) -> Result {
        let sum = |count: fn(&InodeChunk) -> u8| {
            chunks
                .iter()
                .fold(0u64, |sum, chunk| sum.saturating_add(count(chunk).into()))
        };
        let (count, free) = (sum(|chunk| chunk.count), sum(|chunk| chunk.free_count));
        self.totals.inodes = self.totals.inodes.saturating_add(count);
        self.totals.free_inodes = self.totals.free_inodes.saturating_add(free);
        let place = Place::Group(ag);
        self.equal(Subject::Agi, place, "count", count, agi.count.get().into())?;
        let found = agi.freecount.get().into();
        self.equal(Subject::Agi, place, "freecount", free, found)
    }

    /// Claims the blocks of a chunk that are no holes. Chunks may be smaller than a block: one that
    /// begins in the block `claimed` last has it from its neighbour.
    fn claim_chunk(
        &mut self,
        ag: AgNumber,
        chunk: &InodeChunk,
        claimed: &mut Option<AgBlock>,
    ) -> Result {
        let geo = self.store.geometry();
        let mut index = 0;
        while index < INODES_PER_CHUNK {
            let inode = AgInode(chunk.start.0.saturating_add(index));
            let (block, within) = geo.inode_block(inode);
            let left = geo.inodes_per_block.saturating_sub(within).max(1);
            if chunk.is_present(index) && *claimed != Some(block) {
                let claim = Claim::of_metadata(block.0.into(), 1, Owner::InodeChunks);
                self.claim(ag, claim)?;
                *claimed = Some(block);
            }
            index = index.saturating_add(left);
        }
        // Holes are whole blocks, and whole blocks are aligned as chunks have to be.
        let (first, within) = geo.inode_block(chunk.start);
        let align = geo.inode_cluster_alignment().max(1);
        let misplaced = chunk
            .start
            .0
            .checked_rem(INODES_PER_CHUNK.min(geo.inodes_per_block.max(1)))
            != Some(0)
            || (within == 0 && first.0.checked_rem(align) != Some(0));
        if misplaced {
            let number = geo.inode_number(ag, chunk.start);
            let place = number.map_or(Place::Group(ag), Place::Inode);
            let start = u64::from(chunk.start.0);
            self.find(Finding::extra(
                Subject::Inobt,
                place,
                "startino",
                Value::Number(start),
            ))?;
        }
        Ok(())
    }

    /// Reads the inodes of a chunk.
    fn chunk(&mut self, ag: AgNumber, chunk: &InodeChunk) -> Result {
        let store = self.store;
        let geo = store.geometry();
        let mut held: Option<(AgBlock, S::Block)> = None;
        for index in (0..INODES_PER_CHUNK).filter(|&index| chunk.is_present(index)) {
            let number = chunk
                .start
                .checked_add(index)
                .and_then(|inode| geo.inode_number(ag, inode));
            let place = number.and_then(|number| {
                let place = cluster::place_in_chunk(geo, number, chunk.start)?;
                Some((number, place))
            });
            let Some((number, place)) = place else {
                let value = Value::Number(index.into());
                self.find(Finding::extra(
                    Subject::Inobt,
                    Place::Group(ag),
                    "startino",
                    value,
                ))?;
                self.whole.inodes = false;
                return Ok(());
            };
            let cluster = match held.take().filter(|(at, _)| *at == place.block) {
                Some((_, cluster)) => cluster,
                None => {
                    let cluster = read_cluster(store, place);
                    let read = self.kept(Subject::Inode, Place::Inode(number), cluster)?;
                    let Some(cluster) = read else {
                        self.whole.inodes = false;
                        continue;
                    };
                    cluster
                }
            };
            let inode = inode_bytes(geo, &cluster, place)
                .ok_or(Error::Invalid)
                .and_then(|bytes| Inode::parse(geo, number, bytes));
            held = Some((place.block, cluster));
            let allocated = chunk.is_allocated(index);
            self.allocation(number, allocated, !matches!(inode, Err(Error::NotFound)))?;
            match inode {
                Err(Error::NotFound) => {}
                inode => {
                    let inode = self.kept(Subject::Inode, Place::Inode(number), inode)?;
                    match inode {
                        Some(inode) if allocated => {
                            // Its forks' blocks are read now; the cluster need not be held.
                            held = None;
                            self.inode(inode)?;
                        }
                        Some(_) => {}
                        None => self.whole.inodes &= !allocated,
                    }
                }
            }
        }
        Ok(())
    }

    /// An inode has a type if the tree says that it is in use.
    fn allocation(&mut self, number: InodeNumber, allocated: bool, found: bool) -> Result {
        if allocated == found {
            return Ok(());
        }
        self.equal(
            Subject::Inobt,
            Place::Inode(number),
            "free",
            u64::from(!found),
            u64::from(!allocated),
        )
    }

    /// Looks into an inode in use and notes it.
    fn inode(&mut self, mut inode: Inode) -> Result {
        let number = inode.number;
        let Some(file_type) = inode.core.file_type() else {
            return Ok(());
        };
        if !self
            .inodes
            .push(Seen::new(number, file_type, &inode.core))?
        {
            // Chunks overlap; the tree's order should have told.
            let place = Place::Inode(number);
            self.find(Finding::extra(
                Subject::Inobt,
                place,
                "startino",
                Value::Present,
            ))?;
            return Ok(());
        }
        self.forks(&mut inode)
    }
}
