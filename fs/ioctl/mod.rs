// SPDX-License-Identifier: GPL-2.0

//! ioctls: which call is answered where.
//!
//! A call that would change something gets what a read-only mount gives: the checks that come
//! first in every driver (privilege, a readable argument), then `EROFS`. What is not there yet is
//! refused with `EOPNOTSUPP`; numbers that are nobody's, with `ENOTTY`.

pub(crate) mod abi;
mod attr;
mod bmap;
mod bulkstat;
mod compat;
mod fsmap;
mod geometry;
mod handle;
mod parents;

use super::inode::Inode;
use crate::rust::{
    bindings,
    kernel::{
        ioctl::Controlled,
        path::OpenFile,
        user::UserAddress, //
    }, //
};
use kernel::prelude::*;
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

/// The file that a call came through.
type Caller<'a> = OpenFile<'a, Inode>;

/// Demands the right to administer the system.
fn privileged() -> Result {
    // SAFETY: May be called anywhere that may sleep.
    if unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) } {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// Refuses a change: its argument must be readable, and the mount writable.
fn refuse_change<V: FromBytes + IntoBytes>(
    file: &Caller<'_>,
    argument: UserAddress,
) -> Result<usize> {
    argument.read::<V>()?;
    file.check_writable()?;
    Err(EOPNOTSUPP)
}

/// Refuses what is not there yet: its argument must be readable.
fn refuse<V: FromBytes + IntoBytes>(argument: UserAddress) -> Result<usize> {
    argument.read::<V>()?;
    Err(EOPNOTSUPP)
}

impl Controlled for Inode {
    fn ioctl(file: &Caller<'_>, command: u32, argument: u64, compat: bool) -> Result<usize> {
        let argument = UserAddress(argument);
        if compat {
            if let Some(answer) = compat_call(file, command, argument) {
                return answer;
            }
        }
        native_call(file, command, argument)
    }
}

fn native_call(file: &Caller<'_>, command: u32, argument: UserAddress) -> Result<usize> {
    let node = file.node();
    let mount = node.mount();
    match command {
        abi::GEOMETRY_V1 => geometry::geometry(mount, argument, geometry::Version::V1),
        abi::GEOMETRY_V4 => geometry::geometry(mount, argument, geometry::Version::V4),
        abi::GEOMETRY => geometry::geometry(mount, argument, geometry::Version::V5),
        abi::AG_GEOMETRY => geometry::ag(mount, argument),
        abi::RT_GROUP_GEOMETRY => geometry::rt_group(mount, argument),
        abi::COUNTS => geometry::counts(mount, argument),
        abi::GET_RESERVED => geometry::reserved(mount, argument),
        abi::GET_LABEL => geometry::label(mount, argument),
        abi::DIO_INFO => geometry::dio_info(file, argument),
        abi::GET_VERSION => argument.write(&node.generation()).map(|()| 0),
        abi::GET_XATTR_ATTR => super::fileattr::fsxattr_of_attribute_fork(node, argument),

        abi::GET_BMAP | abi::GET_BMAP_ATTR | abi::GET_BMAPX => {
            bmap::get_bmap(node, command, argument)
        }
        abi::GET_FSMAP => fsmap::get_fsmap(mount, argument),

        abi::BULKSTAT | abi::INUMBERS => bulkstat::current(file, command, argument),
        abi::BULKSTAT_V1 | abi::BULKSTAT_SINGLE | abi::INUMBERS_V1 => {
            privileged()?;
            bulkstat::version1(file, command, &argument.read()?, bulkstat::Layout::Native)
        }

        abi::PATH_TO_FSHANDLE | abi::PATH_TO_HANDLE | abi::FD_TO_HANDLE => {
            handle::find(command, &argument.read()?)
        }
        abi::OPEN_BY_HANDLE => handle::open(file, &argument.read()?),
        abi::READLINK_BY_HANDLE => handle::read_link(file, &argument.read()?),
        abi::ATTR_LIST_BY_HANDLE => attr::list(file, argument),
        abi::ATTR_MULTI_BY_HANDLE => attr::multi(file, argument),
        abi::GET_PARENTS => parents::of_file(file, argument),
        abi::GET_PARENTS_BY_HANDLE => parents::of_handle(file, argument),

        // What changes the file system.
        abi::SET_LABEL => {
            privileged()?;
            let label: [u8; LABEL_ROOM] = argument.read()?;
            if label.iter().all(|byte| *byte != 0) {
                return Err(EINVAL);
            }
            file.check_writable()?;
            Err(EOPNOTSUPP)
        }
        abi::SWAP_EXTENTS => refuse_change::<abi::SwapExtents>(file, argument),
        abi::GROW_DATA => refuse_change::<abi::GrowData>(file, argument),
        abi::GROW_LOG => refuse_change::<abi::GrowLog>(file, argument),
        abi::GROW_RT => refuse_change::<abi::GrowRt>(file, argument),
        abi::EXCHANGE_RANGE => refuse_change::<abi::ExchangeRange>(file, argument),
        abi::COMMIT_RANGE => refuse_change::<abi::CommitRange>(file, argument),
        abi::START_COMMIT => refuse::<abi::CommitRange>(argument),
        abi::SET_RESERVED | abi::FREE_EOF_BLOCKS => {
            privileged()?;
            Err(EROFS)
        }
        abi::TRIM => {
            privileged()?;
            refuse::<abi::TrimRange>(argument)
        }
        abi::GOING_DOWN => {
            privileged()?;
            geometry::going_down(mount, argument)
        }
        abi::ERROR_INJECTION => {
            privileged()?;
            argument.read::<abi::ErrorInjection>()?;
            Err(ENOSYS)
        }
        abi::ERROR_CLEAR_ALL => {
            privileged()?;
            Err(ENOSYS)
        }
        abi::SCRUB => {
            privileged()?;
            refuse::<abi::ScrubMetadata>(argument)
        }
        abi::SCRUB_VECTOR => {
            privileged()?;
            refuse::<abi::ScrubVector>(argument)
        }
        abi::HEALTH_MONITOR => {
            privileged()?;
            refuse::<abi::HealthMonitor>(argument)
        }
        abi::VERIFY_MEDIA => {
            privileged()?;
            refuse::<abi::VerifyMedia>(argument)
        }
        _ => Err(ENOTTY),
    }
}

/// Bytes of the disk's label, and one for the zero that must end a longer one.
const LABEL_ROOM: usize = 13;

/// What differs for a 32-bit program; `None` is the native call.
fn compat_call(file: &Caller<'_>, command: u32, argument: UserAddress) -> Option<Result<usize>> {
    let node = file.node();
    Some(match command {
        compat::GET_VERSION => argument.write(&node.generation()).map(|()| 0),
        compat::GEOMETRY_V1 => {
            geometry::geometry(node.mount(), argument, geometry::Version::CompatV1)
        }
        compat::BULKSTAT_V1 | compat::BULKSTAT_SINGLE | compat::INUMBERS_V1 => {
            let native = match command {
                compat::BULKSTAT_V1 => abi::BULKSTAT_V1,
                compat::BULKSTAT_SINGLE => abi::BULKSTAT_SINGLE,
                _ => abi::INUMBERS_V1,
            };
            privileged()
                .and_then(|()| argument.read::<compat::BulkRequestV1>())
                .and_then(|request| {
                    bulkstat::version1(file, native, &request.into(), bulkstat::Layout::Compat)
                })
        }
        compat::PATH_TO_FSHANDLE | compat::PATH_TO_HANDLE | compat::FD_TO_HANDLE => {
            let native = match command {
                compat::PATH_TO_FSHANDLE => abi::PATH_TO_FSHANDLE,
                compat::PATH_TO_HANDLE => abi::PATH_TO_HANDLE,
                _ => abi::FD_TO_HANDLE,
            };
            compat_handle(argument).and_then(|request| handle::find(native, &request))
        }
        compat::OPEN_BY_HANDLE => {
            compat_handle(argument).and_then(|request| handle::open(file, &request))
        }
        compat::READLINK_BY_HANDLE => {
            compat_handle(argument).and_then(|request| handle::read_link(file, &request))
        }
        compat::ATTR_LIST_BY_HANDLE => attr::list_compat(file, argument),
        compat::ATTR_MULTI_BY_HANDLE => attr::multi_compat(file, argument),
        compat::SWAP_EXTENTS => refuse_change::<compat::SwapExtents>(file, argument),
        compat::GROW_DATA => refuse_change::<compat::GrowData>(file, argument),
        compat::GROW_RT => refuse_change::<compat::GrowRt>(file, argument),
        _ => return None,
    })
}

fn compat_handle(argument: UserAddress) -> Result<abi::HandleRequest> {
    Ok(argument.read::<compat::HandleRequest>()?.into())
}
