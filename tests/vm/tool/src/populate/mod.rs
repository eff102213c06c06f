// SPDX-License-Identifier: GPL-2.0
//! Fills a mounted XFS with every form that the format knows.
//!
//! What the file system cannot do (no reflink, no realtime device) is left out and said so on standard
//! output; any other failure ends the run.

mod attrs;
mod dirs;
mod files;
mod inodes;
mod links;
mod realtime;
mod tree;

use crate::layout::{put_u32, size, text, u32_at, u64_at};
use crate::sys::{self, ioc, ioctl, openat, Errno, IOR, IOW};
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What went wrong, and where.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Made<T = ()> = Result<T, Failure>;

/// One subject of the population.
type Part = fn(&mut Fill) -> Made;

/// Names the call and the path in an error.
trait At<T> {
    fn at(self, what: &str, path: &Path) -> Made<T>;
}

impl<T> At<T> for sys::Result<T> {
    fn at(self, what: &str, path: &Path) -> Made<T> {
        self.map_err(|errno| Failure(format!("{what} {path:?}: {errno}")))
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, what: &str, path: &Path) -> Made<T> {
        self.map_err(|error| Failure(format!("{what} {path:?}: {error}")))
    }
}

/// SplitMix64: small, and the same on every machine.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend(self.next().to_le_bytes());
        }
        out.truncate(len);
        out
    }

    fn name(&mut self, len: usize) -> Vec<u8> {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
        self.bytes(len)
            .iter()
            .map(|b| LETTERS[(b & 31) as usize])
            .collect()
    }
}

/// The layout of struct xfs_fsop_geom that tells what the file system is.
pub const GEOMETRY: &str = "blocksize:4 rtextsize:4 agblocks:4 agcount:4 logblocks:4 sectsize:4 \
     inodesize:4 imaxpct:4 datablocks:8 rtblocks:8 rtextents:8 logstart:8 uuid:16 sunit:4 swidth:4 \
     version:s4 flags:x4 logsectsize:4 rtsectsize:4 dirblocksize:4 logsunit:4 sick:x4 checked:x4 \
     rgextents:4 rgcount:4 rtstart:8 rtreserved:8 reserved:z112";

const FLAG_EXTFLG_REFLINK: u32 = 1 << 20;
const FLAG_BIGTIME: u32 = 1 << 21;

/// The file system that is being filled.
pub struct Fill {
    root: PathBuf,
    random: Random,
    /// Percent of full scale; 0 for a few files of each form.
    scale: u64,
    /// Block size in bytes.
    block: u64,
    /// Directory block size in bytes.
    dir_block: u64,
    /// Inode size in bytes.
    inode: u64,
    reflink: bool,
    bigtime: bool,
    /// Realtime extent size in blocks, where there is a realtime device.
    rt_extent: Option<u64>,
}

impl Fill {
    /// A new folder right below the root.
    fn folder(&self, name: &str) -> Made<PathBuf> {
        let path = self.root.join(name);
        std::fs::create_dir(&path).at("mkdir", &path)?;
        Ok(path)
    }

    /// `full` at full scale, less in proportion, and never below `least`; a sixteenth of that where
    /// only a few are wanted.
    fn scaled(&self, full: u64, least: u64) -> u64 {
        if self.is_small() {
            return (least / 16).max(4);
        }
        (full * self.scale / 100).max(least)
    }

    /// Whether a few files of each form will do.
    fn is_small(&self) -> bool {
        self.scale == 0
    }

    /// One block of bytes that tell where they lie.
    fn pattern(&mut self, len: u64) -> Vec<u8> {
        self.random.bytes(len as usize)
    }
}

