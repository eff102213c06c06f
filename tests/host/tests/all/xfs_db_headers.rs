// SPDX-License-Identifier: GPL-2.0

//! Superblocks and group headers: what libxfs reads is what `xfs_db` reads.

use std::collections::HashMap;
use xfs_host::{
    fixture::{Image, SHAPES},
    image::ImageStore,
    libxfs::{
        format::{
            ag::{agf::DiskAgf, agfl::Agfl, agi::DiskAgi},
            kind::Kind,
            sb::DiskSuperblock,
            units::AgNumber,
        },
        store::{Device, Run, Store},
    },
};

/// Opens the image of each shape.
fn for_every_shape(check: impl Fn(&Image, &ImageStore)) {
    for shape in SHAPES {
        let image = Image::of(shape);
        let store =
            ImageStore::open(image.disks()).unwrap_or_else(|e| panic!("{}: {e}", shape.name));
        check(&image, &store);
    }
}

fn header(
    store: &ImageStore,
    ag: u32,
    index: u32,
    kind: Kind,
) -> impl std::ops::Deref<Target = [u8]> {
    let geo = store.geometry();
    let run = Run {
        at: geo.ag_header_addr(AgNumber(ag), index).unwrap(),
        len: geo.sector_size / 512,
    };
    store.read(Device::Data, run, kind).unwrap()
}

/// Holds one field against another; a null pointer of 32 bits is as null as one of 64.
#[track_caller]
fn same(db: &HashMap<String, u64>, name: &str, ours: u64, place: &str) {
    let theirs = *db.get(name).unwrap_or_else(|| panic!("{place}: no {name}"));
    let null = theirs == u64::MAX && (ours == u64::from(u32::MAX));
    assert!(
        null || theirs == ours,
        "{place} {name}: {ours:#x}, not {theirs:#x}"
    );
}

macro_rules! same_fields {
    ($db:expr, $view:expr, $place:expr, $($name:literal = $($field:ident)+),* $(,)?) => {
        $( same(&$db, $name, u64::from(same_fields!(@ $view, $($field)+)), $place); )*
    };
    (@ $view:expr, $field:ident byte) => { $view.$field };
    (@ $view:expr, $field:ident) => { $view.$field.get() };
}

#[test]
fn superblocks_are_read_as_by_xfs_db() {
    for_every_shape(|image, store| {
        for ag in 0..store.geometry().ag_count {
            let db = image.fields(&[format!("sb {ag}"), "p".into()]);
            let bytes = header(store, ag, 0, Kind::Superblock);
            let sb = DiskSuperblock::view(&bytes).unwrap();
            let place = &format!("{} sb {ag}", image.shape.name);
            same_fields!(db, sb, place,
                "magicnum" = magicnum, "blocksize" = blocksize, "dblocks" = dblocks,
                "rblocks" = rblocks, "rextents" = rextents, "logstart" = logstart,
                "rootino" = rootino, "rextsize" = rextsize, "agblocks" = agblocks,
                "agcount" = agcount, "rbmblocks" = rbmblocks, "logblocks" = logblocks,
                "versionnum" = versionnum, "sectsize" = sectsize, "inodesize" = inodesize,
                "inopblock" = inopblock, "blocklog" = blocklog byte, "sectlog" = sectlog byte,
                "inodelog" = inodelog byte, "inopblog" = inopblog byte,
                "agblklog" = agblklog byte, "rextslog" = rextslog byte,
                "inprogress" = inprogress byte, "imax_pct" = imax_pct byte, "icount" = icount,
                "ifree" = ifree, "fdblocks" = fdblocks, "frextents" = frextents,
                "qflags" = qflags, "inoalignmt" = inoalignmt, "unit" = unit, "width" = width,
                "dirblklog" = dirblklog byte, "logsectlog" = logsectlog byte,
                "logsectsize" = logsectsize, "logsunit" = logsunit, "features2" = features2,
                "features_compat" = features_compat,
                "features_ro_compat" = features_ro_compat,
                "features_incompat" = features_incompat,
                "features_log_incompat" = features_log_incompat, "spino_align" = spino_align,
                "lsn" = lsn,
            );
            if store.geometry().features.metadir() {
                same_fields!(
                    db,
                    sb,
                    place,
                    "metadirino" = metadirino,
                    "rgcount" = rgcount,
                    "rgextents" = rgextents,
                );
            } else {
                same_fields!(db, sb, place, "rbmino" = rbmino, "rsumino" = rsumino);
            }
        }
    });
}

