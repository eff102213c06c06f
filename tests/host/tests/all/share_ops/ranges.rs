// SPDX-License-Identifier: GPL-2.0

//! Files share and exchange what they hold.

use crate::share_ops::{steps, world::World};
use std::ops::Range;
use xfs_host::{
    fixture::{named, tree::Size, Shape},
    libxfs::{
        error::Error,
        format::{inode::flags::Flags2, units::InodeNumber},
        ops::{self, ExchangeRange, Remap, Seen},
        store::Store,
    },
    random::Random,
};

/// The realtime device with shared blocks.
pub static RT_SHARED: Shape = Shape {
    name: "rt-groups-reflink",
    args: &["-m", "metadir=1,reflink=1", "-r", "rgcount=4"],
    log: false,
    rt: true,
    filled: Some(Size::Small),
};

/// Files of a test.
const FILES: usize = 4;
/// Blocks in which most happens.
const BLOCKS: u32 = 120;

/// Files, and what they should hold.
struct Contents {
    world: World,
    files: Vec<(InodeNumber, Vec<u8>)>,
    random: Random,
    /// Blocks that are shared or exchanged as a whole.
    unit: u64,
    shares: bool,
}

impl Contents {
    fn new(shape: &'static Shape, seed: u64, realtime: bool) -> Self {
        let world = World::new(shape);
        let files = (0..FILES).map(|n| {
            let number = world.create(&format!("a file of the test {n}"), 0o100_644);
            if realtime {
                world.make_realtime(number);
            }
            (number, Vec::new())
        });
        let files = files.collect();
        let geo = world.journal.geometry();
        let unit = if realtime { geo.rt_extent_size } else { 1 };
        let shares = geo.features.reflink() && unit == 1;
        Self {
            unit: unit.into(),
            shares,
            files,
            world,
            random: Random::new(seed),
        }
    }

    fn block(&self) -> u64 {
        self.world.block_size() as u64
    }

    fn any(&mut self) -> usize {
        self.random.below(FILES as u32) as usize
    }

    fn write(&mut self) {
        let file = self.any();
        let block = self.world.block_size();
        let from = self.random.below(BLOCKS) as usize;
        let blocks = 1 + self.random.below(30) as usize;
        let (number, content) = &mut self.files[file];
        let more = ((from + blocks) * block).saturating_sub(content.len());
        let cut = match self.random.once_in(2) {
            true => self.random.below(more.min(block - 1) as u32 + 1) as usize,
            false => 0,
        };
        let mut bytes = Vec::new();
        // Few kinds of blocks, so that some are the same.
        for _ in 0..blocks {
            let kind = 1 + self.random.below(6) as u8;
            bytes.resize(bytes.len() + block, kind);
        }
        bytes.truncate(blocks * block - cut);
        self.world.write(*number, from as u64, &bytes);
        let start = from * block;
        // Between its end and that there are zeroes.
        content.resize(content.len().max(start + bytes.len()), 0);
        content[start..start + bytes.len()].copy_from_slice(&bytes);
    }

    fn punch(&mut self) {
        let file = self.any();
        let from = u64::from(self.random.below(BLOCKS));
        let end = from + 1 + u64::from(self.random.below(30));
        let block = self.block();
        let (number, content) = &mut self.files[file];
        self.world.punch(*number, from, end);
        let len = content.len();
        content[((from * block) as usize).min(len)..((end * block) as usize).min(len)].fill(0);
    }

    fn truncate(&mut self) {
        let file = self.any();
        let blocks = match self.random.once_in(2) {
            true => 0,
            false => u64::from(self.random.below(BLOCKS)),
        };
        let block = self.block();
        let (number, content) = &mut self.files[file];
        self.world.truncate(*number, blocks);
        content.truncate((blocks * block) as usize);
    }

    /// A place in a file: a block's beginning, or now and then not.
    fn place(&mut self) -> u64 {
        let at = u64::from(self.random.below(BLOCKS)) * self.block();
        match self.random.once_in(12) {
            true => at + 1 + u64::from(self.random.below(600)),
            false => at,
        }
    }

