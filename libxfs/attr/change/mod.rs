// SPDX-License-Identifier: GPL-2.0

//! Changing attributes: setting and removing one, in all forms, in steps of one transaction each.
//!
//! An [`AttrChange`] says what is wanted, and a [`Stage`] how far that is. [`step`] takes one stage
//! and returns the next; between two the transaction rolls. So what is left to do after a crash is
//! said by a value. Recovery of a logged change starts at [`Stage::Start`] again, with [`Mode::Set`]
//! for what was to be set: the old one may be gone.
//!
//! A change that no intent stands behind marks an attribute that is half made, or half removed, as
//! incomplete, which readers pass over. With an intent the old one goes before the new one comes.

mod fork;
mod leaf;
mod short;
mod value;

use self::leaf::LeafName;
use super::Form;
use crate::libxfs::{
    da::{ForkSpace, NamesMut, Path},
    error::{Error, Result},
    format::{
        attr::{
            hash_of,
            leaf::{local_size, Value},
            name_is_valid, AttrFlags, Namespace, MAX_VALUE,
        },
        units::FileBlock,
    },
    inode::WhichFork,
    items::{AttrOperation, AttrUpdate},
    journal::Journal,
    trans::{BlockId, InodeId, Trans},
};

pub use crate::libxfs::items::AttrStage as Stage;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Set it, if there is none of that name.
    Create,
    /// Set it, if there is one of that name.
    Replace,
    /// Set it.
    Set,
    /// Remove it.
    Remove,
}

/// An attribute's name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameValue<'n> {
    /// Name: 1 to 255 bytes, without the namespace's prefix.
    pub name: &'n [u8],
    /// Value: up to 64 KiB.
    pub value: &'n [u8],
}

/// A change of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrChange<'n> {
    /// What is done.
    pub mode: Mode,
    /// Namespace.
    pub namespace: Namespace,
    /// The attribute. Of a parent pointer the value counts as a part of its name; of any other that
    /// is removed it means nothing.
    pub attr: NameValue<'n>,
    /// What replaces it, where the name changes too: parent pointers alone.
    pub renamed: Option<NameValue<'n>>,
    /// Whether an intent stands behind it.
    pub logged: bool,
}

/// An inode's attributes in a transaction.
struct AttrMut<'t, 'a, J: Journal, S> {
    names: NamesMut<'t, 'a, J, S>,
}

/// An attribute that was found in a leaf.
#[derive(Clone, Copy, Debug)]
struct Located {
    path: Path,
    block: BlockId,
    slot: usize,
    flags: AttrFlags,
    /// Where the value lies, and its length, if it has blocks of its own.
    remote: Option<(FileBlock, u32)>,
}

/// Whether a value can lie beside its name in a leaf: both take less than three quarters of it.
pub(in crate::libxfs) fn is_local(block_size: u32, attr: &NameValue<'_>) -> bool {
    let most = (block_size / 2).saturating_add(block_size / 4);
    match u16::try_from(attr.value.len()) {
        Ok(value) => local_size(attr.name.len() as u8, value) < most,
        Err(_) => false,
    }
}

impl<'n> AttrChange<'n> {
    /// The change that an intent stands behind. Where it is done `again`, since recovery found the
    /// intent, what was to be set may be there already, and what was to be replaced gone.
    pub fn of_update(update: &'n AttrUpdate, again: bool) -> Self {
        let mode = match update.operation {
            AttrOperation::Remove | AttrOperation::ParentRemove => Mode::Remove,
            _ if again => Mode::Set,
            AttrOperation::Set | AttrOperation::ParentSet => Mode::Create,
            AttrOperation::Replace | AttrOperation::ParentReplace => Mode::Replace,
        };
        let renamed = NameValue {
            name: update.new_name(),
            value: update.new_value(),
        };
        Self {
            mode,
            namespace: update.namespace,
            attr: NameValue {
                name: update.name(),
                value: update.value(),
            },
            renamed: (update.operation == AttrOperation::ParentReplace).then_some(renamed),
            logged: true,
        }
    }
}

