// SPDX-License-Identifier: GPL-2.0

//! Quota records against the usage of all inodes.

use super::{Check, Finding, Place, Subject};
use crate::libxfs::{
    error::{Error, Result},
    extents::ExtentMap,
    format::quota::QuotaType,
    inode::Inode,
    quota,
    store::Store,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// Bits of `sb_qflags` by type: that usage is accounted for, and that a check has made it right.
///
/// Source: `XFS_*QUOTA_ACCT` and `XFS_*QUOTA_CHKD` in `fs/xfs/libxfs/xfs_log_format.h` of Linux 7.3.
const fn valid_bits(quota_type: QuotaType) -> u16 {
    match quota_type {
        QuotaType::User => 0x0001 | 0x0004,
        QuotaType::Group => 0x0040 | 0x0100,
        QuotaType::Project => 0x0008 | 0x0400,
    }
}

/// What an id uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    id: u32,
    inodes: u64,
    blocks: u64,
    rt_blocks: u64,
}

impl Usage {
    fn is_nothing(&self) -> bool {
        self.inodes == 0 && self.blocks == 0 && self.rt_blocks == 0
    }
}

/// Usage by id, of one type. New usage goes to the end; where that would take more memory, all is
/// summed up first.
#[derive(Default)]
struct ById(KVVec<Usage>);

impl ById {
    fn add(&mut self, usage: Usage) -> Result {
        if self.0.len() >= self.0.capacity() {
            self.sum_up();
            // Summing up again and again would find little: room for as many as there are.
            self.0.reserve(self.0.len().max(64), GFP_KERNEL)?;
        }
        Ok(self.0.push(usage, GFP_KERNEL)?)
    }

    /// Leaves one entry for each id, in order.
    fn sum_up(&mut self) {
        let all = self.0.as_mut_slice();
        all.sort_unstable_by_key(|usage| usage.id);
        let mut kept = 0usize;
        for index in 0..all.len() {
            let Some(&usage) = all.get(index) else {
                break;
            };
            let last = kept.checked_sub(1).and_then(|last| all.get_mut(last));
            match last {
                Some(last) if last.id == usage.id => {
                    last.inodes = last.inodes.saturating_add(usage.inodes);
                    last.blocks = last.blocks.saturating_add(usage.blocks);
                    last.rt_blocks = last.rt_blocks.saturating_add(usage.rt_blocks);
                }
                _ => {
                    if let Some(place) = all.get_mut(kept) {
                        *place = usage;
                    }
                    kept = kept.saturating_add(1);
                }
            }
        }
        self.0.truncate(kept);
    }
}

/// Usage of users, groups and projects.
#[derive(Default)]
pub(super) struct Usages([ById; 3]);

