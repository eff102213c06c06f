// SPDX-License-Identifier: GPL-2.0

//! The realtime section: bitmap, summary, reverse mappings and reference counts of each group
//! against the files' maps.

use super::{
    claim::{Claim, Claims},
    refcount::{self, Shared},
    rmap::Compared,
    space::Space,
    tree::{walk_fork, Step},
    Check, Finding, Place, Subject, Value,
};
use crate::libxfs::{
    bmap,
    error::{Error, Result},
    format::{
        btree::{Domain, Owner, RefcountRecord, RtRefcount, RtRmap, Tree},
        kind::Kind,
        rt::{self as format, extents_of, extents_per_block, summary_levels},
        units::{FileBlock, FsBlock, RtExtent, RtGroup, RtGroupBlock},
    },
    inode::{Fork, Inode, WhichFork},
    rt::{self, GroupFile},
    store::{Device, Store},
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// Free runs that start in a block of a bitmap, by log2 of their length.
struct Starts {
    block: u64,
    levels: [u32; u64::BITS as usize],
}

/// Where what a file says ends: in a word of a block, of which the bits of `mask` are unused.
#[derive(Clone, Copy)]
struct End {
    block: u64,
    word: u64,
    mask: u32,
}

impl Starts {
    const fn new() -> Self {
        Self {
            block: 0,
            levels: [0; u64::BITS as usize],
        }
    }

    fn count(&mut self, len: u64) {
        let level = len.checked_ilog2().unwrap_or(0) as usize;
        if let Some(count) = self.levels.get_mut(level) {
            *count = count.saturating_add(1);
        }
    }
}

impl<S: Store> Check<'_, S> {
    /// Checks every realtime group, or the one section without groups.
    pub(super) fn realtime(&mut self) -> Result {
        let geo = self.store.geometry();
        if geo.rt_extents == 0 {
            return Ok(());
        }
        let superblock = rt::check_superblock(self.store);
        self.kept(Subject::RtSuperblock, Place::RtGroup(None), superblock)?;
        if geo.rt_group_count == 0 {
            return self.rt_group(None);
        }
        for group in (0..geo.rt_group_count).map(RtGroup) {
            self.stop_if_interrupted()?;
            self.rt_group(Some(group))?;
        }
        Ok(())
    }

    fn rt_group(&mut self, group: Option<RtGroup>) -> Result {
        let geo = self.store.geometry();
        let index = group.map_or(0, RtGroup::get) as usize;
        let mut claims = match self.rt_groups.get_mut(index) {
            Some(claims) => core::mem::take(claims),
            None => return Ok(()),
        };
        if group == Some(RtGroup(0)) && format::has_superblock(geo) {
            let len = u64::from(geo.rt_extent_size);
            claims.push(Claim::of_metadata(0, len, Owner::Fs))?;
        }
        let counts = match group {
            Some(group) if GroupFile::Refcount.is_present(geo) => {
                let records = self.rt_records::<RtRefcount>(group, GroupFile::Refcount)?;
                if let Some(records) = &records {
                    claim_staging(records, &mut claims)?;
                }
                records
            }
            _ => None,
        };
        let complete = self.whole.inodes
            && counts.is_some() == (group.is_some() && GroupFile::Refcount.is_present(geo));
        self.rt_sweep(group, &mut claims, complete)?;
        let Some(group) = group else {
            return Ok(());
        };
        if let Some(counts) = counts {
            self.rt_shared(group, &claims, &counts)?;
        }
        if GroupFile::Rmap.is_present(geo) {
            let records = self.rt_records::<RtRmap>(group, GroupFile::Rmap)?;
            if let Some(records) = records {
                let mut mapped = Claims::default();
                for record in records.iter() {
                    mapped.push(Claim::of_rmap(record))?;
                }
                let compared = Compared {
                    subject: Subject::RtRmapbt,
                    complete,
                };
                let report = &mut *self.report;
                compared.compare(
                    &mut claims,
                    &mut mapped,
                    |claim| blocks_place(Some(group), claim.start, claim.len),
                    &mut |finding| report(&finding),
                )?;
            }
        }
        Ok(())
    }

    /// The records of a tree in a group's file; `None` if it cannot be read.
    fn rt_records<T>(&mut self, group: RtGroup, file: GroupFile) -> Result<Option<KVVec<T::Record>>>
    where
        T: Tree<Pointer = FsBlock, Scope = RtGroup>,
    {
        let subject = match file {
            GroupFile::Refcount => Subject::RtRefcountbt,
            _ => Subject::RtRmapbt,
        };
        let mut records = KVVec::new();
        let read = rt::open(self.store, Some(group), file).and_then(|inode| {
            let Fork::Meta(root) = &inode.data else {
                return Err(Error::Invalid);
            };
            walk_fork::<S, T>(self.store, inode.number, group, root, &mut |step| {
                if let Step::Record(record) = step {
                    records.push(record, GFP_KERNEL)?;
                }
                Ok(())
            })
        });
        let read = self.kept(subject, Place::RtGroup(Some(group)), read)?;
        Ok(read.map(|()| records))
    }

    /// What the bitmap says is free has no owner, and all else has one; the summary counts what is
    /// free. Leaves the claims in order, without free space.
    fn rt_sweep(&mut self, group: Option<RtGroup>, claims: &mut Claims, complete: bool) -> Result {
        let geo = self.store.geometry();
        let zoned = geo.features.zoned();
        let mut known = false;
        if !zoned {
            let place = Place::RtGroup(group);
            let bitmap = rt::open(self.store, group, GroupFile::Bitmap);
            if let Some(bitmap) = self.kept(Subject::RtBitmap, place, bitmap)? {
                let read = self.free_extents(group, &bitmap, claims);
                known = self.kept(Subject::RtBitmap, place, read)?.is_some();
            }
        }
        claims.sort();
        let extents = extents_of(geo, group).unwrap_or(0);
        let unit = u64::from(geo.rt_extent_size);
        let space = Space {
            blocks: 0..extents.saturating_mul(unit),
            unit,
            subject: Subject::RtBitmap,
            shares: geo.features.reflink() && group.is_some(),
            complete: complete && known,
            inodes: &self.inodes,
        };
        let report = &mut *self.report;
        space.sweep(
            &claims.0,
            |start, count| blocks_place(group, start, count),
            &mut |finding| report(&finding),
        )?;
        claims.retain(|claim| !claim.is_free());
        Ok(())
    }

    /// Adds free space to the claims, and holds the summary to it.
    fn free_extents(
        &mut self,
        group: Option<RtGroup>,
        bitmap: &Inode,
        claims: &mut Claims,
    ) -> Result {
        let geo = self.store.geometry();
        let unit = u64::from(geo.rt_extent_size);
        let extents = extents_of(geo, group).unwrap_or(0);
        let per_block = extents_per_block(geo).max(1);
        let place = Place::RtGroup(group);
        let summary = rt::open(self.store, group, GroupFile::Summary);
        let mut summary = self.kept(Subject::RtSummary, place, summary)?;
        let mut starts = Starts::new();
        let end = RtExtent(u64::MAX);
        let mut runs = rt::free_runs(self.store, bitmap, group, RtExtent(0), end)?;
        while let Some(run) = runs.next()? {
            let free = &mut self.totals.free_rt_extents;
            *free = free.saturating_add(run.len);
            let start = run.start.0.saturating_mul(unit);
            let len = run.len.saturating_mul(unit);
            claims.push(Claim::of_metadata(start, len, Owner::Null))?;
            let block = run.start.0.checked_div(per_block).unwrap_or(0);
            self.summary_until(place, &mut summary, &mut starts, block)?;
            starts.count(run.len);
        }
        // A short group's files are as large as those of a whole one.
        let most = match group {
            Some(_) => u64::from(geo.rt_group_extents),
            None => extents,
        };
        self.summary_until(place, &mut summary, &mut starts, most.div_ceil(per_block))?;
        if let Some(summary) = summary {
            let read = self.counts_behind(place, &summary, most.div_ceil(per_block));
            self.kept(Subject::RtSummary, place, read)?;
        }
        self.bits_behind(place, bitmap, extents)
    }

    /// Holds the summary to what was counted in the bitmap's blocks before `block`. It is given up
    /// when it cannot be read.
    fn summary_until(
        &mut self,
        place: Place,
        summary: &mut Option<Inode>,
        starts: &mut Starts,
        block: u64,
    ) -> Result {
        while starts.block < block {
            self.stop_if_interrupted()?;
            let levels = summary_levels(self.store.geometry());
            for (level, &free) in (0..levels).zip(starts.levels.iter()) {
                let Some(file) = summary else {
                    break;
                };
                let counted = rt::summary(self.store, file, level, starts.block);
                match self.kept(Subject::RtSummary, place, counted)? {
                    Some(counted) => {
                        let (free, counted) = (free.into(), counted.into());
                        self.equal(Subject::RtSummary, place, "count", free, counted)?;
                    }
                    None => *summary = None,
                }
            }
            *starts = Starts {
                block: starts.block.saturating_add(1),
                ..Starts::new()
            };
        }
        Ok(())
    }

    /// Behind the last extent, the bitmap has no bits set to the end of its last block.
    fn bits_behind(&mut self, place: Place, bitmap: &Inode, extents: u64) -> Result {
        let (block, bit) = format::bitmap_position(self.store.geometry(), RtExtent(extents));
        let used = (bit as u32) & format::WORD_BITS.saturating_sub(1);
        let end = End {
            block,
            word: bit >> format::WORD_BITS_LOG,
            mask: u32::MAX.wrapping_shl(used),
        };
        self.zeroes_behind(
            Subject::RtBitmap,
            place,
            bitmap,
            format::RtFile::Bitmap,
            end,
        )
    }

    /// Behind the counts of `blocks` blocks of the bitmap, the summary has none.
    fn counts_behind(&mut self, place: Place, summary: &Inode, blocks: u64) -> Result {
        let geo = self.store.geometry();
        let words = blocks.saturating_mul(summary_levels(geo).into());
        let each = format::words_per_block(geo);
        let end = End {
            block: words.checked_div(each).unwrap_or(0),
            word: words.checked_rem(each).unwrap_or(0),
            mask: u32::MAX,
        };
        self.zeroes_behind(
            Subject::RtSummary,
            place,
            summary,
            format::RtFile::Summary,
            end,
        )
    }

    /// The rest of a block of a bitmap or a summary is zeroes.
    fn zeroes_behind(
        &mut self,
        subject: Subject,
        place: Place,
        inode: &Inode,
        file: format::RtFile,
        end: End,
    ) -> Result {
        let geo = self.store.geometry();
        let run = bmap::runs(geo, inode, WhichFork::Data, FileBlock(end.block), 1);
        let Some(&run) = run?.as_deref().and_then(|runs| runs.first()) else {
            // Every block is full.
            return Ok(());
        };
        let held = self.store.read(Device::Data, run, Kind::Rt(file))?;
        let words = format::Words::new(geo, &held, file, inode.number)
            .map_err(|fault| Error::block(fault, Device::Data, run.at))?;
        for index in end.word..format::words_per_block(geo) {
            let mut word = words.get(index as usize).unwrap_or(0);
            if index == end.word {
                word &= end.mask;
            }
            if word != 0 {
                return self.equal(subject, place, "end", 0, word.into());
            }
        }
        Ok(())
    }

    /// Reference counts are the claims to a block.
    fn rt_shared(
        &mut self,
        group: RtGroup,
        claims: &Claims,
        counts: &[RefcountRecord<RtGroupBlock>],
    ) -> Result {
        let mut records = KVVec::new();
        for record in counts.iter().filter(|r| r.domain == Domain::Shared) {
            let part = Shared {
                start: record.start.0.into(),
                len: record.count.into(),
                owners: record.references.into(),
            };
            if refcount::push_merged(&mut records, part)? {
                self.find(Finding::extra(
                    Subject::RtRefcountbt,
                    blocks_place(Some(group), part.start, part.len),
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
            Subject::RtRefcountbt,
            &expected,
            &records,
            |part| blocks_place(Some(group), part.start, part.len),
            &mut |finding| report(&finding),
        )
    }
}

/// Claims what stages copies on write, of which only these records tell.
fn claim_staging(records: &[RefcountRecord<RtGroupBlock>], claims: &mut Claims) -> Result {
    for record in records.iter().filter(|r| r.domain == Domain::Cow) {
        let (start, len) = (record.start.0.into(), record.count.into());
        claims.push(Claim::of_metadata(start, len, Owner::Cow))?;
    }
    Ok(())
}

/// Blocks of a realtime group, or of the section.
fn blocks_place(group: Option<RtGroup>, start: u64, count: u64) -> Place {
    Place::RtBlocks {
        group,
        start,
        count,
    }
}
