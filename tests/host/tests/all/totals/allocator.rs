// SPDX-License-Identifier: GPL-2.0

//! The allocator of a group, filled with short extents, emptied in another order, and filled again.

use super::Operations;
use crate::allocator::{opened, Group, How, SMALL_BLOCKS};
use xfs_host::{
    fixture::named,
    journal::SyncJournal,
    libxfs::{
        ag::{self, LockedAgf},
        alloc::{by_size, exact, fill_list, free, longest_usable, near, take_surplus, Request},
        error::Result,
        format::{
            btree::FreeExtent,
            units::{AgBlock, AgNumber},
        },
        journal::Claim,
        trans::{LogReservation, Trans},
    },
    random::Random,
};

/// Most operations of an image.
const MOST: u64 = 400_000;

/// Operations until what was mostly taken is mostly freed.
const PHASE: u64 = 25_000;

const LOG: LogReservation = LogReservation {
    bytes: 1 << 20,
    count: 1,
    permanent: true,
};

/// What a group keeps back: with less, its list cannot be filled before each change.
const KEPT: u32 = 24;

fn request(random: &mut Random) -> Request {
    let mut length = || {
        let most = [1, 2, 8, 8, 40, 40, 400, 3000][random.below(8) as usize];
        1 + random.below(most)
    };
    let (one, other) = (length(), length());
    let odd = |random: &mut Random, most| match random.once_in(4) {
        true => 1 + random.below(most),
        false => 1,
    };
    let multiple = odd(random, 20);
    Request {
        alignment: odd(random, 70),
        multiple,
        remainder: random.below(multiple),
        ..Request::new(one.min(other), one.max(other))
    }
}

/// A group that is changed many times in a transaction.
struct Changing<'j> {
    group: Group<'j>,
    random: Random,
    /// Whether extents are mostly taken, or mostly freed.
    fills: bool,
    /// How often there was no space.
    full: u64,
}

impl<'j> Changing<'j> {
    /// Some changes in one transaction; how many there were.
    fn batch(&mut self) -> Result<u64> {
        let claim = Claim {
            blocks: 100_000,
            ..Claim::default()
        };
        let mut trans = Trans::start(self.group.journal, LOG, claim)?;
        let agf = LockedAgf::lock(&mut trans, self.group.ag)?;
        let mut done = 0;
        for _ in 0..1 + self.random.below(30) {
            done += u64::from(self.change(&mut trans, &agf)?);
        }
        let mut surplus = Vec::new();
        while let Some(block) = take_surplus(&mut trans, &agf)? {
            surplus.push(block);
        }
        trans.commit()?;
        // To be freed in a later transaction.
        self.group.surplus.extend(surplus);
        Ok(done)
    }

    /// One change; whether there was any.
    fn change(&mut self, trans: &mut Trans<'j, SyncJournal>, agf: &LockedAgf) -> Result<bool> {
        let model = &mut self.group.free;
        let is_long_enough = fill_list(trans, agf, |_, _, extent| {
            model.note_taken(extent);
            Ok(())
        })?;
        assert!(is_long_enough);
        if let Some(start) = self.group.surplus.pop() {
            // One of the list counts as free already.
            free(trans, agf, start, 1)?;
            self.group.free.note_freed(&FreeExtent { start, count: 1 });
            return Ok(true);
        }
        let takes = self.random.below(16) < if self.fills { 12 } else { 4 };
        if takes || self.group.taken.is_empty() {
            return self.take(trans, agf);
        }
        let taken = &mut self.group.taken;
        let nth = self.random.below(taken.len() as u32) as usize;
        let whole = taken.swap_remove(nth);
        let at = match self.random.once_in(3) {
            true => self.random.below(whole.count),
            false => 0,
        };
        let part = FreeExtent {
            start: AgBlock(whole.start.0 + at),
            count: 1 + self.random.below(whole.count - at),
        };
        let behind = whole.count - at - part.count;
        let rest = [(whole.start, at), (part.end(), behind)];
        let rest = rest.into_iter().filter(|&(_, count)| count > 0);
        taken.extend(rest.map(|(start, count)| FreeExtent { start, count }));
        self.give(trans, agf, part)
    }

    fn take(&mut self, trans: &mut Trans<'j, SyncJournal>, agf: &LockedAgf) -> Result<bool> {
        let request = request(&mut self.random);
        let geo = trans.geometry().clone();
        let header = agf.get(trans)?;
        if longest_usable(&geo, header, KEPT) < request.min {
            self.full += 1;
            return Ok(false);
        }
        let at = AgBlock(self.random.below(geo.ag_blocks));
        let how = [How::Exact, How::Near, How::BySize][self.random.below(3) as usize];
        let got = match how {
            How::Exact => exact(trans, agf, at, &request)?,
            How::Near => near(trans, agf, at, &request)?,
            How::BySize => by_size(trans, agf, &request)?,
        };
        if let Some(got) = got {
            trans.take_blocks(got.count.into())?;
        }
        self.group.free.judge(how, at.0, &request, got);
        self.group.taken.extend(got);
        Ok(true)
    }

    fn give(
        &mut self,
        trans: &mut Trans<'j, SyncJournal>,
        agf: &LockedAgf,
        extent: FreeExtent,
    ) -> Result<bool> {
        free(trans, agf, extent.start, extent.count)?;
        trans.give_blocks(extent.count.into());
        self.group.free.note_freed(&extent);
        Ok(true)
    }

    /// The levels of the tree by block.
    fn levels(&self) -> u32 {
        let agf = ag::read_agf(self.group.journal, self.group.ag).unwrap();
        agf.bno_level.get()
    }
}

#[test]
fn any_number_of_allocations_are_as_a_map_has_them() {
    let mut operations = Operations::of("allocator", 30_000);
    let (mut levels, mut full, mut most) = (0, 0, 0);
    for seed in 0.. {
        if !operations.are_left() {
            break;
        }
        let shape = [&SMALL_BLOCKS, named("no-rmapbt")][seed as usize % 2];
        let (journal, disk, image) = opened(shape);
        let mut changing = Changing {
            group: Group::new(&journal, AgNumber(1)),
            random: Random::new(seed),
            fills: true,
            full: 0,
        };
        let end = operations.done + operations.of_a_world(MOST, 2);
        while operations.done < end {
            changing.fills = operations.done / PHASE % 2 == 0;
            operations.did(changing.batch().unwrap());
            if operations.is_due(10_000) {
                changing.group.compare();
                levels = levels.max(changing.levels());
                most = most.max(changing.group.free.by_block.len());
            }
        }
        changing.group.compare();
        changing.group.free_all();
        full += changing.full;
        journal.unmount().unwrap();
        image.check_changed(&disk.snapshot());
    }
    operations.tell();
    println!("allocator: {levels} levels, {most} free extents, no space {full} times");
    assert!(levels >= 2 && full > 0, "{levels} levels, {full}");
}
