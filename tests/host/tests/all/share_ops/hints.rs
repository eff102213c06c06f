// SPDX-License-Identifier: GPL-2.0

//! Extent size hints, realtime extents, and what is left of them where space is short.

use crate::share_ops::{ranges::RT_SHARED, world::World};
use xfs_host::{
    fixture::named,
    libxfs::{
        bmap::{self, CowMut, Delayed},
        defer::Chain,
        extents::{Mapping, State},
        format::units::{FileBlock, InodeNumber},
        inode::WhichFork,
        journal::{Claim, Journal},
        space::Groups,
        store::Store,
        trans::{CounterDeltas, Trans},
    },
    random::Random,
};

fn span(mapping: &Mapping) -> (u64, u64) {
    (mapping.offset.0, mapping.end().0)
}

#[test]
fn allocations_take_whole_pieces_of_the_hint() {
    let world = World::new(named("empty"));
    let number = world.create("hinted", 0o100_644);
    world.set_hints(number, 16, 0);
    // The piece that it lies in, all that a range touches, and what is between them.
    for (from, len, expected) in [(5, 1, (0, 16)), (40, 10, (32, 64)), (20, 1, (16, 32))] {
        assert_eq!(span(&world.allocate(number, from, len)), expected);
    }
    let inode = world.inode(number);
    let map = inode.extents(WhichFork::Data).unwrap();
    assert_eq!(map.count(), 1, "{map:?}");
    assert_eq!(inode.core.nblocks, 64);
    assert!(map.iter().all(|found| found.state == State::Unwritten));

    // Where a piece has no room it moves, and ends at a multiple of the hint then; where a hole is too
    // small it is cut.
    let other = world.create("hinted later", 0o100_644);
    for block in [10, 11, 30] {
        world.write(other, block, &vec![7; world.block_size()]);
    }
    world.set_hints(other, 16, 0);
    for (from, expected) in [(3, (0, 10)), (13, (12, 16)), (29, (16, 30)), (33, (32, 48))] {
        assert_eq!(span(&world.allocate(other, from, 1)), expected);
    }
    world.repair();
}

#[test]
fn a_hint_gives_way_where_space_is_short() {
    let world = World::new(named("empty"));
    let number = world.create("hinted", 0o100_644);
    world.set_hints(number, 16, 0);
    // The transaction has five blocks beside those for the tree.
    let claim = Claim {
        blocks: 5,
        ..Claim::default()
    };
    let trans = Trans::start(&world.journal, world.files().reservations.write, claim).unwrap();
    let mut chain = Chain::new(trans).unwrap();
    let (trans, deferred) = chain.parts();
    let id = trans.hold_inode(number).unwrap();
    let mut fork = bmap::ForkMut::new(trans, deferred, id, WhichFork::Data).unwrap();
    let found = fork
        .allocate(FileBlock(9), (1, 2), State::Unwritten)
        .unwrap()
        .unwrap();
    // All that was asked for, and as much of the rest as there is.
    assert!(
        found.len <= 5 && found.offset.0 <= 9 && found.end().0 >= 11,
        "{found:?}"
    );
    chain.commit(&mut Groups).unwrap();
    world.repair();
}

/// Stages a copy of some blocks, and gives it up again.
fn stage(world: &World, number: InodeNumber, from: u64, len: u64) -> Mapping {
    let inode = world.inode(number);
    let geo = world.journal.geometry();
    let claim = bmap::staging_claim(geo, &inode, FileBlock(from), len);
    let trans = Trans::start(&world.journal, world.files().reservations.write, claim).unwrap();
    let mut chain = Chain::new(trans).unwrap();
    let (trans, deferred) = chain.parts();
    let id = trans.hold_inode(number).unwrap();
    let mut cow = CowMut::new(trans, deferred, id);
    let found = cow
        .allocate(FileBlock(from), (1, len as u32))
        .unwrap()
        .unwrap();
    chain.finish(&mut Groups).unwrap();
    chain.parts().0.roll().unwrap();
    let (trans, deferred) = chain.parts();
    let mut cow = CowMut::new(trans, deferred, id);
    let end = found.end();
    cow.cancel(FileBlock(0), end, true, u32::MAX).unwrap();
    chain.commit(&mut Groups).unwrap();
    found
}

