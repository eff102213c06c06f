// SPDX-License-Identifier: GPL-2.0

//! Blocks of several lengths at one address, and blocks past the cache.

use super::{
    scratch::Scratch,
    workers::{
        Sequence,
        Workers, //
    },
};
use crate::{
    libxfs::{
        error::Error,
        format::kind::Kind,
        store::Run, //
    },
    rust::kernel::bio::Durability,
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::{
        Full,
        Relaxed, //
    },
};

fn is_corrupt<T>(result: core::result::Result<T, Error>) -> bool {
    matches!(result, Err(Error::Corrupt(_)))
}

/// Four basic blocks where there are eight.
fn half(run: Run) -> Run {
    Run { len: 4, ..run }
}

/// Changes blocks of two lengths at few addresses: one that gets hold of a block finds it as the
/// last one left it, whatever its length was.
fn change_either(scratch: &Scratch, number: u32) {
    let mut sequence = Sequence::new(number);
    for _ in 0..400 {
        let whole = scratch.run(sequence.below(4));
        let run = match sequence.below(2) {
            0 => whole,
            _ => half(whole),
        };
        let changed = match sequence.below(4) {
            0 => scratch.cache.read(&[run], Kind::Raw).map(drop),
            _ => scratch.cache.lock(&[run], Kind::Raw).and_then(|mut block| {
                let number = block.first_chunk_mut::<4>().ok_or(Error::Invalid)?;
                *number = u32::from_le_bytes(*number).wrapping_add(1).to_le_bytes();
                block.write(Durability::Cached)?;
                scratch.count.fetch_add(1, Full);
                Ok(())
            }),
        };
        if !matches!(changed, Ok(()) | Err(Error::Corrupt(_))) {
            scratch.wrong.fetch_add(1, Relaxed);
        }
    }
}

#[kunit_tests(xfs_rust_buffer_aliases)]
mod tests {
    use super::*;

