// SPDX-License-Identifier: GPL-2.0

//! The metadata directory tree: files that belong to the file system itself, found by name.
//!
//! Quota files are at `quota/user`, `quota/group` and `quota/project`, the files of realtime group
//! N at `rtgroups/N.bitmap` and beside it. Nothing in it may be reached from outside.
//!
//! Source: "Metadata Directories" in the XFS format's documentation.

use super::{
    dir,
    error::{Error, Result},
    format::{
        fault::{ensure, Fault},
        inode::{FileType, MetaType},
        units::InodeNumber,
    },
    inode::{Inode, Trust, WhichFork},
    store::Store,
};

/// Reads an inode of the file system itself, with its mappings, and sees that it is what
/// `meta_type` says. Without the tree, inodes are known by the superblock alone and say nothing of
/// what they are for.
///
/// # Errors
///
/// `Corrupt` for another, `Io`, `NoMemory`, `Interrupted`.
pub fn read_inode<S: Store>(store: &S, number: InodeNumber, meta_type: MetaType) -> Result<Inode> {
    const NAME: &str = "metadata inode";

    let corrupt = |field| Error::inode(Fault::corrupt(NAME, field), number);
    let mut inode = match Inode::read(store, number, Trust::Trusted) {
        // What names the inode is wrong, or what it names is free.
        Err(Error::Invalid | Error::NotFound) => return Err(corrupt("number")),
        other => other?,
    };
    let file_type = match meta_type {
        MetaType::Directory => FileType::Directory,
        _ => FileType::Regular,
    };
    let core = &inode.core;
    let in_tree = store.geometry().features.metadir();
    [
        (core.nlink != 0, "di_nlink"),
        (core.file_type() == Some(file_type), "di_mode"),
        (!in_tree || core.is_metadata(), "di_flags2"),
        (!in_tree || core.metatype == meta_type, "di_metatype"),
    ]
    .into_iter()
    .try_for_each(|(holds, field)| ensure(holds, NAME, field))
    .map_err(|fault| Error::inode(fault, number))?;
    inode.load_extents(store, WhichFork::Data)?;
    Ok(inode)
}

/// The tree's root directory.
///
/// # Errors
///
/// `NotFound` without the tree; as [`read_inode`].
pub fn root<S: Store>(store: &S) -> Result<Inode> {
    let number = store.geometry().metadir_inode.ok_or(Error::NotFound)?;
    read_inode(store, number, MetaType::Directory)
}

/// The inode `name` of a directory of the tree.
///
/// # Errors
///
/// `NotFound` if there is no such name; as [`read_inode`].
pub fn child<S: Store>(
    store: &S,
    directory: &Inode,
    name: &[u8],
    meta_type: MetaType,
) -> Result<Inode> {
    let found = dir::lookup(store, directory, name)?;
    read_inode(store, found.inode, meta_type)
}

/// The inode at a path of the tree: directories' names, then the last one's.
///
/// # Errors
///
/// `NotFound` if there is no such path, or no tree; as [`read_inode`].
pub fn lookup<S: Store>(
    store: &S,
    directories: &[&[u8]],
    name: &[u8],
    meta_type: MetaType,
) -> Result<Inode> {
    let mut at = root(store)?;
    for directory in directories {
        at = child(store, &at, directory, MetaType::Directory)?;
    }
    child(store, &at, name, meta_type)
}
