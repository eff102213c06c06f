// SPDX-License-Identifier: GPL-2.0

//! The end of an inode: what it holds is freed, and it itself.

use super::Files;
use crate::libxfs::{
    bmap::{self, ForkMut, MapSpace, Unmapped},
    da::NameFork,
    defer::Chain,
    error::{Error, Result},
    format::{
        dir::space::DirGeometry,
        inode::{FileType, ForkFormat},
        kind::Kind,
        units::{AgInode, FileBlock, InodeNumber},
    },
    inode::{
        create::{self, Freed},
        WhichFork,
    },
    journal::Journal,
    space::Groups,
    store::Device,
    symlink,
    trans::{self, InodeFields, InodeId},
};

/// Blocks of names that one transaction frees: of each the log is told that it is no more.
const MOST_BLOCKS: u64 = 8;

/// Frees an inode that has no name and that nobody uses any more, and all that it holds, in as many
/// transactions as it takes; whenever the power goes, this can be done again. `before` is the one
/// before it on its list of unlinked inodes, if memory knows.
///
/// # Errors
///
/// `Invalid` for an inode that has links; those of the store and of corruption. What was not freed is
/// freed after the next mount.
pub fn inactivate<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    before: Option<AgInode>,
) -> Result<Freed> {
    empty(files, number)?;
    free(files, number, before)
}

/// Frees all that the inode holds.
#[inline(never)]
fn empty<J: Journal>(files: &Files<'_, J>, number: InodeNumber) -> Result {
    let mut chain = files.start(files.reservations.truncate, 0)?;
    let (trans, _) = chain.parts();
    let id = trans.hold_inode(number)?;
    let core = &trans.inode(id)?.core;
    if core.nlink != 0 {
        return Err(Error::Invalid);
    }
    match core.file_type() {
        Some(FileType::Regular) => {
            trans.change_inode(id, InodeFields::CORE)?.core.size = 0;
            bmap::truncate(&mut chain, &mut Groups, id, WhichFork::Data, FileBlock(0))?;
            bmap::cancel_staged(&mut chain, &mut Groups, id, FileBlock(0))?;
            bmap::clear_shared(&mut chain, id)?;
        }
        Some(FileType::Directory) => free_names(&mut chain, id, WhichFork::Data)?,
        Some(FileType::Symlink) => {
            let (trans, deferred) = chain.parts();
            symlink::remove_target(trans, &mut MapSpace { deferred }, id)?;
            chain.finish(&mut Groups)?;
        }
        _ => {}
    }
    if chain.parts().0.inode(id)?.attr.is_some() {
        free_names(&mut chain, id, WhichFork::Attr)?;
        let inode = chain.parts().0.change_inode(id, InodeFields::ATTR)?;
        inode.core.forkoff = 0;
        inode.core.aformat = ForkFormat::Extents;
        inode.core.anextents = 0;
        inode.attr = None;
    }
    chain.commit(&mut Groups)?;
    Ok(())
}

/// Frees the inode itself, which holds nothing any more.
#[inline(never)]
fn free<J: Journal>(
    files: &Files<'_, J>,
    number: InodeNumber,
    before: Option<AgInode>,
) -> Result<Freed> {
    let space = trans::space::inode_free(files.geometry());
    let mut chain = files.start_anyway(files.reservations.inode_free, space)?;
    let (trans, deferred) = chain.parts();
    let id = trans.hold_inode(number)?;
    let freed = create::free(trans, deferred, id, before, files.keep_chunks)?;
    chain.commit(&mut Groups)?;
    Ok(freed)
}

/// Frees all blocks of a fork that holds names, from its end. None of them is read: whatever the log
/// has of them is void, and a crash may have left only some of them.
#[inline(never)]
fn free_names<J: Journal>(chain: &mut Chain<'_, J>, id: InodeId, which: WhichFork) -> Result {
    loop {
        let (trans, deferred) = chain.parts();
        let geo = trans.geometry();
        let inode = trans.inode(id)?;
        let Ok(map) = inode.extents(which) else {
            // What is in the inode goes with it.
            return Ok(());
        };
        let Some(last) = map.last() else {
            return Ok(());
        };
        let (step, fork) = match which {
            WhichFork::Data => (
                u64::from(DirGeometry::new(geo).fs_blocks()),
                NameFork::directory(geo, inode.number, map),
            ),
            WhichFork::Attr => (1, NameFork::attributes(inode.number, map)),
        };
        let end = last.end();
        let most = MOST_BLOCKS.saturating_mul(step);
        let first = last.offset.0.max(end.0.saturating_sub(most));
        // Blocks of several pieces go as a whole.
        let first = first.checked_div(step).unwrap_or(0).saturating_mul(step);
        let mut runs = kernel::alloc::KVec::new();
        let mut at = first;
        while at < end.0 {
            runs.push(
                fork.runs(geo, FileBlock(at))?,
                kernel::alloc::flags::GFP_KERNEL,
            )?;
            at = at.saturating_add(step);
        }
        for runs in runs {
            let block = trans.fresh_runs(Device::Data, runs.as_slice(), Kind::Raw)?;
            trans.invalidate(block);
            trans.release(block);
        }
        ForkMut::new(trans, deferred, id, which)?.unmap(
            FileBlock(first),
            end,
            Unmapped::Freed,
            u32::MAX,
        )?;
        chain.finish(&mut Groups)?;
        chain.parts().0.roll()?;
    }
}
