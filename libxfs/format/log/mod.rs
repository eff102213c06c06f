// SPDX-License-Identifier: GPL-2.0

//! The log on the disk: records of up to 256 KiB, written one behind the other around a ring of
//! basic blocks, and what lies in them.
//!
//! From the outside in:
//!
//! - [`record`]: every basic block of the ring begins with the number of times the ring had been
//!   gone round when it was written, so the newest can be found; a record's header keeps the words
//!   that those cycles displaced, and a checksum.
//! - [`op`]: a record's data is operations, each a header and a piece of a region. They tell where
//!   a transaction starts and that it was committed.
//! - [`item`] and [`regions`]: a transaction's regions make up items. Each item's first region says
//!   what the item is and how many regions it has.
//! - one file for each kind of item: [`buffer`], whose changed parts [`chunks`] tells, [`inode`],
//!   [`icreate`], [`dquot`], and of the redo items [`extent`] (EFI, EFD), [`map`] (RUI, CUI, BUI),
//!   [`attr`] (ATTRI), [`exchange`] (XMI). [`root`] is how the root of a tree lies in an inode's
//!   item.
//!
//! Record and operation headers are big-endian like the rest of the disk. What items hold is in the
//! order of the machine that wrote the log, which a record's header tells; only a machine of the
//! same order can recover it.
//!
//! Source: chapter "Journaling Log" of the XFS format's documentation, and
//! `fs/xfs/libxfs/xfs_log_format.h` of Linux 7.3.

pub mod attr;
pub mod buffer;
pub mod chunks;
pub mod dquot;
pub mod exchange;
pub mod extent;
pub mod icreate;
pub mod inode;
pub mod item;
pub mod map;
pub mod op;
pub mod record;
pub mod regions;
pub mod root;

pub use self::{
    op::{is_unmount, DiskOpHeader, OP_UNMOUNT, UNMOUNT_MAGIC},
    record::{
        cycle_of, is_header, record_header, DiskRecordHeader, RecordHeader, MAGIC,
        MAX_RECORDS_IN_FLIGHT, MAX_RECORD_SIZE, VERSION,
    },
};
