// SPDX-License-Identifier: GPL-2.0
//! Where a file's blocks lie: GETBMAP in its three forms, and fiemap.

use super::Out;
use crate::layout::{put_u32, put_u64, size, text, u32_at, u64_at};
use crate::sys::{self, ioc, ioctl, IOWR};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

const GETBMAPX: &str = "offset:s8 block:s8 length:s8 count:-s4 entries:z4 iflags:zx4 oflags:x4 \
     unused1:z4 unused2:z4";
const GETBMAP: &str = "offset:s8 block:s8 length:s8 count:z4 entries:z4";
const FIEMAP_EXTENT: &str = "logical:8 physical:8 length:8 reserved:z16 flags:x4 reserved:z12";

/// The rows that one listing shows before the rest becomes a digest.
const MOST: usize = 2000;
/// More rows than any file that the tests make has.
const LIMIT: usize = 300_000;

/// One GETBMAP call in one of its forms: the header after the call, and the rows.
pub fn getbmap(
    fd: RawFd,
    nr: u8,
    flags: u32,
    start: (i64, i64),
    count: usize,
) -> sys::Result<(Vec<u8>, Vec<String>)> {
    let layout = if nr == 56 { GETBMAPX } else { GETBMAP };
    let len = if nr == 56 { 48 } else { 32 };
    let mut buf = vec![0u8; len * (count + 1)];
    put_u64(&mut buf, 0, start.0 as u64);
    put_u64(&mut buf, 16, start.1 as u64);
    put_u32(&mut buf, 24, count as u32 + 1);
    if nr == 56 {
        put_u32(&mut buf, 32, flags);
    }
    ioctl(fd, ioc(IOWR, b'X', nr, 32), &mut buf)?;
    let entries = (u32_at(&buf, 28) as usize).min(count);
    let rows = (1..=entries)
        .map(|at| text(layout, &buf[at * len..(at + 1) * len]))
        .collect();
    buf.truncate(len);
    Ok((buf, rows))
}

fn whole(out: &mut Out, fd: RawFd, name: &str, nr: u8, flags: u32, room: usize, most: usize) {
    match getbmap(fd, nr, flags, (0, -1), room) {
        Ok((_, rows)) => out.list(name, &rows, most),
        Err(errno) => out.fail(name, errno),
    }
}

/// The whole map again, five rows at a time, from where each call says that the next goes on.
fn windows(out: &mut Out, fd: RawFd, room: usize) {
    let mut rows = Vec::new();
    let mut start = (0, -1);
    for _ in 0..room / 5 + 2 {
        match getbmap(fd, 56, 4, start, 5) {
            Ok((header, some)) => {
                if some.is_empty() {
                    break;
                }
                rows.extend(some);
                start = (u64_at(&header, 0) as i64, u64_at(&header, 16) as i64);
                if start.1 == 0 {
                    break;
                }
            }
            Err(errno) => {
                out.fail("GETBMAPX by fives", errno);
                break;
            }
        }
    }
    out.list("GETBMAPX by fives", &rows, 8);
}

pub fn fiemap(
    fd: RawFd,
    start: u64,
    len: u64,
    flags: u32,
    room: usize,
) -> sys::Result<(Vec<u8>, Vec<String>)> {
    let mut buf = vec![0u8; 32 + 56 * room];
    put_u64(&mut buf, 0, start);
    put_u64(&mut buf, 8, len);
    put_u32(&mut buf, 16, flags);
    put_u32(&mut buf, 24, room as u32);
    ioctl(fd, ioc(IOWR, b'f', 11, 32), &mut buf)?;
    let mapped = u32_at(&buf, 20) as usize;
    let rows = (0..mapped.min(room))
        .map(|at| text(FIEMAP_EXTENT, &buf[32 + at * 56..32 + (at + 1) * 56]))
        .collect();
    buf.truncate(32);
    Ok((buf, rows))
}

fn fiemap_lines(out: &mut Out, fd: RawFd, name: &str, range: (u64, u64), flags: u32, most: usize) {
    let counted = fiemap(fd, range.0, range.1, flags, 0).map(|(head, _)| u32_at(&head, 20));
    let Some(count) = out.call(&format!("{name} count"), counted, |n| n.to_string()) else {
        return;
    };
    match fiemap(
        fd,
        range.0,
        range.1,
        flags,
        (count as usize).clamp(1, LIMIT),
    ) {
        Ok((head, rows)) => {
            let layout = "start:8 length:8 flags:x4 mapped:4 count:-4 reserved:z4";
            out.line(format_args!("{name} {}", text(layout, &head)));
            out.list(name, &rows, most);
        }
        Err(errno) => out.fail(name, errno),
    }
}

/// Maps of a file or folder that is open for reading.
pub fn dump(out: &mut Out, fd: &OwnedFd, stat: &[u8; 256]) {
    debug_assert_eq!(size(GETBMAPX), 48);
    let raw = fd.as_raw_fd();
    // The kernel knows how many extents there are; holes lie between them.
    let mut attr = vec![0u8; 28];
    let extents = match ioctl(raw, ioc(sys::IOR, b'X', 31, 28), &mut attr) {
        Ok(_) => u32_at(&attr, 8) as usize,
        Err(_) => 16,
    };
    let room = (2 * extents + 16).min(LIMIT);
    whole(out, raw, "GETBMAPX", 56, 4, room, MOST);
    whole(out, raw, "GETBMAPX without holes", 56, 0x14, room, 8);
    whole(out, raw, "GETBMAPX of data", 56, 0, room, 8);
    whole(out, raw, "GETBMAPX of attributes", 56, 1 | 4, 4000, MOST);
    whole(out, raw, "GETBMAPX of copies on write", 56, 0x20, 16, 8);
    whole(out, raw, "GETBMAPX with unknown flags", 56, 0x100, 16, 8);
    whole(out, raw, "GETBMAP", 38, 0, room, 8);
    whole(out, raw, "GETBMAPA", 44, 0, 4000, 8);
    windows(out, raw, room);

    let bytes = u64_at(stat, 40);
    fiemap_lines(out, raw, "fiemap", (0, u64::MAX), 0, MOST);
    fiemap_lines(out, raw, "fiemap of attributes", (0, u64::MAX), 2, MOST);
    let third = (bytes / 3, (bytes / 3).max(1));
    fiemap_lines(out, raw, "fiemap of a third", third, 1, 8);
    fiemap_lines(out, raw, "fiemap of nothing", (0, 0), 0, 8);
    fiemap_lines(
        out,
        raw,
        "fiemap with unknown flags",
        (0, u64::MAX),
        0x80,
        8,
    );
}
