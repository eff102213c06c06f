// SPDX-License-Identifier: GPL-2.0

//! Inodes and their forks on images of the real `mkfs.xfs`, against what `xfs_db` says of them.

use std::collections::HashMap;
use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::ImageStore,
    libxfs::{
        ag,
        bmap::map_blocks,
        error::Error,
        extents::{Mapping, Segment, State},
        format::{
            inode::{
                cluster,
                flags::{Flags, Flags2},
                seal,
                time::Timestamp,
                Dinode, FileType, ForkFormat,
            },
            kind::Kind,
            units::{AgNumber, FileBlock, InodeNumber},
        },
        inode::{cluster_run, inode_bytes, locate, DeviceNumber, Fork, Inode, Trust, WhichFork},
        store::{Device, Store},
        symlink,
    },
};

fn open(image: &Image) -> ImageStore {
    ImageStore::open(image.disks()).unwrap_or_else(|e| panic!("{}: {e}", image.shape.name))
}

/// All inodes in use.
fn all_inodes(store: &ImageStore) -> Vec<InodeNumber> {
    let geo = store.geometry();
    let mut all = Vec::new();
    for ag in (0..geo.ag_count).map(AgNumber) {
        let agi = ag::read_agi(store, ag).unwrap();
        let mut chunks = ag::ino(store, ag, &agi).unwrap();
        let mut chunk = chunks.seek_first().unwrap();
        while let Some(found) = chunk {
            for index in (0..64).filter(|&index| found.is_allocated(index)) {
                let inode = found.start.checked_add(index).unwrap();
                all.push(geo.inode_number(ag, inode).unwrap());
            }
            chunk = chunks.next().unwrap();
        }
    }
    all
}

fn read(store: &ImageStore, number: InodeNumber) -> Inode {
    let mut inode = Inode::read(store, number, Trust::Untrusted)
        .unwrap_or_else(|e| panic!("inode {number}: {e:?}"));
    for which in [WhichFork::Data, WhichFork::Attr] {
        inode
            .load_extents(store, which)
            .unwrap_or_else(|e| panic!("inode {number} {which:?}: {e:?}"));
    }
    inode
}

/// Whether an inode is worth a closer look: one of the rare ones, or one of many.
fn is_sample(inode: &Inode) -> bool {
    inode.data.format() != ForkFormat::Local && inode.core.nextents > 1
        || inode.core.anextents > 0
        || inode.core.is_metadata()
        || !matches!(
            inode.core.file_type(),
            Some(FileType::Regular | FileType::Directory)
        )
        || inode.number.0 % 97 == 0
}

fn number(text: &str) -> Option<u64> {
    let word = text.split(' ').next()?;
    if let Some(hex) = word.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if word.len() > 1 && word.starts_with('0') {
        u64::from_str_radix(word, 8).ok()
    } else {
        word.parse().ok()
    }
}

/// Compares the core with the fields that `xfs_db` prints.
fn same_core(inode: &Inode, db: &HashMap<&str, u64>, place: &str) {
    let core = &inode.core;
    let projid = (db["core.projid_hi"] << 16) | db["core.projid_lo"];
    let format = |format: ForkFormat| u64::from(format.to_disk());
    let mut pairs = vec![
        ("core.mode", u64::from(core.mode)),
        ("core.format", format(core.format)),
        ("core.uid", core.uid.into()),
        ("core.gid", core.gid.into()),
        ("core.atime.nsec", core.atime.nsec.into()),
        ("core.mtime.nsec", core.mtime.nsec.into()),
        ("core.ctime.nsec", core.ctime.nsec.into()),
        ("v3.crtime.nsec", core.crtime.nsec.into()),
        ("core.nblocks", core.nblocks),
        ("core.extsize", core.extsize.into()),
        ("core.nextents", core.nextents),
        ("core.naextents", core.anextents.into()),
        ("core.forkoff", core.forkoff.into()),
        ("core.aformat", format(core.aformat)),
        ("core.gen", core.generation.into()),
        ("v3.change_count", core.changecount),
        ("v3.flags2", core.flags2.0),
        ("v3.inumber", inode.number.0),
        ("core.realtime", core.flags.has(Flags::REALTIME).into()),
        ("core.immutable", core.flags.has(Flags::IMMUTABLE).into()),
        ("core.nodump", core.flags.has(Flags::NODUMP).into()),
        ("v3.reflink", core.flags2.has(Flags2::REFLINK).into()),
        ("v3.bigtime", core.flags2.has(Flags2::BIGTIME).into()),
    ];
    if !core.is_metadata() {
        pairs.push(("core.nlinkv2", core.nlink.into()));
    }
    if !matches!(inode.data, Fork::Dev(_)) {
        pairs.push(("core.size", core.size));
    }
    for (name, ours) in pairs {
        // Some names come only with a feature.
        if let Some(&theirs) = db.get(name) {
            assert_eq!(ours, theirs, "{place} {name}");
        } else {
            assert!(
                ["core.nlinkv2", "v3.bigtime", "core.naextents"].contains(&name),
                "{place}: no {name}"
            );
        }
    }
    assert_eq!(u64::from(core.projid), projid, "{place} projid");
}

