// SPDX-License-Identifier: GPL-2.0

//! The verifiers of names' blocks: each rule, broken alone, is the one that is named.

use std::ops::Range;
use xfs_host::{
    fixture::{
        named,
        names::{Builder, Name, Plan},
        Image,
    },
    image::ImageStore,
    libxfs::{
        dir,
        format::{
            attr::{remote, shortform as attr_short, AttrFlags},
            crc,
            dir::{shortform as dir_short, space::DirGeometry},
            fault::{Fault, FaultKind},
            geometry::Geometry,
            kind::Kind,
            units::{DiskAddr, FileBlock, FsBlock},
        },
        inode::{Inode, Trust},
        store::{Device, Run, Store},
    },
    mutation::{Choices, Seeded},
};

/// A block that its verifier accepts.
struct Good {
    geo: Geometry,
    kind: Kind,
    at: DiskAddr,
    bytes: Vec<u8>,
    crc: usize,
}

impl Good {
    fn check(self) -> Self {
        assert_eq!(self.kind.verify(&self.geo, self.at, &self.bytes), Ok(()));
        let mut damaged = self.bytes.clone();
        damaged[200] ^= 0x10;
        let fault = self.kind.verify(&self.geo, self.at, &damaged).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Checksum);
        let shorter = &self.bytes[..self.bytes.len() / 2];
        assert!(self.kind.verify(&self.geo, self.at, shorter).is_err());
        assert!(self.kind.verify(&self.geo, self.at, &[]).is_err());
        self
    }

    /// The fault of the block with some bytes changed and the checksum right.
    fn with(&self, changes: &[(usize, &[u8])]) -> Result<(), Fault> {
        let mut bytes = self.bytes.clone();
        for (at, value) in changes {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        crc::set_block_crc(&mut bytes, self.crc);
        self.kind.verify(&self.geo, self.at, &bytes)
    }

    fn breaks(&self, field: &str, changes: &[(usize, &[u8])]) {
        match self.with(changes) {
            Err(fault) if fault.kind == FaultKind::Corrupt => {
                assert_eq!(fault.field, field, "{fault} {changes:?}");
            }
            other => panic!("{field} {changes:?}: {other:?}"),
        }
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes[at..at + 2].try_into().unwrap())
    }

    /// What all blocks with the header of tree blocks are held to.
    fn tree_rules(&self) {
        self.breaks("magic", &[(8, &[0, 0])]);
        self.breaks("uuid", &[(32, &[0xaa; 16])]);
        self.breaks("blkno", &[(16, &[0; 8])]);
    }

    /// What all blocks with the header of data blocks are held to.
    fn data_rules(&self) {
        self.breaks("magic", &[(0, &[0; 4])]);
        self.breaks("uuid", &[(24, &[0xaa; 16])]);
        self.breaks("blkno", &[(8, &[0; 8])]);
    }
}

fn good(builder: &Builder, at: FileBlock, kind: Kind, crc: usize) -> Good {
    Good {
        geo: builder.geo.clone(),
        kind,
        at: builder.placed[&at][0].0,
        bytes: builder.read(at),
        crc,
    }
    .check()
}

const PLAN: Plan = Plan {
    per_leaf: 20,
    fanout: 10,
    scattered: false,
    leaf_form: false,
};

/// A directory with names of 10 bytes, which take 24 bytes each, and with gaps.
fn directory(plan: Plan) -> Builder {
    let mut builder = Builder::new("empty", 42);
    let names: Vec<Name> = (0..100)
        .map(|i| (format!("a name {i:03}").into_bytes(), builder.some_inode()))
        .collect();
    builder.build_dir(&names, plan);
    builder
}

/// Offsets of the unused stretches and of the entries of a data block up to `end`.
fn records(bytes: &[u8], end: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut unused, mut entries) = (Vec::new(), Vec::new());
    let mut at = 64;
    while at < end {
        if bytes[at..at + 2] == [0xff, 0xff] {
            unused.push(at);
            at += usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        } else {
            entries.push(at);
            at += (12 + usize::from(bytes[at + 8])).next_multiple_of(8);
        }
    }
    (unused, entries)
}

