// SPDX-License-Identifier: GPL-2.0

//! The trees of a realtime group, with their roots in metadata inodes, grow and shrink.

use crate::fork_changes::{
    times,
    world::{check_all, open, run},
};
use xfs_host::{
    fixture::{named, tree::Size, Image, Shape},
    image::ScratchDisk,
    libxfs::{
        bmap::MetaHook,
        btree::{InTrans, Path},
        format::{
            btree::{
                Domain, Node, Owner, RefcountRecord, RmapFlags, RmapRecord, RtRefcount, RtRmap,
                Tree, TreeKind,
            },
            units::{FileBlock, FsBlock, InodeNumber, RtGroup, RtGroupBlock},
        },
        inode::{Fork, Inode},
        rt::{self, GroupFile},
        trans::BlockId,
    },
};

/// With shared blocks on the realtime device.
static SHARED: Shape = Shape {
    name: "rt-groups-reflink",
    args: &["-m", "metadir=1,reflink=1", "-r", "rgcount=4"],
    log: false,
    rt: true,
    filled: Some(Size::Small),
};

const GROUP: RtGroup = RtGroup(1);

/// Levels of the tree with its root in the inode.
fn levels<T: Tree>(inode: &Inode) -> u16 {
    let Fork::Meta(root) = &inode.data else {
        panic!("{:?}", inode.data)
    };
    Node::<T>::of_root(root).unwrap().level() + 1
}

/// Holds the root's first pointer to what `xfs_db` finds, which knows where pointers lie.
fn same_pointer<T: Tree<Pointer = FsBlock>>(image: &Image, disk: &ScratchDisk, inode: &Inode) {
    let Fork::Meta(root) = &inode.data else {
        panic!("{:?}", inode.data)
    };
    let name = match T::KIND {
        TreeKind::RtRmap => "u3.rtrmapbt.ptrs[1]",
        _ => "u3.rtrefcbt.ptrs[1]",
    };
    let commands = [format!("inode {}", inode.number.0), format!("p {name}")];
    let found = image.fields_changed(&disk.snapshot(), &commands);
    let pointer = Node::<T>::of_root(root).unwrap().pointer(0).unwrap();
    assert_eq!(found.get(name), Some(&pointer.0), "{found:?}");
}

/// Puts records into a tree that is empty, commits them, and takes them out again.
fn grows_and_shrinks<T: Tree<Pointer = FsBlock, Scope = RtGroup>>(
    shape: &'static Shape,
    file: GroupFile,
    record: impl Fn(u32) -> T::Record,
) {
    let image = Image::small(shape);
    let (journal, disk) = open(&image);
    let inode = rt::open(&journal, Some(GROUP), file).unwrap();
    let (number, before) = (inode.number, inode.core.nblocks);
    assert_eq!(levels::<T>(&inode), 1);
    let mut inode = Some(Box::new(inode));
    let count = times(2000);
    for inserts in [true, false] {
        for first in (0..count).step_by(100) {
            // Nothing is claimed: nobody knows before how far a tree grows.
            run(&journal, &mut [&mut inode], 0, |trans, deferred, ids| {
                let mut path = Path::<BlockId, T>::new(GROUP, number.0);
                let hook = MetaHook {
                    deferred,
                    inode: ids[0],
                };
                let home = T::home(GROUP);
                let mut tree = InTrans { trans, hook, home };
                for n in first..first + 100 {
                    // Not in order.
                    let record = record(n * 7 % count);
                    if inserts {
                        path.insert(&mut tree, &record)?;
                    } else {
                        let found = path.lookup_eq(&mut tree, &T::key(&record))?;
                        assert_eq!(found, Some(record));
                        path.delete(&mut tree)?;
                    }
                }
                path.reset(&mut tree);
                Ok(())
            })
            .unwrap();
        }
        let held = inode.as_ref().unwrap();
        if inserts {
            assert!(levels::<T>(held) > 1);
            assert!(held.core.nblocks > before + 5);
            let read = rt::open(&journal, Some(GROUP), file).unwrap();
            assert_eq!(read.core.nblocks, held.core.nblocks);
            same_pointer::<T>(&image, &disk, &read);
        }
    }
    let held = inode.as_ref().unwrap();
    assert_eq!(levels::<T>(held), 1);
    assert_eq!(held.core.nblocks, before);
    check_all(&journal, shape.name);
    image.check_changed(&disk.snapshot());
}

#[test]
fn trees_of_realtime_groups_grow_and_shrink() {
    for shape in [named("rt-groups"), named("rt-groups-1k"), &SHARED] {
        grows_and_shrinks::<RtRmap>(shape, GroupFile::Rmap, |n| RmapRecord {
            start: RtGroupBlock(100 + 3 * n),
            count: 1,
            owner: Owner::Inode(InodeNumber(200)),
            offset: FileBlock(u64::from(n)),
            flags: RmapFlags::default(),
        });
    }
    grows_and_shrinks::<RtRefcount>(&SHARED, GroupFile::Refcount, |n| RefcountRecord {
        start: RtGroupBlock(100 + 3 * n),
        count: 1,
        references: 2,
        domain: Domain::Shared,
    });
}
