// SPDX-License-Identifier: GPL-2.0

//! Free index blocks of directories in node form: each data block's longest unused stretch.

use super::{
    super::{
        crc,
        fault::{ensure, Fault},
        geometry::Geometry,
        units::{DiskAddr, FileBlock, InodeNumber},
    },
    check_size,
    space::DirGeometry,
    BlockHeader, CRC_OFFSET,
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Magic number (`XDF3`).
pub const FREE_MAGIC: u32 = 0x5844_4633;
/// Stands for a data block that is not there.
pub const NO_BLOCK: u16 = 0xffff;

const STRUCTURE: &str = "dir3 free";

/// Header of a free index block (`xfs_dir3_free_hdr`, 64 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FreeHeader {
    /// What data and free index blocks have.
    pub block: BlockHeader,
    /// Directory block that the first entry is about.
    pub firstdb: U32,
    /// Entries.
    pub nvalid: U32,
    /// Entries about blocks that are there.
    pub nused: U32,
    /// Unused.
    pub pad: U32,
}

/// A free index block that keeps to the bounds of its block.
#[derive(Clone, Copy)]
pub struct FreeIndex<'a> {
    /// Header.
    pub header: &'a FreeHeader,
    /// Longest unused stretch of each data block from `firstdb` on, in bytes; [`NO_BLOCK`] for one
    /// that is not there.
    pub bests: &'a [U16],
    /// Entries that fit the block.
    capacity: usize,
}

impl<'a> FreeIndex<'a> {
    /// Reads the free index block in `bytes`, which are one directory block.
    ///
    /// # Errors
    ///
    /// A fault when it is none, or what it counts does not fit.
    #[inline]
    pub fn view(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, rest) =
            FreeHeader::ref_from_prefix(bytes).map_err(|_| Fault::corrupt(STRUCTURE, "size"))?;
        ensure(header.block.magic.get() == FREE_MAGIC, STRUCTURE, "magic")?;
        let misfit = Fault::corrupt(STRUCTURE, "nvalid");
        let count = usize::try_from(header.nvalid.get()).map_err(|_| misfit)?;
        let (bests, _) = <[U16]>::ref_from_prefix_with_elems(rest, count).map_err(|_| misfit)?;
        Ok(Self {
            header,
            bests,
            capacity: rest.len() / 2,
        })
    }

    /// Checks what the block itself cannot know: that it belongs to `owner`, and that it is about
    /// the data blocks that its place `at` in the fork says.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check_place(
        &self,
        geo: &DirGeometry,
        owner: InodeNumber,
        at: FileBlock,
    ) -> Result<(), Fault> {
        self.header.block.check_owner(owner, STRUCTURE)?;
        let first = at
            .distance_from(geo.free_start())
            .and_then(|blocks| blocks.checked_div(u64::from(geo.fs_blocks())))
            .and_then(|index| index.checked_mul(self.capacity as u64));
        ensure(
            first == Some(u64::from(self.header.firstdb.get())),
            STRUCTURE,
            "firstdb",
        )
    }
}

/// Holds a free index block to its rules, the checksum aside.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_structure(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    let free = FreeIndex::view(bytes)?;
    check_size(geo, bytes, STRUCTURE)?;
    free.header.block.verify(geo, at, STRUCTURE)?;
    ensure(
        free.header.nused.get() <= free.header.nvalid.get(),
        STRUCTURE,
        "nused",
    )
}

/// Holds a free index block to its rules.
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

const _: () = assert!(size_of::<FreeHeader>() == 64);
