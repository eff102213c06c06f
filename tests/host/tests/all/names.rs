// SPDX-License-Identifier: GPL-2.0

//! Directories, attributes and parent pointers of real images.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::Path,
};
use xfs_host::{
    fixture::{
        named,
        tree::{self, Space, ATTR_FILL},
        Image, SHAPES,
    },
    image::ImageStore,
    libxfs::{
        attr::{self, Cursor, Listing},
        dir::{self, Found},
        error::Error,
        format::{
            attr::Namespace,
            dir::{entry_size, space::DirGeometry, FileType},
            parent::ParentRecord,
            units::InodeNumber,
        },
        inode::{Inode, Trust, WhichFork},
        parent,
        store::Store,
    },
};

/// Images of all shapes that can be mounted and have files in them; those with the most files of
/// a few shapes in which names lie differently.
fn filled() -> impl Iterator<Item = Image> {
    let full = ["default", "block-64k", "block-1k-dir-64k"];
    SHAPES
        .iter()
        .filter(|shape| shape.filled.is_some() && shape.name != "ascii-ci")
        .map(move |shape| {
            if full.contains(&shape.name) {
                Image::of(shape)
            } else {
                Image::small(shape)
            }
        })
}

fn open(image: &Image) -> ImageStore {
    match ImageStore::open(image.disks()) {
        Ok(store) => store,
        Err(refused) => panic!("{}: {refused:?}", image.shape.name),
    }
}

fn inode(store: &ImageStore, number: InodeNumber) -> Inode {
    let mut inode = Inode::read(store, number, Trust::Trusted).unwrap();
    inode.load_extents(store, WhichFork::Data).unwrap();
    inode.load_extents(store, WhichFork::Attr).unwrap();
    inode
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    position: u64,
    inode: InodeNumber,
    ftype: FileType,
    name: Vec<u8>,
}

/// Lists from `position` until `most` entries were seen.
fn list_some(
    store: &ImageStore,
    dir: &Inode,
    position: &mut u64,
    most: usize,
) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    dir::readdir(
        store,
        || Ok(dir),
        position,
        32768,
        |entry| {
            if entries.len() == most {
                return false;
            }
            entries.push(Entry {
                position: entry.position,
                inode: entry.inode,
                ftype: entry.ftype,
                name: entry.name.to_vec(),
            });
            true
        },
    )?;
    Ok(entries)
}

fn list_all(store: &ImageStore, dir: &Inode) -> Vec<Entry> {
    list_some(store, dir, &mut 0, usize::MAX).unwrap()
}

fn walk(store: &ImageStore, path: &str) -> Inode {
    let root = store.geometry().root_inode;
    path.split('/')
        .filter(|name| !name.is_empty())
        .fold(inode(store, root), |at, name| {
            let found = dir::lookup(store, &at, name.as_bytes()).unwrap();
            inode(store, found.inode)
        })
}

fn host_type(path: &Path) -> FileType {
    let ftype = fs::symlink_metadata(path).unwrap().file_type();
    if ftype.is_dir() {
        FileType::Directory
    } else if ftype.is_symlink() {
        FileType::Symlink
    } else if ftype.is_fifo() {
        FileType::Fifo
    } else {
        assert!(ftype.is_file());
        FileType::Regular
    }
}

/// Compares a directory with a folder and all below; how many directories there were.
fn same_tree(
    store: &ImageStore,
    dir: &Inode,
    parent: InodeNumber,
    path: &Path,
    names: &mut BTreeMap<InodeNumber, BTreeSet<(InodeNumber, Vec<u8>)>>,
) -> usize {
    let entries = list_all(store, dir);
    assert_eq!(
        entries
            .iter()
            .map(|e| &e.name[..])
            .take(2)
            .collect::<Vec<_>>(),
        [&b"."[..], b".."]
    );
    assert_eq!(entries[0].inode, dir.number);
    assert_eq!(entries[1].inode, parent);
    assert_eq!(dir::parent(store, dir).unwrap(), parent);
    let mut expected: BTreeMap<Vec<u8>, FileType> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let ftype = host_type(&entry.path());
            (entry.file_name().as_bytes().to_vec(), ftype)
        })
        .collect();
    let mut dirs = 1;
    let mut positions = BTreeSet::new();
    for entry in &entries {
        assert!(positions.insert(entry.position), "{entry:?}");
        let found = dir::lookup(store, dir, &entry.name).unwrap();
        assert_eq!(
            found,
            Found {
                inode: entry.inode,
                ftype: entry.ftype
            }
        );
        if entry.name == b"." || entry.name == b".." {
            assert_eq!(entry.ftype, FileType::Directory);
            continue;
        }
        assert_eq!(expected.remove(&entry.name), Some(entry.ftype), "{entry:?}");
        names
            .entry(entry.inode)
            .or_default()
            .insert((dir.number, entry.name.clone()));
        // Close to names that are there, and absent.
        let mut absent = entry.name.clone();
        absent.push(b'~');
        assert_eq!(dir::lookup(store, dir, &absent), Err(Error::NotFound));
        if entry.ftype == FileType::Directory {
            let child = inode(store, entry.inode);
            let path = path.join(std::ffi::OsStr::from_bytes(&entry.name));
            dirs += same_tree(store, &child, dir.number, &path, names);
        }
    }
    assert_eq!(expected, BTreeMap::new(), "{}", path.display());
    dirs
}

