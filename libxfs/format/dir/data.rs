// SPDX-License-Identifier: GPL-2.0

//! Blocks of directory entries, in the block form with their hash index behind them.
//!
//! After a header, entries and unused stretches fill the block, each a multiple of eight bytes and
//! with its own offset as a tag at its end. The header lists the three longest unused stretches.
//! In the block form the index and its tail take the block's end.

use super::{
    super::{
        crc,
        dahash::NameHash,
        fault::{ensure, Fault},
        geometry::Geometry,
        units::{DiskAddr, InodeNumber},
    },
    check_size, entry_size, inode_is_valid,
    leaf::{matching, LeafEntry},
    space::{DirBlock, DirGeometry, FIRST_ENTRY},
    BlockHeader, FileType, CRC_OFFSET,
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Magic number of a block of entries (`XDD3`).
pub const DATA_MAGIC: u32 = 0x5844_4433;
/// Magic number of a directory in block form (`XDB3`).
pub const BLOCK_MAGIC: u32 = 0x5844_4233;
/// What an unused stretch starts with, where an entry has the top of its inode number.
pub const UNUSED_TAG: u16 = 0xffff;

/// An unused stretch, as the header lists it; zeroes for none.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BestFree {
    /// Offset in the block, in bytes.
    pub offset: U16,
    /// Length in bytes.
    pub length: U16,
}

/// Header of a block of entries (`xfs_dir3_data_hdr`, 64 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DataHeader {
    /// What data and free index blocks have.
    pub block: BlockHeader,
    /// The longest unused stretches, longest first.
    pub best_free: [BestFree; 3],
    /// Unused.
    pub pad: U32,
}

/// End of a directory in block form (`xfs_dir2_block_tail`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockTail {
    /// Index entries, stale ones too.
    pub count: U32,
    /// Stale index entries.
    pub stale: U32,
}

/// An entry in a data block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Offset in the block, in bytes.
    pub offset: u32,
    /// Inode.
    pub inode: InodeNumber,
    /// Name.
    pub name: &'a [u8],
    /// The inode's type.
    pub ftype: FileType,
}

/// What fills a data block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// An entry.
    Entry(Entry<'a>),
    /// Nothing.
    Unused {
        /// Offset in the block, in bytes.
        offset: u32,
        /// Length in bytes.
        length: u32,
    },
}

/// A block of entries that keeps to the bounds of its block; its index too, in block form.
#[derive(Clone, Copy)]
pub struct DataBlock<'a> {
    /// Header.
    pub header: &'a DataHeader,
    structure: &'static str,
    /// The block up to where entries end.
    bytes: &'a [u8],
    /// Index and tail, in block form.
    index: Option<(&'a [LeafEntry], &'a BlockTail)>,
}

