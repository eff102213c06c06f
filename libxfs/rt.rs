// SPDX-License-Identifier: GPL-2.0

//! The realtime section: its files, and what they tell.
//!
//! Without groups there are two files, the bitmap and the summary of free realtime extents, which
//! the superblock names. With groups each group has its own two, and those that root its B+trees of
//! owners and of shared extents; they lie in the
//! [metadata directory tree](super::metadir) under `rtgroups`.

mod free;
mod scan;
mod search;
mod section;

pub use free::{free_runs, is_free, summary, FreeRun, FreeRuns};
pub(crate) use search::stretch;
pub(crate) use section::Section;

use super::{
    btree::Cursor,
    error::{Error, Result},
    format::{
        btree::{RtRefcount, RtRmap},
        fault::Fault,
        geometry::Geometry,
        inode::{ForkFormat, MetaType},
        kind::Kind,
        rt,
        units::{RtBlock, RtGroup},
    },
    inode::{Fork, Inode},
    metadir,
    store::{Device, Run, Store},
};
use core::fmt::{self, Write};

/// A file of the realtime section, or of one of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupFile {
    /// A bit for each realtime extent.
    Bitmap,
    /// Counts of free runs.
    Summary,
    /// Owners.
    Rmap,
    /// Shared extents.
    Refcount,
}

impl GroupFile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bitmap, Self::Summary, Self::Rmap, Self::Refcount];

    /// Whether a file system of this shape has such files.
    pub const fn is_present(self, geo: &Geometry) -> bool {
        match self {
            Self::Bitmap | Self::Summary => !geo.features.zoned(),
            Self::Rmap => geo.features.metadir() && geo.features.rmapbt(),
            Self::Refcount => geo.features.metadir() && geo.features.reflink(),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Bitmap => "bitmap",
            Self::Summary => "summary",
            Self::Rmap => "rmap",
            Self::Refcount => "refcount",
        }
    }

    const fn meta_type(self) -> MetaType {
        match self {
            Self::Bitmap => MetaType::RtBitmap,
            Self::Summary => MetaType::RtSummary,
            Self::Rmap => MetaType::RtRmap,
            Self::Refcount => MetaType::RtRefcount,
        }
    }

    const fn may_have(self, format: ForkFormat) -> bool {
        match self {
            Self::Bitmap | Self::Summary => {
                matches!(format, ForkFormat::Extents | ForkFormat::Btree)
            }
            Self::Rmap | Self::Refcount => matches!(format, ForkFormat::MetaBtree),
        }
    }
}

/// A file's name: the group's number, a dot, and what it is. No longer than 10 digits, the dot and
/// `refcount`.
#[derive(Default)]
struct FileName {
    bytes: [u8; 24],
    len: usize,
}

impl FileName {
    fn new(group: RtGroup, file: GroupFile) -> Self {
        let mut name = Self::default();
        // There is room for the longest.
        let _ = write!(name, "{group}.{}", file.suffix());
        name
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Write for FileName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(fmt::Error)?;
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Opens a file of a group or, with no group, of the whole section. Its mappings are loaded.
///
/// # Errors
///
/// `NotFound` where there is no such file: see [`GroupFile::is_present`]; `Invalid` for a group
/// that is not there, or none where there are groups; `Corrupt`, `Io`, `NoMemory`, `Interrupted`.
pub fn open<S: Store>(store: &S, group: Option<RtGroup>, file: GroupFile) -> Result<Inode> {
    let geo = store.geometry();
    if !file.is_present(geo) {
        return Err(Error::NotFound);
    }
    let inode = match group {
        Some(group) => {
            if group.0 >= geo.rt_group_count {
                return Err(Error::Invalid);
            }
            let name = FileName::new(group, file);
            metadir::lookup(store, &[b"rtgroups"], name.as_bytes(), file.meta_type())?
        }
        None if geo.features.metadir() => return Err(Error::Invalid),
        None => {
            let number = match file {
                GroupFile::Bitmap => geo.rt_bitmap_inode,
                GroupFile::Summary => geo.rt_summary_inode,
                GroupFile::Rmap | GroupFile::Refcount => None,
            };
            metadir::read_inode(store, number.ok_or(Error::NotFound)?, file.meta_type())?
        }
    };
    let corrupt = |field| Error::inode(Fault::corrupt("metadata inode", field), inode.number);
    if !file.may_have(inode.data.format()) {
        return Err(corrupt("di_format"));
    }
    // The project says which group it is.
    if inode.core.projid != group.map_or(0, RtGroup::get) {
        return Err(corrupt("di_projid"));
    }
    Ok(inode)
}

/// A cursor over the owners of a realtime group's blocks, of the group's file
/// [`GroupFile::Rmap`].
///
/// # Errors
///
/// `Invalid` for another file; `Corrupt` when the root breaks a rule.
pub fn rmap<'a, S: Store>(
    store: &'a S,
    group: RtGroup,
    inode: &'a Inode,
) -> Result<Cursor<'a, S, RtRmap>> {
    let fork = meta_root(inode, MetaType::RtRmap)?;
    Cursor::in_fork(store, inode.number, group, fork)
}

/// A cursor over the shared extents of a realtime group, of the group's file
/// [`GroupFile::Refcount`].
///
/// # Errors
///
/// `Invalid` for another file; `Corrupt` when the root breaks a rule.
pub fn refcount<'a, S: Store>(
    store: &'a S,
    group: RtGroup,
    inode: &'a Inode,
) -> Result<Cursor<'a, S, RtRefcount>> {
    let fork = meta_root(inode, MetaType::RtRefcount)?;
    Cursor::in_fork(store, inode.number, group, fork)
}

fn meta_root(inode: &Inode, meta_type: MetaType) -> Result<&[u8]> {
    match &inode.data {
        Fork::Meta(root) if inode.core.metatype == meta_type => Ok(root),
        _ => Err(Error::Invalid),
    }
}

/// Reads the realtime superblock, if there is one, and sees that it is of this file system: the
/// right device was given.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`.
pub fn check_superblock<S: Store>(store: &S) -> Result {
    let geo = store.geometry();
    if !rt::has_superblock(geo) {
        return Ok(());
    }
    let at = geo.rt_block_addr(RtBlock(0)).ok_or(Error::Invalid)?;
    let len = geo.basic_blocks_per_block();
    store
        .read(Device::Realtime, Run { at, len }, Kind::RtSuperblock)
        .map(|_| ())
}
