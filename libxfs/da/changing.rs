// SPDX-License-Identifier: GPL-2.0

//! A fork that holds names, in a transaction.

use super::{ForkSpace, NameFork};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        da::{self, BlockInfo, NodeEntry, NodeHeader},
        dahash::NameHash,
        dir::{leaf::LEAFN_MAGIC, space::DirGeometry},
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    journal::Journal,
    store::Device,
    trans::{BlockId, InodeFields, InodeId, Trans},
};
use core::mem::size_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

/// Bytes in front of the entries of a node, and of a directory's leaf.
pub(super) const NODE_HEADER: usize = size_of::<NodeHeader>();
/// Bytes of a node's entry, and of a leaf's.
pub(super) const ENTRY: usize = size_of::<NodeEntry>();
/// Bytes in front of the entries of an attribute leaf.
const ATTR_HEADER: usize = size_of::<crate::libxfs::format::attr::leaf::LeafHeader>();

/// A fork that holds names, in a transaction that changes it.
pub(in crate::libxfs) struct NamesMut<'t, 'a, J: Journal, S> {
    /// The transaction.
    pub(in crate::libxfs) trans: &'t mut Trans<'a, J>,
    /// Where blocks come from.
    pub(in crate::libxfs) space: &'t mut S,
    /// The inode.
    pub(in crate::libxfs) inode: InodeId,
    /// Its number.
    pub(in crate::libxfs) owner: InodeNumber,
    /// The fork.
    pub(in crate::libxfs) which: WhichFork,
    /// File system blocks in a block of the fork.
    pub(in crate::libxfs) fs_blocks: u32,
    /// Where the tree starts.
    pub(in crate::libxfs) root: FileBlock,
    /// The first block behind those that the tree may have.
    end: FileBlock,
    /// What the tree's blocks are read as.
    kind: Kind,
}

impl<'t, 'a, J: Journal, S: ForkSpace<J>> NamesMut<'t, 'a, J, S> {
    /// The data fork of a directory that the transaction holds.
    pub(in crate::libxfs) fn directory(
        trans: &'t mut Trans<'a, J>,
        space: &'t mut S,
        inode: InodeId,
    ) -> Result<Self> {
        let geo = DirGeometry::new(trans.geometry());
        Ok(Self {
            owner: trans.inode(inode)?.number,
            trans,
            space,
            inode,
            which: WhichFork::Data,
            fs_blocks: geo.fs_blocks(),
            root: geo.leaf_start(),
            end: geo.free_start(),
            kind: Kind::DirTree,
        })
    }

    /// The attribute fork of an inode that the transaction holds.
    pub(in crate::libxfs) fn attributes(
        trans: &'t mut Trans<'a, J>,
        space: &'t mut S,
        inode: InodeId,
    ) -> Result<Self> {
        Ok(Self {
            owner: trans.inode(inode)?.number,
            trans,
            space,
            inode,
            which: WhichFork::Attr,
            fs_blocks: 1,
            root: FileBlock(0),
            // Pointers have 32 bits.
            end: FileBlock(1 << 32),
            kind: Kind::AttrTree,
        })
    }