fn entry_rules(block: &Good, end: usize) {
    let (unused, entries) = records(&block.bytes, end);
    let entry = entries[5];
    block.breaks("inumber", &[(entry, &[0; 8])]);
    block.breaks("inumber", &[(entry, &[0x7f; 8])]);
    block.breaks("namelen", &[(entry + 8, &[0])]);
    let size = (12 + usize::from(block.bytes[entry + 8])).next_multiple_of(8);
    block.breaks("tag", &[(entry + size - 2, &[0, 0])]);
    // Bytes for types that mean nothing read as no type.
    let ftype = entry + 9 + usize::from(block.bytes[entry + 8]);
    assert_eq!(block.with(&[(ftype, &[9])]), Ok(()));
    for &gap in &unused {
        let len = usize::from(block.u16(gap + 2));
        block.breaks("tag", &[(gap + len - 2, &[0, 1])]);
        block.breaks("unused length", &[(gap + 2, &[0, 0])]);
        block.breaks("unused length", &[(gap + 2, &[0, 9])]);
        block.breaks("length", &[(gap + 2, &[0xff, 0xf8])]);
    }
    // The longest first, each there, none missing.
    block.breaks("bestfree", &[(48, &[0, 0])]);
    block.breaks("bestfree", &[(50, &[0, 0])]);
    block.breaks("bestfree", &[(48, &[0; 12])]);
    let second = &block.bytes[52..56];
    if second != [0; 4] {
        let first = &block.bytes[48..52];
        if first[2..] != second[2..] {
            block.breaks("bestfree", &[(48, second), (52, first)]);
        }
        block.breaks("bestfree", &[(52, first)]);
        block.breaks("bestfree", &[(52, &[0; 8])]);
    }
    let length = block.u16(50) - 8;
    block.breaks("bestfree", &[(50, &length.to_be_bytes())]);
}

#[test]
fn data_blocks() {
    let builder = directory(PLAN);
    let block = good(&builder, FileBlock(0), Kind::DirData, 4);
    block.data_rules();
    entry_rules(&block, block.bytes.len());
    // A stretch cut in two, both of them well-formed.
    let (unused, _) = records(&block.bytes, block.bytes.len());
    let gap = *unused.iter().find(|&&at| block.u16(at + 2) >= 16).unwrap();
    let len = block.u16(gap + 2);
    let tag = |at: usize| (at as u16).to_be_bytes();
    block.breaks(
        if block.u16(48) == gap as u16 {
            "bestfree"
        } else {
            "unused"
        },
        &[
            (gap + 2, &[0, 8]),
            (gap + 6, &tag(gap)),
            (gap + 8, &[0xff, 0xff]),
            (gap + 10, &(len - 8).to_be_bytes()),
            (gap + usize::from(len) - 2, &tag(gap + 8)),
        ],
    );
    // A directory in block form is no data block.
    block.breaks("magic", &[(0, b"XDB3")]);
}

/// The bytes of a directory's block `at` of a real image, and where it lies.
fn real_block(store: &ImageStore, dir: &Inode, at: FileBlock, kind: Kind) -> Good {
    let geo = store.geometry().clone();
    let mapping = dir.data.extents().unwrap().get(at).unwrap();
    let len = DirGeometry::new(&geo).basic_blocks();
    let run = Run {
        at: geo.fs_block_addr(FsBlock(mapping.start.0)).unwrap(),
        len,
    };
    let bytes = store.read(Device::Data, run, kind).unwrap().to_vec();
    Good {
        geo,
        kind,
        at: run.at,
        bytes,
        crc: 4,
    }
    .check()
}

fn find(store: &ImageStore, path: &str) -> Inode {
    let root = store.geometry().root_inode;
    path.split('/').fold(
        Inode::read(store, root, Trust::Trusted).unwrap(),
        |at, name| {
            let found = dir::lookup(store, &at, name.as_bytes()).unwrap();
            Inode::read(store, found.inode, Trust::Trusted).unwrap()
        },
    )
}

