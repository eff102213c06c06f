// SPDX-License-Identifier: GPL-2.0

//! Forks: what they map, the blocks of their trees, and the counts of both in the inode.

use super::{
    claim::Claim,
    tree::{walk_fork, Step},
    Check, Finding, Place, Subject, Value,
};
use crate::libxfs::{
    error::Result,
    extents::{Mapping, State},
    format::{
        btree::{self, Bmap, Owner, RmapFlags, RtRefcount, RtRmap, Tree},
        inode::{FileType, MetaType},
        units::{FileBlock, FsBlock, InodeNumber, RtGroup},
    },
    inode::{Fork, Inode, WhichFork},
    store::{Device, Store},
    symlink,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

impl<S: Store> Check<'_, S> {
    /// Claims what an inode's forks have, and holds its counts to that.
    pub(super) fn forks(&mut self, inode: &mut Inode) -> Result {
        let mut blocks = 0u64;
        let mut whole = true;
        for which in [WhichFork::Data, WhichFork::Attr] {
            match self.fork(inode, which)? {
                Some(count) => blocks = blocks.saturating_add(count),
                None => whole = false,
            }
        }
        let place = Place::Inode(inode.number);
        if !whole {
            self.whole.inodes = false;
        } else {
            let found = inode.core.nblocks;
            self.equal(Subject::Inode, place, "di_nblocks", blocks, found)?;
            self.count_usage(inode)?;
        }
        if inode.core.file_type() == Some(FileType::Symlink) && inode.data.extents().is_some() {
            let target = symlink::read_target(self.store, inode);
            let target = self.kept(Subject::Symlink, place, target)?;
            if target.is_some_and(|target| target.contains(&0)) {
                let value = Value::Number(0);
                self.find(Finding::extra(Subject::Symlink, place, "target", value))?;
            }
        }
        Ok(())
    }

    /// The blocks of a fork and its tree; `None` if it could not be read.
    fn fork(&mut self, inode: &mut Inode, which: WhichFork) -> Result<Option<u64>> {
        let subject = Subject::of_fork(which);
        let place = Place::Inode(inode.number);
        let loaded = inode.load_extents(self.store, which);
        if self.kept(subject, place, loaded)?.is_none() {
            return Ok(None);
        }
        let Some(tree) = self.fork_tree(inode, which)? else {
            return Ok(None);
        };
        let mut count = tree.len() as u64;
        for block in tree.iter() {
            let flags = RmapFlags {
                attr_fork: which == WhichFork::Attr,
                bmbt_block: true,
                unwritten: false,
            };
            self.claim_mapped(inode.number, *block, 1, FileBlock(0), flags)?;
        }
        if let Some(map) = inode.fork(which).and_then(Fork::extents) {
            for mapping in map.iter() {
                count = count.saturating_add(mapping.len);
                self.mapping(inode, which, &mapping)?;
            }
        }
        Ok(Some(count))
    }

    /// The blocks of a fork's tree, none if it has no tree; `None` if it could not be walked.
    fn fork_tree(&mut self, inode: &Inode, which: WhichFork) -> Result<Option<KVVec<FsBlock>>> {
        let mut blocks = KVVec::new();
        let fork = match (which, inode.device(which)) {
            (WhichFork::Attr, _) => btree::Fork::Attr,
            (WhichFork::Data, Device::Realtime) => btree::Fork::Realtime,
            (WhichFork::Data, _) => btree::Fork::Data,
        };
        // Of a metadata file the project says which realtime group it is of.
        let group = RtGroup(inode.core.projid);
        let number = inode.number;
        let store = self.store;
        let walked = match inode.fork(which) {
            Some(Fork::Btree(tree)) => {
                tree_blocks::<S, Bmap>(store, number, fork, &tree.root, &mut blocks)
            }
            Some(Fork::Meta(root)) => match inode.core.metatype {
                MetaType::RtRmap => {
                    tree_blocks::<S, RtRmap>(store, number, group, root, &mut blocks)
                }
                _ => tree_blocks::<S, RtRefcount>(store, number, group, root, &mut blocks),
            },
            _ => Ok(()),
        };
        let walked = self.kept(Subject::of_fork(which), Place::Inode(number), walked)?;
        Ok(walked.map(|()| blocks))
    }

    /// Claims what a mapping maps.
    fn mapping(&mut self, inode: &Inode, which: WhichFork, mapping: &Mapping) -> Result {
        let flags = RmapFlags {
            attr_fork: which == WhichFork::Attr,
            bmbt_block: false,
            unwritten: mapping.state == State::Unwritten,
        };
        let regular = inode.core.file_type() == Some(FileType::Regular);
        // Only file data is given out before it is written.
        if flags.unwritten && !regular {
            let place = Place::Fork {
                inode: inode.number,
                which,
                offset: mapping.offset,
            };
            self.find(Finding::extra(
                Subject::of_fork(which),
                place,
                "state",
                Value::Present,
            ))?;
        }
        if inode.device(which) == Device::Realtime {
            return self.claim_realtime(inode.number, mapping, flags);
        }
        self.claim_mapped(
            inode.number,
            mapping.start.data(),
            mapping.len,
            mapping.offset,
            flags,
        )
    }

    /// Claims blocks of the data device for an inode.
    fn claim_mapped(
        &mut self,
        inode: InodeNumber,
        start: FsBlock,
        len: u64,
        offset: FileBlock,
        flags: RmapFlags,
    ) -> Result {
        let Some((ag, start)) = self.store.geometry().split_fs_block(start) else {
            return Ok(());
        };
        let claim = Claim {
            start: start.0.into(),
            len,
            owner: Owner::Inode(inode).encode(),
            offset: offset.0,
            flags,
        };
        self.claim(ag, claim)
    }

    /// Claims blocks of the realtime device for an inode.
    fn claim_realtime(
        &mut self,
        inode: InodeNumber,
        mapping: &Mapping,
        flags: RmapFlags,
    ) -> Result {
        let geo = self.store.geometry();
        let start = mapping.start.realtime();
        let (group, start) = match geo.split_rt_block(start) {
            Some((group, block)) => (group.0, u64::from(block.0)),
            None => (0, start.0),
        };
        let claim = Claim {
            start,
            len: mapping.len,
            owner: Owner::Inode(inode).encode(),
            offset: mapping.offset.0,
            flags,
        };
        match self.rt_groups.get_mut(group as usize) {
            Some(claims) => claims.push(claim),
            None => Ok(()),
        }
    }

    /// Reads all mappings of an inode that was read anew; false if that fails. The first walk has
    /// told why.
    pub(super) fn load_again(&mut self, inode: &mut Inode, which: WhichFork) -> Result<bool> {
        match inode.load_extents(self.store, which) {
            Ok(()) => Ok(true),
            Err(error)
                if Finding::unreadable(Subject::Inode, Place::FileSystem, error).is_some() =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Gathers the blocks of a tree that is rooted in a fork.
fn tree_blocks<S: Store, T: Tree<Pointer = FsBlock>>(
    store: &S,
    inode: InodeNumber,
    scope: T::Scope,
    root: &[u8],
    blocks: &mut KVVec<FsBlock>,
) -> Result {
    walk_fork::<S, T>(store, inode, scope, root, &mut |step| {
        if let Step::Block(block) = step {
            blocks.push(block, GFP_KERNEL)?;
        }
        Ok(())
    })
}
