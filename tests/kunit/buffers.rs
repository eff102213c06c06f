// SPDX-License-Identifier: GPL-2.0

//! The buffer cache, alone and under many readers and reclaim.

use super::{
    disk::Disk,
    workers::{
        Sequence,
        Workers, //
    },
};
use crate::{
    fs::{
        buf::Cache,
        health::Health, //
    },
    libxfs::{
        error::Error,
        format::{
            crc,
            kind::Kind,
            units::DiskAddr, //
        },
        store::{
            Device,
            Run, //
        },
    },
    rust::{
        bindings,
        kernel::{
            bio,
            message::Prefix,
            workqueue::WorkQueue, //
        }, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// A cache over the disk, which goes before the disk does.
struct Fixture {
    cache: Pin<KBox<Cache>>,
    disk: Disk,
    sums: KVVec<u32>,
    wrong: Atomic<u32>,
    arrived: Atomic<u32>,
    seen: Atomic<usize>,
}

/// Basic blocks of the blocks that the tests read at random.
const LEN: u32 = 8;
/// How many of them there are.
const COUNT: u32 = 2048;

fn run(at: u64, len: u32) -> Run {
    Run {
        at: DiskAddr(at),
        len,
    }
}

fn sum(bytes: &[u8]) -> u32 {
    crc::update(!0, bytes)
}

impl Fixture {
    fn new(summed: u32) -> Result<Arc<Self>> {
        let disk = Disk::open()?;
        let device = disk.device()?;
        let mut sums = KVVec::with_capacity(summed as usize, GFP_KERNEL)?;
        for block in 0..summed {
            let bytes = bio::read_now(device, u64::from(block * LEN), LEN as usize * 512)?;
            sums.push(sum(&bytes), GFP_KERNEL)?;
        }
        let queue = Arc::new(WorkQueue::new(c"xfs_rust-buf/%s", c"kunit")?, GFP_KERNEL)?;
        let health = Health::new(Prefix::new(Some(b"kunit")))?;
        let cache = Cache::new(
            Device::Data,
            device,
            disk.geometry()?,
            health,
            queue,
            c"kunit",
        )?;
        Ok(Arc::new(
            Self {
                cache,
                disk,
                sums,
                wrong: Atomic::new(0),
                arrived: Atomic::new(0),
                seen: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// Whether a block comes out of the cache as it lies on the disk.
    fn is_right(&self, runs: &[Run]) -> Result<bool> {
        let block = self.cache.read(runs, Kind::Raw).map_err(|_| EIO)?;
        let mut rest: &[u8] = &block;
        for run in runs {
            let bytes = bio::read_now(self.disk.device()?, run.at.0, run.len as usize * 512)?;
            let Some((here, after)) = rest.split_at_checked(bytes.len()) else {
                return Ok(false);
            };
            if *here != *bytes {
                return Ok(false);
            }
            rest = after;
        }
        Ok(rest.is_empty())
    }
}

/// Reads blocks at random, some of them ahead.
fn read_at_random(fixture: &Fixture, number: u32) {
    let mut sequence = Sequence::new(number);
    for _ in 0..400 {
        let block = sequence.below(COUNT.into());
        if sequence.below(8) == 0 {
            fixture
                .cache
                .read_ahead(run(block * u64::from(LEN), LEN), Kind::Raw);
            continue;
        }
        let expected = fixture.sums.get(block as usize).copied();
        match fixture
            .cache
            .read(&[run(block * u64::from(LEN), LEN)], Kind::Raw)
        {
            Ok(bytes) if Some(sum(&bytes)) == expected => {}
            _ => {
                fixture.wrong.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Reads one block together with all others, and compares where it lies.
fn read_together(fixture: &Fixture, _number: u32) {
    let Ok(block) = fixture.cache.read(&[run(0, LEN)], Kind::Raw) else {
        fixture.wrong.fetch_add(1, Relaxed);
        return;
    };
    let here = block.as_ptr() as usize;
    if fixture
        .seen
        .cmpxchg(0, here, Full)
        .is_err_and(|at| at != here)
    {
        fixture.wrong.fetch_add(1, Relaxed);
    }
    // Held until all are here, lest the block go and come back elsewhere.
    fixture.arrived.fetch_add(u32::MAX, Full);
    crate::rust::kernel::wait::wake(&fixture.arrived);
    crate::rust::kernel::wait::wait_while(&fixture.arrived, u32::MAX);
}

#[kunit_tests(xfs_rust_buffers)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_what_the_disk_does() -> Result {
        let fixture = Fixture::new(0)?;
        for len in [1, 2, 3, 7, 8, 9, 16, 64, 127, 128] {
            assert!(fixture.is_right(&[run(64, len)])?);
            // Once from the disk, once from memory.
            assert!(fixture.is_right(&[run(64, len)])?);
        }
        Ok(())
    }

    #[test]
    fn a_block_in_pieces_is_put_together_in_their_order() -> Result {
        let fixture = Fixture::new(0)?;
        assert!(fixture.is_right(&[run(800, 8), run(8, 16), run(0, 1), run(4096, 2)])?);
        Ok(())
    }

    #[test]
    fn a_block_that_cannot_be_is_refused() -> Result {
        let fixture = Fixture::new(0)?;
        let end = fixture.disk.device()?.sectors();
        for runs in [
            &[][..],
            &[run(0, 0)],
            &[run(end, 1)],
            &[run(end - 1, 2)],
            &[run(u64::MAX, 8)],
            &[run(0, u32::MAX)],
            &[run(0, u32::MAX), run(0, u32::MAX)],
        ] {
            assert!(matches!(
                fixture.cache.read(runs, Kind::Raw),
                Err(Error::Invalid)
            ));
        }
        Ok(())
    }

    #[test]
    fn a_block_of_another_kind_is_corrupt_and_says_so_each_time() -> Result {
        let fixture = Fixture::new(0)?;
        let first = [run(0, 1)];
        for _ in 0..3 {
            assert!(matches!(
                fixture.cache.read(&first, Kind::Agf),
                Err(Error::Corrupt(_))
            ));
        }
        // What could not be verified was not kept, and is good as what it is.
        assert!(fixture.cache.read(&first, Kind::Superblock).is_ok());
        assert!(matches!(
            fixture.cache.read(&first, Kind::Agf),
            Err(Error::Corrupt(_))
        ));
        assert!(fixture.cache.read(&first, Kind::Superblock).is_ok());
        Ok(())
    }

    #[test]
    fn all_who_miss_a_block_at_once_share_one_buffer() -> Result {
        for _ in 0..10 {
            let fixture = Fixture::new(0)?;
            fixture.arrived.store(6, Relaxed);
            drop(Workers::start(6, &fixture, read_together)?);
            assert_eq!(fixture.wrong.load(Relaxed), 0);
            assert_eq!(fixture.cache.drain(), 0);
        }
        Ok(())
    }

    #[test]
    fn a_block_in_use_outlives_reclaim() -> Result {
        let fixture = Fixture::new(0)?;
        let held = fixture
            .cache
            .read(&[run(0, LEN)], Kind::Raw)
            .map_err(|_| EIO)?;
        let before = sum(&held);
        // Listed from when its first user lets go.
        drop(
            fixture
                .cache
                .read(&[run(0, LEN)], Kind::Raw)
                .map_err(|_| EIO)?,
        );
        assert_eq!(fixture.cache.drain(), 1);
        assert_eq!(sum(&held), before);
        drop(held);
        assert_eq!(fixture.cache.drain(), 0);
        Ok(())
    }

    #[test]
    fn readers_see_the_right_bytes_while_memory_is_short() -> Result {
        let fixture = Fixture::new(COUNT)?;
        let workers = Workers::start(6, &fixture, read_at_random)?;
        while workers.are_busy() {
            fixture.cache.drain();
            // SAFETY: This thread may sleep.
            unsafe { bindings::msleep(5) };
        }
        drop(workers);
        assert_eq!(fixture.wrong.load(Relaxed), 0);
        assert_eq!(fixture.cache.drain(), 0);
        Ok(())
    }

    /// The kernel counts a list, and then has it scanned until it was told of as many, whatever
    /// became of the list in between.
    #[test]
    fn a_shrinker_comes_to_an_end_on_a_list_that_others_emptied() -> Result {
        let fixture = Fixture::new(0)?;
        let shrinker = fixture.cache.shrinker().as_ptr();
        let mut control = bindings::shrink_control {
            gfp_mask: bindings::GFP_KERNEL,
            nr_to_scan: 28,
            nr_scanned: 28,
            ..Default::default()
        };
        // SAFETY: The list is there for as long as the fixture, and with it its shrinker.
        let freed = unsafe {
            let scan = (*shrinker).scan_objects.ok_or(EINVAL)?;
            scan(shrinker, &mut control)
        };
        assert_eq!(freed, 0);
        assert_eq!(control.nr_scanned, 28);
        Ok(())
    }

    #[test]
    fn a_cache_waits_for_its_reads_ahead_before_it_goes() -> Result {
        let fixture = Fixture::new(0)?;
        for block in 0..256 {
            fixture.cache.read_ahead(run(block * 8, 8), Kind::Raw);
            // Blocks that turn out corrupt go by themselves.
            fixture.cache.read_ahead(run(block * 8, 4), Kind::Agf);
        }
        drop(fixture);
        Ok(())
    }
}
