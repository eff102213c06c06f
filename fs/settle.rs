// SPDX-License-Identifier: GPL-2.0

//! What the VFS and an inode's core tell each other when a transaction is committed that changed it:
//! times, and how often it was changed.
//!
//! The VFS changes times by itself (an access with `lazytime`), and it alone knows whether a time was
//! asked for, so that the next one must be a later one. So a time that the transaction left alone
//! comes from the VFS, and a change of the inode is stamped by it. What the transaction set to
//! something else, as `utimes` does, goes to the VFS.

use super::inode::Inode;
use crate::{
    libxfs::format::inode::{
        time::Timestamp,
        InodeCore, //
    },
    rust::kernel::setattr::{
        self,
        Event, //
    },
};

/// The times of an inode, as its core had them when it was locked or last committed.
#[derive(Clone, Copy)]
pub(super) struct Times {
    atime: Timestamp,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl Times {
    /// Those of a core.
    pub(super) fn of(core: &InodeCore) -> Self {
        Self {
            atime: core.atime,
            mtime: core.mtime,
            ctime: core.ctime,
        }
    }
}

/// Settles core and VFS, before the core is logged. Called with the ILOCK held for changes. `before`
/// is what the core's times were; `counts` says whether the change is one in any case, and not only
/// if somebody has looked at the count.
pub(super) fn settle(node: &Inode, core: &mut InodeCore, before: &Times, counts: bool) {
    let time = |(sec, nsec)| Timestamp { sec, nsec };
    let kept = setattr::kept(node);
    if core.atime == before.atime {
        core.atime = time(kept.atime);
    }
    if core.mtime == before.mtime {
        core.mtime = time(kept.mtime);
    }
    if core.ctime == before.ctime {
        core.ctime = time(kept.ctime);
    } else if core.ctime != time(kept.ctime) {
        let now = core.ctime;
        setattr::stamp(node, Event::Change);
        core.ctime = time(setattr::kept(node).ctime);
        if core.mtime == now {
            core.mtime = core.ctime;
        }
    }
    core.changecount = setattr::count_change(node, counts);
}
