// SPDX-License-Identifier: GPL-2.0

//! Chains of deferred work with little log space, cut by a power cut at every commit, or by want of
//! memory, and then recovered from the intents that the journal saw: the same end.

use crate::btree_changes::held::{journal, reopen};
use crate::space_changes::{
    batches, counts,
    world::{
        content, format, inode, number, Content, World, BLOCKS, FILES, FILE_BLOCKS, FIRST, MAPPED,
    },
};
use kernel::alloc::{faults::FailAfter, flags::GFP_KERNEL, KVec};
use std::{cell::Cell, collections::BTreeMap, sync::Arc};
use xfs_host::{
    image::{Overlay, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        defer::Chain,
        error::{Error, Result},
        format::{
            btree::{Domain, Owner, RmapFlags, RmapRecord},
            units::{AgBlock, FileBlock},
        },
        inode::WhichFork,
        items::{BmapUpdate, BmapUpdateKind, IntentId, Work},
        journal::{Claim, Shutdown},
        store::Device,
        trans::{LogReservation, Trans},
    },
    random::Random,
};

/// What a chain begins with.
#[derive(Clone, Copy, Debug)]
enum Request {
    Bmap(BmapUpdate),
    AllocCow(Device, u64, u32),
    FreeCow(Device, u64, u32),
}

/// What there should be on a device.
#[derive(Clone)]
struct Model {
    device: Device,
    /// Files, and which block each of their blocks is.
    files: BTreeMap<(usize, usize), usize>,
    /// Owners of each block.
    owners: Vec<u32>,
    staging: Vec<bool>,
    freed: Vec<u8>,
}

impl Model {
    fn new(device: Device) -> Self {
        Self {
            device,
            files: BTreeMap::new(),
            owners: vec![0; BLOCKS],
            staging: vec![false; BLOCKS],
            freed: vec![0; BLOCKS],
        }
    }

    fn content(&self) -> Content {
        let mut rmap: Vec<RmapRecord<AgBlock>> = Vec::new();
        let mut add = |owner, offset: usize, block: usize| {
            let start = FIRST + block as u32;
            match rmap.last_mut() {
                Some(last)
                    if last.owner == owner
                        && last.end().0 == start
                        && (owner == Owner::Cow
                            || last.offset.0 + u64::from(last.count) == offset as u64) =>
                {
                    last.count += 1;
                }
                _ => rmap.push(RmapRecord {
                    start: AgBlock(start),
                    count: 1,
                    owner,
                    offset: FileBlock(offset as u64),
                    flags: RmapFlags::default(),
                }),
            }
        };
        for (&(file, offset), &block) in &self.files {
            add(Owner::Inode(inode(self.device, file)), offset, block);
        }
        for block in (0..BLOCKS).filter(|&block| self.staging[block]) {
            add(Owner::Cow, 0, block);
        }
        rmap.sort_by_key(|record| (record.start, record.owner.encode(), record.offset));
        let staging: Vec<u32> = self.staging.iter().map(|&staging| staging.into()).collect();
        let mut refcount = counts::runs(&self.owners, Domain::Shared);
        refcount.extend(counts::runs(&staging, Domain::Cow));
        let mut file_map = vec![0; FILES * FILE_BLOCKS];
        for &(file, offset) in self.files.keys() {
            file_map[file * FILE_BLOCKS + offset] = 1;
        }
        Content {
            rmap,
            refcount,
            freed: self.freed.clone(),
            file_map,
        }
    }

    /// As many blocks as are alike from there on.
    fn run(most: u32, is: impl Fn(usize) -> bool) -> usize {
        (0..most as usize).take_while(|&n| is(n)).count()
    }

