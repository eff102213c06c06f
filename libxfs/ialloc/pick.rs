// SPDX-License-Identifier: GPL-2.0

//! Which free inode of a group is taken: one near the parent if that lies in the group, else one of
//! the chunk that was made last.

use super::{
    tree::{ChunkTree, InodeGroup},
    SEARCHED_CHUNKS,
};
use crate::libxfs::{
    btree::Path,
    error::Result,
    format::{
        ag::NULL_AG_INODE,
        btree::{Fino, Ino, InodeChunk, INODES_PER_CHUNK},
        units::{AgInode, InodeNumber},
    },
    journal::Journal,
    trans::BlockId,
};

/// A chunk with a free inode, and the path that stands on it.
type Found<T> = Option<(Path<BlockId, T>, InodeChunk)>;

/// How far `inode` lies from a chunk.
fn distance(chunk: &InodeChunk, inode: AgInode) -> u32 {
    let last = chunk.start.0.saturating_add(INODES_PER_CHUNK - 1);
    match inode.distance_from(chunk.start) {
        Some(_) => inode.0.saturating_sub(last),
        None => chunk.start.0.saturating_sub(inode.0),
    }
}

impl<J: Journal> InodeGroup<'_, '_, '_, J> {
    /// Takes a free inode, of which the group has one: near `parent` if that is in this group.
    pub(super) fn take_inode(&mut self, parent: Option<AgInode>) -> Result<InodeNumber> {
        if self.trans.geometry().features.finobt() {
            let (mut path, chunk) = self.choose::<Fino>(parent)?;
            let (number, taken) = self.taken(&chunk)?;
            let mut blocks = self.blocks();
            if taken.free_count == 0 {
                path.delete(&mut blocks)?;
            } else {
                path.update(&mut blocks, &taken)?;
            }
            path.reset(&mut blocks);
            self.replace::<Ino>(&chunk, Some(&taken))?;
            self.count(0, -1)?;
            return Ok(number);
        }
        let (mut path, chunk) = self.choose::<Ino>(parent)?;
        let (number, taken) = self.taken(&chunk)?;
        let mut blocks = self.blocks();
        path.update(&mut blocks, &taken)?;
        path.reset(&mut blocks);
        self.count(0, -1)?;
        Ok(number)
    }

    /// The first free inode of a chunk, and the chunk without it.
    fn taken(&self, chunk: &InodeChunk) -> Result<(InodeNumber, InodeChunk)> {
        let geo = self.trans.geometry();
        let index = chunk.available().trailing_zeros();
        let number = chunk
            .start
            .checked_add(index)
            .filter(|&inode| geo.ag_inode_is_valid(self.agi.ag, inode))
            .and_then(|inode| geo.inode_number(self.agi.ag, inode))
            .ok_or_else(|| self.corrupt("freecount"))?;
        let bit = 1u64.checked_shl(index).unwrap_or(0);
        let taken = InodeChunk {
            free: chunk.free & !bit,
            free_count: chunk
                .free_count
                .checked_sub(1)
                .ok_or_else(|| self.corrupt("freecount"))?,
            ..*chunk
        };
        Ok((number, taken))
    }

    /// A chunk with a free inode. The header says that there is one.
    fn choose<T: ChunkTree>(
        &mut self,
        parent: Option<AgInode>,
    ) -> Result<(Path<BlockId, T>, InodeChunk)> {
        let mut found = match parent {
            Some(parent) => self.near::<T>(parent)?,
            None => None,
        };
        if found.is_none() {
            found = self.newest::<T>()?;
        }
        if found.is_none() {
            found = self.first::<T>()?;
        }
        found.ok_or_else(|| self.corrupt("freecount"))
    }

    /// The nearest of the chunks around an inode that are looked at.
    fn near<T: ChunkTree>(&mut self, inode: AgInode) -> Result<Found<T>> {
        let mut left = self.path::<T>();
        let mut right = self.path::<T>();
        let mut blocks = self.blocks();
        let mut before = left.lookup_le(&mut blocks, &inode)?;
        let mut behind = match before {
            // It lies in that one, and nothing is nearer.
            Some(own) if own.free_count > 0 && distance(&own, inode) == 0 => None,
            _ => match inode.checked_add(1) {
                Some(next) => right.lookup_ge(&mut blocks, &next)?,
                None => None,
            },
        };
        // In the tree of chunks with free inodes the first look finds one.
        let mut found = None;
        for _ in 0..SEARCHED_CHUNKS {
            let leftward = match (&before, &behind) {
                (Some(before), Some(behind)) => distance(before, inode) <= distance(behind, inode),
                (before, _) => before.is_some(),
            };
            let Some(chunk) = (if leftward { before } else { behind }) else {
                break;
            };
            if chunk.free_count > 0 {
                found = Some((leftward, chunk));
                break;
            }
            if leftward {
                before = left.prev(&mut blocks)?;
            } else {
                behind = right.next(&mut blocks)?;
            }
        }
        match found {
            Some((true, chunk)) => {
                right.reset(&mut blocks);
                Ok(Some((left, chunk)))
            }
            Some((false, chunk)) => {
                left.reset(&mut blocks);
                Ok(Some((right, chunk)))
            }
            None => {
                left.reset(&mut blocks);
                right.reset(&mut blocks);
                Ok(None)
            }
        }
    }

    /// The chunk that was made last, if it has a free inode.
    fn newest<T: ChunkTree>(&mut self) -> Result<Found<T>> {
        let newest = self.agi.get(self.trans)?.newino.get();
        if newest == NULL_AG_INODE {
            return Ok(None);
        }
        let mut path = self.path::<T>();
        let mut blocks = self.blocks();
        let chunk = path.lookup_eq(&mut blocks, &AgInode(newest))?;
        if let Some(chunk) = chunk.filter(|chunk| chunk.free_count > 0) {
            return Ok(Some((path, chunk)));
        }
        path.reset(&mut blocks);
        Ok(None)
    }

    /// The first chunk of the group that has a free inode.
    fn first<T: ChunkTree>(&mut self) -> Result<Found<T>> {
        let mut path = self.path::<T>();
        let mut blocks = self.blocks();
        let mut chunk = path.seek_first(&mut blocks)?;
        while let Some(found) = chunk {
            if found.free_count > 0 {
                return Ok(Some((path, found)));
            }
            chunk = path.next(&mut blocks)?;
        }
        path.reset(&mut blocks);
        Ok(None)
    }
}
