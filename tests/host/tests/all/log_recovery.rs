// SPDX-License-Identifier: GPL-2.0

//! Recovery puts back what the log has, and nothing else: blocks and inodes of real images, logged
//! and then wiped out; freed buffers, newer blocks, intents and their answers; and items that make
//! no sense, after which nothing is written.

use kernel::alloc::faults;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    process::Command,
    sync::Arc,
};
use xfs_host::{
    fixture::{named, Image},
    image::{Disk, ImageStore, Overlay},
    libxfs::{
        error::{Corruption, Error, Place, Result},
        format::{
            crc,
            geometry::Geometry,
            inode::{Dinode, ForkFormat, RawInode},
            log::{
                buffer::{Tag, FLAG_INODES},
                chunks::ChunkMap,
                dquot::{DquotItem, LOGGED_SIZE},
                inode::{Fields, InodeItem, LogInode, LogPlace},
                root::Form,
            },
            quota::{self, DiskDquot, QuotaType},
            stamp,
            units::{AgBlock, AgNumber, DiskAddr, FileBlock, InodeNumber, Lsn, BASIC_BLOCK_SIZE},
        },
        items::{
            Exchange, ExchangeFile, ExchangeFlags, ExtentFree, InodeCreate, IntentId, Item,
            RefcountUpdate, RefcountUpdateKind, Work,
        },
        log::{
            device::LogArea,
            head::Head,
            items::Items,
            recover::{recover, Options, Recovered},
            writer::Writer,
        },
        store::{Device, Run, Store},
    },
    log::{ImageReplay, MemoryLog},
    walk::walk,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const BLOCK: usize = BASIC_BLOCK_SIZE as usize;
const SHAPES: [&str; 8] = [
    "default",
    "block-1k",
    "block-64k",
    "dir-64k",
    "bare",
    "quota",
    "rt-groups",
    "external-log",
];

/// An image, its metadata, and a log.
struct Subject {
    image: Image,
    geo: Geometry,
    data: Overlay,
    log: MemoryLog,
    head: Head,
}

/// A metadata block of an image.
struct Block {
    run: Run,
    tag: Tag,
    bytes: Vec<u8>,
}

/// What a block is logged as.
fn tag_of(bytes: &[u8]) -> Option<Tag> {
    let magic = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let da = u16::from_be_bytes(bytes[8..10].try_into().unwrap());
    Some(match &magic.to_be_bytes() {
        b"XFSB" => Tag::Superblock,
        b"XAGF" => Tag::Agf,
        b"XAGI" => Tag::Agi,
        b"XAFL" => Tag::Agfl,
        b"AB3B" | b"AB3C" | b"IAB3" | b"FIB3" | b"BMA3" | b"RMB3" | b"R3FC" | b"MAPR" | b"RCNT" => {
            Tag::Btree
        }
        b"XSLM" => Tag::Symlink,
        b"XDB3" => Tag::DirBlock,
        b"XDD3" => Tag::DirData,
        b"XDF3" => Tag::DirFree,
        b"XARM" => Tag::AttrRemote,
        b"BMPZ" => Tag::RtBitmap,
        b"SUMY" => Tag::RtSummary,
        [b'I', b'N', ..] => Tag::Inodes,
        [b'D', b'Q', ..] => Tag::UserQuota,
        _ => match da {
            0x3df1 => Tag::DirLeaf1,
            0x3dff => Tag::DirLeafN,
            0x3ebe => Tag::DaNode,
            0x3bee => Tag::AttrLeaf,
            _ => return None,
        },
    })
}

impl Subject {
    fn new(name: &str) -> Self {
        Self::of(Image::small(named(name)))
    }

    fn of(image: Image) -> Self {
        let disks = image.disks();
        let store = ImageStore::open(disks.clone()).unwrap();
        let geo = store.geometry().clone();
        let area = LogArea::of(&geo).unwrap();
        let log = MemoryLog::at(area.start, vec![0; area.len as usize * BLOCK]);
        let at = Lsn::new(1, 0);
        let fresh = Head {
            next: at,
            last: None,
            tail: at,
        };
        let mut writer = Writer::new(&log, &geo, &fresh, 32 << 10).unwrap();
        writer.unmount().unwrap();
        let head = writer.head();
        Self {
            image,
            geo,
            data: Overlay::new(disks.data),
            log,
            head,
        }
    }

    fn writer(&self) -> Writer<'_, MemoryLog> {
        Writer::new(&self.log, &self.geo, &self.head, 256 << 10).unwrap()
    }

    /// The metadata blocks of the data device that lie in one piece.
    fn blocks(&self) -> Vec<Block> {
        let store = ImageStore::open(self.image.disks()).unwrap();
        store.record();
        assert!(walk(&store).is_clean());
        let mut blocks = BTreeMap::new();
        for (device, runs) in store.recorded() {
            let [run] = runs[..] else { continue };
            if device != Device::Data {
                continue;
            }
            let mut bytes = vec![0; run.len as usize * BLOCK];
            let disk = &self.image.disks().data;
            disk.read_at(run.at.0 * 512, &mut bytes).unwrap();
            if let Some(tag) = tag_of(&bytes) {
                // Long attributes are read in runs of several blocks, and are never logged.
                if tag != Tag::AttrRemote {
                    blocks.insert(run.at, Block { run, tag, bytes });
                }
            }
        }
        blocks.into_values().collect()
    }

    fn wipe(&mut self, run: Run) {
        self.data
            .write_at(run.at.0 * 512, &vec![0; run.len as usize * BLOCK])
            .unwrap();
    }

    /// What lies in a place after recovery.
    fn read(&self, run: Run) -> Vec<u8> {
        let mut bytes = vec![0; run.len as usize * BLOCK];
        self.data.read_at(run.at.0 * 512, &mut bytes).unwrap();
        bytes
    }

    fn recover(&mut self) -> Result<Option<Recovered>> {
        self.recover_with(Options { quota: true })
    }

    fn recover_with(&mut self, options: Options) -> Result<Option<Recovered>> {
        let mut replay = ImageReplay::new(Arc::new(self.data.clone()), None);
        let recovered = recover(&self.log, &mut replay, &self.geo, options);
        self.data = replay.into_disk();
        recovered
    }

    /// The data device and the log as files, for other programs.
    fn with_files<T>(&self, look: impl FnOnce(&str) -> T) -> T {
        let path = std::env::temp_dir().join(format!(
            "log-recovery-{}-{}",
            std::process::id(),
            self.image.shape.name
        ));
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .arg(&self.image.data)
            .arg(&path)
            .status();
        assert!(copied.unwrap().success());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        for (at, bytes) in self.data.changes() {
            file.write_all_at(bytes, at).unwrap();
        }
        let area = LogArea::of(&self.geo).unwrap();
        file.write_all_at(&self.log.bytes(), area.start.0 * 512)
            .unwrap();
        let result = look(path.to_str().unwrap());
        fs::remove_file(&path).unwrap();
        result
    }
}