impl<'a> DataBlock<'a> {
    /// Reads the block of entries in `bytes`, which are one directory block.
    ///
    /// # Errors
    ///
    /// A fault when it has another magic number, or its index does not fit.
    #[inline]
    pub fn view(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, _) =
            DataHeader::ref_from_prefix(bytes).map_err(|_| Fault::corrupt("dir3 data", "size"))?;
        match header.block.magic.get() {
            DATA_MAGIC => Ok(Self {
                header,
                structure: "dir3 data",
                bytes,
                index: None,
            }),
            BLOCK_MAGIC => {
                let structure = "dir3 block";
                let (rest, tail) = BlockTail::ref_from_suffix(bytes)
                    .map_err(|_| Fault::corrupt(structure, "size"))?;
                let misfit = Fault::corrupt(structure, "count");
                let count = usize::try_from(tail.count.get()).map_err(|_| misfit)?;
                let (rest, index) =
                    <[LeafEntry]>::ref_from_suffix_with_elems(rest, count).map_err(|_| misfit)?;
                // An index that leaves no room for entries is as wrong as one that does not fit.
                ensure(rest.len() > FIRST_ENTRY as usize, structure, "count")?;
                Ok(Self {
                    header,
                    structure,
                    bytes: rest,
                    index: Some((index, tail)),
                })
            }
            _ => Err(Fault::corrupt("dir3 data", "magic")),
        }
    }

    /// Reads a block of entries that is no directory in block form.
    ///
    /// # Errors
    ///
    /// As [`DataBlock::view`].
    #[inline]
    pub fn view_data(bytes: &'a [u8]) -> Result<Self, Fault> {
        let block = Self::view(bytes)?;
        ensure(block.index.is_none(), "dir3 data", "magic")?;
        Ok(block)
    }

    /// Reads a directory in block form: its entries, and the index of their hashes.
    ///
    /// # Errors
    ///
    /// As [`DataBlock::view`].
    #[inline]
    pub fn view_block(bytes: &'a [u8]) -> Result<(Self, &'a [LeafEntry]), Fault> {
        let block = Self::view(bytes)?;
        match block.index {
            Some((index, _)) => Ok((block, index)),
            None => Err(Fault::corrupt("dir3 block", "magic")),
        }
    }

    /// The structure's name in the format, for faults that walkers find.
    #[inline]
    pub fn structure(&self) -> &'static str {
        self.structure
    }

    /// Offset at which entries end.
    #[inline]
    pub fn end(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// What lies at `offset`, and the offset behind it.
    fn record_at(&self, offset: u32) -> Result<(Record<'a>, u32), Fault> {
        let fault = |field| Fault::corrupt(self.structure, field);
        let rest = self
            .bytes
            .get(offset as usize..)
            .ok_or(fault("entry offset"))?;
        let &[a, b, c, d] = rest.first_chunk::<4>().ok_or(fault("length"))?;
        let (record, length) = if u16::from_be_bytes([a, b]) == UNUSED_TAG {
            let length = u32::from(u16::from_be_bytes([c, d]));
            ensure(
                length >= 8 && length % 8 == 0,
                self.structure,
                "unused length",
            )?;
            (Record::Unused { offset, length }, length)
        } else {
            let (inode, after) = rest.split_first_chunk::<8>().ok_or(fault("length"))?;
            let (&name_len, after) = after.split_first().ok_or(fault("length"))?;
            ensure(name_len != 0, self.structure, "namelen")?;
            let (name, after) = after
                .split_at_checked(usize::from(name_len))
                .ok_or(fault("namelen"))?;
            let &ftype = after.first().ok_or(fault("namelen"))?;
            let entry = Entry {
                offset,
                inode: InodeNumber(u64::from_be_bytes(*inode)),
                name,
                ftype: FileType::from_disk(ftype),
            };
            (Record::Entry(entry), entry_size(name_len))
        };
        // The tag repeats the offset in the record's last two bytes.
        let tag = rest
            .get(..length as usize)
            .and_then(|record| record.last_chunk::<2>())
            .ok_or(fault("length"))?;
        ensure(
            u32::from(u16::from_be_bytes(*tag)) == offset,
            self.structure,
            "tag",
        )?;
        let next = offset.checked_add(length).ok_or(fault("length"))?;
        Ok((record, next))
    }

    /// The entry at `offset`, which an index named.
    ///
    /// # Errors
    ///
    /// A fault when no entry starts there.
    #[inline]
    pub fn entry_at(&self, offset: u32) -> Result<Entry<'a>, Fault> {
        let fault = Fault::corrupt(self.structure, "entry offset");
        if offset < FIRST_ENTRY {
            return Err(fault);
        }
        match self.record_at(offset)? {
            (Record::Entry(entry), _) => Ok(entry),
            (Record::Unused { .. }, _) => Err(fault),
        }
    }

    /// All that fills the block, in order. Ends after the first fault.
    #[inline]
    pub fn records(&self) -> Records<'a> {
        Records {
            block: *self,
            next: FIRST_ENTRY,
        }
    }
}

/// Iterator over what fills a data block.
#[derive(Clone)]
pub struct Records<'a> {
    block: DataBlock<'a>,
    next: u32,
}

impl Records<'_> {
    /// Offset of the next record, or where entries end.
    #[inline]
    pub fn offset(&self) -> u32 {
        self.next
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.block.end() {
            return None;
        }
        match self.block.record_at(self.next) {
            Ok((record, next)) => {
                self.next = next;
                Some(Ok(record))
            }
            Err(fault) => {
                self.next = u32::MAX;
                Some(Err(fault))
            }
        }
    }
}

/// The header's list, while the walk over the block finds what it lists.
struct BestFreeList<'a> {
    list: &'a [BestFree; 3],
    found: [bool; 3],
    structure: &'static str,
}

