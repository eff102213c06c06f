// SPDX-License-Identifier: GPL-2.0

//! Inodes with changes, by the cluster that they lie in: who writes one writes all that it can.

use super::{
    item::{
        Item,
        State, //
    },
    patience::patiently, //
};
use crate::libxfs::{
    error::Result,
    format::units::DiskAddr, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// How many lists there are.
const BUCKETS: usize = 512;

/// Items of inodes, each with the address of its cluster.
type Bucket = KVec<(DiskAddr, Arc<Item>)>;

/// The index.
#[pin_data]
pub(super) struct Clusters {
    #[pin]
    buckets: [Mutex<Bucket>; BUCKETS],
}

impl Clusters {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            buckets <- pin_init::pin_init_array_from_fn(|_| {
                new_mutex!(KVec::new(), "xfs_rust_clusters")
            }),
        })
    }

    fn bucket(&self, at: DiskAddr) -> Option<&Mutex<Bucket>> {
        // The multiplier is 2^64 over the golden ratio: it spreads neighbours.
        let hash = at.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let shift = u64::BITS.wrapping_sub(BUCKETS.trailing_zeros());
        self.buckets.get((hash >> shift) as usize)
    }

    /// Lists the item of an inode whose cluster is at `at`, unless it is listed. The inode is locked,
    /// and its item says that it is being committed.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(super) fn list(&self, item: &Arc<Item>, at: DiskAddr) -> Result {
        let Some(bucket) = self.bucket(at) else {
            return Ok(());
        };
        if item.state.lock().is_listed {
            return Ok(());
        }
        let mut bucket = bucket.lock();
        patiently(|| Ok(bucket.reserve(1, GFP_KERNEL)?))?;
        if bucket.push_within_capacity((at, item.clone())).is_ok() {
            item.state.lock().is_listed = true;
        }
        Ok(())
    }

    /// Takes an item off if `is_clean` says so of its state.
    pub(super) fn unlist(
        &self,
        item: &Item,
        at: DiskAddr,
        is_clean: impl FnOnce(&mut State) -> bool,
    ) {
        let Some(bucket) = self.bucket(at) else {
            return;
        };
        let mut bucket = bucket.lock();
        {
            let mut state = item.state.lock();
            if !is_clean(&mut state) {
                return;
            }
            state.is_listed = false;
        }
        let index = bucket
            .iter()
            .position(|(_, listed)| core::ptr::eq::<Item>(&**listed, item));
        if let Some(index) = index {
            let gone = bucket.remove(index);
            drop(bucket);
            drop(gone);
        }
    }

    /// The inodes with changes of the cluster at `at`.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(super) fn of(&self, at: DiskAddr) -> Result<KVec<Arc<Item>>> {
        let mut items = KVec::new();
        if let Some(bucket) = self.bucket(at) {
            let bucket = bucket.lock();
            for (_, item) in bucket.iter().filter(|(there, _)| *there == at) {
                patiently(|| Ok(items.reserve(1, GFP_KERNEL)?))?;
                let _ = items.push_within_capacity(item.clone());
            }
        }
        Ok(items)
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            let gone = core::mem::replace(&mut *bucket.lock(), KVec::new());
            drop(gone);
        }
    }
}
