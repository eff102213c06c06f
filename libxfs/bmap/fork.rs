// SPDX-License-Identifier: GPL-2.0

//! A fork whose mappings are changed in a transaction.
//!
//! Each change is made of edits of one mapping. An edit changes the map in memory, and tells by what
//! differs there afterwards what becomes of the fork on the disk: the records of its tree, as few of
//! them as can be; its form; its counter. What can be said no in advance is looked at before anything
//! is changed, so that an edit without space or memory leaves all as it was.

use super::{fields, hook::MapHook, inode_block, window::Window, ForkOf};
use crate::libxfs::{
    btree::{BlocksMut, InTrans, Path},
    defer::Deferred,
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        btree::{Bmap, BmapRecord},
        fault::Fault,
        inode::{flags::Flags2, verify::max_extents},
        units::{AgNumber, FileBlock, FsBlock, InodeNumber},
    },
    inode::{Fork, Inode, WhichFork},
    journal::Journal,
    store::Device,
    trans::{BlockId, InodeFields, InodeId, Trans},
};

/// Bytes of a mapping on the disk.
pub(super) const RECORD_SIZE: usize = 16;

/// A fork that is changed in a transaction.
pub struct ForkMut<'t, 'a, 'd, J: Journal> {
    pub(super) trans: &'t mut Trans<'a, J>,
    pub(super) deferred: &'t mut Deferred<'d, J>,
    pub(super) id: InodeId,
    pub(super) which: WhichFork,
}

impl<'t, 'a, 'd, J: Journal> ForkMut<'t, 'a, 'd, J> {
    /// A fork of an inode that the transaction holds. Its mappings are read if they were not.
    ///
    /// # Errors
    ///
    /// `Invalid` for a fork that has no mappings or is not there; those of
    /// [`Inode::load_extents`].
    pub fn new(
        trans: &'t mut Trans<'a, J>,
        deferred: &'t mut Deferred<'d, J>,
        id: InodeId,
        which: WhichFork,
    ) -> Result<Self> {
        trans.load_extents(id, which)?;
        trans.inode(id)?.extents(which)?;
        Ok(Self {
            trans,
            deferred,
            id,
            which,
        })
    }

    /// The inode.
    ///
    /// # Errors
    ///
    /// `Invalid` where the transaction does not hold it any more.
    pub fn inode(&self) -> Result<&Inode> {
        self.trans.inode(self.id)
    }

    /// The fork's mappings.
    ///
    /// # Errors
    ///
    /// As [`inode`](Self::inode).
    pub fn extents(&self) -> Result<&ExtentMap> {
        self.inode()?.extents(self.which)
    }

    pub(super) fn extents_mut(&mut self) -> Result<&mut ExtentMap> {
        self.trans.extents_mut(self.id, self.which)
    }

    /// The inode, to be changed; the fork itself is not logged by that.
    pub(super) fn change(&mut self) -> Result<&mut Inode> {
        self.trans.change_inode(self.id, InodeFields::NONE)
    }

    /// The device that the mappings are about.
    ///
    /// # Errors
    ///
    /// As [`inode`](Self::inode).
    pub fn device(&self) -> Result<Device> {
        Ok(self.inode()?.device(self.which))
    }

    pub(super) fn number(&self) -> Result<InodeNumber> {
        Ok(self.inode()?.number)
    }

    pub(super) fn corrupt(&self, field: &'static str) -> Error {
        let structure = match self.which {
            WhichFork::Data => "data fork",
            WhichFork::Attr => "attr fork",
        };
        match self.number() {
            Ok(number) => Error::inode(Fault::corrupt(structure, field), number),
            Err(error) => error,
        }
    }

    /// Mappings that the disk has of it.
    pub(super) fn count(&self) -> Result<u64> {
        let core = &self.inode()?.core;
        Ok(match self.which {
            WhichFork::Data => core.nextents,
            WhichFork::Attr => core.anextents.into(),
        })
    }

    fn set_count(&mut self, count: u64) -> Result {
        let which = self.which;
        let core = &mut self.change()?.core;
        match which {
            WhichFork::Data => core.nextents = count,
            WhichFork::Attr => {
                core.anextents = u32::try_from(count).map_err(|_| Error::TooLarge)?;
            }
        }
        Ok(())
    }

    /// Bytes of the inode that the fork may take.
    pub(super) fn room(&self) -> Result<usize> {
        let geo = self.trans.geometry();
        let core = &self.inode()?.core;
        Ok(match self.which {
            WhichFork::Data => core.data_fork_size(geo),
            WhichFork::Attr => core.attr_fork_size(geo),
        })
    }

    /// Mappings that need no tree.
    pub(super) fn capacity(&self) -> Result<u64> {
        Ok((self.room()? / RECORD_SIZE) as u64)
    }

    pub(super) fn is_tree(&self) -> Result<bool> {
        Ok(matches!(
            self.inode()?.fork(self.which),
            Some(Fork::Btree(_))
        ))
    }

    /// Sees that the inode can count `n` mappings more. Where the file system has large counters and
    /// the inode does not, it gets them. Who makes several changes in one transaction asks for all
    /// of them first.
    ///
    /// # Errors
    ///
    /// `TooLarge` for more than can be counted; then nothing has changed.
    pub fn make_room(&mut self, n: u64) -> Result {
        let attr = self.which == WhichFork::Attr;
        let count = self.count()?.checked_add(n).ok_or(Error::TooLarge)?;
        let large = self.inode()?.core.flags2.has(Flags2::NREXT64);
        if count <= max_extents(large, attr) {
            return Ok(());
        }
        if large || !self.trans.geometry().features.nrext64() || count > max_extents(true, attr) {
            return Err(Error::TooLarge);
        }
        let core = &mut self.change()?.core;
        core.flags2 = Flags2(core.flags2.0 | Flags2::NREXT64);
        Ok(())
    }

