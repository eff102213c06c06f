// SPDX-License-Identifier: GPL-2.0

//! Paths, dentries and open files, as the calls by handle need them.

use super::node::Node;
use crate::rust::bindings;
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::{
        file::FileDescriptorReservation,
        File, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// An open file of one of our nodes, for the time of a call.
///
/// # Invariants
///
/// Points to an open file whose inode is a `T`, for `'a`.
pub(crate) struct OpenFile<'a, T> {
    file: *mut bindings::file,
    _life: PhantomData<&'a T>,
}

impl<'a, T: Node> OpenFile<'a, T> {
    /// Wraps the file of a call.
    ///
    /// # Safety
    ///
    /// `file` is open, and its inode is a `T`, for `'a`.
    pub(super) unsafe fn from_raw(file: *mut bindings::file) -> Self {
        // INVARIANT: By the caller.
        Self {
            file,
            _life: PhantomData,
        }
    }

    /// The node.
    pub(crate) fn node(&self) -> &'a T {
        // SAFETY: By the invariant.
        unsafe { T::from_vfs((*self.file).f_inode) }
    }

    /// Whether the mount that the file was opened on maps users.
    pub(crate) fn is_idmapped(&self) -> bool {
        // SAFETY: By the invariant; the mount lives as long as the file.
        unsafe {
            let mount = (*self.file).__bindgen_anon_1.f_path.mnt;
            !core::ptr::eq((*mount).mnt_idmap, &raw const bindings::nop_mnt_idmap)
        }
    }

    /// Runs `change` with the right to write through the mount: `EROFS` where there is none.
    pub(crate) fn writing<R>(&self, change: impl FnOnce() -> Result<R>) -> Result<R> {
        // SAFETY: By the invariant.
        to_result(unsafe { bindings::mnt_want_write_file(self.file) })?;
        let result = change();
        // SAFETY: As above; the right was just given.
        unsafe { bindings::mnt_drop_write_file(self.file) };
        result
    }

    /// Whether there is a right to write through the mount: `EROFS` where there is none.
    pub(crate) fn check_writable(&self) -> Result {
        self.writing(|| Ok(()))
    }

    /// The attributes of `statx`.
    pub(crate) fn attributes(&self, mask: u32) -> Result<bindings::kstat> {
        let mut stat = bindings::kstat::default();
        // SAFETY: By the invariant; the structure is ours to fill.
        to_result(unsafe {
            bindings::vfs_getattr(
                &raw const (*self.file).__bindgen_anon_1.f_path,
                &mut stat,
                mask,
                0,
            )
        })?;
        Ok(stat)
    }

    /// Finds the dentry that a handle names, connected to the root, under the file's mount.
    pub(crate) fn decode(&self, kind: u32, words: &mut [u32]) -> Result<Dentry<T>> {
        /// Any dentry will do.
        extern "C" fn acceptable(_context: *mut c_void, _dentry: *mut bindings::dentry) -> c_int {
            1
        }
        // SAFETY: By the invariant; `fid` is read as words of the length that is given.
        let dentry = from_err_ptr(unsafe {
            bindings::exportfs_decode_fh(
                (*self.file).__bindgen_anon_1.f_path.mnt,
                words.as_mut_ptr().cast::<bindings::fid>(),
                words.len() as c_int,
                kind as c_int,
                Some(acceptable),
                core::ptr::null_mut(),
            )
        })?;
        let dentry = NonNull::new(dentry).ok_or(ESTALE)?;
        // INVARIANT: The call gives a count, and a dentry of the same superblock.
        Ok(Dentry(dentry, PhantomData))
    }

    /// Opens a dentry on the file's mount and installs it as a descriptor of the caller. A regular
    /// file that is opened so leaves no trace in its times.
    pub(crate) fn open(&self, dentry: &Dentry<T>, flags: u32, leave_times: bool) -> Result<u32> {
        let reservation = FileDescriptorReservation::get_unused_fd_flags(0)?;
        // SAFETY: By the invariants; `dentry_open` takes counts of its own.
        let file = from_err_ptr(unsafe {
            let mut path: bindings::path = mem::zeroed();
            path.mnt = (*self.file).__bindgen_anon_1.f_path.mnt;
            path.dentry = dentry.0.as_ptr();
            bindings::dentry_open(&path, flags as c_int, (*kernel::current!().as_ptr()).cred)
        })?;
        let file = NonNull::new(file).ok_or(ENOMEM)?;
        // SAFETY: The file is new, ours alone, and comes with a count.
        let file = unsafe {
            if leave_times {
                (*file.as_ptr()).f_flags |= bindings::O_NOATIME;
                (*file.as_ptr()).f_mode |= bindings::FMODE_NOCMTIME;
            }
            ARef::<File>::from_raw(file.cast())
        };
        let fd = reservation.reserved_fd();
        reservation.fd_install(file);
        Ok(fd)
    }
}

