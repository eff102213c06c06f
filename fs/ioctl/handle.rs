// SPDX-License-Identifier: GPL-2.0

//! Handles of files for user space: making them, and opening by them.

use super::{
    abi::{
        self,
        Handle,
        HandleRequest, //
    },
    privileged,
    Caller, //
};
use crate::{
    fs::{
        export,
        inode::Inode,
        mount::Mount,
        super_block, //
    },
    libxfs::format::{
        inode::{
            flags::Flags,
            FileType, //
        },
        units::InodeNumber, //
    },
    rust::kernel::{
        path::{
            Dentry,
            NamedPath, //
        },
        user::UserAddress, //
    },
};
use kernel::{
    fs::file::flags,
    prelude::*,
    sync::aref::ARef, //
};
use zerocopy::IntoBytes;

/// Length of what a handle says after its own length field.
const FID_LEN: u16 = 14;
/// Bytes of a handle that name the file system.
const FSID_LEN: usize = 8;

/// The number that names a file system on one machine, from its uuid.
fn fsid(mount: &Mount) -> [u32; 2] {
    let [a, b, c, d, e, f, _, _, i, j, ..] = mount.geometry().uuid;
    [
        u32::from(u16::from_be_bytes([i, j])) << 16 | u32::from(u16::from_be_bytes([e, f])),
        u32::from_be_bytes([a, b, c, d]),
    ]
}

/// The handle of an inode.
pub(super) fn of_inode(mount: &Mount, ino: InodeNumber, generation: u32) -> Handle {
    Handle {
        fsid: fsid(mount),
        fid_len: FID_LEN,
        fid_pad: 0,
        generation,
        ino: ino.0,
    }
}

/// `XFS_IOC_PATH_TO_FSHANDLE`, `XFS_IOC_PATH_TO_HANDLE` and `XFS_IOC_FD_TO_HANDLE`.
pub(super) fn find(command: u32, request: &HandleRequest) -> Result<usize> {
    let path = if command == abi::FD_TO_HANDLE {
        NamedPath::from_descriptor(request.fd)?
    } else {
        NamedPath::from_user(request.path)?
    };
    let node: &Inode = path.node(super_block::is_ours).ok_or(EINVAL)?;
    match node.file_type() {
        Some(FileType::Regular | FileType::Directory | FileType::Symlink) => {}
        _ => return Err(EBADF),
    }
    let handle = of_inode(node.mount(), node.number(), node.generation());
    let bytes = if command == abi::PATH_TO_FSHANDLE {
        handle.as_bytes().get(..FSID_LEN).ok_or(EINVAL)?
    } else {
        handle.as_bytes()
    };
    UserAddress(request.handle_out).write(bytes)?;
    UserAddress(request.len_out).write(&(bytes.len() as u32))?;
    Ok(0)
}

fn read_handle(request: &HandleRequest) -> Result<Handle> {
    if request.handle_in_len as usize != size_of::<Handle>() {
        return Err(EINVAL);
    }
    UserAddress(request.handle_in).read()
}

fn check(file: &Caller<'_>, handle: &Handle) -> Result {
    // A handle is opened below a directory alone.
    if file.node().file_type() != Some(FileType::Directory) {
        return Err(ENOTDIR);
    }
    if handle.fid_len != FID_LEN {
        return Err(EINVAL);
    }
    Ok(())
}

/// The dentry that a request's handle names.
pub(super) fn dentry(file: &Caller<'_>, request: &HandleRequest) -> Result<Dentry<Inode>> {
    let handle = read_handle(request)?;
    check(file, &handle)?;
    let (kind, mut words) = export::words_of(InodeNumber(handle.ino), handle.generation);
    file.decode(kind, &mut words)
}

/// The inode that a handle names, not connected to the root.
pub(super) fn inode(file: &Caller<'_>, handle: &Handle) -> Result<ARef<Inode>> {
    check(file, handle)?;
    export::find(
        file.node().mount(),
        InodeNumber(handle.ino),
        handle.generation,
    )
}

/// `XFS_IOC_OPEN_BY_HANDLE`; answers the descriptor.
pub(super) fn open(file: &Caller<'_>, request: &HandleRequest) -> Result<usize> {
    privileged()?;
    let dentry = dentry(file, request)?;
    let node = dentry.node();
    let file_type = node.file_type();
    if !matches!(file_type, Some(FileType::Regular | FileType::Directory)) {
        return Err(EPERM);
    }
    let open_flags = request.open_flags | flags::O_LARGEFILE;
    // 0, 1 and 2 are read, write and both; 3, of old, asks for neither but is taken for both.
    let writes = open_flags & flags::O_ACCMODE != flags::O_RDONLY;
    let appends = open_flags & flags::O_APPEND != 0 && open_flags & flags::O_TRUNC == 0;
    if writes {
        let flags = node.read().core.flags;
        if flags.has(Flags::APPEND) && !appends || flags.has(Flags::IMMUTABLE) {
            return Err(EPERM);
        }
        if file_type == Some(FileType::Directory) {
            return Err(EISDIR);
        }
    }
    let regular = file_type == Some(FileType::Regular);
    Ok(file.open(&dentry, open_flags, regular)? as usize)
}

/// `XFS_IOC_READLINK_BY_HANDLE`; answers the length.
pub(super) fn read_link(file: &Caller<'_>, request: &HandleRequest) -> Result<usize> {
    privileged()?;
    let dentry = dentry(file, request)?;
    if dentry.node().file_type() != Some(FileType::Symlink) {
        return Err(EINVAL);
    }
    let room: u32 = UserAddress(request.len_out).read()?;
    dentry.read_link(request.handle_out, room)
}
