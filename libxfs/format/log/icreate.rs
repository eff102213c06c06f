// SPDX-License-Identifier: GPL-2.0

//! Inode-create items: blocks that were filled with free inodes.
//!
//! Their buffers need not be logged, since what is in them is known.

use super::{item::ItemKind, regions::Regions};
use crate::libxfs::format::{
    fault::{self, Fault},
    geometry::Geometry,
    units::{AgBlock, AgNumber},
};
use zerocopy::{
    byteorder::{big_endian, native_endian},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = ItemKind::Icreate.name();

/// The only region of an inode-create item. Unlike other items', its numbers are big-endian, but
/// for the two that all items begin with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `icl_` field of the same name.
pub struct DiskIcreate {
    pub kind: native_endian::U16,
    pub size: native_endian::U16,
    pub ag: big_endian::U32,
    pub agbno: big_endian::U32,
    pub count: big_endian::U32,
    pub isize: big_endian::U32,
    pub length: big_endian::U32,
    pub gen: big_endian::U32,
}

/// A chunk of inodes, or the part of one, that was made. Recovery makes them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeCreate {
    /// Their group.
    pub ag: AgNumber,
    /// Their first block.
    pub block: AgBlock,
    /// How many they are.
    pub inodes: u32,
    /// Bytes of each.
    pub inode_size: u32,
    /// Blocks that they take.
    pub blocks: u32,
    /// The generation that they have.
    pub generation: u32,
}

/// Inodes of a chunk.
const CHUNK_INODES: u32 = 64;

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, NAME, field)
}

impl InodeCreate {
    /// Decodes an item.
    ///
    /// # Errors
    ///
    /// A fault when it is not just one region of the right size.
    pub fn decode(regions: &Regions<'_>) -> Result<Self, Fault> {
        ensure(regions.len() == 1, "regions")?;
        let raw = DiskIcreate::ref_from_bytes(regions.get(0).unwrap_or_default())
            .map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.kind.get() == ItemKind::Icreate.to_disk(), "icl_type")?;
        ensure(raw.size.get() == 1, "icl_size")?;
        Ok(Self {
            ag: AgNumber(raw.ag.get()),
            block: AgBlock(raw.agbno.get()),
            inodes: raw.count.get(),
            inode_size: raw.isize.get(),
            blocks: raw.length.get(),
            generation: raw.gen.get(),
        })
    }

    /// The only region of this item.
    pub fn encode(&self) -> DiskIcreate {
        DiskIcreate {
            kind: ItemKind::Icreate.to_disk().into(),
            size: 1.into(),
            ag: self.ag.0.into(),
            agbno: self.block.0.into(),
            count: self.inodes.into(),
            isize: self.inode_size.into(),
            length: self.blocks.into(),
            gen: self.generation.into(),
        }
    }

    /// Holds the inodes against the file system: whole clusters, of a chunk or of the smallest
    /// part of one that can be allocated by itself, inside a group.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(&self, geo: &Geometry) -> Result<(), Fault> {
        ensure(geo.ag_length(self.ag).is_some(), "icl_ag")?;
        ensure(self.inode_size == geo.inode_size, "icl_isize")?;
        ensure(
            geo.ag_extent_is_valid(self.ag, self.block, self.blocks),
            "icl_agbno",
        )?;
        // What a chunk takes, but at least a block.
        let whole = CHUNK_INODES.div_ceil(geo.inodes_per_block.max(1));
        let sparse = geo.features.sparse_inodes() && self.blocks == geo.sparse_inode_alignment;
        ensure(self.blocks == whole || sparse, "icl_length")?;
        let inodes = self.blocks.checked_mul(geo.inodes_per_block);
        ensure(inodes == Some(self.inodes), "icl_count")?;
        let clusters = self.blocks.checked_rem(geo.inode_cluster_blocks());
        ensure(clusters == Some(0), "icl_length")
    }
}
