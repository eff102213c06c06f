// SPDX-License-Identifier: GPL-2.0

//! Parent pointers: the directory entries that name a file.

use super::{
    abi::{
        parents_flag,
        GetParents,
        GetParentsByHandle,
        ParentRecord, //
    },
    attr::LIST_MAX,
    handle,
    privileged,
    Caller, //
};
use crate::{
    fs::inode::Inode,
    libxfs::{
        attr::Cursor,
        inode::WhichFork,
        parent, //
    },
    rust::kernel::user::UserAddress,
};
use core::mem::offset_of;
use kernel::{
    alloc::KVVec,
    prelude::*, //
};
use zerocopy::IntoBytes;

/// Records are aligned to this.
const ALIGN: usize = 8;

/// Bytes of a record with a name of this length, and a zero behind it.
fn record_len(name: usize) -> usize {
    size_of::<ParentRecord>()
        .saturating_add(name)
        .saturating_add(ALIGN)
        & !(ALIGN - 1)
}

/// Lists parent pointers as the request asks, and sets in it what the caller gets back.
fn parents(node: &Inode, request: &mut GetParents) -> Result {
    let len = request.buffer_len as usize;
    if len > LIST_MAX {
        return Err(ENOMEM);
    }
    if len < record_len(1) || request.iflags != 0 || request.reserved != 0 {
        return Err(EINVAL);
    }
    let mount = node.mount();
    let room = len & !(ALIGN - 1);
    let mut records: KVVec<u8> = KVVec::with_capacity(room, GFP_KERNEL)?;
    let mut cursor = Cursor::from_bytes(&request.cursor);
    if !cursor.is_plausible() {
        return Err(EINVAL);
    }
    let mut last = 0;
    let inode = node.mapped(WhichFork::Attr)?;
    let done = parent::list(mount, &inode, room, &mut cursor, |parent| {
        let len = record_len(parent.name.len());
        let at = records.len();
        let Some(end) = at.checked_add(len).filter(|end| *end <= room) else {
            return false;
        };
        let head = ParentRecord {
            parent: handle::of_inode(mount, parent.inode, parent.generation),
            len: len as u32,
            reserved: 0,
        };
        // All lies within the capacity, so none of these allocates.
        let copied = records
            .extend_from_slice(head.as_bytes(), GFP_KERNEL)
            .and_then(|()| records.extend_from_slice(parent.name, GFP_KERNEL))
            .and_then(|()| records.resize(end, 0, GFP_KERNEL));
        last = at;
        copied.is_ok()
    })
    .map_err(|error| mount.errno(error))?;
    drop(inode);
    if records.is_empty() && !done {
        return Err(EMSGSIZE);
    }
    // The last record takes the rest of the buffer, so that the next one would start past it.
    let rest = len.saturating_sub(last) as u32;
    let record = records.get_mut(last..).unwrap_or_default();
    let length = record.get_mut(offset_of!(ParentRecord, len)..);
    if let Some(to) = length.and_then(|from| from.get_mut(..size_of::<u32>())) {
        to.copy_from_slice(rest.as_bytes());
    }
    request.cursor = cursor.to_bytes();
    request.oflags = 0;
    if node.number() == mount.geometry().root_inode {
        request.oflags |= parents_flag::ROOT;
    }
    if done {
        request.oflags |= parents_flag::DONE;
    }
    UserAddress(request.buffer).write(records.as_slice())
}

fn check(file: &Caller<'_>) -> Result {
    privileged()?;
    if !file.node().mount().geometry().features.parent() {
        return Err(EOPNOTSUPP);
    }
    Ok(())
}

/// `XFS_IOC_GETPARENTS`.
pub(super) fn of_file(file: &Caller<'_>, argument: UserAddress) -> Result<usize> {
    check(file)?;
    let mut request: GetParents = argument.read()?;
    parents(file.node(), &mut request)?;
    argument.write(&request)?;
    Ok(0)
}

/// `XFS_IOC_GETPARENTS_BY_HANDLE`.
pub(super) fn of_handle(file: &Caller<'_>, argument: UserAddress) -> Result<usize> {
    check(file)?;
    let mut request: GetParentsByHandle = argument.read()?;
    let node = handle::inode(file, &request.handle)?;
    parents(&node, &mut request.request)?;
    argument.write(&request)?;
    Ok(0)
}
