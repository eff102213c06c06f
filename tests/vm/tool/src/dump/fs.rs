// SPDX-License-Identifier: GPL-2.0
//! The file system as a whole: geometry, counts, inodes in bulk, the map of its space.

use super::{handle, Out};
use crate::layout::{digest, put_u32, put_u64, quote, size, text, u32_at, u64_at};
use crate::populate::GEOMETRY;
use crate::sys::{self, errno, ioc, ioctl, IOR, IOW, IOWR};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

const GEOMETRY_V1: &str = "blocksize:4 rtextsize:4 agblocks:4 agcount:4 logblocks:4 sectsize:4 \
     inodesize:4 imaxpct:4 datablocks:8 rtblocks:8 rtextents:8 logstart:8 uuid:16 sunit:4 swidth:4 \
     version:s4 flags:x4 logsectsize:4 rtsectsize:4 dirblocksize:4 last:4";
const AG: &str = "number:4 length:4 freeblks:4 icount:4 ifree:4 sick:x4 checked:x4 flags:x4 \
     reserved:z96";
const RTGROUP: &str = "number:4 length:4 sick:x4 checked:x4 flags:x4 writepointer:4 reserved:z104";
const COUNTS: &str = "freedata:8 freertx:8 freeino:8 allocino:8";
const BULKSTAT: &str = "ino:8 size:8 blocks:8 xflags:x8 atime:s8 mtime:s8 ctime:s8 btime:s8 gen:4 \
     uid:4 gid:4 projid:4 atime_nsec:4 mtime_nsec:4 ctime_nsec:4 btime_nsec:4 blksize:4 rdev:x4 \
     cowextsize:4 extsize:4 nlink:4 extents:4 aextents:4 version:2 forkoff:2 sick:x2 checked:x2 \
     mode:x2 pad:z2 extents64:8 pad:z48";
const BSTAT: &str = "ino:8 mode:x2 nlink:2 uid:4 gid:4 rdev:x4 blksize:4 pad:z4 size:8 atime:s8 \
     nsec:4 pad:z4 mtime:s8 nsec:4 pad:z4 ctime:s8 nsec:4 pad:z4 blocks:8 xflags:x4 extsize:4 \
     extents:4 gen:4 projid_lo:2 forkoff:2 projid_hi:2 sick:x2 checked:x2 pad:z2 cowextsize:4 \
     dmevmask:z4 dmstate:z2 aextents:2";
const INUMBERS: &str = "startino:8 mask:x8 count:1 version:1 pad:z6";
const INOGRP: &str = "startino:8 count:4 pad:z4 mask:x8";
const FSMAP: &str = "device:x4 flags:x4 physical:8 owner:x8 offset:8 length:8 reserved:z24";

/// The flag of an inode that has a hint for the size of copies on write. Of one that has none the C
/// driver tells the hint of whichever inode came before it in the same call.
const COW_HINT: u64 = 0x10000;

/// Rows of one listing before the rest becomes a digest.
const MOST: usize = 20_000;

fn fixed(out: &mut Out, fd: RawFd, name: &str, request: u64, layout: &str) {
    let mut buf = vec![0u8; size(layout)];
    let done = ioctl(fd, request, &mut buf).map(|_| buf);
    out.call(name, done, |buf| text(layout, buf));
}

/// What counts everything.
pub fn summary(out: &mut Out, root: &OwnedFd) {
    let fd = root.as_raw_fd();
    // SAFETY: a plain structure of numbers, which the call fills.
    let mut stat: libc::statfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: the buffer lives through the call.
    let done = match unsafe { libc::fstatfs64(fd, &mut stat) } {
        0 => Ok(()),
        _ => Err(errno()),
    };
    out.call("statfs", done, |()| {
        format!(
            "type={:#x} bsize={} blocks={} bfree={} bavail={} files={} ffree={} namelen={} frsize={} flags={:#x}",
            stat.f_type,
            stat.f_bsize,
            stat.f_blocks,
            stat.f_bfree,
            stat.f_bavail,
            stat.f_files,
            stat.f_ffree,
            stat.f_namelen,
            stat.f_frsize,
            stat.f_flags
        )
    });
    fixed(out, fd, "FSCOUNTS", ioc(IOR, b'X', 113, 32), COUNTS);
    settled(out, root);
}

