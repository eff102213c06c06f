// SPDX-License-Identifier: GPL-2.0
//! File handles: XFS's own calls and the kernel's, and what is reached through them: opening, symlink
//! targets, attribute lists, parents.

use super::Out;
use crate::layout::{digest, put_u32, put_u64, quote, u32_at, u64_at};
use crate::sys::{self, c, fd_path, ioc, ioctl, own, IOR, IOW, IOWR};
use std::ffi::CStr;
use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Room for all attributes that a test's file has.
const ALL: usize = 32768;
/// struct xfs_fsop_handlereq has 56 bytes.
const REQUEST: usize = 56;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// A request over an open file or a path that gives a handle.
fn get(fd: RawFd, nr: u8, target: RawFd, path: Option<&CStr>) -> sys::Result<Vec<u8>> {
    let mut handle = [0u8; 64];
    let mut len = [0u8; 8];
    let mut request = [0u8; REQUEST];
    put_u32(&mut request, 0, target as u32);
    put_u64(&mut request, 8, path.map_or(0, |path| path.as_ptr() as u64));
    put_u32(&mut request, 16, libc::O_RDONLY as u32);
    put_u64(&mut request, 40, handle.as_mut_ptr() as u64);
    put_u64(&mut request, 48, len.as_mut_ptr() as u64);
    ioctl(fd, ioc(IOWR, b'X', nr, REQUEST), &mut request)?;
    Ok(handle[..(u32_at(&len, 0) as usize).min(64)].to_vec())
}

/// The part of a request that names a file by its handle.
fn by_handle(handle: &[u8], flags: i32, len: usize) -> Vec<u8> {
    let mut request = vec![0u8; len];
    put_u32(&mut request, 16, flags as u32);
    put_u64(&mut request, 24, handle.as_ptr() as u64);
    put_u32(&mut request, 32, handle.len() as u32);
    request
}

/// XFS_IOC_OPEN_BY_HANDLE.
fn open(root: RawFd, handle: &[u8], flags: i32) -> sys::Result<OwnedFd> {
    let mut request = by_handle(handle, flags, REQUEST);
    ioctl(root, ioc(IOWR, b'X', 107, REQUEST), &mut request).map(|fd| own(fd as i32))
}

fn ino(fd: &OwnedFd) -> String {
    match sys::statx(fd.as_raw_fd(), &c(b""), 0x7ff) {
        Ok(stat) => format!("inode {}", u64_at(&stat, 32)),
        Err(errno) => format!("statx {errno}"),
    }
}

/// XFS_IOC_READLINK_BY_HANDLE.
fn readlink(root: RawFd, handle: &[u8], room: u32) -> sys::Result<Vec<u8>> {
    let mut target = vec![0u8; 4096];
    let mut len = room.to_le_bytes();
    let mut request = by_handle(handle, 0, REQUEST);
    put_u64(&mut request, 40, target.as_mut_ptr() as u64);
    put_u64(&mut request, 48, len.as_mut_ptr() as u64);
    let n = ioctl(root, ioc(IOWR, b'X', 108, REQUEST), &mut request)?;
    target.truncate(n as usize);
    Ok(target)
}

/// XFS_IOC_ATTRLIST_BY_HANDLE with a buffer of `room` bytes, over as many calls as it takes.
///
/// Of calls with little room the names alone are told: the kernel's own driver lets an entry that
/// just fits lie over its own offset, which is then taken for the length of its value.
fn attributes(root: RawFd, handle: &[u8], flags: u32, room: usize) -> sys::Result<Vec<String>> {
    let mut rows = Vec::new();
    let mut buf = vec![0u8; room];
    let mut request = by_handle(handle, 0, 88);
    put_u32(&mut request, 72, flags);
    put_u32(&mut request, 76, room as u32);
    put_u64(&mut request, 80, buf.as_mut_ptr() as u64);
    for call in 0..5000 {
        ioctl(root, ioc(IOW, b'X', 122, 88), &mut request)?;
        let (count, more) = (u32_at(&buf, 0) as usize, u32_at(&buf, 4));
        let all = room >= ALL;
        if all {
            rows.push(format!("call {call}: {count} more={more}"));
        }
        for index in 0..count.min(room / 4) {
            let at = u32_at(&buf, 8 + 4 * index) as usize;
            let Some(entry) = buf.get(at..).filter(|entry| entry.len() > 4) else {
                rows.push(format!("entry at {at} lies outside"));
                continue;
            };
            let name = entry[4..].split(|b| *b == 0).next().unwrap_or(&[]);
            match all {
                true => rows.push(format!("{} {}", quote(name), u32_at(entry, 0))),
                false => rows.push(quote(name)),
            }
        }
        if more == 0 || count == 0 {
            break;
        }
    }
    Ok(rows)
}

