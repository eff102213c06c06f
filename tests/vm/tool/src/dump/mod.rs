// SPDX-License-Identifier: GPL-2.0
//! Writes down all that a mounted XFS tells, one fact a line, in an order that the disk alone decides.

mod data;
mod dir;
mod fs;
mod handle;
mod inode;
mod map;

use crate::layout::{digest, quote, u64_at};
use crate::sys::{self, c, openat, Errno};
use std::collections::{BTreeMap, HashSet};
use std::ffi::CStr;
use std::fmt::Display;
use std::io::{BufWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Where the lines go.
pub struct Out {
    lines: Option<BufWriter<std::io::Stdout>>,
    /// How often each call failed with each errno.
    failures: BTreeMap<(String, i32), u64>,
    calls: u64,
}

impl Out {
    fn new(keep: bool) -> Out {
        Out {
            lines: keep.then(|| BufWriter::with_capacity(1 << 20, std::io::stdout())),
            failures: BTreeMap::new(),
            calls: 0,
        }
    }

    /// Whether this run is over a damaged file system: what is read is bounded then.
    pub fn is_walk(&self) -> bool {
        self.lines.is_none()
    }

    /// One line.
    pub fn line(&mut self, text: impl Display) {
        if let Some(lines) = &mut self.lines {
            if let Err(error) = writeln!(lines, "{text}") {
                eprintln!("dump: {error}");
                std::process::exit(1);
            }
        }
    }

    /// A call's outcome: its text, or its errno. Gives the value back.
    pub fn call<T>(
        &mut self,
        name: &str,
        outcome: sys::Result<T>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        self.calls += 1;
        match outcome {
            Ok(value) => {
                if self.lines.is_some() {
                    let text = show(&value);
                    self.line(format_args!("{name} {text}"));
                }
                Some(value)
            }
            Err(errno) => {
                self.fail(name, errno);
                None
            }
        }
    }

    /// A call that failed.
    pub fn fail(&mut self, name: &str, errno: Errno) {
        self.line(format_args!("{name} = {errno}"));
        *self.failures.entry((name.into(), errno.0)).or_default() += 1;
    }

    /// Many lines of one call: all of them up to `most`, and what is left as one digest.
    pub fn list(&mut self, name: &str, rows: &[String], most: usize) {
        self.line(format_args!("{name} {} rows", rows.len()));
        for row in rows.iter().take(most) {
            self.line(format_args!("  {row}"));
        }
        if rows.len() > most {
            let rest = rows[most..].join("\n");
            self.line(format_args!("  and on: {}", digest(rest.as_bytes())));
        }
    }
}

/// A walk under way.
struct Walk {
    out: Out,
    root: OwnedFd,
    seen: HashSet<u64>,
}

impl Walk {
    /// Everything about `name` in `dir`, and all below it.
    fn visit(&mut self, dir: RawFd, name: &[u8], path: &mut Vec<u8>, depth: usize) {
        let before = path.len();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend(name);
        self.out.line("");
        self.out.line(format_args!("== {}", quote(path)));
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let node = openat(dir, &c(name), flags, 0);
        if let Some(node) = self.out.call("open", node, |_| "by path".into()) {
            let at = [sys::fd_path(dir).as_bytes(), b"/", name].concat();
            self.node(node, &c(&at), path, depth);
        }
        path.truncate(before);
    }

    fn node(&mut self, node: OwnedFd, at: &CStr, path: &mut Vec<u8>, depth: usize) {
        let stat = sys::statx(node.as_raw_fd(), &c(b""), u32::MAX >> 1);
        let Some(stat) = self.out.call("statx", stat, inode::stat_text) else {
            return;
        };
        let ino = u64_at(&stat, 32);
        if !self.seen.insert(ino) {
            self.out.line("seen before");
            return;
        }
        let kind = inode::kind(&stat);
        let readable = kind == libc::S_IFREG || kind == libc::S_IFDIR;
        let mut open = None;
        if readable {
            // An opened O_PATH descriptor is opened for real through /proc.
            let flags = libc::O_RDONLY | libc::O_NOATIME;
            let fd = openat(libc::AT_FDCWD, &sys::fd_path(node.as_raw_fd()), flags, 0);
            open = self.out.call("open to read", fd, |_| "done".into());
        }
        inode::dump(&mut self.out, &node, kind);
        // What handles lead to is what names do: a walk tries some of them.
        if !self.out.is_walk() || self.seen.len() % 8 == 1 {
            handle::dump(&mut self.out, &self.root, &node, open.as_ref(), at, kind);
        }
        let Some(fd) = open else { return };
        inode::dump_opened(&mut self.out, &fd);
        map::dump(&mut self.out, &fd, &stat);
        if kind == libc::S_IFREG {
            data::dump(&mut self.out, &fd, &node, &stat);
            return;
        }
        let names = dir::dump(&mut self.out, &fd);
        if depth > 200 {
            self.out.line("too deep");
            return;
        }
        for name in names {
            self.visit(fd.as_raw_fd(), &name, path, depth + 1);
        }
    }
}

fn run(dir: &str, keep: bool) -> sys::Result<Out> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let root = openat(libc::AT_FDCWD, &c(dir.as_bytes()), flags, 0)?;
    let mut walk = Walk {
        out: Out::new(keep),
        root,
        seen: HashSet::new(),
    };
    fs::dump(&mut walk.out, &walk.root);
    crate::compat::dump(&mut walk.out, &walk.root);
    let mut path = Vec::new();
    let at = walk.root.as_raw_fd();
    walk.visit(at, b".", &mut path, 0);
    // Once more, now that all inodes are known to the kernel: nothing must have moved.
    walk.out.line("\n== the file system again");
    fs::settled(&mut walk.out, &walk.root);
    Ok(walk.out)
}

