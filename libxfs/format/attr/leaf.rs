// SPDX-License-Identifier: GPL-2.0

//! Leaf blocks of attribute forks.
//!
//! Behind the header lie the entries in order of their hash, and from the block's end towards them
//! the names with their values, in no order. The header lists up to three free stretches between.

use super::{
    super::{
        crc,
        da::{BlockInfo, CRC_OFFSET},
        dahash::NameHash,
        fault::{ensure, Fault},
        geometry::Geometry,
        units::{DiskAddr, FileBlock},
    },
    check_size, AttrFlags, MAX_VALUE,
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Magic number.
pub const LEAF_MAGIC: u16 = 0x3bee;

const STRUCTURE: &str = "attr3 leaf";

/// A free stretch, as the header lists it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FreeMap {
    /// Offset in the block, in bytes.
    pub base: U16,
    /// Length in bytes.
    pub size: U16,
}

/// Header of a leaf (`xfs_attr3_leaf_hdr`, 80 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LeafHeader {
    /// What all dabtree blocks have.
    pub info: BlockInfo,
    /// Entries.
    pub count: U16,
    /// Bytes that names and values take.
    pub usedbytes: U16,
    /// Offset of the lowest name; 0 stands for the block's size, where that does not fit.
    pub firstused: U16,
    /// Not 0 when there are free stretches that the list lacks.
    pub holes: u8,
    /// Unused.
    pub pad1: u8,
    /// Free stretches.
    pub freemap: [FreeMap; 3],
    /// Unused.
    pub pad2: U32,
}

/// Entry of a leaf (`xfs_attr_leaf_entry`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LeafEntry {
    /// Hash of the name.
    pub hash: U32,
    /// Offset of name and value in the block, in bytes.
    pub nameidx: U16,
    /// Flags ([`AttrFlags`]).
    pub flags: u8,
    /// Unused.
    pub pad: u8,
}

impl LeafEntry {
    /// Flags.
    #[inline]
    pub fn flags(&self) -> AttrFlags {
        AttrFlags(self.flags)
    }
}

/// Start of a name whose value lies beside it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LocalName {
    /// Bytes of the value, which follows the name.
    pub valuelen: U16,
    /// Bytes of the name, which follows.
    pub namelen: u8,
}

/// Start of a name whose value lies in blocks of its own.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RemoteName {
    /// First block of the value in the attribute fork.
    pub valueblk: U32,
    /// Bytes of the value.
    pub valuelen: U32,
    /// Bytes of the name, which follows.
    pub namelen: u8,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Here.
    Local(&'a [u8]),
    /// In blocks of its own.
    Remote {
        /// The first of them in the attribute fork; 0 for one that is half made.
        start: FileBlock,
        /// Its length in bytes.
        length: u32,
    },
}

impl Value<'_> {
    /// Length in bytes.
    #[inline]
    pub fn length(&self) -> u32 {
        match self {
            Value::Local(value) => value.len() as u32,
            Value::Remote { length, .. } => *length,
        }
    }
}

/// An attribute of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafAttr<'a> {
    /// Namespace, and whether the attribute is whole.
    pub flags: AttrFlags,
    /// Name, without the namespace's prefix.
    pub name: &'a [u8],
    /// Value.
    pub value: Value<'a>,
}

/// Bytes that a name of `name` bytes takes with its value of `value` bytes beside it.
#[inline]
pub const fn local_size(name: u8, value: u16) -> u32 {
    (name as u32).saturating_add(value as u32).saturating_add(6) & !3
}

/// Bytes that a name of `name` bytes takes whose value lies elsewhere.
#[inline]
pub const fn remote_size(name: u8) -> u32 {
    // 9 bytes before the name, and 2 more that an old compiler's padding made part of the format.
    (name as u32).saturating_add(9 + 2 + 3) & !3
}

/// A leaf that keeps to the bounds of its block.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// Header.
    pub header: &'a LeafHeader,
    /// Entries, in order of their hash.
    pub entries: &'a [LeafEntry],
    bytes: &'a [u8],
}

