// SPDX-License-Identifier: GPL-2.0

//! What a check finds: values that say what is wrong, where, and against what.

use crate::libxfs::{
    error::Error,
    format::{
        btree::Owner,
        fault::Fault,
        quota::QuotaType,
        units::{AgBlock, AgNumber, DiskAddr, FileBlock, InodeNumber, RtGroup},
    },
    inode::WhichFork,
    store::Device,
};
use core::fmt;

/// The structure that a finding speaks of. There is one for each of the checks that
/// `XFS_IOC_SCRUB_METADATA` offers and each health bit, so that either follows from it.
///
/// Source: `XFS_SCRUB_TYPE_*` in `fs/xfs/libxfs/xfs_fs.h` of Linux 7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is the format's structure of that name.
pub enum Subject {
    Superblock,
    Agf,
    Agfl,
    Agi,
    Bnobt,
    Cntbt,
    Inobt,
    Finobt,
    Rmapbt,
    Refcountbt,
    /// An inode's core.
    Inode,
    /// Map of a data fork.
    BmapData,
    /// Map of an attribute fork.
    BmapAttr,
    Directory,
    Xattr,
    Symlink,
    /// Parent pointers, and a directory's `..`.
    Parent,
    RtBitmap,
    RtSummary,
    RtSuperblock,
    RtRmapbt,
    RtRefcountbt,
    UserQuota,
    GroupQuota,
    ProjectQuota,
    /// The superblock's summary counters.
    Counters,
    /// Usage that quota records count.
    QuotaCheck,
    /// Link counts.
    Nlinks,
    /// The directory tree: every directory has one way to the root.
    DirTree,
    /// The metadata directory tree.
    MetaPath,
}

impl Subject {
    /// The records of a type of quota.
    pub const fn of_quota(quota_type: QuotaType) -> Self {
        match quota_type {
            QuotaType::User => Self::UserQuota,
            QuotaType::Group => Self::GroupQuota,
            QuotaType::Project => Self::ProjectQuota,
        }
    }

    /// A fork's map.
    pub const fn of_fork(which: WhichFork) -> Self {
        match which {
            WhichFork::Data => Self::BmapData,
            WhichFork::Attr => Self::BmapAttr,
        }
    }
}

/// Where it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file system as a whole.
    FileSystem,
    /// A group's headers or trees as a whole.
    Group(AgNumber),
    /// Blocks of a group.
    Blocks {
        /// The group.
        ag: AgNumber,
        /// First block in it.
        start: AgBlock,
        /// Blocks.
        count: u64,
    },
    /// A realtime group's files as a whole; `None` where there are no groups.
    RtGroup(Option<RtGroup>),
    /// Blocks of a realtime group, or of the whole realtime section without groups.
    RtBlocks {
        /// The group.
        group: Option<RtGroup>,
        /// First block in it.
        start: u64,
        /// Blocks.
        count: u64,
    },
    /// A block that breaks a rule of its own.
    Block(Device, DiskAddr),
    /// An inode.
    Inode(InodeNumber),
    /// A block of a fork.
    Fork {
        /// The inode.
        inode: InodeNumber,
        /// Which fork.
        which: WhichFork,
        /// The block of the fork.
        offset: FileBlock,
    },
    /// An entry of a directory.
    Entry {
        /// The directory.
        directory: InodeNumber,
        /// Where the entry lies, as
        /// [`DataPtr`](crate::libxfs::format::dir::space::DataPtr).
        position: u32,
    },
    /// A record of a quota file.
    Dquot {
        /// Whose quota.
        quota_type: QuotaType,
        /// Which user, group or project.
        id: u32,
    },
}

