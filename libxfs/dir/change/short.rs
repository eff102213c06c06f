// SPDX-License-Identifier: GPL-2.0

//! Directories in short form: made anew whenever they change, for they are small.

use super::{index::ENTRY, DirMut, NewEntry};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        dahash::NameHash,
        dir::{
            data::{BlockTail, Record},
            entry_size,
            shortform::{ShortEntry, ShortForm},
            space::{DataPtr, DirBlock, DirGeometry},
            FileType,
        },
        fault::Fault,
        inode::ForkFormat,
        units::InodeNumber,
    },
    inode::{Fork, Inode},
    journal::Journal,
    trans::{BlockId, InodeFields, InodeId, Trans},
};
use core::mem::size_of;
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// The most entries, which one byte counts.
const MOST: usize = u8::MAX as usize;

/// A short form directory to be written.
struct Draft<'n> {
    parent: InodeNumber,
    /// In the order of their offsets.
    entries: KVec<ShortEntry<'n>>,
}

const fn is_wide(inode: InodeNumber) -> bool {
    inode.0 > u32::MAX as u64
}

/// Bytes of an entry besides its inode number: length, offset, name, type.
fn entry_base(name: &[u8]) -> usize {
    name.len().saturating_add(1 + 2 + 1)
}

impl<'n> Draft<'n> {
    /// Of a directory, with room for one entry more.
    fn of(dir: InodeNumber, short: &ShortForm<'n>) -> Result<Self> {
        let room = usize::from(short.count()).saturating_add(1);
        let mut entries = KVec::with_capacity(room, GFP_KERNEL)?;
        for entry in short.iter() {
            let entry = entry.map_err(|fault| Error::inode(fault, dir))?;
            entries.push(entry, GFP_KERNEL)?;
        }
        Ok(Self {
            parent: short.parent(),
            entries,
        })
    }

    fn wide_count(&self) -> usize {
        let wide = self.entries.iter().filter(|entry| is_wide(entry.inode));
        wide.count().saturating_add(is_wide(self.parent).into())
    }

    /// Bytes that it takes.
    fn size(&self) -> usize {
        let each = if self.wide_count() > 0 { 8usize } else { 4 };
        let sizes = self
            .entries
            .iter()
            .map(|entry| entry_base(entry.name).saturating_add(each));
        sizes.fold(each.saturating_add(2), usize::saturating_add)
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name == name)
    }

    /// Where an entry that takes `size` bytes of a data block would lie there: behind all others
    /// if that can be, else in the first gap; `None` when it does not fit.
    fn offset_for(&self, geo: &DirGeometry, size: u32) -> Option<u32> {
        let end_of = |entry: &ShortEntry<'_>| {
            entry
                .offset
                .saturating_add(entry_size(entry.name.len() as u8))
        };
        let end = self.entries.last().map_or(geo.first_name(), end_of);
        // With an entry more the index has one more too, besides those of `.` and `..`.
        let index = self
            .entries
            .len()
            .saturating_add(3)
            .saturating_mul(ENTRY)
            .saturating_add(size_of::<BlockTail>()) as u32;
        let fits = |end: u32| end.saturating_add(index) <= geo.block_size();
        if fits(end.saturating_add(size)) {
            return Some(end);
        }
        let mut at = geo.first_name();
        for entry in self.entries.iter() {
            if at.saturating_add(size) <= entry.offset {
                return fits(end).then_some(at);
            }
            at = end_of(entry);
        }
        None
    }

    /// Adds an entry; false when the short form cannot hold it.
    fn add(&mut self, geo: &DirGeometry, entry: &NewEntry<'n>) -> Result<bool> {
        let Some(offset) = self.offset_for(geo, entry.size()) else {
            return Ok(false);
        };
        if self.entries.len() >= MOST {
            return Ok(false);
        }
        let at = self.entries.partition_point(|other| other.offset < offset);
        let new = ShortEntry {
            offset,
            name: entry.name,
            inode: entry.inode,
            ftype: entry.ftype,
        };
        self.entries.push(new, GFP_KERNEL)?;
        if let Some(tail) = self.entries.get_mut(at..) {
            tail.rotate_right(1);
        }
        Ok(true)
    }

    /// The bytes.
    fn encode(&self) -> Result<KVec<u8>> {
        let wide_count = self.wide_count();
        let wide = wide_count > 0;
        let mut bytes = KVec::with_capacity(self.size(), GFP_KERNEL)?;
        let mut put = |part: &[u8]| bytes.extend_from_slice(part, GFP_KERNEL);
        let number = |inode: InodeNumber| inode.0.to_be_bytes();
        let skipped = if wide { 0 } else { 4 };
        let count = u8::try_from(self.entries.len()).map_err(|_| Error::Invalid)?;
        let wide_count = u8::try_from(wide_count).map_err(|_| Error::Invalid)?;
        put(&[count, wide_count])?;
        put(number(self.parent).get(skipped..).unwrap_or_default())?;
        for entry in self.entries.iter() {
            put(&[u8::try_from(entry.name.len()).map_err(|_| Error::Invalid)?])?;
            put(&(entry.offset as u16).to_be_bytes())?;
            put(entry.name)?;
            put(&[entry.ftype.to_disk()])?;
            put(number(entry.inode).get(skipped..).unwrap_or_default())?;
        }
        Ok(bytes)
    }
}

