// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: finding one, listing them all, and [changing](change) them.
//!
//! An attribute fork in the form of a B+tree has to be
//! [loaded](super::inode::Inode::load_extents) before.

pub mod change;
mod get;
mod list;

pub use self::{
    get::{get, get_value},
    list::{list, Cursor, Listed, Listing},
};

pub(super) use self::get::read_remote;

use super::{
    da::NameFork,
    error::{Error, Result},
    extents::ExtentMap,
    format::{attr::shortform::ShortForm, units::FileBlock},
    inode::{Inode, WhichFork},
};

/// The form that an attribute fork has.
pub(super) enum Form<'a> {
    /// In the inode.
    Short(ShortForm<'a>),
    /// One leaf.
    Leaf(NameFork<'a>),
    /// More blocks: a tree, or a leaf with values in blocks of their own.
    Node(NameFork<'a>),
}

impl<'a> Form<'a> {
    /// Tells the form of an inode's attribute fork; `None` when there are no attributes.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a short form without a header, `Invalid` when the fork's mappings were not
    /// loaded.
    pub(super) fn of(inode: &'a Inode) -> Result<Option<Self>> {
        let Some(fork) = &inode.attr else {
            return Ok(None);
        };
        if let Some(bytes) = fork.local() {
            return ShortForm::view(bytes)
                .map(|short| Some(Self::Short(short)))
                .map_err(|fault| Error::inode(fault, inode.number));
        }
        let map = inode.extents(WhichFork::Attr)?;
        if map.is_empty() {
            return Ok(None);
        }
        let fork = NameFork::attributes(inode.number, map);
        Ok(Some(if is_one_block(map) {
            Self::Leaf(fork)
        } else {
            Self::Node(fork)
        }))
    }
}

fn is_one_block(map: &ExtentMap) -> bool {
    map.count() == 1
        && map
            .last()
            .is_some_and(|only| only.offset == FileBlock(0) && only.len == 1)
}
