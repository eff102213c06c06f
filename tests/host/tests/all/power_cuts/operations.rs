// SPDX-License-Identifier: GPL-2.0

//! Operations of all kinds: after a power cut each was done or was not, what was forced is there with
//! its contents, and no inode is left without a name.

use crate::power_cuts::{many, without_contents, Content};
use xfs_host::{
    fixture::SHAPES,
    libxfs::error::Result,
    listing::list,
    log_journal::{Behaviour, LogJournal, Replayed},
    random::Random,
    workload::{Op, Workload},
};

type Listing = Vec<Vec<u8>>;

/// Does all that replaying has left.
pub fn finish(journal: &LogJournal<'_>, replayed: Option<Replayed>) -> Result {
    if let Some(replayed) = replayed {
        journal.finish(replayed)?;
    }
    Ok(())
}

fn listed(journal: &LogJournal<'_>) -> Listing {
    list(journal, journal.volume().disks()).unwrap()
}

/// Whether that is what there may be where the power was cut somewhere between these states: the
/// names of one of them, and the contents of all files that are the same in all.
fn is_one_of(there: &Listing, states: &[Listing]) -> bool {
    if states.contains(there) {
        return true;
    }
    let (first, others) = states.split_first().unwrap();
    let mut steady = first
        .iter()
        .filter(|line| others.iter().all(|state| state.binary_search(line).is_ok()));
    let names = without_contents(there);
    steady.all(|line| there.contains(line))
        && states.iter().any(|state| without_contents(state) == names)
}

fn cut_everywhere(shape: &'static str, steps: u32, cuts: u32, seed: u64) {
    let mut random = Random::new(seed + 1000);
    let behaviour = Behaviour {
        batch: 1 + random.below(6),
        write_back: 1 + random.below(3),
        seed,
    };
    let before = Content::empty(xfs_host::fixture::named(shape));
    let mut states = Vec::new();
    let mut begun = Vec::new();
    let mut stable = vec![0];
    let history = before.record(behaviour, |journal, power| {
        let atomic = [Op::NAMES, Op::ATTRIBUTES, &[Op::Exchange]].concat();
        let mut workload = Workload::new(journal, seed, &atomic).unwrap();
        states.push(listed(journal));
        for _ in 0..steps {
            begun.push(power.writes());
            workload.step().unwrap();
            states.push(listed(journal));
            stable.push(u64::MAX);
            if random.once_in(3) {
                workload.force().unwrap();
                let now = power.writes();
                stable
                    .iter_mut()
                    .for_each(|stable| *stable = now.min(*stable));
            }
        }
        workload.close().unwrap();
        journal.write_all().unwrap();
    });
    // Each cut is a recovery and a check of the whole file system.
    let stride = (history.writes() / u64::from(cuts)).max(1);
    let first = u64::from(random.below(60)) % stride;
    for writes in (first..=history.writes()).step_by(stride as usize) {
        let mut after = before.cut(&history, writes, &mut random);
        let least = stable
            .iter()
            .rposition(|&stable| stable < writes)
            .unwrap_or(0);
        let most = begun.iter().filter(|&&begun| begun < writes).count();
        while random.once_in(3) {
            let again = u64::from(random.below(60));
            after = after.recover_in_part(behaviour, again, &mut random, finish);
        }
        after.recover(behaviour, |journal, replayed| {
            finish(journal, replayed)?;
            assert!(
                is_one_of(&listed(journal), &states[least..=most]),
                "{shape}, seed {seed}: after {writes} writes there is none of the states {least} to {most}"
            );
            Ok(())
        });
    }
}

#[test]
fn operations_are_done_or_not() {
    for seed in 0..u64::from(many(2)) {
        cut_everywhere("empty", 30, many(20), seed);
    }
}

#[test]
fn operations_are_done_or_not_in_every_shape() {
    let long = std::env::var_os("XFS_RUST_LONG").is_some();
    for (shape, seed) in SHAPES.iter().zip(0..) {
        // Nothing but realtime files: there are none here.
        if shape.name != "zoned" {
            cut_everywhere(shape.name, 12, if long { 40 } else { 2 }, seed);
        }
    }
}
