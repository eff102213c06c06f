// SPDX-License-Identifier: GPL-2.0

//! Operations on extended attributes.

use super::Workload;
use crate::libxfs::{
    attr::change::Mode,
    error::{Error, Result},
    format::{attr::Namespace, units::InodeNumber},
    inode::{Inode, Trust, WhichFork},
    ops::{self, SetAttr},
};
use std::collections::BTreeMap;

/// Attributes, by inode, namespace and name.
pub(super) type Xattrs = BTreeMap<(InodeNumber, Namespace, Vec<u8>), Vec<u8>>;

impl Workload<'_, '_> {
    fn value(&mut self) -> Vec<u8> {
        let most = match self.random.below(12) {
            0 => 65_537,
            1..=3 => 4000,
            _ => 60,
        };
        let (len, first) = (self.random.below(most), self.random.below(256));
        (0..len).map(|n| (first + 11 * n) as u8).collect()
    }

    /// Sets an attribute, or removes it.
    fn change_xattr(&mut self, modes: &[Mode]) -> Result<bool> {
        let directory = self.random.once_in(4);
        let Some(entry) = self.tree.any(&mut self.random, directory) else {
            return Ok(false);
        };
        let mode = modes[self.random.below(modes.len() as u32) as usize];
        let spaces = [Namespace::User, Namespace::Root, Namespace::Secure];
        let namespace = spaces[self.random.below(3) as usize];
        // Few enough that some are there.
        let name = format!("test{}", self.random.below(12)).into_bytes();
        let value = match mode {
            Mode::Remove => Vec::new(),
            _ => self.value(),
        };
        let key = (entry.inode, namespace, name.clone());
        let there = self.model.xattrs.contains_key(&key);
        let attr = SetAttr {
            mode,
            namespace,
            name: &name,
            value: &value,
        };
        let done = self.files(|files| ops::set_attr(files, entry.inode, &attr));
        match (done, mode) {
            (Ok(committed), _) => {
                self.last = committed.sequence.max(self.last);
                match mode {
                    Mode::Remove => self.model.xattrs.remove(&key),
                    _ => self.model.xattrs.insert(key, value),
                };
                Ok(true)
            }
            (Err(Error::Exists), Mode::Create) if there => Ok(false),
            (Err(Error::NoAttribute), Mode::Replace | Mode::Remove) if !there => Ok(false),
            (Err(error), _) => Err(error),
        }
    }

    pub(super) fn set_xattr(&mut self) -> Result<bool> {
        self.change_xattr(&[Mode::Create, Mode::Replace, Mode::Set, Mode::Set])
    }

    pub(super) fn remove_xattr(&mut self) -> Result<bool> {
        self.change_xattr(&[Mode::Remove])
    }

    /// Which attributes differ from what they should be: a line each.
    pub(super) fn compare_xattrs(&self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for ((number, namespace, name), value) in &self.model.xattrs {
            let mut inode = Inode::read(self.journal, *number, Trust::Trusted)?;
            inode.load_extents(self.journal, WhichFork::Attr)?;
            let mut found = vec![0; 65_536];
            let len = crate::libxfs::attr::get(self.journal, &inode, *namespace, name, &mut found);
            if len.map(|len| found[..len] == value[..]) != Ok(true) {
                let name = String::from_utf8_lossy(name);
                wrong.push(format!("inode {number}: attribute {name}: {len:?}"));
            }
        }
        Ok(wrong)
    }
}