    /// What is to be remapped: a range that may well be wrong.
    fn remap(&mut self) -> (usize, usize, Remap) {
        let (source, target) = (self.any(), self.any());
        let (size, block) = (self.files[source].1.len() as u64, self.block());
        let (from, to) = match self.random.below(4) {
            0 => (0, 0),
            _ => (self.place(), self.place()),
        };
        let len = match self.random.below(5) {
            0 => 0,
            1 => size.saturating_sub(from),
            2 => 1 + u64::from(self.random.below(100_000)),
            _ => block * (1 + u64::from(self.random.below(40))),
        };
        let remap = Remap {
            source: self.files[source].0,
            from,
            target: self.files[target].0,
            to,
            len,
            may_shorten: self.random.once_in(2),
        };
        (source, target, remap)
    }

    /// How many bytes are shared as the manual has it; `None` where it is refused.
    fn expected(&self, source: usize, target: usize, remap: &Remap, dedupe: bool) -> Option<u64> {
        let (size, other) = (
            self.files[source].1.len() as u64,
            self.files[target].1.len() as u64,
        );
        let block = self.block();
        let mut len = match remap.len {
            0 if dedupe || remap.from == size => return Some(0),
            0 => size.checked_sub(remap.from)?,
            len => len,
        };
        let asked = len;
        if remap.from % block != 0 || remap.to % block != 0 || remap.from >= size {
            return None;
        }
        if dedupe && (remap.from + len > size || remap.to + len > other || remap.to >= other) {
            return None;
        }
        len = len.min(size - remap.from);
        let at_end = remap.from + len == size && (!dedupe || remap.to + len == other);
        if !at_end {
            len -= len % block;
        }
        if len != asked && !remap.may_shorten {
            return None;
        }
        let blocks = |at: u64| at / block..(at + len).div_ceil(block);
        let overlap = |one: Range<u64>, two: Range<u64>| one.start < two.end && two.start < one.end;
        if source == target && overlap(blocks(remap.from), blocks(remap.to)) {
            return None;
        }
        if len % block != 0 && remap.to + len < other {
            if !remap.may_shorten {
                return None;
            }
            len -= len % block;
        }
        Some(len)
    }

    fn bytes(&self, file: usize, at: u64, len: u64) -> &[u8] {
        &self.files[file].1[at as usize..(at + len) as usize]
    }

    fn clone_range(&mut self) {
        let (source, target, remap) = self.remap();
        let expected = self.expected(source, target, &remap, false);
        let done = ops::clone_range(&self.world.files(), &remap);
        if !self.shares {
            assert_eq!(done, Err(Error::Unsupported));
            return;
        }
        assert_eq!(done, expected.ok_or(Error::Invalid), "{remap:?}");
        let Some(len) = expected.filter(|&len| len != 0) else {
            return;
        };
        let new = self.bytes(source, remap.from, len).to_vec();
        let content = &mut self.files[target].1;
        let (start, end) = (remap.to as usize, (remap.to + len) as usize);
        content.resize(content.len().max(end), 0);
        content[start..end].copy_from_slice(&new);
        for file in [source, target] {
            let inode = self.world.inode(self.files[file].0);
            assert!(inode.core.flags2.has(Flags2::REFLINK));
        }
    }

    fn dedupe(&mut self) {
        let (source, target, remap) = self.remap();
        let expected = self.expected(source, target, &remap, true);
        let mut compared = None;
        let mut same = true;
        let done = ops::dedupe_range(&self.world.files(), &remap, |len| {
            let (one, other) = (self.world.read(remap.source), self.world.read(remap.target));
            let range = |at: u64| at as usize..(at + len) as usize;
            compared = Some(len);
            same = one[range(remap.from)] == other[range(remap.to)];
            Ok(same)
        });
        if !self.shares {
            assert_eq!(done, Err(Error::Unsupported));
            return;
        }
        match (done, expected) {
            (Ok(Some(done)), Some(len)) => assert_eq!((done, same), (len, true)),
            (Ok(None), Some(_)) => assert!(!same),
            // Only a part of a block at the end of both can be more than what may be done.
            (done, None) => assert_eq!(done, Err(Error::Invalid)),
            (done, expected) => panic!("{done:?}, not {expected:?}: {remap:?}"),
        }
    }

