// SPDX-License-Identifier: GPL-2.0

//! Quota items: a changed record, and that a kind of quota was turned off.

use super::{item::ItemKind, regions::Regions};
use crate::libxfs::format::{
    fault::{self, Fault},
    quota::{QuotaType, CRC_OFFSET, RECORD_SIZE},
    units::DiskAddr,
};
use core::mem::size_of;
use zerocopy::{
    byteorder::native_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = ItemKind::Dquot.name();

/// Bytes of a record that are logged: all but its checksum and what belongs to that. The rest of
/// the record is four bytes of padding, the checksum, LSN and uuid.
pub const LOGGED_SIZE: usize = CRC_OFFSET - 4;
const _: () = assert!(LOGGED_SIZE == 104);

/// First region of a dquot item.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `qlf_` field of the same name.
pub struct DiskDquotItem {
    pub kind: U16,
    pub size: U16,
    pub id: U32,
    pub blkno: U64,
    pub len: U32,
    pub boffset: U32,
}

const _: () = assert!(size_of::<DiskDquotItem>() == 24);

/// The only region of a quotaoff item.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `qf_` field of the same name.
pub struct DiskQuotaOff {
    pub kind: U16,
    pub size: U16,
    pub flags: U32,
    pub pad: [u8; 12],
}

/// Bit of `qf_flags`: accounting of user quota ends.
const OFF_USER: u32 = 0x0001;
/// Of project quota.
const OFF_PROJECT: u32 = 0x0008;
/// Of group quota.
const OFF_GROUP: u32 = 0x0040;

/// A changed quota record.
#[derive(Clone, Copy, Debug)]
pub struct DquotItem<'a> {
    /// User, group or project.
    pub id: u32,
    /// First basic block of the file system block that holds the record.
    pub at: DiskAddr,
    /// Byte of that block at which the record starts.
    pub offset: u32,
    /// The record's first bytes, as on the disk; at least [`LOGGED_SIZE`] and no more than a
    /// record's.
    pub record: &'a [u8],
}

impl<'a> DquotItem<'a> {
    /// Decodes an item.
    ///
    /// # Errors
    ///
    /// A fault when a region is missing or not of the right size.
    pub fn decode(regions: Regions<'a>) -> Result<Self, Fault> {
        let ensure = |holds, field| fault::ensure(holds, NAME, field);
        ensure(regions.len() == 2, "regions")?;
        let raw = DiskDquotItem::ref_from_bytes(regions.get(0).unwrap_or_default())
            .map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.kind.get() == ItemKind::Dquot.to_disk(), "qlf_type")?;
        ensure(raw.size.get() == 2, "qlf_size")?;
        ensure(raw.blkno.get() >> 63 == 0, "qlf_blkno")?;
        // A file system block.
        ensure(raw.len.get() == 1, "qlf_len")?;
        let record = regions.get(1).unwrap_or_default();
        ensure(
            record.len() >= LOGGED_SIZE && record.len() <= RECORD_SIZE,
            "record",
        )?;
        Ok(Self {
            id: raw.id.get(),
            at: DiskAddr(raw.blkno.get()),
            offset: raw.boffset.get(),
            record,
        })
    }

    /// The first region of this item.
    pub fn encode(&self) -> DiskDquotItem {
        DiskDquotItem {
            kind: ItemKind::Dquot.to_disk().into(),
            size: 2.into(),
            id: self.id.into(),
            blkno: self.at.0.into(),
            len: 1.into(),
            boffset: self.offset.into(),
        }
    }
}

/// The kinds of quota whose records are not to be replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaOff(u32);

impl QuotaOff {
    /// Decodes a quotaoff item.
    ///
    /// # Errors
    ///
    /// A fault when it is not one region of the right size.
    pub fn decode(regions: &Regions<'_>) -> Result<Self, Fault> {
        const NAME: &str = ItemKind::QuotaOff.name();
        let ensure = |holds, field| fault::ensure(holds, NAME, field);
        ensure(regions.len() == 1, "regions")?;
        let raw = DiskQuotaOff::ref_from_bytes(regions.get(0).unwrap_or_default())
            .map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.kind.get() == ItemKind::QuotaOff.to_disk(), "qf_type")?;
        ensure(raw.size.get() == 1, "qf_size")?;
        Ok(Self(raw.flags.get()))
    }

    /// The only region of a quotaoff item for these kinds.
    pub fn encode(types: &[QuotaType]) -> DiskQuotaOff {
        let flags = types.iter().fold(0, |flags, &kind| flags | Self::bit(kind));
        DiskQuotaOff {
            kind: ItemKind::QuotaOff.to_disk().into(),
            size: 1.into(),
            flags: flags.into(),
            pad: [0; 12],
        }
    }

    const fn bit(kind: QuotaType) -> u32 {
        match kind {
            QuotaType::User => OFF_USER,
            QuotaType::Group => OFF_GROUP,
            QuotaType::Project => OFF_PROJECT,
        }
    }

    /// Adds what another item turns off.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether this kind was turned off.
    pub const fn has(self, kind: QuotaType) -> bool {
        self.0 & Self::bit(kind) != 0
    }
}
