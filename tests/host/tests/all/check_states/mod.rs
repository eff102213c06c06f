// SPDX-License-Identifier: GPL-2.0

//! The check on states that only a mounted file system comes to: shared and unwritten extents,
//! staging of a copy on write, data on the realtime device. Right, they are passed over; with one
//! of their records changed, they are not.

mod forge;

use forge::Forge;
use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};
use xfs_host::{
    fixture, image,
    libxfs::{
        self,
        check::{check, Subject},
        format::{
            ag::agf::DiskAgf,
            btree::{
                BmapRecord, Domain, Owner, Refcount, RefcountRecord, Rmap, RmapFlags, RmapRecord,
                RtRmap,
            },
            inode::flags::{Flags, Flags2},
            units::{AgBlock, AgNumber, FileBlock, InodeNumber, RtExtent, RtGroup, RtGroupBlock},
        },
        inode::Inode,
        rt::{self, GroupFile},
    },
};

/// What the check says, and which structures it speaks of.
fn subjects(forge: &Forge) -> Vec<Subject> {
    let mut found = Vec::new();
    check(&forge.store(), &mut |finding| {
        println!("{finding}");
        found.push(finding.subject);
        Ok(())
    })
    .unwrap();
    found
}

/// That `xfs_repair -n` has nothing to say either.
fn repair_is_silent(forge: &Forge, shape: &str) {
    let image = fixture::Image::small(fixture::named(shape));
    // Tests run beside each other, and some share a shape.
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state-{shape}-{number}"));
    let mut cp = Command::new("cp");
    cp.arg("--sparse=always").arg(&image.data).arg(&copy);
    assert!(cp.status().unwrap().success());
    let file = OpenOptions::new().write(true).open(&copy).unwrap();
    for (offset, bytes) in forge.changes() {
        file.write_all_at(bytes, offset).unwrap();
    }
    let mut repair = Command::new("xfs_repair");
    repair.args(["-n", "-P", "-f"]);
    if let Some(rt) = &image.rt {
        repair.arg("-r").arg(rt);
    }
    let said = repair.arg(&copy).output().unwrap();
    let _ = std::fs::remove_file(&copy);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let text = text + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
}

fn has(found: &[Subject], wanted: Subject) {
    assert!(found.contains(&wanted), "no {wanted:?} in {found:?}");
}

fn rmap(start: AgBlock, count: u32, owner: Owner) -> RmapRecord<AgBlock> {
    RmapRecord {
        start,
        count,
        owner,
        offset: FileBlock(0),
        flags: RmapFlags::default(),
    }
}

fn refcount(
    start: AgBlock,
    count: u32,
    references: u32,
    domain: Domain,
) -> RefcountRecord<AgBlock> {
    RefcountRecord {
        domain,
        start,
        count,
        references,
    }
}

/// An image with a file of data, its first extent, and an empty file beside it.
struct Files {
    forge: Forge,
    full: InodeNumber,
    empty: InodeNumber,
    ag: AgNumber,
    start: AgBlock,
    extent: BmapRecord,
}

/// Blocks that are shared, or unwritten.
const BLOCKS: u32 = 10;

impl Files {
    fn new(shape: &str) -> Self {
        let forge = Forge::new(shape);
        let full = forge.lookup(&["file", "300000 bytes"]);
        let empty = forge.lookup(&["file", "empty"]).number;
        let first = full.data.extents().unwrap().iter().next().unwrap();
        assert!(first.len >= u64::from(BLOCKS));
        let (ag, start) = forge.geo.split_fs_block(first.start.data()).unwrap();
        Self {
            full: full.number,
            empty,
            ag,
            start,
            extent: BmapRecord {
                offset: first.offset,
                start: first.start.0,
                count: first.len as u32,
                unwritten: false,
            },
            forge,
        }
    }

    /// Lets the empty file share the first blocks of the full one.
    fn share(mut self) -> Self {
        let part = BmapRecord {
            count: BLOCKS,
            ..self.extent
        };
        self.forge.map(self.empty, &[part]);
        for number in [self.full, self.empty] {
            self.forge
                .inode(number, |core, _| core.flags2.0 |= Flags2::REFLINK);
        }
        let (start, owner) = (self.start, Owner::Inode(self.empty));
        self.forge.tree::<Rmap>(self.ag, DiskAgf::rmap, |records| {
            records.push(rmap(start, BLOCKS, owner));
        });
        self.refcounts(|records| records.push(refcount(start, BLOCKS, 2, Domain::Shared)));
        self
    }

    fn refcounts(&mut self, edit: impl FnOnce(&mut Vec<RefcountRecord<AgBlock>>)) {
        let ag = self.ag;
        self.forge.tree::<Refcount>(ag, DiskAgf::refcount, edit);
    }
}

