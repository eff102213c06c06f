// SPDX-License-Identifier: GPL-2.0

//! Lists of inodes that have no name any more but were still open.

use super::{Check, Finding, Place, Subject, Value};
use crate::libxfs::{
    ag,
    error::Result,
    format::{
        ag::{agi::UNLINKED_BUCKETS, NULL_AG_INODE},
        units::{AgInode, AgNumber},
    },
    store::Store,
};

impl<S: Store> Check<'_, S> {
    /// Follows the lists of a group. Inodes on them have no links, and those of a list share its
    /// bucket; then, all inodes of the group without links are on one.
    pub(super) fn unlinked(&mut self, ag: AgNumber) -> Result {
        let Ok(agi) = ag::read_agi(self.store, ag) else {
            // The first walk over the group has told why.
            return Ok(());
        };
        for (bucket, head) in agi.unlinked.iter().enumerate() {
            self.stop_if_interrupted()?;
            let head = (head.get() != NULL_AG_INODE).then_some(AgInode(head.get()));
            self.unlinked_list(ag, bucket, head)?;
        }
        Ok(())
    }

    fn unlinked_list(&mut self, ag: AgNumber, bucket: usize, head: Option<AgInode>) -> Result {
        const BUCKETS: u32 = UNLINKED_BUCKETS as u32;

        let mut next = head;
        while let Some(inode) = next {
            let number = self.store.geometry().inode_number(ag, inode);
            let place = number.map_or(Place::Group(ag), Place::Inode);
            let seen = number.and_then(|number| self.inodes.get_mut(number));
            let Some(seen) = seen else {
                if self.whole.inodes {
                    let value = Value::Number(inode.0.into());
                    self.find(Finding::extra(Subject::Agi, place, "unlinked", value))?;
                }
                return Ok(());
            };
            // Each is met once, so that a list ends.
            let again = core::mem::replace(&mut seen.unlinked, true);
            let nlink = seen.nlink;
            next = seen.next_unlinked;
            if again {
                let value = Value::Number(inode.0.into());
                return self.find(Finding::extra(Subject::Agi, place, "unlinked", value));
            }
            self.equal(Subject::Nlinks, place, "di_nlink", 0, nlink.into())?;
            let own = inode.0.checked_rem(BUCKETS).unwrap_or(0);
            self.equal(Subject::Agi, place, "unlinked", own.into(), bucket as u64)?;
        }
        Ok(())
    }

    /// Every inode without links, and no other, was met on a list. After all groups' lists.
    pub(super) fn all_unlinked(&mut self) -> Result {
        for index in 0..self.inodes.len() {
            let Some(&seen) = self.inodes.at(index) else {
                break;
            };
            let place = Place::Inode(seen.number);
            if seen.nlink == 0 && !seen.unlinked {
                let lost = Finding::missing(Subject::Agi, place, "unlinked", Value::Present);
                self.find(lost)?;
            }
            if seen.next_unlinked.is_some() && !seen.unlinked {
                let value = Value::Present;
                self.find(Finding::extra(
                    Subject::Inode,
                    place,
                    "di_next_unlinked",
                    value,
                ))?;
            }
        }
        Ok(())
    }
}
