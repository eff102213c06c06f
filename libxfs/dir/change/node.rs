// SPDX-License-Identifier: GPL-2.0

//! Directories in node form: blocks of entries, a tree of hashes, and the free index.

use super::{
    index::{copy_live, Home, Index, ENTRY, LEAF_HEADER},
    DirMut, Located, NewEntry,
};
use crate::libxfs::{
    da::{ForkSpace, NamesMut, Path, TreeBlock},
    error::{Error, Result},
    format::{
        da::BlockInfo,
        dahash::NameHash,
        dir::{
            leaf::{Leaf, LeafHeader, LeafKind, LEAF1_MAGIC, LEAFN_MAGIC},
            space::DirBlock,
        },
        fault::Fault,
        kind::Kind,
        units::InodeNumber,
    },
    journal::Journal,
    trans::BlockId,
};
use core::mem::offset_of;

/// A leaf of the tree.
struct LeafBlock;

impl TreeBlock for LeafBlock {
    const HEADER: usize = LEAF_HEADER;

    fn used(bytes: &[u8]) -> core::result::Result<usize, Fault> {
        let leaf = Leaf::view(bytes, LeafKind::Many)?;
        let stale = usize::from(leaf.header.stale.get());
        let live = leaf.entries.len().saturating_sub(stale);
        Ok(live.saturating_mul(ENTRY))
    }

