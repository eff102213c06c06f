// SPDX-License-Identifier: GPL-2.0

//! Room in the log that a chain of transactions holds.

use super::{
    grant::Head,
    Engine, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        trans::LogReservation, //
    },
    rust::kernel::nofs::NoFs,
};
use kernel::sync::Arc;

/// A ticket: what a chain of transactions may still put into the log. Dropping it gives the rest
/// back.
///
/// While it lives, memory that its task allocates is not reclaimed by way of a file system, which
/// might wait for the log.
pub(crate) struct Ticket {
    engine: Arc<Engine>,
    /// Bytes for each transaction, with all that records add.
    unit: u32,
    /// Bytes that the present transaction has left, of both heads.
    held: u32,
    /// Transactions after the present one whose room is taken already, of both heads.
    left: u32,
    _nofs: NoFs,
}

impl Ticket {
    /// Waits for room.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`; `Invalid` for more than the log can ever hold.
    pub(crate) fn take(engine: &Arc<Engine>, space: LogReservation) -> Result<Self> {
        // Whoever waits here holds nothing that the log needs.
        engine.throttle();
        let unit = engine.layout().reservation(space.bytes);
        let count = space.count.max(1);
        let bytes = unit.checked_mul(count).ok_or(Error::Invalid)?;
        let nofs = NoFs::new();
        engine
            .grants()
            .take(Head::Reserve, bytes, || engine.push_for_room())?;
        Ok(Self {
            engine: engine.clone(),
            unit,
            held: unit,
            left: count.saturating_sub(1),
            _nofs: nofs,
        })
    }

    /// Waits for room for the next transaction of the chain. What the present one has left is given
    /// back.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `NoMemory`; then nothing is held any more.
    pub(crate) fn regrant(&mut self) -> Result {
        let grants = self.engine.grants();
        let held = core::mem::take(&mut self.held);
        if let Some(left) = self.left.checked_sub(1) {
            grants.give_back(held);
            self.left = left;
            self.held = self.unit;
            return match grants.is_closed() {
                false => Ok(()),
                true => Err(Error::Shutdown),
            };
        }
        // New tickets must not take what this chain is about to wait for.
        grants.promise(self.unit);
        grants.give_back(held);
        let engine = &self.engine;
        let taken = grants.take(Head::Write, self.unit, || engine.push_for_room());
        match taken {
            Ok(()) => self.held = self.unit,
            Err(_) => grants.give(self.unit, 0),
        }
        taken
    }

    /// Spends `bytes`, or gets back what changes that replaced others no longer need. Whoever gets
    /// them keeps them counted at both heads.
    ///
    /// # Errors
    ///
    /// `Range` for more than is left: the operation's reservation is too small. What is missing is
    /// counted all the same.
    pub(super) fn spend(&mut self, bytes: i64) -> Result {
        let left = i64::from(self.held).saturating_sub(bytes);
        self.held = u32::try_from(left.max(0)).unwrap_or(u32::MAX);
        match u32::try_from(left.saturating_neg()) {
            Ok(missing) if missing != 0 => {
                self.engine.grants().occupy(missing);
                Err(Error::Range)
            }
            _ => Ok(()),
        }
    }

    /// Bytes that the present transaction may still spend.
    pub(crate) fn held(&self) -> u32 {
        self.held
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let rest = self.unit.saturating_mul(self.left);
        self.engine
            .grants()
            .give_back(self.held.saturating_add(rest));
    }
}
