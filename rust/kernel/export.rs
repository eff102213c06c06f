// SPDX-License-Identifier: GPL-2.0

//! Handles of files, for NFS and for user space.

use super::node::{
    errno,
    into_vfs,
    Node, //
};
use crate::rust::bindings;
use core::{
    marker::PhantomData,
    slice, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// A handle as 32-bit words, with its type.
#[derive(Clone, Copy)]
pub(crate) struct Handle<'a> {
    /// The type: what the words mean.
    pub(crate) kind: u32,
    /// The words.
    pub(crate) words: &'a [u32],
}

/// A node that handles can name.
///
/// # Safety of the default table
///
/// `super_block.s_export_op` points to [`Operations::table`] of the type that all inodes of the
/// superblock are.
pub(crate) trait Exported: Node {
    /// What holds the nodes together.
    type FileSystem;

    /// The file system of a superblock; `None` while it is set up or torn down.
    ///
    /// # Safety
    ///
    /// `sb` is a mounted superblock of this type, and stays so for `'a`.
    unsafe fn file_system<'a>(sb: *mut bindings::super_block) -> Option<&'a Self::FileSystem>;

    /// Writes the handle of this node, and of its parent where one is given; returns its type and
    /// its length in words, or the length it needs where there is no room.
    fn encode(&self, parent: Option<&Self>, to: &mut [u32]) -> Result<(u32, usize), usize>;

    /// Finds the node that a handle names. `None`: it is no handle of ours.
    fn decode(fs: &Self::FileSystem, handle: Handle<'_>) -> Result<Option<ARef<Self>>>;

    /// Finds the parent that a handle names, if it does.
    fn decode_parent(fs: &Self::FileSystem, handle: Handle<'_>) -> Result<Option<ARef<Self>>>;

    /// Finds the parent of a directory.
    fn parent(&self) -> Result<ARef<Self>>;

    /// Returns when all changes so far are on stable storage: the server has promised them.
    fn make_stable(&self) -> Result;
}

/// The most words that a handle may have.
const MAX_WORDS: usize = 32;

/// The table of a type.
pub(crate) struct Operations<T>(PhantomData<T>);

impl<T: Exported> Operations<T> {
    const OPERATIONS: bindings::export_operations = {
        // SAFETY: All zeroes is a valid value of a table of operations: null pointers.
        let zero: bindings::export_operations = unsafe { core::mem::zeroed() };
        bindings::export_operations {
            encode_fh: Some(Self::encode_fh),
            fh_to_dentry: Some(Self::fh_to_dentry),
            fh_to_parent: Some(Self::fh_to_parent),
            get_parent: Some(Self::get_parent),
            commit_metadata: Some(Self::commit_metadata),
            ..zero
        }
    };

    /// For `super_block.s_export_op`.
    pub(crate) fn table() -> *const kernel::bindings::export_operations {
        (&raw const *Self::TABLE).cast()
    }

    const TABLE: &'static bindings::export_operations = &Self::OPERATIONS;

    /// # Safety
    ///
    /// Called by exportfs: `inode` and `parent`, if not null, are `T`s; `words` has `*len` words.
    unsafe extern "C" fn encode_fh(
        inode: *mut bindings::inode,
        words: *mut u32,
        len: *mut c_int,
        parent: *mut bindings::inode,
    ) -> c_int {
        // SAFETY: By the caller.
        unsafe {
            let room = usize::try_from(*len).unwrap_or(0).min(MAX_WORDS);
            let parent = (!parent.is_null()).then(|| T::from_vfs(parent));
            let to: &mut [u32] = if room == 0 {
                &mut []
            } else {
                slice::from_raw_parts_mut(words, room)
            };
            match T::from_vfs(inode).encode(parent, to) {
                Ok((kind, used)) => {
                    *len = used as c_int;
                    kind as c_int
                }
                Err(needed) => {
                    *len = needed as c_int;
                    bindings::fid_type_FILEID_INVALID as c_int
                }
            }
        }
    }

    /// # Safety
    ///
    /// Called by exportfs: `sb` is a superblock of `T`s, and `fid` has `len` words.
    unsafe fn to_dentry(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
        find: impl FnOnce(&T::FileSystem, Handle<'_>) -> Result<Option<ARef<T>>>,
    ) -> *mut bindings::dentry {
        // SAFETY: By the caller.
        unsafe {
            let len = usize::try_from(len).unwrap_or(0).min(MAX_WORDS);
            let words = slice::from_raw_parts(fid.cast::<u32>(), len);
            let handle = Handle {
                kind: kind as u32,
                words,
            };
            let Some(fs) = T::file_system(sb) else {
                return core::ptr::null_mut();
            };
            match find(fs, handle) {
                Ok(Some(node)) => bindings::d_obtain_alias(into_vfs(node)),
                Ok(None) => core::ptr::null_mut(),
                Err(error) => error.to_ptr(),
            }
        }
    }

    /// # Safety
    ///
    /// As [`Self::to_dentry`].
    unsafe extern "C" fn fh_to_dentry(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        // SAFETY: By the caller.
        unsafe { Self::to_dentry(sb, fid, len, kind, T::decode) }
    }

    /// # Safety
    ///
    /// As [`Self::to_dentry`].
    unsafe extern "C" fn fh_to_parent(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        // SAFETY: By the caller.
        unsafe { Self::to_dentry(sb, fid, len, kind, T::decode_parent) }
    }

    /// # Safety
    ///
    /// Called by exportfs: `child` is a directory's dentry, of a `T`.
    unsafe extern "C" fn get_parent(child: *mut bindings::dentry) -> *mut bindings::dentry {
        // SAFETY: By the caller.
        match unsafe { T::from_vfs((*child).d_inode) }.parent() {
            // SAFETY: The count is given over.
            Ok(node) => unsafe { bindings::d_obtain_alias(into_vfs(node)) },
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the NFS server: `inode` is a `T`.
    unsafe extern "C" fn commit_metadata(inode: *mut bindings::inode) -> c_int {
        // SAFETY: By the caller.
        errno(unsafe { T::from_vfs(inode) }.make_stable())
    }
}