/// Sets LSN and checksum of a block that has them.
fn put_stamp(geo: &Geometry, bytes: &mut [u8], lsn: Lsn) {
    if let Some(stamp) = stamp::of_bytes(geo, bytes) {
        bytes[stamp.lsn..stamp.lsn + 8].copy_from_slice(&lsn.0.to_be_bytes());
        crc::set_block_crc(bytes, stamp.crc);
    }
}

fn whole(block: &Block) -> ChunkMap {
    let mut map = ChunkMap::new();
    map.add(0..block.bytes.len());
    map
}

fn put(items: &mut Items, block: &Block) {
    items
        .buffer(
            (block.run.at, block.run.len),
            block.tag,
            if block.tag == Tag::UserQuota { 4 } else { 0 },
            &whole(block),
            &block.bytes,
        )
        .unwrap();
}

#[test]
fn blocks_of_every_kind_are_put_back() {
    let mut tags = Vec::new();
    for name in SHAPES {
        // The kinds that only large directories have are in a full image.
        let mut subject = match name {
            "default" => Subject::of(Image::of(named(name))),
            _ => Subject::new(name),
        };
        let blocks = subject.blocks();
        assert!(blocks.len() > 20, "{name}");
        let mut items = Items::new();
        for block in &blocks {
            put(&mut items, block);
            if block.run.at != DiskAddr(0) {
                subject.wipe(block.run);
            }
            if !tags.contains(&block.tag) {
                tags.push(block.tag);
            }
        }
        let lsn = {
            let mut writer = subject.writer();
            writer.checkpoint(&items).unwrap()
        };
        let recovered = subject.recover();
        let recovered = recovered
            .unwrap_or_else(|e| panic!("{name}: {e:?}"))
            .unwrap();
        assert_eq!(recovered.transactions, 1);
        assert!(recovered.intents.is_empty());
        for block in &blocks {
            let mut wanted = block.bytes.clone();
            put_stamp(&subject.geo, &mut wanted, lsn);
            assert!(
                subject.read(block.run) == wanted,
                "{name}: {:?} at {}",
                block.tag,
                block.run.at
            );
        }
        // xfs_repair does not find anything wrong, once the log is clean.
        if name == "default" || name == "block-1k" {
            let mut writer = Writer::new(&subject.log, &subject.geo, &recovered.head, 32 << 10);
            writer.as_mut().unwrap().unmount().unwrap();
            let repaired = subject
                .with_files(|path| Command::new("xfs_repair").args(["-n", "-f", path]).output());
            let repaired = repaired.unwrap();
            let said = String::from_utf8_lossy(&repaired.stdout);
            assert!(repaired.status.success(), "{name}: {said}");
        }
    }
    // Free index blocks are read by no walk, and mkfs.xfs makes no quota records.
    for tag in [
        Tag::Superblock,
        Tag::Agf,
        Tag::Agi,
        Tag::Agfl,
        Tag::Btree,
        Tag::Inodes,
        Tag::Symlink,
        Tag::DirBlock,
        Tag::DirData,
        Tag::DirLeaf1,
        Tag::DirLeafN,
        Tag::DaNode,
        Tag::AttrLeaf,
        Tag::RtBitmap,
        Tag::RtSummary,
    ] {
        assert!(tags.contains(&tag), "{tag:?} is not tested");
    }
}

