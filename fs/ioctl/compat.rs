// SPDX-License-Identifier: GPL-2.0

//! What 32-bit user space passes and gets, where it differs, and the translation.
//!
//! On x86-64 a 32-bit program aligns 64-bit numbers to 4 bytes, so structures with padding differ
//! beside those with pointers. Source: `fs/xfs/xfs_ioctl32.h` of Linux 7.3.

use super::abi::{self, abi};
use kernel::ioctl::{_IOR, _IOW, _IOWR};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// A 64-bit number at 4-byte alignment, as two halves of a little-endian machine.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed(4))]
pub(crate) struct Wide(u64);

impl From<u64> for Wide {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl abi::Zero for Wide {
    const ZERO: Self = Self(0);
}

abi! {
    /// [`abi::GeometryV1`] without padding.
    GeometryV1: 108 { words: [u32; 27], }

    /// [`abi::GrowData`] without padding.
    GrowData: 12 {
        blocks: Wide,
        inode_max_percent: u32,
    }

    /// [`abi::GrowRt`] without padding.
    GrowRt: 12 {
        blocks: Wide,
        extent_size: u32,
    }

    /// [`abi::InodeGroupV1`] without padding.
    InodeGroupV1: 20 {
        start: Wide,
        allocated: i32,
        mask: Wide,
    }

    /// [`abi::BsTime`] of 32-bit seconds.
    BsTime: 8 {
        seconds: i32,
        nanoseconds: i32,
    }

    /// [`abi::BstatV1`] without padding, of 32-bit times.
    BstatV1: 108 {
        ino: Wide,
        mode: u16,
        nlink: u16,
        uid: u32,
        gid: u32,
        rdev: u32,
        block_size: i32,
        size: Wide,
        atime: BsTime,
        mtime: BsTime,
        ctime: BsTime,
        blocks: Wide,
        xflags: u32,
        extent_size: i32,
        extents: i32,
        generation: u32,
        project_low: u16,
        fork_offset: u16,
        project_high: u16,
        pad: [u8; 10],
        dm_event_mask: u32,
        dm_state: u16,
        attr_extents: u16,
    }

    /// [`abi::BulkRequestV1`] of 32-bit pointers.
    BulkRequestV1: 16 {
        last: u32,
        count: i32,
        buffer: u32,
        out_count: u32,
    }

    /// [`abi::HandleRequest`] of 32-bit pointers.
    HandleRequest: 28 {
        fd: u32,
        path: u32,
        open_flags: u32,
        handle_in: u32,
        handle_in_len: u32,
        handle_out: u32,
        len_out: u32,
    }

    /// [`abi::AttrListRequest`] of 32-bit pointers.
    AttrListRequest: 56 {
        handle: HandleRequest,
        cursor: [u8; 16],
        flags: u32,
        buffer_len: u32,
        buffer: u32,
    }

    /// [`abi::AttrMultiOp`] of 32-bit pointers.
    AttrMultiOp: 24 {
        opcode: u32,
        error: i32,
        name: u32,
        value: u32,
        length: u32,
        flags: u32,
    }

    /// [`abi::AttrMultiRequest`] of 32-bit pointers.
    AttrMultiRequest: 36 {
        handle: HandleRequest,
        count: u32,
        ops: u32,
    }

    /// [`abi::SwapExtents`] without padding.
    SwapExtents: 164 {
        version: Wide,
        fd_target: Wide,
        fd_temporary: Wide,
        offset: Wide,
        length: Wide,
        pad: [u8; 16],
        stat: BstatV1,
    }
}

const X: u32 = b'X' as u32;

/// `XFS_IOC_GETVERSION_32`.
pub(crate) const GET_VERSION: u32 = _IOR::<i32>(b'v' as u32, 1);
/// `XFS_IOC_FSGEOMETRY_V1_32`.
pub(crate) const GEOMETRY_V1: u32 = _IOR::<GeometryV1>(X, 100);
/// `XFS_IOC_FSBULKSTAT_32`.
pub(crate) const BULKSTAT_V1: u32 = _IOWR::<BulkRequestV1>(X, 101);
/// `XFS_IOC_FSBULKSTAT_SINGLE_32`.
pub(crate) const BULKSTAT_SINGLE: u32 = _IOWR::<BulkRequestV1>(X, 102);
/// `XFS_IOC_FSINUMBERS_32`.
pub(crate) const INUMBERS_V1: u32 = _IOWR::<BulkRequestV1>(X, 103);
/// `XFS_IOC_PATH_TO_FSHANDLE_32`.
pub(crate) const PATH_TO_FSHANDLE: u32 = _IOWR::<HandleRequest>(X, 104);
/// `XFS_IOC_PATH_TO_HANDLE_32`.
pub(crate) const PATH_TO_HANDLE: u32 = _IOWR::<HandleRequest>(X, 105);
/// `XFS_IOC_FD_TO_HANDLE_32`.
pub(crate) const FD_TO_HANDLE: u32 = _IOWR::<HandleRequest>(X, 106);
/// `XFS_IOC_OPEN_BY_HANDLE_32`.
pub(crate) const OPEN_BY_HANDLE: u32 = _IOWR::<HandleRequest>(X, 107);
/// `XFS_IOC_READLINK_BY_HANDLE_32`.
pub(crate) const READLINK_BY_HANDLE: u32 = _IOWR::<HandleRequest>(X, 108);
/// `XFS_IOC_SWAPEXT_32`.
pub(crate) const SWAP_EXTENTS: u32 = _IOWR::<SwapExtents>(X, 109);
/// `XFS_IOC_FSGROWFSDATA_32`.
pub(crate) const GROW_DATA: u32 = _IOW::<GrowData>(X, 110);
/// `XFS_IOC_FSGROWFSRT_32`.
pub(crate) const GROW_RT: u32 = _IOW::<GrowRt>(X, 112);
/// `XFS_IOC_ATTRLIST_BY_HANDLE_32`.
pub(crate) const ATTR_LIST_BY_HANDLE: u32 = _IOW::<AttrListRequest>(X, 122);
/// `XFS_IOC_ATTRMULTI_BY_HANDLE_32`.
pub(crate) const ATTR_MULTI_BY_HANDLE: u32 = _IOW::<AttrMultiRequest>(X, 123);

impl From<HandleRequest> for abi::HandleRequest {
    fn from(request: HandleRequest) -> Self {
        Self {
            fd: request.fd,
            pad0: 0,
            path: request.path.into(),
            open_flags: request.open_flags,
            pad1: 0,
            handle_in: request.handle_in.into(),
            handle_in_len: request.handle_in_len,
            pad2: 0,
            handle_out: request.handle_out.into(),
            len_out: request.len_out.into(),
        }
    }
}

impl From<BulkRequestV1> for abi::BulkRequestV1 {
    fn from(request: BulkRequestV1) -> Self {
        Self {
            last: request.last.into(),
            count: request.count,
            pad: 0,
            buffer: request.buffer.into(),
            out_count: request.out_count.into(),
        }
    }
}

impl From<abi::BsTime> for BsTime {
    fn from(time: abi::BsTime) -> Self {
        Self {
            // A 32-bit program sees the low bits, as it does of every time.
            seconds: time.seconds as i32,
            nanoseconds: time.nanoseconds,
        }
    }
}

impl From<&abi::BstatV1> for BstatV1 {
    fn from(stat: &abi::BstatV1) -> Self {
        Self {
            ino: stat.ino.into(),
            mode: stat.mode,
            nlink: stat.nlink,
            uid: stat.uid,
            gid: stat.gid,
            rdev: stat.rdev,
            block_size: stat.block_size,
            size: (stat.size as u64).into(),
            atime: stat.atime.into(),
            mtime: stat.mtime.into(),
            ctime: stat.ctime.into(),
            blocks: (stat.blocks as u64).into(),
            xflags: stat.xflags,
            extent_size: stat.extent_size,
            extents: stat.extents,
            generation: stat.generation,
            project_low: stat.project_low,
            fork_offset: stat.fork_offset,
            project_high: stat.project_high,
            pad: [0; 10],
            dm_event_mask: 0,
            dm_state: stat.dm_state,
            attr_extents: stat.attr_extents,
        }
    }
}

impl From<&abi::InodeGroupV1> for InodeGroupV1 {
    fn from(group: &abi::InodeGroupV1) -> Self {
        Self {
            start: group.start.into(),
            allocated: group.allocated,
            mask: group.mask.into(),
        }
    }
}
