// SPDX-License-Identifier: GPL-2.0

//! The map of a fork in memory: which blocks of the device hold which blocks of the file.
//!
//! An [`ExtentMap`] keeps [`Mapping`]s in order of their file offset, without overlap. Small maps,
//! which nearly all files have, are one sorted array of just the size needed. Larger ones are a
//! B+tree of small nodes, so that a lookup or an edit among millions costs a walk of a few nodes
//! and moves at most a few hundred bytes, and no allocation is larger than a node.
//!
//! A mapping packs into 16 bytes. Memory follows the mappings that were put in and
//! nothing else: a count that an inode claims allocates nothing.
//!
//! ```ignore
//! let mut map = ExtentMap::new();
//! map.insert(Mapping { offset: FileBlock(8), start: MappedBlock(100), len: 4, state: State::Normal })?;
//! let next = map.lookup(FileBlock(0));            // the mapping at 8: none contains 0
//! for segment in map.segments(FileBlock(0), 16) { // hole 0..8, mapping 8..12, hole 12..16
//! }
//! ```

mod edit;
mod iter;
mod slots;
mod tree;

pub use self::iter::{Iter, Segments};

use super::{
    error::{Error, Result},
    format::{
        btree::bmap::{BmapRecord, MAX_EXTENT_BLOCKS},
        units::{FileBlock, FsBlock, RtBlock},
    },
};
use core::fmt;
use kernel::alloc::{flags::GFP_KERNEL, KVec};
use tree::{Node, LEAF_RECORDS};

/// First file block past the last that a mapping can start at: its field has 54 bits.
const FILE_BLOCK_END: u64 = 1 << 54;
/// First block number past those that a mapping's field of 52 bits can say: the highest ones stand
/// for what delayed blocks have reserved.
const BLOCK_END: u64 = (1 << 52) - (MAX_RESERVED + 1);
/// The most blocks that a delayed mapping can have reserved for its fork's tree.
const MAX_RESERVED: u64 = (1 << 20) - 1;

/// A block that a fork maps to: an [`FsBlock`], or an [`RtBlock`] if the fork's data lies on the
/// realtime device. Which of them it is does not follow from the number; the fork tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MappedBlock(pub u64);

impl MappedBlock {
    /// As a block of the data device.
    #[inline]
    pub const fn data(self) -> FsBlock {
        FsBlock(self.0)
    }

    /// As a block of the realtime device.
    #[inline]
    pub const fn realtime(self) -> RtBlock {
        RtBlock(self.0)
    }

    /// The block `n` further. Within a mapping that was found valid this cannot overflow; past one
    /// it stays at the type's end.
    #[inline]
    pub const fn forward(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }
}

impl fmt::Debug for MappedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedBlock({})", self.0)
    }
}

/// Whether mapped blocks have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// They hold data.
    Normal,
    /// Allocated and never written: they read as zeroes.
    Unwritten,
    /// Not allocated yet: space was set aside, and the data is in memory alone. In place of a block
    /// the mapping says how many are reserved for the fork's tree.
    Delayed,
}

/// A run of file blocks and the run of device blocks that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First block within the file.
    pub offset: FileBlock,
    /// First block on the device.
    pub start: MappedBlock,
    /// Blocks; 1 to 2^21 - 1 of one record, less where it was trimmed.
    pub len: u64,
    /// Whether they have been written.
    pub state: State,
}

impl Mapping {
    /// First file block past it.
    #[inline]
    pub const fn end(&self) -> FileBlock {
        FileBlock(self.offset.0.saturating_add(self.len))
    }

    /// Whether it holds a file block.
    #[inline]
    pub const fn contains(&self, block: FileBlock) -> bool {
        self.offset.0 <= block.0 && block.0 < self.end().0
    }

    /// The part that lies in `from..end`, or `None` if no block does.
    pub const fn trimmed(&self, from: FileBlock, end: FileBlock) -> Option<Self> {
        let first = if from.0 > self.offset.0 {
            from.0
        } else {
            self.offset.0
        };
        let last = if end.0 < self.end().0 {
            end.0
        } else {
            self.end().0
        };
        match last.checked_sub(first) {
            None | Some(0) => None,
            Some(len) => Some(Self {
                offset: FileBlock(first),
                start: match self.state {
                    State::Delayed => self.start,
                    State::Normal | State::Unwritten => {
                        self.start.forward(first.saturating_sub(self.offset.0))
                    }
                },
                len,
                state: self.state,
            }),
        }
    }

