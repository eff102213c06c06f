// SPDX-License-Identifier: GPL-2.0

//! Blocks that a power cut has torn: a part of them is as it was before the last write, the other as
//! it was to be.
//!
//! Nothing in such a block tells how old it is, and what is replayed over it may make no sense for a
//! while: a part of it is newer. But it was not in its place, so the log still has all that was
//! changed in it since it last was, and each of its items has all of that. So everything is replayed
//! into it, whatever its number says, and in the end it is right; not before that is it verified and
//! written. Its checksum gives it away, and that it is longer than what a disk writes at once.
//!
//! The kernel's driver takes such blocks for corrupt.

use super::{Recovery, Replay};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::{Fault, FaultKind},
        inode::Dinode,
        kind::Kind,
        stamp,
        units::{AgInode, DiskAddr, InodeNumber, Lsn, BASIC_BLOCK_SIZE},
    },
    store::Run,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// A torn block.
#[derive(Clone, Copy)]
struct Torn {
    run: Run,
    kind: Kind,
    /// Whether its stamp gets the LSN; else just the checksum is set.
    logged: bool,
    /// That of what was replayed last.
    lsn: Lsn,
}

/// All torn blocks, in the order of their places.
#[derive(Default)]
pub(super) struct TornBlocks(KVVec<Torn>);

impl TornBlocks {
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    fn find(&self, run: Run) -> core::result::Result<usize, usize> {
        let key = |torn: &Torn| (torn.run.at, torn.run.len);
        let wanted = (run.at, run.len);
        let index = self.0.partition_point(|torn| key(torn) < wanted);
        match self.0.get(index) {
            Some(torn) if key(torn) == wanted => Ok(index),
            _ => Err(index),
        }
    }

    /// Whether a block is one of them.
    pub(super) fn contains(&self, run: Run) -> bool {
        self.find(run).is_ok()
    }
}

/// Whether a checksum is all that is wrong, as far as one can tell.
fn is_checksum(verified: core::result::Result<(), Fault>) -> bool {
    matches!(verified, Err(fault) if fault.kind == FaultKind::Checksum)
}

impl<R: Replay> Recovery<'_, R> {
    /// Whether a block, which should be of that kind, was torn. Only what is part of this log can
    /// have been on its way to the disk.
    pub(super) fn is_torn(&self, kind: Option<Kind>, run: Run, block: &[u8]) -> bool {
        if self.torn.contains(run) {
            return true;
        }
        let Some(kind) = kind.filter(|_| block.len() > BASIC_BLOCK_SIZE as usize) else {
            return false;
        };
        let lsn = stamp::of_bytes(&self.geo, block).and_then(|stamp| stamp.lsn(&self.geo, block));
        lsn.is_some_and(|lsn| lsn < self.end) && is_checksum(kind.verify(&self.geo, run.at, block))
    }

    /// Whether an inode was torn.
    pub(super) fn is_inode_torn(&self, number: InodeNumber, lsn: Lsn, inode: &[u8]) -> bool {
        inode.len() > BASIC_BLOCK_SIZE as usize
            && lsn < self.end
            && is_checksum(Dinode::verified(&self.geo, number, inode).map(|_| ()))
    }

    /// Keeps a torn block that was changed, to be written as that kind in the end.
    pub(super) fn keep_torn(
        &mut self,
        block: R::Block,
        run: Run,
        kind: Kind,
        logged: bool,
    ) -> Result {
        let torn = Torn {
            run,
            kind,
            logged,
            lsn: self.lsn,
        };
        match self.torn.find(run) {
            Ok(index) => {
                if let Some(before) = self.torn.0.get_mut(index) {
                    *before = torn;
                }
            }
            Err(index) => {
                self.torn.0.reserve(1, GFP_KERNEL)?;
                self.torn
                    .0
                    .insert_within_capacity(index, torn)
                    .map_err(|_| Error::NoMemory)?;
            }
        }
        self.blocks.keep(block)
    }

    /// Writes all torn blocks: everything was replayed.
    pub(super) fn submit_torn(&mut self) -> Result {
        let torn = core::mem::take(&mut self.torn);
        for one in &torn.0 {
            let mut block = self.blocks.hold(one.run)?;
            let lsn = one.logged.then_some(one.lsn);
            one.kind.seal(&self.geo, &mut block, lsn);
            let verified = match one.kind {
                Kind::InodeCluster => self.verify_inodes(one.run.at, &block),
                kind => kind.verify(&self.geo, one.run.at, &block),
            };
            verified.map_err(|fault| Error::replay(fault, one.lsn, one.run.at))?;
            self.blocks.write(block)?;
        }
        self.blocks.finish()
    }

    /// Holds all inodes of a cluster to their rules.
    fn verify_inodes(&self, at: DiskAddr, cluster: &[u8]) -> core::result::Result<(), Fault> {
        let wrong = Fault::corrupt("inode cluster", "di_ino");
        let (ag, block) = self.geo.split_addr(at).ok_or(wrong)?;
        let first = block
            .0
            .checked_mul(self.geo.inodes_per_block)
            .ok_or(wrong)?;
        let size = (self.geo.inode_size as usize).max(1);
        for (index, inode) in cluster.chunks_exact(size).enumerate() {
            let number = first
                .checked_add(index as u32)
                .and_then(|number| self.geo.inode_number(ag, AgInode(number)))
                .ok_or(wrong)?;
            Dinode::verified(&self.geo, number, inode)?;
        }
        Ok(())
    }
}
