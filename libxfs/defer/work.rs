// SPDX-License-Identifier: GPL-2.0

//! How far work was done, and what is left of it.

use crate::libxfs::{
    error::{Error, Result},
    format::btree::Owner,
    items::{BmapUpdate, ExtentFree, RefcountUpdate, RmapUpdate, Work},
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// How far work was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Parts that are done.
    pub(super) parts: usize,
    /// Blocks of the next one that are done.
    pub(super) blocks: u32,
}

impl Progress {
    /// Counts `done` of a part's `count` blocks; whether that is all of them.
    pub(super) fn add(&mut self, done: u32, count: u32) -> bool {
        let whole = done >= count;
        if whole {
            self.parts = self.parts.saturating_add(1);
        } else {
            self.blocks = done;
        }
        whole
    }

    /// Whether any part is done.
    pub(super) fn has_begun(&self) -> bool {
        self.parts != 0
    }

    /// Whether nothing at all was done.
    pub(super) fn is_none(&self) -> bool {
        self.parts == 0 && self.blocks == 0
    }
}

/// A part of work: an extent, of which the first blocks can be done before the others.
pub(super) trait Part: Copy {
    /// What is left when `n` blocks are done; `None` for all, or more.
    fn behind(&self, n: u32) -> Option<Self>;
}

impl Part for ExtentFree {
    fn behind(&self, n: u32) -> Option<Self> {
        Some(Self {
            start: self.start.checked_add(n.into())?,
            count: self.count.checked_sub(n).filter(|&left| left != 0)?,
            ..*self
        })
    }
}

impl Part for RefcountUpdate {
    fn behind(&self, n: u32) -> Option<Self> {
        Some(Self {
            start: self.start.checked_add(n.into())?,
            count: self.count.checked_sub(n).filter(|&left| left != 0)?,
            ..*self
        })
    }
}

impl Part for RmapUpdate {
    fn behind(&self, n: u32) -> Option<Self> {
        let moves = matches!(self.owner, Owner::Inode(_)) && !self.flags.bmbt_block;
        Some(Self {
            start: self.start.checked_add(n.into())?,
            count: self.count.checked_sub(n).filter(|&left| left != 0)?,
            offset: self.offset.checked_add(if moves { n.into() } else { 0 })?,
            ..*self
        })
    }
}

impl Part for BmapUpdate {
    fn behind(&self, n: u32) -> Option<Self> {
        Some(Self {
            start: self.start.checked_add(n.into())?,
            count: self.count.checked_sub(n).filter(|&left| left != 0)?,
            offset: self.offset.checked_add(n.into())?,
            ..*self
        })
    }
}

fn rest_of<P: Part>(parts: &[P], progress: Progress) -> Result<KVec<P>> {
    let parts = parts.get(progress.parts..).unwrap_or_default();
    let mut rest = KVec::with_capacity(parts.len(), GFP_KERNEL)?;
    rest.extend_from_slice(parts, GFP_KERNEL)?;
    if progress.blocks != 0 {
        if let Some(first) = rest.first_mut() {
            *first = first.behind(progress.blocks).ok_or(Error::Invalid)?;
        }
    }
    Ok(rest)
}

impl Work {
    /// Whether the other is of the same kind, and about the same device.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ExtentFree(one, _), Self::ExtentFree(other, _))
            | (Self::RmapUpdate(one, _), Self::RmapUpdate(other, _))
            | (Self::RefcountUpdate(one, _), Self::RefcountUpdate(other, _)) => one == other,
            (Self::BmapUpdate(_), Self::BmapUpdate(_)) | (Self::Exchange(_), Self::Exchange(_)) => {
                true
            }
            (Self::AttrUpdate(one), Self::AttrUpdate(other)) => one.inode == other.inode,
            _ => false,
        }
    }

    /// What is left of work on extents; `None` when it is done.
    pub(super) fn rest(&self, progress: Progress) -> Result<Option<Self>> {
        let rest = match self {
            Self::ExtentFree(device, parts) => Self::ExtentFree(*device, rest_of(parts, progress)?),
            Self::RmapUpdate(device, parts) => Self::RmapUpdate(*device, rest_of(parts, progress)?),
            Self::RefcountUpdate(device, parts) => {
                Self::RefcountUpdate(*device, rest_of(parts, progress)?)
            }
            // These tell by themselves what is left.
            Self::BmapUpdate(_) | Self::AttrUpdate(_) | Self::Exchange(_) => return Ok(None),
        };
        Ok(Some(rest).filter(|rest| !rest.is_empty()))
    }
}
