// SPDX-License-Identifier: GPL-2.0

//! The two trees of a group's inode chunks in a transaction: of all (inobt), and of those with free
//! inodes (finobt). Their roots are in the AGI, their blocks come from the group's free space.

use crate::libxfs::{
    ag::LockedAgi,
    btree::{Hook, InTrans, Path, Root},
    defer::Deferred,
    error::{Error, Result},
    format::{
        ag::agi::DiskAgi,
        btree::{Fino, Ino, InodeChunk, Owner, Tree},
        units::{AgBlock, AgInode, AgNumber, FsBlock},
    },
    items::{BlockOwner, ExtentFree, Reserve},
    journal::Journal,
    space::{allocate, Place, Wanted},
    store::Device,
    trans::{BlockId, Trans},
};
use zerocopy::byteorder::big_endian::U32;

/// Who owns the blocks of both trees.
const OWNER: BlockOwner = BlockOwner::new(Owner::InodeTrees);

/// A tree of inode chunks, whose root the AGI names.
pub trait ChunkTree:
    Tree<Pointer = AgBlock, Scope = AgNumber, Record = InodeChunk, Key = AgInode>
{
    /// Where its blocks come from. The tree of chunks with free inodes grows when an inode is freed,
    /// which has to succeed on a full file system, too.
    const RESERVE: Reserve;
    /// Root and levels, as the header has them.
    fn root(agi: &DiskAgi) -> (AgBlock, u32);
    /// Notes root and levels.
    fn set_root(agi: &mut DiskAgi, root: AgBlock, levels: u32);
    /// The header's count of the tree's blocks, which means something with the feature `inobtcount`.
    fn count(agi: &mut DiskAgi) -> &mut U32;
}

macro_rules! chunk_tree {
    ($tree:ty, $get:ident, $root:ident, $level:ident, $count:ident, $reserve:expr) => {
        impl ChunkTree for $tree {
            const RESERVE: Reserve = $reserve;

            fn root(agi: &DiskAgi) -> (AgBlock, u32) {
                agi.$get()
            }

            fn set_root(agi: &mut DiskAgi, root: AgBlock, levels: u32) {
                agi.$root.set(root.0);
                agi.$level.set(levels);
            }

            fn count(agi: &mut DiskAgi) -> &mut U32 {
                &mut agi.$count
            }
        }
    };
}

chunk_tree!(Ino, ino, root, level, iblocks, Reserve::None);
chunk_tree!(
    Fino,
    fino,
    free_root,
    free_level,
    fblocks,
    Reserve::Metadata
);

/// The hook of both trees.
pub struct ChunkHook<'h, 'd, J: Journal> {
    agi: LockedAgi,
    deferred: &'h mut Deferred<'d, J>,
}

impl<J: Journal> ChunkHook<'_, '_, J> {
    /// Counts a block that the tree has more, or fewer.
    fn count<T: ChunkTree>(&self, trans: &mut Trans<'_, J>, n: i32) -> Result {
        if !trans.geometry().features.inobtcount() {
            return Ok(());
        }
        let corrupt = self.agi.corrupt(trans, "iblocks");
        self.agi.update(trans, |agi| {
            let count = T::count(agi);
            let blocks = count.get().checked_add_signed(n).ok_or(corrupt)?;
            count.set(blocks);
            Ok(())
        })
    }

    fn fs_block(&self, trans: &Trans<'_, J>, block: AgBlock) -> Result<FsBlock> {
        let block = trans.geometry().fs_block(self.agi.ag, block);
        block.ok_or_else(|| self.agi.corrupt(trans, "root"))
    }
}

impl<J: Journal, T: ChunkTree> Hook<J, T> for ChunkHook<'_, '_, J> {
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, AgBlock>> {
        let (root, levels) = T::root(self.agi.get(trans)?);
        Ok(Root::Block(root, levels))
    }

    fn set_root(&mut self, trans: &mut Trans<'_, J>, root: AgBlock, levels: u32) -> Result {
        self.agi.update(trans, |agi| {
            T::set_root(agi, root, levels);
            Ok(())
        })
    }

