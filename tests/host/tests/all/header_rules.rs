// SPDX-License-Identifier: GPL-2.0

//! Superblocks and group headers with one field changed and the checksum set right: each broken
//! rule is told by the field's name, and each reason not to mount by its own.

use xfs_host::{
    fixture::{named, Image},
    image::ImageStore,
    libxfs::{
        format::{
            ag::{
                agf::{self, DiskAgf},
                agfl,
                agi::{self, DiskAgi},
            },
            crc,
            fault::{Fault, FaultKind},
            geometry::{Features, Geometry},
            kind::Kind,
            sb::{self, DiskSuperblock, Mount, Refusal},
            units::{AgNumber, DiskAddr},
        },
        store::{Device, Run, Store},
    },
};
use zerocopy::FromBytes;

fn sector(store: &ImageStore, ag: u32, index: u32) -> (DiskAddr, Vec<u8>) {
    let geo = store.geometry();
    let at = geo.ag_header_addr(AgNumber(ag), index).unwrap();
    let len = geo.sector_size / 512;
    let block = store.read(Device::Data, Run { at, len }, Kind::Raw);
    (at, block.unwrap().to_vec())
}

fn open(shape: &str) -> ImageStore {
    ImageStore::open(Image::of(named(shape)).disks()).unwrap()
}

/// Changes one field of a structure at the start of `bytes` and sets the checksum right.
fn with<T: FromBytes + zerocopy::IntoBytes + zerocopy::KnownLayout>(
    bytes: &[u8],
    crc_offset: usize,
    change: impl FnOnce(&mut T),
) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(T::mut_from_prefix(&mut bytes).unwrap().0);
    crc::set_block_crc(&mut bytes, crc_offset);
    bytes
}

#[test]
fn each_rule_of_the_superblock_is_held() {
    type Change = fn(&mut DiskSuperblock);
    let (_, plain) = sector(&open("default"), 0, 0);
    let (_, groups) = sector(&open("rt-groups"), 0, 0);
    let (_, stripes) = sector(&open("stripes"), 0, 0);
    assert!(sb::verify(&plain).is_ok());
    let cases: &[(&[u8], &str, Change)] = &[
        (&plain, "versionnum", |sb| sb.versionnum.set(5)),
        (&plain, "features2", |sb| sb.features2.set(0)),
        (&plain, "sectlog", |sb| sb.sectlog = 8),
        (&plain, "sectsize", |sb| sb.sectlog = 10),
        (&plain, "blocklog", |sb| sb.blocklog = 17),
        (&plain, "blocksize", |sb| sb.blocksize.set(4095)),
        (&plain, "dirblklog", |sb| sb.dirblklog = 5),
        (&plain, "inodelog", |sb| sb.inodelog = 8),
        (&plain, "inodesize", |sb| sb.inodesize.set(511)),
        (&plain, "inopblog", |sb| sb.inopblog = 2),
        (&plain, "inopblock", |sb| sb.inopblock.set(9)),
        (&plain, "agblocks", |sb| sb.agblocks.set(0)),
        (&plain, "agblocks", |sb| sb.agblocks.set(u32::MAX)),
        (&plain, "agblklog", |sb| sb.agblklog = 63),
        (&plain, "agcount", |sb| sb.agcount.set(0)),
        (&plain, "dblocks", |sb| sb.dblocks.set(0)),
        (&plain, "dblocks", |sb| sb.dblocks.set(u64::MAX)),
        (&plain, "dblocks", |sb| sb.agcount.set(u32::MAX)),
        (&plain, "inoalignmt", |sb| sb.inoalignmt.set(0)),
        (&plain, "spino_align", |sb| sb.spino_align.set(3)),
        (&plain, "logblocks", |sb| sb.logblocks.set(u32::MAX)),
        (&plain, "logblocks", |sb| sb.logblocks.set(300_000)),
        (&plain, "logstart", |sb| sb.logstart.set(u64::MAX)),
        (&plain, "logsectsize", |sb| sb.logsectsize.set(512)),
        (&stripes, "logsunit", |sb| sb.logsunit.set(32_769)),
        (&stripes, "logsunit", |sb| sb.logsunit.set(1 << 20)),
        (&plain, "rextsize", |sb| sb.rextsize.set(0)),
        (&plain, "rextsize", |sb| sb.rextsize.set(u32::MAX)),
        (&plain, "rextents", |sb| sb.rextents.set(1)),
        (&plain, "frextents", |sb| sb.frextents.set(1)),
        (&groups, "rextents", |sb| sb.rblocks.set(1 << 40)),
        (&groups, "rextslog", |sb| sb.rextslog = 3),
        (&groups, "rbmblocks", |sb| sb.rbmblocks.set(0)),
        (&groups, "rgextents", |sb| sb.rgextents.set(1)),
        (&groups, "rgextents", |sb| sb.rgextents.set(u32::MAX)),
        (&groups, "rgcount", |sb| sb.rgcount.set(7)),
        (&groups, "rgblklog", |sb| sb.rgblklog = 31),
        (&groups, "pad", |sb| sb.pad[6] = 1),
        (&stripes, "unit", |sb| sb.unit.set(0)),
        (&stripes, "width", |sb| sb.width.set(3)),
        (&stripes, "width", |sb| sb.width.set(u32::MAX)),
        (&plain, "width", |sb| sb.width.set(16)),
        (&plain, "qflags", |sb| sb.qflags.set(0x10)),
        (&plain, "shared_vn", |sb| sb.shared_vn = 1),
        (&plain, "imax_pct", |sb| sb.imax_pct = 101),
    ];
    for &(bytes, field, change) in cases {
        let changed = with(bytes, sb::CRC_OFFSET, change);
        let expected = Refusal::Corrupt(Fault::corrupt("superblock", field));
        assert_eq!(sb::verify(&changed).unwrap_err(), expected);
    }
}

