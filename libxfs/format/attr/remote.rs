// SPDX-License-Identifier: GPL-2.0

//! Blocks of a long attribute's value.
//!
//! Every file system block of a value has its own header and checksum, so that it can be told
//! whose it is and which part it holds. These blocks are never logged.

use super::{
    super::{
        crc,
        fault::{ensure, Fault},
        geometry::Geometry,
        units::{DiskAddr, InodeNumber},
    },
    MAX_VALUE,
};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Magic number (`XARM`).
pub const REMOTE_MAGIC: u32 = 0x5841_524d;
/// Where the checksum lies in a block.
pub const CRC_OFFSET: usize = 12;

const STRUCTURE: &str = "attr3 remote";

/// Header of a block (`xfs_attr3_rmt_hdr`, 56 bytes).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RemoteHeader {
    /// What the block is.
    pub magic: U32,
    /// Byte of the value at which this part starts.
    pub offset: U32,
    /// Bytes of the value in this block.
    pub bytes: U32,
    /// Checksum, little-endian.
    pub crc: [u8; 4],
    /// The file system's metadata uuid.
    pub uuid: [u8; 16],
    /// Inode that the block belongs to.
    pub owner: U64,
    /// Where the block lies, in basic blocks.
    pub blkno: U64,
    /// Always all ones: the block is not logged.
    pub lsn: U64,
}

/// Bytes of a value that fit a block.
#[inline]
pub const fn bytes_per_block(geo: &Geometry) -> u32 {
    geo.block_size
        .saturating_sub(size_of::<RemoteHeader>() as u32)
}

/// Blocks that a value of `length` bytes takes.
#[inline]
pub const fn blocks_for(geo: &Geometry, length: u32) -> u32 {
    let each = bytes_per_block(geo);
    match length
        .saturating_add(each.saturating_sub(1))
        .checked_div(each)
    {
        Some(blocks) => blocks,
        None => 0,
    }
}

/// Part of a value, out of one block that a verifier has accepted.
///
/// # Errors
///
/// A fault when the block is not `owner`'s, or does not hold `length` bytes from byte `offset` of
/// a value.
#[inline]
pub fn part(block: &[u8], owner: InodeNumber, offset: u32, length: u32) -> Result<&[u8], Fault> {
    let (header, rest) =
        RemoteHeader::ref_from_prefix(block).map_err(|_| Fault::corrupt(STRUCTURE, "size"))?;
    ensure(header.owner.get() == owner.0, STRUCTURE, "owner")?;
    ensure(header.offset.get() == offset, STRUCTURE, "offset")?;
    ensure(header.bytes.get() == length, STRUCTURE, "bytes")?;
    rest.get(..length as usize)
        .ok_or(Fault::corrupt(STRUCTURE, "bytes"))
}

/// Holds one block, which lies at `at`, to its rules, the checksum aside.
fn verify_block(geo: &Geometry, at: DiskAddr, block: &[u8]) -> Result<(), Fault> {
    let (header, _) =
        RemoteHeader::ref_from_prefix(block).map_err(|_| Fault::corrupt(STRUCTURE, "size"))?;
    ensure(header.magic.get() == REMOTE_MAGIC, STRUCTURE, "magic")?;
    ensure(header.uuid == geo.meta_uuid, STRUCTURE, "uuid")?;
    ensure(header.blkno.get() == at.0, STRUCTURE, "blkno")?;
    let bytes = header.bytes.get();
    ensure(bytes <= bytes_per_block(geo), STRUCTURE, "bytes")?;
    let end = header.offset.get().checked_add(bytes);
    ensure(end.is_some_and(|end| end <= MAX_VALUE), STRUCTURE, "offset")?;
    ensure(header.owner.get() != 0, STRUCTURE, "owner")
}

/// Holds the blocks of a value that follow each other on the disk to their rules: `bytes` are one
/// or more whole file system blocks, the first of which lies at `at`.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    let size = geo.block_size as usize;
    ensure(
        !bytes.is_empty() && bytes.len().checked_rem(size) == Some(0),
        STRUCTURE,
        "size",
    )?;
    let step = u64::from(geo.basic_blocks_per_block());
    let mut at = Some(at);
    for block in bytes.chunks_exact(size) {
        if !crc::block_crc_is_good(block, CRC_OFFSET) {
            return Err(Fault::checksum(STRUCTURE));
        }
        let here = at.ok_or(Fault::corrupt(STRUCTURE, "blkno"))?;
        verify_block(geo, here, block)?;
        at = here.checked_add(step);
    }
    Ok(())
}

const _: () = assert!(size_of::<RemoteHeader>() == 56);