/// XFS_IOC_ATTRMULTI_BY_HANDLE: one value.
fn attribute(root: RawFd, handle: &[u8], name: &[u8], flags: u32) -> sys::Result<String> {
    let name = c(name);
    let mut value = vec![0u8; 65536];
    let mut operation = [0u8; 32];
    put_u32(&mut operation, 0, 1);
    put_u64(&mut operation, 8, name.as_ptr() as u64);
    put_u64(&mut operation, 16, value.as_mut_ptr() as u64);
    put_u32(&mut operation, 24, value.len() as u32);
    put_u32(&mut operation, 28, flags);
    let mut request = by_handle(handle, 0, 72);
    put_u32(&mut request, 56, 1);
    put_u64(&mut request, 64, operation.as_mut_ptr() as u64);
    ioctl(root, ioc(IOW, b'X', 123, 72), &mut request)?;
    let (error, len) = (
        u32_at(&operation, 4) as i32,
        u32_at(&operation, 24) as usize,
    );
    Ok(format!(
        "error={error} {len} {}",
        digest(&value[..len.min(65536)])
    ))
}

/// XFS_IOC_GETPARENTS, of an open file or by handle.
pub fn parents(fd: RawFd, handle: Option<&[u8]>, room: usize) -> sys::Result<Vec<String>> {
    let mut rows = Vec::new();
    let mut buf = vec![0u8; room];
    let head = if handle.is_some() { 24 } else { 0 };
    let mut request = vec![0u8; head + 40];
    if let Some(handle) = handle {
        request[..24].copy_from_slice(&handle[..24]);
    }
    put_u32(&mut request, head + 20, room as u32);
    put_u64(&mut request, head + 32, buf.as_mut_ptr() as u64);
    let nr = if handle.is_some() { 63 } else { 62 };
    for _ in 0..20_000 {
        ioctl(fd, ioc(IOWR, b'X', nr, request.len()), &mut request)?;
        let flags = u32_at(&request, head + 16) >> 16;
        rows.push(format!("flags={flags:#x}"));
        let mut at = 0;
        // A file without parents leaves the buffer as it was.
        while at + 32 <= room {
            let len = u32_at(&buf, at + 24) as usize;
            if len < 32 || at + len > room {
                break;
            }
            let name = buf[at + 32..at + len].split(|b| *b == 0).next();
            rows.push(format!(
                "{} {}",
                hex(&buf[at..at + 24]),
                quote(name.unwrap_or(&[]))
            ));
            at += len;
        }
        buf.fill(0);
        if flags & 3 != 0 {
            break;
        }
    }
    Ok(rows)
}

fn rows(out: &mut Out, name: &str, outcome: sys::Result<Vec<String>>, most: usize) {
    match outcome {
        Ok(rows) => out.list(name, &rows, most),
        Err(errno) => out.fail(name, errno),
    }
}

