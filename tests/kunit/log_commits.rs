// SPDX-License-Identifier: GPL-2.0

//! What is committed: in the log, then in its place, and in what order.

use super::{
    log_disk::{
        LogDisk,
        Shape,
        BLOCKS, //
    },
    workers::{
        Sequence,
        Workers, //
    },
};
use crate::{
    fs::log::grant::Head,
    libxfs::{
        error::Error,
        format::log::{
            buffer::BufferItem,
            item::{
                self,
                ItemKind, //
            },
        },
        log::{
            read::Live,
            space, //
        },
    },
    rust::bindings, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::{
        Full,
        Relaxed, //
    }, //
};

/// A buffer that the log has: its first address, and what it says of it, unless it was freed.
type Logged = (u64, Option<u32>);

/// What the log on the disk has, from its tail to its head, in its order: a list for each
/// checkpoint.
fn logged(disk: &LogDisk) -> Result<KVec<KVec<Logged>>> {
    let device = disk.device();
    let head = disk.head()?;
    let mut all = KVec::new();
    let live = Live::new(&device, &disk.geometry, &head).map_err(|_| EUCLEAN)?;
    let Some(mut live) = live else {
        return Ok(all);
    };
    live.transactions(|transaction| {
        let mut list = KVec::new();
        for regions in transaction.items.iter() {
            let wrong = |_| Error::Invalid;
            let (kind, _) = item::start(regions.get(0).unwrap_or_default()).map_err(wrong)?;
            if kind != ItemKind::Buffer {
                continue;
            }
            let item = BufferItem::decode(regions).map_err(wrong)?;
            let mut value = None;
            for change in item.changes() {
                let (_, bytes) = change.map_err(wrong)?;
                value = value.or_else(|| LogDisk::value(bytes));
            }
            list.push((item.at.0, value), GFP_KERNEL)?;
        }
        all.push(list, GFP_KERNEL)?;
        Ok(())
    })
    .map_err(|_| EUCLEAN)?;
    Ok(all)
}

/// Commits blocks at random, forces some, and checks that what was forced is told to be stable.
fn commit_at_random(disk: &LogDisk, number: u32) {
    let mut sequence = Sequence::new(number);
    // Blocks of each worker's own: what it put there last is what must be there.
    let own = |block: u64| block * 8 + u64::from(number);
    for round in 0..300_u32 {
        let first = own(sequence.below(20));
        let second = own(20 + sequence.below(20));
        let committed = disk.commit(&[(first, round), (second, round)]);
        let Ok(committed) = committed else {
            return disk.blame();
        };
        if sequence.below(10) == 0 {
            let Ok(engine) = disk.engine() else {
                return disk.blame();
            };
            if engine.force(committed).is_err() || !engine.is_stable(committed) {
                disk.blame();
            }
            if disk.told() < committed.0 {
                disk.blame();
            }
        }
        disk.count.fetch_add(1, Full);
    }
    // A value that all can be held to in the end.
    for block in 0..40 {
        if disk.commit(&[(own(block), 1_000_000 + number)]).is_err() {
            disk.blame();
        }
    }
}

fn hammer(shape: Shape) -> Result {
    let disk = LogDisk::new(shape)?;
    let before = disk.head()?;
    drop(Workers::start(8, &disk, commit_at_random)?);
    assert!(disk.is_well());
    assert_eq!(disk.count.load(Relaxed), 2400);
    assert_eq!(disk.engine()?.unmount(), Ok(()));
    // All is in its place, the log is clean, and no room is taken.
    for number in 0..8 {
        for block in 0..40 {
            assert_eq!(
                disk.on_disk(block * 8 + u64::from(number))?,
                Some(1_000_000 + number)
            );
        }
    }
    let head = disk.head()?;
    assert!(head.is_clean());
    assert!(head.next.cycle() > before.next.cycle());
    assert_eq!(disk.engine()?.grants().used(Head::Reserve), 0);
    assert_eq!(disk.engine()?.grants().used(Head::Write), 0);
    Ok(())
}

/// Locks a block that was freed and is not cancelled in the log yet.
fn use_again(disk: &LogDisk, _: u32) {
    match disk.put(7, 0x77) {
        Ok(block) => drop(block),
        Err(_) => disk.blame(),
    }
    disk.count.fetch_add(1, Full);
}

