// SPDX-License-Identifier: GPL-2.0

//! Leaf blocks of directories: the hash index.
//!
//! Entries map the hash of a name to where the entry with that name lies, in order of the hash.
//! Removed entries stay for a while as stale ones. A directory in leaf form has one such block,
//! whose end also holds the longest unused stretch of every data block; in node form there are
//! many under a B+tree, and that list lies elsewhere ([`free`](super::free)).

use super::{
    super::{
        crc,
        da::{BlockInfo, CRC_OFFSET},
        dahash::NameHash,
        fault::{ensure, Fault},
        geometry::Geometry,
        units::DiskAddr,
    },
    check_size,
    space::{DataPtr, DirGeometry},
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Magic number of the only leaf of a directory in leaf form.
pub const LEAF1_MAGIC: u16 = 0x3df1;
/// Magic number of a leaf of a directory in node form.
pub const LEAFN_MAGIC: u16 = 0x3dff;

const STRUCTURE: &str = "dir3 leaf";

/// Which of the two kinds of leaf is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKind {
    /// The only one, with the data blocks' room at its end.
    Single,
    /// One of many, under nodes.
    Many,
}

/// Header of a leaf (`xfs_dir3_leaf_hdr`, 64 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LeafHeader {
    /// What all dabtree blocks have.
    pub info: BlockInfo,
    /// Entries, stale ones too.
    pub count: U16,
    /// Stale entries.
    pub stale: U16,
    /// Unused.
    pub pad: U32,
}

/// Entry of the hash index.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LeafEntry {
    /// Hash of the name.
    pub hash: U32,
    /// Where the entry lies ([`DataPtr`]); 0 when stale.
    pub address: U32,
}

impl LeafEntry {
    /// Whether the entry is gone.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.address.get() == DataPtr::NULL.0
    }

    /// Where the entry lies, unless it is gone.
    #[inline]
    pub fn pointer(&self) -> Option<DataPtr> {
        match DataPtr(self.address.get()) {
            DataPtr::NULL => None,
            at => Some(at),
        }
    }
}

/// The entries of an index whose hash is `hash`.
#[inline]
pub fn matching(index: &[LeafEntry], hash: NameHash) -> &[LeafEntry] {
    let start = index.partition_point(|entry| entry.hash.get() < hash.0);
    let from = index.get(start..).unwrap_or_default();
    let len = from
        .iter()
        .take_while(|entry| entry.hash.get() == hash.0)
        .count();
    from.get(..len).unwrap_or_default()
}

/// A leaf that keeps to the bounds of its block.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// Header.
    pub header: &'a LeafHeader,
    /// Entries, in order of their hash.
    pub entries: &'a [LeafEntry],
    /// Longest unused stretch of each data block in bytes, `0xffff` for a block that is not there;
    /// in a single leaf alone.
    pub bests: &'a [U16],
}

impl<'a> Leaf<'a> {
    /// Reads the leaf in `bytes`, which are one directory block.
    ///
    /// # Errors
    ///
    /// A fault when it is not the kind of leaf that is asked for, or what it counts does not fit.
    #[inline]
    pub fn view(bytes: &'a [u8], kind: LeafKind) -> Result<Self, Fault> {
        let (header, rest) =
            LeafHeader::ref_from_prefix(bytes).map_err(|_| Fault::corrupt(STRUCTURE, "size"))?;
        let magic = match kind {
            LeafKind::Single => LEAF1_MAGIC,
            LeafKind::Many => LEAFN_MAGIC,
        };
        ensure(header.info.magic.get() == magic, STRUCTURE, "magic")?;
        let count = usize::from(header.count.get());
        let (entries, rest) = <[LeafEntry]>::ref_from_prefix_with_elems(rest, count)
            .map_err(|_| Fault::corrupt(STRUCTURE, "count"))?;
        let bests = match kind {
            LeafKind::Single => Self::bests(rest)?,
            LeafKind::Many => Default::default(),
        };
        Ok(Self {
            header,
            entries,
            bests,
        })
    }

    /// The list at the end of a single leaf, whose last four bytes count it.
    fn bests(rest: &'a [u8]) -> Result<&'a [U16], Fault> {
        let misfit = Fault::corrupt(STRUCTURE, "bestcount");
        let (rest, count) = U32::ref_from_suffix(rest).map_err(|_| misfit)?;
        let count = usize::try_from(count.get()).map_err(|_| misfit)?;
        let (_, bests) = <[U16]>::ref_from_suffix_with_elems(rest, count).map_err(|_| misfit)?;
        Ok(bests)
    }

    /// The highest hash, 0 when there is none.
    #[inline]
    pub fn last_hash(&self) -> NameHash {
        NameHash(self.entries.last().map_or(0, |entry| entry.hash.get()))
    }
}

/// Holds a leaf to its rules, the checksum aside.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_structure(
    geo: &Geometry,
    at: DiskAddr,
    bytes: &[u8],
    kind: LeafKind,
) -> Result<(), Fault> {
    let leaf = Leaf::view(bytes, kind)?;
    check_size(geo, bytes, STRUCTURE)?;
    leaf.header.info.verify(geo, at, STRUCTURE)?;
    let dir_geo = DirGeometry::new(geo);
    let mut last = 0;
    let mut stale = 0u16;
    for entry in leaf.entries {
        let hash = entry.hash.get();
        ensure(hash >= last, STRUCTURE, "hashval")?;
        last = hash;
        if entry.is_stale() {
            stale = stale.saturating_add(1);
        }
        if kind == LeafKind::Single {
            let (block, _) = dir_geo.split(DataPtr(entry.address.get()));
            let known = usize::try_from(block.0).is_ok_and(|block| block < leaf.bests.len());
            ensure(known, STRUCTURE, "address")?;
        }
    }
    ensure(stale == leaf.header.stale.get(), STRUCTURE, "stale")
}

/// Holds a leaf to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, at: DiskAddr, bytes: &[u8], kind: LeafKind) -> Result<(), Fault> {
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum(STRUCTURE));
    }
    verify_structure(geo, at, bytes, kind)
}

const _: () = assert!(size_of::<LeafHeader>() == 64);
const _: () = assert!(size_of::<LeafEntry>() == 8);
