// SPDX-License-Identifier: GPL-2.0

//! Inodes that begin, and that end.
//!
//! [`take`](crate::libxfs::ialloc::take) finds the number, [`new`] makes the value that goes with it;
//! whoever keeps inodes in memory locks it and joins it to the transaction, with all of it
//! [changed](crate::libxfs::trans::InodeFields::ALL).
//!
//! Source: `fs/xfs/libxfs/xfs_inode_util.c` of Linux 7.3.

use super::{cluster_run, inode_bytes, unlinked, DeviceNumber, Fork, Inode};
use crate::libxfs::{
    defer::Deferred,
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        geometry::Geometry,
        inode::{
            cluster, default_attr_offset,
            flags::{Flags, Flags2},
            time::Timestamp,
            verify::{cow_hint_is_valid, hint_is_valid},
            FileType, ForkFormat, InodeCore, MetaType, RawInode,
        },
        kind::Kind,
        units::{AgInode, InodeNumber, Lsn},
    },
    ialloc::Giving,
    journal::Journal,
    store::Device,
    trans::{InodeFields, InodeId, Trans},
};
use zerocopy::FromBytes;

/// Flags that a new file or directory gets from its directory, whatever it is. Administrators may
/// have some of them left out.
pub const INHERITED: u16 = Flags::NOATIME
    | Flags::NODUMP
    | Flags::SYNC
    | Flags::NOSYMLINKS
    | Flags::NODEFRAG
    | Flags::FILESTREAM;

/// What a new inode is.
#[derive(Clone, Copy, Debug)]
pub struct New<'p> {
    /// Type and permissions, as they are to be.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The directory, whose flags, hints and project are inherited; none for a root.
    pub parent: Option<&'p InodeCore>,
    /// Of a special file.
    pub device: DeviceNumber,
    /// When it begins.
    pub now: Timestamp,
    /// A random number, so that handles of what had the number before are found out. Where chunks are
    /// kept for ever, what [`generation`] says instead.
    pub generation: u32,
    /// Whether it has no name yet: it has no links, and belongs on a list of unlinked inodes.
    pub nameless: bool,
    /// Whether it begins with an attribute fork, since attributes are about to be set. Parent
    /// pointers are such: where there are those, all inodes that may ever get a name need one.
    pub attr_fork: bool,
    /// Which of [`INHERITED`] are inherited.
    pub inherited: u16,
}

/// Flags of new inodes of this file system.
pub fn new_flags(geo: &Geometry) -> Flags2 {
    let mut flags = 0;
    if geo.features.bigtime() {
        flags |= Flags2::BIGTIME;
    }
    if geo.features.nrext64() {
        flags |= Flags2::NREXT64;
    }
    Flags2(flags)
}

/// An inode as it begins.
///
/// # Errors
///
/// `Invalid` for a mode without a type.
pub fn new(geo: &Geometry, number: InodeNumber, new: &New<'_>) -> Result<Inode> {
    let file_type = FileType::from_mode(new.mode).ok_or(Error::Invalid)?;
    let data = if file_type.has_data() {
        Fork::Extents(ExtentMap::new())
    } else {
        Fork::Dev(new.device)
    };
    let mut core = InodeCore {
        mode: new.mode,
        uid: new.uid,
        gid: new.gid,
        nlink: match file_type {
            _ if new.nameless => 0,
            FileType::Directory => 2,
            _ => 1,
        },
        projid: 0,
        atime: new.now,
        mtime: new.now,
        ctime: new.now,
        crtime: new.now,
        size: 0,
        nblocks: 0,
        extsize: 0,
        cowextsize: 0,
        nextents: 0,
        anextents: 0,
        forkoff: 0,
        format: data.format(),
        aformat: ForkFormat::Extents,
        flags: Flags::default(),
        flags2: new_flags(geo),
        metatype: MetaType::Unknown,
        generation: new.generation,
        changecount: 1,
        next_unlinked: None,
        dm: (0, 0),
        lsn: Lsn(0),
    };
    if let Some(parent) = new.parent {
        if parent.flags.has(Flags::PROJINHERIT) {
            core.projid = parent.projid;
        }
        if matches!(file_type, FileType::Regular | FileType::Directory) {
            inherit(geo, &mut core, parent, file_type, new.inherited);
            inherit_more(geo, &mut core, parent);
        }
    }
    let mut attr = None;
    if new.attr_fork {
        core.forkoff = default_attr_offset(!file_type.has_data());
        attr = Some(Fork::Extents(ExtentMap::new()));
    }
    Ok(Inode {
        number,
        core,
        data,
        attr,
        cow: ExtentMap::new(),
    })
}

