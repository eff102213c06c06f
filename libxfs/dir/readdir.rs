// SPDX-License-Identifier: GPL-2.0

//! Listing a directory.
//!
//! A position is what the C driver reports in `d_off`: the [`DataPtr`] of the entry in 31 bits, so
//! that a position taken with one driver is good with the other, and stays good while other
//! entries come and go. `.` and `..` have the positions that they have in every first data block,
//! in the short form too, which does not store them.

use super::Form;
use crate::libxfs::{
    da::{Held, NameFork},
    error::{Error, Result},
    format::{
        dir::{
            data::{DataBlock, Record, Records},
            name_is_valid,
            shortform::ShortForm,
            space::{DataPtr, DirBlock, DirGeometry, SECTION_SIZE},
            FileType,
        },
        fault::Fault,
        kind::Kind,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    store::Store,
};
use core::ops::Deref;
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Most bytes that are read ahead, whatever room the caller says it has.
const MAX_READ_AHEAD: u64 = 1 << 20;

/// An entry, as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Position of the entry: a listing from here starts with it.
    pub position: u64,
    /// Inode.
    pub inode: InodeNumber,
    /// The inode's type.
    pub ftype: FileType,
    /// Name.
    pub name: &'a [u8],
}

/// Lists a directory from `*position` on (0: from the start) until `emit` declines an entry by
/// returning false, or all are listed. `*position` is left at the entry that was declined, else
/// behind the last one; after an error too, so that what was emitted before it counts.
///
/// `room` is about how many bytes of entries the caller can take; blocks are read ahead for as
/// much.
///
/// `emit` may fault on user space's memory, and such a fault may need the lock that keeps an
/// inode's fork from changing. So `lock` is called for each block, and what it gives is dropped
/// before `emit` runs; a block is held then, and nothing else. That the directory as a whole does
/// not change meanwhile is the caller's to see to.
///
/// # Errors
///
/// Those of `lock`; `Corrupt`, `Unsupported` for what is no directory, `Invalid` when the fork's
/// mappings were not loaded, `Interrupted`, `NoMemory`, and those of the store.
pub fn readdir<S, L, G, F>(
    store: &S,
    mut lock: L,
    position: &mut u64,
    room: usize,
    mut emit: F,
) -> Result<()>
where
    S: Store,
    L: FnMut() -> Result<G>,
    G: Deref<Target = Inode>,
    F: FnMut(&DirEntry<'_>) -> bool,
{
    // What no entry's position can be is past them all.
    let Ok(start) = u32::try_from(*position) else {
        return Ok(());
    };
    let start = DataPtr(start);
    let geo = DirGeometry::new(store.geometry());
    let dir = lock()?;
    let number = dir.number;
    match Form::of(store.geometry(), &dir)? {
        Form::Short(_) => {
            if geo.split(start).0 > DirBlock(0) {
                return Ok(());
            }
            let mut copy = KVec::new();
            copy.extend_from_slice(dir.data.local().unwrap_or_default(), GFP_KERNEL)?;
            drop(dir);
            let short = ShortForm::view(&copy).map_err(|fault| Error::inode(fault, number))?;
            list_short(geo, number, &short, start, position, &mut emit)
        }
        Form::Block(fork) => {
            if geo.split(start).0 > DirBlock(0) {
                return Ok(());
            }
            let held = fork.read(store, geo.file_block(DirBlock(0)), Kind::DirBlock)?;
            drop(dir);
            list_block(geo, number, &held, start, position, &mut emit)
        }
        Form::Leaf(_) | Form::Node(_) => {
            drop(dir);
            if start.0 == u32::MAX {
                return Ok(());
            }
            let mut walk = DataWalk {
                store,
                geo,
                owner: number,
                byte: start.byte(),
                ahead: FileBlock(0),
                room: room as u64,
            };
            let result = walk.list(&mut lock, position, &mut emit);
            *position = DataPtr::from_byte(walk.byte).cookie();
            result
        }
    }
}

/// Asks for the first block of a directory that was just opened.
pub fn read_ahead_first<S: Store>(store: &S, dir: &Inode) {
    match Form::of(store.geometry(), dir) {
        Ok(Form::Block(fork)) => fork.read_ahead(store, FileBlock(0), Kind::DirBlock),
        Ok(Form::Leaf(fork) | Form::Node(fork)) => {
            fork.read_ahead(store, FileBlock(0), Kind::DirData);
        }
        Ok(Form::Short(_)) | Err(_) => {}
    }
}

/// Position behind all entries of a directory with one block, or none.
fn end_of_first(geo: DirGeometry) -> u64 {
    geo.pointer(DirBlock(1), 0).cookie()
}

fn list_short(
    geo: DirGeometry,
    dir: InodeNumber,
    short: &ShortForm<'_>,
    start: DataPtr,
    position: &mut u64,
    emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
) -> Result<()> {
    let mut give = |at: DataPtr, inode, ftype, name: &[u8]| -> Result<bool> {
        if start > at {
            return Ok(true);
        }
        *position = at.cookie();
        if !name_is_valid(name) {
            return Err(Error::inode(Fault::corrupt("dir3 sf", "name"), dir));
        }
        Ok(emit(&DirEntry {
            position: at.cookie(),
            inode,
            ftype,
            name,
        }))
    };
    let go_on = give(geo.dot(), dir, FileType::Directory, b".")?
        && give(geo.dotdot(), short.parent(), FileType::Directory, b"..")?;
    if !go_on {
        return Ok(());
    }
    for entry in short.iter() {
        let entry = entry.map_err(|fault| Error::inode(fault, dir))?;
        let at = geo.pointer(DirBlock(0), entry.offset);
        if !give(at, entry.inode, entry.ftype, entry.name)? {
            return Ok(());
        }
    }
    *position = end_of_first(geo);
    Ok(())
}

/// How the listing of a block ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockEnd {
    /// With its last entry.
    Done,
    /// With an entry that was declined.
    Declined,
}

