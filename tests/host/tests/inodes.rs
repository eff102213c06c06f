// SPDX-License-Identifier: GPL-2.0

//! Inodes and their forks on images of the real `mkfs.xfs`.

use xfs_host::{
    fixture::{Image, SHAPES},
    image::ImageStore,
    libxfs::{
        format::inode::FileType,
        inode::{Inode, Trust},
        store::Store,
    },
};

fn open(image: &Image) -> ImageStore {
    ImageStore::open(image.disks()).expect("a file system")
}

#[test]
fn the_root_directory_of_every_shape_is_read() {
    for shape in SHAPES {
        let store = open(&Image::of(shape));
        let root = store.geometry().root_inode;
        let inode = Inode::read(&store, root, Trust::Trusted)
            .unwrap_or_else(|e| panic!("{}: {e:?}", shape.name));
        assert_eq!(inode.core.file_type(), Some(FileType::Directory));
        assert!(inode.core.nlink >= 2);
    }
}
