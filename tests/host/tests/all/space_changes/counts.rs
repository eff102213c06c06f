// SPDX-License-Identifier: GPL-2.0

//! Reference counts against the count of each block.

use crate::btree_changes::held::{journal, reopen, start, Held, Kept};
use crate::space_changes::batches;
use kernel::alloc::faults::FailAfter;
use xfs_host::{
    journal::SyncJournal,
    libxfs::{
        error::{Error, Result},
        format::{
            btree::{Domain, GroupBlock, Refcount, RefcountKey, RefcountRecord, RtRefcount, Tree},
            units::AgBlock,
        },
        items::RefcountUpdateKind::{self, AllocCow, Decrease, FreeCow, Increase},
        refcount::{Counts, Step, MAX_REFERENCES},
    },
    random::Random,
};

/// The blocks that are counted.
const FIRST: u32 = 2000;

/// How many owners each block has, and whether it stages a copy.
#[derive(Clone)]
pub struct Model {
    owners: Vec<u32>,
    staging: Vec<bool>,
}

/// The records of runs of blocks with the same count.
pub fn runs<N: GroupBlock>(counts: &[u32], domain: Domain) -> Vec<RefcountRecord<N>> {
    let least = if domain == Domain::Cow { 1 } else { 2 };
    let mut runs: Vec<RefcountRecord<N>> = Vec::new();
    for (block, &references) in (FIRST..).zip(counts) {
        match runs.last_mut() {
            Some(last) if last.end().raw() == block && last.references == references => {
                last.count += 1;
            }
            _ if references >= least => runs.push(RefcountRecord {
                domain,
                start: N::from_raw(block),
                count: 1,
                references,
            }),
            _ => {}
        }
    }
    runs
}

impl Model {
    /// The records of the smallest tree.
    fn records<N: GroupBlock>(&self) -> Vec<RefcountRecord<N>> {
        let staging: Vec<_> = self.staging.iter().map(|&staging| staging.into()).collect();
        let mut records = runs(&self.owners, Domain::Shared);
        records.extend(runs(&staging, Domain::Cow));
        records
    }

    /// Changes a block; whether it lost its last owner.
    fn change(&mut self, kind: RefcountUpdateKind, block: usize) -> bool {
        let owners = &mut self.owners[block];
        match kind {
            Increase if *owners != MAX_REFERENCES => *owners += 1,
            Decrease if *owners != MAX_REFERENCES => *owners -= 1,
            Increase | Decrease => {}
            AllocCow => self.staging[block] = true,
            FreeCow => self.staging[block] = false,
        }
        kind == Decrease && self.owners[block] == 0
    }

    fn admits(&self, kind: RefcountUpdateKind, block: usize) -> bool {
        match kind {
            Increase | Decrease => self.owners[block] > 0,
            AllocCow => !self.staging[block],
            FreeCow => self.staging[block],
        }
    }
}

pub trait Counted<N: GroupBlock>:
    Kept + Tree<Key = RefcountKey<N>, Record = RefcountRecord<N>>
{
}
impl<N: GroupBlock, T> Counted<N> for T where
    T: Kept + Tree<Key = RefcountKey<N>, Record = RefcountRecord<N>>
{
}

/// A tree and its model, of so many blocks. A few counts are next to the largest.
pub fn counted<N: GroupBlock, T: Counted<N>>(
    journal: &SyncJournal,
    blocks: usize,
) -> (Held<T>, Model) {
    let mut model = Model {
        owners: vec![1; blocks],
        staging: vec![false; blocks],
    };
    model.owners[100..120].fill(MAX_REFERENCES - 1);
    model.owners[130..140].fill(MAX_REFERENCES - 2);
    let records = model.records();
    let mut tree = Held::with(journal, &records[0]);
    let mut trans = start(journal);
    for record in &records[1..] {
        let blocks = &mut tree.in_trans(&mut trans);
        Held::<T>::path().insert(blocks, record).unwrap();
    }
    trans.commit().unwrap();
    (tree, model)
}

/// A change that is cut: what is left of it.
pub type Left = Option<(RefcountUpdateKind, u32, u32)>;

/// Makes one transaction of changes in the tree and in the model; how many there were. One that was
/// cut goes on in the next.
pub fn change<N: GroupBlock, T: Counted<N>>(
    (tree, model): &mut (Held<T>, Model),
    journal: &SyncJournal,
    random: &mut Random,
    changes: u32,
    left: &mut Left,
) -> Result<u64> {
    let mut trans = start(journal);
    let mut tree = tree.in_trans(&mut trans);
    let mut counts = Counts::<_, T>::new(&mut tree, T::scope(), Held::<T>::owner());
    let all = model.owners.len();
    let mut made = 0;
    for _ in 0..changes {
        let (kind, mut start, mut count) = match left.take() {
            Some(left) => left,
            None => {
                let kind = match random.below(12) {
                    0..=4 => Increase,
                    5..=7 => Decrease,
                    8..=9 => AllocCow,
                    _ => FreeCow,
                };
                let start = random.below(all as u32) as usize;
                let largest = if random.once_in(4) { 200 } else { 20 };
                let most = 1 + random.below(largest) as usize;
                let end = all.min(start + most);
                // Those that are free get a new owner.
                model.owners[start..end]
                    .iter_mut()
                    .for_each(|owners| *owners = (*owners).max(1));
                let blocks = start..end;
                let count = blocks
                    .take_while(|&block| model.admits(kind, block))
                    .count();
                (kind, FIRST + start as u32, count as u32)
            }
        };
        while count > 0 {
            if random.once_in(16) {
                *left = Some((kind, start, count));
                break;
            }
            let Step { done, freed } = counts.step(kind, N::from_raw(start), count)?;
            assert!((1..=count).contains(&done));
            for block in start..start + done {
                let index = (block - FIRST) as usize;
                let free = model.change(kind, index);
                assert_eq!(free, freed, "{kind:?} of block {block}");
            }
            start += done;
            count -= done;
            made += 1;
        }
        if left.is_some() {
            break;
        }
    }
    drop(counts);
    trans.commit()?;
    Ok(made)
}

