// SPDX-License-Identifier: GPL-2.0

//! Attributes of an inode that a handle names: listing them, and reading several at once.

use super::{
    abi::{
        self,
        attr_flag,
        attr_op,
        AttrListRequest,
        AttrMultiRequest,
        HandleRequest, //
    },
    compat,
    handle,
    privileged,
    Caller, //
};
use crate::{
    fs::inode::Inode,
    libxfs::{
        attr::{
            self,
            Cursor,
            Listing, //
        },
        format::{
            attr::{
                leaf::Value,
                AttrFlags,
                Namespace, //
            },
            inode::flags::Flags, //
        },
        inode::WhichFork, //
    },
    rust::kernel::{
        user::UserAddress,
        xattr::{
            Action,
            ExtendedAttributes,
            Namespace as XattrNamespace, //
        },
    },
};
use core::mem::offset_of;
use kernel::{
    alloc::{
        KVVec, //
        KVec,
    },
    prelude::*, //
};
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// Longest list of names, in bytes.
pub(super) const LIST_MAX: usize = 65536;
/// Longest value, in bytes.
const VALUE_MAX: u32 = 65536;
/// Room for a name and its zero.
const NAME_ROOM: usize = 256;
/// Most bytes of operations in one call.
const OPS_MAX: usize = 16 * kernel::page::PAGE_SIZE;
/// Bytes of the list's head: how many there are, and whether there are more.
const HEAD: usize = 8;
/// Bytes of an entry before the name: the value's length.
const ENTRY_HEAD: usize = 4;

fn namespace(flags: u32) -> Result<Namespace> {
    match (flags & attr_flag::ROOT != 0, flags & attr_flag::SECURE != 0) {
        (false, false) => Ok(Namespace::User),
        (true, false) => Ok(Namespace::Root),
        (false, true) => Ok(Namespace::Secure),
        (true, true) => Err(EINVAL),
    }
}

/// A list as user space gets it: the head, an array of offsets that grows up, and entries that
/// grow down from the end.
struct List {
    bytes: KVVec<u8>,
    /// Where the last entry starts.
    bottom: usize,
    count: usize,
}

impl List {
    fn new(len: usize) -> Result<Self> {
        let mut bytes = KVVec::with_capacity(len, GFP_KERNEL)?;
        bytes.resize(len, 0, GFP_KERNEL)?;
        let mut list = Self {
            bytes,
            bottom: len & !3,
            count: 0,
        };
        let end = list.bottom;
        list.put(HEAD, &(end as u32));
        Ok(list)
    }

    fn put(&mut self, at: usize, value: &u32) {
        if let Some(to) = at
            .checked_add(4)
            .and_then(|end| self.bytes.get_mut(at..end))
        {
            to.copy_from_slice(value.as_bytes());
        }
    }

    /// Adds an entry; false if it does not fit.
    fn add(&mut self, name: &[u8], value_len: u32) -> bool {
        let len = name.len().checked_add(ENTRY_HEAD + 1);
        let len = len.and_then(|len| len.checked_next_multiple_of(4));
        let offset_at = HEAD.saturating_add(self.count.saturating_mul(4));
        let top = offset_at.saturating_add(4);
        let start = len.and_then(|len| self.bottom.checked_sub(len));
        let Some(start) = start.filter(|start| *start >= top) else {
            self.put(4, &1);
            return false;
        };
        self.put(start, &value_len);
        let entry = self.bytes.get_mut(start..).unwrap_or_default();
        if let Some(to) = entry
            .get_mut(ENTRY_HEAD..)
            .and_then(|rest| rest.get_mut(..name.len()))
        {
            to.copy_from_slice(name);
        }
        self.put(offset_at, &(start as u32));
        self.bottom = start;
        self.count = self.count.saturating_add(1);
        let count = self.count as u32;
        self.put(0, &count);
        true
    }
}

/// Lists names to `to`, and moves the cursor in user space on.
fn list_to(
    node: &Inode,
    to: UserAddress,
    len: u32,
    flags: u32,
    cursor_at: UserAddress,
) -> Result<usize> {
    let len = len as usize;
    if !(HEAD + 4..=LIST_MAX).contains(&len) {
        return Err(EINVAL);
    }
    if flags & !(attr_flag::ROOT | attr_flag::SECURE) != 0 {
        return Err(EINVAL);
    }
    let wanted = namespace(flags)? as u8;
    let mut cursor = Cursor::from_bytes(&cursor_at.read()?);
    if !cursor.is_plausible() {
        return Err(EINVAL);
    }
    let mut list = List::new(len)?;
    let mount = node.mount();
    {
        let inode = node.mapped(WhichFork::Attr)?;
        let how = Listing {
            buffer_size: len & !3,
            incomplete: false,
        };
        attr::list(mount, &inode, how, &mut cursor, |listed| {
            if listed.flags.0 & AttrFlags::NAMESPACES != wanted {
                return true;
            }
            let value_len = match listed.value {
                Value::Local(value) => value.len() as u32,
                Value::Remote { length, .. } => length,
            };
            list.add(listed.name, value_len)
        })
        .map_err(|error| mount.errno(error))?;
    }
    to.write(list.bytes.as_slice())?;
    cursor_at.write(&cursor.to_bytes())?;
    Ok(0)
}

/// `XFS_IOC_ATTRLIST_BY_HANDLE`.
pub(super) fn list(file: &Caller<'_>, argument: UserAddress) -> Result<usize> {
    privileged()?;
    let request: AttrListRequest = argument.read()?;
    let dentry = handle::dentry(file, &request.handle)?;
    list_to(
        dentry.node(),
        UserAddress(request.buffer),
        request.buffer_len,
        request.flags,
        argument.offset(offset_of!(AttrListRequest, cursor)),
    )
}

