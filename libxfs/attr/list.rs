// SPDX-License-Identifier: GPL-2.0

//! Listing attributes, all at once or in steps.
//!
//! The order, and what a cursor means, are those of the C driver, for user space sees both: the
//! order of hashes, except that a short form goes out as it lies when the caller's buffer takes it
//! all.

use super::Form;
use crate::libxfs::{
    da::{Held, LoopGuard, NameFork, PastEnd},
    error::{Error, Result},
    format::{
        attr::{
            hash_of,
            leaf::{Leaf, Value},
            name_is_valid,
            shortform::{ShortAttr, ShortForm},
            AttrFlags,
        },
        dahash::NameHash,
        fault::Fault,
        units::{FileBlock, InodeNumber},
    },
    inode::Inode,
    store::Store,
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Where a listing stands between two calls.
///
/// User space keeps it, as 16 bytes that it does not look into (`xfs_attrlist_cursor`), and may
/// bring back anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Hash of the attribute that comes next.
    pub hash: u32,
    /// Block of the fork with the leaf where it was; a hint.
    pub block: u32,
    /// How many attributes of that hash come before it.
    pub offset: u32,
    /// Must be zero.
    pub pad: [u8; 3],
    /// Not 0 when a listing has begun.
    pub started: u8,
}

impl Cursor {
    /// The cursor in user space's bytes.
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let &[h0, h1, h2, h3, b0, b1, b2, b3, o0, o1, o2, o3, p0, p1, p2, started] = bytes;
        Self {
            hash: u32::from_ne_bytes([h0, h1, h2, h3]),
            block: u32::from_ne_bytes([b0, b1, b2, b3]),
            offset: u32::from_ne_bytes([o0, o1, o2, o3]),
            pad: [p0, p1, p2],
            started,
        }
    }

    /// The cursor as user space's bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let [h0, h1, h2, h3] = self.hash.to_ne_bytes();
        let [b0, b1, b2, b3] = self.block.to_ne_bytes();
        let [o0, o1, o2, o3] = self.offset.to_ne_bytes();
        let [p0, p1, p2] = self.pad;
        [
            h0,
            h1,
            h2,
            h3,
            b0,
            b1,
            b2,
            b3,
            o0,
            o1,
            o2,
            o3,
            p0,
            p1,
            p2,
            self.started,
        ]
    }

    /// Whether this can have come from a listing: nothing in the padding, and no position without
    /// a start.
    pub fn is_plausible(&self) -> bool {
        self.pad == [0; 3] && (self.started != 0 || self.is_reset())
    }

    /// Whether the listing is still to begin.
    fn is_reset(&self) -> bool {
        self.started == 0 && self.hash == 0 && self.block == 0 && self.offset == 0
    }
}

/// An attribute, as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Namespace.
    pub flags: AttrFlags,
    /// Name, without the namespace's prefix.
    pub name: &'a [u8],
    /// Value, or where it is.
    pub value: Value<'a>,
}

/// How to list.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Bytes of the caller's buffer; 0 when it has none and takes every attribute. A short form
    /// that surely fits is not sorted.
    pub buffer_size: usize,
    /// Whether half-made attributes are shown too.
    pub incomplete: bool,
}

