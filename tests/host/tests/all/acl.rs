// SPDX-License-Identifier: GPL-2.0

//! Access control lists.

use xfs_host::libxfs::format::acl::{entries, Tag};

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
