// SPDX-License-Identifier: GPL-2.0

//! Putting items into their place: blocks go to a list to be written, inodes into the block of their
//! cluster first, all of them that can be.
//!
//! Nobody is waited for: whoever holds a lock here may wait for room in the log.

use super::{
    item::{
        Item,
        State,
        Subject, //
    },
    Engine, //
};
use crate::{
    fs::buf::{
        Locked,
        Outcome,
        Watcher,
        WriteList, //
    },
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            kind::Kind,
            log::{
                chunks::ChunkMap,
                inode::LogPlace, //
            },
            units::{
                InodeNumber,
                Lsn, //
            },
        },
        log::{
            items::Items,
            recover, //
        },
        store::Run,
        trans::InodeFields,
    },
};
use kernel::sync::Arc;

/// What became of an attempt to put an item into its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// It will be written with the list.
    Queued,
    /// It has changes that are not stable in the log.
    Pinned,
    /// Someone has its block locked, or it is on its way.
    Busy,
    /// It is not for the disk: it leaves the list otherwise.
    Nothing,
}

impl Item {
    /// Has the item written with `list`, if no one must be waited for.
    ///
    /// # Errors
    ///
    /// Those of reading the block of an inode; `NoMemory`.
    pub(super) fn flush(self: &Arc<Self>, list: &mut WriteList) -> Result<Flushed> {
        match &self.subject {
            Subject::Block(held) => {
                if held.is_pinned() || self.state.lock().is_stale {
                    return Ok(Flushed::Pinned);
                }
                if held.is_being_written() {
                    return Ok(Flushed::Nothing);
                }
                match held.try_lock()? {
                    Some(mut block) => queue(&mut block, list),
                    None => Ok(Flushed::Busy),
                }
            }
            Subject::Inode(_, place) => {
                if self.is_pinned() {
                    return Ok(Flushed::Pinned);
                }
                self.engine.flush_cluster(*place, list)
            }
            Subject::Intent(_) | Subject::Note => Ok(Flushed::Nothing),
        }
    }
}

/// Puts a block on the list.
fn queue(block: &mut Locked, list: &mut WriteList) -> Result<Flushed> {
    if block.is_pinned() {
        return Ok(Flushed::Pinned);
    }
    if block.is_stale() || !block.is_changed() {
        return Ok(Flushed::Nothing);
    }
    match list.add(block)? {
        true => Ok(Flushed::Queued),
        false => Ok(Flushed::Busy),
    }
}

/// Where the block of an inode's cluster lies.
const fn cluster_run(place: LogPlace) -> Run {
    Run {
        at: place.at,
        len: place.len,
    }
}

impl Engine {
    /// Puts all inodes of a cluster into their block that have no changes under way, and the block on
    /// the list.
    fn flush_cluster(self: &Arc<Self>, place: LogPlace, list: &mut WriteList) -> Result<Flushed> {
        let run = cluster_run(place);
        let Some(mut block) = self.data.try_lock(&[run], Kind::InodeCluster)? else {
            return Ok(Flushed::Busy);
        };
        if block.is_pinned() {
            return Ok(Flushed::Pinned);
        }
        list.reserve(1)?;
        match self.fill_cluster(run, &mut block)? {
            true => queue(&mut block, list),
            false => Ok(Flushed::Busy),
        }
    }

    /// Has the block of an inode's cluster, in the cache, hold what was committed of the inode: for
    /// who reads one that left memory before it was in its place. No one changes it meanwhile.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`, and those of reading the block.
    pub(crate) fn settle_inode(self: &Arc<Self>, number: InodeNumber, place: LogPlace) -> Result {
        let Some(item) = self.inode_item(number, place)? else {
            return Ok(());
        };
        if item.is_pinned() {
            self.force_all()?;
        }
        let run = cluster_run(place);
        let mut block = self.data.lock(&[run], Kind::InodeCluster)?;
        // It will be written when the list of items is pushed.
        self.fill_cluster(run, &mut block).map(|_| ())
    }

