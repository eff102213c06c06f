// SPDX-License-Identifier: GPL-2.0

//! Structures that are wrong where an inode is made or freed: the error says where, and nothing loops.

use super::{named, world::World};
use xfs_host::{
    journal::SyncJournal,
    libxfs::{
        ag::LockedAgi,
        btree::{Hook, InTrans, Path, Root},
        defer::Chain,
        error::{Error, Place, Result},
        format::{
            btree::{Fino, InodeChunk},
            inode::{self, RawInode},
            kind::Kind,
            units::{AgBlock, AgInode, AgNumber, InodeNumber},
        },
        ialloc::Giving,
        inode::{cluster_run, locate, unlinked, Trust},
        journal::Claim,
        space::Groups,
        store::{Device, Store},
        trans::{BlockId, Trans},
    },
};
use zerocopy::FromBytes;

/// The structure and the field that an error names.
fn fault<T: std::fmt::Debug>(result: Result<T>) -> (&'static str, &'static str) {
    match result {
        Err(Error::Corrupt(corruption)) => (corruption.fault.structure, corruption.fault.field),
        other => panic!("{other:?}"),
    }
}

/// Changes the slot of an inode on the disk.
fn forge(world: &World, number: InodeNumber, change: impl FnOnce(&mut RawInode)) {
    let store = world.journal.store();
    let geo = store.geometry();
    let place = locate(store, number, Trust::Trusted).unwrap();
    let run = cluster_run(store, place).unwrap();
    let mut cluster = store
        .read(Device::Data, run, Kind::InodeCluster)
        .unwrap()
        .to_vec();
    let size = geo.inode_size as usize;
    let slot = &mut cluster[place.index as usize * size..][..size];
    change(RawInode::mut_from_prefix(slot).unwrap().0);
    inode::seal(slot);
    store.write(Device::Data, &[run], &cluster).unwrap();
}

/// Two inodes on one list, the one that was put there last first.
fn listed(world: &mut World) -> (InodeNumber, InodeNumber) {
    let root = world.journal.geometry().root_inode;
    let mut made = Vec::new();
    loop {
        let number = world.make(root, 0o100_600, true).unwrap();
        let like = made.iter().find(|old: &&InodeNumber| {
            world.ag_of(**old) == world.ag_of(number) && old.0 % 64 == number.0 % 64
        });
        if let Some(first) = like {
            return (number, *first);
        }
        made.push(number);
    }
}

#[test]
fn a_list_without_an_end_ends() {
    let mut world = World::new(named("inodes-4k"), 3);
    let (head, _) = listed(&mut world);
    let geo = world.journal.geometry().clone();
    let (ag, own) = geo.split_inode(head).unwrap();
    forge(&world, head, |raw| raw.next_unlinked.set(own.0));
    // One with the same bucket that is on no list.
    let other = geo.inode_number(ag, AgInode(own.0 + 64)).unwrap();
    let mut trans = Trans::start(&world.journal, world.log.remove, Claim::default()).unwrap();
    let removed = unlinked::remove(&mut trans, other, None);
    assert_eq!(fault(removed), ("agi", "unlinked"));
}

#[test]
fn an_inode_is_put_on_a_list_once() {
    let mut world = World::new(named("inodes-4k"), 3);
    let (head, second) = listed(&mut world);
    let mut trans = Trans::start(&world.journal, world.log.remove, Claim::default()).unwrap();
    let inode = trans.join(world.read(head)).unwrap();
    let inserted = unlinked::insert(&mut trans, inode);
    assert_eq!(fault(inserted), ("agi", "unlinked"));
    assert!(!trans.is_dirty());
    drop(trans);
    // With links it belongs on none.
    let root = world.journal.geometry().root_inode;
    let mut trans = Trans::start(&world.journal, world.log.remove, Claim::default()).unwrap();
    let inode = trans.join(world.read(root)).unwrap();
    assert_eq!(unlinked::insert(&mut trans, inode), Err(Error::Invalid));
    drop(trans);
    // One that names another one is on a list.
    let file = world.make(root, 0o100_600, false).unwrap();
    let (_, next) = world.journal.geometry().split_inode(second).unwrap();
    forge(&world, file, |raw| {
        raw.next_unlinked.set(next.0);
        raw.nlink.set(0);
    });
    let mut trans = Trans::start(&world.journal, world.log.remove, Claim::default()).unwrap();
    let inode = trans.join(world.read(file)).unwrap();
    let inserted = unlinked::insert(&mut trans, inode);
    assert_eq!(fault(inserted), ("dinode", "di_next_unlinked"));
    match inserted {
        Err(Error::Corrupt(corruption)) => assert_eq!(corruption.place, Place::Inode(file)),
        other => panic!("{other:?}"),
    }
    drop(trans);
    assert_eq!(world.journal.shutdown(), None);
}

