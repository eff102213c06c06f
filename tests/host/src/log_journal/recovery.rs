// SPDX-License-Identifier: GPL-2.0

//! Recovery: the log replayed before the file system is opened, and what is left done after that.

use super::{LogJournal, Volume};
use crate::{
    image::ImageStore,
    libxfs::{
        error::{Error, Result},
        format::{
            inode::time::Timestamp,
            units::{RtExtent, RtGroup},
        },
        items::{IntentId, Work},
        log::{
            head::Head,
            intent::Intent,
            recover::{recover, Options},
        },
        ops::Files,
        recovery::{self, Finished},
        rt::{free_runs, open, GroupFile},
        store::Store,
        trans::LogReservations,
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

impl Replayed {
    /// The intents, as values.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn into_work(self) -> Result<KVec<(IntentId, Work)>> {
        let mut work = KVec::with_capacity(self.intents.len(), GFP_KERNEL)?;
        for intent in self.intents {
            work.push((intent.id, intent.work), GFP_KERNEL)?;
        }
        Ok(work)
    }
}

impl LogJournal<'_> {
    /// Does all that replaying the log has left.
    ///
    /// # Errors
    ///
    /// Those of the work; the file system may be shut down then.
    pub fn finish(&self, replayed: Replayed) -> Result<Finished> {
        let reservations = LogReservations::new(self.geometry()).ok_or(Error::Invalid)?;
        let files = Files {
            journal: self,
            reservations: &reservations,
            now: Timestamp { sec: 0, nsec: 0 },
            durable: false,
            keep_chunks: false,
        };
        recovery::finish(&files, replayed.into_work()?)
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
