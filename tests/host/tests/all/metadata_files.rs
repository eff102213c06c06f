// SPDX-License-Identifier: GPL-2.0

//! Files of the file system itself: the metadata directory tree, quota, and the realtime section.

use std::sync::Arc;
use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::{Disk, Disks, ImageStore, Overlay},
    libxfs::{
        error::Error,
        extents::State,
        format::{
            inode::{FileType, MetaType},
            quota::QuotaType,
            rt::{extents_of, extents_per_block, summary_levels},
            units::{RtExtent, RtGroup},
        },
        inode::{Inode, WhichFork},
        metadir, quota,
        rt::{self, FreeRun, GroupFile},
        store::Store,
    },
};

fn open(image: &Image) -> ImageStore {
    ImageStore::open(image.disks()).unwrap_or_else(|e| panic!("{}: {e}", image.shape.name))
}

/// All groups; `None` stands for a section without.
fn groups(store: &ImageStore) -> Vec<Option<RtGroup>> {
    match store.geometry().rt_group_count {
        0 if store.geometry().features.metadir() => Vec::new(),
        0 => vec![None],
        count => (0..count).map(RtGroup).map(Some).collect(),
    }
}

fn free_of(store: &ImageStore, bitmap: &Inode, group: Option<RtGroup>) -> Vec<FreeRun> {
    let end = RtExtent(u64::MAX);
    let mut runs = rt::free_runs(store, bitmap, group, RtExtent(0), end).unwrap();
    let mut all = Vec::new();
    while let Some(run) = runs.next().unwrap() {
        all.push(run);
    }
    all
}

#[test]
fn the_tree_is_there_with_the_feature_alone() {
    for shape in SHAPES {
        let store = open(&Image::of(shape));
        match metadir::root(&store) {
            Ok(root) => {
                assert!(store.geometry().features.metadir());
                assert_eq!(root.core.file_type(), Some(FileType::Directory));
                assert!(root.core.is_metadata());
                assert_eq!(root.core.metatype, MetaType::Directory);
                assert_eq!(
                    metadir::child(&store, &root, b"nothing", MetaType::RtRmap).err(),
                    Some(Error::NotFound)
                );
            }
            Err(error) => {
                assert_eq!(error, Error::NotFound, "{}", shape.name);
                assert!(!store.geometry().features.metadir());
            }
        }
    }
}

#[test]
fn an_inode_that_is_for_something_else_is_refused() {
    let store = open(&Image::of(named("metadir")));
    let geo = store.geometry();
    let field = |number, meta_type| match metadir::read_inode(&store, number, meta_type) {
        Err(Error::Corrupt(corruption)) => corruption.fault.field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(geo.root_inode, MetaType::Directory), "di_flags2");
    assert_eq!(field(geo.root_inode, MetaType::RtBitmap), "di_mode");
    assert_eq!(
        field(geo.metadir_inode.unwrap(), MetaType::UserQuota),
        "di_mode"
    );
}

#[test]
fn quota_files_of_a_new_file_system_count_for_root() {
    let store = open(&Image::of(named("quota")));
    for quota_type in QuotaType::ALL {
        let file = match quota::open(&store, quota_type) {
            Ok(file) => file,
            // mkfs.xfs may leave making them to the first mount.
            Err(Error::NotFound) => continue,
            Err(other) => panic!("{quota_type:?}: {other:?}"),
        };
        let mut id = Some(0);
        while let Some(from) = id {
            let next = quota::next(&store, &file, quota_type, from).unwrap();
            if let Some(next) = next {
                assert!(next.id >= from);
                let same = quota::read(&store, &file, quota_type, next.id).unwrap();
                assert_eq!(same, Some(next));
            }
            id = next.and_then(|next| next.id.checked_add(1));
        }
        assert_eq!(quota::read(&store, &file, quota_type, u32::MAX), Ok(None));
    }
    for name in ["default", "metadir"] {
        let store = open(&Image::of(named(name)));
        for quota_type in QuotaType::ALL {
            assert_eq!(
                quota::open(&store, quota_type).err(),
                Some(Error::NotFound),
                "{name}"
            );
        }
    }
}

#[test]
fn the_free_space_of_the_realtime_section_adds_up() {
    for shape in SHAPES.iter().filter(|shape| shape.rt) {
        let image = Image::of(shape);
        let store = open(&image);
        let geo = store.geometry();
        rt::check_superblock(&store).unwrap_or_else(|e| panic!("{}: {e:?}", shape.name));
        if geo.features.zoned() {
            for group in groups(&store) {
                let bitmap = rt::open(&store, group, GroupFile::Bitmap);
                assert_eq!(bitmap.err(), Some(Error::NotFound));
            }
            continue;
        }
        let mut total = 0;
        for group in groups(&store) {
            let bitmap = rt::open(&store, group, GroupFile::Bitmap).unwrap();
            let summary = rt::open(&store, group, GroupFile::Summary).unwrap();
            let free = free_of(&store, &bitmap, group);
            total += free.iter().map(|run| run.len).sum::<u64>();
            same_summary(&store, &summary, &free, group);
        }
        let sb = image.fields(&["sb 0", "p"]);
        assert_eq!(total, sb["frextents"], "{}", shape.name);
    }
}

