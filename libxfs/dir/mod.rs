// SPDX-License-Identifier: GPL-2.0

//! Directories: finding a name, listing them all, and [changing](change) them.
//!
//! A data fork in the form of a B+tree has to be
//! [loaded](super::inode::Inode::load_extents) before. A damaged block fails the call that needs it
//! and no other.

pub mod change;
mod lookup;
mod readdir;

pub use self::{
    lookup::{lookup, parent, Found},
    readdir::{read_ahead_first, readdir, DirEntry},
};

use super::{
    da::NameFork,
    error::{Error, Result},
    format::{
        dir::{shortform::ShortForm, space::DirGeometry},
        fault::Fault,
        geometry::Geometry,
        inode::FileType,
    },
    inode::{Inode, WhichFork},
};

/// The form that a directory has.
pub(super) enum Form<'a> {
    /// In the inode.
    Short(ShortForm<'a>),
    /// One block.
    Block(NameFork<'a>),
    /// Data blocks, and one index block.
    Leaf(NameFork<'a>),
    /// Data blocks, and a tree of index blocks.
    Node(NameFork<'a>),
}

impl<'a> Form<'a> {
    /// Tells a directory's form by its fork: inline, or by where its last block ends.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is no directory, `Invalid` when the fork's mappings were not loaded,
    /// `Corrupt` when form and size contradict each other.
    pub(super) fn of(geo: &Geometry, dir: &'a Inode) -> Result<Self> {
        if dir.core.file_type() != Some(FileType::Directory) {
            return Err(Error::Unsupported);
        }
        if let Some(bytes) = dir.data.local() {
            return ShortForm::view(bytes)
                .map(Self::Short)
                .map_err(|fault| Error::inode(fault, dir.number));
        }
        let map = dir.extents(WhichFork::Data)?;
        let dir_geo = DirGeometry::new(geo);
        let fork = NameFork::directory(geo, dir.number, map);
        let end = map.last().map_or(0, |last| last.end().0);
        let one = u64::from(dir_geo.fs_blocks());
        if end == one {
            if dir.core.size != u64::from(dir_geo.block_size()) {
                return Err(Error::inode(
                    Fault::corrupt("directory", "size"),
                    dir.number,
                ));
            }
            return Ok(Self::Block(fork));
        }
        if end == dir_geo.leaf_start().0.saturating_add(one) {
            return Ok(Self::Leaf(fork));
        }
        Ok(Self::Node(fork))
    }
}
