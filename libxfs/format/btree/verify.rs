// SPDX-License-Identifier: GPL-2.0

//! The verifier of B+tree blocks, one for all trees.

use super::{block_capacity, Node, Pointer, Tree, TreeKind};
use crate::libxfs::format::{
    crc,
    fault::{self, Fault},
    geometry::Geometry,
    units::{AgNumber, DiskAddr, InodeNumber},
};

fn ensure<T: Tree>(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, T::NAME, field)
}

fn corrupt<T: Tree>(field: &'static str) -> Fault {
    Fault::corrupt(T::NAME, field)
}

/// Holds the block `bytes`, read from `at`, to every rule of the tree `T` that needs no other block.
///
/// Whether its level and owner are what the parent leads one to expect is for the engine to check;
/// here the owner of a block with short pointers is known to be its group, and that of others only
/// to be set.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify<'a, T: Tree>(
    geo: &Geometry,
    at: DiskAddr,
    bytes: &'a [u8],
) -> Result<Node<'a, T>, Fault> {
    if bytes.len() != geo.block_size as usize {
        return Err(corrupt::<T>("size"));
    }
    if !crc::block_crc_is_good(bytes, T::Pointer::CRC_OFFSET) {
        return Err(Fault::checksum(T::NAME));
    }
    let header = T::Pointer::header(bytes).ok_or(corrupt::<T>("size"))?;
    ensure::<T>(header.magic == T::MAGIC, "magic")?;
    ensure::<T>(T::is_present(geo), "magic")?;
    ensure::<T>(header.uuid == geo.meta_uuid, "uuid")?;
    ensure::<T>(header.address == at, "blkno")?;
    let (ag, _) = geo.split_addr(at).ok_or(corrupt::<T>("blkno"))?;

    ensure::<T>(header.level < u16::from(T::max_levels(geo)), "level")?;
    let leaf = header.level == 0;
    ensure::<T>(
        usize::from(header.count) <= block_capacity::<T>(geo, leaf),
        "numrecs",
    )?;
    // Only a tree without records has an empty block, and that is its root and a leaf.
    let alone = header.left.is_none() && header.right.is_none();
    ensure::<T>(header.count != 0 || (leaf && alone), "numrecs")?;

    let scope = T::scope_of_block(ag);
    match scope {
        Some(_) => ensure::<T>(header.owner == u64::from(ag.0), "owner")?,
        None => ensure::<T>(
            geo.split_inode(InodeNumber(header.owner)).is_some(),
            "owner",
        )?,
    }
    for (sibling, field) in [(header.left, "leftsib"), (header.right, "rightsib")] {
        if let Some(sibling) = sibling {
            let address = sibling.address(geo, ag).ok_or(corrupt::<T>(field))?;
            ensure::<T>(address != at, field)?;
        }
    }
    // Two blocks that are each other's only neighbours on both sides would be a ring.
    ensure::<T>(alone || header.left != header.right, "rightsib")?;

    let node = Node::of_block(bytes).ok_or(corrupt::<T>("numrecs"))?;
    if leaf {
        check_records(geo, scope, &node)?;
    } else {
        check_children(geo, ag, &node)?;
    }
    Ok(node)
}

fn check_records<T: Tree>(
    geo: &Geometry,
    scope: Option<T::Scope>,
    node: &Node<'_, T>,
) -> Result<(), Fault> {
    let mut before = None;
    for index in 0..node.count() {
        let record = node
            .record(geo, index)
            .ok_or(corrupt::<T>("numrecs"))?
            .map_err(|field| corrupt::<T>(field))?;
        T::check_record(geo, scope, &record).map_err(|field| corrupt::<T>(field))?;
        if let Some(before) = before {
            ensure::<T>(T::in_order(&before, &record), "record order")?;
        }
        before = Some(record);
    }
    Ok(())
}

/// Holds a root in an inode, all bytes of its fork, to every rule of the tree `T`.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify_root<'a, T: Tree>(
    geo: &Geometry,
    scope: T::Scope,
    fork: &'a [u8],
) -> Result<Node<'a, T>, Fault> {
    let node = Node::<T>::of_root(fork).ok_or(corrupt::<T>("numrecs"))?;
    ensure::<T>(T::is_present(geo), "root")?;
    ensure::<T>(node.level() < u16::from(T::max_levels(geo)), "level")?;
    if node.is_leaf() {
        // A map that needs no block of its own is a plain list of extents instead.
        ensure::<T>(T::KIND != TreeKind::Bmap, "level")?;
        check_records(geo, Some(scope), &node)?;
    } else {
        ensure::<T>(node.count() != 0, "numrecs")?;
        check_children(geo, T::home(scope), &node)?;
    }
    Ok(node)
}

/// Holds the keys and pointers of `node` to their rules.
fn check_children<T: Tree>(
    geo: &Geometry,
    home: AgNumber,
    node: &Node<'_, T>,
) -> Result<(), Fault> {
    let mut before = None;
    for index in 0..node.count() {
        let key = node.key(index).ok_or(corrupt::<T>("numrecs"))?;
        if let Some(before) = before {
            ensure::<T>(before < key, "key order")?;
        }
        before = Some(key);
        if T::OVERLAPPING {
            let high = node.high_key(index).ok_or(corrupt::<T>("numrecs"))?;
            ensure::<T>(key <= high, "high key")?;
        }
        let pointer = node.pointer(index).ok_or(corrupt::<T>("numrecs"))?;
        ensure::<T>(pointer.address(geo, home).is_some(), "pointer")?;
    }
    Ok(())
}
