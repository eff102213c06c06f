// SPDX-License-Identifier: GPL-2.0

//! What memory knows of a group and the disk does not.

use super::{BlockOwner, Busy, Reservation, Reserve};
use crate::libxfs::format::{btree::Owner, units::AgBlock};

/// What is known of a group while the file system is mounted. The journal keeps one for each group;
/// see [`Journal::with_group`](crate::libxfs::journal::Journal::with_group).
///
/// It is changed by who holds the group's header (AGF), and read by anybody.
#[derive(Debug, Default)]
pub struct Group {
    /// Blocks that are free, and must not be written past the log yet.
    pub busy: Busy<AgBlock>,
    /// Blocks for the reference-count tree and the free-inode tree.
    pub metadata: Reservation,
    /// Blocks for the reverse-mapping tree. They come from the group's list and are counted as free,
    /// used or not.
    pub rmap: Reservation,
    /// Whether nothing could be kept for the free-inode tree, which takes what is claimed then.
    pub(super) free_inodes_unreserved: bool,
}

impl Group {
    /// Where blocks of that owner come from, if they are to come from `reserve`.
    pub(super) fn serving(&self, reserve: Reserve, owner: BlockOwner) -> Reserve {
        if self.free_inodes_unreserved && owner.owner == Owner::InodeTrees {
            return Reserve::None;
        }
        reserve
    }
}
