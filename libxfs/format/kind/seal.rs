// SPDX-License-Identifier: GPL-2.0

//! What a block gets just before it is written: the sequence number of its last change, and its
//! checksum.

use super::Kind;
use crate::libxfs::format::{
    ag::{agf, agfl, agi},
    attr,
    btree::{LongHeader, ShortHeader, TreeKind},
    crc, da, dir,
    geometry::Geometry,
    rt, sb, symlink,
    units::Lsn,
};
use core::mem::offset_of;

/// Where a block has the two fields.
struct Fields {
    lsn: Option<usize>,
    crc: usize,
}

impl Fields {
    const fn at(lsn: usize, crc: usize) -> Option<Self> {
        Some(Self {
            lsn: Some(lsn),
            crc,
        })
    }
}

impl Kind {
    /// Makes `bytes` ready to be written: `lsn`, if the block was logged, and the checksum. Does
    /// nothing to fields that do not fit.
    ///
    /// Inodes and quota records carry checksums of their own, set when they are put into their
    /// block; raw blocks have none.
    pub fn seal(self, geo: &Geometry, bytes: &mut [u8], lsn: Option<Lsn>) {
        if self == Kind::AttrRemote {
            return seal_remote(geo, bytes);
        }
        let Some(fields) = self.fields(geo) else {
            return;
        };
        if let (Some(lsn), Some(at)) = (lsn, fields.lsn) {
            put_lsn(bytes, at, lsn);
        }
        crc::set_block_crc(bytes, fields.crc);
    }

    fn fields(self, geo: &Geometry) -> Option<Fields> {
        match self {
            Kind::Raw | Kind::InodeCluster | Kind::Dquots | Kind::AttrRemote => None,
            Kind::DirData | Kind::DirBlock | Kind::DirFree => {
                Fields::at(offset_of!(dir::BlockHeader, lsn), dir::CRC_OFFSET)
            }
            Kind::DirLeaf | Kind::DirTree | Kind::AttrTree => {
                Fields::at(offset_of!(da::BlockInfo, lsn), da::CRC_OFFSET)
            }
            Kind::Superblock => Fields::at(offset_of!(sb::DiskSuperblock, lsn), sb::CRC_OFFSET),
            Kind::Agf => Fields::at(offset_of!(agf::DiskAgf, lsn), agf::CRC_OFFSET),
            Kind::Agi => Fields::at(offset_of!(agi::DiskAgi, lsn), agi::CRC_OFFSET),
            Kind::Agfl => Fields::at(offset_of!(agfl::DiskAgfl, lsn), agfl::CRC_OFFSET),
            Kind::Btree(tree) if is_long(tree) => {
                Fields::at(offset_of!(LongHeader, lsn), offset_of!(LongHeader, crc))
            }
            Kind::Btree(_) => {
                Fields::at(offset_of!(ShortHeader, lsn), offset_of!(ShortHeader, crc))
            }
            Kind::Symlink => Fields::at(offset_of!(symlink::Header, lsn), symlink::CRC_OFFSET),
            Kind::RtSuperblock => Some(Fields {
                lsn: None,
                crc: rt::SUPERBLOCK_CRC,
            }),
            Kind::Rt(_) if rt::has_headers(geo) => Fields::at(rt::HEADER_LSN, rt::HEADER_CRC),
            Kind::Rt(_) => None,
        }
    }
}

const fn is_long(tree: TreeKind) -> bool {
    match tree {
        TreeKind::Bmap | TreeKind::RtRmap | TreeKind::RtRefcount => true,
        TreeKind::Bno
        | TreeKind::Cnt
        | TreeKind::Ino
        | TreeKind::Fino
        | TreeKind::Rmap
        | TreeKind::Refcount => false,
    }
}

fn put_lsn(bytes: &mut [u8], at: usize, lsn: Lsn) {
    if let Some(field) = at.checked_add(8).and_then(|end| bytes.get_mut(at..end)) {
        field.copy_from_slice(&lsn.0.to_be_bytes());
    }
}

/// Each block of a long attribute's value has a header; none has a sequence number, since values
/// are written before they are linked, and not logged.
fn seal_remote(geo: &Geometry, bytes: &mut [u8]) {
    for block in bytes.chunks_mut((geo.block_size as usize).max(1)) {
        put_lsn(
            block,
            offset_of!(attr::remote::RemoteHeader, lsn),
            Lsn(u64::MAX),
        );
        crc::set_block_crc(block, attr::remote::CRC_OFFSET);
    }
}
