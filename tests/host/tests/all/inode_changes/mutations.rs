// SPDX-License-Identifier: GPL-2.0

//! One hostile field in anything that making and freeing inodes reads: they end, and if they fail they
//! say what is wrong.

use super::times;
use std::sync::Arc;
use xfs_host::{
    fixture::{named, Image},
    image::{Disks, ImageStore, ScratchDisk},
    journal::SyncJournal,
    libxfs::{
        defer::Chain,
        error::{Error, Result},
        format::{
            inode::{time::Timestamp, FileType},
            sb::Counters,
            units::InodeNumber,
        },
        ialloc::{take, Parent, Wish},
        inode::{
            create::{self, New},
            unlinked, DeviceNumber, Inode, Trust,
        },
        journal::Claim,
        space::Groups,
        store::Store,
        trans::{space, InodeFields, LogReservations, Trans},
    },
    mutation::{Catalogue, Mutable, Seeded},
};

/// Whatever the superblock says.
const COUNTERS: Counters = Counters {
    inodes: 1 << 20,
    free_inodes: 1 << 20,
    free_blocks: 1 << 30,
    free_rt_extents: 0,
};

/// More inodes than a chunk has.
const INODES: usize = 66;

fn journal(disks: &Disks) -> Option<SyncJournal> {
    let disks = Disks {
        data: Arc::new(ScratchDisk::new(disks.data.clone())),
        ..disks.clone()
    };
    let store = ImageStore::open(disks).ok()?;
    Some(SyncJournal::new(store, COUNTERS))
}

fn make(journal: &SyncJournal, log: &LogReservations) -> Result<InodeNumber> {
    let geo = journal.geometry();
    let claim = Claim {
        blocks: space::create(geo, 1),
        ..Claim::default()
    };
    let mut chain = Chain::new(Trans::start(journal, log.create_tmpfile, claim)?).unwrap();
    let (trans, deferred) = chain.parts();
    let wish = Wish {
        file_type: FileType::Regular,
        parent: Some(Parent {
            number: geo.root_inode,
            is_metadata: false,
        }),
        turn: 0,
        counters: Counters {
            inodes: 64,
            ..COUNTERS
        },
        generation: 1,
    };
    let number = take(trans, deferred, &wish)?;
    let new = New {
        mode: 0o100_600,
        uid: 0,
        gid: 0,
        parent: None,
        device: DeviceNumber { major: 0, minor: 0 },
        now: Timestamp::default(),
        generation: 1,
        nameless: true,
        attr_fork: false,
        inherited: 0,
    };
    let inode = trans.join(Box::new(create::new(geo, number, &new)?))?;
    trans.change_inode(inode, InodeFields::ALL)?;
    unlinked::insert(trans, inode)?;
    chain.commit(&mut Groups)?;
    Ok(number)
}

fn free(journal: &SyncJournal, log: &LogReservations, number: InodeNumber) -> Result {
    let claim = Claim {
        blocks: space::inode_free(journal.geometry()),
        ..Claim::default()
    };
    let inode = Box::new(Inode::read(journal, number, Trust::Trusted)?);
    let mut chain = Chain::new(Trans::start(journal, log.inode_free, claim)?).unwrap();
    let (trans, deferred) = chain.parts();
    let inode = trans.join(inode)?;
    create::free(trans, deferred, inode, None, false)?;
    chain.commit(&mut Groups).map(|_| ())
}

fn make_and_free(journal: &SyncJournal) -> Result {
    let log = LogReservations::new(journal.geometry()).unwrap();
    let mut made = Vec::new();
    for _ in 0..INODES {
        made.push(make(journal, &log)?);
    }
    for number in made {
        free(journal, &log, number)?;
    }
    Ok(())
}

#[test]
fn a_wrong_field_is_told_or_does_no_harm() {
    for name in ["default", "bare", "block-1k"] {
        let image = Image::small(named(name));
        let disks = image.disks();
        let clean = journal(&disks).unwrap();
        clean.store().record();
        make_and_free(&clean).unwrap();
        let geo = clean.geometry();
        let recorded = clean.store().recorded();
        let catalogue = Catalogue::new(
            &disks,
            geo.block_size as usize,
            geo.inode_size as usize,
            recorded.iter().map(|(device, runs)| (*device, &runs[..])),
        )
        .unwrap();
        let reads = clean.store().reads();
        let mut failed = 0;
        for seed in 0..times(60) {
            let mut changed = Mutable::new(&disks);
            let mutation = catalogue.mutate(&mut Seeded(seed), &mut changed).unwrap();
            let place = format!("{name}, seed {seed}: {}", mutation.unwrap());
            let Some(journal) = journal(&changed.disks()) else {
                continue;
            };
            journal.store().set_budget(10 * reads + 10_000);
            match make_and_free(&journal) {
                Ok(()) => assert_eq!(journal.shutdown(), None, "{place}"),
                Err(Error::Corrupt(_) | Error::NoSpace) => failed += 1,
                Err(error) => panic!("{place}: {error:?}"),
            }
            assert!(!journal.store().exhausted(), "{place}: reads without end");
            assert_eq!(journal.store().locked(), 0, "{place}");
        }
        assert!(failed > 10, "{name}: {failed}");
    }
}
