// SPDX-License-Identifier: GPL-2.0

//! Names in directories, as they are made, moved and removed.

use super::{
    acl::{
        AccessControl,
        Inherited, //
    },
    dir::Directory,
    idmap::Idmap,
    node::{
        errno,
        into_vfs, //
    },
};
use crate::rust::bindings;
use core::{
    marker::PhantomData,
    ptr,
    slice, //
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::aref::ARef, //
};

/// A name in a directory, for the time of a call.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    // INVARIANT: A valid name that does not change, for `'a`.
    name: *const bindings::qstr,
    _life: PhantomData<&'a [u8]>,
}

impl<'a> Name<'a> {
    /// The name of a dentry.
    ///
    /// # Safety
    ///
    /// `dentry` stays, and keeps its name, for `'a`: its directory is locked, or it is in nobody
    /// else's hands.
    unsafe fn of(dentry: *mut bindings::dentry) -> Self {
        // INVARIANT: By the caller.
        Self {
            // SAFETY: By the caller.
            name: unsafe { &raw const (*dentry).__bindgen_anon_1.d_name },
            _life: PhantomData,
        }
    }

    /// Its bytes: 1 to 255.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        // SAFETY: By the invariant.
        unsafe {
            let len = (*self.name).__bindgen_anon_1.__bindgen_anon_1.len;
            slice::from_raw_parts((*self.name).name, len as usize)
        }
    }

    /// For C.
    pub(super) fn as_ptr(self) -> *const bindings::qstr {
        self.name
    }
}

/// A node that is to be made.
pub(crate) struct New<'a> {
    /// Type and permissions; the umask is taken off.
    pub(crate) mode: u16,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// The target of a symbolic link; empty for anything else.
    pub(crate) target: &'a [u8],
    /// The access control lists that it gets.
    pub(crate) acls: Inherited,
}

/// One side of a rename.
pub(crate) struct Side<'a, T> {
    /// The directory.
    pub(crate) dir: &'a T,
    /// The name in it.
    pub(crate) name: Name<'a>,
    /// What it leads to; none if it is free.
    pub(crate) node: Option<&'a T>,
}

/// What a rename does beside giving a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rename {
    /// Takes the old name away.
    Move,
    /// Gives the old name to what had the new one.
    Exchange,
    /// Leaves a whiteout at the old name.
    Whiteout,
}

