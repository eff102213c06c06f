// SPDX-License-Identifier: GPL-2.0

//! Any item is decoded or refused, any record's operations are gathered or refused, and any log of
//! such items is replayed or refused.

#![no_main]

use kernel::alloc::faults;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use xfs_fuzz::{bases, seeds, LARGEST_ALLOCATION, SHAPES};
use xfs_host::{
    libxfs::{
        format::{
            log::{item::ItemKind, record::RecordHeader},
            units::Lsn,
        },
        log::{
            device::LogArea,
            gather::Gather,
            head::Head,
            items::Items,
            recover::{recover, Options},
            writer::Writer,
        },
    },
    log::{ImageReplay, MemoryLog},
    mutation::{Bytes, Choices},
};

/// Basic blocks of the log.
const LOG: u32 = 4096;

/// Items of any kinds with regions of about the right sizes.
fn items(choices: &mut Bytes<'_>) -> Items {
    let mut items = Items::new();
    while !choices.0.is_empty() && items.len() < 32 {
        let kind = ItemKind::ALL[choices.below(ItemKind::ALL.len())];
        let regions = 1 + choices.below(5);
        let parts: Vec<Vec<u8>> = (0..regions)
            .map(|number| {
                let sizes = [16, 20, 24, 28, 32, 40, 48, 56, 88, 104, 128, 176, 256, 512];
                let mut region = vec![0; sizes[choices.below(sizes.len())]];
                if number == 0 {
                    region[..2].copy_from_slice(&kind.to_disk().to_ne_bytes());
                    region[2] = regions as u8;
                }
                for _ in 0..choices.below(8) {
                    let at = choices.below(region.len());
                    region[at] = choices.below(256) as u8;
                }
                region
            })
            .collect();
        let (first, others) = parts.split_first().expect("there is one");
        items
            .parts(first, others.iter().map(Vec::as_slice))
            .expect("there is memory");
    }
    items
}

/// Gathers any bytes as the data of a record.
fn gather(data: &[u8]) {
    let header = RecordHeader {
        lsn: Lsn::new(1, 2),
        tail: Lsn::new(1, 2),
        header_blocks: 1,
        data_blocks: 1,
        len: data.len() as u32,
        size: 32 << 10,
        operations: u32::MAX,
        crc: 1,
        is_native: true,
    };
    let mut gather = Gather::new();
    let _ = gather.record(&header, data, |transaction| {
        assert!(transaction.items.byte_len() <= data.len());
        Ok(())
    });
}

fuzz_target!(init: seeds::choices(), |input: &[u8]| {
    faults::reset_largest();
    gather(input);
    let mut choices = Bytes(input);
    let shape = choices.below(SHAPES.len());
    bases().with(|bases| {
        let base = &bases[shape];
        let mut geo = base.geometry.clone();
        geo.log_start = None;
        geo.log_blocks = LOG / geo.basic_blocks_per_block();
        let area = LogArea::of(&geo).expect("the log lies somewhere");
        let log = MemoryLog::new(vec![0; area.len as usize * 512]);
        let next = Lsn::new(9, 0);
        let head = Head { next, last: None, tail: next };
        let mut writer = Writer::new(&log, &geo, &head, 32 << 10).expect("records fit");
        let mut written = 0;
        while !choices.0.is_empty() && written < 4 {
            written += u32::from(writer.checkpoint(&items(&mut choices)).is_ok());
        }
        let disk: Arc<_> = base.disks.data.clone();
        let mut replay = ImageReplay::new(disk, None);
        let recovered = recover(&log, &mut replay, &geo, Options { quota: true });
        if let Ok(recovered) = recovered {
            assert_eq!(recovered.is_none(), written == 0);
        }
    });
    assert!(faults::largest() <= LARGEST_ALLOCATION);
});
