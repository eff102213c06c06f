// SPDX-License-Identifier: GPL-2.0

//! Links: what only all names together tell.

use super::{table::Seen, Check, Finding, Place, Subject, Value};
use crate::libxfs::{error::Result, format::units::InodeNumber, store::Store};

impl<S: Store> Check<'_, S> {
    /// Holds each inode's links to the names that were found for it.
    pub(super) fn links(&mut self) -> Result {
        if !self.whole.names || !self.whole.inodes {
            return Ok(());
        }
        for index in 0..self.inodes.len() {
            let Some(&seen) = self.inodes.at(index) else {
                break;
            };
            if self.is_nameless(seen.number) {
                continue;
            }
            self.link_count(&seen)?;
            if self.whole.attrs && self.store.geometry().features.parent() {
                self.parent_pointers(&seen)?;
            }
            if seen.is_directory() {
                self.directory_links(&seen)?;
            }
        }
        Ok(())
    }

    /// Whether the superblock alone names an inode.
    fn is_nameless(&self, number: InodeNumber) -> bool {
        let geo = self.store.geometry();
        [geo.rt_bitmap_inode, geo.rt_summary_inode]
            .into_iter()
            .chain(geo.quota_inodes)
            .any(|own| own == Some(number))
    }

    fn is_root(&self, number: InodeNumber) -> bool {
        let geo = self.store.geometry();
        number == geo.root_inode || Some(number) == geo.metadir_inode
    }

    fn link_count(&mut self, seen: &Seen) -> Result {
        let expected = if seen.is_directory() && seen.nlink != 0 {
            // Itself and its parent's entry, or for a root itself twice; each child's `..`.
            u64::from(seen.subdirectories).saturating_add(2)
        } else {
            u64::from(seen.names)
        };
        let place = Place::Inode(seen.number);
        let found = u64::from(seen.nlink);
        self.equal(Subject::Nlinks, place, "di_nlink", expected, found)
    }

    /// Parent pointers mirror the entries that name the inode. Sets are compared by sums of digests:
    /// that two that differ have one sum is as likely as to guess 64 bits.
    fn parent_pointers(&mut self, seen: &Seen) -> Result {
        let place = Place::Inode(seen.number);
        let (expected, found) = (u64::from(seen.names), u64::from(seen.parents));
        self.equal(Subject::Parent, place, "parent pointers", expected, found)?;
        if expected == found && seen.names_digest != seen.parents_digest {
            self.find(Finding {
                subject: Subject::Parent,
                place,
                field: "parent pointers",
                expected: Value::Present,
                found: Value::Number(found),
            })?;
        }
        Ok(())
    }

    /// A directory has one name, its `..` leads back to where that is, and a root can be reached.
    fn directory_links(&mut self, seen: &Seen) -> Result {
        let place = Place::Inode(seen.number);
        let root = self.is_root(seen.number);
        let names = u64::from(!root && seen.nlink != 0);
        let found = u64::from(seen.names);
        self.equal(Subject::DirTree, place, "names", names, found)?;
        let parent = if root { Some(seen.number) } else { seen.parent };
        if let (Some(parent), Some(dotdot)) = (parent, seen.dotdot) {
            self.equal(Subject::Parent, place, "..", parent.0, dotdot.0)?;
        }
        if seen.nlink != 0 && !self.reaches_root(seen.number) {
            self.find(Finding::missing(
                Subject::DirTree,
                place,
                "path",
                Value::Present,
            ))?;
        }
        Ok(())
    }

    /// Whether the way up from a directory ends at a root. What is found out is noted along the way,
    /// so that each step of it is taken twice in all.
    fn reaches_root(&mut self, number: InodeNumber) -> bool {
        let mut at = number;
        let mut steps = 0usize;
        let reaches = loop {
            let Some(seen) = self.inodes.get(at) else {
                break false;
            };
            if let Some(known) = seen.reachable {
                break known;
            }
            if self.is_root(at) {
                break true;
            }
            let Some(parent) = seen.parent else {
                break false;
            };
            // As many steps as there are inodes go in circles.
            steps = steps.saturating_add(1);
            if steps > self.inodes.len() {
                break false;
            }
            at = parent;
        };
        let mut at = number;
        while let Some(seen) = self.inodes.get_mut(at) {
            if seen.reachable.replace(reaches).is_some() {
                break;
            }
            match seen.parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        reaches
    }
}
