// SPDX-License-Identifier: GPL-2.0

//! Extended attributes.

use super::inode::Inode;
use crate::{
    libxfs::{
        attr::{
            self,
            change::Mode,
            Cursor,
            Listing, //
        },
        error,
        format::attr::Namespace as DiskNamespace,
        inode::WhichFork,
        ops::{
            self,
            SetAttr, //
        },
    },
    rust::{
        bindings,
        kernel::{
            acl,
            xattr::{
                Action,
                ExtendedAttributes,
                Namespace, //
            },
        },
    },
};
use kernel::prelude::*;

/// Name of the attribute that holds the list which guards an inode.
pub(super) const ACL_ACCESS: &[u8] = b"SGI_ACL_FILE";
/// Name of the attribute that holds the list for what is made in a directory.
pub(super) const ACL_DEFAULT: &[u8] = b"SGI_ACL_DEFAULT";

impl From<Namespace> for DiskNamespace {
    fn from(namespace: Namespace) -> Self {
        match namespace {
            Namespace::User => DiskNamespace::User,
            Namespace::Trusted => DiskNamespace::Root,
            Namespace::Security => DiskNamespace::Secure,
        }
    }
}

impl From<Action> for Mode {
    fn from(action: Action) -> Self {
        match action {
            Action::Set => Mode::Set,
            Action::Create => Mode::Create,
            Action::Replace => Mode::Replace,
            Action::Remove => Mode::Remove,
        }
    }
}

/// Names, each ended by a zero, in the caller's buffer or counted alone.
struct Names<'a> {
    buffer: Option<&'a mut [u8]>,
    len: usize,
}

impl Names<'_> {
    /// Adds a name; false where there is no room.
    fn add(&mut self, prefix: &[u8], name: &[u8]) -> bool {
        for part in [prefix, name, b"\0"] {
            let Some(end) = self.len.checked_add(part.len()) else {
                return false;
            };
            if let Some(buffer) = &mut self.buffer {
                match buffer.get_mut(self.len..end) {
                    Some(to) => to.copy_from_slice(part),
                    None => return false,
                }
            }
            self.len = end;
        }
        true
    }
}

impl ExtendedAttributes for Inode {
    fn get_xattr(
        &self,
        namespace: Namespace,
        name: &[u8],
        value: Option<&mut [u8]>,
    ) -> Result<usize> {
        let value = value.unwrap_or(&mut []);
        let mount = self.mount();
        let inode = self.mapped(WhichFork::Attr)?;
        attr::get(mount, &inode, namespace.into(), name, value).map_err(|error| match error {
            // So common an answer that it is made short.
            error::Error::NoAttribute => ENODATA,
            error => mount.errno(error),
        })
    }

    fn list_xattrs(&self, names: Option<&mut [u8]>) -> Result<usize> {
        let how = Listing {
            buffer_size: names.as_ref().map_or(0, |names| names.len()),
            incomplete: false,
        };
        let mut cursor = Cursor::default();
        let mut names = Names {
            buffer: names,
            len: 0,
        };
        let mut fits = true;
        let mount = self.mount();
        let inode = self.mapped(WhichFork::Attr)?;
        attr::list(mount, &inode, how, &mut cursor, |listed| {
            let prefix: &[u8] = match listed.flags.namespace() {
                Some(DiskNamespace::User) => b"user.",
                Some(DiskNamespace::Secure) => b"security.",
                Some(DiskNamespace::Root) => {
                    let acl: &[u8] = match listed.name {
                        ACL_ACCESS => b"posix_acl_access",
                        ACL_DEFAULT => b"posix_acl_default",
                        _ => b"",
                    };
                    if !acl.is_empty() {
                        fits = names.add(b"system.", acl);
                    }
                    // Only who may read them learns of them.
                    // SAFETY: May be called anywhere that may sleep.
                    if !fits || !unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) } {
                        return fits;
                    }
                    b"trusted."
                }
                Some(DiskNamespace::Parent) | None => return true,
            };
            fits = names.add(prefix, listed.name);
            fits
        })
        .map_err(|error| mount.errno(error))?;
        if fits {
            Ok(names.len)
        } else {
            Err(ERANGE)
        }
    }

    fn change_xattr(
        &self,
        namespace: Namespace,
        name: &[u8],
        value: &[u8],
        action: Action,
    ) -> Result {
        let mount = self.mount();
        mount.check_changeable()?;
        let change = SetAttr {
            namespace: namespace.into(),
            name,
            value,
            mode: action.into(),
        };
        ops::set_attr(&mount.files(), self.number(), &change)
            .map_err(|error| mount.errno(error))?;
        // Who changes a list in this way passes the VFS by, which has it in its cache.
        match (namespace, name) {
            (Namespace::Trusted, ACL_ACCESS) => acl::forget(self, acl::Kind::Access),
            (Namespace::Trusted, ACL_DEFAULT) => acl::forget(self, acl::Kind::Default),
            _ => {}
        }
        Ok(())
    }
}
