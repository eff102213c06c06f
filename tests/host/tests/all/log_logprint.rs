// SPDX-License-Identifier: GPL-2.0

//! `xfs_logprint` reads what the log's writer wrote, and agrees operation by operation and item by
//! item.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    process::Command,
};
use xfs_host::{
    fixture::{named, Image},
    image::ImageStore,
    libxfs::{
        format::{
            btree::{Owner, RmapFlags},
            geometry::Geometry,
            log::{
                attr::{AttrItem, AttrOperation, FILTER_PARENT},
                buffer::Tag,
                chunks::ChunkMap,
                dquot::{DquotItem, LOGGED_SIZE},
                inode::{Fields, InodeItem, LogInode, LogPlace},
            },
            quota::QuotaType,
            units::{AgBlock, AgNumber, DiskAddr, FileBlock, InodeNumber, Lsn},
        },
        inode::WhichFork,
        items::{
            AttrUpdate, BmapUpdate, BmapUpdateKind, ExtentFree, InodeCreate, IntentId, Item,
            RmapUpdate, RmapUpdateKind, Work,
        },
        log::{device::LogArea, head::Head, items::Items, writer::Writer},
        store::{Device, Store},
    },
    log::MemoryLog,
};
use zerocopy::FromZeros;

/// What `xfs_logprint` says of a log.
fn print(image: &Image, geo: &Geometry, log: &MemoryLog, number: u32) -> String {
    let area = LogArea::of(geo).unwrap();
    let copy = std::env::temp_dir().join(format!("log-print-{}-{number}", std::process::id()));
    let file = File::create(&copy).unwrap();
    file.set_len(fs::metadata(&image.data).unwrap().len())
        .unwrap();
    let mut sector = [0; 4096];
    image.disks().data.read_at(0, &mut sector).unwrap();
    file.write_all_at(&sector, 0).unwrap();
    file.write_all_at(&log.bytes(), area.start.0 * 512).unwrap();
    let print = Command::new("xfs_logprint").arg(&copy).output().unwrap();
    fs::remove_file(&copy).unwrap();
    assert!(print.status.success());
    String::from_utf8_lossy(&print.stdout).into_owned()
}

fn vec<T>(values: impl IntoIterator<Item = T>) -> kernel::alloc::KVec<T> {
    let mut vec = kernel::alloc::KVec::new();
    for value in values {
        vec.push(value, kernel::alloc::flags::GFP_KERNEL).unwrap();
    }
    vec
}

/// One item of each kind, and what is said of each.
fn all(geo: &Geometry) -> (Items, Vec<&'static str>) {
    let mut items = Items::new();
    let mut map = ChunkMap::new();
    map.add(0..128);
    map.add(1000..1100);
    items
        .buffer((DiskAddr(0x18), 8), Tag::Btree, 0, &map, &[7; 4096])
        .unwrap();
    items.cancel((DiskAddr(0x400), 8)).unwrap();
    let mut core = LogInode::new_zeroed();
    core.magic = 0x494e.into();
    core.version = 3;
    core.format = 2;
    core.mode = 0o100_644.into();
    core.nlink = 3.into();
    core.number = 131.into();
    items
        .inode(&InodeItem {
            number: InodeNumber(131),
            fields: Fields(Fields::CORE | Fields::DATA_EXTENTS),
            place: LogPlace {
                at: DiskAddr(64),
                len: 32,
                offset: 1536,
            },
            device: 0,
            core: &core,
            data: Some(&[0; 32]),
            attr: None,
        })
        .unwrap();
    items
        .icreate(&InodeCreate {
            ag: AgNumber(1),
            block: AgBlock(0x40),
            inodes: 64,
            inode_size: geo.inode_size,
            blocks: 8,
            generation: 0x00c0_ffee,
        })
        .unwrap();
    items
        .dquot(&DquotItem {
            id: 1000,
            at: DiskAddr(96),
            offset: 136,
            record: &[0; LOGGED_SIZE],
        })
        .unwrap();
    items.quota_off(&[QuotaType::User]).unwrap();
    let mut work = |id, work: Work| {
        let id = IntentId(id);
        let copy = work.try_clone().unwrap();
        items.item(&Item::Intent(id, work)).unwrap();
        items.item(&Item::Done(id, copy)).unwrap();
    };
    let extents = [(16, 4), (32, 5)].map(|(start, count)| ExtentFree::recovered(start, count));
    work(0x51, Work::ExtentFree(Device::Data, vec(extents)));
    let rmap = RmapUpdate {
        kind: RmapUpdateKind::Unmap,
        owner: Owner::Inode(InodeNumber(131)),
        start: 0x30,
        offset: FileBlock(2),
        count: 6,
        flags: RmapFlags {
            unwritten: true,
            ..RmapFlags::default()
        },
    };
    work(0x52, Work::RmapUpdate(Device::Data, vec([rmap])));
    let bmap = BmapUpdate {
        kind: BmapUpdateKind::Map,
        inode: InodeNumber(131),
        fork: WhichFork::Data,
        offset: FileBlock(9),
        start: 0x31,
        count: 2,
        unwritten: false,
        realtime: false,
    };
    work(0x53, Work::BmapUpdate(bmap));
    let change = AttrItem {
        id: 0,
        operation: AttrOperation::ParentSet,
        inode: 131,
        generation: 9,
        filter: FILTER_PARENT,
        name: b"name",
        new_name: &[],
        value: &[0; 12],
        new_value: &[],
    };
    work(0x54, Work::AttrUpdate(AttrUpdate::new(&change).unwrap()));
    let said = vec![
        "BUF:  #regs: 3   start blkno: 24 (0x18)  len: 8  bmap size: 1  flags: 0x2000",
        "BUF DATA",
        "BUF DATA",
        "BUF:  #regs: 1   start blkno: 1024 (0x400)  len: 8  bmap size: 1  flags: 0x2",
        "INODE: #regs: 3   ino: 0x83  flags: 0x5   dsize: 32",
        "INODE CORE",
        "EXTENTS inode data",
        "ICR:  #ag: 1  agbno: 0x40  len: 8",
        "#regs: 2   id: 0x3e8  blkno: 96  len: 1  boff: 136",
        "DQUOT: magic 0x0 flags 00",
        "QOFF:  #regs: 1    flags: 0x1",
        "EFI:  #regs: 1    num_extents: 2  id: 0x51",
        "(s: 0x10, l: 4) (s: 0x20, l: 5)",
        "EFD:  #regs: 1    num_extents: 2  id: 0x51",
        "RUI:  #regs: 1\tnum_extents: 1  id: 0x52",
        "(s: 0x30, l: 6, own: 131, off: 2, f: 0x20000003)",
        "RUD:  #regs: 1\t                 id: 0x52",
        "BUI:  #regs: 1\tnum_extents: 1  id: 0x53",
        "(s: 0x31, l: 2, own: 131, off: 9, f: 0x1)",
        "BUD:  #regs: 1\t                 id: 0x53",
        "ATTRI:  #regs: 3 f: 0x4, ino: 0x83, igen: 0x9, attr_filter: 0x8, name_len: 4,",
        "ATTRI:  name len:4",
        "ATTRI:  value len:12",
        "ATTRD:  #regs: 1\tid: 0x54",
    ];
    (items, said)
}

