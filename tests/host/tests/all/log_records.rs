// SPDX-License-Identifier: GPL-2.0

//! What the log's writer writes, its reader reads: at every size of record and every place in the
//! ring, around its end, torn at any sector, and with any bytes changed.

use kernel::alloc::faults;
use proptest::prelude::*;
use std::collections::BTreeSet;
use xfs_host::{
    fixture::{named, Image},
    image::ImageStore,
    libxfs::{
        error::{Error, Result},
        format::{
            geometry::Geometry,
            log::{
                buffer::{BufferItem, Tag},
                chunks::ChunkMap,
                item::ItemKind,
            },
            units::{DiskAddr, Lsn, BASIC_BLOCK_SIZE},
        },
        log::{
            head::Head,
            items::Items,
            read::{self, Live},
            space::{self, Cover, RecordLayout},
            stale,
            writer::Writer,
        },
        store::Store,
    },
    log::MemoryLog,
};

const BLOCK: usize = BASIC_BLOCK_SIZE as usize;

/// The shape of an image with an external log of that many basic blocks.
fn geometry(blocks: u32) -> Geometry {
    let store = ImageStore::open(Image::of(named("empty")).disks()).unwrap();
    let mut geo = store.geometry().clone();
    geo.log_start = None;
    geo.log_blocks = blocks / geo.basic_blocks_per_block();
    geo
}

/// An empty log: written long ago, or never.
fn blank(geo: &Geometry, at: Lsn) -> MemoryLog {
    let blocks = geo.log_blocks * geo.basic_blocks_per_block();
    let mut bytes = vec![0; blocks as usize * BLOCK];
    for (block, bytes) in bytes.chunks_mut(BLOCK).enumerate() {
        let cycle = at.cycle() - u32::from(block as u32 >= at.block());
        bytes[..4].copy_from_slice(&cycle.to_be_bytes());
    }
    MemoryLog::new(bytes)
}

fn clean(at: Lsn) -> Head {
    Head {
        next: at,
        last: None,
        tail: at,
    }
}

/// A log that was unmounted and goes on at `at`.
fn start(geo: &Geometry, at: Lsn, size: u32) -> (MemoryLog, Head) {
    let log = blank(geo, at);
    let mut writer = Writer::new(&log, geo, &clean(at), size).unwrap();
    writer.unmount().unwrap();
    let head = writer.head();
    log.take_writes();
    (log, head)
}

/// Items of buffers, told apart by a number, of about `bytes` bytes.
fn items(number: u32, bytes: usize) -> Items {
    let mut items = Items::new();
    let mut left = bytes;
    let mut at = u64::from(number) * 1000;
    while left > 0 || items.is_empty() {
        let mut buffer = vec![0; 4096];
        let stamp = number.wrapping_mul(0x9e37_79b9) ^ left as u32;
        for (index, word) in buffer.chunks_mut(4).enumerate() {
            // The magic number of a record where a cycle will stand is nothing special.
            let word_at = if index % 128 == 0 {
                0xfeed_babe
            } else {
                stamp ^ index as u32
            };
            word.copy_from_slice(&word_at.to_be_bytes());
        }
        let mut map = ChunkMap::new();
        map.add(0..1);
        map.add(300..left.clamp(301, 3000));
        items
            .buffer((DiskAddr(at), 8), Tag::Btree, 0, &map, &buffer)
            .unwrap();
        at += 8;
        left = left.saturating_sub(3000);
    }
    items
}

fn regions(items: &Items) -> Vec<Vec<Vec<u8>>> {
    items
        .iter()
        .map(|item| item.iter().map(<[u8]>::to_vec).collect())
        .collect()
}

type Read = Vec<(Lsn, Vec<Vec<Vec<u8>>>)>;

fn read_all(log: &MemoryLog, geo: &Geometry) -> Result<(Head, Read)> {
    let head = read::head(log, geo)?;
    let mut found = Vec::new();
    if let Some(mut live) = Live::new(log, geo, &head)? {
        live.transactions(|transaction| {
            found.push((transaction.lsn, regions(&transaction.items)));
            Ok(())
        })?;
    }
    Ok((head, found))
}

fn sizes() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(32 << 10),
        Just(64 << 10),
        Just(128 << 10),
        Just(256 << 10)
    ]
}

