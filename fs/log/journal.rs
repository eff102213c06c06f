// SPDX-License-Identifier: GPL-2.0

//! Transactions as the engine takes them: what implements
//! [`Journal`](crate::libxfs::journal::Journal) hands them on.

use super::{
    commit::Commit,
    item::Item,
    ticket::Ticket,
    Engine, //
};
use crate::{
    fs::buf::Locked,
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::inode::cluster::InodePlace,
        inode::{
            encode::{
                log_place,
                Image, //
            },
            Inode, //
        },
        journal::{
            CommitSequence,
            Journal, //
        },
        store::Device,
        trans::{
            BlockState,
            Changes, //
        },
    },
};
use core::ops::DerefMut;
use kernel::sync::Arc;

/// A locked inode that can be logged.
pub(crate) trait LoggedInode: DerefMut<Target = Inode> {
    /// Where it lies.
    fn place(&self) -> InodePlace;

    /// Where its item stands between commits. It must stay there, or be
    /// [at rest](Item::is_at_rest), for as long as the inode is in memory.
    fn slot(&mut self) -> &mut Option<Arc<Item>>;
}

impl Engine {
    /// Takes a transaction; see [`Journal::commit`].
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn commit<J>(
        self: &Arc<Self>,
        ticket: &mut Ticket,
        changes: &mut Changes<'_, J>,
    ) -> Result<CommitSequence>
    where
        J: Journal<Locked = Locked> + ?Sized,
        J::Inode: LoggedInode,
    {
        let mut commit = Commit::new(self, ticket);
        for block in changes.blocks() {
            let (kind, state) = (block.kind(), block.state());
            // An address in the log is one of the data device.
            if block.device() != Device::Data && state != BlockState::Ordered {
                return Err(Error::Invalid);
            }
            let (locked, runs, changed) = block.parts();
            commit.block(locked, runs, kind, state, changed)?;
        }
        for held in changes.inodes() {
            let place = held.locked().place();
            let at = log_place(&self.geometry, place).ok_or(Error::Invalid)?;
            let (number, fields) = (held.inode().number, held.fields());
            let mut slot = held.locked().slot().take();
            let taken = commit.inode(&mut slot, (number, at), fields, |items, fields| {
                let image = Image::new(&self.geometry, held.inode(), place, fields)?;
                items.inode(&image.item())
            });
            *held.locked().slot() = slot;
            taken?;
        }
        for item in changes.items() {
            commit.item(item)?;
        }
        commit.finish()
    }
}