/// That the tree has the records that say the same as the model, and no more of them.
pub fn compare<N: GroupBlock, T: Counted<N>>(
    (tree, model): &(Held<T>, Model),
    journal: &SyncJournal,
) {
    assert_eq!(tree.look(journal).0, model.records());
    assert_eq!(journal.store().locked(), 0);
}

fn agree<N: GroupBlock, T: Counted<N>>() {
    let (journal, _) = journal(10);
    let mut pair = counted::<N, T>(&journal, 600);
    let mut random = Random::new(2);
    let mut left = None;
    let mut most = 0;
    for _ in 0..batches(150) {
        let changes = 1 + random.below(60);
        change(&mut pair, &journal, &mut random, changes, &mut left).unwrap();
        compare(&pair, &journal);
        most = most.max(pair.1.records::<N>().len());
    }
    // The tree had more than one leaf.
    assert!(most > 90, "{most} records");
    assert!(pair.1.owners.contains(&MAX_REFERENCES));
}

#[test]
fn counts_of_a_group_agree_with_those_of_its_blocks() {
    agree::<_, Refcount>();
}

#[test]
fn counts_of_a_realtime_group_agree_with_those_of_its_blocks() {
    agree::<_, RtRefcount>();
}

#[test]
fn a_count_that_fails_for_want_of_memory_leaves_the_disk() {
    let (journal, disk) = journal(10);
    let mut pair = counted::<_, Refcount>(&journal, 600);
    let mut random = Random::new(5);
    for _ in 0..20 {
        change(&mut pair, &journal, &mut random, 50, &mut None).unwrap();
    }
    let before = disk.snapshot();
    let mut failures = 0;
    for allowed in 0.. {
        let (journal, disk) = reopen(&journal, before.clone());
        let mut pair = pair.clone();
        let result = {
            let _faults = FailAfter::new(allowed);
            change(&mut pair, &journal, &mut Random::new(6), 40, &mut None)
        };
        assert_eq!(journal.store().locked(), 0);
        match result {
            Ok(_) => {
                compare(&pair, &journal);
                break;
            }
            Err(error) => {
                assert_eq!(error, Error::NoMemory);
                assert!(disk.snapshot().changes().eq(before.changes()));
                failures += 1;
            }
        }
    }
    assert!(failures > 5, "{failures}");
}

#[test]
fn staging_that_contradicts_the_tree_is_corruption() {
    let (journal, disk) = journal(10);
    let mut tree = counted::<_, Refcount>(&journal, 600).0;
    let step = |tree: &mut Held<Refcount>, journal: &SyncJournal, kind, start, count| {
        let mut trans = crate::btree_changes::held::start(journal);
        let mut blocks = tree.in_trans(&mut trans);
        let start = AgBlock(start);
        let step =
            Counts::<_, Refcount>::new(&mut blocks, Refcount::scope(), 0).step(kind, start, count);
        if step.is_ok() {
            trans.commit().unwrap();
        } else {
            assert!(!trans.is_dirty());
        }
        step
    };
    let whole = |done| Step { done, freed: false };
    assert_eq!(step(&mut tree, &journal, AllocCow, 2200, 10), Ok(whole(10)));
    for (kind, start, count) in [
        (AllocCow, 2205, 1),
        (AllocCow, 2209, 5),
        (FreeCow, 2199, 5),
        (FreeCow, 2210, 1),
        (FreeCow, u32::MAX - 5, 5),
        (AllocCow, u32::MAX - 5, 5),
        (Increase, u32::MAX - 5, 5),
    ] {
        let (journal, _) = reopen(&journal, disk.snapshot());
        let result = step(&mut tree.clone(), &journal, kind, start, count);
        assert!(
            matches!(result, Err(Error::Corrupt(_))),
            "{kind:?} {start}: {result:?}"
        );
    }
    for (start, count) in [(2200, 0), (u32::MAX, 2)] {
        let result = step(&mut tree.clone(), &journal, AllocCow, start, count);
        assert_eq!(result, Err(Error::Invalid));
    }
    // What begins in the gap before goes as far as the record.
    assert_eq!(
        step(&mut tree.clone(), &journal, AllocCow, 2190, 20),
        Ok(whole(10))
    );
}