#[test]
fn directories_in_block_form() {
    let image = Image::small(named("default"));
    let store = ImageStore::open(image.disks()).unwrap();
    let dir = find(&store, "dir/block");
    let block = real_block(&store, &dir, FileBlock(0), Kind::DirBlock);
    block.data_rules();
    let size = block.bytes.len();
    let count = usize::from(block.u16(size - 6));
    let index = size - 8 - 8 * count;
    entry_rules(&block, index);
    block.breaks("magic", &[(0, b"XDD3")]);
    block.breaks("count", &[(size - 8, &[0xff; 4])]);
    block.breaks("count", &[(size - 8, &[0, 0, 2, 0])]);
    block.breaks("stale", &[(size - 4, &[0, 0, 0, 1])]);
    block.breaks("stale", &[(index + 4, &[0; 4])]);
    block.breaks("hashval", &[(index, &[0xff; 4])]);
    // An entry that the index does not know, or under another hash.
    block.breaks("leaf entry", &[(index + 4, &[0, 0, 0, 9])]);
    let (_, entries) = records(&block.bytes, index);
    let name = entries[3] + 9;
    block.breaks("leaf entry", &[(name, &[block.bytes[name] ^ 1])]);
    // The index has one entry too many once a name is taken away.
    let entry = entries[3];
    let len = ((12 + usize::from(block.bytes[entry + 8])).next_multiple_of(8) as u16).to_be_bytes();
    let place = (entry as u16).to_be_bytes();
    let gone: &[(usize, &[u8])] = &[(entry, &[0xff, 0xff]), (entry + 2, &len)];
    let listed: &[(usize, &[u8])] = &[(52, &place), (54, &len)];
    block.breaks("bestfree", gone);
    block.breaks("count", &[gone, listed].concat());
}

#[test]
fn leaves_of_directories() {
    let builder = directory(PLAN);
    let start = DirGeometry::new(&builder.geo).leaf_start();
    let leaf = good(&builder, FileBlock(start.0 + 1), Kind::DirTree, 12);
    leaf.tree_rules();
    leaf.breaks("count", &[(56, &[0xff, 0xff])]);
    leaf.breaks("hashval", &[(64, &[0xff; 4])]);
    let stale = leaf.u16(58) + 1;
    leaf.breaks("stale", &[(58, &stale.to_be_bytes())]);
    leaf.breaks("magic", &[(8, &[0x3d, 0xf1])]);

    let builder = directory(Plan {
        per_leaf: 500,
        leaf_form: true,
        ..PLAN
    });
    let leaf = good(&builder, start, Kind::DirLeaf, 12);
    leaf.tree_rules();
    leaf.breaks("count", &[(56, &[0xff, 0xff])]);
    leaf.breaks("hashval", &[(64, &[0xff; 4])]);
    let stale = leaf.u16(58) + 1;
    leaf.breaks("stale", &[(58, &stale.to_be_bytes())]);
    leaf.breaks("magic", &[(8, &[0x3d, 0xff])]);
    let end = leaf.bytes.len() - 4;
    leaf.breaks("bestcount", &[(end, &[0xff; 4])]);
    leaf.breaks("bestcount", &[(end, &[0, 0, 8, 0])]);
    leaf.breaks("address", &[(end, &[0; 4])]);
    leaf.breaks("address", &[(68, &[0x7f; 4])]);
}

#[test]
fn nodes() {
    let builder = directory(Plan {
        per_leaf: 2,
        ..PLAN
    });
    let start = DirGeometry::new(&builder.geo).leaf_start();
    let node = good(&builder, start, Kind::DirTree, 12);
    node.tree_rules();
    node.breaks("level", &[(58, &[0, 0])]);
    node.breaks("level", &[(58, &[0, 5])]);
    node.breaks("count", &[(56, &[0, 0])]);
    node.breaks("count", &[(56, &[2, 0])]);
}

