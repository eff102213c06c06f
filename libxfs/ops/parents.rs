// SPDX-License-Identifier: GPL-2.0

//! Parent pointers, which follow the names: each change of one is work for the chain.

use crate::libxfs::{
    defer::Deferred,
    error::Result,
    format::{
        attr::Namespace,
        log::attr::{AttrItem, AttrOperation},
        parent::ParentRecord,
    },
    items::AttrUpdate,
    journal::Journal,
    trans::{InodeId, Trans},
};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    IntoBytes,
};

/// A name in a directory.
#[derive(Clone, Copy)]
pub(super) struct Entry<'n> {
    /// The directory.
    pub(super) dir: InodeId,
    /// The name.
    pub(super) name: &'n [u8],
}

/// A change of an inode's parent pointers.
#[derive(Clone, Copy)]
pub(super) enum Change<'n> {
    /// It has a name more.
    Add(Entry<'n>),
    /// It has a name less.
    Remove(Entry<'n>),
    /// The first name became the second.
    Replace(Entry<'n>, Entry<'n>),
}

/// Asks that parent pointers follow; nothing where there are none.
pub(super) fn follow<J: Journal>(
    trans: &Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    id: InodeId,
    change: Change<'_>,
) -> Result {
    if !trans.geometry().features.parent() {
        return Ok(());
    }
    let record = |entry: &Entry<'_>| -> Result<ParentRecord> {
        let dir = trans.inode(entry.dir)?;
        Ok(ParentRecord {
            ino: U64::new(dir.number.0),
            gen: U32::new(dir.core.generation),
        })
    };
    let inode = trans.inode(id)?;
    let item = AttrItem {
        id: 0,
        operation: AttrOperation::ParentSet,
        inode: inode.number.0,
        generation: inode.core.generation,
        filter: u32::from(Namespace::Parent as u8),
        name: &[],
        new_name: &[],
        value: &[],
        new_value: &[],
    };
    match change {
        Change::Add(entry) => deferred.update_attr(AttrUpdate::new(&AttrItem {
            name: entry.name,
            value: record(&entry)?.as_bytes(),
            ..item
        })?),
        Change::Remove(entry) => deferred.update_attr(AttrUpdate::new(&AttrItem {
            operation: AttrOperation::ParentRemove,
            name: entry.name,
            value: record(&entry)?.as_bytes(),
            ..item
        })?),
        Change::Replace(from, to) => deferred.update_attr(AttrUpdate::new(&AttrItem {
            operation: AttrOperation::ParentReplace,
            name: from.name,
            value: record(&from)?.as_bytes(),
            new_name: to.name,
            new_value: record(&to)?.as_bytes(),
            ..item
        })?),
    }
}