    /// Whether `next` continues this in the file, on the device and in state, so that the two could
    /// be one but for the length that a record can say.
    pub const fn is_continued_by(&self, next: &Self) -> bool {
        let on_device = self.start.forward(self.len).0 == next.start.0;
        self.end().0 == next.offset.0
            && match (self.state, next.state) {
                (State::Normal, State::Normal) | (State::Unwritten, State::Unwritten) => on_device,
                (State::Delayed, State::Delayed) => true,
                _ => false,
            }
    }
}

impl From<BmapRecord> for Mapping {
    fn from(record: BmapRecord) -> Self {
        Self {
            offset: record.offset,
            start: MappedBlock(record.start),
            len: u64::from(record.count),
            state: if record.unwritten {
                State::Unwritten
            } else {
                State::Normal
            },
        }
    }
}

/// A run of file blocks, mapped or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Nothing is allocated here; reads as zeroes.
    Hole {
        /// First block within the file.
        offset: FileBlock,
        /// Blocks; not 0.
        len: u64,
    },
    /// Blocks of the device.
    Mapped(Mapping),
}

impl Segment {
    /// First block within the file.
    #[inline]
    pub const fn offset(&self) -> FileBlock {
        match self {
            Self::Hole { offset, .. } => *offset,
            Self::Mapped(mapping) => mapping.offset,
        }
    }

    /// Blocks.
    #[allow(clippy::len_without_is_empty)] // never empty
    #[inline]
    pub const fn len(&self) -> u64 {
        match self {
            Self::Hole { len, .. } => *len,
            Self::Mapped(mapping) => mapping.len,
        }
    }

    /// First file block past it.
    #[inline]
    pub const fn end(&self) -> FileBlock {
        FileBlock(self.offset().0.saturating_add(self.len()))
    }

    /// The mapping, if there is one.
    #[inline]
    pub const fn mapping(&self) -> Option<Mapping> {
        match self {
            Self::Hole { .. } => None,
            Self::Mapped(mapping) => Some(*mapping),
        }
    }
}

/// A mapping in 16 bytes: from the top one bit for unwritten, 54 of offset, 52 of start, 21 of
/// length. Delayed ones have a start from [`BLOCK_END`] on.
#[derive(Clone, Copy, Default)]
struct Packed {
    high: u64,
    low: u64,
}

impl Packed {
    const UNWRITTEN: u64 = 1 << 63;
    const START_HIGH_BITS: u32 = 9;
    const LENGTH_BITS: u32 = 21;
    const START_LOW_BITS: u32 = 64 - Self::LENGTH_BITS;

    /// Packs; `None` when a number is beyond its field, or the mapping empty.
    fn new(mapping: &Mapping) -> Option<Self> {
        if mapping.len == 0
            || mapping.len > u64::from(MAX_EXTENT_BLOCKS)
            || mapping.offset.0 >= FILE_BLOCK_END
        {
            return None;
        }
        let (unwritten, start, end) = match mapping.state {
            State::Normal => (0, mapping.start.0, BLOCK_END),
            State::Unwritten => (Self::UNWRITTEN, mapping.start.0, BLOCK_END),
            State::Delayed => (0, BLOCK_END.checked_add(mapping.start.0)?, 1 << 52),
        };
        if start >= end {
            return None;
        }
        Some(Self {
            high: unwritten
                | (mapping.offset.0 << Self::START_HIGH_BITS)
                | (start >> Self::START_LOW_BITS),
            low: (start << Self::LENGTH_BITS) | mapping.len,
        })
    }

    #[inline]
    fn offset(&self) -> u64 {
        (self.high & !Self::UNWRITTEN) >> Self::START_HIGH_BITS
    }

    #[inline]
    fn len(&self) -> u64 {
        self.low & u64::from(MAX_EXTENT_BLOCKS)
    }

    #[inline]
    fn end(&self) -> u64 {
        self.offset().saturating_add(self.len())
    }