/// Lists the attributes of `inode` from `cursor` on, in all namespaces, until `emit` declines one
/// by returning false, or all are listed. The cursor is left at the attribute that was declined.
///
/// The caller keeps the attribute fork from changing. `emit` runs while a block is held, so it
/// reads nothing.
///
/// # Errors
///
/// `Corrupt`, `Interrupted`, `NoMemory`, and those of the store.
pub fn list<S, F>(
    store: &S,
    inode: &Inode,
    how: Listing,
    cursor: &mut Cursor,
    mut emit: F,
) -> Result<()>
where
    S: Store,
    F: FnMut(&Listed<'_>) -> bool,
{
    match Form::of(inode)? {
        None => Ok(()),
        Some(Form::Short(short)) => list_short(inode.number, &short, how, cursor, &mut emit),
        Some(Form::Leaf(fork)) => {
            cursor.block = 0;
            let held = fork.read_tree_block(store, FileBlock(0))?;
            LeafWalk::new(how).list(&held, cursor, &mut emit)?;
            Ok(())
        }
        Some(Form::Node(fork)) => list_tree(store, &fork, how, cursor, &mut emit),
    }
}

type Emit<'a> = &'a mut dyn FnMut(&Listed<'_>) -> bool;

/// An attribute's name has to be one.
fn check_name(
    flags: AttrFlags,
    name: &[u8],
    structure: &'static str,
) -> core::result::Result<(), Fault> {
    if name_is_valid(flags, name) {
        Ok(())
    } else {
        Err(Fault::corrupt(structure, "name"))
    }
}

fn list_short(
    inode: InodeNumber,
    short: &ShortForm<'_>,
    how: Listing,
    cursor: &mut Cursor,
    emit: Emit<'_>,
) -> Result<()> {
    if short.count() == 0 {
        return Ok(());
    }
    let corrupt = |fault| Error::inode(fault, inode);
    let mut give = |attr: &ShortAttr<'_>| -> Result<bool> {
        check_name(attr.flags, attr.name, "attr3 sf").map_err(corrupt)?;
        Ok(emit(&Listed {
            flags: attr.flags,
            name: attr.name,
            value: Value::Local(attr.value),
        }))
    };
    // What an attribute takes in any caller's buffer beyond its bytes here is at most 16.
    let most = usize::from(short.count())
        .saturating_mul(16)
        .saturating_add(short.size());
    if how.buffer_size == 0 || (cursor.is_reset() && most < how.buffer_size) {
        for attr in short.iter() {
            if !give(&attr.map_err(corrupt)?)? {
                break;
            }
        }
        return Ok(());
    }

    let sorted = sorted(short, corrupt)?;
    cursor.started = 1;
    cursor.block = 0;
    // Finds the cursor's place: the entry of its hash with as many before it as it says, or the
    // first one behind that hash.
    let mut same = 0u32;
    let start = sorted.iter().position(|&(hash, ..)| {
        if hash.0 != cursor.hash {
            return hash.0 > cursor.hash;
        }
        let here = same == cursor.offset;
        same = same.saturating_add(1);
        here
    });
    let Some(start) = start else {
        return Ok(());
    };
    for (hash, _, attr) in sorted.iter().skip(start) {
        if cursor.hash != hash.0 {
            cursor.hash = hash.0;
            cursor.offset = 0;
        }
        if !give(attr)? {
            break;
        }
        cursor.offset = cursor.offset.saturating_add(1);
    }
    Ok(())
}

/// The attributes of a short form, at most 255, by hash and then as they lie.
fn sorted<'a>(
    short: &ShortForm<'a>,
    corrupt: impl Fn(Fault) -> Error,
) -> Result<KVec<(NameHash, usize, ShortAttr<'a>)>> {
    let mut sorted = KVec::with_capacity(usize::from(short.count()), GFP_KERNEL)?;
    for (place, attr) in short.iter().enumerate() {
        let attr = attr.map_err(&corrupt)?;
        let hash = hash_of(attr.flags.namespace(), attr.name, attr.value);
        // Behind those of the same hash that lie before it. A list this short is sorted as it grows:
        // the sorts of core can panic.
        let at = sorted.partition_point(|&(other, ..): &(NameHash, _, _)| other <= hash);
        sorted
            .insert_within_capacity(at, (hash, place, attr))
            .map_err(|_| Error::NoMemory)?;
    }
    Ok(sorted)
}

/// How the listing of a leaf ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeafEnd {
    /// With its last attribute.
    Done,
    /// With one that was declined.
    Declined,
}

/// A listing that goes from leaf to leaf.
struct LeafWalk {
    how: Listing,
    /// Whether the cursor's place is still to be found.
    resync: bool,
    /// Attributes of the cursor's hash that were passed in finding its place; they may fill
    /// several leaves.
    same: u32,
}

impl LeafWalk {
    const fn new(how: Listing) -> Self {
        Self {
            how,
            resync: true,
            same: 0,
        }
    }

    /// Index of the entry at the cursor's place; `None` when it lies behind this leaf.
    fn place(&mut self, leaf: &Leaf<'_>, cursor: &Cursor) -> Option<usize> {
        if !self.resync {
            return Some(0);
        }
        let place = leaf.entries.iter().position(|entry| {
            if entry.hash.get() != cursor.hash {
                return entry.hash.get() > cursor.hash;
            }
            let here = self.same == cursor.offset;
            self.same = self.same.saturating_add(1);
            here
        })?;
        self.resync = false;
        self.same = 0;
        Some(place)
    }

