// SPDX-License-Identifier: GPL-2.0

//! Why a file system is not mounted, known from its superblock.

use super::{Superblock, VERSION_ASCII_CI};
use crate::libxfs::format::{
    fault::{Fault, FaultKind},
    geometry::Features,
};
use core::fmt;

/// Why a superblock is refused. Each says itself in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No XFS superblock (`EINVAL`).
    NotXfs,
    /// A version before 5 (`EINVAL`).
    Version(u16),
    /// The superblock breaks its format (`EUCLEAN`).
    Corrupt(Fault),
    /// Incompatible features that this driver does not know (`EINVAL`).
    UnknownIncompat(u32),
    /// Read-only compatible features that this driver does not know, and the mount is not
    /// read-only (`EINVAL`).
    UnknownRoCompat(u32),
    /// `xfs_repair` has to run first (`EUCLEAN`).
    NeedsRepair,
    /// A tool was interrupted while it worked on the device (`EUCLEAN`).
    InProgress,
    /// The log is on a device of its own, and none was given (`EINVAL`).
    LogDeviceMissing,
    /// The log is on the data device, but a log device was given (`EINVAL`).
    LogDeviceSurplus,
    /// There is a realtime section, and no device was given (`ENODEV`).
    RealtimeDeviceMissing,
    /// The device's sectors are larger than the file system's (`ENOSYS`).
    SectorSize {
        /// Bytes in a sector of the device.
        device: u32,
        /// Bytes in a sector of the file system.
        file_system: u32,
    },
    /// Blocks are larger than this machine can handle (`ENOSYS`).
    BlockSize {
        /// Bytes in a block.
        block: u32,
        /// The most that is possible.
        limit: u32,
    },
    /// The device would end beyond the largest position (`EFBIG`).
    TooLarge,
    /// A feature that is there, but not with another that is on too, or not in this driver
    /// (`EINVAL`): what it is.
    Unsupported(&'static str),
}

