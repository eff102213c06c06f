// SPDX-License-Identifier: GPL-2.0

//! Exchange items (XMI): two files exchange the mappings of a range.

use super::{item::ItemKind, regions::Regions};
use crate::libxfs::format::{
    fault::{self, Fault},
    units::{FileBlock, InodeNumber},
};
use zerocopy::{
    byteorder::native_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = ItemKind::Xmi.name();

/// The only region of an exchange item.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `xmi_` field of the same name.
pub struct DiskExchange {
    pub kind: U16,
    pub size: U16,
    pub pad: U32,
    pub id: U64,
    pub inode1: U64,
    pub inode2: U64,
    pub igen1: U32,
    pub igen2: U32,
    pub startoff1: U64,
    pub startoff2: U64,
    pub blockcount: U64,
    pub flags: U64,
    pub isize1: U64,
    pub isize2: U64,
}

const _: () = assert!(core::mem::size_of::<DiskExchange>() == 88);

/// Bits of an exchange's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFlags(pub u64);

impl ExchangeFlags {
    /// Attribute forks, not data forks.
    pub const ATTR_FORK: u64 = 1 << 0;
    /// The files get new sizes at the end.
    pub const SET_SIZES: u64 = 1 << 1;
    /// Only what is written of the first file.
    pub const INO1_WRITTEN: u64 = 1 << 2;
    /// Older: the first file's reflink flag is cleared at the end.
    pub const CLEAR_INO1_REFLINK: u64 = 1 << 3;
    /// Older: the second file's.
    pub const CLEAR_INO2_REFLINK: u64 = 1 << 4;
    /// All that an item may have.
    pub const ALL: u64 = (1 << 5) - 1;

    /// Whether any bit of `mask` is set.
    pub const fn has(self, mask: u64) -> bool {
        self.0 & mask != 0
    }
}

/// One side of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeFile {
    /// The inode.
    pub inode: InodeNumber,
    /// Its generation.
    pub generation: u32,
    /// First block of the range.
    pub offset: FileBlock,
    /// The size in bytes that the file gets, with [`ExchangeFlags::SET_SIZES`].
    pub size: u64,
}

/// An exchange of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The two files.
    pub files: [ExchangeFile; 2],
    /// Blocks of the range.
    pub blocks: u64,
    /// How.
    pub flags: ExchangeFlags,
}

impl Exchange {
    /// Decodes an item: the name of the intent, and what it is.
    ///
    /// # Errors
    ///
    /// A fault when it is not one region of the right size, or a field has a value that Linux 7.3
    /// does not write.
    pub fn decode(regions: &Regions<'_>) -> Result<(u64, Self), Fault> {
        let ensure = |holds, field| fault::ensure(holds, NAME, field);
        ensure(regions.len() == 1, "regions")?;
        let raw = DiskExchange::ref_from_bytes(regions.get(0).unwrap_or_default())
            .map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.kind.get() == ItemKind::Xmi.to_disk(), "xmi_type")?;
        ensure(raw.size.get() == 1, "xmi_size")?;
        ensure(raw.pad.get() == 0, "xmi_pad")?;
        let flags = ExchangeFlags(raw.flags.get());
        ensure(!flags.has(!ExchangeFlags::ALL), "xmi_flags")?;
        ensure(raw.blockcount.get() != 0, "xmi_blockcount")?;
        if flags.has(ExchangeFlags::SET_SIZES) {
            ensure(raw.isize1.get() >> 63 == 0, "xmi_isize1")?;
            ensure(raw.isize2.get() >> 63 == 0, "xmi_isize2")?;
        }
        let file = |inode: U64, generation: U32, offset: U64, size: U64| ExchangeFile {
            inode: InodeNumber(inode.get()),
            generation: generation.get(),
            offset: FileBlock(offset.get()),
            size: size.get(),
        };
        let exchange = Self {
            files: [
                file(raw.inode1, raw.igen1, raw.startoff1, raw.isize1),
                file(raw.inode2, raw.igen2, raw.startoff2, raw.isize2),
            ],
            blocks: raw.blockcount.get(),
            flags,
        };
        Ok((raw.id.get(), exchange))
    }

    /// The only region of an item of that name.
    pub fn encode(&self, id: u64) -> DiskExchange {
        let [first, second] = &self.files;
        DiskExchange {
            kind: ItemKind::Xmi.to_disk().into(),
            size: 1.into(),
            pad: 0.into(),
            id: id.into(),
            inode1: first.inode.0.into(),
            inode2: second.inode.0.into(),
            igen1: first.generation.into(),
            igen2: second.generation.into(),
            startoff1: first.offset.0.into(),
            startoff2: second.offset.0.into(),
            blockcount: self.blocks.into(),
            flags: self.flags.0.into(),
            isize1: first.size.into(),
            isize2: second.size.into(),
        }
    }
}
