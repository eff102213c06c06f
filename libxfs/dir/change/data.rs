// SPDX-License-Identifier: GPL-2.0

//! Blocks of entries: entries come and go, and the header's list of the longest unused stretches
//! follows.

use super::{DirMut, Located, NewEntry};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    format::{
        dir::{
            data::{BestFree, DataBlock, DataHeader, Record, DATA_MAGIC, UNUSED_TAG},
            entry_size,
            space::{DirBlock, FIRST_ENTRY},
            BlockHeader,
        },
        fault::Fault,
        kind::Kind,
        units::InodeNumber,
    },
    journal::Journal,
    trans::BlockId,
};
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

/// An unused stretch of a data block, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Stretch {
    pub(super) const fn end(&self) -> u32 {
        self.offset.saturating_add(self.length)
    }
}

/// The longest unused stretches of a block, longest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Longest {
    list: [Stretch; 3],
    /// No stretch that was not in the list is longer than this; 0 when all were.
    bound: u32,
}

impl Longest {
    pub(super) fn of(header: &DataHeader) -> Self {
        let list = header.best_free.map(|free| Stretch {
            offset: free.offset.get().into(),
            length: free.length.get().into(),
        });
        let [_, _, last] = list;
        Self {
            list,
            bound: last.length,
        }
    }

    /// The longest.
    pub(super) const fn first(&self) -> Stretch {
        let [first, ..] = self.list;
        first
    }

    fn remove(&mut self, stretch: Stretch) {
        if let Some(at) = self.list.iter().position(|other| *other == stretch) {
            if let Some(tail) = self.list.get_mut(at..) {
                tail.rotate_left(1);
            }
            let [_, _, last] = &mut self.list;
            *last = Stretch::default();
        }
    }

    fn insert(&mut self, stretch: Stretch) {
        let shorter = |other: &Stretch| other.length < stretch.length;
        if let Some(tail) = self
            .list
            .iter()
            .position(shorter)
            .and_then(|at| self.list.get_mut(at..))
        {
            tail.rotate_right(1);
            if let Some(slot) = tail.first_mut() {
                *slot = stretch;
            }
        }
    }

    /// Whether nothing that the list lacks can be longer than what it has.
    const fn is_whole(&self) -> bool {
        let [_, _, last] = self.list;
        last.length >= self.bound
    }

