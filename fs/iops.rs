// SPDX-License-Identifier: GPL-2.0

//! What every kind of inode tells of itself, and giving an inode its operations.

use super::{
    fileattr,
    inode::{
        Inode,
        Locked, //
    },
    iomap,
    mount::Mount, //
};
use crate::{
    libxfs::{
        self,
        format::{
            geometry::Geometry,
            inode::{
                flags::Flags,
                FileType,
                InodeCore, //
            },
        },
        inode::WhichFork,
        symlink, //
    },
    rust::{
        bindings,
        kernel::{
            node::Node,
            operations,
            stat::{
                statx,
                Attributes,
                FileAttributes,
                Stat, //
            },
            symlink::Link, //
        },
    },
};
use kernel::{
    alloc::KVec,
    page::PAGE_SIZE,
    prelude::*, //
};

// SAFETY: The VFS's inode comes first in `Inode`, and counts are those of `i_count`. The tables are
// attached by `attach_operations` alone.
unsafe impl Node for Inode {
    fn as_vfs(&self) -> *mut bindings::inode {
        Inode::as_vfs(self)
    }

    unsafe fn from_vfs<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the caller.
        unsafe { Inode::from_vfs(inode) }
    }
}

/// Gives a new inode the operations of its type.
///
/// # Safety
///
/// `inode` is new, whole and ours; nobody else sees it yet.
pub(super) unsafe fn attach_operations(inode: *mut bindings::inode, geo: &Geometry) {
    // SAFETY: By the caller.
    unsafe { operations::attach::<Inode>(inode, geo.block_size) };
}

impl Inode {
    /// A fork's mappings in memory, locked for reading, with the errors of the VFS.
    pub(crate) fn mapped(&self, which: WhichFork) -> Result<Locked<'_>> {
        self.read_mapped(which)
            .map_err(|error| self.mount().errno(error))
    }

    /// Its generation: how often the number was used before.
    pub(crate) fn generation(&self) -> u32 {
        self.read().core.generation
    }

    /// Its type.
    pub(crate) fn file_type(&self) -> Option<FileType> {
        self.read().core.file_type()
    }

    /// Whether it is one of the file system's own files.
    pub(crate) fn is_private(&self) -> bool {
        // SAFETY: The inode is whole.
        unsafe { (*self.as_vfs()).i_flags & bindings::S_PRIVATE != 0 }
    }
}

impl Mount {
    /// `EIO` after a shutdown.
    #[inline]
    pub(crate) fn check_running(&self) -> Result {
        if self.is_shut_down() {
            return Err(EIO);
        }
        Ok(())
    }

    /// `EROFS` on a mount for reading, `EIO` after a shutdown.
    pub(crate) fn check_changeable(&self) -> Result {
        // SAFETY: The super block is alive.
        if unsafe { (*self.super_block()).s_flags } & bindings::SB_RDONLY != 0 {
            return Err(EROFS);
        }
        self.check_running()
    }

    /// The size of I/O in bytes that the mount prefers to that of a page, if it does.
    fn large_io_size(&self) -> Option<u32> {
        if !self.options().large_io {
            return None;
        }
        match (self.in_force().stripe, self.options().alloc_size_log) {
            ((_, 0), alloc_size) => alloc_size.and_then(|log| 1_u32.checked_shl(log as u32)),
            ((_, width), _) => width.checked_mul(512),
        }
    }

    /// Whether there may be inode numbers of more than 32 bits, be it that the mount makes them or
    /// that another one did.
    pub(crate) fn has_wide_inodes(&self) -> bool {
        let geo = self.geometry();
        let last = u64::from(geo.ag_count).wrapping_shl(geo.ag_inode_bits().into());
        !self.options().inode32 || last > 1 << 32
    }

    /// Largest size of a file in bytes.
    pub(crate) fn max_file_bytes(&self) -> u64 {
        // SAFETY: The super block is alive; the field never changes. It is not negative.
        unsafe { (*self.super_block()).s_maxbytes as u64 }
    }
}

/// Whether writes to a file never go to where its data is.
fn is_cow(geo: &Geometry, core: &InodeCore) -> bool {
    core.is_reflink() || geo.features.zoned() && core.is_realtime()
}

impl Inode {
    /// The preferred size of I/O in bytes.
    fn io_size(&self, core: &InodeCore) -> u32 {
        let mount = self.mount();
        let geo = mount.geometry();
        if core.is_realtime() {
            let blocks = iomap::extent_size_hint(geo, core).max(1);
            return blocks.wrapping_shl(geo.block_log.into());
        }
        if let Some(bytes) = mount.large_io_size() {
            return bytes;
        }
        geo.block_size.max(PAGE_SIZE as u32)
    }
}

impl Attributes for Inode {
    fn getattr(&self, stat: &mut Stat<'_>) -> Result {
        let mount = self.mount();
        mount.check_running()?;
        let geo = mount.geometry();
        let inode = self.read();
        let core = &inode.core;
        stat.set_blocks(
            core.nblocks
                .wrapping_mul(geo.basic_blocks_per_block().into()),
        );
        if stat.wants(statx::BTIME) {
            stat.set_birth(core.crtime.sec, core.crtime.nsec);
        }
        let mut attributes = 0;
        for (flag, attribute) in [
            (Flags::IMMUTABLE, statx::ATTR_IMMUTABLE),
            (Flags::APPEND, statx::ATTR_APPEND),
            (Flags::NODUMP, statx::ATTR_NODUMP),
        ] {
            if core.flags.has(flag) {
                attributes |= attribute;
            }
        }
        stat.set_attributes(
            attributes,
            statx::ATTR_IMMUTABLE | statx::ATTR_APPEND | statx::ATTR_NODUMP,
        );
        match core.file_type() {
            Some(FileType::CharDevice | FileType::BlockDevice) => {
                stat.set_block_size(PAGE_SIZE as u32);
            }
            file_type => {
                stat.set_block_size(self.io_size(core));
                stat.set_no_device();
                if file_type == Some(FileType::Regular) {
                    report_alignment(mount, &inode, stat);
                }
            }
        }
        Ok(())
    }

    fn file_attributes(&self, attributes: &mut FileAttributes<'_>) -> Result {
        fileattr::fill(self, WhichFork::Data, attributes)
    }
}

fn report_alignment(mount: &Mount, inode: &libxfs::inode::Inode, stat: &mut Stat<'_>) {
    let geo = mount.geometry();
    if stat.wants(statx::DIO_ALIGN | statx::DIO_READ_ALIGN) {
        if let Some(device) = mount.block_device(inode.device(WhichFork::Data)) {
            let read = device.logical_block_size();
            // A write that moves the data moves whole units.
            let write = match (is_cow(geo, &inode.core), inode.core.is_realtime()) {
                (false, _) => read,
                (true, false) => geo.block_size,
                (true, true) => geo.rt_extent_size.wrapping_shl(geo.block_log.into()),
            };
            stat.set_dio_align(device.dma_alignment(), write, read);
        }
    }
    if stat.wants(statx::WRITE_ATOMIC) {
        stat.set_atomic_write(0, 0, 0);
    }
}

impl Link for Inode {
    fn target(&self) -> Result<KVec<u8>> {
        let mount = self.mount();
        mount.check_running()?;
        let inode = self.mapped(WhichFork::Data)?;
        symlink::read_target(mount, &inode).map_err(|error| mount.errno(error))
    }
}
