// SPDX-License-Identifier: GPL-2.0

//! Attributes in short form: made anew whenever they change, for they are small.

use super::{
    leaf::{self, LeafName},
    AttrChange, AttrMut, Mode, NameValue,
};
use crate::libxfs::{
    da::ForkSpace,
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        attr::{
            hash_of,
            leaf::{Leaf, Value, LEAF_MAGIC},
            shortform::{ShortAttr, ShortForm},
            AttrFlags,
        },
        inode::ForkFormat,
        kind::Kind,
        units::FileBlock,
    },
    inode::Fork,
    journal::Journal,
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Bytes in front of the attributes.
const HEADER: usize = 4;
/// Most attributes, which one byte counts; and most bytes of a name or a value.
const MOST: usize = u8::MAX as usize;

fn size_of_one(name: &[u8], value: &[u8]) -> usize {
    name.len().saturating_add(value.len()).saturating_add(3)
}

/// Bytes that attributes take in short form.
pub(super) fn size_with(attrs: &[NameValue<'_>]) -> usize {
    let sizes = attrs.iter().map(|attr| size_of_one(attr.name, attr.value));
    sizes.fold(HEADER, usize::saturating_add)
}

/// Short form attributes to be written.
struct Draft<'n>(KVec<ShortAttr<'n>>);

impl Draft<'_> {
    fn size(&self) -> usize {
        let sizes = self.0.iter().map(|attr| size_of_one(attr.name, attr.value));
        sizes.fold(HEADER, usize::saturating_add)
    }

    /// Whether every length has room in its field.
    fn is_short(&self) -> bool {
        let short = |attr: &ShortAttr<'_>| attr.name.len() <= MOST && attr.value.len() <= MOST;
        self.0.len() <= MOST && self.0.iter().all(short)
    }

    fn encode(&self) -> Result<KVec<u8>> {
        let size = self.size();
        let mut bytes = KVec::with_capacity(size, GFP_KERNEL)?;
        let [high, low] = u16::try_from(size)
            .map_err(|_| Error::Invalid)?
            .to_be_bytes();
        bytes.extend_from_slice(&[high, low, self.0.len() as u8, 0], GFP_KERNEL)?;
        for attr in self.0.iter() {
            let head = [attr.name.len() as u8, attr.value.len() as u8, attr.flags.0];
            for part in [&head, attr.name, attr.value] {
                bytes.extend_from_slice(part, GFP_KERNEL)?;
            }
        }
        Ok(bytes)
    }
}

impl<J: Journal, S: ForkSpace<J>> AttrMut<'_, '_, J, S> {
    fn short(&self) -> Result<ShortForm<'_>> {
        let fork = self.names.inode()?.attr.as_ref().ok_or(Error::Invalid)?;
        let bytes = fork.local().ok_or(Error::Invalid)?;
        ShortForm::view(bytes).map_err(|fault| Error::inode(fault, self.names.owner))
    }

    /// Does a change in short form; whether what comes of it fits there. Else nothing was changed.
    #[inline(never)]
    pub(super) fn change_short(&mut self, change: &AttrChange<'_>) -> Result<bool> {
        let owner = self.names.owner;
        let short = self.short()?;
        let room = usize::from(short.count()).saturating_add(1);
        let mut draft = Draft(KVec::with_capacity(room, GFP_KERNEL)?);
        let mut there = false;
        for attr in short.iter() {
            let attr = attr.map_err(|fault| Error::inode(fault, owner))?;
            if change.is_of(attr.flags, attr.name, &Value::Local(attr.value)) {
                there = true;
            } else {
                draft.0.push(attr, GFP_KERNEL)?;
            }
        }
        change.allow(there)?;
        if change.mode != Mode::Remove {
            let NameValue { name, value } = change.wanted();
            let flags = AttrFlags(change.namespace as u8);
            draft.0.push(ShortAttr { flags, name, value }, GFP_KERNEL)?;
        }
        let size = draft.size();
        let empty = draft.0.is_empty();
        let bytes = if draft.is_short() {
            Some(draft.encode()?)
        } else {
            None
        };
        drop(draft);
        let offset = self.offset_for(size)?;
        if let (Some(bytes), Some(offset)) = (bytes, offset) {
            if empty && self.may_lose_fork()? {
                self.remove_fork()?;
            } else {
                self.put_short(bytes, offset)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn put_short(&mut self, bytes: KVec<u8>, offset: u8) -> Result {
        let inode = self.names.change_inode()?;
        inode.core.forkoff = offset;
        inode.core.aformat = ForkFormat::Local;
        inode.attr = Some(Fork::Local(bytes));
        Ok(())
    }

    /// Makes a fork without anything one in short form.
    pub(super) fn make_short(&mut self) -> Result {
        let bytes = Draft(KVec::new()).encode()?;
        let offset = self.names.inode()?.core.forkoff;
        self.put_short(bytes, offset)
    }

    /// Gives the fork a leaf without entries.
    fn make_leaf(&mut self) -> Result {
        let at = FileBlock(0);
        let block = self.names.grow(at, Kind::AttrTree)?;
        self.names.init_tree_block(block, LEAF_MAGIC)?;
        leaf::init(&mut self.names, block)
    }

    /// Moves all attributes to a leaf.
    #[inline(never)]
    pub(super) fn short_to_leaf(&mut self) -> Result {
        let owner = self.names.owner;
        let inode = self.names.change_inode()?;
        inode.core.aformat = ForkFormat::Extents;
        let old = inode.attr.replace(Fork::Extents(ExtentMap::new()));
        let old = old.ok_or(Error::Invalid)?;
        let bytes = old.local().ok_or(Error::Invalid)?;
        let short = ShortForm::view(bytes).map_err(|fault| Error::inode(fault, owner))?;
        self.make_leaf()?;
        for attr in short.iter() {
            let attr = attr.map_err(|fault| Error::inode(fault, owner))?;
            self.insert(&LeafName {
                hash: hash_of(attr.flags.namespace(), attr.name, attr.value),
                flags: AttrFlags(attr.flags.0 | AttrFlags::LOCAL),
                name: attr.name,
                value: Value::Local(attr.value),
            })?;
        }
        Ok(())
    }

    /// Takes attributes in one leaf back into the inode, if they fit there.
    pub(super) fn leaf_to_short(&mut self) -> Result {
        if !self.is_one_leaf()? {
            return Ok(());
        }
        let block = self.names.get_tree(FileBlock(0))?;
        let view: Leaf<'_> = leaf::leaf(&self.names, block)?;
        let mut draft = Draft(KVec::new());
        for entry in view.entries {
            let attr = view
                .attr(entry)
                .map_err(|fault| self.names.fault(block, fault))?;
            let Value::Local(value) = attr.value else {
                return Ok(());
            };
            if attr.flags.is_incomplete() || draft.0.len() >= MOST {
                return Ok(());
            }
            let flags = AttrFlags(attr.flags.0 & !AttrFlags::LOCAL);
            let name = attr.name;
            draft.0.push(ShortAttr { flags, name, value }, GFP_KERNEL)?;
        }
        if !draft.is_short() {
            return Ok(());
        }
        let (size, empty) = (draft.size(), draft.0.is_empty());
        let Some(offset) = self.offset_for(size)? else {
            return Ok(());
        };
        let bytes = draft.encode()?;
        drop(draft);
        if !self.names.unmap(FileBlock(0))? {
            return Ok(());
        }
        self.names.discard(block);
        if empty && self.may_lose_fork()? {
            return self.remove_fork();
        }
        self.put_short(bytes, offset)
    }
}
