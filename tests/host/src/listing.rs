// SPDX-License-Identifier: GPL-2.0

//! What a file system holds, as text: a line for each path below its root.

use crate::{
    image::Disks,
    libxfs::{
        bmap, dir,
        error::{Error, Result},
        extents::State,
        format::{inode::FileType, units::InodeNumber},
        inode::{Inode, Trust, WhichFork},
        store::Store,
        symlink,
    },
};
use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// The lines, in the order of the paths' bytes. Each has seven fields with `|` between them: the path
/// without a leading slash, the letter of the type, the inode's number, its links, its mode in octal
/// digits, its size, which is empty for a directory, and the SHA-256 of a file's content or of a
/// link's target, which is empty for anything else.
///
/// # Errors
///
/// Those of reading.
pub fn list<S: Store>(store: &S, disks: &Disks) -> Result<Vec<Vec<u8>>> {
    let mut listing = Listing {
        store,
        disks,
        lines: Vec::new(),
    };
    listing.directory(b"", store.geometry().root_inode)?;
    listing.lines.sort();
    let lines = listing.lines.into_iter();
    Ok(lines
        .map(|(path, rest)| [&path[..], rest.as_bytes()].concat())
        .collect())
}

struct Listing<'a, S> {
    store: &'a S,
    disks: &'a Disks,
    /// Paths, and what comes behind them.
    lines: Vec<(Vec<u8>, String)>,
}

/// The letter that `find -printf %y` has for a type.
const fn letter(file_type: FileType) -> char {
    match file_type {
        FileType::Fifo => 'p',
        FileType::CharDevice => 'c',
        FileType::Directory => 'd',
        FileType::BlockDevice => 'b',
        FileType::Regular => 'f',
        FileType::Symlink => 'l',
        FileType::Socket => 's',
    }
}

impl<S: Store> Listing<'_, S> {
    fn directory(&mut self, path: &[u8], number: InodeNumber) -> Result {
        let mut directory = Inode::read(self.store, number, Trust::Trusted)?;
        directory.load_extents(self.store, WhichFork::Data)?;
        let mut names = Vec::new();
        let mut position = 0;
        dir::readdir(
            self.store,
            || Ok(&directory),
            &mut position,
            1 << 15,
            |entry| {
                if entry.name != b"." && entry.name != b".." {
                    names.push((entry.name.to_vec(), entry.inode));
                }
                true
            },
        )?;
        for (name, inode) in names {
            let path = match path {
                b"" => name,
                path => [path, b"/", &name].concat(),
            };
            self.entry(path, inode)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: Vec<u8>, number: InodeNumber) -> Result {
        let mut inode = Inode::read(self.store, number, Trust::Trusted)?;
        inode.load_extents(self.store, WhichFork::Data)?;
        let core = &inode.core;
        let file_type = core.file_type().ok_or(Error::Invalid)?;
        let digest = match file_type {
            FileType::Regular => self.content(&inode)?,
            FileType::Symlink => {
                format!(
                    "{:x}",
                    Sha256::digest(&*symlink::read_target(self.store, &inode)?)
                )
            }
            _ => String::new(),
        };
        let size = match file_type {
            FileType::Directory => String::new(),
            _ => core.size.to_string(),
        };
        let rest = format!(
            "|{}|{}|{}|{:o}|{size}|{digest}",
            letter(file_type),
            number.0,
            core.nlink,
            core.mode & 0o7777
        );
        if file_type == FileType::Directory {
            self.directory(&path, number)?;
        }
        self.lines.push((path, rest));
        Ok(())
    }

    fn content(&self, inode: &Inode) -> Result<String> {
        let geo = self.store.geometry();
        let block_size = u64::from(geo.block_size);
        let device = inode.device(WhichFork::Data);
        let mut sum = Sha256::new();
        let mut at = 0;
        let zeroes = |sum: &mut Sha256, from: u64, to: u64| {
            let zeroes = vec![0; PIECE as usize];
            let mut left = to.saturating_sub(from);
            while left != 0 {
                let len = left.min(PIECE);
                sum.update(&zeroes[..len as usize]);
                left -= len;
            }
        };
        for mapping in inode.extents(WhichFork::Data)?.iter() {
            if mapping.state != State::Normal {
                continue;
            }
            let start = mapping.offset.0 * block_size;
            if start >= inode.core.size {
                break;
            }
            zeroes(&mut sum, at, start);
            let first = bmap::disk_addr(geo, device, mapping.start).ok_or(Error::Invalid)?;
            let len = mapping.len * block_size;
            let mut done = 0;
            while done < len {
                let mut bytes = vec![0; (len - done).min(PIECE) as usize];
                let from = first.checked_add(done / 512).ok_or(Error::Invalid)?;
                self.disks.read(device, from, &mut bytes)?;
                let left = inode.core.size.saturating_sub(start + done);
                bytes.truncate(left.min(bytes.len() as u64) as usize);
                sum.update(&bytes);
                done += PIECE.min(len - done);
            }
            at = (start + len).min(inode.core.size);
        }
        zeroes(&mut sum, at, inode.core.size);
        Ok(format!("{:x}", sum.finalize()))
    }
}
