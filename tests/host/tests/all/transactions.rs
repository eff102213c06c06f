// SPDX-License-Identifier: GPL-2.0

//! Transactions: what they hold, what they log, and what becomes of it.

use kernel::alloc::faults::FailAfter;
use std::sync::Arc;
use xfs_host::{
    fixture::{named, Image},
    image::{Disk, Disks, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        error::Error,
        format::{
            ag::{agf::DiskAgf, agfl::DiskAgfl, AGFL_SECTOR, AGF_SECTOR},
            kind::Kind,
            log::chunks::{ChunkMap, CHUNK_SIZE},
            units::{AgNumber, DiskAddr, FileBlock, InodeNumber},
        },
        items::{Exchange, ExchangeFile, ExchangeFlags, ExtentFree, Item, Work},
        journal::{Claim, Shutdown},
        store::{Device, Run, Store},
        trans::{BlockState, LogReservation, Trans},
    },
};

const LOG: LogReservation = LogReservation {
    bytes: 100_000,
    count: 2,
    permanent: true,
};

const BLOCKS: Claim = Claim {
    blocks: 10,
    rt_extents: 0,
    emergency: false,
};

const FILE: ExchangeFile = ExchangeFile {
    inode: InodeNumber(131),
    generation: 1,
    offset: FileBlock(0),
    size: 0,
};

const EXCHANGE: Exchange = Exchange {
    files: [FILE; 2],
    blocks: 1,
    flags: ExchangeFlags(0),
};

fn opened() -> (SyncJournal, Arc<ScratchDisk>) {
    let base = Image::of(named("empty")).disks().data;
    let disk = Arc::new(ScratchDisk::new(base));
    let journal = SyncJournal::open(Disks::data(disk.clone())).unwrap();
    (journal, disk)
}

fn start(journal: &SyncJournal) -> Trans<'_, SyncJournal> {
    Trans::start(journal, LOG, Claim::default()).unwrap()
}

fn header(journal: &SyncJournal, ag: u32, sector: u32) -> Run {
    let geo = journal.geometry();
    Run {
        at: geo.ag_header_addr(AgNumber(ag), sector).unwrap(),
        len: geo.sector_size / 512,
    }
}

fn free_blocks(journal: &SyncJournal) -> u32 {
    let run = header(journal, 0, AGF_SECTOR);
    let agf = journal.read(Device::Data, run, Kind::Agf).unwrap();
    DiskAgf::view(&agf).unwrap().freeblks.get()
}

/// A block of the group that no one uses.
fn a_block(journal: &SyncJournal) -> Run {
    let geo = journal.geometry();
    let at = geo.ag_block_addr(AgNumber(1), xfs_host::libxfs::format::units::AgBlock(5000));
    Run {
        at: at.unwrap(),
        len: geo.basic_blocks_per_block(),
    }
}

#[test]
fn a_block_that_is_asked_for_twice_is_one() {
    let (journal, _) = opened();
    let mut trans = start(&journal);
    let run = header(&journal, 0, AGF_SECTOR);
    let one = trans.read(Device::Data, run, Kind::Agf).unwrap();
    let other = trans.read(Device::Data, run, Kind::Agf).unwrap();
    assert_eq!(one, other);
    assert_eq!(journal.store().locked(), 1);
    trans.release(one);
    assert_eq!(journal.store().locked(), 1);
    assert!(!trans.bytes(other).is_empty());
    trans.release(other);
    assert_eq!(journal.store().locked(), 0);
}

#[test]
fn a_handle_that_was_released_names_nothing() {
    let (journal, _) = opened();
    let mut trans = start(&journal);
    let run = header(&journal, 0, AGF_SECTOR);
    let old = trans.read(Device::Data, run, Kind::Agf).unwrap();
    trans.release(old);
    // The slot is used again, for another block.
    let agfl = header(&journal, 0, AGFL_SECTOR);
    let new = trans.read(Device::Data, agfl, Kind::Agfl).unwrap();
    assert!(trans.bytes(old).is_empty());
    assert_eq!(trans.change(old, 0..4).err(), Some(Error::Invalid));
    assert_eq!(trans.copy(new, 0..4, old, 0).err(), Some(Error::Invalid));
    assert_eq!(trans.place(old), None);
    assert!(trans.view::<DiskAgfl>(new, 0).is_some());
    assert!(!trans.is_dirty());
}