/// What must not change by being read. The free blocks are no part of it: without trees that space is
/// reserved for, the C driver counts the blocks of the free space trees as free until it has read
/// their group's header.
pub fn settled(out: &mut Out, root: &OwnedFd) {
    let fd = root.as_raw_fd();
    let request = ioc(IOR, b'X', 115, 16);
    fixed(out, fd, "GET_RESBLKS", request, "blocks:8 available:8");
    let request = ioc(IOR, b'X', 126, 256);
    fixed(out, fd, "FSGEOMETRY", request, GEOMETRY);
    groups(out, fd, "AG_GEOMETRY", ioc(IOWR, b'X', 61, 128), AG);
    groups(
        out,
        fd,
        "RTGROUP_GEOMETRY",
        ioc(IOWR, b'X', 65, 128),
        RTGROUP,
    );
}

/// Each group's geometry, up to the first number that there is none of.
fn groups(out: &mut Out, fd: RawFd, name: &str, request: u64, layout: &str) {
    for number in 0..2000u32 {
        let mut buf = vec![0u8; size(layout)];
        put_u32(&mut buf, 0, number);
        let done = ioctl(fd, request, &mut buf).map(|_| buf);
        let title = format!("{name} {number}");
        if out.call(&title, done, |buf| text(layout, buf)).is_none() {
            break;
        }
    }
    let mut buf = vec![0u8; size(layout)];
    let at = buf.len() - 8;
    put_u64(&mut buf, at, 1);
    let done = ioctl(fd, request, &mut buf);
    out.call(&format!("{name} with a reserved word"), done, |_| {
        "done".into()
    });
}

/// Everything about the file system.
pub fn dump(out: &mut Out, root: &OwnedFd) {
    let fd = root.as_raw_fd();
    out.line("== the file system");
    summary(out, root);
    fixed(
        out,
        fd,
        "FSGEOMETRY_V1",
        ioc(IOR, b'X', 100, 112),
        GEOMETRY_V1,
    );
    fixed(
        out,
        fd,
        "FSGEOMETRY_V4",
        ioc(IOR, b'X', 124, 112),
        GEOMETRY_V1,
    );
    fixed(out, fd, "GETFSUUID", ioc(IOR, 0x15, 0, 17), "len:1 uuid:16");
    let mut label = vec![0u8; 256];
    let done = ioctl(fd, ioc(IOR, 0x94, 49, 256), &mut label).map(|_| label);
    out.call("GETFSLABEL", done, |label| {
        quote(label.split(|b| *b == 0).next().unwrap_or(&[]))
    });
    bulk(out, fd);
    fsmap(out, fd);
    handle::wrong(out, root);
    changes(out, fd);
    unprivileged(out, fd);
}

/// Which of the two calls that list inodes in bulk, in their present form.
pub struct Bulk {
    name: &'static str,
    nr: u8,
    layout: &'static str,
}

/// Inodes.
pub const STATS: Bulk = Bulk {
    name: "BULKSTAT",
    nr: 127,
    layout: BULKSTAT,
};
/// Which numbers are inodes.
pub const NUMBERS: Bulk = Bulk {
    name: "INUMBERS",
    nr: 128,
    layout: INUMBERS,
};

