// SPDX-License-Identifier: GPL-2.0

//! Attributes of an inode as they are changed: owner, mode, times, size, flags.

use super::{
    idmap::Idmap,
    node::{
        errno,
        Node, //
    },
    stat::{
        Attributes,
        FileAttributes, //
    },
};
use crate::rust::bindings;
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// What the VFS keeps of an inode and may change by itself.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// Type and permissions.
    pub(crate) mode: u16,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Last access, in seconds and nanoseconds.
    pub(crate) atime: (i64, u32),
    /// Last change of the content.
    pub(crate) mtime: (i64, u32),
    /// Last change of the inode.
    pub(crate) ctime: (i64, u32),
}

/// What the VFS keeps of a node, at this moment.
pub(crate) fn kept<T: Node>(node: &T) -> Kept {
    let inode = node.as_vfs();
    let time = |time: bindings::timespec64| (time.tv_sec, time.tv_nsec as u32);
    // SAFETY: The inode is alive.
    unsafe {
        Kept {
            mode: (*inode).i_mode,
            uid: bindings::i_uid_read(inode),
            gid: bindings::i_gid_read(inode),
            atime: time(bindings::inode_get_atime(inode)),
            mtime: time(bindings::inode_get_mtime(inode)),
            ctime: time(bindings::inode_get_ctime(inode)),
        }
    }
}

/// What happens to a node that its times tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was read.
    Access,
    /// It was changed.
    Change,
    /// Its content was changed.
    Content,
}

/// Has the VFS's times of a node tell what happens to it now.
pub(crate) fn stamp<T: Node>(node: &T, event: Event) {
    let inode = node.as_vfs();
    // SAFETY: The inode is alive.
    unsafe {
        match event {
            Event::Access => bindings::inode_stamp_access(inode),
            Event::Change => bindings::inode_stamp_change(inode),
            Event::Content => bindings::inode_stamp_content(inode),
        }
    }
}

/// Counts a change of a node, if it `counts` in any case or somebody has looked at the count, and
/// returns the count.
pub(crate) fn count_change<T: Node>(node: &T, counts: bool) -> u64 {
    // SAFETY: The inode is alive.
    unsafe { bindings::inode_count_change(node.as_vfs(), counts) }
}

/// A call that changes owner, mode, times or size of a node, whose `i_rwsem` it holds exclusively.
pub(crate) struct Change<'a, T> {
    idmap: Idmap<'a>,
    // INVARIANT: Both are valid and the change is ours for `'a`; the dentry is that of a `T`.
    dentry: *mut bindings::dentry,
    attr: *mut bindings::iattr,
    _life: PhantomData<&'a T>,
}

impl<T: Node> Change<'_, T> {
    fn has(&self, what: u32) -> bool {
        // SAFETY: By the invariant.
        unsafe { (*self.attr).ia_valid & what != 0 }
    }

    /// The size that it asks for, if it does.
    pub(crate) fn size(&self) -> Option<u64> {
        if !self.has(bindings::ATTR_SIZE) {
            return None;
        }
        // SAFETY: By the invariant. The VFS has refused what is negative.
        Some(unsafe { (*self.attr).ia_size as u64 })
    }

    /// Whether it changes times of a change.
    pub(crate) fn has_change_time(&self) -> bool {
        self.has(bindings::ATTR_CTIME | bindings::ATTR_MTIME)
    }

    /// Whether it changes the mode.
    pub(crate) fn has_mode(&self) -> bool {
        self.has(bindings::ATTR_MODE)
    }

    /// Leaves the size as it is.
    pub(crate) fn forget_size(&mut self) {
        // SAFETY: By the invariant.
        unsafe { (*self.attr).ia_valid &= !bindings::ATTR_SIZE };
    }

    /// Has the VFS see whether the caller may do this.
    pub(crate) fn check(&mut self) -> Result {
        // SAFETY: By the invariant.
        to_result(unsafe {
            bindings::setattr_prepare(self.idmap.as_ptr().cast(), self.dentry, self.attr)
        })
    }

    /// Has the VFS change what it [keeps](Kept) of the node.
    pub(crate) fn apply(&self) {
        // SAFETY: By the invariant; the inode is locked.
        unsafe {
            bindings::setattr_copy(
                self.idmap.as_ptr().cast(),
                (*self.dentry).d_inode,
                self.attr,
            );
        }
    }

    /// Has the access control list follow the mode that was set.
    pub(crate) fn change_acl(&self) -> Result {
        // SAFETY: By the invariant; the inode is locked.
        to_result(unsafe {
            let mode = (*(*self.dentry).d_inode).i_mode;
            bindings::posix_acl_chmod(self.idmap.as_ptr().cast(), self.dentry, mode)
        })
    }
}