/// What a directory does with names. All are called with `i_rwsem` of each directory held
/// exclusively, and of each node that is no directory and whose names change. The VFS has checked
/// permissions, and what it can tell of names and types.
pub(crate) trait Names: AccessControl + Directory {
    /// Makes a node with a name. Nobody else has seen the name before it is whole, labels and lists
    /// included.
    fn create(&self, idmap: Idmap<'_>, name: Name<'_>, new: &New<'_>) -> Result<ARef<Self>>;

    /// Makes a node without a name, which is no directory and no symbolic link. `name` is what it
    /// is called in messages.
    fn create_nameless(
        &self,
        idmap: Idmap<'_>,
        name: Name<'_>,
        new: &New<'_>,
    ) -> Result<ARef<Self>>;

    /// Gives a node one more name, or its first.
    fn link(&self, name: Name<'_>, node: &Self) -> Result;

    /// Removes a name, and a directory with it.
    fn remove(&self, name: Name<'_>, node: &Self) -> Result;

    /// Gives what `from` leads to the name `to`, in the place of what that leads to.
    fn rename(idmap: Idmap<'_>, from: &Side<'_, Self>, to: &Side<'_, Self>, how: Rename) -> Result;
}

/// Largest major number of a device, and how many bits its minor number has, for which there is
/// room. Source: `xfs_generic_create` in `fs/xfs/xfs_iops.c` of Linux 7.3.
const MAJOR_MAX: u32 = 0x1ff;
const MINOR_BITS: u32 = 18;
/// Bits of the minor number in a `dev_t`.
const KERNEL_MINOR_BITS: u32 = 20;

/// The numbers of a device, for a mode that is one of a device; (0, 0) for any other.
fn device_of(mode: u16, device: u32) -> Result<(u32, u32)> {
    if !matches!(
        u32::from(mode) & bindings::S_IFMT,
        bindings::S_IFCHR | bindings::S_IFBLK
    ) {
        return Ok((0, 0));
    }
    let major = device >> KERNEL_MINOR_BITS;
    let minor = device & ((1 << KERNEL_MINOR_BITS) - 1);
    if major > MAJOR_MAX || minor >> MINOR_BITS != 0 {
        return Err(EINVAL);
    }
    Ok((major, minor))
}

/// Makes a node, and has the dentry lead to it.
///
/// # Safety
///
/// `dir` is a `T`, locked exclusively, and `dentry` a negative child of it; `idmap` is valid.
unsafe fn make<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: u16,
    device: u32,
) -> Result {
    let device = device_of(mode, device)?;
    // SAFETY: By the caller.
    let (idmap, dir, name) =
        unsafe { (Idmap::from_raw(idmap), T::from_vfs(dir), Name::of(dentry)) };
    let (mode, acls) = Inherited::of(dir, mode)?;
    let new = New {
        mode,
        device,
        target: &[],
        acls,
    };
    let node = dir.create(idmap, name, &new)?;
    // SAFETY: By the caller; the count becomes the dentry's.
    unsafe { bindings::d_instantiate(dentry, into_vfs(node)) };
    Ok(())
}

/// `inode_operations.create`.
///
/// # Safety
///
/// Called by the VFS: `dir` is a `T`, locked, and `dentry` a negative child of it.
pub(super) unsafe extern "C" fn create<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
) -> c_int {
    // SAFETY: By the caller.
    errno(unsafe { make::<T>(idmap, dir, dentry, mode, 0) })
}

/// `inode_operations.mknod`.
///
/// # Safety
///
/// As of [`create`].
pub(super) unsafe extern "C" fn mknod<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
    device: bindings::dev_t,
) -> c_int {
    // SAFETY: By the caller.
    errno(unsafe { make::<T>(idmap, dir, dentry, mode, device) })
}

/// `inode_operations.mkdir`: null for the dentry that was given.
///
/// # Safety
///
/// As of [`create`].
pub(super) unsafe extern "C" fn mkdir<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: bindings::umode_t,
) -> *mut bindings::dentry {
    // SAFETY: By the caller.
    match unsafe { make::<T>(idmap, dir, dentry, mode, 0) } {
        Ok(()) => ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}

/// `inode_operations.symlink`.
///
/// # Safety
///
/// As of [`create`]; `target` is a string.
pub(super) unsafe extern "C" fn symlink<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    target: *const c_char,
) -> c_int {
    // SAFETY: By the caller.
    let (idmap, dir, name, target) = unsafe {
        (
            Idmap::from_raw(idmap),
            T::from_vfs(dir),
            Name::of(dentry),
            CStr::from_char_ptr(target),
        )
    };
    let new = New {
        mode: (bindings::S_IFLNK | bindings::S_IRWXUGO) as u16,
        device: (0, 0),
        target: target.to_bytes(),
        acls: Inherited::none(),
    };
    errno(dir.create(idmap, name, &new).map(|node| {
        // SAFETY: By the caller; the count becomes the dentry's.
        unsafe { bindings::d_instantiate(dentry, into_vfs(node)) }
    }))
}

