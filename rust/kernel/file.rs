// SPDX-License-Identifier: GPL-2.0

//! Regular files: reading, seeking, mappings for user space.

use super::{
    iomap::{
        self,
        Mapper, //
    },
    node::{
        errno,
        Node, //
    }, //
};
use crate::rust::bindings;
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A node's data.
pub(crate) trait Regular: Node {
    /// Maps data for reading and for reports.
    type Read: Mapper<Node = Self>;
    /// Maps data for `SEEK_HOLE` and `SEEK_DATA`.
    type Seek: Mapper<Node = Self>;
    /// Maps the attribute fork.
    type AttributeFork: Mapper<Node = Self>;

    /// Whether the file may be used at all: `EIO` after a shutdown.
    fn usable(&self) -> Result;

    /// Returns when all changes so far are on stable storage; with `data_only`, those without which
    /// data could not be read.
    fn sync(&self, data_only: bool) -> Result;

    /// Serves a read.
    fn read(&self, call: ReadCall<'_, Self>) -> Result<usize>;

    /// Runs `walk` while the layout of the file stays as it is.
    fn with_layout<R>(&self, walk: impl FnOnce() -> R) -> R;

    /// Whether block numbers of this file mean anything to one who asks for them (`FIBMAP`).
    fn may_bmap(&self) -> bool;
}

/// A call of `read`: where from, how much, where to.
pub(crate) struct ReadCall<'a, T> {
    // INVARIANT: Both are valid and ours for `'a`.
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
    _life: PhantomData<&'a mut T>,
}

impl<T: Regular> ReadCall<'_, T> {
    fn flag(&self, flag: u32) -> bool {
        // SAFETY: By the invariant.
        unsafe { (*self.iocb).ki_flags as u32 & flag != 0 }
    }

    /// Whether it bypasses the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.flag(bindings::IOCB_DIRECT)
    }

    /// Whether it must not sleep.
    pub(crate) fn is_nowait(&self) -> bool {
        self.flag(bindings::IOCB_NOWAIT)
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: By the invariant.
        unsafe { (*self.to).__bindgen_anon_1.__bindgen_anon_1.as_ref().count == 0 }
    }

    /// Notes the access in the inode's time, as the mount asks for it.
    pub(crate) fn accessed(&self) {
        // SAFETY: By the invariant, and the file is open.
        unsafe { bindings::file_accessed((*self.iocb).ki_filp) };
    }

    /// Reads through the page cache.
    pub(crate) fn buffered(self) -> Result<usize> {
        // SAFETY: By the invariant.
        count(unsafe { bindings::generic_file_read_iter(self.iocb, self.to) })
    }

    /// Reads from the device.
    pub(crate) fn direct(self) -> Result<usize> {
        // A read of no more than a block mostly is a single bio, which iomap has a short way for.
        // SAFETY: By the invariant; the function maps nodes of the type that the file is of.
        let simple = unsafe {
            bindings::iomap_dio_read_simple(self.iocb, self.to, iomap::begin_of::<T::Read>())
        };
        if simple != -(bindings::ENOTBLK as isize) {
            return count(simple);
        }
        // SAFETY: By the invariant; the table maps nodes of the type that the file is of.
        count(unsafe {
            bindings::iomap_dio_rw(
                self.iocb,
                self.to,
                T::Read::OPERATIONS,
                core::ptr::null(),
                0,
                core::ptr::null_mut(),
                0,
            )
        })
    }
}

/// Length or errno.
fn count(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::from_errno(result as c_int))
}

