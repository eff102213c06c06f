// SPDX-License-Identifier: GPL-2.0

//! Blocks that were freed by a transaction which a crash can still undo.

use crate::space::{
    harness::{is_full, Holder, World},
    random::Random,
    steps,
};
use std::collections::BTreeSet;
use xfs_host::{
    fixture::named,
    libxfs::{
        alloc::Request,
        format::{
            btree::Owner,
            units::{AgBlock, AgNumber, FsBlock},
        },
        items::ExtentFree,
        journal::{CommitSequence, Journal},
        space::{self, BlockOwner, Extent, Place, Reserve, Wanted},
        store::{Device, Store},
    },
};

const OWNER: BlockOwner = BlockOwner::new(Owner::InodeChunks);

fn blocks(extent: &Extent) -> impl Iterator<Item = u64> {
    extent.start.0..extent.start.0 + u64::from(extent.count)
}

/// A file system in which commits become stable when they are forced.
fn lazy() -> World {
    let world = World::new(named("many-groups"));
    world.journal.settle_when_forced();
    world
}

#[test]
fn what_bypasses_the_log_is_never_written_to_blocks_that_a_crash_gives_back() {
    let mut world = lazy();
    let mut random = Random::new(11);
    // Freed, and not stable.
    let mut freed = BTreeSet::new();
    let mut reused = 0;
    for _ in 0..steps(500) {
        if random.once_in(2) && !world.taken.is_empty() {
            let which = random.below(world.taken.len() as u32) as usize;
            let (&start, &(count, _)) = world.taken.iter().nth(which).unwrap();
            world.give(start, count).unwrap();
            freed.extend(start..start + u64::from(count));
            continue;
        }
        let target = match freed.first() {
            Some(&start) => FsBlock(start),
            None => world.target(&mut random),
        };
        let max = 1 + random.below(3000);
        let unlogged = random.once_in(2);
        let request = Request {
            unlogged,
            ..Request::new(1 + random.below(max), max)
        };
        let forces = world.journal.forces();
        let wanted = Wanted {
            owner: OWNER,
            ..Wanted::data(target, Place::Near, request)
        };
        let taken = world.take(&wanted, Holder::Owner(OWNER));
        assert!(taken.is_ok() || is_full(&taken), "{taken:?}");
        if world.journal.forces() != forces {
            freed.clear();
        }
        for block in taken.ok().flatten().iter().flat_map(blocks) {
            let was_busy = freed.remove(&block);
            assert!(!(unlogged && was_busy), "block {block:#x} is busy");
            reused += u32::from(was_busy);
        }
    }
    assert!(reused > 0);
    world.give_all(true);
    world.check();
}

#[test]
fn the_log_is_forced_where_all_that_is_free_is_busy() {
    let mut world = lazy();
    let geo = world.journal.geometry();
    let ag = AgNumber(2);
    let target = geo.fs_block(ag, AgBlock(1000));
    let data = |min| Wanted {
        owner: OWNER,
        ..Wanted::data(
            target.unwrap(),
            Place::InGroup,
            Request::unlogged(min, 30_000),
        )
    };
    let mut longest = 0;
    while let Some(extent) = world.take(&data(1), Holder::Owner(OWNER)).unwrap() {
        longest = longest.max(extent.count);
    }
    let forces = world.journal.forces();
    let (&start, &(count, _)) = world
        .taken
        .iter()
        .find(|(_, (count, _))| *count == longest)
        .unwrap();
    world.give(start, count).unwrap();
    // It is free for what is logged, though not with all of it.
    let block = Wanted::metadata(FsBlock(start), Place::Exact, OWNER);
    assert!(world.take(&block, Holder::Owner(OWNER)).unwrap().is_some());
    assert_eq!(world.journal.forces(), forces);
    let taken = world.take(&data(count / 2), Holder::Owner(OWNER)).unwrap();
    assert!(taken.is_some());
    assert_eq!(world.journal.forces(), forces + 1);
    world.give_all(true);
    world.check();
}

#[test]
fn what_a_transaction_freed_itself_it_cannot_wait_for() {
    let mut world = lazy();
    let mut random = Random::new(12);
    let target = world.target(&mut random);
    let data = Wanted {
        owner: OWNER,
        ..Wanted::data(target, Place::Near, Request::unlogged(100, 100))
    };
    let extent = world.take(&data, Holder::Owner(OWNER)).unwrap().unwrap();
    let forces = world.journal.forces();
    let again = Wanted {
        target: extent.start,
        place: Place::Exact,
        ..data
    };
    let (busy, logged) = world
        .chain(200, |trans, deferred| {
            let Extent { start, count } = extent;
            space::free(trans, deferred, start, count, OWNER, Reserve::None)?;
            let busy = space::allocate(trans, deferred, &again)?;
            let logged = space::allocate(
                trans,
                deferred,
                &Wanted {
                    request: Request::new(100, 100),
                    ..again
                },
            )?;
            Ok((busy, logged))
        })
        .unwrap();
    assert_eq!((busy, logged), (None, Some(extent)));
    assert_eq!(world.journal.forces(), forces);
    world.give_all(true);
    world.check();
}

#[test]
fn groups_forget_what_is_stable() {
    let mut world = lazy();
    let mut random = Random::new(13);
    let target = world.target(&mut random);
    let data = Wanted {
        owner: OWNER,
        ..Wanted::data(target, Place::Near, Request::new(64, 64))
    };
    let extent = world.take(&data, Holder::Owner(OWNER)).unwrap().unwrap();
    let (ag, _) = world
        .journal
        .geometry()
        .split_fs_block(extent.start)
        .unwrap();
    let is_busy = |world: &World| {
        let journal = &world.journal;
        journal
            .with_group(ag, |group| !group.busy.is_empty())
            .unwrap()
    };
    assert!(!is_busy(&world));
    let freed = world.chain(0, |_, deferred| {
        let free = ExtentFree {
            owner: OWNER,
            ..ExtentFree::data(extent.start.0, extent.count)
        };
        deferred.free_extent(Device::Data, free)
    });
    freed.unwrap();
    assert!(is_busy(&world));
    let last = CommitSequence(world.journal.commits());
    world.journal.force(last).unwrap();
    assert!(!is_busy(&world));
}
