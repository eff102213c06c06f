// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: setting and removing one.
//!
//! A change takes several transactions, and readers see the old attribute or the new one whenever the
//! power goes: either since what is half made is marked so, or, where the log may hold changes of
//! attributes, since an intent stands behind all of it.

use super::Files;
use crate::libxfs::{
    attr::{
        self,
        change::{is_local, step, AttrChange, Mode, NameValue, Stage},
    },
    bmap::MapSpace,
    defer::Chain,
    error::{Error, Result},
    format::{
        attr::{leaf::local_size, remote, Namespace, MAX_NAME, MAX_VALUE},
        log::attr::{AttrItem, AttrOperation},
        units::InodeNumber,
    },
    inode::WhichFork,
    items::AttrUpdate,
    journal::{Claim, Journal},
    space::Groups,
    trans::{self, Committed, InodeId, LogReservation},
};

/// A change of an attribute.
#[derive(Clone, Copy, Debug)]
pub struct SetAttr<'n> {
    /// What is done.
    pub mode: Mode,
    /// The namespace; that of parent pointers is none of users'.
    pub namespace: Namespace,
    /// The name without the namespace's prefix, 1 to 255 bytes.
    pub name: &'n [u8],
    /// The value, up to 64 KiB; of an attribute that is removed it means nothing.
    pub value: &'n [u8],
}

impl<'n> SetAttr<'n> {
    fn check(&self) -> Result {
        if self.name.len() > MAX_NAME {
            return Err(Error::NameTooLong);
        }
        let good = self.namespace != Namespace::Parent
            && !self.name.is_empty()
            && self.value.len() <= MAX_VALUE as usize;
        good.then_some(()).ok_or(Error::Invalid)
    }

    /// The change, made without an intent.
    fn change(&self) -> AttrChange<'n> {
        AttrChange {
            mode: self.mode,
            namespace: self.namespace,
            attr: NameValue {
                name: self.name,
                value: match self.mode {
                    Mode::Remove => &[],
                    _ => self.value,
                },
            },
            renamed: None,
            logged: false,
        }
    }

    /// Whether what is kept for emergencies may be taken: files must get their labels and access
    /// control lists when the device is full, too.
    fn is_urgent(&self) -> bool {
        matches!(self.namespace, Namespace::Root | Namespace::Secure)
    }
}

/// Sets an attribute of an inode, or removes one. Returns the inode, locked.
///
/// # Errors
///
/// `Exists` and `NoAttribute`, as its mode has it; `NameTooLong`; `Invalid` for a name or a value that
/// no attribute may have; `NoSpace`; those of the store and of corruption. The attribute is as it was
/// then, or the file system is shut down.
pub fn set_attr<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    attr: &SetAttr<'_>,
) -> Result<Committed<J::Inode>> {
    attr.check()?;
    let (log, blocks) = reservation(files, attr)?;
    let mut chain = start(files, attr, (log, blocks))?;
    let mut id = chain.parts().0.hold_inode(number)?;
    if attr.mode != Mode::Remove && chain.parts().0.inode(id)?.attr.is_none() {
        drop(chain);
        add_fork(files, number, attr)?;
        chain = start(files, attr, (log, blocks))?;
        id = chain.parts().0.hold_inode(number)?;
    }
    if files.geometry().features.logged_attrs() {
        change_logged(files, &mut chain, id, attr)?;
    } else {
        change(&mut chain, id, attr)?;
    }
    files.touch(chain.parts().0, id, false)?;
    chain.commit_keeping(&mut Groups)
}

/// What a change may take at the most: room in the log, and blocks.
fn reservation<J: Journal>(
    files: &Files<'_, J>,
    attr: &SetAttr<'_>,
) -> Result<(LogReservation, u64)> {
    let (geo, log) = (files.geometry(), files.reservations);
    if attr.mode == Mode::Remove {
        let blocks = trans::space::da_remove(geo, WhichFork::Attr);
        return Ok((log.attr_remove, blocks));
    }
    // Both were held to their limits.
    let (name, value) = (attr.name.len() as u8, attr.value.len() as u32);
    let blocks = if is_local(geo.block_size, &attr.change().attr) {
        trans::space::attr_set_local(geo, local_size(name, value as u16))
    } else {
        trans::space::attr_set_remote(geo, remote::blocks_for(geo, value).into())
    };
    let count = u32::try_from(blocks).map_err(|_| Error::NoSpace)?;
    Ok((log.attr_set(count).ok_or(Error::NoSpace)?, blocks))
}

