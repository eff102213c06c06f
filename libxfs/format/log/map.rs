// SPDX-License-Identifier: GPL-2.0

//! Intents that change mappings: reverse mappings (RUI), reference counts (CUI), and files' mappings
//! (BUI).

use super::{
    item::{DiskIntentStart, ItemKind},
    regions::Regions,
};
use crate::libxfs::format::fault::{ensure, Fault};
use zerocopy::{
    byteorder::native_endian::{U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// An extent of an RUI or BUI.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `me_` field of the same name.
pub struct DiskMapExtent {
    pub owner: U64,
    pub startblock: U64,
    pub startoff: U64,
    pub len: U32,
    pub flags: U32,
}

/// An extent of a CUI.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `pe_` field of the same name.
pub struct DiskPhysExtent {
    pub startblock: U64,
    pub len: U32,
    pub flags: U32,
}

/// The byte of an extent's flags that tells what to do.
const TYPE_MASK: u32 = 0xff;
/// Flag of an RUI's extent: of the attribute fork.
const RMAP_ATTR: u32 = 1 << 31;
/// Of a block of the fork's tree.
const RMAP_BMBT: u32 = 1 << 30;
/// Not written yet.
const RMAP_UNWRITTEN: u32 = 1 << 29;
/// Flag of a BUI's extent: of the attribute fork.
const BMAP_ATTR: u32 = 1 << 31;
/// Not written yet.
const BMAP_UNWRITTEN: u32 = 1 << 30;
/// On the realtime device.
const BMAP_REALTIME: u32 = 1 << 29;

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $op:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$inner])* $op,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$op,)*];

            const fn from_disk(flags: u32) -> Option<Self> {
                Some(match flags & TYPE_MASK {
                    $($number => Self::$op,)*
                    _ => return None,
                })
            }

            const fn to_disk(self) -> u32 {
                match self {
                    $(Self::$op => $number,)*
                }
            }
        }
    };
}

operations! {
    /// What is to be done to reverse mappings.
    RmapOperation {
        /// Add a mapping of blocks that are not shared.
        Map = 1,
        /// Add one of blocks that may be shared.
        MapShared = 2,
        /// Take one away.
        Unmap = 3,
        /// Take one away whose blocks may be shared.
        UnmapShared = 4,
        /// Turn one from unwritten to written, or back.
        Convert = 5,
        /// The same of blocks that may be shared.
        ConvertShared = 6,
        /// Add one of an owner that is no file.
        Alloc = 7,
        /// Take one of an owner away that is no file.
        Free = 8,
    }
}

operations! {
    /// What is to be done to reference counts.
    RefcountOperation {
        /// One more.
        Increase = 1,
        /// One less; what nobody refers to any more is freed.
        Decrease = 2,
        /// Blocks are now staged for copy on write.
        AllocCow = 3,
        /// They are not any more.
        FreeCow = 4,
    }
}

operations! {
    /// What is to be done to a file's mappings.
    BmapOperation {
        /// Map blocks.
        Map = 1,
        /// Unmap them.
        Unmap = 2,
    }
}

/// A change of reverse mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmapChange {
    /// What to do.
    pub operation: RmapOperation,
    /// Owner as reverse mappings name it: an inode, or a negative number for what is no file.
    pub owner: u64,
    /// First block, as the disk names blocks of the device.
    pub start: u64,
    /// Block of the owner's fork.
    pub offset: u64,
    /// Blocks.
    pub len: u32,
    /// Whether the attribute fork maps them.
    pub attr_fork: bool,
    /// Whether they are a block of the fork's tree.
    pub bmbt: bool,
    /// Whether they are unwritten.
    pub unwritten: bool,
}

/// A change of reference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefcountChange {
    /// What to do.
    pub operation: RefcountOperation,
    /// First block, as the disk names blocks of the device.
    pub start: u64,
    /// Blocks.
    pub len: u32,
}

/// A change of a file's mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BmapChange {
    /// What to do.
    pub operation: BmapOperation,
    /// The inode.
    pub owner: u64,
    /// First block, as the disk names blocks of the device.
    pub start: u64,
    /// Block of the fork.
    pub offset: u64,
    /// Blocks.
    pub len: u32,
    /// Whether it is the attribute fork.
    pub attr_fork: bool,
    /// Whether they are unwritten.
    pub unwritten: bool,
    /// Whether they lie on the realtime device.
    pub realtime: bool,
}

/// An extent of an intent, as values.
pub trait Change: Sized {
    /// As the log has it.
    type Disk: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + 'static;

    /// Decodes; the name of the field that is wrong if it is.
    ///
    /// # Errors
    ///
    /// The field's name.
    fn decode(disk: &Self::Disk) -> Result<Self, &'static str>;

    /// Encodes.
    fn encode(&self) -> Self::Disk;
}

const fn flag(on: bool, bit: u32) -> u32 {
    if on {
        bit
    } else {
        0
    }
}

