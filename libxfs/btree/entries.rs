// SPDX-License-Identifier: GPL-2.0

//! The entries of one block, or of a root in a fork: where they lie, and how they are moved.

use super::{BlocksMut, Root};
use crate::libxfs::{
    error::{Error, Result},
    format::btree::{
        key_stride, Header, Node, Pointer, Side, Tree, COUNT_OFFSET, ROOT_COUNT_OFFSET,
        ROOT_HEADER_SIZE,
    },
};
use core::{mem::size_of, ops::Range};
use zerocopy::IntoBytes;

/// Bytes that are copied at a time between a block and a fork.
const BOUNCE: usize = 256;

/// What holds entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<B> {
    /// A block.
    Block(B),
    /// The root in a fork.
    Fork,
}

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<T: Tree> {
    /// Of a leaf.
    Record(T::Record),
    /// Of a node: a child with its lowest key and, where records overlap, its highest.
    Child(T::Key, T::Key, T::Pointer),
}

/// How the entries of a place lie in its bytes.
#[derive(Clone, Copy)]
struct Layout {
    leaf: bool,
    count: usize,
    /// Entries for which there is room.
    room: usize,
    /// Where the first one begins.
    start: usize,
}

/// `n` elements of `size` bytes from `index` on, in an array that starts at `start`.
fn span(start: usize, size: usize, index: usize, n: usize) -> Result<Range<usize>> {
    let at = |index: usize| size.checked_mul(index)?.checked_add(start);
    let end = index.checked_add(n).ok_or(Error::Invalid)?;
    match (at(index), at(end)) {
        (Some(start), Some(end)) => Ok(start..end),
        _ => Err(Error::Invalid),
    }
}

impl Layout {
    /// Records of a leaf, keys of a node.
    fn keys<T: Tree>(&self, index: usize, n: usize) -> Result<Range<usize>> {
        let size = if self.leaf {
            size_of::<T::DiskRecord>()
        } else {
            key_stride::<T>()
        };
        span(self.start, size, index, n)
    }

    /// Pointers of a node; `None` in a leaf.
    fn pointers<T: Tree>(&self, index: usize, n: usize) -> Result<Option<Range<usize>>> {
        if self.leaf {
            return Ok(None);
        }
        let keys = span(self.start, key_stride::<T>(), 0, self.room)?;
        span(keys.end, T::Pointer::SIZE, index, n).map(Some)
    }
}

/// The entries of a place.
pub(super) fn node<T: Tree, A: BlocksMut<T>>(
    blocks: &A,
    place: Place<A::Block>,
) -> Result<Node<'_, T>> {
    let node = match place {
        Place::Block(block) => Node::of_block(blocks.content(block)),
        Place::Fork => match blocks.root()? {
            Root::Fork(fork) => Node::of_root(fork),
            Root::Block(..) => None,
        },
    };
    node.ok_or(Error::Invalid)
}

fn layout<T: Tree, A: BlocksMut<T>>(blocks: &A, place: Place<A::Block>) -> Result<Layout> {
    let node = node::<T, A>(blocks, place)?;
    Ok(Layout {
        leaf: node.is_leaf(),
        count: node.count(),
        room: node.room(),
        start: match place {
            Place::Block(_) => T::Pointer::HEADER_SIZE,
            Place::Fork => ROOT_HEADER_SIZE,
        },
    })
}

fn change<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    range: Range<usize>,
) -> Result<&mut [u8]> {
    match place {
        Place::Block(block) => blocks.change(block, range),
        Place::Fork => blocks.change_fork()?.get_mut(range).ok_or(Error::Invalid),
    }
}