/// An inode of an image, as it is logged.
struct Logged {
    run: Run,
    offset: usize,
    bytes: Vec<u8>,
    number: InodeNumber,
    fields: Fields,
    data: Vec<u8>,
    attr: Vec<u8>,
}

fn fork(
    geo: &Geometry,
    number: InodeNumber,
    format: ForkFormat,
    bytes: &[u8],
    (size, extents): (u64, u64),
    form: Option<Form>,
) -> Vec<u8> {
    match format {
        ForkFormat::Dev => Vec::new(),
        ForkFormat::Local => bytes[..size as usize].to_vec(),
        ForkFormat::Extents => bytes[..extents as usize * 16].to_vec(),
        ForkFormat::Btree | ForkFormat::MetaBtree => {
            let mut root = vec![0; 4096];
            let form = form.unwrap();
            let len = form.to_log(geo, number, bytes, &mut root).unwrap();
            root.truncate(len);
            root
        }
    }
}

/// Both forks of an inode as they are logged.
fn forks(geo: &Geometry, number: InodeNumber, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (raw, _) = RawInode::read_from_prefix(bytes).unwrap();
    let inode = Dinode::verified(geo, number, bytes).unwrap();
    let core = inode.core();
    let data = fork(
        geo,
        number,
        core.format,
        inode.data_fork(),
        (core.size, core.nextents),
        Form::of_data_fork(&raw),
    );
    let attr = inode.attr_fork();
    if attr.is_empty() {
        return (data, Vec::new());
    }
    // A short list of attributes says its own size.
    let size = u64::from(u16::from_be_bytes([attr[0], attr[1]]));
    let extents = u64::from(core.anextents);
    let form = Some(Form::Bmap);
    let attr = fork(geo, number, core.aformat, attr, (size, extents), form);
    (data, attr)
}

