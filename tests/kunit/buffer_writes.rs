// SPDX-License-Identifier: GPL-2.0

//! Buffers that are changed and written: alone, in lists, and under readers and reclaim.

use super::{
    scratch::{
        Scratch,
        Tally,
        LEN, //
    },
    workers::{
        Sequence,
        Workers, //
    },
};
use crate::{
    fs::buf::{
        Locked,
        Skipped,
        WriteList, //
    },
    libxfs::{
        format::kind::Kind,
        store::Run, //
    },
    rust::{
        bindings,
        kernel::bio::Durability, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Full,
            Relaxed, //
        }, //
    },
};

fn sleep(milliseconds: u32) {
    // SAFETY: Tests and their workers may sleep.
    unsafe { bindings::msleep(milliseconds) };
}

fn lock(scratch: &Scratch, run: Run) -> Result<Locked> {
    scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)
}

/// Locks a block and puts a byte all over it.
fn change(scratch: &Scratch, run: Run, byte: u8) -> Result<Locked> {
    let mut block = lock(scratch, run)?;
    block.fill(byte);
    Ok(block)
}

/// Blocks that workers fight for.
const FEW: u64 = 16;

/// Half of the workers change whole blocks, with a pause amid, and write some; half read them.
fn change_or_read(scratch: &Scratch, number: u32) {
    let mut sequence = Sequence::new(number);
    for round in 0..150_u32 {
        let run = scratch.run(sequence.below(FEW));
        let is_right = if number % 2 == 0 {
            change_in_halves(scratch, run, round as u8, sequence.below(4) == 0)
        } else {
            reads_whole(scratch, run)
        };
        if !matches!(is_right, Ok(true)) {
            scratch.wrong.fetch_add(1, Relaxed);
        }
    }
}

fn change_in_halves(scratch: &Scratch, run: Run, byte: u8, write: bool) -> Result<bool> {
    let mut block = lock(scratch, run)?;
    let half = block.len() / 2;
    let (one, other) = block.split_at_mut_checked(half).ok_or(EIO)?;
    one.fill(byte);
    sleep(1);
    other.fill(byte);
    if write {
        block.write(Durability::Cached).map_err(|_| EIO)?;
    }
    Ok(block.iter().all(|here| *here == byte))
}

fn reads_whole(scratch: &Scratch, run: Run) -> Result<bool> {
    let block = scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
    let byte = block.first().copied();
    sleep(1);
    Ok(block.iter().all(|here| Some(*here) == byte))
}

/// Blocks that workers count in.
const MANY: u64 = 512;

/// Counts in blocks chosen at random, and has them written in lists.
fn count_at_random(scratch: &Scratch, number: u32) {
    let mut sequence = Sequence::new(number);
    let mut list = WriteList::new();
    for _ in 0..300 {
        let run = scratch.run(sequence.below(MANY));
        if count(scratch, run, &mut list, sequence.below(3) == 0).is_err() {
            scratch.wrong.fetch_add(1, Relaxed);
        }
        let written = match sequence.below(40) {
            0 => list.submit_and_wait(),
            1 => {
                list.submit();
                Ok(())
            }
            _ => Ok(()),
        };
        if written.is_err() {
            scratch.wrong.fetch_add(1, Relaxed);
        }
    }
    if list.submit_and_wait().is_err() || !list.is_empty() {
        scratch.wrong.fetch_add(1, Relaxed);
    }
}

fn count(scratch: &Scratch, run: Run, list: &mut WriteList, pinned: bool) -> Result {
    let mut block = lock(scratch, run)?;
    let number = block.first_chunk_mut::<4>().ok_or(EIO)?;
    *number = u32::from_le_bytes(*number).wrapping_add(1).to_le_bytes();
    list.add(&mut block).map_err(|_| EIO)?;
    let pin = pinned.then(|| block.pin());
    drop(block);
    // As the log does: the change is in a checkpoint, and then is on the disk.
    if pin.is_some() {
        sleep(1);
    }
    Ok(())
}

