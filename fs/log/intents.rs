// SPDX-License-Identifier: GPL-2.0

//! Intents that are not answered, by their names.

use super::{
    item::Item,
    patience::patiently, //
};
use crate::libxfs::{
    error::{
        Error,
        Result, //
    },
    items::IntentId, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// How many lists there are.
const BUCKETS: usize = 64;

/// Intents with their names.
type Bucket = KVec<(IntentId, Arc<Item>)>;

/// The index.
#[pin_data]
pub(super) struct Intents {
    #[pin]
    buckets: [Mutex<Bucket>; BUCKETS],
    next: Atomic<u64>,
}

impl Intents {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            buckets <- pin_init::pin_init_array_from_fn(|_| {
                new_mutex!(KVec::new(), "xfs_rust_intents")
            }),
            next: Atomic::new(1),
        })
    }

    fn bucket(&self, id: IntentId) -> Result<&Mutex<Bucket>> {
        // Names are counted up, but those of the C driver are addresses.
        let hash = id.0 ^ id.0 >> 12;
        let index = hash as usize % BUCKETS;
        self.buckets.get(index).ok_or(Error::Invalid)
    }

    /// A name that no living intent has.
    pub(super) fn next(&self) -> IntentId {
        loop {
            let id = IntentId(self.next.fetch_add(1, Relaxed));
            if self.get(id).is_none() {
                return id;
            }
        }
    }

    /// Notes an intent.
    ///
    /// # Errors
    ///
    /// `Exists` for a name that a living one has: the other's answer would be lost. `NoMemory`.
    pub(super) fn add(&self, id: IntentId, item: &Arc<Item>) -> Result {
        let mut bucket = self.bucket(id)?.lock();
        if bucket.iter().any(|(there, _)| *there == id) {
            return Err(Error::Exists);
        }
        patiently(|| Ok(bucket.reserve(1, GFP_KERNEL)?))?;
        bucket
            .push_within_capacity((id, item.clone()))
            .map_err(|_| Error::NoMemory)
    }

    /// The intent of that name.
    pub(super) fn get(&self, id: IntentId) -> Option<Arc<Item>> {
        let bucket = self.bucket(id).ok()?.lock();
        let found = bucket.iter().find(|(there, _)| *there == id)?;
        Some(found.1.clone())
    }

    /// Forgets the intent of that name, which is being answered.
    pub(super) fn take(&self, id: IntentId) -> Option<Arc<Item>> {
        let mut bucket = self.bucket(id).ok()?.lock();
        let index = bucket.iter().position(|(there, _)| *there == id)?;
        let (_, item) = bucket.remove(index).ok()?;
        Some(item)
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            let gone = core::mem::replace(&mut *bucket.lock(), KVec::new());
            drop(gone);
        }
    }
}