/// A dentry of one of our nodes, with a count.
///
/// # Invariants
///
/// Points to a positive dentry whose inode is a `T`; the count is ours.
pub(crate) struct Dentry<T>(NonNull<bindings::dentry>, PhantomData<T>);

impl<T: Node> Dentry<T> {
    /// The node.
    pub(crate) fn node(&self) -> &T {
        // SAFETY: By the invariant; the dentry pins its inode.
        unsafe { T::from_vfs((*self.0.as_ptr()).d_inode) }
    }

    /// Copies the target of a symbolic link to user space, and returns the length.
    pub(crate) fn read_link(&self, to: u64, len: u32) -> Result<usize> {
        let len = c_int::try_from(len).map_err(|_| EINVAL)?;
        // SAFETY: By the invariant; the call checks the user's pointer.
        let copied =
            unsafe { bindings::vfs_readlink(self.0.as_ptr(), to as usize as *mut c_char, len) };
        usize::try_from(copied).map_err(|_| Error::from_errno(copied))
    }
}

impl<T> Drop for Dentry<T> {
    fn drop(&mut self) {
        // SAFETY: The count is ours.
        unsafe { bindings::dput(self.0.as_ptr()) };
    }
}

/// A path that user space named, with counts.
///
/// # Invariants
///
/// A path with counts that are ours, to a positive dentry.
pub(crate) struct NamedPath(bindings::path);

impl NamedPath {
    /// Walks a path of user space from the caller's working directory; a symbolic link at its end
    /// is not followed.
    pub(crate) fn from_user(name: u64) -> Result<Self> {
        // SAFETY: The structure is filled on success; the call checks the user's pointer.
        unsafe {
            let mut path: bindings::path = mem::zeroed();
            to_result(bindings::user_path_at(
                bindings::AT_FDCWD,
                name as usize as *const c_char,
                0,
                &mut path,
            ))?;
            // INVARIANT: The call gives counts.
            Ok(Self(path))
        }
    }

    /// The path of an open file. `EBADF` where there is none.
    pub(crate) fn from_descriptor(fd: u32) -> Result<Self> {
        let file = kernel::fs::LocalFile::fget(fd)?;
        // SAFETY: The file is open; its path is stable.
        unsafe {
            let path = (*file.as_ptr()).__bindgen_anon_1.f_path;
            bindings::path_get(&path);
            // INVARIANT: Counts were just taken.
            Ok(Self(path))
        }
    }

    /// The inode, if it lies in a superblock for which `ours` says yes.
    pub(crate) fn node<T: Node>(
        &self,
        ours: impl FnOnce(*const bindings::super_operations) -> bool,
    ) -> Option<&T> {
        // SAFETY: By the invariant; a superblock with our operations has nodes of our type alone,
        // which is what `ours` must say.
        unsafe {
            let inode = (*self.0.dentry).d_inode;
            ours((*(*inode).i_sb).s_op).then(|| T::from_vfs(inode))
        }
    }
}

impl Drop for NamedPath {
    fn drop(&mut self) {
        // SAFETY: The counts are ours.
        unsafe { bindings::path_put(&self.0) };
    }
}
