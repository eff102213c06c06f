// SPDX-License-Identifier: GPL-2.0
//! What an inode itself holds: times at their limits, owners, modes, flags, projects, device numbers.

use super::{create, edit_fsxattr, open, At, Fill, Made};
use crate::sys::{self, c, Errno};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, PermissionsExt};
use std::path::Path;

pub fn fill(fill: &mut Fill) -> Made {
    let base = fill.folder("inodes")?;
    times(fill, &base)?;
    owners(&base)?;
    devices(&base)?;
    flags(fill, &base)
}

fn set_times(path: &Path, atime: (i64, i64), mtime: (i64, i64)) -> Made {
    let times = [atime, mtime].map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    let name = c(path.as_os_str().as_bytes());
    // SAFETY: the path ends in a NUL, and two times are there.
    let done = unsafe {
        libc::utimensat(
            libc::AT_FDCWD,
            name.as_ptr(),
            times.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    if done != 0 {
        return Err::<(), Errno>(sys::errno()).at("utimensat", path);
    }
    Ok(())
}

fn times(fill: &Fill, base: &Path) -> Made {
    let first = -(1i64 << 31);
    // The last second is that of 32 bits, or of 64 bits of nanoseconds since the first.
    let last = if fill.bigtime {
        (u64::MAX / 1_000_000_000) as i64 + first
    } else {
        (1i64 << 31) - 1
    };
    let seconds = [
        ("first", first),
        ("before-epoch", -1),
        ("epoch", 0),
        ("leap-second", 1_483_228_799),
        ("2038", (1 << 31) - 1),
        ("2038-next", 1 << 31),
        ("2106", 1 << 32),
        ("last", last),
    ];
    for (name, second) in seconds.into_iter().filter(|(_, second)| *second <= last) {
        for nanosecond in [0, 1, 999_999_999] {
            if second == last && nanosecond != 0 {
                continue;
            }
            let path = base.join(format!("time-{name}-{nanosecond}"));
            create(&path)?;
            set_times(&path, (second, nanosecond), (second, nanosecond))?;
        }
    }
    let past = base.join("time-out-of-range");
    create(&past)?;
    set_times(&past, (first - 10, 5), (last + 10, 5))
}

fn owners(base: &Path) -> Made {
    for mode in [
        0o0u32, 0o1, 0o400, 0o600, 0o644, 0o777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777,
    ] {
        let path = base.join(format!("mode-{mode:o}"));
        create(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("chmod", &path)?;
    }
    for (uid, gid) in [
        (1000, 1000),
        (65534, 65534),
        (65536, 70000),
        (1 << 31, 1),
        (u32::MAX - 1, u32::MAX - 1),
    ] {
        let path = base.join(format!("owner-{uid}-{gid}"));
        create(&path)?;
        chown(&path, Some(uid), Some(gid)).at("chown", &path)?;
    }
    let folder = base.join("folder-set-group");
    fs::create_dir(&folder).at("mkdir", &folder)?;
    chown(&folder, Some(1000), Some(2000)).at("chown", &folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2770)).at("chmod", &folder)?;
    create(&folder.join("takes-the-group")).map(drop)
}

fn devices(base: &Path) -> Made {
    let node = |name: &str, kind: u32, device: u64| {
        let path = base.join(name);
        let at = c(path.as_os_str().as_bytes());
        // SAFETY: the path ends in a NUL.
        if unsafe { libc::mknod(at.as_ptr(), kind | 0o640, device) } != 0 {
            return Err::<(), Errno>(sys::errno()).at("mknod", &path);
        }
        Ok(())
    };
    node("fifo", libc::S_IFIFO, 0)?;
    node("socket", libc::S_IFSOCK, 0)?;
    for (major, minor) in [
        (0, 0),
        (1, 3),
        (8, 255),
        (259, 256),
        (300, 65535),
        (511, 262_143),
    ] {
        let device = libc::makedev(major, minor);
        node(&format!("char-{major}-{minor}"), libc::S_IFCHR, device)?;
        node(&format!("block-{major}-{minor}"), libc::S_IFBLK, device)?;
    }
    Ok(())
}

fn flags(fill: &mut Fill, base: &Path) -> Made {
    let block = fill.block as u32;
    for (name, bits) in [
        ("immutable", 0x8),
        ("append", 0x10),
        ("sync", 0x20),
        ("noatime", 0x40),
        ("nodump", 0x80),
        ("nodefrag", 0x2000),
        ("dax", 0x8000),
        ("many", 0x10 | 0x20 | 0x40 | 0x80),
    ] {
        let path = base.join(format!("flag-{name}"));
        let fd = create(&path)?;
        fs::write(&path, name).at("write", &path)?;
        edit_fsxattr(fd.as_raw_fd(), |x| x.flags |= bits).at("FSSETXATTR", &path)?;
    }
    for (name, bits) in [
        ("project-inherit", 0x200),
        ("no-symlinks", 0x400),
        ("extent-size-inherit", 0x1000),
        ("filestream", 0x4000),
        ("cow-extent-size", 0x10000),
        ("nodump", 0x80),
    ] {
        if bits == 0x10000 && !fill.reflink {
            continue;
        }
        let path = base.join(format!("folder-flag-{name}"));
        fs::create_dir(&path).at("mkdir", &path)?;
        edit_fsxattr(open(&path)?.as_raw_fd(), |x| {
            x.flags |= bits;
            match bits {
                0x200 => x.project = 0x1234_5678,
                0x1000 => x.extent = 8 * block,
                0x10000 => x.cow = 4 * block,
                _ => {}
            }
        })
        .at("FSSETXATTR", &path)?;
        let below = path.join("inherits");
        create(&below)?;
        fs::write(&below, vec![7u8; 3 * block as usize]).at("write", &below)?;
    }
    for project in [1u32, 65535, 65536, u32::MAX - 1] {
        let path = base.join(format!("project-{project}"));
        let fd = create(&path)?;
        edit_fsxattr(fd.as_raw_fd(), |x| x.project = project).at("FSSETXATTR", &path)?;
    }
    Ok(())
}
