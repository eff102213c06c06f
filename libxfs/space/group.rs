// SPDX-License-Identifier: GPL-2.0

//! What memory knows of a group and the disk does not.

use super::busy::Busy;

/// What is known of a group while the file system is mounted. The journal keeps one for each group;
/// see [`Journal::with_group`](crate::libxfs::journal::Journal::with_group).
///
/// It is changed by who holds the group's header (AGF), and read by anybody.
#[derive(Debug, Default)]
pub struct Group {
    /// Blocks that are free, and must not be written past the log yet.
    pub busy: Busy,
    /// Blocks for the reference-count tree and the free-inode tree.
    pub metadata: Reservation,
    /// Blocks for the reverse-mapping tree. They come from the group's list and are counted as free,
    /// used or not.
    pub rmap: Reservation,
}

/// Blocks of a group that are kept for trees which must be able to grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Blocks that the trees may have in all.
    pub asked: u32,
    /// Blocks of these that they do not have yet.
    pub left: u32,
    /// Blocks that were taken from the free counter for it.
    pub hidden: u32,
}

impl Reservation {
    /// Takes up to `n` blocks from it. Returns how many more are needed.
    pub fn take(&mut self, n: u32) -> u32 {
        let taken = n.min(self.left);
        self.left = self.left.saturating_sub(taken);
        n.saturating_sub(taken)
    }

    /// Gives back up to `n` blocks, as far as the trees had more than is left. Returns how many are
    /// too much.
    pub fn give(&mut self, n: u32) -> u32 {
        let given = n.min(self.asked.saturating_sub(self.left));
        self.left = self.left.saturating_add(given);
        n.saturating_sub(given)
    }
}