/// Changes the first record of the free-inode tree of group 0.
fn forge_free(world: &World, change: impl FnOnce(&mut InodeChunk)) {
    let claim = Claim::default();
    let mut chain =
        Chain::new(Trans::start(&world.journal, world.log.create, claim).unwrap()).unwrap();
    let (trans, _) = chain.parts();
    let ag = AgNumber(0);
    let agi = LockedAgi::lock(trans, ag).unwrap();
    let root = agi.get(trans).unwrap().fino();
    let mut path = Path::<BlockId, Fino>::new(ag, 0);
    let mut blocks = InTrans {
        trans,
        hook: Fixed(root),
        home: ag,
    };
    let mut chunk = path.seek_first(&mut blocks).unwrap().unwrap();
    change(&mut chunk);
    path.update(&mut blocks, &chunk).unwrap();
    path.reset(&mut blocks);
    chain.commit(&mut Groups).unwrap();
}

/// A tree that neither grows nor shrinks.
struct Fixed((AgBlock, u32));

impl Hook<SyncJournal, Fino> for Fixed {
    fn root<'r>(&'r self, _: &'r Trans<'_, SyncJournal>) -> Result<Root<'r, AgBlock>> {
        Ok(Root::Block(self.0 .0, self.0 .1))
    }

    fn set_root(&mut self, _: &mut Trans<'_, SyncJournal>, _: AgBlock, _: u32) -> Result {
        Err(Error::Invalid)
    }

    fn change_fork<'r>(&'r mut self, _: &'r mut Trans<'_, SyncJournal>) -> Result<&'r mut [u8]> {
        Err(Error::Invalid)
    }

    fn allocate(&mut self, _: &mut Trans<'_, SyncJournal>, _: Option<AgBlock>) -> Result<AgBlock> {
        Err(Error::Invalid)
    }

    fn free(&mut self, _: &mut Trans<'_, SyncJournal>, _: AgBlock) -> Result {
        Err(Error::Invalid)
    }
}

#[test]
fn trees_that_disagree_are_told() {
    let mut world = World::new(named("inodes-4k"), 3);
    let root = world.journal.geometry().root_inode;
    forge_free(&world, |chunk| {
        // The first inode that is free is in use in the other tree's eyes.
        let low = chunk.free & chunk.free.wrapping_neg();
        chunk.free &= !low;
        chunk.free_count -= 1;
    });
    assert_eq!(
        fault(world.make(root, 0o100_600, false)),
        ("inobt", "record")
    );
}

#[test]
fn a_free_inode_is_not_freed_again() {
    let mut world = World::new(named("inodes-4k"), 3);
    let root = world.journal.geometry().root_inode;
    let file = world.make(root, 0o100_600, true).unwrap();
    let geo = world.journal.geometry().clone();
    let chunks = world.chunks();
    let (ag, chunk) = chunks
        .iter()
        .find(|(_, chunk)| chunk.free_count > 0)
        .unwrap();
    let free = chunk.start.checked_add(chunk.available().trailing_zeros());
    let free = geo.inode_number(*ag, free.unwrap()).unwrap();
    let far = InodeNumber(file.0 + (1 << 14));
    for number in [free, far] {
        let trans = Trans::start(&world.journal, world.log.inode_free, Claim::default());
        let mut chain = Chain::new(trans.unwrap()).unwrap();
        let (trans, deferred) = chain.parts();
        let giving = Giving::of(trans, deferred, number, false);
        assert_eq!(fault(giving), ("inobt", "free"));
        assert!(!trans.is_dirty());
    }
    assert_eq!(world.journal.shutdown(), None);
}
