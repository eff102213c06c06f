// SPDX-License-Identifier: GPL-2.0

//! Directories: lookup and listing.

use super::node::{
    errno,
    into_vfs,
    Node, //
};
use crate::rust::bindings;
use core::{
    ptr,
    slice, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// What a node does as a directory. Both are called with `i_rwsem` held, shared or exclusive.
pub(crate) trait Directory: Node {
    /// Finds the inode of a name; `None` becomes a negative dentry.
    fn lookup(&self, name: &[u8]) -> Result<Option<ARef<Self>>>;

    /// Lists entries from the emitter's position on, until it is full or there are no more.
    fn iterate(&self, emitter: &mut Emitter<'_>) -> Result;

    /// An open of the directory.
    fn open(&self) -> Result;
}

/// The type of a directory entry (`d_type`).
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum EntryType {
    /// Not said.
    Unknown = 0,
    /// Named pipe.
    Fifo = 1,
    /// Character device.
    Character = 2,
    /// Directory.
    Directory = 4,
    /// Block device.
    Block = 6,
    /// Regular file.
    Regular = 8,
    /// Symbolic link.
    Symlink = 10,
    /// Socket.
    Socket = 12,
    /// Whiteout of an overlay.
    Whiteout = 14,
}

/// Where a listing goes.
pub(crate) struct Emitter<'a> {
    // INVARIANT: Valid and exclusively ours while this lives.
    context: &'a mut bindings::dir_context,
}

impl Emitter<'_> {
    /// The position in the directory that comes next: `telldir`'s cookie.
    pub(crate) fn position(&self) -> i64 {
        self.context.pos
    }

    /// Sets the position; it is that of the entry emitted next, or where a later call goes on.
    pub(crate) fn set_position(&mut self, position: i64) {
        self.context.pos = position;
    }

    /// How many bytes of entries the caller can take, where it is known; a hint for readahead.
    pub(crate) fn room(&self) -> Option<usize> {
        usize::try_from(self.context.count).ok().filter(|n| *n > 0)
    }

    /// Emits the entry at the present position. False: the caller takes no more, and this entry
    /// was not taken.
    #[must_use]
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, kind: EntryType) -> bool {
        // Names are at most 255 bytes.
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        let Some(actor) = self.context.actor else {
            return false;
        };
        let position = self.context.pos;
        // SAFETY: The context is the one that the actor belongs to, and the name is `len` bytes.
        unsafe { actor(self.context, name.as_ptr(), len, position, ino, kind as u32) }
    }
}

/// `inode_operations.lookup`.
///
/// # Safety
///
/// Called by the VFS: `dir` is a `T`, locked, and `dentry` a child of it in lookup.
pub(super) unsafe extern "C" fn lookup<T: Directory>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    _flags: c_uint,
) -> *mut bindings::dentry {
    // SAFETY: By the caller; the inode outlives the call.
    let node = unsafe { T::from_vfs(dir) };
    // SAFETY: By the caller; the name is stable while the dentry is in lookup.
    let name = unsafe {
        let name = (*dentry).__bindgen_anon_1.d_name;
        slice::from_raw_parts(
            name.name,
            name.__bindgen_anon_1.__bindgen_anon_1.len as usize,
        )
    };
    let inode = match node.lookup(name) {
        Ok(Some(child)) => into_vfs(child),
        Ok(None) => ptr::null_mut(),
        Err(error) => return error.to_ptr(),
    };
    // SAFETY: `inode` is null or comes with a count, which `d_splice_alias` takes over.
    unsafe { bindings::d_splice_alias(inode, dentry) }
}

/// `file_operations.iterate_shared`.
///
/// # Safety
///
/// Called by the VFS: `file` is an open directory that is a `T`, locked; `context` is ours.
pub(super) unsafe extern "C" fn iterate<T: Directory>(
    file: *mut bindings::file,
    context: *mut bindings::dir_context,
) -> c_int {
    // SAFETY: By the caller.
    let (node, context) = unsafe { (T::from_vfs((*file).f_inode), &mut *context) };
    errno(node.iterate(&mut Emitter { context }))
}

/// `file_operations.open` of a directory.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`, and `file` is being opened on it.
pub(super) unsafe extern "C" fn open<T: Directory>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: By the caller.
    let result = unsafe { bindings::generic_file_open(inode, file) };
    if result != 0 {
        return result;
    }
    // SAFETY: By the caller.
    errno(unsafe { T::from_vfs(inode) }.open())
}
