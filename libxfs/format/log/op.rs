// SPDX-License-Identifier: GPL-2.0

//! Operations: what a record's data is made of.
//!
//! An operation is a header and a piece of a region. A transaction is a start operation, a header
//! of its own, the regions of its items, and a commit operation, all with one number; operations of
//! several transactions may be mixed. A region that does not fit into a record is continued in the
//! next.

use zerocopy::{
    byteorder::{
        big_endian::{U16, U32},
        native_endian,
    },
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

/// An operation's header within a record's data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `oh_` field of the same name.
pub struct DiskOpHeader {
    pub tid: U32,
    pub len: U32,
    pub clientid: u8,
    pub flags: u8,
    pub res2: U16,
}

/// Bytes of an operation's header.
pub const OP_HEADER_SIZE: usize = core::mem::size_of::<DiskOpHeader>();
const _: () = assert!(OP_HEADER_SIZE == 12);

/// Who wrote an operation: a transaction.
pub const CLIENT_TRANSACTION: u8 = 0x69;
/// Who wrote an operation: the log itself.
pub const CLIENT_LOG: u8 = 0xaa;

/// Flag of an operation: a transaction starts.
pub const OP_START: u8 = 0x01;
/// Flag of an operation: the transaction is committed.
pub const OP_COMMIT: u8 = 0x02;
/// Flag of an operation: the region goes on in the next record.
pub const OP_CONTINUE: u8 = 0x04;
/// Flag of an operation: the region goes on from the record before.
pub const OP_WAS_CONTINUED: u8 = 0x08;
/// Flag of an operation: a region that was continued ends here.
pub const OP_END: u8 = 0x10;
/// Flag of an operation: the file system was unmounted.
pub const OP_UNMOUNT: u8 = 0x20;

/// First word of an unmount operation's data, in the order of the machine that wrote it.
pub const UNMOUNT_MAGIC: u16 = 0x556e;

/// An unmount operation's data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's of the same name.
pub struct DiskUnmount {
    pub magic: native_endian::U16,
    pub pad1: [u8; 2],
    pub pad2: [u8; 4],
}

/// First word of a transaction's header (`TRAN`).
pub const TRANSACTION_MAGIC: u32 = 0x5452_414e;
/// The only type of transaction that there is today: a checkpoint.
pub const TRANSACTION_CHECKPOINT: u32 = 40;

/// The first region of a transaction.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `th_` field of the same name.
pub struct DiskTransactionHeader {
    pub magic: native_endian::U32,
    pub kind: native_endian::U32,
    pub tid: native_endian::U32,
    /// Regions that follow.
    pub num_items: native_endian::U32,
}

/// Bytes of a transaction's header.
pub const TRANSACTION_HEADER_SIZE: usize = core::mem::size_of::<DiskTransactionHeader>();
const _: () = assert!(TRANSACTION_HEADER_SIZE == 16);

/// Whether the first operation in this basic block of data says that the file system was unmounted.
pub fn is_unmount(data: &[u8]) -> bool {
    matches!(DiskOpHeader::ref_from_prefix(data), Ok((op, _)) if op.flags & OP_UNMOUNT != 0)
}
