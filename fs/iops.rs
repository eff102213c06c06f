// SPDX-License-Identifier: GPL-2.0

//! What every kind of inode tells of itself, and giving an inode its operations.

use super::{
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
                flags::{
                    Flags,
                    Flags2, //
                },
                FileType,
                InodeCore, //
            },
        },
        inode::{
            Fork,
            WhichFork, //
        },
        symlink, //
    },
    rust::{
        bindings,
        kernel::{
            node::Node,
            operations,
            stat::{
                self,
                statx,
                Attributes,
                FileAttributes,
                Stat, //
            },
            symlink::Link,
            user::UserAddress, //
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

/// Bit of `sb_versionnum`: names are found without regard to ASCII case.
const CASE_INSENSITIVE: u16 = 0x4000;

/// `FS_XFLAG_*` that the flags of an inode stand for.
pub(crate) fn xflags(mount: &Mount, inode: &libxfs::inode::Inode) -> u32 {
    /// Flags of the core and what each of them is to user space.
    const FLAGS: [(u16, u32); 14] = [
        (Flags::REALTIME, bindings::FS_XFLAG_REALTIME),
        (Flags::PREALLOC, bindings::FS_XFLAG_PREALLOC),
        (Flags::IMMUTABLE, bindings::FS_XFLAG_IMMUTABLE),
        (Flags::APPEND, bindings::FS_XFLAG_APPEND),
        (Flags::SYNC, bindings::FS_XFLAG_SYNC),
        (Flags::NOATIME, bindings::FS_XFLAG_NOATIME),
        (Flags::NODUMP, bindings::FS_XFLAG_NODUMP),
        (Flags::RTINHERIT, bindings::FS_XFLAG_RTINHERIT),
        (Flags::PROJINHERIT, bindings::FS_XFLAG_PROJINHERIT),
        (Flags::NOSYMLINKS, bindings::FS_XFLAG_NOSYMLINKS),
        (Flags::EXTSIZE, bindings::FS_XFLAG_EXTSIZE),
        (Flags::EXTSZINHERIT, bindings::FS_XFLAG_EXTSZINHERIT),
        (Flags::NODEFRAG, bindings::FS_XFLAG_NODEFRAG),
        (Flags::FILESTREAM, bindings::FS_XFLAG_FILESTREAM),
    ];
    const FLAGS2: [(u64, u32); 2] = [
        (Flags2::DAX, bindings::FS_XFLAG_DAX),
        (Flags2::COWEXTSIZE, bindings::FS_XFLAG_COWEXTSIZE),
    ];
    let core = &inode.core;
    let of_flags = FLAGS.iter().filter(|(flag, _)| core.flags.has(*flag));
    let of_flags2 = FLAGS2.iter().filter(|(flag, _)| core.flags2.has(*flag));
    let mut xflags = of_flags.fold(0, |set, (_, bit)| set | bit);
    xflags = of_flags2.fold(xflags, |set, (_, bit)| set | bit);
    if inode.attr.is_some() {
        xflags |= bindings::FS_XFLAG_HASATTR;
    }
    if mount.geometry().features.version & CASE_INSENSITIVE != 0 {
        xflags |= bindings::FS_XFLAG_CASEFOLD;
    }
    xflags
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
        fill_file_attributes(self, WhichFork::Data, attributes)
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

/// Bytes of a mapping in memory.
const MAPPING_SIZE: usize = 16;

fn fill_file_attributes(
    node: &Inode,
    which: WhichFork,
    attributes: &mut FileAttributes<'_>,
) -> Result {
    let mount = node.mount();
    let geo = mount.geometry();
    let inode = node.read();
    let core = &inode.core;
    let bytes = |blocks: u32| blocks.wrapping_shl(geo.block_log.into());
    // A hint that a directory hands down must fit the realtime device it is for; one that does not
    // could not be set, so it is not shown.
    let misfit = |blocks: u32| {
        core.flags.has(Flags::RTINHERIT) && blocks.checked_rem(geo.rt_extent_size).unwrap_or(0) != 0
    };
    let mut xflags = xflags(mount, &inode);
    if core.flags.has(Flags::EXTSIZE) {
        attributes.set_extent_size(bytes(core.extsize));
    } else if core.flags.has(Flags::EXTSZINHERIT) {
        if misfit(core.extsize) {
            xflags &= !(bindings::FS_XFLAG_EXTSIZE | bindings::FS_XFLAG_EXTSZINHERIT);
        } else {
            attributes.set_extent_size(bytes(core.extsize));
        }
    }
    if core.flags2.has(Flags2::COWEXTSIZE) {
        if misfit(core.cowextsize) {
            xflags &= !bindings::FS_XFLAG_COWEXTSIZE;
        } else {
            attributes.set_cow_extent_size(bytes(core.cowextsize));
        }
    }
    attributes.set_xflags(xflags);
    attributes.set_project(core.projid);
    let extents = match (inode.fork(which), which) {
        // Of a fork without mappings the C driver tells how many its content has room for.
        (Some(Fork::Local(bytes)), _) => (bytes.len() / MAPPING_SIZE) as u32,
        // The counter has 48 bits on disk and 32 to user space.
        (_, WhichFork::Data) => core.nextents as u32,
        (_, WhichFork::Attr) => core.anextents,
    };
    attributes.set_extents(extents);
    Ok(())
}

/// `XFS_IOC_FSGETXATTRA`: attributes, with the extents of the attribute fork.
pub(crate) fn fsxattr_of_attribute_fork(node: &Inode, to: UserAddress) -> Result<usize> {
    stat::copy_file_attributes(to.0, |attributes| {
        fill_file_attributes(node, WhichFork::Attr, attributes)
    })?;
    Ok(0)
}

impl Link for Inode {
    fn target(&self) -> Result<KVec<u8>> {
        let mount = self.mount();
        mount.check_running()?;
        let inode = self.mapped(WhichFork::Data)?;
        symlink::read_target(mount, &inode).map_err(|error| mount.errno(error))
    }
}
