// SPDX-License-Identifier: GPL-2.0

//! Where inodes lie: chunks, the clusters in which they are read, and which numbers can be one.
//!
//! Inodes are allocated in chunks of 64 and read and written in clusters, buffers of one or more
//! blocks.
//!
//! Source: "Inode Cluster" in the XFS format's documentation, and the mount-time geometry of
//! `fs/xfs/libxfs/xfs_ialloc.c` of Linux 7.3.

use super::{
    super::{
        fault::{ensure, Fault},
        geometry::Geometry,
        units::{AgBlock, AgInode, AgNumber, DiskAddr, InodeNumber},
    },
    seal, RawInode, MAGIC, NULL_AG_INODE, VERSION,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// A cluster of inodes and the place of one inode in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodePlace {
    /// Group.
    pub ag: AgNumber,
    /// First block of the cluster.
    pub block: AgBlock,
    /// Index of the inode in the cluster.
    pub index: u32,
}

/// Whether an inode can have this number; says nothing of whether it is allocated.
pub fn number_is_valid(geo: &Geometry, number: InodeNumber) -> bool {
    geo.split_inode(number)
        .is_some_and(|(ag, inode)| geo.ag_inode_is_valid(ag, inode))
}

/// Place of an inode by arithmetic alone.
///
/// `None` for a number that cannot be an inode, and where chunks are not aligned so that only the
/// inode B+tree knows; then [`place_in_chunk`] helps.
pub fn place(geo: &Geometry, number: InodeNumber) -> Option<InodePlace> {
    let (ag, inode) = geo.split_inode(number)?;
    let (block, index) = geo.inode_block(inode);
    if geo.inode_cluster_blocks() == 1 {
        return Some(InodePlace { ag, block, index });
    }
    let align = geo.inode_cluster_alignment();
    if align <= 1 {
        return None;
    }
    let chunk = block.0.checked_sub(block.0.checked_rem(align)?)?;
    place_from_chunk(geo, ag, AgBlock(chunk), block, index)
}

/// Place of an inode of the chunk whose first inode the inode B+tree names.
pub fn place_in_chunk(
    geo: &Geometry,
    number: InodeNumber,
    chunk_first: AgInode,
) -> Option<InodePlace> {
    let (ag, inode) = geo.split_inode(number)?;
    let (block, index) = geo.inode_block(inode);
    let (chunk, _) = geo.inode_block(chunk_first);
    place_from_chunk(geo, ag, chunk, block, index)
}

fn place_from_chunk(
    geo: &Geometry,
    ag: AgNumber,
    chunk: AgBlock,
    block: AgBlock,
    index: u32,
) -> Option<InodePlace> {
    let blocks = geo.inode_cluster_blocks();
    let within = block.distance_from(chunk)?.checked_rem(blocks)?;
    let first = block.checked_sub(within)?;
    if first.0.checked_add(blocks)? > geo.ag_length(ag)? {
        return None;
    }
    Some(InodePlace {
        ag,
        block: first,
        index: within
            .checked_mul(geo.inodes_per_block)?
            .checked_add(index)?,
    })
}

/// Fills a cluster with free inodes, of which `first` is the first, all of that generation. `None`
/// for numbers that cannot be inodes'.
///
/// Recovery makes new inodes again by the same rule.
pub fn fill(
    geo: &Geometry,
    (ag, first): (AgNumber, AgInode),
    generation: u32,
    cluster: &mut [u8],
) -> Option<()> {
    cluster.fill(0);
    let size = (geo.inode_size as usize).max(1);
    for (index, into) in (0..).zip(cluster.chunks_exact_mut(size)) {
        let mut raw = RawInode::new_zeroed();
        raw.magic = MAGIC.into();
        raw.version = VERSION;
        raw.generation = generation.into();
        raw.next_unlinked = NULL_AG_INODE.into();
        raw.number = geo.inode_number(ag, first.checked_add(index)?)?.0.into();
        raw.uuid = geo.meta_uuid;
        raw.as_bytes().write_to_prefix(into).ok()?;
        seal(into);
    }
    Some(())
}

/// Holds a cluster to what all its inodes, free ones too, keep: magic, version, and an unlinked
/// list that stays in the group.
///
/// The rest waits for [`Dinode::verified`](super::Dinode::verified), for each inode when it is
/// used.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
    const NAME: &str = "inode cluster";

    let (ag, _) = geo.split_addr(at).ok_or(Fault::corrupt(NAME, "blkno"))?;
    for inode in bytes.chunks(geo.inode_size as usize) {
        let (raw, _) =
            RawInode::ref_from_prefix(inode).map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.magic.get() == MAGIC, NAME, "di_magic")?;
        ensure(raw.version == VERSION, NAME, "di_version")?;
        let next = raw.next_unlinked.get();
        ensure(
            next == NULL_AG_INODE || geo.ag_inode_is_valid(ag, AgInode(next)),
            NAME,
            "di_next_unlinked",
        )?;
    }
    Ok(())
}
