// SPDX-License-Identifier: GPL-2.0

//! Items that are no blocks: intents, which hold the tail until they are answered, and inodes, which
//! come to their place with their cluster.

use super::log_disk::{
    LogDisk,
    Shape, //
};
use crate::{
    fs::log::{
        grant::Head,
        Commit,
        Item,
        Ticket, //
    },
    libxfs::{
        format::{
            inode::{
                self,
                RawInode, //
            },
            kind::Kind,
            log::inode::{
                Fields,
                InodeItem,
                LogInode,
                LogPlace, //
            },
            units::{
                AgInode,
                InodeNumber, //
            },
        },
        items::{
            self,
            IntentId,
            RefcountUpdate,
            RefcountUpdateKind,
            Work, //
        },
        log::read::Live,
        store::{
            Device,
            Run, //
        },
        trans::InodeFields, //
    },
    rust::kernel::bio::{
        self,
        Durability, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::Arc, //
};
use zerocopy::{
    FromBytes,
    FromZeros,
    IntoBytes, //
};

fn work() -> Result<Work> {
    let mut parts = KVec::new();
    let part = RefcountUpdate {
        kind: RefcountUpdateKind::Increase,
        start: 100,
        count: 1,
    };
    parts.push(part, GFP_KERNEL)?;
    Ok(Work::RefcountUpdate(Device::Data, parts))
}

/// Commits items beside blocks.
fn commit(disk: &LogDisk, what: &[items::Item]) -> Result {
    let engine = disk.engine()?;
    let mut ticket = Ticket::take(engine, LogDisk::room(1)).map_err(|_| EIO)?;
    let mut commit = Commit::new(engine, &mut ticket);
    for item in what {
        commit.item(item).map_err(|_| EIO)?;
    }
    commit.finish().map_err(|_| EIO)?;
    Ok(())
}

/// How many items the log has between its tail and its head, in how many checkpoints.
fn count_items(disk: &LogDisk) -> Result<(usize, usize)> {
    let device = disk.device();
    let head = disk.head()?;
    let live = Live::new(&device, &disk.geometry, &head).map_err(|_| EUCLEAN)?;
    let (mut items, mut checkpoints) = (0, 0);
    if let Some(mut live) = live {
        live.transactions(|transaction| {
            items += transaction.items.len();
            checkpoints += 1;
            Ok(())
        })
        .map_err(|_| EUCLEAN)?;
    }
    Ok((items, checkpoints))
}

/// A cluster of free inodes among the blocks that may be logged.
struct Cluster {
    run: Run,
    first: InodeNumber,
}

impl Cluster {
    fn new(disk: &LogDisk) -> Result<Self> {
        let geo = &disk.geometry;
        let run = Run {
            at: disk.run(64).at,
            len: geo.inode_cluster_blocks() * 8,
        };
        let (ag, block) = geo.split_addr(run.at).ok_or(EINVAL)?;
        let first = geo
            .inode_number(ag, AgInode(block.0 * geo.inodes_per_block))
            .ok_or(EINVAL)?;
        let mut cluster = disk
            .cache
            .fresh_uncached(&[run], Kind::InodeCluster)
            .map_err(|_| EIO)?;
        for (index, slot) in cluster
            .chunks_exact_mut(geo.inode_size as usize)
            .enumerate()
        {
            let raw = Self::raw(disk, first.0 + index as u64);
            slot.get_mut(..inode::CORE_SIZE)
                .ok_or(EIO)?
                .copy_from_slice(raw.as_bytes());
            inode::seal(slot);
        }
        cluster.write(Durability::Cached).map_err(|_| EIO)?;
        Ok(Self { run, first })
    }

    fn raw(disk: &LogDisk, number: u64) -> RawInode {
        let mut raw = RawInode::new_zeroed();
        raw.magic = inode::MAGIC.into();
        raw.version = inode::VERSION;
        raw.next_unlinked = inode::NULL_AG_INODE.into();
        raw.number = number.into();
        raw.uuid = disk.geometry.meta_uuid;
        raw
    }

    /// What the disk has of an inode: its owner, and its LSN.
    fn on_disk(&self, disk: &LogDisk, index: u64) -> Result<(u32, u64)> {
        let bytes = bio::read_now(
            disk.disk.device()?,
            self.run.at.0,
            self.run.len as usize * 512,
        )?;
        let raw = self.raw_in(disk, &bytes, index)?;
        Ok((raw.uid.get(), raw.lsn.get()))
    }

    /// The owner of an inode, in the bytes of the cluster.
    fn owner_in(&self, disk: &LogDisk, bytes: &[u8], index: u64) -> Result<u32> {
        Ok(self.raw_in(disk, bytes, index)?.uid.get())
    }

    fn raw_in(&self, disk: &LogDisk, bytes: &[u8], index: u64) -> Result<RawInode> {
        let size = disk.geometry.inode_size as usize;
        let slot = bytes.chunks_exact(size).nth(index as usize).ok_or(EIO)?;
        let (raw, _) = RawInode::read_from_prefix(slot).map_err(|_| EIO)?;
        match raw.number.get() == self.first.0 + index {
            true => Ok(raw),
            false => Err(EIO),
        }
    }

    /// An inode of it, and where that lies.
    fn place(&self, disk: &LogDisk, index: u64) -> (InodeNumber, LogPlace) {
        let place = LogPlace {
            at: self.run.at,
            len: self.run.len,
            offset: index as u32 * disk.geometry.inode_size,
        };
        (InodeNumber(self.first.0 + index), place)
    }

    /// Commits a change of an inode's owner.
    fn commit(
        &self,
        disk: &LogDisk,
        slot: &mut Option<Arc<Item>>,
        index: u64,
        owner: u32,
    ) -> Result {
        let (number, place) = self.place(disk, index);
        let mut raw = Self::raw(disk, number.0);
        raw.uid = owner.into();
        let core = LogInode::new(&raw);
        let engine = disk.engine()?;
        let mut ticket = Ticket::take(engine, LogDisk::room(1)).map_err(|_| EIO)?;
        let mut commit = Commit::new(engine, &mut ticket);
        commit
            .inode(slot, (number, place), InodeFields::CORE, |items, _| {
                items.inode(&InodeItem {
                    number,
                    fields: Fields(Fields::CORE),
                    place,
                    device: 0,
                    core: &core,
                    data: None,
                    attr: None,
                })
            })
            .map_err(|_| EIO)?;
        commit.finish().map_err(|_| EIO)?;
        Ok(())
    }
}

#[kunit_tests(xfs_rust_log_items)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_holds_the_tail_until_it_is_answered() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let engine = disk.engine()?;
        let id = engine.next_intent();
        commit(&disk, &[items::Item::Intent(id, work()?)])?;
        assert_eq!(engine.force_all(), Ok(()));
        let tail = disk.head()?.tail;
        for block in 0..10 {
            disk.commit(&[(block, 0x700)])?;
            assert_eq!(engine.force_all(), Ok(()));
        }
        engine.push_all();
        assert_eq!(disk.head()?.tail, tail);
        assert!(!engine.is_at_rest());
        commit(&disk, &[items::Item::Done(id, work()?)])?;
        assert_eq!(engine.force_all(), Ok(()));
        assert_eq!(engine.push_all_and_wait(), Ok(()));
        assert_eq!(engine.grants().used(Head::Reserve), 0);
        disk.commit(&[(1, 0x701)])?;
        assert_eq!(engine.force_all(), Ok(()));
        assert!(disk.head()?.tail > tail);
        Ok(())
    }

    #[test]
    fn an_intent_answered_at_once_is_never_written() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let engine = disk.engine()?;
        for _ in 0..10 {
            let id = engine.next_intent();
            commit(&disk, &[items::Item::Intent(id, work()?)])?;
            commit(&disk, &[items::Item::Done(id, work()?)])?;
        }
        disk.commit(&[(1, 0x710)])?;
        assert_eq!(engine.force_all(), Ok(()));
        assert_eq!(count_items(&disk)?, (1, 1));
        assert_eq!(engine.push_all_and_wait(), Ok(()));
        assert!(engine.is_at_rest());
        assert_eq!(engine.grants().used(Head::Reserve), 0);
        Ok(())
    }

    #[test]
    fn a_recovered_intent_holds_the_tail_too() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let engine = disk.engine()?;
        let id = IntentId(0xffff_8881_0234_5678);
        let tail = disk.head()?.tail;
        assert_eq!(engine.take_over([(id, tail)].into_iter()), Ok(()));
        for block in 0..10 {
            disk.commit(&[(block, 0x720)])?;
            assert_eq!(engine.force_all(), Ok(()));
        }
        engine.push_all();
        assert_eq!(disk.head()?.tail, tail);
        commit(&disk, &[items::Item::Done(id, work()?)])?;
        assert_eq!(engine.unmount(), Ok(()));
        assert!(disk.head()?.is_clean());
        Ok(())
    }

    #[test]
    fn inodes_of_a_cluster_come_to_their_place_together() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let cluster = Cluster::new(&disk)?;
        let engine = disk.engine()?;
        let mut slots = [const { None }; 8];
        for (index, slot) in slots.iter_mut().enumerate() {
            cluster.commit(&disk, slot, index as u64, 1000 + index as u32)?;
            assert_eq!(engine.force_all(), Ok(()));
        }
        assert_eq!(cluster.on_disk(&disk, 0)?.0, 0);
        assert_eq!(engine.push_all_and_wait(), Ok(()));
        let mut last = 0;
        for index in 0..8 {
            let (owner, lsn) = cluster.on_disk(&disk, index)?;
            assert_eq!(owner, 1000 + index as u32);
            // Each has the LSN of its own checkpoint.
            assert!(lsn > last);
            last = lsn;
        }
        assert_eq!(cluster.on_disk(&disk, 8)?.0, 0);
        assert!(engine.is_at_rest());
        // Once more, with the same items.
        for round in 0..20_u32 {
            for (index, slot) in slots.iter_mut().enumerate() {
                cluster.commit(&disk, slot, index as u64, 2000 + round)?;
            }
        }
        assert_eq!(engine.unmount(), Ok(()));
        for index in 0..8 {
            assert_eq!(cluster.on_disk(&disk, index)?.0, 2019);
        }
        assert_eq!(engine.grants().used(Head::Reserve), 0);
        Ok(())
    }

    #[test]
    fn an_inode_that_left_memory_is_read_as_it_was_committed() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let cluster = Cluster::new(&disk)?;
        let engine = disk.engine()?;
        let mut slots = [const { None }; 2];
        for (index, slot) in slots.iter_mut().enumerate() {
            cluster.commit(&disk, slot, index as u64, 4000 + index as u32)?;
        }
        drop(slots);
        let (number, place) = cluster.place(&disk, 1);
        assert_eq!(engine.settle_inode(number, place), Ok(()));
        let read = disk.cache.read(&[cluster.run], Kind::InodeCluster);
        let bytes = read.map_err(|_| EIO)?;
        assert_eq!(cluster.owner_in(&disk, &bytes, 1)?, 4001);
        drop(bytes);
        assert_eq!(cluster.on_disk(&disk, 1)?.0, 0);
        assert_eq!(engine.unmount(), Ok(()));
        for index in 0..2 {
            assert_eq!(cluster.on_disk(&disk, index)?.0, 4000 + index as u32);
        }
        // Nor is anything left to settle.
        assert_eq!(engine.settle_inode(number, place), Ok(()));
        assert!(engine.is_at_rest());
        Ok(())
    }

    #[test]
    fn inodes_of_a_cluster_that_is_freed_are_not_written() -> Result {
        let disk = LogDisk::new(Shape::PLAIN)?;
        let cluster = Cluster::new(&disk)?;
        let engine = disk.engine()?;
        let mut slots = [const { None }; 3];
        for (index, slot) in slots.iter_mut().enumerate() {
            cluster.commit(&disk, slot, index as u64, 3000)?;
        }
        assert_eq!(engine.force_all(), Ok(()));
        let mut ticket = Ticket::take(engine, LogDisk::room(1)).map_err(|_| EIO)?;
        let mut block = disk
            .cache
            .lock(&[cluster.run], Kind::InodeCluster)
            .map_err(|_| EIO)?;
        let mut freeing = Commit::new(engine, &mut ticket);
        freeing
            .block(
                &mut block,
                &[cluster.run],
                Kind::InodeCluster,
                crate::libxfs::trans::BlockState::Invalid,
                &crate::libxfs::format::log::chunks::ChunkMap::new(),
            )
            .map_err(|_| EIO)?;
        freeing.finish().map_err(|_| EIO)?;
        drop(block);
        drop(ticket);
        assert_eq!(engine.unmount(), Ok(()));
        for index in 0..3 {
            assert_eq!(cluster.on_disk(&disk, index)?.0, 0);
        }
        assert_eq!(engine.grants().used(Head::Reserve), 0);
        Ok(())
    }
}
