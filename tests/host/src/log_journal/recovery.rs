// SPDX-License-Identifier: GPL-2.0

//! Recovery: the log replayed before the file system is opened, and what is left done after that.

use super::{LogJournal, Volume};
use crate::{
    image::ImageStore,
    libxfs::{
        defer::Structures,
        error::Result,
        format::units::{InodeNumber, RtExtent, RtGroup},
        log::{
            head::Head,
            intent::Intent,
            recover::{recover, Options},
        },
        recovery,
        rt::{free_runs, open, GroupFile},
        store::Store,
    },
    log::ImageReplay,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec, KVec};

/// What replaying a log has done, and has left.
pub struct Replayed {
    /// Where the log goes on.
    pub head: Head,
    /// Intents without an answer, in their order.
    pub intents: KVVec<Intent>,
    /// Transactions that were replayed.
    pub transactions: u64,
    /// Blocks that were written.
    pub blocks: u64,
}

/// What was finished behind a replayed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Intents.
    pub intents: u64,
    /// Inodes without a name.
    pub unlinked: u64,
    /// Extents that staged copies on write.
    pub staged: u64,
}

impl Volume {
    /// Replays the log; none if it is clean.
    ///
    /// # Errors
    ///
    /// As [`recover`].
    pub fn replay(&mut self, options: Options) -> Result<Option<Replayed>> {
        let mut blocks = ImageReplay::new(self.disks.data.clone(), Some(&*self.disks.data));
        let recovered = recover(&self.disks, &mut blocks, &self.geometry, options)?;
        let blocks = blocks.written;
        Ok(recovered.map(|recovered| {
            self.geometry = recovered.geometry;
            Replayed {
                head: recovered.head,
                intents: recovered.intents,
                transactions: recovered.transactions,
                blocks,
            }
        }))
    }
}

impl LogJournal<'_> {
    /// Does what replaying the log has left: intents, inodes without a name, staged extents.
    ///
    /// # Errors
    ///
    /// Those of the work; the file system may be shut down then.
    pub fn finish<S: Structures<Self>>(
        &self,
        replayed: Replayed,
        on: &mut S,
        inactivate: impl FnMut(InodeNumber) -> Result,
    ) -> Result<Finished> {
        let mut intents = KVec::new();
        for intent in replayed.intents {
            intents.push((intent.id, intent.work), GFP_KERNEL)?;
        }
        let number = intents.len() as u64;
        recovery::finish_intents(self, intents, on)?;
        Ok(Finished {
            intents: number,
            unlinked: recovery::free_unlinked(self, inactivate)?,
            staged: recovery::free_staged(self, on)?,
        })
    }
}

/// Counts the free extents of the realtime device.
pub(super) fn free_rt_extents(store: &ImageStore) -> Result<u64> {
    let geo = store.geometry();
    if geo.rt_extents == 0 || !GroupFile::Bitmap.is_present(geo) {
        return Ok(0);
    }
    let groups: Vec<_> = match geo.rt_group_count {
        0 => vec![None],
        count => (0..count).map(|group| Some(RtGroup(group))).collect(),
    };
    let mut sum = 0;
    for group in groups {
        let bitmap = open(store, group, GroupFile::Bitmap)?;
        let all = (RtExtent(0), RtExtent(u64::MAX));
        let mut runs = free_runs(store, &bitmap, group, all.0, all.1)?;
        while let Some(run) = runs.next()? {
            sum += run.len;
        }
    }
    Ok(sum)
}