    fn list<B>(&mut self, held: &Held<B>, cursor: &mut Cursor, emit: Emit<'_>) -> Result<LeafEnd>
    where
        B: core::ops::Deref<Target = [u8]>,
    {
        let corrupt = |fault| held.fault(fault);
        let leaf = Leaf::view(&held.block).map_err(corrupt)?;
        cursor.started = 1;
        let Some(place) = self.place(&leaf, cursor) else {
            return Ok(LeafEnd::Done);
        };
        for entry in leaf.entries.iter().skip(place) {
            if cursor.hash != entry.hash.get() {
                cursor.hash = entry.hash.get();
                cursor.offset = 0;
            }
            if entry.flags().is_incomplete() && !self.how.incomplete {
                continue;
            }
            let attr = leaf.attr(entry).map_err(corrupt)?;
            check_name(attr.flags, attr.name, "attr3 leaf").map_err(corrupt)?;
            let more = emit(&Listed {
                flags: attr.flags,
                name: attr.name,
                value: attr.value,
            });
            if !more {
                return Ok(LeafEnd::Declined);
            }
            cursor.offset = cursor.offset.saturating_add(1);
        }
        Ok(LeafEnd::Done)
    }
}

/// The leaf that a cursor hints at, if it is one, and the cursor's hash lies inside it: neither
/// before it nor at its start, where attributes of that hash may lie in the leaf before.
fn hinted_leaf<S: Store>(
    store: &S,
    fork: &NameFork<'_>,
    cursor: &Cursor,
) -> Result<Option<Held<S::Block>>> {
    if cursor.block == 0 {
        return Ok(None);
    }
    let held = match fork.read_tree_block(store, FileBlock(u64::from(cursor.block))) {
        Ok(held) => held,
        // The hint may be old or made up: then it is no news that the block is something else.
        Err(error @ Error::Corrupt(_)) if !error.is_checksum() => return Ok(None),
        Err(error) => return Err(error),
    };
    let inside = match Leaf::view(&held.block) {
        Ok(leaf) => match (leaf.entries.first(), leaf.entries.last()) {
            (Some(first), Some(last)) => {
                first.hash.get() < cursor.hash && cursor.hash <= last.hash.get()
            }
            _ => false,
        },
        Err(_) => false,
    };
    Ok(inside.then_some(held))
}

fn list_tree<S: Store>(
    store: &S,
    fork: &NameFork<'_>,
    how: Listing,
    cursor: &mut Cursor,
    emit: Emit<'_>,
) -> Result<()> {
    cursor.started = 1;
    let mut held = match hinted_leaf(store, fork, cursor)? {
        Some(held) => held,
        None => {
            cursor.block = 0;
            match fork.find_leaf(store, NameHash(cursor.hash), PastEnd::Nothing)? {
                Some((at, held)) => {
                    cursor.block = leaf_number(at);
                    held
                }
                None => return Ok(()),
            }
        }
    };
    let mut guard = LoopGuard::new(FileBlock(u64::from(cursor.block)));
    let mut walk = LeafWalk::new(how);
    loop {
        if walk.list(&held, cursor, &mut *emit)? == LeafEnd::Declined {
            return Ok(());
        }
        let (next, last) = {
            let leaf = Leaf::view(&held.block).map_err(|fault| held.fault(fault))?;
            (leaf.header.info.next(), leaf.last_hash())
        };
        let Some(next) = next else {
            return Ok(());
        };
        if !guard.step(next) {
            return Err(held.fault(Fault::corrupt("attr3 leaf", "forw")));
        }
        if store.interrupted() {
            return Err(Error::Interrupted);
        }
        cursor.block = leaf_number(next);
        drop(held);
        held = fork.read_tree_block(store, next)?;
        // A chain that goes back would list attributes again and again.
        let leaf = Leaf::view(&held.block).map_err(|fault| held.fault(fault))?;
        if leaf
            .entries
            .first()
            .is_some_and(|first| first.hash.get() < last.0)
        {
            return Err(held.fault(Fault::corrupt("attr3 leaf", "hashval")));
        }
    }
}

/// Blocks of an attribute tree are named with 32 bits everywhere.
fn leaf_number(at: FileBlock) -> u32 {
    u32::try_from(at.0).unwrap_or(0)
}
