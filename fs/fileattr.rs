// SPDX-License-Identifier: GPL-2.0

//! Flags, extent size hints and project of an inode: `lsattr` and `chattr`, `FS_IOC_FSGETXATTR` and
//! `FS_IOC_FSSETXATTR`.

use super::{
    inode::Inode,
    mount::Mount,
    options::Dax, //
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
                verify::{
                    cow_hint_is_valid,
                    hint_is_valid, //
                },
                FileType,
                InodeCore, //
            },
        },
        inode::{
            Fork,
            WhichFork, //
        },
    },
    rust::{
        bindings,
        kernel::{
            idmap::Idmap,
            setattr,
            stat::{
                self,
                FileAttributes, //
            },
            user::UserAddress, //
        },
    },
};
use kernel::prelude::*;

/// Bit of `sb_versionnum`: names are found without regard to ASCII case.
const CASE_INSENSITIVE: u16 = 0x4000;

/// Flags of the core that any inode may have, and what each of them is to user space.
const COMMON: [(u16, u32); 7] = [
    (Flags::IMMUTABLE, bindings::FS_XFLAG_IMMUTABLE),
    (Flags::APPEND, bindings::FS_XFLAG_APPEND),
    (Flags::SYNC, bindings::FS_XFLAG_SYNC),
    (Flags::NOATIME, bindings::FS_XFLAG_NOATIME),
    (Flags::NODUMP, bindings::FS_XFLAG_NODUMP),
    (Flags::NODEFRAG, bindings::FS_XFLAG_NODEFRAG),
    (Flags::FILESTREAM, bindings::FS_XFLAG_FILESTREAM),
];
/// Flags of directories.
const OF_DIRECTORIES: [(u16, u32); 4] = [
    (Flags::RTINHERIT, bindings::FS_XFLAG_RTINHERIT),
    (Flags::NOSYMLINKS, bindings::FS_XFLAG_NOSYMLINKS),
    (Flags::EXTSZINHERIT, bindings::FS_XFLAG_EXTSZINHERIT),
    (Flags::PROJINHERIT, bindings::FS_XFLAG_PROJINHERIT),
];
/// Flags of regular files.
const OF_FILES: [(u16, u32); 2] = [
    (Flags::REALTIME, bindings::FS_XFLAG_REALTIME),
    (Flags::EXTSIZE, bindings::FS_XFLAG_EXTSIZE),
];
/// Flags that are shown and cannot be set.
const SHOWN: [(u16, u32); 1] = [(Flags::PREALLOC, bindings::FS_XFLAG_PREALLOC)];
/// Flags of the second word.
const SECOND: [(u64, u32); 2] = [
    (Flags2::DAX, bindings::FS_XFLAG_DAX),
    (Flags2::COWEXTSIZE, bindings::FS_XFLAG_COWEXTSIZE),
];

/// `FS_*_FL` that `chattr` may set. Source: `xfs_fileattr_set` in `fs/xfs/xfs_ioctl.c` of Linux 7.3.
const OLD_FLAGS: u32 = bindings::FS_IMMUTABLE_FL
    | bindings::FS_APPEND_FL
    | bindings::FS_NOATIME_FL
    | bindings::FS_NODUMP_FL
    | bindings::FS_SYNC_FL
    | bindings::FS_DAX_FL
    | bindings::FS_PROJINHERIT_FL;