fn inodes(subject: &Subject) -> Vec<Logged> {
    let geo = &subject.geo;
    let mut inodes = Vec::new();
    for cluster in subject.blocks().iter().filter(|b| b.tag == Tag::Inodes) {
        let size = geo.inode_size as usize;
        for (index, bytes) in cluster.bytes.chunks(size).enumerate() {
            let (raw, _) = RawInode::read_from_prefix(bytes).unwrap();
            if raw.mode.get() == 0 {
                continue;
            }
            let number = InodeNumber(raw.number.get());
            let core = Dinode::verified(geo, number, bytes).unwrap().core();
            let (data, attr) = forks(geo, number, bytes);
            let mut fields = Fields::CORE;
            if !data.is_empty() {
                fields |= match core.format {
                    ForkFormat::Local => Fields::DATA_LOCAL,
                    ForkFormat::Extents => Fields::DATA_EXTENTS,
                    _ => Fields::DATA_ROOT,
                };
            }
            if core.format == ForkFormat::Dev {
                fields |= Fields::DEVICE;
            }
            if !attr.is_empty() {
                fields |= match core.aformat {
                    ForkFormat::Local => Fields::ATTR_LOCAL,
                    ForkFormat::Extents => Fields::ATTR_EXTENTS,
                    _ => Fields::ATTR_ROOT,
                };
            }
            inodes.push(Logged {
                run: cluster.run,
                offset: index * size,
                bytes: bytes.to_vec(),
                number,
                fields: Fields(fields),
                data,
                attr,
            });
        }
    }
    inodes
}

fn put_inode(items: &mut Items, inode: &Logged) {
    let (raw, literal) = RawInode::read_from_prefix(&inode.bytes).unwrap();
    let device = u32::from_be_bytes(literal[..4].try_into().unwrap());
    items
        .inode(&InodeItem {
            number: inode.number,
            fields: inode.fields,
            place: LogPlace {
                at: inode.run.at,
                len: inode.run.len,
                offset: inode.offset as u32,
            },
            device: if inode.fields.has(Fields::DEVICE) {
                device
            } else {
                0
            },
            core: &LogInode::new(&raw),
            data: inode.fields.has(Fields::DATA).then_some(&inode.data),
            attr: inode.fields.has(Fields::ATTR).then_some(&inode.attr),
        })
        .unwrap();
}

#[test]
fn inodes_of_every_form_are_put_back() {
    let mut seen = 0;
    for name in SHAPES {
        let mut subject = Subject::new(name);
        let inodes = inodes(&subject);
        assert!(inodes.len() > 10, "{name}");
        let mut items = Items::new();
        for inode in &inodes {
            put_inode(&mut items, inode);
            seen |= inode.fields.0;
            // What was there before: a free inode.
            let mut free = vec![0; inode.bytes.len()];
            free[..2].copy_from_slice(b"IN");
            free[4] = 3;
            free[96..100].copy_from_slice(&[0xff; 4]);
            let at = inode.run.at.0 * 512 + inode.offset as u64;
            subject.data.write_at(at, &free).unwrap();
        }
        let lsn = {
            let mut writer = subject.writer();
            writer.checkpoint(&items).unwrap()
        };
        subject
            .recover()
            .unwrap_or_else(|e| panic!("{name}: {e:?}"))
            .unwrap();
        for inode in &inodes {
            let cluster = subject.read(inode.run);
            let bytes = &cluster[inode.offset..inode.offset + inode.bytes.len()];
            let got = Dinode::verified(&subject.geo, inode.number, bytes).unwrap();
            let wanted = Dinode::verified(&subject.geo, inode.number, &inode.bytes).unwrap();
            let mut core = wanted.core();
            core.lsn = lsn;
            assert_eq!(got.core(), core, "{name}: {}", inode.number);
            // As far as they are used.
            let (data, attr) = forks(&subject.geo, inode.number, bytes);
            assert_eq!((&data, &attr), (&inode.data, &inode.attr), "{name}");
        }
    }
    for field in [
        Fields::DATA_LOCAL,
        Fields::DATA_EXTENTS,
        Fields::DATA_ROOT,
        Fields::ATTR_LOCAL,
        Fields::ATTR_EXTENTS,
    ] {
        assert!(seen & field != 0, "{field:#x} is not tested");
    }
}

