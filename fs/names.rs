// SPDX-License-Identifier: GPL-2.0

//! Names: making, linking, renaming and removing them.

use super::{
    ilock::LockedInode,
    inode::Inode,
    mount::Mount, //
};
use crate::{
    libxfs::{
        error,
        format::{
            inode::flags::Flags,
            units::InodeNumber, //
        },
        inode::{
            create::INHERITED,
            DeviceNumber, //
        },
        ops::{
            self,
            Files,
            NameOf,
            NewFile, //
        },
        symlink,
        trans::Committed, //
    },
    rust::{
        bindings,
        kernel::{
            acl::Inherited,
            idmap::Idmap,
            names::{
                Name,
                Names,
                New,
                Rename,
                Side, //
            },
            security,
            xattr::{
                Action,
                ExtendedAttributes,
                Namespace, //
            },
        },
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Flags that new inodes inherit. That no symbolic links may be made is not among them, by the
/// default of the C driver's `fs.xfs.inherit_nosymlinks`.
const INHERITED_HERE: u16 = INHERITED & !Flags::NOSYMLINKS;

impl Mount {
    /// The file system as operations on names change it.
    fn names(&self) -> Files<'_, Self> {
        let mut files = self.files();
        // SAFETY: The super block is alive.
        files.durable |= unsafe { (*self.super_block()).s_flags } & bindings::SB_DIRSYNC != 0;
        files
    }
}

/// The inode that an operation has made.
fn made(number: InodeNumber, committed: Committed<LockedInode>) -> Result<ARef<Inode>> {
    committed
        .inodes
        .into_iter()
        .find(|held| held.inode().number == number)
        .map(|held| held.into_locked().node().into())
        // It was locked when the operation ended.
        .ok_or(EIO)
}

impl Inode {
    /// A new inode in this directory, as the disk is to have it.
    fn new_file<'n>(&self, idmap: Idmap<'_>, new: &New<'n>, labelled: bool) -> NewFile<'n> {
        let mount = self.mount();
        let owner = idmap.ownership_of_new(self, new.mode, mount.options().group_id);
        let (major, minor) = new.device;
        NewFile {
            mode: owner.mode,
            uid: owner.uid,
            gid: owner.gid,
            device: DeviceNumber { major, minor },
            target: new.target,
            attr_fork: labelled || !new.acls.is_empty(),
            inherited: INHERITED_HERE,
            // SAFETY: May be called anywhere.
            generation: unsafe { bindings::get_random_u32() },
            turn: mount.next_turn(),
            counters: mount.rough_counters(),
        }
    }

    /// Gives a new inode the labels and lists that belong to it in a directory.
    fn dress(&self, dir: &Self, name: Name<'_>, acls: &Inherited) -> Result {
        security::label_new(self, dir, name, |label, value| {
            self.change_xattr(Namespace::Security, label, value, Action::Set)
        })?;
        acls.give_to(self)
    }

    fn side_of<'n>(side: &Side<'n, Self>) -> NameOf<'n> {
        NameOf {
            dir: side.dir.number(),
            name: side.name.as_bytes(),
            inode: side.node.map(Inode::number),
        }
    }
}

impl Names for Inode {
    fn create(&self, idmap: Idmap<'_>, name: Name<'_>, new: &New<'_>) -> Result<ARef<Self>> {
        let mount = self.mount();
        mount.check_changeable()?;
        if !new.target.is_empty() {
            symlink::check_target(new.target).map_err(|error| mount.errno(error))?;
            if self.read().core.flags.has(Flags::NOSYMLINKS) {
                return Err(EPERM);
            }
        }
        let file = self.new_file(idmap, new, security::may_label(self));
        let (number, committed) =
            ops::create(&mount.names(), self.number(), name.as_bytes(), &file)
                .map_err(|error| mount.errno(error))?;
        let node = made(number, committed)?;
        if let Err(error) = node.dress(self, name, &new.acls) {
            // What cannot be guarded is not to be there. Where that fails, too, it stays.
            let _ = self.remove(name, &node);
            return Err(error);
        }
        Ok(node)
    }

    fn create_nameless(
        &self,
        idmap: Idmap<'_>,
        name: Name<'_>,
        new: &New<'_>,
    ) -> Result<ARef<Self>> {
        let mount = self.mount();
        mount.check_changeable()?;
        let file = self.new_file(idmap, new, false);
        let (number, committed) = ops::create_nameless(&mount.files(), self.number(), &file)
            .map_err(|error| mount.errno(error))?;
        let node = made(number, committed)?;
        // Where this fails it goes with its last user.
        node.dress(self, name, &new.acls)?;
        Ok(node)
    }

    fn link(&self, name: Name<'_>, node: &Self) -> Result {
        let mount = self.mount();
        mount.check_changeable()?;
        ops::link(
            &mount.names(),
            self.number(),
            name.as_bytes(),
            node.number(),
            None,
        )
        .map_err(|error| mount.errno(error))?;
        Ok(())
    }

    fn remove(&self, name: Name<'_>, node: &Self) -> Result {
        let mount = self.mount();
        mount.check_changeable()?;
        ops::remove(
            &mount.names(),
            self.number(),
            name.as_bytes(),
            node.number(),
        )
        .map_err(|error| mount.errno(error))?;
        Ok(())
    }

    fn rename(idmap: Idmap<'_>, from: &Side<'_, Self>, to: &Side<'_, Self>, how: Rename) -> Result {
        let mount = from.dir.mount();
        mount.check_changeable()?;
        let (old, new) = (Self::side_of(from), Self::side_of(to));
        let renamed = match how {
            Rename::Exchange => ops::exchange_names(&mount.names(), &old, &new).map(drop),
            Rename::Move => ops::rename(&mount.names(), &old, &new, None).map(drop),
            Rename::Whiteout => {
                let white = New {
                    mode: bindings::S_IFCHR as u16,
                    device: (0, 0),
                    target: &[],
                    acls: Inherited::none(),
                };
                // Where the rename fails, it goes with its last user.
                let white = to.dir.create_nameless(idmap, from.name, &white)?;
                ops::rename(&mount.names(), &old, &new, Some(white.number())).map(drop)
            }
        };
        renamed.map_err(|error| match error {
            // Of a directory in the way.
            error::Error::NotEmpty => EEXIST,
            error => mount.errno(error),
        })
    }
}
