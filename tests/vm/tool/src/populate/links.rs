// SPDX-License-Identifier: GPL-2.0
//! Symlinks in the inode and in blocks of their own, and hard links.

use super::{create, At, Fill, Made};
use std::fs;
use std::os::unix::fs::symlink;

/// The longest target that XFS stores: PATH_MAX is not the limit.
const LONGEST: usize = 1023;

pub fn fill(fill: &mut Fill) -> Made {
    let base = fill.folder("links")?;
    let inline = fill.inode as usize - 176;
    let mut lengths = vec![
        1, 2, 7, 8, 20, 59, 60, 255, 256, 400, 800, 1000, 1022, LONGEST,
    ];
    lengths.extend([inline - 1, inline, inline + 1]);
    lengths.retain(|len| *len <= LONGEST);
    lengths.sort_unstable();
    lengths.dedup();
    for len in lengths {
        let target = fill.random.name(len);
        let path = base.join(format!("symlink-{len}"));
        symlink(String::from_utf8_lossy(&target).as_ref(), &path).at("symlink", &path)?;
    }
    for (name, target) in [
        ("to-root", "/"),
        ("to-here", "."),
        ("to-folder", "../dirs/block"),
        ("to-itself", "to-itself"),
        ("to-file", "hard"),
        (
            "to-file-by-many",
            "./././././././././././././././././../links/hard",
        ),
    ] {
        let path = base.join(name);
        symlink(target, &path).at("symlink", &path)?;
    }
    let hard = base.join("hard");
    create(&hard)?;
    fs::write(&hard, "linked from many places\n").at("write", &hard)?;
    for index in 0..fill.scaled(3000, 100) {
        let path = base.join(format!("hard-{index}"));
        fs::hard_link(&hard, &path).at("link", &path)?;
    }
    Ok(())
}