/// `dir/name` for a name of bytes.
fn join(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

/// Makes a file and leaves it open for reading and writing.
fn create(path: &Path) -> Made<OwnedFd> {
    let name = sys::c(path.as_os_str().as_bytes());
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    openat(libc::AT_FDCWD, &name, flags, 0o644).at("create", path)
}

/// Opens a file or folder for reading.
fn open(path: &Path) -> Made<OwnedFd> {
    let name = sys::c(path.as_os_str().as_bytes());
    openat(libc::AT_FDCWD, &name, libc::O_RDONLY, 0).at("open", path)
}

/// The layout of struct fsxattr.
pub const FSXATTR: &str = "xflags:x4 extsize:4 nextents:4 projid:4 cowextsize:4 pad:z8 ";

/// What FSSETXATTR sets: flags, extent size hints in bytes, project.
struct Extended {
    flags: u32,
    extent: u32,
    project: u32,
    cow: u32,
}

/// Changes what FSSETXATTR sets.
fn edit_fsxattr(fd: RawFd, edit: impl FnOnce(&mut Extended)) -> sys::Result<()> {
    let len = size(FSXATTR);
    let mut buf = vec![0u8; len];
    ioctl(fd, ioc(IOR, b'X', 31, len), &mut buf)?;
    let mut extended = Extended {
        flags: u32_at(&buf, 0),
        extent: u32_at(&buf, 4),
        project: u32_at(&buf, 12),
        cow: u32_at(&buf, 16),
    };
    edit(&mut extended);
    put_u32(&mut buf, 0, extended.flags);
    put_u32(&mut buf, 4, extended.extent);
    put_u32(&mut buf, 12, extended.project);
    put_u32(&mut buf, 16, extended.cow);
    ioctl(fd, ioc(IOW, b'X', 32, len), &mut buf).map(drop)
}

/// Shares `len` bytes of `from` at `from_offset` into `into` at `offset`; `len` 0 means up to the end.
fn clone_range(
    from: &OwnedFd,
    from_offset: u64,
    len: u64,
    into: &OwnedFd,
    offset: u64,
) -> sys::Result<()> {
    let mut arg = Vec::new();
    arg.extend((from.as_raw_fd() as i64).to_le_bytes());
    arg.extend(from_offset.to_le_bytes());
    arg.extend(len.to_le_bytes());
    arg.extend(offset.to_le_bytes());
    ioctl(into.as_raw_fd(), ioc(IOW, 0x94, 13, arg.len()), &mut arg).map(drop)
}

/// Fills the file system mounted at `root`.
pub fn populate(root: &Path, seed: u64, scale: u64) -> Made {
    let dir = open(root)?;
    let mut geometry = vec![0u8; size(GEOMETRY)];
    let request = ioc(IOR, b'X', 126, geometry.len());
    ioctl(dir.as_raw_fd(), request, &mut geometry).at("FSGEOMETRY", root)?;
    println!("{}", text(GEOMETRY, &geometry));
    let flags = u32_at(&geometry, 92);
    let mut fill = Fill {
        root: root.to_owned(),
        random: Random(seed),
        scale,
        block: u32_at(&geometry, 0).into(),
        dir_block: u32_at(&geometry, 104).into(),
        inode: u32_at(&geometry, 24).into(),
        reflink: flags & FLAG_EXTFLG_REFLINK != 0,
        bigtime: flags & FLAG_BIGTIME != 0,
        rt_extent: Some(u32_at(&geometry, 4).into()).filter(|_| u64_at(&geometry, 40) > 0),
    };
    let parts: [(&str, Part); 8] = [
        ("directories", dirs::fill),
        ("attributes", attrs::fill),
        ("symlinks", links::fill),
        ("files", files::fill),
        ("shared extents", files::share),
        ("inodes", inodes::fill),
        ("realtime files", realtime::fill),
        ("a random tree", tree::fill),
    ];
    for (name, part) in parts {
        if fill.is_small() && matches!(name, "inodes" | "a random tree") {
            continue;
        }
        let start = std::time::Instant::now();
        part(&mut fill)?;
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    // SAFETY: takes no pointer.
    if unsafe { libc::syncfs(dir.as_raw_fd()) } != 0 {
        return Err::<(), Errno>(sys::errno()).at("syncfs", root);
    }
    Ok(())
}