#[test]
fn a_freed_buffer_is_replayed_from_its_next_use_on() {
    let mut subject = Subject::new("default");
    let blocks = subject.blocks();
    let old = blocks.iter().find(|b| b.tag == Tag::DirBlock).unwrap();
    let other = blocks.iter().find(|b| b.tag == Tag::Agf).unwrap();
    let file = [0x5a; 4096];
    subject.data.write_at(old.run.at.0 * 512, &file).unwrap();
    let head = {
        let mut writer = subject.writer();
        let mut items = Items::new();
        put(&mut items, old);
        writer.checkpoint(&items).unwrap();
        items.clear();
        items.cancel((old.run.at, old.run.len)).unwrap();
        put(&mut items, other);
        writer.checkpoint(&items).unwrap();
        writer.head()
    };
    subject.recover().unwrap().unwrap();
    // It is a file's now.
    assert_eq!(subject.read(old.run), file);

    let again = {
        let mut writer = Writer::new(&subject.log, &subject.geo, &head, 32 << 10).unwrap();
        let mut items = Items::new();
        put(&mut items, old);
        writer.checkpoint(&items).unwrap()
    };
    let _ = again;
    subject.recover().unwrap().unwrap();
    assert_eq!(tag_of(&subject.read(old.run)), Some(Tag::DirBlock));
}

#[test]
fn a_newer_block_is_left_and_an_older_one_is_not() {
    for (lsn, left) in [
        (Lsn::new(1, 1), false),
        (Lsn::new(1, 64), true),
        (Lsn::new(9, 0), true),
        (Lsn(u64::MAX), false),
    ] {
        let mut subject = Subject::new("default");
        let blocks = subject.blocks();
        let agf = blocks.iter().find(|b| b.tag == Tag::Agf).unwrap();
        let mut there = agf.bytes.clone();
        // agf_longest
        there[59] ^= 1;
        put_stamp(&subject.geo, &mut there, lsn);
        subject.data.write_at(agf.run.at.0 * 512, &there).unwrap();
        {
            let mut writer = subject.writer();
            assert!(writer.head().next < Lsn::new(1, 64));
            let mut items = Items::new();
            put(&mut items, agf);
            writer.checkpoint(&items).unwrap();
        }
        // Its own rules may refuse the changed one, which is an error, too.
        let recovered = subject.recover();
        let now = subject.read(agf.run);
        if left {
            assert_eq!(now, there);
        } else {
            recovered.unwrap().unwrap();
            assert_eq!(now[59], agf.bytes[59]);
        }
    }
}

#[test]
fn a_block_that_one_transaction_has_twice_is_left_as_the_later_says() {
    // The field for the last inode chunk that was made, of which no one depends.
    const NEW_INODE: std::ops::Range<usize> = 32..36;
    let mut subject = Subject::new("default");
    let blocks = subject.blocks();
    let agi = blocks.iter().find(|b| b.tag == Tag::Agi).unwrap();
    subject.wipe(agi.run);
    let later = 0xffff_ffff_u32.to_be_bytes();
    assert_ne!(agi.bytes[NEW_INODE], later);
    {
        let mut writer = subject.writer();
        let mut items = Items::new();
        let mut block = Block {
            run: agi.run,
            tag: agi.tag,
            bytes: agi.bytes.clone(),
        };
        put(&mut items, &block);
        block.bytes[NEW_INODE].copy_from_slice(&later);
        put(&mut items, &block);
        writer.checkpoint(&items).unwrap();
    }
    subject.recover().unwrap().unwrap();
    let replayed = subject.read(agi.run);
    assert_eq!(tag_of(&replayed), Some(Tag::Agi));
    assert_eq!(replayed[NEW_INODE], later);
}

