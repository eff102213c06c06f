// SPDX-License-Identifier: GPL-2.0

//! What a check remembers of every inode in use.

use crate::libxfs::{
    error::Result,
    format::{
        dahash::NameHash,
        inode::{FileType, InodeCore},
        units::{AgInode, InodeNumber},
    },
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// An inode in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) number: InodeNumber,
    pub(super) file_type: FileType,
    pub(super) nlink: u32,
    pub(super) reflink: bool,
    /// Whether it belongs to the metadata directory tree.
    pub(super) metadata: bool,
    /// Next on its list of unlinked inodes.
    pub(super) next_unlinked: Option<AgInode>,
    /// Whether it was met on a list of unlinked inodes.
    pub(super) unlinked: bool,
    /// Entries that name it, `.` and `..` apart.
    pub(super) names: u32,
    /// Directories among a directory's entries.
    pub(super) subdirectories: u32,
    /// The last directory that was found to name it.
    pub(super) parent: Option<InodeNumber>,
    /// Where a directory's `..` leads.
    pub(super) dotdot: Option<InodeNumber>,
    /// Parent pointers.
    pub(super) parents: u32,
    /// Sums of [`link_digest`] over the entries that name it, and over its parent pointers.
    pub(super) names_digest: u64,
    pub(super) parents_digest: u64,
    /// Whether there is a way to a root, once that is known.
    pub(super) reachable: Option<bool>,
}

impl Seen {
    pub(super) fn new(number: InodeNumber, file_type: FileType, core: &InodeCore) -> Self {
        Self {
            number,
            file_type,
            nlink: core.nlink,
            reflink: core.is_reflink(),
            metadata: core.is_metadata(),
            next_unlinked: core.next_unlinked,
            unlinked: false,
            names: 0,
            subdirectories: 0,
            parent: None,
            dotdot: None,
            parents: 0,
            names_digest: 0,
            parents_digest: 0,
            reachable: None,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }
}

/// Inodes in use, by number. Put in in order of their numbers, as inode trees give them.
#[derive(Default)]
pub(super) struct InodeTable(KVVec<Seen>);

impl InodeTable {
    /// Puts an inode in; false for one that is not behind all others.
    pub(super) fn push(&mut self, seen: Seen) -> Result<bool> {
        if self.0.last().is_some_and(|last| last.number >= seen.number) {
            return Ok(false);
        }
        self.0.push(seen, GFP_KERNEL)?;
        Ok(true)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn at(&self, index: usize) -> Option<&Seen> {
        self.0.get(index)
    }

    fn position(&self, number: InodeNumber) -> Option<usize> {
        self.0
            .binary_search_by_key(&number, |seen| seen.number)
            .ok()
    }

    pub(super) fn get(&self, number: InodeNumber) -> Option<&Seen> {
        self.0.get(self.position(number)?)
    }

    pub(super) fn get_mut(&mut self, number: InodeNumber) -> Option<&mut Seen> {
        let position = self.position(number)?;
        self.0.get_mut(position)
    }
}

/// Mixes `word` into `state`, with multiplications that spread each bit over all others.
fn mixed(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 29)
}

/// A digest of a name, beside its hash: names that share both are taken for equal.
pub(super) fn name_digest(name: &[u8]) -> u64 {
    let mut state = mixed(name.len() as u64, u64::from(NameHash::of(name).0));
    for part in name.chunks(8) {
        let word = part
            .iter()
            .fold(0, |word, &byte| (word << 8) | u64::from(byte));
        state = mixed(state, word);
    }
    state
}

/// A digest of a directory entry as the entry tells it, and as the parent pointer does that mirrors
/// it. Sums of these are equal where the sets of links are.
pub(super) fn link_digest(directory: InodeNumber, generation: u32, name: &[u8]) -> u64 {
    mixed(mixed(name_digest(name), directory.0), u64::from(generation))
}