    /// What is known of an inode with changes; `None` for one that is in its place. For who takes an
    /// inode into memory.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(crate) fn inode_item(
        &self,
        number: InodeNumber,
        place: LogPlace,
    ) -> Result<Option<Arc<Item>>> {
        let is_it =
            |item: &&Arc<Item>| matches!(item.subject, Subject::Inode(one, _) if one == number);
        let inodes = self.clusters.of(place.at)?;
        Ok(inodes.iter().find(is_it).cloned())
    }

    /// Puts all inodes of a cluster into its block that have no changes under way. Returns whether
    /// there were any.
    fn fill_cluster(self: &Arc<Self>, run: Run, block: &mut Locked) -> Result<bool> {
        let inodes = self.clusters.of(run.at)?;
        // Watches the block, so that what is put into it is known to be written.
        let watcher = match block.watcher_as::<Item>() {
            Some(watcher) => watcher,
            None => {
                let watcher = Item::new(self, Subject::Block(block.hold()))?;
                block.set_watcher(Some(watcher.clone()));
                watcher
            }
        };
        let mut any = false;
        for item in &inodes {
            let Some(lsn) = self.ail.lsn_of(item) else {
                continue;
            };
            // Its image is lent for the time of copying: no commit looks at it.
            let image = {
                let mut state = item.state.lock();
                if state.pending.is_some() || state.under_way != 0 || state.image.is_empty() {
                    continue;
                }
                state.flushed = lsn;
                core::mem::take(&mut state.image)
            };
            let applied = image
                .get(0)
                .ok_or(Error::Invalid)
                .and_then(|regions| recover::apply_inode(&self.geometry, regions, lsn, block));
            let older = item.state.lock().take_back(image);
            drop(older);
            applied.inspect_err(|_| {
                self.health
                    .shut_down("since an inode cannot be put into its cluster");
            })?;
            any = true;
        }
        if any {
            watcher.state.lock().has_inodes = true;
        }
        Ok(any)
    }

    /// The inodes of a cluster whose block was written: those that have no other changes are in
    /// their place.
    fn cluster_written(self: &Arc<Self>, watcher: &Item) {
        let Subject::Block(held) = &watcher.subject else {
            return;
        };
        let Ok(inodes) = self.clusters.of(held.address()) else {
            return;
        };
        for item in &inodes {
            let flushed = {
                let mut state = item.state.lock();
                core::mem::replace(&mut state.flushed, Lsn(0))
            };
            if flushed == Lsn(0) {
                continue;
            }
            let moved = self.ail.remove_if(item, |lsn| lsn == flushed);
            self.tail_moved(moved);
            self.clusters.unlist(item, held.address(), |state| {
                let has_changes = state.is_committing
                    || state.pending.is_some()
                    || state.under_way != 0
                    || item.is_in_ail();
                if !has_changes {
                    state.fields = InodeFields::NONE;
                }
                !has_changes
            });
        }
    }

    /// What follows when a block that was freed is cancelled in the log: neither it nor the inodes
    /// that it had are written any more. Inodes of a cluster of another length have its space by now.
    pub(super) fn freed(self: &Arc<Self>, item: &Item) {
        self.tail_moved(self.ail.remove(item));
        let Subject::Block(held) = &item.subject else {
            return;
        };
        let (at, len) = (held.address(), held.len());
        let had = |inode: &&Arc<Item>| matches!(inode.subject, Subject::Inode(_, place) if place.len == len);
        for inode in self.clusters.of(at).iter().flatten().filter(had) {
            self.tail_moved(self.ail.remove(inode));
            self.clusters.unlist(inode, at, |_| true);
        }
    }
}

impl State {
    /// Takes back an image that was lent. If there is a newer one it is returned, to be dropped
    /// without the lock.
    fn take_back(&mut self, image: Items) -> Items {
        match self.image.is_empty() {
            true => core::mem::replace(&mut self.image, image),
            false => image,
        }
    }
}

impl Watcher for Item {
    fn ended(&self, outcome: Outcome) {
        match outcome {
            // It is in the list still, and will be pushed again.
            Outcome::Failed => return,
            Outcome::Written | Outcome::Lost => {}
        }
        let has_inodes = {
            let mut state = self.state.lock();
            state.dirty = ChunkMap::new();
            core::mem::replace(&mut state.has_inodes, false)
        };
        let engine = &self.engine;
        engine.tail_moved(engine.ail.remove(self));
        if has_inodes && outcome == Outcome::Written {
            engine.cluster_written(self);
        }
    }
}
