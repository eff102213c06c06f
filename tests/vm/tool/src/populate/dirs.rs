// SPDX-License-Identifier: GPL-2.0
//! Directories: short, block, leaf and node, with holes where names were, and names of every kind.

use super::{create, join, At, Fill, Made, Random};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a data entry with a name of 16 bytes: inode number, length, name, type, tag, rounded up.
const ENTRY: u64 = 32;

/// Makes `count` names in `dir`. One in `inodes` is a file of its own, the others are links to it, so
/// that many names cost few inodes.
fn names(dir: &Path, random: &mut Random, count: u64, inodes: u64) -> Made<Vec<PathBuf>> {
    let mut made = Vec::new();
    let mut last = None;
    for index in 0..count {
        let mut name = random.name(8);
        name.extend(format!("{index:08x}").bytes());
        let path = join(dir, &name);
        match &last {
            Some(target) if index % inodes != 0 => {
                fs::hard_link(target, &path).at("link", &path)?;
            }
            _ => {
                create(&path)?;
                last = Some(path.clone());
            }
        }
        made.push(path);
    }
    Ok(made)
}

/// Makes a folder of `count` names, then removes those that `gone` picks by position.
fn folder(
    fill: &mut Fill,
    base: &Path,
    name: &str,
    count: u64,
    gone: impl Fn(u64) -> bool,
) -> Made {
    let dir = base.join(name);
    fs::create_dir(&dir).at("mkdir", &dir)?;
    let inodes = if fill.is_small() { 64 } else { 16 };
    let made = names(&dir, &mut fill.random, count, inodes)?;
    for (index, path) in made.iter().enumerate() {
        if gone(index as u64) {
            fs::remove_file(path).at("unlink", path)?;
        }
    }
    Ok(())
}

pub fn fill(fill: &mut Fill) -> Made {
    let base = fill.folder("dirs")?;
    let block = (fill.dir_block - 64) / (ENTRY + 8);
    let leaf = (fill.dir_block - 64) / 8;

    folder(fill, &base, "empty", 0, |_| false)?;
    if fill.is_small() {
        folder(fill, &base, "short", 3, |_| false)?;
        folder(fill, &base, "block", block / 2, |at| at % 5 == 0)?;
        folder(fill, &base, "leaf", block * 2, |at| at % 5 == 0)?;
        folder(fill, &base, "node", leaf + leaf / 4, |at| at % 5 == 0)?;
        return subdirectories(fill, &base);
    }
    folder(fill, &base, "emptied", block / 2, |_| true)?;
    folder(fill, &base, "short", 3, |_| false)?;
    folder(fill, &base, "short-holes", 5, |at| at % 2 == 1)?;
    folder(fill, &base, "block", block / 2, |_| false)?;
    folder(fill, &base, "block-full", block - 1, |_| false)?;
    folder(fill, &base, "block-holes", block - 2, |at| at % 3 == 0)?;
    folder(fill, &base, "block-from-leaf", block * 2, |at| {
        at > block / 3
    })?;
    folder(fill, &base, "leaf", block * 2, |_| false)?;
    folder(fill, &base, "leaf-full", leaf * 7 / 8, |_| false)?;
    let run = fill.dir_block / ENTRY;
    folder(fill, &base, "leaf-holes", leaf * 3 / 4, |at| {
        at % 4 == 0 || (run * 2..run * 4).contains(&at)
    })?;
    folder(fill, &base, "node", leaf + leaf / 4, |_| false)?;
    folder(fill, &base, "node-holes", leaf * 3 / 2, |at| {
        at % 5 == 0 || (run * 3..run * 7).contains(&at)
    })?;
    folder(fill, &base, "large", fill.scaled(100_000, 1000), |at| {
        at % 97 == 0
    })?;

    subdirectories(fill, &base)?;
    odd_names(&base)?;
    colliding_names(fill, &base)?;
    long_names(fill, &base)
}

/// Every type that d_type tells is in one folder, and many folders in another.
fn subdirectories(fill: &mut Fill, base: &Path) -> Made {
    let dir = base.join("subdirectories");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    for index in 0..fill.scaled(2000, 40) {
        let path = dir.join(format!("d{index}"));
        fs::create_dir(&path).at("mkdir", &path)?;
    }
    let mut deep = base.join("deep");
    for _ in 0..fill.scaled(60, 60) {
        fs::create_dir(&deep).at("mkdir", &deep)?;
        deep = deep.join(format!("level-{}", fill.random.below(1000)));
    }
    create(&deep).map(drop)
}

/// Names that trouble those who take names for text.
fn odd_names(base: &Path) -> Made {
    let dir = base.join("odd-names");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    let mut names: Vec<Vec<u8>> = [
        " ",
        "  ",
        "...",
        "-",
        "--help",
        "-rf",
        "new\nline",
        "tab\tand\rreturn",
        "\x07bell\x1b[31m",
        "quote'and\"both",
        "back\\slash",
        "*",
        "?",
        "[a-z]",
        "$HOME",
        "`id`",
        "~",
        "#",
        "%s%n",
        "a:b|c",
        "lost+found",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{65e5}\u{672c}\u{8a9e}",
        "\u{1f600}",
        "\u{202e}right-to-left",
        "\u{feff}mark",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend((1..=255).filter(|b| *b != b'/').map(|b: u8| vec![b'b', b]));
    names.extend([0x80u8, 0xc0, 0xfe, 0xff].map(|b| vec![b]));
    names.push(vec![0xed, 0xa0, 0x80]);
    names.push(vec![0xf5; 40]);
    for name in names {
        create(&join(&dir, &name))?;
    }
    Ok(())
}

/// Names that share one hash value: the hash turns by seven bits a byte and takes the byte in, so the
/// lowest bit of a byte and the highest of the next one undo each other.
fn colliding_names(fill: &mut Fill, base: &Path) -> Made {
    let dir = base.join("colliding-names");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    let pairs = if fill.scale >= 100 { 11 } else { 8 };
    for choice in 0u32..1 << pairs {
        let mut name = Vec::new();
        for pair in 0..pairs {
            let other = ((choice >> pair) & 1) as u8;
            name.extend([b'a' ^ other, b'b' ^ (other << 7)]);
        }
        create(&join(&dir, &name))?;
    }
    Ok(())
}

/// Names of every length up to 255.
fn long_names(fill: &mut Fill, base: &Path) -> Made {
    let dir = base.join("long-names");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    let first = join(&dir, &fill.random.name(1));
    create(&first)?;
    for len in 2..=255 {
        let path = join(&dir, &fill.random.name(len));
        if len % 8 == 0 {
            create(&path)?;
        } else {
            fs::hard_link(&first, &path).at("link", &path)?;
        }
    }
    Ok(())
}
