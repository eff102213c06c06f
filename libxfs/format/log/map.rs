// SPDX-License-Identifier: GPL-2.0

//! Intents that change mappings: reverse mappings (RUI), reference counts (CUI), and files' mappings
//! (BUI).

use super::{
    item::{DiskIntentStart, ItemKind},
    regions::Regions,
};
use crate::libxfs::format::{
    btree::{Owner, RmapFlags},
    fault::{ensure, Fault},
    inode::WhichFork,
    units::{FileBlock, InodeNumber},
};
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
    /// What is done to a reverse mapping.
    RmapUpdateKind {
        /// Add it, where the blocks have no other owner.
        Map = 1,
        /// Add it, where they may.
        MapShared = 2,
        /// Remove it, where the blocks have no other owner.
        Unmap = 3,
        /// Remove it, where they may.
        UnmapShared = 4,
        /// Change it from written to unwritten or back, where the blocks have no other owner.
        Convert = 5,
        /// Change it from written to unwritten or back, where they may.
        ConvertShared = 6,
        /// The blocks are taken by an owner that is no inode.
        Alloc = 7,
        /// The blocks are given back by an owner that is no inode.
        Free = 8,
    }
}

operations! {
    /// What is done to an extent's reference count.
    RefcountUpdateKind {
        /// One more owner.
        Increase = 1,
        /// One owner less; without any the blocks are freed.
        Decrease = 2,
        /// The blocks begin to stage a copy on write.
        AllocCow = 3,
        /// They no longer do.
        FreeCow = 4,
    }
}

operations! {
    /// What is done to a fork's map.
    BmapUpdateKind {
        /// Add the extent.
        Map = 1,
        /// Remove it.
        Unmap = 2,
    }
}

/// A change of a reverse mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmapUpdate {
    /// What is done.
    pub kind: RmapUpdateKind,
    /// Who owns the extent.
    pub owner: Owner,
    /// First block, as its device counts them.
    pub start: u64,
    /// Where it lies in the owner's fork.
    pub offset: FileBlock,
    /// Blocks; not 0.
    pub count: u32,
    /// What for.
    pub flags: RmapFlags,
}

/// A change of reference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefcountUpdate {
    /// What is done.
    pub kind: RefcountUpdateKind,
    /// First block, as its device counts them.
    pub start: u64,
    /// Blocks; not 0.
    pub count: u32,
}

/// A change of a fork's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BmapUpdate {
    /// What is done.
    pub kind: BmapUpdateKind,
    /// Whose fork.
    pub inode: InodeNumber,
    /// Which fork.
    pub fork: WhichFork,
    /// Where the extent lies in the fork.
    pub offset: FileBlock,
    /// Its first block, as its device counts them.
    pub start: u64,
    /// Blocks; not 0.
    pub count: u32,
    /// Allocated, not yet written.
    pub unwritten: bool,
    /// Whether the blocks are of the realtime device.
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

impl Change for RmapUpdate {
    type Disk = DiskMapExtent;

    fn decode(disk: &DiskMapExtent) -> Result<Self, &'static str> {
        let flags = disk.flags.get();
        let known = RMAP_ATTR | RMAP_BMBT | RMAP_UNWRITTEN;
        Ok(Self {
            kind: operation(flags, known, RmapUpdateKind::from_disk(flags))?,
            owner: Owner::decode(disk.owner.get()).ok_or("me_owner")?,
            start: disk.startblock.get(),
            offset: FileBlock(disk.startoff.get()),
            count: disk.len.get(),
            flags: RmapFlags {
                attr_fork: flags & RMAP_ATTR != 0,
                bmbt_block: flags & RMAP_BMBT != 0,
                unwritten: flags & RMAP_UNWRITTEN != 0,
            },
        })
    }

    fn encode(&self) -> DiskMapExtent {
        let flags = self.kind.to_disk()
            | flag(self.flags.attr_fork, RMAP_ATTR)
            | flag(self.flags.bmbt_block, RMAP_BMBT)
            | flag(self.flags.unwritten, RMAP_UNWRITTEN);
        DiskMapExtent {
            owner: self.owner.encode().into(),
            startblock: self.start.into(),
            startoff: self.offset.0.into(),
            len: self.count.into(),
            flags: flags.into(),
        }
    }
}

impl Change for RefcountUpdate {
    type Disk = DiskPhysExtent;

    fn decode(disk: &DiskPhysExtent) -> Result<Self, &'static str> {
        let flags = disk.flags.get();
        Ok(Self {
            kind: operation(flags, 0, RefcountUpdateKind::from_disk(flags))?,
            start: disk.startblock.get(),
            count: disk.len.get(),
        })
    }

    fn encode(&self) -> DiskPhysExtent {
        DiskPhysExtent {
            startblock: self.start.into(),
            len: self.count.into(),
            flags: self.kind.to_disk().into(),
        }
    }
}

impl Change for BmapUpdate {
    type Disk = DiskMapExtent;

    fn decode(disk: &DiskMapExtent) -> Result<Self, &'static str> {
        let flags = disk.flags.get();
        let known = BMAP_ATTR | BMAP_UNWRITTEN | BMAP_REALTIME;
        Ok(Self {
            kind: operation(flags, known, BmapUpdateKind::from_disk(flags))?,
            inode: InodeNumber(disk.owner.get()),
            fork: match flags & BMAP_ATTR {
                0 => WhichFork::Data,
                _ => WhichFork::Attr,
            },
            offset: FileBlock(disk.startoff.get()),
            start: disk.startblock.get(),
            count: disk.len.get(),
            unwritten: flags & BMAP_UNWRITTEN != 0,
            realtime: flags & BMAP_REALTIME != 0,
        })
    }

    fn encode(&self) -> DiskMapExtent {
        let flags = self.kind.to_disk()
            | flag(self.fork == WhichFork::Attr, BMAP_ATTR)
            | flag(self.unwritten, BMAP_UNWRITTEN)
            | flag(self.realtime, BMAP_REALTIME);
        DiskMapExtent {
            owner: self.inode.0.into(),
            startblock: self.start.into(),
            startoff: self.offset.0.into(),
            len: self.count.into(),
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