#[kunit_tests(xfs_rust_log_commits)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forced_is_in_the_log_and_not_in_its_place() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let old = disk.on_disk(3)?;
        let first = disk.commit(&[(3, 0x31), (4, 0x41)])?;
        assert!(!disk.engine()?.is_stable(first));
        assert_eq!(disk.engine()?.force(first), Ok(()));
        assert!(disk.engine()?.is_stable(first));
        let second = disk.commit(&[(5, 0x51)])?;
        assert!(second > first);
        assert_eq!(disk.engine()?.force(second), Ok(()));
        let [three, four, five] = [3, 4, 5].map(|block| disk.run(block).at.0);
        let all = logged(&disk)?;
        assert_eq!(all.len(), 2);
        assert_eq!(
            all.first().map(|one| &**one),
            Some(&[(three, Some(0x31)), (four, Some(0x41))][..])
        );
        assert_eq!(
            all.last().map(|one| &**one),
            Some(&[(five, Some(0x51))][..])
        );
        if old != Some(0x31) {
            assert_eq!(disk.on_disk(3)?, old);
        }
        Ok(())
    }

    #[test]
    fn what_is_in_its_place_leaves_the_log() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let engine = disk.engine()?;
        for block in 0..100 {
            disk.commit(&[(block, 0x100 + block as u32)])?;
        }
        assert_eq!(engine.force_all(), Ok(()));
        assert!(engine.grants().used(Head::Reserve) > 100 * 4096);
        assert!(!engine.is_at_rest());
        assert_eq!(engine.push_all_and_wait(), Ok(()));
        for block in 0..100 {
            assert_eq!(disk.on_disk(block)?, Some(0x100 + block as u32));
        }
        assert!(engine.is_at_rest());
        assert_eq!(engine.grants().used(Head::Reserve), 0);
        Ok(())
    }

    #[test]
    fn a_block_changed_often_is_in_a_checkpoint_once() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let engine = disk.engine()?;
        disk.commit(&[(1, 0)])?;
        let used = engine.grants().used(Head::Write);
        for value in 1..=100 {
            disk.commit(&[(1, value)])?;
        }
        // Nor does it take more room.
        assert_eq!(engine.grants().used(Head::Write), used);
        assert_eq!(engine.force_all(), Ok(()));
        let all = logged(&disk)?;
        assert_eq!(all.len(), 1);
        let one = (disk.run(1).at.0, Some(100));
        assert_eq!(all.first().map(|list| &**list), Some(&[one][..]));
        Ok(())
    }

    #[test]
    fn a_checkpoint_may_take_many_records() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        for block in 0..200 {
            disk.commit(&[(block, 0x200 + block as u32)])?;
        }
        assert_eq!(disk.engine()?.force_all(), Ok(()));
        let all = logged(&disk)?;
        let list = all.first().ok_or(EINVAL)?;
        assert_eq!(list.len(), 200);
        for (block, (at, value)) in list.iter().enumerate() {
            assert_eq!(*at, disk.run(block as u64).at.0);
            assert_eq!(*value, Some(0x200 + block as u32));
        }
        Ok(())
    }

    #[test]
    fn a_freed_block_is_cancelled_and_not_written() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        disk.commit(&[(7, 0x70)])?;
        assert_eq!(disk.engine()?.force_all(), Ok(()));
        assert_eq!(disk.engine()?.push_all_and_wait(), Ok(()));
        disk.commit(&[(7, 0x71), (8, 0x81)])?;
        disk.free(7)?;
        // The address is not to be had before that is in the log, which is made to hurry.
        drop(Workers::start(1, &disk, use_again)?);
        assert_eq!(disk.count.load(Relaxed), 1);
        assert_eq!(disk.engine()?.force_all(), Ok(()));
        assert_eq!(disk.engine()?.push_all_and_wait(), Ok(()));
        assert_eq!(disk.on_disk(7)?, Some(0x70));
        assert_eq!(disk.on_disk(8)?, Some(0x81));
        assert!(disk.is_well());
        Ok(())
    }

    #[test]
    fn a_log_that_goes_round_loses_nothing() -> Result {
        hammer(Shape {
            blocks: 512,
            stripe_unit: 0,
            buffer_size: 32 << 10,
        })
    }

    #[test]
    fn nor_does_one_with_a_stripe_unit_and_large_records() -> Result {
        hammer(Shape {
            blocks: 1024,
            stripe_unit: 64 << 10,
            buffer_size: 256 << 10,
        })
    }

    #[test]
    fn a_log_that_was_unmounted_goes_on_where_it_was() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let mut last = disk.head()?.next;
        drop(disk);
        for round in 0..5 {
            let disk = LogDisk::idle(Shape::PLAIN)?.start()?;
            let head = disk.head()?;
            assert!(head.is_clean() && head.next >= last);
            last = head.next;
            disk.commit(&[(round, 0x300 + round as u32)])?;
            assert_eq!(disk.engine()?.unmount(), Ok(()));
            assert_eq!(disk.on_disk(round)?, Some(0x300 + round as u32));
        }
        Ok(())
    }

    #[test]
    fn a_log_at_rest_is_covered() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        for block in 0..10 {
            disk.commit(&[(block, 0x400)])?;
        }
        assert_eq!(disk.engine()?.quiesce(), Ok(()));
        // Of what recovery would find nothing was changed but the superblock.
        let head = disk.head()?;
        assert!(!head.is_clean());
        for list in &logged(&disk)? {
            for (at, _) in list {
                assert_eq!(*at, 0);
            }
        }
        // It goes on after that.
        disk.engine()?.wake();
        disk.commit(&[(0, 0x401)])?;
        assert_eq!(disk.engine()?.force_all(), Ok(()));
        let all = logged(&disk)?;
        let last = all.last().ok_or(EINVAL)?;
        assert_eq!(**last, [(disk.run(0).at.0, Some(0x401))]);
        Ok(())
    }

    #[test]
    fn a_log_that_is_full_waits_until_its_tail_has_moved() -> Result {
        let disk = LogDisk::new(Shape {
            blocks: 512,
            stripe_unit: 0,
            buffer_size: 32 << 10,
        })?;
        // Three times the log, by one who never waits for anything but room.
        for round in 0..1536_u64 {
            disk.commit(&[(round % BLOCKS, round as u32)])?;
        }
        let engine = disk.engine()?;
        assert_eq!(engine.force_all(), Ok(()));
        let head = disk.head()?;
        assert!(space::distance(512 * 8, head.tail, head.next).is_some());
        assert!(disk.is_well());
        // SAFETY: Tests may sleep.
        unsafe { bindings::msleep(1) };
        assert_eq!(engine.unmount(), Ok(()));
        for round in 0..1536_u64 {
            assert_eq!(disk.on_disk(round % BLOCKS)?, Some(round as u32));
        }
        Ok(())
    }
}
