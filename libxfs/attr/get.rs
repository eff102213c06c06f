// SPDX-License-Identifier: GPL-2.0

//! Finding an attribute, and reading its value.

use super::Form;
use crate::libxfs::{
    da::{Held, LoopGuard, NameFork, PastEnd},
    error::{Error, Result},
    format::{
        attr::{
            hash_of,
            leaf::{Leaf, Value},
            remote, Namespace,
        },
        dahash::NameHash,
        fault::Fault,
        kind::Kind,
        units::{DiskAddr, FileBlock},
    },
    inode::{Inode, WhichFork},
    store::{Device, Run, Store},
};

/// Most bytes of a long value that are read as one block.
const MAX_RUN: u32 = 65536;

/// What is looked for.
struct Wanted<'a> {
    namespace: Namespace,
    name: &'a [u8],
    /// A parent pointer is found by its value too: it is part of what tells one from another.
    value: Option<&'a [u8]>,
    hash: NameHash,
}

impl Wanted<'_> {
    fn is(&self, name: &[u8], value: Value<'_>) -> bool {
        name == self.name
            && match (self.value, value) {
                (None, _) => true,
                (Some(wanted), Value::Local(value)) => wanted == value,
                (Some(_), Value::Remote { .. }) => false,
            }
    }
}

/// Reads the value of attribute `name` into `buffer` and returns its length in bytes. An empty
/// `buffer` asks for the length alone.
///
/// The caller keeps the attribute fork from changing.
///
/// # Errors
///
/// `NoAttribute`, `Range` when the buffer is too small, `Invalid` for the namespace of parent
/// pointers (see [`parent`](crate::libxfs::parent)), `Corrupt`, and those of the store.
pub fn get<S: Store>(
    store: &S,
    inode: &Inode,
    namespace: Namespace,
    name: &[u8],
    buffer: &mut [u8],
) -> Result<usize> {
    if namespace == Namespace::Parent {
        return Err(Error::Invalid);
    }
    let wanted = Wanted {
        namespace,
        name,
        value: None,
        hash: NameHash::of(name),
    };
    // Blocks of the value are read once the leaf is no longer held.
    let elsewhere = find(store, inode, &wanted, |value| match value {
        Value::Local(value) => copy_out(value, buffer).map(Ok),
        Value::Remote { start, length } => Ok(Err((start, length))),
    })?;
    match elsewhere {
        Ok(length) => Ok(length),
        Err((start, length)) => {
            let fork = NameFork::attributes(inode.number, inode.extents(WhichFork::Attr)?);
            read_remote(store, &fork, start, length, buffer)
        }
    }
}

/// Whether there is a whole attribute with this name and this very value beside it, of at most
/// 255 bytes; meant for parent pointers.
///
/// # Errors
///
/// `NoAttribute`, `Corrupt`, and those of the store.
pub fn get_value<S: Store>(
    store: &S,
    inode: &Inode,
    namespace: Namespace,
    name: &[u8],
    value: &[u8],
) -> Result<()> {
    let wanted = Wanted {
        namespace,
        name,
        value: Some(value),
        hash: hash_of(Some(namespace), name, value),
    };
    find(store, inode, &wanted, |_| Ok(()))
}

/// Copies a value out, if there is room; no room at all asks for the length.
fn copy_out(value: &[u8], buffer: &mut [u8]) -> Result<usize> {
    if !buffer.is_empty() {
        let room = buffer.get_mut(..value.len()).ok_or(Error::Range)?;
        room.copy_from_slice(value);
    }
    Ok(value.len())
}

