// SPDX-License-Identifier: GPL-2.0

//! Waiting for memory.
//!
//! Whoever commits has changed blocks already: to fail for want of memory would shut the file system
//! down. What frees memory does not wait for those that wait here, so they do.

use crate::{
    libxfs::error::{
        Error,
        Result, //
    },
    rust::kernel::nofs::NoFs,
};
use kernel::time::{
    delay::fsleep,
    Delta, //
};

/// How often it is tried: some ten seconds.
const ATTEMPTS: u32 = 500;

/// Tries `attempt` until it does not fail for want of memory, or has for long.
pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let _nofs = NoFs::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Err(Error::NoMemory) => fsleep(Delta::from_millis(20)),
            other => return other,
        }
    }
    attempt()
}
