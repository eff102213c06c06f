// SPDX-License-Identifier: GPL-2.0

//! Leaves of attributes: names with their values come and go.
//!
//! Names are packed from the block's end. What removed ones leave between the others is used once
//! the gap in front of them is too short, and then all names are packed anew; so the header lists
//! the gap alone.

use super::AttrMut;
use crate::libxfs::{
    da::{ForkSpace, NamesMut, Path, TreeBlock},
    error::{Error, Result},
    format::{
        attr::{
            leaf::{
                local_size, remote_size, FreeMap, Leaf, LeafAttr, LeafEntry, LeafHeader, LocalName,
                RemoteName, Value, LEAF_MAGIC,
            },
            AttrFlags,
        },
        dahash::NameHash,
        fault::Fault,
        units::FileBlock,
    },
    journal::Journal,
    trans::BlockId,
};
use core::{
    mem::{offset_of, size_of},
    ops::Range,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    IntoBytes,
};

const HEADER: usize = size_of::<LeafHeader>();
const ENTRY: usize = size_of::<LeafEntry>();

/// A name to be put into a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafName<'n> {
    pub(super) hash: NameHash,
    pub(super) flags: AttrFlags,
    pub(super) name: &'n [u8],
    pub(super) value: Value<'n>,
}

impl LeafName<'_> {
    /// Bytes that it takes, its entry not counted.
    pub(super) fn size(&self) -> usize {
        size_of_name(self.name, &self.value)
    }
}

/// Bytes that a name takes with what is beside it.
fn size_of_name(name: &[u8], value: &Value<'_>) -> usize {
    // Both are no longer than their fields can say.
    let name = name.len() as u8;
    let size = match value {
        Value::Local(value) => local_size(name, value.len() as u16),
        Value::Remote { .. } => remote_size(name),
    };
    size as usize
}

/// Where an entry lies.
const fn entry_at(slot: usize) -> usize {
    HEADER.saturating_add(slot.saturating_mul(ENTRY))
}

/// The numbers of a leaf's header.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Entries.
    count: usize,
    /// Bytes that names take.
    used: usize,
    /// Where the lowest name starts.
    first: usize,
}

impl Counts {
    fn of(leaf: &Leaf<'_>) -> Self {
        Self {
            count: leaf.entries.len(),
            used: leaf.header.usedbytes.get().into(),
            first: leaf.first_used(),
        }
    }

    /// Bytes between the entries and the names.
    const fn gap(&self) -> usize {
        self.first.saturating_sub(entry_at(self.count))
    }

    /// Bytes that are of use, the header not counted.
    const fn taken(&self) -> usize {
        self.used
            .saturating_add(entry_at(self.count))
            .saturating_sub(HEADER)
    }
}

/// A leaf, to the tree.
pub(super) struct AttrLeaf;

impl TreeBlock for AttrLeaf {
    const HEADER: usize = HEADER;

    fn used(bytes: &[u8]) -> core::result::Result<usize, Fault> {
        Ok(Counts::of(&Leaf::view(bytes)?).taken())
    }

    fn merge<J: Journal, S: ForkSpace<J>>(
        names: &mut NamesMut<'_, '_, J, S>,
        left: BlockId,
        right: BlockId,
    ) -> Result {
        let all = 0..leaf(names, right)?.entries.len();
        copy_names(names, right, all, left)
    }
}

/// A leaf of the fork.
pub(super) fn leaf<'n, J: Journal, S: ForkSpace<J>>(
    names: &'n NamesMut<'_, '_, J, S>,
    block: BlockId,
) -> Result<Leaf<'n>> {
    Leaf::view(names.trans.bytes(block)).map_err(|fault| names.fault(block, fault))
}

/// The attribute of an entry, and the bytes that it takes.
fn attr_of<'n, J: Journal, S: ForkSpace<J>>(
    names: &'n NamesMut<'_, '_, J, S>,
    block: BlockId,
    slot: usize,
) -> Result<(LeafEntry, LeafAttr<'n>, usize)> {
    let leaf = leaf(names, block)?;
    let entry = leaf.entries.get(slot).ok_or(Error::Invalid)?;
    let attr = leaf
        .attr(entry)
        .map_err(|fault| names.fault(block, fault))?;
    Ok((*entry, attr, size_of_name(attr.name, &attr.value)))
}