/// `FS_XFLAG_*` that the flags of an inode stand for.
pub(crate) fn xflags(mount: &Mount, inode: &libxfs::inode::Inode) -> u32 {
    let core = &inode.core;
    let first = [&COMMON[..], &OF_DIRECTORIES, &OF_FILES, &SHOWN];
    let of_flags = first.into_iter().flatten();
    let of_flags = of_flags.filter(|(flag, _)| core.flags.has(*flag));
    let of_flags2 = SECOND.iter().filter(|(flag, _)| core.flags2.has(*flag));
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

/// The flags that an inode has when `xflags` are set: those that it cannot have are passed over, and
/// what is not for users to set stays.
fn flags_of(core: &InodeCore, xflags: u32) -> (Flags, Flags2) {
    let own: &[_] = match core.file_type() {
        Some(FileType::Directory) => &OF_DIRECTORIES,
        Some(FileType::Regular) => &OF_FILES,
        _ => &[],
    };
    let wanted = [&COMMON[..], own].into_iter().flatten();
    let wanted = wanted.filter(|(_, bit)| xflags & bit != 0);
    let keep = SHOWN.iter().fold(0, |set, (flag, _)| set | flag);
    let flags = wanted.fold(core.flags.0 & keep, |set, (flag, _)| set | flag);
    let settable = SECOND.iter().fold(0, |set, (flag, _)| set | flag);
    let wanted = SECOND.iter().filter(|(_, bit)| xflags & bit != 0);
    let flags2 = wanted.fold(core.flags2.0 & !settable, |set, (flag, _)| set | flag);
    (Flags(flags), Flags2(flags2))
}

/// Bytes of a mapping in memory.
const MAPPING_SIZE: usize = 16;

/// Tells flags, hints and project of an inode, and the extents of a fork.
pub(super) fn fill(node: &Inode, which: WhichFork, attributes: &mut FileAttributes<'_>) -> Result {
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
    stat::copy_file_attributes(to.0, |attributes| fill(node, WhichFork::Attr, attributes))?;
    Ok(0)
}

/// Sets flags, hints and project of an inode. What the VFS can tell of them it has checked.
pub(super) fn set(node: &Inode, idmap: Idmap<'_>, attributes: &FileAttributes<'_>) -> Result {
    if attributes
        .old_flags()
        .is_some_and(|flags| flags & !OLD_FLAGS != 0)
    {
        return Err(EOPNOTSUPP);
    }
    let mount = node.mount();
    drop_with_dax(node, attributes.xflags());
    mount.check_changeable()?;
    node.amend(|inode| {
        let geo = mount.geometry();
        let mut core = planned(geo, &inode.core, attributes)?;
        if attributes.old_flags().is_none() {
            let set_id = bindings::S_ISUID | bindings::S_ISGID;
            if u32::from(core.mode) & set_id != 0 && !idmap.may_keep_set_id(node) {
                core.mode &= !(set_id as u16);
            }
        }
        core.ctime = node.stamp_change();
        Ok(core)
    })
}

/// Has the inode leave memory soon if its data is to be accessed another way: that is settled when an
/// inode is read.
fn drop_with_dax(node: &Inode, xflags: u32) {
    let inode = node.read();
    let is_dax = inode.core.flags2.has(Flags2::DAX);
    if inode.core.file_type() != Some(FileType::Directory)
        && node.mount().options().dax == Dax::Inode
        && is_dax != (xflags & bindings::FS_XFLAG_DAX != 0)
    {
        drop(inode);
        setattr::drop_soon(node);
    }
}

/// The core that an inode is to have.
///
/// Source: `xfs_fileattr_set` in `fs/xfs/xfs_ioctl.c` of Linux 7.3, for the limits and their order.
fn planned(geo: &Geometry, core: &InodeCore, attributes: &FileAttributes<'_>) -> Result<InodeCore> {
    let (flags, flags2) = flags_of(core, attributes.xflags());
    let mut new = core.clone();
    new.flags = flags;
    new.flags2 = flags2;
    let has_data = core.nextents != 0;
    if attributes.old_flags().is_none() {
        let blocks = |bytes: u32| bytes.checked_shr(geo.block_log.into()).unwrap_or(0);
        let block_mask = geo.block_size.wrapping_sub(1);
        let (hint, cow_hint) = (attributes.extent_size(), attributes.cow_extent_size());
        let old_hint = core.extsize.wrapping_shl(geo.block_log.into());
        // What is allocated was allocated by the old hint.
        let fixed = core.file_type() == Some(FileType::Regular) && has_data;
        if fixed && old_hint != hint || hint & block_mask != 0 {
            return Err(EINVAL);
        }
        // A hint that is handed down to realtime files must fit them.
        if flags.has_all(Flags::RTINHERIT | Flags::EXTSZINHERIT)
            && blocks(hint).checked_rem(geo.rt_extent_size).unwrap_or(0) != 0
        {
            return Err(EINVAL);
        }
        new.extsize = blocks(hint);
        new.cowextsize = blocks(cow_hint);
        if !hint_is_valid(geo, &new) || cow_hint & block_mask != 0 || !cow_hint_is_valid(geo, &new)
        {
            return Err(EINVAL);
        }
        if !flags.has(Flags::EXTSIZE | Flags::EXTSZINHERIT) {
            new.extsize = 0;
        }
        if !flags2.has(Flags2::COWEXTSIZE) {
            new.cowextsize = 0;
        }
        new.projid = attributes.project();
    }
    let realtime = attributes.xflags() & bindings::FS_XFLAG_REALTIME != 0;
    if realtime != core.is_realtime() && has_data {
        return Err(EINVAL);
    }
    if realtime
        && (geo.rt_blocks == 0
            || core
                .extsize
                .checked_rem(geo.rt_extent_size)
                .is_none_or(|rest| rest != 0))
    {
        return Err(EINVAL);
    }
    Ok(new)
}