#[test]
fn each_reason_not_to_mount_is_told_by_itself() {
    type Change = fn(&mut DiskSuperblock);
    let (_, plain) = sector(&open("default"), 0, 0);
    let (_, rt) = sector(&open("rt-groups"), 0, 0);
    let (_, log) = sector(&open("external-log"), 0, 0);
    let nothing: Change = |_| {};
    let plain_mount = Mount {
        read_only: false,
        no_recovery: false,
        log_device: false,
        rt_device: false,
        device_sector_size: 512,
        block_size_limit: 65_536,
    };
    let refused = |bytes: &[u8], change: Change, mount: Mount| {
        let changed = with(bytes, sb::CRC_OFFSET, change);
        let found = sb::verify(&changed).and_then(|sb| sb.admit(&mount));
        if let Err(refusal) = found {
            let line = refusal.to_string();
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
        found.err()
    };
    let read_only = Mount {
        read_only: true,
        ..plain_mount
    };

    assert_eq!(refused(&plain, nothing, plain_mount), None);
    assert_eq!(
        refused(&plain, |sb| sb.magicnum.set(1), plain_mount),
        Some(Refusal::NotXfs)
    );
    assert_eq!(sb::verify(&[0; 100]).unwrap_err(), Refusal::NotXfs);
    assert_eq!(
        refused(&plain, |sb| sb.versionnum.set(0xb4a4), plain_mount),
        Some(Refusal::Version(4))
    );
    let incompat: Change = |sb| {
        sb.features_incompat
            .set(sb.features_incompat.get() | 1 << 30)
    };
    assert_eq!(
        refused(&plain, incompat, read_only),
        Some(Refusal::UnknownIncompat(1 << 30))
    );
    let ro: Change = |sb| {
        sb.features_ro_compat
            .set(sb.features_ro_compat.get() | 1 << 31)
    };
    assert_eq!(
        refused(&plain, ro, plain_mount),
        Some(Refusal::UnknownRoCompat(1 << 31))
    );
    assert_eq!(refused(&plain, ro, read_only), None);
    let compat: Change = |sb| sb.features_compat.set(u32::MAX);
    assert_eq!(refused(&plain, compat, plain_mount), None);
    let repair: Change = |sb| {
        let set = sb.features_incompat.get() | Features::NEEDS_REPAIR;
        sb.features_incompat.set(set);
    };
    assert_eq!(
        refused(&plain, repair, read_only),
        Some(Refusal::NeedsRepair)
    );
    let no_recovery = Mount {
        no_recovery: true,
        ..read_only
    };
    assert_eq!(refused(&plain, repair, no_recovery), None);
    assert_eq!(
        refused(&plain, |sb| sb.inprogress = 1, plain_mount),
        Some(Refusal::InProgress)
    );
    let with_log = Mount {
        log_device: true,
        ..plain_mount
    };
    assert_eq!(
        refused(&plain, nothing, with_log),
        Some(Refusal::LogDeviceSurplus)
    );
    assert_eq!(
        refused(&log, nothing, plain_mount),
        Some(Refusal::LogDeviceMissing)
    );
    assert_eq!(refused(&log, nothing, with_log), None);
    assert_eq!(
        refused(&rt, nothing, plain_mount),
        Some(Refusal::RealtimeDeviceMissing)
    );
    let large_sectors = Mount {
        device_sector_size: 4096,
        ..plain_mount
    };
    assert_eq!(
        refused(&plain, nothing, large_sectors),
        Some(Refusal::SectorSize {
            device: 4096,
            file_system: 512
        })
    );
    let small_blocks = Mount {
        block_size_limit: 2048,
        ..plain_mount
    };
    assert_eq!(
        refused(&plain, nothing, small_blocks),
        Some(Refusal::BlockSize {
            block: 4096,
            limit: 2048
        })
    );
    let mut torn = plain.clone();
    torn[120] ^= 1;
    let refusal = sb::verify(&torn).unwrap_err();
    assert_eq!(refusal.fault().kind, FaultKind::Checksum);
}

fn field<T>(found: Result<T, Fault>) -> &'static str {
    match found {
        Ok(_) => "",
        Err(fault) => {
            assert_eq!(fault.kind, FaultKind::Corrupt);
            fault.field
        }
    }
}