#[test]
fn copies_are_staged_in_pieces_of_their_hint() {
    let world = World::new(named("empty"));
    let number = world.create("file", 0o100_644);
    assert_eq!(span(&stage(&world, number, 40, 3)), (32, 64));
    world.set_hints(number, 0, 8);
    assert_eq!(span(&stage(&world, number, 40, 9)), (40, 56));
    // That of the data counts if it is larger.
    world.set_hints(number, 64, 8);
    assert_eq!(span(&stage(&world, number, 40, 9)), (0, 64));
    let mut inode = world.inode(number);
    let range = bmap::staged(world.journal.geometry(), &inode, FileBlock(70), 2);
    assert_eq!((range.at.0, range.end().0), (64, 128));
    bmap::delay(
        &world.journal,
        &mut inode,
        Delayed::Cow,
        range.at,
        range.len,
    )
    .unwrap();
    let range = bmap::staged(world.journal.geometry(), &inode, FileBlock(60), 1);
    assert_eq!((range.at.0, range.end().0), (0, 64));
    world.journal.settle(&CounterDeltas {
        free_blocks: 64 + inode.cow.last().unwrap().reserved() as i64,
        ..CounterDeltas::default()
    });
    world.repair();
}

#[test]
fn copies_are_staged_on_the_realtime_device() {
    let world = World::new(&RT_SHARED);
    let number = world.create("file", 0o100_644);
    world.make_realtime(number);
    let before = world.journal.counters();
    assert_eq!(span(&stage(&world, number, 40, 3)), (32, 64));
    assert_eq!(
        world.journal.counters().free_rt_extents,
        before.free_rt_extents
    );
    world.repair();
}

#[test]
fn realtime_extents_are_allocated_as_a_whole() {
    for shape in ["rt-extent-64k", "rt-groups-extent-16k"] {
        let world = World::new(named(shape));
        let unit = u64::from(world.journal.geometry().rt_extent_size);
        assert!(unit > 1);
        let before = world.journal.counters();
        let numbers = ["one", "two"].map(|name| world.create(name, 0o100_644));
        for number in numbers {
            world.make_realtime(number);
        }
        let [one, two] = numbers;
        assert_eq!(span(&world.allocate(one, unit + 1, 1)), (unit, 2 * unit));
        assert_eq!(
            span(&world.allocate(one, 2 * unit, 2 * unit + 1)),
            (2 * unit, 5 * unit)
        );
        world.set_hints(two, 4 * unit as u32, 0);
        assert_eq!(
            span(&world.allocate(two, 5 * unit, 1)),
            (4 * unit, 8 * unit)
        );
        let used = before.free_rt_extents - world.journal.counters().free_rt_extents;
        assert_eq!(used, 8);
        // One after the other in the file, and on the device.
        let inode = world.inode(one);
        assert_eq!(inode.extents(WhichFork::Data).unwrap().count(), 1);
        world.repair();
        for number in numbers {
            world.truncate(number, 0);
        }
        let after = world.journal.counters();
        assert_eq!(after.free_rt_extents, before.free_rt_extents);
        world.repair();
    }
}

#[test]
fn a_full_realtime_device_says_so() {
    for shape in ["rt", "rt-groups"] {
        let world = World::new(named(shape));
        let number = world.create("file", 0o100_644);
        world.make_realtime(number);
        let mut random = Random::new(3);
        let mut at = 0;
        while world.journal.counters().free_rt_extents > 0 {
            let left = world.journal.counters().free_rt_extents;
            let most = left.min(1 + u64::from(random.below(20_000)));
            at = world.allocate(number, at, most).end().0;
        }
        let claim = Claim {
            rt_extents: 1,
            ..Claim::default()
        };
        assert!(world.journal.claim(claim).is_err());
        world.repair();
        world.truncate(number, 0);
        world.repair();
    }
}
