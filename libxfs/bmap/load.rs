// SPDX-License-Identifier: GPL-2.0

//! Reading a fork's B+tree, all of it, into the map.

use super::ForkOf;
use crate::libxfs::{
    btree::Cursor,
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        btree::{verify_root, Bmap, Tree},
        geometry::Geometry,
        inode::verify::max_extents,
    },
    inode::WhichFork,
    store::Store,
};

/// Bytes of a record.
const RECORD_SIZE: usize = core::mem::size_of::<<Bmap as Tree>::DiskRecord>();

/// Holds the root in a fork to its rules, and the inode's count of extents: more than would fit
/// without a tree, and no more than blocks and than can be counted.
///
/// # Errors
///
/// `Corrupt`.
pub fn check_root(geo: &Geometry, fork: &ForkOf, bytes: &[u8]) -> Result {
    verify_root::<Bmap>(geo, fork.scope(), bytes)
        .map_err(|fault| Error::inode(fault, fork.number))?;
    let without_tree = bytes.len() / RECORD_SIZE;
    let most = max_extents(geo.features.nrext64(), fork.which == WhichFork::Attr);
    if fork.count <= without_tree as u64 || fork.count > fork.blocks || fork.count > most {
        return Err(fork.corrupt("extent count"));
    }
    Ok(())
}

/// Reads the mappings of a fork whose bytes hold the root of a B+tree.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`; `Interrupted` if a signal asks to stop.
pub fn load<S: Store>(store: &S, fork: &ForkOf, root: &[u8]) -> Result<ExtentMap> {
    let geo = store.geometry();
    check_root(geo, fork, root)?;
    let mut cursor = Cursor::<S, Bmap>::in_fork(store, fork.number, fork.scope(), root)?;
    let mut map = ExtentMap::new();
    let mut record = cursor.seek_first()?;
    while let Some(found) = record {
        // The count bounds the memory that a tree can ask for.
        if map.count() >= fork.count {
            return Err(fork.corrupt("extent count"));
        }
        fork.add(geo, &mut map, found)?;
        record = cursor.next()?;
    }
    if map.count() != fork.count {
        return Err(fork.corrupt("extent count"));
    }
    Ok(map)
}
