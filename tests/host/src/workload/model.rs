// SPDX-License-Identifier: GPL-2.0

//! Files as they should be: what is in them, and what inodes say of themselves.

use super::{xattrs::Xattrs, Workload};
use crate::{
    file_io::FileIo,
    libxfs::{
        error::Result,
        format::{
            inode::{
                flags::{Flags, Flags2},
                time::Timestamp,
                FileType, InodeCore,
            },
            units::InodeNumber,
        },
        inode::{Inode, Trust},
        store::Store,
    },
};
use std::collections::{btree_map::Entry, BTreeMap};

/// Flags that operations set.
pub(super) const FLAGS: u16 = Flags::SYNC
    | Flags::NOATIME
    | Flags::NODUMP
    | Flags::NODEFRAG
    | Flags::FILESTREAM
    | Flags::EXTSIZE;
pub(super) const FLAGS2: u64 = Flags2::COWEXTSIZE;

/// What an inode says of itself, as far as operations set it and nothing else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) project: u32,
    pub(super) atime: Timestamp,
    pub(super) flags: u16,
    pub(super) flags2: u64,
    pub(super) hints: (u32, u32),
}

impl Attributes {
    pub(super) fn of(core: &InodeCore) -> Self {
        Self {
            mode: core.mode,
            uid: core.uid,
            gid: core.gid,
            project: core.projid,
            atime: core.atime,
            flags: core.flags.0 & FLAGS,
            flags2: core.flags2.0 & FLAGS2,
            hints: (core.extsize, core.cowextsize),
        }
    }
}

/// What is known of inodes: of each that an operation changed.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) contents: BTreeMap<InodeNumber, Vec<u8>>,
    pub(super) attributes: BTreeMap<InodeNumber, Attributes>,
    pub(super) xattrs: Xattrs,
    /// What was found wrong on the way.
    wrong: Vec<String>,
}

impl Model {
    /// The files whose content is known.
    pub(super) fn files(&self) -> Vec<InodeNumber> {
        self.contents.keys().copied().collect()
    }

    /// Forgets an inode that is no more.
    pub(super) fn forget(&mut self, number: InodeNumber) {
        self.contents.remove(&number);
        self.attributes.remove(&number);
        self.xattrs.retain(|(of, _, _), _| *of != number);
    }

    /// Notes what a file holds after an operation had no space: each of its bytes is what it was, what
    /// it should have become, or zero.
    pub(super) fn settle(&mut self, number: InodeNumber, wanted: &[u8], found: Vec<u8>) {
        let before = self.contents.insert(number, found.clone());
        let before = before.unwrap_or_default();
        let at = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
        let stale = found.iter().enumerate().position(|(index, &byte)| {
            byte != 0 && byte != at(&before, index) && byte != at(wanted, index)
        });
        if let Some(byte) = stale {
            let wrong = format!("inode {number}: byte {byte} is neither old nor new");
            self.wrong.push(wrong);
        }
    }
}

impl Workload<'_, '_> {
    /// The most bytes of a file.
    pub(super) fn limit(&self) -> u64 {
        (u64::from(self.journal.geometry().block_size) * 32).max(128 << 10)
    }

    /// Any file whose content can be changed, with what it should hold; none if none is found.
    pub(super) fn any_file(&mut self) -> Result<Option<InodeNumber>> {
        for _ in 0..8 {
            let Some(entry) = self.tree.any(&mut self.random, false) else {
                return Ok(None);
            };
            if entry.file_type == FileType::Regular && self.know(entry.inode)? {
                return Ok(Some(entry.inode));
            }
        }
        Ok(None)
    }

    /// Bytes in which a file's content is given space, and in which it can move.
    pub(super) fn unit(&self, number: InodeNumber) -> Result<u64> {
        let geo = self.journal.geometry();
        let inode = Inode::read(self.journal, number, Trust::Trusted)?;
        let blocks = match inode.core.is_realtime() {
            true => geo.rt_extent_size,
            false => 1,
        };
        Ok(u64::from(geo.block_size) * u64::from(blocks))
    }

    /// Learns what a file holds, the first time; whether it is one that operations change.
    fn know(&mut self, number: InodeNumber) -> Result<bool> {
        let most = self.limit() * 2;
        if let Entry::Vacant(place) = self.model.contents.entry(number) {
            let inode = Inode::read(self.journal, number, Trust::Trusted)?;
            if inode.core.size > most {
                return Ok(false);
            }
            place.insert(FileIo::new(self.journal).read_all(number)?);
        }
        Ok(true)
    }

    /// What differs from what should be: a line each.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn compare(&self) -> Result<Vec<String>> {
        let mut wrong = self.model.wrong.clone();
        if super::Tree::read(self.journal)? != self.tree {
            wrong.push("names differ".to_owned());
        }
        let io = FileIo::new(self.journal);
        for (number, content) in &self.model.contents {
            let found = io.read_all(*number)?;
            if found == *content {
                continue;
            }
            let differs = found.iter().zip(content).position(|(one, two)| one != two);
            wrong.push(format!(
                "inode {number}: {} bytes and not {}, of which the first that differs is {differs:?}",
                found.len(),
                content.len()
            ));
        }
        for (number, attributes) in &self.model.attributes {
            let found = Inode::read(self.journal, *number, Trust::Trusted)?;
            let found = Attributes::of(&found.core);
            if found != *attributes {
                wrong.push(format!("inode {number}: {found:?} and not {attributes:?}"));
            }
        }
        wrong.extend(self.compare_xattrs()?);
        Ok(wrong)
    }
}