    fn change_fork<'r>(&'r mut self, _: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        Err(Error::Invalid)
    }

    fn allocate(&mut self, trans: &mut Trans<'_, J>, near: Option<AgBlock>) -> Result<AgBlock> {
        let near = match near {
            Some(near) => near,
            None => T::root(self.agi.get(trans)?).0,
        };
        let wanted = Wanted {
            reserve: T::RESERVE,
            ..Wanted::metadata(self.fs_block(trans, near)?, Place::InGroup, OWNER)
        };
        let extent = allocate(trans, self.deferred, &wanted)?.ok_or(Error::NoSpace)?;
        self.count::<T>(trans, 1)?;
        let block = trans.geometry().split_fs_block(extent.start);
        block.map(|(_, block)| block).ok_or(Error::Invalid)
    }

    fn free(&mut self, trans: &mut Trans<'_, J>, block: AgBlock) -> Result {
        let start = self.fs_block(trans, block)?;
        self.count::<T>(trans, -1)?;
        let extent = ExtentFree::block(start.0, OWNER, T::RESERVE);
        self.deferred.free_extent(Device::Data, extent)
    }
}

/// A group whose inodes a transaction changes.
pub(super) struct InodeGroup<'g, 't, 'd, J: Journal> {
    pub(super) trans: &'g mut Trans<'t, J>,
    pub(super) deferred: &'g mut Deferred<'d, J>,
    pub(super) agi: LockedAgi,
}

impl<'t, 'd, J: Journal> InodeGroup<'_, 't, 'd, J> {
    /// The blocks of its trees, for one call into the engine.
    pub(super) fn blocks(&mut self) -> InTrans<'_, 't, J, ChunkHook<'_, 'd, J>> {
        InTrans {
            trans: self.trans,
            hook: ChunkHook {
                agi: self.agi,
                deferred: self.deferred,
            },
            home: self.agi.ag,
        }
    }

    /// A path in one of the trees that stands nowhere.
    pub(super) fn path<T: ChunkTree>(&self) -> Path<BlockId, T> {
        Path::new(self.agi.ag, self.agi.ag.0.into())
    }

    /// Corruption of a field of the AGI.
    pub(super) fn corrupt(&self, field: &'static str) -> Error {
        self.agi.corrupt(self.trans, field)
    }

    /// A block of the group.
    pub(super) fn fs_block(&self, block: AgBlock) -> Result<FsBlock> {
        let block = self.trans.geometry().fs_block(self.agi.ag, block);
        block.ok_or_else(|| self.corrupt("root"))
    }

    /// Adds a chunk to a tree.
    pub(super) fn insert<T: ChunkTree>(&mut self, chunk: &InodeChunk) -> Result {
        let mut path = self.path::<T>();
        let mut blocks = self.blocks();
        path.insert(&mut blocks, chunk)?;
        path.reset(&mut blocks);
        Ok(())
    }

    /// Changes a chunk of a tree to `new`, or removes it, where it is `old` so far. The trees are
    /// changed one by one, so that one that is wrong is told by the other.
    pub(super) fn replace<T: ChunkTree>(
        &mut self,
        old: &InodeChunk,
        new: Option<&InodeChunk>,
    ) -> Result {
        let mut path = self.path::<T>();
        let mut blocks = self.blocks();
        if path.lookup_eq(&mut blocks, &old.start)? != Some(*old) {
            return Err(path.inconsistent(&blocks, "record"));
        }
        match new {
            Some(new) => path.update(&mut blocks, new)?,
            None => path.delete(&mut blocks)?,
        }
        path.reset(&mut blocks);
        Ok(())
    }

    /// Changes the header's counts of inodes, and those of the file system: so many more that have
    /// space, and so many more that are free.
    pub(super) fn count(&mut self, inodes: i32, free: i32) -> Result {
        let corrupt = self.corrupt("freecount");
        self.agi.update(self.trans, |agi| {
            let count = agi.count.get().checked_add_signed(inodes);
            let freecount = agi.freecount.get().checked_add_signed(free);
            agi.count.set(count.ok_or(corrupt)?);
            agi.freecount.set(freecount.ok_or(corrupt)?);
            Ok(())
        })?;
        self.trans.count_inodes(inodes.into(), free.into());
        Ok(())
    }
}
