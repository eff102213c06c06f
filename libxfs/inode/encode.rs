// SPDX-License-Identifier: GPL-2.0

//! An inode on its way out of memory: to its slot in the cluster, and to the log.
//!
//! Both say the same of a fork, but not in the same bytes: the root of a tree is logged as if it
//! were a block. The list of unlinked inodes is in neither: its pointers are changed in the clusters
//! themselves, so what a slot has there stays.

use super::{Fork, Inode, WhichFork};
use crate::libxfs::{
    error::{Error, Result},
    extents::{ExtentMap, State},
    format::{
        btree::bmap::{BmapRecord, DiskBmap},
        geometry::Geometry,
        inode::{self, cluster::InodePlace, ForkFormat, MetaType, RawInode, CORE_SIZE},
        log::{
            inode::{Fields, InodeItem, LogInode, LogPlace},
            root::Form,
        },
        units::{InodeNumber, Lsn},
    },
    trans::InodeFields,
};
use core::mem::size_of;
use kernel::alloc::{flags::GFP_KERNEL, KVec};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a mapping.
const MAPPING_SIZE: usize = size_of::<DiskBmap>();

/// Writes an inode to its slot: the core, and those of the forks that `fields` names. `lsn` is that
/// of the log record with its last change. The slot's checksum is set; who writes the cluster
/// verifies it.
///
/// # Errors
///
/// `Invalid` for a fork that does not fit, or that the core tells otherwise of; the slot is then of
/// no use.
pub fn to_slot(
    geo: &Geometry,
    inode: &Inode,
    fields: InodeFields,
    lsn: Lsn,
    slot: &mut [u8],
) -> Result {
    let slot = slot
        .get_mut(..geo.inode_size as usize)
        .ok_or(Error::Invalid)?;
    let (core, literal) = slot.split_at_mut_checked(CORE_SIZE).ok_or(Error::Invalid)?;
    let core = RawInode::mut_from_bytes(core).map_err(|_| Error::Invalid)?;
    *core = RawInode {
        next_unlinked: core.next_unlinked,
        lsn: lsn.0.into(),
        ..inode.core.to_raw(geo, inode.number)
    };
    let split = inode.core.data_fork_size(geo);
    let (data, attr) = literal.split_at_mut_checked(split).ok_or(Error::Invalid)?;
    if fields.contains(InodeFields::DATA) {
        fork_to_slot(inode, WhichFork::Data, data)?;
    }
    if fields.contains(InodeFields::ATTR) && inode.attr.is_some() {
        fork_to_slot(inode, WhichFork::Attr, attr)?;
    }
    inode::seal(slot);
    Ok(())
}

/// Writes a fork to its part of the slot. What it does not take of that stays as it is.
fn fork_to_slot(inode: &Inode, which: WhichFork, room: &mut [u8]) -> Result {
    let fork = checked(inode, which)?;
    match fork {
        Fork::Local(bytes) => copy(bytes, room),
        Fork::Dev(number) => copy(&number.to_disk().to_be_bytes(), room),
        Fork::Extents(map) => put_mappings(map, room).map(|_| ()),
        Fork::Btree(_) | Fork::Meta(_) => {
            let (form, root) = root_of(inode, fork).ok_or(Error::Invalid)?;
            form.move_to(root, room).ok_or(Error::Invalid)
        }
    }
}

/// A fork that is of the form that the core tells, with as many mappings.
fn checked(inode: &Inode, which: WhichFork) -> Result<&Fork> {
    let core = &inode.core;
    let (format, count) = match which {
        WhichFork::Data => (core.format, core.nextents),
        WhichFork::Attr => (core.aformat, core.anextents.into()),
    };
    let fork = inode.fork(which).ok_or(Error::Invalid)?;
    let holds = match fork {
        Fork::Extents(map) => allocated(map) as u64 == count,
        Fork::Local(bytes) if which == WhichFork::Data => bytes.len() as u64 == core.size,
        _ => true,
    };
    if holds && fork.format() == format {
        Ok(fork)
    } else {
        Err(Error::Invalid)
    }
}