fn start<'f, J: Journal>(
    files: &Files<'f, J>,
    attr: &SetAttr<'_>,
    (log, blocks): (LogReservation, u64),
) -> Result<Chain<'f, J>> {
    let claim = Claim {
        blocks,
        emergency: attr.is_urgent(),
        ..Claim::default()
    };
    files.start_claiming(log, claim)
}

/// Gives an inode a fork for attributes, with room for this one.
fn add_fork<J: Journal>(files: &Files<'_, J>, number: InodeNumber, attr: &SetAttr<'_>) -> Result {
    let blocks = trans::space::add_attr_fork(files.geometry());
    let mut chain = start(files, attr, (files.reservations.add_attr_fork, blocks))?;
    let (trans, deferred) = chain.parts();
    let id = trans.hold_inode(number)?;
    if trans.inode(id)?.attr.is_none() {
        let space = &mut MapSpace { deferred };
        step(trans, space, id, &attr.change(), Stage::Start)?;
    }
    chain.commit(&mut Groups)?;
    Ok(())
}

/// Makes a change that no intent stands behind.
fn change<J: Journal>(chain: &mut Chain<'_, J>, id: InodeId, attr: &SetAttr<'_>) -> Result {
    let change = attr.change();
    let mut stage = Stage::Start;
    loop {
        let (trans, deferred) = chain.parts();
        let next = step(trans, &mut MapSpace { deferred }, id, &change, stage);
        let maps = matches!(stage, Stage::MapValue { .. } | Stage::WriteValue { .. });
        match next {
            Ok(Stage::Done) => return Ok(()),
            Ok(next) => stage = next,
            Err(error) if maps && !chain.parts().0.is_dirty() => {
                // Nobody sees what is incomplete, but it takes space.
                take_back(chain, id, attr)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        chain.finish(&mut Groups)?;
        chain.parts().0.roll()?;
    }
}

/// Removes an attribute that was added, incomplete, and whose value finds no blocks or cannot be
/// written.
fn take_back<J: Journal>(chain: &mut Chain<'_, J>, id: InodeId, attr: &SetAttr<'_>) -> Result {
    let change = AttrChange {
        mode: Mode::Remove,
        ..attr.change()
    };
    let mut stage = Stage::UnmapValue;
    while stage != Stage::Done {
        let (trans, deferred) = chain.parts();
        stage = step(trans, &mut MapSpace { deferred }, id, &change, stage)?;
        chain.finish(&mut Groups)?;
        chain.parts().0.roll()?;
    }
    Ok(())
}

/// Asks for a change that an intent stands behind, and makes it.
fn change_logged<J: Journal>(
    files: &Files<'_, J>,
    chain: &mut Chain<'_, J>,
    id: InodeId,
    attr: &SetAttr<'_>,
) -> Result {
    let (trans, deferred) = chain.parts();
    let inode = trans.inode(id)?;
    let there = match attr::get(files.journal, inode, attr.namespace, attr.name, &mut []) {
        Ok(_) => true,
        Err(Error::NoAttribute) => false,
        Err(error) => return Err(error),
    };
    let operation = match (attr.mode, there) {
        (Mode::Create, true) => return Err(Error::Exists),
        (Mode::Replace | Mode::Remove, false) => return Err(Error::NoAttribute),
        (Mode::Remove, true) => AttrOperation::Remove,
        (Mode::Replace | Mode::Set, true) => AttrOperation::Replace,
        (Mode::Create | Mode::Set, false) => AttrOperation::Set,
    };
    deferred.update_attr(AttrUpdate::new(&AttrItem {
        id: 0,
        operation,
        inode: inode.number.0,
        generation: 0,
        filter: u32::from(attr.namespace as u8),
        name: attr.name,
        new_name: &[],
        value: attr.change().attr.value,
        new_value: &[],
    })?)?;
    chain.finish(&mut Groups)
}
