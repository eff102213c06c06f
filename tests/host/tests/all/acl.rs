// SPDX-License-Identifier: GPL-2.0

//! Access control lists.

use xfs_host::libxfs::format::acl::{entries, header, Entry, Tag};
use zerocopy::IntoBytes;

#[test]
fn entries_come_back_as_they_were_written() {
    let mut value = vec![0, 0, 0, 2];
    value.extend([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 7, 0, 0]);
    value.extend([0, 0, 0, 8, 0, 0, 3, 0xe8, 0, 4, 0, 0]);
    let list = entries(&value).unwrap();
    assert_eq!(list[0].tag(), Some(Tag::UserObject));
    assert_eq!(list[0].permissions(), 7);
    assert_eq!(list[1].tag(), Some(Tag::Group(1000)));
    assert_eq!(list[1].permissions(), 4);
}

#[test]
fn entries_are_written_as_the_kernels_driver_writes_them() {
    let tags = [
        (Tag::UserObject, 7),
        (Tag::User(1), 6),
        (Tag::GroupObject, 5),
        (Tag::Group(1000), 4),
        (Tag::Mask, 2),
        (Tag::Other, 0),
    ];
    let mut value = header(6).to_vec();
    for (tag, permissions) in tags {
        value.extend(Entry::new(tag, permissions).as_bytes());
    }
    assert_eq!(
        value[..16],
        [0, 0, 0, 6, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 7, 0, 0]
    );
    assert_eq!(value[16..28], [0, 0, 0, 2, 0, 0, 0, 1, 0, 6, 0, 0]);
    let list = entries(&value).unwrap();
    assert_eq!(list.len(), tags.len());
    for (entry, (tag, permissions)) in list.iter().zip(tags) {
        assert_eq!(entry.tag(), Some(tag));
        assert_eq!(entry.permissions(), permissions);
    }
}

#[test]
fn a_count_that_does_not_fit_is_refused() {
    for value in [
        &[][..],
        &[0, 0, 0],
        &[0, 0, 0, 1],
        &[0, 0, 0, 0, 1],
        &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 7, 0, 0],
    ] {
        assert!(entries(value).is_err());
    }
    assert!(entries(&[0, 0, 0, 0]).unwrap().is_empty());
}

#[test]
fn an_unknown_tag_is_none() {
    let value = [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 7, 0, 0];
    assert_eq!(entries(&value).unwrap()[0].tag(), None);
}