/// Copies to the start of a place.
fn copy(from: &[u8], to: &mut [u8]) -> Result {
    to.get_mut(..from.len())
        .ok_or(Error::Invalid)?
        .copy_from_slice(from);
    Ok(())
}

/// Mappings that the disk knows of: delayed ones are in memory alone.
fn allocated(map: &ExtentMap) -> usize {
    map.iter()
        .filter(|mapping| mapping.state != State::Delayed)
        .count()
}

/// Writes mappings to the start of `room`; how many bytes they take.
fn put_mappings(map: &ExtentMap, room: &mut [u8]) -> Result<usize> {
    let mut slots = room.chunks_exact_mut(MAPPING_SIZE);
    let mut len = 0usize;
    for mapping in map.iter() {
        if mapping.state == State::Delayed {
            continue;
        }
        let record = BmapRecord {
            offset: mapping.offset,
            start: mapping.start.0,
            count: u32::try_from(mapping.len).map_err(|_| Error::Invalid)?,
            unwritten: mapping.state == State::Unwritten,
        };
        let slot = slots.next().ok_or(Error::Invalid)?;
        slot.copy_from_slice(record.encode().as_bytes());
        len = len.saturating_add(MAPPING_SIZE);
    }
    Ok(len)
}

/// The root of a tree in a fork, and its form.
fn root_of<'a>(inode: &Inode, fork: &'a Fork) -> Option<(Form, &'a [u8])> {
    match fork {
        Fork::Btree(tree) => Some((Form::Bmap, &tree.root)),
        Fork::Meta(root) => match inode.core.metatype {
            MetaType::RtRmap => Some((Form::RtRmap, root)),
            MetaType::RtRefcount => Some((Form::RtRefcount, root)),
            _ => None,
        },
        _ => None,
    }
}

/// What the log has of an inode: which parts, and how many bytes of each fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The item's fields.
    pub fields: Fields,
    /// Bytes of the data fork; 0 if it is not among the fields.
    pub data: usize,
    /// Bytes of the attribute fork, the same.
    pub attr: usize,
}

impl Logged {
    /// What is logged of the parts that were changed. An empty fork is told by the core alone.
    ///
    /// # Errors
    ///
    /// `Invalid` for a fork that the core tells otherwise of.
    pub fn of(inode: &Inode, changed: InodeFields) -> Result<Self> {
        let mut fields = Fields::CORE;
        let mut fork = |mask: InodeFields, which: WhichFork| {
            if !changed.contains(mask) || inode.fork(which).is_none() {
                return Ok::<_, Error>(0);
            }
            let len = log_len(inode, which)?;
            let format = checked(inode, which)?.format();
            if len != 0 || format == ForkFormat::Dev {
                fields |= field_of(which, format);
            }
            Ok(len)
        };
        let data = fork(InodeFields::DATA, WhichFork::Data)?;
        let attr = fork(InodeFields::ATTR, WhichFork::Attr)?;
        Ok(Self {
            fields: Fields(fields),
            data,
            attr,
        })
    }
}

/// The field for a fork of that format.
const fn field_of(which: WhichFork, format: ForkFormat) -> u32 {
    match (which, format) {
        (WhichFork::Data, ForkFormat::Local) => Fields::DATA_LOCAL,
        (WhichFork::Data, ForkFormat::Extents) => Fields::DATA_EXTENTS,
        (WhichFork::Data, ForkFormat::Btree | ForkFormat::MetaBtree) => Fields::DATA_ROOT,
        (_, ForkFormat::Dev) => Fields::DEVICE,
        (WhichFork::Attr, ForkFormat::Local) => Fields::ATTR_LOCAL,
        (WhichFork::Attr, ForkFormat::Extents) => Fields::ATTR_EXTENTS,
        (WhichFork::Attr, ForkFormat::Btree | ForkFormat::MetaBtree) => Fields::ATTR_ROOT,
    }
}