/// Copies bytes between two places, or within one.
fn copy<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    from: Place<A::Block>,
    range: Range<usize>,
    to: Place<A::Block>,
    at: usize,
) -> Result {
    if range.is_empty() {
        return Ok(());
    }
    match (from, to) {
        (Place::Block(from), Place::Block(to)) => return blocks.copy(from, range, to, at),
        (Place::Fork, Place::Fork) => {
            let fork = blocks.change_fork()?;
            let end = at.checked_add(range.len()).ok_or(Error::Invalid)?;
            if range.end.max(end) > fork.len() {
                return Err(Error::Invalid);
            }
            fork.copy_within(range, at);
            return Ok(());
        }
        _ => {}
    }
    let mut bounce = [0; BOUNCE];
    let (mut done, len) = (0usize, range.len());
    while done < len {
        let n = len.saturating_sub(done).min(BOUNCE);
        let bounce = bounce.get_mut(..n).ok_or(Error::Invalid)?;
        let source = match from {
            Place::Block(block) => blocks.content(block),
            Place::Fork => match blocks.root()? {
                Root::Fork(fork) => fork,
                Root::Block(..) => return Err(Error::Invalid),
            },
        };
        let source = source.get(range.start.saturating_add(done)..);
        bounce.copy_from_slice(source.and_then(|s| s.get(..n)).ok_or(Error::Invalid)?);
        let start = at.checked_add(done).ok_or(Error::Invalid)?;
        let end = start.checked_add(n).ok_or(Error::Invalid)?;
        change(blocks, to, start..end)?.copy_from_slice(bounce);
        done = done.saturating_add(n);
    }
    Ok(())
}

/// Sets the number of entries.
pub(super) fn set_count<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    count: usize,
) -> Result {
    let at = match place {
        Place::Block(_) => COUNT_OFFSET,
        Place::Fork => ROOT_COUNT_OFFSET,
    };
    let count = u16::try_from(count).map_err(|_| Error::Invalid)?;
    change(blocks, place, at..at.saturating_add(2))?.copy_from_slice(&count.to_be_bytes());
    Ok(())
}

/// Writes entry `index`, which must be one of those that are counted or have room.
pub(super) fn put<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    index: usize,
    entry: &Entry<T>,
) -> Result {
    let layout = layout::<T, A>(blocks, place)?;
    if index >= layout.room {
        return Err(Error::Invalid);
    }
    let keys = layout.keys::<T>(index, 1)?;
    match (entry, layout.pointers::<T>(index, 1)?) {
        (Entry::Record(record), None) => {
            let disk = T::encode_record(blocks.geometry(), record);
            change(blocks, place, keys)?.copy_from_slice(disk.as_bytes());
        }
        (Entry::Child(low, high, pointer), Some(pointers)) => {
            write_keys::<T>(change(blocks, place, keys)?, low, high)?;
            pointer
                .encode(change(blocks, place, pointers)?)
                .ok_or(Error::Invalid)?;
        }
        _ => return Err(Error::Invalid),
    }
    Ok(())
}

fn write_keys<T: Tree>(bytes: &mut [u8], low: &T::Key, high: &T::Key) -> Result {
    let size = size_of::<T::DiskKey>();
    let (low_bytes, high_bytes) = bytes.split_at_mut_checked(size).ok_or(Error::Invalid)?;
    low_bytes.copy_from_slice(T::encode_key(low).as_bytes());
    if T::OVERLAPPING {
        high_bytes.copy_from_slice(T::encode_key(high).as_bytes());
    }
    Ok(())
}

/// Writes the keys of child `index`, its pointer stays.
pub(super) fn put_keys<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    index: usize,
    (low, high): &(T::Key, T::Key),
) -> Result {
    let layout = layout::<T, A>(blocks, place)?;
    if layout.leaf || index >= layout.count {
        return Err(Error::Invalid);
    }
    let keys = layout.keys::<T>(index, 1)?;
    write_keys::<T>(change(blocks, place, keys)?, low, high)
}

/// Makes room for `n` entries before `index`, or with `close` takes those from there on away. The
/// count is set.
fn resize<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    index: usize,
    n: usize,
    close: bool,
) -> Result {
    let layout = layout::<T, A>(blocks, place)?;
    let behind = index.checked_add(n).ok_or(Error::Invalid)?;
    let (from, to, count) = if close {
        (behind, index, layout.count.checked_sub(n))
    } else {
        (index, behind, layout.count.checked_add(n))
    };
    let moved = layout.count.checked_sub(from).ok_or(Error::Invalid)?;
    let count = count
        .filter(|&count| count <= layout.room)
        .ok_or(Error::Invalid)?;
    let start = layout.keys::<T>(to, 0)?.start;
    copy(blocks, place, layout.keys::<T>(from, moved)?, place, start)?;
    if let (Some(pointers), Some(to)) = (
        layout.pointers::<T>(from, moved)?,
        layout.pointers::<T>(to, 0)?,
    ) {
        copy(blocks, place, pointers, place, to.start)?;
    }
    set_count::<T, A>(blocks, place, count)
}

