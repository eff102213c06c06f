// SPDX-License-Identifier: GPL-2.0
//! Sectors put in place, and one call, and its errno as the kernel gave it: tools make their own of it.

use crate::dump::probe;
use crate::sys::{self, c, errno, openat, Result};
use std::os::fd::AsRawFd;

/// `mount(2)`: words of `options` that are flags of the call become such, `silent` too.
pub fn mount(kind: &str, device: &str, dir: &str, options: &str) -> Result<()> {
    let mut flags = 0;
    let mut rest = Vec::new();
    for word in options.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => flags |= libc::MS_RDONLY,
            "rw" => flags &= !libc::MS_RDONLY,
            "remount" => flags |= libc::MS_REMOUNT,
            "silent" => flags |= libc::MS_SILENT,
            "noatime" => flags |= libc::MS_NOATIME,
            "nosuid" => flags |= libc::MS_NOSUID,
            "nodev" => flags |= libc::MS_NODEV,
            other => rest.push(other),
        }
    }
    let words = [device, dir, kind, &rest.join(",")].map(|word| c(word.as_bytes()));
    // SAFETY: all four end in a NUL.
    let done = unsafe {
        libc::mount(
            words[0].as_ptr(),
            words[1].as_ptr(),
            words[2].as_ptr(),
            flags,
            words[3].as_ptr().cast(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// The call `what` on `path`, with one word more where it takes one.
pub fn attempt(what: &str, path: &str, word: &str) -> Result<()> {
    let name = c(path.as_bytes());
    let open = || openat(libc::AT_FDCWD, &name, libc::O_RDONLY | libc::O_NOFOLLOW, 0);
    let by_path = || openat(libc::AT_FDCWD, &name, libc::O_PATH | libc::O_NOFOLLOW, 0);
    let mut buf = vec![0u8; 65536];
    match what {
        "stat" => sys::statx(by_path()?.as_raw_fd(), &c(b""), 0x7ff).map(drop),
        "open" => open().map(drop),
        "read" => {
            let fd = open()?;
            let mut at = 0;
            loop {
                match sys::pread(fd.as_raw_fd(), &mut buf, at)? {
                    0 => return Ok(()),
                    n => at += n as u64,
                }
                // A far offset is not read up to.
                if at > 1 << 26 {
                    return Ok(());
                }
            }
        }
        "readdir" => {
            let fd = open()?;
            while sys::getdents(fd.as_raw_fd(), &mut buf)? > 0 {}
            Ok(())
        }
        "readlink" => sys::readlink(by_path()?.as_raw_fd()).map(drop),
        "listxattr" => {
            let fd = by_path()?;
            sys::listxattr(&sys::fd_path(fd.as_raw_fd()), &mut buf).map(drop)
        }
        "getxattr" => {
            let fd = by_path()?;
            sys::getxattr(&sys::fd_path(fd.as_raw_fd()), &c(word.as_bytes()), &mut buf).map(drop)
        }
        _ => probe(&open()?, what),
    }
}

/// Writes sectors to the data device: see [`crate`].
pub fn apply(file: &str, device: &str) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    const SECTOR: usize = 512;
    let bytes = std::fs::read(file)?;
    let target = std::fs::OpenOptions::new().write(true).open(device)?;
    for record in bytes.chunks_exact(1 + 8 + SECTOR) {
        if record[0] == 0 {
            let mut at = [0; 8];
            at.copy_from_slice(&record[1..9]);
            target.write_all_at(&record[9..], u64::from_be_bytes(at))?;
        }
    }
    target.sync_all()
}