#[test]
fn what_is_committed_is_on_the_disk_with_its_checksum() {
    let (journal, disk) = opened();
    let before = free_blocks(&journal);
    let mut trans = start(&journal);
    let run = header(&journal, 0, AGF_SECTOR);
    let agf = trans.read(Device::Data, run, Kind::Agf).unwrap();
    let view = trans.change_as::<DiskAgf>(agf, 0).unwrap();
    view.freeblks.set(before - 3);
    assert!(trans.is_dirty());
    assert!(trans.commit().unwrap().is_some());
    assert_eq!(journal.store().locked(), 0);
    assert_eq!(free_blocks(&journal), before - 3);
    // And to who opens the disk anew.
    let again = SyncJournal::open(Disks::data(Arc::new(disk.snapshot()))).unwrap();
    assert_eq!(free_blocks(&again), before - 3);
}

#[test]
fn a_clean_transaction_that_is_dropped_changes_nothing() {
    let (journal, disk) = opened();
    let counters = journal.counters();
    let mut trans = Trans::start(&journal, LOG, BLOCKS).unwrap();
    let run = header(&journal, 0, AGF_SECTOR);
    trans.read(Device::Data, run, Kind::Agf).unwrap();
    trans.take_blocks(4).unwrap();
    drop(trans);
    assert_eq!(journal.shutdown(), None);
    assert_eq!(journal.counters(), counters);
    assert_eq!(journal.store().locked(), 0);
    assert_eq!(disk.snapshot().changes().count(), 0);
}

#[test]
fn a_dirty_transaction_that_is_dropped_shuts_down_and_leaves_the_disk() {
    for change in 0..4 {
        let (journal, disk) = opened();
        let mut trans = start(&journal);
        let run = header(&journal, 0, AGF_SECTOR);
        let agf = trans.read(Device::Data, run, Kind::Agf).unwrap();
        match change {
            0 => trans.change(agf, 0..1).unwrap().fill(0),
            1 => trans.invalidate(agf),
            2 => trans.order(agf),
            _ => {
                trans
                    .intend(Work::ExtentFree(Device::Data, Default::default()))
                    .unwrap();
            }
        }
        drop(trans);
        assert_eq!(journal.shutdown(), Some(Shutdown::DirtyCancel));
        assert_eq!(disk.snapshot().changes().count(), 0);
        assert_eq!(
            Trans::start(&journal, LOG, Claim::default()).err(),
            Some(Error::Shutdown)
        );
    }
}

#[test]
fn a_block_that_breaks_its_rules_is_not_written_nor_any_other_of_its_transaction() {
    let (journal, disk) = opened();
    let mut trans = start(&journal);
    for ag in 0..2 {
        let run = header(&journal, ag, AGF_SECTOR);
        let agf = trans.read(Device::Data, run, Kind::Agf).unwrap();
        let view = trans.change_as::<DiskAgf>(agf, 0).unwrap();
        view.freeblks.set(1000);
        view.longest.set(if ag == 0 { 10 } else { 1001 });
    }
    assert!(matches!(trans.commit(), Err(Error::Corrupt(_))));
    assert_eq!(journal.shutdown(), Some(Shutdown::Commit));
    assert_eq!(disk.snapshot().changes().count(), 0);
}

