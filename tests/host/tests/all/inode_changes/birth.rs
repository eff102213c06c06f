// SPDX-License-Identifier: GPL-2.0

//! What a new inode gets from its directory.

use super::{named, shape};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use xfs_host::{
    fixture::{self, Image, Shape},
    image::ImageStore,
    libxfs::{
        format::{
            inode::{
                flags::{Flags, Flags2},
                time::Timestamp,
                Dinode, FileType,
            },
            units::Lsn,
        },
        inode::{
            create::{self, New, INHERITED},
            encode, DeviceNumber, Inode, Trust,
        },
        store::Store,
        trans::InodeFields,
    },
};

static WITH_RT: Shape = Shape {
    rt: true,
    filled: None,
    ..shape(
        "inodes-rt",
        &["-m", "metadir=0,reflink=0", "-r", "extsize=64k"],
    )
};

fn store(shape: &'static Shape) -> ImageStore {
    ImageStore::open(Image::of(shape).disks()).unwrap()
}

/// What is inherited from the root directory with those flags and hints.
fn child(
    store: &ImageStore,
    mode: u16,
    (flags, flags2): (u16, u64),
    (extsize, cowextsize): (u32, u32),
    inherited: u16,
) -> Inode {
    let geo = store.geometry();
    let mut parent = Inode::read(store, geo.root_inode, Trust::Trusted).unwrap();
    parent.core.flags = Flags(flags);
    parent.core.flags2.0 |= flags2;
    parent.core.extsize = extsize;
    parent.core.cowextsize = cowextsize;
    parent.core.projid = 77;
    let number = geo.root_inode.checked_add(9).unwrap();
    let new = New {
        mode,
        uid: 3,
        gid: 4,
        parent: Some(&parent.core),
        device: DeviceNumber { major: 8, minor: 1 },
        now: Timestamp { sec: 9, nsec: 8 },
        generation: 7,
        nameless: false,
        attr_fork: mode % 2 == 0,
        inherited,
    };
    create::new(geo, number, &new).unwrap()
}

/// What of a directory a new inode may inherit, and what the inode is.
fn families() -> impl Strategy<Value = (u16, (u16, u64), (u32, u32))> {
    let types = [
        0o010_000u16,
        0o020_000,
        0o040_000,
        0o060_000,
        0o100_000,
        0o120_000,
        0o140_000,
    ];
    let mode = (select(types.to_vec()), 0u16..0o10_000).prop_map(|(kind, rest)| kind | rest);
    let hint = || prop_oneof![0u32..40, any::<u32>()];
    (mode, (any::<u16>(), 0u64..8), (hint(), hint()))
}

#[test]
fn a_new_inode_keeps_every_rule_whatever_its_directory_says() {
    for shape in [&WITH_RT, named("inodes-4k")] {
        let store = store(shape);
        let geo = store.geometry();
        let kept = TestRunner::default().run(&families(), |(mode, flags, hints)| {
            let mut inode = child(&store, mode, flags, hints, INHERITED);
            let file_type = FileType::from_mode(mode);
            if matches!(file_type, Some(FileType::Directory | FileType::Symlink)) {
                // These never have nothing in them while they have a name.
                inode.core.nlink = 0;
            }
            let mut slot = vec![0; geo.inode_size as usize];
            encode::to_slot(geo, &inode, InodeFields::ALL, Lsn(0), &mut slot).unwrap();
            let verified = Dinode::verified(geo, inode.number, &slot);
            prop_assert!(verified.is_ok(), "{:?}: {:?}", verified.err(), inode.core);
            Ok(())
        });
        kept.unwrap();
    }
}

#[test]
fn flags_hints_and_projects_are_inherited_as_administrators_expect() {
    let store = store(&WITH_RT);
    let all = Flags::RTINHERIT | Flags::PROJINHERIT | Flags::EXTSZINHERIT | INHERITED;
    let never = Flags::IMMUTABLE | Flags::APPEND | Flags::PREALLOC;
    let flags = (all | never, 0);

    let dir = child(&store, 0o040_755, flags, (16, 0), INHERITED).core;
    assert_eq!(dir.flags, Flags(all));
    assert_eq!((dir.projid, dir.extsize, dir.nlink), (77, 16, 2));

    let file = child(&store, 0o100_644, flags, (16, 0), INHERITED).core;
    let own = Flags::REALTIME | Flags::EXTSIZE | INHERITED;
    assert_eq!(file.flags, Flags(own));
    assert_eq!((file.projid, file.extsize, file.nlink), (77, 16, 1));
    // A hint that does not fit realtime extents of 16 blocks is dropped.
    let file = child(&store, 0o100_644, flags, (17, 0), INHERITED).core;
    assert_eq!(
        (file.flags, file.extsize),
        (Flags(own & !Flags::EXTSIZE), 0)
    );
    let file = child(
        &store,
        0o100_644,
        flags,
        (16, 0),
        INHERITED & !Flags::NODUMP,
    )
    .core;
    assert!(!file.flags.has(Flags::NODUMP) && file.flags.has(Flags::NOATIME));

    for mode in [0o120_777, 0o010_644] {
        let other = child(&store, mode, flags, (16, 0), INHERITED).core;
        assert_eq!(
            (other.flags, other.extsize, other.projid),
            (Flags(0), 0, 77)
        );
    }
    let plain = child(&store, 0o100_644, (0, 0), (0, 0), INHERITED).core;
    assert_eq!(
        (plain.projid, plain.changecount, plain.generation),
        (0, 1, 7)
    );
    let now = Timestamp { sec: 9, nsec: 8 };
    assert_eq!(
        [plain.atime, plain.mtime, plain.ctime, plain.crtime],
        [now; 4]
    );
    assert!(plain.flags2.has(Flags2::BIGTIME) && plain.flags2.has(Flags2::NREXT64));

    let shared = fixture::named("empty");
    let shared = ImageStore::open(Image::of(shared).disks()).unwrap();
    let hinted = (0, Flags2::COWEXTSIZE | Flags2::DAX);
    for mode in [0o040_755, 0o100_644] {
        let core = child(&shared, mode, hinted, (0, 32), INHERITED).core;
        assert!(core.flags2.has(Flags2::COWEXTSIZE) && core.flags2.has(Flags2::DAX));
        assert_eq!(core.cowextsize, 32);
    }
}
