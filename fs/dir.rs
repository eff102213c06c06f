// SPDX-License-Identifier: GPL-2.0

//! Directories.

use super::{
    icache::Want,
    inode::Inode,
    mount::Mount, //
};
use crate::{
    libxfs::{
        dir,
        error,
        format::{
            dir::FileType,
            fault::Fault,
            units::InodeNumber, //
        },
        inode::{
            Trust,
            WhichFork, //
        }, //
    },
    rust::kernel::dir::{
        Directory,
        Emitter,
        EntryType, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Longest name in bytes.
const NAME_MAX: usize = 255;
/// What a caller takes at once where that is not known: the buffer of the C library.
const ROOM: usize = 32768;

impl From<FileType> for EntryType {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::Unknown => EntryType::Unknown,
            FileType::Regular => EntryType::Regular,
            FileType::Directory => EntryType::Directory,
            FileType::CharDevice => EntryType::Character,
            FileType::BlockDevice => EntryType::Block,
            FileType::Fifo => EntryType::Fifo,
            FileType::Socket => EntryType::Socket,
            FileType::Symlink => EntryType::Symlink,
            FileType::Whiteout => EntryType::Whiteout,
        }
    }
}

/// The inode that a directory's entry names.
pub(crate) fn child(mount: &Mount, number: InodeNumber) -> Result<ARef<Inode>> {
    match mount.inode(number, Want::File(Trust::Trusted)) {
        // An entry must name an inode in use, so that none there is the directory's fault.
        Err(error) if error == ENOENT || error == EINVAL => {
            let fault = Fault::corrupt("directory", "inumber");
            Err(mount.errno(error::Error::inode(fault, number)))
        }
        other => other,
    }
}

impl Directory for Inode {
    fn lookup(&self, name: &[u8]) -> Result<Option<ARef<Self>>> {
        if name.len() > NAME_MAX {
            return Err(ENAMETOOLONG);
        }
        let mount = self.mount();
        mount.check_running()?;
        let inode = self.mapped(WhichFork::Data)?;
        let found = dir::lookup(mount, &inode, name);
        drop(inode);
        match found {
            Ok(found) => Ok(Some(child(mount, found.inode)?)),
            Err(error::Error::NotFound) => Ok(None),
            Err(error) => Err(mount.errno(error)),
        }
    }

    fn iterate(&self, emitter: &mut Emitter<'_>) -> Result {
        let mount = self.mount();
        mount.check_running()?;
        let Ok(mut position) = u64::try_from(emitter.position()) else {
            return Ok(());
        };
        let room = emitter.room().unwrap_or(ROOM).min(ROOM);
        let lock = || self.read_mapped(WhichFork::Data);
        let result = dir::readdir(mount, lock, &mut position, room, |entry| {
            emitter.set_position(entry.position as i64);
            emitter.emit(entry.name, entry.inode.0, entry.ftype.into())
        });
        // Positions have 31 bits.
        emitter.set_position(position as i64);
        result.map_err(|error| mount.errno(error))
    }

    fn open(&self) -> Result {
        let mount = self.mount();
        mount.check_running()?;
        let inode = self.mapped(WhichFork::Data)?;
        dir::read_ahead_first(mount, &inode);
        Ok(())
    }
}
