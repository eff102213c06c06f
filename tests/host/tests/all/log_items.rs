// SPDX-License-Identifier: GPL-2.0

//! What transactions log comes out of the log's regions as the very same values.

use kernel::alloc::{flags::GFP_KERNEL, KVec};
use xfs_host::libxfs::{
    format::{
        btree::{Owner, RmapFlags},
        log::{attr::AttrItem, item},
        units::{FileBlock, InodeNumber, Lsn},
    },
    inode::WhichFork,
    items::{
        AttrOperation, AttrStage, AttrUpdate, BmapUpdate, BmapUpdateKind, Exchange, ExchangeFile,
        ExchangeFlags, ExtentFree, IntentId, Item, RefcountUpdate, RefcountUpdateKind, RmapUpdate,
        RmapUpdateKind, Work,
    },
    log::{
        intent::{answered, Intent},
        items::Items,
    },
    store::Device,
};

const ID: IntentId = IntentId(0x0123_4567_89ab_cdef);

fn vec<T>(values: impl IntoIterator<Item = T>) -> KVec<T> {
    let mut vec = KVec::new();
    for value in values {
        vec.push(value, GFP_KERNEL).unwrap();
    }
    vec
}

fn attr(operation: AttrOperation, lens: [usize; 4]) -> AttrUpdate {
    let text: Vec<u8> = (0..65536).map(|n| b'a' + (n % 23) as u8).collect();
    let parent = operation.is_parent();
    AttrUpdate::new(&AttrItem {
        id: 0,
        operation,
        inode: 0x1_0000_0083,
        generation: 77,
        filter: if parent { 8 } else { 2 },
        name: &text[..lens[0]],
        new_name: &text[1..1 + lens[1]],
        value: &text[..lens[2]],
        new_value: &text[text.len() - lens[3]..],
    })
    .unwrap()
}

fn works() -> Vec<Work> {
    let mut works = Vec::new();
    for device in [Device::Data, Device::Realtime] {
        let extents = (0..16).map(|n| ExtentFree::recovered(n << 40, n as u32 + 1));
        works.push(Work::ExtentFree(device, vec(extents)));
        let flags = (0..8).map(|bits| RmapFlags {
            attr_fork: bits & 1 != 0,
            bmbt_block: bits & 2 != 0,
            unwritten: bits & 4 != 0,
        });
        let owners = [Owner::Inode(InodeNumber(131)), Owner::Cow, Owner::Ag];
        let rmaps = RmapUpdateKind::ALL
            .iter()
            .zip(flags)
            .zip(owners.into_iter().cycle());
        let rmaps = rmaps.map(|((&kind, flags), owner)| RmapUpdate {
            kind,
            owner,
            start: 3 << 33,
            offset: FileBlock(5 << 32),
            count: 9,
            flags,
        });
        works.push(Work::RmapUpdate(device, vec(rmaps)));
        let counts = RefcountUpdateKind::ALL.iter().map(|&kind| RefcountUpdate {
            kind,
            start: 1 << 35,
            count: u32::MAX,
        });
        works.push(Work::RefcountUpdate(device, vec(counts)));
    }
    for bits in 0..8 {
        works.push(Work::BmapUpdate(BmapUpdate {
            kind: BmapUpdateKind::ALL[bits & 1],
            inode: InodeNumber(1 << 37),
            fork: if bits & 2 != 0 {
                WhichFork::Attr
            } else {
                WhichFork::Data
            },
            offset: FileBlock(11),
            start: 1 << 36,
            count: 13,
            unwritten: bits & 4 != 0,
            realtime: bits & 2 == 0,
        }));
    }
    for (operation, lens) in [
        (AttrOperation::Set, [1, 0, 0, 0]),
        (AttrOperation::Set, [255, 0, 65536, 0]),
        (AttrOperation::Replace, [7, 0, 13, 0]),
        (AttrOperation::Remove, [3, 0, 0, 0]),
        (AttrOperation::ParentSet, [4, 0, 12, 0]),
        (AttrOperation::ParentRemove, [5, 0, 12, 0]),
        (AttrOperation::ParentReplace, [5, 9, 12, 12]),
    ] {
        let update = attr(operation, lens);
        if !operation.is_parent() {
            works.push(Work::AttrUpdate(update.at(AttrStage::UnmapValue).unwrap()));
        }
        works.push(Work::AttrUpdate(update));
    }
    let file = |inode| ExchangeFile {
        inode: InodeNumber(inode),
        generation: 8,
        offset: FileBlock(1 << 40),
        size: 1 << 50,
    };
    works.push(Work::Exchange(Exchange {
        files: [file(200), file(300)],
        blocks: 1 << 41,
        flags: ExchangeFlags(ExchangeFlags::SET_SIZES | ExchangeFlags::INO1_WRITTEN),
    }));
    works
}

#[test]
fn every_kind_of_work_comes_back_as_it_was() {
    for work in works() {
        let copy = work.try_clone().unwrap();
        let most = Item::Intent(ID, work.try_clone().unwrap()).log_bytes() as usize;
        let mut items = Items::new();
        items.item(&Item::Intent(ID, copy)).unwrap();
        // With a header of 12 bytes for each region.
        assert!(
            items.byte_len() + 12 * items.region_count() <= most,
            "{work:?}"
        );
        let regions = items.get(0).unwrap();
        let (kind, count) = item::start(regions.get(0).unwrap()).unwrap();
        assert_eq!(usize::from(count), regions.len());
        let intent = Intent::decode(kind, regions, Lsn::new(3, 4)).unwrap();
        let intent = intent.expect("an intent");
        assert_eq!((intent.id, intent.lsn), (ID, Lsn::new(3, 4)));
        assert_eq!(intent.work, work);
    }
}

#[test]
fn every_kind_of_work_is_answered_by_its_own_kind_of_item() {
    for work in works() {
        let kind = work.kind().unwrap();
        let most = Item::Done(ID, work.try_clone().unwrap()).log_bytes() as usize;
        let mut items = Items::new();
        items.item(&Item::Done(ID, work)).unwrap();
        assert!(items.byte_len() + 12 <= most);
        let regions = items.get(0).unwrap();
        let (done, _) = item::start(regions.get(0).unwrap()).unwrap();
        assert_eq!(answered(done, &regions).unwrap(), Some((kind, ID)));
    }
}
