// SPDX-License-Identifier: GPL-2.0

//! Operations by which files share and exchange what they hold.

use super::Workload;
use crate::{
    file_io::FileIo,
    libxfs::{
        error::{Error, Result},
        format::{
            inode::{flags::Flags2, InodeCore},
            units::InodeNumber,
        },
        inode::{Inode, Trust, WhichFork},
        ops::{self, ExchangeRange, Remap},
        store::{Device, Store},
    },
};

/// Two files, one maybe twice, and what each holds.
struct Pair {
    numbers: [InodeNumber; 2],
    contents: [Vec<u8>; 2],
    /// Bytes in which space is given out where both have their content; none if that is two devices.
    unit: Option<u64>,
}

impl Workload<'_, '_> {
    fn pair(&mut self) -> Result<Option<Pair>> {
        let (Some(one), Some(mut two)) = (self.any_file()?, self.any_file()?) else {
            return Ok(None);
        };
        let journal = self.journal;
        let device = |number| -> Result<Device> {
            Ok(Inode::read(journal, number, Trust::Trusted)?.device(WhichFork::Data))
        };
        // What lies on two devices is refused, and need not come up often.
        if device(one)? != device(two)? {
            two = self.any_file()?.unwrap_or(two);
        }
        let content = |number| self.model.contents[&number].clone();
        let unit = self.unit(one)?;
        Ok(Some(Pair {
            contents: [content(one), content(two)],
            numbers: [one, two],
            unit: (device(one)? == device(two)?).then_some(unit),
        }))
    }

    /// A block's beginning, or now and then another byte: mostly one of the content.
    fn block_start(&mut self, content: &[u8]) -> u64 {
        let block = self.journal.geometry().block_size;
        let below = match content.len() as u32 {
            len if len != 0 && !self.random.once_in(4) => len,
            _ => self.limit() as u32,
        };
        let at = self.random.below(below);
        u64::from(match self.random.once_in(16) {
            true => at,
            false => at / block * block,
        })
    }

    /// A range of one file for another, which may well be none that can be shared.
    fn remap(&mut self, pair: &Pair) -> Remap {
        let size = pair.contents[0].len() as u64;
        let block = u64::from(self.journal.geometry().block_size);
        let (from, to) = match self.random.once_in(4) {
            true => (0, 0),
            false => {
                let [source, target] = &pair.contents;
                (self.block_start(source), self.block_start(target))
            }
        };
        let len = match self.random.below(4) {
            0 => 0,
            1 => size.saturating_sub(from),
            _ => block * u64::from(1 + self.random.below(40)),
        };
        let [source, target] = pair.numbers;
        Remap {
            source,
            from,
            target,
            to,
            len,
            may_shorten: self.random.once_in(2),
        }
    }

