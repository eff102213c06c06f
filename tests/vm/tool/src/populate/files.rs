// SPDX-License-Identifier: GPL-2.0
//! File data: extents in the inode and in a tree, holes, unwritten extents, far offsets, and extents
//! that files share.

use super::{clone_range, create, edit_fsxattr, open, At, Fill, Made};
use crate::sys::{fallocate, ftruncate, pwrite};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;

/// The largest size of a file.
const LARGEST: u64 = i64::MAX as u64;

/// A file of `len` random bytes.
pub(super) fn plain(fill: &mut Fill, path: &Path, len: u64) -> Made<OwnedFd> {
    let fd = create(path)?;
    let mut at = 0;
    while at < len {
        let part = (len - at).min(1 << 20);
        let bytes = fill.pattern(part);
        pwrite(fd.as_raw_fd(), &bytes, at).at("write", path)?;
        at += part;
    }
    Ok(fd)
}

/// A file of `extents` extents of one `unit` each: all is allocated, then every other unit punched out.
/// A unit in eight of those that stay is written.
pub(super) fn shredded(fill: &mut Fill, path: &Path, extents: u64, unit: u64) -> Made<OwnedFd> {
    let fd = create(path)?;
    let raw = fd.as_raw_fd();
    fallocate(raw, 0, 0, extents * 2 * unit).at("fallocate", path)?;
    let bytes = fill.pattern(unit);
    for index in 0..extents {
        if index % 8 == 3 {
            pwrite(raw, &bytes, index * 2 * unit).at("write", path)?;
        }
        fallocate(raw, PUNCH, (index * 2 + 1) * unit, unit).at("punch", path)?;
    }
    Ok(fd)
}

pub fn fill(fill: &mut Fill) -> Made {
    let base = fill.folder("files")?;
    let block = fill.block;
    let page = block.max(4096);
    let mut lengths = vec![
        0,
        1,
        511,
        512,
        block - 1,
        block,
        block + 1,
        page * 3 + 100,
        65536,
        1_000_003,
        fill.scaled(64 << 20, 2 << 20),
    ];
    lengths.sort_unstable();
    lengths.dedup();
    for len in lengths {
        plain(fill, &base.join(format!("plain-{len}")), len)?;
    }
    holes(fill, &base)?;
    unwritten(fill, &base)?;
    far(fill, &base)?;

    let many = fill.scaled(100_000, 600);
    shredded(fill, &base.join("extents-few"), 9, block)?;
    shredded(fill, &base.join("extents-some"), 40, block)?;
    shredded(fill, &base.join("extents-many"), many, block)?;

    // A tree that was large and is small, and one that is empty again.
    let shrunk = base.join("extents-shrunk");
    let fd = shredded(fill, &shrunk, 400, block)?;
    ftruncate(fd.as_raw_fd(), 20 * block + 77).at("truncate", &shrunk)?;
    let none = base.join("extents-none");
    let fd = shredded(fill, &none, 400, block)?;
    ftruncate(fd.as_raw_fd(), 0).at("truncate", &none)?;

    let hinted = base.join("extent-size-hint");
    let fd = create(&hinted)?;
    edit_fsxattr(fd.as_raw_fd(), |x| {
        x.flags |= 0x800;
        x.extent = (16 * block) as u32;
    })
    .at("FSSETXATTR", &hinted)?;
    let bytes = fill.pattern(block);
    for at in [0u64, 40, 41, 90] {
        pwrite(fd.as_raw_fd(), &bytes, at * block).at("write", &hinted)?;
    }
    Ok(())
}

fn holes(fill: &mut Fill, base: &Path) -> Made {
    let block = fill.block;
    let only = base.join("hole-only");
    ftruncate(create(&only)?.as_raw_fd(), 10 * block + 5).at("truncate", &only)?;
    let both = base.join("hole-at-both-ends");
    let fd = create(&both)?;
    let bytes = fill.pattern(2 * block);
    pwrite(fd.as_raw_fd(), &bytes, 7 * block).at("write", &both)?;
    ftruncate(fd.as_raw_fd(), 30 * block).at("truncate", &both)?;
    let random = base.join("hole-random");
    let fd = create(&random)?;
    for _ in 0..50 {
        let (at, len) = (fill.random.below(400), 1 + fill.random.below(5 * block));
        let bytes = fill.pattern(len);
        pwrite(fd.as_raw_fd(), &bytes, at * block / 2 + at).at("write", &random)?;
    }
    let punched = base.join("hole-punched");
    let fd = plain(fill, &punched, 64 * block)?;
    for (at, len) in [(0, 1), (block + 1, block * 3), (20 * block, 20 * block)] {
        fallocate(fd.as_raw_fd(), PUNCH, at, len).at("punch", &punched)?;
    }
    Ok(())
}

