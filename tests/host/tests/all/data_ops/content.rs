// SPDX-License-Identifier: GPL-2.0

//! Content at the edges: of blocks, of files, and where it is shared.

use crate::data_ops::{world::at, World};
use xfs_host::{
    file_io::{FileChange, FileIo},
    libxfs::{
        bmap::ForkMut,
        defer::Chain,
        error::{Error, Result},
        format::{
            inode::flags::Flags2,
            units::{FileBlock, InodeNumber},
        },
        inode::{DeviceNumber, Inode, Trust, WhichFork},
        journal::{Claim, Journal},
        ops::{self, Before, FileRange, Files, NewFile, MAX_SIZE},
        space::Groups,
        store::Store,
        trans::{CounterDeltas, InodeFields, LogReservations, Trans},
    },
    log_journal::LogJournal,
    workload,
};

fn create(journal: &LogJournal<'_>, name: &[u8]) -> InodeNumber {
    let file = NewFile {
        mode: 0o100_644,
        uid: 0,
        gid: 0,
        device: DeviceNumber { major: 0, minor: 0 },
        target: &[],
        attr_fork: false,
        inherited: 0,
        generation: 1,
        turn: 0,
        counters: journal.counters(),
    };
    let root = journal.geometry().root_inode;
    at(
        journal,
        |files| Ok(ops::create(files, root, name, &file)?.0),
    )
    .unwrap()
}

/// Changes a file.
fn change(
    journal: &LogJournal<'_>,
    number: InodeNumber,
    run: impl FnOnce(&mut FileChange<'_, '_>) -> Result,
) -> Result {
    at(journal, |files| run(&mut FileChange::new(files, number)))
}

fn range(start: u64, len: u64) -> FileRange {
    FileRange::new(start, len).unwrap()
}

fn content(journal: &LogJournal<'_>, number: InodeNumber) -> Vec<u8> {
    FileIo::new(journal).read_all(number).unwrap()
}

fn inode(journal: &LogJournal<'_>, number: InodeNumber) -> Inode {
    let mut inode = Inode::read(journal, number, Trust::Trusted).unwrap();
    inode.load_extents(journal, WhichFork::Data).unwrap();
    inode
}

/// Has one file share all that another one has.
fn share(journal: &LogJournal<'_>, from: InodeNumber, to: InodeNumber) {
    let reservations = LogReservations::new(journal.geometry()).unwrap();
    let source = inode(journal, from);
    let end = source
        .extents(WhichFork::Data)
        .unwrap()
        .last()
        .unwrap()
        .end();
    let mut next = FileBlock(0);
    while next < end {
        let claim = Claim {
            blocks: 100,
            ..Claim::default()
        };
        let trans = Trans::start(journal, reservations.write, claim).unwrap();
        let mut chain = Chain::new(trans).unwrap();
        let (trans, deferred) = chain.parts();
        let ids = [from.min(to), from.max(to)].map(|number| trans.hold_inode(number).unwrap());
        for id in ids {
            let core = &mut trans.change_inode(id, InodeFields::CORE).unwrap().core;
            core.flags2 = Flags2(core.flags2.0 | Flags2::REFLINK);
            core.size = source.core.size;
        }
        let id = trans.joined(to).unwrap();
        let left = source.extents(WhichFork::Data).unwrap();
        let run = left.segment(next, end.0 - next.0).unwrap();
        let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data).unwrap();
        next = fork.share(&run).unwrap();
        chain.commit(&mut Groups).unwrap();
    }
}

#[test]
fn what_was_behind_the_end_is_never_seen_again() {
    for shape in ["empty", "block-1k"] {
        World::new(shape).run(1, |journal| {
            let number = create(journal, b"a file of the test");
            let block = u64::from(journal.geometry().block_size);
            let size = 3 * block;
            change(journal, number, |file| {
                file.write(0, &vec![7; size as usize])
            })
            .unwrap();
            change(journal, number, |file| file.truncate(block + 10)).unwrap();
            change(journal, number, |file| file.truncate(size)).unwrap();
            let mut wanted = vec![7; block as usize + 10];
            wanted.resize(size as usize, 0);
            assert_eq!(content(journal, number), wanted);
            change(journal, number, |file| file.truncate(block - 5)).unwrap();
            change(journal, number, |file| file.write(block + 3, &[1; 8])).unwrap();
            let mut wanted = vec![7; block as usize - 5];
            wanted.resize(block as usize + 3, 0);
            wanted.extend([1; 8]);
            assert_eq!(content(journal, number), wanted);
        });
    }
}