/// Inherits flags, and the extent size hint.
fn inherit(
    geo: &Geometry,
    core: &mut InodeCore,
    parent: &InodeCore,
    file_type: FileType,
    allowed: u16,
) {
    let has = |flag| parent.flags.has(flag);
    let mut flags = parent.flags.0 & INHERITED & allowed;
    if file_type == FileType::Directory {
        flags |= parent.flags.0 & (Flags::RTINHERIT | Flags::PROJINHERIT | Flags::EXTSZINHERIT);
    } else {
        if has(Flags::RTINHERIT) && geo.rt_blocks != 0 {
            flags |= Flags::REALTIME;
        }
        if has(Flags::EXTSZINHERIT) {
            flags |= Flags::EXTSIZE;
        }
    }
    if has(Flags::EXTSZINHERIT) {
        core.extsize = parent.extsize;
    }
    core.flags = Flags(flags);
    // Of a directory any hint was good once; of a file on the realtime device not every one is.
    if !hint_is_valid(geo, core) {
        core.flags.0 &= !(Flags::EXTSIZE | Flags::EXTSZINHERIT);
        core.extsize = 0;
    }
}

/// Inherits flags of the second word, and the hint for copies on write.
fn inherit_more(geo: &Geometry, core: &mut InodeCore, parent: &InodeCore) {
    core.flags2.0 |= parent.flags2.0 & (Flags2::COWEXTSIZE | Flags2::DAX | Flags2::METADATA);
    if parent.flags2.has(Flags2::COWEXTSIZE) {
        core.cowextsize = parent.cowextsize;
    }
    if !cow_hint_is_valid(geo, core) {
        core.flags2.0 &= !Flags2::COWEXTSIZE;
        core.cowextsize = 0;
    }
}

/// The generation that a free inode's slot says: where chunks are kept, the next one in that place
/// goes on from it.
///
/// # Errors
///
/// `Invalid` for a number that no inode can have; `Unsupported` where chunks are not aligned; those of
/// reading.
pub fn generation<J: Journal>(trans: &mut Trans<'_, J>, number: InodeNumber) -> Result<u32> {
    let geo = trans.geometry();
    if !cluster::number_is_valid(geo, number) {
        return Err(Error::Invalid);
    }
    let place = cluster::place(geo, number).ok_or(Error::Unsupported)?;
    let run = cluster_run(trans.journal(), place).ok_or(Error::Invalid)?;
    let id = trans.read(Device::Data, run, Kind::InodeCluster)?;
    let slot = inode_bytes(geo, trans.bytes(id), place);
    let raw = slot.and_then(|slot| RawInode::ref_from_prefix(slot).ok());
    let generation = raw.map(|(raw, _)| raw.generation.get());
    trans.release(id);
    generation.ok_or(Error::Invalid)
}

/// What became of an inode that was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// Whether its chunk went with it: there is no slot any more to write it to.
    pub chunk: bool,
    /// Its neighbours on the list of unlinked inodes.
    pub neighbours: unlinked::Neighbours,
}

/// Frees an inode that has no links and nothing in its forks, and takes it off its list of unlinked
/// inodes; `before` is as for [`unlinked::remove`], `keep` as for [`Giving::of`]. The inode in memory
/// is a free one from then on.
///
/// # Errors
///
/// `Invalid` for an inode that has links or blocks; those of [`Giving::of`], and then nothing has
/// changed; those of [`unlinked::remove`] and [`Giving::finish`], after which the transaction must not
/// be committed.
pub fn free<J: Journal>(
    trans: &mut Trans<'_, J>,
    deferred: &mut Deferred<'_, J>,
    id: InodeId,
    before: Option<AgInode>,
    keep: bool,
) -> Result<Freed> {
    let inode = trans.inode(id)?;
    let core = &inode.core;
    if core.nlink != 0 || core.nblocks != 0 || core.nextents != 0 || core.anextents != 0 {
        return Err(Error::Invalid);
    }
    let number = inode.number;
    let flags = new_flags(trans.geometry());
    let giving = Giving::of(trans, deferred, number, keep)?;
    // While its slot is still there.
    let neighbours = unlinked::remove(trans, number, before)?;
    giving.finish(trans, deferred)?;
    let inode = trans.change_inode(id, InodeFields::CORE)?;
    let core = &mut inode.core;
    core.mode = 0;
    core.size = 0;
    core.flags = Flags::default();
    core.flags2 = flags;
    core.extsize = 0;
    core.cowextsize = 0;
    core.forkoff = 0;
    core.format = ForkFormat::Extents;
    core.aformat = ForkFormat::Extents;
    core.generation = core.generation.wrapping_add(1);
    core.next_unlinked = None;
    inode.data = Fork::Extents(ExtentMap::new());
    inode.attr = None;
    Ok(Freed {
        chunk: giving.frees_chunk(),
        neighbours,
    })
}