#[test]
fn new_inodes_and_unlinked_lists_are_put_in_place() {
    let mut subject = Subject::new("default");
    let geo = subject.geo.clone();
    let blocks = 64 / geo.inodes_per_block;
    let icreate = InodeCreate {
        ag: AgNumber(1),
        block: AgBlock(geo.ag_blocks / 2 / blocks * blocks),
        inodes: 64,
        inode_size: geo.inode_size,
        blocks,
        generation: 0x1234_5678,
    };
    let at = geo.ag_block_addr(icreate.ag, icreate.block).unwrap();
    let run = Run {
        at,
        len: geo.inode_cluster_blocks() * geo.basic_blocks_per_block(),
    };
    // In the same transaction: the third inode of the cluster points to the fourth.
    let first = icreate.block.0 * geo.inodes_per_block;
    let mut buffer = vec![0; run.len as usize * BLOCK];
    let field = 2 * geo.inode_size as usize + 96;
    buffer[field..field + 4].copy_from_slice(&(first + 3).to_be_bytes());
    let mut map = ChunkMap::new();
    map.add(field..field + 4);
    {
        let mut writer = subject.writer();
        let mut items = Items::new();
        items
            .buffer((run.at, run.len), Tag::Inodes, FLAG_INODES, &map, &buffer)
            .unwrap();
        items.icreate(&icreate).unwrap();
        writer.checkpoint(&items).unwrap();
    }
    subject.recover().unwrap().unwrap();
    let cluster = subject.read(run);
    for (index, bytes) in cluster.chunks(geo.inode_size as usize).enumerate() {
        let number = geo
            .inode_number(
                AgNumber(1),
                xfs_host::libxfs::format::units::AgInode(first + index as u32),
            )
            .unwrap();
        let inode = Dinode::verified(&geo, number, bytes).unwrap();
        let core = inode.core();
        assert_eq!((core.mode, core.generation), (0, 0x1234_5678));
        let next = core.next_unlinked.map(|next| next.0);
        assert_eq!(next, (index == 2).then_some(first + 3));
    }
}

#[test]
fn quota_records_are_put_in_place_where_quota_is_on() {
    for (quota, off, replayed) in [
        (true, false, true),
        (false, false, false),
        (true, true, false),
    ] {
        let mut subject = Subject::new("quota");
        let geo = subject.geo.clone();
        let run = Run {
            at: geo
                .ag_block_addr(AgNumber(1), AgBlock(geo.ag_blocks / 2))
                .unwrap(),
            len: geo.basic_blocks_per_block(),
        };
        let mut bytes = vec![0; geo.block_size as usize];
        let count = quota::records_per_block(&geo) as usize;
        for (id, record) in bytes.chunks_mut(quota::RECORD_SIZE).take(count).enumerate() {
            let mut dquot = DiskDquot::new_zeroed();
            dquot.magic = quota::MAGIC.into();
            dquot.version = quota::VERSION;
            dquot.kind = QuotaType::User.to_disk();
            dquot.id = (id as u32).into();
            dquot.uuid = geo.meta_uuid;
            record.copy_from_slice(dquot.as_bytes());
            crc::set_block_crc(record, quota::CRC_OFFSET);
        }
        let block = Block {
            run,
            tag: Tag::UserQuota,
            bytes,
        };
        let offset = 3 * quota::RECORD_SIZE;
        let mut changed = block.bytes[offset..offset + LOGGED_SIZE].to_vec();
        // d_bcount
        changed[47] = 99;
        {
            let mut writer = subject.writer();
            let mut items = Items::new();
            put(&mut items, &block);
            writer.checkpoint(&items).unwrap();
            items.clear();
            items
                .dquot(&DquotItem {
                    id: 3,
                    at: run.at,
                    offset: offset as u32,
                    record: &changed,
                })
                .unwrap();
            if off {
                items.quota_off(&[QuotaType::User]).unwrap();
            }
            writer.checkpoint(&items).unwrap();
        }
        subject.recover_with(Options { quota }).unwrap().unwrap();
        let now = subject.read(run);
        if replayed {
            assert_eq!(now[offset..offset + LOGGED_SIZE], changed);
            assert_eq!(now[..offset], block.bytes[..offset]);
            quota::verify(&geo, &now).unwrap();
        } else {
            assert!(now.iter().all(|byte| *byte == 0));
        }
    }
}