#[test]
fn writing_to_shared_blocks_changes_one_file() {
    for (shape, seed) in [("empty", 1), ("block-1k", 2), ("many-groups", 3)] {
        World::new(shape).run(seed, |journal| {
            let block = u64::from(journal.geometry().block_size);
            let (one, other) = (
                create(journal, b"one of the test"),
                create(journal, b"another of the test"),
            );
            let bytes: Vec<u8> = (0..20 * block).map(|n| (n / 100) as u8 | 1).collect();
            change(journal, one, |file| file.write(0, &bytes)).unwrap();
            share(journal, one, other);
            assert_eq!(content(journal, other), bytes);
            let mut wanted = bytes.clone();
            // Whole blocks, a part of one, and over two.
            for (start, len) in [
                (2 * block, 3 * block),
                (9 * block + 5, 7),
                (12 * block - 3, 9),
            ] {
                let span = start as usize..(start + len) as usize;
                wanted[span.clone()].fill(0xee);
                change(journal, other, |file| {
                    file.write(start, &vec![0xee; span.len()])
                })
                .unwrap();
            }
            assert_eq!(content(journal, one), bytes);
            assert_eq!(content(journal, other), wanted);
            // Zeroes for a part of a shared block, and less of one.
            change(journal, other, |file| {
                file.punch(range(15 * block + 1, block))
            })
            .unwrap();
            wanted[15 * block as usize + 1..16 * block as usize + 1].fill(0);
            change(journal, other, |file| file.truncate(18 * block + 9)).unwrap();
            change(journal, other, |file| file.truncate(20 * block)).unwrap();
            wanted[18 * block as usize + 9..].fill(0);
            assert_eq!(content(journal, one), bytes);
            assert_eq!(content(journal, other), wanted);
            at(journal, |files| ops::drop_staged(files, other)).unwrap();
        });
    }
}

#[test]
fn unsharing_gives_both_files_blocks_of_their_own() {
    World::new("empty").run(4, |journal| {
        let block = u64::from(journal.geometry().block_size);
        let (one, other) = (
            create(journal, b"one of the test"),
            create(journal, b"another of the test"),
        );
        let bytes: Vec<u8> = (0..9 * block).map(|n| (n / 64) as u8).collect();
        change(journal, one, |file| file.write(0, &bytes)).unwrap();
        share(journal, one, other);
        change(journal, other, |file| {
            file.unshare(range(block, 2 * block), false)
        })
        .unwrap();
        assert!(inode(journal, other).core.is_reflink());
        change(journal, other, |file| {
            file.unshare(range(0, 9 * block), false)
        })
        .unwrap();
        // What the one had shared is its own by that, and it finds out when it is asked to.
        assert!(!inode(journal, other).core.is_reflink());
        change(journal, one, |file| file.unshare(range(0, block), false)).unwrap();
        assert!(!inode(journal, one).core.is_reflink());
        assert_eq!(content(journal, one), bytes);
        assert_eq!(content(journal, other), bytes);
    });
}

