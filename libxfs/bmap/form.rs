// SPDX-License-Identifier: GPL-2.0

//! The two forms of a fork with mappings: a list in the inode, or the root of a tree.
//!
//! A fork is a list whenever all of its mappings fit in, and a tree else; both drivers hold to that,
//! and neither reads anything else.

use super::{fields, fork::ForkMut, hook::count_blocks, window::record};
use crate::libxfs::{
    btree::{Blocks, Hook},
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        btree::{capacity, Bmap, Node, Pointer, Tree, ROOT_HEADER_SIZE},
        inode::ForkFormat,
        units::{FileBlock, FsBlock},
    },
    inode::{BtreeFork, Fork, WhichFork},
    journal::Journal,
};
use core::{mem::size_of, ops::Range};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Bytes of a key in a root.
const KEY_SIZE: usize = size_of::<<Bmap as Tree>::DiskKey>();

fn zeroes(len: usize) -> Result<KVec<u8>> {
    let mut bytes = KVec::with_capacity(len, GFP_KERNEL)?;
    bytes.resize(len, 0, GFP_KERNEL)?;
    Ok(bytes)
}

/// A root as it lies in a fork of `len` bytes; `None` where its entries do not fit there.
fn fitted(root: &[u8], len: usize) -> Result<Option<KVec<u8>>> {
    let room = |len: usize| capacity::<Bmap>(len.saturating_sub(ROOT_HEADER_SIZE), false);
    let count = Node::<Bmap>::of_root(root).ok_or(Error::Invalid)?.count();
    if count > room(len) {
        return Ok(None);
    }
    let span = |start: usize, size: usize| -> Range<usize> {
        start..start.saturating_add(count.saturating_mul(size))
    };
    // Pointers lie behind the room that there is for keys.
    let pointers = |len: usize| {
        let keys = room(len).saturating_mul(KEY_SIZE);
        span(ROOT_HEADER_SIZE.saturating_add(keys), FsBlock::SIZE)
    };
    let mut new = zeroes(len)?;
    let mut copy = |from: Range<usize>, to: Range<usize>| {
        let source = root.get(from).ok_or(Error::Invalid)?;
        new.get_mut(to)
            .ok_or(Error::Invalid)?
            .copy_from_slice(source);
        Ok::<_, Error>(())
    };
    copy(0..ROOT_HEADER_SIZE, 0..ROOT_HEADER_SIZE)?;
    let keys = span(ROOT_HEADER_SIZE, KEY_SIZE);
    copy(keys.clone(), keys)?;
    copy(pointers(root.len()), pointers(len))?;
    Ok(Some(new))
}

impl<J: Journal> ForkMut<'_, '_, '_, J> {
    fn set_fork(&mut self, fork: Fork) -> Result {
        let which = self.which;
        let inode = self.trans.change_inode(self.id, fields(which))?;
        match which {
            WhichFork::Data => inode.core.format = fork.format(),
            WhichFork::Attr => inode.core.aformat = fork.format(),
        }
        *inode.fork_mut(which).ok_or(Error::Invalid)? = fork;
        Ok(())
    }

    /// The map in memory, taken out of the fork, which is then no use until it is set.
    fn take_map(&mut self) -> Result<ExtentMap> {
        Ok(core::mem::take(self.extents_mut()?))
    }

    /// Makes the list a tree, with its root in `bytes` bytes. There must be more mappings than a root
    /// alone could hold.
    pub(super) fn grow_tree(&mut self, bytes: usize) -> Result {
        let root = zeroes(bytes)?;
        let map = self.take_map()?;
        self.set_fork(Fork::Btree(BtreeFork::new(root, map)))?;
        // An empty root is a leaf. It overflows, and so its records get a block of their own.
        let mut path = self.path()?;
        let mut at = FileBlock(0);
        while let Some(mapping) = self.extents()?.lookup(at) {
            at = mapping.end();
            if let Some(record) = record(&mapping) {
                path.insert(&mut self.tree()?, &record)?;
            }
        }
        path.reset(&mut self.tree()?);
        if self.root_level()? == 0 {
            return Err(self.corrupt("extent count"));
        }
        Ok(())
    }

    fn root_level(&self) -> Result<u16> {
        match self.inode()?.fork(self.which) {
            Some(Fork::Btree(tree)) => Node::<Bmap>::of_root(&tree.root)
                .map(|root| root.level())
                .ok_or_else(|| self.corrupt("numrecs")),
            _ => Err(Error::Invalid),
        }
    }

    /// Makes the tree a list. So few mappings lie in one block below the root.
    pub(super) fn fold_tree(&mut self) -> Result {
        let Some(Fork::Btree(tree)) = self.inode()?.fork(self.which) else {
            return Err(Error::Invalid);
        };
        let root = Node::<Bmap>::of_root(&tree.root).ok_or_else(|| self.corrupt("numrecs"))?;
        let leaf = root
            .pointer(0)
            .filter(|_| root.level() == 1 && root.count() == 1)
            .ok_or_else(|| self.corrupt("numrecs"))?;
        let mut tree = self.tree()?;
        let at = Blocks::<Bmap>::address(&tree, leaf);
        let block = match at {
            Some(at) => Blocks::<Bmap>::read(&mut tree, at)?,
            None => return Err(self.corrupt("pointer")),
        };
        Hook::<J, Bmap>::free(&mut tree.hook, tree.trans, leaf)?;
        tree.trans.invalidate(block);
        tree.trans.release(block);
        let map = self.take_map()?;
        self.set_fork(Fork::Extents(map))
    }

    /// Makes what the fork has in the inode take no more than `bytes` bytes of it, before the
    /// attribute fork begins there.
    ///
    /// # Errors
    ///
    /// `NoSpace` where that takes a block and none is claimed, and then nothing has changed; those of
    /// allocating.
    pub(super) fn shrink(&mut self, bytes: usize) -> Result {
        let Some(Fork::Btree(tree)) = self.inode()?.fork(self.which) else {
            let list = usize::try_from(self.count()?).unwrap_or(usize::MAX);
            return match list.saturating_mul(super::fork::RECORD_SIZE) > bytes {
                true if self.trans.claimed().blocks == 0 => Err(Error::NoSpace),
                true => self.grow_tree(bytes),
                false => Ok(()),
            };
        };
        let root = match fitted(&tree.root, bytes)? {
            Some(root) => root,
            None if self.trans.claimed().blocks == 0 => return Err(Error::NoSpace),
            None => {
                let mut path = self.path()?;
                path.push_down(&mut self.tree()?)?;
                let Some(Fork::Btree(tree)) = self.inode()?.fork(self.which) else {
                    return Err(Error::Invalid);
                };
                fitted(&tree.root, bytes)?.ok_or(Error::Invalid)?
            }
        };
        let map = self.take_map()?;
        self.set_fork(Fork::Btree(BtreeFork::new(root, map)))
    }

    /// Counts blocks that the inode has more, or fewer.
    pub(super) fn count_blocks(&mut self, n: i64) -> Result {
        count_blocks(self.trans, self.id, n)
    }

    /// The form that the fork has on the disk.
    ///
    /// # Errors
    ///
    /// As [`inode`](Self::inode).
    pub fn format(&self) -> Result<ForkFormat> {
        let fork = self.inode()?.fork(self.which).ok_or(Error::Invalid)?;
        Ok(fork.format())
    }
}
