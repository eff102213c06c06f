// SPDX-License-Identifier: GPL-2.0

//! AGI: inodes of a group, the roots of its inobt and finobt, and its lists of inodes that are
//! unlinked but still open.

use super::{check_extent, group_at, NULL_AG_INODE};
use crate::libxfs::format::{
    btree::{Fino, Ino, Tree},
    crc,
    fault::{self, Fault},
    geometry::Geometry,
    units::{AgBlock, AgInode, DiskAddr},
};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// `XAGI`.
pub const MAGIC: u32 = 0x5841_4749;
const VERSION: u32 = 1;
/// Offset of the checksum in the sector.
pub const CRC_OFFSET: usize = core::mem::offset_of!(DiskAgi, crc);
/// Buckets of the hash of unlinked inodes.
pub const UNLINKED_BUCKETS: usize = 64;

/// The AGI as it lies on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `agi_` field of the same name.
pub struct DiskAgi {
    pub magicnum: U32,
    pub versionnum: U32,
    pub seqno: U32,
    pub length: U32,
    pub count: U32,
    pub root: U32,
    pub level: U32,
    pub freecount: U32,
    pub newino: U32,
    pub dirino: U32,
    pub unlinked: [U32; UNLINKED_BUCKETS],
    pub uuid: [u8; 16],
    /// Little-endian.
    pub crc: [u8; 4],
    pub pad32: U32,
    pub lsn: U64,
    pub free_root: U32,
    pub free_level: U32,
    pub iblocks: U32,
    pub fblocks: U32,
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, "agi", field)
}

/// Holds the sector `bytes`, read from `at`, to every rule of an AGI.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify<'a>(geo: &Geometry, at: DiskAddr, bytes: &'a [u8]) -> Result<&'a DiskAgi, Fault> {
    let (agi, _) = DiskAgi::ref_from_prefix(bytes).map_err(|_| Fault::corrupt("agi", "size"))?;
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum("agi"));
    }
    ensure(agi.magicnum.get() == MAGIC, "magicnum")?;
    ensure(agi.uuid == geo.meta_uuid, "uuid")?;
    ensure(agi.versionnum.get() == VERSION, "versionnum")?;
    let ag = group_at(geo, at, "agi")?;
    let length = agi.length.get();
    check_extent(geo, ag, agi.seqno.get(), length, "agi")?;

    let in_group = |block: U32| block.get() >= geo.ag_header_blocks() && block.get() < length;
    let possible = |level: U32, most: u8| level.get() >= 1 && level.get() <= u32::from(most);
    ensure(possible(agi.level, Ino::max_levels(geo)), "level")?;
    ensure(in_group(agi.root), "root")?;
    if geo.features.finobt() {
        ensure(
            possible(agi.free_level, Fino::max_levels(geo)),
            "free_level",
        )?;
        ensure(in_group(agi.free_root), "free_root")?;
    }

    let slots = u64::from(length).saturating_mul(u64::from(geo.inodes_per_block));
    ensure(u64::from(agi.count.get()) <= slots, "count")?;
    ensure(agi.freecount.get() <= agi.count.get(), "freecount")?;
    for head in &agi.unlinked {
        ensure(
            head.get() == NULL_AG_INODE || geo.ag_inode_is_valid(ag, AgInode(head.get())),
            "unlinked",
        )?;
    }
    Ok(agi)
}

impl DiskAgi {
    /// The fields of a sector that was verified as an AGI before; `None` when there are too few
    /// bytes.
    pub fn view(verified: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(verified).ok().map(|(agi, _)| agi)
    }

    /// Root block and levels of the inode tree.
    pub fn ino(&self) -> (AgBlock, u32) {
        (AgBlock(self.root.get()), self.level.get())
    }

    /// Root block and levels of the free-inode tree.
    pub fn fino(&self) -> (AgBlock, u32) {
        (AgBlock(self.free_root.get()), self.free_level.get())
    }
}