/// All that handles give for one inode; `path` leads to it without a symlink at its end.
pub fn dump(
    out: &mut Out,
    root: &OwnedFd,
    node: &OwnedFd,
    opened: Option<&OwnedFd>,
    path: &CStr,
    kind: u32,
) {
    let top = root.as_raw_fd();
    let native = sys::name_to_handle(node.as_raw_fd(), 0);
    let native = out.call("name_to_handle_at", native, |(kind, bytes)| {
        format!("type={kind} {}", hex(bytes))
    });
    let shows = |fd: &OwnedFd| ino(fd);
    let mut flags = libc::O_RDONLY;
    if kind == libc::S_IFLNK {
        flags |= libc::O_PATH;
    }
    let openable = matches!(kind, libc::S_IFREG | libc::S_IFDIR);
    if let Some((kind, bytes)) = &native {
        if openable || flags & libc::O_PATH != 0 {
            let fd = sys::open_by_handle(top, *kind, bytes, flags);
            out.call("open_by_handle_at", fd, shows);
        }
        let parent = sys::name_to_handle(node.as_raw_fd(), 1);
        out.call("name_to_handle_at for a number", parent, |(kind, bytes)| {
            format!("type={kind} {}", hex(bytes))
        });
    }
    let got = get(top, 105, 0, Some(path));
    let handle = out.call("PATH_TO_HANDLE", got, |handle| hex(handle));
    if let Some(fd) = opened {
        let got = get(fd.as_raw_fd(), 106, fd.as_raw_fd(), None);
        out.call("FD_TO_HANDLE", got, |handle| hex(handle));
        let got = parents(fd.as_raw_fd(), None, 65536);
        rows(out, "GETPARENTS", got, 2000);
        let got = parents(fd.as_raw_fd(), None, 400);
        rows(out, "GETPARENTS in small parts", got, 8);
    }
    let Some(handle) = handle.filter(|handle| handle.len() == 24) else {
        return;
    };
    if openable {
        out.call("OPEN_BY_HANDLE", open(top, &handle, flags), shows);
        let written = open(top, &handle, libc::O_RDWR);
        out.call("OPEN_BY_HANDLE to write", written, |_| "done".into());
    }
    for room in [4096, 10] {
        let target = readlink(top, &handle, room);
        out.call("READLINK_BY_HANDLE", target, |target| quote(target));
    }
    for (space, flags) in [("user", 0), ("root", 2), ("secure", 8)] {
        let name = format!("ATTRLIST_BY_HANDLE {space}");
        let listed = attributes(top, &handle, flags, ALL);
        let first = listed.as_ref().ok().and_then(|rows| {
            let row = rows.get(1)?;
            row.starts_with("\"attribute-")
                .then(|| row.split('"').nth(1).unwrap_or("").to_string())
        });
        rows(out, &name, listed, 500);
        let small = attributes(top, &handle, flags, 320);
        rows(out, &format!("{name} in small parts"), small, 8);
        if let Some(first) = first {
            let got = attribute(top, &handle, first.as_bytes(), flags);
            out.call("ATTRMULTI_BY_HANDLE", got, |text| text.clone());
        }
    }
    let got = attribute(top, &handle, b"absent", 0);
    out.call("ATTRMULTI_BY_HANDLE absent", got, |text| text.clone());
    let got = parents(top, Some(&handle), 4096);
    rows(out, "GETPARENTS_BY_HANDLE", got, 8);
}

/// Handles that name nothing: each with one thing wrong.
pub fn wrong(out: &mut Out, root: &OwnedFd) {
    let top = root.as_raw_fd();
    let here = c(&[fd_path(top).as_bytes(), b"/."].concat());
    let fsid = get(top, 104, 0, Some(&here));
    out.call("PATH_TO_FSHANDLE", fsid, |handle| hex(handle));
    let Ok(good) = get(top, 106, top, None) else {
        return;
    };
    if good.len() != 24 {
        return;
    }
    for (what, at, bits) in [
        ("file system", 0usize, 1u8),
        ("length", 8, 1),
        ("padding", 10, 1),
        ("generation", 12, 1),
        ("number", 16, 0xff),
        ("high number", 23, 0x7f),
    ] {
        let mut handle = good.clone();
        handle[at] ^= bits;
        let title = format!("OPEN_BY_HANDLE with another {what}");
        out.call(&title, open(top, &handle, libc::O_RDONLY), ino);
    }
    let short = open(top, &good[..20], libc::O_RDONLY);
    out.call("OPEN_BY_HANDLE cut short", short, ino);
    if let Ok((kind, bytes)) = sys::name_to_handle(top, 0) {
        for at in 0..bytes.len() {
            let mut handle = bytes.clone();
            handle[at] ^= 0x55;
            let title = format!("open_by_handle_at with another byte {at}");
            let fd = sys::open_by_handle(top, kind, &handle, libc::O_PATH);
            out.call(&title, fd, ino);
        }
        for kind in [0, 1, 2, 3, 0x81, 0x82, 0xff] {
            let title = format!("open_by_handle_at of type {kind}");
            let fd = sys::open_by_handle(top, kind, &bytes, libc::O_PATH);
            out.call(&title, fd, ino);
        }
    }
    let mut unknown = [0u8; 64];
    for nr in [1u8, 39, 99, 140, 200] {
        let title = format!("ioctl X {nr}");
        let done = ioctl(top, ioc(IOR, b'X', nr, 8), &mut unknown);
        out.call(&title, done, |n| n.to_string());
    }
}
