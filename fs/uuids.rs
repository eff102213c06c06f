// SPDX-License-Identifier: GPL-2.0

//! The uuids of what is mounted: no two file systems of one uuid at once, lest a snapshot and its
//! origin be taken for each other.

use kernel::{
    prelude::*,
    sync::global_lock, //
};

global_lock! {
    // SAFETY: `init` is called when the module is loaded, before the first mount.
    unsafe(uninit) static MOUNTED: Mutex<KVec<[u8; 16]>> = KVec::new();
}

/// Makes the list fit for use.
///
/// # Safety
///
/// Called once, before all else here.
pub(super) unsafe fn init() {
    // SAFETY: By the caller.
    unsafe { MOUNTED.init() };
}

/// A uuid that is taken for as long as this lives.
pub(super) struct Taken([u8; 16]);

/// Takes a uuid; `None` if it is taken.
pub(super) fn take(uuid: &[u8; 16]) -> Result<Option<Taken>> {
    let mut mounted = MOUNTED.lock();
    if mounted.contains(uuid) {
        return Ok(None);
    }
    mounted.push(*uuid, GFP_KERNEL)?;
    Ok(Some(Taken(*uuid)))
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut mounted = MOUNTED.lock();
        mounted.retain(|uuid| *uuid != self.0);
        if mounted.is_empty() {
            // No memory stays behind when the module goes.
            *mounted = KVec::new();
        }
    }
}
