// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists.

use super::node::{
    errno,
    Node, //
};
use crate::rust::bindings;
use core::{
    marker::PhantomData,
    mem,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

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

/// A list that the VFS has.
#[derive(Clone, Copy)]
pub(crate) struct AclRef<'a> {
    // INVARIANT: A list that does not change, for `'a`.
    acl: NonNull<bindings::posix_acl>,
    _life: PhantomData<&'a ()>,
}

impl<'a> AclRef<'a> {
    /// # Safety
    ///
    /// A list that is not null is counted for `'a`.
    unsafe fn from_raw(acl: *mut bindings::posix_acl) -> Option<Self> {
        // INVARIANT: By the caller. Lists that the VFS has shared never change.
        NonNull::new(acl).map(|acl| Self {
            acl,
            _life: PhantomData,
        })
    }

    /// How many entries it has.
    pub(crate) fn len(self) -> u32 {
        // SAFETY: By the invariant.
        unsafe {
            (*self.acl.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .as_ref()
                .a_count
        }
    }

    /// Its entries: whom they speak of, and what they permit.
    pub(crate) fn entries(self) -> impl Iterator<Item = (Tag, u16)> + 'a {
        (0..self.len()).filter_map(move |index| {
            // SAFETY: By the invariant; there are `len` entries. Which of the numbers is there
            // follows from the tag. They are of the initial user namespace, as the disk's.
            unsafe {
                let entries = (*self.acl.as_ptr()).a_entries.as_ptr();
                let entry = &*entries.add(index as usize);
                let uid = || {
                    let uid = *entry.__bindgen_anon_1.e_uid.as_ref();
                    bindings::from_kuid(&raw mut bindings::init_user_ns, uid)
                };
                let gid = || {
                    let gid = *entry.__bindgen_anon_1.e_gid.as_ref();
                    bindings::from_kgid(&raw mut bindings::init_user_ns, gid)
                };
                let tag = match entry.e_tag as u32 {
                    bindings::ACL_USER_OBJ => Tag::UserObject,
                    bindings::ACL_USER => Tag::User(uid()),
                    bindings::ACL_GROUP_OBJ => Tag::GroupObject,
                    bindings::ACL_GROUP => Tag::Group(gid()),
                    bindings::ACL_MASK => Tag::Mask,
                    bindings::ACL_OTHER => Tag::Other,
                    // The VFS has checked the list.
                    _ => return None,
                };
                Some((tag, entry.e_perm))
            }
        })
    }
}

/// The lists that a new node gets from its directory.
pub(crate) struct Inherited {
    // INVARIANT: Lists with counts that are ours, or null.
    access: *mut bindings::posix_acl,
    default: *mut bindings::posix_acl,
}

impl Inherited {
    /// None.
    pub(crate) const fn none() -> Self {
        Self {
            access: ptr::null_mut(),
            default: ptr::null_mut(),
        }
    }

    /// What a node with `mode` gets in a directory. Returns with it the mode that is left of it, be it
    /// by the directory's list or by the umask.
    pub(crate) fn of<T: Node>(dir: &T, mode: u16) -> Result<(u16, Self)> {
        let mut lists = Self::none();
        let mut mode = mode;
        // SAFETY: The inode is alive; the pointers are ours to fill.
        // INVARIANT: The call gives counts.
        to_result(unsafe {
            bindings::posix_acl_create(
                dir.as_vfs(),
                &mut mode,
                &mut lists.default,
                &mut lists.access,
            )
        })?;
        Ok((mode, lists))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.access.is_null() && self.default.is_null()
    }

    /// Gives a new node its lists.
    pub(crate) fn give_to<T: AccessControl>(&self, node: &T) -> Result {
        for (kind, acl) in [(Kind::Default, self.default), (Kind::Access, self.access)] {
            if !acl.is_null() {
                // SAFETY: By the invariant.
                unsafe { store(node, kind, acl) }?;
            }
        }
        Ok(())
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        for acl in [self.access, self.default] {
            if !acl.is_null() {
                // SAFETY: By the invariant.
                unsafe { bindings::posix_acl_release(acl) };
            }
        }
    }
}

/// A node's access control lists.
pub(crate) trait AccessControl: Node {
    /// Most entries of a list.
    const MAX_ENTRIES: u32;