#[test]
fn shared_extents_have_as_many_owners_as_their_counts_say() {
    let files = Files::new("default").share();
    assert_eq!(subjects(&files.forge), []);
    repair_is_silent(&files.forge, "default");

    let mut wrong = Files::new("default").share();
    wrong.refcounts(|records| records[0].references = 3);
    has(&subjects(&wrong.forge), Subject::Refcountbt);

    let mut wrong = Files::new("default").share();
    wrong.refcounts(|records| records[0].count -= 1);
    has(&subjects(&wrong.forge), Subject::Refcountbt);

    let mut wrong = Files::new("default").share();
    wrong.refcounts(Vec::clear);
    has(&subjects(&wrong.forge), Subject::Refcountbt);
}

#[test]
fn a_count_in_two_records_that_one_could_hold_is_found() {
    let mut files = Files::new("default").share();
    files.refcounts(|records| {
        let mut rest = records[0];
        records[0].count = 4;
        rest.start = records[0].end();
        rest.count -= 4;
        records.push(rest);
    });
    assert_eq!(subjects(&files.forge), [Subject::Refcountbt]);

    let mut files = Files::new("default").share();
    let (ag, owner) = (files.ag, Owner::Inode(files.empty));
    files.forge.tree::<Rmap>(ag, DiskAgf::rmap, |records| {
        let found = records.iter_mut().find(|r| r.owner == owner).unwrap();
        let mut rest = *found;
        found.count = 4;
        rest.start = found.end();
        rest.offset = FileBlock(4);
        rest.count -= 4;
        records.push(rest);
    });
    assert_eq!(subjects(&files.forge), [Subject::Rmapbt]);
}

#[test]
fn only_files_that_say_so_share() {
    let mut files = Files::new("default").share();
    let empty = files.empty;
    files
        .forge
        .inode(empty, |core, _| core.flags2.0 &= !Flags2::REFLINK);
    has(&subjects(&files.forge), Subject::Bnobt);
}

#[test]
fn a_shared_extent_that_rmaps_do_not_know_is_found() {
    let mut files = Files::new("default").share();
    let (ag, owner) = (files.ag, Owner::Inode(files.empty));
    files.forge.tree::<Rmap>(ag, DiskAgf::rmap, |records| {
        records.retain(|record| record.owner != owner);
    });
    assert_eq!(subjects(&files.forge), [Subject::Rmapbt]);
}

#[test]
fn without_rmaps_two_owners_are_found_by_the_forks() {
    let mut files = Files::new("no-rmapbt");
    let part = BmapRecord {
        count: BLOCKS,
        ..files.extent
    };
    files.forge.map(files.empty, &[part]);
    let found = subjects(&files.forge);
    has(&found, Subject::Bnobt);
    has(&found, Subject::Refcountbt);
}

#[test]
fn unwritten_extents_are_so_in_both_the_fork_and_its_rmaps() {
    let unwritten = |files: &mut Files| {
        let extent = files.extent;
        let (number, ag, start) = (files.full, files.ag, files.start);
        files.forge.inode(number, |_, fork| {
            let record = BmapRecord {
                unwritten: true,
                ..extent
            };
            fork[..16].copy_from_slice(zerocopy::IntoBytes::as_bytes(&record.encode()));
        });
        move |forge: &mut Forge| {
            forge.tree::<Rmap>(ag, DiskAgf::rmap, |records| {
                let of = |r: &&mut RmapRecord<AgBlock>| {
                    r.owner == Owner::Inode(number) && r.start == start
                };
                let whole = records.iter_mut().find(of).unwrap();
                assert_eq!(whole.count, extent.count);
                whole.flags.unwritten = true;
            });
        }
    };
    let mut files = Files::new("default");
    let also_in_rmaps = unwritten(&mut files);
    let found = subjects(&files.forge);
    assert!(!found.is_empty() && found.iter().all(|s| *s == Subject::Rmapbt));
    also_in_rmaps(&mut files.forge);
    assert_eq!(subjects(&files.forge), []);
    repair_is_silent(&files.forge, "default");

    // What was never written cannot be shared.
    let mut files = Files::new("default").share();
    let also_in_rmaps = unwritten(&mut files);
    also_in_rmaps(&mut files.forge);
    let found = subjects(&files.forge);
    has(&found, Subject::Bnobt);
    has(&found, Subject::Refcountbt);
}