impl AttrChange<'_> {
    fn check(&self) -> Result {
        let flags = AttrFlags(self.namespace as u8);
        let good = |attr: &NameValue<'_>| {
            !attr.name.is_empty()
                && name_is_valid(flags, attr.name)
                && attr.value.len() <= MAX_VALUE as usize
        };
        let parent = self.namespace == Namespace::Parent;
        // Where recovery does the change again the old one may be gone.
        let renames = matches!(self.mode, Mode::Replace | Mode::Set);
        // A parent pointer is never seen incomplete.
        let holds = good(&self.attr)
            && self.renamed.as_ref().is_none_or(good)
            && (self.renamed.is_none() || parent && renames)
            && (self.logged || !parent);
        holds.then_some(()).ok_or(Error::Invalid)
    }

    /// What is there afterwards.
    fn wanted(&self) -> NameValue<'_> {
        self.renamed.unwrap_or(self.attr)
    }

    /// Whether an attribute is the one that is changed.
    fn is_of(&self, flags: AttrFlags, name: &[u8], value: &Value<'_>) -> bool {
        flags.0 & AttrFlags::NAMESPACES == self.namespace as u8
            && name == self.attr.name
            && (self.namespace != Namespace::Parent || *value == Value::Local(self.attr.value))
    }

    /// That this may be done when one is there, or is not.
    fn allow(&self, there: bool) -> Result {
        match (self.mode, there) {
            (Mode::Create, true) => Err(Error::Exists),
            (Mode::Replace | Mode::Remove, false) => Err(Error::NoAttribute),
            _ => Ok(()),
        }
    }
}

/// Takes a change one stage further, in a transaction that holds the inode with both forks' mappings
/// loaded.
///
/// # Errors
///
/// Before anything was changed: `Exists`, `NoAttribute`, `Invalid` for a name or value that no
/// attribute may have. `NoSpace` where too little was claimed; `Corrupt`, `NoMemory`, and those of
/// the store.
pub fn step<J: Journal, S: ForkSpace<J>>(
    trans: &mut Trans<'_, J>,
    space: &mut S,
    inode: InodeId,
    change: &AttrChange<'_>,
    stage: Stage,
) -> Result<Stage> {
    let mut attrs = AttrMut {
        names: NamesMut::attributes(trans, space, inode)?,
    };
    match stage {
        Stage::Start => {
            change.check()?;
            attrs.start(change)
        }
        Stage::Add { old } => attrs.add(change, old),
        Stage::MapValue { old } => attrs.map_value(change, old),
        Stage::WriteValue { start, old } => attrs.write_value(change, start, old),
        Stage::Exchange => attrs.exchange(change),
        Stage::UnmapValue => attrs.unmap_old(change),
        Stage::Remove => attrs.remove_old(change),
        Stage::Done => Ok(Stage::Done),
    }
}

impl<J: Journal, S: ForkSpace<J>> AttrMut<'_, '_, J, S> {
    fn start(&mut self, change: &AttrChange<'_>) -> Result<Stage> {
        if self.names.inode()?.attr.is_none() {
            change.allow(false)?;
            let attr = change.wanted();
            self.add_fork(short::size_with(&[attr]))?;
            return Ok(Stage::Start);
        }
        let is_short = match Form::of(self.names.inode()?)? {
            None => {
                change.allow(false)?;
                self.make_short()?;
                true
            }
            Some(form) => matches!(form, Form::Short(_)),
        };
        if !is_short {
            return self.start_in_tree(change);
        }
        if self.change_short(change)? {
            return Ok(Stage::Done);
        }
        self.short_to_leaf()?;
        Ok(Stage::Start)
    }

    /// The first stage where the attributes have blocks.
    #[inline(never)]
    fn start_in_tree(&mut self, change: &AttrChange<'_>) -> Result<Stage> {
        let found = self.find(change, false)?;
        change.allow(found.is_some())?;
        let Some(found) = found else {
            return Ok(Stage::Add { old: false });
        };
        if change.mode == Mode::Remove || change.logged {
            if found.remote.is_none() {
                return self.remove_found(change, found);
            }
            let flags = AttrFlags(found.flags.0 | AttrFlags::INCOMPLETE);
            self.set_flags(found.block, found.slot, flags)?;
            return Ok(Stage::UnmapValue);
        }
        Ok(Stage::Add { old: true })
    }