/// All records by calls of `count`, from inode `first` on.
pub fn bulk_rows(
    fd: RawFd,
    which: &Bulk,
    flags: u32,
    group: u32,
    first: u64,
    count: usize,
) -> sys::Result<Vec<String>> {
    let len = size(which.layout);
    let mut rows = Vec::new();
    let mut ino = first;
    for _ in 0..200_000 {
        let mut buf = vec![0u8; 64 + len * count];
        put_u64(&mut buf, 0, ino);
        put_u32(&mut buf, 8, flags);
        put_u32(&mut buf, 12, count as u32);
        put_u32(&mut buf, 20, group);
        ioctl(fd, ioc(IOR, b'X', which.nr, 64), &mut buf)?;
        let given = (u32_at(&buf, 16) as usize).min(count);
        for at in 0..given {
            let record = &mut buf[64 + at * len..64 + (at + 1) * len];
            if which.nr == STATS.nr && u64_at(record, 24) & COW_HINT == 0 {
                put_u32(record, 104, 0);
            }
            rows.push(text(which.layout, record));
        }
        let next = u64_at(&buf, 0);
        if given == 0 || flags & 2 != 0 {
            rows.push(format!("next {next}"));
            break;
        }
        ino = next;
    }
    Ok(rows)
}

fn rows(out: &mut Out, name: &str, outcome: sys::Result<Vec<String>>, most: usize) {
    match outcome {
        Ok(rows) => out.list(name, &rows, most),
        Err(errno) => out.fail(name, errno),
    }
}

/// The old calls, whose arguments are pointers.
fn old_rows(fd: RawFd, nr: u8, layout: &str, last: u64, count: usize) -> sys::Result<Vec<String>> {
    let len = size(layout);
    let mut rows = Vec::new();
    let mut ino = last.to_le_bytes();
    let mut given = [0u8; 8];
    for _ in 0..200_000 {
        let mut buf = vec![0u8; len * count];
        let mut request = [0u8; 32];
        put_u64(&mut request, 0, ino.as_mut_ptr() as u64);
        put_u32(&mut request, 8, count as u32);
        put_u64(&mut request, 16, buf.as_mut_ptr() as u64);
        put_u64(&mut request, 24, given.as_mut_ptr() as u64);
        ioctl(fd, ioc(IOWR, b'X', nr, 32), &mut request)?;
        let n = (u32_at(&given, 0) as usize).min(count);
        for record in buf.chunks_exact_mut(len).take(n) {
            if nr != 103 && u64::from(u32_at(record, 96)) & COW_HINT == 0 {
                put_u32(record, 124, 0);
            }
            rows.push(text(layout, record));
        }
        if n == 0 || nr == 102 {
            rows.push(format!("last {}", u64::from_le_bytes(ino)));
            break;
        }
    }
    Ok(rows)
}

fn bulk(out: &mut Out, fd: RawFd) {
    for which in [&STATS, &NUMBERS] {
        let name = which.name;
        let all = bulk_rows(fd, which, 0, 0, 0, 1024);
        rows(out, name, all, MOST);
        for (what, flags, group, first, count) in [
            ("by sevens", 0, 0, 0, 7usize),
            ("from 130 on", 0, 0, 130, 64),
            ("from far on", 0, 0, 1 << 60, 4),
            ("of group 0", 1, 0, 0, 64),
            ("of group 1", 1, 1, 0, 64),
            ("of no group", 1, 5000, 0, 64),
            ("of a group that the inode is not in", 1, 1, 128, 64),
            ("of the root", 2, 0, 1, 1),
            ("of nothing special", 2, 0, 9, 1),
            ("with large counts", 4, 0, 0, 64),
            ("with metadata", 8, 0, 0, 64),
            ("with unknown flags", 0x100, 0, 0, 4),
            ("of none", 0, 0, 0, 0),
        ] {
            let outcome = bulk_rows(fd, which, flags, group, first, count);
            rows(out, &format!("{name} {what}"), outcome, 8);
        }
    }
    for (name, nr, layout) in [
        ("FSBULKSTAT", 101, BSTAT),
        ("FSBULKSTAT_SINGLE", 102, BSTAT),
        ("FSINUMBERS", 103, INOGRP),
    ] {
        for (last, count) in [(0, 256), (0, 5), (128, 64), (1 << 60, 4)] {
            let count = if nr == 102 { 1 } else { count };
            let outcome = old_rows(fd, nr, layout, last, count);
            rows(out, &format!("{name} after {last} by {count}"), outcome, 64);
        }
    }
}

