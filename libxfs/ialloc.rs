// SPDX-License-Identifier: GPL-2.0

//! Which inodes there are, and how there come to be more and fewer.
//!
//! Inodes have space in chunks of 64. A group's chunks are in one tree (inobt), those with free inodes
//! in another (finobt). [`take()`] finds a free inode and makes a chunk where there is none, [`Giving`]
//! gives one back. What is in the inode is for [`create`](super::inode::create).

mod chunk;
mod free;
mod pick;
pub mod shape;
mod take;
mod tree;

pub use free::Giving;
pub use take::{take, Parent, Wish};
pub use tree::{ChunkHook, ChunkTree};

use super::{
    ag,
    error::Result,
    format::{
        btree::{InodeChunk, INODES_PER_CHUNK},
        units::{AgInode, AgNumber, InodeNumber},
    },
    store::Store,
};
use core::ops::ControlFlow;

/// Chunks that a search for a free inode near another one looks at, before it takes any.
const SEARCHED_CHUNKS: u32 = 10;

/// An inode that has space on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its group.
    pub ag: AgNumber,
    /// The chunk that holds it.
    pub chunk: InodeChunk,
    /// Its index in the chunk.
    pub index: u32,
}

impl Place {
    /// Whether the inode is in use.
    pub fn is_allocated(&self) -> bool {
        self.chunk.is_allocated(self.index)
    }
}

/// Looks an inode up in the inode tree of its group; `None` when it has no space on the disk, or no
/// inode can have that number. Numbers from outside, as in file handles, go through here before
/// anything is read as an inode.
///
/// # Errors
///
/// Those of reading and of corruption.
pub fn lookup<S: Store>(store: &S, number: InodeNumber) -> Result<Option<Place>> {
    let geo = store.geometry();
    let Some((ag, inode)) = geo.split_inode(number) else {
        return Ok(None);
    };
    if !geo.ag_inode_is_valid(ag, inode) {
        return Ok(None);
    }
    let agi = ag::read_agi(store, ag)?;
    let Some(chunk) = ag::ino(store, ag, &agi)?.lookup_le(&inode)? else {
        return Ok(None);
    };
    Ok(chunk
        .index_of(inode)
        .filter(|&index| chunk.is_present(index))
        .map(|index| Place { ag, chunk, index }))
}

/// Calls `visit` with the chunks of a group in order, from the one that holds inode `from` or else
/// the first behind it, until `visit` has enough. Blocks of the tree are held meanwhile: who reads
/// inodes collects some chunks first, and comes again for more.
///
/// # Errors
///
/// `Invalid` for a group that is not there; those of reading and of corruption; `Interrupted`; those
/// of `visit`, which end it.
pub fn visit_chunks<S: Store, E: From<super::error::Error>>(
    store: &S,
    ag: AgNumber,
    from: AgInode,
    mut visit: impl FnMut(InodeChunk) -> core::result::Result<ControlFlow<()>, E>,
) -> core::result::Result<(), E> {
    let agi = ag::read_agi(store, ag)?;
    let mut cursor = ag::ino(store, ag, &agi)?;
    let mut chunks = cursor.range(from, AgInode(u32::MAX));
    while let Some(chunk) = chunks.next()? {
        if visit(chunk)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Numbers of a chunk's inodes that are in use, in order.
pub fn allocated<S: Store>(
    store: &S,
    ag: AgNumber,
    chunk: InodeChunk,
) -> impl Iterator<Item = InodeNumber> + '_ {
    (0..INODES_PER_CHUNK)
        .filter(move |&index| chunk.is_allocated(index))
        .filter_map(move |index| {
            let inode = chunk.start.checked_add(index)?;
            store.geometry().inode_number(ag, inode)
        })
}