    /// Finds the attribute of a change, whole or incomplete.
    fn find(&mut self, change: &AttrChange<'_>, incomplete: bool) -> Result<Option<Located>> {
        let attr = change.attr;
        let hash = hash_of(Some(change.namespace), attr.name, attr.value);
        let mut path = self.names.descend(hash)?;
        loop {
            let block = path.leaf()?.block;
            let leaf = leaf::leaf(&self.names, block)?;
            let first = leaf
                .entries
                .partition_point(|entry| entry.hash.get() < hash.0);
            for (slot, entry) in leaf.entries.iter().enumerate().skip(first) {
                if entry.hash.get() != hash.0 {
                    break;
                }
                let flags = entry.flags();
                let fault = |fault| self.names.fault(block, fault);
                let found = leaf.attr(entry).map_err(fault)?;
                if flags.is_incomplete() == incomplete
                    && change.is_of(flags, found.name, &found.value)
                {
                    let remote = match found.value {
                        Value::Local(_) => None,
                        Value::Remote { start, length } => Some((start, length)),
                    };
                    return Ok(Some(Located {
                        path,
                        block,
                        slot,
                        flags,
                        remote,
                    }));
                }
            }
            if leaf.last_hash() > hash || !self.names.next_leaf(&mut path)? {
                return Ok(None);
            }
        }
    }

    /// As [`find`](Self::find), of one that an earlier stage left.
    fn find_left(&mut self, change: &AttrChange<'_>, incomplete: bool) -> Result<Located> {
        self.find(change, incomplete)?.ok_or(Error::NoAttribute)
    }

    fn add(&mut self, change: &AttrChange<'_>, old: bool) -> Result<Stage> {
        let attr = change.wanted();
        let block_size = self.names.geometry().block_size;
        let local = is_local(block_size, &attr);
        let mut flags = change.namespace as u8;
        let value = if local {
            flags |= AttrFlags::LOCAL;
            Value::Local(attr.value)
        } else {
            // Whole only once the value can be read.
            flags |= AttrFlags::INCOMPLETE;
            let length = u32::try_from(attr.value.len()).map_err(|_| Error::Invalid)?;
            Value::Remote {
                start: FileBlock(0),
                length,
            }
        };
        if old {
            flags |= AttrFlags::INCOMPLETE;
        }
        self.insert(&LeafName {
            hash: hash_of(Some(change.namespace), attr.name, attr.value),
            flags: AttrFlags(flags),
            name: attr.name,
            value,
        })?;
        Ok(match (local, old) {
            (false, old) => Stage::MapValue { old },
            (true, true) => Stage::Exchange,
            (true, false) => Stage::Done,
        })
    }

    fn exchange(&mut self, change: &AttrChange<'_>) -> Result<Stage> {
        let new = self.find_left(change, true)?;
        let old = self.find_left(change, false)?;
        let flags = AttrFlags(new.flags.0 & !AttrFlags::INCOMPLETE);
        self.set_flags(new.block, new.slot, flags)?;
        let flags = AttrFlags(old.flags.0 | AttrFlags::INCOMPLETE);
        self.set_flags(old.block, old.slot, flags)?;
        Ok(match old.remote {
            Some(_) => Stage::UnmapValue,
            None => Stage::Remove,
        })
    }

    fn remove_old(&mut self, change: &AttrChange<'_>) -> Result<Stage> {
        let found = self.find_left(change, true)?;
        self.remove_found(change, found)
    }

    /// Takes an attribute without blocks out of its leaf, and goes on with what is left to do.
    fn remove_found(&mut self, change: &AttrChange<'_>, mut found: Located) -> Result<Stage> {
        let slot = found.slot;
        leaf::take(&mut self.names, found.block, slot..slot.saturating_add(1))?;
        if !leaf::leaf(&self.names, found.block)?.entries.is_empty() {
            self.names.update_hash(&found.path)?;
        }
        self.names.shrink_tree::<leaf::AttrLeaf>(&mut found.path)?;
        if change.logged && change.mode != Mode::Remove {
            return Ok(Stage::Add { old: false });
        }
        self.leaf_to_short()?;
        Ok(Stage::Done)
    }

    /// Whether the fork is one leaf and nothing else.
    fn is_one_leaf(&self) -> Result<bool> {
        Ok(super::is_one_block(
            self.names.inode()?.extents(WhichFork::Attr)?,
        ))
    }
}
