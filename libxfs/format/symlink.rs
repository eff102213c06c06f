// SPDX-License-Identifier: GPL-2.0

//! Symbolic links: the target in the inode, and blocks that hold one which does not fit there.
//!
//! A target lies in up to three runs of blocks, each with one header in front and the next part of
//! the target behind it.
//!
//! Source: "Symbolic Links" in the XFS format's documentation.

use super::{
    crc,
    fault::{ensure, Fault},
    geometry::Geometry,
    units::{DiskAddr, InodeNumber},
};
use core::mem::{offset_of, size_of};
use zerocopy::{
    byteorder::{
        big_endian::{U32, U64},
        little_endian,
    },
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = "symlink";

/// `XSLM`: what `sl_magic` holds.
pub const MAGIC: u32 = 0x5853_4c4d;
/// Bytes that no target reaches: the longest has one less.
pub const MAX_LENGTH: u32 = 1024;
/// Most runs of blocks that a target takes.
pub const MAX_RUNS: usize = 3;

/// Header of a run of blocks (`struct xfs_dsymlink_hdr`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: U32,
    /// Where this part starts in the target, in bytes.
    pub offset: U32,
    /// Bytes of this part.
    pub bytes: U32,
    /// CRC32c over the run.
    pub crc: little_endian::U32,
    /// The file system's metadata uuid.
    pub uuid: [u8; 16],
    /// The inode.
    pub owner: U64,
    /// Where the run lies.
    pub blkno: U64,
    /// Last log record that wrote it.
    pub lsn: U64,
}

/// Bytes of the header.
pub const HEADER_SIZE: usize = size_of::<Header>();
const _: () = assert!(HEADER_SIZE == 56);
/// Where the checksum lies.
pub const CRC_OFFSET: usize = offset_of!(Header, crc);

/// Blocks that a target of `length` bytes takes, if each has a header.
pub const fn blocks(geo: &Geometry, length: u32) -> u32 {
    let room = geo.block_size.saturating_sub(HEADER_SIZE as u32);
    match length
        .saturating_add(room.saturating_sub(1))
        .checked_div(room)
    {
        Some(blocks) => blocks,
        None => 0,
    }
}

/// Holds a run of blocks to its rules.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, at: DiskAddr, run: &[u8]) -> Result<(), Fault> {
    let (header, _) = Header::ref_from_prefix(run).map_err(|_| Fault::corrupt(NAME, "length"))?;
    if !crc::block_crc_is_good(run, CRC_OFFSET) {
        return Err(Fault::checksum(NAME));
    }
    ensure(header.magic.get() == MAGIC, NAME, "sl_magic")?;
    ensure(header.uuid == geo.meta_uuid, NAME, "sl_uuid")?;
    ensure(header.blkno.get() == at.0, NAME, "sl_blkno")?;
    let end = header.offset.get().saturating_add(header.bytes.get());
    ensure(end < MAX_LENGTH, NAME, "sl_bytes")?;
    ensure(header.owner.get() != 0, NAME, "sl_owner")
}

/// The part of a target in a verified run: `length` bytes, `offset` bytes into it.
///
/// # Errors
///
/// A fault if the run belongs to another inode or holds another part.
pub fn part(run: &[u8], owner: InodeNumber, offset: u32, length: u32) -> Result<&[u8], Fault> {
    let (header, body) =
        Header::ref_from_prefix(run).map_err(|_| Fault::corrupt(NAME, "length"))?;
    ensure(header.owner.get() == owner.0, NAME, "sl_owner")?;
    ensure(header.offset.get() == offset, NAME, "sl_offset")?;
    ensure(header.bytes.get() == length, NAME, "sl_bytes")?;
    body.get(..length as usize)
        .ok_or(Fault::corrupt(NAME, "sl_bytes"))
}

/// Holds a target in an inode to its rules: there is one, it is not too long, and has no zeroes but
/// for its last byte.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_local(target: &[u8]) -> Result<(), Fault> {
    const NAME: &str = "symlink shortform";

    let (_, front) = target.split_last().ok_or(Fault::corrupt(NAME, "size"))?;
    ensure(target.len() <= MAX_LENGTH as usize, NAME, "size")?;
    ensure(!front.contains(&0), NAME, "target")
}