fn set_counts<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
    counts: Counts,
) -> Result {
    let size = names.block_size();
    let header = names.trans.change_as::<LeafHeader>(block, 0)?;
    let field = |value: usize| U16::new(value as u16);
    header.count = field(counts.count);
    header.usedbytes = field(counts.used);
    // The block's end, where that has no room, is 0.
    header.firstused = field(counts.first);
    header.holes = u8::from(counts.used != size.saturating_sub(counts.first));
    let none = FreeMap {
        base: U16::new(0),
        size: U16::new(0),
    };
    let gap = FreeMap {
        base: field(entry_at(counts.count)),
        size: field(counts.gap()),
    };
    header.freemap = [if counts.gap() > 0 { gap } else { none }, none, none];
    Ok(())
}

/// Starts a leaf without entries.
pub(super) fn init<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
) -> Result {
    let first = names.block_size();
    set_counts(
        names,
        block,
        Counts {
            count: 0,
            used: 0,
            first,
        },
    )
}

/// Whether a name of `size` bytes fits a leaf.
pub(super) fn fits<J: Journal, S: ForkSpace<J>>(
    names: &NamesMut<'_, '_, J, S>,
    block: BlockId,
    size: usize,
) -> Result<bool> {
    let taken = Counts::of(&leaf(names, block)?).taken();
    let all = taken.saturating_add(size).saturating_add(ENTRY);
    Ok(all <= names.block_size().saturating_sub(HEADER))
}

/// Makes room for an entry at `slot` and for a name of `size` bytes, which fits; where the name
/// goes.
fn make_room<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
    slot: usize,
    size: usize,
) -> Result<usize> {
    let needed = size.saturating_add(ENTRY);
    let mut counts = Counts::of(&leaf(names, block)?);
    if counts.gap() < needed {
        counts = pack(names, block)?;
    }
    if counts.gap() < needed || slot > counts.count {
        return Err(names.trans.corrupt(block, "attr3 leaf", "usedbytes"));
    }
    let tail = entry_at(slot)..entry_at(counts.count);
    let to = entry_at(slot.saturating_add(1));
    names.trans.copy(block, tail, block, to)?;
    let first = counts.first.saturating_sub(size);
    let counts = Counts {
        count: counts.count.saturating_add(1),
        used: counts.used.saturating_add(size),
        first,
    };
    set_counts(names, block, counts)?;
    Ok(first)
}

fn put_entry<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
    slot: usize,
    entry: LeafEntry,
) -> Result {
    *names.trans.change_as(block, entry_at(slot))? = entry;
    Ok(())
}

/// Puts a name, which fits, into a leaf at `slot`.
pub(super) fn put<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
    slot: usize,
    new: &LeafName<'_>,
) -> Result {
    let at = make_room(names, block, slot, new.size())?;
    let entry = LeafEntry {
        hash: U32::new(new.hash.0),
        nameidx: U16::new(at as u16),
        flags: new.flags.0,
        pad: 0,
    };
    put_entry(names, block, slot, entry)?;
    let namelen = u8::try_from(new.name.len()).map_err(|_| Error::Invalid)?;
    let bytes = names
        .trans
        .change(block, at..at.saturating_add(new.size()))?;
    bytes.fill(0);
    let (head, value) = match new.value {
        Value::Local(value) => {
            let head = LocalName {
                valuelen: U16::new(u16::try_from(value.len()).map_err(|_| Error::Invalid)?),
                namelen,
            };
            (put_bytes(bytes, head.as_bytes())?, value)
        }
        Value::Remote { start, length } => {
            let head = RemoteName {
                valueblk: U32::new(start.0 as u32),
                valuelen: U32::new(length),
                namelen,
            };
            (put_bytes(bytes, head.as_bytes())?, &[][..])
        }
    };
    let rest = put_bytes(head, new.name)?;
    put_bytes(rest, value)?;
    Ok(())
}

