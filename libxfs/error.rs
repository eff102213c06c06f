// SPDX-License-Identifier: GPL-2.0

//! Errors of the algorithms: values that say what happened and where.

use super::{
    format::{
        fault::{Fault, FaultKind},
        units::{DiskAddr, InodeNumber, Lsn},
    },
    store::Device,
};
use core::fmt;

/// Where a fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A block of a device.
    Block(Device, DiskAddr),
    /// Within an inode.
    Inode(InodeNumber),
    /// In the log: the record in which a transaction starts, or that is itself wrong, and the block
    /// of the data device that an item was to change, if it came to that.
    Log(Lsn, Option<DiskAddr>),
}

/// Corruption: what is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub place: Place,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Block(device, at) => write!(f, "{} block {:#x}: {}", device, at.0, self.fault),
            Place::Inode(inode) => write!(f, "inode {}: {}", inode, self.fault),
            Place::Log(record, block) => {
                write!(f, "log record {}:{}", record.cycle(), record.block())?;
                if let Some(at) = block {
                    write!(f, ", data block {:#x}", at.0)?;
                }
                write!(f, ": {}", self.fault)
            }
        }
    }
}

/// Why an operation failed. Small and `Copy`: failing must not allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The disk breaks its format (`EUCLEAN`; `EBADMSG` for a checksum). Whoever turned the fault
    /// into this value has reported it, or will.
    Corrupt(Corruption),
    /// The device failed (`EIO`).
    Io,
    /// No memory (`ENOMEM`).
    NoMemory,
    /// No such name or inode (`ENOENT`).
    NotFound,
    /// No such attribute (`ENODATA`).
    NoAttribute,
    /// There is such a name or attribute already (`EEXIST`).
    Exists,
    /// The caller's buffer is too small (`ERANGE`).
    Range,
    /// An argument is out of its domain (`EINVAL`).
    Invalid,
    /// The inode is free, or its generation has moved on (`ESTALE` for a handle).
    Stale,
    /// A name, or a link's target, is too long (`ENAMETOOLONG`).
    NameTooLong,
    /// A directory has entries (`ENOTEMPTY`).
    NotEmpty,
    /// An inode has as many links as can be counted (`EMLINK`).
    TooManyLinks,
    /// Names do not leave a directory whose project is for all that is in it (`EXDEV`).
    CrossDevice,
    /// No space is left (`ENOSPC`).
    NoSpace,
    /// More than can be counted, or further than can be said (`EFBIG`).
    TooLarge,
    /// A signal asked the walk to stop (`EINTR`).
    Interrupted,
    /// Not supported for this object (`EOPNOTSUPP`).
    Unsupported,
    /// The file system is shut down (`EIO`).
    Shutdown,
}

impl Error {
    /// Corruption of a block.
    pub const fn block(fault: Fault, device: Device, at: DiskAddr) -> Self {
        Error::Corrupt(Corruption {
            fault,
            place: Place::Block(device, at),
        })
    }

    /// Corruption within an inode.
    pub const fn inode(fault: Fault, inode: InodeNumber) -> Self {
        Error::Corrupt(Corruption {
            fault,
            place: Place::Inode(inode),
        })
    }

    /// Corruption of a record of the log, or of an item in it.
    pub const fn log(fault: Fault, record: Lsn) -> Self {
        Error::Corrupt(Corruption {
            fault,
            place: Place::Log(record, None),
        })
    }

    /// Corruption that comes out where an item of the log is applied to a block.
    pub const fn replay(fault: Fault, record: Lsn, at: DiskAddr) -> Self {
        Error::Corrupt(Corruption {
            fault,
            place: Place::Log(record, Some(at)),
        })
    }

    /// Whether this is corruption found by a checksum.
    pub const fn is_checksum(&self) -> bool {
        matches!(
            self,
            Error::Corrupt(Corruption {
                fault: Fault {
                    kind: FaultKind::Checksum,
                    ..
                },
                ..
            })
        )
    }
}

impl From<kernel::alloc::AllocError> for Error {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Error::NoMemory
    }
}

/// Result of an algorithm.
pub type Result<T = ()> = core::result::Result<T, Error>;
