// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists.

use super::node::Node;
use crate::rust::bindings;
use core::{
    mem,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::prelude::*;

/// Which of an inode's lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that guards the inode.
    Access,
    /// The one that a directory hands to what is made in it.
    Default,
}

/// Whom an entry speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The owner.
    UserObject,
    /// A user, by number.
    User(u32),
    /// The owning group.
    GroupObject,
    /// A group, by number.
    Group(u32),
    /// The bound on what groups and named users get.
    Mask,
    /// All others.
    Other,
}

/// An access control list of the VFS.
///
/// # Invariants
///
/// Points to a list with one count that is ours; nobody else has it yet.
pub(crate) struct Acl(NonNull<bindings::posix_acl>);

impl Acl {
    /// A list of `count` entries; all are to be set before it is used.
    pub(crate) fn new(count: u32) -> Result<Self> {
        // SAFETY: May sleep here; the count is checked by the allocation's size.
        let acl = unsafe { bindings::posix_acl_alloc(count, bindings::GFP_KERNEL) };
        let acl = NonNull::new(acl).ok_or(ENOMEM)?;
        // INVARIANT: Just made, with one count.
        Ok(Self(acl))
    }

    /// Fills entry `index`. `EINVAL` past the end.
    pub(crate) fn set(&mut self, index: u32, tag: Tag, permissions: u16) -> Result {
        // SAFETY: By the invariant. The numbers are of the initial user namespace, as the disk's.
        unsafe {
            let acl = self.0.as_ptr();
            if index >= (*acl).__bindgen_anon_1.__bindgen_anon_1.as_ref().a_count {
                return Err(EINVAL);
            }
            let mut entry: bindings::posix_acl_entry = mem::zeroed();
            entry.e_perm = permissions;
            let (tag, id) = match tag {
                Tag::UserObject => (bindings::ACL_USER_OBJ, None),
                Tag::User(id) => (bindings::ACL_USER, Some((id, true))),
                Tag::GroupObject => (bindings::ACL_GROUP_OBJ, None),
                Tag::Group(id) => (bindings::ACL_GROUP, Some((id, false))),
                Tag::Mask => (bindings::ACL_MASK, None),
                Tag::Other => (bindings::ACL_OTHER, None),
            };
            entry.e_tag = tag as i16;
            match id {
                Some((id, true)) => {
                    *entry.__bindgen_anon_1.e_uid.as_mut() =
                        bindings::make_kuid(&raw mut bindings::init_user_ns, id);
                }
                Some((id, false)) => {
                    *entry.__bindgen_anon_1.e_gid.as_mut() =
                        bindings::make_kgid(&raw mut bindings::init_user_ns, id);
                }
                None => {}
            }
            (*acl)
                .a_entries
                .as_mut_ptr()
                .add(index as usize)
                .write(entry);
        }
        Ok(())
    }

    fn into_raw(self) -> *mut bindings::posix_acl {
        let acl = self.0.as_ptr();
        mem::forget(self);
        acl
    }
}

impl Drop for Acl {
    fn drop(&mut self) {
        // SAFETY: By the invariant; nobody else can see it, so no grace period is needed.
        unsafe { bindings::kfree(self.0.as_ptr().cast()) };
    }
}

/// A node's access control lists.
pub(crate) trait AccessControl: Node {
    /// Reads a list; `None` where the inode has none.
    fn acl(&self, kind: Kind) -> Result<Option<Acl>>;
}

/// `inode_operations.get_inode_acl`; the VFS caches what it gives.
///
/// # Safety
///
/// Called by the VFS: `inode` is a `T`.
pub(super) unsafe extern "C" fn get_inode_acl<T: AccessControl>(
    inode: *mut bindings::inode,
    kind: c_int,
    rcu: bool,
) -> *mut kernel::bindings::posix_acl {
    if rcu {
        // Reading it sleeps.
        return ECHILD.to_ptr();
    }
    let kind = match kind as u32 {
        bindings::ACL_TYPE_ACCESS => Kind::Access,
        bindings::ACL_TYPE_DEFAULT => Kind::Default,
        _ => return EINVAL.to_ptr(),
    };
    // SAFETY: By the caller.
    match unsafe { T::from_vfs(inode) }.acl(kind) {
        Ok(Some(acl)) => acl.into_raw().cast(),
        Ok(None) => ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}
