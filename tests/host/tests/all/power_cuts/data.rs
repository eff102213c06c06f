// SPDX-License-Identifier: GPL-2.0

//! Operations on content: after a power cut each byte of a file is what one of the operations that were
//! not on stable storage left there, or what was there before; never what other files had in the block.

use crate::power_cuts::{many, operations::finish, Content};
use std::collections::BTreeMap;
use xfs_host::{
    file_io::FileIo,
    fixture::named,
    libxfs::format::{inode::FileType, units::InodeNumber},
    log_journal::{Behaviour, LogJournal},
    random::Random,
    workload::{Op, Tree, Workload},
};

/// Contents of files.
type State = BTreeMap<InodeNumber, Vec<u8>>;

/// Those that change content in place.
const IN_PLACE: &[Op] = &[
    Op::Write,
    Op::Write,
    Op::Truncate,
    Op::Punch,
    Op::Zero,
    Op::Preallocate,
];

fn state(journal: &LogJournal<'_>) -> State {
    let io = FileIo::new(journal);
    let tree = Tree::read(journal).unwrap();
    let files = tree
        .inodes()
        .filter(|(_, file_type)| *file_type == FileType::Regular);
    files
        .map(|(number, _)| (number, io.read_all(number).unwrap()))
        .collect()
}

/// That a file holds nothing but what it had in one of the states, byte by byte; or zeroes where an
/// operation was cut.
fn check(what: &str, number: InodeNumber, found: &[u8], states: &[State]) {
    let had: Vec<&[u8]> = states.iter().map(|state| &state[&number][..]).collect();
    let most = had.iter().map(|content| content.len()).max().unwrap();
    let least = had.iter().map(|content| content.len()).min().unwrap();
    assert!(
        (least..=most).contains(&found.len()),
        "{what}: inode {number} has {} bytes and not {least} to {most}",
        found.len()
    );
    for (at, &byte) in found.iter().enumerate() {
        let known = had
            .iter()
            .any(|content| content.get(at).copied().unwrap_or(0) == byte);
        assert!(
            known || byte == 0 && had.len() > 1,
            "{what}: byte {at} of inode {number} is of no state"
        );
    }
}

fn cut_everywhere(shape: &'static str, ops: &[Op], steps: u32, seed: u64) {
    let mut random = Random::new(seed + 2000);
    let behaviour = Behaviour {
        batch: 1 + random.below(6),
        write_back: 1 + random.below(3),
        seed,
    };
    let before = Content::empty(named(shape));
    let mut states = Vec::new();
    let mut begun = Vec::new();
    let mut stable = vec![0];
    let history = before.record(behaviour, |journal, power| {
        let mut names = Workload::new(journal, seed, &[Op::Create]).unwrap();
        while state(journal).len() < 4 {
            names.step().unwrap();
        }
        journal.write_all().unwrap();
        stable[0] = power.writes();
        let mut workload = Workload::new(journal, seed, ops).unwrap();
        states.push(state(journal));
        for _ in 0..steps {
            begun.push(power.writes());
            workload.step().unwrap();
            states.push(state(journal));
            stable.push(u64::MAX);
            if random.once_in(3) {
                workload.force().unwrap();
                let now = power.writes();
                stable
                    .iter_mut()
                    .for_each(|stable| *stable = now.min(*stable));
            }
        }
        journal.write_all().unwrap();
    });
    // Before the first of these the files were not there.
    let first = stable[0] + 1;
    let stride = ((history.writes() - first) / u64::from(many(20))).max(1);
    let first = first + u64::from(random.below(60)) % stride;
    for writes in (first..=history.writes()).step_by(stride as usize) {
        let after = before.cut(&history, writes, &mut random);
        let least = stable
            .iter()
            .rposition(|&stable| stable < writes)
            .unwrap_or(0);
        let most = begun.iter().filter(|&&begun| begun < writes).count();
        after.recover(behaviour, |journal, replayed| {
            finish(journal, replayed)?;
            let what = format!("{shape}, seed {seed}, {writes} writes");
            for (number, found) in state(journal) {
                check(&what, number, &found, &states[least..=most]);
            }
            Ok(())
        });
    }
}

#[test]
fn content_is_old_or_new_and_never_another_files() {
    for seed in 0..u64::from(many(2)) {
        cut_everywhere("empty", IN_PLACE, 12, seed);
    }
}

#[test]
fn content_is_old_or_new_where_files_share_and_exchange_it() {
    let ops = [IN_PLACE, Op::SHARING, Op::SHARING, Op::XATTRS].concat();
    for (shape, first) in [("empty", 100), ("block-1k", 200), ("rt-groups", 300)] {
        for seed in first..first + u64::from(many(2)) {
            cut_everywhere(shape, &ops, 20, seed);
        }
    }
}