/// One range of the space map: all of it between two keys, by calls of `count` rows; 0 only counts.
pub fn fsmap_rows(
    fd: RawFd,
    low: (u32, u64, u64),
    high: (u32, u64, u64),
    count: usize,
) -> sys::Result<Vec<String>> {
    let mut rows = Vec::new();
    let mut first = [0u8; 64];
    put_u32(&mut first, 0, low.0);
    put_u64(&mut first, 8, low.1);
    put_u64(&mut first, 16, low.2);
    for _ in 0..100_000 {
        let mut buf = vec![0u8; 192 + 64 * count];
        put_u32(&mut buf, 8, count as u32);
        buf[64..128].copy_from_slice(&first);
        put_u32(&mut buf, 128, high.0);
        put_u32(&mut buf, 132, u32::MAX);
        put_u64(&mut buf, 136, high.1);
        put_u64(&mut buf, 144, high.2);
        put_u64(&mut buf, 152, u64::MAX);
        ioctl(fd, ioc(IOWR, b'X', 59, 192), &mut buf)?;
        let entries = u32_at(&buf, 12) as usize;
        if count == 0 || entries == 0 {
            rows.push(text("iflags:x4 oflags:x4 count:4 entries:4", &buf[..16]));
            break;
        }
        let entries = entries.min(count);
        let last = &buf[192 + (entries - 1) * 64..192 + entries * 64];
        first.copy_from_slice(last);
        let done = u32_at(last, 4) & 0x20 != 0;
        for at in 0..entries {
            rows.push(text(FSMAP, &buf[192 + at * 64..192 + (at + 1) * 64]));
        }
        if done {
            rows.push(text("iflags:x4 oflags:x4", &buf[..8]));
            break;
        }
    }
    Ok(rows)
}

