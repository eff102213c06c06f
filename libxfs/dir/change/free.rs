// SPDX-License-Identifier: GPL-2.0

//! The free index of a directory in node form: the longest unused stretch of each data block.

use super::{leaf::fitting, DirMut};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    format::{
        dir::{
            free::{FreeHeader, FreeIndex, FREE_MAGIC, NO_BLOCK},
            space::DirBlock,
        },
        kind::Kind,
        units::FileBlock,
    },
    journal::Journal,
    trans::BlockId,
};
use core::mem::{offset_of, size_of};
use zerocopy::byteorder::big_endian::U32;

/// Bytes in front of the entries.
pub(super) const HEADER: usize = size_of::<FreeHeader>();

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    /// Data blocks that one free index block is about.
    fn free_capacity(&self) -> u32 {
        (self.block_size() as usize).saturating_sub(HEADER) as u32 / 2
    }

    /// Where the free index block about a data block lies, and the place in it.
    fn free_place(&self, number: DirBlock) -> (FileBlock, usize) {
        let capacity = self.free_capacity();
        let nth = number.0.checked_div(capacity).unwrap_or(0);
        let slot = number.0.checked_rem(capacity).unwrap_or(0);
        let offset = u64::from(nth).saturating_mul(self.geo.fs_blocks().into());
        let at = self.geo.free_start().0.saturating_add(offset);
        (FileBlock(at), slot as usize)
    }

    /// Reads the free index block at `at`.
    pub(super) fn get_free(&mut self, at: FileBlock) -> Result<BlockId> {
        let block = self.names.get(at, Kind::DirFree)?;
        self.free(block)?
            .check_place(&self.geo, self.names.owner, at)
            .map_err(|fault| self.names.fault(block, fault))?;
        Ok(block)
    }

    /// A free index block.
    pub(super) fn free(&self, block: BlockId) -> Result<FreeIndex<'_>> {
        FreeIndex::view(self.names.trans.bytes(block))
            .map_err(|fault| self.names.fault(block, fault))
    }

    /// Allocates the free index block at `at`, about nothing yet.
    pub(super) fn new_free(&mut self, at: FileBlock) -> Result<BlockId> {
        let block = self.names.grow(at, Kind::DirFree)?;
        let nth = at
            .distance_from(self.geo.free_start())
            .and_then(|offset| offset.checked_div(self.geo.fs_blocks().into()))
            .ok_or(Error::Invalid)?;
        let first = nth.saturating_mul(self.free_capacity().into());
        let header = FreeHeader {
            block: self.block_header(block, FREE_MAGIC)?,
            firstdb: U32::new(u32::try_from(first).map_err(|_| Error::NoSpace)?),
            nvalid: U32::new(0),
            nused: U32::new(0),
            pad: U32::new(0),
        };
        *self.names.trans.change_as(block, 0)? = header;
        Ok(block)
    }

    pub(super) fn set_free_counts(&mut self, free: BlockId, valid: usize, used: usize) -> Result {
        let at = offset_of!(FreeHeader, nvalid);
        self.names.put_u32(free, at, valid as u32)?;
        let at = offset_of!(FreeHeader, nused);
        self.names.put_u32(free, at, used as u32)
    }

    /// The first data block with room for `length` bytes.
    pub(super) fn find_room(&mut self, length: u32) -> Result<Option<DirBlock>> {
        let mut at = self.geo.free_start();
        while let Some(mapping) = self.names.fork()?.map().lookup(at) {
            at = mapping.offset.max(at);
            let block = self.get_free(at)?;
            let free = self.free(block)?;
            let first = free.header.firstdb.get();
            let slot = fitting(free.bests, length);
            self.names.trans.release(block);
            if let Some(slot) = slot {
                return Ok(Some(DirBlock(first.saturating_add(slot as u32))));
            }
            at = FileBlock(at.0.saturating_add(self.geo.fs_blocks().into()));
        }
        Ok(None)
    }

    /// Whether there is a free index block about a data block.
    fn has_free(&self, number: DirBlock) -> Result<bool> {
        let (at, _) = self.free_place(number);
        Ok(self.names.fork()?.map().get(at).is_some())
    }

    /// Notes the longest unused stretch of a data block that is there.
    pub(super) fn set_best_in_free(&mut self, number: DirBlock, best: u16) -> Result {
        let (at, slot) = self.free_place(number);
        let block = if self.has_free(number)? {
            self.get_free(at)?
        } else {
            self.new_free(at)?
        };
        let free = self.free(block)?;
        let (valid, used) = (free.bests.len(), free.header.nused.get() as usize);
        let old = free.bests.get(slot).map(|best| best.get());
        let place = |slot: usize| HEADER.saturating_add(slot.saturating_mul(2));
        if old == Some(best) {
            return Ok(());
        }
        if old.is_none() {
            let gap = place(valid)..place(slot);
            self.names.trans.change(block, gap)?.fill(0xff);
        }
        if old.is_none_or(|old| old == NO_BLOCK) {
            let valid = valid.max(slot.saturating_add(1));
            self.set_free_counts(block, valid, used.saturating_add(1))?;
        }
        self.names.put_u16(block, place(slot), best)
    }

    /// Notes that a data block is gone. The block about it goes too, once it is about nothing.
    pub(super) fn forget_best(&mut self, number: DirBlock) -> Result {
        let (at, slot) = self.free_place(number);
        let block = self.get_free(at)?;
        let free = self.free(block)?;
        let used = (free.header.nused.get() as usize).saturating_sub(1);
        let valid = free.bests.len();
        if free
            .bests
            .get(slot)
            .is_none_or(|best| best.get() == NO_BLOCK)
        {
            return Err(self.names.trans.corrupt(block, "dir3 free", "bests"));
        }
        let mut left = free.bests.get(..slot).unwrap_or_default().iter();
        let valid = if slot.saturating_add(1) == valid {
            // Nothing is kept about what is behind the last one.
            left.rposition(|best| best.get() != NO_BLOCK)
                .map_or(0, |last| last.saturating_add(1))
        } else {
            valid
        };
        if used == 0 && self.names.unmap(at)? {
            self.names.discard(block);
            return Ok(());
        }
        if slot < valid {
            let place = HEADER.saturating_add(slot.saturating_mul(2));
            self.names.put_u16(block, place, NO_BLOCK)?;
        }
        self.set_free_counts(block, valid, used)
    }

    /// Frees free index blocks at the end that are about nothing, and returns the first if it is
    /// the only one left.
    pub(super) fn only_free(&mut self) -> Result<Option<BlockId>> {
        loop {
            let last = self.names.fork()?.map().last().ok_or(Error::Invalid)?;
            let past = last.end().0.saturating_sub(self.geo.fs_blocks().into());
            let at = FileBlock(past);
            if at < self.geo.free_start() {
                return Err(Error::Invalid);
            }
            let block = self.get_free(at)?;
            if at == self.geo.free_start() {
                return Ok(Some(block));
            }
            if self.free(block)?.header.nused.get() != 0 || !self.names.unmap(at)? {
                self.names.trans.release(block);
                return Ok(None);
            }
            self.names.discard(block);
        }
    }
}
