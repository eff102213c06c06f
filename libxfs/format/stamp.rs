// SPDX-License-Identifier: GPL-2.0

//! Where metadata blocks carry their checksum and the LSN of their last change.
//!
//! [`Kind::seal`](super::kind::Kind::seal) sets both when a block is written. Recovery compares the
//! LSN with that of the change that it is to replay, and so needs to know it of whatever lies in a
//! place now, which may be of another kind: here the magic number tells.

use super::{
    ag::{agf, agfl, agi},
    attr::leaf,
    btree::{self, LongHeader, ShortHeader, Tree},
    da,
    dir::{self, data, free, leaf as dir_leaf},
    geometry::Geometry,
    rt, sb, symlink,
    units::Lsn,
};
use core::mem::offset_of;
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes,
};

/// Offsets of a block's checksum, LSN and uuid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Checksum, four bytes.
    pub crc: usize,
    /// LSN, eight bytes.
    pub lsn: usize,
    /// The file system's metadata uuid, 16 bytes.
    pub uuid: usize,
}

/// The stamp in a header with fields `lsn` and `uuid`, and its checksum at `$crc`.
macro_rules! in_header {
    ($header:ty, $crc:expr) => {
        Stamp {
            crc: $crc,
            lsn: offset_of!($header, lsn),
            uuid: offset_of!($header, uuid),
        }
    };
}

const SHORT: Stamp = in_header!(ShortHeader, offset_of!(ShortHeader, crc));
const LONG: Stamp = in_header!(LongHeader, offset_of!(LongHeader, crc));
const AGF: Stamp = in_header!(agf::DiskAgf, agf::CRC_OFFSET);
const AGI: Stamp = in_header!(agi::DiskAgi, agi::CRC_OFFSET);
const AGFL: Stamp = in_header!(agfl::DiskAgfl, agfl::CRC_OFFSET);
const DIR_DATA: Stamp = in_header!(dir::BlockHeader, dir::CRC_OFFSET);
const DA: Stamp = in_header!(da::BlockInfo, da::CRC_OFFSET);
const SYMLINK: Stamp = in_header!(symlink::Header, symlink::CRC_OFFSET);
const RT: Stamp = Stamp {
    crc: rt::HEADER_CRC,
    lsn: rt::HEADER_LSN,
    uuid: rt::HEADER_UUID,
};

/// The stamp of a superblock; which of its two uuids metadata carry, a feature says.
const fn superblock(geo: &Geometry) -> Stamp {
    let stamp = in_header!(sb::DiskSuperblock, sb::CRC_OFFSET);
    if !geo.features.meta_uuid() {
        return stamp;
    }
    Stamp {
        uuid: offset_of!(sb::DiskSuperblock, meta_uuid),
        ..stamp
    }
}

/// Where a block carries its stamp, by its magic number alone; `None` if it has none that tells.
pub fn of_bytes(geo: &Geometry, bytes: &[u8]) -> Option<Stamp> {
    let (magic, _) = U32::ref_from_prefix(bytes).ok()?;
    let stamp = match magic.get() {
        btree::Bno::MAGIC
        | btree::Cnt::MAGIC
        | btree::Ino::MAGIC
        | btree::Fino::MAGIC
        | btree::Rmap::MAGIC
        | btree::Refcount::MAGIC => SHORT,
        btree::Bmap::MAGIC | btree::RtRmap::MAGIC | btree::RtRefcount::MAGIC => LONG,
        agf::MAGIC => AGF,
        agi::MAGIC => AGI,
        agfl::MAGIC => AGFL,
        symlink::MAGIC => SYMLINK,
        data::BLOCK_MAGIC | data::DATA_MAGIC | free::FREE_MAGIC => DIR_DATA,
        rt::BITMAP_MAGIC | rt::SUMMARY_MAGIC => RT,
        sb::MAGIC => superblock(geo),
        _ => return of_da_block(bytes),
    };
    Some(stamp)
}

/// Whether that is the magic number of a realtime bitmap's block.
pub const fn is_rt_bitmap(magic: u32) -> bool {
    magic == rt::BITMAP_MAGIC
}

/// Whether that is the magic number of a realtime summary's block.
pub const fn is_rt_summary(magic: u32) -> bool {
    magic == rt::SUMMARY_MAGIC
}

fn of_da_block(bytes: &[u8]) -> Option<Stamp> {
    let magic = U16::read_from_prefix(bytes.get(offset_of!(da::BlockInfo, magic)..)?).ok()?;
    matches!(
        magic.0.get(),
        dir_leaf::LEAF1_MAGIC | dir_leaf::LEAFN_MAGIC | leaf::LEAF_MAGIC | da::NODE_MAGIC
    )
    .then_some(DA)
}

impl Stamp {
    /// The LSN of a block's last change, if it is a block of this file system; what another one has
    /// left there says nothing.
    pub fn lsn(&self, geo: &Geometry, bytes: &[u8]) -> Option<Lsn> {
        let uuid = bytes.get(self.uuid..)?.get(..16)?;
        if uuid != geo.meta_uuid {
            return None;
        }
        let (lsn, _) = U64::read_from_prefix(bytes.get(self.lsn..)?).ok()?;
        Some(Lsn(lsn.get()))
    }
}
