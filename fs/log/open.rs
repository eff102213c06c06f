// SPDX-License-Identifier: GPL-2.0

//! Opening a log: what is in it is put into its place, and what lies in front of its head is made
//! harmless. After that the engine can start behind the head.

use super::{
    device::LogDevice,
    replay::CacheReplay, //
};
use crate::libxfs::{
    error::Result,
    format::geometry::Geometry,
    log::{
        device::WriteLog,
        head::Head,
        intent::Intent,
        read,
        recover::{
            recover,
            Options, //
        },
        stale, //
    },
    store::Device,
};
use kernel::prelude::*;

/// A log that was opened.
pub(crate) struct Opened {
    /// Where it goes on.
    pub(crate) head: Head,
    /// The file system's shape, which recovery may have found to have grown.
    pub(crate) geometry: Geometry,
    /// Intents that were not answered, in the order in which they are to be carried out.
    pub(crate) intents: KVVec<Intent>,
    /// Transactions that were replayed; none of a clean log.
    pub(crate) transactions: Option<u64>,
}

/// Opens a log. Nothing else uses the caches yet, and what they have of the data device is forgotten
/// where the log was dirty.
///
/// # Errors
///
/// Corruption that names what is wrong, with nothing written after it; those of the devices;
/// `NoMemory`; `Interrupted`.
pub(crate) fn open(device: &LogDevice<'_>, geo: &Geometry, options: Options) -> Result<Opened> {
    let mut blocks = CacheReplay::new(device.data);
    let recovered = recover(device, &mut blocks, geo, options)?;
    drop(blocks);
    let opened = match recovered {
        Some(recovered) => {
            // Before anything is written that tells a later tail.
            device.flush(Device::Data)?;
            Opened {
                head: recovered.head,
                geometry: recovered.geometry,
                intents: recovered.intents,
                transactions: Some(recovered.transactions),
            }
        }
        None => Opened {
            head: read::head(device, geo)?,
            geometry: geo.clone(),
            intents: KVVec::new(),
            transactions: None,
        },
    };
    stale::clear(device, geo, &opened.head)?;
    Ok(opened)
}
