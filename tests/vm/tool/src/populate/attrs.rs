// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: short, leaf, node and remote, in every namespace, and access control lists.

use super::{create, join, At, Fill, Made};
use crate::sys::{c, removexattr, setxattr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

fn set(path: &Path, name: &[u8], value: &[u8]) -> Made {
    setxattr(&c(path.as_os_str().as_bytes()), &c(name), value).at("setxattr", path)
}

fn remove(path: &Path, name: &[u8]) -> Made {
    removexattr(&c(path.as_os_str().as_bytes()), &c(name)).at("removexattr", path)
}

/// A file with `count` attributes of `len` bytes each, less those that `gone` picks.
fn file(
    fill: &mut Fill,
    base: &Path,
    name: &str,
    count: u64,
    len: usize,
    gone: impl Fn(u64) -> bool,
) -> Made<PathBuf> {
    let path = base.join(name);
    create(&path)?;
    let spaces = ["user", "trusted", "security"];
    let key = |index: u64| format!("{}.attribute-{index}", spaces[(index % 3) as usize]);
    for index in 0..count {
        let value = fill.random.bytes(len);
        set(&path, key(index).as_bytes(), &value)?;
    }
    for index in (0..count).filter(|index| gone(*index)) {
        remove(&path, key(index).as_bytes())?;
    }
    Ok(path)
}

pub fn fill(fill: &mut Fill) -> Made {
    let base = fill.folder("attrs")?;
    let block = fill.block;
    file(fill, &base, "one-empty", 1, 0, |_| false)?;
    file(fill, &base, "short", 2, 10, |_| false)?;
    file(fill, &base, "short-holes", 4, 6, |at| at == 1)?;
    file(fill, &base, "emptied", 6, 20, |_| true)?;
    file(fill, &base, "leaf", 12, 40, |_| false)?;
    let in_leaf = (block / 70).max(8);
    file(fill, &base, "leaf-full", in_leaf, 30, |_| false)?;
    file(fill, &base, "leaf-holes", in_leaf, 30, |at| at % 3 == 0)?;
    file(fill, &base, "leaf-emptied", in_leaf, 30, |_| true)?;
    let in_node = (block * 4 / 60).max(fill.scaled(5000, 60));
    file(fill, &base, "node", in_node, 24, |_| false)?;
    file(fill, &base, "node-holes", in_node, 24, |at| {
        at % 3 == 0 || (20..40).contains(&at)
    })?;
    for (name, len) in [
        ("remote-1", block as usize * 3 / 4 + 1),
        ("remote-2", 3000),
        ("remote-3", 16384),
        ("remote-4", 65535),
        ("remote-5", 65536),
    ] {
        file(fill, &base, name, 1, len.min(65536), |_| false)?;
    }
    let many = fill.scaled(400, 12);
    file(fill, &base, "remote-many", many, 5000, |at| at % 4 == 1)?;
    if !fill.is_small() {
        names(fill, &base)?;
    }
    kinds(fill, &base)?;
    acls(&base)
}

/// Names up to the longest, of any bytes, and names that share one hash value.
fn names(fill: &mut Fill, base: &Path) -> Made {
    let path = base.join("names");
    create(&path)?;
    for len in [1usize, 2, 100, 200, 249, 250] {
        let mut name = b"user.".to_vec();
        name.extend(fill.random.name(len));
        let value = fill.random.bytes(len);
        set(&path, &name, &value)?;
    }
    for byte in (1..=255u8).step_by(7) {
        set(&path, &[b"user.odd", &[byte][..]].concat(), &[byte; 3])?;
    }
    let path = base.join("colliding-names");
    create(&path)?;
    for choice in 0u32..64 {
        let mut name = b"user.".to_vec();
        for pair in 0..6 {
            let other = ((choice >> pair) & 1) as u8;
            name.extend([b'a' ^ other, b'b' ^ (other << 7)]);
        }
        set(&path, &name, &choice.to_le_bytes())?;
    }
    Ok(())
}

/// Attributes of what is not a file, and values that the kernel looks into.
fn kinds(fill: &mut Fill, base: &Path) -> Made {
    let dir = base.join("folder");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    set(&dir, b"user.folder", b"value")?;
    set(&dir, b"trusted.overlay.opaque", b"y")?;
    let link = base.join("symlink");
    std::os::unix::fs::symlink("a target", &link).at("symlink", &link)?;
    set(&link, b"trusted.symlink", b"value of a symlink")?;
    let long = base.join("symlink-long");
    std::os::unix::fs::symlink("t".repeat(900), &long).at("symlink", &long)?;
    let value = fill.random.bytes(3000);
    set(&long, b"trusted.symlink", &value)?;
    let fifo = base.join("fifo");
    // SAFETY: the path ends in a NUL.
    unsafe { libc::mkfifo(c(fifo.as_os_str().as_bytes()).as_ptr(), 0o600) };
    set(&fifo, b"trusted.fifo", b"value of a fifo")?;

    let able = base.join("capable");
    create(&able)?;
    // Revision 2 with the effective bit, and CAP_NET_RAW permitted.
    let mut capability = vec![0u8; 20];
    capability[..4].copy_from_slice(&0x0200_0001u32.to_le_bytes());
    capability[4..8].copy_from_slice(&(1u32 << 13).to_le_bytes());
    set(&able, b"security.capability", &capability)
}

/// The value of system.posix_acl_*: version 2, then tag, permissions and id of each entry.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(permissions.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

const NONE: u32 = u32::MAX;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

fn acls(base: &Path) -> Made {
    let small = acl(&[
        (USER_OBJ, 6, NONE),
        (USER, 4, 1000),
        (GROUP_OBJ, 0, NONE),
        (MASK, 4, NONE),
        (OTHER, 0, NONE),
    ]);
    let path = base.join("acl");
    create(&path)?;
    set(&path, b"system.posix_acl_access", &small)?;
    let denied = base.join("acl-denied");
    create(&denied)?;
    let deny = acl(&[
        (USER_OBJ, 6, NONE),
        (USER, 0, 1000),
        (GROUP_OBJ, 4, NONE),
        (MASK, 4, NONE),
        (OTHER, 4, NONE),
    ]);
    set(&denied, b"system.posix_acl_access", &deny)?;

    let mut large = vec![(USER_OBJ, 7, NONE)];
    large.extend((0..300).map(|id| (USER, (id % 8) as u16, 1000 + id)));
    large.push((GROUP_OBJ, 5, NONE));
    large.extend((0..300).map(|id| (GROUP, (id % 8) as u16, 2000 + id)));
    large.push((MASK, 7, NONE));
    large.push((OTHER, 0, NONE));
    let dir = base.join("acl-folder");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    set(&dir, b"system.posix_acl_access", &small)?;
    set(&dir, b"system.posix_acl_default", &acl(&large))?;
    create(&join(&dir, b"inherits"))?;
    let below = dir.join("inherits-both");
    fs::create_dir(&below).at("mkdir", &below)
}