/// Writes all about the file system mounted at `dir` to standard output.
pub fn dump(dir: &str) -> std::io::Result<()> {
    let mut out = run(dir, true).map_err(|errno| std::io::Error::from_raw_os_error(errno.0))?;
    match &mut out.lines {
        Some(lines) => lines.flush(),
        None => Ok(()),
    }
}

/// One of the calls of a dump, for its errno alone.
pub fn probe(fd: &OwnedFd, what: &str) -> sys::Result<()> {
    let raw = fd.as_raw_fd();
    match what {
        "fsmap" => fs::fsmap_rows(raw, (0, 0, 0), (u32::MAX, u64::MAX, u64::MAX), 256).map(drop),
        "bulkstat" => fs::bulk_rows(raw, &fs::STATS, 0, 0, 0, 256).map(drop),
        "inumbers" => fs::bulk_rows(raw, &fs::NUMBERS, 0, 0, 0, 64).map(drop),
        "bmap" => map::getbmap(raw, 56, 4, (0, -1), 4096).map(drop),
        "bmap-attr" => map::getbmap(raw, 56, 5, (0, -1), 4096).map(drop),
        "fiemap" => map::fiemap(raw, 0, u64::MAX, 0, 4096).map(drop),
        "parents" => handle::parents(raw, None, 65536).map(drop),
        "seek" => sys::lseek(raw, 0, libc::SEEK_HOLE).map(drop),
        _ => Err(Errno(libc::ENOSYS)),
    }
}

/// Makes the same calls on a file system in any state, and tells how they failed.
pub fn walk(dir: &str) {
    match run(dir, false) {
        Ok(out) => {
            println!("{} calls", out.calls);
            let mut by_errno: BTreeMap<i32, u64> = BTreeMap::new();
            for ((_, errno), count) in &out.failures {
                *by_errno.entry(*errno).or_default() += count;
            }
            for (errno, count) in by_errno {
                println!("{count} {}", Errno(errno));
            }
        }
        Err(errno) => println!("root {errno}"),
    }
}
