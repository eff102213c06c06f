// SPDX-License-Identifier: GPL-2.0

//! Groups that are nearly full, and what is free in them in small pieces.

use super::{small, times, world::World};
use xfs_host::{
    fixture::Shape,
    libxfs::{
        ag,
        alloc::Request,
        defer::Chain,
        error::Error,
        extents::{ExtentMap, MappedBlock, Mapping, State},
        format::{
            btree::{FreeExtent, Owner, RmapFlags},
            units::{AgBlock, AgNumber, FileBlock},
        },
        ialloc::shape::chunk_blocks,
        inode::Fork,
        items::{RmapUpdate, RmapUpdateKind},
        journal::Claim,
        space::{allocate, Groups, Place, Wanted},
        store::{Device, Store},
        trans::{InodeFields, Trans},
    },
    mutation::Choices,
};

/// Small groups, so that they are full soon.
static FULL: &[Shape] = &[
    small("inodes-full", &["-n", "parent=0", "-d", "agcount=8"]),
    small(
        "inodes-full-whole-chunks",
        &["-n", "parent=0", "-d", "agcount=8", "-i", "sparse=0"],
    ),
    small(
        "inodes-full-no-finobt",
        &["-n", "parent=0", "-d", "agcount=8", "-m", "finobt=0"],
    ),
    small(
        "inodes-full-1k-bare",
        &[
            "-b",
            "size=1024",
            "-d",
            "agcount=8",
            "-n",
            "parent=0",
            "-m",
            "rmapbt=0,reflink=0",
        ],
    ),
];

fn free_extents(world: &World, ag: AgNumber) -> Vec<FreeExtent> {
    let agf = ag::read_agf(&world.journal, ag).unwrap();
    let mut cursor = ag::bno(&world.journal, ag, &agf).unwrap();
    let mut all = Vec::new();
    let mut extent = cursor.seek_first().unwrap();
    while let Some(found) = extent {
        all.push(found);
        extent = cursor.next().unwrap();
    }
    all
}

/// Gives a file of its own to some extents of a group, as far as they are to be had.
fn occupy(world: &mut World, ag: AgNumber, extents: &[(AgBlock, u32)]) {
    let Some(dir) = world.some_dir() else {
        panic!("all directories are full");
    };
    let file = world.make(dir, 0o100_600, false).unwrap();
    let mut inode = world.read(file);
    let blocks: u32 = extents.iter().map(|(_, count)| count).sum();
    let claim = Claim {
        blocks: blocks.into(),
        ..Claim::default()
    };
    let journal = &world.journal;
    let geo = journal.geometry();
    let mut chain = Chain::new(Trans::start(journal, world.log.write, claim).unwrap()).unwrap();
    let (trans, deferred) = chain.parts();
    let mut map = ExtentMap::new();
    let mut at = 0;
    for &(start, count) in extents {
        let target = geo.fs_block(ag, start).unwrap();
        let wanted = Wanted::data(target, Place::Exact, Request::new(count, count));
        let Some(extent) = allocate(trans, deferred, &wanted).unwrap() else {
            continue;
        };
        let offset = FileBlock(at);
        map.insert(Mapping {
            offset,
            start: MappedBlock(extent.start.0),
            len: count.into(),
            state: State::Normal,
        })
        .unwrap();
        let update = RmapUpdate {
            kind: RmapUpdateKind::Map,
            owner: Owner::Inode(file),
            start: extent.start.0,
            offset,
            count,
            flags: RmapFlags::default(),
        };
        deferred.update_rmap(Device::Data, update).unwrap();
        // A hole keeps mappings apart.
        at += u64::from(count) + 1;
        inode.core.nblocks += u64::from(count);
    }
    inode.core.nextents = map.count();
    inode.core.size = at * u64::from(geo.block_size);
    // All of the inode is for the mappings.
    inode.core.forkoff = 0;
    inode.attr = None;
    inode.data = Fork::Extents(map);
    let id = trans.join(inode).unwrap();
    trans.change_inode(id, InodeFields::ALL).unwrap();
    chain.commit(&mut Groups).unwrap();
    world.leave(file);
}

/// Leaves some hundred blocks in each group, in pieces that are too short for a chunk.
fn shred(world: &mut World) {
    let geo = world.journal.geometry().clone();
    let chunk = chunk_blocks(&geo);
    // Files to hold it all, while there is space for them.
    let root = geo.root_inode;
    for _ in 0..8 {
        let dir = world.make(root, 0o040_755, false).unwrap();
        for _ in 0..8 {
            world.make(dir, 0o040_755, false).unwrap();
        }
    }
    for ag in (0..geo.ag_count).map(AgNumber) {
        let mut wanted = Vec::new();
        let mut spare = 75 * chunk;
        for extent in free_extents(world, ag) {
            let shredded = extent.count.min(spare);
            spare -= shredded;
            let whole = extent.count - shredded;
            if whole > 0 {
                wanted.push((extent.start, whole));
            }
            let mut at = extent.start.0 + whole;
            loop {
                at += 1 + world.choices.below(chunk as usize - 1) as u32;
                if at >= extent.end().0 {
                    break;
                }
                wanted.push((AgBlock(at), 1));
                at += 1;
            }
        }
        for part in wanted.chunks(20) {
            occupy(world, ag, part);
        }
    }
}

#[test]
fn a_file_system_that_is_nearly_full_gives_inodes_until_it_has_no_space() {
    for shape in FULL {
        for seed in 0..times(1) {
            let mut world = World::new(shape, seed);
            shred(&mut world);
            world.compare(&format!("{}, shredded", shape.name));
            let mut made = 0;
            while let Some(dir) = world.some_dir() {
                let mode = if made % 6 == 0 { 0o040_755 } else { 0o100_644 };
                match world.make(dir, mode, false) {
                    Ok(_) => made += 1,
                    Err(Error::NoSpace) => break,
                    Err(error) => panic!("{}: {error:?}", shape.name),
                }
                if made % 500 == 0 {
                    world.compare(&format!("{}, {made} made", shape.name));
                }
            }
            world.compare(&format!("{}, full", shape.name));
            let chunks = world.chunks();
            let sparse = chunks.iter().filter(|(_, chunk)| chunk.holes != 0).count();
            let free: u32 = chunks
                .iter()
                .map(|(_, chunk)| u32::from(chunk.free_count))
                .sum();
            assert_eq!(free, 0, "{}", shape.name);
            let parts = world.journal.geometry().features.sparse_inodes();
            assert_eq!(sparse > 10, parts, "{}: {sparse} are sparse", shape.name);
            world.repair(&format!("{}, full", shape.name));
            // Full as it is, inodes come and go.
            for _ in 0..400 {
                world.step(false).unwrap();
            }
            world.compare(&format!("{}, less full", shape.name));
            for _ in 0..300 {
                world.step(true).unwrap();
            }
            world.repair(&format!("{}, full again", shape.name));
        }
    }
}
