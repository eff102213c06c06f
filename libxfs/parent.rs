// SPDX-License-Identifier: GPL-2.0

//! Parent pointers of a file: the directory entries that name it. They are listed, and changed as
//! attributes are.

use super::{
    attr::{
        self,
        change::{AttrChange, Mode, NameValue},
        Cursor, Listing,
    },
    error::{Error, Result},
    format::{
        attr::{leaf::Value, Namespace},
        parent::ParentRecord,
        units::InodeNumber,
    },
    inode::Inode,
    store::Store,
};
use zerocopy::IntoBytes;

/// A directory entry that names the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent<'a> {
    /// The directory.
    pub inode: InodeNumber,
    /// The directory's generation.
    pub generation: u32,
    /// The entry's name.
    pub name: &'a [u8],
}

/// Lists the parent pointers of `inode` from `cursor` on until `emit` declines one by returning
/// false, or all are listed; then true. The cursor is left at the one that was declined.
///
/// `buffer_size` is that of the caller's buffer in bytes, as for [`Listing`]. The caller keeps the
/// attribute fork from changing. `emit` runs while a block is held.
///
/// # Errors
///
/// `Corrupt`, for what breaks a rule of parent pointers too; `Interrupted`, `NoMemory`, and those
/// of the store.
pub fn list<S, F>(
    store: &S,
    inode: &Inode,
    buffer_size: usize,
    cursor: &mut Cursor,
    mut emit: F,
) -> Result<bool>
where
    S: Store,
    F: FnMut(&Parent<'_>) -> bool,
{
    let how = Listing {
        buffer_size,
        incomplete: false,
    };
    let geo = store.geometry();
    let mut end = Ok(true);
    attr::list(store, inode, how, cursor, |attr| {
        if attr.flags.0 & Namespace::Parent as u8 == 0 {
            return true;
        }
        let value = match attr.value {
            Value::Local(value) => Some(value),
            Value::Remote { .. } => None,
        };
        match ParentRecord::from_attr(geo, attr.name, value) {
            Ok(record) => {
                let more = emit(&Parent {
                    inode: record.inode(),
                    generation: record.generation(),
                    name: attr.name,
                });
                if !more {
                    end = Ok(false);
                }
                more
            }
            Err(fault) => {
                end = Err(Error::inode(fault, inode.number));
                false
            }
        }
    })?;
    end
}

/// Whether `inode` has a parent pointer to entry `name` of the directory in `record`.
///
/// # Errors
///
/// `Corrupt`, and those of the store.
pub fn exists<S: Store>(
    store: &S,
    inode: &Inode,
    record: &ParentRecord,
    name: &[u8],
) -> Result<bool> {
    match attr::get_value(store, inode, Namespace::Parent, name, record.as_bytes()) {
        Ok(()) => Ok(true),
        Err(Error::NoAttribute) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The change that gives an inode a parent pointer for entry `name` of a directory.
///
/// Parent pointers are changed with an intent behind them; the [record](ParentRecord) outlives the
/// change.
pub fn add<'n>(record: &'n ParentRecord, name: &'n [u8]) -> AttrChange<'n> {
    change(Mode::Create, record, name)
}

/// The change that takes it away.
pub fn remove<'n>(record: &'n ParentRecord, name: &'n [u8]) -> AttrChange<'n> {
    change(Mode::Remove, record, name)
}

/// The change of a rename: from entry `old_name` of one directory to `new_name` of another one, or
/// of the same.
pub fn replace<'n>(
    (old, old_name): (&'n ParentRecord, &'n [u8]),
    (new, new_name): (&'n ParentRecord, &'n [u8]),
) -> AttrChange<'n> {
    AttrChange {
        renamed: Some(NameValue {
            name: new_name,
            value: new.as_bytes(),
        }),
        ..change(Mode::Replace, old, old_name)
    }
}

fn change<'n>(mode: Mode, record: &'n ParentRecord, name: &'n [u8]) -> AttrChange<'n> {
    AttrChange {
        mode,
        namespace: Namespace::Parent,
        attr: NameValue {
            name,
            value: record.as_bytes(),
        },
        renamed: None,
        logged: true,
    }
}