#[test]
fn free_index_blocks() {
    let builder = directory(PLAN);
    let dir = DirGeometry::new(&builder.geo);
    let free = good(&builder, dir.free_start(), Kind::DirFree, 4);
    free.data_rules();
    free.breaks("nvalid", &[(52, &[0xff; 4])]);
    free.breaks("nvalid", &[(52, &[0, 0, 8, 0])]);
    free.breaks("nused", &[(56, &[0, 0, 1, 0])]);
    let view = xfs_host::libxfs::format::dir::free::FreeIndex::view(&free.bytes).unwrap();
    let owner = builder.owner;
    assert_eq!(view.check_place(&dir, owner, dir.free_start()), Ok(()));
    let next = FileBlock(dir.free_start().0 + 1);
    let field = |result: Result<(), Fault>| result.unwrap_err().field;
    assert_eq!(field(view.check_place(&dir, owner, next)), "firstdb");
    let before = FileBlock(5);
    assert_eq!(field(view.check_place(&dir, owner, before)), "firstdb");
    let other = xfs_host::libxfs::format::units::InodeNumber(owner.0 + 1);
    assert_eq!(
        field(view.check_place(&dir, other, dir.free_start())),
        "owner"
    );
}

#[test]
fn leaves_of_attributes() {
    let mut builder = Builder::new("empty", 42);
    let attrs: Vec<_> = (0..30u8)
        .map(|i| {
            (
                AttrFlags(0),
                format!("n{i}").into_bytes(),
                vec![i; i.into()],
            )
        })
        .collect();
    builder.build_attrs(
        &attrs,
        Plan {
            per_leaf: 30,
            ..PLAN
        },
    );
    let leaf = good(&builder, FileBlock(0), Kind::AttrTree, 12);
    leaf.tree_rules();
    let size = leaf.bytes.len();
    leaf.breaks("count", &[(56, &[0xff, 0xff])]);
    leaf.breaks("firstused", &[(60, &[0, 79])]);
    leaf.breaks("firstused", &[(60, &[0x10, 0x04])]);
    leaf.breaks("firstused", &[(56, &[1, 0xd0])]);
    leaf.breaks("hashval", &[(80, &[0xff; 4])]);
    leaf.breaks("nameidx", &[(84, &[0, 80])]);
    leaf.breaks("nameidx", &[(84, &[0xff, 0xfc])]);
    leaf.breaks(
        "nameidx",
        &[
            (84, &(size as u16 - 4).to_be_bytes()),
            (size - 4, &[0, 0, 9, 0]),
        ],
    );
    let name = usize::from(leaf.u16(84));
    leaf.breaks("namelen", &[(name + 2, &[0])]);
    leaf.breaks("nameidx", &[(name, &[0xff, 0xff])]);
    // The same bytes as a name whose value is elsewhere.
    let remote = |block: u32, len: u32, flags: u8, field: &str| {
        let at = size - 44;
        leaf.breaks(
            field,
            &[
                (84, &(at as u16).to_be_bytes()),
                (86, &[flags]),
                (at, &block.to_be_bytes()),
                (at + 4, &len.to_be_bytes()),
                (at + 8, &[20]),
            ],
        );
    };
    remote(0, 100, 0, "valueblk");
    remote(5, 65_537, 0, "valuelen");
    remote(0, 65_537, AttrFlags::INCOMPLETE, "valuelen");
    for map in [64, 68, 72] {
        leaf.breaks("freemap", &[(map, &[1, 1, 0, 0])]);
        leaf.breaks("freemap", &[(map, &[1, 0, 0, 2])]);
        leaf.breaks("freemap", &[(map, &[0x0f, 0xfc, 0, 8])]);
        leaf.breaks("freemap", &[(map, &[0xff, 0xfc, 0xff, 0xfc])]);
        leaf.breaks("freemap", &[(map, &[0, 80, 0, 4])]);
    }
    leaf.breaks("freemap", &[(64, &[3, 0, 0, 8, 3, 4, 0, 8])]);
    leaf.breaks("freemap", &[(64, &[3, 0, 0, 8, 0, 0, 0, 0, 3, 0, 0, 8])]);
    leaf.breaks("freemap", &[(68, &[3, 4, 0, 4, 3, 0, 0, 8])]);
    assert_eq!(leaf.with(&[(64, &[3, 0, 0, 8, 3, 8, 0, 8])]), Ok(()));
    // Nothing in it, as after a crash.
    let empty: &[(usize, &[u8])] = &[(56, &[0, 0]), (58, &[0, 0]), (60, &[0x10, 0])];
    assert_eq!(leaf.with(empty), Ok(()));
}

