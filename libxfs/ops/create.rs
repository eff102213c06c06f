// SPDX-License-Identifier: GPL-2.0

//! Making an inode: with a name (create, mkdir, mknod, symlink), or without one (`O_TMPFILE`).

use super::{
    add_link, check_links,
    parents::{follow, Change, Entry},
    Files,
};
use crate::libxfs::{
    bmap::MapSpace,
    defer::{Chain, Deferred},
    dir::change::{self, NewEntry},
    error::{Error, Result},
    format::{
        inode::{flags::Flags, FileType, InodeCore},
        sb::Counters,
        symlink::blocks,
        units::InodeNumber,
    },
    ialloc::{self, Parent, Wish},
    inode::{
        create::{self, New},
        unlinked, DeviceNumber,
    },
    journal::Journal,
    space::Groups,
    symlink,
    trans::{self, Committed, InodeFields, InodeId, Trans},
};

/// A new inode, as far as its caller says.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'n> {
    /// Type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Of a special file.
    pub device: DeviceNumber,
    /// Of a symbolic link; empty for anything else.
    pub target: &'n [u8],
    /// Whether attributes are about to be set.
    pub attr_fork: bool,
    /// Which flags of the directory are inherited; see [`create::INHERITED`].
    pub inherited: u16,
    /// A random number.
    pub generation: u32,
    /// A number that goes up by one with each directory that is made: they take turns with the
    /// groups.
    pub turn: u32,
    /// What the file system has, roughly.
    pub counters: Counters,
}

impl NewFile<'_> {
    fn file_type(&self) -> Result<FileType> {
        FileType::from_mode(self.mode).ok_or(Error::Invalid)
    }
}

/// Makes an inode with a name in a directory. Returns its number, and both inodes, locked.
///
/// # Errors
///
/// `Exists`, `TooManyLinks`, `NoSpace`; `NotFound` for a directory that was removed; `Invalid` for
/// what is no directory, a name that no entry may have, a mode without a type, or a target that no
/// symbolic link may have; those of the store and of corruption. Nothing has changed then, or the
/// file system is shut down.
pub fn create<J: Journal>(
    files: &Files<'_, J>,
    dir: InodeNumber,
    name: &[u8],
    file: &NewFile<'_>,
) -> Result<(InodeNumber, Committed<J::Inode>)> {
    let geo = files.geometry();
    let name_len = name.len() as u64;
    let file_type = file.file_type()?;
    let create_blocks = trans::space::create(geo, name_len);
    let (log, space) = match file_type {
        FileType::Directory => (files.reservations.mkdir, create_blocks),
        FileType::Symlink => {
            symlink::check_target(file.target)?;
            let blocks = blocks(geo, file.target.len() as u32).into();
            let space = trans::space::symlink(geo, name_len, blocks);
            (files.reservations.symlink, space)
        }
        _ => (files.reservations.create, create_blocks),
    };
    let mut chain = files.start(log, space)?;
    let (trans, deferred) = chain.parts();
    let [parent] = files.hold(trans, [dir])?;
    files.check_directory(trans, parent, name)?;
    if file_type == FileType::Directory {
        check_links(trans, parent)?;
    }
    if files.find(trans, parent, name)?.is_some() {
        return Err(Error::Exists);
    }
    let id = match make(files, (trans, deferred), parent, file, false) {
        Err(Error::NoSpace) => return without_space(chain),
        made => made?,
    };
    let number = trans.inode(id)?.number;
    let entry = NewEntry {
        name,
        inode: number,
        ftype: file_type.into(),
    };
    change::add(trans, &mut MapSpace { deferred }, parent, &entry)?;
    files.touch(trans, parent, true)?;
    match file_type {
        FileType::Directory => {
            change::init(trans, id, dir)?;
            add_link(trans, parent)?;
        }
        FileType::Symlink => {
            symlink::write_target(trans, &mut MapSpace { deferred }, id, file.target)?;
        }
        _ => {}
    }
    let entry = Entry { dir: parent, name };
    follow(trans, deferred, id, Change::Add(entry))?;
    Ok((number, chain.commit_keeping(&mut Groups)?))
}

/// Makes an inode that gets a name later, or never: it is freed when nobody uses it any more, after a
/// crash too. Returns its number, and the inode, locked.
///
/// # Errors
///
/// As [`create()`], but for names; `Invalid` for a directory or a symbolic link.
pub fn create_nameless<J: Journal>(
    files: &Files<'_, J>,
    dir: InodeNumber,
    file: &NewFile<'_>,
) -> Result<(InodeNumber, Committed<J::Inode>)> {
    if matches!(file.file_type()?, FileType::Directory | FileType::Symlink) {
        return Err(Error::Invalid);
    }
    let space = trans::space::inode_alloc(files.geometry());
    let mut chain = files.start(files.reservations.create_tmpfile, space)?;
    let (trans, deferred) = chain.parts();
    let [parent] = files.hold(trans, [dir])?;
    let id = match make(files, (trans, deferred), parent, file, true) {
        Err(Error::NoSpace) => return without_space(chain),
        made => made?,
    };
    let number = trans.inode(id)?.number;
    unlinked::insert(trans, id)?;
    Ok((number, chain.commit_keeping(&mut Groups)?))
}

/// Ends a chain that found no space for an inode. Looking for some may have changed the groups' lists
/// of blocks.
fn without_space<J: Journal, T>(chain: Chain<'_, J>) -> Result<T> {
    chain.commit(&mut Groups)?;
    Err(Error::NoSpace)
}

/// Takes an inode out of the free ones, and begins it.
fn make<'a, J: Journal>(
    files: &Files<'_, J>,
    (trans, deferred): (&mut Trans<'a, J>, &mut Deferred<'a, J>),
    parent: InodeId,
    file: &NewFile<'_>,
    nameless: bool,
) -> Result<InodeId> {
    let geo = trans.geometry();
    let directory = trans.inode(parent)?;
    let wish = Wish {
        file_type: file.file_type()?,
        parent: Some(Parent {
            number: directory.number,
            is_metadata: directory.core.is_metadata(),
        }),
        turn: file.turn,
        counters: file.counters,
        generation: file.generation,
    };
    let number = ialloc::take(trans, deferred, &wish)?;
    let parent = &trans.inode(parent)?.core;
    let new = New {
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        parent: Some(parent),
        device: file.device,
        now: files.now,
        generation: file.generation,
        nameless,
        attr_fork: file.attr_fork || geo.features.parent(),
        inherited: file.inherited,
    };
    let inode = create::new(geo, number, &new)?;
    let locked = trans.journal().new_inode(inode)?;
    let id = trans.join(locked)?;
    trans.change_inode(id, InodeFields::ALL)?;
    Ok(id)
}

/// Whether an inode may get a name in a directory: where quotas go by projects, none leaves its own.
/// Special files may be without a project, since no tool gives them one, and are let in.
///
/// Source: `xfs_projid_differ` in `fs/xfs/xfs_inode.c` of Linux 7.3.
pub(super) fn check_project(dir: &InodeCore, inode: &InodeCore) -> Result {
    let special = matches!(
        inode.file_type(),
        Some(FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket)
    );
    let differs = dir.flags.has(Flags::PROJINHERIT) && dir.projid != inode.projid;
    if differs && !(special && inode.projid == 0) {
        return Err(Error::CrossDevice);
    }
    Ok(())
}
