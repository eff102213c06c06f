// SPDX-License-Identifier: GPL-2.0

//! Writes that fail, and blocks that are not fit to be written.

use super::scratch::{
    Scratch,
    Tally, //
};
use crate::{
    fs::buf::WriteList,
    libxfs::{
        error::Error,
        format::{
            kind::Kind,
            units::{
                AgBlock,
                AgNumber,
                DiskAddr,
                Lsn, //
            },
        },
        store::Run, //
    },
    rust::{
        bindings::{
            EIO as IO_ERROR,
            ENODEV as NO_DEVICE, //
        },
        kernel::bio::Durability, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

/// Changes a block and starts to write it, to fail `failures` times. Returns what its watcher was
/// told, and whether it has its changes still.
fn write_failing(
    scratch: &Scratch,
    byte: u8,
    failures: u32,
    errno: u32,
) -> Result<((u32, u32, u32), bool)> {
    let run = scratch.run(0);
    let tally = Tally::new()?;
    let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
    block.fill(byte);
    block.set_watcher(Some(tally.clone()));
    scratch.cache.fail_writes(failures, errno);
    block.write_async().map_err(|_| EIO)?;
    // The lock comes back when all is over.
    let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
    let told = tally.counts();
    block.set_watcher(None);
    Ok((told, block.is_changed()))
}

/// The header of a group that no mount changes.
fn agf(scratch: &Scratch) -> Result<Run> {
    let geometry = scratch.disk.geometry()?;
    let group = geometry
        .ag_block_addr(AgNumber(1), AgBlock(0))
        .ok_or(EINVAL)?;
    Ok(Run {
        at: DiskAddr(group.0 + 1),
        len: 1,
    })
}

#[kunit_tests(xfs_rust_buffer_failures)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_once_is_tried_again_at_once() -> Result {
        let scratch = Scratch::new()?;
        let (told, changed) = write_failing(&scratch, 0x21, 1, IO_ERROR)?;
        assert_eq!((told, changed), ((1, 0, 0), false));
        assert!(scratch.disk_is(scratch.run(0), 0x21)?);
        assert!(!scratch.health.is_shut_down());
        Ok(())
    }

    #[test]
    fn a_write_that_fails_for_long_is_left_to_its_watcher_for_ever() -> Result {
        let scratch = Scratch::new()?;
        // Twice at first, and then once for each time that the watcher has it tried.
        for failures in [2, 1, 1, 1] {
            let (told, changed) = write_failing(&scratch, 0x22, failures, IO_ERROR)?;
            assert_eq!((told, changed), ((0, 1, 0), true));
            assert!(!scratch.health.is_shut_down());
        }
        let (told, changed) = write_failing(&scratch, 0x23, 0, 0)?;
        assert_eq!((told, changed), ((1, 0, 0), false));
        assert!(scratch.disk_is(scratch.run(0), 0x23)?);
        Ok(())
    }

    #[test]
    fn a_device_that_is_gone_shuts_the_file_system_down() -> Result {
        let scratch = Scratch::new()?;
        let (told, changed) = write_failing(&scratch, 0x24, 2, NO_DEVICE)?;
        assert_eq!((told, changed), ((0, 0, 1), true));
        assert!(scratch.health.is_shut_down());
        // From then on nothing is written.
        let run = scratch.run(1);
        scratch
            .cache
            .lock(&[run], Kind::Raw)
            .map_err(|_| EIO)
            .map(|mut block| {
                block.fill(0x25);
                assert_eq!(block.write(Durability::Cached), Err(Error::Shutdown));
            })?;
        assert!(!scratch.disk_is(run, 0x25)?);
        Ok(())
    }

    #[test]
    fn no_failure_keeps_an_unmount_waiting() -> Result {
        let scratch = Scratch::new()?;
        scratch.health.set_unmounting();
        let (told, _) = write_failing(&scratch, 0x26, 2, IO_ERROR)?;
        assert_eq!(told, (0, 0, 1));
        assert!(scratch.health.is_shut_down());
        Ok(())
    }

    #[test]
    fn a_failed_write_that_someone_waits_for_is_their_error() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x27)?;
        for in_list in [false, true] {
            let tally = Tally::new()?;
            let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
            block.set_watcher(Some(tally.clone()));
            block.fill(0x28);
            scratch.cache.fail_writes(1, IO_ERROR);
            let written = if in_list {
                let mut list = WriteList::new();
                list.add(&mut block).map_err(|_| EIO)?;
                drop(block);
                list.submit_and_wait()
            } else {
                block.write(Durability::Cached)
            };
            assert_eq!(written, Err(Error::Io));
            assert_eq!(tally.counts(), (0, 0, 1));
            assert!(!scratch.health.is_shut_down());
            // The requests went through, it is the answer that was made up: what is in memory was
            // forgotten, and what the disk has is read again.
            scratch.put(run, 0x27)?;
            assert!(scratch.reads(run, 0x27)?);
        }
        Ok(())
    }

    #[test]
    fn a_block_that_breaks_its_format_is_not_written() -> Result {
        let scratch = Scratch::new()?;
        let run = agf(&scratch)?;
        let before = scratch.on_disk(run)?;
        for delayed in [false, true] {
            let scratch = Scratch::new()?;
            let tally = Tally::new()?;
            let mut list = WriteList::new();
            let mut block = scratch.cache.lock(&[run], Kind::Agf).map_err(|_| EIO)?;
            block.set_watcher(Some(tally.clone()));
            if let Some(magic) = block.first_mut() {
                *magic ^= 1;
            }
            list.add(&mut block).map_err(|_| EIO)?;
            if delayed {
                drop(block);
                assert_eq!(list.submit().locked, 0);
            } else {
                assert!(matches!(
                    block.write(Durability::Cached),
                    Err(Error::Corrupt(_))
                ));
            }
            assert!(scratch.health.is_shut_down());
            assert_eq!(tally.counts(), (0, 0, 1));
            assert!(*scratch.on_disk(run)? == *before);
        }
        Ok(())
    }

    #[test]
    fn a_block_gets_its_sequence_number_and_checksum_when_written() -> Result {
        let scratch = Scratch::new()?;
        let run = agf(&scratch)?;
        let before = scratch.on_disk(run)?;
        // Read as raw bytes first: what is written is what its owner takes it for.
        drop(scratch.cache.read(&[run], Kind::Raw).map_err(|_| EIO)?);
        let mut block = scratch.cache.lock(&[run], Kind::Agf).map_err(|_| EIO)?;
        block.set_lsn(Lsn(0x0123_4567_89ab_cdef));
        let written = block.write(Durability::Cached);
        drop(block);
        let after = scratch.on_disk(run)?;
        let mut raw = scratch
            .cache
            .fresh_uncached(&[run], Kind::Raw)
            .map_err(|_| EIO)?;
        raw.copy_from_slice(&before);
        let restored = raw.write(Durability::Cached);
        drop(raw);
        assert_eq!(written, Ok(()));
        assert_eq!(restored, Ok(()));
        let lsn = 0x0123_4567_89ab_cdef_u64.to_be_bytes();
        assert!(after.windows(8).any(|bytes| *bytes == lsn));
        let geometry = scratch.disk.geometry()?;
        assert!(Kind::Agf.verify(&geometry, run.at, &after).is_ok());
        Ok(())
    }

    #[test]
    fn a_block_without_content_is_not_written() -> Result {
        let scratch = Scratch::new()?;
        let run = scratch.run(0);
        scratch.put(run, 0x29)?;
        let mut block = scratch.cache.fresh(&[run]).map_err(|_| EIO)?;
        let mut list = WriteList::new();
        assert_eq!(list.add(&mut block), Err(Error::Invalid));
        assert_eq!(block.write(Durability::Cached), Err(Error::Invalid));
        drop(block.invalidate());
        assert_eq!(list.add(&mut block), Err(Error::Invalid));
        assert_eq!(block.write(Durability::Cached), Err(Error::Invalid));
        assert!(scratch.disk_is(run, 0x29)?);
        assert!(!scratch.health.is_shut_down());
        Ok(())
    }

    #[test]
    fn changes_of_a_shut_down_file_system_are_forgotten_with_it() -> Result {
        let scratch = Scratch::new()?;
        for number in 0..64 {
            let run = scratch.run(number);
            scratch.put(run, 0x2a)?;
            let mut block = scratch.cache.lock(&[run], Kind::Raw).map_err(|_| EIO)?;
            block.fill(0x2b);
            block.set_watcher(Some(Tally::new()?));
        }
        scratch.health.shut_down("by a test");
        drop(scratch);
        let scratch = Scratch::new()?;
        for number in 0..64 {
            assert!(scratch.reads(scratch.run(number), 0x2a)?);
        }
        Ok(())
    }
}