fn units() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0u32),
        Just(512),
        Just(4096),
        Just(32 << 10),
        Just(96 << 10),
        Just(256 << 10)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        size in sizes(),
        unit in units(),
        block in 0u32..16384,
        // Checkpoints of very different sizes.
        lens in prop::collection::vec(prop_oneof![0usize..200, 0usize..40_000, 0usize..900_000], 1..5),
        done in 0usize..5,
    ) {
        let mut geo = geometry(16384);
        geo.log_stripe_unit = unit;
        let unit_blocks = (unit / BASIC_BLOCK_SIZE).max(1);
        let at = Lsn::new(7, block / unit_blocks * unit_blocks % 16384);
        let (log, head) = start(&geo, at, size);
        let mut writer = Writer::new(&log, &geo, &head, size).unwrap();
        let mut wanted = Vec::new();
        for (number, len) in lens.iter().enumerate() {
            let items = items(number as u32, *len);
            if !writer.fits(&items) {
                // All else was put in its place.
                prop_assert_eq!(writer.checkpoint(&items).err(), Some(Error::Range));
                writer.set_tail(writer.head().next).unwrap();
                wanted.clear();
            }
            let before = writer.head().next;
            let lsn = writer.checkpoint(&items).unwrap();
            prop_assert_eq!(lsn, before);
            // Never more than was reserved.
            let used = space::distance(16384, lsn, writer.head().next).unwrap();
            prop_assert!(used <= writer.blocks_for(&items));
            wanted.push((lsn, regions(&items)));
            if number == done {
                writer.set_tail(lsn).unwrap();
                wanted = wanted.split_off(wanted.len() - 1);
            }
        }
        let (head, found) = read_all(&log, &geo).unwrap();
        prop_assert_eq!(head.next, writer.head().next);
        prop_assert_eq!(head.last, writer.head().last);
        // The tail is the one that the last record knew; later ones are there.
        let missing: Vec<_> = wanted.iter().filter(|one| !found.contains(one)).collect();
        prop_assert!(missing.is_empty());
        prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        writer.set_tail(writer.head().next).unwrap();
        writer.unmount().unwrap();
        let (head, found) = read_all(&log, &geo).unwrap();
        prop_assert!(head.is_clean());
        prop_assert!(found.is_empty());
    }

    #[test]
    fn any_change_of_a_log_is_an_error_or_an_older_log(
        block in 0u32..4096,
        changes in prop::collection::vec((0usize..600, 0usize..512, any::<u8>()), 1..8),
    ) {
        let geo = geometry(16384);
        let (log, head) = start(&geo, Lsn::new(3, block), 32 << 10);
        let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
        let mut wanted = Vec::new();
        for number in 0..8 {
            let items = items(number, 30_000);
            wanted.push((writer.checkpoint(&items).unwrap(), regions(&items)));
        }
        for (sector, byte, value) in changes {
            let at = (block as usize + sector) * BLOCK + byte;
            log.put(at, &[value]);
        }
        faults::reset_largest();
        if let Ok((_, found)) = read_all(&log, &geo) {
            // Whole transactions alone, those that were written, from the first on.
            prop_assert!(wanted.starts_with(&found));
        }
        prop_assert!(faults::largest() < 2 << 20);
    }
}

