// SPDX-License-Identifier: GPL-2.0

//! What the log has is found again, when the engine was cut off and the log is recovered through the
//! cache.

use super::{
    log_disk::{
        LogDisk,
        Shape, //
    },
    workers::{
        Sequence,
        Workers, //
    },
};
use crate::{
    fs::log::grant::Head,
    rust::bindings, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

const SMALL: Shape = Shape {
    blocks: 512,
    stripe_unit: 0,
    buffer_size: 32 << 10,
};

fn sleep(milliseconds: u32) {
    // SAFETY: Tests and their workers may sleep.
    unsafe { bindings::msleep(milliseconds) };
}

/// A log at work, and what its workers were promised.
struct Promises {
    disk: Arc<LogDisk>,
    /// The values are greater than this.
    base: u32,
    /// For each worker, the last value that was forced.
    forced: [Atomic<u32>; 8],
    /// For each worker, the last value that was committed.
    committed: [Atomic<u32>; 8],
}

/// Puts one value after the other into two blocks, both in one transaction, and forces some.
fn count_up(promises: &Promises, number: u32) {
    let disk = &promises.disk;
    let mut sequence = Sequence::new(number);
    let pair = u64::from(number) * 2;
    let index = number as usize;
    let (Some(forced), Some(last)) = (promises.forced.get(index), promises.committed.get(index))
    else {
        return disk.blame();
    };
    for value in promises.base + 1..u32::MAX {
        if disk.health.is_shut_down() {
            return;
        }
        last.store(value, Relaxed);
        let Ok(committed) = disk.commit(&[(pair, value), (pair + 1, value)]) else {
            continue;
        };
        if sequence.below(8) == 0 {
            let Ok(engine) = disk.engine() else {
                return disk.blame();
            };
            if engine.force(committed).is_ok() {
                forced.store(value, Relaxed);
            }
        }
    }
}

/// Starts workers on a log, and cuts it off after a while. Returns what they were promised.
fn cut_off(disk: Arc<LogDisk>, base: u32, milliseconds: u32) -> Result<[(u32, u32); 8]> {
    let promises = Promises {
        disk,
        base,
        forced: [const { Atomic::new(0) }; 8],
        committed: [const { Atomic::new(0) }; 8],
    };
    let promises = Arc::new(promises, GFP_KERNEL)?;
    let workers = Workers::start(8, &promises, count_up)?;
    sleep(milliseconds);
    promises.disk.health.shut_down("by a test");
    drop(workers);
    if promises.disk.wrong.load(Relaxed) != 0 {
        return Err(EIO);
    }
    let mut promised = [(0, 0); 8];
    let both = promises.forced.iter().zip(&promises.committed);
    for (into, (forced, committed)) in promised.iter_mut().zip(both) {
        *into = (forced.load(Relaxed), committed.load(Relaxed));
    }
    Ok(promised)
}

/// Cuts a log off again and again, each time after it was recovered.
fn cut_off_often(shape: Shape, rounds: u32) -> Result {
    let mut disk = LogDisk::new(shape)?;
    let mut was_forced = 0;
    for round in 1..=rounds {
        let promised = cut_off(disk, round * 1_000_000, 120 + 40 * round)?;
        let (again, _) = LogDisk::idle(shape)?.open()?;
        for (number, (forced, committed)) in promised.into_iter().enumerate() {
            let pair = number as u64 * 2;
            let (one, other) = (again.on_disk(pair)?, again.on_disk(pair + 1)?);
            assert_eq!(one, other);
            let one = one.ok_or(EIO)?;
            assert!(one >= forced);
            assert!(one <= committed);
            was_forced += u32::from(forced != 0);
        }
        disk = again;
    }
    assert!(was_forced > 0);
    assert_eq!(disk.engine()?.unmount(), Ok(()));
    assert!(disk.head()?.is_clean());
    Ok(())
}

#[kunit_tests(xfs_rust_log_recovery)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forced_is_recovered_and_what_was_freed_is_not() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        disk.commit(&[(50, 0x600), (51, 0x601), (52, 0x602)])?;
        assert_eq!(disk.engine()?.force_all(), Ok(()));
        assert_eq!(disk.engine()?.push_all_and_wait(), Ok(()));
        for value in 0x610..0x620 {
            disk.commit(&[(50, value), (51, value)])?;
            assert_eq!(disk.engine()?.force_all(), Ok(()));
        }
        disk.free(51)?;
        assert_eq!(disk.engine()?.force_all(), Ok(()));
        // This is not.
        disk.commit(&[(52, 0x630)])?;
        disk.health.shut_down("by a test");
        assert_eq!(disk.on_disk(50)?, Some(0x600));
        drop(disk);
        let (disk, replayed) = LogDisk::idle(Shape::PLAIN)?.open()?;
        // What was logged again has left the checkpoints before.
        assert_eq!(replayed, Some(2));
        assert_eq!(disk.on_disk(50)?, Some(0x61f));
        assert_eq!(disk.on_disk(51)?, Some(0x601));
        assert_eq!(disk.on_disk(52)?, Some(0x602));
        assert_eq!(disk.engine()?.grants().used(Head::Reserve), 0);
        Ok(())
    }

    #[test]
    fn a_log_cut_off_anywhere_has_all_that_was_forced_and_nothing_by_halves() -> Result {
        cut_off_often(SMALL, 6)
    }

    #[test]
    fn so_has_one_with_a_stripe_unit() -> Result {
        let shape = Shape {
            stripe_unit: 16 << 10,
            buffer_size: 64 << 10,
            ..SMALL
        };
        cut_off_often(shape, 6)
    }
}