#[test]
fn free_space_headers_are_read_as_by_xfs_db() {
    for_every_shape(|image, store| {
        for ag in 0..store.geometry().ag_count {
            let db = image.fields(&[format!("agf {ag}"), "p".into()]);
            let bytes = header(store, ag, 1, Kind::Agf);
            let agf = DiskAgf::view(&bytes).unwrap();
            let place = &format!("{} agf {ag}", image.shape.name);
            same_fields!(
                db,
                agf,
                place,
                "magicnum" = magicnum,
                "versionnum" = versionnum,
                "seqno" = seqno,
                "length" = length,
                "bnoroot" = bno_root,
                "cntroot" = cnt_root,
                "bnolevel" = bno_level,
                "cntlevel" = cnt_level,
                "flfirst" = flfirst,
                "fllast" = fllast,
                "flcount" = flcount,
                "freeblks" = freeblks,
                "longest" = longest,
                "btreeblks" = btreeblks,
                "lsn" = lsn,
            );
            if store.geometry().features.rmapbt() {
                same_fields!(
                    db,
                    agf,
                    place,
                    "rmaproot" = rmap_root,
                    "rmaplevel" = rmap_level,
                    "rmapblocks" = rmap_blocks,
                );
            }
            if store.geometry().features.reflink() {
                same_fields!(
                    db,
                    agf,
                    place,
                    "refcntroot" = refcount_root,
                    "refcntlevel" = refcount_level,
                    "refcntblocks" = refcount_blocks,
                );
            }
        }
    });
}

#[test]
fn inode_headers_are_read_as_by_xfs_db() {
    for_every_shape(|image, store| {
        for ag in 0..store.geometry().ag_count {
            let db = image.fields(&[format!("agi {ag}"), "p".into()]);
            let bytes = header(store, ag, 2, Kind::Agi);
            let agi = DiskAgi::view(&bytes).unwrap();
            let place = &format!("{} agi {ag}", image.shape.name);
            same_fields!(
                db,
                agi,
                place,
                "magicnum" = magicnum,
                "versionnum" = versionnum,
                "seqno" = seqno,
                "length" = length,
                "count" = count,
                "root" = root,
                "level" = level,
                "freecount" = freecount,
                "newino" = newino,
                "lsn" = lsn,
            );
            if store.geometry().features.finobt() {
                same_fields!(
                    db,
                    agi,
                    place,
                    "free_root" = free_root,
                    "free_level" = free_level
                );
            }
            if store.geometry().features.inobtcount() {
                same_fields!(
                    db,
                    agi,
                    place,
                    "ino_blocks" = iblocks,
                    "fino_blocks" = fblocks
                );
            }
        }
    });
}

#[test]
fn free_lists_are_read_as_by_xfs_db() {
    for_every_shape(|image, store| {
        let geo = store.geometry();
        for ag in 0..geo.ag_count {
            let place = &format!("{} agfl {ag}", image.shape.name);
            let text = image.db(&[format!("agfl {ag}"), "p bno".into()]);
            let (_, list) = text.split_once(" = ").unwrap();
            let theirs: Vec<u64> = list
                .split_whitespace()
                .map(|slot| xfs_host::fixture::number(slot.split_once(':').unwrap().1).unwrap())
                .collect();
            let agf_bytes = header(store, ag, 1, Kind::Agf);
            let agf = DiskAgf::view(&agf_bytes).unwrap();
            let bytes = header(store, ag, 3, Kind::Agfl);
            let agfl = Agfl::view(geo, &bytes).unwrap();
            let ours: Vec<u64> = agfl.used(geo, agf).map(|b| b.unwrap().0.into()).collect();
            let expected: Vec<u64> = (0..agf.flcount.get())
                .map(|i| theirs[(agf.flfirst.get() + i) as usize % theirs.len()])
                .collect();
            assert_eq!(ours, expected, "{place}");
        }
    });
}
