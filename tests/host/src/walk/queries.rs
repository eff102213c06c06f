// SPDX-License-Identifier: GPL-2.0

//! Questions that user space asks of the trees: who owns which blocks, which inodes there are,
//! what is shared.

use super::Walk;
use crate::libxfs::{
    error::{Error, Result},
    format::units::{AgInode, AgNumber, RtGroup},
    fsmap::{self, Key, Mapping, Query, RtTrees, UseRtTrees},
    ialloc,
    inode::{Fork, Inode, WhichFork},
    refcount,
    rt::{self, GroupFile},
    store::{Device, Store},
};
use std::ops::ControlFlow;

/// Realtime trees that are opened where they are asked for.
struct Trees<'a, S: Store>(&'a S);

impl<S: Store> RtTrees for Trees<'_, S> {
    fn with(&self, group: RtGroup, use_inodes: &mut UseRtTrees<'_>) -> Result<ControlFlow<()>> {
        let rmap = rt::open(self.0, Some(group), GroupFile::Rmap)?;
        if GroupFile::Refcount.is_present(self.0.geometry()) {
            let refcount = rt::open(self.0, Some(group), GroupFile::Refcount)?;
            use_inodes(&rmap, Some(&refcount))
        } else {
            use_inodes(&rmap, None)
        }
    }
}

/// Holds what a query tells to what any answer is: in order of its starts, and without gaps.
#[derive(Default)]
struct Told {
    count: u64,
    last: u64,
    end: u64,
    disorder: bool,
}

impl Told {
    fn hear(&mut self, mapping: &Mapping) -> Result<ControlFlow<()>> {
        self.count += 1;
        let start = mapping.start.0;
        self.disorder |= start < self.last || start > self.end || mapping.len == 0;
        self.last = start;
        self.end = self.end.max(start.saturating_add(mapping.len));
        Ok(ControlFlow::Continue(()))
    }
}

impl<S: Store> Walk<'_, S> {
    pub(super) fn queries(&mut self) {
        let store = self.store;
        for owners in [true, false] {
            if owners && !store.geometry().features.rmapbt() {
                continue;
            }
            let query = Query {
                low: Key::LOWEST,
                high: Key::HIGHEST,
                owners,
                sharing: true,
            };
            let mut told = Told::default();
            let done = fsmap::data_device(store, &query, |mapping| told.hear(mapping));
            self.told("data", done, &told);
            if store.geometry().rt_blocks == 0 {
                continue;
            }
            let mut told = Told::default();
            let done = if owners {
                fsmap::rt_device(store, &query, &Trees(store), |mapping| told.hear(mapping))
            } else if GroupFile::Bitmap.is_present(store.geometry()) {
                let bitmap = |group| rt::open(store, group, GroupFile::Bitmap);
                fsmap::rt_device_free(store, &query, bitmap, |mapping| told.hear(mapping))
            } else {
                continue;
            };
            self.told("realtime", done, &told);
        }
        for ag in (0..store.geometry().ag_count).map(AgNumber) {
            self.chunks_from(ag);
        }
    }

    fn told(&mut self, device: &str, done: Result<ControlFlow<()>>, told: &Told) {
        self.keep(|| format!("map of the {device} device"), done);
        self.add("mappings told", told.count);
        let whole = self.whole();
        self.agree(!whole || !told.disorder, || {
            format!("the map of the {device} device is out of order, or has gaps")
        });
    }

    fn chunks_from(&mut self, ag: AgNumber) {
        let mut count = 0;
        let visited = ialloc::visit_chunks(self.store, ag, AgInode(0), |chunk| {
            count += ialloc::allocated(self.store, ag, chunk).count() as u64;
            Ok::<_, Error>(ControlFlow::Continue(()))
        });
        self.keep(|| format!("group {ag} chunks"), visited);
        self.add("inodes told", count);
    }

    /// What is shared of each mapping of a file's data.
    pub(super) fn shared(&mut self, inode: &Inode) {
        let Some(map) = inode.fork(WhichFork::Data).and_then(Fork::extents) else {
            return;
        };
        if !self.store.geometry().features.reflink()
            || inode.device(WhichFork::Data) != Device::Data
        {
            return;
        }
        for mapping in map.iter() {
            let shared = refcount::find_shared(self.store, mapping.start.data(), mapping.len);
            let shared = self.keep(|| format!("inode {}", inode.number), shared);
            if let Some(Some(part)) = shared {
                self.add("shared parts", 1);
                self.agree(inode.core.is_reflink(), || {
                    format!("inode {}: {part:?} is shared", inode.number)
                });
            }
        }
    }
}