    fn exchange(&mut self) {
        let (one, two) = (self.any(), self.any());
        let unit = self.unit * self.block();
        let block = self.block();
        let at = |contents: &mut Self| {
            let at = u64::from(contents.random.below(BLOCKS)) * block;
            match contents.random.once_in(12) {
                true => at + 1,
                false => at / unit * unit,
            }
        };
        let offsets = match self.random.once_in(3) {
            true => [0, 0],
            false => [at(self), at(self)],
        };
        let len = match self.random.below(4) {
            0 => u64::from(self.random.below(100_000)),
            _ => unit * u64::from(self.random.below(40)),
        };
        let to_end = self.random.once_in(3);
        let range = ExchangeRange {
            files: [self.files[one].0, self.files[two].0],
            offsets,
            len,
            to_end,
            // What is behind a new end is for the kernel to make zeroes of.
            written_only: unit == block && !to_end && self.random.once_in(3),
            dry_run: self.random.once_in(8),
            seen: None,
        };
        let written = self.world.written(range.files[0]);
        let expected = self.exchanged(one, two, &range);
        let done = ops::exchange_range(&self.world.files(), &range).map(|_| ());
        if !self.world.journal.geometry().features.exchange_range() {
            assert_eq!(done, Err(Error::Unsupported));
            return;
        }
        assert_eq!(done.is_ok(), expected.is_some(), "{range:?}: {done:?}");
        let Some(len) = expected.filter(|_| !range.dry_run) else {
            return;
        };
        self.swap((one, two), &range, len, &written);
    }

    /// How many bytes are exchanged; `None` where that is refused.
    fn exchanged(&self, one: usize, two: usize, range: &ExchangeRange) -> Option<u64> {
        let sizes = [one, two].map(|file| self.files[file].1.len() as u64);
        let unit = self.unit * self.block();
        let rest = [0, 1].map(|n| sizes[n].checked_sub(range.offsets[n]));
        let (first, second) = (rest[0]?, rest[1]?);
        let len = match range.to_end {
            true => first.max(second),
            false => range.len,
        };
        let ends = range.to_end || len <= first && len <= second;
        let aligned = range.offsets.iter().all(|at| at % unit == 0);
        let part = len % unit != 0;
        // A part of a unit is at the end of both, or of the longer one.
        if !ends || !aligned || part && (len < first || len < second) {
            return None;
        }
        let units = |at: u64| at / unit..(at + len).div_ceil(unit);
        let (mine, theirs) = (units(range.offsets[0]), units(range.offsets[1]));
        let overlap = mine.start < theirs.end && theirs.start < mine.end;
        if one == two && (overlap || range.to_end) {
            return None;
        }
        Some(len)
    }

    fn swap(
        &mut self,
        (one, two): (usize, usize),
        range: &ExchangeRange,
        len: u64,
        written: &[bool],
    ) {
        let block = self.world.block_size();
        let [at1, at2] = range.offsets.map(|at| at as usize);
        let sizes = [one, two].map(|file| self.files[file].1.len());
        // As far as whole blocks, of which those behind an end are zeroes.
        let span = (len as usize).next_multiple_of(block);
        for (file, at) in [(one, at1), (two, at2)] {
            let content = &mut self.files[file].1;
            content.resize(content.len().max(at + span), 0);
        }
        for n in (0..span).step_by(block) {
            let is_written = written.get((at1 + n) / block).copied().unwrap_or(false);
            if range.written_only && !is_written {
                continue;
            }
            let mine = self.files[one].1[at1 + n..at1 + n + block].to_vec();
            let theirs = self.files[two].1[at2 + n..at2 + n + block].to_vec();
            self.files[one].1[at1 + n..at1 + n + block].copy_from_slice(&theirs);
            self.files[two].1[at2 + n..at2 + n + block].copy_from_slice(&mine);
        }
        let new = match range.to_end {
            true => [at1 + sizes[1] - at2, at2 + sizes[0] - at1],
            false => sizes,
        };
        for (file, size) in [one, two].into_iter().zip(new) {
            self.files[file].1.truncate(size);
        }
    }

    fn step(&mut self) {
        match self.random.below(16) {
            0..=3 => self.write(),
            4 => self.punch(),
            5 => self.truncate(),
            6..=10 => self.clone_range(),
            11..=12 => self.dedupe(),
            _ => self.exchange(),
        }
        assert_eq!(self.world.journal.shutdown(), None);
    }