/// Inserts an entry before entry `index`.
pub(super) fn insert<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    index: usize,
    entry: &Entry<T>,
) -> Result {
    resize::<T, A>(blocks, place, index, 1, false)?;
    put(blocks, place, index, entry)
}

/// Removes entry `index`.
pub(super) fn remove<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    place: Place<A::Block>,
    index: usize,
) -> Result {
    resize::<T, A>(blocks, place, index, 1, true)
}

/// Moves `n` entries from `index` on before entry `at` of another place of the same level.
pub(super) fn transfer<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    (from, index): (Place<A::Block>, usize),
    n: usize,
    (to, at): (Place<A::Block>, usize),
) -> Result {
    resize::<T, A>(blocks, to, at, n, false)?;
    let source = layout::<T, A>(blocks, from)?;
    let target = layout::<T, A>(blocks, to)?;
    if source.leaf != target.leaf {
        return Err(Error::Invalid);
    }
    let start = target.keys::<T>(at, 0)?.start;
    copy(blocks, from, source.keys::<T>(index, n)?, to, start)?;
    if let (Some(pointers), Some(start)) = (
        source.pointers::<T>(index, n)?,
        target.pointers::<T>(at, 0)?,
    ) {
        copy(blocks, from, pointers, to, start.start)?;
    }
    resize::<T, A>(blocks, from, index, n, true)
}

/// Lowest and highest key below a place; `None` where it has no entries.
pub(super) fn keys<T: Tree, A: BlocksMut<T>>(
    blocks: &A,
    place: Place<A::Block>,
) -> Result<Option<(T::Key, T::Key)>> {
    let node = node::<T, A>(blocks, place)?;
    let geo = blocks.geometry();
    let of = |index| {
        if node.is_leaf() {
            let record = node.record(geo, index)?.ok()?;
            Some((T::key(&record), T::high_key(&record)))
        } else {
            let low = node.key(index)?;
            Some((low, node.high_key(index).unwrap_or(low)))
        }
    };
    let Some((low, mut high)) = of(0) else {
        return match node.count() {
            0 => Ok(None),
            _ => Err(Error::Invalid),
        };
    };
    if T::OVERLAPPING {
        for index in 1..node.count() {
            let (_, end) = of(index).ok_or(Error::Invalid)?;
            high = high.max(end);
        }
    }
    Ok(Some((low, high)))
}

/// Writes the header of a fresh block, without entries.
pub(super) fn start_block<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    block: A::Block,
    header: &Header<T::Pointer>,
) -> Result {
    let bytes = blocks.change(block, 0..T::Pointer::HEADER_SIZE)?;
    T::Pointer::write_header(header, bytes).ok_or(Error::Invalid)
}

/// Links a block to a neighbour, or to none.
pub(super) fn set_sibling<T: Tree, A: BlocksMut<T>>(
    blocks: &mut A,
    block: A::Block,
    side: Side,
    sibling: Option<T::Pointer>,
) -> Result {
    let range = T::Pointer::sibling_range(side);
    T::Pointer::encode_sibling(sibling, blocks.change(block, range)?).ok_or(Error::Invalid)
}

/// Sets the level of a root in a fork, and empties it.
pub(super) fn start_root<T: Tree, A: BlocksMut<T>>(blocks: &mut A, level: u16) -> Result {
    let header = change(blocks, Place::Fork, 0..ROOT_HEADER_SIZE)?;
    header.fill(0);
    let (bytes, _) = header.split_at_mut_checked(2).ok_or(Error::Invalid)?;
    bytes.copy_from_slice(&level.to_be_bytes());
    Ok(())
}
