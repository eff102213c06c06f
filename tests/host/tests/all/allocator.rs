// SPDX-License-Identifier: GPL-2.0

//! The allocator of a group against a plain map of what is free, on real images.

use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use xfs_host::{
    fixture::{named, tree::Size, Image, Shape},
    image::{Disks, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        ag::{self, LockedAgf},
        alloc::{by_size, exact, fill_list, free, longest_usable, near, take_surplus, Request},
        error::{Error, Result},
        format::{
            btree::FreeExtent,
            units::{AgBlock, AgNumber},
        },
        journal::Claim,
        store::Store,
        trans::{LogReservations, Trans},
    },
};

/// Small blocks, so that the trees grow.
pub static SMALL_BLOCKS: Shape = Shape {
    name: "block-1k-no-rmapbt",
    args: &["-b", "size=1024", "-m", "rmapbt=0", "-d", "agcount=8"],
    log: false,
    rt: false,
    filled: Some(Size::Small),
};

/// What is done to a group.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Takes blocks at, near or wherever.
    Take(How, u32, Request),
    /// Frees part of what was taken before.
    Free(u32, u32, u32),
    /// Frees every second block of a run that was taken before.
    Shred(u32),
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Exact,
    Near,
    BySize,
}

fn request() -> impl Strategy<Value = Request> {
    let lengths = prop_oneof![Just(1u32), 1u32..40, 1u32..3000];
    let alignment = prop_oneof![3 => Just(1u32), 1 => 1u32..70];
    let multiple = prop_oneof![3 => Just(1u32), 1 => 2u32..20];
    (lengths.clone(), lengths, alignment, multiple, any::<u32>()).prop_map(
        |(one, other, alignment, multiple, remainder)| Request {
            alignment,
            multiple,
            remainder: remainder % multiple,
            ..Request::new(one.min(other), one.max(other))
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let how = prop_oneof![Just(How::Exact), Just(How::Near), Just(How::BySize)];
    prop_oneof![
        4 => (how, any::<u32>(), request()).prop_map(|(how, at, request)| Op::Take(how, at, request)),
        3 => any::<(u32, u32, u32)>().prop_map(|(which, at, len)| Op::Free(which, at, len)),
        1 => any::<u32>().prop_map(Op::Shred),
    ]
}

/// What should be free: each extent's length by its first block, and the same by length.
#[derive(Default)]
pub struct Free {
    pub by_block: BTreeMap<u32, u32>,
    by_length: BTreeSet<(u32, u32)>,
}

impl Free {
    fn add(&mut self, start: u32, count: u32) {
        self.by_block.insert(start, count);
        self.by_length.insert((count, start));
    }

    fn drop(&mut self, start: u32) -> Option<u32> {
        let count = self.by_block.remove(&start)?;
        self.by_length.remove(&(count, start));
        Some(count)
    }

    /// Removes an extent from the free ones.
    pub fn note_taken(&mut self, extent: &FreeExtent) {
        let before = self.by_block.range(..=extent.start.0).next_back();
        let (&start, &count) = before.unwrap();
        let end = start + count;
        assert!(extent.end().0 <= end);
        self.drop(start);
        if start < extent.start.0 {
            self.add(start, extent.start.0 - start);
        }
        if extent.end().0 < end {
            self.add(extent.end().0, end - extent.end().0);
        }
    }

    /// Adds an extent to the free ones.
    pub fn note_freed(&mut self, extent: &FreeExtent) {
        let (mut start, mut count) = (extent.start.0, extent.count);
        if let Some(behind) = self.drop(start + count) {
            count += behind;
        }
        if let Some((&before, &len)) = self.by_block.range(..start).next_back() {
            if before + len == start {
                self.drop(before);
                (start, count) = (before, count + len);
            }
        }
        self.add(start, count);
    }

    /// The most that a request can get out of all that is free.
    fn best(&self, request: &Request) -> Option<u32> {
        let mut best = None;
        // The longest come first, and none gives more than it has.
        for &(count, start) in self.by_length.iter().rev() {
            if count < request.min || best >= Some(count) {
                break;
            }
            best = best.max(length_from(start, count, request));
        }
        best
    }

    /// That an answer is right, and takes what was given.
    pub fn judge(&mut self, how: How, at: u32, request: &Request, taken: Option<FreeExtent>) {
        match (how, taken) {
            (How::Exact, None) => {
                let around = self.by_block.range(..=at).next_back();
                let left = around.map_or(0, |(start, count)| (start + count).saturating_sub(at));
                assert!(left < request.min);
            }
            (How::Exact, Some(taken)) => assert_eq!(taken.start.0, at),
            (_, None) => assert_eq!(self.best(request), None),
            (_, Some(taken)) => {
                assert_eq!(taken.start.0 % request.alignment, 0);
                assert_eq!(Some(taken.count), self.best(request), "{how:?} {request:?}");
            }
        }
        if let Some(taken) = taken {
            assert_eq!(length(taken.count, request), Some(taken.count));
            self.note_taken(&taken);
        }
    }
}

/// The length that a request takes of so many blocks.
fn length(available: u32, request: &Request) -> Option<u32> {
    let most = available.min(request.max);
    if most < request.min {
        return None;
    }
    let fits = |len: &u32| len % request.multiple == request.remainder;
    Some((request.min..=most).rev().find(fits).unwrap_or(most))
}

/// The length that it gets out of a free extent.
fn length_from(start: u32, count: u32, request: &Request) -> Option<u32> {
    let skipped = start.next_multiple_of(request.alignment) - start;
    length(count.checked_sub(skipped)?, request)
}

/// A group and what should be in it.
pub struct Group<'j> {
    pub journal: &'j SyncJournal,
    log: LogReservations,
    pub ag: AgNumber,
    pub free: Free,
    pub taken: Vec<FreeExtent>,
    /// Taken off the list, to be freed in a later transaction.
    pub surplus: Vec<AgBlock>,
}

impl<'j> Group<'j> {
    pub fn new(journal: &'j SyncJournal, ag: AgNumber) -> Self {
        let mut group = Self {
            journal,
            log: LogReservations::new(journal.geometry()).unwrap(),
            ag,
            free: Free::default(),
            taken: Vec::new(),
            surplus: Vec::new(),
        };
        for extent in group.by_block() {
            group.free.add(extent.start.0, extent.count);
        }
        group
    }

    fn by_block(&self) -> Vec<FreeExtent> {
        let agf = ag::read_agf(self.journal, self.ag).unwrap();
        let mut cursor = ag::bno(self.journal, self.ag, &agf).unwrap();
        let mut found = Vec::new();
        let mut extent = cursor.seek_first().unwrap();
        while let Some(here) = extent {
            found.push(here);
            extent = cursor.next().unwrap();
        }
        found
    }

    fn by_length(&self) -> Vec<FreeExtent> {
        let agf = ag::read_agf(self.journal, self.ag).unwrap();
        let mut cursor = ag::cnt(self.journal, self.ag, &agf).unwrap();
        let mut found = Vec::new();
        let mut extent = cursor.seek_first().unwrap();
        while let Some(here) = extent {
            found.push(here);
            extent = cursor.next().unwrap();
        }
        found
    }

    /// Runs `work` in a transaction of its own, with the list filled before.
    fn transact<R>(
        &mut self,
        claim: u64,
        work: impl FnOnce(&mut Trans<'j, SyncJournal>, &LockedAgf) -> Result<R>,
    ) -> Result<R> {
        let claim = Claim {
            blocks: claim,
            ..Claim::default()
        };
        let mut trans = Trans::start(self.journal, self.log.truncate, claim)?;
        let agf = LockedAgf::lock(&mut trans, self.ag)?;
        let mut listed = Vec::new();
        let full = fill_list(&mut trans, &agf, |_, _, extent| {
            listed.push(*extent);
            Ok(())
        })?;
        assert!(full);
        let result = work(&mut trans, &agf)?;
        let mut surplus = Vec::new();
        while let Some(block) = take_surplus(&mut trans, &agf)? {
            surplus.push(block);
        }
        trans.commit()?;
        for extent in listed {
            self.free.note_taken(&extent);
        }
        self.surplus.extend(surplus);
        Ok(result)
    }

    fn take(&mut self, how: How, at: u32, request: &Request) {
        let agf = ag::read_agf(self.journal, self.ag).unwrap();
        let geo = self.journal.geometry();
        if longest_usable(geo, &agf, 200) < request.min {
            return;
        }
        let at = AgBlock(at % geo.ag_blocks);
        let most = request.max.into();
        let taken = self.transact(most, |trans, agf| {
            let taken = match how {
                How::Exact => exact(trans, agf, at, request)?,
                How::Near => near(trans, agf, at, request)?,
                How::BySize => by_size(trans, agf, request)?,
            };
            if let Some(taken) = taken {
                trans.take_blocks(taken.count.into())?;
            }
            Ok(taken)
        });
        let taken = taken.unwrap();
        self.free.judge(how, at.0, request, taken);
        self.taken.extend(taken);
    }

    fn give(&mut self, extent: FreeExtent) {
        self.transact(0, |trans, agf| {
            free(trans, agf, extent.start, extent.count)?;
            trans.give_blocks(extent.count.into());
            Ok(())
        })
        .unwrap();
        self.free.note_freed(&extent);
    }

    fn settle(&mut self) {
        // Each may leave more.
        while let Some(start) = self.surplus.pop() {
            let extent = FreeExtent { start, count: 1 };
            self.transact(0, |trans, agf| free(trans, agf, start, 1))
                .unwrap();
            self.free.note_freed(&extent);
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Take(how, at, request) => self.take(how, at, &request),
            Op::Free(which, at, len) => {
                let Some(n) = (which as usize).checked_rem(self.taken.len()) else {
                    return;
                };
                let whole = self.taken.swap_remove(n);
                let at = at % whole.count;
                let count = 1 + len % (whole.count - at);
                let part = FreeExtent {
                    start: AgBlock(whole.start.0 + at),
                    count,
                };
                let rest = [(whole.start, at), (part.end(), whole.count - at - count)];
                for (start, count) in rest {
                    if count > 0 {
                        self.taken.push(FreeExtent { start, count });
                    }
                }
                self.give(part);
            }
            Op::Shred(which) => {
                let Some(n) = (which as usize).checked_rem(self.taken.len()) else {
                    return;
                };
                let whole = self.taken.swap_remove(n);
                for block in 0..whole.count {
                    let extent = FreeExtent {
                        start: AgBlock(whole.start.0 + block),
                        count: 1,
                    };
                    if block % 2 == 0 && block < 800 {
                        self.give(extent);
                    } else {
                        self.taken.push(extent);
                    }
                }
            }
        }
        self.settle();
    }

    /// That both trees and the header say what they should.
    pub fn compare(&self) {
        let mut expected: Vec<_> = self
            .free
            .by_block
            .iter()
            .map(|(&start, &count)| FreeExtent {
                start: AgBlock(start),
                count,
            })
            .collect();
        assert_eq!(self.by_block(), expected);
        expected.sort_by_key(|extent| (extent.count, extent.start));
        assert_eq!(self.by_length(), expected);
        let agf = ag::read_agf(self.journal, self.ag).unwrap();
        let sum: u32 = expected.iter().map(|extent| extent.count).sum();
        assert_eq!(agf.freeblks.get(), sum);
        let longest = expected.last().map_or(0, |extent| extent.count);
        assert_eq!(agf.longest.get(), longest);
    }

    pub fn free_all(&mut self) {
        while let Some(extent) = self.taken.pop() {
            self.give(extent);
            self.settle();
        }
        self.compare();
    }
}

pub fn opened(shape: &'static Shape) -> (SyncJournal, Arc<ScratchDisk>, Image) {
    let image = Image::small(shape);
    let disk = Arc::new(ScratchDisk::new(image.disks().data));
    let journal = SyncJournal::open(Disks::data(disk.clone())).unwrap();
    (journal, disk, image)
}

fn agrees(shape: &'static Shape, ops: &[Op]) {
    let (journal, disk, image) = opened(shape);
    let mut group = Group::new(&journal, AgNumber(1));
    for op in ops {
        group.run(*op);
    }
    group.compare();
    group.free_all();
    journal.unmount().unwrap();
    image.check_changed(&disk.snapshot());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("XFS_RUST_LONG").is_some() { 60 } else { 4 }
    ))]

    #[test]
    fn it_agrees_with_a_map_on_small_blocks(ops in vec(op(), 1..60)) {
        agrees(&SMALL_BLOCKS, &ops);
    }

    #[test]
    fn it_agrees_with_a_map_on_default_blocks(ops in vec(op(), 1..60)) {
        agrees(named("no-rmapbt"), &ops);
    }
}

