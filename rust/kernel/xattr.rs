// SPDX-License-Identifier: GPL-2.0

//! Extended attributes.

use super::node::{
    errno,
    Node, //
};
use crate::rust::bindings;
use core::{
    marker::PhantomData,
    ptr,
    slice, //
};
use kernel::prelude::*;

/// The namespaces that have a handler; access control lists have operations of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Namespace {
    /// `user.`
    User,
    /// `trusted.`
    Trusted,
    /// `security.`
    Security,
}

impl Namespace {
    const fn from_flags(flags: c_int) -> Self {
        match flags {
            1 => Namespace::Trusted,
            2 => Namespace::Security,
            _ => Namespace::User,
        }
    }

    /// The prefix of full names.
    pub(crate) const fn prefix(self) -> &'static CStr {
        match self {
            Namespace::User => c"user.",
            Namespace::Trusted => c"trusted.",
            Namespace::Security => c"security.",
        }
    }
}

/// What is done to an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Set it, whether there is one of that name or not.
    Set,
    /// Set it, if there is none of that name.
    Create,
    /// Set it, if there is one of that name.
    Replace,
    /// Remove it.
    Remove,
}

/// A node's extended attributes.
pub(crate) trait ExtendedAttributes: Node {
    /// Copies the value of `name`, without prefix, to `value`, and returns its length. Without
    /// `value` only the length is wanted. `ERANGE` where the value is longer than the room.
    fn get_xattr(
        &self,
        namespace: Namespace,
        name: &[u8],
        value: Option<&mut [u8]>,
    ) -> Result<usize>;

    /// Lists full names, each ended by a zero, to `names`, and returns the length of all. Without
    /// `names` only the length is wanted. `ERANGE` where they are longer than the room.
    fn list_xattrs(&self, names: Option<&mut [u8]>) -> Result<usize>;

    /// Changes the attribute `name`, without prefix; `value` is empty where it is removed. Called
    /// with `i_rwsem` held exclusively, or on a node that is new. `EEXIST`, `ENODATA` where it is
    /// there, or is not, against the action.
    fn change_xattr(
        &self,
        namespace: Namespace,
        name: &[u8],
        value: &[u8],
        action: Action,
    ) -> Result;
}

/// `xattr_handler.get`.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`, `name` is a string, and `value` is null or `size` bytes
/// that are ours to write.
unsafe extern "C" fn get<T: ExtendedAttributes>(
    handler: *const bindings::xattr_handler,
    _dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    name: *const c_char,
    value: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: By the caller; the handler is one of ours.
    let (node, namespace, name, value) = unsafe {
        (
            T::from_vfs(inode),
            Namespace::from_flags((*handler).flags),
            CStr::from_char_ptr(name),
            buffer(value.cast(), size),
        )
    };
    length(node.get_xattr(namespace, name.to_bytes(), value)) as c_int
}

/// `xattr_handler.set`.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`, locked, `name` is a string, and `value` is null, or `size`
/// bytes.
unsafe extern "C" fn set<T: ExtendedAttributes>(
    handler: *const bindings::xattr_handler,
    _idmap: *mut kernel::bindings::mnt_idmap,
    _dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    name: *const c_char,
    value: *const c_void,
    size: usize,
    flags: c_int,
) -> c_int {
    // SAFETY: By the caller; the handler is one of ours.
    let (node, namespace, name) = unsafe {
        (
            T::from_vfs(inode),
            Namespace::from_flags((*handler).flags),
            CStr::from_char_ptr(name),
        )
    };
    let action = if value.is_null() {
        Action::Remove
    } else if flags as u32 & bindings::XATTR_CREATE != 0 {
        Action::Create
    } else if flags as u32 & bindings::XATTR_REPLACE != 0 {
        Action::Replace
    } else {
        Action::Set
    };
    let value: &[u8] = if value.is_null() || size == 0 {
        &[]
    } else {
        // SAFETY: By the caller.
        unsafe { slice::from_raw_parts(value.cast(), size) }
    };
    errno(node.change_xattr(namespace, name.to_bytes(), value, action))
}

/// `inode_operations.listxattr`.
///
/// # Safety
///
/// Called by the VFS: `dentry` is that of a `T`, and `names` is null or `size` bytes that are ours
/// to write.
pub(super) unsafe extern "C" fn list<T: ExtendedAttributes>(
    dentry: *mut bindings::dentry,
    names: *mut c_char,
    size: usize,
) -> isize {
    // SAFETY: By the caller.
    let (node, names) = unsafe { (T::from_vfs((*dentry).d_inode), buffer(names.cast(), size)) };
    length(node.list_xattrs(names))
}

/// The caller's buffer; none when it asks for the length.
///
/// # Safety
///
/// `start` is null or `size` bytes that are ours to write for `'a`.
unsafe fn buffer<'a>(start: *mut u8, size: usize) -> Option<&'a mut [u8]> {
    if start.is_null() || size == 0 {
        return None;
    }
    // The VFS gives memory of `kvmalloc`, perhaps not initialized.
    // SAFETY: By the caller.
    unsafe {
        ptr::write_bytes(start, 0, size);
        Some(slice::from_raw_parts_mut(start, size))
    }
}

fn length(result: Result<usize>) -> isize {
    match result {
        // Lengths are at most 64 KiB.
        Ok(len) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// The handlers of the three namespaces.
pub(crate) struct Handlers<T>(PhantomData<T>);

/// A handler, or the null that ends the list of them.
///
/// # Invariants
///
/// Points to a static or is null.
#[repr(transparent)]
pub(crate) struct HandlerRef(*const bindings::xattr_handler);

// SAFETY: By the invariant; handlers are never written.
unsafe impl Sync for HandlerRef {}

impl<T: ExtendedAttributes> Handlers<T> {
    const fn handler(namespace: Namespace) -> bindings::xattr_handler {
        // SAFETY: All zeroes is a valid value of a table of operations: null pointers.
        let zero: bindings::xattr_handler = unsafe { core::mem::zeroed() };
        bindings::xattr_handler {
            prefix: namespace.prefix().to_bytes_with_nul().as_ptr(),
            flags: namespace as c_int,
            get: Some(get::<T>),
            set: Some(set::<T>),
            ..zero
        }
    }

    const USER: bindings::xattr_handler = Self::handler(Namespace::User);
    const TRUSTED: bindings::xattr_handler = Self::handler(Namespace::Trusted);
    const SECURITY: bindings::xattr_handler = Self::handler(Namespace::Security);

    /// For `super_block.s_xattr`: a list that ends with a null.
    pub(crate) const LIST: &'static [HandlerRef; 4] = &[
        // INVARIANT: All point to statics, but for the last.
        HandlerRef(&Self::USER),
        HandlerRef(&Self::TRUSTED),
        HandlerRef(&Self::SECURITY),
        HandlerRef(ptr::null()),
    ];

    /// [`Self::LIST`] as the superblock wants it.
    pub(crate) const fn as_ptr() -> *const *const bindings::xattr_handler {
        Self::LIST.as_ptr().cast()
    }
}
