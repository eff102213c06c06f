// SPDX-License-Identifier: GPL-2.0
//! A tree as people make them: folders in folders, files of mixed sizes, much of it removed and renamed
//! since, so that free space and inode chunks have holes.

use super::{files::plain, join, At, Fill, Made};
use std::fs;

pub fn fill(fill: &mut Fill) -> Made {
    let base = fill.folder("tree")?;
    let mut folders = vec![base];
    let mut made = Vec::new();
    for index in 0..fill.scaled(20_000, 250) {
        let at = fill.random.below(folders.len() as u64) as usize;
        let len = 1 + fill.random.below(30) as usize;
        let mut name = fill.random.name(len);
        name.extend(format!(".{index}").bytes());
        let path = join(&folders[at], &name);
        match fill.random.below(10) {
            0 | 1 => {
                fs::create_dir(&path).at("mkdir", &path)?;
                folders.push(path);
            }
            2 if !made.is_empty() => {
                let target = &made[fill.random.below(made.len() as u64) as usize];
                fs::hard_link(target, &path).at("link", &path)?;
            }
            3 => std::os::unix::fs::symlink("../elsewhere", &path).at("symlink", &path)?,
            _ => {
                let bits = fill.random.below(16);
                let len = fill.random.below(1 << bits);
                plain(fill, &path, len)?;
                made.push(path);
            }
        }
    }
    for (index, path) in made.iter().enumerate() {
        match index % 5 {
            0 | 1 => fs::remove_file(path).at("unlink", path)?,
            2 => {
                let at = fill.random.below(folders.len() as u64) as usize;
                let to = folders[at].join(format!("renamed-{index}"));
                fs::rename(path, &to).at("rename", path)?;
            }
            _ => {}
        }
    }
    Ok(())
}
