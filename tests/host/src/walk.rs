// SPDX-License-Identifier: GPL-2.0

//! A walk of a whole image: every header, tree, inode, fork, name, attribute and parent pointer is
//! read through libxfs, and what they say of each other is held together.
//!
//! The walk goes on after an error, so that on a hostile image as much code as possible runs.

mod groups;
mod inodes;
mod names;
mod queries;
mod realtime;

use crate::{
    image::ImageStore,
    libxfs::{
        error::{Error, Result},
        format::units::InodeNumber,
        log,
        store::Store,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

/// Errors and contradictions that are kept; more are only counted.
const KEPT: usize = 100;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Report {
    /// Errors that libxfs returned, and what was being read.
    pub errors: Vec<(String, Error)>,
    /// Structures that each keep their rules but do not agree.
    pub contradictions: Vec<String>,
    /// How many of everything there were.
    pub counts: BTreeMap<&'static str, u64>,
    /// Whether the walk was cut short: memory ran out, or the store gave up.
    pub stopped: Option<Error>,
}

impl Report {
    /// Whether all is well.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.contradictions.is_empty() && self.stopped.is_none()
    }

    /// How many there were of something.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in &self.errors {
            match error {
                Error::Corrupt(corruption) => writeln!(f, "{place}: {corruption}")?,
                other => writeln!(f, "{place}: {other:?}")?,
            }
        }
        for contradiction in &self.contradictions {
            writeln!(f, "{contradiction}")?;
        }
        if let Some(error) = self.stopped {
            writeln!(f, "stopped: {error:?}")?;
        }
        write!(f, "{:?}", self.counts)
    }
}

/// What the walk remembers of an inode.
struct Seen {
    mode: u16,
    nlink: u32,
    generation: u32,
    /// Whether it belongs to the file system itself.
    metadata: bool,
    /// Directory entries that lead here, `.` and `..` apart.
    names: u32,
    /// Directories among this directory's entries.
    subdirectories: u32,
    /// Parent pointers.
    parents: u32,
}

/// A directory entry or the parent pointer that mirrors it: directory, name, inode.
type Link = (u64, Vec<u8>, u64);

/// A walk under way.
struct Walk<'a, S: Store> {
    store: &'a S,
    report: Report,
    inodes: HashMap<InodeNumber, Seen>,
    entries: HashSet<Link>,
    pointers: HashSet<Link>,
    /// Blocks of the data device that inodes have, by their own count and by the rmap trees'.
    inode_blocks: u64,
    rmap_blocks: u64,
    chunk_inodes: u64,
    free_inodes: u64,
    free_rt_extents: u64,
}

/// Walks all that an image holds.
pub fn walk(store: &ImageStore) -> Report {
    // One copy of the code, here; made for each test's own store it would take long to compile.
    walk_store(store)
}

fn walk_store<S: Store>(store: &S) -> Report {
    let mut walk = Walk {
        store,
        report: Report::default(),
        inodes: HashMap::new(),
        entries: HashSet::new(),
        pointers: HashSet::new(),
        inode_blocks: 0,
        rmap_blocks: 0,
        chunk_inodes: 0,
        free_inodes: 0,
        free_rt_extents: 0,
    };
    walk.groups();
    walk.log();
    walk.all_inodes();
    walk.names();
    walk.realtime();
    walk.queries();
    walk.superblock_counters();
    walk.report
}

impl<S: Store> Walk<'_, S> {
    fn log(&mut self) {
        let state = log::state(self.store);
        if let Some(state) = self.keep(|| "log".into(), state) {
            self.agree(state != log::State::Dirty, || "the log is dirty".into());
        }
    }

    /// Keeps an error; the value otherwise.
    fn keep<T>(&mut self, place: impl FnOnce() -> String, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if matches!(error, Error::NoMemory | Error::Interrupted | Error::Io) {
                    self.report.stopped.get_or_insert(error);
                } else if self.report.errors.len() < KEPT {
                    self.report.errors.push((place(), error));
                }
                self.add("errors", 1);
                None
            }
        }
    }

    /// Two structures must agree.
    fn agree(&mut self, agree: bool, what: impl FnOnce() -> String) {
        if !agree {
            if self.report.contradictions.len() < KEPT {
                self.report.contradictions.push(what());
            }
            self.add("contradictions", 1);
        }
    }

    fn add(&mut self, what: &'static str, n: u64) {
        *self.report.counts.entry(what).or_default() += n;
    }

    fn stopped(&self) -> bool {
        self.report.stopped.is_some()
    }

    /// Whether nothing was wrong so far, so that sums are worth a comparison.
    fn whole(&self) -> bool {
        self.report.errors.is_empty() && !self.stopped()
    }
}
