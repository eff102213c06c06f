// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists, which lie in attributes of the trusted namespace.

use super::{
    inode::Inode,
    xattr::{
        ACL_ACCESS,
        ACL_DEFAULT, //
    },
};
use crate::{
    libxfs::{
        attr,
        error,
        format::{
            acl::{
                self,
                Entry,
                Tag as DiskTag, //
            },
            attr::Namespace, //
        },
        inode::WhichFork, //
    },
    rust::kernel::{
        acl::{
            AccessControl,
            Acl,
            AclRef,
            Kind,
            Tag, //
        },
        xattr::{
            Action,
            ExtendedAttributes,
            Namespace as XattrNamespace, //
        },
    },
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};
use zerocopy::IntoBytes;

impl From<DiskTag> for Tag {
    fn from(tag: DiskTag) -> Self {
        match tag {
            DiskTag::UserObject => Tag::UserObject,
            DiskTag::User(id) => Tag::User(id),
            DiskTag::GroupObject => Tag::GroupObject,
            DiskTag::Group(id) => Tag::Group(id),
            DiskTag::Mask => Tag::Mask,
            DiskTag::Other => Tag::Other,
        }
    }
}

impl From<Tag> for DiskTag {
    fn from(tag: Tag) -> Self {
        match tag {
            Tag::UserObject => DiskTag::UserObject,
            Tag::User(id) => DiskTag::User(id),
            Tag::GroupObject => DiskTag::GroupObject,
            Tag::Group(id) => DiskTag::Group(id),
            Tag::Mask => DiskTag::Mask,
            Tag::Other => DiskTag::Other,
        }
    }
}

/// The attribute that holds a list.
fn attribute_of(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Access => ACL_ACCESS,
        Kind::Default => ACL_DEFAULT,
    }
}

impl AccessControl for Inode {
    const MAX_ENTRIES: u32 = acl::MAX_ENTRIES as u32;

    fn acl(&self, kind: Kind) -> Result<Option<Acl>> {
        let name = attribute_of(kind);
        let mount = self.mount();
        let inode = self.mapped(WhichFork::Attr)?;
        let get = |to: &mut [u8]| attr::get(mount, &inode, Namespace::Root, name, to);
        let len = match get(&mut []) {
            Ok(len) => len.min(acl::MAX_SIZE),
            Err(error::Error::NoAttribute) => return Ok(None),
            Err(error) => return Err(mount.errno(error)),
        };
        let mut value = KVVec::with_capacity(len, GFP_KERNEL)?;
        value.resize(len, 0, GFP_KERNEL)?;
        get(&mut value).map_err(|error| mount.errno(error))?;
        let entries = acl::entries(&value)
            .map_err(|fault| mount.errno(error::Error::inode(fault, self.number())))?;
        let mut list = Acl::new(entries.len() as u32)?;
        for (index, entry) in entries.iter().enumerate() {
            let tag = entry.tag().ok_or(EINVAL)?;
            list.set(index as u32, tag.into(), entry.permissions())?;
        }
        Ok(Some(list))
    }

    fn set_acl(&self, kind: Kind, list: Option<AclRef<'_>>) -> Result {
        let name = attribute_of(kind);
        let change =
            |value: &[u8], action| self.change_xattr(XattrNamespace::Trusted, name, value, action);
        let Some(list) = list else {
            return match change(&[], Action::Remove) {
                // There was none.
                Err(error) if error == ENODATA => Ok(()),
                removed => removed,
            };
        };
        let mut value = KVVec::new();
        value.extend_from_slice(&acl::header(list.len()), GFP_KERNEL)?;
        for (tag, permissions) in list.entries() {
            let entry = Entry::new(tag.into(), permissions);
            value.extend_from_slice(entry.as_bytes(), GFP_KERNEL)?;
        }
        change(&value, Action::Set)
    }

    fn set_mode(&self, mode: u16) -> Result {
        self.amend(|inode| {
            let mut core = inode.core.clone();
            core.mode = mode;
            core.ctime = self.stamp_change();
            Ok(core)
        })
    }
}