    #[inline]
    fn mapping(&self) -> Mapping {
        let start_high = self.high & ((1 << Self::START_HIGH_BITS) - 1);
        let start = (start_high << Self::START_LOW_BITS) | (self.low >> Self::LENGTH_BITS);
        let (start, state) = match start.checked_sub(BLOCK_END) {
            Some(reserved) => (reserved, State::Delayed),
            None if self.high & Self::UNWRITTEN == 0 => (start, State::Normal),
            None => (start, State::Unwritten),
        };
        Mapping {
            offset: FileBlock(self.offset()),
            start: MappedBlock(start),
            len: self.len(),
            state,
        }
    }
}

/// Of sorted records, those from the one that contains `offset` or else follows it.
fn records_from(records: &[Packed], offset: u64) -> &[Packed] {
    let first = records.partition_point(|record| record.end() <= offset);
    records.get(first..).unwrap_or_default()
}

enum Shape {
    /// Sorted records.
    Small(KVec<Packed>),
    /// Root of a tree.
    Tree(Node),
}

/// The mappings of a fork, in order. See the [module](self).
pub struct ExtentMap {
    shape: Shape,
    count: u64,
    /// See [`keep_apart`](Self::keep_apart).
    region_log: u8,
}

impl Default for ExtentMap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ExtentMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl ExtentMap {
    /// A map of nothing.
    pub const fn new() -> Self {
        Self {
            shape: Shape::Small(KVec::new()),
            count: 0,
            region_log: 0,
        }
    }

    /// Has no mapping become one with another from now on where the second begins a region of the
    /// device, each of 2^`log` block numbers: a mapping lies in one realtime group, and where these are
    /// of such a size the numbers of one go on with those of the next. 0 is no regions.
    pub fn keep_apart(&mut self, log: u8) {
        self.region_log = log;
    }

