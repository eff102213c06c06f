// SPDX-License-Identifier: GPL-2.0

//! Disks that lose their power: what was written and not flushed may be there afterwards, or not, or
//! in part, in any order.
//!
//! [`CachedDisk`] is a disk with a cache that power keeps. Reads see what was written; what lies under
//! it gets that with a flush, or, once the power is gone, as much of it as chance has it:
//! [`CachedDisk::settle`]. All disks of a machine share one [`Power`]. A [`History`] remembers every
//! write and flush, so that one run of a workload serves for cuts at each of its writes.

use crate::{
    image::{Disk, Overlay, ScratchDisk},
    libxfs::format::units::BASIC_BLOCK_SIZE,
    random::Random,
};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

const SECTOR: usize = BASIC_BLOCK_SIZE as usize;
type Sector = [u8; SECTOR];

/// Something that a disk was asked to do.
#[derive(Clone, Debug)]
enum Event {
    Write {
        disk: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    Flush {
        disk: usize,
    },
}

#[derive(Default)]
struct Mains {
    writes: u64,
    /// Writes after which there is no power.
    cut: Option<u64>,
    /// Disks so far.
    disks: usize,
    history: Option<Vec<Event>>,
}

/// The power of some disks.
#[derive(Clone, Default)]
pub struct Power(Arc<Mutex<Mains>>);

impl Power {
    /// Power that lasts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts it after so many writes to all disks together; then nothing works any more.
    pub fn cut_after(&self, writes: u64) {
        self.0.lock().unwrap().cut = Some(writes);
    }

    /// Cuts it now.
    pub fn cut(&self) {
        let mut mains = self.0.lock().unwrap();
        mains.cut = Some(mains.writes);
    }

    /// Remembers from now on what disks are asked to do.
    pub fn record(&self) {
        self.0.lock().unwrap().history = Some(Vec::new());
    }

    /// What was remembered.
    pub fn history(&self) -> History {
        let mains = self.0.lock().unwrap();
        History(mains.history.clone().unwrap_or_default())
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }

    /// Whether there is none any more.
    pub fn is_off(&self) -> bool {
        let mains = self.0.lock().unwrap();
        mains.cut.is_some_and(|cut| mains.writes >= cut)
    }

    /// Lets something happen, if there is power.
    fn event(&self, event: impl FnOnce() -> Event) -> io::Result<()> {
        if self.is_off() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut mains = self.0.lock().unwrap();
        let event = event();
        if let Event::Write { .. } = event {
            mains.writes += 1;
        }
        if let Some(history) = &mut mains.history {
            history.push(event);
        }
        Ok(())
    }
}

/// What a disk's cache has of a sector: each content that was written since the last flush, with the
/// number of the write.
type Cached = BTreeMap<u64, Vec<(u64, Sector)>>;

/// A disk with a cache.
pub struct CachedDisk {
    under: Arc<dyn Disk>,
    power: Power,
    number: usize,
    cached: Mutex<Cached>,
}

impl CachedDisk {
    /// A disk over another one, to which it writes what is stable.
    pub fn new(under: Arc<dyn Disk>, power: &Power) -> Self {
        let mut mains = power.0.lock().unwrap();
        mains.disks += 1;
        Self {
            under,
            power: power.clone(),
            number: mains.disks - 1,
            cached: Mutex::default(),
        }
    }

    /// Chooses what is left once the power is gone, of each sector by itself.
    ///
    /// # Errors
    ///
    /// Those of the disk under it.
    pub fn settle(&self, random: &mut Random) -> io::Result<()> {
        // All of it, nothing, whole writes, or any sectors: these find different mistakes.
        let how = random.below(4);
        self.settle_as(how, random)
    }

    /// As [`settle`](Self::settle), but no write is there in part.
    ///
    /// # Errors
    ///
    /// Those of the disk under it.
    pub fn settle_untorn(&self, random: &mut Random) -> io::Result<()> {
        let how = random.below(3);
        self.settle_as(how, random)
    }