/// The operation of an extent's flags, of which no bits but its own and `known` may be set.
fn operation<T>(flags: u32, known: u32, operation: Option<T>) -> Result<T, &'static str> {
    match operation {
        Some(operation) if flags & !(TYPE_MASK | known) == 0 => Ok(operation),
        _ => Err("flags"),
    }
}

impl Change for RmapChange {
    type Disk = DiskMapExtent;

    fn decode(disk: &DiskMapExtent) -> Result<Self, &'static str> {
        let flags = disk.flags.get();
        let known = RMAP_ATTR | RMAP_BMBT | RMAP_UNWRITTEN;
        Ok(Self {
            operation: operation(flags, known, RmapOperation::from_disk(flags))?,
            owner: disk.owner.get(),
            start: disk.startblock.get(),
            offset: disk.startoff.get(),
            len: disk.len.get(),
            attr_fork: flags & RMAP_ATTR != 0,
            bmbt: flags & RMAP_BMBT != 0,
            unwritten: flags & RMAP_UNWRITTEN != 0,
        })
    }

    fn encode(&self) -> DiskMapExtent {
        let flags = self.operation.to_disk()
            | flag(self.attr_fork, RMAP_ATTR)
            | flag(self.bmbt, RMAP_BMBT)
            | flag(self.unwritten, RMAP_UNWRITTEN);
        DiskMapExtent {
            owner: self.owner.into(),
            startblock: self.start.into(),
            startoff: self.offset.into(),
            len: self.len.into(),
            flags: flags.into(),
        }
    }
}

impl Change for RefcountChange {
    type Disk = DiskPhysExtent;

    fn decode(disk: &DiskPhysExtent) -> Result<Self, &'static str> {
        let flags = disk.flags.get();
        Ok(Self {
            operation: operation(flags, 0, RefcountOperation::from_disk(flags))?,
            start: disk.startblock.get(),
            len: disk.len.get(),
        })
    }

    fn encode(&self) -> DiskPhysExtent {
        DiskPhysExtent {
            startblock: self.start.into(),
            len: self.len.into(),
            flags: self.operation.to_disk().into(),
        }
    }
}

impl Change for BmapChange {
    type Disk = DiskMapExtent;

    fn decode(disk: &DiskMapExtent) -> Result<Self, &'static str> {
        let flags = disk.flags.get();
        let known = BMAP_ATTR | BMAP_UNWRITTEN | BMAP_REALTIME;
        Ok(Self {
            operation: operation(flags, known, BmapOperation::from_disk(flags))?,
            owner: disk.owner.get(),
            start: disk.startblock.get(),
            offset: disk.startoff.get(),
            len: disk.len.get(),
            attr_fork: flags & BMAP_ATTR != 0,
            unwritten: flags & BMAP_UNWRITTEN != 0,
            realtime: flags & BMAP_REALTIME != 0,
        })
    }

    fn encode(&self) -> DiskMapExtent {
        let flags = self.operation.to_disk()
            | flag(self.attr_fork, BMAP_ATTR)
            | flag(self.unwritten, BMAP_UNWRITTEN)
            | flag(self.realtime, BMAP_REALTIME);
        DiskMapExtent {
            owner: self.owner.into(),
            startblock: self.start.into(),
            startoff: self.offset.into(),
            len: self.len.into(),
            flags: flags.into(),
        }
    }
}

/// An RUI, CUI or BUI.
#[derive(Clone, Copy, Debug)]
pub struct ChangeItem<'a, C: Change> {
    /// Name of the intent.
    pub id: u64,
    kind: ItemKind,
    extents: &'a [C::Disk],
}

impl<'a, C: Change> ChangeItem<'a, C> {
    /// Decodes an item of that kind.
    ///
    /// # Errors
    ///
    /// A fault when its size is not that of its extents, or there is none, or more than one in a
    /// BUI.
    pub fn decode(kind: ItemKind, regions: &Regions<'a>) -> Result<Self, Fault> {
        let (start, rest) = DiskIntentStart::split(kind, regions)?;
        let count = start.count.get();
        let one = kind != ItemKind::Bui || count == 1;
        ensure(count != 0 && one, kind.name(), "nextents")?;
        let extents = <[C::Disk]>::ref_from_bytes_with_elems(rest, count as usize)
            .map_err(|_| Fault::corrupt(kind.name(), "nextents"))?;
        Ok(Self {
            id: start.id.get(),
            kind,
            extents,
        })
    }

    /// How many extents there are.
    pub const fn len(&self) -> usize {
        self.extents.len()
    }

    /// Whether there are none, which no item that was decoded says.
    pub const fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// The changes in their order, or the first fault.
    pub fn changes(&self) -> impl Iterator<Item = Result<C, Fault>> + 'a {
        let name = self.kind.name();
        self.extents
            .iter()
            .map(move |disk| C::decode(disk).map_err(|field| Fault::corrupt(name, field)))
    }
}