/// Changes a block that is pinned, and says when it was written.
fn write_one(scratch: &Scratch, _number: u32) {
    let run = scratch.run(3);
    let written = lock(scratch, run).map(|mut block| {
        block.fill(0x33);
        block.write(Durability::Stable)
    });
    if !matches!(written, Ok(Ok(()))) {
        scratch.wrong.fetch_add(1, Relaxed);
    }
    scratch.count.fetch_add(1, Full);
}

/// Takes all memory that can be had until they are done.
fn reclaim_while(scratch: &Scratch, workers: Workers) {
    while workers.are_busy() {
        scratch.cache.drain();
        sleep(3);
    }
}

#[kunit_tests(xfs_rust_buffer_writes)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_in_memory_at_once_and_on_the_disk_when_written() -> Result {
        let scratch = Scratch::new()?;
        for durability in [Durability::Cached, Durability::Stable, Durability::Ordered] {
            let run = scratch.run(0);
            scratch.put(run, 0x11)?;
            assert!(scratch.reads(run, 0x11)?);
            let block = change(&scratch, run, 0x22)?;
            assert!(block.is_changed());
            drop(block);
            assert!(scratch.reads(run, 0x22)?);
            assert!(scratch.disk_is(run, 0x11)?);
            let mut block = lock(&scratch, run)?;
            assert!(block.is_changed());
            block.write(durability).map_err(|_| EIO)?;
            assert!(!block.is_changed());
            drop(block);
            assert!(scratch.disk_is(run, 0x22)?);
            assert!(scratch.reads(run, 0x22)?);
            assert_eq!(scratch.cache.drain(), 0);
        }
        scratch.cache.block_device().flush()?;
        Ok(())
    }

    #[test]
    fn a_block_in_pieces_is_written_to_all_of_them() -> Result {
        let scratch = Scratch::new()?;
        let runs = [scratch.run(8), scratch.run(2), scratch.run(5)];
        for run in runs {
            scratch.put(run, 0)?;
        }
        let mut block = scratch.cache.lock(&runs, Kind::Raw).map_err(|_| EIO)?;
        let bytes = LEN as usize * 512;
        for (piece, byte) in block.chunks_mut(bytes).zip([1, 2, 3]) {
            piece.fill(byte);
        }
        block.write(Durability::Cached).map_err(|_| EIO)?;
        drop(block);
        for (run, byte) in runs.into_iter().zip([1, 2, 3]) {
            assert!(scratch.disk_is(run, byte)?);
        }
        Ok(())
    }

    #[test]
    fn a_long_block_is_read_and_written_whole() -> Result {
        let scratch = Scratch::new()?;
        for len in [1, 127, 128, 2047, 2048] {
            let run = Run {
                len,
                ..scratch.run(1024)
            };
            let mut block = scratch.cache.fresh(&[run]).map_err(|_| EIO)?;
            for (number, sector) in block.chunks_mut(512).enumerate() {
                sector.fill(number as u8);
            }
            block.write(Durability::Cached).map_err(|_| EIO)?;
            drop(block);
            assert_eq!(scratch.cache.drain(), 0);
            let block = scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
            assert!(block
                .chunks(512)
                .enumerate()
                .all(|(number, sector)| sector.iter().all(|byte| *byte == number as u8)));
        }
        Ok(())
    }

    #[test]
    fn a_fresh_block_is_zeroes_and_stays_only_if_it_was_changed() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(1);
        scratch.put(run, 0x44)?;
        for _ in 0..2 {
            let block = scratch.cache.fresh(&[run]).map_err(|_| EIO)?;
            assert!(block.len() == 4096 && block.iter().all(|byte| *byte == 0));
            drop(block);
            // Nobody wanted it, so it is still what the disk holds.
            assert!(scratch.reads(run, 0x44)?);
        }
        let mut block = scratch.cache.fresh(&[run]).map_err(|_| EIO)?;
        block.fill(0x55);
        drop(block);
        assert!(scratch.reads(run, 0x55)?);
        let mut block = scratch.cache.fresh(&[run]).map_err(|_| EIO)?;
        assert!(block.iter().all(|byte| *byte == 0));
        block.write(Durability::Cached).map_err(|_| EIO)?;
        drop(block);
        assert!(scratch.disk_is(run, 0)?);
        Ok(())
    }

    #[test]
    fn changed_pinned_and_delayed_blocks_outlive_reclaim() -> Result {
        let scratch = Scratch::new()?;
        let runs = [scratch.run(20), scratch.run(21), scratch.run(22)];
        for run in runs {
            scratch.put(run, 0x01)?;
        }
        let [changed, pinned, delayed] = runs;
        drop(change(&scratch, changed, 0x02)?);
        let block = lock(&scratch, pinned)?;
        let pin = block.pin();
        let address = block.as_ptr();
        drop(block);
        let mut block = lock(&scratch, delayed)?;
        let mut list = WriteList::new();
        assert!(list.add(&mut block).map_err(|_| EIO)?);
        assert!(!list.add(&mut block).map_err(|_| EIO)?);
        drop(block);
        // What the disk holds by now tells who was read again.
        for run in runs {
            scratch.put(run, 0x03)?;
        }
        for _ in 0..5 {
            scratch.cache.drain();
        }
        assert!(scratch.reads(changed, 0x02)?);
        assert!(scratch.reads(pinned, 0x01)?);
        assert!(scratch.reads(delayed, 0x01)?);
        assert_eq!(lock(&scratch, pinned)?.as_ptr(), address);
        drop(pin);
        list.submit_and_wait().map_err(|_| EIO)?;
        assert!(scratch.disk_is(delayed, 0x01)?);
        lock(&scratch, changed)?
            .write(Durability::Cached)
            .map_err(|_| EIO)?;
        // Nothing keeps them any more.
        assert_eq!(scratch.cache.drain(), 0);
        assert!(scratch.reads(pinned, 0x03)?);
        Ok(())
    }

    #[test]
    fn a_pinned_block_is_not_written_before_it_is_let_go() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(3);
        scratch.put(run, 0)?;
        let pins = {
            let block = lock(&scratch, run)?;
            [block.pin(), block.pin()]
        };
        let workers = Workers::start(1, &scratch, write_one)?;
        for pin in pins {
            sleep(30);
            assert_eq!(scratch.count.load(Acquire), 0);
            assert!(scratch.disk_is(run, 0)?);
            drop(pin);
        }
        drop(workers);
        assert_eq!(scratch.wrong.load(Relaxed), 0);
        assert!(scratch.disk_is(run, 0x33)?);
        Ok(())
    }

    #[test]
    fn an_invalidated_block_is_not_written_and_is_waited_for() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(3);
        scratch.put(run, 0x06)?;
        let tally = Tally::new()?;
        let mut list = WriteList::new();
        let mut block = change(&scratch, run, 0x07)?;
        block.set_watcher(Some(tally.clone()));
        list.add(&mut block).map_err(|_| EIO)?;
        let invalidated = block.invalidate();
        assert!(block.is_empty());
        drop(block);
        let workers = Workers::start(1, &scratch, write_one)?;
        sleep(30);
        // The address is not free before the log says so.
        assert_eq!(scratch.count.load(Acquire), 0);
        assert_eq!(list.submit().locked, 1);
        drop(invalidated);
        drop(workers);
        assert_eq!(scratch.wrong.load(Relaxed), 0);
        list.submit_and_wait().map_err(|_| EIO)?;
        assert!(scratch.disk_is(run, 0x33)?);
        assert!(scratch.reads(run, 0x33)?);
        assert_eq!(tally.counts(), (0, 0, 0));
        // Where no one else came, the disk's is what is read.
        let mut block = change(&scratch, run, 0x08)?;
        drop(block.invalidate());
        drop(block);
        assert!(scratch.reads(run, 0x33)?);
        Ok(())
    }

    #[test]
    fn a_list_writes_each_block_once_and_leaves_those_in_use() -> Result {
        let scratch = Scratch::new()?;
        let tally = Tally::new()?;
        let mut list = WriteList::new();
        let mut sequence = Sequence::new(7);
        for _ in 0..64 {
            let mut block = change(&scratch, scratch.run(sequence.below(256)), 0x66)?;
            if list.add(&mut block).map_err(|_| EIO)? {
                block.set_watcher(Some(tally.clone()));
            }
        }
        let count = list.len() as u32;
        let (in_use, pinned, written) = (scratch.run(300), scratch.run(301), scratch.run(302));
        for run in [in_use, pinned, written] {
            scratch.put(run, 0)?;
            list.add(&mut change(&scratch, run, 0x66)?)
                .map_err(|_| EIO)?;
        }
        let held = lock(&scratch, in_use)?;
        let pin = lock(&scratch, pinned)?.pin();
        lock(&scratch, written)?
            .write(Durability::Cached)
            .map_err(|_| EIO)?;
        scratch.put(written, 0)?;
        let skipped = list.submit();
        assert_eq!((skipped.locked, skipped.pinned, list.len()), (1, 1, 2));
        // One that is locked after its write began was written.
        let mut sequence = Sequence::new(7);
        for _ in 0..64 {
            let run = scratch.run(sequence.below(256));
            assert!(!lock(&scratch, run)?.is_changed());
            assert!(scratch.disk_is(run, 0x66)?);
        }
        assert_eq!(tally.counts(), (count, 0, 0));
        assert!(scratch.disk_is(in_use, 0)? && scratch.disk_is(pinned, 0)?);
        drop((held, pin));
        list.submit_and_wait().map_err(|_| EIO)?;
        assert!(list.is_empty());
        assert!(scratch.disk_is(in_use, 0x66)? && scratch.disk_is(pinned, 0x66)?);
        // Written alone, it was not written again by the list.
        assert!(scratch.disk_is(written, 0)?);
        Ok(())
    }

    #[test]
    fn a_list_that_is_dropped_writes_nothing_and_the_next_one_does() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(4);
        scratch.put(run, 0)?;
        let mut list = WriteList::new();
        list.add(&mut change(&scratch, run, 0x77)?)
            .map_err(|_| EIO)?;
        drop(list);
        assert!(scratch.disk_is(run, 0)?);
        assert!(scratch.reads(run, 0x77)?);
        let mut list = WriteList::new();
        list.reserve(1).map_err(|_| EIO)?;
        assert!(list.add(&mut lock(&scratch, run)?).map_err(|_| EIO)?);
        list.submit_and_wait().map_err(|_| EIO)?;
        assert!(scratch.disk_is(run, 0x77)?);
        Ok(())
    }

    #[test]
    fn a_cache_waits_for_its_writes_before_it_goes() -> Result {
        let scratch = Scratch::new()?;
        let mut list = WriteList::new();
        for block in 0..256 {
            let run = scratch.run(block * 2);
            scratch.put(run, 0)?;
            list.add(&mut change(&scratch, run, 0x5a)?)
                .map_err(|_| EIO)?;
        }
        assert_eq!(list.submit(), Skipped::default());
        drop((list, scratch));
        let scratch = Scratch::new()?;
        for block in 0..256 {
            assert!(scratch.disk_is(scratch.run(block * 2), 0x5a)?);
        }
        Ok(())
    }

    #[test]
    fn readers_never_see_half_a_change_while_memory_is_short() -> Result {
        let scratch = Scratch::new()?;
        for block in 0..FEW {
            scratch.put(scratch.run(block), 0)?;
        }
        reclaim_while(&scratch, Workers::start(6, &scratch, change_or_read)?);
        assert_eq!(scratch.wrong.load(Relaxed), 0);
        // What was not written is lost with the cache, which says so unless it was to be.
        scratch.health.shut_down("by a test");
        Ok(())
    }

    #[test]
    fn no_change_is_lost_between_lists_reclaim_and_pins() -> Result {
        let scratch = Scratch::new()?;
        for block in 0..MANY {
            scratch.put(scratch.run(block), 0)?;
        }
        reclaim_while(&scratch, Workers::start(6, &scratch, count_at_random)?);
        assert_eq!(scratch.wrong.load(Relaxed), 0);
        // Those that one worker's list passed over, since another's had them, are written, too.
        let mut sum = 0;
        for block in 0..MANY {
            let run = scratch.run(block);
            assert!(!lock(&scratch, run)?.is_changed());
            let bytes = scratch.on_disk(run)?;
            sum += u32::from_le_bytes(*bytes.first_chunk::<4>().ok_or(EIO)?);
        }
        assert_eq!(sum, 6 * 300);
        assert_eq!(scratch.cache.drain(), 0);
        Ok(())
    }
}