/// Whether an entry fits a short form directory.
pub(super) fn has_room(
    geo: &DirGeometry,
    fork_size: usize,
    dir: &Inode,
    short: &ShortForm<'_>,
    entry: &NewEntry<'_>,
) -> Result<bool> {
    let mut draft = Draft::of(dir.number, short)?;
    Ok(draft.add(geo, entry)? && draft.size() <= fork_size)
}

fn set_local(dir: &mut Inode, bytes: KVec<u8>) {
    dir.core.size = bytes.len() as u64;
    dir.core.format = ForkFormat::Local;
    dir.data = Fork::Local(bytes);
}

pub(super) fn init<J: Journal>(
    trans: &mut Trans<'_, J>,
    dir: InodeId,
    parent: InodeNumber,
) -> Result {
    if trans.inode(dir)?.core.nextents != 0 {
        return Err(Error::Invalid);
    }
    let empty = Draft {
        parent,
        entries: KVec::new(),
    };
    let bytes = empty.encode()?;
    set_local(trans.change_inode(dir, InodeFields::DATA)?, bytes);
    Ok(())
}

impl<J: Journal, S: ForkSpace<J>> DirMut<'_, '_, J, S> {
    fn short(&self) -> Result<ShortForm<'_>> {
        let bytes = self.names.inode()?.data.local().ok_or(Error::Invalid)?;
        ShortForm::view(bytes).map_err(|fault| Error::inode(fault, self.names.owner))
    }

    fn draft(&self) -> Result<Draft<'_>> {
        Draft::of(self.names.owner, &self.short()?)
    }

    /// Bytes that the data fork may take.
    fn fork_size(&self) -> Result<usize> {
        let geo = self.names.geometry();
        Ok(self.names.inode()?.core.data_fork_size(geo))
    }

    fn put_short(&mut self, bytes: KVec<u8>) -> Result {
        set_local(self.names.change_inode()?, bytes);
        Ok(())
    }

    /// Adds an entry; whether there was room. If not, the directory has taken block form.
    pub(super) fn add_to_short(&mut self, entry: &NewEntry<'_>) -> Result<bool> {
        let mut draft = self.draft()?;
        if draft.position(entry.name).is_some() {
            return Err(Error::Exists);
        }
        if draft.add(&self.geo, entry)? && draft.size() <= self.fork_size()? {
            let bytes = draft.encode()?;
            drop(draft);
            self.put_short(bytes)?;
            return Ok(true);
        }
        drop(draft);
        self.short_to_block()?;
        Ok(false)
    }

    pub(super) fn remove_from_short(&mut self, name: &[u8]) -> Result<InodeNumber> {
        let mut draft = self.draft()?;
        let at = draft.position(name).ok_or(Error::NotFound)?;
        let tail = draft.entries.get_mut(at..).ok_or(Error::Invalid)?;
        tail.rotate_left(1);
        let gone = draft.entries.pop().ok_or(Error::Invalid)?.inode;
        let bytes = draft.encode()?;
        drop(draft);
        self.put_short(bytes)?;
        Ok(gone)
    }

    pub(super) fn replace_in_short(&mut self, entry: &NewEntry<'_>) -> Result<InodeNumber> {
        let mut draft = self.draft()?;
        let old = if entry.name == b".." {
            core::mem::replace(&mut draft.parent, entry.inode)
        } else {
            let at = draft.position(entry.name).ok_or(Error::NotFound)?;
            let place = draft.entries.get_mut(at).ok_or(Error::Invalid)?;
            place.ftype = entry.ftype;
            core::mem::replace(&mut place.inode, entry.inode)
        };
        // A number of more than 32 bits makes all of them longer.
        if draft.size() <= self.fork_size()? {
            let bytes = draft.encode()?;
            drop(draft);
            self.put_short(bytes)?;
            return Ok(old);
        }
        drop(draft);
        self.short_to_block()?;
        let found = self.locate(entry.name)?.ok_or(Error::NotFound)?;
        self.put_target(&found, entry)?;
        Ok(old)
    }

    /// Moves the entries to a block, each to the offset that it was promised.
    pub(super) fn short_to_block(&mut self) -> Result {
        let corrupt = |field| Error::inode(Fault::corrupt("dir3 sf", field), self.names.owner);
        let draft = self.draft()?;
        if draft.entries.iter().any(|entry| entry.offset % 8 != 0) {
            return Err(corrupt("offset"));
        }
        let dots = draft.entries.len().saturating_add(2);
        let mut index: KVec<(NameHash, DataPtr)> = KVec::with_capacity(dots, GFP_KERNEL)?;
        drop(draft);

        let dir = self.names.change_inode()?;
        dir.core.format = ForkFormat::Extents;
        dir.core.size = 0;
        let old = core::mem::replace(&mut dir.data, Fork::Extents(ExtentMap::new()));
        let bytes = old.local().ok_or(Error::Invalid)?;
        let owner = self.names.owner;
        let short = ShortForm::view(bytes).map_err(|fault| Error::inode(fault, owner))?;
        let block = self.new_data(DirBlock(0))?;
        let dot = |name: &'static [u8], inode| NewEntry {
            name,
            inode,
            ftype: FileType::Directory,
        };
        let dots = [
            (self.geo.dot(), dot(b".", owner)),
            (self.geo.dotdot(), dot(b"..", short.parent())),
        ];
        let mut put = |offset: u32, entry: &NewEntry<'_>| -> Result {
            let last = self.unused_at_end(block)?.ok_or(Error::Invalid)?;
            self.put_entry_at(block, last, offset, entry)?;
            let pointer = self.geo.pointer(DirBlock(0), offset);
            index.push((entry.hash(), pointer), GFP_KERNEL)?;
            Ok(())
        };
        for (pointer, entry) in dots {
            put(pointer.byte() as u32, &entry)?;
        }
        for entry in short.iter() {
            let entry = entry.map_err(|fault| Error::inode(fault, owner))?;
            let new = NewEntry {
                name: entry.name,
                inode: entry.inode,
                ftype: entry.ftype,
            };
            put(entry.offset, &new)?;
        }
        index
            .as_mut_slice()
            .sort_unstable_by_key(|&(hash, pointer)| (hash, pointer));
        let length = index
            .len()
            .saturating_mul(ENTRY)
            .saturating_add(size_of::<BlockTail>());
        let start = self.block_size().saturating_sub(length as u32);
        let last = self.unused_at_end(block)?.ok_or(Error::Invalid)?;
        self.end_block(block, last, start)?;
        let written = self.index_of_block(block)?;
        for (slot, &(hash, pointer)) in index.iter().enumerate() {
            self.put_index_entry(&written, slot, hash, pointer)?;
        }
        Ok(())
    }

    /// Takes a directory in block form back into the inode, if it fits there.
    pub(super) fn block_to_short(&mut self, block: BlockId) -> Result {
        let fork_size = self.fork_size()?;
        let data = self.data(block)?;
        let mut draft = Draft {
            parent: InodeNumber(0),
            entries: KVec::new(),
        };
        let mut size = 0usize;
        for record in data.records() {
            let record = record.map_err(|fault| self.names.fault(block, fault))?;
            let Record::Entry(entry) = record else {
                continue;
            };
            match entry.name {
                b"." => {}
                b".." => draft.parent = entry.inode,
                name => {
                    size = size.saturating_add(entry_base(name)).saturating_add(4);
                    if size > fork_size || draft.entries.len() >= MOST {
                        return Ok(());
                    }
                    draft.entries.push(
                        ShortEntry {
                            offset: entry.offset,
                            name,
                            inode: entry.inode,
                            ftype: entry.ftype,
                        },
                        GFP_KERNEL,
                    )?;
                }
            }
        }
        if draft.size() > fork_size {
            return Ok(());
        }
        let bytes = draft.encode()?;
        drop(draft);
        if !self.names.unmap(self.geo.file_block(DirBlock(0)))? {
            return Ok(());
        }
        self.names.discard(block);
        self.put_short(bytes)
    }
}
