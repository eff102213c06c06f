// SPDX-License-Identifier: GPL-2.0

//! A file system's own inode, as the tables of operations see it.
//!
//! The VFS calls a file system with pointers to `struct inode`, which the file system embeds in a
//! structure of its own. [`Node`] is that structure. The modules beside this one make the tables
//! of operations from safe traits over it; what they promise to the VFS about pointers, lifetimes
//! and locks is said and kept there, once.

use crate::rust::bindings;
use kernel::{
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
};

/// A file system's inode.
///
/// # Safety
///
/// - [`as_vfs`](Node::as_vfs) returns the `struct inode` that the node embeds, and
///   [`from_vfs`](Node::from_vfs) goes back.
/// - A count of [`AlwaysRefCounted`] is one of `i_count`.
/// - The tables of operations that are made for this type are used on inodes of this type alone,
///   and only once the inode is whole.
pub(crate) unsafe trait Node: AlwaysRefCounted + Sized + 'static {
    /// The VFS inode within.
    fn as_vfs(&self) -> *mut bindings::inode;

    /// The node around a VFS inode.
    ///
    /// # Safety
    ///
    /// `inode` is one of this type's, and stays so, referenced, for `'a`.
    unsafe fn from_vfs<'a>(inode: *mut bindings::inode) -> &'a Self;
}

/// Gives up a counted reference to the VFS, which puts it.
pub(super) fn into_vfs<T: Node>(node: ARef<T>) -> *mut bindings::inode {
    let node = ARef::into_raw(node);
    // SAFETY: The count that `ARef` held is now ours, so the node is alive.
    unsafe { node.as_ref() }.as_vfs()
}

/// A lock of `struct inode` that is held shared: `i_rwsem`.
///
/// Reads of a file take it so that they see a write whole or not at all.
pub(crate) struct SharedLock<'a, T: Node>(&'a T);

impl<'a, T: Node> SharedLock<'a, T> {
    /// Takes it, sleeping.
    pub(crate) fn new(node: &'a T) -> Self {
        // SAFETY: The inode is alive and whole, so its lock is initialized.
        unsafe { bindings::down_read(&raw mut (*node.as_vfs()).i_rwsem) };
        Self(node)
    }

    /// Takes it if that needs no sleep.
    pub(crate) fn try_new(node: &'a T) -> Option<Self> {
        // SAFETY: As in `new`.
        let taken = unsafe { bindings::down_read_trylock(&raw mut (*node.as_vfs()).i_rwsem) };
        (taken != 0).then_some(Self(node))
    }
}

impl<T: Node> Drop for SharedLock<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This value shows that the lock is held.
        unsafe { bindings::up_read(&raw mut (*self.0.as_vfs()).i_rwsem) };
    }
}

/// The errno of a result, or 0.
pub(super) fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
