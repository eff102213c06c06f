// SPDX-License-Identifier: GPL-2.0

//! Values with blocks of their own.
//!
//! They are not logged. Blocks are mapped in one transaction, and written, past the log, in the
//! next, before it makes the value known: a block that is free as far as the log on the disk knows
//! might still be another's when the system goes down.

use super::{AttrChange, AttrMut, Stage};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    format::{
        attr::{
            remote::{self, RemoteHeader, REMOTE_MAGIC},
            AttrFlags,
        },
        fault::Fault,
        kind::Kind,
        units::{DiskAddr, FileBlock},
    },
    inode::WhichFork,
    journal::Journal,
    store::{Device, Run},
    trans::BlockId,
};
use core::mem::size_of;
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    IntoBytes,
};

/// Most bytes that are written at once.
const MAX_RUN: u32 = 65536;

impl<J: Journal, S: ForkSpace<J>> AttrMut<'_, '_, J, S> {
    /// The first hole of the fork that holds `blocks` blocks.
    fn hole_of(&self, blocks: u32) -> Result<FileBlock> {
        let fork = self.names.fork()?;
        let mut at = FileBlock(0);
        loop {
            at = fork.map().next_hole(at);
            let end = at.checked_add(blocks.into()).ok_or(Error::NoSpace)?;
            if end.0 > 1 << 32 {
                return Err(Error::NoSpace);
            }
            match fork.map().lookup(at) {
                Some(next) if next.offset < end => at = next.end(),
                _ => return Ok(at),
            }
        }
    }

    pub(super) fn map_value(&mut self, change: &AttrChange<'_>, old: bool) -> Result<Stage> {
        let length = change.wanted().value.len() as u32;
        let blocks = remote::blocks_for(self.names.geometry(), length);
        let start = self.hole_of(blocks)?;
        let id = self.names.inode;
        self.names
            .space
            .map(self.names.trans, id, WhichFork::Attr, start, blocks)?;
        Ok(Stage::WriteValue { start, old })
    }

    pub(super) fn write_value(
        &mut self,
        change: &AttrChange<'_>,
        start: FileBlock,
        old: bool,
    ) -> Result<Stage> {
        let value = change.wanted().value;
        let geo = self.names.geometry();
        let length = value.len() as u32;
        let blocks = remote::blocks_for(geo, length);
        let each = remote::bytes_per_block(geo) as usize;
        let most = MAX_RUN.checked_div(geo.block_size).unwrap_or(1).max(1);
        let mut parts = value.chunks(each.max(1));
        let mut offset = 0u32;
        let mut at = start;
        let end = FileBlock(start.0.saturating_add(blocks.into()));
        while at < end {
            let hole = || Error::inode(Fault::corrupt("attr fork", "block map"), self.names.owner);
            let stop = FileBlock(at.0.saturating_add(most.into())).min(end);
            let fork = self.names.fork()?;
            let mapping = fork
                .map()
                .get(at)
                .and_then(|mapping| mapping.trimmed(at, stop))
                .ok_or_else(hole)?;
            let run = Run {
                at: geo.fs_block_addr(mapping.start.data()).ok_or_else(hole)?,
                len: (mapping.len as u32).saturating_mul(geo.basic_blocks_per_block()),
            };
            let mut bytes: KVVec<u8> = KVVec::new();
            let size = (mapping.len as usize).saturating_mul(geo.block_size as usize);
            bytes.resize(size, 0, GFP_KERNEL)?;
            let mut addr = run.at;
            for block in bytes.chunks_exact_mut(geo.block_size as usize) {
                let part = parts.next().unwrap_or_default();
                self.fill(block, addr, offset, part)?;
                offset = offset.saturating_add(part.len() as u32);
                let next = u64::from(geo.basic_blocks_per_block());
                addr = DiskAddr(addr.0.saturating_add(next));
            }
            at = mapping.end();
            Kind::AttrRemote.seal(geo, &mut bytes, None);
            Kind::AttrRemote
                .verify(geo, run.at, &bytes)
                .map_err(|fault| Error::block(fault, Device::Data, run.at))?;
            self.names
                .space
                .write_value(self.names.trans, run, &bytes)?;
        }
        let found = self.find_new(change)?;
        self.set_remote(found.0, found.1, start, length)?;
        if old {
            return Ok(Stage::Exchange);
        }
        let flags = AttrFlags(change.namespace as u8);
        self.set_flags(found.0, found.1, flags)?;
        Ok(Stage::Done)
    }

    /// Where the attribute is that was added.
    fn find_new(&mut self, change: &AttrChange<'_>) -> Result<(BlockId, usize)> {
        let added = AttrChange {
            attr: change.wanted(),
            renamed: None,
            ..*change
        };
        let found = self.find_left(&added, true)?;
        Ok((found.block, found.slot))
    }

    /// Makes a block of a value.
    fn fill(&self, block: &mut [u8], at: DiskAddr, offset: u32, part: &[u8]) -> Result {
        let header = RemoteHeader {
            magic: U32::new(REMOTE_MAGIC),
            offset: U32::new(offset),
            bytes: U32::new(part.len() as u32),
            crc: [0; 4],
            uuid: self.names.geometry().meta_uuid,
            owner: U64::new(self.names.owner.0),
            blkno: U64::new(at.0),
            lsn: U64::new(u64::MAX),
        };
        let (head, rest) = block
            .split_at_mut_checked(size_of::<RemoteHeader>())
            .ok_or(Error::Invalid)?;
        head.copy_from_slice(header.as_bytes());
        rest.get_mut(..part.len())
            .ok_or(Error::Invalid)?
            .copy_from_slice(part);
        Ok(())
    }

    /// Frees the blocks of the old attribute's value.
    pub(super) fn unmap_old(&mut self, change: &AttrChange<'_>) -> Result<Stage> {
        let found = self.find_left(change, true)?;
        // Recovery comes here for whatever is marked, with blocks or without.
        let Some((start, length)) = found.remote else {
            return Ok(Stage::Remove);
        };
        let blocks = remote::blocks_for(self.names.geometry(), length);
        if start != FileBlock(0) && blocks > 0 {
            let id = self.names.inode;
            self.names
                .space
                .unmap(self.names.trans, id, WhichFork::Attr, start, blocks)?;
        }
        self.set_remote(found.block, found.slot, FileBlock(0), 0)?;
        Ok(Stage::Remove)
    }
}
