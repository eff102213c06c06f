// SPDX-License-Identifier: GPL-2.0

//! Items: what the log knows of something that has changes.
//!
//! A block, an inode or an intent has one item from the commit that first changes it until it is in
//! its place on the disk. The item is *pending* while the current checkpoint has changes of it, then
//! *under way* while a checkpoint is written, and from then on in the AIL at the place of the last
//! such checkpoint. It can be all three at once.

use super::{
    patience::patiently,
    Engine, //
};
use crate::{
    fs::buf::{
        Held,
        Invalidated,
        Pinned, //
    },
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::{
            log::{
                chunks::ChunkMap,
                inode::LogPlace,
                op::OP_HEADER_SIZE, //
            },
            units::{
                InodeNumber,
                Lsn, //
            },
        },
        items::IntentId,
        log::items::Items,
        trans::InodeFields, //
    },
    rust::kernel::stack::{
        Link,
        Stacked, //
    },
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock,
        UniqueArc, //
    },
};

/// What an item is of.
pub(crate) enum Subject {
    /// A block.
    Block(Held),
    /// An inode, which lies there.
    Inode(InodeNumber, LogPlace),
    /// Work that is promised.
    Intent(IntentId),
    /// Something that is logged once: that work was done, or inodes were made. It is not in the AIL.
    Note,
}

/// An item.
#[pin_data]
pub(crate) struct Item {
    pub(super) engine: Arc<Engine>,
    pub(super) subject: Subject,
    /// In a shard of the CIL, while it is pending.
    link: Link<Item>,
    /// Where it comes in its checkpoint.
    pub(super) order: Atomic<u64>,
    /// Where it is in the AIL, or 0; changes under the AIL's lock.
    pub(super) place: Atomic<u64>,
    #[pin]
    pub(super) state: SpinLock<State>,
}

impl Stacked for Item {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

/// What changes of an item: by who has its subject locked and commits, and by checkpoints.
#[derive(Default)]
pub(super) struct State {
    /// What the current checkpoint has of it.
    pub(super) pending: Option<Pending>,
    /// Memory for the next vector.
    pub(super) spare: Items,
    /// Checkpoints under way that have it.
    pub(super) under_way: u32,
    /// Of a block: the chunks that were changed since it was last written.
    pub(super) dirty: ChunkMap,
    /// Of a block: it is free, and not to be written.
    pub(super) is_stale: bool,
    /// Of an inode: what was changed since it was last written.
    pub(super) fields: InodeFields,
    /// Of an inode: its vector of the last checkpoint that is stable, which is what goes into its
    /// cluster.
    pub(super) image: Items,
    /// Of an inode: where it was in the AIL when it was last put into its cluster.
    pub(super) flushed: Lsn,
    /// Of an inode: whether it is listed with its cluster.
    pub(super) is_listed: bool,
    /// Of an inode: whether a commit of it has begun, and it is not pending yet.
    pub(super) is_committing: bool,
    /// Of the block of a cluster: whether inodes were put into it that are not written.
    pub(super) has_inodes: bool,
}

/// What the current checkpoint has of an item.
pub(super) struct Pending {
    /// Its regions; none of a block that is ordered, or of an intent that was answered meanwhile.
    pub(super) vector: Items,
    /// Keeps a block from being written.
    pub(super) pin: Option<Pinned>,
    /// The lock of a block that is free.
    pub(super) freed: Option<Invalidated>,
    /// The intent that this says is done.
    pub(super) answered: Option<Arc<Item>>,
    /// Nothing is to come of it.
    pub(super) is_void: bool,
}

impl Pending {
    /// A vector and nothing else.
    pub(super) const fn new(vector: Items) -> Self {
        Self {
            vector,
            pin: None,
            freed: None,
            answered: None,
            is_void: false,
        }
    }
}

/// Bytes that a vector takes in the log, headers of operations included.
pub(super) fn vector_bytes(vector: &Items) -> i64 {
    let headers = vector.region_count().saturating_mul(OP_HEADER_SIZE);
    vector.byte_len().saturating_add(headers) as i64
}

impl Item {
    /// A new item.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub(super) fn new(engine: &Arc<Engine>, subject: Subject) -> Result<Arc<Self>> {
        // Memory first, for which one waits, then what is to lie in it.
        let mut memory = None;
        patiently(|| {
            memory = Some(UniqueArc::<Self>::new_uninit(GFP_KERNEL)?);
            Ok(())
        })?;
        let init = pin_init!(Self {
            engine: engine.clone(),
            subject,
            link: Link::new(),
            order: Atomic::new(0),
            place: Atomic::new(0),
            state <- new_spinlock!(State::default(), "xfs_rust_item"),
        });
        match memory.ok_or(Error::NoMemory)?.pin_init_with(init) {
            Ok(item) => Ok(item.into()),
        }
    }

    /// Whether it is in the AIL.
    pub(crate) fn is_in_ail(&self) -> bool {
        self.place.load(Relaxed) != 0
    }

    /// Whether all that was changed is in its place: then nothing is lost with it.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.is_pinned() && !self.is_in_ail()
    }

    /// Whether the log has changes of it that are not stable yet.
    pub(crate) fn is_pinned(&self) -> bool {
        let state = self.state.lock();
        state.pending.is_some() || state.under_way != 0
    }
}