impl<'a> Leaf<'a> {
    /// Reads the leaf in `bytes`, which are one file system block.
    ///
    /// # Errors
    ///
    /// A fault when it is none, or the entries do not fit.
    #[inline]
    pub fn view(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, rest) =
            LeafHeader::ref_from_prefix(bytes).map_err(|_| Fault::corrupt(STRUCTURE, "size"))?;
        ensure(header.info.magic.get() == LEAF_MAGIC, STRUCTURE, "magic")?;
        let count = usize::from(header.count.get());
        let (entries, _) = <[LeafEntry]>::ref_from_prefix_with_elems(rest, count)
            .map_err(|_| Fault::corrupt(STRUCTURE, "count"))?;
        Ok(Self {
            header,
            entries,
            bytes,
        })
    }

    /// Offset of the lowest name in the block, in bytes.
    #[inline]
    pub fn first_used(&self) -> usize {
        match self.header.firstused.get() {
            0 => self.bytes.len(),
            at => usize::from(at),
        }
    }

    /// The entries whose hash is `hash`.
    #[inline]
    pub fn matching(&self, hash: NameHash) -> &'a [LeafEntry] {
        let start = self.entries.partition_point(|e| e.hash.get() < hash.0);
        let from = self.entries.get(start..).unwrap_or_default();
        let len = from.iter().take_while(|e| e.hash.get() == hash.0).count();
        from.get(..len).unwrap_or_default()
    }

    /// The highest hash, 0 when there is none.
    #[inline]
    pub fn last_hash(&self) -> NameHash {
        NameHash(self.entries.last().map_or(0, |entry| entry.hash.get()))
    }

    /// Name and value of one of the leaf's entries.
    ///
    /// # Errors
    ///
    /// A fault when they do not lie within the block.
    #[inline]
    pub fn attr(&self, entry: &LeafEntry) -> Result<LeafAttr<'a>, Fault> {
        let (attr, _) = self.attr_and_size(entry)?;
        Ok(attr)
    }

    fn attr_and_size(&self, entry: &LeafEntry) -> Result<(LeafAttr<'a>, u32), Fault> {
        let fault = Fault::corrupt(STRUCTURE, "nameidx");
        let flags = entry.flags();
        let rest = self
            .bytes
            .get(usize::from(entry.nameidx.get())..)
            .ok_or(fault)?;
        if flags.is_local() {
            let (head, rest) = LocalName::ref_from_prefix(rest).map_err(|_| fault)?;
            let (name, rest) = rest
                .split_at_checked(usize::from(head.namelen))
                .ok_or(fault)?;
            let value = rest.get(..usize::from(head.valuelen.get())).ok_or(fault)?;
            let attr = LeafAttr {
                flags,
                name,
                value: Value::Local(value),
            };
            Ok((attr, local_size(head.namelen, head.valuelen.get())))
        } else {
            let (head, rest) = RemoteName::ref_from_prefix(rest).map_err(|_| fault)?;
            let name = rest.get(..usize::from(head.namelen)).ok_or(fault)?;
            let attr = LeafAttr {
                flags,
                name,
                value: Value::Remote {
                    start: FileBlock(u64::from(head.valueblk.get())),
                    length: head.valuelen.get(),
                },
            };
            Ok((attr, remote_size(head.namelen)))
        }
    }

    fn verify_entry(&self, entry: &LeafEntry) -> Result<(), Fault> {
        let at = usize::from(entry.nameidx.get());
        ensure(
            at >= self.first_used() && at < self.bytes.len(),
            STRUCTURE,
            "nameidx",
        )?;
        let (attr, size) = self.attr_and_size(entry)?;
        ensure(!attr.name.is_empty(), STRUCTURE, "namelen")?;
        let end = at.saturating_add(size as usize);
        ensure(end <= self.bytes.len(), STRUCTURE, "nameidx")?;
        if let Value::Remote { start, length } = attr.value {
            ensure(
                attr.flags.is_incomplete() || start.0 != 0,
                STRUCTURE,
                "valueblk",
            )?;
            ensure(length <= MAX_VALUE, STRUCTURE, "valuelen")?;
        }
        Ok(())
    }

    /// Free stretches are whole words behind the entries, and do not overlap.
    fn verify_freemap(&self, entries_end: usize) -> Result<(), Fault> {
        let mut seen = [(0, 0); 3];
        for (free, slot) in self.header.freemap.iter().zip(seen.iter_mut()) {
            let base = usize::from(free.base.get());
            let size = usize::from(free.size.get());
            let end = base.saturating_add(size);
            ensure(
                base % 4 == 0 && size % 4 == 0 && end <= self.bytes.len(),
                STRUCTURE,
                "freemap",
            )?;
            ensure(size == 0 || base >= entries_end, STRUCTURE, "freemap")?;
            *slot = (base, end);
        }
        let [a, b, c] = seen;
        let overlap =
            |x: (usize, usize), y: (usize, usize)| x.0 < x.1 && y.0 < y.1 && x.0 < y.1 && y.0 < x.1;
        ensure(
            !overlap(a, b) && !overlap(a, c) && !overlap(b, c),
            STRUCTURE,
            "freemap",
        )
    }
}

/// Holds a leaf to its rules, the checksum aside. A leaf without entries is right: it is what a
/// crash between two steps of the change to this form leaves.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_structure(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    let leaf = Leaf::view(bytes)?;
    check_size(geo, bytes, STRUCTURE)?;
    leaf.header.info.verify(geo, at, STRUCTURE)?;
    let first_used = leaf.first_used();
    let entries_end = size_of::<LeafHeader>()
        .saturating_add(leaf.entries.len().saturating_mul(size_of::<LeafEntry>()));
    ensure(
        first_used <= bytes.len() && first_used >= entries_end,
        STRUCTURE,
        "firstused",
    )?;
    let mut last = 0;
    for entry in leaf.entries {
        let hash = entry.hash.get();
        ensure(hash >= last, STRUCTURE, "hashval")?;
        last = hash;
        leaf.verify_entry(entry)?;
    }
    leaf.verify_freemap(entries_end)
}

/// Holds a leaf to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum(STRUCTURE));
    }
    verify_structure(geo, at, bytes)
}

const _: () = assert!(size_of::<LeafHeader>() == 80);
const _: () = assert!(size_of::<LeafEntry>() == 8);
const _: () = assert!(size_of::<LocalName>() == 3);
const _: () = assert!(size_of::<RemoteName>() == 9);
