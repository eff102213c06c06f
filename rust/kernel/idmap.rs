// SPDX-License-Identifier: GPL-2.0

//! How a mount maps users.

use super::node::Node;
use crate::rust::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// The mapping of the mount that a call came through.
#[derive(Clone, Copy)]
pub(crate) struct Idmap<'a> {
    // INVARIANT: Valid for `'a`.
    raw: *mut bindings::mnt_idmap,
    _life: PhantomData<&'a ()>,
}

/// Whom an inode belongs to, in the numbers of the disk, and its type and permissions.
#[derive(Clone, Copy)]
pub(crate) struct Ownership {
    /// Type and permissions.
    pub(crate) mode: u16,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl Idmap<'_> {
    /// The mapping of a call.
    ///
    /// # Safety
    ///
    /// `raw` is valid for as long as the value is used.
    pub(super) unsafe fn from_raw(raw: *mut kernel::bindings::mnt_idmap) -> Self {
        // INVARIANT: By the caller.
        Self {
            raw: raw.cast(),
            _life: PhantomData,
        }
    }

    /// For C.
    pub(super) fn as_ptr(self) -> *mut bindings::mnt_idmap {
        self.raw
    }

    /// Whom an inode belongs to that the current task makes with `mode` in a directory. A directory
    /// with the set-group bit hands its group on, and the bit to directories; with
    /// `inherit_group`, all directories hand their group on.
    pub(crate) fn ownership_of_new<T: Node>(
        self,
        dir: &T,
        mode: u16,
        inherit_group: bool,
    ) -> Ownership {
        let (mut uid, mut gid) = (0, 0);
        // SAFETY: By the invariant; the inode is alive.
        let (dir_mode, dir_gid) = unsafe {
            let dir = dir.as_vfs();
            bindings::owner_of_new(self.raw.cast(), dir, &mut uid, &mut gid);
            (u32::from((*dir).i_mode), bindings::i_gid_read(dir))
        };
        let mut new = Ownership { mode, uid, gid };
        if dir_mode & bindings::S_ISGID != 0 {
            new.gid = dir_gid;
            if u32::from(mode) & bindings::S_IFMT == bindings::S_IFDIR {
                new.mode |= bindings::S_ISGID as u16;
            }
        } else if inherit_group {
            new.gid = dir_gid;
        }
        new
    }

    /// Whether the current task may keep the set-user and set-group bits of a node that it changes.
    pub(crate) fn may_keep_set_id<T: Node>(self, node: &T) -> bool {
        // SAFETY: By the invariant; the inode is alive.
        unsafe {
            bindings::capable_wrt_inode_uidgid(
                self.raw.cast(),
                node.as_vfs(),
                bindings::CAP_FSETID as c_int,
            )
        }
    }
}