    /// A request that is possible now, and what it makes of the model.
    fn request(&mut self, random: &mut Random) -> Option<Request> {
        let device = self.device;
        let most = 1 + random.below(24);
        let kind = random.below(10);
        if kind >= 8 {
            let first = MAPPED + random.below((BLOCKS - MAPPED) as u32) as usize;
            let staging = kind == 9;
            let count = Self::run(most, |n| self.staging.get(first + n) == Some(&!staging));
            self.staging[first..first + count].fill(staging);
            let (start, count) = (number(device, first), count as u32);
            let request = match staging {
                true => Request::AllocCow(device, start, count),
                false => Request::FreeCow(device, start, count),
            };
            return Some(request).filter(|_| count != 0);
        }
        let update = |kind, file, offset: usize, block, count: usize, unwritten| {
            Request::Bmap(BmapUpdate {
                kind,
                inode: inode(device, file),
                fork: WhichFork::Data,
                offset: FileBlock(offset as u64),
                start: number(device, block),
                count: count as u32,
                unwritten,
                realtime: device == Device::Realtime,
            })
        };
        // A run of mapped blocks, if there is one.
        let source = match self.files.len() {
            0 => None,
            len => self.files.iter().nth(random.below(len as u32) as usize),
        };
        let source = source.map(|(&(file, offset), &block)| {
            let count = Self::run(most, |n| {
                self.files.get(&(file, offset + n)) == Some(&(block + n))
            });
            (file, offset, block, count)
        });
        if let (0..=2, Some((file, offset, block, count))) = (kind, source) {
            for n in 0..count {
                self.files.remove(&(file, offset + n));
                self.owners[block + n] -= 1;
                self.freed[block + n] += u8::from(self.owners[block + n] == 0);
            }
            let kind = BmapUpdateKind::Unmap;
            return Some(update(kind, file, offset, block, count, false));
        }
        let file = random.below(FILES as u32) as usize;
        let offset = random.below(FILE_BLOCKS as u32) as usize;
        let room = Self::run(most, |n| {
            offset + n < FILE_BLOCKS && !self.files.contains_key(&(file, offset + n))
        });
        let (block, count, fresh) = match source {
            Some((_, _, block, count)) if kind <= 5 => (block, count.min(room), false),
            _ => {
                let block = random.below(MAPPED as u32) as usize;
                let count = Self::run(room as u32, |n| {
                    block + n < MAPPED && self.owners[block + n] == 0
                });
                (block, count, true)
            }
        };
        for n in 0..count {
            self.files.insert((file, offset + n), block + n);
            self.owners[block + n] += 1;
        }
        let request = update(BmapUpdateKind::Map, file, offset, block, count, fresh);
        Some(request).filter(|_| count != 0)
    }
}

fn log(bytes: u32) -> LogReservation {
    LogReservation {
        bytes,
        count: 2,
        permanent: true,
    }
}

/// Runs a chain.
fn run(journal: &SyncJournal, requests: &[Request], bytes: u32) -> Result {
    let mut chain = Chain::new(Trans::start(journal, log(bytes), Claim::default())?)?;
    for request in requests {
        let (_, deferred) = chain.parts();
        match *request {
            Request::Bmap(update) => deferred.update_bmap(update)?,
            Request::AllocCow(device, start, count) => deferred.alloc_cow(device, start, count)?,
            Request::FreeCow(device, start, count) => deferred.free_cow(device, start, count)?,
        }
    }
    chain.commit(&mut World)?;
    Ok(())
}

/// Does what is left of a chain.
fn recover(journal: &SyncJournal, bytes: u32) -> Result {
    let mut intents = KVec::new();
    for intent in journal.open_intents() {
        intents.push(intent, GFP_KERNEL)?;
    }
    let trans = Trans::start(journal, log(bytes), Claim::default())?;
    Chain::resume(trans, intents)?.commit(&mut World)?;
    Ok(())
}

/// A chain, the disk before it, and what is to be there after it.
struct Case {
    first: SyncJournal,
    before: Overlay,
    requests: Vec<Request>,
    bytes: u32,
    models: [Model; 2],
}

type Left = (Overlay, Vec<(IntentId, Work)>);

impl Case {
    fn open(&self, (disk, intents): &Left) -> (SyncJournal, Arc<ScratchDisk>) {
        let (journal, disk) = reopen(&self.first, disk.clone());
        journal.take_over(intents);
        (journal, disk)
    }

    fn fresh(&self) -> (SyncJournal, Arc<ScratchDisk>) {
        self.open(&(self.before.clone(), Vec::new()))
    }

    fn check(&self, journal: &SyncJournal) {
        assert!(journal.open_intents().is_empty());
        assert_eq!(journal.store().locked(), 0);
        assert_eq!(journal.shutdown(), None);
        for model in &self.models {
            assert_eq!(content(journal, model.device), model.content());
        }
    }

    /// Recovers, with more power cuts, until all is done.
    fn recover(&self, mut left: Left, random: &mut Random) {
        loop {
            let (journal, disk) = self.open(&left);
            if random.once_in(2) {
                journal.cut_after(random.below(6).into());
            }
            if recover(&journal, self.bytes).is_ok() {
                return self.check(&journal);
            }
            assert_eq!(journal.store().locked(), 0);
            left = (disk.snapshot(), journal.open_intents());
        }
    }
}