    fn settle_as(&self, how: u32, random: &mut Random) -> io::Result<()> {
        let cached = std::mem::take(&mut *self.cached.lock().unwrap());
        let salt = random.number();
        for (sector, versions) in cached {
            let chosen = match how {
                0 => None,
                1 => versions.last(),
                2 => versions
                    .iter()
                    .rev()
                    .find(|(write, _)| Random::new(salt ^ *write).once_in(2)),
                _ => match random.below(versions.len() as u32 + 1) {
                    0 => None,
                    n => versions.get(n as usize - 1),
                },
            };
            if let Some((_, bytes)) = chosen {
                self.under.write(sector * SECTOR as u64, bytes)?;
            }
        }
        Ok(())
    }
}

impl Disk for CachedDisk {
    fn size(&self) -> u64 {
        self.under.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.under.read_at(offset, buf)?;
        let size = SECTOR as u64;
        let end = offset + buf.len() as u64;
        let cached = self.cached.lock().unwrap();
        for (sector, versions) in cached.range(offset / size..end.div_ceil(size)) {
            let Some((_, bytes)) = versions.last() else {
                continue;
            };
            let at = sector * size;
            let (from, to) = (at.max(offset), (at + size).min(end));
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let whole = offset % SECTOR as u64 == 0 && bytes.len() % SECTOR == 0;
        if !whole || offset + bytes.len() as u64 > self.size() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.power.event(|| Event::Write {
            disk: self.number,
            offset,
            bytes: bytes.to_vec(),
        })?;
        let number = self.power.writes();
        let mut cached = self.cached.lock().unwrap();
        for (index, sector) in bytes.chunks_exact(SECTOR).enumerate() {
            let content = sector.try_into().expect("a whole sector");
            let at = offset / SECTOR as u64 + index as u64;
            cached.entry(at).or_default().push((number, content));
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.power.event(|| Event::Flush { disk: self.number })?;
        let cached = std::mem::take(&mut *self.cached.lock().unwrap());
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (sector, versions) in cached {
            let Some((_, bytes)) = versions.last() else {
                continue;
            };
            let at = sector * SECTOR as u64;
            if at != run.0 + run.1.len() as u64 {
                if !run.1.is_empty() {
                    self.under.write(run.0, &run.1)?;
                }
                run = (at, Vec::new());
            }
            run.1.extend_from_slice(bytes);
        }
        if !run.1.is_empty() {
            self.under.write(run.0, &run.1)?;
        }
        Ok(())
    }
}

/// All that some disks were asked to do.
pub struct History(Vec<Event>);

impl History {
    /// Writes in it.
    pub fn writes(&self) -> u64 {
        let is_write = |event: &&Event| matches!(event, Event::Write { .. });
        self.0.iter().filter(is_write).count() as u64
    }

    /// What is on the disks, in the order in which they were made, where the power was cut after so
    /// many writes. `before` is what was on them when the history began.
    pub fn cut_after(&self, writes: u64, before: &[Overlay], random: &mut Random) -> Vec<Overlay> {
        let power = Power::new();
        let stable: Vec<_> = before
            .iter()
            .map(|disk| Arc::new(ScratchDisk::from(disk.clone())))
            .collect();
        let disks: Vec<_> = stable
            .iter()
            .map(|disk| CachedDisk::new(disk.clone(), &power))
            .collect();
        power.cut_after(writes);
        for event in &self.0 {
            let done = match event {
                Event::Write {
                    disk,
                    offset,
                    bytes,
                } => disks[*disk].write(*offset, bytes),
                Event::Flush { disk } => disks[*disk].flush(),
            };
            if done.is_err() {
                break;
            }
        }
        for disk in &disks {
            disk.settle(random).expect("it is memory");
        }
        stable.iter().map(|disk| disk.snapshot()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ZeroDisk;

    fn disk(power: &Power) -> (Arc<ScratchDisk>, CachedDisk) {
        let zeroes = Arc::new(ZeroDisk { size: 1 << 20 });
        let under = Arc::new(ScratchDisk::new(zeroes));
        (under.clone(), CachedDisk::new(under, power))
    }

    fn first(disk: &dyn Disk, sector: u64) -> u8 {
        let mut byte = [0];
        disk.read_at(sector * 512, &mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn what_was_flushed_is_there_and_the_rest_may_be() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let power = Power::new();
            let (under, disk) = disk(&power);
            disk.write(0, &[1; 1024]).unwrap();
            disk.flush().unwrap();
            disk.write(512, &[2; 1024]).unwrap();
            disk.write(512, &[3; 1024]).unwrap();
            assert_eq!(
                (first(&disk, 0), first(&disk, 1), first(&disk, 2)),
                (1, 3, 3)
            );
            assert_eq!((first(&*under, 1), first(&*under, 2)), (1, 0));
            power.cut();
            assert!(disk.write(0, &[9; 512]).is_err());
            assert!(disk.flush().is_err());
            disk.settle(&mut Random::new(seed)).unwrap();
            assert_eq!(first(&*under, 0), 1);
            seen.insert((first(&*under, 1), first(&*under, 2)));
        }
        // Each sector by itself: as it was, or as either write left it.
        let all = [1, 2, 3].map(|one| [0, 2, 3].map(|other| (one, other)));
        assert_eq!(seen, all.into_iter().flatten().collect());
    }

    #[test]
    fn a_history_gives_what_a_cut_would_have_given() {
        let power = Power::new();
        let (_, disk) = disk(&power);
        power.record();
        for n in 1..=6 {
            disk.write(u64::from(n) * 512, &[n; 512]).unwrap();
            if n % 2 == 0 {
                disk.flush().unwrap();
            }
        }
        let history = power.history();
        assert_eq!(history.writes(), 6);
        let before = [Overlay::new(Arc::new(ZeroDisk { size: 1 << 20 }))];
        for writes in 0..=6u8 {
            for seed in 0..20 {
                let random = &mut Random::new(seed);
                let after = &history.cut_after(writes.into(), &before, random)[0];
                for n in 1..=6 {
                    // A flush behind the last write is not come to.
                    let stable = n <= writes.saturating_sub(1) / 2 * 2;
                    let there = first(after, n.into());
                    assert!(there == n && n <= writes || there == 0 && !stable);
                }
            }
        }
    }
}
