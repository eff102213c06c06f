// SPDX-License-Identifier: GPL-2.0

//! Group headers in a transaction. Who holds one may change the trees of the group that it names.

use super::header_run;
use crate::libxfs::{
    error::{Error, Result},
    format::{
        ag::{agf::DiskAgf, agi::DiskAgi, AGFL_SECTOR, AGF_SECTOR, AGI_SECTOR},
        kind::Kind,
        units::AgNumber,
    },
    journal::Journal,
    store::Device,
    trans::{BlockId, Trans},
};

fn lock<J: Journal>(
    trans: &mut Trans<'_, J>,
    ag: AgNumber,
    sector: u32,
    kind: Kind,
) -> Result<BlockId> {
    let run = header_run(trans.geometry(), ag, sector).ok_or(Error::Invalid)?;
    trans.read(Device::Data, run, kind)
}

/// A group whose free-space header (AGF) a transaction has locked.
///
/// Groups are locked in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct LockedAgf {
    /// The group.
    pub ag: AgNumber,
    /// The header.
    pub block: BlockId,
}

impl LockedAgf {
    /// Locks it; it stays locked as long as the transaction lives, or until it rolls.
    ///
    /// # Errors
    ///
    /// `Invalid` for a group that is not there; those of reading and of corruption.
    pub fn lock<J: Journal>(trans: &mut Trans<'_, J>, ag: AgNumber) -> Result<Self> {
        let block = lock(trans, ag, AGF_SECTOR, Kind::Agf)?;
        Ok(Self { ag, block })
    }

    /// As [`lock`](Self::lock), but does not wait for whoever has it locked; `None` where that takes
    /// waiting. This is how a transaction may ask for a group below one that it has locked.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock<J: Journal>(trans: &mut Trans<'_, J>, ag: AgNumber) -> Result<Option<Self>> {
        let run = header_run(trans.geometry(), ag, AGF_SECTOR).ok_or(Error::Invalid)?;
        let block = trans.try_read(Device::Data, run, Kind::Agf)?;
        Ok(block.map(|block| Self { ag, block }))
    }

    /// The highest group whose free-space header a transaction has locked.
    pub fn highest<J: Journal>(trans: &Trans<'_, J>) -> Option<AgNumber> {
        let geo = trans.geometry();
        trans
            .held()
            .filter(|block| block.device() == Device::Data && block.kind() == Kind::Agf)
            .filter_map(|block| geo.split_addr(block.address()))
            .map(|(ag, _)| ag)
            .max()
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// `Invalid` when the transaction does not hold it any more.
    pub fn get<'t, J: Journal>(&self, trans: &'t Trans<'_, J>) -> Result<&'t DiskAgf> {
        trans.view(self.block, 0).ok_or(Error::Invalid)
    }

    /// Changes it; what `change` leaves different is logged.
    ///
    /// # Errors
    ///
    /// `Invalid` when the transaction does not hold it any more, and those of `change`; then
    /// nothing is changed.
    pub fn update<J: Journal, R>(
        &self,
        trans: &mut Trans<'_, J>,
        change: impl FnOnce(&mut DiskAgf) -> Result<R>,
    ) -> Result<R> {
        trans.update(self.block, 0, change)
    }

    /// Corruption of a field.
    pub fn corrupt<J: Journal>(&self, trans: &Trans<'_, J>, field: &'static str) -> Error {
        trans.corrupt(self.block, "agf", field)
    }

    /// Locks the group's list of blocks for its trees (AGFL).
    pub(super) fn lock_agfl<J: Journal>(&self, trans: &mut Trans<'_, J>) -> Result<BlockId> {
        lock(trans, self.ag, AGFL_SECTOR, Kind::Agfl)
    }
}

/// A group whose inode header (AGI) a transaction has locked.
///
/// Groups are locked in ascending order, and each one's AGI before its AGF.
#[derive(Clone, Copy, Debug)]
pub struct LockedAgi {
    /// The group.
    pub ag: AgNumber,
    /// The header.
    pub block: BlockId,
}

impl LockedAgi {
    /// Locks it; it stays locked as long as the transaction lives, or until it rolls.
    ///
    /// # Errors
    ///
    /// `Invalid` for a group that is not there; those of reading and of corruption.
    pub fn lock<J: Journal>(trans: &mut Trans<'_, J>, ag: AgNumber) -> Result<Self> {
        let block = lock(trans, ag, AGI_SECTOR, Kind::Agi)?;
        Ok(Self { ag, block })
    }

    /// As [`lock`](Self::lock), but does not wait for whoever has it locked; `None` where that takes
    /// waiting. This is how a transaction may ask for a group below one that it has locked.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock<J: Journal>(trans: &mut Trans<'_, J>, ag: AgNumber) -> Result<Option<Self>> {
        let run = header_run(trans.geometry(), ag, AGI_SECTOR).ok_or(Error::Invalid)?;
        let block = trans.try_read(Device::Data, run, Kind::Agi)?;
        Ok(block.map(|block| Self { ag, block }))
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// `Invalid` when the transaction does not hold it any more.
    pub fn get<'t, J: Journal>(&self, trans: &'t Trans<'_, J>) -> Result<&'t DiskAgi> {
        trans.view(self.block, 0).ok_or(Error::Invalid)
    }

    /// Changes it; what `change` leaves different is logged.
    ///
    /// # Errors
    ///
    /// `Invalid` when the transaction does not hold it any more, and those of `change`; then
    /// nothing is changed.
    pub fn update<J: Journal, R>(
        &self,
        trans: &mut Trans<'_, J>,
        change: impl FnOnce(&mut DiskAgi) -> Result<R>,
    ) -> Result<R> {
        trans.update(self.block, 0, change)
    }

    /// Corruption of a field.
    pub fn corrupt<J: Journal>(&self, trans: &Trans<'_, J>, field: &'static str) -> Error {
        trans.corrupt(self.block, "agi", field)
    }
}