    fn to_disk(self) -> [BestFree; 3] {
        self.list.map(|stretch| BestFree {
            offset: U16::new(stretch.offset as u16),
            length: U16::new(stretch.length as u16),
        })
    }
}

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    /// A block of entries, in block form or not.
    pub(super) fn data(&self, block: BlockId) -> Result<DataBlock<'_>> {
        DataBlock::view(self.names.trans.bytes(block))
            .map_err(|fault| self.names.fault(block, fault))
    }

    /// Reads data block `number` of a directory that is not in block form.
    pub(super) fn get_data(&mut self, number: DirBlock) -> Result<BlockId> {
        let at = self.geo.file_block(number);
        let block = self.names.get(at, Kind::DirData)?;
        self.check_owner(block)?;
        Ok(block)
    }

    /// That a data block is the directory's.
    pub(super) fn check_owner(&self, block: BlockId) -> Result {
        let data = self.data(block)?;
        let header = &data.header.block;
        header
            .check_owner(self.names.owner, data.structure())
            .map_err(|fault| self.names.fault(block, fault))
    }

    /// Allocates data block `number`, with nothing in it.
    pub(super) fn new_data(&mut self, number: DirBlock) -> Result<BlockId> {
        let at = self.geo.file_block(number);
        let block = self.names.grow(at, Kind::DirData)?;
        let all = Stretch {
            offset: FIRST_ENTRY,
            length: self.data_room(),
        };
        let none = Stretch::default();
        let longest = Longest {
            list: [all, none, none],
            bound: 0,
        };
        let header = DataHeader {
            block: self.block_header(block, DATA_MAGIC)?,
            best_free: longest.to_disk(),
            pad: U32::new(0),
        };
        *self.names.trans.change_as(block, 0)? = header;
        self.put_unused(block, all)?;
        self.update_size()?;
        Ok(block)
    }

    /// The header that data and free index blocks start with.
    pub(super) fn block_header(&self, block: BlockId, magic: u32) -> Result<BlockHeader> {
        let (_, at) = self.names.trans.place(block).ok_or(Error::Invalid)?;
        Ok(BlockHeader {
            magic: U32::new(magic),
            crc: [0; 4],
            blkno: U64::new(at.0),
            lsn: U64::new(0),
            uuid: self.names.geometry().meta_uuid,
            owner: U64::new(self.names.owner.0),
        })
    }

    /// The longest unused stretch of a block, of length 0 when there is none.
    pub(super) fn longest(&self, block: BlockId) -> Result<Stretch> {
        Ok(Longest::of(self.data(block)?.header).first())
    }

    /// The unused stretch that ends where entries do.
    pub(super) fn unused_at_end(&self, block: BlockId) -> Result<Option<Stretch>> {
        let data = self.data(block)?;
        self.unused_before(block, data.end())
    }

    /// The unused stretch that ends at `end`, if what ends there is one.
    fn unused_before(&self, block: BlockId, end: u32) -> Result<Option<Stretch>> {
        if end <= FIRST_ENTRY {
            return Ok(None);
        }
        let bytes = self.names.trans.bytes(block);
        let corrupt = || self.names.trans.corrupt(block, "dir3 data", "tag");
        // The tag of what lies before says where that starts.
        let offset = be16(bytes, end.saturating_sub(2)).ok_or_else(corrupt)?;
        if offset < FIRST_ENTRY || offset >= end {
            return Err(corrupt());
        }
        Ok(self
            .unused_at(block, offset)
            .filter(|found| found.end() == end))
    }

    /// The unused stretch that starts at `offset`, if one does.
    fn unused_at(&self, block: BlockId, offset: u32) -> Option<Stretch> {
        let bytes = self.names.trans.bytes(block);
        if be16(bytes, offset)? != u32::from(UNUSED_TAG) {
            return None;
        }
        let length = be16(bytes, offset.saturating_add(2))?;
        Some(Stretch { offset, length })
    }

    /// Writes the ends of an unused stretch.
    fn put_unused(&mut self, block: BlockId, stretch: Stretch) -> Result {
        let at = stretch.offset as usize;
        let tag = stretch.end().checked_sub(2).ok_or(Error::Invalid)?;
        self.names.put_u16(block, at, UNUSED_TAG)?;
        self.names
            .put_u16(block, at.saturating_add(2), stretch.length as u16)?;
        self.names
            .put_u16(block, tag as usize, stretch.offset as u16)
    }

    /// Takes `length` bytes at `offset` out of an unused stretch. What lies there has to be written
    /// before the list [is](Self::set_longest).
    pub(super) fn carve(
        &mut self,
        block: BlockId,
        from: Stretch,
        offset: u32,
        length: u32,
    ) -> Result<Longest> {
        let end = offset.saturating_add(length);
        let corrupt = || self.names.trans.corrupt(block, "dir3 data", "bestfree");
        let before = offset.checked_sub(from.offset).ok_or_else(corrupt)?;
        let after = from.end().checked_sub(end).ok_or_else(corrupt)?;
        if self.unused_at(block, from.offset) != Some(from) {
            return Err(corrupt());
        }
        let mut longest = Longest::of(self.data(block)?.header);
        longest.remove(from);
        for (offset, length) in [(from.offset, before), (end, after)] {
            if length > 0 {
                let rest = Stretch { offset, length };
                self.put_unused(block, rest)?;
                longest.insert(rest);
            }
        }
        Ok(longest)
    }

    /// Writes the list of the longest stretches; where it may lack one, they are looked for.
    pub(super) fn set_longest(&mut self, block: BlockId, mut longest: Longest) -> Result {
        if !longest.is_whole() {
            longest = Longest {
                list: Default::default(),
                bound: 0,
            };
            for record in self.data(block)?.records() {
                let record = record.map_err(|fault| self.names.fault(block, fault))?;
                if let Record::Unused { offset, length } = record {
                    longest.insert(Stretch { offset, length });
                }
            }
        }
        let at = offset_of!(DataHeader, best_free);
        *self.names.trans.change_as(block, at)? = longest.to_disk();
        Ok(())
    }

    /// Makes `length` bytes at `offset` an unused stretch, one with those beside it.
    pub(super) fn give(&mut self, block: BlockId, offset: u32, length: u32) -> Result {
        let data = self.data(block)?;
        let end = offset.saturating_add(length);
        if offset < FIRST_ENTRY || end > data.end() {
            return Err(Error::Invalid);
        }
        let mut longest = Longest::of(data.header);
        let at_end = end == data.end();
        let before = self.unused_before(block, offset)?;
        let after = if at_end {
            None
        } else {
            self.unused_at(block, end)
        };
        let mut whole = Stretch { offset, length };
        for beside in [before, after].into_iter().flatten() {
            longest.remove(beside);
            whole.offset = whole.offset.min(beside.offset);
            whole.length = whole.length.saturating_add(beside.length);
        }
        self.put_unused(block, whole)?;
        longest.insert(whole);
        self.set_longest(block, longest)
    }

    /// Puts an entry at the start of an unused stretch.
    pub(super) fn put_entry(
        &mut self,
        block: BlockId,
        from: Stretch,
        entry: &NewEntry<'_>,
    ) -> Result {
        self.put_entry_at(block, from, from.offset, entry)
    }

    /// Puts an entry at `offset` in an unused stretch.
    pub(super) fn put_entry_at(
        &mut self,
        block: BlockId,
        from: Stretch,
        offset: u32,
        entry: &NewEntry<'_>,
    ) -> Result {
        let longest = self.carve(block, from, offset, entry.size())?;
        self.write_entry(block, offset, entry)?;
        self.set_longest(block, longest)
    }

    fn write_entry(&mut self, block: BlockId, offset: u32, entry: &NewEntry<'_>) -> Result {
        let start = offset as usize;
        let end = start.saturating_add(entry.size() as usize);
        let bytes = self.names.trans.change(block, start..end)?;
        let (inode, rest) = bytes.split_first_chunk_mut::<8>().ok_or(Error::Invalid)?;
        *inode = entry.inode.0.to_be_bytes();
        let (name_len, rest) = rest.split_first_mut().ok_or(Error::Invalid)?;
        *name_len = u8::try_from(entry.name.len()).map_err(|_| Error::Invalid)?;
        let (name, rest) = rest
            .split_at_mut_checked(entry.name.len())
            .ok_or(Error::Invalid)?;
        name.copy_from_slice(entry.name);
        let (ftype, rest) = rest.split_first_mut().ok_or(Error::Invalid)?;
        *ftype = entry.ftype.to_disk();
        let (padding, tag) = rest.split_last_chunk_mut::<2>().ok_or(Error::Invalid)?;
        padding.fill(0);
        *tag = (offset as u16).to_be_bytes();
        Ok(())
    }

    /// Makes an entry's room unused.
    pub(super) fn free_entry(&mut self, found: &Located) -> Result {
        let length = entry_size(u8::try_from(found.name_len).map_err(|_| Error::Invalid)?);
        self.give(found.data, found.offset, length)
    }

    /// Has an entry that was found name another inode.
    pub(super) fn put_target(&mut self, found: &Located, entry: &NewEntry<'_>) -> Result {
        let start = found.offset as usize;
        *self.names.trans.change_as(found.data, start)? = U64::new(entry.inode.0);
        let ftype = start.saturating_add(9).saturating_add(found.name_len);
        let bytes = self
            .names
            .trans
            .change(found.data, ftype..ftype.saturating_add(1))?;
        bytes.fill(entry.ftype.to_disk());
        Ok(())
    }

    /// The inode that the entry at `offset` names, if it has that name.
    pub(super) fn entry_if_named(
        &self,
        block: BlockId,
        offset: u32,
        name: &[u8],
    ) -> Result<Option<InodeNumber>> {
        let data = self.data(block)?;
        let entry = data
            .entry_at(offset)
            .map_err(|fault: Fault| self.names.fault(block, fault))?;
        Ok((entry.name == name).then_some(entry.inode))
    }

    /// Whether a data block that is not in block form has no entry.
    pub(super) fn is_empty(&self, block: BlockId) -> Result<bool> {
        Ok(self.longest(block)?.length == self.data_room())
    }
}

fn be16(bytes: &[u8], at: u32) -> Option<u32> {
    let chunk = bytes.get(at as usize..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*chunk).into())
}
