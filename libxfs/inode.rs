// SPDX-License-Identifier: GPL-2.0

//! Inodes as they are in memory: the core and the forks, read and verified.
//!
//! [`Inode::read`] finds an inode by its number and takes its forks apart. A fork whose mappings
//! lie in a B+tree is taken with its root alone; [`Inode::load_extents`] reads the tree, once,
//! when something wants to know where the blocks are. That keeps `stat` of a huge file cheap.
//! [`encode`] is the way back; [`create`] is how inodes begin and end, and [`unlinked`] where those
//! are whose end is near.

pub mod create;
pub mod encode;
pub mod unlinked;

pub use super::format::inode::WhichFork;
use super::{
    bmap,
    error::{Error, Result},
    extents::ExtentMap,
    format::{
        attr, dir,
        fault::Fault,
        geometry::Geometry,
        inode::{
            cluster::{self, InodePlace},
            Dinode, FileType, ForkFormat, InodeCore,
        },
        kind::Kind,
        symlink,
        units::InodeNumber,
    },
    ialloc,
    store::{Device, Run, Store},
};

use kernel::alloc::{flags::GFP_KERNEL, KVec};
use zerocopy::{byteorder::big_endian::U32, FromBytes};

/// How far an inode number can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It comes from the file system's own metadata.
    Trusted,
    /// It comes from outside: a handle, a bulkstat cursor. It may name blocks that hold no inodes,
    /// so the inode B+tree is asked first.
    Untrusted,
}

/// A device number, as special files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// Major, below 512.
    pub major: u32,
    /// Minor, below 2^18.
    pub minor: u32,
}

impl DeviceNumber {
    const MINOR_BITS: u32 = 18;
    const MAJOR_MASK: u32 = 0x1ff;

    /// Decodes the form of System V, of whose 14 bits of major Linux uses nine.
    pub const fn from_disk(value: u32) -> Self {
        Self {
            major: (value >> Self::MINOR_BITS) & Self::MAJOR_MASK,
            minor: value & ((1 << Self::MINOR_BITS) - 1),
        }
    }

    /// Encodes; bits for which there is no room are lost.
    pub const fn to_disk(self) -> u32 {
        ((self.major & Self::MAJOR_MASK) << Self::MINOR_BITS)
            | (self.minor & ((1 << Self::MINOR_BITS) - 1))
    }
}

/// A fork in the form of a B+tree.
#[derive(Debug)]
pub struct BtreeFork {
    /// The fork's bytes, which hold the root.
    pub root: KVec<u8>,
    /// The tree's mappings, once they were read.
    extents: Option<ExtentMap>,
}

impl BtreeFork {
    /// A fork whose root and mappings are known.
    pub(super) fn new(root: KVec<u8>, extents: ExtentMap) -> Self {
        Self {
            root,
            extents: Some(extents),
        }
    }
}

/// What a fork holds.
#[derive(Debug)]
pub enum Fork {
    /// The content itself: a short directory, a target, short attributes.
    Local(KVec<u8>),
    /// Mappings that all fit into the inode.
    Extents(ExtentMap),
    /// Mappings in a B+tree.
    Btree(BtreeFork),
    /// A special file's device number.
    Dev(DeviceNumber),
    /// The fork's bytes, which hold the root of a realtime group's B+tree.
    Meta(KVec<u8>),
}

impl Fork {
    /// Its format on disk.
    pub const fn format(&self) -> ForkFormat {
        match self {
            Self::Local(_) => ForkFormat::Local,
            Self::Extents(_) => ForkFormat::Extents,
            Self::Btree(_) => ForkFormat::Btree,
            Self::Dev(_) => ForkFormat::Dev,
            Self::Meta(_) => ForkFormat::MetaBtree,
        }
    }