fn put_bytes<'b>(to: &'b mut [u8], bytes: &[u8]) -> Result<&'b mut [u8]> {
    let (room, rest) = to.split_at_mut_checked(bytes.len()).ok_or(Error::Invalid)?;
    room.copy_from_slice(bytes);
    Ok(rest)
}

/// Copies names of a leaf behind those of another one.
pub(super) fn copy_names<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    from: BlockId,
    slots: Range<usize>,
    to: BlockId,
) -> Result {
    for slot in slots {
        let (entry, _, size) = attr_of(names, from, slot)?;
        let end = leaf(names, to)?.entries.len();
        let at = make_room(names, to, end, size)?;
        let start = usize::from(entry.nameidx.get());
        names
            .trans
            .copy(from, start..start.saturating_add(size), to, at)?;
        let entry = LeafEntry {
            nameidx: U16::new(at as u16),
            ..entry
        };
        put_entry(names, to, end, entry)?;
    }
    Ok(())
}

/// Takes names out of a leaf.
pub(super) fn take<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
    slots: Range<usize>,
) -> Result {
    let mut counts = Counts::of(&leaf(names, block)?);
    if slots.end > counts.count || slots.is_empty() {
        return Err(Error::Invalid);
    }
    for slot in slots.clone() {
        let (_, _, size) = attr_of(names, block, slot)?;
        counts.used = counts.used.saturating_sub(size);
    }
    let tail = entry_at(slots.end)..entry_at(counts.count);
    names
        .trans
        .copy(block, tail, block, entry_at(slots.start))?;
    counts.count = counts.count.saturating_sub(slots.len());
    // So that what is gone is not looked at.
    set_counts(names, block, counts)?;
    let lowest = leaf(names, block)?
        .entries
        .iter()
        .map(|entry| usize::from(entry.nameidx.get()))
        .min();
    counts.first = lowest.unwrap_or(names.block_size());
    set_counts(names, block, counts)
}

/// Packs the names of a leaf at its end.
fn pack<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    block: BlockId,
) -> Result<Counts> {
    let size = names.block_size();
    let mut packed: KVVec<u8> = KVVec::new();
    packed.resize(size, 0, GFP_KERNEL)?;
    let count = leaf(names, block)?.entries.len();
    let mut first = size;
    let misfit = names.trans.corrupt(block, "attr3 leaf", "usedbytes");
    for slot in 0..count {
        let (entry, _, length) = attr_of(names, block, slot)?;
        let start = usize::from(entry.nameidx.get());
        let bytes = names.trans.bytes(block);
        let name = bytes
            .get(start..start.saturating_add(length))
            .ok_or(misfit)?;
        first = first.checked_sub(length).ok_or(misfit)?;
        packed
            .get_mut(first..first.saturating_add(length))
            .ok_or(misfit)?
            .copy_from_slice(name);
        let idx = entry_at(slot).saturating_add(offset_of!(LeafEntry, nameidx));
        // Kept aside: the name still lies where it did.
        let place = packed.get_mut(idx..idx.saturating_add(2)).ok_or(misfit)?;
        place.copy_from_slice(&(first as u16).to_be_bytes());
    }
    if first < entry_at(count) {
        return Err(misfit);
    }
    for slot in 0..count {
        let idx = entry_at(slot).saturating_add(offset_of!(LeafEntry, nameidx));
        let new = packed.get(idx..idx.saturating_add(2)).ok_or(misfit)?;
        names
            .trans
            .change(block, idx..idx.saturating_add(2))?
            .copy_from_slice(new);
    }
    let new = packed.get(first..).ok_or(misfit)?;
    names.trans.change(block, first..size)?.copy_from_slice(new);
    let counts = Counts {
        count,
        used: size.saturating_sub(first),
        first,
    };
    set_counts(names, block, counts)?;
    Ok(counts)
}

impl<J: Journal, S: ForkSpace<J>> AttrMut<'_, '_, J, S> {
    /// Changes the flags of an entry.
    pub(super) fn set_flags(&mut self, block: BlockId, slot: usize, flags: AttrFlags) -> Result {
        let at = entry_at(slot).saturating_add(offset_of!(LeafEntry, flags));
        self.names
            .trans
            .change(block, at..at.saturating_add(1))?
            .fill(flags.0);
        Ok(())
    }

