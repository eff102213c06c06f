// SPDX-License-Identifier: GPL-2.0

//! What `mkfs.xfs` copied in is what libxfs reads: types, modes, owners, times, links, targets and
//! every byte of data.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileExt, MetadataExt},
    },
    path::Path,
};
use xfs_host::{
    fixture::{Image, SHAPES},
    image::ImageStore,
    libxfs::{
        bmap, dir,
        extents::State,
        format::inode::{time::Timestamp, FileType},
        inode::{Inode, Trust, WhichFork},
        store::Store,
        symlink,
    },
};

/// Files longer than this have their data compared, but not their holes.
const SHORT: u64 = 1 << 28;

struct Compared<'a> {
    store: &'a ImageStore,
    place: String,
    counts: BTreeMap<&'static str, u64>,
}

impl Compared<'_> {
    fn inode(&mut self, path: &Path, inode: &Inode) {
        let source = fs::symlink_metadata(path).unwrap();
        let place = format!("{} {}", self.place, path.display());
        let core = &inode.core;
        assert_eq!(u32::from(core.mode), source.mode(), "{place}: mode");
        assert_eq!(
            (core.uid, core.gid),
            (source.uid(), source.gid()),
            "{place}: owners"
        );
        let mtime = Timestamp {
            sec: source.mtime(),
            nsec: source.mtime_nsec() as u32,
        };
        assert_eq!(core.mtime, mtime, "{place}: mtime");
        match core.file_type().unwrap() {
            FileType::Directory => self.directory(path, inode),
            FileType::Symlink => {
                let target = symlink::read_target(self.store, inode).unwrap();
                let expected = fs::read_link(path).unwrap();
                assert_eq!(&target[..], expected.as_os_str().as_bytes(), "{place}");
                *self.counts.entry("symlinks").or_default() += 1;
            }
            _ => {
                assert_eq!(core.size, source.len(), "{place}: size");
                assert_eq!(u64::from(core.nlink), source.nlink(), "{place}: links");
                self.data(path, inode, &place);
                *self.counts.entry("files").or_default() += 1;
            }
        }
    }

    fn directory(&mut self, path: &Path, directory: &Inode) {
        let mut names = Vec::new();
        let mut position = 0;
        dir::readdir(
            self.store,
            || Ok(directory),
            &mut position,
            1 << 15,
            |entry| {
                if entry.name != b"." && entry.name != b".." {
                    names.push((entry.name.to_vec(), entry.inode));
                }
                true
            },
        )
        .unwrap();
        names.sort();
        let mut expected: Vec<Vec<u8>> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_vec())
            .collect();
        expected.sort();
        assert!(
            names.iter().map(|(name, _)| name).eq(&expected),
            "{}",
            path.display()
        );
        *self.counts.entry("directories").or_default() += 1;
        for (name, number) in names {
            let mut inode = Inode::read(self.store, number, Trust::Trusted).unwrap();
            inode.load_extents(self.store, WhichFork::Data).unwrap();
            self.inode(&path.join(std::ffi::OsStr::from_bytes(&name)), &inode);
        }
    }

    /// Every written block holds what the file holds there, and the rest of the file is zeroes.
    fn data(&mut self, path: &Path, inode: &Inode, place: &str) {
        let geo = self.store.geometry();
        let block_size = u64::from(geo.block_size);
        let source = File::open(path).unwrap();
        let mut end = 0;
        let hole = |from: u64, to: u64| {
            if to > SHORT {
                return;
            }
            assert!(
                read(&source, from, to.saturating_sub(from))
                    .iter()
                    .all(|b| *b == 0),
                "{place}: data in the hole at {from}"
            );
        };
        for mapping in inode.extents(WhichFork::Data).unwrap().iter() {
            assert_eq!(mapping.state, State::Normal, "{place}: {mapping:?}");
            let from = mapping.offset.0 * block_size;
            hole(end, from);
            end = from + mapping.len * block_size;
            let device = inode.device(WhichFork::Data);
            let at = bmap::disk_addr(geo, device, mapping.start).unwrap();
            let mut ours = vec![0; (mapping.len * block_size) as usize];
            self.store.disks().read(device, at, &mut ours).unwrap();
            let theirs = read(&source, from, ours.len() as u64);
            assert!(ours == theirs, "{place}: {mapping:?} holds something else");
            *self.counts.entry("extents").or_default() += 1;
        }
        hole(end, inode.core.size);
    }
}

/// Bytes of a file, with zeroes for those past its end.
fn read(file: &File, from: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file
            .read_at(&mut bytes[done..], from + done as u64)
            .unwrap()
        {
            0 => break,
            n => done += n,
        }
    }
    bytes
}

#[test]
fn every_file_of_every_shape_is_what_was_copied_in() {
    for shape in SHAPES {
        let image = Image::small(shape);
        let Some(tree) = &image.tree else {
            continue;
        };
        let store = ImageStore::open(image.disks()).unwrap();
        let root = Inode::read(&store, store.geometry().root_inode, Trust::Trusted).unwrap();
        let mut compared = Compared {
            store: &store,
            place: shape.name.to_owned(),
            counts: BTreeMap::new(),
        };
        compared.directory(tree, &root);
        let counts = compared.counts;
        assert!(
            counts["files"] > 500 && counts["symlinks"] > 10 && counts["extents"] > 70,
            "{}: {counts:?}",
            shape.name
        );
    }
}