fn one<T>(value: T) -> kernel::alloc::KVec<T> {
    let mut vec = kernel::alloc::KVec::new();
    vec.push(value, kernel::alloc::flags::GFP_KERNEL).unwrap();
    vec
}

fn free(start: u64, count: u32) -> Work {
    Work::ExtentFree(Device::Data, one(ExtentFree::recovered(start, count)))
}

fn intents(geo: &Geometry) -> Vec<(u64, Work)> {
    let start = u64::from(geo.ag_blocks) / 2;
    let refcount = RefcountUpdate {
        kind: RefcountUpdateKind::Decrease,
        start,
        count: 3,
    };
    let file = |inode| ExchangeFile {
        inode: InodeNumber(inode),
        generation: 7,
        offset: FileBlock(10),
        size: 1 << 20,
    };
    let root = geo.root_inode.0;
    let exchange = Exchange {
        files: [file(root), file(root + 1)],
        blocks: 20,
        flags: ExchangeFlags(ExchangeFlags::SET_SIZES),
    };
    vec![
        (1, free(start, 10)),
        (2, Work::RefcountUpdate(Device::Data, one(refcount))),
        (3, free(start, 20)),
        (4, Work::Exchange(exchange)),
    ]
}

/// Logs that work will be done.
fn intend(items: &mut Items, (id, work): &(u64, Work)) {
    let work = work.try_clone().unwrap();
    items.item(&Item::Intent(IntentId(*id), work)).unwrap();
}

#[test]
fn intents_without_an_answer_are_handed_on_in_order() {
    let mut subject = Subject::new("default");
    let intents = intents(&subject.geo);
    {
        let mut writer = subject.writer();
        let mut items = Items::new();
        for intent in &intents {
            intend(&mut items, intent);
        }
        writer.checkpoint(&items).unwrap();
        items.clear();
        items.item(&Item::Done(IntentId(1), free(1, 10))).unwrap();
        // An answer to another kind of the same name is none to this one.
        let other = Work::RmapUpdate(Device::Data, Default::default());
        items.item(&Item::Done(IntentId(2), other)).unwrap();
        writer.checkpoint(&items).unwrap();
        // A name is used again.
        items.clear();
        intend(&mut items, &intents[0]);
        writer.checkpoint(&items).unwrap();
    }
    let recovered = subject.recover().unwrap().unwrap();
    let left: Vec<_> = recovered.intents.iter().collect();
    let order = [1, 2, 3, 0];
    assert_eq!(left.len(), order.len());
    for (left, index) in left.into_iter().zip(order) {
        let (id, work) = &intents[index];
        assert_eq!((left.id, &left.work), (IntentId(*id), work));
    }
}

#[test]
fn an_intent_outside_the_device_is_refused() {
    let mut subject = Subject::new("default");
    let mut intents = intents(&subject.geo);
    intents[0].1 = free(u64::from(subject.geo.ag_blocks) + 7, u32::MAX);
    {
        let mut writer = subject.writer();
        let mut items = Items::new();
        intend(&mut items, &intents[0]);
        writer.checkpoint(&items).unwrap();
    }
    let corruption = corruption(subject.recover());
    assert_eq!(corruption.fault.structure, "efi");
    assert_eq!(corruption.fault.field, "startblock");
}