impl Refusal {
    /// The fault behind it, as a verifier of a secondary superblock reports it.
    pub const fn fault(&self) -> Fault {
        match *self {
            Refusal::Corrupt(fault) => fault,
            Refusal::NotXfs => Fault::corrupt("superblock", "magic"),
            Refusal::Version(_) => Fault::corrupt("superblock", "versionnum"),
            Refusal::UnknownIncompat(_) => Fault::corrupt("superblock", "features_incompat"),
            Refusal::UnknownRoCompat(_) => Fault::corrupt("superblock", "features_ro_compat"),
            Refusal::InProgress => Fault::corrupt("superblock", "inprogress"),
            Refusal::LogDeviceMissing | Refusal::LogDeviceSurplus => {
                Fault::corrupt("superblock", "logstart")
            }
            Refusal::RealtimeDeviceMissing => Fault::corrupt("superblock", "rblocks"),
            Refusal::SectorSize { .. } => Fault::corrupt("superblock", "sectsize"),
            Refusal::BlockSize { .. } => Fault::corrupt("superblock", "blocksize"),
            Refusal::TooLarge => Fault::corrupt("superblock", "dblocks"),
            Refusal::NeedsRepair | Refusal::Unsupported(_) => {
                Fault::corrupt("superblock", "features")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Refusal::NotXfs => f.write_str("not an XFS file system"),
            Refusal::Version(version) => write!(
                f,
                "XFS format V{version} is not supported, only V5 is (mkfs.xfs -m crc=1)"
            ),
            Refusal::Corrupt(fault) => match fault.kind {
                FaultKind::Checksum => f.write_str("the superblock has a bad checksum"),
                FaultKind::Corrupt => {
                    write!(f, "the superblock is corrupt: bad sb_{}", fault.field)
                }
            },
            Refusal::UnknownIncompat(bits) => {
                write!(f, "unknown incompatible features {bits:#x}: not mounted")
            }
            Refusal::UnknownRoCompat(bits) => write!(
                f,
                "unknown read-only compatible features {bits:#x}: mount it read-only"
            ),
            Refusal::NeedsRepair => f.write_str("the file system needs repair: run xfs_repair"),
            Refusal::InProgress => {
                f.write_str("mkfs or another tool has not finished with this device")
            }
            Refusal::LogDeviceMissing => {
                f.write_str("the log is on a device of its own: name it with logdev=")
            }
            Refusal::LogDeviceSurplus => {
                f.write_str("the log is on the data device: do not give logdev=")
            }
            Refusal::RealtimeDeviceMissing => {
                f.write_str("there is a realtime section: name its device with rtdev=")
            }
            Refusal::SectorSize {
                device,
                file_system,
            } => write!(
                f,
                "the device has sectors of {device} bytes, the file system of {file_system}"
            ),
            Refusal::BlockSize { block, limit } => write!(
                f,
                "blocks of {block} bytes are not supported, only up to {limit}"
            ),
            Refusal::TooLarge => f.write_str("the file system is too large for this machine"),
            Refusal::Unsupported(what) => write!(f, "not supported: {what}"),
        }
    }
}

/// What a mount brings along, for the rules that one superblock alone cannot answer.
#[derive(Clone, Copy, Debug)]
pub struct Mount {
    /// Nothing will be written.
    pub read_only: bool,
    /// The log will not be looked at either.
    pub no_recovery: bool,
    /// A log device was given.
    pub log_device: bool,
    /// A realtime device was given.
    pub rt_device: bool,
    /// Bytes in a logical sector of the data device.
    pub device_sector_size: u32,
    /// The largest block that the page cache can hold, in bytes.
    pub block_size_limit: u32,
}

impl Superblock<'_> {
    /// Holds this superblock against what the mount brings.
    ///
    /// # Errors
    ///
    /// The first reason not to mount.
    pub fn admit(&self, mount: &Mount) -> Result<(), Refusal> {
        let features = self.features();
        let block = self.blocksize.get();
        let file_system = u32::from(self.sectsize.get());
        let unknown_ro = features.ro_compat & !Features::RO_COMPAT_KNOWN;

        if mount.device_sector_size > file_system {
            return Err(Refusal::SectorSize {
                device: mount.device_sector_size,
                file_system,
            });
        }
        if unknown_ro != 0 && !mount.read_only {
            return Err(Refusal::UnknownRoCompat(unknown_ro));
        }
        match (self.logstart.get(), mount.log_device) {
            (0, false) => return Err(Refusal::LogDeviceMissing),
            (start, true) if start != 0 => return Err(Refusal::LogDeviceSurplus),
            _ => {}
        }
        if features.needs_repair() && !mount.no_recovery {
            return Err(Refusal::NeedsRepair);
        }
        // Its directories are hashed with the case folded; the stock kernel is built without it.
        if features.version & VERSION_ASCII_CI != 0 {
            return Err(Refusal::Unsupported("names without regard to ASCII case"));
        }
        if self.inprogress != 0 {
            return Err(Refusal::InProgress);
        }
        if block > mount.block_size_limit {
            return Err(Refusal::BlockSize {
                block,
                limit: mount.block_size_limit,
            });
        }
        // Positions are signed 64-bit byte offsets.
        let fits = |blocks: u64| {
            blocks
                .checked_mul(u64::from(block))
                .is_some_and(|bytes| i64::try_from(bytes).is_ok())
        };
        if !fits(self.dblocks.get()) || !fits(self.rblocks.get()) {
            return Err(Refusal::TooLarge);
        }
        // Sparse chunks are made of whole clusters.
        let geo = self.geometry();
        let cluster = geo
            .inode_cluster_bytes()
            .checked_shr(u32::from(geo.block_log));
        if features.sparse_inodes() && Some(u64::from(geo.sparse_inode_alignment)) != cluster {
            return Err(Refusal::Corrupt(Fault::corrupt(
                "superblock",
                "spino_align",
            )));
        }
        self.admit_realtime(features, mount)
    }

    fn admit_realtime(&self, features: Features, mount: &Mount) -> Result<(), Refusal> {
        let internal = features.zoned() && self.rtstart.get() != 0;
        let present = self.rblocks.get() != 0;
        if present && !internal && !mount.rt_device {
            return Err(Refusal::RealtimeDeviceMissing);
        }
        if features.zoned() && !features.metadir() {
            return Err(Refusal::Unsupported(
                "a zoned realtime device without metadata directories",
            ));
        }
        if features.reflink() && features.zoned() {
            return Err(Refusal::Unsupported("reflink with a zoned realtime device"));
        }
        if features.reflink() && present && (!features.metadir() || self.rextsize.get() != 1) {
            return Err(Refusal::Unsupported(
                "reflink with realtime extents of several blocks, or without realtime groups",
            ));
        }
        Ok(())
    }
}