fn signed(result: Result<usize>) -> isize {
    match result {
        // The kernel reads no more than `MAX_RW_COUNT` at once.
        Ok(len) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// `file_operations.read_iter`.
///
/// # Safety
///
/// Called by the VFS: the file of `iocb` is a `T`.
pub(super) unsafe extern "C" fn read_iter<T: Regular>(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the caller.
    let node = unsafe { T::from_vfs((*(*iocb).ki_filp).f_inode) };
    signed(node.usable().and_then(|()| {
        // INVARIANT: By the caller.
        node.read(ReadCall {
            iocb,
            to,
            _life: PhantomData,
        })
    }))
}

/// `file_operations.write_iter`: there is no writing yet.
///
/// # Safety
///
/// None; it touches nothing.
pub(super) unsafe extern "C" fn write_iter(
    _iocb: *mut bindings::kiocb,
    _from: *mut bindings::iov_iter,
) -> isize {
    EOPNOTSUPP.to_errno() as isize
}

/// `file_operations.fsync`, of directories too.
///
/// # Safety
///
/// Called by the VFS: `file` is a `T`.
pub(super) unsafe extern "C" fn fsync<T: Regular>(
    file: *mut bindings::file,
    start: i64,
    end: i64,
    data_only: c_int,
) -> c_int {
    // SAFETY: By the caller.
    let (written, node) = unsafe {
        (
            bindings::file_write_and_wait_range(file, start, end),
            T::from_vfs((*file).f_inode),
        )
    };
    errno(to_result(written).and_then(|()| node.sync(data_only != 0)))
}

/// `file_operations.splice_read`.
///
/// # Safety
///
/// Called by the VFS: `file` is a `T`; the rest is the VFS's.
pub(super) unsafe extern "C" fn splice_read<T: Regular>(
    file: *mut bindings::file,
    position: *mut i64,
    pipe: *mut kernel::bindings::pipe_inode_info,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: By the caller.
    let node = unsafe { T::from_vfs((*file).f_inode) };
    if let Err(error) = node.usable() {
        return error.to_errno() as isize;
    }
    node.with_layout(|| {
        // SAFETY: By the caller.
        unsafe { bindings::filemap_splice_read(file, position, pipe.cast(), len, flags) }
    })
}

/// `file_operations.llseek`.
///
/// # Safety
///
/// Called by the VFS: `file` is a `T`.
pub(super) unsafe extern "C" fn llseek<T: Regular>(
    file: *mut bindings::file,
    offset: i64,
    whence: c_int,
) -> i64 {
    // SAFETY: By the caller.
    unsafe {
        let inode = (*file).f_inode;
        if let Err(error) = T::from_vfs(inode).usable() {
            return error.to_errno().into();
        }
        let operations = T::Seek::OPERATIONS;
        let found = match whence as u32 {
            bindings::SEEK_HOLE => bindings::iomap_seek_hole(inode, offset, operations),
            bindings::SEEK_DATA => bindings::iomap_seek_data(inode, offset, operations),
            _ => return bindings::generic_file_llseek(file, offset, whence),
        };
        if found < 0 {
            return found;
        }
        bindings::vfs_setpos(file, found, (*(*inode).i_sb).s_maxbytes)
    }
}

/// `file_operations.open` of a regular file: it may be read without sleeping, and directly.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`, and `file` is being opened on it.
pub(super) unsafe extern "C" fn open<T: Regular>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: By the caller.
    unsafe {
        if let Err(error) = T::from_vfs(inode).usable() {
            return error.to_errno();
        }
        (*file).f_mode |= bindings::FMODE_NOWAIT | bindings::FMODE_CAN_ODIRECT;
        bindings::generic_file_open(inode, file)
    }
}

/// `file_operations.setlease`: a local file's.
///
/// # Safety
///
/// Called by the VFS.
pub(super) unsafe extern "C" fn setlease(
    file: *mut bindings::file,
    kind: c_int,
    lease: *mut *mut kernel::bindings::file_lease,
    private: *mut *mut c_void,
) -> c_int {
    // SAFETY: By the caller.
    unsafe { bindings::generic_setlease(file, kind, lease.cast(), private) }
}

/// `file_operations.fadvise`.
///
/// # Safety
///
/// Called by the VFS: `file` is a `T`.
pub(super) unsafe extern "C" fn fadvise<T: Regular>(
    file: *mut bindings::file,
    start: i64,
    end: i64,
    advice: c_int,
) -> c_int {
    // SAFETY: By the caller.
    let node = unsafe { T::from_vfs((*file).f_inode) };
    // SAFETY: By the caller.
    let advise = || unsafe { bindings::generic_fadvise(file, start, end, advice) };
    if advice as u32 == bindings::POSIX_FADV_WILLNEED {
        // It fills the page cache, as a read does.
        node.with_layout(advise)
    } else {
        advise()
    }
}

/// `inode_operations.fiemap`.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`, and `info` is the request.
pub(super) unsafe extern "C" fn fiemap<T: Regular>(
    inode: *mut bindings::inode,
    info: *mut kernel::bindings::fiemap_extent_info,
    start: u64,
    len: u64,
) -> c_int {
    // SAFETY: By the caller.
    let node = unsafe { T::from_vfs(inode) };
    let info = info.cast::<bindings::fiemap_extent_info>();
    node.with_layout(|| {
        // SAFETY: By the caller.
        unsafe {
            let operations = if (*info).fi_flags & bindings::FIEMAP_FLAG_XATTR != 0 {
                (*info).fi_flags &= !bindings::FIEMAP_FLAG_XATTR;
                T::AttributeFork::OPERATIONS
            } else {
                T::Read::OPERATIONS
            };
            bindings::iomap_fiemap(inode, info, start, len, operations)
        }
    })
}

/// `address_space_operations.bmap`: 0 stands for an error.
///
/// # Safety
///
/// Called by the VFS: the host of `mapping` is a `T`.
pub(super) unsafe extern "C" fn bmap<T: Regular>(
    mapping: *mut bindings::address_space,
    block: bindings::sector_t,
) -> bindings::sector_t {
    // SAFETY: By the caller.
    unsafe {
        if !T::from_vfs((*mapping).host).may_bmap() {
            return 0;
        }
        bindings::iomap_bmap(mapping, block, T::Read::OPERATIONS)
    }
}

/// `address_space_operations.swap_activate`: a file that cannot be written is no place for swap.
///
/// # Safety
///
/// None; it touches nothing.
pub(super) unsafe extern "C" fn swap_activate(
    _info: *mut bindings::swap_info_struct,
    _file: *mut bindings::file,
    _span: *mut bindings::sector_t,
) -> c_int {
    errno(Err(EOPNOTSUPP))
}