    /// Reads a list; `None` where the inode has none.
    fn acl(&self, kind: Kind) -> Result<Option<Acl>>;

    /// Stores a list of no more than [`MAX_ENTRIES`](Self::MAX_ENTRIES), or removes it. Called with
    /// `i_rwsem` held exclusively, or on a node that is new.
    fn set_acl(&self, kind: Kind, acl: Option<AclRef<'_>>) -> Result;

    /// Sets the mode that goes with a list which was just stored.
    fn set_mode(&self, mode: u16) -> Result;
}

/// Stores a list, and has the VFS cache it.
///
/// # Safety
///
/// `acl` is null, which removes the list, or counted.
unsafe fn store<T: AccessControl>(node: &T, kind: Kind, acl: *mut bindings::posix_acl) -> Result {
    // SAFETY: By the caller.
    node.set_acl(kind, unsafe { AclRef::from_raw(acl) })?;
    let kind = match kind {
        Kind::Access => bindings::ACL_TYPE_ACCESS,
        Kind::Default => bindings::ACL_TYPE_DEFAULT,
    };
    // SAFETY: The inode is alive; the cache takes a count of its own.
    unsafe { bindings::set_cached_acl(node.as_vfs(), kind as c_int, acl) };
    Ok(())
}

/// Forgets what the VFS has cached of a list, which was changed as an attribute.
pub(crate) fn forget<T: Node>(node: &T, kind: Kind) {
    let kind = match kind {
        Kind::Access => bindings::ACL_TYPE_ACCESS,
        Kind::Default => bindings::ACL_TYPE_DEFAULT,
    };
    // SAFETY: The inode is alive.
    unsafe { bindings::forget_cached_acl(node.as_vfs(), kind as c_int) };
}

fn kind_of(kind: c_int) -> Result<Kind> {
    match kind as u32 {
        bindings::ACL_TYPE_ACCESS => Ok(Kind::Access),
        bindings::ACL_TYPE_DEFAULT => Ok(Kind::Default),
        _ => Err(EINVAL),
    }
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
    // SAFETY: By the caller.
    match kind_of(kind).and_then(|kind| unsafe { T::from_vfs(inode) }.acl(kind)) {
        Ok(Some(acl)) => acl.into_raw().cast(),
        Ok(None) => ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}

/// `inode_operations.set_acl`.
///
/// # Safety
///
/// Called by the VFS: `dentry` is that of a `T`, locked; `acl` is null, or a list with a count.
pub(super) unsafe extern "C" fn set_acl<T: AccessControl>(
    idmap: *mut kernel::bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    acl: *mut kernel::bindings::posix_acl,
    kind: c_int,
) -> c_int {
    // SAFETY: By the caller.
    let inode = unsafe { (*dentry).d_inode };
    // SAFETY: By the caller.
    let node = unsafe { T::from_vfs(inode) };
    let mut acl = acl.cast::<bindings::posix_acl>();
    let mut set = || {
        let kind = kind_of(kind)?;
        // SAFETY: By the caller, here and below.
        if unsafe { AclRef::from_raw(acl) }.is_some_and(|acl| acl.len() > T::MAX_ENTRIES) {
            return Err(E2BIG);
        }
        let mut mode = None;
        match kind {
            Kind::Access if !acl.is_null() => {
                let mut new = 0;
                // It leaves no list where the mode says as much.
                // SAFETY: The inode is locked.
                to_result(unsafe {
                    bindings::posix_acl_update_mode(idmap.cast(), inode, &mut new, &mut acl)
                })?;
                mode = Some(new);
            }
            Kind::Access => {}
            Kind::Default => {
                // SAFETY: By the caller.
                let file_type = u32::from(unsafe { (*inode).i_mode }) & bindings::S_IFMT;
                if file_type != bindings::S_IFDIR {
                    return if acl.is_null() { Ok(()) } else { Err(EACCES) };
                }
            }
        }
        // The list first: where there is no room for it, the mode stays as it is.
        // SAFETY: By the caller.
        unsafe { store(node, kind, acl) }?;
        match mode {
            // SAFETY: By the caller.
            Some(mode) if mode != unsafe { (*inode).i_mode } => node.set_mode(mode),
            _ => Ok(()),
        }
    };
    errno(set())
}
