// SPDX-License-Identifier: GPL-2.0

//! Operations on content and attributes: after a power cut each byte of a file is what one of the
//! operations that were not on stable storage left there, or what was there before; never what other
//! files had in the block. Of attributes each is there with its old value or its new one.

use crate::power_cuts::{many, operations::finish, Content};
use std::collections::BTreeMap;
use xfs_host::{
    file_io::FileIo,
    fixture::named,
    libxfs::{
        attr,
        error::Error,
        format::{attr::Namespace, inode::FileType, units::InodeNumber},
        inode::{Inode, Trust, WhichFork},
    },
    log_journal::{Behaviour, LogJournal},
    random::Random,
    workload::{Op, Tree, Workload},
};

/// Those that change content in place.
const IN_PLACE: &[Op] = &[
    Op::Write,
    Op::Write,
    Op::Truncate,
    Op::Punch,
    Op::Zero,
    Op::Preallocate,
];

/// Attributes of an inode: the value of each name that operations give, if it is there.
type Attributes = Vec<Option<Vec<u8>>>;

/// Contents of files, and the attributes of all that has a name.
#[derive(Default)]
struct State {
    contents: BTreeMap<InodeNumber, Vec<u8>>,
    attributes: BTreeMap<InodeNumber, Attributes>,
}

fn attributes(journal: &LogJournal<'_>, number: InodeNumber) -> Attributes {
    let mut inode = Inode::read(journal, number, Trust::Trusted).unwrap();
    inode.load_extents(journal, WhichFork::Attr).unwrap();
    let value = |space, name: u32| {
        let name = format!("test{name}");
        let mut value = vec![0; 65_536];
        match attr::get(journal, &inode, space, name.as_bytes(), &mut value) {
            Ok(len) => Some(value[..len].to_vec()),
            Err(Error::NoAttribute) => None,
            Err(error) => panic!("inode {number}, {name}: {error:?}"),
        }
    };
    let spaces = [Namespace::User, Namespace::Root, Namespace::Secure];
    let names = |space| (0..12).map(move |name| (space, name));
    let all = spaces.into_iter().flat_map(names);
    all.map(|(space, name)| value(space, name)).collect()
}

fn state(journal: &LogJournal<'_>) -> State {
    let io = FileIo::new(journal);
    let tree = Tree::read(journal).unwrap();
    let mut state = State::default();
    for (number, file_type) in tree.inodes() {
        state.attributes.insert(number, attributes(journal, number));
        if file_type == FileType::Regular {
            state.contents.insert(number, io.read_all(number).unwrap());
        }
    }
    state
}

/// That a file holds nothing but what it had in one of the states, byte by byte; or zeroes where an
/// operation was cut.
fn check_content(what: &str, number: InodeNumber, found: &[u8], states: &[State]) {
    let had = states.iter().map(|state| &state.contents[&number][..]);
    let had: Vec<&[u8]> = had.collect();
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

fn check(what: &str, found: &State, states: &[State]) {
    for (number, content) in &found.contents {
        check_content(what, *number, content, states);
    }
    for (number, attributes) in &found.attributes {
        for (index, value) in attributes.iter().enumerate() {
            let had = |state: &State| state.attributes[number][index] == *value;
            let known = states.iter().any(had);
            assert!(
                known,
                "{what}: attribute {index} of inode {number} is of no state"
            );
        }
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
        while state(journal).contents.len() < 4 {
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
            check(&what, &state(journal), &states[least..=most]);
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
fn content_and_attributes_are_old_or_new_where_files_share_exchange_and_move_it() {
    // Names stay as they are.
    let ops = [Op::DATA, Op::DATA, Op::SHARING, Op::SHARING, Op::XATTRS].concat();
    let shapes = [
        "empty",
        "rt-groups",
        "block-1k",
        "bare",
        "metadir",
        "no-rmapbt",
    ];
    for seed in 0..u64::from(many(4)) {
        cut_everywhere(shapes[seed as usize % shapes.len()], &ops, 12, seed);
    }
}