    /// The file system's shape.
    pub(in crate::libxfs) fn geometry(&self) -> &'a Geometry {
        self.trans.geometry()
    }

    /// The inode.
    pub(in crate::libxfs) fn inode(&self) -> Result<&Inode> {
        self.trans.inode(self.inode)
    }

    /// The inode, to be changed; the fork is logged with its core.
    pub(in crate::libxfs) fn change_inode(&mut self) -> Result<&mut Inode> {
        let fields = match self.which {
            WhichFork::Data => InodeFields::DATA,
            WhichFork::Attr => InodeFields::ATTR,
        };
        self.trans.change_inode(self.inode, fields)
    }

    /// The fork as a reader sees it.
    pub(in crate::libxfs) fn fork(&self) -> Result<NameFork<'_>> {
        let map = self.inode()?.extents(self.which)?;
        Ok(match self.which {
            WhichFork::Data => NameFork::directory(self.trans.geometry(), self.owner, map),
            WhichFork::Attr => NameFork::attributes(self.owner, map),
        })
    }

    /// Bytes of a block of the fork.
    pub(in crate::libxfs) fn block_size(&self) -> usize {
        (self.geometry().block_size as usize).saturating_mul(self.fs_blocks as usize)
    }

    /// Reads the block at file block `at`. Whose it is, the caller checks.
    #[inline(never)]
    pub(in crate::libxfs) fn get(&mut self, at: FileBlock, kind: Kind) -> Result<BlockId> {
        let runs = self.fork()?.runs(self.trans.geometry(), at)?;
        self.trans.read_runs(Device::Data, runs.as_slice(), kind)
    }

    /// Reads a block of the tree, and checks whose it is.
    pub(in crate::libxfs) fn get_tree(&mut self, at: FileBlock) -> Result<BlockId> {
        let id = self.get(at, self.kind)?;
        let checked = BlockInfo::view(self.trans.bytes(id), "da3 block")
            .and_then(|info| info.check_owner(self.owner, "da3 block"));
        match checked {
            Ok(()) => Ok(id),
            Err(fault) => Err(self.fault(id, fault)),
        }
    }

    /// The error for what is wrong with a block.
    pub(in crate::libxfs) fn fault(&self, block: BlockId, fault: Fault) -> Error {
        match self.trans.place(block) {
            Some((device, at)) => Error::block(fault, device, at),
            None => Error::Invalid,
        }
    }

    /// The first block of the fork between two that is a hole, where a block as large as those of
    /// the fork fits.
    pub(in crate::libxfs) fn hole(&self, from: FileBlock, end: FileBlock) -> Result<FileBlock> {
        let fork = self.fork()?;
        let blocks = u64::from(self.fs_blocks);
        let mut at = from;
        loop {
            let past = fork.map().next_hole(at).0.saturating_sub(from.0);
            // Blocks lie at multiples of their length.
            let past = past
                .checked_next_multiple_of(blocks)
                .ok_or(Error::NoSpace)?;
            at = FileBlock(from.0.saturating_add(past));
            let after = at.checked_add(blocks).ok_or(Error::NoSpace)?;
            if after > end {
                return Err(Error::NoSpace);
            }
            match fork.map().lookup(at) {
                Some(next) if next.offset < after => at = next.offset.max(at),
                _ => return Ok(at),
            }
        }
    }

    /// Allocates the block at file block `at`, which is a hole. It holds zeroes.
    pub(in crate::libxfs) fn grow(&mut self, at: FileBlock, kind: Kind) -> Result<BlockId> {
        self.space
            .map(self.trans, self.inode, self.which, at, self.fs_blocks)?;
        let runs = self.fork()?.runs(self.trans.geometry(), at)?;
        self.trans.fresh_runs(Device::Data, runs.as_slice(), kind)
    }

    /// Allocates a block for the tree.
    pub(in crate::libxfs) fn grow_tree(&mut self) -> Result<(FileBlock, BlockId)> {
        let at = self.hole(self.root, self.end)?;
        Ok((at, self.grow(at, self.kind)?))
    }

    /// Takes the block at `at` out of the map; false where that would need space that there is not:
    /// then it stays. Its content can still be read until it is [discarded](Self::discard).
    pub(in crate::libxfs) fn unmap(&mut self, at: FileBlock) -> Result<bool> {
        match self
            .space
            .unmap(self.trans, self.inode, self.which, at, self.fs_blocks)
        {
            Ok(()) => Ok(true),
            Err(Error::NoSpace) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets a block that was taken out of the map.
    pub(in crate::libxfs) fn discard(&mut self, block: BlockId) {
        self.trans.invalidate(block);
        self.trans.release(block);
    }

    /// Starts a block of the tree.
    pub(in crate::libxfs) fn init_tree_block(&mut self, block: BlockId, magic: u16) -> Result {
        let (_, at) = self.trans.place(block).ok_or(Error::Invalid)?;
        let info = BlockInfo {
            forw: U32::new(0),
            back: U32::new(0),
            magic: U16::new(magic),
            pad: U16::new(0),
            crc: [0; 4],
            blkno: U64::new(at.0),
            lsn: U64::new(0),
            uuid: self.geometry().meta_uuid,
            owner: U64::new(self.owner.0),
        };
        *self.trans.change_as(block, 0)? = info;
        Ok(())
    }

    /// Copies the content of a block of the tree over another one, which lies elsewhere.
    pub(super) fn copy_tree_block(&mut self, from: BlockId, to: BlockId) -> Result {
        let used = match da::magic_of(self.trans.bytes(from)) {
            Some(da::NODE_MAGIC | LEAFN_MAGIC) => {
                let entries = self.count(from)?.saturating_mul(ENTRY);
                NODE_HEADER.saturating_add(entries)
            }
            _ => self.block_size(),
        };
        self.trans.copy(from, 0..used, to, 0)?;
        let (_, at) = self.trans.place(to).ok_or(Error::Invalid)?;
        let info = self.trans.change_as::<BlockInfo>(to, 0)?;
        info.blkno.set(at.0);
        info.forw.set(0);
        info.back.set(0);
        Ok(())
    }

    /// Changes a field of two bytes.
    pub(in crate::libxfs) fn put_u16(&mut self, block: BlockId, at: usize, value: u16) -> Result {
        *self.trans.change_as(block, at)? = U16::new(value);
        Ok(())
    }

    /// Changes a field of four bytes.
    pub(in crate::libxfs) fn put_u32(&mut self, block: BlockId, at: usize, value: u32) -> Result {
        *self.trans.change_as(block, at)? = U32::new(value);
        Ok(())
    }

    /// Entries of a block of the tree, whatever it is.
    pub(super) fn count(&self, block: BlockId) -> Result<usize> {
        let count = self.trans.view::<U16>(block, size_of::<BlockInfo>());
        Ok(usize::from(count.ok_or(Error::Invalid)?.get()))
    }

    /// The highest hash of a block of the tree, 0 for a leaf without entries.
    pub(in crate::libxfs) fn last_hash(&self, block: BlockId) -> Result<NameHash> {
        let Some(last) = self.count(block)?.checked_sub(1) else {
            return Ok(NameHash(0));
        };
        let header = match da::magic_of(self.trans.bytes(block)) {
            Some(da::NODE_MAGIC | LEAFN_MAGIC) => NODE_HEADER,
            _ => ATTR_HEADER,
        };
        let at = header.saturating_add(last.saturating_mul(ENTRY));
        let hash = self.trans.view::<U32>(block, at);
        let corrupt = self.trans.corrupt(block, "da3 block", "count");
        Ok(NameHash(hash.ok_or(corrupt)?.get()))
    }

    /// Links a block into its level behind another one.
    pub(super) fn link_behind(
        &mut self,
        (old_at, old): (FileBlock, BlockId),
        (new_at, new): (FileBlock, BlockId),
    ) -> Result {
        let next = self.links(old)?.1;
        let (old_at, new_at) = (pointer(old_at)?, pointer(new_at)?);
        let info = self.trans.change_as::<BlockInfo>(new, 0)?;
        info.back.set(old_at);
        info.forw.set(next);
        self.trans.change_as::<BlockInfo>(old, 0)?.forw.set(new_at);
        self.set_sibling(next, |info| info.back.set(new_at))
    }

    /// Takes a block out of its level.
    pub(super) fn unlink(&mut self, block: BlockId) -> Result {
        let (back, forw) = self.links(block)?;
        self.set_sibling(back, |info| info.forw.set(forw))?;
        self.set_sibling(forw, |info| info.back.set(back))
    }

    /// The blocks before and behind one, 0 for none.
    pub(super) fn links(&self, block: BlockId) -> Result<(u32, u32)> {
        let info = self.trans.view::<BlockInfo>(block, 0);
        let info = info.ok_or(Error::Invalid)?;
        Ok((info.back.get(), info.forw.get()))
    }

    fn set_sibling(&mut self, at: u32, set: impl FnOnce(&mut BlockInfo)) -> Result {
        if at != 0 {
            let id = self.get_tree(FileBlock(at.into()))?;
            set(self.trans.change_as(id, 0)?);
            self.trans.release(id);
        }
        Ok(())
    }
}

/// A block of the fork as its pointers have it.
pub(super) fn pointer(at: FileBlock) -> Result<u32> {
    u32::try_from(at.0).map_err(|_| Error::NoSpace)
}
