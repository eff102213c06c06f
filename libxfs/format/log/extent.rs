// SPDX-License-Identifier: GPL-2.0

//! Extent-free items (EFI) and their done items (EFD), for both devices.
//!
//! An extent takes 16 bytes, but 12 where a 32-bit x86 machine wrote it; the region's length tells.

use super::{
    item::{DiskIntentStart, ItemKind},
    regions::Regions,
};
use crate::libxfs::format::fault::{ensure, Fault};
use core::mem::size_of;
use zerocopy::{
    byteorder::native_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// An extent as the log has it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `ext_` field of the same name.
pub struct DiskExtent {
    pub start: U64,
    pub len: U32,
    pub pad: U32,
}

/// Bytes of an extent.
const SIZE: usize = size_of::<DiskExtent>();
/// Bytes of an extent of a 32-bit x86 machine.
const SIZE_32: usize = SIZE - size_of::<U32>();

/// An extent that is to be freed, or was: blocks of the data device as the disk names them, or of
/// the realtime device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreedExtent {
    /// First block.
    pub start: u64,
    /// Blocks.
    pub len: u32,
}

impl FreedExtent {
    /// As the log has it.
    pub fn encode(&self) -> DiskExtent {
        DiskExtent {
            start: self.start.into(),
            len: self.len.into(),
            pad: 0.into(),
        }
    }
}

/// An EFI or an EFD.
#[derive(Clone, Copy, Debug)]
pub struct ExtentItem<'a> {
    /// Name of the intent.
    pub id: u64,
    extents: &'a [u8],
    stride: usize,
}

impl<'a> ExtentItem<'a> {
    /// Decodes an item of that kind.
    ///
    /// # Errors
    ///
    /// A fault when its size is not that of its extents.
    pub fn decode(kind: ItemKind, regions: &Regions<'a>) -> Result<Self, Fault> {
        let (start, extents) = DiskIntentStart::split(kind, regions)?;
        let count = start.count.get() as usize;
        let stride = [SIZE, SIZE_32]
            .into_iter()
            .find(|stride| count.checked_mul(*stride) == Some(extents.len()))
            .ok_or(Fault::corrupt(kind.name(), "nextents"))?;
        // A done item names those that were freed; an intent without any intends nothing.
        ensure(
            count != 0 || kind.intent().is_some(),
            kind.name(),
            "nextents",
        )?;
        Ok(Self {
            id: start.id.get(),
            extents,
            stride,
        })
    }

    /// The extents in their order.
    pub fn extents(&self) -> impl Iterator<Item = FreedExtent> + 'a {
        self.extents.chunks_exact(self.stride).filter_map(|extent| {
            let (start, rest) = U64::read_from_prefix(extent).ok()?;
            let (len, _) = U32::read_from_prefix(rest).ok()?;
            Some(FreedExtent {
                start: start.get(),
                len: len.get(),
            })
        })
    }
}
