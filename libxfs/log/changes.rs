// SPDX-License-Identifier: GPL-2.0

//! Changes of a transaction as log items: blocks, by what they are, and inodes.

use super::items::Items;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        da,
        dir::leaf::LEAF1_MAGIC,
        kind::Kind,
        log::{
            buffer::{Tag, FLAG_GROUP_QUOTA, FLAG_INODES, FLAG_PROJECT_QUOTA, FLAG_USER_QUOTA},
            chunks::{ChunkMap, CHUNK_SIZE},
        },
        quota::{DiskDquot, QuotaType},
        rt::RtFile,
        units::BASIC_BLOCK_SIZE,
    },
    store::Run,
};
use core::ops::Range;
use zerocopy::FromBytes;

/// What the log calls a block, and the flags that its item has.
fn tag_of(kind: Kind, bytes: &[u8]) -> (Tag, u16) {
    let magic = da::magic_of(bytes);
    let tag = match kind {
        Kind::DirTree | Kind::AttrTree if magic == Some(da::NODE_MAGIC) => Tag::DaNode,
        Kind::DirTree if magic == Some(LEAF1_MAGIC) => Tag::DirLeaf1,
        Kind::DirTree => Tag::DirLeafN,
        Kind::AttrTree => Tag::AttrLeaf,
        Kind::AttrRemote => Tag::AttrRemote,
        Kind::DirData => Tag::DirData,
        Kind::DirBlock => Tag::DirBlock,
        Kind::DirLeaf => Tag::DirLeaf1,
        Kind::DirFree => Tag::DirFree,
        Kind::Superblock => Tag::Superblock,
        Kind::Agf => Tag::Agf,
        Kind::Agi => Tag::Agi,
        Kind::Agfl => Tag::Agfl,
        Kind::Btree(_) => Tag::Btree,
        Kind::Symlink => Tag::Symlink,
        Kind::Rt(RtFile::Bitmap) => Tag::RtBitmap,
        Kind::Rt(RtFile::Summary) => Tag::RtSummary,
        Kind::Raw | Kind::RtSuperblock => Tag::Unknown,
        // Inodes have items of their own; of their blocks the lists of unlinked ones are logged.
        Kind::InodeCluster => return (Tag::Inodes, FLAG_INODES),
        Kind::Dquots => {
            let first = DiskDquot::ref_from_prefix(bytes).ok();
            return match first.and_then(|(first, _)| QuotaType::from_disk(first.kind)) {
                Some(QuotaType::Group) => (Tag::GroupQuota, FLAG_GROUP_QUOTA),
                Some(QuotaType::Project) => (Tag::ProjectQuota, FLAG_PROJECT_QUOTA),
                Some(QuotaType::User) | None => (Tag::UserQuota, FLAG_USER_QUOTA),
            };
        }
    };
    (tag, 0)
}

/// The runs of a block, each with its bytes of it.
fn pieces(runs: &[Run]) -> impl Iterator<Item = (Run, Range<usize>)> + '_ {
    let mut start = 0usize;
    runs.iter().map(move |run| {
        let len = (run.len as usize).saturating_mul(BASIC_BLOCK_SIZE as usize);
        let end = start.saturating_add(len);
        let range = start..end;
        start = end;
        (*run, range)
    })
}

impl Items {
    /// Appends the changed chunks of a block, an item for each run in which there are any.
    ///
    /// The pieces of a block that lie apart are not told as what they are: recovery sees each by
    /// itself, and could set no checksum. Such a block must be [sealed](Kind::seal) beforehand, and
    /// its header be among what is logged.
    ///
    /// # Errors
    ///
    /// `Invalid` for a block that is too large, or of which nothing changed; `NoMemory`. Some of the
    /// pieces may have been appended then.
    pub fn block(&mut self, kind: Kind, runs: &[Run], changed: &ChunkMap, bytes: &[u8]) -> Result {
        let (tag, flags) = tag_of(kind, bytes);
        if let [run] = runs {
            return self.buffer((run.at, run.len), tag, flags, changed, bytes);
        }
        for (run, range) in pieces(runs) {
            let part = changed.part(range.start / CHUNK_SIZE, range.end / CHUNK_SIZE);
            if !part.is_empty() {
                let bytes = bytes.get(range).ok_or(Error::Invalid)?;
                self.buffer((run.at, run.len), Tag::Unknown, 0, &part, bytes)?;
            }
        }
        Ok(())
    }

    /// Appends that a block was freed: what the log has of it from before is not to be replayed.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    pub fn freed(&mut self, runs: &[Run]) -> Result {
        runs.iter()
            .try_for_each(|run| self.cancel((run.at, run.len)))
    }
}