/// Mappings as `bmap` prints them.
fn db_mappings(text: &str, fork: &str) -> Vec<(u64, u64, u64, u64)> {
    let prefix = format!("{fork} offset ");
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let n = |i: usize| words[i].parse().unwrap();
            (n(0), n(2), n(5), n(7))
        })
        .collect()
}

fn our_mappings(inode: &Inode, which: WhichFork) -> Vec<(u64, u64, u64, u64)> {
    let Some(map) = inode.fork(which).and_then(Fork::extents) else {
        return Vec::new();
    };
    map.iter()
        .map(|m| {
            let flag = u64::from(m.state == State::Unwritten);
            (m.offset.0, m.start.0, m.len, flag)
        })
        .collect()
}

#[test]
fn inodes_of_every_shape_are_read_as_by_xfs_db() {
    for shape in SHAPES {
        let image = Image::of(shape);
        let store = open(&image);
        let mut samples = Vec::new();
        let mut formats = HashMap::new();
        for number in all_inodes(&store) {
            let inode = read(&store, number);
            *formats.entry(inode.data.format()).or_insert(0) += 1;
            if is_sample(&inode) && samples.len() < 150 {
                samples.push(inode);
            }
        }
        let mut commands = Vec::new();
        for inode in &samples {
            commands.push(format!("inode {}", inode.number));
            commands.push("print".into());
            if inode.data.extents().is_some() {
                commands.push("bmap -d".into());
            }
            if inode.attr.as_ref().and_then(Fork::extents).is_some() {
                commands.push("bmap -a".into());
            }
        }
        let text = image.db(&commands);
        let parts: Vec<&str> = text.split("core.magic = ").skip(1).collect();
        assert_eq!(parts.len(), samples.len(), "{}", shape.name);
        for (inode, part) in samples.iter().zip(parts) {
            let place = format!("{} inode {}", shape.name, inode.number);
            let fields: HashMap<&str, u64> = part
                .lines()
                .filter_map(|line| line.split_once(" = "))
                .filter_map(|(name, value)| Some((name, number(value)?)))
                .collect();
            same_core(inode, &fields, &place);
            assert_eq!(
                our_mappings(inode, WhichFork::Data),
                db_mappings(part, "data"),
                "{place}"
            );
            assert_eq!(
                our_mappings(inode, WhichFork::Attr),
                db_mappings(part, "attr"),
                "{place}"
            );
        }
        if shape.filled.is_some() && !shape.name.starts_with("zoned") {
            assert!(formats[&ForkFormat::Local] > 0, "{}", shape.name);
            assert!(formats[&ForkFormat::Extents] > 0, "{}", shape.name);
            assert!(formats[&ForkFormat::Btree] > 0, "{}", shape.name);
        }
    }
}

#[test]
fn trusted_and_untrusted_numbers_find_the_same_place() {
    for shape in SHAPES {
        let store = open(&Image::of(shape));
        for number in all_inodes(&store) {
            let place = locate(&store, number, Trust::Untrusted).unwrap();
            assert_eq!(locate(&store, number, Trust::Trusted), Ok(place));
            assert_eq!(cluster::place(store.geometry(), number), Some(place));
        }
    }
}

#[test]
fn numbers_that_name_no_inode_are_refused() {
    let store = open(&Image::of(named("default")));
    let geo = store.geometry();
    let root = geo.root_inode;
    for bad in [
        0,
        1,
        u64::MAX,
        1 << 56,
        geo.inode_number(AgNumber(1), Default::default()).unwrap().0,
    ] {
        for trust in [Trust::Trusted, Trust::Untrusted] {
            assert_eq!(
                Inode::read(&store, InodeNumber(bad), trust).err(),
                Some(Error::Invalid),
                "{bad}"
            );
        }
    }
    let before = InodeNumber(root.0 - 1);
    assert_eq!(
        Inode::read(&store, before, Trust::Untrusted).err(),
        Some(Error::Invalid)
    );
    // In the middle of a group's free space.
    let free = geo.split_inode(root).unwrap().1 .0 + (1 << 16);
    let free = InodeNumber(free.into());
    assert!(cluster::number_is_valid(geo, free));
    assert_eq!(
        Inode::read(&store, free, Trust::Untrusted).err(),
        Some(Error::Invalid)
    );
    // A free inode in a chunk that is there.
    let used = all_inodes(&store);
    let last = used.iter().rev().find(|n| n.0 % 64 != 63).unwrap();
    let next = InodeNumber(last.0 + 1);
    if !used.contains(&next) {
        assert_eq!(
            Inode::read(&store, next, Trust::Untrusted).err(),
            Some(Error::Invalid)
        );
        assert_eq!(
            Inode::read(&store, next, Trust::Trusted).err(),
            Some(Error::NotFound)
        );
    }
}

