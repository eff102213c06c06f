// SPDX-License-Identifier: GPL-2.0

//! Blocks that groups keep for their trees.

use crate::space::{
    groups::SMALL_GROUPS,
    harness::{Holder, World},
};
use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::ImageStore,
    libxfs::{
        ag,
        alloc::Request,
        error::{Error, Result},
        format::{
            btree::Owner,
            units::{AgBlock, AgNumber, FsBlock},
        },
        items::{RefcountUpdate, RefcountUpdateKind},
        journal::Journal,
        space::{self, BlockOwner, Demands, Place, Wanted},
        store::{Device, Store},
    },
};

const OWNER: BlockOwner = BlockOwner::new(Owner::InodeChunks);

#[test]
fn groups_need_what_xfs_db_says() {
    for shape in SHAPES {
        let image = Image::of(shape);
        let store = ImageStore::open(image.disks()).unwrap();
        let printed = image.db(&["agresv"]);
        let mut groups = 0;
        for line in printed.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            // Where there is too little, more is said.
            let ["AG", ag, "length:", _, "free:", _, "reserved:", asked, "used:", used, ..] =
                words[..]
            else {
                continue;
            };
            let ag = AgNumber(ag.trim_end_matches(':').parse().unwrap());
            let demands = Demands::read(&store, ag).unwrap();
            let all = [demands.refcount, demands.free_inodes, demands.rmap];
            let sum = |of: fn(&space::Demand) -> u32| all.iter().map(of).sum::<u32>();
            let expected: (u32, u32) = (asked.parse().unwrap(), used.parse().unwrap());
            let found = (sum(|demand| demand.asked), sum(|demand| demand.used));
            assert_eq!(found, expected, "{}: group {ag}", shape.name);
            groups += 1;
        }
        assert_eq!(groups, store.geometry().ag_count, "{printed}");
    }
}

/// Gives all of a group away, in extents of an owner.
fn fill(world: &mut World, ag: AgNumber) {
    let target = world.journal.geometry().fs_block(ag, AgBlock(100));
    let wanted = Wanted {
        owner: OWNER,
        ..Wanted::data(target.unwrap(), Place::InGroup, Request::new(1, 1))
    };
    for max in [4000, 60, 1] {
        let wanted = Wanted {
            request: Request::new(1, max),
            ..wanted
        };
        loop {
            match world.take(&wanted, Holder::Owner(OWNER)) {
                Ok(Some(_)) => {}
                Ok(None) | Err(Error::NoSpace) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Changes the count of every second block of what was taken in a group.
fn change_counts(world: &World, ag: AgNumber, kind: RefcountUpdateKind) -> Result {
    let geo = world.journal.geometry();
    let mut blocks = Vec::new();
    for (&start, &(count, _)) in &world.taken {
        let at = FsBlock(start);
        if geo.split_fs_block(at).unwrap().0 == ag {
            blocks.extend((start..start + u64::from(count)).step_by(2));
        }
    }
    for starts in blocks.chunks(40) {
        world.chain(0, |_, deferred| {
            for &start in starts {
                let count = 1;
                deferred.update_refcount(Device::Data, RefcountUpdate { kind, start, count })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Shares every second block of a full group.
fn share_all(world: &mut World, ag: AgNumber) -> Result {
    fill(world, ag);
    change_counts(world, ag, RefcountUpdateKind::Increase)
}

#[test]
fn a_full_group_can_share_every_second_block() {
    let mut world = World::new(&SMALL_GROUPS);
    let ag = AgNumber(3);
    let blocks = |world: &World| {
        ag::read_agf(&world.journal, ag)
            .unwrap()
            .refcount_blocks
            .get()
    };
    let before = blocks(&world);
    share_all(&mut world, ag).unwrap();
    assert!(blocks(&world) > before + 100);
    change_counts(&world, ag, RefcountUpdateKind::Decrease).unwrap();
    assert_eq!(blocks(&world), before);
    world.give_all(true);
    world.check();
}

#[test]
fn a_full_group_that_kept_nothing_cannot_share() {
    let mut world = World::new(&SMALL_GROUPS);
    space::release(&world.journal);
    let ag = AgNumber(3);
    assert_eq!(share_all(&mut world, ag), Err(Error::NoSpace));
}

#[test]
fn what_is_kept_counts_as_used_until_it_is_given_back() {
    let world = World::new(named("default"));
    let journal = &world.journal;
    let with = journal.counters().free_blocks;
    let hidden = space::hidden(journal);
    let asked: u32 = (0..journal.geometry().ag_count)
        .map(|ag| {
            let keeps = |group: &mut space::Group| group.metadata.left + group.rmap.asked;
            journal.with_group(AgNumber(ag), keeps).unwrap()
        })
        .sum();
    assert_eq!(hidden, u64::from(asked));
    assert!(hidden > 1000);
    space::release(journal);
    assert_eq!(journal.counters().free_blocks, with + hidden);
    assert_eq!(space::hidden(journal), 0);
}

#[test]
fn a_device_without_room_keeps_what_it_can() {
    let mut world = World::new(named("many-groups"));
    space::release(&world.journal);
    for ag in 0..world.journal.geometry().ag_count {
        fill(&mut world, AgNumber(ag));
    }
    assert!(!space::reserve(&world.journal).unwrap());
    world.give_all(true);
    space::release(&world.journal);
    assert!(space::reserve(&world.journal).unwrap());
    world.check();
}