#[test]
fn xfs_logprint_reads_what_was_written() {
    let image = Image::of(named("empty"));
    let store = ImageStore::open(image.disks()).unwrap();
    let geo = store.geometry();
    let area = LogArea::of(geo).unwrap();
    for (number, size) in [32 << 10, 64 << 10, 256 << 10].into_iter().enumerate() {
        let log = MemoryLog::at(area.start, vec![0; area.len as usize * 512]);
        let at = Lsn::new(1, 0);
        let fresh = Head {
            next: at,
            last: None,
            tail: at,
        };
        let mut writer = Writer::new(&log, geo, &fresh, size).unwrap();
        let (items, said) = all(geo);
        writer.checkpoint(&items).unwrap();
        // One that is cut in many places.
        let mut large = Items::new();
        let mut map = ChunkMap::new();
        map.add(0..65536);
        for block in 0..12 {
            large
                .buffer(
                    (DiskAddr(block * 128), 128),
                    Tag::DirData,
                    0,
                    &map,
                    &[9; 65536],
                )
                .unwrap();
        }
        writer.checkpoint(&large).unwrap();
        writer.set_tail(writer.head().next).unwrap();
        writer.unmount().unwrap();
        let print = print(&image, geo, &log, number as u32);

        let mut rest = &print[..];
        for line in &said {
            let words: Vec<&str> = line.split_whitespace().collect();
            let found = rest.lines().position(|got| {
                let got: Vec<&str> = got.split_whitespace().collect();
                got.starts_with(&words)
            });
            let found = found.unwrap_or_else(|| panic!("{size}: no {line:?} in {rest}"));
            let skip: usize = rest
                .lines()
                .take(found + 1)
                .map(|line| line.len() + 1)
                .sum();
            rest = rest.get(skip..).unwrap_or_default();
        }
        let count = |what: &str| print.matches(what).count();
        assert_eq!(count("flags: START"), 2);
        assert_eq!(count("flags: COMMIT"), 2);
        assert_eq!(count("flags: UNMOUNT"), 1);
        let starts = 1 + items.region_count() + 1 + large.region_count();
        assert_eq!(count("num_items:"), 2);
        assert!(print.contains(&format!("num_items: {}", items.region_count())));
        let cut = count("WAS_CONT");
        assert!(cut > 12 * 65536 / size as usize / 2, "{cut}");
        // Every operation is one of ours: start, header and commit come to the regions.
        assert_eq!(count("Oper ("), starts + 2 + 2 + 1 + cut, "{size}");
        assert!(
            !print.contains("ERROR") && !print.contains("BAD"),
            "{print}"
        );
    }
}
