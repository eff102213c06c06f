// SPDX-License-Identifier: GPL-2.0

//! Access control lists, as they lie in the values of two attributes of the trusted namespace:
//! `SGI_ACL_FILE` guards the inode, `SGI_ACL_DEFAULT` is handed to what is made in a directory.
//!
//! Source: `struct xfs_acl` in `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.

use super::fault::{ensure, Fault};
use core::mem::size_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// Largest value of a list in bytes: that of any attribute.
pub const MAX_SIZE: usize = 65536;

const HEADER_SIZE: usize = 4;

/// Most entries of a list.
pub const MAX_ENTRIES: usize = (MAX_SIZE - HEADER_SIZE) / size_of::<Entry>();

/// An entry as it lies on the disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Entry {
    tag: U32,
    id: U32,
    permissions: U16,
    pad: U16,
}

/// Whom an entry speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The owner.
    UserObject,
    /// A user.
    User(u32),
    /// The owning group.
    GroupObject,
    /// A group.
    Group(u32),
    /// The bound on what groups and named users get.
    Mask,
    /// All others.
    Other,
}

/// The number in entries that speak of nobody in particular. Source: `ACL_UNDEFINED_ID`.
const NOBODY: u32 = u32::MAX;

impl Entry {
    /// An entry.
    pub fn new(tag: Tag, permissions: u16) -> Self {
        let (tag, id) = match tag {
            Tag::UserObject => (0x01, NOBODY),
            Tag::User(id) => (0x02, id),
            Tag::GroupObject => (0x04, NOBODY),
            Tag::Group(id) => (0x08, id),
            Tag::Mask => (0x10, NOBODY),
            Tag::Other => (0x20, NOBODY),
        };
        Self {
            tag: U32::new(tag),
            id: U32::new(id),
            permissions: U16::new(permissions),
            pad: U16::new(0),
        }
    }

    /// Whom it speaks of; `None` for a tag that is not known.
    pub fn tag(&self) -> Option<Tag> {
        let id = self.id.get();
        // The tag's upper half means nothing: in memory it has 16 bits.
        Some(match self.tag.get() & 0xffff {
            0x01 => Tag::UserObject,
            0x02 => Tag::User(id),
            0x04 => Tag::GroupObject,
            0x08 => Tag::Group(id),
            0x10 => Tag::Mask,
            0x20 => Tag::Other,
            _ => return None,
        })
    }

    /// What it permits: 4 read, 2 write, 1 execute.
    pub fn permissions(&self) -> u16 {
        self.permissions.get()
    }
}

/// What comes before the `count` entries of a list.
pub fn header(count: u32) -> [u8; HEADER_SIZE] {
    count.to_be_bytes()
}

/// The entries of a list.
///
/// # Errors
///
/// A count that does not fit the value's length.
pub fn entries(value: &[u8]) -> Result<&[Entry], Fault> {
    let (count, rest) = U32::ref_from_prefix(value).map_err(|_| Fault::corrupt("acl", "length"))?;
    let entries = <[Entry]>::ref_from_bytes(rest).map_err(|_| Fault::corrupt("acl", "length"))?;
    ensure(entries.len() <= MAX_ENTRIES, "acl", "length")?;
    ensure(
        u32::try_from(entries.len()) == Ok(count.get()),
        "acl",
        "acl_cnt",
    )?;
    Ok(entries)
}