#[test]
fn every_directory_lists_and_finds_what_was_put_in() {
    for image in filled() {
        let store = open(&image);
        let root = inode(&store, store.geometry().root_inode);
        let mut names = BTreeMap::new();
        let folder = image.tree.as_ref().unwrap();
        let dirs = same_tree(&store, &root, root.number, folder, &mut names);
        assert!(dirs > 100, "{dirs}");
        if store.geometry().features.parent() {
            same_parents(&store, &names);
        }
    }
}

/// Every name of every file has its parent pointer, and there is no other.
fn same_parents(
    store: &ImageStore,
    names: &BTreeMap<InodeNumber, BTreeSet<(InodeNumber, Vec<u8>)>>,
) {
    let mut most = 0;
    for (&number, expected) in names {
        let file = inode(store, number);
        let mut found = BTreeSet::new();
        // In steps, as a small buffer of user space takes them.
        let mut cursor = Cursor::default();
        for step in 0.. {
            let before = found.len();
            let done = parent::list(store, &file, 1024, &mut cursor, |parent| {
                if found.len() == before + 20 {
                    return false;
                }
                let directory = inode(store, parent.inode);
                assert_eq!(parent.generation, directory.core.generation);
                assert!(found.insert((parent.inode, parent.name.to_vec())));
                true
            })
            .unwrap();
            if done {
                break;
            }
            assert_eq!(found.len(), before + 20);
            assert!(step < 10_000);
        }
        assert_eq!(&found, expected, "inode {number}");
        most = most.max(found.len());
        for (directory, name) in found.iter().take(50) {
            let generation = inode(store, *directory).core.generation;
            let record = |gen: u32| ParentRecord {
                ino: directory.0.into(),
                gen: gen.into(),
            };
            let exists = |gen| parent::exists(store, &file, &record(gen), name).unwrap();
            assert!(exists(generation));
            assert!(!exists(generation.wrapping_add(1)));
        }
    }
    assert!(most > 500, "so many names need a tree: {most}");
}

#[test]
fn a_listing_resumes_at_every_position() {
    for name in ["default", "block-1k", "block-1k-dir-64k", "block-64k"] {
        let image = Image::of(named(name));
        let store = open(&image);
        for path in ["dir/short", "dir/block", "dir/leaf", "dir/node"] {
            let dir = walk(&store, path);
            let all = list_all(&store, &dir);
            let mut end = 0;
            list_some(&store, &dir, &mut end, usize::MAX).unwrap();
            for step in [1, 7, 100] {
                let mut got = Vec::new();
                let mut position = 0;
                while position != end {
                    let some = list_some(&store, &dir, &mut position, step).unwrap();
                    got.extend(some);
                }
                assert_eq!(got, all);
                assert_eq!(list_some(&store, &dir, &mut position, 1).unwrap(), []);
                assert_eq!(position, end);
            }
            // From a position between entries on, those behind it.
            for (index, entry) in all.iter().enumerate().skip(1).step_by(17) {
                let mut position = entry.position - 1;
                let previous = all[index - 1].position;
                let from = index - usize::from(previous == position);
                let some = list_some(&store, &dir, &mut position, 3).unwrap();
                assert_eq!(some, all[from..(from + 3).min(all.len())]);
            }
            for far in [u64::from(u32::MAX), 1 << 32, u64::MAX] {
                let mut position = far;
                assert_eq!(list_some(&store, &dir, &mut position, 9).unwrap(), []);
            }
        }
    }
}

/// A line of `xfs_db`'s `ls`: position, inode, type, hash, length of the name, name.
fn db_entries(image: &Image, path: &str) -> Vec<(u64, u64, Vec<u8>)> {
    let text = image.db(&[format!("path /{path}"), "ls".to_owned()]);
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let position = words.next()?.parse().ok()?;
            let inode = words.next()?.parse().ok()?;
            let (_ftype, hash) = (words.next()?, words.next()?);
            let len: usize = words.next()?.parse().ok()?;
            let name = &line[line.find(hash)? + hash.len()..];
            let name = name.trim_start().strip_prefix(&len.to_string())?;
            let name = name.trim_start().as_bytes().get(..len)?;
            Some((position, inode, name.to_vec()))
        })
        .collect()
}