fn unwritten(fill: &mut Fill, base: &Path) -> Made {
    let block = fill.block;
    let whole = base.join("unwritten");
    fallocate(create(&whole)?.as_raw_fd(), 0, 0, 100 * block).at("fallocate", &whole)?;
    let partly = base.join("unwritten-partly");
    let fd = create(&partly)?;
    fallocate(fd.as_raw_fd(), 0, 0, 100 * block).at("fallocate", &partly)?;
    for at in [0u64, 10, 11, 50, 99] {
        let bytes = fill.pattern(block);
        pwrite(fd.as_raw_fd(), &bytes, at * block).at("write", &partly)?;
    }
    let bytes = fill.pattern(100);
    pwrite(fd.as_raw_fd(), &bytes, 70 * block + 33).at("write", &partly)?;
    let beyond = base.join("unwritten-beyond-end");
    let fd = plain(fill, &beyond, 3 * block + 9)?;
    fallocate(fd.as_raw_fd(), KEEP_SIZE, 0, 50 * block).at("fallocate", &beyond)?;
    let zeroed = base.join("unwritten-zeroed");
    let fd = plain(fill, &zeroed, 40 * block)?;
    let mode = libc::FALLOC_FL_ZERO_RANGE;
    fallocate(fd.as_raw_fd(), mode, 5 * block + 1, 20 * block).at("zero range", &zeroed)
}

/// Offsets past 32 bits of bytes and of blocks, up to the last byte that a file can have.
fn far(fill: &mut Fill, base: &Path) -> Made {
    let block = fill.block;
    let path = base.join("far");
    let fd = create(&path)?;
    for at in [
        1 << 31,
        (1 << 32) + 17,
        1 << 40,
        (1u64 << 32) * block - block,
        (1u64 << 32) * block,
        1 << 56,
        LARGEST / 2,
    ] {
        let bytes = fill.pattern(block + 7);
        if at < LARGEST - 2 * block {
            pwrite(fd.as_raw_fd(), &bytes, at).at("write", &path)?;
        }
    }
    let last = base.join("far-last");
    let fd = create(&last)?;
    let bytes = fill.pattern(1000);
    pwrite(fd.as_raw_fd(), &bytes, LARGEST - 1000).at("write", &last)?;
    let empty = base.join("far-empty");
    ftruncate(create(&empty)?.as_raw_fd(), LARGEST).at("truncate", &empty)
}

/// Extents with more than one owner, whole, in part, and rewritten since.
pub fn share(fill: &mut Fill) -> Made {
    let block = fill.block;
    if !fill.reflink {
        println!("no reflink on this file system");
        return Ok(());
    }
    let base = fill.folder("shared")?;
    let source = base.join("source");
    let from = plain(fill, &source, 64 * block + 100)?;
    for index in 0..fill.scaled(300, 6) {
        let path = base.join(format!("whole-{index}"));
        clone_range(&from, 0, 0, &create(&path)?, 0).at("clone", &path)?;
    }
    let part = base.join("part");
    let into = create(&part)?;
    for (at, len, to) in [(0, 4, 8), (10, 20, 100), (11, 1, 7), (60, 2, 3)] {
        clone_range(&from, at * block, len * block, &into, to * block).at("clone", &part)?;
    }
    let rewritten = base.join("rewritten");
    let into = create(&rewritten)?;
    clone_range(&from, 0, 0, &into, 0).at("clone", &rewritten)?;
    for at in [0u64, 5, 6, 30, 63] {
        let bytes = fill.pattern(block / 2);
        pwrite(into.as_raw_fd(), &bytes, at * block + 3).at("write", &rewritten)?;
    }
    let unwritten = base.join("unwritten-source");
    let fd = create(&unwritten)?;
    fallocate(fd.as_raw_fd(), 0, 0, 20 * block).at("fallocate", &unwritten)?;
    let bytes = fill.pattern(block);
    pwrite(fd.as_raw_fd(), &bytes, 4 * block).at("write", &unwritten)?;
    let copy = base.join("unwritten-copy");
    clone_range(&fd, 0, 0, &create(&copy)?, 0).at("clone", &copy)?;

    let many = base.join("many-source");
    let count = fill.scaled(5000, 150);
    let fd = shredded(fill, &many, count, block)?;
    let copy = base.join("many-copy");
    clone_range(&fd, 0, 0, &create(&copy)?, 0).at("clone", &copy)?;

    let hinted = base.join("cow-extent-size-hint");
    let fd = create(&hinted)?;
    edit_fsxattr(fd.as_raw_fd(), |x| {
        x.flags |= 0x10000;
        x.cow = (32 * block) as u32;
    })
    .at("FSSETXATTR", &hinted)?;
    clone_range(&from, 0, 0, &fd, 0).at("clone", &hinted)?;
    let bytes = fill.pattern(block);
    pwrite(fd.as_raw_fd(), &bytes, 16 * block).at("write", &hinted)?;

    // A source that is gone leaves blocks that were shared once.
    let gone = base.join("gone");
    let fd = plain(fill, &gone, 30 * block)?;
    let heir = base.join("heir");
    clone_range(&fd, 0, 0, &create(&heir)?, 0).at("clone", &heir)?;
    fs::remove_file(&gone).at("unlink", &gone)?;
    open(&heir).map(drop)
}