#[test]
fn encoding_a_core_gives_the_bytes_that_it_was_decoded_from() {
    for shape in SHAPES {
        let store = open(&Image::of(shape));
        let geo = store.geometry();
        for number in all_inodes(&store).into_iter().step_by(13) {
            let place = locate(&store, number, Trust::Trusted).unwrap();
            let run = cluster_run(&store, place).unwrap();
            let block = store.read(Device::Data, run, Kind::InodeCluster).unwrap();
            let bytes = inode_bytes(geo, &block, place).unwrap();
            let dinode = Dinode::verified(geo, number, bytes).unwrap();
            let mut copy = bytes.to_vec();
            let raw = dinode.core().to_raw(geo, number);
            let encoded = zerocopy::IntoBytes::as_bytes(&raw);
            copy[..encoded.len()].copy_from_slice(encoded);
            seal(&mut copy);
            assert_eq!(&copy[..176], &bytes[..176], "{} {number}", shape.name);
            assert_eq!(copy, bytes);
        }
    }
}

/// A change to an inode's bytes.
type Change = &'static dyn Fn(&mut [u8]);

#[test]
fn broken_inodes_are_refused_by_the_field_that_is_wrong() {
    let store = open(&Image::of(named("default")));
    let geo = store.geometry();
    let number = all_inodes(&store)
        .into_iter()
        .find(|&n| {
            let inode = read(&store, n);
            inode.core.file_type() == Some(FileType::Regular) && inode.core.nextents == 4
        })
        .expect("a regular file with four extents");
    let place = locate(&store, number, Trust::Trusted).unwrap();
    let run = cluster_run(&store, place).unwrap();
    let block = store.read(Device::Data, run, Kind::InodeCluster).unwrap();
    let good = inode_bytes(geo, &block, place).unwrap().to_vec();
    let changes: &[(&str, Change)] = &[
        ("di_magic", &|b| b[0] ^= 1),
        ("di_version", &|b| b[4] = 2),
        ("di_ino", &|b| b[159] ^= 1),
        ("di_uuid", &|b| b[160] ^= 1),
        ("di_mode", &|b| b[2] = 0xf0),
        ("di_metatype", &|b| b[7] = 1),
        ("di_size", &|b| b[56] = 0x80),
        ("di_nrext64_pad", &|b| b[81] = 1),
        ("di_nblocks", &|b| b[64..72].fill(0)),
        ("di_format", &|b| b[5] = 1),
        ("di_forkoff", &|b| b[5] = 0),
        ("di_forkoff", &|b| b[5] = 4),
        ("di_forkoff", &|b| b[5] = 5),
        ("di_forkoff", &|b| b[82] = 0xff),
        ("di_aformat", &|b| b[83] = 0),
        ("di_flags", &|b| b[91] |= 1),
        ("di_extsize", &|b| b[75] = 1),
        ("di_cowextsize", &|b| b[131] = 1),
        ("di_flags2", &|b| b[127] |= 1 << 5),
    ];
    for (field, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        seal(&mut bad);
        let fault = Dinode::verified(geo, number, &bad).expect_err(field);
        assert_eq!(fault.field, *field, "{fault}");
    }
    let mut bad = good.clone();
    bad[200] ^= 1;
    let error = Inode::parse(geo, number, &bad).unwrap_err();
    assert!(error.is_checksum(), "{error:?}");
    // Mappings: order, length, place, and count.
    let first = 176;
    let mappings: &[(&str, Change)] = &[
        ("record order", &|b| b.copy_within(176..192, 192)),
        ("blockcount", &|b| {
            b[176 + 13] &= 0xe0;
            b[176 + 14..192].fill(0);
        }),
        ("startblock", &|b| b[176 + 7] |= 1),
        ("startblock", &|b| {
            b[176 + 8..176 + 13].fill(0);
            b[176 + 13] &= 0x1f;
        }),
    ];
    assert!(good.len() > first);
    for (field, change) in mappings {
        let mut bad = good.clone();
        change(&mut bad);
        seal(&mut bad);
        match Inode::parse(geo, number, &bad).expect_err(field) {
            Error::Corrupt(corruption) => assert_eq!(corruption.fault.field, *field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn files_map_as_the_tree_was_written() {
    // The sparse file of 60 pieces, each of 5000 bytes, one every 128 KiB.
    for shape in SHAPES.iter().filter(|shape| shape.filled.is_some()) {
        let store = open(&Image::of(shape));
        let geo = store.geometry();
        let step = (1 << 17) >> geo.block_log;
        let inode = all_inodes(&store)
            .into_iter()
            .map(|n| read(&store, n))
            .find(|inode| inode.core.size == 59 * (1 << 17) + 5_000)
            .expect("the file of 60 pieces");
        let piece = 5_000_u64.div_ceil(geo.block_size.into());
        for i in 0..59 {
            let at = FileBlock(i * step);
            let Ok(Segment::Mapped(Mapping { offset, len, .. })) =
                map_blocks(&inode, WhichFork::Data, at, step)
            else {
                panic!("{}: nothing at {at}", shape.name);
            };
            // The host's own file may keep more than was written.
            assert_eq!(offset, at);
            assert!((piece..=step).contains(&len), "{}: {len}", shape.name);
            if len < step {
                let offset = FileBlock(at.0 + len);
                let len = step - len;
                assert_eq!(
                    map_blocks(&inode, WhichFork::Data, offset, step),
                    Ok(Segment::Hole { offset, len })
                );
            }
        }
    }
}

#[test]
fn targets_are_read_in_both_forms() {
    let mut local = 0;
    let mut remote = 0;
    for shape in SHAPES.iter().filter(|shape| shape.filled.is_some()) {
        let store = open(&Image::of(shape));
        for number in all_inodes(&store) {
            let inode = read(&store, number);
            if inode.core.file_type() != Some(FileType::Symlink) {
                assert_eq!(symlink::read_target(&store, &inode), Err(Error::Invalid));
                continue;
            }
            match inode.data {
                Fork::Local(_) => local += 1,
                _ => remote += 1,
            }
            let target = symlink::read_target(&store, &inode).unwrap();
            assert_eq!(target.len() as u64, inode.core.size);
            assert!(target.iter().all(|&byte| byte != 0));
        }
    }
    assert!(local > 100 && remote > 100, "{local} {remote}");
}

#[test]
fn times_reach_both_ends_of_both_forms() {
    for sec in [i64::from(i32::MIN), -1, 0, 1, i64::from(i32::MAX)] {
        let time = Timestamp {
            sec,
            nsec: 999_999_999,
        };
        for bigtime in [false, true] {
            assert_eq!(Timestamp::from_disk(time.to_disk(bigtime), bigtime), time);
        }
    }
    // 2486-07-02 20:20:24 UTC.
    assert_eq!(Timestamp::BIGTIME_MAX, 16_299_260_424);
    let last = Timestamp {
        sec: Timestamp::BIGTIME_MAX,
        nsec: 5,
    };
    assert_eq!(Timestamp::from_disk(last.to_disk(true), true), last);
    assert_eq!(
        Timestamp::from_disk(last.to_disk(false), false).sec,
        Timestamp::LEGACY_MAX
    );
    assert_eq!(Timestamp::from_disk(0, true).sec, Timestamp::MIN);
    assert_eq!(
        Timestamp::from_disk(u64::from(u32::MAX), false).nsec,
        999_999_999
    );
}

#[test]
fn device_numbers_come_back() {
    for (major, minor) in [(0, 0), (8, 1), (511, (1 << 18) - 1), (259, 70_000)] {
        let number = DeviceNumber { major, minor };
        assert_eq!(DeviceNumber::from_disk(number.to_disk()), number);
    }
    assert_eq!(
        DeviceNumber::from_disk((8 << 18) | 3),
        DeviceNumber { major: 8, minor: 3 }
    );
}

#[test]
fn any_change_to_an_inode_ends_in_an_inode_or_an_error() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    };
    for name in ["default", "no-nrext64", "rt-groups", "inode-2048"] {
        let store = open(&Image::of(named(name)));
        let geo = store.geometry();
        let all = all_inodes(&store);
        let mut refused = 0;
        for number in all.iter().step_by(all.len().div_ceil(400)) {
            let place = locate(&store, *number, Trust::Trusted).unwrap();
            let run = cluster_run(&store, place).unwrap();
            let block = store.read(Device::Data, run, Kind::InodeCluster).unwrap();
            let good = inode_bytes(geo, &block, place).unwrap();
            for _ in 0..60 {
                let mut bad = good.to_vec();
                for _ in 0..1 + below(3) {
                    // Half of the changes in the core.
                    let len = if below(2) == 0 { 176 } else { bad.len() };
                    let at = below(len);
                    bad[at] = match below(3) {
                        0 => 0,
                        1 => 0xff,
                        _ => below(256) as u8,
                    };
                }
                seal(&mut bad);
                match Inode::parse(geo, *number, &bad) {
                    Ok(mut inode) => {
                        for which in [WhichFork::Data, WhichFork::Attr] {
                            let _ = inode.load_extents(&store, which);
                        }
                        let _ = symlink::read_target(&store, &inode);
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 1_000, "{name}: {refused}");
    }
}