#[test]
fn positions_are_those_that_xfs_db_shows() {
    let shapes = [
        "default",
        "block-1k",
        "block-16k",
        "block-1k-dir-64k",
        "block-64k",
    ];
    for name in shapes {
        let image = Image::of(named(name));
        let store = open(&image);
        for path in [
            "dir/short",
            "dir/block",
            "dir/leaf",
            "dir/node",
            "dir/large",
        ] {
            let dir = walk(&store, path);
            // Of directories with an index of their own, xfs_db shows where each entry ends.
            let index = DirGeometry::new(store.geometry()).leaf_start();
            let map = dir.data.extents();
            let at_end = map.is_some_and(|map| map.lookup(index).is_some());
            let ours: Vec<_> = list_all(&store, &dir)
                .into_iter()
                .map(|entry| {
                    let size = entry_size(entry.name.len() as u8);
                    let shift = if at_end { size / 8 } else { 0 };
                    (entry.position + u64::from(shift), entry.inode.0, entry.name)
                })
                .collect();
            let theirs = db_entries(&image, path);
            assert_eq!(ours.len(), theirs.len(), "{name} {path}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs, "{name} {path}");
            }
        }
    }
}

fn namespace(space: Space) -> Namespace {
    match space {
        Space::User => Namespace::User,
        Space::Root => Namespace::Root,
        Space::Secure => Namespace::Secure,
    }
}

type Key = (Namespace, Vec<u8>);

/// Lists attributes but for parent pointers, `step` at a time: namespace, name and length.
fn list_attrs(store: &ImageStore, file: &Inode, how: Listing, step: usize) -> Vec<(Key, u32)> {
    let mut all = Vec::new();
    let mut cursor = Cursor::default();
    for calls in 0.. {
        assert!(calls < 10_000);
        assert!(cursor.is_plausible());
        assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), cursor);
        let before = all.len();
        let mut declined = false;
        attr::list(store, file, how, &mut cursor, |attr| {
            let namespace = attr.flags.namespace().unwrap();
            if namespace == Namespace::Parent {
                return true;
            }
            if all.len() == before + step {
                declined = true;
                return false;
            }
            all.push(((namespace, attr.name.to_vec()), attr.value.length()));
            true
        })
        .unwrap();
        if !declined {
            break;
        }
    }
    all
}

#[test]
fn every_attribute_is_listed_and_read() {
    for image in filled() {
        let store = open(&image);
        let size = image.size.unwrap();
        let mut expected: BTreeMap<&str, BTreeMap<Key, u32>> = BTreeMap::new();
        for attr in tree::attrs(size) {
            let key = (namespace(attr.space), attr.name.into_bytes());
            let attrs = expected.entry(attr.path).or_default();
            assert_eq!(attrs.insert(key, attr.len as u32), None);
        }
        for (path, attrs) in expected {
            let file = walk(&store, path);
            let plain = Listing {
                buffer_size: 0,
                incomplete: false,
            };
            let listed = list_attrs(&store, &file, plain, usize::MAX);
            let sorted: BTreeMap<Key, u32> = listed.iter().cloned().collect();
            assert_eq!(sorted.len(), listed.len());
            assert_eq!(sorted, attrs, "{} {path}", image.shape.name);
            let stepwise = Listing {
                buffer_size: 64,
                incomplete: true,
            };
            for step in [1, 13, 400] {
                let stepped = list_attrs(&store, &file, stepwise, step);
                let sorted: BTreeMap<Key, u32> = stepped.iter().cloned().collect();
                assert_eq!(
                    stepped.len(),
                    listed.len(),
                    "{} {path} {step}",
                    image.shape.name
                );
                assert_eq!(sorted, attrs);
            }
            for ((namespace, name), len) in attrs {
                let len = len as usize;
                let mut value = vec![0; len + 1];
                let get = |buffer: &mut [u8]| attr::get(&store, &file, namespace, &name, buffer);
                assert_eq!(get(&mut []), Ok(len));
                assert_eq!(get(&mut value), Ok(len));
                assert_eq!(value[..len], vec![ATTR_FILL; len]);
                assert_eq!(value[len], 0);
                if len > 1 {
                    assert_eq!(get(&mut value[..len - 1]), Err(Error::Range));
                }
                for other in [Namespace::User, Namespace::Root, Namespace::Secure] {
                    if other != namespace {
                        let absent = attr::get(&store, &file, other, &name, &mut []);
                        assert_eq!(absent, Err(Error::NoAttribute));
                    }
                }
            }
            for absent in [&b""[..], b"n", &[b'x'; 255]] {
                let got = attr::get(&store, &file, Namespace::User, absent, &mut []);
                assert_eq!(got, Err(Error::NoAttribute));
            }
        }
    }
}