#[test]
fn blocks_that_are_free_are_not_freed_again() {
    let (journal, disk, _) = opened(named("no-rmapbt"));
    let before = disk.snapshot().changes().count();
    let extent = *Group::new(&journal, AgNumber(1)).by_block().last().unwrap();
    let ends = [
        (extent.start.0, 1),
        (extent.start.0 - 1, 2),
        (extent.end().0 - 1, 1),
    ];
    for (start, count) in ends {
        let (journal, disk, _) = opened(named("no-rmapbt"));
        let mut group = Group::new(&journal, AgNumber(1));
        let freed = group.transact(0, |trans, agf| free(trans, agf, AgBlock(start), count));
        assert!(matches!(freed, Err(Error::Corrupt(_))));
        assert_eq!(disk.snapshot().changes().count(), before);
    }
}

#[test]
fn a_full_group_gives_nothing_and_is_whole_again_when_all_is_freed() {
    let (journal, disk, image) = opened(&SMALL_BLOCKS);
    let mut group = Group::new(&journal, AgNumber(2));
    let request = Request::new(1, 5000);
    loop {
        let before = group.taken.len();
        group.take(How::BySize, 0, &request);
        group.settle();
        if group.taken.len() == before {
            break;
        }
    }
    group.compare();
    let left: u32 = group.free.by_block.values().sum();
    assert!(left < 400, "{left} blocks are left");
    group.free_all();
    journal.unmount().unwrap();
    image.check_changed(&disk.snapshot());
}
