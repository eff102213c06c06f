// SPDX-License-Identifier: GPL-2.0

//! AGF: free space of a group, and the roots of its bnobt, cntbt, rmapbt and refcountbt.

use super::{agfl, check_extent, group_at};
use crate::libxfs::format::{
    btree::{Bno, Cnt, Refcount, Rmap, Tree},
    crc,
    fault::{self, Fault},
    geometry::Geometry,
    units::{AgBlock, DiskAddr},
};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// `XAGF`.
pub const MAGIC: u32 = 0x5841_4746;
const VERSION: u32 = 1;
/// Offset of the checksum in the sector.
pub const CRC_OFFSET: usize = core::mem::offset_of!(DiskAgf, crc);

/// The AGF as it lies on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `agf_` field of the same name.
pub struct DiskAgf {
    pub magicnum: U32,
    pub versionnum: U32,
    pub seqno: U32,
    pub length: U32,
    pub bno_root: U32,
    pub cnt_root: U32,
    pub rmap_root: U32,
    pub bno_level: U32,
    pub cnt_level: U32,
    pub rmap_level: U32,
    pub flfirst: U32,
    pub fllast: U32,
    pub flcount: U32,
    pub freeblks: U32,
    pub longest: U32,
    pub btreeblks: U32,
    pub uuid: [u8; 16],
    pub rmap_blocks: U32,
    pub refcount_blocks: U32,
    pub refcount_root: U32,
    pub refcount_level: U32,
    pub spare64: [U64; 14],
    pub lsn: U64,
    /// Little-endian.
    pub crc: [u8; 4],
    pub spare2: U32,
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, "agf", field)
}

/// Whether `level` levels are possible for the tree `T`, and its root lies in the group.
fn check_root<T: Tree>(
    geo: &Geometry,
    length: u32,
    root: U32,
    level: U32,
    fields: [&'static str; 2],
) -> Result<(), Fault> {
    let [root_field, level_field] = fields;
    ensure(
        level.get() >= 1 && level.get() <= u32::from(T::max_levels(geo)),
        level_field,
    )?;
    ensure(
        root.get() >= geo.ag_header_blocks() && root.get() < length,
        root_field,
    )
}

/// Holds the sector `bytes`, read from `at`, to every rule of an AGF.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify<'a>(geo: &Geometry, at: DiskAddr, bytes: &'a [u8]) -> Result<&'a DiskAgf, Fault> {
    let (agf, _) = DiskAgf::ref_from_prefix(bytes).map_err(|_| Fault::corrupt("agf", "size"))?;
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum("agf"));
    }
    ensure(agf.magicnum.get() == MAGIC, "magicnum")?;
    ensure(agf.uuid == geo.meta_uuid, "uuid")?;
    ensure(agf.versionnum.get() == VERSION, "versionnum")?;
    let ag = group_at(geo, at, "agf")?;
    let length = agf.length.get();
    check_extent(geo, ag, agf.seqno.get(), length, "agf")?;

    let slots = agfl::slots(geo);
    let (first, last, count) = (agf.flfirst.get(), agf.fllast.get(), agf.flcount.get());
    ensure(first < slots, "flfirst")?;
    ensure(last < slots, "fllast")?;
    ensure(count <= slots, "flcount")?;

    ensure(agf.freeblks.get() <= length, "freeblks")?;
    ensure(agf.longest.get() <= agf.freeblks.get(), "longest")?;
    ensure(agf.btreeblks.get() <= length, "btreeblks")?;

    check_root::<Bno>(
        geo,
        length,
        agf.bno_root,
        agf.bno_level,
        ["bno_root", "bno_level"],
    )?;
    check_root::<Cnt>(
        geo,
        length,
        agf.cnt_root,
        agf.cnt_level,
        ["cnt_root", "cnt_level"],
    )?;
    if geo.features.rmapbt() {
        ensure(agf.rmap_blocks.get() <= length, "rmap_blocks")?;
        check_root::<Rmap>(
            geo,
            length,
            agf.rmap_root,
            agf.rmap_level,
            ["rmap_root", "rmap_level"],
        )?;
    }
    if geo.features.reflink() {
        ensure(agf.refcount_blocks.get() <= length, "refcount_blocks")?;
        check_root::<Refcount>(
            geo,
            length,
            agf.refcount_root,
            agf.refcount_level,
            ["refcount_root", "refcount_level"],
        )?;
    }
    Ok(agf)
}

impl DiskAgf {
    /// The fields of a sector that was verified as an AGF before; `None` when there are too few
    /// bytes.
    pub fn view(verified: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(verified).ok().map(|(agf, _)| agf)
    }

    /// Root block and levels of the tree by block.
    pub fn bno(&self) -> (AgBlock, u32) {
        (AgBlock(self.bno_root.get()), self.bno_level.get())
    }

    /// Root block and levels of the tree by length.
    pub fn cnt(&self) -> (AgBlock, u32) {
        (AgBlock(self.cnt_root.get()), self.cnt_level.get())
    }

    /// Root block and levels of the reverse-mapping tree.
    pub fn rmap(&self) -> (AgBlock, u32) {
        (AgBlock(self.rmap_root.get()), self.rmap_level.get())
    }

    /// Root block and levels of the reference-count tree.
    pub fn refcount(&self) -> (AgBlock, u32) {
        (AgBlock(self.refcount_root.get()), self.refcount_level.get())
    }
}
