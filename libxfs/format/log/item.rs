// SPDX-License-Identifier: GPL-2.0

//! What kinds of item a log can hold, and how each says which it is.

use super::regions::Regions;
use crate::libxfs::format::fault::{ensure, Fault};
use zerocopy::{
    byteorder::native_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// The most regions of an item: a buffer of 64 KiB of which every other chunk was changed.
pub const MAX_REGIONS: u16 = 257;

/// How the first region of every item begins.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskItemStart {
    /// An [`ItemKind`].
    pub kind: U16,
    /// Regions of the item, this one included.
    pub size: U16,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal, $name:literal;)*) => {
        /// What an item is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ItemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ItemKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Decodes; `None` for what Linux 7.3 does not know.
            pub const fn from_disk(number: u16) -> Option<Self> {
                Some(match number {
                    $($number => Self::$kind,)*
                    _ => return None,
                })
            }

            /// Encodes.
            pub const fn to_disk(self) -> u16 {
                match self {
                    $(Self::$kind => $number,)*
                }
            }

            /// Name in a fault.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Extents of the data device that are to be freed.
    Efi = 0x1236, "efi";
    /// They were.
    Efd = 0x1237, "efd";
    /// An inode: its core, and what changed of its forks.
    Inode = 0x123b, "inode item";
    /// Chunks of a buffer, or that it is not to be written any more.
    Buffer = 0x123c, "buffer item";
    /// A quota record.
    Dquot = 0x123d, "dquot item";
    /// A kind of quota was turned off.
    QuotaOff = 0x123e, "quotaoff item";
    /// New inodes, all of them free.
    Icreate = 0x123f, "icreate item";
    /// Changes of reverse mappings on the data device.
    Rui = 0x1240, "rui";
    /// They were made.
    Rud = 0x1241, "rud";
    /// Changes of reference counts on the data device.
    Cui = 0x1242, "cui";
    /// They were made.
    Cud = 0x1243, "cud";
    /// A change of a file's mappings.
    Bui = 0x1244, "bui";
    /// It was made.
    Bud = 0x1245, "bud";
    /// A change of an attribute.
    Attri = 0x1246, "attri";
    /// It was made.
    Attrd = 0x1247, "attrd";
    /// An exchange of two files' mappings.
    Xmi = 0x1248, "xmi";
    /// It was made.
    Xmd = 0x1249, "xmd";
    /// Extents of the realtime device that are to be freed.
    EfiRt = 0x124a, "rt efi";
    /// They were.
    EfdRt = 0x124b, "rt efd";
    /// Changes of reverse mappings on the realtime device.
    RuiRt = 0x124c, "rt rui";
    /// They were made.
    RudRt = 0x124d, "rt rud";
    /// Changes of reference counts on the realtime device.
    CuiRt = 0x124e, "rt cui";
    /// They were made.
    CudRt = 0x124f, "rt cud";
}

impl ItemKind {
    /// The intent that a done item of this kind answers; `None` for all other kinds.
    pub const fn intent(self) -> Option<Self> {
        Some(match self {
            Self::Efd => Self::Efi,
            Self::Rud => Self::Rui,
            Self::Cud => Self::Cui,
            Self::Bud => Self::Bui,
            Self::Attrd => Self::Attri,
            Self::Xmd => Self::Xmi,
            Self::EfdRt => Self::EfiRt,
            Self::RudRt => Self::RuiRt,
            Self::CudRt => Self::CuiRt,
            _ => return None,
        })
    }

    /// The done item that answers an intent of this kind; `None` for all other kinds.
    pub const fn done(self) -> Option<Self> {
        Some(match self {
            Self::Efi => Self::Efd,
            Self::Rui => Self::Rud,
            Self::Cui => Self::Cud,
            Self::Bui => Self::Bud,
            Self::Attri => Self::Attrd,
            Self::Xmi => Self::Xmd,
            Self::EfiRt => Self::EfdRt,
            Self::RuiRt => Self::RudRt,
            Self::CuiRt => Self::CudRt,
            _ => return None,
        })
    }
}

/// Start of every intent but those of attributes and exchanges, and of every done item.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskIntentStart {
    /// Kind of the item.
    pub kind: U16,
    /// Regions of the item: 1.
    pub size: U16,
    /// Extents that follow; of done items without extents padding, which no one reads.
    pub count: U32,
    /// Name of the intent, the same in the intent and in its done item.
    pub id: U64,
}

/// Bytes of a [`DiskIntentStart`].
pub const INTENT_START_SIZE: usize = core::mem::size_of::<DiskIntentStart>();
const _: () = assert!(INTENT_START_SIZE == 16);

impl DiskIntentStart {
    /// The start of an item of one region.
    pub fn new(kind: ItemKind, count: u32, id: u64) -> Self {
        Self {
            kind: U16::new(kind.to_disk()),
            size: U16::new(1),
            count: U32::new(count),
            id: U64::new(id),
        }
    }

    /// Splits the only region of an item of that kind.
    ///
    /// # Errors
    ///
    /// A fault of the item when it is of another kind, has more regions, or is too short.
    pub fn split<'a>(kind: ItemKind, regions: &Regions<'a>) -> Result<(&'a Self, &'a [u8]), Fault> {
        let first = only(kind, regions)?;
        let (start, rest) =
            Self::ref_from_prefix(first).map_err(|_| Fault::corrupt(kind.name(), "length"))?;
        ensure(start.kind.get() == kind.to_disk(), kind.name(), "type")?;
        ensure(start.size.get() == 1, kind.name(), "size")?;
        Ok((start, rest))
    }
}

/// The only region of an item.
fn only<'a>(kind: ItemKind, regions: &Regions<'a>) -> Result<&'a [u8], Fault> {
    match (regions.get(0), regions.len()) {
        (Some(first), 1) => Ok(first),
        _ => Err(Fault::corrupt(kind.name(), "regions")),
    }
}

/// The intent that a done item without extents answers (all but EFD), by its id.
///
/// # Errors
///
/// A fault of the item when it is not of that kind or not of the right size.
pub fn done_id(kind: ItemKind, regions: &Regions<'_>) -> Result<u64, Fault> {
    let (start, rest) = DiskIntentStart::split(kind, regions)?;
    ensure(rest.is_empty(), kind.name(), "length")?;
    Ok(start.id.get())
}

/// What an item's first region says that it is, and how many regions the item has.
///
/// # Errors
///
/// A fault for a region that is too short, for a kind that Linux 7.3 does not know, and for a number
/// of regions that no item has.
pub fn start(region: &[u8]) -> Result<(ItemKind, u16), Fault> {
    const NAME: &str = "log item";
    let (start, _) =
        DiskItemStart::ref_from_prefix(region).map_err(|_| Fault::corrupt(NAME, "length"))?;
    let kind = ItemKind::from_disk(start.kind.get()).ok_or(Fault::corrupt(NAME, "type"))?;
    let size = start.size.get();
    ensure(size != 0 && size <= MAX_REGIONS, kind.name(), "size")?;
    Ok((kind, size))
}