#[test]
fn space_is_claimed_taken_and_given_back() {
    let (journal, _) = opened();
    let before = journal.counters();
    let mut trans = Trans::start(&journal, LOG, BLOCKS).unwrap();
    assert_eq!(journal.counters().free_blocks, before.free_blocks - 10);
    trans.take_blocks(3).unwrap();
    trans.give_blocks(1);
    trans.count_inodes(64, 63);
    trans.roll().unwrap();
    assert_eq!(journal.counters().free_blocks, before.free_blocks - 9);
    assert_eq!(journal.counters().inodes, before.inodes + 64);
    assert_eq!(journal.counters().free_inodes, before.free_inodes + 63);
    assert_eq!(trans.claimed().blocks, 7);
    trans.take_blocks(6).unwrap();
    assert_eq!(trans.take_blocks(2).err(), Some(Error::NoSpace));
    trans.commit().unwrap();
    assert_eq!(journal.counters().free_blocks, before.free_blocks - 8);
    let all = Claim {
        blocks: before.free_blocks,
        ..Claim::default()
    };
    assert_eq!(Trans::start(&journal, LOG, all).err(), Some(Error::NoSpace));
}

#[test]
fn a_block_that_is_kept_stays_locked_over_a_roll() {
    let (journal, _) = opened();
    let before = free_blocks(&journal);
    let mut trans = start(&journal);
    let run = header(&journal, 0, AGF_SECTOR);
    let agf = trans.read(Device::Data, run, Kind::Agf).unwrap();
    let agfl = header(&journal, 0, AGFL_SECTOR);
    let agfl = trans.read(Device::Data, agfl, Kind::Agfl).unwrap();
    trans
        .change_as::<DiskAgf>(agf, 0)
        .unwrap()
        .freeblks
        .set(before - 1);
    trans.keep(agf, true);
    trans.roll().unwrap();
    assert_eq!(journal.store().locked(), 1);
    assert!(trans.bytes(agfl).is_empty());
    assert!(!trans.is_dirty());
    trans
        .change_as::<DiskAgf>(agf, 0)
        .unwrap()
        .freeblks
        .set(before - 2);
    trans.commit().unwrap();
    assert_eq!(journal.store().locked(), 0);
    assert_eq!(free_blocks(&journal), before - 2);
    assert_eq!(journal.commits(), 2);
}

#[test]
fn a_block_that_was_invalidated_is_not_written_until_it_is_made_anew() {
    let (journal, disk) = opened();
    let run = a_block(&journal);
    let mut trans = start(&journal);
    let id = trans.fresh(Device::Data, run, Kind::Raw).unwrap();
    trans.change(id, 0..4096).unwrap().fill(1);
    trans.invalidate(id);
    assert!(matches!(
        trans.read(Device::Data, run, Kind::Raw),
        Err(Error::Corrupt(_))
    ));
    trans.commit().unwrap();
    assert_eq!(disk.snapshot().changes().count(), 0);

    let mut trans = start(&journal);
    let id = trans.fresh(Device::Data, run, Kind::Raw).unwrap();
    trans.change(id, 0..4096).unwrap().fill(1);
    trans.invalidate(id);
    let again = trans.fresh(Device::Data, run, Kind::Raw).unwrap();
    assert_eq!(again, id);
    assert!(trans.bytes(id).iter().all(|&byte| byte == 0));
    // All of it is logged, since the log must not think it free.
    assert_eq!(trans.block(id).unwrap().state(), BlockState::Logged);
    assert_eq!(trans.block(id).unwrap().dirty().count(), 32);
    trans.change(id, 0..1).unwrap().fill(7);
    trans.commit().unwrap();
    let mut bytes = [9; 4096];
    disk.read_at(run.at.0 * 512, &mut bytes).unwrap();
    assert_eq!(bytes[..2], [7, 0]);
}

#[test]
fn an_ordered_block_is_written_and_not_logged() {
    let (journal, disk) = opened();
    let run = a_block(&journal);
    let mut trans = start(&journal);
    let id = trans.fresh(Device::Data, run, Kind::Raw).unwrap();
    trans.order(id);
    trans.change(id, 0..512).unwrap().fill(3);
    let block = trans.block(id).unwrap();
    assert_eq!(block.state(), BlockState::Ordered);
    assert!(block.dirty().is_empty());
    trans.commit().unwrap();
    let mut bytes = [0; 512];
    disk.read_at(run.at.0 * 512, &mut bytes).unwrap();
    assert_eq!(bytes, [3; 512]);
}