#[test]
fn content_moves_and_comes_back() {
    for (shape, seed) in [("empty", 5), ("block-1k", 6), ("no-rmapbt", 7)] {
        World::new(shape).run(seed, |journal| {
            let block = u64::from(journal.geometry().block_size);
            let number = create(journal, b"a file of the test");
            // Every second block is a hole, so that the map becomes a tree.
            for n in 0..60 {
                let bytes = vec![n as u8 + 1; block as usize];
                change(journal, number, |file| file.write(2 * n * block, &bytes)).unwrap();
            }
            change(journal, number, |file| file.truncate(119 * block - 3)).unwrap();
            let before = content(journal, number);
            let moved = range(30 * block, 7 * block);
            change(journal, number, |file| file.insert(moved)).unwrap();
            let mut wanted = before.clone();
            wanted.splice(
                30 * block as usize..30 * block as usize,
                vec![0; 7 * block as usize],
            );
            assert_eq!(content(journal, number), wanted);
            change(journal, number, |file| file.collapse(moved)).unwrap();
            assert_eq!(content(journal, number), before);
        });
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    World::new("empty").run(8, |journal| {
        let block = u64::from(journal.geometry().block_size);
        let number = create(journal, b"a file of the test");
        let root = journal.geometry().root_inode;
        change(journal, number, |file| {
            file.write(0, &vec![3; 4 * block as usize])
        })
        .unwrap();
        let before = content(journal, number);
        let refused = |error, run: &dyn Fn(&mut FileChange<'_, '_>) -> Result| {
            assert_eq!(change(journal, number, run), Err(error));
        };
        refused(Error::Invalid, &|file| file.collapse(range(1, block)));
        refused(Error::Invalid, &|file| {
            file.collapse(range(2 * block, 2 * block))
        });
        refused(Error::Invalid, &|file| file.insert(range(1, block)));
        refused(Error::Invalid, &|file| file.insert(range(4 * block, block)));
        let most = MAX_SIZE / block * block;
        refused(Error::TooLarge, &|file| {
            file.insert(range(block, most - block))
        });
        refused(Error::TooLarge, &|file| file.truncate(MAX_SIZE + 1));
        assert_eq!(FileRange::new(MAX_SIZE, 1), Err(Error::TooLarge));
        assert_eq!(FileRange::new(0, 0), Err(Error::Invalid));
        let directory = |run: &dyn Fn(&mut FileChange<'_, '_>) -> Result| {
            assert_eq!(change(journal, root, run), Err(Error::Invalid));
        };
        directory(&|file| file.truncate(0));
        directory(&|file| file.punch(range(0, block)));
        directory(&|file| file.preallocate(range(0, block), false));
        assert_eq!(content(journal, number), before);
        // As far out as a file goes.
        change(journal, number, |file| file.truncate(MAX_SIZE)).unwrap();
        change(journal, number, |file| file.truncate(4 * block)).unwrap();
        assert_eq!(content(journal, number), before);
    });
}

#[test]
fn a_full_file_system_still_takes_what_has_blocks() {
    World::new("empty").run(9, |journal| {
        let block = u64::from(journal.geometry().block_size);
        let number = create(journal, b"a file of the test");
        change(journal, number, |file| {
            file.write(0, &vec![3; 8 * block as usize])
        })
        .unwrap();
        change(journal, number, |file| {
            file.preallocate(range(8 * block, 8 * block), false)
        })
        .unwrap();
        let free = journal.counters().free_blocks;
        let least = (1..=free).rev().find(|&blocks| {
            let claim = Claim {
                blocks,
                ..Claim::default()
            };
            journal.claim(claim).is_ok()
        });
        let full = change(journal, number, |file| file.write(40 * block, &[1]));
        assert_eq!(full, Err(Error::NoSpace));
        let full = change(journal, number, |file| {
            file.preallocate(range(40 * block, block), true)
        });
        assert_eq!(full, Err(Error::NoSpace));
        // In place, to what was allocated before, and to nothing.
        change(journal, number, |file| file.write(block + 9, &[5; 100])).unwrap();
        change(journal, number, |file| {
            file.write(8 * block, &vec![6; 3 * block as usize])
        })
        .unwrap();
        change(journal, number, |file| file.punch(range(2 * block, block))).unwrap();
        change(journal, number, |file| file.truncate(10 * block + 1)).unwrap();
        let mut wanted = vec![3; 8 * block as usize];
        wanted[block as usize + 9..block as usize + 109].fill(5);
        wanted[2 * block as usize..3 * block as usize].fill(0);
        wanted.resize(10 * block as usize + 1, 6);
        assert_eq!(content(journal, number), wanted);
        journal.settle(&CounterDeltas {
            free_blocks: least.unwrap() as i64,
            ..CounterDeltas::default()
        });
    });
}

#[test]
fn what_is_staged_ends_with_its_file() {
    World::new("empty").run(10, |journal| {
        let block = u64::from(journal.geometry().block_size);
        let (one, other) = (
            create(journal, b"one of the test"),
            create(journal, b"another of the test"),
        );
        let bytes = vec![9; 8 * block as usize];
        change(journal, one, |file| file.write(0, &bytes)).unwrap();
        share(journal, one, other);
        let free = journal.counters().free_blocks;
        let part = at(journal, |files| {
            ops::prepare_write(files, other, FileBlock(2), FileBlock(5))
        });
        assert!(matches!(part.unwrap().before, Before::Elsewhere(_)));
        assert!(journal.counters().free_blocks < free);
        assert!(!journal.lock_inode(other).unwrap().cow.is_empty());
        // The copy is given up for the blocks behind the new end, and then for all.
        change(journal, other, |file| file.truncate(4 * block)).unwrap();
        let left = journal.lock_inode(other).unwrap().cow.last();
        assert!(left.is_some_and(|left| left.end() == FileBlock(4)));
        let root = journal.geometry().root_inode;
        let name = b"another of the test";
        at(journal, |files| ops::remove(files, root, name, other)).unwrap();
        at(journal, |files| ops::inactivate(files, other, None)).unwrap();
        assert_eq!(content(journal, one), bytes);
    });
}

#[test]
fn what_is_durable_is_on_the_disk_when_it_returns() {
    World::new("empty").run(6, |journal| {
        let block = u64::from(journal.geometry().block_size);
        let number = create(journal, b"a file of the test");
        change(journal, number, |file| {
            file.write(0, &vec![1; 5 * block as usize])
        })
        .unwrap();
        let reservations = LogReservations::new(journal.geometry()).unwrap();
        let files = Files {
            durable: true,
            ..workload::files(journal, &reservations, 1_600_000_001)
        };
        // Its last transaction changes nothing any more.
        let done = ops::truncate(&files, number, 0).unwrap().sequence;
        assert!(done.is_some_and(|done| journal.is_stable(done)));
    });
}