/// Bytes of a fork in the log.
fn log_len(inode: &Inode, which: WhichFork) -> Result<usize> {
    let fork = checked(inode, which)?;
    let len = match fork {
        Fork::Local(bytes) => Some(bytes.len()),
        // It has a field of its own.
        Fork::Dev(_) => Some(0),
        Fork::Extents(map) => allocated(map).checked_mul(MAPPING_SIZE),
        Fork::Btree(_) | Fork::Meta(_) => {
            root_of(inode, fork).and_then(|(form, root)| form.log_len(root))
        }
    };
    len.ok_or(Error::Invalid)
}

/// Writes a fork as it is logged, and returns how many bytes of `into` it takes: as many as
/// [`Logged::of`] says.
///
/// # Errors
///
/// `Invalid` where there is no such fork, or no room.
pub fn fork_to_log(
    geo: &Geometry,
    inode: &Inode,
    which: WhichFork,
    into: &mut [u8],
) -> Result<usize> {
    let fork = checked(inode, which)?;
    match fork {
        Fork::Local(bytes) => copy(bytes, into).map(|()| bytes.len()),
        Fork::Dev(_) => Ok(0),
        Fork::Extents(map) => put_mappings(map, into),
        Fork::Btree(_) | Fork::Meta(_) => {
            let (form, root) = root_of(inode, fork).ok_or(Error::Invalid)?;
            form.to_log(geo, inode.number, root, into)
                .ok_or(Error::Invalid)
        }
    }
}

/// The core as it is logged.
pub fn core_to_log(geo: &Geometry, inode: &Inode) -> LogInode {
    LogInode::new(&inode.core.to_raw(geo, inode.number))
}

/// Where the log says that an inode lies; `None` for a place outside the device.
pub fn log_place(geo: &Geometry, place: InodePlace) -> Option<LogPlace> {
    Some(LogPlace {
        at: geo.ag_block_addr(place.ag, place.block)?,
        len: geo
            .inode_cluster_blocks()
            .checked_mul(geo.basic_blocks_per_block())?,
        offset: place.index.checked_mul(geo.inode_size)?,
    })
}

/// What an inode item is made of, in memory of its own: for who logs without having set room aside.
pub struct Image {
    number: InodeNumber,
    logged: Logged,
    place: LogPlace,
    device: u32,
    core: LogInode,
    data: KVec<u8>,
    attr: KVec<u8>,
}

impl Image {
    /// The parts of an inode that were changed.
    ///
    /// # Errors
    ///
    /// `Invalid` for a place outside the device, or a fork that the core tells otherwise of;
    /// `NoMemory`.
    pub fn new(
        geo: &Geometry,
        inode: &Inode,
        place: InodePlace,
        changed: InodeFields,
    ) -> Result<Self> {
        let logged = Logged::of(inode, changed)?;
        let bytes = |which, len| {
            let mut bytes = KVec::from_elem(0, len, GFP_KERNEL)?;
            if len != 0 {
                fork_to_log(geo, inode, which, &mut bytes)?;
            }
            Ok::<_, Error>(bytes)
        };
        Ok(Self {
            number: inode.number,
            logged,
            place: log_place(geo, place).ok_or(Error::Invalid)?,
            device: match inode.data {
                Fork::Dev(number) if logged.fields.has(Fields::DEVICE) => number.to_disk(),
                _ => 0,
            },
            core: core_to_log(geo, inode),
            data: bytes(WhichFork::Data, logged.data)?,
            attr: bytes(WhichFork::Attr, logged.attr)?,
        })
    }

    /// The item.
    pub fn item(&self) -> InodeItem<'_> {
        let fields = self.logged.fields;
        InodeItem {
            number: self.number,
            fields,
            place: self.place,
            device: self.device,
            core: &self.core,
            data: fields.has(Fields::DATA).then_some(&self.data),
            attr: fields.has(Fields::ATTR).then_some(&self.attr),
        }
    }
}
