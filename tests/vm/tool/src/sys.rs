// SPDX-License-Identifier: GPL-2.0
//! System calls by their numbers and byte layouts.
//!
//! Structures that the kernel fills are byte buffers here, decoded by [`crate::layout`]: what was not
//! written by the kernel shows too, and a new field needs one word.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An errno, as the dump prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            libc::EPERM => "EPERM",
            libc::ENOENT => "ENOENT",
            libc::EIO => "EIO",
            libc::ENXIO => "ENXIO",
            libc::E2BIG => "E2BIG",
            libc::EBADF => "EBADF",
            libc::EAGAIN => "EAGAIN",
            libc::ENOMEM => "ENOMEM",
            libc::EACCES => "EACCES",
            libc::EFAULT => "EFAULT",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::EXDEV => "EXDEV",
            libc::ENODEV => "ENODEV",
            libc::ENOTDIR => "ENOTDIR",
            libc::EISDIR => "EISDIR",
            libc::EINVAL => "EINVAL",
            libc::ENOTTY => "ENOTTY",
            libc::EFBIG => "EFBIG",
            libc::ENOSPC => "ENOSPC",
            libc::EROFS => "EROFS",
            libc::EMLINK => "EMLINK",
            libc::ERANGE => "ERANGE",
            libc::ENAMETOOLONG => "ENAMETOOLONG",
            libc::ENOSYS => "ENOSYS",
            libc::ELOOP => "ELOOP",
            libc::ENODATA => "ENODATA",
            libc::EBADMSG => "EBADMSG",
            libc::EOVERFLOW => "EOVERFLOW",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::ESTALE => "ESTALE",
            libc::EUCLEAN => "EUCLEAN",
            other => return write!(f, "errno {other}"),
        };
        f.write_str(name)
    }
}

/// What a call gave.
pub type Result<T> = std::result::Result<T, Errno>;

/// The errno of the call just made.
pub fn errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

fn check(value: i64) -> Result<i64> {
    if value < 0 {
        Err(errno())
    } else {
        Ok(value)
    }
}

/// A C string; a name never holds a NUL.
pub fn c(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("a name has no NUL")
}

/// The path by which the calls that take only paths reach what `fd` is open on.
pub fn fd_path(fd: RawFd) -> CString {
    c(format!("/proc/self/fd/{fd}").as_bytes())
}

/// `openat`; `mode` is for O_CREAT.
pub fn openat(dir: RawFd, name: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    // SAFETY: `name` ends in a NUL, and the descriptor is owned from here on.
    unsafe {
        let fd = libc::openat(dir, name.as_ptr(), flags | libc::O_CLOEXEC, mode);
        check(fd as i64).map(|fd| OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Takes ownership of a descriptor that an ioctl returned.
pub fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just opened it for this process, and nothing else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The direction bits of an ioctl number.
pub const IOR: u64 = 2;
/// Input only.
pub const IOW: u64 = 1;
/// Both ways.
pub const IOWR: u64 = 3;

/// An ioctl's number.
pub const fn ioc(dir: u64, kind: u8, nr: u8, size: usize) -> u64 {
    (dir << 30) | ((size as u64) << 16) | ((kind as u64) << 8) | nr as u64
}

/// `ioctl` on a byte buffer.
pub fn ioctl(fd: RawFd, request: u64, arg: &mut [u8]) -> Result<i64> {
    // SAFETY: each caller's buffer has the size that the request tells.
    check(unsafe { libc::ioctl(fd, request as libc::c_ulong, arg.as_mut_ptr()) } as i64)
}

/// `pread`.
pub fn pread(fd: RawFd, buf: &mut [u8], offset: u64) -> Result<usize> {
    // SAFETY: the buffer is as long as told.
    let n = unsafe { libc::pread64(fd, buf.as_mut_ptr().cast(), buf.len(), offset as i64) };
    check(n as i64).map(|n| n as usize)
}

/// Writes all of `buf` at `offset`.
pub fn pwrite(fd: RawFd, buf: &[u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let rest = &buf[done..];
        // SAFETY: the buffer is as long as told.
        let n = unsafe {
            libc::pwrite64(
                fd,
                rest.as_ptr().cast(),
                rest.len(),
                (offset + done as u64) as i64,
            )
        };
        done += check(n as i64)? as usize;
    }
    Ok(())
}

/// `lseek`.
pub fn lseek(fd: RawFd, offset: u64, whence: i32) -> Result<u64> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::lseek64(fd, offset as i64, whence) }).map(|at| at as u64)
}

/// `fallocate`.
pub fn fallocate(fd: RawFd, mode: i32, offset: u64, len: u64) -> Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::fallocate64(fd, mode, offset as i64, len as i64) } as i64).map(drop)
}

/// `ftruncate`.
pub fn ftruncate(fd: RawFd, size: u64) -> Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::ftruncate64(fd, size as i64) } as i64).map(drop)
}

/// `statx` into its 256 bytes, of the descriptor itself or, where `name` is not empty, of a name in it.
pub fn statx(dir: RawFd, name: &CStr, mask: u32) -> Result<[u8; 256]> {
    let mut buf = [0u8; 256];
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    // SAFETY: the kernel's struct statx has 256 bytes.
    check(unsafe {
        libc::syscall(
            libc::SYS_statx,
            dir,
            name.as_ptr(),
            flags,
            mask,
            buf.as_mut_ptr(),
        )
    })?;
    Ok(buf)
}