/// Lists the rest of a data block; `offset` is left at the entry that was declined or damaged,
/// else at the block's end.
fn list_records(
    geo: DirGeometry,
    number: DirBlock,
    block: &DataBlock<'_>,
    records: &mut Records<'_>,
    position: &mut u64,
    offset: &mut u32,
    emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
) -> core::result::Result<BlockEnd, Fault> {
    loop {
        *offset = records.offset();
        let Some(record) = records.next() else {
            *offset = block.end();
            return Ok(BlockEnd::Done);
        };
        let Record::Entry(entry) = record? else {
            continue;
        };
        let at = geo.pointer(number, entry.offset).cookie();
        *position = at;
        if !name_is_valid(entry.name) {
            return Err(Fault::corrupt(block.structure(), "name"));
        }
        let more = emit(&DirEntry {
            position: at,
            inode: entry.inode,
            ftype: entry.ftype,
            name: entry.name,
        });
        if !more {
            return Ok(BlockEnd::Declined);
        }
    }
}

/// Passes over the records that start before `offset`.
fn skip_to(records: &mut Records<'_>, offset: u32) -> core::result::Result<(), Fault> {
    while records.offset() < offset {
        match records.next() {
            Some(record) => {
                record?;
            }
            None => break,
        }
    }
    Ok(())
}

fn list_block<B: Deref<Target = [u8]>>(
    geo: DirGeometry,
    dir: InodeNumber,
    held: &Held<B>,
    start: DataPtr,
    position: &mut u64,
    emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
) -> Result<()> {
    let (number, wanted) = geo.split(start);
    let mut list = || {
        let (block, _) = DataBlock::view_block(&held.block)?;
        block.header.block.check_owner(dir, block.structure())?;
        let mut records = block.records();
        skip_to(&mut records, wanted)?;
        let mut offset = 0;
        list_records(
            geo,
            number,
            &block,
            &mut records,
            position,
            &mut offset,
            emit,
        )
    };
    if list().map_err(|fault| held.fault(fault))? == BlockEnd::Done {
        *position = end_of_first(geo);
    }
    Ok(())
}

