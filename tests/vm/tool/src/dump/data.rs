// SPDX-License-Identifier: GPL-2.0
//! A file's bytes, by each way to read them, and where SEEK_HOLE and SEEK_DATA see them.

use super::Out;
use crate::layout::u64_at;
use crate::sys::{self, fd_path, lseek, openat, pread, PageBuffer};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use xxhash_rust::xxh3::Xxh3;

/// Files up to this size are read by every way that there is.
const SAMPLE: u64 = 2 << 20;
/// A damaged file system may claim any size: a walk reads no more of a file.
const WALK: u64 = 4 << 20;

/// Where data is, as SEEK_DATA and SEEK_HOLE tell: from, to.
fn segments(fd: RawFd, size: u64, most: usize) -> sys::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size && found.len() < most {
        let from = match lseek(fd, at, libc::SEEK_DATA) {
            Ok(from) => from,
            Err(sys::Errno(libc::ENXIO)) => break,
            Err(errno) => return Err(errno),
        };
        at = lseek(fd, from, libc::SEEK_HOLE)?;
        found.push((from, at));
        if at <= from {
            break;
        }
    }
    Ok(found)
}

/// Feeds the bytes of a range to `hash`; gives how many there were.
fn read_range(fd: RawFd, buf: &mut [u8], range: (u64, u64), hash: &mut Xxh3) -> sys::Result<u64> {
    let mut at = range.0;
    while at < range.1 {
        let want = (range.1 - at).min(buf.len() as u64) as usize;
        let n = pread(fd, &mut buf[..want], at)?;
        if n == 0 {
            break;
        }
        hash.update(&buf[..n]);
        at += n as u64;
    }
    Ok(at - range.0)
}

/// Takes the file's pages out of the page cache, so that the next read goes to the file system.
fn forget(fd: RawFd) {
    // SAFETY: takes no pointer.
    unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
}

fn show(total: u64, hash: &Xxh3) -> String {
    format!("{total} bytes {:032x}", hash.digest128())
}

/// All about the data of `fd`, which `node` is another descriptor of.
pub fn dump(out: &mut Out, fd: &OwnedFd, node: &OwnedFd, stat: &[u8; 256]) {
    let raw = fd.as_raw_fd();
    let size = u64_at(stat, 40);
    let most = if out.is_walk() { 50 } else { 1_000_000 };
    let found = match segments(raw, size, most) {
        Ok(found) => found,
        Err(errno) => {
            out.fail("SEEK_DATA", errno);
            Vec::new()
        }
    };
    let rows: Vec<String> = found.iter().map(|(a, b)| format!("{a} {b}")).collect();
    out.list("SEEK_DATA and SEEK_HOLE", &rows, 2000);
    for (name, whence) in [
        ("SEEK_DATA", libc::SEEK_DATA),
        ("SEEK_HOLE", libc::SEEK_HOLE),
    ] {
        for at in [
            size / 2,
            size.wrapping_sub(1),
            size,
            size.saturating_add(1),
            u64::MAX,
        ] {
            let title = format!("{name} from {at}");
            out.call(&title, lseek(raw, at, whence), |at| at.to_string());
        }
    }
    content(out, raw, size, &found);
    if size > 0 && size <= SAMPLE {
        ways(out, raw, node, size);
    }
    edges(out, raw, size);
}

/// The bytes of all data, with a little of the holes on both sides.
fn content(out: &mut Out, raw: RawFd, size: u64, found: &[(u64, u64)]) {
    let mut hash = Xxh3::new();
    let mut buf = vec![0u8; 1 << 18];
    let mut total = 0;
    for (from, to) in found {
        let range = (from.saturating_sub(512), (to.saturating_add(512)).min(size));
        match read_range(raw, &mut buf, range, &mut hash) {
            Ok(n) => total += n,
            Err(errno) => {
                out.fail("read", errno);
                return;
            }
        }
        if out.is_walk() && total > WALK {
            break;
        }
    }
    out.line(format_args!("content {}", show(total, &hash)));
}

/// A small file's bytes by each way to read.
fn ways(out: &mut Out, raw: RawFd, node: &OwnedFd, size: u64) {
    forget(raw);
    let mut hash = Xxh3::new();
    let mut odd = vec![0u8; 10_007];
    let done = read_range(raw, &mut odd, (0, size), &mut hash);
    out.call("read in odd parts", done, |n| show(*n, &hash));

    // A mapping of a hole at the end of a damaged file ends in SIGBUS: only a sound one is mapped.
    if !out.is_walk() {
        forget(raw);
        let mut hash = Xxh3::new();
        let done = sys::mmap_read(raw, 0, size as usize, |bytes| hash.update(bytes));
        out.call("mmap", done, |()| show(size, &hash));
    }

    forget(raw);
    let mut hash = Xxh3::new();
    let done = sys::splice_read(raw, 0, size as usize, |bytes| hash.update(bytes));
    out.call("splice", done, |n| show(*n as u64, &hash));

    forget(raw);
    let flags = libc::O_RDONLY | libc::O_DIRECT | libc::O_NOATIME;
    let direct = openat(libc::AT_FDCWD, &fd_path(node.as_raw_fd()), flags, 0);
    let Some(direct) = out.call("open O_DIRECT", direct, |_| "done".into()) else {
        return;
    };
    let mut pages = PageBuffer::new(1 << 18);
    let parts = if out.is_walk() { 10 } else { 200 };
    for part in [512, 4096, 1 << 18] {
        let mut hash = Xxh3::new();
        let mut total = 0;
        let mut failed = None;
        while total < size.min(part * parts) {
            match pread(
                direct.as_raw_fd(),
                &mut pages.bytes()[..part as usize],
                total,
            ) {
                Ok(0) => break,
                Ok(n) => {
                    hash.update(&pages.bytes()[..n]);
                    total += n as u64;
                }
                Err(errno) => {
                    failed = Some(errno);
                    break;
                }
            }
            if total % part != 0 {
                break;
            }
        }
        let title = format!("O_DIRECT by {part}");
        let done = failed.map_or(Ok(total), Err);
        out.call(&title, done, |n| show(*n, &hash));
    }
    let unaligned = pread(direct.as_raw_fd(), &mut pages.bytes()[1..513], 0);
    out.call("O_DIRECT to an odd address", unaligned, |n| n.to_string());
    let unaligned = pread(direct.as_raw_fd(), &mut pages.bytes()[..512], 7);
    out.call("O_DIRECT from an odd offset", unaligned, |n| n.to_string());
}

/// Reads at and past the end.
fn edges(out: &mut Out, raw: RawFd, size: u64) {
    let mut buf = vec![0u8; 4096];
    for at in [size.saturating_sub(5), size, size.saturating_add(4096)] {
        let title = format!("read at {at}");
        let done = pread(raw, &mut buf, at);
        out.call(&title, done, |n| format!("{n} {:?}", &buf[..(*n).min(5)]));
    }
}