/// What was expected, or what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing of the kind.
    Absent,
    /// Something of the kind, whatever it is.
    Present,
    /// A number: a count, a block, an inode, a hash; the finding's field says of what.
    Number(u64),
    /// Who owns blocks, and the offset in the owner's fork.
    Owned {
        /// The owner; [`Owner::Null`] stands for free space.
        owner: Owner,
        /// Block of the owner's fork.
        offset: FileBlock,
    },
    /// A rule of the structure's own that is broken.
    Fault(Fault),
    /// It could not be read, for no fault of its bytes.
    Unreadable,
}

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which structure.
    pub subject: Subject,
    /// Where.
    pub place: Place,
    /// The field, in the format's words where it has one.
    pub field: &'static str,
    /// What the rest of the file system says that it should be.
    pub expected: Value,
    /// What it is.
    pub found: Value,
}

impl Finding {
    /// A count or another number that differs from what everything else adds up to.
    pub const fn number(
        subject: Subject,
        place: Place,
        field: &'static str,
        expected: u64,
        found: u64,
    ) -> Self {
        Self {
            subject,
            place,
            field,
            expected: Value::Number(expected),
            found: Value::Number(found),
        }
    }

    /// Something that should be there and is not.
    pub const fn missing(
        subject: Subject,
        place: Place,
        field: &'static str,
        expected: Value,
    ) -> Self {
        Self {
            subject,
            place,
            field,
            expected,
            found: Value::Absent,
        }
    }

    /// Something that is there and should not be.
    pub const fn extra(subject: Subject, place: Place, field: &'static str, found: Value) -> Self {
        Self {
            subject,
            place,
            field,
            expected: Value::Absent,
            found,
        }
    }

    /// A structure that could not be read, `place` being where it would be; `None` for an error
    /// that says nothing of the disk's content.
    pub fn unreadable(subject: Subject, place: Place, error: Error) -> Option<Self> {
        let (place, found) = match error {
            Error::Corrupt(corruption) => {
                let place = match corruption.place {
                    crate::libxfs::error::Place::Block(device, at) => Place::Block(device, at),
                    crate::libxfs::error::Place::Inode(inode) => Place::Inode(inode),
                    // A check reads no log.
                    crate::libxfs::error::Place::Log(..) => place,
                };
                (place, Value::Fault(corruption.fault))
            }
            Error::Invalid | Error::NotFound | Error::NoAttribute | Error::Range => {
                (place, Value::Unreadable)
            }
            _ => return None,
        };
        Some(Self {
            subject,
            place,
            field: "format",
            expected: Value::Present,
            found,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FileSystem => f.write_str("file system"),
            Self::Group(ag) => write!(f, "group {ag}"),
            Self::Blocks { ag, start, count } => write!(f, "group {ag} blocks {start}+{count}"),
            Self::RtGroup(None) => f.write_str("rt section"),
            Self::RtGroup(Some(group)) => write!(f, "rt group {group}"),
            Self::RtBlocks {
                group,
                start,
                count,
            } => write!(f, "{} blocks {start}+{count}", Self::RtGroup(group)),
            Self::Block(device, at) => write!(f, "{device} block {:#x}", at.0),
            Self::Inode(inode) => write!(f, "inode {inode}"),
            Self::Fork {
                inode,
                which,
                offset,
            } => write!(f, "inode {inode} {which:?} fork block {offset}"),
            Self::Entry {
                directory,
                position,
            } => write!(f, "directory {directory} entry {position:#x}"),
            Self::Dquot { quota_type, id } => write!(f, "{quota_type:?} quota {id}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absent => f.write_str("none"),
            Self::Present => f.write_str("a good one"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Owned {
                owner: Owner::Null, ..
            } => f.write_str("free"),
            Self::Owned {
                owner: Owner::Inode(inode),
                offset,
            } => write!(f, "inode {inode} at {offset}"),
            Self::Owned { owner, .. } => write!(f, "{owner:?}"),
            Self::Fault(fault) => fault.fmt(f),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:?} {}: expected {}, found {}",
            self.place, self.subject, self.field, self.expected, self.found
        )
    }
}
