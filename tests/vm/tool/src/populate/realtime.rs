// SPDX-License-Identifier: GPL-2.0
//! Files whose data lies on the realtime device.

use super::files::{plain, shredded};
use super::{clone_range, create, edit_fsxattr, open, At, Fill, Made};
use crate::sys::{fallocate, pwrite, Errno};
use std::fs;
use std::os::fd::AsRawFd;

pub fn fill(fill: &mut Fill) -> Made {
    let Some(extent) = fill.rt_extent else {
        println!("no realtime device on this file system");
        return Ok(());
    };
    let unit = extent * fill.block;
    let base = fill.folder("realtime")?;
    // All that is made below inherits the realtime flag.
    edit_fsxattr(open(&base)?.as_raw_fd(), |x| x.flags |= 0x100).at("FSSETXATTR", &base)?;
    for len in [0, 1, unit - 1, unit, unit * 3 + 5, 1 << 20] {
        plain(fill, &base.join(format!("plain-{len}")), len)?;
    }
    let unwritten = base.join("unwritten");
    let fd = create(&unwritten)?;
    fallocate(fd.as_raw_fd(), 0, 0, 30 * unit).at("fallocate", &unwritten)?;
    let bytes = fill.pattern(fill.block);
    for at in [0u64, 7, 8, 29] {
        pwrite(fd.as_raw_fd(), &bytes, at * unit).at("write", &unwritten)?;
    }
    let far = base.join("far");
    let fd = create(&far)?;
    for at in [1u64 << 33, 1 << 45] {
        pwrite(fd.as_raw_fd(), &bytes, at).at("write", &far)?;
    }
    let count = fill.scaled(10_000, 200);
    shredded(fill, &base.join("extents-many"), count, unit)?;
    let hinted = base.join("extent-size-hint");
    let fd = create(&hinted)?;
    edit_fsxattr(fd.as_raw_fd(), |x| {
        x.flags |= 0x800;
        x.extent = (4 * unit) as u32;
    })
    .at("FSSETXATTR", &hinted)?;
    pwrite(fd.as_raw_fd(), &bytes, 9 * unit).at("write", &hinted)?;

    let source = base.join("source");
    let from = plain(fill, &source, 40 * unit)?;
    let copy = base.join("copy");
    match clone_range(&from, 0, 0, &create(&copy)?, 0) {
        Err(Errno(libc::EOPNOTSUPP | libc::EINVAL)) => {
            println!("no reflink on the realtime device");
            fs::remove_file(&copy).at("unlink", &copy)?;
        }
        done => {
            done.at("clone", &copy)?;
            let bytes = fill.pattern(unit);
            let part = base.join("copy-rewritten");
            let fd = create(&part)?;
            clone_range(&from, 0, 0, &fd, 0).at("clone", &part)?;
            for at in [0u64, 11, 30] {
                pwrite(fd.as_raw_fd(), &bytes, at * unit).at("write", &part)?;
            }
        }
    }
    Ok(())
}
