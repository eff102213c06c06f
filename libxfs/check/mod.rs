// SPDX-License-Identifier: GPL-2.0

//! Checks of a whole file system, which hold every structure against every other.
//!
//! A verifier sees one block, a cursor one path. What only the whole tells is told here: that each
//! block is free or has the owners that reverse mappings say, that shared blocks have as many
//! owners as reference counts say, that each inode has as many names as links, that every index
//! leads to what it indexes, and that counters count what is there. Nothing is changed.
//!
//! The file system must not change meanwhile: unmounted, frozen, or mounted read-only.
//!
//! # How
//!
//! Two walks gather what there is: one over inodes with their forks, one over names and attributes.
//! Then, group by group, what was gathered is held to the trees, and to the counters. Memory
//! follows what is in use: some hundred bytes an inode, forty an extent; that it cannot be had is
//! an error.
//!
//! What is wrong is handed out as a [`Finding`], and the check goes on. A comparison with what could
//! not be read in full is left out, so that one bad block is one finding and not a thousand.

mod attr;
mod claim;
mod counters;
mod dabtree;
mod dir;
mod dir_index;
mod finding;
mod forks;
mod group;
mod inodes;
mod leaf_space;
mod links;
mod lsn;
mod metadir;
mod quota;
mod refcount;
mod rmap;
mod rt;
mod space;
mod superblock;
mod table;
mod tree;
mod unlinked;

pub use finding::{Finding, Place, Subject, Value};

use super::{
    error::{Error, Result},
    format::units::AgNumber,
    log, mount,
    store::Store,
};
use claim::Claims;
use kernel::alloc::{flags::GFP_KERNEL, KVVec};
use lsn::UpTo;
use table::InodeTable;

/// What is done with each finding. An error ends the check: so one who has seen enough stops it.
pub type Report<'a> = &'a mut dyn FnMut(&Finding) -> Result;

/// What was read in full, so that it can be compared.
struct Whole {
    /// Inode trees and inodes, with their forks.
    inodes: bool,
    /// Directories.
    names: bool,
    /// Attribute forks.
    attrs: bool,
    /// The log is clean, so that counters are exact.
    log: bool,
}

/// What the groups' headers and trees add up to.
#[derive(Default)]
struct Totals {
    inodes: u64,
    free_inodes: u64,
    free_blocks: u64,
    free_rt_extents: u64,
}

/// A check under way.
struct Check<'a, S: Store> {
    store: &'a S,
    report: Report<'a>,
    inodes: InodeTable,
    /// What belongs to whom, for each group.
    groups: KVVec<Claims>,
    /// The same for each realtime group, or for the one realtime section.
    rt_groups: KVVec<Claims>,
    usage: quota::Usages,
    totals: Totals,
    whole: Whole,
}

/// Checks the whole file system on `store` and calls `report` with all that is wrong.
///
/// # Errors
///
/// `NoMemory`, `Io`, `Interrupted` when the store says so, and those of `report`. What is wrong
/// with the file system is no error.
pub fn check<S: Store>(store: &S, report: Report<'_>) -> Result {
    // Nothing else can be believed of a file system that is larger than its devices.
    if let Err(error) = mount::check_sizes(store) {
        let finding = Finding::unreadable(Subject::Superblock, Place::FileSystem, error);
        return report(&finding.ok_or(error)?);
    }
    // A log that was not recovered, or that cannot be told, has what is lacking elsewhere.
    let end = match log::state(store) {
        Ok(log::State::Clean(end)) => Some(end),
        Ok(log::State::Dirty) => None,
        Err(error) => {
            let finding = Finding::unreadable(Subject::Superblock, Place::FileSystem, error);
            report(&finding.ok_or(error)?)?;
            None
        }
    };
    let geo = store.geometry();
    let mut check = Check {
        store: &UpTo::new(store, end),
        report,
        inodes: InodeTable::default(),
        groups: empty_claims(geo.ag_count)?,
        rt_groups: empty_claims(match geo.rt_extents {
            0 => 0,
            _ => geo.rt_group_count.max(1),
        })?,
        usage: quota::Usages::default(),
        totals: Totals::default(),
        whole: Whole {
            inodes: true,
            names: true,
            attrs: true,
            log: end.is_some(),
        },
    };
    check.run()
}

fn empty_claims(count: u32) -> Result<KVVec<Claims>> {
    let mut groups = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
    for _ in 0..count {
        groups.push(Claims::default(), GFP_KERNEL)?;
    }
    Ok(groups)
}

impl<S: Store> Check<'_, S> {
    fn run(&mut self) -> Result {
        self.superblocks()?;
        for ag in self.all_groups() {
            self.stop_if_interrupted()?;
            self.inode_trees(ag)?;
        }
        self.names()?;
        self.links()?;
        for ag in self.all_groups() {
            self.stop_if_interrupted()?;
            self.unlinked(ag)?;
            self.group(ag)?;
        }
        self.all_unlinked()?;
        self.metadata_files()?;
        self.realtime()?;
        self.quotas()?;
        self.counters()
    }

    fn all_groups(&self) -> impl Iterator<Item = AgNumber> {
        (0..self.store.geometry().ag_count).map(AgNumber)
    }

    fn stop_if_interrupted(&self) -> Result {
        if self.store.interrupted() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    /// Hands out a finding.
    fn find(&mut self, finding: Finding) -> Result {
        (self.report)(&finding)
    }

    /// Hands out a finding if a number is not what it should be.
    fn equal(
        &mut self,
        subject: Subject,
        place: Place,
        field: &'static str,
        expected: u64,
        found: u64,
    ) -> Result {
        if expected == found {
            return Ok(());
        }
        self.find(Finding::number(subject, place, field, expected, found))
    }

    /// Makes a finding of an error that is the file system's fault; `None` then.
    ///
    /// # Errors
    ///
    /// Those that are not, and those of the report.
    fn kept<T>(&mut self, subject: Subject, place: Place, result: Result<T>) -> Result<Option<T>> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        let finding = Finding::unreadable(subject, place, error).ok_or(error)?;
        self.find(finding)?;
        Ok(None)
    }
}