    #[test]
    fn clean_blocks_of_two_lengths_may_lie_side_by_side() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x11)?;
        let whole = scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
        assert!(scratch.reads(half(run), 0x11)?);
        drop(whole);
        assert!(scratch.reads(run, 0x11)?);
        Ok(())
    }

    #[test]
    fn who_changes_a_block_expels_clean_ones_of_other_lengths() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x11)?;
        assert!(scratch.reads(run, 0x11)?);
        let mut block = scratch
            .cache
            .lock(&[half(run)], Kind::Raw)
            .map_err(|_| EIO)?;
        block.fill(0x22);
        block.write(Durability::Cached).map_err(|_| EIO)?;
        drop(block);
        // Read again from the disk, where half of it is new.
        let whole = scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
        assert_eq!((whole.first(), whole.last()), (Some(&0x22), Some(&0x11)));
        Ok(())
    }

    #[test]
    fn another_length_than_that_of_a_changed_block_is_corrupt() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x11)?;
        let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
        // Locked, and so about to change.
        assert!(is_corrupt(scratch.cache.read(&[half(run)], Kind::Raw)));
        assert!(is_corrupt(scratch.cache.lock(&[half(run)], Kind::Raw)));
        block.fill(0x22);
        drop(block);
        // Changed.
        assert!(is_corrupt(scratch.cache.read(&[half(run)], Kind::Raw)));
        assert!(is_corrupt(scratch.cache.lock(&[half(run)], Kind::Raw)));
        assert!(is_corrupt(scratch.cache.fresh(&[half(run)])));
        assert!(scratch.reads(run, 0x22)?);
        // Written, but pinned by the log.
        let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
        block.write(Durability::Cached).map_err(|_| EIO)?;
        let pin = block.pin();
        drop(block);
        assert!(is_corrupt(scratch.cache.lock(&[half(run)], Kind::Raw)));
        drop(pin);
        drop(
            scratch
                .cache
                .lock(&[half(run)], Kind::Raw)
                .map_err(|_| EIO)?,
        );
        assert!(scratch.reads(run, 0x22)?);
        Ok(())
    }

    #[test]
    fn another_length_than_that_of_a_block_being_read_is_not_changed() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        let reader = scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
        assert!(is_corrupt(scratch.cache.lock(&[half(run)], Kind::Raw)));
        assert!(is_corrupt(scratch.cache.fresh(&[half(run)])));
        drop(reader);
        assert!(scratch.cache.fresh(&[half(run)]).is_ok());
        Ok(())
    }

    #[test]
    fn space_that_was_given_up_may_be_used_in_another_length() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x11)?;
        let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
        block.fill(0x22);
        // The log still has it.
        let pin = block.pin();
        let invalidated = block.invalidate();
        drop(block);
        let mut smaller = scratch.cache.fresh(&[half(run)]).map_err(|_| EIO)?;
        smaller.fill(0x33);
        drop((invalidated, pin));
        assert!(is_corrupt(scratch.cache.read(&[run], Kind::Raw)));
        smaller.write(Durability::Cached).map_err(|_| EIO)?;
        drop(smaller);
        let whole = scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?;
        assert_eq!((whole.first(), whole.last()), (Some(&0x33), Some(&0x11)));
        Ok(())
    }

    #[test]
    fn the_same_length_in_other_pieces_is_another_block() -> Result {
        let scratch = Scratch::new()?;
        let [a, b, c] = [scratch.run(0), scratch.run(1), scratch.run(2)];
        for (run, byte) in [(a, 1), (b, 2), (c, 3)] {
            scratch.put(run, byte)?;
        }
        let last = |runs: &[Run]| -> Result<Option<u8>> {
            let block = scratch.cache.read(runs, Kind::Raw).map_err(|_| EIO)?;
            Ok(block.last().copied())
        };
        assert_eq!(last(&[a, b])?, Some(2));
        assert_eq!(last(&[a, c])?, Some(3));
        let mut block = scratch.cache.lock(&[a, b], Kind::Raw).map_err(|_| EIO)?;
        block.fill(4);
        drop(block);
        assert!(is_corrupt(scratch.cache.read(&[a, c], Kind::Raw)));
        assert!(is_corrupt(scratch.cache.lock(&[a, c], Kind::Raw)));
        let mut block = scratch.cache.lock(&[a, b], Kind::Raw).map_err(|_| EIO)?;
        drop(block.invalidate());
        drop(block);
        assert_eq!(last(&[a, c])?, Some(3));
        Ok(())
    }

    #[test]
    fn changes_of_two_lengths_never_overwrite_each_other() -> Result {
        let scratch = Scratch::new()?;
        for block in 0..4 {
            scratch.put(scratch.run(block), 0)?;
        }
        drop(Workers::start(4, &scratch, change_either)?);
        assert_eq!(scratch.wrong.load(Relaxed), 0);
        let mut sum = 0;
        for block in 0..4 {
            let bytes = scratch.on_disk(scratch.run(block))?;
            sum += u32::from_le_bytes(*bytes.first_chunk::<4>().ok_or(EIO)?);
        }
        assert!(sum > 0);
        assert_eq!(sum, scratch.count.load(Relaxed));
        Ok(())
    }

    #[test]
    fn a_block_past_the_cache_leaves_nothing_there() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x11)?;
        assert_eq!(scratch.cache.drain(), 0);
        let mut block = scratch
            .cache
            .read_uncached(&[run], Kind::Raw)
            .map_err(|_| EIO)?;
        assert!(block.iter().all(|byte| *byte == 0x11));
        // What is not written is forgotten.
        block.fill(0x22);
        assert!(scratch.reads(run, 0x11)?);
        drop(block);
        assert!(scratch.disk_is(run, 0x11)?);
        // What the cache has is not looked at.
        let mut cached = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
        cached.fill(0x33);
        let block = scratch
            .cache
            .read_uncached(&[run], Kind::Raw)
            .map_err(|_| EIO)?;
        assert!(block.iter().all(|byte| *byte == 0x11));
        drop(block);
        cached.write(Durability::Cached).map_err(|_| EIO)?;
        Ok(())
    }
}
