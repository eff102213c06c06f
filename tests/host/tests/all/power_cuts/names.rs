// SPDX-License-Identifier: GPL-2.0

//! Operations on names: after a power cut each was done or was not, and no inode is left without a
//! name.

use crate::power_cuts::{many, Content};
use xfs_host::{
    libxfs::{
        error::{Error, Result},
        ops::inactivate,
        space::Groups,
        store::Store,
        trans::LogReservations,
    },
    listing::list,
    log_journal::{Behaviour, LogJournal, Replayed},
    random::Random,
    workload::{files, Op, Workload},
};

/// Does all that replaying has left.
pub fn finish(journal: &LogJournal<'_>, replayed: Option<Replayed>) -> Result {
    let Some(replayed) = replayed else {
        return Ok(());
    };
    let reservations = LogReservations::new(journal.geometry()).ok_or(Error::Invalid)?;
    let files = files(journal, &reservations, 0);
    journal.finish(replayed, &mut Groups, |number| {
        inactivate(&files, number, None).map(|_| ())
    })?;
    Ok(())
}

fn listed(journal: &LogJournal<'_>) -> Vec<Vec<u8>> {
    list(journal, journal.volume().disks()).unwrap()
}

fn cut_everywhere(shape: &str, steps: u32, seed: u64) {
    let mut random = Random::new(seed + 1000);
    let behaviour = Behaviour {
        batch: 1 + random.below(6),
        write_back: 1 + random.below(3),
        seed,
    };
    let before = Content::of(shape);
    let mut states = Vec::new();
    let mut begun = Vec::new();
    let mut stable = vec![0];
    let history = before.record(behaviour, |journal, power| {
        let mut workload = Workload::new(journal, seed, Op::NAMES).unwrap();
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
    let stride = (history.writes() / u64::from(many(20))).max(1);
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
                states[least..=most].contains(&listed(journal)),
                "{shape}, seed {seed}: after {writes} writes there is none of the states {least} to {most}"
            );
            Ok(())
        });
    }
}

#[test]
fn operations_on_names_are_done_or_not() {
    // Every state is listed with its contents, so there must be none but the workload's.
    for seed in 0..u64::from(many(2)) {
        cut_everywhere("empty", 5, seed);
    }
}
