// SPDX-License-Identifier: GPL-2.0

//! An inode that is locked for changes (the ILOCK, exclusive), as transactions take it.

use super::{
    inode::{
        Body,
        Inode, //
    },
    log::{
        Item,
        LoggedInode, //
    },
    publish,
    settle::{
        settle,
        Times, //
    },
};
use crate::{
    libxfs::{
        self,
        error::Result,
        format::inode::cluster::InodePlace,
        inode::WhichFork,
        journal::CommitSequence, //
    },
    rust::{
        bindings,
        kernel::{
            nofs::NoFs,
            rwsem::WriteGuard, //
        },
    },
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::sync::{
    aref::ARef,
    Arc, //
};

/// An inode with its ILOCK held, and a count of it.
pub(crate) struct LockedInode {
    // The lock goes first.
    body: WriteGuard<'static, Body>,
    node: ARef<Inode>,
    /// The core's times when it was locked, or last committed.
    before: Times,
    /// Whether what changes is its times alone.
    times_alone: bool,
}

impl LockedInode {
    /// Locks an inode, in the course of a transaction. What its forks hold is as it was, read or not.
    pub(super) fn new(node: ARef<Inode>) -> Self {
        // SAFETY: The inode is counted for as long as this lives, which is longer than the guard.
        let body = unsafe { node.write_beside_others().unbound() };
        let before = Times::of(&body.inode.core);
        Self {
            body,
            node,
            before,
            times_alone: false,
        }
    }

    /// The inode.
    #[allow(dead_code)] // For operations that change names.
    pub(crate) fn node(&self) -> &Inode {
        &self.node
    }

    /// Notes that nothing changes but its times, since somebody has read it, or they were not written
    /// yet.
    pub(super) fn set_times_alone(&mut self) {
        self.times_alone = true;
    }

    /// Settles with the VFS what is about to be committed.
    pub(super) fn settle(&mut self) {
        let core = &mut self.body.inode.core;
        if core.file_type().is_some() {
            settle(&self.node, core, &self.before, !self.times_alone);
        }
        self.before = Times::of(core);
    }

    /// Notes that it was committed, and tells the VFS what has become of it.
    pub(super) fn committed(&mut self, sequence: CommitSequence) {
        self.body.changed = Some(sequence);
        let core = &self.body.inode.core;
        if core.file_type().is_none() {
            // It is free: whoever gets its number next, before we let go of what says so, must not
            // find this one.
            self.node.set_ended();
            // SAFETY: The inode is counted.
            unsafe { bindings::remove_inode_hash(self.node.as_vfs()) };
            return;
        }
        // SAFETY: The inode is whole and counted, and its ILOCK is held.
        unsafe { publish::changed(self.node.as_vfs(), &self.body.inode) };
    }
}

impl Inode {
    /// Takes the ILOCK for changes, with the mappings of both forks in memory. Room in the log comes
    /// before it, and so do the ILOCKs of inodes with smaller numbers; see
    /// [`libxfs::ops`](crate::libxfs::ops).
    ///
    /// # Errors
    ///
    /// Those of [`load_extents`](libxfs::inode::Inode::load_extents); nothing is locked then.
    pub(crate) fn lock(&self) -> Result<LockedInode> {
        let mut locked = LockedInode::new(self.into());
        // Memory that is wanted with the lock held must not come from reclaiming this very inode.
        let _nofs = NoFs::new();
        for which in [WhichFork::Data, WhichFork::Attr] {
            locked.load_extents(self.mount(), which)?;
        }
        Ok(locked)
    }
}

impl Deref for LockedInode {
    type Target = libxfs::inode::Inode;

    fn deref(&self) -> &Self::Target {
        &self.body.inode
    }
}

impl DerefMut for LockedInode {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.body.inode
    }
}

impl LoggedInode for LockedInode {
    fn place(&self) -> InodePlace {
        self.node.place()
    }

    fn slot(&mut self) -> &mut Option<Arc<Item>> {
        &mut self.body.item
    }
}