/// `XFS_IOC_ATTRLIST_BY_HANDLE_32`.
pub(super) fn list_compat(file: &Caller<'_>, argument: UserAddress) -> Result<usize> {
    privileged()?;
    let request: compat::AttrListRequest = argument.read()?;
    let dentry = handle::dentry(file, &request.handle.into())?;
    list_to(
        dentry.node(),
        UserAddress(request.buffer.into()),
        request.buffer_len,
        request.flags,
        argument.offset(offset_of!(compat::AttrListRequest, cursor)),
    )
}

/// Reads one value to user space, and sets the length to its own.
fn get(node: &Inode, name: &[u8], op: &mut abi::AttrMultiOp) -> Result {
    if op.length > VALUE_MAX {
        return Err(EINVAL);
    }
    let space = namespace(op.flags)?;
    let room = op.length as usize;
    let mut value = KVVec::with_capacity(room, GFP_KERNEL)?;
    value.resize(room, 0, GFP_KERNEL)?;
    let mount = node.mount();
    let inode = node.mapped(WhichFork::Attr)?;
    let len =
        attr::get(mount, &inode, space, name, &mut value).map_err(|error| mount.errno(error))?;
    drop(inode);
    op.length = len as u32;
    if let Some(value) = value.get(..len) {
        UserAddress(op.value).write(value)?;
    }
    Ok(())
}

/// Sets an attribute to a value of user space, or removes it where there is none.
fn set(node: &Inode, name: &[u8], op: &abi::AttrMultiOp) -> Result {
    if node.read().core.flags.has(Flags::IMMUTABLE | Flags::APPEND) {
        return Err(EPERM);
    }
    let from = UserAddress(op.value);
    let value = if from.is_null() {
        KVVec::new()
    } else if op.length > VALUE_MAX {
        return Err(EINVAL);
    } else {
        from.read_bytes(op.length as usize)?
    };
    let action = if from.is_null() {
        Action::Remove
    } else if op.flags & attr_flag::CREATE != 0 {
        Action::Create
    } else if op.flags & attr_flag::REPLACE != 0 {
        Action::Replace
    } else {
        Action::Set
    };
    let space = match namespace(op.flags)? {
        Namespace::Root => XattrNamespace::Trusted,
        Namespace::Secure => XattrNamespace::Security,
        _ => XattrNamespace::User,
    };
    node.change_xattr(space, name, &value, action)
}

fn operate(file: &Caller<'_>, node: &Inode, op: &mut abi::AttrMultiOp) -> Result {
    namespace(op.flags)?;
    // Not on the stack: setting one goes deep.
    let mut room: KVec<u8> = KVec::new();
    room.resize(NAME_ROOM, 0, GFP_KERNEL)?;
    let name = UserAddress(op.name).read_string(&mut room)?;
    match op.opcode {
        attr_op::GET => get(node, name, op),
        attr_op::SET => file.writing(|| set(node, name, op)),
        attr_op::REMOVE => {
            op.length = 0;
            op.value = 0;
            file.writing(|| set(node, name, op))
        }
        _ => Err(EINVAL),
    }
}

/// Runs operations of layout `V`, which `to_native` and `back` translate.
fn multi_of<V: FromBytes + IntoBytes + Immutable>(
    file: &Caller<'_>,
    handle: &HandleRequest,
    count: u32,
    ops: UserAddress,
    to_native: impl Fn(&V) -> abi::AttrMultiOp,
    back: impl Fn(&mut V, &abi::AttrMultiOp),
) -> Result<usize> {
    let count = count as usize;
    let bytes = count
        .checked_mul(size_of::<V>())
        .filter(|bytes| *bytes < i32::MAX as usize)
        .ok_or(E2BIG)?;
    let dentry = handle::dentry(file, handle)?;
    if count == 0 || bytes > OPS_MAX {
        return Err(E2BIG);
    }
    let mut list: KVec<V> = KVec::with_capacity(count, GFP_KERNEL)?;
    for at in (0..bytes).step_by(size_of::<V>()) {
        list.push(ops.offset(at).read()?, GFP_KERNEL)?;
    }
    for op in &mut list {
        let mut native = to_native(op);
        native.error = match operate(file, dentry.node(), &mut native) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        };
        back(op, &native);
    }
    ops.write(list.as_slice())?;
    Ok(0)
}

/// `XFS_IOC_ATTRMULTI_BY_HANDLE`.
pub(super) fn multi(file: &Caller<'_>, argument: UserAddress) -> Result<usize> {
    privileged()?;
    let request: AttrMultiRequest = argument.read()?;
    multi_of::<abi::AttrMultiOp>(
        file,
        &request.handle,
        request.count,
        UserAddress(request.ops),
        |op| *op,
        |op, done| *op = *done,
    )
}

/// `XFS_IOC_ATTRMULTI_BY_HANDLE_32`.
pub(super) fn multi_compat(file: &Caller<'_>, argument: UserAddress) -> Result<usize> {
    privileged()?;
    let request: compat::AttrMultiRequest = argument.read()?;
    multi_of::<compat::AttrMultiOp>(
        file,
        &request.handle.into(),
        request.count,
        UserAddress(request.ops.into()),
        |op| abi::AttrMultiOp {
            opcode: op.opcode,
            error: op.error,
            name: op.name.into(),
            value: op.value.into(),
            length: op.length,
            flags: op.flags,
        },
        |op, done| {
            op.error = done.error;
            op.length = done.length;
        },
    )
}
