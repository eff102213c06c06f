// SPDX-License-Identifier: GPL-2.0

//! The inode cache under many lookups and reclaim.

use super::{
    disk::Mounted,
    workers::{
        Sequence,
        Workers, //
    },
};
use crate::{
    fs::{
        icache::Want,
        mount::Mount, //
    },
    libxfs::{
        format::units::InodeNumber,
        inode::Trust, //
    },
    rust::bindings,
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// The disk, mounted, and what is on it.
struct Fixture {
    mounted: Mounted,
    /// Inodes in use, with their modes.
    inodes: KVVec<(InodeNumber, u16)>,
    wrong: Atomic<u32>,
    misses: Atomic<u32>,
}

impl Fixture {
    fn new() -> Result<Arc<Self>> {
        let mut fixture = Self {
            mounted: Mounted::take()?,
            inodes: KVVec::new(),
            wrong: Atomic::new(0),
            misses: Atomic::new(0),
        };
        let first = fixture.mount()?.geometry().root_inode.0;
        for number in first..first + 4096 {
            let number = InodeNumber(number);
            let found = fixture
                .mount()?
                .inode(number, Want::File(Trust::Untrusted))
                .map(|inode| inode.read().core.mode);
            if let Ok(mode) = found {
                fixture.inodes.push((number, mode), GFP_KERNEL)?;
            }
        }
        Ok(Arc::new(fixture, GFP_KERNEL)?)
    }

    fn mount(&self) -> Result<&Mount> {
        // SAFETY: Mounted, and ours, until `self` is dropped.
        unsafe { Mount::of(self.mounted.super_block()) }.ok_or(EINVAL)
    }

    /// Has the super block's shrinker look at `count` objects, as when memory is short.
    fn shrink(&self, count: c_ulong) {
        let mut control = bindings::shrink_control {
            gfp_mask: bindings::GFP_KERNEL,
            nr_to_scan: count,
            nr_scanned: count,
            ..Default::default()
        };
        // SAFETY: The super block is mounted, so its shrinker is registered.
        unsafe {
            let shrinker = (*self.mounted.super_block()).s_shrink;
            if let Some(scan) = (*shrinker).scan_objects {
                scan(shrinker, &mut control);
            }
        }
    }
}

fn look_up_at_random(fixture: &Fixture, number: u32) {
    let mut sequence = Sequence::new(number);
    for _ in 0..3000 {
        let index = sequence.below(fixture.inodes.len() as u64) as usize;
        let (Some((number, mode)), Ok(mount)) = (fixture.inodes.get(index), fixture.mount()) else {
            fixture.wrong.fetch_add(1, Relaxed);
            return;
        };
        let right = match mount.inode(*number, Want::File(Trust::Trusted)) {
            Ok(inode) => inode.number() == *number && inode.read().core.mode == *mode,
            Err(_) => false,
        };
        if !right {
            fixture.wrong.fetch_add(1, Relaxed);
        }
        // A number that no inode has must stay so, however often it is looked for.
        let none = InodeNumber(mount.geometry().root_inode.0 + (1 << 20) + sequence.below(64));
        match mount.inode(none, Want::File(Trust::Untrusted)) {
            Ok(_) => fixture.wrong.fetch_add(1, Relaxed),
            Err(_) => fixture.misses.fetch_add(1, Relaxed),
        };
    }
}

#[kunit_tests(xfs_rust_inodes)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_inode_while_it_is_in_use() -> Result {
        let fixture = Fixture::new()?;
        let root = fixture.mount()?.geometry().root_inode;
        let want = Want::File(Trust::Trusted);
        let first = fixture.mount()?.inode(root, want)?;
        fixture.shrink(1 << 20);
        let second = fixture.mount()?.inode(root, want)?;
        assert!(core::ptr::eq(&*first, &*second));
        Ok(())
    }

    #[test]
    fn a_number_that_cannot_be_is_refused() -> Result {
        let fixture = Fixture::new()?;
        for number in [0, 1, u64::MAX, 1 << 63, 1 << 40] {
            for trust in [Trust::Trusted, Trust::Untrusted] {
                let found = fixture
                    .mount()?
                    .inode(InodeNumber(number), Want::File(trust));
                assert!(found.is_err());
            }
        }
        Ok(())
    }

    #[test]
    fn a_file_of_users_is_no_metadata_file() -> Result {
        let fixture = Fixture::new()?;
        let root = fixture.mount()?.geometry().root_inode;
        assert!(fixture.mount()?.inode(root, Want::Metadata).is_err());
        Ok(())
    }

    #[test]
    fn lookups_find_the_right_inode_while_memory_is_short() -> Result {
        let fixture = Fixture::new()?;
        assert!(fixture.inodes.len() > 100);
        let workers = Workers::start(6, &fixture, look_up_at_random)?;
        while workers.are_busy() {
            fixture.shrink(256);
            // SAFETY: This thread may sleep.
            unsafe { bindings::msleep(5) };
        }
        drop(workers);
        assert_eq!(fixture.wrong.load(Relaxed), 0);
        assert!(fixture.misses.load(Relaxed) > 0);
        Ok(())
    }
}
