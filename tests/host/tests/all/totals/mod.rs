// SPDX-License-Identifier: GPL-2.0

//! Operations by the number: the structures that change most, each beside a plain model of it, in worlds
//! where trees grow deep, space runs out, and everything merges again.
//!
//! Of each there are some ten thousand operations in a short run, and ten million with `XFS_RUST_LONG` in
//! the environment. `XFS_RUST_OPERATIONS=N` asks for any other number. For many of them, cargo's profile
//! `long` is several times as quick, with overflow checks and assertions like the other one:
//! `XFS_RUST_OPERATIONS=10000000 scripts/cargo-test tests/host --profile long --test all totals::`.

mod allocator;
mod attributes;
mod counts;
mod directories;
mod forks;
mod mappings;

use std::{env, time::Instant};

/// How many each test does in a long run.
const LONG: u64 = 10_000_000;

/// How many operations a test has done, and has to do.
struct Operations {
    of: &'static str,
    wanted: u64,
    done: u64,
    /// When something is to be looked at next.
    due: u64,
    /// When someone who waits is told.
    told: u64,
    begun: Instant,
}

impl Operations {
    /// Those of a structure: so many in a short run.
    fn of(of: &'static str, short: u64) -> Self {
        let wanted = match (
            env::var("XFS_RUST_OPERATIONS"),
            env::var_os("XFS_RUST_LONG"),
        ) {
            (Ok(said), _) => said.parse().expect("a number of operations"),
            (_, Some(_)) => LONG,
            _ => short,
        };
        Self {
            of,
            wanted,
            done: 0,
            due: 0,
            told: LONG / 10,
            begun: Instant::now(),
        }
    }

    /// Whether there are some to be done yet.
    fn are_left(&self) -> bool {
        self.done < self.wanted
    }

    /// How many a world lives through: `most`, or fewer where all of them would not do for `worlds`.
    fn of_a_world(&self, most: u64, worlds: u64) -> u64 {
        (self.wanted / worlds).clamp(1, most)
    }

    /// Counts what was done.
    fn did(&mut self, operations: u64) {
        self.done += operations;
        if self.done >= self.told {
            self.told += LONG / 10;
            self.tell();
        }
    }

    /// Whether there were so many since the last time that this was so.
    fn is_due(&mut self, every: u64) -> bool {
        let due = self.done >= self.due;
        if due {
            self.due = self.done + every;
        }
        due
    }

    fn tell(&self) {
        let (done, time) = (self.done, self.begun.elapsed().as_secs());
        println!("{}: {done} operations in {time} s", self.of);
    }
}
