// SPDX-License-Identifier: GPL-2.0
//! Handles that outlive a mount, as those that an NFS server gives away do: taken in one mount, and
//! opened in another that has none of the names in memory.

use crate::sys::{self, c, openat};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::fd::AsRawFd,
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// `AT_HANDLE_CONNECTABLE`: with the parent in it, so that the name can be found again.
const CONNECTABLE: i32 = 2;
/// Handles taken.
const MOST: usize = 3000;

/// Writes the handles of what is below `dir` to `file`, a line each: type, then bytes.
pub fn save(dir: &str, file: &str) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    let mut left = MOST;
    take(dir.as_ref(), &mut left, &mut out)?;
    out.flush()
}

fn take(dir: &Path, left: &mut usize, out: &mut impl Write) -> io::Result<()> {
    let mut paths: Vec<_> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    // Some of a large directory: what lies deeper has its turn too.
    for path in paths.iter().take(40) {
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        let node = openat(
            libc::AT_FDCWD,
            &c(path.as_os_str().as_bytes()),
            libc::O_PATH | libc::O_NOFOLLOW,
            0,
        )
        .map_err(|errno| io::Error::other(errno.to_string()))?;
        for flags in [0, CONNECTABLE] {
            match sys::name_to_handle(node.as_raw_fd(), flags) {
                Ok((kind, bytes)) => {
                    write!(out, "{kind} ")?;
                    for byte in bytes {
                        write!(out, "{byte:02x}")?;
                    }
                    writeln!(out)?;
                }
                Err(errno) => writeln!(out, "{errno}")?,
            }
        }
        if path.symlink_metadata()?.is_dir() {
            take(path, left, out)?;
        }
    }
    Ok(())
}

/// Prints where each handle of `file` leads in the file system mounted on `dir`.
pub fn open(dir: &str, file: &str) -> io::Result<()> {
    let top = File::open(dir)?;
    let mut out = io::stdout().lock();
    for line in BufReader::new(File::open(file)?).lines() {
        let line = line?;
        let Some((kind, bytes)) = parse(&line) else {
            writeln!(out, "{line}")?;
            continue;
        };
        // One that names another generation, and one that is cut short, must lead nowhere.
        let mut stale = bytes.clone();
        if let Some(byte) = stale.get_mut(4) {
            *byte ^= 1;
        }
        let short = bytes.get(..bytes.len().saturating_sub(4)).unwrap_or(&[]);
        for (what, bytes) in [("", &bytes[..]), (" stale", &stale), (" short", short)] {
            match sys::open_by_handle(top.as_raw_fd(), kind, bytes, libc::O_PATH) {
                Ok(fd) => {
                    let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
                    writeln!(out, "{line}{what}: {}", link.display())?;
                }
                Err(errno) => writeln!(out, "{line}{what}: {errno}")?,
            }
        }
    }
    Ok(())
}

fn parse(line: &str) -> Option<(i32, Vec<u8>)> {
    let (kind, digits) = line.split_once(' ')?;
    let bytes = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    Some((kind.parse().ok()?, bytes))
}
