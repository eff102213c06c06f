// SPDX-License-Identifier: GPL-2.0

//! Attribute forks: every attribute, its value, and the parent pointers among them.

use super::{
    dabtree::DaWalk,
    leaf_space,
    table::{link_digest, name_digest},
    Check, Finding, Place, Subject, Value,
};
use crate::libxfs::{
    attr::{read_remote, Form},
    da::NameFork,
    error::{Error, Result},
    format::{
        attr::{
            hash_of, leaf::Leaf, leaf::Value as AttrValue, name_is_valid, AttrFlags, Namespace,
        },
        dahash::NameHash,
        fault::Fault,
        parent::ParentRecord,
        units::{FileBlock, InodeNumber},
    },
    inode::{Inode, WhichFork},
    store::Store,
};
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// What a fork's blocks hold.
#[derive(Default)]
struct Listed {
    /// A digest of each name with its namespace.
    names: KVVec<u64>,
    /// Values elsewhere: first block in the fork and length in bytes.
    remote: KVVec<(FileBlock, u32)>,
    parents: u32,
    parents_digest: u64,
}

/// An attribute: what tells one from another.
struct Attr<'a> {
    flags: AttrFlags,
    name: &'a [u8],
    /// The value, where it lies beside the name.
    value: Option<&'a [u8]>,
}

impl<S: Store> Check<'_, S> {
    /// Reads an inode's attributes; false if that could not be done in full.
    pub(super) fn attributes(&mut self, inode: &Inode) -> Result<bool> {
        if inode.attr.is_none() {
            return Ok(true);
        }
        let mut listed = Listed::default();
        let read = self.list_attributes(inode, &mut listed);
        let place = Place::Inode(inode.number);
        let read = self.kept(Subject::Xattr, place, read)?;
        self.unique_attributes(inode.number, &mut listed)?;
        if let Some(seen) = self.inodes.get_mut(inode.number) {
            seen.parents = listed.parents;
            seen.parents_digest = listed.parents_digest;
        }
        Ok(read.is_some())
    }

    fn list_attributes(&mut self, inode: &Inode, listed: &mut Listed) -> Result {
        let store = self.store;
        match Form::of(inode)? {
            None => Ok(()),
            Some(Form::Short(short)) => {
                for attr in short.iter() {
                    let attr = attr.map_err(|fault| Error::inode(fault, inode.number))?;
                    let attr = Attr {
                        flags: attr.flags,
                        name: attr.name,
                        value: Some(attr.value),
                    };
                    self.attribute(inode.number, FileBlock(0), &attr, listed)?;
                }
                Ok(())
            }
            Some(Form::Leaf(fork) | Form::Node(fork)) => {
                let mut walk = DaWalk::new(store, &fork);
                let check = &mut *self;
                walk.run(FileBlock(0), &mut |at, held| {
                    let leaf = Leaf::view(&held.block).map_err(|fault| held.fault(fault))?;
                    leaf_space::check(&leaf, held.block.len())
                        .map_err(|fault| held.fault(fault))?;
                    check
                        .leaf(inode.number, at, &leaf, listed)
                        .map_err(|error| located(error, inode.number, &held))
                })?;
                self.remote_values(&fork, listed)
            }
        }
    }

    /// Notes the attributes of a leaf.
    fn leaf(
        &mut self,
        number: InodeNumber,
        at: FileBlock,
        leaf: &Leaf<'_>,
        listed: &mut Listed,
    ) -> Result {
        for entry in leaf.entries {
            let attr = leaf
                .attr(entry)
                .map_err(|fault| Error::inode(fault, number))?;
            let value = match attr.value {
                AttrValue::Local(value) => Some(value),
                AttrValue::Remote { start, length } => {
                    if !attr.flags.is_incomplete() {
                        listed.remote.push((start, length), GFP_KERNEL)?;
                    }
                    None
                }
            };
            let attr = Attr {
                flags: attr.flags,
                name: attr.name,
                value,
            };
            let hash = hash_of(attr.flags.namespace(), attr.name, value.unwrap_or_default());
            if hash != NameHash(entry.hash.get()) {
                self.find(Finding::number(
                    Subject::Xattr,
                    attr_place(number, at),
                    "hashval",
                    hash.0.into(),
                    entry.hash.get().into(),
                ))?;
            }
            self.attribute(number, at, &attr, listed)?;
        }
        Ok(())
    }

    /// Notes an attribute.
    fn attribute(
        &mut self,
        number: InodeNumber,
        at: FileBlock,
        attr: &Attr<'_>,
        listed: &mut Listed,
    ) -> Result {
        let place = attr_place(number, at);
        let flags = attr.flags;
        let known = AttrFlags::LOCAL | AttrFlags::NAMESPACES | AttrFlags::INCOMPLETE;
        if flags.0 & !known != 0 || !name_is_valid(flags, attr.name) {
            let fault = Value::Fault(Fault::corrupt("attr3 leaf", "name"));
            return self.find(Finding::extra(Subject::Xattr, place, "name", fault));
        }
        if flags.is_incomplete() {
            return Ok(());
        }
        let space = u64::from(flags.0 & AttrFlags::NAMESPACES);
        let mut digest = name_digest(attr.name) ^ space.rotate_right(8);
        if flags.namespace() == Some(Namespace::Parent) {
            let geo = self.store.geometry();
            match ParentRecord::from_attr(geo, attr.name, attr.value) {
                Err(fault) => {
                    let fault = Value::Fault(fault);
                    self.find(Finding::extra(Subject::Parent, place, "value", fault))?;
                }
                Ok(record) => {
                    let (parent, generation) = (record.inode(), record.generation());
                    let link = link_digest(parent, generation, attr.name);
                    listed.parents = listed.parents.saturating_add(1);
                    listed.parents_digest = listed.parents_digest.wrapping_add(link);
                    digest ^= link;
                }
            }
        }
        Ok(listed.names.push(digest, GFP_KERNEL)?)
    }

    /// No attribute is there twice.
    fn unique_attributes(&mut self, number: InodeNumber, listed: &mut Listed) -> Result {
        let names = listed.names.as_mut_slice();
        names.sort_unstable();
        let twice = names
            .windows(2)
            .filter(|pair| matches!(pair, [one, other] if one == other))
            .count();
        let place = attr_place(number, FileBlock(0));
        self.equal(Subject::Xattr, place, "equal names", 0, twice as u64)
    }

    /// Reads the values that lie in blocks of their own.
    fn remote_values(&mut self, fork: &NameFork<'_>, listed: &Listed) -> Result {
        let mut buffer = KVVec::new();
        for &(start, length) in listed.remote.iter() {
            self.stop_if_interrupted()?;
            buffer.resize(length as usize, 0, GFP_KERNEL)?;
            let read = read_remote(self.store, fork, start, length, &mut buffer);
            self.kept(Subject::Xattr, attr_place(fork.owner, start), read)?;
        }
        Ok(())
    }
}

/// The error with the leaf as its place, where the leaf is what is wrong.
fn located<B>(error: Error, number: InodeNumber, held: &crate::libxfs::da::Held<B>) -> Error {
    match error {
        Error::Corrupt(corruption) if error == Error::inode(corruption.fault, number) => {
            held.fault(corruption.fault)
        }
        other => other,
    }
}

/// A block of an attribute fork.
fn attr_place(inode: InodeNumber, offset: FileBlock) -> Place {
    Place::Fork {
        inode,
        which: WhichFork::Attr,
        offset,
    }
}
