// SPDX-License-Identifier: GPL-2.0

//! What is asked of the whole device's space.

use super::{BlockOwner, Reserve};
use crate::libxfs::{alloc::Request, format::units::FsBlock};

/// Where an extent may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the target. Alignment is not asked for.
    Exact,
    /// Near the target, in its group.
    InGroup,
    /// Near the target, or in another group.
    Near,
    /// Wherever it fits best in the target's group, or in another one.
    Anywhere,
}

/// An extent that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Lengths and alignment. What can be had is counted, so that a maximum may be out of reach.
    pub request: Request,
    /// Which group to look at first, and what to be near to. Must lie on the device.
    pub target: FsBlock,
    /// How far from it the extent may lie.
    pub place: Place,
    /// Whose reverse mapping is added at once. [`NONE`](BlockOwner::NONE) for file data.
    pub owner: BlockOwner,
    /// What the blocks are taken from.
    pub reserve: Reserve,
    /// Blocks that must stay free in the group, for what the transaction will ask for later: once it
    /// holds that group it may have to do with it.
    pub keep: u32,
    /// Whether the transaction cannot do without, since it has changed other things by then: what it
    /// claimed, and what it left in the groups that it holds, are a promise that there is some.
    pub promised: bool,
}

impl Wanted {
    /// One block of metadata, which was promised.
    pub const fn metadata(target: FsBlock, place: Place, owner: BlockOwner) -> Self {
        Self {
            request: Request::new(1, 1),
            target,
            place,
            owner,
            reserve: Reserve::None,
            keep: 0,
            promised: true,
        }
    }

    /// An extent whose reverse mapping is for the caller to defer. What is written past the log asks
    /// for that in its [`Request`].
    pub const fn data(target: FsBlock, place: Place, request: Request) -> Self {
        Self {
            request,
            target,
            place,
            owner: BlockOwner::NONE,
            reserve: Reserve::None,
            keep: 0,
            promised: false,
        }
    }
}

/// Blocks of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first.
    pub start: FsBlock,
    /// How many; not 0.
    pub count: u32,
}