    /// How many bytes are shared; `None` where that is to be refused.
    fn length(&self, pair: &Pair, remap: &Remap, dedupe: bool) -> Option<u64> {
        let [size, other] = [0, 1].map(|n| pair.contents[n].len() as u64);
        let block = u64::from(self.journal.geometry().block_size);
        // Larger realtime extents are not shared.
        if pair.unit? != block {
            return None;
        }
        let asked = match remap.len {
            0 if dedupe || remap.from == size => return Some(0),
            0 => size.checked_sub(remap.from)?,
            len => len,
        };
        let aligned = remap.from % block == 0 && remap.to % block == 0;
        let inside = |len: u64| remap.from + len <= size && remap.to + len <= other;
        if !aligned || remap.from >= size || dedupe && !(inside(asked) && remap.to < other) {
            return None;
        }
        let mut len = asked.min(size - remap.from);
        if remap.from + len < size || dedupe && remap.to + len < other {
            len -= len % block;
        }
        let blocks = |at: u64| (at / block, (at + len).div_ceil(block));
        let ((first, last), (start, end)) = (blocks(remap.from), blocks(remap.to));
        let overlap = remap.source == remap.target && first < end && start < last;
        if overlap || len != asked && !remap.may_shorten {
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

    fn shares(&self) -> bool {
        self.journal.geometry().features.reflink()
    }

    /// The CoW extent size hint that a clone of all of a file over all of another one takes along.
    fn carried_hint(&self, remap: &Remap, len: u64) -> Result<Option<u32>> {
        let core = |number| -> Result<InodeCore> {
            Ok(Inode::read(self.journal, number, Trust::Trusted)?.core)
        };
        let (source, target) = (core(remap.source)?, core(remap.target)?);
        let all = remap.from == 0 && remap.to == 0 && len == source.size && len >= target.size;
        let hinted = |core: &InodeCore| core.flags2.has(Flags2::COWEXTSIZE);
        let carried = all && len != 0 && hinted(&source) && !hinted(&target);
        Ok(Some(source.cowextsize).filter(|&hint| carried && hint != 0))
    }

    pub(super) fn clone_range(&mut self) -> Result<bool> {
        let Some(pair) = self.pair()? else {
            return Ok(false);
        };
        let remap = self.remap(&pair);
        let expected = self.length(&pair, &remap, false).filter(|_| self.shares());
        let Some(len) = expected else {
            return match self.files(|files| ops::clone_range(files, &remap)) {
                Err(Error::Invalid | Error::Unsupported) => Ok(false),
                Err(error) => Err(error),
                // It should have been refused.
                Ok(_) => Err(Error::Invalid),
            };
        };
        let [source, mut wanted] = pair.contents;
        let (from, to) = (remap.from as usize, remap.to as usize);
        let end = to + len as usize;
        if len != 0 {
            wanted.resize(wanted.len().max(end), 0);
            wanted[to..end].copy_from_slice(&source[from..from + len as usize]);
        }
        let carried = self.carried_hint(&remap, len)?;
        let done = self.change(remap.target, wanted, |file| {
            // Where fewer will do, a lack of space is no error.
            let all = file.clone_range(&remap)? == len;
            all.then_some(()).ok_or(Error::NoSpace)
        })?;
        if let Some(hint) = carried {
            if let Some(attributes) = self.model.attributes.get_mut(&remap.target) {
                attributes.flags2 |= Flags2::COWEXTSIZE;
                attributes.hints.1 = hint;
            }
        }
        Ok(done)
    }

    pub(super) fn dedupe(&mut self) -> Result<bool> {
        let Some(pair) = self.pair()? else {
            return Ok(false);
        };
        let remap = self.remap(&pair);
        let expected = self.length(&pair, &remap, true).filter(|_| self.shares());
        let io = FileIo::new(self.journal);
        let done = self.files(|files| {
            ops::dedupe_range(files, &remap, |len| {
                let part = |number, at: u64| -> Result<Vec<u8>> {
                    let content = io.read_all(number)?;
                    Ok(content[at as usize..(at + len) as usize].to_vec())
                };
                Ok(part(remap.source, remap.from)? == part(remap.target, remap.to)?)
            })
        });
        match (done, expected) {
            (Ok(done), Some(_)) => Ok(done.is_some()),
            (Err(Error::Invalid | Error::Unsupported), None) => Ok(false),
            (Err(error), _) => Err(error),
            // It should have been refused.
            (Ok(_), None) => Err(Error::Invalid),
        }
    }

    /// Has both files end equally far behind where an exchange begins, so that it changes no size.
    fn even_out(&mut self, pair: &mut Pair, range: &mut ExchangeRange) -> Result {
        range.offsets[1] = range.offsets[0];
        let size = pair.contents.iter().map(Vec::len).max().unwrap_or(0);
        for (number, content) in pair.numbers.into_iter().zip(&mut pair.contents) {
            if content.len() < size {
                content.resize(size, 0);
                self.change(number, content.clone(), |file| file.truncate(size as u64))?;
            }
        }
        Ok(())
    }

    pub(super) fn exchange_range(&mut self) -> Result<bool> {
        let Some(mut pair) = self.pair()? else {
            return Ok(false);
        };
        let block = u64::from(self.journal.geometry().block_size);
        let offsets = match self.random.once_in(3) {
            true => [0, 0],
            false => pair.contents.each_ref().map(|file| self.block_start(file)),
        };
        let mut range = ExchangeRange {
            files: pair.numbers,
            offsets,
            len: block * u64::from(self.random.below(40)),
            to_end: self.random.once_in(3),
            written_only: false,
            dry_run: self.random.once_in(8),
            seen: None,
        };
        if range.to_end && self.spares_c {
            self.even_out(&mut pair, &mut range)?;
        }
        let there = self.journal.geometry().features.exchange_range();
        let wanted = exchanged(&pair, &range).filter(|_| there);
        let done = self.files(|files| ops::exchange_range(files, &range));
        match (done, wanted) {
            (Ok(committed), Some(wanted)) => {
                self.last = committed.sequence.max(self.last);
                if !range.dry_run {
                    self.model
                        .contents
                        .extend(pair.numbers.into_iter().zip(wanted));
                }
                Ok(true)
            }
            (Err(Error::Invalid | Error::Unsupported), None) => Ok(false),
            (Err(error), _) => Err(error),
            // It should have been refused.
            (Ok(_), None) => Err(Error::Invalid),
        }
    }
}

/// What both files hold after an exchange; `None` where it is to be refused.
fn exchanged(pair: &Pair, range: &ExchangeRange) -> Option<[Vec<u8>; 2]> {
    let unit = pair.unit?;
    let [one, two] = &pair.contents;
    let [at, to] = range.offsets;
    let rest = (one.len() as u64).checked_sub(at)?;
    let other = (two.len() as u64).checked_sub(to)?;
    let len = match range.to_end {
        true => rest.max(other),
        false => range.len,
    };
    let part = len % unit != 0;
    let outside = !range.to_end && (len > rest || len > other);
    if outside || at % unit != 0 || to % unit != 0 || part && (len < rest || len < other) {
        return None;
    }
    let same = range.files[0] == range.files[1];
    let span = len.next_multiple_of(unit);
    if same && (range.to_end || at < to + span && to < at + span) {
        return None;
    }
    let (at, to, len) = (at as usize, to as usize, len as usize);
    let (mine, theirs) = match range.to_end {
        true => (one[at..].to_vec(), two[to..].to_vec()),
        false => (one[at..at + len].to_vec(), two[to..to + len].to_vec()),
    };
    let (mut first, mut second) = (one.clone(), two.clone());
    if range.to_end {
        first.truncate(at);
        second.truncate(to);
        first.extend(theirs);
        second.extend(mine);
    } else {
        first[at..at + len].copy_from_slice(&theirs);
        second[to..to + len].copy_from_slice(&mine);
        if same {
            // Both are one.
            first[to..to + len].copy_from_slice(&mine);
            second.clone_from(&first);
        }
    }
    Some([first, second])
}
