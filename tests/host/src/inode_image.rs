// SPDX-License-Identifier: GPL-2.0

//! Puts inodes back into their clusters: core and forks as they are in memory.

use crate::{
    image::ImageStore,
    libxfs::{
        error::{Error, Result},
        extents::{ExtentMap, State},
        format::{
            btree::bmap::BmapRecord,
            inode::{self, ForkFormat, CORE_SIZE},
            kind::Kind,
            units::Lsn,
        },
        inode::{cluster_run, locate, Fork, Inode, Trust},
        store::{Device, Store, StoreMut},
    },
};
use zerocopy::IntoBytes;

fn encode_extents(map: &ExtentMap) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mapping in map.iter() {
        let record = BmapRecord {
            offset: mapping.offset,
            start: mapping.start.0,
            count: mapping.len as u32,
            unwritten: mapping.state == State::Unwritten,
        };
        bytes.extend_from_slice(record.encode().as_bytes());
    }
    bytes
}

/// The bytes of a fork; none of one that cannot be written back: a tree's root does not follow its
/// map here.
fn encode_fork(fork: &Fork) -> Option<Vec<u8>> {
    match fork {
        Fork::Local(bytes) => Some(bytes.to_vec()),
        Fork::Extents(map) => Some(encode_extents(map)),
        Fork::Dev(number) => Some(number.to_disk().to_be_bytes().to_vec()),
        Fork::Btree(_) | Fork::Meta(_) => None,
    }
}

/// Writes an inode to its cluster.
///
/// # Errors
///
/// `Unsupported` for a fork that cannot be written back, `Invalid` for one that does not fit or
/// that the core does not tell of; those of reading and writing; `Corrupt` for what breaks a rule.
pub fn write(store: &ImageStore, inode: &Inode) -> Result {
    let geo = store.geometry();
    let size = geo.inode_size as usize;
    let mut bytes = vec![0; size];
    bytes[..CORE_SIZE].copy_from_slice(inode.core.to_raw(geo, inode.number).as_bytes());
    let attr_start = match inode.core.forkoff {
        0 => size,
        units => CORE_SIZE + 8 * usize::from(units),
    };
    let forks = [
        (Some(&inode.data), inode.core.format, CORE_SIZE..attr_start),
        (inode.attr.as_ref(), inode.core.aformat, attr_start..size),
    ];
    for (fork, format, range) in forks {
        let Some(fork) = fork else {
            let none = range.is_empty() && format == ForkFormat::Extents;
            if none {
                continue;
            }
            return Err(Error::Invalid);
        };
        let content = encode_fork(fork).ok_or(Error::Unsupported)?;
        if content.len() > range.len() || fork.format() != format {
            return Err(Error::Invalid);
        }
        bytes[range.start..range.start + content.len()].copy_from_slice(&content);
    }
    inode::seal(&mut bytes);
    Inode::parse(geo, inode.number, &bytes)?;
    let place = locate(store, inode.number, Trust::Trusted)?;
    let run = cluster_run(store, place).ok_or(Error::Invalid)?;
    let mut cluster = store.lock_runs(Device::Data, &[run], Kind::InodeCluster)?;
    let at = place.index as usize * size;
    cluster[at..at + size].copy_from_slice(&bytes);
    let name = (Device::Data, run.at, Kind::InodeCluster);
    store.seal(name, &mut cluster, Lsn::new(1, 0))?;
    store.write(Device::Data, &[run], &cluster)
}