/// The number of the data device, as GETFSMAP tells it: what the kernel calls a new encoding.
fn data_device(fd: RawFd) -> u32 {
    match sys::statx(fd, &sys::c(b""), 1) {
        Ok(stat) => {
            let (major, minor) = (u32_at(&stat, 136), u32_at(&stat, 140));
            (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
        }
        Err(_) => 0,
    }
}

fn fsmap(out: &mut Out, fd: RawFd) {
    const ALL: (u32, u64, u64) = (u32::MAX, u64::MAX, u64::MAX);
    rows(out, "GETFSMAP", fsmap_rows(fd, (0, 0, 0), ALL, 4096), MOST);
    let counted = fsmap_rows(fd, (0, 0, 0), ALL, 0);
    rows(out, "GETFSMAP count", counted, 8);
    let sevens = fsmap_rows(fd, (0, 0, 0), ALL, 7);
    rows(out, "GETFSMAP by sevens", sevens, 8);
    let device = data_device(fd);
    const MIB: u64 = 1 << 20;
    for (low, high) in [
        ((device, 0, 0), (device, 0, u64::MAX)),
        ((device, 0, 0), (device, 64 * 1024, u64::MAX)),
        ((device, MIB, 0), (device, 3 * MIB, u64::MAX)),
        ((device, MIB + 777, 0), (device, MIB + 9999, u64::MAX)),
        ((device, 16 * MIB, 0), (device, 64 * MIB, u64::MAX)),
        ((device, 1 << 50, 0), (device, u64::MAX, u64::MAX)),
        ((device, 5 * MIB, 0), (device, 4 * MIB, u64::MAX)),
        ((device, 0, 200), (device, u64::MAX, 200)),
        ((device, 0, 0), (device, u64::MAX, u64::MAX)),
        ((1, 0, 0), (1, u64::MAX, u64::MAX)),
        ((2, 0, 0), (3, u64::MAX, u64::MAX)),
        ((device + 1, 0, 0), (u32::MAX, u64::MAX, u64::MAX)),
        ((u32::MAX, 0, 0), ALL),
        ((7, 0, 0), (7, u64::MAX, u64::MAX)),
    ] {
        let outcome = fsmap_rows(fd, low, high, 64);
        rows(out, &format!("GETFSMAP {low:?} {high:?}"), outcome, 16);
    }
    let mut buf = vec![0u8; 192];
    put_u32(&mut buf, 0, 1);
    let done = ioctl(fd, ioc(IOWR, b'X', 59, 192), &mut buf);
    out.call("GETFSMAP with unknown flags", done, |_| "done".into());
}

/// Calls that change something: what a read-only mount says to them.
fn changes(out: &mut Out, fd: RawFd) {
    let mut buf = vec![0u8; 256];
    for (name, request) in [
        ("FSSETXATTR", ioc(IOW, b'X', 32, 28)),
        ("SETFLAGS", ioc(IOW, b'f', 2, 8)),
        ("SETVERSION", ioc(IOW, b'v', 2, 8)),
        ("SETFSLABEL", ioc(IOW, 0x94, 50, 256)),
        ("SET_RESBLKS", ioc(IOWR, b'X', 114, 16)),
        ("FSGROWFSDATA", ioc(IOW, b'X', 110, 16)),
        ("FSGROWFSLOG", ioc(IOW, b'X', 111, 8)),
        ("FSGROWFSRT", ioc(IOW, b'X', 112, 16)),
    ] {
        buf.fill(0);
        let done = ioctl(fd, request, &mut buf);
        out.call(name, done, |n| n.to_string());
    }
}

/// The same questions from one who is not root.
fn unprivileged(out: &mut Out, fd: RawFd) {
    const USER: u32 = 1000;
    const KEEP: u32 = u32::MAX;
    let become_user = |user: u32| {
        // SAFETY: takes no pointer. Raw calls change this thread alone, and it is the only one.
        unsafe {
            if user == 0 {
                libc::syscall(libc::SYS_setresuid, KEEP, 0, KEEP);
                libc::syscall(libc::SYS_setresgid, KEEP, 0, KEEP);
            } else {
                libc::syscall(libc::SYS_setresgid, KEEP, user, KEEP);
                libc::syscall(libc::SYS_setresuid, KEEP, user, KEEP);
            }
        }
    };
    become_user(USER);
    out.line("as a user who is not root:");
    for which in [&STATS, &NUMBERS] {
        let outcome = bulk_rows(fd, which, 0, 0, 0, 4);
        rows(out, which.name, outcome, 8);
    }
    // The data device alone: of the last realtime group the C driver tells such a user that all of it
    // is in use.
    let data = data_device(fd);
    let map = fsmap_rows(fd, (data, 0, 0), (data, u64::MAX, u64::MAX), 4096);
    rows(out, "GETFSMAP", map, 200);
    fixed(
        out,
        fd,
        "FSGEOMETRY_V1",
        ioc(IOR, b'X', 100, 112),
        GEOMETRY_V1,
    );
    for path in [
        "attrs/acl",
        "attrs/acl-denied",
        "attrs/acl-folder",
        "attrs/acl-folder/inherits",
        "attrs/names",
        "inodes/mode-0",
        "inodes/mode-600",
        "inodes/mode-644",
        "inodes/owner-1000-1000",
        "inodes/owner-65534-65534",
        "inodes/folder-set-group",
        "inodes/folder-set-group/takes-the-group",
    ] {
        for (how, flags) in [
            ("read", libc::O_RDONLY),
            ("write", libc::O_WRONLY),
            ("keep the access time of", libc::O_RDONLY | libc::O_NOATIME),
        ] {
            let opened = sys::openat(fd, &sys::c(path.as_bytes()), flags | libc::O_NONBLOCK, 0);
            out.call(&format!("open {path} to {how} it"), opened, |_| {
                "done".into()
            });
        }
    }
    if let Ok(file) = sys::openat(fd, &sys::c(b"attrs/short"), libc::O_RDONLY, 0) {
        let path = sys::fd_path(file.as_raw_fd());
        let mut names = vec![0u8; 4096];
        let listed = sys::listxattr(&path, &mut names);
        out.call("listxattr", listed, |n| digest(&names[..*n]));
    }
    become_user(0);
}