/// A node's attributes as they are changed.
pub(crate) trait ChangeAttributes: Attributes {
    /// Changes owner, mode, times or size.
    fn setattr(&self, change: &mut Change<'_, Self>) -> Result;

    /// Has the times tell that something happens to the node now, on the disk too.
    fn update_time(&self, event: Event) -> Result;

    /// Writes times that the VFS alone has so far.
    fn write_times(&self) -> Result;

    /// Changes flags, extent size hints and project. Called with `i_rwsem` held exclusively.
    fn set_file_attributes(&self, idmap: Idmap<'_>, attributes: &FileAttributes<'_>) -> Result;
}

/// `inode_operations.setattr`.
///
/// # Safety
///
/// Called by the VFS: `dentry` is that of a `T`, locked, and `attr` is ours.
pub(super) unsafe extern "C" fn setattr<T: ChangeAttributes>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attr: *mut bindings::iattr,
) -> c_int {
    // SAFETY: By the caller.
    // INVARIANT: By the caller.
    let (node, mut change) = unsafe {
        (
            T::from_vfs((*dentry).d_inode),
            Change {
                idmap: Idmap::from_raw(idmap),
                dentry,
                attr,
                _life: PhantomData,
            },
        )
    };
    errno(node.setattr(&mut change))
}

/// `inode_operations.update_time`.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`.
pub(super) unsafe extern "C" fn update_time<T: ChangeAttributes>(
    inode: *mut bindings::inode,
    which: bindings::fs_update_time,
    flags: c_uint,
) -> c_int {
    // SAFETY: By the caller; the super block lives as long as its inode.
    let lazy = unsafe { (*(*inode).i_sb).s_flags & bindings::SB_LAZYTIME as c_ulong != 0 };
    if lazy {
        // SAFETY: By the caller.
        let dirty = unsafe { bindings::inode_update_time(inode, which, flags) };
        if dirty <= 0 {
            return dirty;
        }
        let times = bindings::inode_state_flags_enum_I_DIRTY_TIME as c_int;
        if dirty == times {
            // SAFETY: By the caller.
            unsafe { bindings::__mark_inode_dirty(inode, times) };
            return 0;
        }
    } else if flags & bindings::IOCB_NOWAIT != 0 {
        return EAGAIN.to_errno();
    }
    let event = if which == bindings::fs_update_time_FS_UPD_ATIME {
        Event::Access
    } else {
        Event::Content
    };
    // SAFETY: By the caller.
    errno(unsafe { T::from_vfs(inode) }.update_time(event))
}

/// `inode_operations.sync_lazytime`.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`.
pub(super) unsafe extern "C" fn sync_lazytime<T: ChangeAttributes>(inode: *mut bindings::inode) {
    // There is nobody to tell. Where it fails the file system is shut down, or there is no memory.
    // SAFETY: By the caller.
    let _ = unsafe { T::from_vfs(inode) }.write_times();
}

/// `inode_operations.fileattr_set`.
///
/// # Safety
///
/// Called by the VFS: `dentry` is that of a `T`, locked.
pub(super) unsafe extern "C" fn fileattr_set<T: ChangeAttributes>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attributes: *mut kernel::bindings::file_kattr,
) -> c_int {
    // SAFETY: By the caller.
    let (node, idmap, attributes) = unsafe {
        (
            T::from_vfs((*dentry).d_inode),
            Idmap::from_raw(idmap),
            &mut *attributes.cast(),
        )
    };
    errno(node.set_file_attributes(idmap, &FileAttributes::new(attributes)))
}

/// Has the VFS drop a node as soon as nobody uses it: what changed takes effect when it is read anew.
pub(crate) fn drop_soon<T: Node>(node: &T) {
    // SAFETY: The inode is alive.
    unsafe { bindings::d_mark_dontcache(node.as_vfs()) };
}