/// Runs chains of random requests, and hands each to `test` with the number of its commits.
fn chains(seed: u64, number: u32, test: impl Fn(&Case, u64, &mut Random)) {
    let mut random = Random::new(seed);
    let (mut first, mut disk) = journal(10);
    format(&first);
    let mut models = [Model::new(Device::Data), Model::new(Device::Realtime)];
    for _ in 0..number {
        let mut requests = Vec::new();
        for _ in 0..1 + random.below(8) {
            let model = &mut models[random.below(2) as usize];
            requests.extend(model.request(&mut random));
        }
        let before = disk.snapshot();
        let case = Case {
            first: reopen(&first, before.clone()).0,
            before,
            requests,
            bytes: 14_000 + random.below(30_000),
            models: models.clone(),
        };
        let (journal, after) = case.fresh();
        run(&journal, &case.requests, case.bytes).unwrap();
        case.check(&journal);
        test(&case, journal.commits(), &mut random);
        (first, disk) = reopen(&first, after.snapshot());
    }
    drop(first);
}

#[test]
fn a_chain_that_is_cut_at_any_commit_is_recovered_to_the_same_end() {
    chains(7, batches(25), |case, commits, random| {
        for cut in 1..commits {
            let (journal, disk) = case.fresh();
            journal.cut_after(cut);
            assert_eq!(run(&journal, &case.requests, case.bytes), Err(Error::Io));
            assert_eq!(journal.store().locked(), 0);
            let intents = journal.open_intents();
            assert!(!intents.is_empty(), "cut {cut} of {commits}");
            case.recover((disk.snapshot(), intents), random);
        }
    });
}

#[test]
fn a_chain_that_runs_out_of_memory_is_recovered_to_the_same_end() {
    chains(8, batches(4), |case, _, random| {
        for allowed in (0..).step_by(17) {
            let (journal, disk) = case.fresh();
            let result = {
                let _faults = FailAfter::new(allowed);
                run(&journal, &case.requests, case.bytes)
            };
            assert_eq!(journal.store().locked(), 0);
            let Err(error) = result else {
                return case.check(&journal);
            };
            assert_eq!(error, Error::NoMemory);
            // Nothing is left to others once an intent is in the log.
            let intents = journal.open_intents();
            assert!(intents.is_empty() || journal.shutdown().is_some());
            if journal.commits() == 0 {
                assert!(disk.snapshot().changes().eq(case.before.changes()));
            } else {
                case.recover((disk.snapshot(), intents), random);
            }
        }
    });
}

#[test]
fn less_log_space_takes_more_transactions() {
    let sums = Cell::new((0, 0));
    chains(9, batches(30), |case, _, _| {
        let (large, small) = sums.get();
        let commits = |bytes| {
            let (journal, _) = case.fresh();
            run(&journal, &case.requests, bytes).unwrap();
            case.check(&journal);
            journal.commits()
        };
        sums.set((large + commits(1 << 20), small + commits(1)));
    });
    let (large, small) = sums.get();
    assert!(large < small, "{large} and {small} commits");
}

#[test]
fn old_intents_are_logged_anew() {
    chains(10, batches(20), |case, commits, random| {
        let (journal, _) = case.fresh();
        journal.set_old_after(2);
        run(&journal, &case.requests, case.bytes).unwrap();
        case.check(&journal);
        assert!(journal.commits() >= commits);
        if journal.commits() == commits {
            return;
        }
        let cut = 1 + u64::from(random.below(journal.commits() as u32 - 1));
        let (journal, disk) = case.fresh();
        journal.set_old_after(2);
        journal.cut_after(cut);
        assert_eq!(run(&journal, &case.requests, case.bytes), Err(Error::Io));
        case.recover((disk.snapshot(), journal.open_intents()), random);
    });
}

#[test]
fn work_outside_the_device_shuts_the_file_system_down() {
    let (journal, _) = journal(10);
    format(&journal);
    let request = Request::AllocCow(Device::Data, 5 << 28, 1);
    assert_eq!(run(&journal, &[request], 1 << 20), Err(Error::Invalid));
    assert_eq!(journal.shutdown(), Some(Shutdown::Unfinished));
    assert_eq!(journal.store().locked(), 0);
}
