// SPDX-License-Identifier: GPL-2.0

//! Chains that allocate extents to stage copies on write, and give them back: they change the free
//! space, its owners and its reference counts, and leave a file system that is whole.

use crate::power_cuts::{many, Content};
use kernel::alloc::KVec;
use std::collections::BTreeSet;
use xfs_host::{
    libxfs::{
        ag,
        alloc::Request,
        defer::Chain,
        error::Result,
        format::{
            btree::{Domain, RefcountKey},
            units::{AgBlock, AgNumber, FsBlock},
        },
        items::ExtentFree,
        journal::{Claim, Journal},
        recovery,
        space::{allocate, Groups, Place, Wanted},
        store::{Device, Store},
        trans::{LogReservations, Trans},
    },
    log_journal::{Behaviour, LogJournal, Replayed},
    random::Random,
};

/// Blocks that are staged.
type Staged = BTreeSet<u64>;

fn staged(journal: &LogJournal<'_>) -> Staged {
    let geo = journal.geometry();
    let mut blocks = Staged::new();
    for ag in (0..geo.ag_count).map(AgNumber) {
        let agf = ag::read_agf(journal, ag).unwrap();
        let mut cursor = ag::refcount(journal, ag, &agf).unwrap();
        let key = |start| RefcountKey {
            domain: Domain::Cow,
            start: AgBlock(start),
        };
        let mut records = cursor.range(key(0), key(u32::MAX));
        while let Some(record) = records.next().unwrap() {
            let start = geo.fs_block(ag, record.start).unwrap().0;
            blocks.extend(start..start + u64::from(record.count));
        }
    }
    blocks
}

/// One chain.
fn step(journal: &LogJournal<'_>, random: &mut Random, extents: &mut Vec<(u64, u32)>) -> bool {
    let log = LogReservations::new(journal.geometry()).unwrap().truncate;
    let claim = Claim {
        blocks: 100,
        ..Claim::default()
    };
    let mut chain = Chain::new(Trans::start(journal, log, claim).unwrap()).unwrap();
    let (trans, deferred) = chain.parts();
    if extents.is_empty() || random.below(5) < 3 {
        let geo = journal.geometry();
        let ag = AgNumber(random.below(geo.ag_count));
        let target = AgBlock(random.below(geo.ag_blocks / 2) + geo.ag_blocks / 4);
        let target: FsBlock = geo.fs_block(ag, target).unwrap();
        let wanted = Wanted::data(target, Place::Near, Request::new(1, 1 + random.below(40)));
        let extent = allocate(trans, deferred, &wanted).unwrap().unwrap();
        deferred
            .alloc_cow(Device::Data, extent.start.0, extent.count)
            .unwrap();
        extents.push((extent.start.0, extent.count));
    } else {
        let (start, count) = extents.swap_remove(random.below(extents.len() as u32) as usize);
        deferred.free_cow(Device::Data, start, count).unwrap();
        deferred
            .free_extent(Device::Data, ExtentFree::data(start, count))
            .unwrap();
    }
    let sequence = chain.commit(&mut Groups).unwrap().unwrap();
    let force = random.once_in(3);
    if force {
        journal.force(sequence).unwrap();
    }
    force
}

fn cut_everywhere(shape: &str, steps: u32, seed: u64) {
    let mut random = Random::new(seed);
    let behaviour = Behaviour {
        batch: 1 + random.below(6),
        write_back: 1 + random.below(3),
        seed,
    };
    let before = Content::of(shape);
    // What there was before each step and at the end, the writes when it began, and those after
    // which it is there for good.
    let mut states = vec![Staged::new()];
    let mut begun = Vec::new();
    let mut stable = vec![0];
    let history = before.record(behaviour, |journal, power| {
        let mut extents = Vec::new();
        for _ in 0..steps {
            begun.push(power.writes());
            let forced = step(journal, &mut random, &mut extents);
            states.push(staged(journal));
            stable.push(u64::MAX);
            if forced {
                let now = power.writes();
                stable
                    .iter_mut()
                    .for_each(|stable| *stable = now.min(*stable));
            }
        }
        journal.write_all().unwrap();
    });
    for writes in 0..=history.writes() {
        let after = before.cut(&history, writes, &mut random);
        // A flush behind the last write was not come to.
        let least = stable
            .iter()
            .rposition(|&stable| stable < writes)
            .unwrap_or(0);
        let most = begun.iter().filter(|&&begun| begun < writes).count();
        let mut after = after;
        while random.once_in(2) {
            let again = u64::from(random.below(40));
            after = after.recover_in_part(behaviour, again, &mut random, finish_intents);
        }
        after.recover(behaviour, |journal, replayed| {
            finish_intents(journal, replayed)?;
            let there = staged(journal);
            assert!(
                states[least..=most].contains(&there),
                "{shape}, seed {seed}: after {writes} writes there is none of the states {least} to {most}"
            );
            recovery::free_staged(journal, &mut Groups)?;
            assert!(staged(journal).is_empty());
            Ok(())
        });
    }
}

/// Does what replaying has left, but for what is staged.
fn finish_intents(journal: &LogJournal<'_>, replayed: Option<Replayed>) -> Result {
    let open = replayed.map_or(Ok(KVec::new()), Replayed::into_work)?;
    recovery::finish_intents(journal, open, &mut Groups)
}

#[test]
fn staged_extents_are_there_whole_or_not_at_all() {
    for shape in ["default", "block-1k", "external-log"] {
        for seed in 0..u64::from(many(2)) {
            cut_everywhere(shape, 12, seed);
        }
    }
}
