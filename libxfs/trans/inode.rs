// SPDX-License-Identifier: GPL-2.0

//! The inodes that a transaction holds.

use crate::libxfs::{error::Result, format::units::InodeNumber, inode::Inode};
use core::ops::{BitOr, BitOrAssign, DerefMut};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Names an inode that a transaction holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeId(u32);

/// Parts of an inode that are logged. Which form a fork is logged in follows from the form that it
/// has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeFields(u8);

impl InodeFields {
    /// None.
    pub const NONE: Self = Self(0);
    /// The core. It is logged with any other part, too.
    pub const CORE: Self = Self(1);
    /// The data fork.
    pub const DATA: Self = Self(1 << 1);
    /// The attribute fork.
    pub const ATTR: Self = Self(1 << 2);
    /// All of them, as of an inode that is new.
    pub const ALL: Self = Self(Self::CORE.0 | Self::DATA.0 | Self::ATTR.0);

    /// Whether all parts of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for InodeFields {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for InodeFields {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// An inode that a transaction holds.
pub struct HeldInode<I> {
    inode: I,
    fields: InodeFields,
}

impl<I: DerefMut<Target = Inode>> HeldInode<I> {
    /// The parts that were changed.
    pub fn fields(&self) -> InodeFields {
        self.fields
    }

    /// The inode.
    pub fn inode(&self) -> &Inode {
        &self.inode
    }

    /// What the engine locked, alone.
    pub fn into_locked(self) -> I {
        self.inode
    }

    /// What the engine locked.
    pub fn locked(&mut self) -> &mut I {
        &mut self.inode
    }
}

/// All inodes of a transaction.
pub(super) struct Inodes<I>(KVec<HeldInode<I>>);

impl<I: DerefMut<Target = Inode>> Inodes<I> {
    pub(super) const fn new() -> Self {
        Self(KVec::new())
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [HeldInode<I>] {
        &mut self.0
    }

    pub(super) fn join(&mut self, inode: I) -> Result<InodeId> {
        let id = InodeId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        let fields = InodeFields::NONE;
        self.0.push(HeldInode { inode, fields }, GFP_KERNEL)?;
        Ok(id)
    }

    pub(super) fn find(&self, number: InodeNumber) -> Option<InodeId> {
        let index = self
            .0
            .iter()
            .position(|held| held.inode().number == number)?;
        u32::try_from(index).ok().map(InodeId)
    }

    pub(super) fn get(&self, id: InodeId) -> Option<&Inode> {
        self.0.get(id.0 as usize).map(HeldInode::inode)
    }

    /// The inode itself: what is changed there is not logged.
    pub(super) fn get_mut(&mut self, id: InodeId) -> Option<&mut Inode> {
        self.0.get_mut(id.0 as usize).map(|held| &mut *held.inode)
    }

    pub(super) fn change(&mut self, id: InodeId, fields: InodeFields) -> Option<&mut Inode> {
        let held = self.0.get_mut(id.0 as usize)?;
        held.fields |= fields | InodeFields::CORE;
        Some(&mut held.inode)
    }

    /// All inodes are clean from now on.
    pub(super) fn settle(&mut self) {
        for held in &mut *self.0 {
            held.fields = InodeFields::NONE;
        }
    }

    /// The inodes themselves, still locked.
    pub(super) fn take(&mut self) -> KVec<HeldInode<I>> {
        core::mem::replace(&mut self.0, KVec::new())
    }
}