#[test]
fn each_rule_of_the_group_headers_is_held() {
    let store = open("default");
    let geo: &Geometry = store.geometry();
    let last = geo.ag_count - 1;
    let (at, bytes) = sector(&store, last, 1);
    let agf_field = |change: fn(&mut DiskAgf)| {
        field(agf::verify(geo, at, &with(&bytes, agf::CRC_OFFSET, change)))
    };
    assert_eq!(agf_field(|_| {}), "");
    assert_eq!(agf_field(|agf| agf.magicnum.set(0)), "magicnum");
    assert_eq!(agf_field(|agf| agf.versionnum.set(2)), "versionnum");
    assert_eq!(agf_field(|agf| agf.uuid[0] ^= 1), "uuid");
    assert_eq!(agf_field(|agf| agf.seqno.set(0)), "seqno");
    assert_eq!(agf_field(|agf| agf.length.set(63)), "length");
    assert_eq!(agf_field(|agf| agf.length.set(u32::MAX)), "length");
    assert_eq!(agf_field(|agf| agf.bno_root.set(0)), "bno_root");
    assert_eq!(agf_field(|agf| agf.cnt_root.set(u32::MAX)), "cnt_root");
    assert_eq!(agf_field(|agf| agf.rmap_root.set(1 << 30)), "rmap_root");
    assert_eq!(agf_field(|agf| agf.refcount_root.set(0)), "refcount_root");
    assert_eq!(agf_field(|agf| agf.bno_level.set(0)), "bno_level");
    assert_eq!(agf_field(|agf| agf.cnt_level.set(9)), "cnt_level");
    assert_eq!(agf_field(|agf| agf.rmap_level.set(99)), "rmap_level");
    assert_eq!(agf_field(|agf| agf.refcount_level.set(0)), "refcount_level");
    assert_eq!(agf_field(|agf| agf.flfirst.set(119)), "flfirst");
    assert_eq!(agf_field(|agf| agf.fllast.set(u32::MAX)), "fllast");
    assert_eq!(agf_field(|agf| agf.flcount.set(120)), "flcount");
    assert_eq!(agf_field(|agf| agf.freeblks.set(u32::MAX)), "freeblks");
    assert_eq!(agf_field(|agf| agf.longest.set(u32::MAX)), "longest");
    assert_eq!(agf_field(|agf| agf.btreeblks.set(u32::MAX)), "btreeblks");

    let (at, bytes) = sector(&store, last, 2);
    let agi_field = |change: fn(&mut DiskAgi)| {
        field(agi::verify(geo, at, &with(&bytes, agi::CRC_OFFSET, change)))
    };
    assert_eq!(agi_field(|_| {}), "");
    assert_eq!(agi_field(|agi| agi.magicnum.set(0)), "magicnum");
    assert_eq!(agi_field(|agi| agi.seqno.set(7)), "seqno");
    assert_eq!(agi_field(|agi| agi.length.set(0)), "length");
    assert_eq!(agi_field(|agi| agi.root.set(0)), "root");
    assert_eq!(agi_field(|agi| agi.level.set(0)), "level");
    assert_eq!(agi_field(|agi| agi.free_root.set(u32::MAX)), "free_root");
    assert_eq!(agi_field(|agi| agi.free_level.set(100)), "free_level");
    assert_eq!(agi_field(|agi| agi.count.set(u32::MAX)), "count");
    assert_eq!(agi_field(|agi| agi.freecount.set(u32::MAX)), "freecount");
    assert_eq!(agi_field(|agi| agi.unlinked[63].set(0)), "unlinked");

    let (at, bytes) = sector(&store, last, 3);
    assert_eq!(field(agfl::verify(geo, at, &bytes)), "");
    for (offset, expected) in [(0, "magicnum"), (4, "seqno"), (8, "uuid"), (36, "bno")] {
        let mut changed = bytes.clone();
        changed[offset] = 0x7f;
        crc::set_block_crc(&mut changed, agfl::CRC_OFFSET);
        assert_eq!(field(agfl::verify(geo, at, &changed)), expected);
    }
    assert_eq!(field(agfl::verify(geo, at, &bytes[..35])), "size");
}