/// Holds a summary to the free runs of its bitmap.
fn same_summary(store: &ImageStore, summary: &Inode, free: &[FreeRun], group: Option<RtGroup>) {
    let geo = store.geometry();
    let blocks = extents_of(geo, group)
        .unwrap()
        .div_ceil(extents_per_block(geo));
    for level in 0..summary_levels(geo) {
        for block in 0..blocks {
            let expected = free
                .iter()
                .filter(|run| run.len.ilog2() == level)
                .filter(|run| run.start.0 / extents_per_block(geo) == block)
                .count();
            let found = rt::summary(store, summary, level, block).unwrap();
            assert_eq!(found as usize, expected, "{level} {block}");
        }
    }
    assert_eq!(
        rt::summary(store, summary, summary_levels(geo), 0),
        Err(Error::Invalid)
    );
    assert_eq!(
        rt::summary(store, summary, 0, blocks + 9),
        Err(Error::Invalid)
    );
}

#[test]
fn owners_and_free_extents_share_the_groups_out() {
    let mut seen = 0;
    for shape in SHAPES.iter().filter(|shape| shape.rt) {
        let store = open(&Image::of(shape));
        let geo = store.geometry();
        for group in groups(&store).into_iter().flatten() {
            let rmap = match rt::open(&store, Some(group), GroupFile::Rmap) {
                Ok(inode) => inode,
                Err(error) => {
                    assert_eq!(error, Error::NotFound);
                    assert!(!GroupFile::Rmap.is_present(geo));
                    continue;
                }
            };
            let mut owned = 0;
            let mut cursor = rt::rmap(&store, group, &rmap).unwrap();
            let mut record = cursor.seek_first().unwrap();
            while let Some(found) = record {
                owned += u64::from(found.count);
                record = cursor.next().unwrap();
            }
            assert_eq!(
                rt::refcount(&store, group, &rmap).err(),
                Some(Error::Invalid)
            );
            if let Ok(inode) = rt::open(&store, Some(group), GroupFile::Refcount) {
                let mut cursor = rt::refcount(&store, group, &inode).unwrap();
                assert_eq!(cursor.seek_first(), Ok(None));
            }
            if let Ok(bitmap) = rt::open(&store, Some(group), GroupFile::Bitmap) {
                let free: u64 = free_of(&store, &bitmap, Some(group))
                    .iter()
                    .map(|run| run.len * u64::from(geo.rt_extent_size))
                    .sum();
                let length = geo.rt_group_length(group).unwrap();
                assert_eq!(owned + free, length, "{} {group}", shape.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 4);
}

/// The store of a section without groups, whose bitmap has these bits.
fn with_bits(image: &Image, bits: &[bool]) -> ImageStore {
    let store = open(image);
    let bitmap = rt::open(&store, None, GroupFile::Bitmap).unwrap();
    let geo = store.geometry();
    let mut overlay = Overlay::new(image.disks().data);
    for mapping in bitmap.extents(WhichFork::Data).unwrap().iter() {
        assert_eq!(mapping.state, State::Normal);
        let per_block = extents_per_block(geo) as usize;
        let first = mapping.offset.0 as usize * per_block;
        let last = (first + mapping.len as usize * per_block).min(bits.len());
        let mut bytes = vec![0; mapping.len as usize * geo.block_size as usize];
        for (at, _) in bits[first..last]
            .iter()
            .enumerate()
            .filter(|(_, bit)| **bit)
        {
            bytes[at / 8] |= 1 << (at % 8);
        }
        let at = geo.fs_block_addr(mapping.start.data()).unwrap();
        overlay.write_at(at.0 * 512, &bytes).unwrap();
    }
    let data: Arc<dyn Disk> = Arc::new(overlay);
    ImageStore::open(Disks {
        data,
        ..image.disks()
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn free_runs_are_those_of_the_bits() {
    let image = Image::of(named("rt"));
    let extents = open(&image).geometry().rt_extents as usize;
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for longest in [3, 40, 5_000] {
        let mut bits = Vec::new();
        let mut free = false;
        while bits.len() < extents {
            let len = 1 + next() as usize % longest;
            bits.extend(std::iter::repeat_n(free, len));
            free = !free;
        }
        bits.truncate(extents);
        let store = with_bits(&image, &bits);
        let bitmap = rt::open(&store, None, GroupFile::Bitmap).unwrap();
        for _ in 0..30 {
            let from = next() as usize % extents;
            let end = (from + next() as usize % 9_000).min(extents);
            let mut found = vec![false; extents];
            let (low, high) = (RtExtent(from as u64), RtExtent(end as u64));
            let mut runs = rt::free_runs(&store, &bitmap, None, low, high).unwrap();
            let mut last = None;
            while let Some(run) = runs.next().unwrap() {
                assert!(run.len > 0 && last < Some(run.start.0));
                let (start, len) = (run.start.0 as usize, run.len as usize);
                last = Some(run.start.0 + run.len);
                found[start..start + len].fill(true);
            }
            assert_eq!(&found[from..end], &bits[from..end]);
            assert_eq!(found.iter().filter(|bit| **bit).count(), {
                bits[from..end].iter().filter(|bit| **bit).count()
            });
            let all = bits[from..end].iter().all(|bit| *bit);
            assert_eq!(rt::is_free(&store, &bitmap, None, low, high), Ok(all));
        }
    }
}
