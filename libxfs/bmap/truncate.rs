// SPDX-License-Identifier: GPL-2.0

//! Freeing all that a fork has from some block on, in as many transactions as it takes.

use super::{cow::CowMut, fork::ForkMut, Unmapped};
use crate::libxfs::{
    defer::{Chain, Structures},
    error::Result,
    format::{btree::bmap::MAX_FILE_BLOCK, inode::flags::Flags2, units::FileBlock},
    inode::WhichFork,
    journal::Journal,
    trans::{InodeFields, InodeId},
};

/// Mappings that one transaction frees. Source: `XFS_ITRUNC_MAX_EXTENTS` in `fs/xfs/xfs_inode.c` of
/// Linux 7.3; the log reservations follow from it.
const MOST: u32 = 2;

/// Unmaps and frees all blocks of a fork from `from` on, from the end of the file towards its
/// beginning: whenever the power goes, the rest can be freed. The inode's size is the caller's, who
/// sets it first. The chain goes on with a transaction that has changed nothing yet.
///
/// # Errors
///
/// Those of [`ForkMut::unmap`] and of [`Chain::finish`].
pub fn truncate<J: Journal, S: Structures<J>>(
    chain: &mut Chain<'_, J>,
    on: &mut S,
    id: InodeId,
    which: WhichFork,
    from: FileBlock,
) -> Result {
    let mut end = FileBlock(MAX_FILE_BLOCK.saturating_add(1));
    while end > from {
        let (trans, deferred) = chain.parts();
        end = ForkMut::new(trans, deferred, id, which)?.unmap(from, end, Unmapped::Freed, MOST)?;
        chain.finish(on)?;
        chain.parts().0.roll()?;
    }
    Ok(())
}

/// Gives up all blocks that stage what was to come from `from` on, such as were written too, and
/// those set aside for it. The chain goes on as after [`truncate`].
///
/// # Errors
///
/// Those of [`CowMut::cancel`] and of [`Chain::finish`].
pub fn cancel_staged<J: Journal, S: Structures<J>>(
    chain: &mut Chain<'_, J>,
    on: &mut S,
    id: InodeId,
    from: FileBlock,
) -> Result {
    let mut end = FileBlock(MAX_FILE_BLOCK.saturating_add(1));
    while end > from && !chain.parts().0.inode(id)?.cow.is_empty() {
        let (trans, deferred) = chain.parts();
        end = CowMut::new(trans, deferred, id).cancel(from, end, true, MOST)?;
        chain.finish(on)?;
        chain.parts().0.roll()?;
    }
    Ok(())
}

/// Takes the mark off an inode that it may share blocks, where it has none any more: after it was
/// truncated to nothing.
///
/// # Errors
///
/// `Invalid` for a handle that names no inode.
pub fn clear_shared<J: Journal>(chain: &mut Chain<'_, J>, id: InodeId) -> Result {
    let (trans, _) = chain.parts();
    let inode = trans.inode(id)?;
    if inode.core.is_reflink() && inode.core.nextents == 0 && inode.cow.is_empty() {
        let core = &mut trans.change_inode(id, InodeFields::NONE)?.core;
        core.flags2 = Flags2(core.flags2.0 & !Flags2::REFLINK);
    }
    Ok(())
}