fn corruption(result: Result<Option<Recovered>>) -> Corruption {
    match result {
        Err(Error::Corrupt(corruption)) => corruption,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("recovered"),
    }
}

#[test]
fn an_item_that_makes_no_sense_fails_recovery_before_anything_is_written() {
    let mut subject = Subject::new("default");
    let blocks = subject.blocks();
    let agf = blocks.iter().find(|b| b.tag == Tag::Agf).unwrap();
    subject.wipe(agf.run);
    let second = {
        let mut writer = subject.writer();
        let mut items = Items::new();
        put(&mut items, agf);
        writer.checkpoint(&items).unwrap();
        items.clear();
        // An EFI of three extents that has two.
        let mut region = vec![0x36, 0x12, 1, 0, 3, 0, 0, 0];
        region.extend([0; 8 + 2 * 16]);
        items.parts(&region, std::iter::empty()).unwrap();
        writer.checkpoint(&items).unwrap()
    };
    let corruption = corruption(subject.recover());
    assert_eq!(corruption.place, Place::Log(second, None));
    assert_eq!(corruption.fault.structure, "efi");
    assert_eq!(corruption.fault.field, "nextents");
    assert!(subject.read(agf.run).iter().all(|byte| *byte == 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_items_is_replayed_or_refused(
        shape in 0usize..SHAPES.len(),
        changes in prop::collection::vec((any::<u32>(), 0usize..2, any::<u32>(), any::<u8>()), 1..6),
    ) {
        thread_local! {
            static BASES: Vec<Vec<Vec<Vec<u8>>>> = SHAPES.iter().map(|name| base(name)).collect();
        }
        let mut subject = Subject::new(SHAPES[shape]);
        BASES.with(|bases| {
            let mut all = bases[shape].clone();
            let count = all.len();
            for (item, region, byte, value) in changes {
                let item = &mut all[item as usize % count];
                let region = region % item.len();
                let region = &mut item[region];
                let at = byte as usize % region.len().min(256);
                region[at] = value;
            }
            let mut items = Items::new();
            for item in &all {
                let (first, others) = item.split_first().unwrap();
                items.parts(first, others.iter().map(Vec::as_slice)).unwrap();
            }
            let mut writer = subject.writer();
            writer.checkpoint(&items).unwrap();
        });
        faults::reset_largest();
        let _ = subject.recover();
        prop_assert!(faults::largest() < 64 << 20, "allocates {} at once", faults::largest());
    }
}

/// A few items of each kind from a real image, as their regions.
fn base(name: &str) -> Vec<Vec<Vec<u8>>> {
    let subject = Subject::new(name);
    let mut items = Items::new();
    let mut tags = Vec::new();
    for block in subject.blocks() {
        if tags.iter().filter(|tag| **tag == block.tag).count() < 2 {
            tags.push(block.tag);
            put(&mut items, &block);
        }
    }
    for inode in inodes(&subject).iter().take(8) {
        put_inode(&mut items, inode);
    }
    for intent in intents(&subject.geo) {
        intend(&mut items, &intent);
    }
    items
        .iter()
        .map(|item| item.iter().map(<[u8]>::to_vec).collect())
        .collect()
}

#[test]
fn recovery_reports_that_memory_is_short() {
    let mut subject = Subject::new("default");
    let blocks = subject.blocks();
    {
        let mut writer = subject.writer();
        let mut items = Items::new();
        blocks
            .iter()
            .take(20)
            .for_each(|block| put(&mut items, block));
        writer.checkpoint(&items).unwrap();
    }
    let mut failures = 0;
    for allowed in 0.. {
        let failing = faults::FailAfter::new(allowed);
        let recovered = subject.recover();
        drop(failing);
        match recovered {
            Err(Error::NoMemory) => failures += 1,
            Err(other) => panic!("{other:?}"),
            Ok(_) => break,
        }
    }
    assert!(failures > 10, "{failures}");
}