    /// A path in the fork's tree, and the hook that goes with it.
    pub(super) fn path(&self) -> Result<Path<BlockId, Bmap>> {
        let inode = self.inode()?;
        let scope = ForkOf::new(inode.number, &inode.core, self.which).scope();
        Ok(Path::new(scope, inode.number.0))
    }

    /// The fork's tree, for one call into the engine.
    pub(super) fn tree(&mut self) -> Result<InTrans<'_, 'a, J, MapHook<'_, 'd, J>>> {
        let near = self.near()?;
        Ok(InTrans {
            trans: &mut *self.trans,
            hook: MapHook {
                deferred: &mut *self.deferred,
                inode: self.id,
                which: self.which,
                near,
            },
            home: AgNumber(0),
        })
    }

    /// Where blocks of the inode are wanted, when nothing else says where: near itself.
    pub(super) fn near(&self) -> Result<FsBlock> {
        inode_block(self.trans.geometry(), self.number()?)
    }

    /// Blocks that the fork's tree needs at the most to take `n` mappings more at `at`.
    pub(super) fn growth(&mut self, at: FileBlock, n: u64) -> Result<u64> {
        if n == 0 {
            return Ok(0);
        }
        if !self.is_tree()? {
            let count = self.count()?.saturating_add(n);
            return Ok(u64::from(count > self.capacity()?));
        }
        let mut path = self.path()?;
        let mut tree = self.tree()?;
        let n = usize::try_from(n).map_err(|_| Error::TooLarge)?;
        let blocks = path.growth(&mut tree, &at, n)?;
        path.reset(&mut tree);
        Ok(blocks.into())
    }

    /// Makes an edit of one mapping, within `from..end`, after which the fork has at most `more`
    /// mappings more.
    ///
    /// # Errors
    ///
    /// `TooLarge` and `NoSpace`, and those of `edit`; then nothing has changed. Those of changing the
    /// tree, after which the transaction must not be committed.
    pub(super) fn edit(
        &mut self,
        from: FileBlock,
        end: FileBlock,
        more: u64,
        edit: impl FnOnce(&mut ExtentMap) -> Result,
    ) -> Result {
        let before = Window::of(self.extents()?, from, end)?;
        if self.growth(from, more)? > self.trans.claimed().blocks {
            return Err(Error::NoSpace);
        }
        self.make_room(more)?;
        edit(self.extents_mut()?)?;
        let after = Window::of(self.extents()?, from, end)?;
        self.follow(&before, &after)
    }

    /// Brings the fork on the disk in line with the map in memory, where it had `before` and has
    /// `after`.
    pub(super) fn follow(&mut self, before: &Window, after: &Window) -> Result {
        let (old, new) = before.differing(after);
        if old.is_empty() && new.is_empty() {
            return Ok(());
        }
        let count = self
            .count()?
            .checked_add(after.count() as u64)
            .and_then(|count| count.checked_sub(before.count() as u64))
            .ok_or_else(|| self.corrupt("extent count"))?;
        self.set_count(count)?;
        match (self.is_tree()?, count > self.capacity()?) {
            (false, false) => {
                let fields = fields(self.which);
                self.trans.change_inode(self.id, fields)?;
                Ok(())
            }
            (false, true) => self.grow_tree(self.room()?),
            (true, false) => self.fold_tree(),
            (true, true) => self.update_tree(old, new),
        }
    }

    /// Replaces records of the tree by others that cover no more of the file than those and what was
    /// unmapped between them.
    fn update_tree(&mut self, old: &[BmapRecord], new: &[BmapRecord]) -> Result {
        let mut path = self.path()?;
        let mut tree = self.tree()?;
        let pairs = old.len().min(new.len());
        let (old, gone) = old.split_at_checked(pairs).ok_or(Error::Invalid)?;
        let (new, come) = new.split_at_checked(pairs).ok_or(Error::Invalid)?;
        for record in gone {
            stand_on(&mut path, &mut tree, record)?;
            path.delete(&mut tree)?;
        }
        let mut replace = |(old, new): (&BmapRecord, &BmapRecord)| {
            stand_on(&mut path, &mut tree, old)?;
            path.update(&mut tree, new)
        };
        // None may reach into the next before that has given way.
        let mut both = old.iter().zip(new);
        if both.clone().any(|(old, new)| new.end() > old.end()) {
            both.rev().try_for_each(&mut replace)?;
        } else {
            both.try_for_each(&mut replace)?;
        }
        for record in come {
            path.insert(&mut tree, record)?;
        }
        path.reset(&mut tree);
        Ok(())
    }
}

/// Goes to a record that is there.
fn stand_on<A: BlocksMut<Bmap, Block = BlockId>>(
    path: &mut Path<BlockId, Bmap>,
    tree: &mut A,
    record: &BmapRecord,
) -> Result {
    match path.lookup_eq(tree, &record.offset)? {
        Some(found) if found == *record => Ok(()),
        _ => Err(path.inconsistent(tree, "record")),
    }
}
