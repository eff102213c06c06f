// SPDX-License-Identifier: GPL-2.0

//! Puts inodes back into their clusters, past any log.

use crate::{
    image::ImageStore,
    libxfs::{
        error::{Error, Result},
        format::{inode::Dinode, kind::Kind, units::Lsn},
        inode::{cluster_run, encode, locate, Inode, Trust},
        store::{Device, Store},
        trans::InodeFields,
    },
};

/// Writes an inode to its cluster, all of it. Whoever holds the cluster has written it before.
///
/// # Errors
///
/// `Invalid` for a fork that does not fit or that the core does not tell of; those of reading and
/// writing; `Corrupt` for what breaks a rule.
pub fn write(store: &ImageStore, inode: &Inode) -> Result {
    let geo = store.geometry();
    let size = geo.inode_size as usize;
    let place = locate(store, inode.number, Trust::Trusted)?;
    let run = cluster_run(store, place).ok_or(Error::Invalid)?;
    let mut cluster = store.read(Device::Data, run, Kind::InodeCluster)?.to_vec();
    let at = place.index as usize * size;
    let slot = &mut cluster[at..at + size];
    encode::to_slot(geo, inode, InodeFields::ALL, Lsn::new(1, 0), slot)?;
    Dinode::verified(geo, inode.number, slot).map_err(|fault| Error::inode(fault, inode.number))?;
    match Inode::parse(geo, inode.number, slot) {
        Err(Error::NotFound) if inode.core.mode == 0 => {}
        parsed => drop(parsed?),
    }
    store.write(Device::Data, &[run], &cluster)
}