    /// Changes where the value of an entry lies, and its length.
    pub(super) fn set_remote(
        &mut self,
        block: BlockId,
        slot: usize,
        start: FileBlock,
        length: u32,
    ) -> Result {
        let (entry, _, _) = attr_of(&self.names, block, slot)?;
        let at = usize::from(entry.nameidx.get());
        self.names.put_u32(block, at, start.0 as u32)?;
        let at = at.saturating_add(offset_of!(RemoteName, valuelen));
        self.names.put_u32(block, at, length)
    }

    /// Puts a name where it belongs; the tree grows where its leaf has no room.
    pub(super) fn insert(&mut self, new: &LeafName<'_>) -> Result {
        loop {
            let names = &mut self.names;
            let mut path = names.descend(new.hash)?;
            let block = path.leaf()?.block;
            let slot = leaf(names, block)?
                .entries
                .partition_point(|entry| entry.hash.get() < new.hash.0);
            if fits(names, block, new.size())? {
                put(names, block, slot, new)?;
                return names.update_hash(&path);
            }
            if self.split_for(&mut path, slot, new)? {
                return Ok(());
            }
        }
    }

    /// Splits the leaf that `path` leads to for a name that is to go to `slot`; whether that is in its
    /// place then, in a leaf of its own. A frame of its own, for the tree may grow from here.
    #[inline(never)]
    fn split_for(&mut self, path: &mut Path, slot: usize, new: &LeafName<'_>) -> Result<bool> {
        let names = &mut self.names;
        let block = path.leaf()?.block;
        let count = leaf(names, block)?.entries.len();
        let keep = middle(names, block, slot, new.size())?;
        let (at, right) = names.new_neighbour(path, LEAF_MAGIC)?;
        let left = path.leaf()?.block;
        move_names(names, (left, right), keep..count)?;
        // A name as long as this may need a leaf of its own.
        if keep == 0 {
            put(names, left, 0, new)?;
        } else if keep == count {
            put(names, right, 0, new)?;
        }
        names.add_neighbour(path, (at, right))?;
        let alone = keep == 0 || keep == count;
        if alone {
            names.update_hash(path)?;
        }
        Ok(alone)
    }
}

/// Moves names of the leaf on the left to a new one on its right.
fn move_names<J: Journal, S: ForkSpace<J>>(
    names: &mut NamesMut<'_, '_, J, S>,
    (left, right): (BlockId, BlockId),
    slots: Range<usize>,
) -> Result {
    init(names, right)?;
    if !slots.is_empty() {
        copy_names(names, left, slots.clone(), right)?;
        take(names, left, slots)?;
    }
    Ok(())
}

/// Entries that stay where a leaf is split for a name of `size` bytes at `slot`: those of the lower
/// half of all bytes, the new ones counted. None of them, or all, only if the new one cannot be
/// with any other.
fn middle<J: Journal, S: ForkSpace<J>>(
    names: &NamesMut<'_, '_, J, S>,
    block: BlockId,
    slot: usize,
    size: usize,
) -> Result<usize> {
    let count = leaf(names, block)?.entries.len();
    let room = names.block_size().saturating_sub(HEADER);
    let taken = Counts::of(&leaf(names, block)?).taken();
    let new = size.saturating_add(ENTRY);
    let half = taken.saturating_add(new) / 2;
    let mut best = (usize::MAX, slot);
    let mut low = 0usize;
    for keep in 0..=count {
        let high = taken.saturating_sub(low);
        // The new one goes to the side of its slot; at the cut, to the right one.
        let (left, right) = if slot < keep {
            (low.saturating_add(new), high)
        } else {
            (low, high.saturating_add(new))
        };
        let distance = left.abs_diff(half);
        if keep > 0 && keep < count && left.max(right) <= room && distance < best.0 {
            best = (distance, keep);
        }
        if keep < count {
            let (_, _, length) = attr_of(names, block, keep)?;
            low = low.saturating_add(length).saturating_add(ENTRY);
        }
    }
    Ok(best.1)
}