    /// A map of nothing, with room for `count` mappings if these are few.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn with_room(count: u64) -> Result<Self> {
        let room = usize::try_from(count).map_or(LEAF_RECORDS, |count| count.min(LEAF_RECORDS));
        let mut map = Self::new();
        if let Shape::Small(records) = &mut map.shape {
            records.reserve(room, GFP_KERNEL)?;
        }
        Ok(map)
    }

    /// Mappings in it.
    #[inline]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing is mapped.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records of one node, from the one that contains `offset` or else follows it; empty only if
    /// there is none in the whole map.
    fn run_from(&self, offset: u64) -> &[Packed] {
        match &self.shape {
            Shape::Small(records) => records_from(records, offset),
            Shape::Tree(root) => root.run_from(offset),
        }
    }

    /// The mapping that contains `block`, or else the next one after it.
    #[inline]
    pub fn lookup(&self, block: FileBlock) -> Option<Mapping> {
        self.run_from(block.0).first().map(Packed::mapping)
    }

    /// The mapping that contains `block`.
    #[inline]
    pub fn get(&self, block: FileBlock) -> Option<Mapping> {
        self.lookup(block).filter(|mapping| mapping.contains(block))
    }

    /// The mapping that contains `block`, or else the last one before it.
    pub fn lookup_back(&self, block: FileBlock) -> Option<Mapping> {
        let record = match &self.shape {
            Shape::Small(records) => {
                let after = records.partition_point(|record| record.offset() <= block.0);
                records.get(..after).and_then(<[Packed]>::last)
            }
            Shape::Tree(root) => root.last_until(block.0),
        };
        record.map(Packed::mapping)
    }

    /// The last mapping.
    pub fn last(&self) -> Option<Mapping> {
        match &self.shape {
            Shape::Small(records) => records.last(),
            Shape::Tree(root) => root.last(),
        }
        .map(Packed::mapping)
    }

    /// All mappings in order.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(FileBlock(0))
    }

    /// The mappings from the one that contains `block`, or else follows it.
    pub fn iter_from(&self, block: FileBlock) -> Iter<'_> {
        Iter::new(self, block)
    }

    /// Mapped and unmapped runs that together are the `len` blocks from `block`, each trimmed to
    /// them.
    pub fn segments(&self, block: FileBlock, len: u64) -> Segments<'_> {
        Segments::new(self, block, len)
    }

    /// The first run, mapped or not, of the `len` blocks from `block`, trimmed to them; `None` for
    /// no blocks.
    pub fn segment(&self, block: FileBlock, len: u64) -> Option<Segment> {
        self.segments(block, len).next()
    }

    /// First unmapped block from `block` on: where a hole starts that may be one of no end.
    pub fn next_hole(&self, block: FileBlock) -> FileBlock {
        let mut at = block;
        for mapping in self.iter_from(block) {
            if mapping.offset > at {
                break;
            }
            at = mapping.end();
        }
        at
    }

    /// Puts a mapping in. Neighbours are not merged: what may be merged is the caller's to say.
    ///
    /// # Errors
    ///
    /// `Invalid` for one that overlaps another or cannot be packed, `NoMemory`.
    pub fn insert(&mut self, mapping: Mapping) -> Result {
        let record = Packed::new(&mapping).ok_or(Error::Invalid)?;
        if let Some(next) = self.run_from(record.offset()).first() {
            if next.offset() < record.end() {
                return Err(Error::Invalid);
            }
        }
        self.insert_record(record)
    }

    /// Puts a mapping in behind all others; the quick way to load a map.
    ///
    /// # Errors
    ///
    /// `Invalid` for one that does not lie behind all others or cannot be packed, `NoMemory`.
    pub fn append(&mut self, mapping: Mapping) -> Result {
        let record = Packed::new(&mapping).ok_or(Error::Invalid)?;
        match &mut self.shape {
            Shape::Small(records) => {
                let last = records.last().map_or(0, Packed::end);
                if record.offset() < last {
                    return Err(Error::Invalid);
                }
            }
            Shape::Tree(root) => {
                let last = root.last_leaf().ok_or(Error::Invalid)?;
                if record.offset() < last.last().map_or(0, Packed::end) {
                    return Err(Error::Invalid);
                }
                if last.push(record) {
                    self.count = self.count.saturating_add(1);
                    return Ok(());
                }
            }
        }
        self.insert_record(record)
    }

    /// Puts a record in that is known not to overlap.
    fn insert_record(&mut self, record: Packed) -> Result {
        match &mut self.shape {
            Shape::Small(records) if records.len() < LEAF_RECORDS => {
                let at = records.partition_point(|other| other.offset() < record.offset());
                records.push(record, GFP_KERNEL)?;
                if let Some(tail) = records.get_mut(at..) {
                    if !tail.is_empty() {
                        tail.rotate_right(1);
                    }
                }
            }
            Shape::Small(records) => {
                let mut root = Node::new_leaf(records)?;
                root.insert(record)?;
                self.shape = Shape::Tree(root);
            }
            Shape::Tree(root) => root.insert(record)?,
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Takes out the mapping that starts at `offset`.
    pub fn remove(&mut self, offset: FileBlock) -> Option<Mapping> {
        let found = self.get(offset).filter(|found| found.offset == offset)?;
        match &mut self.shape {
            Shape::Small(records) => {
                let at = records.partition_point(|record| record.offset() < offset.0);
                if let Some(tail) = records.get_mut(at..) {
                    if !tail.is_empty() {
                        tail.rotate_left(1);
                    }
                }
                records.pop();
            }
            Shape::Tree(root) => root.remove(offset.0),
        }
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            self.shape = Shape::Small(KVec::new());
        }
        Some(found)
    }

    /// Replaces the mapping that starts at `offset` by another, which may start and end elsewhere
    /// but takes its place in the order.
    ///
    /// # Errors
    ///
    /// `NotFound` if none starts there; `Invalid` if the new one would overlap a neighbour or
    /// cannot be packed. Never for memory.
    pub fn update(&mut self, offset: FileBlock, mapping: Mapping) -> Result {
        let record = Packed::new(&mapping).ok_or(Error::Invalid)?;
        let old = self
            .get(offset)
            .filter(|found| found.offset == offset)
            .ok_or(Error::NotFound)?;
        let before = offset
            .checked_sub(1)
            .and_then(|before| self.lookup_back(before));
        let after = self.lookup(old.end());
        if before.is_some_and(|before| before.end() > mapping.offset)
            || after.is_some_and(|after| after.offset < mapping.end())
        {
            return Err(Error::Invalid);
        }
        match &mut self.shape {
            Shape::Small(records) => {
                let at = records.partition_point(|record| record.offset() < offset.0);
                if let Some(place) = records.get_mut(at) {
                    *place = record;
                }
            }
            Shape::Tree(root) => root.replace(offset.0, record),
        }
        Ok(())
    }

    /// Takes all mappings out.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}
