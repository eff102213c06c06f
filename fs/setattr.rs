// SPDX-License-Identifier: GPL-2.0

//! Changes of an inode's core: owner, mode, times, flags.
//!
//! What the VFS keeps of an inode and has rules for (whom the set-group bit is left to, which of two
//! times is the later) it changes itself, under the ILOCK, and the core follows within the
//! transaction.

use super::{
    fileattr,
    inode::Inode, //
};
use crate::{
    libxfs::{
        self, error,
        format::inode::{
            time::Timestamp,
            FileType,
            InodeCore, //
        },
        journal::Claim,
        trans::{
            InodeFields,
            Trans, //
        },
    },
    rust::kernel::{
        idmap::Idmap,
        setattr::{
            self,
            Change,
            ChangeAttributes,
            Event, //
        },
        stat::FileAttributes,
    },
};
use kernel::prelude::*;

/// What of a core is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Anything.
    Any,
    /// Its times alone, since somebody has read the inode, or they were not written yet.
    Times,
}

impl Inode {
    /// Changes the core to what `plan` makes of it, in a transaction of its own. Where `plan` fails
    /// nothing has changed.
    pub(super) fn amend(
        &self,
        plan: impl FnOnce(&libxfs::inode::Inode) -> Result<InodeCore>,
    ) -> Result {
        self.amend_part(Part::Any, plan)
    }

    fn amend_part(
        &self,
        part: Part,
        plan: impl FnOnce(&libxfs::inode::Inode) -> Result<InodeCore>,
    ) -> Result {
        let mount = self.mount();
        let errno = |error: error::Error| mount.errno(error);
        let log = match part {
            Part::Any => mount.reservations().inode_change,
            Part::Times => mount.reservations().times,
        };
        let mut trans = Trans::start(mount, log, Claim::default()).map_err(errno)?;
        if part == Part::Any && mount.files().durable {
            trans.set_durable();
        }
        let mut locked = self.lock().map_err(errno)?;
        if part == Part::Times {
            locked.set_times_alone();
        }
        let id = trans.join(locked).map_err(errno)?;
        let core = plan(trans.inode(id).map_err(errno)?)?;
        trans
            .change_inode(id, InodeFields::CORE)
            .map_err(errno)?
            .core = core;
        trans.commit().map_err(errno)?;
        Ok(())
    }

    /// Takes over into the core what the VFS keeps of the inode.
    pub(super) fn follow_vfs(&self, core: &mut InodeCore) {
        let time = |(sec, nsec)| Timestamp { sec, nsec };
        let kept = setattr::kept(self);
        core.mode = kept.mode;
        core.uid = kept.uid;
        core.gid = kept.gid;
        core.atime = time(kept.atime);
        core.mtime = time(kept.mtime);
        core.ctime = time(kept.ctime);
    }

    /// Has the VFS's inode tell that it is changed now, and returns when that is. Called with the
    /// ILOCK held for changes.
    pub(super) fn stamp_change(&self) -> Timestamp {
        setattr::stamp(self, Event::Change);
        let (sec, nsec) = setattr::kept(self).ctime;
        Timestamp { sec, nsec }
    }

    /// A core as it is, and times as the VFS has them.
    fn amend_times(&self, stamp: impl FnOnce()) -> Result {
        let mount = self.mount();
        mount.check_running()?;
        self.amend_part(Part::Times, |inode| {
            stamp();
            let mut core = inode.core.clone();
            self.follow_vfs(&mut core);
            Ok(core)
        })
    }

    /// Whether it is a regular file without anything in it.
    fn is_empty_file(&self) -> bool {
        let inode = self.read();
        let core = &inode.core;
        core.file_type() == Some(FileType::Regular) && core.size == 0 && core.nextents == 0
    }
}

impl ChangeAttributes for Inode {
    fn setattr(&self, change: &mut Change<'_, Self>) -> Result {
        let mount = self.mount();
        mount.check_changeable()?;
        change.check()?;
        if let Some(size) = change.size() {
            if size != 0 || !self.is_empty_file() {
                return Err(EOPNOTSUPP);
            }
            // What is empty is emptied without a trace, unless times are to tell of it.
            if !change.has_change_time() {
                return Ok(());
            }
            change.forget_size();
        }
        self.amend(|inode| {
            change.apply();
            let mut core = inode.core.clone();
            self.follow_vfs(&mut core);
            Ok(core)
        })?;
        if change.has_mode() {
            change.change_acl()?;
        }
        Ok(())
    }

    fn update_time(&self, event: Event) -> Result {
        self.amend_times(|| setattr::stamp(self, event))
    }

    fn write_times(&self) -> Result {
        self.amend_times(|| {})
    }

    fn set_file_attributes(&self, idmap: Idmap<'_>, attributes: &FileAttributes<'_>) -> Result {
        fileattr::set(self, idmap, attributes)
    }
}