    /// Its bytes, where it holds the content itself.
    pub fn local(&self) -> Option<&[u8]> {
        match self {
            Self::Local(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Its mappings; `None` where it has none, or they lie in a tree that was not read yet.
    pub const fn extents(&self) -> Option<&ExtentMap> {
        match self {
            Self::Extents(map) => Some(map),
            Self::Btree(tree) => tree.extents.as_ref(),
            _ => None,
        }
    }

    /// Its mappings, to be changed.
    pub(super) fn extents_mut(&mut self) -> Option<&mut ExtentMap> {
        match self {
            Self::Extents(map) => Some(map),
            Self::Btree(tree) => tree.extents.as_mut(),
            _ => None,
        }
    }

    /// Whether its mappings still have to be read.
    pub const fn needs_load(&self) -> bool {
        matches!(self, Self::Btree(BtreeFork { extents: None, .. }))
    }
}

/// An inode in use: its core and its forks, all verified.
#[derive(Debug)]
pub struct Inode {
    /// Its number.
    pub number: InodeNumber,
    /// Its core.
    pub core: InodeCore,
    /// Its data fork.
    pub data: Fork,
    /// Its attribute fork, if it has one.
    pub attr: Option<Fork>,
    /// Its CoW fork: blocks that stage what will take the place of shared ones. It is in memory
    /// alone.
    pub cow: ExtentMap,
}

impl Inode {
    /// Reads an inode.
    ///
    /// # Errors
    ///
    /// `Invalid` for a number that no inode can have or, untrusted, that no inode has; `NotFound`
    /// for a free inode; `Corrupt`, `Io`, `NoMemory`.
    pub fn read<S: Store>(store: &S, number: InodeNumber, trust: Trust) -> Result<Self> {
        let place = locate(store, number, trust)?;
        let cluster = read_cluster(store, place)?;
        let bytes = inode_bytes(store.geometry(), &cluster, place).ok_or(Error::Invalid)?;
        Self::parse(store.geometry(), number, bytes)
    }

    /// Takes an inode from its bytes.
    ///
    /// # Errors
    ///
    /// `NotFound` for a free inode; `Corrupt`, `NoMemory`.
    pub fn parse(geo: &Geometry, number: InodeNumber, bytes: &[u8]) -> Result<Self> {
        let dinode =
            Dinode::verified(geo, number, bytes).map_err(|fault| Error::inode(fault, number))?;
        let mut core = dinode.core();
        let Some(file_type) = core.file_type() else {
            return Err(Error::NotFound);
        };
        let data = if file_type.has_data() {
            read_fork(geo, number, &core, WhichFork::Data, dinode.data_fork())?
        } else {
            // A special file's size means nothing, and is not shown.
            core.size = 0;
            Fork::Dev(device_number(number, dinode.data_fork())?)
        };
        let attr = match core.forkoff {
            0 => None,
            _ => Some(read_fork(
                geo,
                number,
                &core,
                WhichFork::Attr,
                dinode.attr_fork(),
            )?),
        };
        Ok(Self {
            number,
            core,
            data,
            attr,
            cow: ExtentMap::new(),
        })
    }

    /// A fork, if it is there.
    pub const fn fork(&self, which: WhichFork) -> Option<&Fork> {
        match which {
            WhichFork::Data => Some(&self.data),
            WhichFork::Attr => self.attr.as_ref(),
        }
    }

    /// A fork, if it is there, to be changed.
    pub(super) fn fork_mut(&mut self, which: WhichFork) -> Option<&mut Fork> {
        match which {
            WhichFork::Data => Some(&mut self.data),
            WhichFork::Attr => self.attr.as_mut(),
        }
    }

    /// The device that a fork's mappings are about.
    pub const fn device(&self, which: WhichFork) -> Device {
        match which {
            WhichFork::Data if self.core.is_realtime() => Device::Realtime,
            _ => Device::Data,
        }
    }

    /// A fork's mappings.
    ///
    /// # Errors
    ///
    /// `Invalid` for a fork that has none or is not there, or whose tree was not
    /// [loaded](Self::load_extents).
    pub fn extents(&self, which: WhichFork) -> Result<&ExtentMap> {
        self.fork(which)
            .and_then(Fork::extents)
            .ok_or(Error::Invalid)
    }

    /// A fork's mappings, to be changed.
    ///
    /// # Errors
    ///
    /// As [`extents`](Self::extents).
    pub(super) fn extents_mut(&mut self, which: WhichFork) -> Result<&mut ExtentMap> {
        self.fork_mut(which)
            .and_then(Fork::extents_mut)
            .ok_or(Error::Invalid)
    }

    /// Reads a fork's mappings if they lie in a B+tree and were not read before.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Io`, `NoMemory`, `Interrupted`. The fork is then as it was.
    pub fn load_extents<S: Store>(&mut self, store: &S, which: WhichFork) -> Result {
        let fork = bmap::ForkOf::new(self.number, &self.core, which);
        if let Some(Fork::Btree(tree)) = self.fork_mut(which) {
            if tree.extents.is_none() {
                tree.extents = Some(bmap::load(store, &fork, &tree.root)?);
            }
        }
        Ok(())
    }
}

/// Finds the cluster that holds an inode.
///
/// # Errors
///
/// As [`Inode::read`].
pub fn locate<S: Store>(store: &S, number: InodeNumber, trust: Trust) -> Result<InodePlace> {
    let geo = store.geometry();
    if !cluster::number_is_valid(geo, number) {
        return Err(Error::Invalid);
    }
    match (trust, cluster::place(geo, number)) {
        (Trust::Trusted, Some(place)) => Ok(place),
        // Nobody vouches for the number, or chunks are not aligned: the inode B+tree knows.
        _ => {
            let found = ialloc::lookup(store, number)?
                .filter(|found| trust == Trust::Trusted || found.is_allocated())
                .ok_or(Error::Invalid)?;
            cluster::place_in_chunk(geo, number, found.chunk.start).ok_or(Error::Invalid)
        }
    }
}

/// The run of a cluster.
pub fn cluster_run<S: Store>(store: &S, place: InodePlace) -> Option<Run> {
    let first = store.ag_block_run(place.ag, place.block)?;
    Some(Run {
        at: first.at,
        len: first
            .len
            .checked_mul(store.geometry().inode_cluster_blocks())?,
    })
}

/// Reads a cluster.
///
/// # Errors
///
/// `Corrupt`, `Io`, `NoMemory`; `Invalid` for a place outside the device.
pub fn read_cluster<S: Store>(store: &S, place: InodePlace) -> Result<S::Block> {
    let run = cluster_run(store, place).ok_or(Error::Invalid)?;
    store.read(Device::Data, run, Kind::InodeCluster)
}

/// One inode's bytes in its cluster.
pub fn inode_bytes<'a>(geo: &Geometry, cluster: &'a [u8], place: InodePlace) -> Option<&'a [u8]> {
    cluster
        .chunks_exact(geo.inode_size as usize)
        .nth(place.index as usize)
}

fn device_number(number: InodeNumber, fork: &[u8]) -> Result<DeviceNumber> {
    let (value, _) = U32::ref_from_prefix(fork)
        .map_err(|_| Error::inode(Fault::corrupt("dinode", "di_forkoff"), number))?;
    Ok(DeviceNumber::from_disk(value.get()))
}

fn read_fork(
    geo: &Geometry,
    number: InodeNumber,
    core: &InodeCore,
    which: WhichFork,
    bytes: &[u8],
) -> Result<Fork> {
    let format = match which {
        WhichFork::Data => core.format,
        WhichFork::Attr => core.aformat,
    };
    let fork = bmap::ForkOf::new(number, core, which);
    Ok(match format {
        ForkFormat::Local => {
            let content = match which {
                WhichFork::Data => local_data(geo, core, bytes),
                WhichFork::Attr => attr::shortform::verify(bytes),
            };
            Fork::Local(copied(
                content.map_err(|fault| Error::inode(fault, number))?,
            )?)
        }
        ForkFormat::Extents => Fork::Extents(bmap::decode_extents(geo, &fork, bytes)?),
        ForkFormat::Btree => {
            bmap::check_root(geo, &fork, bytes)?;
            Fork::Btree(BtreeFork {
                root: copied(bytes)?,
                extents: None,
            })
        }
        ForkFormat::MetaBtree => Fork::Meta(copied(bytes)?),
        ForkFormat::Dev => return Err(Error::inode(Fault::corrupt("dinode", "di_format"), number)),
    })
}

/// The content of a data fork in the inode, held to its rules.
fn local_data<'a>(
    geo: &Geometry,
    core: &InodeCore,
    fork: &'a [u8],
) -> core::result::Result<&'a [u8], Fault> {
    let content = usize::try_from(core.size)
        .ok()
        .and_then(|size| fork.get(..size))
        .ok_or(Fault::corrupt("dinode", "di_size"))?;
    match core.file_type() {
        Some(FileType::Directory) => dir::shortform::verify(geo, content)?,
        Some(FileType::Symlink) => symlink::verify_local(content)?,
        _ => {}
    }
    Ok(content)
}

fn copied(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}