/// `inode_operations.tmpfile`.
///
/// # Safety
///
/// Called by the VFS: `dir` is a `T`, and `file` is being opened on a dentry of its own in it.
pub(super) unsafe extern "C" fn tmpfile<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dir: *mut bindings::inode,
    file: *mut bindings::file,
    mode: bindings::umode_t,
) -> c_int {
    // SAFETY: By the caller.
    let (idmap, dir, dentry) = unsafe {
        (
            Idmap::from_raw(idmap),
            T::from_vfs(dir),
            (*file).__bindgen_anon_1.f_path.dentry,
        )
    };
    // SAFETY: By the caller.
    let name = unsafe { Name::of(dentry) };
    let made = Inherited::of(dir, mode).and_then(|(mode, acls)| {
        let new = New {
            mode,
            device: (0, 0),
            target: &[],
            acls,
        };
        dir.create_nameless(idmap, name, &new)
    });
    match made {
        Ok(node) => {
            let inode = into_vfs(node);
            // SAFETY: By the caller; the count becomes the dentry's. The VFS takes the one link
            // away that it demands.
            unsafe {
                bindings::set_nlink(inode, 1);
                bindings::d_tmpfile(file, inode);
                bindings::finish_open(file, dentry, None)
            }
        }
        Err(error) => error.to_errno(),
    }
}

/// `inode_operations.link`.
///
/// # Safety
///
/// Called by the VFS: `dir` is a `T`, locked, `dentry` a negative child of it, and `old` a dentry of
/// a locked `T` that is no directory.
pub(super) unsafe extern "C" fn link<T: Names>(
    old: *mut bindings::dentry,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> c_int {
    // SAFETY: By the caller.
    let (dir, inode, name) = unsafe { (T::from_vfs(dir), (*old).d_inode, Name::of(dentry)) };
    // SAFETY: By the caller.
    let linked = unsafe {
        if (*inode).i_flags & bindings::S_PRIVATE != 0 {
            Err(EPERM)
        } else {
            dir.link(name, T::from_vfs(inode))
        }
    };
    errno(linked.map(|()| {
        // SAFETY: By the caller; the dentry gets a count of its own.
        unsafe {
            bindings::ihold(inode);
            bindings::d_instantiate(dentry, inode);
        }
    }))
}

/// `inode_operations.unlink` and `inode_operations.rmdir`.
///
/// # Safety
///
/// Called by the VFS: `dir` is a `T`, locked, and `dentry` a child of it that leads to a locked `T`.
pub(super) unsafe extern "C" fn remove<T: Names>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> c_int {
    // SAFETY: By the caller.
    let (dir, node, name) = unsafe {
        (
            T::from_vfs(dir),
            T::from_vfs((*dentry).d_inode),
            Name::of(dentry),
        )
    };
    errno(dir.remove(name, node))
}

/// `inode_operations.rename`.
///
/// # Safety
///
/// Called by the VFS: both directories are `T`s, locked, the dentries children of them, and what they
/// lead to `T`s. `old` leads to one.
pub(super) unsafe extern "C" fn rename<T: Names>(
    idmap: *mut kernel::bindings::mnt_idmap,
    old_dir: *mut bindings::inode,
    old: *mut bindings::dentry,
    new_dir: *mut bindings::inode,
    new: *mut bindings::dentry,
    flags: c_uint,
) -> c_int {
    // SAFETY: By the caller, here and below.
    let side = |dir, dentry: *mut bindings::dentry| unsafe {
        let inode = (*dentry).d_inode;
        Side {
            dir: T::from_vfs(dir),
            name: Name::of(dentry),
            node: (!inode.is_null()).then(|| T::from_vfs(inode)),
        }
    };
    let (from, to) = (side(old_dir, old), side(new_dir, new));
    // Whether the new name is free the VFS has looked.
    let how = match flags & !bindings::RENAME_NOREPLACE {
        0 => Rename::Move,
        bindings::RENAME_EXCHANGE => Rename::Exchange,
        bindings::RENAME_WHITEOUT => Rename::Whiteout,
        _ => return EINVAL.to_errno(),
    };
    // SAFETY: By the caller.
    let idmap = unsafe { Idmap::from_raw(idmap) };
    errno(T::rename(idmap, &from, &to, how))
}