#[test]
fn copies_go_within_a_block_and_between_two() {
    let (journal, _) = opened();
    let run = a_block(&journal);
    let next = Run {
        at: DiskAddr(run.at.0 + 8),
        ..run
    };
    let mut trans = start(&journal);
    let one = trans.fresh(Device::Data, run, Kind::Raw).unwrap();
    let other = trans.fresh(Device::Data, next, Kind::Raw).unwrap();
    let bytes = trans.change(one, 0..256).unwrap();
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = n as u8;
    }
    trans.copy(one, 0..200, one, 10).unwrap();
    assert_eq!(trans.bytes(one)[8..13], [8, 9, 0, 1, 2]);
    for (from, to) in [(one, other), (other, one)] {
        trans.copy(from, 10..20, to, 4000).unwrap();
    }
    assert_eq!(trans.bytes(other)[4000..4003], [0, 1, 2]);
    assert_eq!(trans.bytes(one)[4000..4003], [0, 0, 0]);
    let dirty: Vec<_> = trans.block(other).unwrap().dirty().runs().collect();
    assert_eq!(dirty.first(), Some(&(31 * CHUNK_SIZE..32 * CHUNK_SIZE)));
    assert_eq!(dirty.len(), 1);
    for (from, range, to, at) in [
        (one, 4090..4100, other, 0),
        (one, 0..10, other, 4090),
        (one, 0..10, one, 4090),
    ] {
        assert_eq!(trans.copy(from, range, to, at).err(), Some(Error::Invalid));
    }
    trans.commit().unwrap();
}

#[test]
fn items_reach_the_journal_in_order() {
    let (journal, _) = opened();
    let mut trans = start(&journal);
    let mut extents = kernel::alloc::KVec::new();
    let extent = ExtentFree::data(7, 1);
    extents
        .push(extent, kernel::alloc::flags::GFP_KERNEL)
        .unwrap();
    let id = trans
        .intend(Work::ExtentFree(Device::Data, extents))
        .unwrap();
    let other = trans.intend(Work::Exchange(EXCHANGE)).unwrap();
    assert_ne!(id, other);
    trans
        .log(Item::Done(
            id,
            Work::ExtentFree(Device::Data, Default::default()),
        ))
        .unwrap();
    assert!(trans.is_dirty());
    trans.commit().unwrap();
    assert_eq!(journal.commits(), 1);
}

#[test]
fn dirty_chunks_are_those_that_hold_the_range() {
    for (start, end) in [
        (0, 1),
        (127, 129),
        (0, 65536),
        (5000, 20000),
        (300, 300),
        (8064, 8320),
    ] {
        let mut dirty = ChunkMap::new();
        dirty.add(start..end);
        for chunk in 0..512 {
            let touched =
                chunk * CHUNK_SIZE < end && (chunk + 1) * CHUNK_SIZE > start && start < end;
            assert_eq!(dirty.contains(chunk), touched, "{start}..{end}: {chunk}");
        }
        let runs: Vec<_> = dirty.runs().collect();
        assert_eq!(runs.len(), usize::from(start < end));
        assert_eq!(
            runs.iter().map(|run| run.len()).sum::<usize>(),
            dirty.count() as usize * CHUNK_SIZE
        );
    }
}

#[test]
fn without_memory_nothing_is_committed() {
    for allowed in 0.. {
        let (journal, disk) = opened();
        let result = {
            let _faults = FailAfter::new(allowed);
            (|| {
                let mut trans = Trans::start(&journal, LOG, BLOCKS)?;
                for ag in 0..2 {
                    let run = header(&journal, ag, AGF_SECTOR);
                    let agf = trans.read(Device::Data, run, Kind::Agf)?;
                    trans.change(agf, 0..8)?;
                }
                trans.fresh(Device::Data, a_block(&journal), Kind::Raw)?;
                trans.intend(Work::Exchange(EXCHANGE))?;
                trans.commit()
            })()
        };
        assert_eq!(journal.store().locked(), 0);
        match result {
            Ok(_) => {
                assert!(allowed > 3, "memory was taken");
                return;
            }
            Err(error) => {
                assert_eq!(error, Error::NoMemory);
                assert_eq!(disk.snapshot().changes().count(), 0);
            }
        }
    }
}