#[test]
fn blocks_of_long_values() {
    let geo = Builder::new("empty", 0).geo;
    let size = geo.block_size as usize;
    let at = DiskAddr(80_000);
    let mut bytes = vec![b'v'; 2 * size];
    for (i, block) in bytes.chunks_exact_mut(size).enumerate() {
        block[..4].copy_from_slice(b"XARM");
        block[4..8].copy_from_slice(&(i as u32 * 4040).to_be_bytes());
        block[8..12].copy_from_slice(&4040u32.to_be_bytes());
        block[16..32].copy_from_slice(&geo.meta_uuid);
        block[32..40].copy_from_slice(&77u64.to_be_bytes());
        block[40..48].copy_from_slice(&(at.0 + i as u64 * 8).to_be_bytes());
        block[48..56].copy_from_slice(&[0xff; 8]);
        crc::set_block_crc(block, 12);
    }
    let both = |bytes: &[u8]| Kind::AttrRemote.verify(&geo, at, bytes);
    assert_eq!(both(&bytes), Ok(()));
    assert_eq!(both(&bytes[..size]), Ok(()));
    for len in [0, 1, size - 1, size + 512] {
        assert_eq!(both(&bytes[..len]).unwrap_err().field, "size");
    }
    let cases: [(usize, &[u8], &str); 7] = [
        (0, b"XARN", "magic"),
        (4, &[0, 1, 0, 0], "offset"),
        (4, &[0xff; 4], "offset"),
        (8, &4041u32.to_be_bytes(), "bytes"),
        (16, &[9; 16], "uuid"),
        (32, &[0; 8], "owner"),
        (40, &[0; 8], "blkno"),
    ];
    for (place, value, field) in cases {
        for start in [0, size] {
            let mut changed = bytes.clone();
            changed[start + place..start + place + value.len()].copy_from_slice(value);
            assert_eq!(both(&changed).unwrap_err().kind, FaultKind::Checksum);
            crc::set_block_crc(&mut changed[start..start + size], 12);
            assert_eq!(both(&changed).unwrap_err().field, field);
        }
    }
    assert_eq!(remote::blocks_for(&geo, 0), 0);
    assert_eq!(remote::blocks_for(&geo, 4040), 1);
    assert_eq!(remote::blocks_for(&geo, 4041), 2);
    assert_eq!(remote::blocks_for(&geo, 65_536), 17);
}

#[test]
fn short_directories() {
    let geo = Builder::new("empty", 0).geo;
    let root = geo.root_inode.0 as u32;
    let entry = |name: &[u8], offset: u16, ino: u32| -> Vec<u8> {
        let mut bytes = vec![name.len() as u8];
        bytes.extend(offset.to_be_bytes());
        bytes.extend(name);
        bytes.push(1);
        bytes.extend(ino.to_be_bytes());
        bytes
    };
    let build = |head: [u8; 2], parent: u32, entries: &[Vec<u8>]| -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.extend(parent.to_be_bytes());
        bytes.extend(entries.concat());
        bytes
    };
    let field = |bytes: &[u8]| dir_short::verify(&geo, bytes).map_err(|fault| fault.field);
    let good = build(
        [2, 0],
        root,
        &[entry(b"one", 96, root + 3), entry(b"two", 112, root + 4)],
    );
    assert_eq!(field(&good), Ok(()));
    assert_eq!(field(&build([0, 0], root, &[])), Ok(()));
    for len in 0..good.len() {
        assert!(field(&good[..len]).is_err());
    }
    let one = |entry: Vec<u8>| field(&build([1, 0], root, &[entry]));
    assert_eq!(one(entry(b"one", 95, root)), Err("offset"));
    assert_eq!(one(entry(b"one", 96, 0)), Err("inumber"));
    assert_eq!(one(entry(b"", 96, root)), Err("namelen"));
    assert_eq!(one(entry(b"one", 4060, root)), Err("offset"));
    // 24 bytes of index and 8 of tail are the least that has to fit behind.
    assert_eq!(one(entry(b"one", 4096 - 32 - 16, root)), Ok(()));
    assert_eq!(one(entry(b"one", 4096 - 24 - 16, root)), Err("offset"));
    assert_eq!(field(&build([0, 0], 0, &[])), Err("parent"));
    let entries = [entry(b"one", 96, root), entry(b"two", 111, root)];
    assert_eq!(field(&build([2, 0], root, &entries)), Err("offset"));
    for (count, wrong) in [(1, "count"), (3, "entry")] {
        let mut changed = good.clone();
        changed[0] = count;
        assert_eq!(field(&changed), Err(wrong));
    }
    let mut wide = vec![0, 1];
    wide.extend(u64::from(root).to_be_bytes());
    assert_eq!(field(&wide), Err("i8count"));
}