    fn merge<J: Journal, S: ForkSpace<J>>(
        names: &mut NamesMut<'_, '_, J, S>,
        left: BlockId,
        right: BlockId,
    ) -> Result {
        let mut count = 0usize;
        for from in [left, right] {
            let at = LEAF_HEADER.saturating_add(count.saturating_mul(ENTRY));
            let leaf = Leaf::view(names.trans.bytes(from), LeafKind::Many)
                .map_err(|fault| names.fault(from, fault))?;
            let entries = leaf.entries.len();
            let live = copy_live(names.trans, (from, LEAF_HEADER, entries), (left, at))?;
            count = count.saturating_add(live);
        }
        let count = u16::try_from(count).map_err(|_| Error::Invalid)?;
        names.put_u16(left, offset_of!(LeafHeader, count), count)?;
        names.put_u16(left, offset_of!(LeafHeader, stale), 0)
    }
}

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    /// The index in the leaf of a path.
    fn leaf_of(&self, path: &Path) -> Result<Index> {
        self.index_of_leaf(path.leaf()?.block, LeafKind::Many)
    }

    /// Finds a name: the way to its leaf, the leaf's index, and the entry.
    pub(super) fn find_in_tree(&mut self, name: &[u8]) -> Result<Option<(Path, Index, Located)>> {
        let hash = NameHash::of(name);
        let mut path = self.names.descend(hash)?;
        loop {
            let index = self.leaf_of(&path)?;
            if let Some(found) = self.find(&index, name)? {
                return Ok(Some((path, index, found)));
            }
            // Names of one hash may fill the end of a leaf and go on in the next.
            let last = self.names.last_hash(index.block)?;
            if last > hash || !self.names.next_leaf(&mut path)? {
                return Ok(None);
            }
        }
    }

    pub(super) fn add_to_node(&mut self, entry: &NewEntry<'_>) -> Result {
        if self.find_in_tree(entry.name)?.is_some() {
            return Err(Error::Exists);
        }
        let room = self.find_room(entry.size())?;
        let number = match room {
            Some(number) => number,
            None => self.free_number()?,
        };
        self.put_in_node(entry, room, number)
    }

    /// Puts an entry into data block `number`, which has `room` or is new. A frame of its own, for
    /// the tree may grow from here.
    #[inline(never)]
    fn put_in_node(
        &mut self,
        entry: &NewEntry<'_>,
        room: Option<DirBlock>,
        number: DirBlock,
    ) -> Result {
        let mut path = self.names.descend(entry.hash())?;
        self.make_room_in_leaf(&mut path, entry.hash())?;
        let (pointer, best) = self.put_in_data(room, number, entry)?;
        self.set_best_in_free(number, best)?;
        let mut index = self.leaf_of(&path)?;
        self.insert(&mut index, entry.hash(), pointer)?;
        self.names.update_hash(&path)
    }

    /// Splits the leaf where an entry of that hash goes until it has room for it; `path` leads there.
    #[inline(never)]
    fn make_room_in_leaf(&mut self, path: &mut Path, hash: NameHash) -> Result {
        loop {
            let index = self.leaf_of(path)?;
            if index.stale > 0 || index.at(index.count.saturating_add(1)) <= self.names.block_size()
            {
                return Ok(());
            }
            self.split_leaf(path, index)?;
            *path = self.names.descend(hash)?;
        }
    }

    /// Moves the upper half of a full leaf, which has no stale entries, to a new neighbour.
    fn split_leaf(&mut self, path: &mut Path, old: Index) -> Result {
        let (at, block) = self.names.new_neighbour(path, LEAFN_MAGIC)?;
        // The root's content may have moved.
        let old = Index {
            block: path.leaf()?.block,
            ..old
        };
        let half = old.count / 2;
        let new = Index {
            block,
            home: Home::Leaf,
            start: LEAF_HEADER,
            count: old.count.saturating_sub(half),
            stale: 0,
        };
        let upper = old.at(half)..old.end();
        self.names
            .trans
            .copy(old.block, upper, block, LEAF_HEADER)?;
        self.put_index_counts(&new)?;
        self.put_index_counts(&Index { count: half, ..old })?;
        self.names.add_neighbour(path, (at, block))
    }

    pub(super) fn remove_from_node(&mut self, name: &[u8]) -> Result<InodeNumber> {
        let (mut path, mut index, found) = self.find_in_tree(name)?.ok_or(Error::NotFound)?;
        self.make_stale(&mut index, found.slot)?;
        self.free_entry(&found)?;
        let gone = found.number != DirBlock(0)
            && self.is_empty(found.data)?
            && self.names.unmap(self.geo.file_block(found.number))?;
        if gone {
            self.names.discard(found.data);
            self.update_size()?;
            self.forget_best(found.number)?;
        } else {
            let best = self.longest(found.data)?.length as u16;
            self.set_best_in_free(found.number, best)?;
        }
        self.names.shrink_tree::<LeafBlock>(&mut path)?;
        self.node_to_leaf()?;
        Ok(found.inode)
    }

    /// Takes a directory whose tree is one leaf back into leaf form, if the room of its data blocks
    /// fits the leaf.
    fn node_to_leaf(&mut self) -> Result {
        let root = self.names.get_tree(self.names.root)?;
        if Leaf::view(self.names.trans.bytes(root), LeafKind::Many).is_err() {
            return Ok(());
        }
        let mut index = self.index_of_leaf(root, LeafKind::Many)?;
        let Some(free) = self.only_free()? else {
            return Ok(());
        };
        let bests = self.free(free)?.bests.len();
        if !self.fits_one_leaf(index.live(), bests) || !self.names.unmap(self.geo.free_start())? {
            return Ok(());
        }
        self.compact(&mut index)?;
        self.names
            .put_u16(root, offset_of!(BlockInfo, magic), LEAF1_MAGIC)?;
        self.names.trans.set_kind(root, Kind::DirLeaf);
        // Whatever lay at the leaf's end.
        let size = self.names.block_size();
        self.names.put_u32(root, size.saturating_sub(4), 0)?;
        self.set_bests_count(root, bests)?;
        let from = super::free::HEADER;
        let range = from..from.saturating_add(bests.saturating_mul(2));
        let to = size
            .saturating_sub(4)
            .saturating_sub(bests.saturating_mul(2));
        self.names.trans.copy(free, range, root, to)?;
        self.names.discard(free);
        self.leaf_to_block(root)
    }
}