    fn compare(&self, what: &str) {
        for (number, content) in &self.files {
            let found = self.world.read(*number);
            assert_eq!(found.len(), content.len(), "{what}: size of {number}");
            let at = found
                .iter()
                .zip(content)
                .position(|(one, other)| one != other);
            assert_eq!(at, None, "{what}: {number}");
        }
    }
}

fn random_ranges(shape: &'static Shape, seed: u64, realtime: bool) {
    let mut contents = Contents::new(shape, seed, realtime);
    for step in 0..steps(400) {
        contents.step();
        if step % 20 == 0 {
            contents.compare(&format!("{}, step {step}", shape.name));
        }
    }
    contents.compare(shape.name);
    contents.world.check();
    contents.world.repair();
}

macro_rules! shapes {
    ($($name:ident: $shape:expr, $seed:literal, $realtime:literal;)*) => {
        $(
            #[test]
            fn $name() {
                random_ranges($shape, $seed, $realtime);
            }
        )*
    };
}

shapes! {
    files_share_and_exchange_by_default: named("default"), 1, false;
    files_share_and_exchange_small_blocks: named("block-1k"), 2, false;
    files_share_and_exchange_large_blocks: named("block-64k"), 3, false;
    files_share_and_exchange_over_many_groups: named("many-groups"), 4, false;
    files_share_and_exchange_without_owners: named("no-rmapbt"), 5, false;
    files_share_and_exchange_in_large_inodes: named("inode-1024"), 6, false;
    files_exchange_where_nothing_is_shared: named("no-reflink"), 7, false;
    files_neither_share_nor_exchange: named("bare"), 8, false;
    files_on_the_realtime_device: named("rt"), 9, true;
    files_in_realtime_groups: named("rt-groups"), 10, true;
    files_that_share_in_realtime_groups: &RT_SHARED, 11, true;
    files_in_small_blocks_of_realtime_groups: named("rt-groups-1k"), 12, true;
    files_in_large_realtime_extents: named("rt-extent-64k"), 13, true;
    files_in_large_extents_of_realtime_groups: named("rt-groups-extent-16k"), 14, true;
}

#[test]
fn a_file_that_was_changed_meanwhile_is_not_exchanged() {
    let world = World::new(named("empty"));
    let numbers = ["one", "two"].map(|name| world.create(name, 0o100_644));
    let block = world.block_size();
    world.write(numbers[0], 0, &vec![1; 4 * block]);
    world.write(numbers[1], 0, &vec![2; 4 * block]);
    let core = world.inode(numbers[1]).core.clone();
    let seen = Seen {
        generation: core.generation,
        ctime: core.ctime,
        mtime: core.mtime,
    };
    let range = |seen| ExchangeRange {
        files: numbers,
        offsets: [0, 0],
        len: 4 * block as u64,
        to_end: false,
        written_only: false,
        dry_run: false,
        seen: Some(seen),
    };
    ops::exchange_range(&world.files(), &range(seen)).unwrap();
    assert_eq!(world.read(numbers[0]), vec![2; 4 * block]);
    // The exchange changed it.
    let again = ops::exchange_range(&world.files(), &range(seen));
    assert_eq!(again.map(|_| ()), Err(Error::Stale));
    assert_eq!(world.read(numbers[0]), vec![2; 4 * block]);
    world.repair();
}

#[test]
fn a_clone_of_all_takes_the_hint_along() {
    let world = World::new(named("empty"));
    let numbers = ["one", "two", "three"].map(|name| world.create(name, 0o100_644));
    let block = world.block_size();
    world.write(numbers[0], 0, &vec![1; 5 * block + 100]);
    world.set_hints(numbers[0], 0, 16);
    for (target, to) in [(numbers[1], 0), (numbers[2], 8 * block as u64)] {
        let remap = Remap {
            source: numbers[0],
            from: 0,
            target,
            to,
            len: 0,
            may_shorten: false,
        };
        let done = ops::clone_range(&world.files(), &remap);
        assert_eq!(done, Ok(5 * block as u64 + 100));
    }
    assert_eq!(world.inode(numbers[1]).core.cowextsize, 16);
    assert_eq!(world.inode(numbers[2]).core.cowextsize, 0);
    assert_eq!(world.read(numbers[1]), world.read(numbers[0]));
    world.repair();
}
