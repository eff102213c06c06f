// SPDX-License-Identifier: GPL-2.0
//! One inode: statx, flags, symlink target, extended attributes.

use super::Out;
use crate::layout::{digest, quote, size, text};
use crate::populate::FSXATTR;
use crate::sys::{self, c, fd_path, ioc, ioctl, IOR};
use std::os::fd::{AsRawFd, OwnedFd};

/// struct statx, less the mount's number, which is another with each mount, and less what tells of
/// atomic writes: how long they can be follows from a log that a read-only mount does not write.
const STATX: &str =
    "mask:x4 blksize:4 attributes:x8 nlink:4 uid:4 gid:4 mode:x2 pad:z2 ino:8 size:8 \
     blocks:8 attributes_mask:x8 atime:s8 nsec:4 pad:z4 btime:s8 nsec:4 pad:z4 ctime:s8 nsec:4 \
     pad:z4 mtime:s8 nsec:4 pad:z4 rdev_major:4 rdev_minor:4 dev_major:4 dev_minor:4 mnt_id:-8 \
     dio_mem_align:4 dio_offset_align:4 subvol:8 atomic:-12 dio_read_align:4 atomic:-4 \
     spare:z68";

/// The attribute that says that writes can be atomic, a bit of the third byte.
const WRITE_ATOMIC: u8 = 0x40;

/// statx as text.
pub fn stat_text(stat: &[u8; 256]) -> String {
    let mut stat = *stat;
    stat[10] &= !WRITE_ATOMIC;
    text(STATX, &stat)
}

/// The file type bits.
pub fn kind(stat: &[u8; 256]) -> u32 {
    u32::from(u16::from_le_bytes([stat[28], stat[29]])) & libc::S_IFMT
}

/// struct file_attr, by the call that needs no open file.
fn file_attr(node: &OwnedFd) -> sys::Result<[u8; 24]> {
    const FILE_GETATTR: i64 = 468;
    let mut attr = [0u8; 24];
    let path = fd_path(node.as_raw_fd());
    // SAFETY: the size that is told is the buffer's.
    let done = unsafe {
        libc::syscall(
            FILE_GETATTR,
            libc::AT_FDCWD,
            path.as_ptr(),
            attr.as_mut_ptr(),
            attr.len(),
            0,
        )
    };
    if done < 0 {
        return Err(sys::errno());
    }
    Ok(attr)
}

/// What needs no open for reading.
pub fn dump(out: &mut Out, node: &OwnedFd, kind: u32) {
    for (name, mask) in [
        ("statx type", 1u32),
        ("statx size", 0x200),
        ("statx dio", 0x2000),
    ] {
        let stat = sys::statx(node.as_raw_fd(), &c(b""), mask);
        out.call(name, stat, |stat| digest(stat_text(stat).as_bytes()));
    }
    let layout = "xflags:x8 extsize:4 nextents:4 projid:4 cowextsize:4";
    out.call("file_getattr", file_attr(node), |attr| text(layout, attr));
    if kind == libc::S_IFLNK {
        let target = sys::readlink(node.as_raw_fd());
        out.call("readlink", target, |target| quote(target));
    }
    attributes(out, node);
}

/// What an open file tells.
pub fn dump_opened(out: &mut Out, fd: &OwnedFd) {
    let raw = fd.as_raw_fd();
    let number = |request| {
        let mut value = [0u8; 8];
        ioctl(raw, request, &mut value).map(|_| value)
    };
    out.call("GETFLAGS", number(ioc(IOR, b'f', 1, 8)), |v| {
        text("flags:x4", v)
    });
    out.call("GETVERSION", number(ioc(IOR, b'v', 1, 8)), |v| {
        text("version:4", v)
    });
    let len = size(FSXATTR);
    for (name, nr) in [("FSGETXATTR", 31), ("FSGETXATTRA", 45)] {
        let mut attr = vec![0u8; len];
        let done = ioctl(raw, ioc(IOR, b'X', nr, len), &mut attr).map(|_| attr);
        out.call(name, done, |attr| text(FSXATTR, attr));
    }
    let mut direct = [0u8; 12];
    let done = ioctl(raw, ioc(IOR, b'X', 30, 12), &mut direct).map(|_| direct);
    out.call("DIOINFO", done, |d| text("mem:4 min:4 max:4", d));
}

/// Names in the order in which the file system lists them, and their values.
fn attributes(out: &mut Out, node: &OwnedFd) {
    let path = fd_path(node.as_raw_fd());
    let Some(len) = out.call("listxattr size", sys::listxattr(&path, &mut []), |len| {
        len.to_string()
    }) else {
        return;
    };
    if len > 0 {
        let mut small = vec![0u8; len - 1];
        let short = match len {
            1 => Ok(0),
            _ => sys::listxattr(&path, &mut small),
        };
        out.call("listxattr into too little", short, |n| n.to_string());
    }
    let mut buf = vec![0u8; len.max(1)];
    let mut listed = sys::listxattr(&path, &mut buf);
    if len == 0 {
        listed = listed.map(|_| 0);
    }
    let Some(n) = out.call("listxattr", listed, |n| n.to_string()) else {
        return;
    };
    let mut wide = vec![0u8; 65536];
    let listed = sys::listxattr(&path, &mut wide);
    out.call("listxattr into 64 KiB", listed, |n| {
        format!("{n} {}", digest(&wide[..*n]))
    });
    buf.truncate(n);
    let mut value = vec![0u8; 65536];
    for name in buf.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let (title, name) = (format!("xattr {}", quote(name)), c(name));
        let outcome = sys::getxattr(&path, &name, &mut value);
        let len = out.call(&title, outcome, |len| {
            format!("{len} {}", digest(&value[..*len]))
        });
        if let Some(len) = len.filter(|len| *len > 1 && !out.is_walk()) {
            let asked = sys::getxattr(&path, &name, &mut []);
            if asked != Ok(len) {
                out.line(format_args!("its size is {asked:?}"));
            }
            let short = sys::getxattr(&path, &name, &mut value[..len - 1]);
            if short != Err(sys::Errno(libc::ERANGE)) {
                out.line(format_args!("into too little: {short:?}"));
            }
        }
    }
    for name in [
        "user.absent",
        "trusted.absent",
        "security.absent",
        "nosuch.absent",
    ] {
        let outcome = sys::getxattr(&path, &c(name.as_bytes()), &mut value);
        out.call(name, outcome, |len| len.to_string());
    }
}