impl<'a> BestFreeList<'a> {
    /// Checks what the list says on its own: longest first, and nothing is all zeroes.
    fn new(header: &'a DataHeader, structure: &'static str) -> Result<Self, Fault> {
        let list = &header.best_free;
        let mut last = u16::MAX;
        for free in list {
            let length = free.length.get();
            let nothing = length == 0;
            ensure(nothing == (free.offset.get() == 0), structure, "bestfree")?;
            ensure(length <= last, structure, "bestfree")?;
            last = length;
        }
        let found = list.map(|free| free.length.get() == 0);
        Ok(Self {
            list,
            found,
            structure,
        })
    }

    /// An unused stretch must be listed with its length, or be no longer than the last one listed.
    fn unused(&mut self, offset: u32, length: u32) -> Result<(), Fault> {
        let mut slots = self.list.iter().zip(self.found.iter_mut());
        let listed = slots.find(|(free, _)| u32::from(free.offset.get()) == offset);
        let good = match listed {
            Some((free, found)) => {
                let first = !*found;
                *found = true;
                first && u32::from(free.length.get()) == length
            }
            None => self
                .list
                .last()
                .is_some_and(|last| length <= u32::from(last.length.get())),
        };
        ensure(good, self.structure, "bestfree")
    }

    /// Nothing may be listed that is not there.
    fn finish(self) -> Result<(), Fault> {
        ensure(self.found == [true; 3], self.structure, "bestfree")
    }
}

/// Holds the index of a directory in block form to its rules: the hashes' order, and the count of
/// stale entries.
fn verify_index(index: &[LeafEntry], tail: &BlockTail) -> Result<(), Fault> {
    let structure = "dir3 block";
    let ordered = index.windows(2).all(|pair| match pair {
        [a, b] => a.hash.get() <= b.hash.get(),
        _ => true,
    });
    ensure(ordered, structure, "hashval")?;
    let stale = index.iter().filter(|entry| entry.is_stale()).count();
    ensure(
        u32::try_from(stale).is_ok_and(|stale| stale == tail.stale.get()),
        structure,
        "stale",
    )
}

/// Holds a block of entries, in block form or not, to its rules, the checksum aside.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_structure(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    let block = DataBlock::view(bytes)?;
    let structure = block.structure;
    check_size(geo, bytes, structure)?;
    block.header.block.verify(geo, at, structure)?;
    if let Some((index, tail)) = block.index {
        verify_index(index, tail)?;
    }
    let dir_geo = DirGeometry::new(geo);
    let mut best_free = BestFreeList::new(block.header, structure)?;
    let mut after_unused = false;
    let mut entries = 0u32;
    for record in block.records() {
        match record? {
            Record::Unused { offset, length } => {
                // Neighbours are always merged.
                ensure(!after_unused, structure, "unused")?;
                best_free.unused(offset, length)?;
                after_unused = true;
            }
            Record::Entry(entry) => {
                after_unused = false;
                entries = entries.saturating_add(1);
                ensure(inode_is_valid(geo, entry.inode), structure, "inumber")?;
                if let Some((index, _)) = block.index {
                    let pointer = dir_geo.pointer(DirBlock(0), entry.offset);
                    let listed = matching(index, NameHash::of(entry.name))
                        .iter()
                        .any(|slot| slot.address.get() == pointer.0);
                    ensure(listed, structure, "leaf entry")?;
                }
            }
        }
    }
    best_free.finish()?;
    match block.index {
        Some((_, tail)) => ensure(
            tail.count.get().checked_sub(tail.stale.get()) == Some(entries),
            structure,
            "count",
        ),
        None => Ok(()),
    }
}

/// Holds a block of entries that is no directory in block form to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_data(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    verify(geo, at, bytes, DATA_MAGIC, "dir3 data")
}

/// Holds a directory in block form to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_block(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    verify(geo, at, bytes, BLOCK_MAGIC, "dir3 block")
}

fn verify(
    geo: &Geometry,
    at: DiskAddr,
    bytes: &[u8],
    magic: u32,
    structure: &'static str,
) -> Result<(), Fault> {
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum(structure));
    }
    let is_kind = BlockHeader::ref_from_prefix(bytes).is_ok_and(|(h, _)| h.magic.get() == magic);
    ensure(is_kind, structure, "magic")?;
    verify_structure(geo, at, bytes)
}

const _: () = assert!(size_of::<DataHeader>() == FIRST_ENTRY as usize);
const _: () = assert!(size_of::<BlockTail>() == 8);
