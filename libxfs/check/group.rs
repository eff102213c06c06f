// SPDX-License-Identifier: GPL-2.0

//! A group's space: its trees, its spare blocks, and its header's counters.

use super::{
    claim::{Claim, Claims},
    refcount::{self, Shared},
    rmap::Compared,
    space::Space,
    tree::{walk_group, Step},
    Check, Finding, Place, Subject, Value,
};
use crate::libxfs::{
    ag,
    error::Result,
    format::{
        ag::{agf::DiskAgf, agfl},
        btree::{
            Bno, Cnt, Domain, FreeExtent, Owner, Refcount, RefcountRecord, Rmap, RmapRecord, Tree,
        },
        units::{AgBlock, AgNumber},
    },
    store::Store,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// The records of a tree that was read in full, and its blocks.
pub(super) struct Whole<R> {
    pub(super) records: KVVec<R>,
    pub(super) blocks: KVVec<AgBlock>,
}

/// What a group's trees hold; `None` for what is broken or absent.
struct Trees {
    bno: Option<Whole<FreeExtent>>,
    cnt: Option<Whole<FreeExtent>>,
    rmap: Option<Whole<RmapRecord<AgBlock>>>,
    refcount: Option<Whole<RefcountRecord<AgBlock>>>,
}

impl<S: Store> Check<'_, S> {
    /// Checks the space of a group, all claims to which are known.
    pub(super) fn group(&mut self, ag: AgNumber) -> Result {
        let place = Place::Group(ag);
        let agf = ag::read_agf(self.store, ag);
        let Some(agf) = self.kept(Subject::Agf, place, agf)? else {
            return Ok(());
        };
        let features = self.store.geometry().features;
        let trees = Trees {
            bno: self.tree::<Bno>(Subject::Bnobt, ag, agf.bno())?,
            cnt: self.tree::<Cnt>(Subject::Cntbt, ag, agf.cnt())?,
            rmap: match features.rmapbt() {
                true => self.tree::<Rmap>(Subject::Rmapbt, ag, agf.rmap())?,
                false => None,
            },
            refcount: match features.reflink() {
                true => self.tree::<Refcount>(Subject::Refcountbt, ag, agf.refcount())?,
                false => None,
            },
        };
        let mut complete = self.whole.inodes
            && trees.bno.is_some()
            && trees.cnt.is_some()
            && trees.rmap.is_some() == features.rmapbt()
            && trees.refcount.is_some() == features.reflink();
        self.free_space(ag, &agf, &trees)?;
        self.tree_sizes(ag, &agf, &trees)?;
        self.claim_headers(ag)?;
        complete &= self.claim_spare(ag, &agf)?;
        self.claim_trees(ag, &trees)?;
        let mut claims = match self.groups.get_mut(ag.0 as usize) {
            Some(claims) => core::mem::take(claims),
            None => return Ok(()),
        };
        self.sweep(ag, &mut claims, &trees, complete)?;
        self.shared_blocks(ag, &mut claims, &trees)?;
        if let Some(rmap) = trees.rmap {
            self.reverse_mappings(ag, &mut claims, &rmap.records, complete)?;
        }
        Ok(())
    }

    /// Reads a tree of a group; `None` if that fails.
    fn tree<T: Tree<Pointer = AgBlock, Scope = AgNumber>>(
        &mut self,
        subject: Subject,
        ag: AgNumber,
        root: (AgBlock, u32),
    ) -> Result<Option<Whole<T::Record>>> {
        let mut whole = Whole {
            records: KVVec::new(),
            blocks: KVVec::new(),
        };
        let walked = walk_group::<S, T>(self.store, ag, root, &mut |step| {
            match step {
                Step::Block(block) => whole.blocks.push(block, GFP_KERNEL)?,
                Step::Record(record) => whole.records.push(record, GFP_KERNEL)?,
            }
            Ok(())
        });
        let walked = self.kept(subject, Place::Group(ag), walked)?;
        Ok(walked.map(|()| whole))
    }

    /// Both trees of free space hold the same extents, none of which touch, and the header's
    /// counters are theirs.
    fn free_space(&mut self, ag: AgNumber, agf: &DiskAgf, trees: &Trees) -> Result {
        let place = Place::Group(ag);
        let Some(bno) = &trees.bno else {
            return Ok(());
        };
        let mut total = 0u64;
        let mut longest = 0;
        let mut last: Option<&FreeExtent> = None;
        for extent in bno.records.iter() {
            total = total.saturating_add(extent.count.into());
            longest = longest.max(extent.count);
            if last.is_some_and(|last| last.end() == extent.start) {
                self.find(Finding::extra(
                    Subject::Bnobt,
                    free_place(ag, extent),
                    "record order",
                    Value::Present,
                ))?;
            }
            last = Some(extent);
        }
        let found = agf.freeblks.get();
        self.equal(Subject::Agf, place, "freeblks", total, found.into())?;
        let found = agf.longest.get();
        self.equal(Subject::Agf, place, "longest", longest.into(), found.into())?;
        let counted = u64::from(agf.freeblks.get())
            .saturating_add(agf.flcount.get().into())
            .saturating_add(agf.btreeblks.get().into());
        self.totals.free_blocks = self.totals.free_blocks.saturating_add(counted);
        if let Some(cnt) = &trees.cnt {
            self.same_extents(ag, bno, cnt)?;
        }
        Ok(())
    }

    fn same_extents(
        &mut self,
        ag: AgNumber,
        bno: &Whole<FreeExtent>,
        cnt: &Whole<FreeExtent>,
    ) -> Result {
        let mut by_block = KVVec::new();
        by_block.extend_from_slice(&cnt.records, GFP_KERNEL)?;
        let key = |extent: &FreeExtent| (extent.start, extent.count);
        by_block.as_mut_slice().sort_unstable_by_key(key);
        let mut expected = bno.records.iter().peekable();
        let mut found = by_block.iter().peekable();
        while let Some(next) = [expected.peek(), found.peek()]
            .into_iter()
            .flatten()
            .map(|extent| key(extent))
            .min()
        {
            let one = expected.next_if(|extent| key(extent) == next);
            let other = found.next_if(|extent| key(extent) == next);
            match (one, other) {
                (Some(extent), None) => self.find(Finding::missing(
                    Subject::Cntbt,
                    free_place(ag, extent),
                    "record",
                    Value::Number(extent.count.into()),
                ))?,
                (None, Some(extent)) => self.find(Finding::extra(
                    Subject::Cntbt,
                    free_place(ag, extent),
                    "record",
                    Value::Number(extent.count.into()),
                ))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The header counts its trees' blocks.
    fn tree_sizes(&mut self, ag: AgNumber, agf: &DiskAgf, trees: &Trees) -> Result {
        let place = Place::Group(ag);
        let features = self.store.geometry().features;
        let mut below_roots = 0u64;
        if let Some(rmap) = &trees.rmap {
            let blocks = rmap.blocks.len() as u64;
            let found = agf.rmap_blocks.get().into();
            self.equal(Subject::Agf, place, "rmap_blocks", blocks, found)?;
            below_roots = blocks.saturating_sub(1);
        }
        if let Some(refcount) = &trees.refcount {
            let blocks = refcount.blocks.len() as u64;
            let found = agf.refcount_blocks.get().into();
            self.equal(Subject::Agf, place, "refcount_blocks", blocks, found)?;
        }
        // Counted together are those trees whose blocks count as free, without their roots.
        if let (Some(bno), Some(cnt)) = (&trees.bno, &trees.cnt) {
            if trees.rmap.is_some() == features.rmapbt() {
                for blocks in [bno.blocks.len(), cnt.blocks.len()] {
                    below_roots = below_roots.saturating_add((blocks as u64).saturating_sub(1));
                }
                let found = agf.btreeblks.get().into();
                self.equal(Subject::Agf, place, "btreeblks", below_roots, found)?;
            }
        }
        Ok(())
    }

    /// Claims the headers and, where it lies in this group, the log.
    fn claim_headers(&mut self, ag: AgNumber) -> Result {
        let geo = self.store.geometry();
        let headers = Claim::of_metadata(0, geo.ag_header_blocks().into(), Owner::Fs);
        self.claim(ag, headers)?;
        match geo.log_start.and_then(|start| geo.split_fs_block(start)) {
            Some((log, start)) if log == ag => {
                let len = geo.log_blocks.into();
                self.claim(ag, Claim::of_metadata(start.0.into(), len, Owner::Log))
            }
            _ => Ok(()),
        }
    }

    /// Claims the blocks kept for the group's trees; false if they could not be read.
    fn claim_spare(&mut self, ag: AgNumber, agf: &DiskAgf) -> Result<bool> {
        let place = Place::Group(ag);
        let slots = u64::from(agfl::slots(self.store.geometry()));
        let (first, last) = (u64::from(agf.flfirst.get()), u64::from(agf.fllast.get()));
        let count = u64::from(agf.flcount.get());
        // The ring's end says how many there are, unless there are none.
        if count != 0 {
            let length = match last.checked_sub(first) {
                Some(more) => more.saturating_add(1),
                None => slots
                    .saturating_sub(first)
                    .saturating_add(last)
                    .saturating_add(1),
            };
            self.equal(Subject::Agf, place, "flcount", length, count)?;
        }
        let mut blocks = KVVec::new();
        let read = ag::for_each_agfl_block(self.store, ag, agf, |block| {
            Ok(blocks.push(block, GFP_KERNEL)?)
        });
        let read = self.kept(Subject::Agfl, place, read)?;
        self.claim_blocks(ag, &blocks, Owner::Ag)?;
        Ok(read.is_some())
    }

    fn claim_trees(&mut self, ag: AgNumber, trees: &Trees) -> Result {
        let blocks = [
            trees.bno.as_ref().map(|tree| (&tree.blocks, Owner::Ag)),
            trees.cnt.as_ref().map(|tree| (&tree.blocks, Owner::Ag)),
            trees.rmap.as_ref().map(|tree| (&tree.blocks, Owner::Ag)),
            trees
                .refcount
                .as_ref()
                .map(|tree| (&tree.blocks, Owner::RefcountTree)),
        ];
        for (blocks, owner) in blocks.into_iter().flatten() {
            self.claim_blocks(ag, blocks, owner)?;
        }
        // What stages a copy on write is owned by nobody else: the tree says so itself.
        let counts = trees.refcount.iter().flat_map(|tree| tree.records.iter());
        for record in counts.filter(|record| record.domain == Domain::Cow) {
            let start = record.start.0.into();
            let claim = Claim::of_metadata(start, record.count.into(), Owner::Cow);
            self.claim(ag, claim)?;
        }
        Ok(())
    }

    /// Each block is free or owned. Leaves the claims in order, without free space.
    fn sweep(
        &mut self,
        ag: AgNumber,
        claims: &mut Claims,
        trees: &Trees,
        complete: bool,
    ) -> Result {
        let geo = self.store.geometry();
        for extent in trees.bno.iter().flat_map(|bno| bno.records.iter()) {
            let start = extent.start.0.into();
            claims.push(Claim::of_metadata(start, extent.count.into(), Owner::Null))?;
        }
        claims.sort();
        let space = Space {
            blocks: 0..geo.ag_length(ag).unwrap_or(0).into(),
            unit: 1,
            subject: Subject::Bnobt,
            shares: geo.features.reflink(),
            complete,
            inodes: &self.inodes,
        };
        let report = &mut *self.report;
        space.sweep(
            &claims.0,
            |start, count| blocks_place(ag, start, count),
            &mut |finding| report(&finding),
        )?;
        claims.retain(|claim| !claim.is_free());
        Ok(())
    }

    /// Reference counts are the claims to a block.
    fn shared_blocks(&mut self, ag: AgNumber, claims: &mut Claims, trees: &Trees) -> Result {
        let Some(tree) = &trees.refcount else {
            return Ok(());
        };
        let mut records = KVVec::new();
        for record in tree.records.iter() {
            let part = Shared {
                start: record.start.0.into(),
                len: record.count.into(),
                owners: record.references.into(),
            };
            if record.domain == Domain::Shared && refcount::push_merged(&mut records, part)? {
                self.find(Finding::extra(
                    Subject::Refcountbt,
                    blocks_place(ag, part.start, part.len),
                    "record order",
                    Value::Number(part.owners),
                ))?;
            }
        }
        if !self.whole.inodes {
            return Ok(());
        }
        let expected = refcount::shared(&claims.0)?;
        let report = &mut *self.report;
        refcount::compare(
            Subject::Refcountbt,
            &expected,
            &records,
            |part| blocks_place(ag, part.start, part.len),
            &mut |finding| report(&finding),
        )
    }

    /// Reverse mappings are the claims.
    fn reverse_mappings(
        &mut self,
        ag: AgNumber,
        claims: &mut Claims,
        records: &[RmapRecord<AgBlock>],
        complete: bool,
    ) -> Result {
        let mut mapped = Claims::default();
        for record in records {
            mapped.push(Claim::of_rmap(record))?;
        }
        let compared = Compared {
            subject: Subject::Rmapbt,
            complete,
        };
        let report = &mut *self.report;
        compared.compare(
            claims,
            &mut mapped,
            |claim| blocks_place(ag, claim.start, claim.len),
            &mut |finding| report(&finding),
        )
    }
}

/// Blocks of a group, which has no more than fit its unit.
fn blocks_place(ag: AgNumber, start: u64, count: u64) -> Place {
    Place::Blocks {
        ag,
        start: AgBlock(u32::try_from(start).unwrap_or(u32::MAX)),
        count,
    }
}

fn free_place(ag: AgNumber, extent: &FreeExtent) -> Place {
    blocks_place(ag, extent.start.0.into(), extent.count.into())
}
