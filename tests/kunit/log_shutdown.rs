// SPDX-License-Identifier: GPL-2.0

//! A log whose file system is shut down: all who wait are woken, and nothing is kept.

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
    fs::log::{
        grant::Head,
        Ticket, //
    },
    libxfs::{
        error::Error,
        format::kind::Kind,
        trans::LogReservation, //
    },
    rust::{
        bindings,
        kernel::bio::Durability, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::{
        Full,
        Relaxed, //
    }, //
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

/// More than half of the small log.
const HALF: LogReservation = LogReservation {
    bytes: 600 << 10,
    count: 2,
    permanent: true,
};

/// Waits for room that someone else has, and is turned away.
fn wait_for_room(disk: &LogDisk, _: u32) {
    let Ok(engine) = disk.engine() else {
        return disk.blame();
    };
    match Ticket::take(engine, HALF).map(|_| ()) {
        Err(Error::Shutdown) => {
            disk.count.fetch_add(1, Full);
        }
        _ => disk.blame(),
    }
}

/// Waits until a block that the log pins can be written, and it cannot.
fn wait_for_pin(disk: &LogDisk, _: u32) {
    let run = disk.run(1);
    match disk.cache.lock(&[run], Kind::Symlink) {
        Ok(mut block) => match block.write(Durability::Cached) {
            Err(Error::Shutdown) => {
                disk.count.fetch_add(1, Full);
            }
            _ => disk.blame(),
        },
        Err(_) => disk.blame(),
    }
}

/// Commits, frees and forces until the file system is shut down.
fn work_until_the_end(disk: &LogDisk, number: u32) {
    let mut sequence = Sequence::new(number);
    while !disk.health.is_shut_down() {
        let block = sequence.below(16) * 8 + u64::from(number);
        let committed = match sequence.below(8) {
            0 => disk.free(block),
            _ => disk.commit(&[(block, number), (block + 128, number)]),
        };
        // What fails must fail because of the shutdown, but for blocks that were free already.
        let Ok(committed) = committed else { continue };
        if sequence.below(4) == 0 {
            let Ok(engine) = disk.engine() else {
                return disk.blame();
            };
            if engine.force(committed).is_err() && !disk.health.is_shut_down() {
                disk.blame();
            }
        }
        disk.count.fetch_add(1, Full);
    }
}

#[kunit_tests(xfs_rust_log_shutdown)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_room_is_turned_away() -> Result {
        let disk = LogDisk::new(SMALL)?;
        let engine = disk.engine()?.clone();
        let ticket = Ticket::take(&engine, HALF).map_err(|_| EIO)?;
        let workers = Workers::start(4, &disk, wait_for_room)?;
        while engine.grants().waiting(Head::Reserve) != 4 {
            sleep(1);
        }
        disk.health.shut_down("by a test");
        drop(workers);
        drop(ticket);
        assert_eq!(disk.count.load(Relaxed), 4);
        assert_eq!(disk.wrong.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn what_was_committed_comes_to_nothing() -> Result {
        let disk = LogDisk::new(SMALL)?;
        let before = disk.on_disk(1)?;
        let committed = disk.commit(&[(1, 0x500), (2, 0x501)])?;
        disk.free(2)?;
        disk.health.shut_down("by a test");
        let engine = disk.engine()?;
        assert_eq!(engine.force(committed), Err(Error::Shutdown));
        assert_eq!(engine.force_all(), Err(Error::Shutdown));
        assert_eq!(engine.push_all_and_wait(), Err(Error::Shutdown));
        assert_eq!(engine.quiesce(), Err(Error::Shutdown));
        assert!(disk.commit(&[(3, 0x502)]).is_err());
        // Neither the pin nor the lock of the one that was freed are left.
        drop(Workers::start(1, &disk, wait_for_pin)?);
        assert_eq!(disk.count.load(Relaxed), 1);
        drop(disk.put(2, 0x503)?);
        assert_eq!(disk.wrong.load(Relaxed), 0);
        if before != Some(0x500) {
            assert_eq!(disk.on_disk(1)?, before);
        }
        Ok(())
    }

    #[test]
    fn a_record_that_fails_shuts_the_file_system_down() -> Result {
        let disk = LogDisk::new(SMALL)?;
        let engine = disk.engine()?;
        let committed = disk.commit(&[(1, 0x510)])?;
        engine.fail_record();
        assert_eq!(engine.force(committed), Err(Error::Shutdown));
        assert!(disk.health.is_shut_down());
        assert!(!engine.is_stable(committed));
        drop(Workers::start(1, &disk, wait_for_pin)?);
        assert_eq!(disk.count.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn a_shutdown_under_load_leaves_no_one_behind() -> Result {
        for round in 0..12_u32 {
            let disk = LogDisk::new(SMALL)?;
            let workers = Workers::start(8, &disk, work_until_the_end)?;
            while disk.count.load(Relaxed) == 0 {
                sleep(1);
            }
            sleep(10 + round * 7);
            match round % 2 {
                0 => disk.health.shut_down("by a test"),
                _ => {
                    disk.engine()?.fail_record();
                    while !disk.health.is_shut_down() {
                        sleep(1);
                    }
                }
            }
            drop(workers);
            assert!(disk.count.load(Relaxed) > 0);
            assert_eq!(disk.wrong.load(Relaxed), 0);
        }
        Ok(())
    }
}