/// A listing of a directory with many data blocks.
struct DataWalk<'a, S: Store> {
    store: &'a S,
    geo: DirGeometry,
    /// The directory.
    owner: InodeNumber,
    /// Where the listing stands, as a byte of the fork.
    byte: u64,
    /// File block from which nothing was read ahead yet.
    ahead: FileBlock,
    /// Bytes that the caller can still take.
    room: u64,
}

impl<S: Store> DataWalk<'_, S> {
    fn list<L, G>(
        &mut self,
        lock: &mut L,
        position: &mut u64,
        emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<()>
    where
        L: FnMut() -> Result<G>,
        G: Deref<Target = Inode>,
    {
        loop {
            let next = {
                let dir = lock()?;
                let map = dir.extents(WhichFork::Data)?;
                let fork = NameFork::directory(self.store.geometry(), self.owner, map);
                self.next_block(&fork)?
            };
            let Some((number, held)) = next else {
                return Ok(());
            };
            if self.list_in(number, &held, position, emit)? == BlockEnd::Declined {
                return Ok(());
            }
            self.room = self.room.saturating_sub(u64::from(self.geo.block_size()));
            if self.store.interrupted() {
                return Err(Error::Interrupted);
            }
        }
    }

    /// Reads the data block in which the listing goes on, and asks for those behind it. Holes are
    /// where a block was that became empty.
    fn next_block(&mut self, fork: &NameFork<'_>) -> Result<Option<(DirBlock, Held<S::Block>)>> {
        if self.byte >= SECTION_SIZE {
            return Ok(None);
        }
        let (number, _) = self.geo.split_byte(self.byte);
        let Some(number) = self.mapped_from(fork, number) else {
            return Ok(None);
        };
        self.byte = self.byte.max(self.geo.byte(number, 0));
        let at = self.geo.file_block(number);
        let held = fork.read(self.store, at, Kind::DirData)?;
        self.read_ahead(fork, number);
        Ok(Some((number, held)))
    }

    /// The first directory block from `number` on of which something is mapped.
    fn mapped_from(&self, fork: &NameFork<'_>, number: DirBlock) -> Option<DirBlock> {
        let from = self.geo.file_block(number);
        let mapping = fork.map().lookup(from)?;
        self.geo.dir_block(mapping.offset.max(from))
    }

    fn read_ahead(&mut self, fork: &NameFork<'_>, number: DirBlock) {
        let each = u64::from(self.geo.block_size());
        let window = self.room.min(MAX_READ_AHEAD).saturating_add(each);
        let end = self
            .geo
            .byte(number, 0)
            .saturating_add(each)
            .saturating_add(window);
        // What was asked for already need not be looked up again.
        let behind = DirBlock(number.0.saturating_add(1));
        let mut next = self
            .geo
            .dir_block(self.ahead)
            .map_or(behind, |ahead| ahead.max(behind));
        while let Some(block) = self.mapped_from(fork, next) {
            if self.geo.byte(block, 0) >= end {
                break;
            }
            fork.read_ahead(self.store, self.geo.file_block(block), Kind::DirData);
            next = DirBlock(block.0.saturating_add(1));
            self.ahead = self.geo.file_block(next);
        }
    }

    fn list_in(
        &mut self,
        number: DirBlock,
        held: &Held<S::Block>,
        position: &mut u64,
        emit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<BlockEnd> {
        let (_, wanted) = self.geo.split_byte(self.byte);
        let mut offset = wanted;
        let mut list = || {
            let block = DataBlock::view_data(&held.block)?;
            block
                .header
                .block
                .check_owner(self.owner, block.structure())?;
            let mut records = block.records();
            skip_to(&mut records, wanted)?;
            list_records(
                self.geo,
                number,
                &block,
                &mut records,
                position,
                &mut offset,
                emit,
            )
        };
        let end = list().map_err(|fault| held.fault(fault));
        self.byte = self.geo.byte(number, offset);
        end
    }
}
