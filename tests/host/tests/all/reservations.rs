// SPDX-License-Identifier: GPL-2.0

//! Log reservations are those that `xfs_db` computes, to the byte, on every shape.

use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::ImageStore,
    libxfs::{
        format::rt,
        inode::WhichFork,
        store::Store,
        trans::{space, LogReservation, LogReservations},
    },
};

/// Ours, in the order in which `xfs_db` has them.
fn ours(all: &LogReservations) -> Vec<(&'static str, LogReservation)> {
    vec![
        ("tr_write", all.write),
        ("tr_itruncate", all.truncate),
        ("tr_rename", all.rename),
        ("tr_link", all.link),
        ("tr_remove", all.remove),
        ("tr_symlink", all.symlink),
        ("tr_create", all.create),
        ("tr_create_tmpfile", all.create_tmpfile),
        ("tr_mkdir", all.mkdir),
        ("tr_ifree", all.inode_free),
        ("tr_ichange", all.inode_change),
        ("tr_growdata", all.grow_data),
        ("tr_addafork", all.add_attr_fork),
        ("tr_writeid", all.write_id),
        ("tr_attrinval", all.attr_invalidate),
        ("tr_attrsetm", all.attr_set_base),
        ("tr_attrsetrt", all.attr_set_block),
        ("tr_attrrm", all.attr_remove),
        ("tr_clearagi", all.clear_unlinked),
        ("tr_growrtalloc", all.grow_rt_alloc),
        ("tr_growrtzero", all.grow_rt_zero),
        ("tr_growrtfree", all.grow_rt_free),
        ("tr_qm_setqlim", all.quota_set),
        ("tr_qm_dqalloc", all.quota_alloc),
        ("tr_sb", all.superblock),
        ("tr_fsyncts", all.times),
        ("tr_atomic_ioend", all.atomic_write),
    ]
}

/// What `xfs_db` prints, in that order: bytes, count, and whether the chain may roll.
fn theirs(text: &str) -> Vec<(u32, u32, bool)> {
    let lines = text.lines().filter(|line| line.starts_with("type "));
    lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let field = |name: &str| {
                let at = words.iter().position(|&word| word == name).unwrap();
                words[at + 1]
            };
            let number = |name| field(name).parse().unwrap();
            (
                number("logres"),
                number("logcount"),
                field("flags") != "0x0",
            )
        })
        .collect()
}

#[test]
fn log_reservations_are_those_of_the_c_driver() {
    let mut wrong = Vec::new();
    for shape in SHAPES {
        let image = Image::small(shape);
        let store = ImageStore::open(image.disks()).unwrap();
        let ours = ours(&LogReservations::new(store.geometry()).unwrap());
        let theirs = theirs(&image.db(&["logres"]));
        assert_eq!(theirs.len(), ours.len());
        for ((name, reservation), (mut bytes, count, permanent)) in ours.into_iter().zip(theirs) {
            // xfs_db adds up before it knows how long the summary is, the kernel after.
            if name == "tr_growrtfree" {
                let geo = store.geometry();
                bytes += rt::summary_blocks(geo) as u32 * geo.block_size;
            }
            // One that cannot roll has at times no count in C.
            let expected = LogReservation {
                bytes,
                count: count.max(1),
                permanent,
            };
            if reservation != expected {
                wrong.push((shape.name, name, reservation, expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn block_reservations_are_the_worst_case() {
    let geometry = |name| {
        let image = Image::small(named(name));
        let store = ImageStore::open(image.disks()).unwrap();
        store.geometry().clone()
    };
    // A map of 2^48 extents in blocks of 4 KiB has seven levels, one of 2^31 has five, and so has an
    // attribute fork's of 2^32. A directory's change adds a block of each of five levels, one of
    // data and one of the free index; an attribute's only the five.
    let large = geometry("default");
    assert_eq!(space::extent_add(&large, WhichFork::Data), 6);
    assert_eq!(space::da_enter(&large, WhichFork::Data), 7 + 7 * 6);
    assert_eq!(space::da_remove(&large, WhichFork::Data), 7 * 6);
    assert_eq!(space::da_enter(&large, WhichFork::Attr), 5 + 5 * 4);
    assert_eq!(space::parent_add(&large, 255), 25 + 2 * 4);
    assert_eq!(space::link(&large, 255), 49 + 33);
    assert_eq!(space::rename(&large, 1, 255, true, false), 49 + 42 + 3 * 33);
    assert_eq!(space::chunk_blocks(&large), 8);
    let small = geometry("no-nrext64");
    assert_eq!(space::extent_add(&small, WhichFork::Data), 4);
    assert_eq!(space::da_enter(&small, WhichFork::Data), 7 + 7 * 4);
    // A directory block of 64 blocks is mapped by as many extents at the worst.
    let wide = geometry("block-1k-dir-64k");
    assert_eq!(
        space::da_remove(&wide, WhichFork::Data),
        7 * 2 * space::extent_add(&wide, WhichFork::Data)
    );
    let bare = geometry("bare");
    assert_eq!(space::parent_add(&bare, 255), 0);
    assert_eq!(space::inode_free(&bare), 0);
    assert_eq!(space::rmaps_add(&bare, 100), 0);
}
