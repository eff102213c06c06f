// SPDX-License-Identifier: GPL-2.0

//! Buffer items: which chunks of a metadata block changed, and their bytes.
//!
//! The first region has a bit for each chunk of 128 bytes; each further one is a run of changed
//! chunks. A tag in the upper bits of the flags says what the block is, so that recovery can set its
//! checksum. An item can also say that the block was freed: older changes of it are then not to be
//! replayed, since its place may hold something else by now.

use super::{
    chunks::{ChunkMap, CHUNKS_PER_BASIC_BLOCK, CHUNK_LOG, MAX_LOGGED_SIZE},
    item::ItemKind,
    regions::{padded, Regions},
};
use crate::libxfs::format::{
    fault::{self, Fault},
    units::{DiskAddr, BASIC_BLOCK_SIZE},
};
use core::mem::size_of;
use zerocopy::{
    byteorder::native_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = ItemKind::Buffer.name();

/// The most basic blocks of a buffer that is logged: 64 KiB.
pub const MAX_BASIC_BLOCKS: u32 = MAX_LOGGED_SIZE as u32 / BASIC_BLOCK_SIZE;

/// Start of a buffer item's first region; the bitmap's words follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `blf_` field of the same name.
pub struct DiskBufferItem {
    pub kind: U16,
    pub size: U16,
    pub flags: U16,
    pub len: U16,
    pub blkno: U64,
    pub map_size: U32,
}

const _: () = assert!(size_of::<DiskBufferItem>() == 20);

/// Flag: of a cluster of inodes, of which only the unlinked lists' pointers count.
pub const FLAG_INODES: u16 = 1 << 0;
/// Flag: the buffer was freed; older changes are not replayed.
pub const FLAG_CANCEL: u16 = 1 << 1;
/// Flag: records of user quota.
pub const FLAG_USER_QUOTA: u16 = 1 << 2;
/// Flag: records of project quota.
pub const FLAG_PROJECT_QUOTA: u16 = 1 << 3;
/// Flag: records of group quota.
pub const FLAG_GROUP_QUOTA: u16 = 1 << 4;
/// Flags of quota records of any kind.
pub const FLAGS_QUOTA: u16 = FLAG_USER_QUOTA | FLAG_PROJECT_QUOTA | FLAG_GROUP_QUOTA;
const FLAGS: u16 = FLAG_INODES | FLAG_CANCEL | FLAGS_QUOTA;
/// Where the tag lies in the flags.
const TAG_SHIFT: u32 = 11;

macro_rules! tags {
    ($($(#[$doc:meta])* $tag:ident = $number:literal;)*) => {
        /// What a logged buffer is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Tag {
            $($(#[$doc])* $tag,)*
        }

        impl Tag {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$tag,)*];

            /// Decodes; `None` for what Linux 7.3 does not know.
            pub const fn from_disk(number: u16) -> Option<Self> {
                Some(match number {
                    $($number => Self::$tag,)*
                    _ => return None,
                })
            }

            /// Encodes.
            pub const fn to_disk(self) -> u16 {
                match self {
                    $(Self::$tag => $number,)*
                }
            }
        }
    };
}

tags! {
    /// Not told: a buffer that was freed.
    Unknown = 0;
    /// Records of user quota.
    UserQuota = 1;
    /// Records of project quota.
    ProjectQuota = 2;
    /// Records of group quota.
    GroupQuota = 3;
    /// A block of any B+tree but those of directories and attributes.
    Btree = 4;
    /// Free-space header of a group.
    Agf = 5;
    /// Blocks kept for a group's free-space trees.
    Agfl = 6;
    /// Inode header of a group.
    Agi = 7;
    /// Cluster of inodes.
    Inodes = 8;
    /// Part of a symbolic link's target.
    Symlink = 9;
    /// Directory in block form.
    DirBlock = 10;
    /// Block of directory entries.
    DirData = 11;
    /// Free index block of a directory.
    DirFree = 12;
    /// The only leaf of a directory.
    DirLeaf1 = 13;
    /// A leaf of a directory in node form.
    DirLeafN = 14;
    /// A node of a directory's or an attribute fork's tree.
    DaNode = 15;
    /// A leaf of an attribute fork's tree.
    AttrLeaf = 16;
    /// Part of a long attribute's value.
    AttrRemote = 17;
    /// Superblock.
    Superblock = 18;
    /// Block of a realtime bitmap.
    RtBitmap = 19;
    /// Block of a realtime summary.
    RtSummary = 20;
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, NAME, field)
}

/// A buffer item that holds the rules of the format.
#[derive(Clone, Copy, Debug)]
pub struct BufferItem<'a> {
    /// Where the buffer lies on the data device.
    pub at: DiskAddr,
    /// Its length in basic blocks; not 0. At most [`MAX_BASIC_BLOCKS`] unless it was freed.
    pub len: u32,
    /// What it is.
    pub tag: Tag,
    /// `FLAG_` bits.
    pub flags: u16,
    map: &'a [U32],
    regions: Regions<'a>,
}

