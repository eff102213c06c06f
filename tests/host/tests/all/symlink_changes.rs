// SPDX-License-Identifier: GPL-2.0

//! Targets of symbolic links, written and read back.

use std::sync::Arc;
use xfs_host::{
    fixture::{named, space::Pool, Image},
    image::{Disks, ImageStore, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        error::Error,
        extents::ExtentMap,
        format::inode::ForkFormat,
        inode::{Fork, Inode, Trust},
        journal::Claim,
        store::Store,
        symlink,
        trans::{LogReservation, Trans},
    },
};

const LOG: LogReservation = LogReservation {
    bytes: 100_000,
    count: 1,
    permanent: false,
};

const CLAIM: Claim = Claim {
    blocks: 10,
    rt_extents: 0,
    emergency: false,
};

/// A new symbolic link.
fn link(journal: &SyncJournal) -> Box<Inode> {
    let root = journal.geometry().root_inode;
    let mut inode = Inode::read(journal, root, Trust::Trusted).unwrap();
    inode.core.mode = 0o120_777;
    inode.core.format = ForkFormat::Extents;
    inode.core.nextents = 0;
    inode.core.nblocks = 0;
    inode.data = Fork::Extents(ExtentMap::new());
    Box::new(inode)
}

fn written(shape: &str, scattered: bool, target: &[u8]) -> Result<(), Error> {
    let base = Image::of(named(shape)).disks();
    let disk = Arc::new(ScratchDisk::new(base.data));
    let journal = SyncJournal::open(Disks::data(disk)).unwrap();
    journal.keep_inodes_in_memory();
    let half = u64::from(journal.geometry().ag_blocks / 2);
    let mut pool = Pool::new(half..half + 100);
    pool.scattered = scattered;

    let mut trans = Trans::start(&journal, LOG, CLAIM).unwrap();
    let id = trans.join(link(&journal)).unwrap();
    let result = symlink::write_target(&mut trans, &mut pool, id, target);
    if result.is_err() {
        assert!(!trans.is_dirty());
        return result;
    }
    let mut committed = trans.commit_keeping().unwrap();
    let held = committed.inodes.as_mut_slice().first_mut().unwrap();
    let inode = std::mem::replace(held.locked(), link(&journal));
    let read = symlink::read_target(&journal, &inode).unwrap();
    assert_eq!(&read[..], target);

    let mut trans = Trans::start(&journal, LOG, CLAIM).unwrap();
    let id = trans.join(inode).unwrap();
    symlink::remove_target(&mut trans, &mut pool, id).unwrap();
    assert_eq!(trans.inode(id).unwrap().core.nblocks, 0);
    trans.commit().unwrap();
    pool.settle();
    assert_eq!(pool.left(), 100);
    Ok(())
}

#[test]
fn targets_of_every_length_are_read_back() {
    for shape in ["empty", "block-1k", "inode-1024"] {
        let store = ImageStore::open(Image::of(named(shape)).disks()).unwrap();
        let room = store.geometry().inode_size as usize - 176;
        for length in [1, 59, room, room + 1, 967, 968, 969, 1023] {
            let target: Vec<u8> = (0..length).map(|i| b'a' + (i % 23) as u8).collect();
            for scattered in [false, true] {
                written(shape, scattered, &target).unwrap();
            }
        }
    }
}

#[test]
fn what_is_no_target_is_refused() {
    for target in [&b""[..], b"a\0b"] {
        assert_eq!(written("empty", false, target), Err(Error::Invalid));
    }
    let long = written("empty", false, &[b'a'; 1024]);
    assert_eq!(long, Err(Error::NameTooLong));
}