#[test]
fn staging_of_a_copy_on_write_is_owned_in_both_trees() {
    const AG: AgNumber = AgNumber(1);
    let staged = || {
        let mut forge = Forge::new("default");
        let start = forge.allocate(AG, BLOCKS);
        // Until somebody has it, it is lost.
        has(&subjects(&forge), Subject::Bnobt);
        forge.tree::<Refcount>(AG, DiskAgf::refcount, |records| {
            records.push(refcount(start, BLOCKS, 1, Domain::Cow));
        });
        assert_eq!(subjects(&forge), [Subject::Rmapbt]);
        forge.tree::<Rmap>(AG, DiskAgf::rmap, |records| {
            records.push(rmap(start, BLOCKS, Owner::Cow));
        });
        forge
    };
    assert_eq!(subjects(&staged()), []);

    let mut wrong = staged();
    wrong.tree::<Refcount>(AG, DiskAgf::refcount, |records| records[0].count -= 1);
    let found = subjects(&wrong);
    has(&found, Subject::Bnobt);
    has(&found, Subject::Rmapbt);

    let mut wrong = staged();
    wrong.superblock(|sb| sb.fdblocks.set(sb.fdblocks.get() + 1));
    assert_eq!(subjects(&wrong), [Subject::Counters]);
}

/// Moves the empty file to the realtime device and gives it some of it; what was free around it is
/// counted anew. Returns the file, and where its data lies.
fn realtime(forge: &mut Forge, group: Option<RtGroup>) -> (Inode, u64) {
    const EXTENTS: u64 = 8;
    let store = forge.store();
    let bitmap = rt::open(&store, group, GroupFile::Bitmap).unwrap();
    let summary = rt::open(&store, group, GroupFile::Summary).unwrap();
    let (from, end) = (RtExtent(0), RtExtent(u64::MAX));
    let run = rt::free_runs(&store, &bitmap, group, from, end)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let file = forge.lookup(&["file", "empty"]);
    let first = run.start.0 + 100;
    forge.count_run(&summary, run.start.0, run.len, -1);
    forge.count_run(&summary, run.start.0, 100, 1);
    forge.count_run(&summary, first + EXTENTS, run.len - 100 - EXTENTS, 1);
    for extent in first..first + EXTENTS {
        forge.take_bit(&bitmap, extent);
    }
    forge.superblock(|sb| sb.frextents.set(sb.frextents.get() - EXTENTS));
    let each = u64::from(forge.geo.rt_extent_size);
    let start = first * each;
    let block = match group {
        None => start,
        Some(group) => {
            let at = RtGroupBlock(start as u32);
            forge.geo.rt_block(group, at).unwrap().0
        }
    };
    forge.inode(file.number, |core, _| core.flags.0 |= Flags::REALTIME);
    forge.map(
        file.number,
        &[BmapRecord {
            offset: FileBlock(0),
            start: block,
            count: (EXTENTS * each) as u32,
            unwritten: false,
        }],
    );
    (file, start)
}

#[test]
fn realtime_data_is_what_the_bitmap_and_the_summary_do_not_count() {
    for shape in ["rt", "rt-extent-64k"] {
        let mut forge = Forge::new(shape);
        let (file, start) = realtime(&mut forge, None);
        assert_eq!(subjects(&forge), [], "{shape}");
        repair_is_silent(&forge, shape);

        // One more extent that the bitmap calls free.
        let each = forge.geo.rt_extent_size;
        let extent = BmapRecord {
            offset: FileBlock(0),
            start,
            count: 9 * each,
            unwritten: false,
        };
        forge.map(file.number, &[extent]);
        assert_eq!(subjects(&forge), [Subject::RtBitmap], "{shape}");

        // One less: nobody has it.
        let extent = BmapRecord {
            count: 7 * each,
            ..extent
        };
        forge.map(file.number, &[extent]);
        assert_eq!(subjects(&forge), [Subject::RtBitmap], "{shape}");
    }
}

#[test]
fn the_realtime_summary_is_held_to_the_bitmap() {
    let mut forge = Forge::new("rt");
    let store = forge.store();
    let summary = rt::open(&store, None, GroupFile::Summary).unwrap();
    forge.count_run(&summary, 5, 1, 1);
    assert_eq!(subjects(&forge), [Subject::RtSummary]);
}

#[test]
fn realtime_groups_have_rmaps_of_their_data() {
    for shape in ["rt-groups", "rt-groups-extent-16k"] {
        let mut forge = Forge::new(shape);
        let group = RtGroup(forge.geo.rt_group_count - 1);
        let (file, start) = realtime(&mut forge, Some(group));
        if forge.geo.features.rmapbt() {
            assert_eq!(subjects(&forge), [Subject::RtRmapbt], "{shape}");
            let tree = rt::open(&forge.store(), Some(group), GroupFile::Rmap).unwrap();
            let record = RmapRecord {
                start: RtGroupBlock(start as u32),
                count: 8 * forge.geo.rt_extent_size,
                owner: Owner::Inode(file.number),
                offset: FileBlock(0),
                flags: RmapFlags::default(),
            };
            forge.fork_tree::<RtRmap>(tree.number, |records| records.push(record));
        }
        assert_eq!(subjects(&forge), [], "{shape}");
        repair_is_silent(&forge, shape);
    }
}