/// `getdents64` into `buf`; the number of bytes.
pub fn getdents(fd: RawFd, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as told.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, fd, buf.as_mut_ptr(), buf.len()) };
    check(n).map(|n| n as usize)
}

/// `readlinkat` of a descriptor that is open on the symlink itself.
pub fn readlink(fd: RawFd) -> Result<Vec<u8>> {
    let mut buf = vec![0u8; 4096];
    // SAFETY: the buffer is as long as told.
    let n =
        unsafe { libc::readlinkat(fd, c"".as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } as i64;
    buf.truncate(check(n)? as usize);
    Ok(buf)
}

/// `listxattr` into `size` bytes; 0 asks for the size.
pub fn listxattr(path: &CStr, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as told.
    let n = unsafe { libc::listxattr(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) };
    check(n as i64).map(|n| n as usize)
}

/// `getxattr`.
pub fn getxattr(path: &CStr, name: &CStr, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as told.
    let n = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            buf.as_mut_ptr().cast(),
            buf.len(),
        )
    };
    check(n as i64).map(|n| n as usize)
}

/// `lsetxattr`.
pub fn setxattr(path: &CStr, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: the buffer is as long as told.
    check(unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    } as i64)
    .map(drop)
}

/// `lremovexattr`.
pub fn removexattr(path: &CStr, name: &CStr) -> Result<()> {
    // SAFETY: both end in a NUL.
    check(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) } as i64).map(drop)
}

/// `name_to_handle_at` of what `fd` is open on: the type and the bytes.
pub fn name_to_handle(fd: RawFd, flags: i32) -> Result<(i32, Vec<u8>)> {
    let mut buf = [0u8; 8 + 128];
    buf[..4].copy_from_slice(&128u32.to_ne_bytes());
    let mut mount = 0i32;
    // SAFETY: room for 128 bytes of handle is told in its first word.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            fd,
            c"".as_ptr(),
            buf.as_mut_ptr(),
            &mut mount,
            libc::AT_EMPTY_PATH | flags,
        )
    })?;
    let len = u32::from_ne_bytes([buf[0], buf[1], buf[2], buf[3]]) as usize;
    let kind = i32::from_ne_bytes([buf[4], buf[5], buf[6], buf[7]]);
    Ok((kind, buf[8..8 + len].to_vec()))
}

/// `open_by_handle_at`.
pub fn open_by_handle(mount: RawFd, kind: i32, bytes: &[u8], flags: i32) -> Result<OwnedFd> {
    let mut buf = Vec::new();
    buf.extend((bytes.len() as u32).to_ne_bytes());
    buf.extend(kind.to_ne_bytes());
    buf.extend(bytes);
    // SAFETY: the handle tells its own length.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount,
            buf.as_mut_ptr(),
            flags | libc::O_CLOEXEC,
        )
    })?;
    Ok(own(fd as i32))
}

/// Reads a whole range through a mapping of it, `len` > 0.
pub fn mmap_read(fd: RawFd, offset: u64, len: usize, mut take: impl FnMut(&[u8])) -> Result<()> {
    // SAFETY: a private read-only mapping of a file that nothing changes; unmapped before the return.
    unsafe {
        let at = libc::mmap64(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            fd,
            offset as i64,
        );
        if at == libc::MAP_FAILED {
            return Err(errno());
        }
        take(std::slice::from_raw_parts(at.cast(), len));
        libc::munmap(at, len);
    }
    Ok(())
}

/// Reads up to `len` bytes at `offset` through a pipe by `splice`, without a copy in between.
pub fn splice_read(
    fd: RawFd,
    offset: u64,
    len: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<usize> {
    let mut ends = [0i32; 2];
    // SAFETY: two descriptors fit.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } as i64)?;
    let (from, into) = (own(ends[0]), own(ends[1]));
    let mut buf = vec![0u8; 65536];
    let mut at = offset as i64;
    let mut total = 0;
    while total < len {
        let want = (len - total).min(buf.len());
        // SAFETY: `at` lives through the call.
        let n = check(unsafe {
            libc::splice(fd, &mut at, into.as_raw_fd(), std::ptr::null_mut(), want, 0)
        } as i64)? as usize;
        if n == 0 {
            break;
        }
        let mut left = n;
        while left > 0 {
            // SAFETY: the buffer is as long as told.
            let got = check(unsafe {
                libc::read(
                    from.as_raw_fd(),
                    buf.as_mut_ptr().cast(),
                    left.min(buf.len()),
                )
            } as i64)? as usize;
            take(&buf[..got]);
            left -= got;
        }
        total += n;
    }
    Ok(total)
}

/// A buffer that O_DIRECT takes: at a page's start.
pub struct PageBuffer(Vec<u8>, usize, usize);

impl PageBuffer {
    /// `len` bytes.
    pub fn new(len: usize) -> PageBuffer {
        let bytes = vec![0u8; len + 65536];
        let skip = bytes.as_ptr().align_offset(65536);
        PageBuffer(bytes, skip, len)
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0[self.1..self.1 + self.2]
    }
}