impl<S: Store> Check<'_, S> {
    /// Whether the counts of a type can be held to usage.
    fn counts(&self, quota_type: QuotaType) -> bool {
        let bits = valid_bits(quota_type);
        self.store.geometry().quota_flags & bits == bits
    }

    /// Adds what an inode uses, its mappings being loaded. The file system's own files are nobody's.
    pub(super) fn count_usage(&mut self, inode: &Inode) -> Result {
        let core = &inode.core;
        let own_quota = self.store.geometry().quota_inodes;
        if core.is_metadata() || own_quota.contains(&Some(inode.number)) {
            return Ok(());
        }
        let mapped = |map: &ExtentMap| {
            map.iter()
                .fold(0u64, |sum, mapping| sum.saturating_add(mapping.len))
        };
        let rt_blocks = match inode.data.extents() {
            Some(map) if core.is_realtime() => mapped(map),
            _ => 0,
        };
        let ids = [core.uid, core.gid, core.projid];
        for (quota_type, id) in QuotaType::ALL.into_iter().zip(ids) {
            if !self.counts(quota_type) {
                continue;
            }
            let usage = Usage {
                id,
                inodes: 1,
                blocks: core.nblocks.saturating_sub(rt_blocks),
                rt_blocks,
            };
            if let Some(by_id) = self.usage.0.get_mut(index(quota_type)) {
                by_id.add(usage)?;
            }
        }
        Ok(())
    }

    /// Reads all quota files, and holds their counts to usage where they are kept.
    pub(super) fn quotas(&mut self) -> Result {
        for quota_type in QuotaType::ALL {
            let subject = Subject::of_quota(quota_type);
            let file = match quota::open(self.store, quota_type) {
                Err(Error::NotFound) => None,
                file => self.kept(subject, Place::FileSystem, file)?,
            };
            if let Some(file) = file {
                self.quota_file(quota_type, &file)?;
            }
        }
        Ok(())
    }

    fn quota_file(&mut self, quota_type: QuotaType, file: &Inode) -> Result {
        let counts = self.counts(quota_type) && self.whole.inodes && self.whole.log;
        let mut used = match self.usage.0.get_mut(index(quota_type)) {
            Some(by_id) => core::mem::take(by_id),
            None => return Ok(()),
        };
        used.sum_up();
        let mut used = used.0.iter().peekable();
        let mut next = Some(0u32);
        while let Some(id) = next {
            self.stop_if_interrupted()?;
            let place = Place::Dquot { quota_type, id };
            let record = quota::next(self.store, file, quota_type, id);
            let record = self.kept(Subject::of_quota(quota_type), place, record)?;
            let Some(record) = record else {
                // Its block is bad; those behind it are looked at still.
                let each = crate::libxfs::format::quota::records_per_block(self.store.geometry());
                next = id
                    .checked_div(each)
                    .and_then(|block| block.checked_add(1)?.checked_mul(each));
                while used
                    .next_if(|usage| next.is_none_or(|next| usage.id < next))
                    .is_some()
                {}
                continue;
            };
            let end = record.map(|record| record.id);
            // Ids before it have no record.
            while let Some(usage) = used.next_if(|usage| end.is_none_or(|end| usage.id < end)) {
                if counts {
                    self.compare_usage(quota_type, usage, &Usage::default())?;
                }
            }
            let Some(record) = record else {
                break;
            };
            let counted = Usage {
                id: record.id,
                inodes: record.inodes.count,
                blocks: record.blocks.count,
                rt_blocks: record.rt_blocks.count,
            };
            let usage = used.next_if(|usage| usage.id == record.id).copied();
            if counts {
                let usage = usage.unwrap_or(Usage {
                    id: record.id,
                    ..Usage::default()
                });
                self.compare_usage(quota_type, &usage, &counted)?;
            }
            if quota_type != QuotaType::User || record.id != 0 {
                self.limits(quota_type, &record)?;
            }
            next = record.id.checked_add(1);
        }
        Ok(())
    }

    fn compare_usage(&mut self, quota_type: QuotaType, used: &Usage, counted: &Usage) -> Result {
        if used.is_nothing() && counted.is_nothing() {
            return Ok(());
        }
        let place = Place::Dquot {
            quota_type,
            id: used.id,
        };
        let counts = [
            ("d_icount", used.inodes, counted.inodes),
            ("d_bcount", used.blocks, counted.blocks),
            ("d_rtbcount", used.rt_blocks, counted.rt_blocks),
        ];
        for (field, expected, found) in counts {
            self.equal(Subject::QuotaCheck, place, field, expected, found)?;
        }
        Ok(())
    }

    /// A soft limit does not lie above the hard one.
    fn limits(
        &mut self,
        quota_type: QuotaType,
        record: &crate::libxfs::format::quota::Dquot,
    ) -> Result {
        let limits = [
            ("d_blk_softlimit", record.blocks),
            ("d_ino_softlimit", record.inodes),
            ("d_rtb_softlimit", record.rt_blocks),
        ];
        for (field, limit) in limits {
            if limit.hard != 0 && limit.soft > limit.hard {
                let place = Place::Dquot {
                    quota_type,
                    id: record.id,
                };
                self.find(Finding::number(
                    Subject::of_quota(quota_type),
                    place,
                    field,
                    limit.hard,
                    limit.soft,
                ))?;
            }
        }
        Ok(())
    }
}

/// A type's place in [`QuotaType::ALL`].
const fn index(quota_type: QuotaType) -> usize {
    match quota_type {
        QuotaType::User => 0,
        QuotaType::Group => 1,
        QuotaType::Project => 2,
    }
}