#[test]
fn a_checkpoint_that_is_cut_anywhere_never_was() {
    let geo = geometry(8192);
    // In the middle of the ring, and around its end.
    for block in [100, 8192 - 90] {
        let (log, head) = start(&geo, Lsn::new(5, block), 32 << 10);
        let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
        let first = items(1, 10_000);
        let first_lsn = writer.checkpoint(&first).unwrap();
        let whole = writer.head();
        let before = log.bytes();
        log.take_writes();
        writer.checkpoint(&items(2, 70_000)).unwrap();
        let wanted = vec![(first_lsn, regions(&first))];

        // All before a sector is there, and nothing behind it; and the other way round.
        let sectors: Vec<(usize, Vec<u8>)> = log
            .take_writes()
            .into_iter()
            .flat_map(|(at, bytes)| {
                let sectors = bytes.chunks(BLOCK).map(<[u8]>::to_vec);
                sectors
                    .enumerate()
                    .map(move |(index, bytes)| (at + index * BLOCK, bytes))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(sectors.len() > 120);
        for cut in 0..sectors.len() {
            for kept in [&sectors[..cut], &sectors[cut + 1..]] {
                let torn = MemoryLog::new(before.clone());
                for (at, bytes) in kept {
                    torn.put(*at, bytes);
                }
                let (head, found) =
                    read_all(&torn, &geo).unwrap_or_else(|e| panic!("{cut}: {e:?}"));
                assert_eq!(found, wanted, "cut at {cut} of {}", sectors.len());
                // Whole records may be there without their commit.
                assert!(space::distance(8192, whole.next, head.next).is_some());

                // Once the rest is cleared, a log that goes on from there is read again.
                stale::clear(&torn, &geo, &head).unwrap();
                let (again, found) = read_all(&torn, &geo).unwrap();
                assert_eq!((again, &found), (head, &wanted));
                let mut writer = Writer::new(&torn, &geo, &head, 32 << 10).unwrap();
                let third = items(3, 100);
                let lsn = writer.checkpoint(&third).unwrap();
                let (_, found) = read_all(&torn, &geo).unwrap();
                assert_eq!(found, [(lsn, regions(&third))], "cut at {cut}");
            }
        }
    }
}

#[test]
fn an_older_record_that_is_torn_is_corruption() {
    let geo = geometry(16384);
    let (log, head) = start(&geo, Lsn::new(2, 0), 32 << 10);
    let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
    let lsns: Vec<Lsn> = (0..20)
        .map(|number| writer.checkpoint(&items(number, 20_000)).unwrap())
        .collect();
    let middle = lsns[4].block() as usize * BLOCK + 2000;
    let byte = log.bytes()[middle];
    log.put(middle, &[byte ^ 1]);
    match read_all(&log, &geo) {
        Err(Error::Corrupt(corruption)) => {
            assert!(Error::Corrupt(corruption).is_checksum());
            let place = format!("{corruption}");
            assert!(
                place.contains(&format!("{:#x}", lsns[4].block())),
                "{place}"
            );
        }
        other => panic!("{:?}", other.map(|(head, _)| head)),
    }
}

#[test]
fn a_tail_that_torn_records_ran_over_is_left_out() {
    let geo = geometry(4096);
    let (log, head) = start(&geo, Lsn::new(2, 0), 32 << 10);
    let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
    let mut written = Vec::new();
    // Nearly once around, with the tail where it was.
    while writer.fits(&items(0, 25_000)) {
        let items = items(written.len() as u32, 25_000);
        written.push((writer.checkpoint(&items).unwrap(), regions(&items)));
    }
    // The tail moves, a record is on its way over it, and is torn.
    let head = writer.head();
    assert!(written.len() > 20);
    writer.set_tail(written[5].0).unwrap();
    let before = log.bytes();
    log.take_writes();
    writer.checkpoint(&items(99, 25_000)).unwrap();
    let torn = MemoryLog::new(before);
    for (at, bytes) in log.take_writes() {
        torn.put(at + BLOCK, &bytes[BLOCK..]);
    }
    let (found_head, found) = read_all(&torn, &geo).unwrap();
    assert_eq!(found_head.next, head.next);
    assert!(written.ends_with(&found));
    assert!(written.len() - found.len() <= 5, "{}", found.len());
}

#[test]
fn a_log_whose_whole_ring_was_cleared_is_read_from_its_first_records_on() {
    let geo = geometry(2048);
    let (log, head) = start(&geo, Lsn::new(1, 0), 32 << 10);
    stale::clear(&log, &geo, &head).unwrap();
    let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
    let mut written = Vec::new();
    // Fewer records at first than can be on their way, with what was cleared before them.
    for number in 0..12 {
        let items = items(number, 5_000);
        written.push((writer.checkpoint(&items).unwrap(), regions(&items)));
        let (found_head, found) = read_all(&log, &geo).unwrap();
        assert_eq!(found, written, "{number}");
        assert_eq!(found_head.next, writer.head().next);
    }
}

#[test]
fn every_place_in_the_ring_takes_a_record() {
    let geo = geometry(2048);
    let mut seen = BTreeSet::new();
    for block in 0..2048 {
        let (log, head) = start(&geo, Lsn::new(9, block), 32 << 10);
        let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
        let items = items(block, 5_000);
        let lsn = writer.checkpoint(&items).unwrap();
        let (found_head, found) = read_all(&log, &geo).unwrap();
        assert_eq!(found, [(lsn, regions(&items))], "{block}");
        assert_eq!(found_head.next, writer.head().next);
        seen.insert(lsn.block());
    }
    assert_eq!(seen.len(), 2048);
}

#[test]
fn buffers_are_read_as_they_were_changed() {
    let items = items(3, 20_000);
    let mut buffers = 0;
    for item in items.iter() {
        let buffer = BufferItem::decode(item).unwrap();
        assert_eq!(buffer.tag, Tag::Btree);
        assert_eq!(buffer.at, DiskAddr(3000 + 8 * buffers));
        let changes: Vec<_> = buffer.changes().map(|change| change.unwrap()).collect();
        assert_eq!(changes[0].0, 0);
        assert_eq!(changes[0].1.len(), 128);
        assert_eq!(changes[1].0, 256);
        buffers += 1;
    }
    assert!(buffers > 5);
    assert_eq!(ItemKind::Buffer.name(), "buffer item");
}

#[test]
fn an_idle_log_is_covered_after_two_checkpoints() {
    let geo = geometry(4096);
    let (log, head) = start(&geo, Lsn::new(2, 0), 32 << 10);
    let mut writer = Writer::new(&log, &geo, &head, 32 << 10).unwrap();
    assert!(!writer.cover().is_wanted());
    writer.checkpoint(&items(1, 5000)).unwrap();
    let mut dummies = 0;
    while writer.cover().is_wanted() {
        writer.set_tail(writer.head().next).unwrap();
        writer.dummy(&items(2, 10)).unwrap();
        dummies += 1;
        writer.set_tail(writer.head().next).unwrap();
        assert!(dummies <= 2);
    }
    assert_eq!((dummies, writer.cover()), (2, Cover::Idle));
    let (_, found) = read_all(&log, &geo).unwrap();
    assert_eq!(found.len(), 1, "the last one alone is replayed");
}

#[test]
fn a_reservation_is_what_the_kernel_reserves() {
    // xfs_log_calc_unit_res by hand: a region of 200,000 bytes in records of 32 KiB, no stripe unit.
    let layout = RecordLayout::new(&geometry(16384), 32 << 10).unwrap();
    let bytes = 200_000 + 12 + 16 + 12;
    let records = 7;
    let wanted = bytes + records * 12 + records * 512 + 512 + 2 * 512;
    assert_eq!(layout.reservation(200_000), wanted);
}
