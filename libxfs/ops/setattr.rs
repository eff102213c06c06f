// SPDX-License-Identifier: GPL-2.0

//! What an inode says of itself: permissions, owner, times, project, flags and hints.
//!
//! Source: `xfs_fileattr_set` in `fs/xfs/xfs_ioctl.c` of Linux 7.3 for which flags and hints go
//! together.

use super::Files;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        inode::{
            flags::{Flags, Flags2},
            time::Timestamp,
            verify::{cow_hint_is_valid, hint_is_valid},
            FileType, InodeCore,
        },
        units::InodeNumber,
    },
    inode::Inode,
    journal::{Claim, Journal},
    trans::{Committed, InodeFields},
};

/// Bits of a mode that are permissions: those of who may do what, and set-user, set-group and sticky.
const PERMISSIONS: u16 = 0o7777;

/// Flags that can be set on anything.
const ANY: u16 = Flags::IMMUTABLE
    | Flags::APPEND
    | Flags::SYNC
    | Flags::NOATIME
    | Flags::NODUMP
    | Flags::NODEFRAG
    | Flags::FILESTREAM;
/// Those of directories alone.
const DIRECTORY: u16 =
    Flags::RTINHERIT | Flags::NOSYMLINKS | Flags::EXTSZINHERIT | Flags::PROJINHERIT;
/// Those of files alone.
const FILE: u16 = Flags::REALTIME | Flags::EXTSIZE;
/// Those of the second word.
const SECOND: u64 = Flags2::DAX | Flags2::COWEXTSIZE;

/// Flags, and the hints that some of them switch on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewFlags {
    /// Flags. Those that cannot be set on such an inode are left out; those that say what it holds
    /// stay as they are.
    pub flags: Flags,
    /// More flags, in the same way.
    pub flags2: Flags2,
    /// Extent size hint in blocks, where a flag says that there is one.
    pub extsize: u32,
    /// Hint for copies on write in blocks, where a flag says that there is one.
    pub cowextsize: u32,
}

/// Which attributes change, and to what. What is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewAttributes {
    /// The lower twelve bits of the mode.
    pub permissions: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Timestamp>,
    /// Last change of the content.
    pub mtime: Option<Timestamp>,
    /// Project.
    pub project: Option<u32>,
    /// Flags and hints.
    pub flags: Option<NewFlags>,
}

/// Changes attributes of an inode; the time of its last change becomes [`Files::now`]. Returns it,
/// locked.
///
/// # Errors
///
/// `Invalid` for flags and hints that do not go together, or not with what the file holds, and then
/// nothing has changed; those of the store.
pub fn setattr<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    new: &NewAttributes,
) -> Result<Committed<J::Inode>> {
    let log = files.reservations.inode_change;
    let mut trans = files.begin(log, Claim::default())?;
    let id = trans.hold_inode(number)?;
    let inode = trans.inode(id)?;
    let mut core = inode.core.clone();
    if let Some(permissions) = new.permissions {
        core.mode = (core.mode & !PERMISSIONS) | (permissions & PERMISSIONS);
    }
    core.uid = new.uid.unwrap_or(core.uid);
    core.gid = new.gid.unwrap_or(core.gid);
    core.atime = new.atime.unwrap_or(core.atime);
    core.mtime = new.mtime.unwrap_or(core.mtime);
    core.projid = new.project.unwrap_or(core.projid);
    core.ctime = files.now;
    if let Some(flags) = &new.flags {
        set_flags(files.geometry(), inode, &mut core, flags)?;
    }
    trans.change_inode(id, InodeFields::CORE)?.core = core;
    trans.commit_keeping()
}

/// Sets flags and hints in `core`, as those of `inode` are to be.
fn set_flags(geo: &Geometry, inode: &Inode, core: &mut InodeCore, new: &NewFlags) -> Result {
    let settable = match core.file_type() {
        Some(FileType::Directory) => ANY | DIRECTORY,
        Some(FileType::Regular) => ANY | FILE,
        _ => ANY,
    };
    let (before, hint) = (core.flags, core.extsize);
    core.flags = Flags((before.0 & !settable) | (new.flags.0 & settable));
    core.flags2 = Flags2((core.flags2.0 & !SECOND) | (new.flags2.0 & SECOND));
    core.extsize = match core.flags.has(Flags::EXTSIZE | Flags::EXTSZINHERIT) {
        true => new.extsize,
        false => 0,
    };
    core.cowextsize = match core.flags2.has(Flags2::COWEXTSIZE) {
        true => new.cowextsize,
        false => 0,
    };
    let moved = core.flags.has(Flags::REALTIME) != before.has(Flags::REALTIME);
    let rehinted = core.file_type() == Some(FileType::Regular) && core.extsize != hint;
    if (moved || rehinted) && has_content(inode) {
        return Err(Error::Invalid);
    }
    if core.flags.has(Flags::REALTIME) && (geo.rt_blocks == 0 || moved && core.is_reflink()) {
        return Err(Error::Invalid);
    }
    // The disk may have such a directory, since the realtime extents can come later.
    let both = Flags::RTINHERIT | Flags::EXTSZINHERIT;
    let uneven = core.extsize.checked_rem(geo.rt_extent_size.max(1)) != Some(0);
    if core.flags.has_all(both) && uneven {
        return Err(Error::Invalid);
    }
    match hint_is_valid(geo, core) && cow_hint_is_valid(geo, core) {
        true => Ok(()),
        false => Err(Error::Invalid),
    }
}

/// Whether a file has blocks, or is about to get some.
fn has_content(inode: &Inode) -> bool {
    let delayed = inode.data.extents().is_some_and(|map| !map.is_empty());
    inode.core.nextents != 0 || delayed
}