#[test]
fn short_attributes() {
    fn field(bytes: &[u8]) -> Result<&[u8], &'static str> {
        attr_short::verify(bytes).map_err(|fault| fault.field)
    }
    let good = [
        0, 19, 2, 0, 3, 3, 0, b'o', b'n', b'e', 1, 2, 3, 1, 0, 2, b'x', 0xee, 0xee,
    ];
    let mut bytes = good;
    bytes[1] = 17;
    assert_eq!(field(&bytes), Ok(&bytes[..17]));
    assert_eq!(field(&good), Err("count"));
    for (at, value, wrong) in [
        (0, 1, "totsize"),
        (1, 3, "totsize"),
        (1, 16, "entry"),
        (2, 1, "count"),
        (2, 3, "entry"),
        (4, 0, "namelen"),
        (4, 0xff, "entry"),
        (6, 1, "flags"),
        (6, 0x80, "flags"),
        (6, 6, "flags"),
        (6, 0x10, "flags"),
    ] {
        let mut changed = bytes;
        changed[at] = value;
        assert_eq!(field(&changed), Err(wrong), "{at} {value}");
    }
    for len in 0..4 {
        assert_eq!(field(&bytes[..len]), Err("totsize"));
    }
}

fn random(choices: &mut Seeded, len: Range<usize>) -> Vec<u8> {
    let len = len.start + choices.below(len.end - len.start);
    (0..len).map(|_| choices.word() as u8).collect()
}

#[test]
fn no_bytes_make_a_verifier_panic() {
    let kinds = [
        (Kind::DirData, 4, &b"XDD3"[..], 0),
        (Kind::DirBlock, 4, b"XDB3", 0),
        (Kind::DirFree, 4, b"XDF3", 0),
        (Kind::DirLeaf, 12, &[0x3d, 0xf1], 8),
        (Kind::DirTree, 12, &[0x3d, 0xff], 8),
        (Kind::DirTree, 12, &[0x3e, 0xbe], 8),
        (Kind::AttrTree, 12, &[0x3e, 0xbe], 8),
        (Kind::AttrTree, 12, &[0x3b, 0xee], 8),
        (Kind::AttrRemote, 12, b"XARM", 0),
    ];
    let mut choices = Seeded(1);
    let geo = Builder::new("block-1k-dir-64k", 0).geo;
    for round in 0..2_000 {
        let dir = round % 50 == 0;
        let len = if dir { 65_536 } else { 1_024 };
        let mut bytes = match round % 3 {
            0 => vec![0; len],
            1 => vec![0xff; len],
            _ => random(&mut choices, len..len + 1),
        };
        for (kind, crc_offset, magic, at) in kinds {
            for _ in 0..choices.below(40) {
                let at = choices.below(bytes.len());
                bytes[at] = choices.word() as u8;
            }
            bytes[at..at + magic.len()].copy_from_slice(magic);
            let (uuid, blkno) = match crc_offset {
                4 => (24, 8),
                _ if at == 0 => (16, 40),
                _ => (32, 16),
            };
            bytes[uuid..uuid + 16].copy_from_slice(&geo.meta_uuid);
            bytes[blkno..blkno + 8].copy_from_slice(&4096u64.to_be_bytes());
            crc::set_block_crc(&mut bytes, crc_offset);
            let _ = kind.verify(&geo, DiskAddr(4096), &bytes);
        }
        let short = random(&mut choices, 0..400);
        let _ = dir_short::verify(&geo, &short);
        let _ = attr_short::verify(&short);
    }
}