impl<'a> BufferItem<'a> {
    /// Decodes an item.
    ///
    /// # Errors
    ///
    /// A fault when the sizes of bitmap, buffer and regions do not agree, or a field has a value
    /// that Linux 7.3 does not write.
    pub fn decode(regions: Regions<'a>) -> Result<Self, Fault> {
        let first = regions.get(0).unwrap_or_default();
        let (raw, rest) =
            DiskBufferItem::ref_from_prefix(first).map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.kind.get() == ItemKind::Buffer.to_disk(), "blf_type")?;
        ensure(usize::from(raw.size.get()) == regions.len(), "blf_size")?;
        let flags = raw.flags.get();
        let (tag, flags) = (flags >> TAG_SHIFT, flags & ((1 << TAG_SHIFT) - 1));
        let tag = Tag::from_disk(tag).ok_or(Fault::corrupt(NAME, "blf_flags"))?;
        ensure(flags & !FLAGS == 0, "blf_flags")?;
        let len = u32::from(raw.len.get());
        ensure(len != 0, "blf_len")?;
        let at = raw.blkno.get();
        ensure(at >> 63 == 0, "blf_blkno")?;
        let map_size = raw.map_size.get() as usize;
        let (map, _) = <[U32]>::ref_from_prefix_with_elems(rest, map_size)
            .map_err(|_| Fault::corrupt(NAME, "blf_map_size"))?;
        let item = Self {
            at: DiskAddr(at),
            len,
            tag,
            flags,
            map,
            regions,
        };
        if item.is_cancelled() {
            ensure(regions.len() == 1, "blf_size")?;
        } else {
            ensure(len <= MAX_BASIC_BLOCKS, "blf_len")?;
            item.check_regions()?;
        }
        Ok(item)
    }

    /// Whether the buffer was freed; then nothing else of the item counts.
    #[inline]
    pub const fn is_cancelled(&self) -> bool {
        self.flags & FLAG_CANCEL != 0
    }

    /// Bytes of the buffer.
    #[inline]
    pub const fn byte_len(&self) -> usize {
        (self.len as usize).saturating_mul(BASIC_BLOCK_SIZE as usize)
    }

    /// Holds the regions against the bitmap: the runs of chunks end in the buffer, and there is just
    /// one region for each run, or for each part of one.
    fn check_regions(&self) -> Result<(), Fault> {
        let chunks = self.len.saturating_mul(CHUNKS_PER_BASIC_BLOCK);
        for (index, word) in self.map.iter().enumerate() {
            let first = (index as u32).saturating_mul(u32::BITS);
            let set = u32::BITS.saturating_sub(word.get().leading_zeros());
            ensure(
                set == 0 || first.saturating_add(set) <= chunks,
                "blf_data_map",
            )?;
        }
        let mut used: usize = 1;
        for change in self.changes() {
            let (_, bytes) = change?;
            // One that is empty would never come to an end.
            ensure(!bytes.is_empty(), "blf_data_map")?;
            used = used.saturating_add(1);
        }
        ensure(used == self.regions.len(), "blf_data_map")
    }

    /// The changed runs: offset in the buffer in bytes, and the new bytes.
    pub fn changes(&self) -> Changes<'a> {
        Changes {
            map: self.map,
            regions: self.regions,
            chunk: 0,
            region: 1,
        }
    }
}

/// The changed runs of a buffer, from its start to its end.
#[derive(Clone, Debug)]
pub struct Changes<'a> {
    map: &'a [U32],
    regions: Regions<'a>,
    /// First chunk that was not looked at yet.
    chunk: u32,
    /// Next region.
    region: usize,
}

impl Changes<'_> {
    fn is_set(&self, chunk: u32) -> bool {
        let word = self.map.get((chunk / u32::BITS) as usize);
        word.is_some_and(|word| word.get() & (1 << (chunk % u32::BITS)) != 0)
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<(usize, &'a [u8]), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = u32::try_from(self.map.len()).ok()?.checked_mul(u32::BITS)?;
        let first = (self.chunk..end).find(|&chunk| self.is_set(chunk))?;
        let run = (first..end).take_while(|&chunk| self.is_set(chunk)).count();
        let Some(region) = self.regions.get(self.region) else {
            self.chunk = end;
            return Some(Err(Fault::corrupt(NAME, "regions")));
        };
        // A run may come in several regions, where it crosses pages of the writer's memory.
        let chunks = region.len() >> CHUNK_LOG;
        if chunks == 0 || chunks > run || padded(region.len()) != Some(chunks << CHUNK_LOG) {
            self.chunk = end;
            return Some(Err(Fault::corrupt(NAME, "regions")));
        }
        self.region = self.region.saturating_add(1);
        self.chunk = first.saturating_add(chunks as u32);
        Some(Ok(((first << CHUNK_LOG) as usize, region)))
    }
}

/// The start of the first region of an item of a buffer of `len` basic blocks with `regions`
/// regions; the words of its bitmap follow.
///
/// # Errors
///
/// A fault for a buffer that is too large to be logged.
pub fn encode(
    at: DiskAddr,
    len: u32,
    tag: Tag,
    flags: u16,
    regions: u16,
) -> Result<DiskBufferItem, Fault> {
    let len16 = u16::try_from(len).map_err(|_| Fault::corrupt(NAME, "blf_len"))?;
    ensure(len <= MAX_BASIC_BLOCKS, "blf_len")?;
    Ok(DiskBufferItem {
        kind: U16::new(ItemKind::Buffer.to_disk()),
        size: U16::new(regions),
        flags: U16::new((tag.to_disk() << TAG_SHIFT) | (flags & FLAGS)),
        len: U16::new(len16),
        blkno: U64::new(at.0),
        map_size: U32::new(ChunkMap::word_count(len)),
    })
}
