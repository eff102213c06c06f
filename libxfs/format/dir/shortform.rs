// SPDX-License-Identifier: GPL-2.0

//! Short form directories, which live in the inode.
//!
//! A header with the parent's inode number, then entries without `.` and `..`, packed. Inode
//! numbers take four bytes each, or eight each as soon as one of them needs it. Every entry keeps
//! the offset that it would have in a data block, so that positions survive the change to the
//! block form.

use super::{
    super::{
        fault::{ensure, Fault},
        geometry::Geometry,
        units::InodeNumber,
    },
    entry_size, inode_is_valid,
    space::DirGeometry,
    FileType, INODE_MASK,
};

const STRUCTURE: &str = "dir3 sf";

/// A short form directory in an inode's data fork.
#[derive(Clone, Copy)]
pub struct ShortForm<'a> {
    count: u8,
    wide: bool,
    wide_count: u8,
    parent: InodeNumber,
    entries: &'a [u8],
}

/// An entry of a short form directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortEntry<'a> {
    /// Offset that the entry would have in a data block, in bytes.
    pub offset: u32,
    /// Name.
    pub name: &'a [u8],
    /// Inode.
    pub inode: InodeNumber,
    /// The inode's type.
    pub ftype: FileType,
}

/// Takes an inode number off the front.
fn take_inode(bytes: &[u8], wide: bool) -> Option<(InodeNumber, &[u8])> {
    if wide {
        let (field, rest) = bytes.split_first_chunk::<8>()?;
        Some((InodeNumber(u64::from_be_bytes(*field) & INODE_MASK), rest))
    } else {
        let (field, rest) = bytes.split_first_chunk::<4>()?;
        Some((InodeNumber(u64::from(u32::from_be_bytes(*field))), rest))
    }
}

impl<'a> ShortForm<'a> {
    /// Reads the header. `bytes` are the directory: as much of the literal area as the inode's
    /// size says.
    ///
    /// # Errors
    ///
    /// A fault when there is not even a header.
    #[inline]
    pub fn view(bytes: &'a [u8]) -> Result<Self, Fault> {
        let short = Fault::corrupt(STRUCTURE, "size");
        let (&[count, wide_count], rest) = bytes.split_first_chunk::<2>().ok_or(short)?;
        let wide = wide_count != 0;
        let (parent, entries) = take_inode(rest, wide).ok_or(short)?;
        Ok(Self {
            count,
            wide,
            wide_count,
            parent,
            entries,
        })
    }

    /// The parent directory.
    #[inline]
    pub fn parent(&self) -> InodeNumber {
        self.parent
    }

    /// Entries, `.` and `..` not counted.
    #[inline]
    pub fn count(&self) -> u8 {
        self.count
    }

    /// The entries, in the order of their offsets. Ends after the first fault.
    #[inline]
    pub fn iter(&self) -> ShortEntries<'a> {
        ShortEntries {
            left: self.count,
            wide: self.wide,
            bytes: self.entries,
        }
    }
}

/// Iterator over the entries of a short form directory.
#[derive(Clone)]
pub struct ShortEntries<'a> {
    left: u8,
    wide: bool,
    bytes: &'a [u8],
}

impl<'a> ShortEntries<'a> {
    fn take(&mut self) -> Option<ShortEntry<'a>> {
        let (&[name_len, high, low], rest) = self.bytes.split_first_chunk::<3>()?;
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let (&ftype, rest) = rest.split_first()?;
        let (inode, rest) = take_inode(rest, self.wide)?;
        self.bytes = rest;
        Some(ShortEntry {
            offset: u32::from(u16::from_be_bytes([high, low])),
            name,
            inode,
            ftype: FileType::from_disk(ftype),
        })
    }
}

impl<'a> Iterator for ShortEntries<'a> {
    type Item = Result<ShortEntry<'a>, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match self.take() {
            Some(entry) => Some(Ok(entry)),
            None => {
                self.left = 0;
                Some(Err(Fault::corrupt(STRUCTURE, "entry")))
            }
        }
    }
}

/// Holds a short form directory to its rules. `bytes` are the directory: as much of the literal
/// area as the inode's size says.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, bytes: &[u8]) -> Result<(), Fault> {
    let dir_geo = DirGeometry::new(geo);
    let dir = ShortForm::view(bytes)?;
    ensure(inode_is_valid(geo, dir.parent), STRUCTURE, "parent")?;
    let is_wide = |inode: InodeNumber| u16::from(inode.0 > u64::from(u32::MAX));
    let mut wide_count = is_wide(dir.parent);
    let mut offset = dir_geo.first_name();
    let mut entries = dir.iter();
    for entry in entries.by_ref() {
        let entry = entry?;
        let name_len = u8::try_from(entry.name.len()).unwrap_or_default();
        ensure(name_len != 0, STRUCTURE, "namelen")?;
        ensure(entry.offset >= offset, STRUCTURE, "offset")?;
        ensure(inode_is_valid(geo, entry.inode), STRUCTURE, "inumber")?;
        wide_count = wide_count.saturating_add(is_wide(entry.inode));
        offset = entry.offset.saturating_add(entry_size(name_len));
    }
    ensure(
        wide_count == u16::from(dir.wide_count),
        STRUCTURE,
        "i8count",
    )?;
    ensure(entries.bytes.is_empty(), STRUCTURE, "count")?;
    // In block form the directory must fit one block: entries, and an index entry of eight bytes
    // for each, for `.` and for `..`, and the eight bytes of the tail.
    let index = u32::from(dir.count).saturating_add(2 + 1).saturating_mul(8);
    ensure(
        offset.saturating_add(index) <= dir_geo.block_size(),
        STRUCTURE,
        "offset",
    )
}
