// SPDX-License-Identifier: GPL-2.0

//! Random operations on a file system, the same for the same seed, and what should come of them: names,
//! contents, attributes.
//!
//! A group of operations has a file of its own; `op.rs` has the table of all of them.

mod attributes;
mod data;
mod model;
mod names;
mod op;
mod sharing;
mod tree;
mod xattrs;

pub use op::Op;
pub use tree::{Entry, Tree};

use model::Model;

use crate::{
    libxfs::{
        error::{Error, Result},
        format::{inode::time::Timestamp, units::InodeNumber},
        journal::{CommitSequence, Journal},
        ops::{drop_staged, inactivate, Files},
        store::Store,
        trans::LogReservations,
    },
    log_journal::LogJournal,
    random::Random,
};
use std::collections::BTreeMap;

/// What became of the operations of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many were done.
    pub done: u64,
    /// How many were refused, as they had to be.
    pub refused: u64,
    /// How many found no space.
    pub no_space: u64,
}

/// What operations ask for, at a time in seconds.
pub fn files<'f, 'v>(
    journal: &'f LogJournal<'v>,
    reservations: &'f LogReservations,
    now: i64,
) -> Files<'f, LogJournal<'v>> {
    Files {
        journal,
        reservations,
        now: Timestamp { sec: now, nsec: 0 },
        durable: false,
        keep_chunks: false,
    }
}

/// Operations on a file system that is open.
pub struct Workload<'j, 'v> {
    journal: &'j LogJournal<'v>,
    reservations: LogReservations,
    random: Random,
    tree: Tree,
    model: Model,
    only: Vec<Op>,
    /// Whether nothing is done that the C driver's recovery is known to spoil.
    spares_c: bool,
    /// Inodes without a name that are still in use.
    nameless: Vec<InodeNumber>,
    /// Goes up with each operation.
    clock: i64,
    /// Directories that were made.
    turn: u32,
    /// The number of the last transaction.
    last: Option<CommitSequence>,
    outcomes: BTreeMap<Op, Outcome>,
    /// The operation that was begun last.
    begun: Option<Op>,
}

impl<'j, 'v> Workload<'j, 'v> {
    /// Operations of the kinds in `only`, in an order that the seed chooses.
    ///
    /// # Errors
    ///
    /// Those of reading what is there.
    pub fn new(journal: &'j LogJournal<'v>, seed: u64, only: &[Op]) -> Result<Self> {
        let reservations = LogReservations::new(journal.geometry()).ok_or(Error::Invalid)?;
        Ok(Self {
            journal,
            reservations,
            random: Random::new(seed),
            tree: Tree::read(journal)?,
            model: Model::default(),
            only: only.to_vec(),
            spares_c: false,
            nameless: Vec::new(),
            clock: 1_700_000_000,
            turn: 0,
            last: None,
            outcomes: BTreeMap::new(),
            begun: None,
        })
    }

    /// Leaves out what the C driver cannot recover, for who has it recover the log: an exchange up to
    /// the ends of two files that changes a size. It frees what lies past the size that the file had
    /// in the log, as the VFS's inode is not told of the new one while the log is recovered
    /// (`xfs_exchmaps_finish_one` sets `i_disk_size` alone, `xfs_free_eofblocks` goes by `i_size`).
    pub fn spare_c(&mut self) {
        self.spares_c = true;
    }

    /// What the operations came to.
    pub fn outcomes(&self) -> &BTreeMap<Op, Outcome> {
        &self.outcomes
    }

    /// Chooses from other operations from now on.
    pub fn choose_from(&mut self, only: &[Op]) {
        self.only = only.to_vec();
    }

    /// The operation that was begun last.
    pub fn begun(&self) -> Option<Op> {
        self.begun
    }

    /// Runs `run` with what operations ask for.
    fn files<R>(&self, run: impl FnOnce(&Files<'_, LogJournal<'v>>) -> R) -> R {
        run(&files(self.journal, &self.reservations, self.clock))
    }

    /// Does one operation. What a file system may refuse is no error.
    ///
    /// # Errors
    ///
    /// Any other.
    pub fn step(&mut self) -> Result<Op> {
        self.clock += 1;
        let op = self.only[self.random.below(self.only.len() as u32) as usize];
        self.begun = Some(op);
        let done = op.run(self);
        let outcome = self.outcomes.entry(op).or_default();
        match done {
            Ok(true) => outcome.done += 1,
            Ok(false) => outcome.refused += 1,
            Err(Error::NoSpace) => outcome.no_space += 1,
            Err(error) => return Err(error),
        }
        // Some are closed at once, some late.
        while !self.nameless.is_empty() && self.random.once_in(3) {
            self.close_one()?;
        }
        Ok(op)
    }

    /// Frees the oldest inode without a name.
    fn close_one(&mut self) -> Result {
        if self.nameless.is_empty() {
            return Ok(());
        }
        let number = self.nameless.remove(0);
        self.files(|files| inactivate(files, number, None))?;
        self.model.forget(number);
        Ok(())
    }

    /// Frees all inodes without a name, as the last user of each would, and gives up what files stage,
    /// as they leave memory.
    ///
    /// # Errors
    ///
    /// Those of freeing.
    pub fn close(&mut self) -> Result {
        while !self.nameless.is_empty() {
            self.close_one()?;
        }
        for number in self.model.files() {
            self.files(|files| drop_staged(files, number))?;
        }
        Ok(())
    }

    /// Waits until all that was done is on stable storage.
    ///
    /// # Errors
    ///
    /// `Io`, `Shutdown`.
    pub fn force(&self) -> Result {
        self.journal.flush_places()?;
        self.last.map_or(Ok(()), |last| self.journal.force(last))
    }
}
