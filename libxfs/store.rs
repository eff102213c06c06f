// SPDX-License-Identifier: GPL-2.0

//! The blocks under the algorithms: what libxfs asks of whoever keeps metadata.
//!
//! In the kernel the buffer cache implements [`Store`]; on the host an image file does.

use super::{
    error::{Error, Result},
    format::{
        geometry::Geometry,
        kind::Kind,
        units::{AgBlock, AgNumber, DiskAddr, FsBlock},
    },
};
use core::{
    fmt,
    ops::{Deref, DerefMut},
};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// The devices of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// The data device.
    Data,
    /// The log's own device, if it has one.
    Log,
    /// The realtime device, if there is one.
    Realtime,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Data => "data",
            Device::Log => "log",
            Device::Realtime => "rt",
        })
    }
}

/// A run of a device, in basic blocks of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it starts.
    pub at: DiskAddr,
    /// Its length in basic blocks; not 0.
    pub len: u32,
}

/// The runs of a block: nearly always one, so that it is small and seldom needs memory.
pub enum Runs {
    /// The block lies in one piece.
    One(Run),
    /// It lies in several, in this order.
    Many(KVec<Run>),
}

impl Runs {
    /// Those of a list.
    ///
    /// # Errors
    ///
    /// `Invalid` for none; `NoMemory`.
    pub fn of(runs: &[Run]) -> Result<Self> {
        let (first, rest) = runs.split_first().ok_or(Error::Invalid)?;
        rest.iter()
            .try_fold(Self::One(*first), |runs, run| runs.and(*run))
    }

    /// These and one more.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn and(self, run: Run) -> Result<Self> {
        let mut runs = match self {
            Self::One(first) => {
                let mut runs = KVec::with_capacity(2, GFP_KERNEL)?;
                runs.push(first, GFP_KERNEL)?;
                runs
            }
            Self::Many(runs) => runs,
        };
        runs.push(run, GFP_KERNEL)?;
        Ok(Self::Many(runs))
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Run] {
        match self {
            Self::One(run) => core::slice::from_ref(run),
            Self::Many(runs) => runs,
        }
    }
}

/// A keeper of metadata blocks.
///
/// A block is one [`Run`] of a device, or several that together are one structure (a directory
/// block larger than a file system block need not be contiguous). Its first address names it.
pub trait Store {
    /// A block that is held: its bytes do not change while this lives, so keep it short.
    type Block: Deref<Target = [u8]>;

    /// The file system's shape.
    fn geometry(&self) -> &Geometry;

    /// Reads the block made of `runs` and verifies it as `kind`, from the cache where it can.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](super::error::Error::Corrupt) with the place when it breaks a rule, `Io`,
    /// `NoMemory`, `Invalid` for no runs or runs outside the device.
    fn read_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<Self::Block>;

    /// Asks for a block that will be read soon. Failing is silent.
    fn read_ahead(&self, device: Device, run: Run, kind: Kind);

    /// Whether the caller should give up a long walk (a fatal signal is pending).
    fn interrupted(&self) -> bool {
        false
    }

    /// Reads one run.
    fn read(&self, device: Device, run: Run, kind: Kind) -> Result<Self::Block> {
        self.read_runs(device, &[run], kind)
    }

    /// The run of one block of a group, or `None` outside the group.
    fn ag_block_run(&self, ag: AgNumber, block: AgBlock) -> Option<Run> {
        Some(Run {
            at: self.geometry().ag_block_addr(ag, block)?,
            len: self.geometry().basic_blocks_per_block(),
        })
    }

    /// The run of one block of the data device, or `None` outside it.
    fn fs_block_run(&self, block: FsBlock) -> Option<Run> {
        Some(Run {
            at: self.geometry().fs_block_addr(block)?,
            len: self.geometry().basic_blocks_per_block(),
        })
    }
}

/// A keeper of metadata blocks that can be changed.
///
/// A transaction asks for these and nobody else does: see [`trans`](super::trans).
pub trait StoreMut: Store {
    /// A block that is held alone: until this is dropped no one else reads or changes it.
    ///
    /// What is changed in one that a transaction then does not commit is of no consequence, since
    /// the file system is shut down: nothing of it may reach the disk.
    type Locked: DerefMut<Target = [u8]>;

    /// Locks the block made of `runs`, as [`Store::read_runs`] reads it.
    ///
    /// # Errors
    ///
    /// Those of [`Store::read_runs`], `Shutdown`.
    fn lock_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<Self::Locked>;

    /// As [`lock_runs`](Self::lock_runs), but does not wait for whoever has the block locked; `None`
    /// where that takes waiting. It may be read all the same.
    ///
    /// # Errors
    ///
    /// As [`lock_runs`](Self::lock_runs).
    fn try_lock_runs(
        &self,
        device: Device,
        runs: &[Run],
        kind: Kind,
    ) -> Result<Option<Self::Locked>>;

    /// Locks a block whose content is of no interest, for it was just allocated: it is not read,
    /// and is all zeroes.
    ///
    /// # Errors
    ///
    /// `NoMemory`, `Shutdown`, `Invalid` for no runs or runs outside the device.
    fn lock_fresh(&self, device: Device, runs: &[Run]) -> Result<Self::Locked>;
}
