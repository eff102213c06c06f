// SPDX-License-Identifier: GPL-2.0
//! The ioctls as a 32-bit process makes them: by its own gate, `int 0x80`, with structures of its own
//! sizes, all below 4 GiB.

use crate::dump::Out;
use crate::layout::{digest, put_u32, put_u64, text};
use crate::sys::{ioc, Errno, Result, IOR, IOWR};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Whether this kernel has the gate: where it has none, using it is a fault, which it logs. The
/// setting is there with what it is about, 32-bit processes.
fn has_gate() -> bool {
    std::path::Path::new("/proc/sys/abi/vsyscall32").exists()
}

/// # Safety
///
/// As for the system call of that number.
unsafe fn gate(number: i32, first: u32, second: u32, third: u32) -> i32 {
    let result: i32;
    // SAFETY: the gate changes no register but rax and, on some kernels, r8 to r11. rbx is the
    // compiler's own: it is swapped in and out.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first:r}",
            "int 0x80",
            "xchg rbx, {first:r}",
            first = inout(reg) u64::from(first) => _,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

/// Memory that 32-bit pointers reach.
struct Low(*mut u8);

const ROOM: usize = 1 << 20;

impl Low {
    fn new() -> Option<Low> {
        // SAFETY: a fresh mapping of the kernel's choice.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                ROOM,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        (at != libc::MAP_FAILED).then_some(Low(at.cast()))
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has this length and lives as long as the program.
        unsafe { std::slice::from_raw_parts_mut(self.0, ROOM) }
    }

    fn at(&self, offset: usize) -> u32 {
        self.0 as usize as u32 + offset as u32
    }

    /// An ioctl over the first bytes.
    fn ioctl(&mut self, fd: RawFd, request: u64) -> Result<i32> {
        const IOCTL: i32 = 54;
        // SAFETY: all that the requests here point at lies in this mapping.
        match unsafe { gate(IOCTL, fd as u32, request as u32, self.at(0)) } {
            result if result < 0 => Err(Errno(-result)),
            result => Ok(result),
        }
    }
}

/// The calls whose structures differ between 32 and 64 bits, and some whose don't.
pub fn dump(out: &mut Out, root: &OwnedFd) {
    if !has_gate() {
        out.line("no calls of 32 bits in this kernel");
        return;
    }
    let Some(mut low) = Low::new() else { return };
    let fd = root.as_raw_fd();
    out.line("by calls of 32 bits:");
    for (name, request, len) in [
        ("FSGEOMETRY_V1", ioc(IOR, b'X', 100, 108), 108),
        ("FSGEOMETRY_V4", ioc(IOR, b'X', 124, 112), 112),
        ("FSGEOMETRY", ioc(IOR, b'X', 126, 256), 256),
        ("AG_GEOMETRY", ioc(IOWR, b'X', 61, 128), 128),
        ("GETFLAGS", ioc(IOR, b'f', 1, 4), 4),
        ("GETVERSION", ioc(IOR, b'v', 1, 4), 4),
        ("FSGETXATTR", ioc(IOR, b'X', 31, 28), 28),
    ] {
        low.bytes()[..len].fill(0);
        low.bytes()[len..512].fill(0xa5);
        let done = low.ioctl(fd, request);
        let shown = digest(&low.bytes()[..len]);
        let past = low.bytes()[len..512].iter().all(|b| *b == 0xa5);
        out.call(name, done, |_| format!("{shown} nothing past it: {past}"));
    }
    bulk(out, &mut low, fd);
    handles(out, &mut low, fd);
    // The present forms have one layout.
    for (name, nr) in [("BULKSTAT", 127), ("INUMBERS", 128)] {
        low.bytes().fill(0);
        put_u32(low.bytes(), 12, 20);
        let done = low.ioctl(fd, ioc(IOR, b'X', nr, 64));
        let shown = digest(&low.bytes()[..64 + 20 * 192]);
        out.call(name, done, |_| shown);
    }
    low.bytes().fill(0);
    put_u32(low.bytes(), 8, 50);
    low.bytes()[128..136].fill(0xff);
    low.bytes()[136..160].fill(0xff);
    let done = low.ioctl(fd, ioc(IOWR, b'X', 59, 192));
    let shown = digest(&low.bytes()[..192 + 50 * 64]);
    out.call("GETFSMAP", done, |_| shown);
    low.bytes().fill(0);
    put_u64(low.bytes(), 16, u64::MAX);
    put_u32(low.bytes(), 24, 20);
    let done = low.ioctl(fd, ioc(IOWR, b'X', 56, 32));
    let shown = digest(&low.bytes()[..20 * 48]);
    out.call("GETBMAPX", done, |_| shown);
}

/// The old calls for many inodes, whose records have another padding and shorter times.
fn bulk(out: &mut Out, low: &mut Low, fd: RawFd) {
    for (name, nr, layout, len) in [
        (
            "FSBULKSTAT",
            101,
            "ino:8 mode:x2 nlink:2 uid:4 gid:4 rdev:x4 blksize:4 size:8 atime:s4 nsec:4 mtime:s4 \
             nsec:4 ctime:s4 nsec:4 blocks:8 xflags:x4 extsize:4 extents:4 gen:4 projid_lo:2 \
             forkoff:2 projid_hi:2 sick:x2 checked:x2 pad:z2 cowextsize:4 dmevmask:z4 dmstate:z2 \
             aextents:2",
            108,
        ),
        ("FSBULKSTAT_SINGLE", 102, "", 108),
        ("FSINUMBERS", 103, "startino:8 count:4 mask:x8", 20),
    ] {
        low.bytes().fill(0);
        let request = [low.at(64), 30, low.at(4096), low.at(80)];
        for (index, word) in request.into_iter().enumerate() {
            put_u32(low.bytes(), 4 * index, word);
        }
        if nr == 102 {
            put_u64(low.bytes(), 64, 128);
            put_u32(low.bytes(), 4, 1);
        }
        let done = low.ioctl(fd, ioc(IOWR, b'X', nr, 16));
        let bytes = low.bytes().to_vec();
        out.call(name, done, |_| {
            format!(
                "{} {}",
                text("last:8 pad:8 count:4", &bytes[64..84]),
                digest(&bytes[4096..])
            )
        });
        for at in 0..30 {
            if !layout.is_empty() && done.is_ok() {
                let from = 4096 + at * len;
                out.line(format_args!("  {}", text(layout, &bytes[from..from + len])));
            }
        }
    }
}

fn handles(out: &mut Out, low: &mut Low, fd: RawFd) {
    low.bytes().fill(0);
    let request = [fd as u32, 0, 0, 0, 0, low.at(256), low.at(320)];
    for (index, word) in request.into_iter().enumerate() {
        put_u32(low.bytes(), 4 * index, word);
    }
    let done = low.ioctl(fd, ioc(IOWR, b'X', 106, 28));
    let shown = digest(&low.bytes()[256..324]);
    out.call("FD_TO_HANDLE", done, |_| shown);
    let request = [0, 0, 0, low.at(256), 24, 0, 0];
    for (index, word) in request.into_iter().enumerate() {
        put_u32(low.bytes(), 4 * index, word);
    }
    let opened = low.ioctl(fd, ioc(IOWR, b'X', 107, 28));
    if let Some(fd) = out.call("OPEN_BY_HANDLE", opened, |_| "done".into()) {
        drop(crate::sys::own(fd));
    }
    // Handle, four words of position, flags, length, buffer.
    for (index, word) in [0, 0, 0, 0, 0, 2048, low.at(4096)].into_iter().enumerate() {
        put_u32(low.bytes(), 28 + 4 * index, word);
    }
    let done = low.ioctl(fd, ioc(crate::sys::IOW, b'X', 122, 56));
    let shown = digest(&low.bytes()[4096..4096 + 2048]);
    out.call("ATTRLIST_BY_HANDLE", done, |_| shown);
}
