// SPDX-License-Identifier: GPL-2.0

//! What user space passes to the ioctls and gets from them: layouts and numbers.
//!
//! Source: `fs/xfs/libxfs/xfs_fs.h`, `include/uapi/linux/{fs,fsmap}.h` of Linux 7.3. Padding that C
//! leaves to the compiler is a field here, so that no byte of kernel memory escapes through it;
//! pointers are plain numbers until they are copied through. Each size is asserted: it is part of
//! the ioctl's number, which is what user space is compiled with.

use kernel::ioctl::{_IOR, _IOW, _IOWR};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// Defines structures of the interface, plain numbers without hidden padding, with their sizes.
macro_rules! abi {
    ($(
        $(#[$doc:meta])*
        $name:ident: $size:literal {
            $($(#[$field_doc:meta])* $field:ident: $ty:ty,)*
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
            #[repr(C)]
            pub(crate) struct $name {
                $($(#[$field_doc])* pub(crate) $field: $ty,)*
            }

            const _: () = assert!(core::mem::size_of::<$name>() == $size);

            impl $name {
                /// All zeroes.
                #[allow(dead_code)]
                pub(crate) const ZERO: Self = Self { $($field: <$ty as $crate::fs::ioctl::abi::Zero>::ZERO,)* };
            }

            impl $crate::fs::ioctl::abi::Zero for $name {
                const ZERO: Self = $name::ZERO;
            }
        )*
    };
}
pub(super) use abi;

/// A value of zeroes, for constants.
pub(super) trait Zero {
    /// Zeroes.
    const ZERO: Self;
}

macro_rules! zero {
    ($($ty:ty)*) => { $(impl Zero for $ty { const ZERO: Self = 0; })* };
}
zero! { u8 i8 u16 i16 u32 i32 u64 i64 }

impl<T: Zero, const N: usize> Zero for [T; N] {
    const ZERO: Self = [T::ZERO; N];
}

abi! {
    /// Alignment of direct I/O, in bytes.
    DioInfo: 12 {
        /// Of the memory.
        mem: u32,
        /// Of position and length.
        min_io: u32,
        /// The longest transfer.
        max_io: u32,
    }

    /// A mapping of a file, in basic blocks of 512 bytes; as the first of an array, the request.
    GetBmap: 32 {
        offset: i64,
        /// Start on the device; -1 for a hole, -2 for delayed allocation.
        block: i64,
        length: i64,
        /// Of the request: entries in the array, this one counted.
        count: i32,
        /// Of the request: entries that were filled.
        entries: i32,
    }

    /// [`GetBmap`] with flags.
    GetBmapX: 48 {
        offset: i64,
        block: i64,
        length: i64,
        count: i32,
        entries: i32,
        iflags: i32,
        oflags: i32,
        unused: [i32; 2],
    }

    /// A range of a file, for the calls that XFS had before `fallocate`.
    Flock64: 48 {
        kind: i16,
        whence: i16,
        pad0: u32,
        start: i64,
        len: i64,
        sysid: i32,
        pid: u32,
        pad1: [i32; 4],
    }

    /// Shape of the file system; all but the reserved space is in [`GeometryV4`] and
    /// [`GeometryV1`] at the same place.
    Geometry: 256 {
        block_size: u32,
        rt_extent_size: u32,
        ag_blocks: u32,
        ag_count: u32,
        log_blocks: u32,
        sector_size: u32,
        inode_size: u32,
        inode_max_percent: u32,
        data_blocks: u64,
        rt_blocks: u64,
        rt_extents: u64,
        log_start: u64,
        uuid: [u8; 16],
        stripe_unit: u32,
        stripe_width: u32,
        version: i32,
        flags: u32,
        log_sector_size: u32,
        rt_sector_size: u32,
        dir_block_size: u32,
        log_stripe_unit: u32,
        sick: u32,
        checked: u32,
        rt_group_extents: u32,
        rt_group_count: u32,
        rt_start: u64,
        rt_reserved: u64,
        reserved: [u64; 14],
    }

    /// The head of [`Geometry`] that version 1 copies, with the padding at its end.
    GeometryV1: 112 { bytes: [u64; 14], }

    /// The head of [`Geometry`] that version 4 copies.
    GeometryV4: 112 { bytes: [u64; 14], }

    /// Free space and inodes.
    Counts: 32 {
        free_data: u64,
        free_rt_extents: u64,
        free_inodes: u64,
        inodes: u64,
    }

    /// The pool of blocks kept back for a full file system.
    ReservedBlocks: 16 {
        total: u64,
        available: u64,
    }

    /// State of an allocation group.
    AgGeometry: 128 {
        number: u32,
        length: u32,
        free_blocks: u32,
        inodes: u32,
        free_inodes: u32,
        sick: u32,
        checked: u32,
        flags: u32,
        reserved: [u64; 12],
    }

    /// State of a realtime group.
    RtGroupGeometry: 128 {
        number: u32,
        length: u32,
        sick: u32,
        checked: u32,
        flags: u32,
        write_pointer: u32,
        reserved: [u32; 26],
    }

    /// A new size of the data device.
    GrowData: 16 {
        blocks: u64,
        inode_max_percent: u32,
        pad: u32,
    }

    /// A new size of the log.
    GrowLog: 8 {
        blocks: u32,
        internal: u32,
    }

    /// A new size of the realtime device.
    GrowRt: 16 {
        blocks: u64,
        extent_size: u32,
        pad: u32,
    }

    /// A time of [`BstatV1`].
    BsTime: 16 {
        seconds: i64,
        nanoseconds: i32,
        pad: u32,
    }

    /// What the first bulkstat told of an inode.
    BstatV1: 136 {
        ino: u64,
        mode: u16,
        nlink: u16,
        uid: u32,
        gid: u32,
        rdev: u32,
        block_size: i32,
        pad0: u32,
        size: i64,
        atime: BsTime,
        mtime: BsTime,
        ctime: BsTime,
        /// In file system blocks.
        blocks: i64,
        xflags: u32,
        /// In bytes.
        extent_size: i32,
        extents: i32,
        generation: u32,
        project_low: u16,
        fork_offset: u16,
        project_high: u16,
        sick: u16,
        checked: u16,
        pad1: [u8; 2],
        /// In bytes.
        cow_extent_size: u32,
        dm_event_mask: u32,
        dm_state: u16,
        attr_extents: u16,
    }

    /// What bulkstat tells of an inode.
    Bulkstat: 192 {
        ino: u64,
        size: u64,
        /// In file system blocks.
        blocks: u64,
        xflags: u64,
        atime: i64,
        mtime: i64,
        ctime: i64,
        btime: i64,
        generation: u32,
        uid: u32,
        gid: u32,
        project: u32,
        atime_nsec: u32,
        mtime_nsec: u32,
        ctime_nsec: u32,
        btime_nsec: u32,
        block_size: u32,
        rdev: u32,
        /// In file system blocks.
        cow_extent_size: u32,
        /// In file system blocks.
        extent_size: u32,
        nlink: u32,
        extents: u32,
        attr_extents: u32,
        version: u16,
        fork_offset: u16,
        sick: u16,
        checked: u16,
        mode: u16,
        pad2: u16,
        extents64: u64,
        pad: [u64; 6],
    }

    /// A request of the first bulkstat; the fields but `count` are pointers.
    BulkRequestV1: 32 {
        last: u64,
        count: i32,
        pad: u32,
        buffer: u64,
        out_count: u64,
    }

    /// The first form of a chunk of inodes.
    InodeGroupV1: 24 {
        start: u64,
        allocated: i32,
        pad: u32,
        mask: u64,
    }

    /// A chunk of inodes.
    Inumbers: 24 {
        start: u64,
        mask: u64,
        allocated: u8,
        version: u8,
        pad: [u8; 6],
    }

    /// The head of a bulkstat or inumbers request; the records follow it.
    BulkRequest: 64 {
        ino: u64,
        flags: u32,
        count: u32,
        out_count: u32,
        ag: u32,
        reserved: [u64; 5],
    }

    /// A request of the handle calls; `path`, `handle_in`, `handle_out` and `len_out` are pointers.
    HandleRequest: 56 {
        fd: u32,
        pad0: u32,
        path: u64,
        open_flags: u32,
        pad1: u32,
        handle_in: u64,
        handle_in_len: u32,
        pad2: u32,
        handle_out: u64,
        len_out: u64,
    }

    /// A request to list the attributes of a handle's inode; `buffer` is a pointer.
    AttrListRequest: 88 {
        handle: HandleRequest,
        /// Where the listing goes on; not for user space to read.
        cursor: [u8; 16],
        flags: u32,
        buffer_len: u32,
        buffer: u64,
    }

    /// One operation on an attribute; `name` and `value` are pointers.
    AttrMultiOp: 32 {
        opcode: u32,
        error: i32,
        name: u64,
        value: u64,
        length: u32,
        flags: u32,
    }

    /// A request for several operations on attributes; `ops` is a pointer.
    AttrMultiRequest: 72 {
        handle: HandleRequest,
        count: u32,
        pad: u32,
        ops: u64,
    }

    /// Handle of a file; its first 8 bytes alone are that of the file system.
    Handle: 24 {
        fsid: [u32; 2],
        /// Length of what follows it.
        fid_len: u16,
        fid_pad: u16,
        generation: u32,
        ino: u64,
    }

    /// A request for parent pointers; `buffer` is a pointer.
    GetParents: 40 {
        /// Where the listing goes on; not for user space to read.
        cursor: [u8; 16],
        iflags: u16,
        oflags: u16,
        buffer_len: u32,
        reserved: u64,
        buffer: u64,
    }

    /// [`GetParents`] of a handle's inode.
    GetParentsByHandle: 64 {
        handle: Handle,
        request: GetParents,
    }

    /// The head of a parent pointer; the name follows, ended by a zero.
    ParentRecord: 32 {
        parent: Handle,
        len: u32,
        reserved: u32,
    }

    /// One exchange of the extents of two files, as it was before exchange-range.
    SwapExtents: 192 {
        version: i64,
        fd_target: i64,
        fd_temporary: i64,
        offset: i64,
        length: i64,
        pad: [u8; 16],
        stat: BstatV1,
    }

    /// A check of one structure.
    ScrubMetadata: 64 {
        kind: u32,
        flags: u32,
        ino: u64,
        generation: u32,
        ag: u32,
        reserved: [u64; 5],
    }

    /// Several checks of one inode or group.
    ScrubVector: 40 {
        ino: u64,
        generation: u32,
        ag: u32,
        flags: u32,
        rest_us: u16,
        count: u16,
        reserved: u64,
        vectors: u64,
    }

    /// An exchange of ranges between two files.
    ExchangeRange: 40 {
        file1_fd: i32,
        pad: u32,
        file1_offset: u64,
        file2_offset: u64,
        length: u64,
        flags: u64,
    }

    /// [`ExchangeRange`] that fails if the second file has changed meanwhile.
    CommitRange: 88 {
        range: ExchangeRange,
        freshness: [u64; 6],
    }

    /// An error to inject.
    ErrorInjection: 8 {
        fd: i32,
        tag: i32,
    }

    /// Which files to rid of preallocated blocks.
    EofBlocks: 128 {
        version: u32,
        flags: u32,
        uid: u32,
        gid: u32,
        project: u32,
        pad: u32,
        min_size: u64,
        reserved: [u64; 12],
    }

    /// A request for a stream of health events.
    HealthMonitor: 32 {
        flags: u64,
        format: u8,
        pad: [u8; 23],
    }

    /// A request to read a range of a device.
    VerifyMedia: 40 {
        device: u32,
        flags: u32,
        start: u64,
        end: u64,
        io_error: u32,
        max_io: u32,
        rest_us: u32,
        pad: u32,
    }

    /// An extent of a device, in bytes.
    Fsmap: 64 {
        device: u32,
        flags: u32,
        physical: u64,
        owner: u64,
        offset: u64,
        length: u64,
        reserved: [u64; 3],
    }

    /// The head of a request for the extents of the devices; the records follow it.
    FsmapHead: 192 {
        iflags: u32,
        oflags: u32,
        count: u32,
        entries: u32,
        reserved: [u64; 6],
        /// The lowest and the highest mapping that the caller wants to see.
        keys: [Fsmap; 2],
    }

    /// Attributes of a file.
    FsXattr: 28 {
        xflags: u32,
        extent_size: u32,
        extents: u32,
        project: u32,
        cow_extent_size: u32,
        pad: [u8; 8],
    }

    /// A range of the device to discard.
    TrimRange: 24 {
        start: u64,
        len: u64,
        min_len: u64,
    }
}

const X: u32 = b'X' as u32;

/// `FITRIM`.
pub(crate) const TRIM: u32 = _IOWR::<TrimRange>(X, 121);
/// `FS_IOC_GETFSLABEL`.
pub(crate) const GET_LABEL: u32 = _IOR::<[u8; LABEL_MAX]>(0x94, 49);
/// `FS_IOC_SETFSLABEL`.
pub(crate) const SET_LABEL: u32 = _IOW::<[u8; LABEL_MAX]>(0x94, 50);
/// `FS_IOC_GETVERSION`: the generation.
pub(crate) const GET_VERSION: u32 = _IOR::<i64>(b'v' as u32, 1);
/// Bytes of the label that the generic calls speak of.
pub(crate) const LABEL_MAX: usize = 256;

/// `XFS_IOC_DIOINFO`.
pub(crate) const DIO_INFO: u32 = _IOR::<DioInfo>(X, 30);
/// `XFS_IOC_GETBMAP`.
pub(crate) const GET_BMAP: u32 = _IOWR::<GetBmap>(X, 38);
/// `XFS_IOC_GETBMAPA`.
pub(crate) const GET_BMAP_ATTR: u32 = _IOWR::<GetBmap>(X, 44);
/// `XFS_IOC_FSGETXATTRA`.
pub(crate) const GET_XATTR_ATTR: u32 = _IOR::<FsXattr>(X, 45);
/// `XFS_IOC_GETBMAPX`; its number bears the size of the smaller structure.
pub(crate) const GET_BMAPX: u32 = _IOWR::<GetBmap>(X, 56);
/// `XFS_IOC_FREE_EOFBLOCKS`.
pub(crate) const FREE_EOF_BLOCKS: u32 = _IOR::<EofBlocks>(X, 58);
/// `FS_IOC_GETFSMAP`.
pub(crate) const GET_FSMAP: u32 = _IOWR::<FsmapHead>(X, 59);
/// `XFS_IOC_SCRUB_METADATA`.
pub(crate) const SCRUB: u32 = _IOWR::<ScrubMetadata>(X, 60);
/// `XFS_IOC_AG_GEOMETRY`.
pub(crate) const AG_GEOMETRY: u32 = _IOWR::<AgGeometry>(X, 61);
/// `XFS_IOC_GETPARENTS`.
pub(crate) const GET_PARENTS: u32 = _IOWR::<GetParents>(X, 62);
/// `XFS_IOC_GETPARENTS_BY_HANDLE`.
pub(crate) const GET_PARENTS_BY_HANDLE: u32 = _IOWR::<GetParentsByHandle>(X, 63);
/// `XFS_IOC_SCRUBV_METADATA`.
pub(crate) const SCRUB_VECTOR: u32 = _IOWR::<ScrubVector>(X, 64);
/// `XFS_IOC_RTGROUP_GEOMETRY`.
pub(crate) const RT_GROUP_GEOMETRY: u32 = _IOWR::<RtGroupGeometry>(X, 65);
/// `XFS_IOC_HEALTH_MONITOR`.
pub(crate) const HEALTH_MONITOR: u32 = _IOW::<HealthMonitor>(X, 68);
/// `XFS_IOC_VERIFY_MEDIA`.
pub(crate) const VERIFY_MEDIA: u32 = _IOWR::<VerifyMedia>(X, 70);
/// `XFS_IOC_FSGEOMETRY_V1`.
pub(crate) const GEOMETRY_V1: u32 = _IOR::<GeometryV1>(X, 100);
/// `XFS_IOC_FSBULKSTAT`.
pub(crate) const BULKSTAT_V1: u32 = _IOWR::<BulkRequestV1>(X, 101);
/// `XFS_IOC_FSBULKSTAT_SINGLE`.
pub(crate) const BULKSTAT_SINGLE: u32 = _IOWR::<BulkRequestV1>(X, 102);
/// `XFS_IOC_FSINUMBERS`.
pub(crate) const INUMBERS_V1: u32 = _IOWR::<BulkRequestV1>(X, 103);
/// `XFS_IOC_PATH_TO_FSHANDLE`.
pub(crate) const PATH_TO_FSHANDLE: u32 = _IOWR::<HandleRequest>(X, 104);
/// `XFS_IOC_PATH_TO_HANDLE`.
pub(crate) const PATH_TO_HANDLE: u32 = _IOWR::<HandleRequest>(X, 105);
/// `XFS_IOC_FD_TO_HANDLE`.
pub(crate) const FD_TO_HANDLE: u32 = _IOWR::<HandleRequest>(X, 106);
/// `XFS_IOC_OPEN_BY_HANDLE`.
pub(crate) const OPEN_BY_HANDLE: u32 = _IOWR::<HandleRequest>(X, 107);
/// `XFS_IOC_READLINK_BY_HANDLE`.
pub(crate) const READLINK_BY_HANDLE: u32 = _IOWR::<HandleRequest>(X, 108);
/// `XFS_IOC_SWAPEXT`.
pub(crate) const SWAP_EXTENTS: u32 = _IOWR::<SwapExtents>(X, 109);
/// `XFS_IOC_FSGROWFSDATA`.
pub(crate) const GROW_DATA: u32 = _IOW::<GrowData>(X, 110);
/// `XFS_IOC_FSGROWFSLOG`.
pub(crate) const GROW_LOG: u32 = _IOW::<GrowLog>(X, 111);
/// `XFS_IOC_FSGROWFSRT`.
pub(crate) const GROW_RT: u32 = _IOW::<GrowRt>(X, 112);
/// `XFS_IOC_FSCOUNTS`.
pub(crate) const COUNTS: u32 = _IOR::<Counts>(X, 113);
/// `XFS_IOC_SET_RESBLKS`.
pub(crate) const SET_RESERVED: u32 = _IOWR::<ReservedBlocks>(X, 114);
/// `XFS_IOC_GET_RESBLKS`.
pub(crate) const GET_RESERVED: u32 = _IOR::<ReservedBlocks>(X, 115);
/// `XFS_IOC_ERROR_INJECTION`.
pub(crate) const ERROR_INJECTION: u32 = _IOW::<ErrorInjection>(X, 116);
/// `XFS_IOC_ERROR_CLEARALL`.
pub(crate) const ERROR_CLEAR_ALL: u32 = _IOW::<ErrorInjection>(X, 117);
/// `XFS_IOC_ATTRLIST_BY_HANDLE`.
pub(crate) const ATTR_LIST_BY_HANDLE: u32 = _IOW::<AttrListRequest>(X, 122);
/// `XFS_IOC_ATTRMULTI_BY_HANDLE`.
pub(crate) const ATTR_MULTI_BY_HANDLE: u32 = _IOW::<AttrMultiRequest>(X, 123);
/// `XFS_IOC_FSGEOMETRY_V4`.
pub(crate) const GEOMETRY_V4: u32 = _IOR::<GeometryV4>(X, 124);
/// `XFS_IOC_GOINGDOWN`.
pub(crate) const GOING_DOWN: u32 = _IOR::<u32>(X, 125);
/// `XFS_IOC_FSGEOMETRY`.
pub(crate) const GEOMETRY: u32 = _IOR::<Geometry>(X, 126);
/// `XFS_IOC_BULKSTAT`; the number bears the size of the head.
pub(crate) const BULKSTAT: u32 = _IOR::<BulkRequest>(X, 127);
/// `XFS_IOC_INUMBERS`; the number bears the size of the head.
pub(crate) const INUMBERS: u32 = _IOR::<BulkRequest>(X, 128);
/// `XFS_IOC_EXCHANGE_RANGE`.
pub(crate) const EXCHANGE_RANGE: u32 = _IOW::<ExchangeRange>(X, 129);
/// `XFS_IOC_START_COMMIT`.
pub(crate) const START_COMMIT: u32 = _IOR::<CommitRange>(X, 130);
/// `XFS_IOC_COMMIT_RANGE`.
pub(crate) const COMMIT_RANGE: u32 = _IOW::<CommitRange>(X, 131);

/// Flags of [`GetBmapX::iflags`].
pub(crate) mod bmap_in {
    /// The attribute fork.
    pub(crate) const ATTR_FORK: i32 = 0x1;
    /// Tell unwritten extents apart.
    pub(crate) const PREALLOC: i32 = 0x4;
    /// Show delayed allocations rather than writing them first.
    pub(crate) const DELALLOC: i32 = 0x8;
    /// Leave out holes.
    pub(crate) const NO_HOLES: i32 = 0x10;
    /// The copy-on-write fork; C answers it in debug builds alone.
    pub(crate) const COW_FORK: i32 = 0x20;
    /// All known flags, with one (2) that no longer means anything.
    pub(crate) const VALID: i32 = 0x3f;
}

/// Flags of [`GetBmapX::oflags`].
pub(crate) mod bmap_out {
    /// Unwritten.
    pub(crate) const PREALLOC: i32 = 0x1;
    /// The file's last extent.
    pub(crate) const LAST: i32 = 0x4;
    /// Shared with another file.
    pub(crate) const SHARED: i32 = 0x8;
}

/// Flags of [`Geometry::flags`].
pub(crate) mod geometry_flag {
    /// Attributes in use.
    pub(crate) const ATTR: u32 = 1 << 0;
    /// 32-bit link counts.
    pub(crate) const NLINK: u32 = 1 << 1;
    /// Quota in use.
    pub(crate) const QUOTA: u32 = 1 << 2;
    /// Aligned inodes.
    pub(crate) const INODE_ALIGNMENT: u32 = 1 << 3;
    /// Stripes.
    pub(crate) const DATA_ALIGNMENT: u32 = 1 << 4;
    /// Extents have a flag.
    pub(crate) const EXTENT_FLAG: u32 = 1 << 6;
    /// Directories of version 2.
    pub(crate) const DIR_V2: u32 = 1 << 7;
    /// Log of version 2.
    pub(crate) const LOG_V2: u32 = 1 << 8;
    /// Sectors larger than 512 bytes.
    pub(crate) const SECTOR: u32 = 1 << 9;
    /// Attributes of version 2.
    pub(crate) const ATTR2: u32 = 1 << 10;
    /// 32-bit project numbers.
    pub(crate) const PROJECT32: u32 = 1 << 11;
    /// Names without regard to ASCII case.
    pub(crate) const CASE_INSENSITIVE: u32 = 1 << 12;
    /// Lazy counters of the superblock.
    pub(crate) const LAZY_SB: u32 = 1 << 14;
    /// Superblock of version 5.
    pub(crate) const V5: u32 = 1 << 15;
    /// File types in directories.
    pub(crate) const FTYPE: u32 = 1 << 16;
    /// Free-inode B+tree.
    pub(crate) const FINOBT: u32 = 1 << 17;
    /// Sparse inode chunks.
    pub(crate) const SPARSE_INODES: u32 = 1 << 18;
    /// Reverse-mapping B+tree.
    pub(crate) const RMAPBT: u32 = 1 << 19;
    /// Shared extents.
    pub(crate) const REFLINK: u32 = 1 << 20;
    /// 64-bit times.
    pub(crate) const BIGTIME: u32 = 1 << 21;
    /// AGI counts the inode B+trees' blocks.
    pub(crate) const INOBTCOUNT: u32 = 1 << 22;
    /// Large extent counters.
    pub(crate) const NREXT64: u32 = 1 << 23;
    /// Exchange of extents.
    pub(crate) const EXCHANGE_RANGE: u32 = 1 << 24;
    /// Parent pointers.
    pub(crate) const PARENT: u32 = 1 << 25;
    /// Metadata directory tree.
    pub(crate) const METADIR: u32 = 1 << 26;
    /// Zoned realtime device.
    pub(crate) const ZONED: u32 = 1 << 27;
}

/// Flags of [`BulkRequest::flags`].
pub(crate) mod bulk_flag {
    /// One allocation group alone.
    pub(crate) const AG: u32 = 1 << 0;
    /// `ino` is a name, not a number.
    pub(crate) const SPECIAL: u32 = 1 << 1;
    /// 64-bit extent counts.
    pub(crate) const NREXT64: u32 = 1 << 2;
    /// Show inodes of the metadata directory tree.
    pub(crate) const METADIR: u32 = 1 << 3;
    /// All of them.
    pub(crate) const ALL: u32 = 0xf;
    /// The name of the root directory.
    pub(crate) const SPECIAL_ROOT: u64 = 1;
}

/// Flags of the attribute calls.
pub(crate) mod attr_flag {
    /// The trusted namespace.
    pub(crate) const ROOT: u32 = 0x2;
    /// The security namespace.
    pub(crate) const SECURE: u32 = 0x8;
    /// Set it only if there is none of that name.
    pub(crate) const CREATE: u32 = 0x10;
    /// Set it only if there is one of that name.
    pub(crate) const REPLACE: u32 = 0x20;
}

/// Operations of [`AttrMultiOp::opcode`].
pub(crate) mod attr_op {
    /// Read it.
    pub(crate) const GET: u32 = 1;
    /// Set it.
    pub(crate) const SET: u32 = 2;
    /// Remove it.
    pub(crate) const REMOVE: u32 = 3;
}

/// Flags of [`GetParents::oflags`].
pub(crate) mod parents_flag {
    /// The inode is the root directory.
    pub(crate) const ROOT: u16 = 1 << 0;
    /// There are no more.
    pub(crate) const DONE: u16 = 1 << 1;
}

/// Flags of [`Fsmap::flags`].
pub(crate) mod fsmap_flag {
    /// Unwritten.
    pub(crate) const PREALLOC: u32 = 0x1;
    /// Attribute fork.
    pub(crate) const ATTR_FORK: u32 = 0x2;
    /// Block of a fork's B+tree.
    pub(crate) const EXTENT_MAP: u32 = 0x4;
    /// Shared with another file.
    pub(crate) const SHARED: u32 = 0x8;
    /// The owner is a name, not an inode.
    pub(crate) const SPECIAL_OWNER: u32 = 0x10;
    /// The last of all.
    pub(crate) const LAST: u32 = 0x20;
    /// In the head: devices are device numbers.
    pub(crate) const HEAD_DEV_T: u32 = 0x1;
}

/// Names of [`Fsmap::owner`].
pub(crate) mod fsmap_owner {
    const fn name(class: u8, code: u64) -> u64 {
        ((class as u64) << 32) | code
    }

    /// Free space.
    pub(crate) const FREE: u64 = name(0, 1);
    /// Not known.
    pub(crate) const UNKNOWN: u64 = name(0, 2);
    /// The superblocks and the groups' headers.
    pub(crate) const FS: u64 = name(b'X', 1);
    /// The log.
    pub(crate) const LOG: u64 = name(b'X', 2);
    /// Blocks of the free-space and reverse-mapping B+trees.
    pub(crate) const AG: u64 = name(b'X', 3);
    /// Blocks of the inode B+trees.
    pub(crate) const INOBT: u64 = name(b'X', 4);
    /// Inodes.
    pub(crate) const INODES: u64 = name(b'X', 5);
    /// Blocks of the reference-count B+tree.
    pub(crate) const REFCOUNT: u64 = name(b'X', 6);
    /// Staging of copy on write.
    pub(crate) const COW: u64 = name(b'X', 7);
}

// A few numbers as user space has them, so that a slip in a size or a letter shows here.
const _: () = {
    assert!(GET_BMAPX == 0xc020_5838);
    assert!(GET_FSMAP == 0xc0c0_583b);
    assert!(GEOMETRY == 0x8100_587e);
    assert!(GEOMETRY_V1 == 0x8070_5864);
    assert!(BULKSTAT == 0x8040_587f);
    assert!(FD_TO_HANDLE == 0xc038_586a);
    assert!(GET_PARENTS == 0xc028_583e);
    assert!(ATTR_LIST_BY_HANDLE == 0x4058_587a);
    assert!(GET_LABEL == 0x8100_9431);
    assert!(GET_VERSION == 0x8008_7601);
};
