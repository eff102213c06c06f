// SPDX-License-Identifier: GPL-2.0

//! The headers at the start of each allocation group, a sector each: superblock, AGF (free space),
//! AGI (inodes), AGFL (blocks kept for the free-space trees).
//!
//! Source: "Allocation Groups" in the XFS format's documentation.

pub mod agf;
pub mod agfl;
pub mod agi;

use super::{
    fault::{ensure, Fault},
    geometry::Geometry,
    sb,
    units::{AgNumber, DiskAddr},
};

/// Index of the superblock among a group's header sectors.
pub const SUPERBLOCK_SECTOR: u32 = 0;
/// Index of the AGF.
pub const AGF_SECTOR: u32 = 1;
/// Index of the AGI.
pub const AGI_SECTOR: u32 = 2;
/// Index of the AGFL.
pub const AGFL_SECTOR: u32 = 3;

/// The block number that means "none" in a group's headers and in short B+tree pointers.
pub const NULL_AG_BLOCK: u32 = u32::MAX;
/// The inode number within a group that means "none".
pub const NULL_AG_INODE: u32 = u32::MAX;

/// The group whose header lies at `at`; its place in the sectors is checked by the magic number.
fn group_at(geo: &Geometry, at: DiskAddr, structure: &'static str) -> Result<AgNumber, Fault> {
    match geo.split_addr(at) {
        Some((ag, _)) => Ok(ag),
        None => Err(Fault::corrupt(structure, "address")),
    }
}

/// Rules that AGF and AGI share for their number and length.
fn check_extent(
    geo: &Geometry,
    ag: AgNumber,
    seqno: u32,
    length: u32,
    structure: &'static str,
) -> Result<(), Fault> {
    ensure(seqno == ag.0, structure, "seqno")?;
    let last = ag.0.checked_add(1) == Some(geo.ag_count);
    ensure(
        length == geo.ag_blocks || (last && length >= sb::MIN_AG_BLOCKS && length < geo.ag_blocks),
        structure,
        "length",
    )?;
    // The last group's own length is what the device's size leaves for it.
    ensure(Some(length) == geo.ag_length(ag), structure, "length")
}
