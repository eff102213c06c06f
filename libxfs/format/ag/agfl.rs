// SPDX-License-Identifier: GPL-2.0

//! AGFL: blocks of a group that are set aside so that its free-space and reverse-mapping trees can
//! grow. A ring; the AGF says which of its slots are in use.

use super::{agf::DiskAgf, group_at, NULL_AG_BLOCK};
use crate::libxfs::format::{
    crc,
    fault::{self, Fault},
    geometry::Geometry,
    units::{AgBlock, DiskAddr},
};
use zerocopy::{
    byteorder::big_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// `XAFL`.
pub const MAGIC: u32 = 0x5841_464c;
/// Offset of the checksum in the sector.
pub const CRC_OFFSET: usize = core::mem::offset_of!(DiskAgfl, crc);
const HEADER_SIZE: u32 = core::mem::size_of::<DiskAgfl>() as u32;

/// The header of the AGFL as it lies on the disk; block numbers follow, to the sector's end.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `agfl_` field of the same name.
pub struct DiskAgfl {
    pub magicnum: U32,
    pub seqno: U32,
    pub uuid: [u8; 16],
    pub lsn: U64,
    /// Little-endian.
    pub crc: [u8; 4],
}

/// Slots of the ring.
pub const fn slots(geo: &Geometry) -> u32 {
    geo.sector_size.saturating_sub(HEADER_SIZE) >> 2
}

/// A verified AGFL.
#[derive(Clone, Copy, Debug)]
pub struct Agfl<'a> {
    /// The header.
    pub header: &'a DiskAgfl,
    blocks: &'a [U32],
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, "agfl", field)
}

/// Holds the sector `bytes`, read from `at`, to every rule of an AGFL.
///
/// Slots that the AGF does not count may hold anything that looks like a block; whoever uses one
/// of the others checks it with [`Agfl::used`].
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify<'a>(geo: &Geometry, at: DiskAddr, bytes: &'a [u8]) -> Result<Agfl<'a>, Fault> {
    let agfl = Agfl::view(geo, bytes).ok_or(Fault::corrupt("agfl", "size"))?;
    let header = agfl.header;
    if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
        return Err(Fault::checksum("agfl"));
    }
    ensure(header.magicnum.get() == MAGIC, "magicnum")?;
    ensure(header.uuid == geo.meta_uuid, "uuid")?;
    let ag = group_at(geo, at, "agfl")?;
    ensure(header.seqno.get() == ag.0, "seqno")?;
    for block in agfl.blocks {
        ensure(
            block.get() == NULL_AG_BLOCK || block.get() < geo.ag_blocks,
            "bno",
        )?;
    }
    Ok(agfl)
}

impl<'a> Agfl<'a> {
    /// The fields of a sector that was verified as an AGFL before; `None` when there are too few
    /// bytes.
    pub fn view(geo: &Geometry, verified: &'a [u8]) -> Option<Self> {
        let (header, rest) = DiskAgfl::ref_from_prefix(verified).ok()?;
        let count = usize::try_from(slots(geo)).ok()?;
        let (blocks, _) = <[U32]>::ref_from_prefix_with_elems(rest, count).ok()?;
        Some(Self { header, blocks })
    }

    /// The blocks in use, from the oldest on, as `agf` counts them.
    ///
    /// An item is a fault when its slot holds no block of this group that could be free.
    pub fn used<'g>(
        &self,
        geo: &'g Geometry,
        agf: &DiskAgf,
    ) -> impl Iterator<Item = Result<AgBlock, Fault>> + use<'a, 'g> {
        let blocks = self.blocks;
        let first = usize::try_from(agf.flfirst.get()).unwrap_or(usize::MAX);
        let count = usize::try_from(agf.flcount.get())
            .unwrap_or(0)
            .min(blocks.len());
        let length = agf.length.get();
        blocks
            .iter()
            .cycle()
            .skip(first.min(blocks.len()))
            .take(count)
            .map(move |block| {
                let block = block.get();
                ensure(block >= geo.ag_header_blocks() && block < length, "bno")?;
                Ok(AgBlock(block))
            })
    }
}
