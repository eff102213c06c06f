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
                Tag as DiskTag, //
            },
            attr::Namespace, //
        },
        inode::WhichFork, //
    },
    rust::kernel::acl::{
        AccessControl,
        Acl,
        Kind,
        Tag, //
    },
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

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

impl AccessControl for Inode {
    fn acl(&self, kind: Kind) -> Result<Option<Acl>> {
        let name = match kind {
            Kind::Access => ACL_ACCESS,
            Kind::Default => ACL_DEFAULT,
        };
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
}