/// Finds an attribute and hands its value to `take`, which runs while a block is held.
fn find<S, T>(
    store: &S,
    inode: &Inode,
    wanted: &Wanted<'_>,
    take: impl FnOnce(Value<'_>) -> Result<T>,
) -> Result<T>
where
    S: Store,
{
    match Form::of(inode)?.ok_or(Error::NoAttribute)? {
        Form::Short(short) => {
            for attr in short.iter() {
                let attr = attr.map_err(|fault| Error::inode(fault, inode.number))?;
                let value = Value::Local(attr.value);
                if attr.flags.is_whole_in(wanted.namespace) && wanted.is(attr.name, value) {
                    return take(value);
                }
            }
            Err(Error::NoAttribute)
        }
        // A tree of one leaf is a leaf.
        Form::Leaf(fork) | Form::Node(fork) => {
            let (at, held) = fork
                .find_leaf(store, wanted.hash, PastEnd::LastLeaf)?
                .ok_or(Error::NoAttribute)?;
            find_in_leaves(store, &fork, at, held, wanted, take)
        }
    }
}

/// Attributes of one hash may fill the end of a leaf and go on in the next ones.
fn find_in_leaves<S, T>(
    store: &S,
    fork: &NameFork<'_>,
    mut at: FileBlock,
    mut held: Held<S::Block>,
    wanted: &Wanted<'_>,
    take: impl FnOnce(Value<'_>) -> Result<T>,
) -> Result<T>
where
    S: Store,
{
    let mut guard = LoopGuard::new(at);
    loop {
        let leaf = Leaf::view(&held.block).map_err(|fault| held.fault(fault))?;
        for entry in leaf.matching(wanted.hash) {
            if !entry.flags().is_whole_in(wanted.namespace) {
                continue;
            }
            let attr = leaf.attr(entry).map_err(|fault| held.fault(fault))?;
            if wanted.is(attr.name, attr.value) {
                return take(attr.value);
            }
        }
        if leaf.last_hash() != wanted.hash {
            return Err(Error::NoAttribute);
        }
        at = leaf.header.info.next().ok_or(Error::NoAttribute)?;
        if !guard.step(at) {
            return Err(held.fault(Fault::corrupt("attr3 leaf", "forw")));
        }
        if store.interrupted() {
            return Err(Error::Interrupted);
        }
        drop(held);
        held = fork.read_tree_block(store, at)?;
    }
}

/// Reads a value of `length` bytes whose blocks start at file block `start`.
pub(in crate::libxfs) fn read_remote<S: Store>(
    store: &S,
    fork: &NameFork<'_>,
    start: FileBlock,
    length: u32,
    buffer: &mut [u8],
) -> Result<usize> {
    let size = usize::try_from(length).map_err(|_| Error::Range)?;
    if buffer.is_empty() {
        return Ok(size);
    }
    let mut rest = buffer.get_mut(..size).ok_or(Error::Range)?;
    let geo = store.geometry();
    let hole = || Error::inode(Fault::corrupt("attr fork", "block map"), fork.owner);
    let most = MAX_RUN.checked_div(geo.block_size).unwrap_or(1).max(1);
    let each = remote::bytes_per_block(geo);
    let mut at = start;
    let mut left = remote::blocks_for(geo, length);
    let mut offset = 0u32;
    while left > 0 {
        let end = FileBlock(at.0.saturating_add(u64::from(left.min(most))));
        let mapping = fork
            .map()
            .get(at)
            .and_then(|mapping| mapping.trimmed(at, end))
            .ok_or_else(hole)?;
        let blocks = u32::try_from(mapping.len).map_err(|_| hole())?;
        let run = Run {
            at: geo.fs_block_addr(mapping.start.data()).ok_or_else(hole)?,
            len: blocks.saturating_mul(geo.basic_blocks_per_block()),
        };
        let bytes = store.read(Device::Data, run, Kind::AttrRemote)?;
        let mut addr = run.at;
        for block in bytes.chunks_exact(geo.block_size as usize) {
            let len = each.min(length.saturating_sub(offset));
            let part = remote::part(block, fork.owner, offset, len)
                .map_err(|fault| Error::block(fault, Device::Data, addr))?;
            let (room, behind) = rest.split_at_mut_checked(part.len()).ok_or(Error::Range)?;
            room.copy_from_slice(part);
            rest = behind;
            offset = offset.saturating_add(len);
            addr = DiskAddr(
                addr.0
                    .saturating_add(u64::from(geo.basic_blocks_per_block())),
            );
        }
        at = mapping.end();
        left = left.saturating_sub(blocks);
    }
    Ok(size)
}
