// SPDX-License-Identifier: GPL-2.0

//! Operations on what inodes say of themselves.

use super::{
    model::{Attributes, FLAGS, FLAGS2},
    Workload,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        inode::{
            flags::{Flags, Flags2},
            time::Timestamp,
            FileType,
        },
    },
    inode::{Inode, Trust},
    ops::{self, NewAttributes, NewFlags},
    store::Store,
};

impl Workload<'_, '_> {
    pub(super) fn setattr(&mut self) -> Result<bool> {
        let directory = self.random.once_in(4);
        let Some(entry) = self.tree.any(&mut self.random, directory) else {
            return Ok(false);
        };
        let mut new = self.new_attributes();
        let number = entry.inode;
        let before = Inode::read(self.journal, number, Trust::Trusted)?;
        if before.core.is_realtime() {
            // It stays where it is.
            new.flags = None;
        }
        let wanted = wanted(self.journal.geometry(), &before, &new);
        let done = self.files(|files| ops::setattr(files, number, &new));
        match (done, wanted) {
            (Ok(committed), Some(wanted)) => {
                self.last = committed.sequence;
                self.model.attributes.insert(number, wanted);
                Ok(true)
            }
            (Err(Error::Invalid), None) => Ok(false),
            (Err(error), _) => Err(error),
            // It should have been refused.
            (Ok(_), None) => Err(Error::Invalid),
        }
    }

    fn new_attributes(&mut self) -> NewAttributes {
        let random = &mut self.random;
        let mut some = |n: u32| random.once_in(3).then(|| random.below(n));
        let permissions = some(0o10000).map(|permissions| permissions as u16);
        let (uid, gid, project) = (some(3), some(u32::MAX), some(100));
        let time = |seconds: u32| Timestamp {
            sec: i64::from(seconds),
            nsec: seconds % 1_000_000_000,
        };
        let (atime, mtime) = (some(1 << 31).map(time), some(1 << 31).map(time));
        let size = self.journal.geometry().ag_blocks / 2;
        let flags = self.random.once_in(3).then(|| NewFlags {
            flags: Flags(self.random.number() as u16 & FLAGS),
            flags2: Flags2(self.random.number() & FLAGS2),
            // Some are too long.
            extsize: self.random.below(40) * self.random.below(size / 16),
            cowextsize: 1 + self.random.below(64),
        });
        NewAttributes {
            permissions,
            uid,
            gid,
            atime,
            mtime,
            project,
            flags,
        }
    }
}

/// What should come of it; `None` where it is to be refused.
fn wanted(geo: &Geometry, before: &Inode, new: &NewAttributes) -> Option<Attributes> {
    let was = Attributes::of(&before.core);
    let mut wanted = Attributes {
        mode: match new.permissions {
            Some(permissions) => (was.mode & !0o7777) | permissions,
            None => was.mode,
        },
        uid: new.uid.unwrap_or(was.uid),
        gid: new.gid.unwrap_or(was.gid),
        project: new.project.unwrap_or(was.project),
        atime: new.atime.unwrap_or(was.atime),
        ..was
    };
    let Some(flags) = &new.flags else {
        return Some(wanted);
    };
    let file_type = before.core.file_type()?;
    let is_file = file_type == FileType::Regular;
    // Only a file of its own has a hint; what it has stays once it has blocks.
    let mask = if is_file {
        FLAGS
    } else {
        FLAGS & !Flags::EXTSIZE
    };
    wanted.flags = flags.flags.0 & mask;
    wanted.flags2 = flags.flags2.0;
    let hint = |there: bool, blocks: u32| if there { blocks } else { 0 };
    let (own, copies) = (
        wanted.flags & Flags::EXTSIZE != 0,
        wanted.flags2 & Flags2::COWEXTSIZE != 0,
    );
    let hints = (hint(own, flags.extsize), hint(copies, flags.cowextsize));
    let most = geo.ag_blocks / 2;
    let fits = |there: bool, blocks: u32| !there || (1..=most).contains(&blocks);
    let copied = is_file || file_type == FileType::Directory;
    let refused = !fits(own, hints.0)
        || !fits(copies, hints.1)
        || copies && !(geo.features.reflink() && copied)
        || is_file && before.core.nextents != 0 && hints.0 != was.hints.0;
    wanted.hints = hints;
    (!refused).then_some(wanted)
}
