// SPDX-License-Identifier: GPL-2.0

//! Devices that are full or nearly so, and memory that runs out.

use crate::space::{
    groups::SMALL_GROUPS,
    harness::{Holder, World},
    random::Random,
    steps,
};
use kernel::alloc::faults::FailAfter;
use xfs_host::libxfs::{
    alloc::Request,
    error::Error,
    format::{btree::Owner, units::FsBlock},
    items::ExtentFree,
    space::{self, BlockOwner, Place, Reserve, Wanted},
    store::Device,
};

const OWNER: BlockOwner = BlockOwner::new(Owner::InodeChunks);

/// Takes all that is left, the most at a time.
fn fill(world: &mut World, random: &mut Random, holder: Holder) {
    for max in [5000, 300, 16, 1] {
        let target = world.target(random);
        let wanted = Wanted {
            owner: match holder {
                Holder::Staging => BlockOwner::NONE,
                Holder::Owner(owner) => owner,
            },
            ..Wanted::data(target, Place::Near, Request::new(1, max))
        };
        loop {
            match world.take(&wanted, holder) {
                Ok(Some(_)) => {}
                Ok(None) | Err(Error::NoSpace) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn a_full_device_with_staging_everywhere_is_whole() {
    let mut world = World::new(&SMALL_GROUPS);
    let mut random = Random::new(31);
    let counters = world.journal.counters();
    fill(&mut world, &mut random, Holder::Staging);
    assert_eq!(world.journal.shutdown(), None);
    world.check();
    // Free every second block of what is short: all that is free lies in pieces.
    let short: Vec<_> = world
        .taken
        .iter()
        .filter(|(_, (count, _))| (2..300).contains(count))
        .map(|(&start, _)| start)
        .take(steps(150) as usize)
        .collect();
    for start in short {
        let mut start = start;
        while world.taken.get(&start).is_some_and(|(count, _)| *count > 1) {
            world.give(start, 1).unwrap();
            // The rest begins there; its first block stays.
            let (count, holder) = world.taken.remove(&(start + 1)).unwrap();
            world.taken.insert(start + 1, (1, holder));
            if count > 1 {
                world.taken.insert(start + 2, (count - 1, holder));
            }
            start += 2;
        }
    }
    world.check();
    fill(&mut world, &mut random, Holder::Staging);
    world.check();
    world.give_all(true);
    world.check();
    assert_eq!(world.journal.counters(), counters);
}

#[test]
fn too_small_a_claim_changes_nothing() {
    let world = World::new(&SMALL_GROUPS);
    let target = world.target(&mut Random::new(32));
    let counters = world.journal.counters();
    for claim in 0..4 {
        let wanted = Wanted::data(target, Place::Near, Request::new(4, 9));
        let taken = world.chain(claim, |trans, deferred| {
            let taken = space::allocate(trans, deferred, &wanted);
            assert!(!trans.is_dirty());
            taken
        });
        assert_eq!(taken, Err(Error::NoSpace));
    }
    assert_eq!(world.journal.shutdown(), None);
    assert_eq!(world.journal.counters(), counters);
    // With what is claimed it makes do.
    let wanted = Wanted {
        owner: OWNER,
        ..Wanted::data(target, Place::Near, Request::new(4, 9))
    };
    let taken = world.chain(5, |trans, deferred| {
        let taken = space::allocate(trans, deferred, &wanted)?.unwrap();
        space::free(
            trans,
            deferred,
            taken.start,
            taken.count,
            OWNER,
            Reserve::None,
        )?;
        Ok(taken)
    });
    assert_eq!(taken.unwrap().count, 5);
    assert_eq!(world.journal.counters(), counters);
}

#[test]
fn a_group_keeps_what_the_transaction_will_ask_for_later() {
    let mut world = World::new(&SMALL_GROUPS);
    let mut random = Random::new(33);
    fill(&mut world, &mut random, Holder::Owner(OWNER));
    // Free a little in one group.
    let (&start, _) = world
        .taken
        .iter()
        .find(|(_, (count, _))| *count >= 16)
        .unwrap();
    world.give(start, 16).unwrap();
    let target = FsBlock(start);
    let wanted = |keep| Wanted {
        keep,
        owner: OWNER,
        ..Wanted::data(target, Place::Near, Request::new(1, 1))
    };
    let taken = |world: &mut World, keep| world.take(&wanted(keep), Holder::Owner(OWNER)).unwrap();
    assert_eq!(taken(&mut world, 1000), None);
    assert!(taken(&mut world, 0).is_some());
    world.give_all(true);
    world.check();
}

#[test]
fn without_memory_work_fails_and_nothing_else_does() {
    let mut done = false;
    for allocations in 0..400 {
        let mut world = World::new(&SMALL_GROUPS);
        let target = world.target(&mut Random::new(34));
        let wanted = Wanted::data(target, Place::Near, Request::new(1, 200));
        let extent = world.take(&wanted, Holder::Staging).unwrap().unwrap();
        let result = {
            let _few = FailAfter::new(allocations);
            world.chain(60, |trans, deferred| {
                let block = Wanted::metadata(target, Place::Near, OWNER);
                let block = space::allocate(trans, deferred, &block)?.ok_or(Error::NoSpace)?;
                space::free(trans, deferred, block.start, 1, OWNER, Reserve::None)?;
                deferred.free_cow(Device::Data, extent.start.0, extent.count)?;
                let extent = ExtentFree::data(extent.start.0, extent.count);
                deferred.free_extent(Device::Data, extent)
            })
        };
        match result {
            Ok(()) => {
                world.taken.clear();
                world.check();
                done = true;
                break;
            }
            Err(error) => assert_eq!(error, Error::NoMemory),
        }
        assert_eq!(world.journal.store().locked(), 0);
        if world.journal.shutdown().is_none() {
            world.check();
        }
    }
    assert!(done, "it needs more memory than that");
}
