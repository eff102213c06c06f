// SPDX-License-Identifier: GPL-2.0

//! Blocks for forks that hold names: out of the free space, and back into it.

use super::{fork::ForkMut, Unmapped};
use crate::libxfs::{
    da::ForkSpace,
    defer::Deferred,
    dir,
    error::{Error, Result},
    extents::State,
    format::{inode::FileType, units::FileBlock},
    inode::WhichFork,
    journal::Journal,
    store::{Device, Run},
    symlink,
    trans::{InodeId, Trans},
};

/// Gives blocks to forks and takes them away; what is freed, and reverse mappings, wait in a chain.
pub struct MapSpace<'c, 'd, J: Journal> {
    /// The work of the chain.
    pub deferred: &'c mut Deferred<'d, J>,
}

impl<J: Journal> ForkSpace<J> for MapSpace<'_, '_, J> {
    fn map(
        &mut self,
        trans: &mut Trans<'_, J>,
        inode: InodeId,
        which: WhichFork,
        at: FileBlock,
        len: u32,
    ) -> Result {
        let mut fork = ForkMut::new(trans, self.deferred, inode, which)?;
        if fork.allocate(at, (len, len), State::Normal)?.is_some() {
            return Ok(());
        }
        fork.make_room(len.into())?;
        let (mut at, mut left) = (at, len);
        while left > 0 {
            let most = left.min(len.saturating_sub(1));
            if most == 0 {
                return Err(Error::NoSpace);
            }
            let found = fork.allocate(at, (1, most), State::Normal)?;
            let found = found.ok_or(Error::NoSpace)?;
            at = found.end();
            let count = u32::try_from(found.len).map_err(|_| Error::Invalid)?;
            left = left.checked_sub(count).ok_or(Error::Invalid)?;
        }
        Ok(())
    }

    fn unmap(
        &mut self,
        trans: &mut Trans<'_, J>,
        inode: InodeId,
        which: WhichFork,
        at: FileBlock,
        len: u32,
    ) -> Result {
        let mut fork = ForkMut::new(trans, self.deferred, inode, which)?;
        let end = at.checked_add(len.into()).ok_or(Error::Invalid)?;
        let from = fork.unmap(at, end, Unmapped::Freed, u32::MAX)?;
        // Only of a realtime extent would a part stay.
        (from == at).then_some(()).ok_or(Error::Invalid)
    }

    fn shrink_data_fork(
        &mut self,
        trans: &mut Trans<'_, J>,
        inode: InodeId,
        bytes: usize,
    ) -> Result {
        if let Some(content) = trans.inode(inode)?.data.local() {
            return match trans.inode(inode)?.core.file_type() {
                _ if content.len() <= bytes => Ok(()),
                Some(FileType::Directory) => dir::change::leave_inode(trans, self, inode),
                Some(FileType::Symlink) => symlink::leave_inode(trans, self, inode),
                _ => Err(Error::Unsupported),
            };
        }
        ForkMut::new(trans, self.deferred, inode, WhichFork::Data)?.shrink(bytes)
    }

    fn write_value(&mut self, trans: &mut Trans<'_, J>, run: Run, bytes: &[u8]) -> Result {
        trans.journal().write_through(Device::Data, run, bytes)
    }
}
