// SPDX-License-Identifier: GPL-2.0

//! Attributes of an inode: `stat` and `statx`, and the flags of `lsattr`.

use super::node::{
    errno,
    Node, //
};
use crate::rust::bindings;
use kernel::prelude::*;

/// A node's attributes.
pub(crate) trait Attributes: Node {
    /// Amends what the VFS inode alone tells, which is already filled in.
    fn getattr(&self, stat: &mut Stat<'_>) -> Result;

    /// Fills in flags, extent size hints and project.
    fn file_attributes(&self, attributes: &mut FileAttributes<'_>) -> Result;
}

/// Attributes that may be asked for, and attribute flags: `STATX_*`.
pub(crate) mod statx {
    /// Birth time.
    pub(crate) const BTIME: u32 = 0x800;
    /// Alignment of direct I/O.
    pub(crate) const DIO_ALIGN: u32 = 0x2000;
    /// Alignment of direct reads, where it is looser.
    pub(crate) const DIO_READ_ALIGN: u32 = 0x2_0000;
    /// Limits of atomic writes.
    pub(crate) const WRITE_ATOMIC: u32 = 0x1_0000;
    /// Attribute: immutable.
    pub(crate) const ATTR_IMMUTABLE: u64 = 0x10;
    /// Attribute: append only.
    pub(crate) const ATTR_APPEND: u64 = 0x20;
    /// Attribute: left out of dumps.
    pub(crate) const ATTR_NODUMP: u64 = 0x40;
}

/// Attributes being filled in.
pub(crate) struct Stat<'a> {
    request: u32,
    stat: &'a mut bindings::kstat,
}

impl Stat<'_> {
    /// Whether any of `mask` was asked for.
    pub(crate) fn wants(&self, mask: u32) -> bool {
        self.request & mask != 0
    }

    /// Sets the count of 512-byte blocks.
    pub(crate) fn set_blocks(&mut self, blocks: u64) {
        self.stat.blocks = blocks;
    }

    /// Sets the preferred size of I/O in bytes.
    pub(crate) fn set_block_size(&mut self, bytes: u32) {
        self.stat.blksize = bytes;
    }

    /// Sets the device that a special file stands for.
    pub(crate) fn set_no_device(&mut self) {
        self.stat.rdev = 0;
    }

    /// Sets the birth time.
    pub(crate) fn set_birth(&mut self, seconds: i64, nanoseconds: u32) {
        self.stat.btime.tv_sec = seconds;
        self.stat.btime.tv_nsec = nanoseconds as isize;
        self.stat.result_mask |= statx::BTIME;
    }

    /// Sets attribute flags `known` to those of `set`.
    pub(crate) fn set_attributes(&mut self, set: u64, known: u64) {
        self.stat.attributes |= set & known;
        self.stat.attributes_mask |= known;
    }

    /// Sets the alignment that direct I/O needs, in bytes: of memory, of writes, of reads.
    pub(crate) fn set_dio_align(&mut self, memory: u32, write: u32, read: u32) {
        self.stat.dio_mem_align = memory;
        self.stat.dio_offset_align = write;
        self.stat.dio_read_offset_align = read;
        self.stat.result_mask |= statx::DIO_ALIGN | statx::DIO_READ_ALIGN;
    }

    /// Says how large atomic writes may be, in bytes: the smallest, the largest, and the largest
    /// that the device does by itself; all 0 for none.
    pub(crate) fn set_atomic_write(&mut self, min: u32, max: u32, max_optimized: u32) {
        // SAFETY: The structure is ours to write.
        unsafe {
            bindings::generic_fill_statx_atomic_writes(self.stat, min, max, max_optimized);
        }
    }
}

/// Flags, hints and project: being filled in, or to be set.
pub(crate) struct FileAttributes<'a>(&'a mut bindings::file_kattr);

impl<'a> FileAttributes<'a> {
    /// Over a structure of the VFS.
    pub(super) fn new(attributes: &'a mut bindings::file_kattr) -> Self {
        Self(attributes)
    }

    /// Sets `FS_XFLAG_*`, and the flags of `lsattr` that follow from them.
    pub(crate) fn set_xflags(&mut self, xflags: u32) {
        // SAFETY: The structure is ours to write.
        unsafe { bindings::fileattr_fill_xflags(self.0, xflags) };
    }

    /// Sets the extent size hint in bytes.
    pub(crate) fn set_extent_size(&mut self, bytes: u32) {
        self.0.fsx_extsize = bytes;
    }

    /// Sets the extent size hint of copy on write in bytes.
    pub(crate) fn set_cow_extent_size(&mut self, bytes: u32) {
        self.0.fsx_cowextsize = bytes;
    }

    /// Sets the count of extents.
    pub(crate) fn set_extents(&mut self, count: u32) {
        self.0.fsx_nextents = count;
    }

    /// `FS_XFLAG_*`.
    pub(crate) fn xflags(&self) -> u32 {
        self.0.fsx_xflags
    }

    /// `FS_*_FL`, as `chattr` sets them, where it is these that are to be set, and nothing else.
    pub(crate) fn old_flags(&self) -> Option<u32> {
        (!self.0.fsx_valid()).then_some(self.0.flags)
    }

    /// The extent size hint in bytes.
    pub(crate) fn extent_size(&self) -> u32 {
        self.0.fsx_extsize
    }

    /// The extent size hint of copy on write in bytes.
    pub(crate) fn cow_extent_size(&self) -> u32 {
        self.0.fsx_cowextsize
    }

    /// The project number.
    pub(crate) fn project(&self) -> u32 {
        self.0.fsx_projid
    }

    /// Sets the project number.
    pub(crate) fn set_project(&mut self, project: u32) {
        self.0.fsx_projid = project;
    }
}

/// Collects attributes by `fill` and copies them to user space as `struct fsxattr`.
pub(crate) fn copy_file_attributes(
    to: u64,
    fill: impl FnOnce(&mut FileAttributes<'_>) -> Result,
) -> Result {
    let mut attributes = bindings::file_kattr::default();
    fill(&mut FileAttributes::new(&mut attributes))?;
    // SAFETY: The structure is whole; the call checks the user's pointer.
    kernel::error::to_result(unsafe {
        bindings::copy_fsxattr_to_user(&attributes, to as usize as *mut bindings::fsxattr)
    })
}

/// `inode_operations.getattr`.
///
/// # Safety
///
/// Called by the VFS: `path` leads to a `T`, and `stat` is ours to fill.
pub(super) unsafe extern "C" fn getattr<T: Attributes>(
    idmap: *mut kernel::bindings::mnt_idmap,
    path: *const bindings::path,
    stat: *mut bindings::kstat,
    request: u32,
    _flags: c_uint,
) -> c_int {
    // SAFETY: By the caller.
    let (node, stat) = unsafe {
        let inode = (*(*path).dentry).d_inode;
        bindings::generic_fillattr(idmap.cast(), request, inode, stat);
        (T::from_vfs(inode), &mut *stat)
    };
    errno(node.getattr(&mut Stat { request, stat }))
}

/// `inode_operations.fileattr_get`.
///
/// # Safety
///
/// Called by the VFS: `dentry` is that of a `T`, and `attributes` is ours to fill.
pub(super) unsafe extern "C" fn fileattr_get<T: Attributes>(
    dentry: *mut bindings::dentry,
    attributes: *mut kernel::bindings::file_kattr,
) -> c_int {
    // SAFETY: By the caller.
    let (node, attributes) = unsafe { (T::from_vfs((*dentry).d_inode), &mut *attributes.cast()) };
    errno(node.file_attributes(&mut FileAttributes::new(attributes)))
}
